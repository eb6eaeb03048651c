"""What is refused before training: leaks through synthesis, and mirror images that nobody can name.

Below the data module, above data sets and synthesis.
"""

from collections.abc import Mapping

from synthaug.backgrounds import Background
from synthaug.datamodule.augmentation import Augmentation
from synthaug.datasets import ActionDataset, LeakError, Split
from synthaug.datasets.leaks import assert_strangers
from synthaug.synthesis.references import References
from synthaug.synthesis.synthesizer import Synthesizer


def mirror_labels(dataset: ActionDataset) -> dict[int, int] | None:
    """Label of the mirror image, by label, of the classes that have one; None where the data set does not say.

    Raises:
        ValueError: If a class is named that is not there, or two classes claim one image.
    """
    pairs, classes = dataset.mirrored_classes, dataset.classes
    if pairs is None:
        return None
    images: dict[str, str | None] = dict(pairs)
    for one, other in pairs.items():
        back = images.setdefault(other, one) if other is not None else one
        if not {one, other} - {None} <= set(classes) or back != one:
            raise ValueError(
                f"mirrored_classes says {one!r}: {other!r} and {other!r}: {back!r}, among the classes "
                f"{', '.join(classes)}. Names of classes were wanted, in pairs that are each other's mirror images, or "
                "None for a class without one. Mend dataset.mirrored_classes."
            )
    shown = {name: images.get(name, name) for name in classes}
    return {classes.index(name): classes.index(other) for name, other in shown.items() if other is not None}


def check_flips(augmentation: Augmentation | None, images: Mapping[int, int] | None) -> None:
    """Refuse to mirror clips of which nobody knows what their mirror images show.

    Raises:
        ValueError: Saying which two settings contradict each other.
    """
    if augmentation is not None and augmentation.flip > 0 and images is None:
        raise ValueError(
            f"augmentation.flip={augmentation.flip} was given for a data set that does not say which class the mirror "
            "image of each belongs to. Set dataset.mirrored_classes ({} if left and right mean nothing), or "
            "augmentation.flip=0."
        )


def check_leaks(synthesizer: Synthesizer, split: Split, separates: str) -> None:
    """Refuse synthetic clips in which anything held out is performed or shown, or whom the test is about performs.

    Raises:
        LeakError: Naming the offender.
    """
    check_references(synthesizer.references, split, separates)
    check_places(synthesizer.synthesis.background, split, separates)
    avatar = synthesizer.synthesis.avatar
    assert_strangers({name: avatar.subject(name) for name in synthesizer.identities}, split)


def check_references(references: References, split: Split, separates: str) -> None:
    """Refuse references that are not training clips, or whose person or camera the test is about.

    Raises:
        LeakError: Naming the offender.
    """
    train = {record.key for record in split.train}
    tested = {getattr(record, separates) for record in split.test}
    for record in references.records:
        if record.key not in train or getattr(record, separates) in tested:
            raise LeakError(
                f"The motion of '{record.key}' ({separates} {getattr(record, separates)!r}) would reach training, but "
                "it belongs to the held-out part. Only training clips may be re-enacted; mend the protocol's lists."
            )


def check_places(background: Background, split: Split, separates: str) -> None:
    """Refuse places out of film that is no training clip, or that shows whom or what the test is about.

    Raises:
        LeakError: Naming the offender.
    """
    train = {record.key: record for record in split.train}
    tested = {getattr(record, separates) for record in split.test}
    for key in background.sources:
        if key not in train or getattr(train[key], separates) in tested:
            raise LeakError(
                f"The place of '{key}' would reach training, but that clip belongs to the held-out part. Only training "
                "clips may give plates; mend the protocol's lists."
            )
