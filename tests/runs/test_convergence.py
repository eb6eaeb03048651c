"""Steps are chosen on training people alone, and cost what they say."""

import json
from dataclasses import replace

import pytest
from fakes import CLASSES, BySubject, Films
from hypothesis import given
from hypothesis import strategies as st

from synthaug.cli.main import main
from synthaug.datasets.protocols import LeftOut
from synthaug.files import write_atomic
from synthaug.runs.convergence import Doubling, check_trials, choose_steps, list_groups
from synthaug.runs.probing import group_records

GROUPS = ("anna", "ben")


def choose(doubling, bound, accuracy, folder, groups=GROUPS):
    asked = []

    def measure(steps, group):
        asked.append((steps, group))
        return accuracy(steps, group)

    return choose_steps(doubling, bound, groups, measure, kept=folder / "convergence.json"), asked


@pytest.mark.parametrize(
    ("accuracy", "steps", "tried"),
    [
        (lambda steps: steps / 1500, 1500, [250, 500, 1000, 1500]),
        (lambda steps: -abs(steps - 500), 500, [250, 500, 1000, 1500]),
        (lambda steps: 0.5, 250, [250, 500, 1000]),
        (lambda steps: {250: 0.4, 500: 0.3}.get(steps, 0.6), 1000, [250, 500, 1000, 1500]),
        (lambda steps: -steps, 250, [250, 500, 1000]),
    ],
    ids=["rises", "falls after a while", "level", "one trial by bad luck", "falls"],
)
def test_it_doubles_until_two_trials_bring_nothing(accuracy, steps, tried, tmp_path):
    found, asked = choose(Doubling(), 1500, lambda steps, group: float(accuracy(steps)), tmp_path)
    assert found.steps == steps and list(found.accuracies) == tried and found.bound == 1500
    assert asked == [(steps, group) for steps in tried for group in GROUPS]


@given(
    bound=st.integers(1, 5000), first=st.integers(1, 600), patience=st.integers(1, 3), seed=st.integers(0, 5),
)  # fmt: skip
def test_the_choice_is_the_best_that_was_tried_and_below_the_bound(bound, first, patience, seed, tmp_path_factory):
    def accuracy(steps, group):
        return (steps * 7919 + seed * 31 + len(group or "")) % 11 / 11

    found, _ = choose(Doubling(first, None, patience), bound, accuracy, tmp_path_factory.mktemp("kept"))
    assert found.steps <= bound and all(steps <= bound for steps in found.accuracies)
    best = max(found.accuracies.values())
    assert found.steps == min(steps for steps, value in found.accuracies.items() if value == best)
    for steps, value in found.accuracies.items():
        assert value == pytest.approx(sum(accuracy(steps, group) for group in GROUPS) / 2)


def test_what_was_measured_before_a_stop_is_not_measured_again(tmp_path):
    def stop(steps, group):
        if (steps, group) == (500, "ben"):
            raise KeyboardInterrupt
        return steps / 1000

    with pytest.raises(KeyboardInterrupt):
        choose(Doubling(), 500, stop, tmp_path)
    found, asked = choose(Doubling(), 500, lambda steps, group: steps / 1000, tmp_path)
    assert asked == [(500, "ben")]
    assert found == choose(Doubling(), 500, lambda steps, group: steps / 1000, tmp_path / "new")[0]


def test_who_is_left_out_is_in_no_training_and_nobody_is_tested(tmp_path):
    records = Films(tmp_path).records
    whole = BySubject(test=("s3",)).split(records, CLASSES)
    groups = group_records(whole.train)
    assert set(groups.values()) == {"s0", "s1", "s2"}
    for left_out in ("s0", "s1", "s2"):
        keys = [key for key, group in groups.items() if group == left_out]
        part = LeftOut(BySubject(test=("s3",)), keys).split(records, CLASSES)
        assert {record.subject for record in part.val} == {left_out} and part.test == ()
        assert {record.key for record in (*part.train, *part.val)} == {record.key for record in whole.train}
        assert left_out not in {record.subject for record in part.train}
    for wrong in ([whole.test[0].key], [record.key for record in whole.train]):
        with pytest.raises(ValueError, match="Expected clips to leave out that are among 6 training clips"):
            LeftOut(BySubject(test=("s3",)), wrong).split(records, CLASSES)


def test_a_validation_part_decides_where_there_is_one(tmp_path):
    records = Films(tmp_path).records
    train, val = BySubject(test=("s3",)).split(records, CLASSES).train, records[:1]
    assert list_groups(Doubling(), train, val) == [None]
    assert list_groups(Doubling(), train, ()) == ["s0", "s1", "s2"]
    assert list_groups(Doubling(people=1), train, ()) == ["s0"]
    of_one = [replace(record, subject="s1") for record in train if record.subject != "s0"]  # two clips of each class
    assert list_groups(Doubling(), of_one, ()) == ["part 0", "part 1", "part 2", "part 3"]
    with pytest.raises(ValueError, match="Expected several training clips for convergence.* got 1"):
        list_groups(Doubling(), of_one[:1], ())


