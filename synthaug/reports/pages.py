"""Write the report as one HTML page that loads nothing: no script, no font, no picture.

Every word that comes from files of the runs is escaped here.
"""

import html
import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from synthaug.reports import figures
from synthaug.reports.cautions import Caution, name_arm, short_name
from synthaug.reports.licences import LicenceTerms, select_terms
from synthaug.reports.results import ArmResult, Comparison, Results
from synthaug.reports.svg import COLOURS
from synthaug.reports.tables import (
    Table,
    arms_table,
    calibration_table,
    comparisons_table,
    format_percent,
    format_points,
    provenance_table,
    runs_table,
    strata_table,
    unfinished_table,
)
from synthaug.structures import Plain

_STYLE = (Path(__file__).parent / "style.css").read_text(encoding="utf-8")
_METHOD = (
    "Runs are sorted into arms by everything that was set on the command line except the seed. An arm's figure is the "
    "mean over seeds; its interval is Student's t at 95 %, which assumes that seeds scatter normally. It says how "
    "much the seed matters (support set, synthetic set and initial weights at once), not how much other test clips or "
    "people would; the interval over test clips of each single run is in the table of runs.",
    "Where results are averaged over folds, a fold takes the place of a seed: its seeds are averaged first, since they "
    "share its test clips, and the interval says how much other people would matter.",
    "Arms are compared with their control over the seeds that both have, each seed's difference being one observation. "
    "One measure is tested, mean class accuracy. p (t) is the paired t test's; p (Holm) is the same after Holm's "
    "correction for all comparisons of the table, and decides the verdict at 5 %; p (signs) is the exact sign-flip "
    "test's, which assumes nothing about the scatter; `least` is the smallest p that this number of seeds can give. "
    "`not resolved` means that a difference may still exist.",
    "Differences by class are not corrected for their number; bold ones have an interval without 0, as one in "
    "twenty has by chance.",
    "Calibration: expected calibration error over 15 bins of confidence (Guo et al. 2017), negative log likelihood in "
    "nats, Brier's score added over classes. The tables hold means over runs, the diagram all runs' clips together. "
    "Learning curves: mean, with lowest and highest run as the band.",
)


def build_page(title: str, found: Results, told: Sequence[Caution]) -> str:
    """The whole page.

    Args:
        title: Title of the sweep.
        found: The results to show.
        told: What cannot be concluded from them.
    """
    sections = {
        "Result": _result(found),
        "What it cannot conclude": _cautions(told),
        "Arms": _table(arms_table(found)) + _note(_ARMS_NOTE.format(found.study.unit)),
        "Differences": _differences(found),
        "Parts of the test": _strata(found),
        "Accuracy against cost": _costs(found),
        "Classes": _classes(found),
        "Confusion": _confusion(found),
        "Calibration": _calibration(found),
        "Learning curves": _curves(found),
        "Provenance and leaks": _provenance(found),
        "Runs": _runs(found),
        "How it was computed": "".join(f'<p class="under">{_mark_code(words)}</p>' for words in _METHOD),
    }
    shown = {name: body for name, body in sections.items() if body}
    links = "".join(f'<a href="#{_anchor(name)}">{name}</a>' for name in shown)
    body = "".join(f'<section id="{_anchor(name)}"><h2>{name}</h2>{body}</section>' for name, body in shown.items())
    meta = '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head>{meta}<title>{_escape(title)}</title><style>{_STYLE}</style></head>\n'
        f"<body><main>{_header(title, found)}"
        f"<nav>{links}</nav>{body}</main></body></html>\n"
    )


_ARMS_NOTE = "Mean over {}s and its 95 % interval; no interval where there is only one, or where all gave the same."


