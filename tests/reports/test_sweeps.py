import csv
import dataclasses
import io
import json
import os
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import yaml
from fabricated import CLASSES, run_files, sweep, write
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from omegaconf import OmegaConf

from synthaug.cli.main import main
from synthaug.reports.cautions import find_cautions
from synthaug.reports.figures import COSTS, cost_figures, list_confusions
from synthaug.reports.pages import build_page
from synthaug.reports.reading import read_sweep
from synthaug.reports.results import compute_results
from synthaug.reports.studies import arrange_runs
from synthaug.reports.sweeps import find_present, print_sweep, study_results, write_report
from synthaug.reports.tables import (
    arms_table,
    comparisons_table,
    escape_latex,
    format_percent,
    latex,
    markdown,
    runs_csv,
)
from synthaug.training.loops import FitResult

ROOT = Path(__file__).resolve().parents[2]


def arms(found):
    return {arm.values: list(arm.runs) for arm in found.study.arms}


def abouts(folder, **options):
    return {caution.about for caution in find_cautions(study_results(folder, **options))}


def texts(found):
    told = find_cautions(found)
    return markdown("a sweep", found, told), latex(found), build_page("a sweep", found, told), runs_csv(found)


class Parsed(HTMLParser):
    """Elements, checked to close in order, with the words of table cells."""

    VOID = {"meta", "line", "circle", "rect", "path", "br"}

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.rows, self.anchors, self.ids = [], [], [], [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.ids += [value for name, value in attrs if name == "id"]
        self.anchors += [value for name, value in attrs if name == "href"]
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "td" in self.open or "th" in self.open:
            self.rows[-1][-1] += data.replace("−", "-")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return sweep(tmp_path_factory.mktemp("sweep"))


@pytest.fixture(scope="module")
def found(made):
    return study_results(made)


def test_arms_differ_in_everything_but_the_seed(found):
    assert found.study.shared == {"experiment": "made_up"}
    assert found.study.factors == {"protocol.n_shot": ("1", "5"), "arm": ("none", "classic", "full")}
    assert set(arms(found)) == {(shot, arm) for shot in "15" for arm in ("none", "classic", "full")}
    assert all(len(seeds) == 6 for seeds in arms(found).values())


def test_which_run_lies_in_which_folder_does_not_matter(tmp_path, found):
    shuffled = study_results(sweep(tmp_path, order=np.random.default_rng(1)))
    told = find_cautions(found)
    assert markdown("s", shuffled, find_cautions(shuffled)) == markdown("s", found, told) and latex(shuffled) == latex(
        found
    )


def test_the_order_of_reading_does_not_matter(made, found):
    read = read_sweep(made)
    backwards = dataclasses.replace(read, runs=read.runs[::-1], unfinished=read.unfinished[::-1])
    assert texts(compute_results(arrange_runs(backwards))) == texts(found)


BROKEN = {
    "failed": {"failure.txt": "Out of memory.", "config.yaml": "seed: 9"},
    "unfinished": {"config.yaml": "seed: 9"},
    "unreadable": {"metrics.json": '{"mean_class_acc'},
    "no figures": {"metrics.json": "[1]"},
    "not a number": {"metrics.json": '{"mean_class_accuracy": NaN, "top1": 0.5}'},
}


@pytest.mark.parametrize("files", BROKEN.values(), ids=BROKEN)
def test_a_run_without_figures_changes_no_number_and_is_listed(tmp_path, files):
    sweep(tmp_path, arms=("none", "full"), shots=(1,), seeds=3)
    before = study_results(tmp_path)
    write(tmp_path / "broken", files)
    after = study_results(tmp_path)
    assert arms_table(after) == arms_table(before) and comparisons_table(after) == comparisons_table(before)
    assert [one.place for one in after.study.unfinished] == ["broken"] and "Runs missing" in abouts(tmp_path)
    assert all("broken" in text for text in (build_page("s", after, ()), markdown("s", after, ()), runs_csv(after)))


@pytest.mark.parametrize(("later", "state"), [(1, "failed"), (0, "failed"), (-1, None)])
def test_figures_of_an_attempt_before_the_one_that_failed_are_none(tmp_path, later, state):
    write(tmp_path / "0", run_files("none", 1, 0))
    write(tmp_path / "1", {**run_files("none", 1, 1), "failure.txt": "Out of memory."})
    second = 1_000_000_000
    os.utime(tmp_path / "1" / "metrics.json", ns=(5 * second, 5 * second))
    os.utime(tmp_path / "1" / "failure.txt", ns=((5 + later) * second, (5 + later) * second))
    study = study_results(tmp_path).study
    assert [(one.place, one.state) for one in study.unfinished] == ([("1", state)] if state else [])
    if state:
        assert "Out of memory." in study.unfinished[0].reason and "Runs missing" in abouts(tmp_path)
    else:
        assert "earlier attempt" in " ".join(study.runs[1].remarks)


def test_damaged_files_beside_the_figures_are_said_and_cost_no_figure(tmp_path):
    sweep(tmp_path, arms=("none", "full"), shots=(1,), seeds=3)
    before = arms_table(study_results(tmp_path))
    write(tmp_path / "0", {"config.yaml": "{", "leakage.json": "[", "logs/metrics.csv": "\0step,\n1,2"})
    after = study_results(tmp_path)
    assert arms_table(after) == before
    (run,) = [run for run in after.study.runs if run.place == "0"]
    assert "config.yaml cannot be read" in " ".join(run.remarks) and run.leakage is None
    write(tmp_path / "0", {"predictions.json": '[{"key": 1}]'})
    (run,) = [run for run in study_results(tmp_path).study.runs if run.place == "0"]
    assert run.graded is None and "predictions.json" in " ".join(run.remarks)


def test_an_evaluation_within_a_run_is_no_run_of_its_own(tmp_path):
    sweep(tmp_path, arms=("none", "full"), shots=(1,), seeds=2)
    before = texts(study_results(tmp_path))
    write(tmp_path / "0" / "evaluation", run_files("none", 1, 7))
    write(tmp_path / ".hidden", run_files("none", 1, 8))
    assert texts(study_results(tmp_path)) == before


def test_a_seed_of_one_arm_alone_enters_its_mean_and_no_comparison(tmp_path):
    sweep(tmp_path, arms=("none", "full"), shots=(1,), seeds=6)
    before = comparisons_table(study_results(tmp_path))
    write(tmp_path / "more", run_files("full", 1, 9))
    after = study_results(tmp_path)
    assert comparisons_table(after) == before and len(arms(after)[("full",)]) == 7
    assert "Different seeds" in abouts(tmp_path)


def test_a_run_that_went_on_where_it_stopped_is_the_same_run(tmp_path):
    folder = sweep(tmp_path, shots=(1,), seeds=2)
    for metrics in sorted(folder.glob("*/metrics.json"))[::2]:
        facts = json.loads(metrics.read_text())
        metrics.write_text(json.dumps({**facts, "overrides": [*facts["overrides"], "ckpt_path=auto"]}))
        config = metrics.with_name("config.yaml")
        config.write_text(f"{config.read_text()}ckpt_path: auto\n")
    for config in sorted(folder.glob("*/config.yaml"))[1::2]:
        config.write_text(f"{config.read_text()}ckpt_path: null\n")
    assert set(study_results(folder).study.factors) == {"arm"}


def test_a_seed_run_twice_counts_once(tmp_path):
    sweep(tmp_path, arms=("none", "full"), shots=(1,), seeds=3)
    before = arms_table(study_results(tmp_path))
    write(tmp_path / "again", run_files("full", 1, 0))
    assert arms_table(study_results(tmp_path)) == before and "Seeds run twice" in abouts(tmp_path)


def test_what_one_run_overrides_is_looked_up_in_the_others_configuration(tmp_path):
    for place, words in enumerate(([], ["synth.per_class=200"], ["synth.per_class=50"])):
        write(tmp_path / str(place), run_files("none", 1, place, overrides=[*words, f"seed={place}"]))
    found = study_results(tmp_path)
    assert {values: len(seeds) for values, seeds in arms(found).items()} == {("50",): 1, ("200",): 2}


def test_folds_can_be_averaged_over_like_seeds(tmp_path):
    for place, (arm, fold) in enumerate((arm, fold) for arm in ("none", "full") for fold in "ab"):
        words = [f"arm={arm}", f"protocol.test_subjects=[{fold}]"]
        write(tmp_path / str(place), run_files(arm, 1, 0, overrides=words))
    assert len(arms(study_results(tmp_path))) == 4
    found = study_results(tmp_path, over=["protocol.test_subjects"])
    assert set(arms(found)) == {("none",), ("full",)} and found.comparisons[0].paired.pairs == 2


def folds(folder, *, seeds, accuracies):
    """Both arms in folds a, b and so on; an arm's accuracy as a function of fold and seed, the control's 0.5."""
    for fold, name in enumerate("abcd"):
        for seed in range(seeds):
            for arm in ("none", "full"):
                words = [f"arm={arm}", f"protocol.test_subjects=[{name}]", f"seed={seed}"]
                accuracy = 0.5 if arm == "none" else accuracies(fold, seed)
                facts = {"mean_class_accuracy": accuracy, "overrides": words}
                write(folder / f"{name}{seed}{arm}", run_files(arm, 1, seed, **facts))
    return study_results(folder, over=["protocol.test_subjects"])


def test_more_seeds_of_the_same_folds_promise_nothing_of_other_people(tmp_path):
    few = folds(tmp_path / "few", seeds=1, accuracies=lambda fold, seed: 0.6 + fold / 10)
    many = folds(tmp_path / "many", seeds=5, accuracies=lambda fold, seed: 0.6 + fold / 10 + (seed - 2) / 50)
    for one, other in zip(few.comparisons, many.comparisons, strict=True):
        assert one.paired.pairs == other.paired.pairs == 4
        assert one.paired.interval == pytest.approx(other.paired.interval)
        assert one.paired.difference == pytest.approx(0.25)
    assert [len(result.arm.units) for result in many.arms] == [4, 4] and many.study.unit == "fold"
    assert "Folds share their training clips" in {one.about for one in find_cautions(many)}
    assert all("seeds" not in table(many).columns for table in (arms_table, comparisons_table))


def test_of_a_fold_that_lacks_runs_only_shared_seeds_are_compared(tmp_path):
    found = folds(tmp_path, seeds=2, accuracies=lambda fold, seed: 0.7 + seed / 10)
    shutil.rmtree(tmp_path / "a1none")
    assert found.comparisons[0].paired.difference == pytest.approx(0.25)
    found = study_results(tmp_path, over=["protocol.test_subjects"])
    assert found.comparisons[0].paired.difference == pytest.approx((0.2 + 3 * 0.25) / 4)


def test_what_is_averaged_over_is_called_by_its_name(tmp_path, found):
    assert "points, 6 seeds:" in build_page("s", found, ())
    of_folds = folds(tmp_path, seeds=2, accuracies=lambda fold, seed: 0.7 + fold / 10)
    text = build_page("s", of_folds, ())
    assert "points, 4 folds:" in text and not re.search(r"\d seeds", text)
    shutil.rmtree(tmp_path / "a1none")
    assert "Different folds or seeds" in abouts(tmp_path, over=["protocol.test_subjects"])


def test_a_table_of_folds_averages_over_them(tmp_path):
    folds(tmp_path, seeds=2, accuracies=lambda fold, seed: 0.7 + fold / 10)
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        config = compose("config", overrides=["experiment=leave_one_out"], return_hydra_config=True)
    OmegaConf.update(config, "hydra.sweep.dir", str(tmp_path), force_add=True)
    instantiate(config.hydra.callbacks.table).on_multirun_end(config)
    assert "Mean over folds" in (tmp_path / "report.md").read_text()


def test_arms_are_compared_with_the_control_that_shares_all_else(found):
    pairs = {(one.arm.values, one.control.values) for one in found.comparisons}
    assert pairs == {((shot, arm), (shot, "none")) for shot in "15" for arm in ("classic", "full")}


def test_any_value_can_be_the_baseline_and_no_pair_is_told_twice(made):
    found = study_results(made, baselines=["classic", "arm=none"])
    assert [(one.arm.values[1], one.control.values[1]) for one in found.comparisons if one.arm.values[0] == "1"] == [
        ("none", "classic"), ("full", "classic"), ("full", "none"),
    ]  # fmt: skip
    with pytest.raises(ValueError, match="Expected each word of --baseline .* is a value of none"):
        study_results(made, baselines=["arm=paper"])


def test_a_control_with_one_amount_stands_for_all_amounts(tmp_path):
    jobs = [("none", 0), ("full", 50), ("full", 200)]
    for place, (arm, amount) in enumerate(jobs):
        for seed in range(2):
            words = [f"arm={arm}", f"synth.per_class={amount}"]
            write(tmp_path / f"{place}-{seed}", run_files(arm, 1 + amount, seed, overrides=words, filmed_clips=7))
    found = study_results(tmp_path)
    assert {one.arm.values: one.differs for one in found.comparisons} == {
        ("50", "full"): ("synth.per_class",), ("200", "full"): ("synth.per_class",),
    }  # fmt: skip
    assert "Controls that differ in more" in abouts(tmp_path)


def test_numbers_are_ordered_by_size_and_words_as_asked(tmp_path):
    for place, (arm, amount) in enumerate([("none", 100), ("full", 20), ("classic", 3)]):
        write(tmp_path / str(place), run_files(arm, 1, 0, overrides=[f"arm={arm}", f"n={amount}"]))
    assert study_results(tmp_path).study.factors == {"n": ("3", "20", "100"), "arm": ("classic", "full", "none")}
    write(tmp_path, {"multirun.yaml": "hydra: {overrides: {task: ['arm=none,classic,full', 'n=100,20,3']}}"})
    assert study_results(tmp_path).study.factors["arm"] == ("none", "classic", "full")
    # An experiment lists them in its file; what was typed goes first.
    write(tmp_path, {"multirun.yaml": "hydra: {sweeper: {params: {arm: 'full,classic,none', n: 3}}}"})
    assert study_results(tmp_path).study.factors["arm"] == ("full", "classic", "none")
    both = "hydra: {overrides: {task: [arm=none]}, sweeper: {params: {arm: 'full,classic,none'}}}"
    write(tmp_path, {"multirun.yaml": both})
    assert study_results(tmp_path).study.factors["arm"] == ("none", "full", "classic")


def test_the_page_parses_and_needs_nothing_from_anywhere(found):
    text = build_page("<script>alert(1)</script> & more", found, find_cautions(found))
    parsed = Parsed(text)
    assert "http" not in text and "url(" not in text and "@import" not in text
    assert not {"script", "link", "img", "iframe", "object"} & {tag for tag, _ in parsed.tags}
    assert not [name for _, attrs in parsed.tags for name in attrs if name.startswith("on") or name == "src"]
    assert {f"#{name}" for name in parsed.ids} >= set(parsed.anchors) and parsed.anchors
    assert sum(tag == "svg" for tag, _ in parsed.tags) > 10
    # Class names arrive as words, not as elements.
    assert CLASSES[1] in {row[0] for row in parsed.rows if row}


POISON = '"><script>alert(1)</script> [x'


def poisoned(node):
    """A tree with the poison in place of every word, and beside every name."""
    if isinstance(node, dict):
        return {f"{name}{POISON}": poisoned(value) for name, value in node.items()} | {
            name: poisoned(value) for name, value in node.items()
        }
    if isinstance(node, list):
        return [poisoned(value) for value in node]
    return POISON if isinstance(node, str) else node


def test_no_text_of_a_runs_files_reaches_the_page_unescaped(tmp_path):
    strata = {POISON: {"mean_class_accuracy": 0.5}}
    for place, arm in enumerate(("none", f"full{POISON}", "classic")):
        files = run_files(
            arm[:4] if place == 1 else arm, 1, 0, host=POISON, notes=POISON, version=POISON, strata=strata
        )
        metrics = poisoned(json.loads(files["metrics.json"]))
        metrics["overrides"] = [f"arm={arm}", f"{POISON}={place}", f"other={POISON}", "seed=0"]
        files["metrics.json"] = json.dumps(metrics)
        for name in ("leakage.json", "predictions.json"):
            files[name] = json.dumps(poisoned(json.loads(files[name])))
        files["config.yaml"] = json.dumps({part: {"_target_": POISON} for part in ("dataset", POISON, "synth")})
        files["logs/metrics.csv"] = files["logs/metrics.csv"].replace("train/loss", f"train/{POISON}")
        write(tmp_path / f"{place}<script>", files)
    write(tmp_path / "failed<script>", {"failure.txt": POISON})
    found = study_results(tmp_path)
    assert len(found.arms) == 3
    text = write_report(found, tmp_path, title=POISON).read_text()
    tags = {tag for tag, _ in Parsed(text).tags}
    assert "&lt;script&gt;alert(1)" in text and "<script" not in text and "script" not in tags


def test_no_mark_lies_outside_its_picture(found):
    text = build_page("s", found, ())
    for width, height, body in re.findall(r'<svg viewBox="0 0 (\d+) (\d+)".*?>(.*?)</svg>', text, re.DOTALL):
        spots = re.findall(r'c?x[12]?="([-\d.]+)" c?y[12]?="([-\d.]+)"', body)
        assert spots and all(0 <= float(x) <= int(width) and 0 <= float(y) <= int(height) for x, y in spots)
        assert "nan" not in body and "inf" not in body


def test_every_file_tells_the_same_figures(made, found):
    text, _, html, rows = texts(found)
    cells = [[cell.replace("\\", "") for cell in line.strip("| ").split(" | ")] for line in text.splitlines()]
    shown = Parsed(html).rows
    for table in (arms_table(found), comparisons_table(found)):
        assert table.rows and all(list(row) in shown and list(row) in cells for row in table.rows)
    runs = list(csv.DictReader(io.StringIO(rows)))
    assert len(runs) == 36
    for result in found.arms:
        mine = [row for row in runs if (row["protocol.n_shot"], row["arm"]) == result.arm.values]
        for name, known in result.measures.items():
            assert np.mean([float(row[name]) for row in mine]) == pytest.approx(known.mean)
    for row in runs:
        assert any(row["run"] in line and format_percent(float(row["mean_class_accuracy"])) in line for line in shown)


def test_latex_is_escaped_and_whole(found):
    assert escape_latex("a_b & 50% {x} #1 ~ ^ \\ $ <b>") == (
        r"a\_b \& 50\% \{x\} \#1 \textasciitilde{} \textasciicircum{} \textbackslash{} \$ \textless{}b\textgreater{}"
    )
    text = latex(found)
    assert text.count(r"\begin{") == text.count(r"\end{") and r"n\_shot" in text and r"\toprule" in text
    for table in re.findall(r"\\begin\{tabular\}\{(\w+)\}(.*?)\\end\{tabular\}", text, re.DOTALL):
        rows = [line for line in table[1].splitlines() if line.endswith(r"\\")]
        assert rows and all(row.replace(r"\&", "").count("&") == len(table[0]) - 1 for row in rows)


def test_accuracy_is_plotted_against_every_cost_that_runs_record(tmp_path):
    recorded = {field.name for field in dataclasses.fields(FitResult)} | {"synthetic_clips", "seconds_in_all"}
    assert set(COSTS) <= recorded
    for place, arm in enumerate(("none", "full")):
        write(tmp_path / str(place), run_files(arm, 1, 0, seconds=10.0 + place, seconds_in_all=20.0 + place))
    plotted = cost_figures(study_results(tmp_path))
    assert [title.split(",")[0] for title in plotted] == [
        "synthetic clips", "seconds of training", "seconds of the whole run",
    ]  # fmt: skip


def test_a_sound_sweep_raises_no_doubt(found):
    assert find_cautions(found) == ()


@pytest.mark.parametrize(
    ("ours", "theirs", "told"),
    [
        ({"steps": 250, "convergence": {"bound": 1500}}, {"steps": 1500, "convergence": {"bound": 1500}}, False),
        ({"steps": 250, "convergence": {"bound": 1500}}, {"steps": 250, "convergence": {"bound": 500}}, True),
        ({"steps": 250, "convergence": {"bound": 1500}}, {"steps": 250}, True),
        ({"steps": 250}, {"steps": 250, "convergence": None}, False),
    ],
)
def test_steps_that_arms_chose_below_one_bound_are_fair_and_shown(tmp_path, ours, theirs, told):
    for seed in range(3):
        for arm, facts in {"none": theirs, "full": ours}.items():
            write(tmp_path / f"{arm}{seed}", run_files(arm, 1, seed, **facts))
    found = study_results(tmp_path, baselines=["arm=none"])
    assert ("Unequal training" in {one.about for one in find_cautions(found)}) == told
    table = arms_table(found)
    if theirs.get("convergence") or ours.get("convergence"):
        column = table.columns.index("steps")
        assert [row[column] for row in table.rows] == [f"{facts['steps']:,}" for facts in (ours, theirs)]
    else:
        assert "steps" not in table.columns


FLAWS = {
    "One seed": {},
    "Unequal training": {"steps": 300},
    "Unequal film": {"filmed_clips": 3},
    "Different versions": {"version": "0.0.9"},
    "Different classes": {"per_class": {"bow": 0.5}},
    "No validation": {"val_clips": 0},
    "Classes without synthetic clips": {"without_synthetic": ["bow"]},
    "Clips of another generator": {
        "foreign": {
            "generator": "Wan",
            "films": 9,
            "used": 7,
            "left_out": {"drift": 2},
            "median_drift": 0.021,
            "licence": "research",
            "consent": "not stated",
        }
    },
    "Files that contradict each other": {"mean_class_accuracy": 0.011},
}


@pytest.mark.parametrize(("clips", "told"), [(700, True), (1400, False)])
def test_ours_against_theirs_is_told_to_be_unequal_where_it_is(tmp_path, clips, told):
    for seed in range(3):
        theirs = {**FLAWS["Clips of another generator"], "synthetic_clips": clips}
        for arm, facts in {"none": {}, "full": {}, "classic": theirs}.items():
            write(tmp_path / f"{arm}{seed}", run_files(arm, 1, seed, **facts))
    found = study_results(tmp_path, baselines=["arm=none", "arm=classic"])
    pairs = {(one.arm.values[-1], one.control.values[-1]) for one in found.comparisons}
    assert pairs == {("full", "none"), ("classic", "none"), ("full", "classic")}
    cautions = {one.about: one.words for one in find_cautions(found)}
    assert ("Unequal numbers of synthetic clips" in cautions) == told
    assert (
        "Wan: 7 of 9 films were used; 2 left out (drift); median drift of the pose 2.1%; licence: research"
        in (cautions["Clips of another generator"])
    )


def test_only_arms_that_finished_are_compared_with(tmp_path, caplog):
    for arm in ("none", "full"):
        write(tmp_path / arm, run_files(arm, 1, 0))
    assert find_present(tmp_path, ["arm=none", "arm=foreign"]) == ["arm=none"]
    assert "Nothing is compared with arm=foreign" in caplog.text


@pytest.mark.parametrize("about", FLAWS)
def test_each_flaw_is_told(tmp_path, about):
    write(tmp_path / "0", run_files("none", 1, 0))
    write(tmp_path / "1", run_files("full", 1, 0, **FLAWS[about]))
    assert about in abouts(tmp_path)
    if about != "One seed":
        write(tmp_path / "1", run_files("full", 1, 0))
        assert about not in abouts(tmp_path)


def test_flaws_of_other_files_are_told(tmp_path):
    files = run_files("full", 1, 0, filmed_exposure=5.0)
    files["config.yaml"] = "dataset: {_target_: synthaug.datasets.demo.Demo}\nprotocol: {test_subjects: [a, b]}"
    files["leakage.json"] = json.dumps(
        {
            "violations": ["clip x"],
            "overlaps": {"rooms": {"shared": 2}},
            "clips_that_name_none": {"subject": 3, "camera": 0},
        }
    )
    files["predictions.json"] = '[{"key": "other", "label": 0, "prediction": 0}]'
    write(tmp_path / "0", run_files("none", 1, 0, filmed_exposure=10.0))
    write(tmp_path / "1", files)
    told = find_cautions(study_results(tmp_path))
    assert {caution.about for caution in told} >= {
        "Pseudo-real test", "Leaks", "Overlaps of the protocol", "Few people in the test", "Different test clips",
        "Few clips of a class", "Unequal exposure", "Unknown subjects",
    }  # fmt: skip
    assert "Unknown cameras" not in {caution.about for caution in told}
    graves = [caution.grave for caution in told]
    assert graves == sorted(graves, reverse=True) and graves[0]


EXPOSURES = [(10.0, 0.0, True), (0.0, 10.0, True), (10.0, 9.8, False), (0.0, 0.0, False), (10.0, None, False)]


@pytest.mark.parametrize(("control", "arm", "told"), EXPOSURES)
def test_arms_that_were_shown_film_unequally_often_are_told_even_if_never(tmp_path, control, arm, told):
    for place, (name, exposure) in enumerate((("none", control), ("synthetic_only", arm))):
        facts = {} if exposure is None else {"filmed_exposure": exposure}
        words = [f"arm={name}", "seed=0"]
        write(tmp_path / str(place), run_files("none", 1, 0, overrides=words, **facts))
    assert ("Unequal exposure" in abouts(tmp_path)) == told


@pytest.mark.parametrize("protocol", ["demo", "demo_views", "demo_places"])
def test_few_people_in_the_test_are_told_wherever_the_protocol_names_them(tmp_path, protocol):
    files = run_files("none", 1, 0)
    write(tmp_path / "0", files)
    assert "Few people in the test" not in abouts(tmp_path)
    named = yaml.safe_load((ROOT / "conf" / "protocol" / f"{protocol}.yaml").read_text())
    write(tmp_path / "0", {"config.yaml": json.dumps({"protocol": named})})
    assert "Few people in the test" in abouts(tmp_path)


@pytest.mark.parametrize("arms", [("none",), ("none", "classic")])
def test_the_smallest_sweeps_give_a_report(tmp_path, arms, capsys):
    sweep(tmp_path, arms=arms, shots=(1,), seeds=1)
    Parsed(write_report(study_results(tmp_path), tmp_path / "to", title="s").read_text())
    print_sweep(tmp_path)
    assert "mean class" in capsys.readouterr().out


def test_a_sweep_of_failures_gives_a_report(tmp_path):
    write(tmp_path / "0", {"failure.txt": "No data."})
    text = write_report(study_results(tmp_path), tmp_path, title="s").read_text()
    assert "No data." in text and Parsed(text)


def test_the_command_writes_its_files_and_refuses_what_is_no_sweep(made, tmp_path, capsys):
    assert main(["report", str(made), "--to", str(tmp_path / "to"), "--baseline", "classic"]) == 0
    assert {path.name for path in (tmp_path / "to").iterdir()} == {"report.html", "report.md", "report.tex", "runs.csv"}
    assert main(["report", str(tmp_path / "nowhere")]) == 2 and "is not a folder" in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    assert main(["report", str(tmp_path / "empty")]) == 2 and "to hold runs" in capsys.readouterr().err


def test_parts_of_the_test_are_told_apart_and_compared(tmp_path):
    values = {"none": (0.2, 0.1), "full": (0.5, 0.3)}
    for arm, (front, side) in values.items():
        for seed in range(3):
            shift = 0.01 * seed
            strata = {
                "front": {"mean_class_accuracy": front + shift},
                "<side>": {"mean_class_accuracy": side + 2 * shift},
            }
            write(tmp_path / f"{arm}{seed}", run_files(arm, 1, seed, strata=strata))
    found = study_results(tmp_path)
    means = {result.arm.values: {name: one.mean for name, one in result.strata.items()} for result in found.arms}
    assert means[("full",)] == pytest.approx({"front": 0.51, "<side>": 0.32})
    (one,) = found.comparisons
    assert {name: pair.difference for name, pair in one.strata.items()} == pytest.approx({"front": 0.3, "<side>": 0.2})
    path = write_report(found, tmp_path, title="parts")
    assert "&lt;side&gt;, against the control" in path.read_text() and "<side>" not in path.read_text()
    assert "51.0" in (tmp_path / "report.md").read_text() and "tab:strata" in (tmp_path / "report.tex").read_text()


def test_each_arm_tells_mistakes_by_the_names_of_its_own_classes(tmp_path):
    few = ["a", "b", "c"]
    for place, classes in enumerate((few, CLASSES)):
        wrong = [
            {"key": f"{label}", "label": label, "prediction": (label + 1) % len(classes)}
            for label in range(len(classes))
        ]
        words = [f"dataset={len(classes)}", "seed=0"]
        shares = dict.fromkeys(classes, 0.0)
        facts = {"classes": classes, "overrides": words, "mean_class_accuracy": 0.0, "top1": 0.0, "per_class": shares}
        files = {**run_files("none", 1, 0, **facts), "predictions.json": json.dumps(wrong)}
        write(tmp_path / str(place), files)
    found = study_results(tmp_path)
    told = {result.arm.values: list_confusions(result.confusion, result.classes) for result in found.arms}
    assert told[("3",)] == ["a taken for b (100 %)", "b taken for c (100 %)", "c taken for a (100 %)"]
    assert told[("7",)][0] == f"{CLASSES[0]} taken for {CLASSES[1]} (100 %)"
    assert "a taken for b (100 %)" in build_page("s", found, find_cautions(found))


def test_mistakes_are_not_added_up_over_runs_of_other_classes(tmp_path):
    for seed, classes in enumerate((CLASSES, CLASSES[::-1])):
        write(tmp_path / str(seed), run_files("none", 1, seed, classes=classes))
    (result,) = study_results(tmp_path).arms
    assert result.confusion is None and result.classes == ()


def test_a_sweep_without_parts_says_nothing_of_them(found):
    assert all(result.strata == {} for result in found.arms)
    assert "Parts of the test" not in build_page("t", found, [])
