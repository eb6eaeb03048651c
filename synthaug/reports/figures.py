"""Plot the results of a study as SVG: accuracies, differences, costs, learning curves, calibration and confusion."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from jaxtyping import Int

from synthaug.reports import svg
from synthaug.reports.cautions import short_name
from synthaug.reports.results import ArmResult, Comparison, Results, by_seed, fact, shared_units
from synthaug.reports.statistics import estimate
from synthaug.reports.studies import Study, StudyArm, parse_number
from synthaug.reports.svg import Axis, Panel, Series
from synthaug.reports.tables import format_percent

CURVES = {
    "val/mean_class_accuracy": "validation: mean class accuracy, %",
    "train/top1_real": "training: filmed clips right, %",
    "train/top1_synthetic": "training: synthetic clips right, %",
    "val/loss": "validation: loss",
    "train/loss": "training: loss",
}
"""Learning curves that are plotted where a run logged them, under the names that `training.module` logs."""
COSTS = {
    "synthetic_clips": "synthetic clips",
    "steps": "optimizer steps",
    "seconds": "seconds of training, composing its clips included",
    "seconds_in_all": "seconds of the whole run",
}
"""What training measures of a run. Workers compose and render during training, so their time is not counted again."""
FEW_IN_BIN = 10
"""A bin with fewer clips is not plotted: its accuracy is mostly chance."""
_MAX_CURVE_POINTS = 160
"""Points plotted of a curve at most; more than there are pixels would only make the page heavy."""
_MAX_NAMED_CLASSES = 40
"""With more classes, names along a confusion matrix would overlap."""


@dataclass(frozen=True)
class ChartRow:
    """A mean with its interval, in a chart of rows.

    Attributes:
        label: Text at its left.
        group: Rows of a group stand together, under its name.
        mean: Position of the large dot.
        interval: Ends of the bar; None for no bar.
        values: Positions of the small dots, one for each seed.
        colour: Number of its colour.
        words: Text at its right.
    """

    label: str
    group: str
    mean: float
    interval: tuple[float, float] | None
    values: tuple[float, ...]
    colour: int
    words: str


def colour_of(study: Study, arm: StudyArm) -> int:
    """An arm's colour: its place among the values of the factor that is compared."""
    if not study.factors:
        return 0
    factor = list(study.factors)[-1]
    return study.factors[factor].index(arm.values[-1])


def legend(study: Study, factor: str | None = None) -> list[tuple[int, str]]:
    """Colours and what they stand for; those of the factor that is compared, if no other is named."""
    if not study.factors:
        return [(0, "all runs")]
    factor = factor or list(study.factors)[-1]
    return [(place, f"{short_name(factor)}={value}") for place, value in enumerate(study.factors[factor])]


def group_label(study: Study, arm: StudyArm) -> str:
    """All of an arm's factors but the one that is compared."""
    values = list(study.values(arm).items())[:-1]
    return ", ".join(f"{short_name(name)}={value}" for name, value in values)


def arm_label(study: Study, arm: StudyArm) -> str:
    """An arm's value of the factor that is compared; a number comes with the factor's name."""
    if not study.factors:
        return "all runs"
    value = arm.values[-1]
    return value if parse_number(value) is None else f"{short_name(list(study.factors)[-1])}={value}"


def accuracy_figure(found: Results) -> str:
    """Mean class accuracy of every arm, its seeds or folds, its interval, and chance."""
    rows = []
    for result in found.arms:
        known = result.measures["mean_class_accuracy"]
        label = arm_label(found.study, result.arm)
        ends = (
            ""
            if known.interval is None
            else f" [{format_percent(known.interval[0])}, {format_percent(known.interval[1])}]"
        )
        rows.append(
            ChartRow(
                label,
                group_label(found.study, result.arm),
                known.mean,
                known.interval,
                tuple(known.values.values()),
                colour_of(found.study, result.arm),
                format_percent(known.mean) + ends,
            )  # fmt: skip
        )
    return rows_chart(rows, title="mean class accuracy (%)", level=found.chance, about="Mean class accuracy by arm")