def _header(title: str, found: Results) -> str:
    study = found.study
    shared = " ".join(f"<code>{_escape(name)}={_escape(value)}</code>" for name, value in study.shared.items())
    varied = "; ".join(
        f"{_escape(short_name(name))}: {_escape(', '.join(values))}" for name, values in study.factors.items()
    )
    lines = [f"<p class='faintly'>Varied: {varied}.</p>" if varied else ""]
    lines += [f"<p class='faintly'>In every run: {shared}</p>" if shared else ""]
    missing = len(study.unfinished)
    facts = [(str(len(study.runs)), "runs finished"), (str(missing), "without figures")] if missing else []
    facts = facts or [(str(len(study.runs)), "runs, all finished")]
    facts += [(str(len(study.arms)), "arms"), (_units(found), f"{found.study.unit}s an arm")]
    facts += [(f"{format_percent(found.chance)} %", "chance")] if found.chance is not None else []
    tiles = "".join(f"<div><b>{_escape(value)}</b><span>{words}</span></div>" for value, words in facts)
    return f'<h1>{_escape(title)}</h1>{"".join(lines)}<div class="facts">{tiles}</div>'


def _result(found: Results) -> str:
    if not found.arms:
        return "<p class='lead'>No run gave figures.</p>"
    lines = "".join(f"<p class='lead'>{_sentence(found, one)}</p>" for one in _headlines(found))
    return f"{lines}<figure>{_legend(figures.legend(found.study))}{figures.accuracy_figure(found)}</figure>" + _note(
        f"Large dot: mean over {found.study.unit}s. Bar: its 95 % interval. Small circles: single {found.study.unit}s. "
        "Dashed: guessing."
    )


def _strata(found: Results) -> str:
    parted = strata_table(found)
    if not parted.rows:
        return ""
    return _table(parted) + _note(
        "Parts of the test that the protocol distinguishes, such as views; differences in points."
    )


def _headlines(found: Results) -> list[Comparison]:
    """For each group of arms the largest difference, up to four."""
    best: dict[str, Comparison] = {}
    for one in found.comparisons:
        group = figures.group_label(found.study, one.arm)
        if group not in best or one.paired.difference > best[group].paired.difference:
            best[group] = one
    return list(best.values())[:4]


def _sentence(found: Results, one: Comparison) -> str:
    group = figures.group_label(found.study, one.arm)
    means = {result.arm: result.measures["mean_class_accuracy"].mean for result in found.arms}
    where = f" at {_escape(group)}" if group else ""
    ours, theirs = (_escape(figures.arm_label(found.study, arm)) for arm in (one.arm, one.control))
    verdict = one.verdict if one.verdict == "not resolved" else f"{one.verdict}, after correction"
    return (
        f"Largest difference{where}: <b>{ours}</b> {format_percent(means[one.arm])} %, "
        f"{theirs} {format_percent(means[one.control])} %; "
        f"paired <b>{_minus(format_points(one.paired))}</b> points, "
        f"{one.paired.pairs} {found.study.unit}{'s' if one.paired.pairs > 1 else ''}: {verdict}."
    )


def _cautions(told: Sequence[Caution]) -> str:
    if not told:
        return "<p>Nothing beyond the section How it was computed.</p>"
    items = "".join(
        f'<li class="{"grave" if one.grave else "mild"}"><b>{_escape(one.about)}.</b> {_escape(one.words)}</li>'
        for one in told
    )
    return f'<ul class="cautions">{items}</ul>'


def _differences(found: Results) -> str:
    if not found.comparisons:
        return ""
    chart = f"<figure>{figures.difference_figure(found)}</figure>"
    return (
        chart
        + _table(comparisons_table(found))
        + _note(f"In points, paired over shared {found.study.unit}s; see How it was computed.")
    )


def _costs(found: Results) -> str:
    colours = _legend(figures.cost_legend(found.study))
    return "".join(
        f'<h3>Against {title}</h3><figure class="row">{colours}{"".join(panels)}</figure>'
        for title, panels in figures.cost_figures(found).items()
    )


def _classes(found: Results) -> str:
    body = ""
    deltas = {one.arm: one for one in reversed(found.comparisons)}
    for group, results in figures.group_by(found.arms, lambda one: figures.group_label(found.study, one.arm)):
        names = sorted({name for result in results for name in result.per_class})
        if not names:
            continue
        heads = "".join(f"<th>{_escape(figures.arm_label(found.study, result.arm))}</th>" for result in results)
        rows = "".join(
            f'<tr><td class="words">{_escape(name)}</td>'
            f"{''.join(_class_cell(one, deltas, name) for one in results)}</tr>"
            for name in names
        )
        body += f"<h3>{_escape(group)}</h3>" if group else ""
        top = f'<thead><tr><th class="words">class</th>{heads}</tr></thead>'
        body += f'<div class="wide"><table>{top}<tbody>{rows}</tbody></table></div>'
    return body and body + _note(
        f"Percent of the class's test clips recognised, mean over {found.study.unit}s; beside it the difference "
        "from the control, in points. Bold: its interval, not corrected for the number of classes, has no 0 in it."
    )


