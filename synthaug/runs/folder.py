"""Write what a run leaves in its folder: scores, recipes, motions' grades, and a contact sheet; find finished runs."""

import itertools
import json
import logging
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path

import yaml

from synthaug.datamodule.guards import check_leaks
from synthaug.datamodule.module import SynthAugDataModule
from synthaug.datasets import LeakError
from synthaug.datasets.leaks import check_split, find_held_out, find_overlaps
from synthaug.files import digest_of, write_atomic, write_lines
from synthaug.reports import (
    Prediction,
    Scores,
    find_present,
    metrics_of,
    print_scores,
    report_sweep,
    score,
    write_recipes,
)
from synthaug.runs.previews import make_rows
from synthaug.runs.sheets import encode_png, paint_sheet
from synthaug.structures import Plain
from synthaug.synthesis.exclusions import Exclusions, read_exclusions
from synthaug.training.loops import export_recognizer

logger = logging.getLogger(__name__)

LEFT = (
    "config.yaml", "metrics.json", "predictions.json", "failure.txt", "recipes.jsonl", "motions.json", "leakage.json",
    "contact_sheet.png", "best.ckpt", "last.ckpt", "resume.ckpt", "best.safetensors", "logs", "evaluation",
    "episodes.json", "gallery", "exclude.jsonl", "convergence.json",
)  # fmt: skip
"""All that a run leaves. Nothing else in its folder is touched: it may be somebody's working folder."""
_EXCLUDED = "exclude.jsonl"
"""What `synth.exclude` named when the run began: the list itself may be written anew."""
EARLIER = "earlier"
"""Folder within a run's, for what a run of another configuration left in the same place."""
IGNORED_SETTINGS = ("ckpt_path", "loading.num_workers", "loading.memory_mb", "loading.ahead", "loading.start_method",
           "trainer.enable_progress_bar", "trainer.enable_model_summary")  # fmt: skip
"""Settings that change how fast or where a run is computed, but not its results: they do not make another run."""


def same_run(one: str, other: str) -> bool:
    """Whether two configurations, resolved, as YAML, describe runs with the same results.

    `ckpt_path` null and auto count as equal, since resuming changes nothing; any other path makes it a different run.
    """
    return _identity(one) == _identity(other)


def _identity(config: str) -> Plain:
    tree = yaml.safe_load(config)
    if not isinstance(tree, dict):
        return tree
    start = tree.get("ckpt_path")
    for name in IGNORED_SETTINGS:
        *parents, last = name.split(".")
        at = tree
        for parent in parents:
            below = at.get(parent)
            at = below if isinstance(below, dict) else {}
        at.pop(last, None)
    # What is off is left out: a run of an earlier version does not have what came later.
    tree = {name: value for name, value in tree.items() if value is not None}
    return tree if start in (None, "auto") else {**tree, "ckpt_path": start}


def find_finished(folder: Path, config: str) -> float | None:
    """Mean class accuracy of the run in a folder, if it has finished with this configuration (`same_run`).

    A list of what is excluded counts by what it names, not by its own name. So an interrupted sweep continues where it
    stopped when it is started again in its folder. Prints that it found a finished run.

    Args:
        folder: Folder of a run.
        config: Resolved, as YAML.
    """
    written, metrics = folder / "config.yaml", folder / "metrics.json"
    if not (written.is_file() and metrics.is_file()) or not _same_in(folder, config):
        return None
    done = float(json.loads(metrics.read_text())["mean_class_accuracy"])
    print(f"{folder} holds this run, finished: {done:.1%}. Choose another folder to repeat it.")
    return done


