"""Which clips of another generator to train on, and what is asked of them."""

from dataclasses import dataclass
from pathlib import Path

from synthaug.motions import MotionSource

TABLE = "clips.csv"
"""Table that is read in the folder if neither a table nor a pattern is given."""
HELD_OUT = ("refuse", "leave_out")
"""What may be done with clips that show held-out film or people."""
PLACEHOLDERS = ("{identity}", "{reference}")


@dataclass(frozen=True, eq=False)
class ForeignClips:
    """Clips that another generator made of training clips, such as Animate Anyone, MimicMotion or Wan-Animate.

    Each clip is a film below `root` that re-enacts a clip of the data set (its reference) with another person (its
    identity). A table or the names of the files say which. Class and time follow from the reference, unless a table
    states them. Nothing is rendered: neither avatars nor a renderer are built.

    Attributes:
        root: The folder.
        motion: Extracts the motions of the references, as for `Synthesis`.
        table: CSV below `root` with the columns file, reference and identity, and optionally label, start and end
            (seconds of the file), reference_start (seconds into the reference clip that `start` re-enacts) and view.
            None takes `pattern`, or clips.csv if there is no pattern either.
        pattern: How file names say it: "{identity}/{reference}.mp4". `*` stands for any text. References are named by
            their key, with _ for each /, or by the name of their film. Names that fit in several ways are left out.
        generator: Name of what made the clips, for reports.
        licence: Terms under which they may be used, in words.
        consent: Whether the people whom they show agreed, in words.
        identities: People to take at most; 0 takes none, which is the real-only baseline. None takes all.
        per_class: Clips of a class to take at most, evenly over its references; None takes all.
        windows: Clips that are cut from a film that is longer than a clip, each at a time of its own.
        detector: Extracts the motions of the clips themselves: a source that reads film. None takes `motion`.
        max_drift: Largest drift of the pose from the reference's, share of the person's height
            (`synthaug.foreign.drift.Drift.pose`); None measures nothing.
        max_limb: The same for the limb that is farthest away (`Drift.limb`).
        tolerance: Share by which a clip may be longer or shorter than its reference without being counted.
        held_out: "refuse" stops if a clip re-enacts a held-out clip, is a copy of one, or shows a held-out person;
            "leave_out" leaves such clips out and counts them.

    Raises:
        ValueError: If a value makes no sense.
    """

    root: str | None
    motion: MotionSource
    table: str | None = None
    pattern: str | None = None
    generator: str = "another generator"
    licence: str = "not stated"
    consent: str = "not stated"
    identities: int | None = None
    per_class: int | None = None
    windows: int = 1
    detector: MotionSource | None = None
    max_drift: float | int | None = 0.1
    max_limb: float | int = 0.15
    tolerance: float | int = 0.1
    held_out: str = "refuse"

    def __post_init__(self) -> None:
        if not isinstance(self.root, str) or not self.root:
            raise ValueError(
                f"Expected synth.root to be the folder of another generator's clips, got {self.root!r}. Write "
                "synth.root=DIR, or rivals=DIR where several arms are trained."
            )
        if self.table is not None and self.pattern is not None:
            raise ValueError(
                f"Expected synth.table or synth.pattern, got both ({self.table!r} and {self.pattern!r}). Leave one out."
            )
        if self.pattern is not None and any(self.pattern.count(one) != 1 for one in PLACEHOLDERS):
            raise ValueError(
                f"Expected synth.pattern to hold {{identity}} and {{reference}} once each, got {self.pattern!r}. Write "
                "for example synth.pattern='{identity}/{reference}.mp4'."
            )
        for name in ("identities", "per_class", "windows"):
            value, least = getattr(self, name), 1 if name == "windows" else 0
            if (value is not None or name == "windows") and not _is_count(value, least):
                raise ValueError(
                    f"Expected synth.{name} to be a whole number of {least} or more, got {value!r}. Change it."
                )
        for name in ("max_drift", "max_limb", "tolerance"):
            value = getattr(self, name)
            if not (value is None and name == "max_drift") and not (_is_number(value) and value >= 0):
                raise ValueError(f"Expected synth.{name} to be a share of 0 or more, got {value!r}. Set synth.{name}.")
        if self.held_out not in HELD_OUT:
            raise ValueError(
                f"Expected synth.held_out to be one of {', '.join(HELD_OUT)}, got {self.held_out!r}. Choose one."
            )

    @property
    def folder(self) -> Path:
        """The folder, with ~ as the home."""
        return Path(str(self.root)).expanduser()

    @property
    def judge(self) -> MotionSource:
        """What extracts the motions of the clips."""
        return self.detector or self.motion

    @property
    def empty(self) -> bool:
        """Whether no clip is asked for: then nothing is looked at."""
        return self.identities == 0 or self.per_class == 0


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_count(value: object, least: int) -> bool:
    """Whether it is a whole number of at least this: configurations may hold anything."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= least
