"""Measure what synthetic clips teach: `python -m benchmarks.thermometer --root FOLDER --csv TABLE --teach A,B ...`.

A linear head learns from synthetic clips alone, on frozen features of ImageNet (EfficientNet-Lite0, 160 px, 8 frames at
8 a second; mean, deviation and change from half to half), and is tested on film of people who do not teach. A few
people teach, all others are tested; repeat --teach for more folds. How strongly the head is regularised is chosen among
the people who teach: each is left out in turn, with all clips that show them or their motion. Nothing is chosen on test
people.

Features are kept in --keep, so that a run that was stopped continues. The last line is one JSON object: for the film
(in the augmentation of arm=classic), for each arm and for film and arm together, the mean class accuracy of each fold.
"""

import argparse
import json
import time
from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations, islice
from pathlib import Path

import torch
from torch import Tensor

from synthaug.cli.configs import build_data, compose_config
from synthaug.datamodule.module import SynthAugDataModule
from synthaug.datasets import Protocol, Split
from synthaug.files import digest_of
from synthaug.recognizers.efficientnet import EfficientNetLite0
from synthaug.structures import Batch, Record
from synthaug.training.linear_probe import (
    Features,
    Part,
    choose_decay,
    collect_features,
    fit_parts,
    measure_accuracy,
)

DECAYS = (1e-3, 1e-2, 1e-1, 1.0)
"""Among which regularisation is chosen."""
Clips = Batch | tuple[Tensor, Tensor]
"""A batch in either layout."""
CLIP = ("clip.num_frames=8", "clip.fps=8", "clip.size=160")