def begin_run(folder: Path, config: str) -> None:
    """Write `config.yaml`, and move what a run of another configuration left in the folder to a folder in `earlier`.

    So nothing of that run is mistaken for a result of this one, even if this one is interrupted: neither its scores nor
    its checkpoint. A run that is resumed keeps what it has; its learning curve so far stays beside the new one.
    """
    written, excluded = folder / "config.yaml", folder / _EXCLUDED
    if written.is_file() and not _same_in(folder, config):
        place = _next_free(folder / EARLIER, "")
        place.mkdir(parents=True)
        for path in (folder / name for name in LEFT):
            if path.exists():
                path.rename(place / path.name)
    elif (curve := folder / "logs" / "metrics.csv").is_file():
        curve.rename(_next_free(folder / "logs", "metrics-", ".csv"))
    if (listed := _read_excluded(config)) is not None:
        write_lines(excluded, _list_names(listed))  # never missing meanwhile: processes of one run begin it together
    else:
        excluded.unlink(missing_ok=True)
    write_atomic(written, config.encode())


def _same_in(folder: Path, config: str) -> bool:
    """Whether the run that a folder has is one of this configuration, and leaves out the same motions and clips."""
    written = (folder / "config.yaml").read_text()
    if not same_run(_without_exclude(written), _without_exclude(config)):
        return False
    kept, listed = folder / _EXCLUDED, _read_excluded(config)
    if _read_setting(written) is None or listed is None:
        return _read_setting(written) is None and listed is None
    return kept.is_file() and read_exclusions(kept) == listed


def _read_excluded(config: str) -> Exclusions | None:
    """What `synth.exclude` of a configuration names; None if it is null."""
    path = _read_setting(config)
    return None if path is None else read_exclusions(Path(path).expanduser())


def _read_setting(config: str) -> str | None:
    tree = yaml.safe_load(config)
    synth = tree.get("synth") if isinstance(tree, dict) else None
    return synth.get("exclude") if isinstance(synth, dict) else None


def _without_exclude(config: str) -> str:
    tree = yaml.safe_load(config)
    if isinstance(tree, dict) and isinstance(tree.get("synth"), dict):
        tree["synth"].pop("exclude", None)
    return yaml.safe_dump(tree)


def _list_names(listed: Exclusions) -> list[str]:
    names = [("motion", name) for name in sorted(listed.motions)] + [("clip", name) for name in sorted(listed.clips)]
    return [json.dumps({kind: name}) for kind, name in names]


def _next_free(folder: Path, start: str, end: str = "") -> Path:
    """The first numbered name that is not taken."""
    return next(path for number in itertools.count(1) if not (path := folder / f"{start}{number}{end}").exists())


def leave_before(data: SynthAugDataModule, folder: Path) -> None:
    """Write what is known before training: recipes, motions' grades, the leak report, and a sheet of the clips."""
    write_recipes(folder, data.recipes())
    _warn_of_exclusions(data)
    _write_json(folder / "motions.json", motion_report(data))
    _write_json(folder / "leakage.json", leak_report(data))
    rows = make_rows(data)
    title = (
        f"What this run trains on: {len(data.split.train)} clips of the data set, {len(data.recipes())} synthetic ones"
    )
    write_atomic(folder / "contact_sheet.png", encode_png(paint_sheet(rows, title=title)))


def _warn_of_exclusions(data: SynthAugDataModule) -> None:
    """Say if a list of excluded clips names many that are not in the set: it may be of other settings."""
    report = exclusion_report(data)
    if report.get("clips_not_met"):
        logger.warning(
            "%s of the clips that synth.exclude names are not in this set, %s are. Clips keep their names as long as "
            "the seed and the settings of clip, protocol and synth stay the same; exclude motions for all runs.",
            report["clips_not_met"], report["clips"],
        )  # fmt: skip


