"""Put the results of a study into tables of words, and write them as Markdown, LaTeX and CSV.

HTML and the terminal show the same cells.
"""

import csv
import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from synthaug.reports.cautions import Caution, name_arm, short_name
from synthaug.reports.reading import Run
from synthaug.reports.results import CALIBRATIONS, SHARES, ArmResult, Comparison, Results, measure
from synthaug.reports.statistics import Estimate, PairedDifference
from synthaug.reports.studies import Study

TITLES = {
    "mean_class_accuracy": "mean class accuracy", "top1": "top-1", "top5": "top-5", "ece": "ECE", "nll": "NLL",
    "brier": "Brier",
}  # fmt: skip
_SHOWN_ELSEWHERE = {
    "per_class",
    "interval",
    "overrides",
    "notes",
    "classes",
    "checkpoint",
    "seed",
    "chance",
    "version",
    *SHARES,
}
"""Facts of metrics.json that are shown in another table."""
_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}",
}  # fmt: skip


@dataclass(frozen=True)
class Table:
    """Words in rows and columns.

    Attributes:
        columns: Heads of the columns.
        rows: The rows, with one cell for each column.
        words: How many columns from the left hold words, the others holding numbers.
        groups: Numbers of the rows with which a new group begins.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    words: int = 1
    groups: tuple[int, ...] = ()


def arms_table(found: Results) -> Table:
    """Every arm's accuracies, with their intervals over seeds or folds, and the steps if each run chose its own."""
    table = _measures_table(found, SHARES)
    if not any(run.metrics.get("convergence") for run in found.study.runs):
        return table
    steps = [_range(result.arm.every_run, "steps") for result in found.arms]
    rows = tuple((*row, cell) for row, cell in zip(table.rows, steps, strict=True))
    return Table((*table.columns, "steps"), rows, table.words, table.groups)


def calibration_table(found: Results) -> Table:
    """Every arm's calibration, with their intervals; without rows if no run left scores."""
    return _measures_table(found, CALIBRATIONS)


def _measures_table(found: Results, names: Sequence[str]) -> Table:
    study = found.study
    having = [name for name in names if any(name in result.measures for result in found.arms)]
    heads = [f"{TITLES[name]}{'' if name in ('nll', 'brier') else ' (%)'}" for name in having]
    rows = [
        (
            *_label(study, result),
            str(len(result.arm.units)),
            *(_cell(result.measures.get(name), name) for name in having),
        )
        for result in found.arms
        if having
    ]
    return Table((*_factors(study), f"{study.unit}s", *heads), tuple(rows), max(1, len(study.factors)), groups(study))


def summary_table(found: Results) -> Table:
    """A table that fits a terminal: each arm's accuracy, and its difference from its first control."""
    study = found.study
    first = {one.arm: one for one in reversed(found.comparisons)}
    rows = []
    for result in found.arms:
        one = first.get(result.arm)
        against = "" if one is None else f"{format_points(one.paired)} {one.verdict}"
        accuracy = _cell(result.measures["mean_class_accuracy"], "mean_class_accuracy")
        rows.append((*_label(study, result), str(len(result.arm.units)), accuracy, against))
    heads = (*_factors(study), f"{study.unit}s", "mean class accuracy (%)", "against the control")
    return Table(heads, tuple(rows), max(1, len(study.factors)), groups(study))


def comparisons_table(found: Results) -> Table:
    """Every comparison with what its tests say; differences in points."""
    study = found.study
    rows = []
    for one in found.comparisons:
        pair = one.paired
        ps = tuple(map(format_p, (pair.p_student, one.p_holm, pair.p_signs, pair.least_p)))
        against = name_control(study, one)
        counts = (str(pair.pairs), format_points(pair))
        rows.append((*one.arm.values, against, *counts, *ps, one.verdict, format_points(one.top1)))
    tests = ("p (t)", "p (Holm)", "p (signs)", "least", "verdict")
    heads = ("against", f"{study.unit}s", "mean class accuracy", *tests, "top-1")
    compared = [one.arm.values[:-1] for one in found.comparisons]
    begins = tuple(place for place in range(1, len(compared)) if compared[place] != compared[place - 1])
    return Table((*_factors(study), *heads), tuple(rows), len(study.factors) + 1, begins)


def strata_table(found: Results) -> Table:
    """Mean class accuracy on each part of the test that the protocol separates, and the difference from the control.

    Without rows if no run distinguishes any.
    """
    names = list(dict.fromkeys(name for result in found.arms for name in result.strata))
    first = {one.arm: one for one in reversed(found.comparisons)}
    rows = []
    for result in found.arms if names else ():
        cells = []
        for name in names:
            value = result.strata.get(name)
            pair = first[result.arm].strata.get(name) if result.arm in first else None
            cells.append("-" if value is None else format_estimate(value, scale=100.0, digits=1))
            cells.append("" if pair is None else format_points(pair))
        rows.append((*_label(found.study, result), str(len(result.arm.units)), *cells))
    heads = [head for name in names for head in (f"{name} (%)", f"{name}, against the control")]
    study = found.study
    return Table((*_factors(study), f"{study.unit}s", *heads), tuple(rows), max(1, len(study.factors)), groups(study))