def difference_figure(found: Results) -> str:
    """The difference of mean class accuracy of every comparison, with its interval and a line at no difference."""
    rows = []
    for one in found.comparisons:
        pair = one.paired
        ends = "" if pair.interval is None else " [{:+.1f}, {:+.1f}]".format(*(100 * end for end in pair.interval))
        rows.append(
            ChartRow(
                f"{arm_label(found.study, one.arm)} − {one.control.values[-1]}",
                group_label(found.study, one.arm),
                pair.difference,
                pair.interval,
                _differences(one),
                colour_of(found.study, one.arm),
                f"{100 * pair.difference:+.1f}{ends}",
            )  # fmt: skip
        )
    return rows_chart(
        rows, title="difference in mean class accuracy (points)", zero=True, about="Differences from the control"
    )


def rows_chart(
    rows: Sequence[ChartRow], *, title: str, about: str, level: float | None = None, zero: bool = False
) -> str:
    """Rows of means with intervals over one axis, in groups."""
    every = [value for row in rows for value in (row.mean, *(row.interval or ()), *row.values)]
    axis = svg.enclosing_axis([*every, *([] if level is None else [level])], title=title, percent=True, zero=True)
    if not zero:
        axis = Axis(0.0, min(1.0, axis.high), title, percent=True)
    left, wide, right, high = 180.0, 640.0, 166.0, 24.0
    body, y, group = [], 14.0, ""
    for row in rows:
        if row.group != group:
            group = row.group
            y += 8 if y > 14 else 0
            body.append(svg.text(svg.shorten(group, 60), x=0, y=y + 12, kind="title"))
            y += 20
        body += _row(row, y + high / 2, axis, left, wide)
        y += high
    frame = _frame(axis, left, wide, y)
    for mark, words in ((level, "chance"), (0.0 if zero else None, "no difference")):
        if mark is not None:
            x = left + wide * axis.place(mark)
            frame += [svg.line(x, 12, x, y, "level"), svg.text(words, x=x, y=9, kind="faint", anchor="middle")]
    return svg.figure([*frame, *body], width=left + wide + right, height=y + 42, about=about)


def _row(row: ChartRow, y: float, axis: Axis, left: float, wide: float) -> list[str]:
    def x(value: float) -> float:
        return left + wide * axis.place(value)

    marks = [f'<circle class="seed" cx="{x(value):.1f}" cy="{y:.1f}" r="2.6"/>' for value in row.values]
    if row.interval is not None:
        marks.append(svg.line(x(row.interval[0]), y, x(row.interval[1]), y, "bar"))
    marks.append(f'<circle class="dot" cx="{x(row.mean):.1f}" cy="{y:.1f}" r="5"/>')
    label = svg.text(svg.shorten(row.label, 28), x=left - 12, y=y + 4, anchor="end")
    return [label, svg.colour_group(marks, row.colour), svg.text(row.words, x=left + wide + 14, y=y + 4, kind="value")]


def _frame(axis: Axis, left: float, wide: float, bottom: float) -> list[str]:
    body = []
    for value in axis.ticks(6):
        x = left + wide * axis.place(value)
        body += [svg.line(x, 14, x, bottom, "grid"), svg.text(axis.label(value), x=x, y=bottom + 16, anchor="middle")]
    return [*body, svg.text(axis.title, x=left + wide / 2, y=bottom + 35, kind="name", anchor="middle")]


def cost_figures(found: Results) -> dict[str, list[str]]:
    """Accuracy against each cost that varies; one plot for each group of arms."""
    figures = {}
    for name, title in COSTS.items():
        costs = {result.arm: by_seed(result.arm, partial(fact, name=name)) for result in found.arms}
        known = {arm: estimate(values).mean for arm, values in costs.items() if values}
        if len(set(known.values())) > 1:
            figures[title] = _cost_panels(found, known, title)
    return figures


def cost_legend(study: Study) -> list[tuple[int, str]]:
    """Colours of the plots against costs, by the factor that distinguishes the lines of a plot."""
    return legend(study, _lines(study))


def _cost_panels(found: Results, costs: dict[StudyArm, float], title: str) -> list[str]:
    chosen = [result for result in found.arms if result.arm in costs]
    x, y = _cost_axis(list(costs.values()), title), _accuracy_axis(found)
    apart = _lines(found.study)
    panels = []
    for group, results in group_by(chosen, lambda one: _key(found.study, one.arm)[0]):
        series = []
        for value, members in group_by(results, lambda one: _key(found.study, one.arm)[1]):
            ordered = sorted(members, key=lambda one: costs[one.arm])
            known = [(costs[one.arm], one.measures["mean_class_accuracy"]) for one in ordered]
            bars = [(cost, *value.interval) for cost, value in known if value.interval is not None]
            colour = found.study.factors[apart].index(value) if apart else 0
            series.append(Series([(cost, value.mean) for cost, value in known], colour, bars))
        panels.append(svg.panel(Panel(x, y, series, group, found.chance)))
    return panels