def _class_cell(result: ArmResult, deltas: dict, name: str) -> str:
    if name not in result.per_class:
        return "<td>-</td>"
    share = format_percent(result.per_class[name].mean)
    one = deltas.get(result.arm)
    pair = one.per_class.get(name) if isinstance(one, Comparison) else None
    if pair is None:
        return f"<td>{share}</td>"
    tone, depth = ("good" if pair.difference > 0 else "bad"), min(0.45, abs(pair.difference))
    sure = pair.interval is not None and (pair.interval[0] > 0 or pair.interval[1] < 0)
    style = f"--tone:var(--{tone});--depth:{depth:.2f}"
    delta = _minus(f"{100 * pair.difference:+.1f}")
    return f'<td class="delta{" sure" if sure else ""}" style="{style}">{share} <small>{delta}</small></td>'


def _confusion(found: Results) -> str:
    body = ""
    for result in found.arms:
        if result.confusion is None:
            continue
        mistakes = "; ".join(figures.list_confusions(result.confusion, result.classes)) or "none"
        name = _escape(name_arm(found.study, result.arm))
        body += (
            f"<details><summary><b>{name}</b>: {_escape(mistakes)}</summary>"
            f"<figure>{figures.confusion_figure(result.confusion, result.classes)}</figure></details>"
        )
    return body and _note("All runs together, in percent of each true class. Open an arm to see its matrix.") + body


def _calibration(found: Results) -> str:
    panels = figures.reliability_figures(found)
    if not panels:
        return ""
    note = (
        "Lower is better. Below the dashed line scores are too confident. A dot's area is the share of clips with that "
        f"confidence; bins of fewer than {figures.FEW_IN_BIN} clips are not shown."
    )
    plots = f'<figure class="row">{_legend(figures.legend(found.study))}{"".join(panels)}</figure>'
    return _table(calibration_table(found)) + plots + _note(note)


def _curves(found: Results) -> str:
    body = "".join(
        f'<h3>{_escape(group)}</h3><figure class="row">{_legend(figures.legend(found.study))}{"".join(panels)}</figure>'
        for group, panels in figures.curve_figures(found)
    )
    return body and body + _note("Mean over runs; the band goes from the lowest run to the highest.")


def _provenance(found: Results) -> str:
    runs = found.study.runs
    if not runs:
        return ""
    versions = sorted({str(run.metrics.get("version", "not recorded")) for run in runs})
    targets = sorted({f"{part}: {target}" for run in runs for part, target in _find_targets(run.config)})
    body = _table(provenance_table(found))
    body += f"<p class='under'>synthaug version of the runs: {_escape(', '.join(versions))}.</p>"
    body += "<h3>Leaks</h3>" + _leakage(found)
    if targets:
        items = " ".join(f"<code>{_escape(target)}</code>" for target in targets)
        body += f"<h3>What ran</h3><p class='under'>{items}</p>"
    terms: dict[LicenceTerms, None] = {one: None for run in runs for one in select_terms(dict(run.config))}
    if terms:
        rows = tuple((one.name, one.licence, one.share, one.train) for one in terms)
        body += "<h3>Licences</h3>" + _table(
            Table(("source", "licence", "may be shared", "may be trained on"), rows, 4)
        )
        body += _note("A summary of the terms of what the runs used, not legal advice; see docs/licences.md.")
    return body


