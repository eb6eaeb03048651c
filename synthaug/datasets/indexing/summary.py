"""Count what a scan found: films, hours, frames, bytes, sizes, rates, readers and faults."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from synthaug.datasets.indexing.findings import ScanFinding


@dataclass(frozen=True)
class ScanSummary:
    """The counts of a scan.

    Attributes:
        rows: Names and values, in the order of display.
        broken: Number of films that must not be used, by reason.
    """

    rows: tuple[tuple[str, str], ...]
    broken: dict[str, int]


def summarize_findings(findings: Sequence[ScanFinding]) -> ScanSummary:
    """Count the findings of a scan; copies are counted apart from originals."""
    rows: list[tuple[str, str]] = []
    broken: dict[str, int] = {}
    for name, part in (
        ("", [one for one in findings if one.made_from is None]),
        ("copies: ", [one for one in findings if one.made_from is not None]),
    ):
        if part:
            rows += [(name + what, value) for what, value in _count_part(part)]
        for one in part:
            if one.fault:
                reason = name + fault_kind(one)
                broken[reason] = broken.get(reason, 0) + 1
    return ScanSummary(tuple(rows), dict(sorted(broken.items(), key=lambda item: -item[1])))


def _count_part(findings: Sequence[ScanFinding]) -> Iterator[tuple[str, str]]:
    infos = [finding.info for finding in findings if finding.info]
    timed = [info for info in infos if info.reader != "pictures"]  # a scan knows no rate of numbered pictures
    hours = sum(info.duration for info in timed) / 3600
    yield "films", f"{len(infos):,} sound, {len(findings) - len(infos):,} broken"
    yield "hours", f"{hours:,.2f} in {sum(info.num_frames for info in infos):,} frames"
    yield "bytes", f"{sum(finding.film[1] for finding in findings) / 1e9:,.3f} GB"
    yield "size", _tally(f"{info.width} x {info.height}" for info in infos)
    yield "rate", _tally(f"{info.fps:.4g} a second" for info in timed)
    yield "read by", _tally(info.reader for info in infos)
    shorter = sum(info.cut_short for info in infos)
    yield from (("shorter than announced", f"{shorter:,}"),) if shorter else ()
    for what in sorted({what for finding in findings for what in finding.notes}):
        having = [finding.notes[what] for finding in findings if what in finding.notes]
        yield what.replace("_", " "), f"{sum(having):,} in {len(having):,} films"


def _tally(words: Iterable[str]) -> str:
    """The six most common words with their counts, and the count of the others."""
    counts: dict[str, int] = {}
    for word in words:
        counts[word] = counts.get(word, 0) + 1
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    rest = sum(number for _, number in ranked[6:])
    return ", ".join(f"{word}: {number:,}" for word, number in ranked[:6]) + (f", others: {rest:,}" if rest else "")


def fault_kind(finding: ScanFinding) -> str:
    """A fault without the film's name and numbers, so that faults of one kind are counted together."""
    words = re.sub(r"'[^']*'|\"[^\"]*\"", "the film", finding.fault.split(". ")[0])
    return re.sub(r"\d[\d.]*", "n", words)