def test_only_those_are_left_out_whose_classes_others_teach(tmp_path):
    one = Films(tmp_path).records  # both classes by each of s0 to s3
    only_s2 = [record for record in one if record.label == 0 or record.subject == "s2"]
    assert list_groups(Doubling(), only_s2, ()) == ["s0", "s1", "s2", "s3"]
    apart = [record for record in one if (record.label == 1) == (record.subject == "s2")]
    assert list_groups(Doubling(), apart, ()) == ["s0", "s1", "s3"]
    one_shot = [record for record in one if record.key in ("0/s0", "1/s1")]
    with pytest.raises(ValueError, match="two people if more than one teaches.* got 2 clips and no such class"):
        list_groups(Doubling(), one_shot, ())


@pytest.mark.parametrize("wrong", [{"first": 0}, {"people": 0}, {"patience": 0}])
def test_counts_of_nothing_are_refused(wrong):
    with pytest.raises(ValueError, match=rf"Expected convergence\.{[*wrong][0]} of 1 or more, got 0"):
        Doubling(**wrong)


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    """A folder of films with a table."""
    root = tmp_path_factory.mktemp("films")
    table = "\n".join(f"{record.path.name},{CLASSES[record.label]},{record.subject}" for record in Films(root).records)
    write_atomic(root / "clips.csv", f"file,label,subject\n{table}\n".encode())
    return root


def words(films, folder, *more):
    return [
        "train", "dataset=folder", f"dataset.root={films}", "dataset.csv=clips.csv", "protocol.test_subjects=[s3]",
        "synth.identities=0", "clip.num_frames=3", "clip.fps=5.0", "clip.size=32", "loading.batch_size=4",
        "loading.num_workers=0", "loading.test_clips=1", "trainer.enable_progress_bar=false", "convergence=people",
        "convergence.first=1", "trainer.max_steps=3", f"hydra.run.dir={folder}", *more,
    ]  # fmt: skip


@pytest.mark.parametrize("val", [0.0, 0.5], ids=["people", "validation part"])
def test_a_run_takes_the_steps_that_were_chosen(films, tmp_path, val):
    assert main(words(films, tmp_path / "run", f"protocol.val_fraction={val}")) == 0
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    told = metrics["convergence"]
    assert metrics["steps"] == told["steps"] <= told["bound"] == 3 and told["accuracies"].keys() >= {"1", "2"}
    kept = json.loads((tmp_path / "run" / "convergence.json").read_text())
    ends = {""} if val else {" without s0", " without s1", " without s2"}
    assert kept.keys() == {f"{steps} steps{end}" for steps in told["accuracies"] for end in ends}


def test_what_takes_no_steps_has_none_to_choose(films, tmp_path):
    with pytest.raises(SystemExit, match="probe=exact, which takes none. Leave convergence out"):
        main(words(films, tmp_path / "run", "probe=exact"))


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["trainer.max_epochs=1", "trainer.max_steps=50", "convergence.first=30"],
         "to end after 30 steps and with a validation, got one that ended after 1 without. Leave out what ends"),
        (["+trainer.limit_val_batches=0"], "got one that ended after 1 without. Leave out .*limit_val_batches"),
        (["ckpt_path=started.ckpt"], "Expected no checkpoint for convergence, .* got ckpt_path=started.ckpt"),
        (["protocol.n_shot=1"], "got 2 clips and no such class. Give more, as with protocol.n_shot"),
    ],
    ids=["epochs end it", "no validation", "checkpoint", "one shot"],
)  # fmt: skip
def test_what_makes_trials_another_training_is_told(films, tmp_path, more, told):
    with pytest.raises(SystemExit, match=told):
        main(words(films, tmp_path / "run", *more))


@pytest.mark.parametrize("more", [["trainer.check_val_every_n_epoch=1"], ["trainer.check_val_every_n_epoch=2"]])
def test_each_trial_is_validated_once_at_its_end_whatever_epochs_say(films, tmp_path, more):
    """An epoch has one or two batches here, so that intervals within epochs could not be those of trials."""
    assert main(words(films, tmp_path / "run", *more)) == 0
    told = json.loads((tmp_path / "run" / "metrics.json").read_text())["convergence"]
    assert told["bound"] == 3 and {"1", "2", "3"} >= told["accuracies"].keys() >= {"1", "2"}


@pytest.mark.parametrize(("more", "batches"), [([], 1), (["trainer.accumulate_grad_batches=3"], 3)])
def test_trials_that_would_see_no_film_are_told_before_anything_is_made(films, tmp_path, more, batches):
    with pytest.raises(SystemExit, match=rf"got pretrain_batches=3 and a first trial of {batches} batches. Lower mix"):
        main(words(films, tmp_path / "run", "mixture.pretrain_batches=3", *more))


def test_avatars_of_those_who_are_left_out_are_told():
    check_trials([None], ckpt_path=None, packed=False, likenesses={"lab/anna": "anna"})
    check_trials(["anna", "ben"], ckpt_path=None, packed=False, likenesses={"lab/carl": "carl", "lab/x": ""})
    with pytest.raises(ValueError, match=r"got 'lab/anna', which shows the subject 'anna': a trial without that"):
        check_trials(["anna", "ben"], ckpt_path=None, packed=False, likenesses={"lab/anna": "anna"})


def test_finished_clips_of_everybody_need_a_validation_part():
    check_trials([None], ckpt_path="auto", packed=True)
    check_trials(["anna", "ben"], ckpt_path=None, packed=False)
    with pytest.raises(ValueError, match="got those of pack, which show everybody who teaches. Use a protocol"):
        check_trials(["anna", "ben"], ckpt_path=None, packed=True)