def name_control(study: Study, one: Comparison) -> str:
    """A control by the values that differ from the arm's; only the value if just the compared factor differs."""
    ours, theirs = study.values(one.arm), study.values(one.control)
    unlike = [name for name in study.factors if ours[name] != theirs[name]]
    if unlike == list(study.factors)[-1:]:
        return theirs[unlike[0]]
    return ", ".join(f"{short_name(name)}={theirs[name]}" for name in unlike)


def provenance_table(found: Results) -> Table:
    """Every plain fact that the runs of each arm recorded, from its lowest to its highest value."""
    names = {name: None for run in found.study.runs for name, value in run.metrics.items() if _plain(name, value)}
    order = ("filmed_clips", "synthetic_clips", "synthetic_share", "filmed_exposure", "steps", "seconds")
    chosen = [name for name in order if name in names] + sorted(name for name in names if name not in order)
    rows = [
        (*_label(found.study, result), *(_range(result.arm.every_run, name) for name in chosen))
        for result in found.arms
    ]
    heads = (*_factors(found.study), *(name.replace("_", " ") for name in chosen))
    return Table(heads, tuple(rows), max(1, len(found.study.factors)), groups(found.study))


def runs_table(found: Results) -> Table:
    """Every run that finished, with its interval over test clips."""
    study = found.study
    rows = []
    for result in found.arms:
        for seed, runs in result.arm.runs.items():
            for run in runs:
                accuracy, top1 = (
                    format_percent(float(str(run.metrics[name]))) for name in ("mean_class_accuracy", "top1")
                )
                remarks = " ".join(run.remarks)
                interval = _stated_interval(run)
                rows.append((*_label(study, result), " ".join(seed), run.place, remarks, accuracy, interval, top1))
    heads = (*_factors(study), "seed", "run", "remarks", "mean class accuracy (%)", "95 % over clips", "top-1 (%)")
    return Table(heads, tuple(rows), len(heads) - 3)


def unfinished_table(found: Results) -> Table:
    """Every run without figures, with its reason."""
    return Table(("run", "state", "reason"), tuple((u.place, u.state, u.reason) for u in found.study.unfinished), 3)


def format_percent(share: float) -> str:
    """A share in percent, to a tenth."""
    return f"{100 * share:.1f}"


def format_points(pair: PairedDifference) -> str:
    """A difference of shares in points, with its interval."""
    low_high = "" if pair.interval is None else " [{:+.1f}, {:+.1f}]".format(*(100 * end for end in pair.interval))
    return f"{100 * pair.difference:+.1f}{low_high}"


def format_p(p: float | None) -> str:
    """A p value to a thousandth; `-` where there is none."""
    if p is None:
        return "-"
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def format_estimate(value: Estimate, *, scale: float, digits: int) -> str:
    """A mean with its interval."""
    ends = value.interval
    low_high = "" if ends is None else f" [{scale * ends[0]:.{digits}f}, {scale * ends[1]:.{digits}f}]"
    return f"{scale * value.mean:.{digits}f}{low_high}"


def groups(study: Study) -> tuple[int, ...]:
    """Numbers of the arms at which the value of any factor but the last changes."""
    if len(study.factors) < 2:
        return ()
    heads = [arm.values[:-1] for arm in study.arms]
    return tuple(place for place in range(1, len(heads)) if heads[place] != heads[place - 1])


def markdown(title: str, found: Results, told: Sequence[Caution]) -> str:
    """The report's tables as Markdown."""
    header = [f"# {_one_line(title)}", "", *(f"`{name}={value}`" for name, value in found.study.shared.items()), ""]
    parts = [*header, *_markdown_table(arms_table(found)), "", *_markdown_chance(found), ""]
    if found.comparisons:
        parts += ["## Differences, in points", "", *_markdown_table(comparisons_table(found)), ""]
    if (parted := strata_table(found)).rows:
        parts += ["## Parts of the test", "", *_markdown_table(parted), ""]
    if (calibrated := calibration_table(found)).rows:
        parts += ["## Calibration", "", *_markdown_table(calibrated), ""]
    parts += [
        "## What it cannot conclude",
        "",
        *(f"- **{one.about}.** {_escape_markdown(one.words)}" for one in told),
        "",
    ]
    if found.study.unfinished:
        parts += ["## Runs without figures", "", *_markdown_table(unfinished_table(found)), ""]
    return "\n".join(parts)


def latex(found: Results) -> str:
    """The tables of arms and of differences, for a document with the packages booktabs and graphicx loaded."""
    chance = "" if found.chance is None else f" Chance is {format_percent(found.chance)}\\,\\%."
    caption = f"Mean over {found.study.unit}s, with the 95\\,\\% interval by Student's $t$.{chance}"
    parts = [_latex_table(arms_table(found), caption, "tab:arms")]
    if found.comparisons:
        caption = (
            f"Paired differences over shared {found.study.unit}s, in points, with 95\\,\\% intervals; $p$ of the "
            "paired $t$ test, the same after Holm's correction, and of the exact sign-flip test."
        )
        parts.append(_latex_table(comparisons_table(found), caption, "tab:differences"))
    if (parted := strata_table(found)).rows:
        caption = "Mean class accuracy on each part of the test, and its paired difference from the control, in points."
        parts.append(_latex_table(parted, caption, "tab:strata"))
    return "\n".join(parts)