def main() -> None:
    """Measure one data set."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", required=True, help="folder of the film")
    parser.add_argument("--csv", help="table in the folder, with the columns file, label and subject")
    parser.add_argument("--teach", action="append", required=True, help="people who teach in one fold, with commas")
    parser.add_argument("--arm", action="append", help="arms to measure; paper and full without it")
    parser.add_argument("--clips", type=int, default=360, help="synthetic clips of each arm, and views of the film")
    parser.add_argument("--keep", type=Path, required=True, help="folder that keeps features")
    parser.add_argument("overrides", nargs="*", help="settings of every arm, such as synth.mirror=0.5")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    start = time.perf_counter()
    folds = [measure_fold(chosen, teach.split(",")) for teach in chosen.teach]
    table = {name: [round(fold[name], 4) for fold in folds] for name in folds[0]}
    for name, values in table.items():
        print(f"{name:24s} {' '.join(f'{100 * value:5.1f}' for value in values)}")
    means = {name: round(sum(values) / len(values), 4) for name, values in table.items()}
    minutes = round((time.perf_counter() - start) / 60, 1)
    print(json.dumps({"folds": chosen.teach, "accuracy": table, "mean": means, "minutes": minutes}))


def measure_fold(chosen: argparse.Namespace, teach: Sequence[str]) -> dict[str, float]:
    """Accuracy on film of the other people, by what the head learns from."""
    film = collect(chosen, teach, "arm=classic")
    own, others = part_people(collect(chosen, teach, "arm=none", tested=True), teach)
    found = {"film": measure_head([film], own, others)}
    for arm in chosen.arm or ["paper", "full"]:
        clips = collect(chosen, teach, f"arm={arm}", "mixture.ratio=1.0")
        found[arm] = measure_head([clips], own, others)
        found[f"film+{arm}"] = measure_head([film, clips], own, others)
    return found


def measure_chosen(chosen: argparse.Namespace, teach: Sequence[str]) -> tuple[float, float, tuple[str, ...]]:
    """Accuracy of the film, and of film beside the arms that the people who teach choose; and these arms.

    Every set of the arms is tried. The one is taken with which the head knows best the teaching person left out.
    """
    film = collect(chosen, teach, "arm=classic")
    own, others = part_people(collect(chosen, teach, "arm=none", tested=True), teach)
    arms = {arm: collect(chosen, teach, f"arm={arm}", "mixture.ratio=1.0") for arm in chosen.arm}
    sets = [names for count in range(1, len(arms) + 1) for names in combinations(arms, count)]
    classes = count_classes(others)
    grades = {names: choose_decay([film, *(arms[name] for name in names)], own, classes, DECAYS)[0] for names in sets}
    best = max(sets, key=lambda names: grades[names])
    both = measure_head([film, *(arms[name] for name in best)], own, others)
    return measure_head([film], own, others), both, best


def part_people(film: Part, teach: Sequence[str]) -> tuple[Part, Part]:
    """The film of the people who teach, and that of all others."""
    own = [place for place, person in enumerate(film.groups) if person in teach]
    others = [place for place, person in enumerate(film.groups) if person not in teach]
    return film.select(own), film.select(others)


def count_classes(film: Part) -> int:
    """Number of classes in film that shows all of them."""
    return int(film.features.labels.max()) + 1


def measure_head(parts: Sequence[Part], own: Part, others: Part) -> float:
    """Accuracy on the film of others of the head that learns from these clips, each part counting alike.

    Args:
        parts: What the head learns from.
        own: Film of the people who teach, as it is, on which regularisation is chosen.
        others: Film of all others.
    """
    _, decay = choose_decay(parts, own, count_classes(others), DECAYS)
    return measure_accuracy(fit_parts(parts, count_classes(others), decay=decay), others.features)


def collect(chosen: argparse.Namespace, teach: Sequence[str], *words: str, tested: bool = False) -> Part:
    """Features of the training clips of an arm, or of one window of every film, from --keep or computed now."""
    teachers = [] if tested else sorted(teach)
    name = digest_of(repr((teachers, words, chosen.clips, chosen.overrides, chosen.root, CLIP)))
    path = chosen.keep / f"{name[:16]}.pt"
    if path.exists():
        kept = torch.load(path, weights_only=True)
        return Part(Features(kept["vectors"], kept["labels"], tuple(kept["keys"])), tuple(kept["people"]))
    data = prepare(chosen, teachers, words)
    backbone = EfficientNetLite0(data.num_classes, weights="DEFAULT", trained_blocks=0, summary="moments")
    batches: Iterable[Clips] = data.test_dataloader() if tested else repeat_epochs(data, chosen.clips)
    features = collect_features(backbone, batches)
    people = name_people(data)
    kept_values: dict[str, Tensor | list[str]] = {
        "vectors": features.vectors,
        "labels": features.labels,
        "keys": list(features.keys),
        "people": [people[key] for key in features.keys],
    }
    chosen.keep.mkdir(parents=True, exist_ok=True)
    torch.save(kept_values, path)
    print(f"{','.join(teachers) or 'everybody'} {' '.join(words)}: {len(features)} clips", flush=True)
    return Part(features, tuple(people[key] for key in features.keys))


def name_people(data: SynthAugDataModule) -> dict[str, str]:
    """Whose film, or whose motion, a clip of this key shows."""
    people = {record.key: record.subject for record in (*data.split.train, *data.split.test)}
    synthesizer = data.synthesizer
    if synthesizer is not None:
        references = synthesizer.references
        for recipe in data.recipes():
            people[recipe.key] = people[references.clip_of(recipe.actors[0].motion)]
    return people


def prepare(chosen: argparse.Namespace, teachers: Sequence[str], words: Sequence[str]) -> SynthAugDataModule:
    """The data of one fold and arm; without teachers, all film is tested."""
    film = ["dataset=folder", f"dataset.root='{chosen.root}'", f"dataset.csv={chosen.csv or 'null'}"]
    dataset = build_data(compose_config([*film, "protocol=holdout"])).dataset
    dataset.prepare()
    people = sorted({record.subject for record in dataset.records})
    others = ",".join(f"'{person}'" for person in people if person not in (teachers or people[:1]))
    loading = ["mixture.balance=classes", "loading.num_workers=0", "loading.test_clips=1"]
    protocol = ["protocol=cross_subject", f"protocol.test_subjects=[{others}]"]
    data = build_data(compose_config([*film, *protocol, *loading, *CLIP, *words, *chosen.overrides]))
    if not teachers:
        data.protocol = Tested()
    data.prepare_data()
    data.setup()
    return data


class Tested(Protocol):
    """All clips are tested."""

    separates = "key"

    def split(self, records: Sequence[Record], classes: Sequence[str]) -> Split:
        """All records, in the test."""
        return Split((), (), tuple(records))


def repeat_epochs(data: SynthAugDataModule, clips: int) -> Iterator[Clips]:
    """Training batches of as many epochs as it takes for this many clips."""
    loader = data.train_dataloader()

    def repeat() -> Iterator[Clips]:
        while True:
            yield from loader

    return islice(repeat(), -(-clips // data.loading.batch_size))


if __name__ == "__main__":
    main()