def _key(study: Study, arm: StudyArm) -> tuple[str, str]:
    """The plot and the line that an arm belongs to: arms on a line differ only in the amount."""
    apart, amount, values = _lines(study), _amount(study), study.values(arm)
    words = [f"{short_name(name)}={value}" for name, value in values.items() if name not in (apart, amount)]
    return ", ".join(words), values[apart] if apart else ""


def _lines(study: Study) -> str | None:
    """The factor that distinguishes the lines of one plot; None where there is only one line."""
    names = [name for name in study.factors if name != _amount(study)]
    return names[-1] if names else None


def _amount(study: Study) -> str | None:
    """The factor along which lines run: how much is synthesized. None if there is no such factor, or several."""
    numeric = [
        name for name, values in study.factors.items() if all(parse_number(value) is not None for value in values)
    ]
    synthetic = [name for name in numeric if name.startswith("synth.")]
    return synthetic[-1] if len(synthetic) == 1 else None


def _cost_axis(values: Sequence[float], title: str) -> Axis:
    if min(values) > 0 and max(values) / min(values) > 20:
        return Axis(min(values) / 1.3, max(values) * 1.3, title, log=True)
    axis = svg.enclosing_axis(values, title=title, zero=True)
    return Axis(axis.low, axis.high * 1.12, title)


def _accuracy_axis(found: Results) -> Axis:
    known = [result.measures["mean_class_accuracy"] for result in found.arms]
    highest = max(value for one in known for value in (one.mean, *(one.interval or ())))
    axis = svg.enclosing_axis([highest], title="mean class accuracy (%)", percent=True, zero=True)
    return Axis(0.0, min(1.0, axis.high), axis.title, percent=True)


def curve_figures(found: Results) -> list[tuple[str, list[str]]]:
    """Learning curves: one row of plots for each group of arms, one plot for each curve."""
    present = {name for result in found.arms for name in result.curves}
    figures = []
    for group, results in group_by(found.arms, lambda one: group_label(found.study, one.arm)):
        panels = []
        for name, title in CURVES.items():
            having = [one for one in results if one.curves.get(name)]
            if name in present and having:
                panels.append(_curve_panel(found, having, name, title))
        figures.append((group, panels))
    return [(group, panels) for group, panels in figures if panels]


def _curve_panel(found: Results, results: Sequence[ArmResult], name: str, title: str) -> str:
    shares = "loss" not in name
    series = []
    for one in results:
        curve = thin_curve(one.curves[name])
        band = [(float(step), low, high) for step, (_, low, high) in curve.items()]
        points = [(float(step), mean) for step, (mean, _, _) in curve.items()]
        radius = 2.5 if len(points) <= 12 else 0.0
        series.append(Series(points, colour_of(found.study, one.arm), band=band, radius=radius))
    steps = [step for one in series for step, _ in one.points]
    heights = [height for one in series for _, *ends in one.band for height in ends]
    x = Axis(0.0, max(svg.enclosing_axis(steps, zero=True).high, 1.0), "optimizer steps")
    enclosed = svg.enclosing_axis(heights, percent=shares, zero=True)
    y = Axis(0.0, min(1.0, enclosed.high) if shares else enclosed.high, percent=shares)
    level = found.chance if name.startswith("val/mean") else None
    return svg.panel(Panel(x, y, series, title, level, width=318, height=216))


def thin_curve(curve: dict[int, tuple[float, float, float]]) -> dict[int, tuple[float, float, float]]:
    """At most 160 steps of a curve, evenly spaced, with its first and its last."""
    steps = sorted(curve)
    chosen = np.unique(np.linspace(0, len(steps) - 1, min(len(steps), _MAX_CURVE_POINTS)).round().astype(int))
    return {steps[int(place)]: curve[steps[int(place)]] for place in chosen}