def runs_csv(found: Results) -> str:
    """One row for each run, with unrounded figures; runs without figures are listed too, with the reason."""
    study = found.study
    every = sorted({name for run in study.runs for name, value in run.metrics.items() if _plain(name, value)})
    factors = list(study.factors)
    heads = ["run", "state", "reason", *factors, "seed", *TITLES, *every, "overrides"]
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, heads, restval="", lineterminator="\n")
    writer.writeheader()
    for arm in study.arms:
        for seed, runs in arm.runs.items():
            for run in runs:
                known = {name: value for name in TITLES if (value := measure(run, name)) is not None}
                facts = {name: _fact(run, name) for name in every}
                words = json.dumps(run.metrics.get("overrides") or [])
                row = {"run": run.place, "state": "finished", "seed": " ".join(seed), "overrides": words}
                writer.writerow({**row, **study.values(arm), **facts, **known})
    for one in study.unfinished:
        writer.writerow({"run": one.place, "state": one.state, "reason": one.reason})
    return buffer.getvalue()


def _fact(run: Run, name: str) -> str:
    value = run.metrics.get(name)
    return "" if value is None else str(value)


def _plain(name: str, value: object) -> bool:
    return name not in _SHOWN_ELSEWHERE and isinstance(value, str | int | float | bool)


def _factors(study: Study) -> tuple[str, ...]:
    return tuple(map(short_name, study.factors)) or ("arm",)


def _label(study: Study, result: ArmResult) -> tuple[str, ...]:
    return result.arm.values or (name_arm(study, result.arm),)


def _cell(value: Estimate | None, name: str) -> str:
    if value is None:
        return "-"
    return (
        format_estimate(value, scale=100.0, digits=1)
        if name not in CALIBRATIONS[1:]
        else format_estimate(value, scale=1.0, digits=3)
    )


def _stated_interval(run: Run) -> str:
    ends = run.metrics.get("interval")
    if not isinstance(ends, list) or not all(isinstance(end, int | float) for end in ends):
        return "-"
    return f"[{', '.join(format_percent(float(end)) for end in ends)}]"


def _range(runs: Sequence[Run], name: str) -> str:
    """A fact's values over runs: one, the lowest and the highest, or all words."""
    values = [run.metrics[name] for run in runs if isinstance(run.metrics.get(name), str | int | float)]
    numbers = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    if len(numbers) < len(values) or not numbers:
        return ", ".join(sorted({str(value) for value in values})) or "-"
    low, high = f"{min(numbers):,.6g}", f"{max(numbers):,.6g}"
    return low if low == high else f"{low} to {high}"


def _markdown_table(table: Table) -> list[str]:
    rules = ["---" if place < table.words else "---:" for place in range(len(table.columns))]
    lines = [table.columns, tuple(rules), *(tuple(map(_escape_markdown, row)) for row in table.rows)]
    return [f"| {' | '.join(line)} |" for line in lines]


def _markdown_chance(found: Results) -> Iterable[str]:
    yield f"Mean over {found.study.unit}s and its 95 % interval by Student's t."
    if found.chance is not None:
        yield f"Chance: {format_percent(found.chance)} % mean class accuracy."


def _escape_markdown(words: str) -> str:
    """Words with everything escaped that Markdown, or HTML within it, would interpret."""
    for letter in "\\|<>*`[]":
        words = words.replace(letter, f"\\{letter}") if letter not in "[]" else words
    return _one_line(words)


def _one_line(words: str) -> str:
    return " ".join(words.split())


def escape_latex(words: str) -> str:
    """Words with everything escaped that LaTeX would interpret."""
    return "".join(_LATEX.get(letter, letter) for letter in _one_line(words))


def _latex_table(table: Table, caption: str, label: str) -> str:
    kinds = "l" * table.words + "r" * (len(table.columns) - table.words)
    lines = [
        r"\begin{table}", r"  \centering", rf"  \caption{{{caption}}}", rf"  \label{{{label}}}",
        r"  \resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%", rf"  \begin{{tabular}}{{{kinds}}}",
        r"    \toprule", f"    {_latex_row(table.columns)}", r"    \midrule",
    ]  # fmt: skip
    for place, row in enumerate(table.rows):
        lines += [r"    \addlinespace"] if place in table.groups else []
        lines.append(f"    {_latex_row(row)}")
    return "\n".join([*lines, r"    \bottomrule", r"  \end{tabular}}", r"\end{table}", ""])


def _latex_row(cells: Sequence[str]) -> str:
    # LaTeX would read a bracket at the start of a row as the argument of the line break before it.
    return " & ".join(f"{{}}{escape_latex(cell)}" if cell[:1] == "[" else escape_latex(cell) for cell in cells) + r" \\"
