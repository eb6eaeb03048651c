"""Checks before training: no leak through synthetic clips, no mirror image without a label, no list of other data."""

import logging
from collections.abc import Mapping

from synthaug.backgrounds import Background
from synthaug.datamodule.augmentation import Augmentation
from synthaug.datasets import ActionDataset, Split
from synthaug.datasets.leaks import assert_from_training, assert_strangers
from synthaug.structures import Trait
from synthaug.synthesis import Synthesis
from synthaug.synthesis.references import References
from synthaug.synthesis.synthesizer import Synthesizer

logger = logging.getLogger(__name__)


def find_mirror_labels(dataset: ActionDataset) -> dict[int, int] | None:
    """Label of each class's mirror image, by label; None if the data set does not say.

    Classes without a mirror image are left out.

    Raises:
        ValueError: If `mirrored_classes` names an unknown class, or gives two classes the same mirror image.
    """
    pairs, classes = dataset.mirrored_classes, dataset.classes
    if pairs is None:
        return None
    images: dict[str, str | None] = dict(pairs)
    for one, other in pairs.items():
        back = images.setdefault(other, one) if other is not None else one
        if not {one, other} - {None} <= set(classes) or back != one:
            raise ValueError(
                "Expected dataset.mirrored_classes to pair classes that are each other's mirror images (null for a "
                f"class without one), got {one!r}: {other!r} and {other!r}: {back!r}. Correct "
                f"dataset.mirrored_classes; the classes are {', '.join(classes)}."
            )
    shown = {name: images.get(name, name) for name in classes}
    return {classes.index(name): classes.index(other) for name, other in shown.items() if other is not None}


def check_flips(augmentation: Augmentation | None, images: Mapping[int, int] | None) -> None:
    """Refuse to mirror clips if the labels of their mirror images are not known.

    Raises:
        ValueError: If they are not known; the message names the two settings that contradict each other.
    """
    if augmentation is not None and augmentation.flip > 0 and images is None:
        raise ValueError(
            f"augmentation.flip={augmentation.flip} needs the class of each mirror image, and the data set does not "
            "say it. Set dataset.mirrored_classes ({} if left and right mean nothing), or augmentation.flip=0."
        )


def check_leaks(synthesizer: Synthesizer, split: Split, separates: Trait) -> None:
    """Refuse synthetic clips that show a held-out motion or background, or an avatar of a held-out person.

    Raises:
        LeakError: Naming the offender.
    """
    check_references(synthesizer.references, split, separates)
    for place in synthesizer.synthesis.places:
        check_backgrounds(place, split, separates)
    avatar = synthesizer.synthesis.avatar
    assert_strangers({name: avatar.subject(name) for name in synthesizer.identities}, split)


def check_references(references: References, split: Split, separates: Trait) -> None:
    """Refuse references that are not training clips, or whose subject (camera) is in the test part.

    Raises:
        LeakError: Naming the offender.
    """
    assert_from_training(
        (references.clip_of(record.key) for record in references.records), split, separates, noun="motion"
    )


def check_backgrounds(background: Background, split: Split, separates: Trait) -> None:
    """Refuse backgrounds from clips that are not training clips, or whose subject (camera) is in the test part.

    Raises:
        LeakError: Naming the offender.
    """
    assert_from_training(background.sources, split, separates, noun="background")


def check_exclusions(synthesis: Synthesis, dataset: ActionDataset) -> None:
    """Refuse a list of motions of another data set, and say how many of its names this data set does not have.

    Motions of clips that are not trained on are no mistake: one list serves all splits.

    Raises:
        ValueError: If the data set has no motion of the list.
    """
    motions = synthesis.exclusions.motions
    unknown = synthesis.exclusions.find_unknown(record.key for record in dataset.records)
    if not unknown:
        return
    shown = ", ".join(repr(name) for name in unknown[:3])
    if len(unknown) == len(motions):
        keys = ", ".join(repr(record.key) for record in dataset.records[:3])
        raise ValueError(
            f"Expected synth.exclude={synthesis.exclude} to name motions of this data set ({keys}, ...), got {shown} "
            "and none that it has. Give the list that was saved for this data set, or leave synth.exclude out."
        )
    logger.warning(
        "%d of the %d motions of synth.exclude=%s are not in this data set: %s. Check their names.",
        len(unknown), len(motions), synthesis.exclude, shown,
    )  # fmt: skip