def _leakage(found: Results) -> str:
    """What the runs' leakage.json say, fact by fact."""
    said = [run.leakage for run in found.study.runs if run.leakage is not None]
    if not said:
        return "<p>No run left a leakage.json: what training and test share was not recorded.</p>"
    # Seeds sample different clips, so counts differ from run to run. Each fact has one row with its values joined.
    facts: dict[str, dict[str, None]] = {}
    for one in said:
        for name, value in _flatten(one):
            facts.setdefault(name, {})[value] = None
    rows = tuple((name, _join_values(list(values))) for name, values in facts.items())
    return _table(Table(("fact", f"as {len(said)} of {len(found.study.runs)} runs left it"), rows, 2))


def _flatten(node: Plain, name: str = "") -> Iterable[tuple[str, str]]:
    """Leaves of a tree, by their path; short lists are one leaf."""
    if isinstance(node, dict) and node:
        for key, value in node.items():
            yield from _flatten(value, f"{name}.{key}" if name else str(key))
    elif isinstance(node, list):
        words = ", ".join(one if isinstance(one, str) else json.dumps(one) for one in node[:8])
        yield name, f"{words} and {len(node) - 8} more" if len(node) > 8 else words or "none"
    else:
        yield name, "none" if node in ({}, None) else str(node)


def _join_values(values: list[str]) -> str:
    """The values of different runs; the first three if there are more."""
    return "; ".join(values[:3]) + (f"; … ({len(values)} different)" if len(values) > 3 else "")


def _runs(found: Results) -> str:
    body = ""
    if found.study.unfinished:
        body += "<h3>Without figures</h3>" + _table(unfinished_table(found))
    if found.study.runs:
        table = _table(runs_table(found))
        body += f"<details><summary>{len(found.study.runs)} runs that finished</summary>{table}</details>"
    return body


def _find_targets(config: dict[str, Plain]) -> Iterable[tuple[str, str]]:
    for part, node in config.items():
        if isinstance(node, dict) and isinstance(node.get("_target_"), str):
            yield part, str(node["_target_"])
        if part == "synth" and isinstance(node, dict):
            yield from ((f"synth/{name}", target) for name, target in _find_targets(node))


def _legend(entries: Sequence[tuple[int, str]]) -> str:
    """Colours and words; none where one colour says nothing."""
    if len(entries) < 2:
        return ""
    items = "".join(
        f'<span><i{" class=dashed" if place >= COLOURS else ""} style="--c:var(--c{place % COLOURS})"></i>'
        f"{_escape(words)}</span>"
        for place, words in entries
    )
    return f'<div class="legend">{items}</div>'


def _table(table: Table) -> str:
    heads = "".join(
        f"<th{_class_attribute(place, table)}>{_escape(name)}</th>" for place, name in enumerate(table.columns)
    )
    rows = "".join(
        f"<tr{' class=group' if number in table.groups else ''}>"
        f"{''.join(_cell(cell, place, table) for place, cell in enumerate(row))}</tr>"
        for number, row in enumerate(table.rows)
    )
    return f'<div class="wide"><table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div>'


def _cell(cell: str, place: int, table: Table) -> str:
    if cell in ("higher", "lower"):
        return f'<td class="{cell}">{cell}</td>'
    kinds = ["words"] * (place < table.words) + ["long"] * (len(cell) > 48)
    attribute = f' class="{" ".join(kinds)}"' if kinds else ""
    if place < table.words:
        return f"<td{attribute}>{_escape(cell)}</td>"
    number, bracket, rest = _escape(_minus(cell)).partition(" [")
    return f"<td{attribute}>{f'{number} <small>[{rest}</small>' if bracket else number}</td>"


def _class_attribute(place: int, table: Table) -> str:
    return ' class="words"' if place < table.words else ""


def _minus(words: str) -> str:
    """A number's hyphen as a minus sign."""
    return re.sub(r"(?<![\w-])-(?=\d)", "−", words)


def _mark_code(words: str) -> str:
    return re.sub(r"`([^`]*)`", r"<code>\1</code>", _escape(words))


def _note(words: str) -> str:
    return f'<p class="under">{_escape(words)}</p>'


def _anchor(name: str) -> str:
    return name.lower().replace(" ", "-")


def _escape(words: str) -> str:
    return html.escape(words, quote=True)


def _units(found: Results) -> str:
    counts = sorted({len(arm.units) for arm in found.study.arms})
    return f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}" if counts else "0"
