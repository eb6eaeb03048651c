"""Synthetic clips that are read instead of rendered: checked first, then clips as all others are.

They are of an export, or were made by another generator.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from jaxtyping import UInt8
from torch import Tensor

from synthaug.datamodule.memory import FinishedClips
from synthaug.datasets import Split
from synthaug.datasets.leaks import assert_from_training, assert_strangers
from synthaug.exports import ExportError, Pack
from synthaug.files import normalize_name
from synthaug.foreign import ForeignClips
from synthaug.foreign.gathering import Training, gather_clips
from synthaug.structures import ClipFormat, Recipe, Trait, Values


@dataclass(frozen=True, eq=False)
class PackedClips:
    """The synthetic part of a training set, read from an export or from another generator's films.

    Attributes:
        pack: The finished clips.
        labels: Class of each clip in the data set that is trained on.
        sources: Keys of the training clips whose motions are performed.
        identities: Names of the people who perform.
        places: Keys of the training clips whose pictures are places.
        finished: Keeps decoded clips in memory; None reads them every time.
    """

    pack: Pack
    labels: tuple[int, ...]
    sources: tuple[str, ...] = ()
    identities: tuple[str, ...] = ()
    places: tuple[str, ...] = ()
    finished: FinishedClips | None = None

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def warnings(self) -> list[str]:
        """What is to be said about them before training."""
        return _texts(self.pack.about.get("warnings"))

    @property
    def report(self) -> Values:
        """What metrics.json says of another generator's clips; empty for an export."""
        found = self.pack.about.get("report")
        return dict(found) if isinstance(found, dict) else {}

    @property
    def left_out(self) -> dict[str, str]:
        """Why films of another generator are left out, by name."""
        found = self.pack.about.get("left_out")
        return {str(name): str(words) for name, words in found.items()} if isinstance(found, dict) else {}

    @property
    def drifts(self) -> dict[str, float | None]:
        """How far the pose of another generator's clips is from the reference's, by film; None if not measured."""
        return {str(row["file"]): row["drift"] for row in self.pack.rows if "drift" in row}  # type: ignore[misc]

    def sample(self, place: int, *, epoch: int = 0) -> Recipe:
        """The recipe of the clip at this place, the same in every epoch; its label is the data set's."""
        recipe = self.pack.recipe(place)
        return recipe if recipe.label == self.labels[place] else replace(recipe, label=self.labels[place])

    def render(self, recipe: Recipe, place: int) -> UInt8[Tensor, "time 3 height width"]:
        """The finished clip at this place, before augmentation, from memory if it is kept there: nothing is rendered.

        Args:
            recipe: What `sample` gave for this place.
            place: Place of the clip in the export.
        """
        video = None if self.finished is None else self.finished.get(place)
        if video is None:
            video = self.pack.read(place)
            if self.finished is not None:
                self.finished.put(place, video)
        return video


def open_clips(source: Pack | ForeignClips, training: Training) -> PackedClips:
    """The finished clips of a source as clips of the data set that is trained on.

    Raises:
        ExportError: As for `open_pack`.
        LeakError: As for `open_pack` and `gather_clips`.
    """
    pack = source if isinstance(source, Pack) else gather_clips(source, training)
    return open_pack(pack, training.classes, training.clip, training.split, training.separates)


def open_pack(pack: Pack, classes: Sequence[str], clip: ClipFormat, split: Split, separates: Trait) -> PackedClips:
    """The clips of an export as clips of this data set, if they are such and come from its training clips.

    Args:
        pack: The export.
        classes: Names of the data set's classes, by label.
        clip: Format of the clips that are trained on.
        split: The split that is trained on.
        separates: What training and test may not share.

    Raises:
        ExportError: If it has other classes, or clips of another format.
        LeakError: If a clip performs a held-out motion, or shows a held-out place or person.
    """
    about = pack.about
    given = (about.get("num_frames"), about.get("fps"), about.get("size"))
    if given != (clip.num_frames, clip.fps, clip.size):
        raise ExportError(
            f"Expected clips of {clip.num_frames} frames at {clip.fps:g} fps and {clip.size} pixels, as clip has them, "
            f"got an export of {given[0]} at {given[1]} and {given[2]}. Set clip.num_frames={given[0]} "
            f"clip.fps={given[1]} clip.size={given[2]}, or export another run."
        )
    if about.get("clips", len(pack.rows)) != len(pack.rows):
        raise ExportError(
            f"Expected {about.get('clips')} clips, as the export says of itself, got the columns of {len(pack.rows)}: "
            "it was cut off when it was copied. Copy the export again."
        )
    numbers = {normalize_name(name): label for label, name in enumerate(classes)}
    labels, sources, people = [], dict[str, None](), dict[str, str]()
    for row in pack.rows:
        name = normalize_name(str(row["class_name"]))
        if name not in numbers:
            raise ExportError(
                f"Expected clips of the data set's classes ({', '.join(classes[:5])}, ...), got one of {name!r}. "
                "Choose the data set that the export was made of."
            )
        labels.append(numbers[name])
        sources.update(dict.fromkeys(_texts(row["sources"])))
        people.update(zip(_texts(row["identities"]), _texts(row["subjects"]), strict=False))
    assert_from_training(sources, split, separates, noun="motion")
    places = tuple(_texts(about.get("places")))
    assert_from_training(places, split, separates, noun="background")
    assert_strangers(people, split)
    return PackedClips(pack, tuple(labels), tuple(sources), tuple(people), places)


def _texts(value: object) -> list[str]:
    return [str(one) for one in value] if isinstance(value, list) else []