def leave_after(
    data: SynthAugDataModule, predictions: Sequence[Prediction], folder: Path, facts: dict[str, Plain]
) -> Scores:
    """Grade test predictions, write them and `metrics.json`, and print the table."""
    (folder / "failure.txt").unlink(missing_ok=True)
    scores = score(predictions, data.class_names)
    split = data.split
    counted: dict[str, Plain] = {
        "filmed_clips": len(split.train), "val_clips": len(split.val), "synthetic_clips": len(data.recipes()),
        "notes": {**data.dataset.notes, **split.notes},
        "classes": list(data.class_names), "version": metadata.version("synthaug"),
        "strata": _strata(data, predictions),
        "quarantined": len(data.dataset.quarantine), "motions_dropped": len(motion_report(data)["dropped"]),
    }  # fmt: skip
    counted |= {"without_synthetic": list(data.classes_without_synthetic), "visibility": visibility_report(data)}
    counted["excluded"] = exclusion_report(data)
    counted |= foreign_report(data)
    # Forked processes have ended by now, and only the trainer knows how many there were.
    processes = facts.get("processes")
    counted["synthetic_share"] = data.synthetic_share(processes=processes if isinstance(processes, int) else None)
    if isinstance(batches := facts.get("batches"), int) and isinstance(processes, int):
        counted["filmed_exposure"] = data.filmed_exposure(batches, processes=processes)
    _write_json(folder / "predictions.json", predictions)
    _write_json(folder / "metrics.json", metrics_of(scores, {**counted, **facts}))
    print_scores(scores, title=f"{len(split.train)} filmed, {len(data.recipes())} synthetic clips")
    return scores


def leave_weights(data: SynthAugDataModule, checkpoint: str, folder: Path) -> None:
    """Write `best.safetensors`: the recognizer alone, with its classes and the digest of the run's configuration."""
    config = digest_of((folder / "config.yaml").read_text())
    facts = {"classes": json.dumps(data.class_names), "config": config}
    write_atomic(folder / "best.safetensors", export_recognizer(checkpoint, facts))


def _strata(data: SynthAugDataModule, predictions: Sequence[Prediction]) -> dict[str, Plain]:
    """Accuracies on each part of the test that the protocol distinguishes; empty where it distinguishes none."""
    part = {record.key: data.protocol.stratum(record) for record in data.split.test}
    names = sorted(set(part.values()) - {""})
    of = {name: [one for one in predictions if part[str(one["key"])] == name] for name in names}
    scores = {name: score(ours, data.class_names) for name, ours in of.items() if ours}
    return {
        name: {"mean_class_accuracy": one.mean_class_accuracy, "top1": one.top1, "clips": one.clips}
        for name, one in scores.items()
    }


def leave_failure(folder: Path, words: str) -> None:
    """Say in `failure.txt` why a run ended early, so that a sweep's table can."""
    write_atomic(folder / "failure.txt", f"{words}\n".encode())


def _write_json(path: Path, content: Mapping | Sequence) -> None:
    write_atomic(path, (json.dumps(content, indent=1, sort_keys=True) + "\n").encode())


def motion_report(data: SynthAugDataModule) -> dict[str, dict[str, float | None] | dict[str, str]]:
    """Grades of the references and the reasons for those dropped, by key: the content of motions.json.

    Of another generator's clips: how far their poses are from the reference's, and why films are left out.
    """
    synthesizer = data.synthesizer
    if data.packed is not None:
        return {"quality": {}, "dropped": data.packed.left_out, "drift": data.packed.drifts}
    if synthesizer is None:
        return {"quality": {}, "dropped": {}}
    references = synthesizer.references
    return {
        "quality": {key: reference.quality for key, reference in references.by_key.items()},
        "dropped": dict(references.dropped),
    }


def visibility_report(data: SynthAugDataModule) -> dict[str, Plain]:
    """How many synthetic clips were sampled again to show their action, and how many were left out, by class too."""
    shown = {} if data.synthesizer is None else data.synthesizer.shown
    return {
        "resampled": sum(one.resampled for one in shown.values()),
        "left_out": sum(one.left_out for one in shown.values()),
        "by_class": {data.class_names[label]: vars(one) for label, one in shown.items()},
    }