def reliability_figures(found: Results) -> list[str]:
    """Accuracy over confidence, a plot for each group of arms; a dot's area is its bin's share of clips."""
    x, y = Axis(0.0, 1.0, "confidence (%)", percent=True), Axis(0.0, 1.0, "accuracy (%)", percent=True)
    panels = []
    for group, results in group_by(found.arms, lambda one: group_label(found.study, one.arm)):
        series = []
        for one in results:
            if one.calibration is None:
                continue
            bins, colour = one.calibration, colour_of(found.study, one.arm)
            filled = np.flatnonzero(bins.clips >= FEW_IN_BIN)
            spots = [(float(bins.confidence[k] / bins.clips[k]), float(bins.right[k] / bins.clips[k])) for k in filled]
            series.append(Series(spots, colour, radius=0.0))
            for spot, k in zip(spots, filled, strict=True):
                share = float(bins.clips[k] / bins.clips.sum())
                series.append(Series([spot], colour, line=False, radius=1.5 + 9 * share**0.5))
        if series:
            panels.append(svg.panel(Panel(x, y, series, group, diagonal=True, width=486, height=440)))
    return panels


def confusion_figure(confusion: Int[np.ndarray, "class class_predicted"], classes: Sequence[str]) -> str:
    """A matrix of shares of each class's clips, darker for more; the diagonal is what was recognised.

    Shares below half a percent are left white. Cells of one shade are one path, so that 120 classes stay light.
    """
    count = len(confusion)
    shares = confusion / np.maximum(confusion.sum(1, keepdims=True), 1)
    names = [svg.shorten(name, 18) for name in classes] if count <= _MAX_NAMED_CLASSES else []
    cell = 24 if count <= 24 else max(4, 560 // count)
    left, top, side = 136 if names else 24, 136 if names else 24, cell * count
    shades = np.ceil(shares * 12).astype(int) * (shares >= 0.005)
    body = [f'<rect x="{left}" y="{top}" width="{side}" height="{side}" class="sheet"/>']
    for shade in range(1, 13):
        cells = "".join(
            f"M{left + cell * c} {top + cell * r}h{cell}v{cell}h-{cell}z" for r, c in np.argwhere(shades == shade)
        )
        body += [f'<path class="cell" style="fill-opacity:{shade / 12:.2f}" d="{cells}"/>'] if cells else []
    if count <= 24:
        for r, c in np.argwhere(shades > 0):
            kind = "cellwords strong" if shades[r, c] > 7 else "cellwords"
            words, x, y = f"{100 * shares[r, c]:.0f}", left + cell * (c + 0.5), top + cell * (r + 0.5) + 3.5
            body.append(svg.text(words, x=x, y=y, kind=kind, anchor="middle"))
    for place, name in enumerate(names):
        middle = cell * (place + 0.5) + 4
        body.append(svg.text(name, x=left - 7, y=top + middle, anchor="end"))
        body.append(svg.text(name, x=left + middle, y=top - 7, turned=True))
    body.append(svg.text("true class ↓, taken for →", x=0, y=11, kind="name"))
    return svg.figure(body, width=left + side + 6, height=top + side + 6, about="Confusion matrix in percent of rows")


def list_confusions(confusion: Int[np.ndarray, "class class_predicted"], classes: Sequence[str]) -> list[str]:
    """The five most frequent mistakes, as text."""
    shares = confusion / np.maximum(confusion.sum(1, keepdims=True), 1)
    np.fill_diagonal(shares, 0.0)
    order = np.argsort(-shares, axis=None, kind="stable")[:5]
    pairs = [divmod(int(place), len(confusion)) for place in order]
    return [f"{classes[r]} taken for {classes[c]} ({100 * shares[r, c]:.0f} %)" for r, c in pairs if shares[r, c] > 0]


def group_by(items: Iterable[ArmResult], key: Callable[[ArmResult], str]) -> list[tuple[str, list[ArmResult]]]:
    """Items by key, in the order in which keys first occur."""
    found: dict[str, list[ArmResult]] = {}
    for item in items:
        found.setdefault(key(item), []).append(item)
    return list(found.items())


def _differences(one: Comparison) -> tuple[float, ...]:
    ours, theirs = shared_units(one.arm, one.control, partial(fact, name="mean_class_accuracy"))
    return tuple(ours[unit] - theirs[unit] for unit in ours)