def foreign_report(data: SynthAugDataModule) -> dict[str, Plain]:
    """What is known of another generator's clips, whole and in the few figures that a report shows; else empty."""
    report = {} if data.packed is None else data.packed.report
    if not report:
        return {}
    left_out = report["left_out"]
    return {
        "foreign": report, "generator": report["generator"], "foreign_films": report["films"],
        "foreign_left_out": sum(left_out.values()) if isinstance(left_out, dict) else 0,
        "foreign_drift": report["median_drift"],
    }  # fmt: skip


def exclusion_report(data: SynthAugDataModule) -> dict[str, Plain]:
    """What `synth.exclude` names and what of it was found; empty without a list.

    Clips are named by their digests, which other settings and seeds change: those that were not met are counted.
    """
    synthesizer = data.synthesizer
    if synthesizer is None or synthesizer.synthesis.exclude is None:
        return {}
    named, found = synthesizer.synthesis.exclusions, synthesizer.excluded
    unknown = named.find_unknown(record.key for record in data.dataset.records)
    return {
        "motions": len(found.motions), "clips_of_these": found.slots, "clips": len(found.clips),
        "motions_unknown": len(unknown), "clips_not_met": len(named.clips - found.clips),
    }  # fmt: skip


def leak_report(data: SynthAugDataModule) -> dict[str, Plain]:
    """What was checked and found, and what the protocol lets training and test share: the content of leakage.json.

    Clips that do not say who is seen or which camera filmed cannot be checked; the report counts them.
    """
    split, synthesizer = data.split, data.synthesizer
    counts = {"train": len(split.train), "val": len(split.val), "test": len(split.test)}
    made = 0 if synthesizer is None else len(synthesizer.identities)
    places = () if synthesizer is None else synthesizer.synthesis.places
    shown = {key for place in places for key in place.sources}
    if data.packed is not None:
        made, shown = len(data.packed.identities), set(data.packed.places)
    shared: dict[str, Plain] = dict(find_overlaps(split).items())
    known = {record.key for part in (split.train, split.val, split.test) for record in part}
    unnamed: dict[str, Plain] = {field: len(keys & known) for field, keys in data.dataset.unnamed.items()}
    counts |= {"references": len(_performed(data)), "identities": made, "recipes": len(data.recipes())}
    return {
        "protocol": type(data.protocol).__name__, "separates": data.protocol.separates, "violations": _violations(data),
        "overlaps": shared, "clips_that_name_none": unnamed, "checked": {**counts, "plates_of_clips": len(shown)},
    }  # fmt: skip


def _violations(data: SynthAugDataModule) -> list[Plain]:
    split, separates = data.split, data.protocol.separates
    violations: list[Plain] = []
    try:
        check_split(split, separates, data.dataset.unnamed, published=data.dataset.published)
        if data.synthesizer is not None:
            check_leaks(data.synthesizer, split, separates)
    except LeakError as error:
        violations.append(str(error))
    outside = find_held_out(sorted(_performed(data)), split, separates)
    return violations + [f"A recipe performs '{key}', which is held out." for key in outside]


def _performed(data: SynthAugDataModule) -> set[str]:
    if data.packed is not None:
        return set(data.packed.sources)
    if data.synthesizer is None:
        return set()
    references = data.synthesizer.references
    return {references.clip_of(actor.motion) for recipe in data.recipes() for actor in recipe.actors}


def close_sweep(folder: Path, *, over: Sequence[str] = (), baselines: Sequence[str] = ()) -> bool:
    """Report what the jobs of a sweep left; returns whether all succeeded and the report could be written."""
    failed = any(EARLIER not in path.parts for path in folder.rglob("failure.txt"))
    try:
        report_sweep(folder, over=over, baselines=find_present(folder, baselines))
    except Exception:  # Hydra would turn it into a warning and exit with status 0
        logger.exception("The report on %s could not be written; its runs are whole.", folder)
        return False
    return not failed
