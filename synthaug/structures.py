"""The data classes that the parts of the package pass to each other.

Frozen values with little behaviour beyond slicing and digests. CONVENTIONS.md fixes frames, units and axis orders.
"""

import functools
import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal, TypeAlias, get_args

import torch
from jaxtyping import Float, Int, Int16, UInt8
from torch import Tensor

Plain: TypeAlias = str | int | float | bool | list | dict | None
Values: TypeAlias = dict[str, Plain]
"""What a random stage samples: JSON-able, with string keys."""
_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False)
VIDEO_MEAN, VIDEO_STD = (0.43216, 0.394666, 0.37645), (0.22803, 0.22145, 0.216989)
"""Mean and deviation of RGB in 0..1 by which batches are normalised, those of Kinetics-400 in torchvision."""


@dataclass(frozen=True)
class Record:
    """One labelled interval of film, described without its pixels.

    Attributes:
        key: Unique in its data set, stable between machines (no absolute path).
        path: The video file that contains it.
        label: Index into the data set's `classes`.
        subject: Who is seen; the parts of a cross-subject split share no subject.
        camera: Name of the camera or view that filmed it; empty where unknown.
        start: Seconds since the first picture of the file; players count from its sound if that begins earlier.
        end: Seconds since the first picture, beyond `start`.
    """

    key: str
    path: Path
    label: int
    subject: str
    camera: str
    start: float
    end: float


Trait: TypeAlias = Literal["subject", "camera", "path", "key"]
"""Fields of a Record that two parts of a data set may be forbidden to share."""
TRAITS: tuple[Trait, ...] = get_args(Trait)
Filmed: TypeAlias = Literal["", "still", "moving"]
"""What a place shows: nothing of the training film, a still picture made of it, or frames of it."""


@dataclass(frozen=True)
class Actor:
    """One person of a synthetic clip: whose motion, on whose body, with which variation.

    Attributes:
        motion: Key of the reference record that the motion is taken from.
        identity: Name of the avatar within its pool.
        variation: What `MotionVariation.sample` returned.
        mirrored: Whether the motion is mirrored; the recipe's label is then that of the mirror image.
        partner: Key of another reference of the same class that the motion is blended with; empty for none.
        share: Weight of the partner in the blend, 0 to 1.
        person: Index into the reference's `people`: 0 is the acting person, the others are companions.
    """

    motion: str
    identity: str
    variation: Values = field(default_factory=dict)
    mirrored: bool = False
    partner: str = ""
    share: float = 0.0
    person: int = 0


@dataclass(frozen=True)
class Recipe:
    """Everything that chance decided about one synthetic clip; rendering it samples nothing.

    Attributes:
        label: Class index: the reference's own, or that of its mirror image.
        actors: The people, the acting one first; companions follow in classes that need two people.
        camera: What `CameraPath.sample` returned.
        background: What `Background.sample` returned.
        sensor: What `Sensor.sample` returned.
        start: Time of the first frame, in seconds into the reference motion.
        fps: Frames per second of the rendered clip.
        num_frames: Frames rendered; motions that end sooner are looped.
        size: Height and width in pixels.
        lineage: Where it comes from: data set, protocol, seed and names of the sources.
        props: What `PropPool.sample` returned; empty without things, and then left out of the JSON.
    """

    label: int
    actors: tuple[Actor, ...]
    camera: Values
    background: Values
    sensor: Values
    start: float
    fps: float
    num_frames: int
    size: tuple[int, int]
    lineage: Values = field(default_factory=dict)
    props: Values = field(default_factory=dict)

    def to_json(self) -> str:
        """One line of `recipes.jsonl`: canonical JSON, keys sorted, no blanks."""
        plain: Values = {**vars(self), "actors": list(map(vars, self.actors))}
        if not self.props:
            del plain["props"]
        return _CANONICAL.encode(plain)

    @staticmethod
    def from_json(line: str) -> "Recipe":
        """Read a line that `to_json` wrote.

        Raises:
            ValueError: If the line is not JSON or lacks or adds a field.
        """
        try:
            fields = json.loads(line)
            actors, (height, width) = fields.pop("actors"), fields.pop("size")
            return Recipe(actors=tuple(Actor(**actor) for actor in actors), size=(height, width), **fields)
        except (TypeError, KeyError, AttributeError, ValueError) as error:
            raise ValueError(
                f"Expected a line of recipes.jsonl as Recipe.to_json writes it, got {line[:80]!r} ({error}). "
                "Check that the file was not edited, or written by another version."
            ) from error

    @property
    def digest(self) -> str:
        """Stable name of the recipe: 32 hexadecimal digits of blake2b over its canonical JSON."""
        return hashlib.blake2b(self.to_json().encode(), digest_size=16).hexdigest()

    @property
    def key(self) -> str:
        """Key of the clip that it describes."""
        return f"synthetic/{self.digest}"


@dataclass(frozen=True, eq=False)
class Clip:
    """A labelled video clip, filmed or synthetic.

    Attributes:
        key: The record's or the recipe's key.
        video: sRGB frames.
        fps: Frames per second of `video`.
        label: Index into the data set's `classes`.
        subject: Who is seen; for synthetic clips the identity's name.
        camera: Name of the camera or view; empty where unknown.
        recipe: How a synthetic clip was made; None for filmed clips.
        looped: Number of frames that repeat earlier ones because the film is shorter than the clip.
    """

    key: str
    video: UInt8[Tensor, "time 3 height width"]
    fps: float
    label: int
    subject: str
    camera: str
    recipe: Recipe | None = None
    looped: int = 0


@dataclass(frozen=True, eq=False)
class Motion:
    """SMPL-X parameters of one person over time.

    Axis-angle in radians, metres, world frame (right-handed, y up, floor at y = 0). `transl` is the position of the
    pelvis: smplx's `transl` for a body whose rest pelvis is at the origin, as in all avatars of this package.

    Attributes:
        global_orient: Rotation of the pelvis. An unrotated body faces +z, its left is +x.
        transl: Position of the pelvis.
        body_pose: 21 joints in SMPL-X order.
        left_hand_pose: 15 joints, relative to the flat hand.
        right_hand_pose: 15 joints, relative to the flat hand.
        jaw_pose: Rotation of the jaw.
        leye_pose: Rotation of the left eye.
        reye_pose: Rotation of the right eye.
        expression: Expression coefficients; zeros where the source has none.
        betas: Body shape of the performer. Avatars have their own shape and ignore it.
        fps: Frames per second.
    """

    global_orient: Float[Tensor, "time 3"]
    transl: Float[Tensor, "time 3"]
    body_pose: Float[Tensor, "time 21 3"]
    left_hand_pose: Float[Tensor, "time 15 3"]
    right_hand_pose: Float[Tensor, "time 15 3"]
    jaw_pose: Float[Tensor, "time 3"]
    leye_pose: Float[Tensor, "time 3"]
    reye_pose: Float[Tensor, "time 3"]
    expression: Float[Tensor, "time expression"]
    betas: Float[Tensor, " beta"]
    fps: float

    @property
    def num_frames(self) -> int:
        """Length in frames."""
        return self.transl.shape[0]

    @property
    def duration(self) -> float:
        """Length in seconds."""
        return self.num_frames / self.fps

    @functools.cached_property
    def pose(self) -> Float[Tensor, "time 55 3"]:
        """All 55 joints, axis-angle, in SMPL-X order: pelvis, body, jaw, eyes, left hand, right hand."""
        root, head = self.global_orient[:, None], torch.stack([self.jaw_pose, self.leye_pose, self.reye_pose], dim=1)
        return torch.cat([root, self.body_pose, head, self.left_hand_pose, self.right_hand_pose], dim=1)

    def __getstate__(self) -> dict[str, object]:
        """The fields alone: `pose` repeats them, and would be sent to other processes a second time."""
        return {name: value for name, value in vars(self).items() if name != "pose"}

    @staticmethod
    def from_pose(pose: Float[Tensor, "time 55 3"], transl: Float[Tensor, "time 3"], *, fps: float,
                  expression: Float[Tensor, "time expression"] | None = None,
                  betas: Float[Tensor, " beta"] | None = None) -> "Motion":  # fmt: skip
        """A motion with these 55 axis-angles; by default with mean body shape and no expression."""
        root, body, jaw, leye, reye, left, right = pose.split_with_sizes((1, 21, 1, 1, 1, 15, 15), 1)
        made = Motion(root.squeeze(1), transl, body, left, right, jaw.squeeze(1), leye.squeeze(1), reye.squeeze(1),
                      pose.new_zeros(pose.shape[0], 10) if expression is None else expression,
                      pose.new_zeros(10) if betas is None else betas, fps)  # fmt: skip
        vars(made)["pose"] = pose  # what was just taken apart need not be put together again
        return made


@dataclass(frozen=True, eq=False)
class Camera:
    """A pinhole camera over time: OpenCV axes (x right, y down, z forward).

    Attributes:
        viewmats: World to camera, rigid, metres.
        Ks: Intrinsics in pixels; pixel centres lie at half-integers.
        width: Pixels.
        height: Pixels.
    """

    viewmats: Float[Tensor, "time 4 4"]
    Ks: Float[Tensor, "time 3 3"]
    width: int
    height: int

    def scaled(self, *, height: int, width: int) -> "Camera":
        """This camera with a picture of another size: scaled to fill it, then cropped about the centre."""
        scale = max(height / self.height, width / self.width)
        Ks = self.Ks.clone()
        Ks[:, :2] *= scale
        Ks[:, :2, 2] += Ks.new_tensor([width - self.width * scale, height - self.height * scale]) / 2
        return Camera(viewmats=self.viewmats, Ks=Ks, width=width, height=height)

    def around(self, point: Float[Tensor, "3"]) -> "Camera":
        """The same view in a world whose origin is on the floor below this point, as built rooms have it."""
        T_world_local = torch.eye(4, dtype=self.viewmats.dtype)
        T_world_local[0, 3], T_world_local[2, 3] = point[0], point[2]
        return Camera(self.viewmats @ T_world_local, self.Ks, self.width, self.height)


@dataclass(frozen=True, eq=False)
class Reference:
    """What a MotionSource extracts from one clip: the motion, and the camera that filmed it.

    Attributes:
        motion: World frame, gravity-aligned where that can be known.
        camera: The clip's own camera, one view for each frame of `motion`.
        quality: 0 (useless) to 1 (exact); None where the motion is ground truth.
        notes: Parts of the quality score and other figures for reports, by name.
        companions: Motions of others who take part in the action, not of bystanders: same world, same times.
        others: Further performances at other times, each with its own camera and world, longest first; without others.
    """

    motion: Motion
    camera: Camera
    quality: float | None = None
    notes: dict[str, float] = field(default_factory=dict)
    companions: tuple[Motion, ...] = ()
    others: "tuple[Reference, ...]" = ()

    def __post_init__(self) -> None:
        if any(other.others for other in self.others):
            raise ValueError(
                "Expected further performances to have no others of their own, got nested ones. List all in the first."
            )
        shapes = {(motion.num_frames, motion.fps) for motion in self.people}
        if len(shapes) > 1:
            raise ValueError(
                f"Expected the same (frames, fps) for all people of a reference, got {sorted(shapes)}. "
                "Resample the companions at the acting person's times."
            )

    @property
    def people(self) -> tuple[Motion, ...]:
        """The acting person and the companions."""
        return (self.motion, *self.companions)


@dataclass(frozen=True)
class Light:
    """A distant light and ambient light, for people and rooms.

    Attributes:
        direction: Unit vector from the person towards the light, world frame.
        key: Colour and strength of the distant light, a factor for each channel.
        sky: Ambient colour from above.
        ground: Ambient colour from below.
    """

    WRAP: ClassVar[float] = 0.5
    """How far light reaches beyond the terminator, as a cosine: skin and cloth scatter light."""
    BRIGHTEST: ClassVar[float] = 1.6
    """Upper limit of the factors on colours. Beyond it the colours of fitted avatars clip to flat white in uint8."""

    direction: tuple[float, float, float]
    key: tuple[float, float, float]
    sky: tuple[float, float, float]
    ground: tuple[float, float, float]


@dataclass(frozen=True, eq=False)
class Level:
    """A coarser version of a person at rest, enough for a small picture. The fields are those of `Gaussians`."""

    means: Float[Tensor, "gaussian 3"]
    quats: Float[Tensor, "gaussian 4"]
    scales: Float[Tensor, "gaussian 3"]
    opacities: Float[Tensor, " gaussian"]
    colors: Float[Tensor, "gaussian 3"]
    joint_ids: Int[Tensor, "gaussian k"]
    weights: Float[Tensor, "gaussian k"]
    normals: Float[Tensor, "gaussian 3"] | None = None


@dataclass(frozen=True, eq=False)
class Gaussians:
    """A moving person: Gaussians at rest, skinning weights and joint transforms; world frame, metres.

    Not posed, so that a renderer can fuse skinning into projection; `synthaug.body.skinning.pose_frame` poses a frame.

    Attributes:
        means: Rest positions, metres.
        quats: Rest orientations, wxyz, unit.
        scales: Standard deviations along the local axes, linear metres.
        opacities: 0..1.
        colors: Display-referred sRGB, 0..1.
        joint_ids: The joints that move each Gaussian.
        weights: Skinning weights of those joints, non-negative, summing to 1.
        T_world_rest: Rest to world, for each frame and joint; rigid.
        normals: Outward unit normals at rest; None where unknown, and then light has no effect.
        light: Multiplies the colours, see `synthaug.body.skinning.shade`; None leaves them as they are.
        levels: The same person with fewer and fewer Gaussians, finest first.
    """

    means: Float[Tensor, "gaussian 3"]
    quats: Float[Tensor, "gaussian 4"]
    scales: Float[Tensor, "gaussian 3"]
    opacities: Float[Tensor, " gaussian"]
    colors: Float[Tensor, "gaussian 3"]
    joint_ids: Int[Tensor, "gaussian k"]
    weights: Float[Tensor, "gaussian k"]
    T_world_rest: Float[Tensor, "time joint 4 4"]
    normals: Float[Tensor, "gaussian 3"] | None = None
    light: Light | None = None
    levels: tuple[Level, ...] = ()

    @property
    def num_frames(self) -> int:
        """Length in frames."""
        return self.T_world_rest.shape[0]

    def at(self, level: Level) -> "Gaussians":
        """The same moving person at this level of detail."""
        return Gaussians(**vars(level), T_world_rest=self.T_world_rest, light=self.light)


@dataclass(frozen=True, eq=False)
class PosedGaussians:
    """One frame of Gaussians in the world frame, in the form that gsplat takes as `covars`."""

    means: Float[Tensor, "gaussian 3"]
    covars: Float[Tensor, "gaussian 3 3"]
    opacities: Float[Tensor, " gaussian"]
    colors: Float[Tensor, "gaussian 3"]


@dataclass(frozen=True, eq=False)
class Scene:
    """What a background returns for a clip.

    Attributes:
        frames: Opaque frames, sRGB.
        camera: The camera that filmed the frames; None for a flat picture, which fits any camera.
        spot: A free place on the floor where a person can stand, world frame; None where there is no floor.
        depth: Camera depth in metres, so that nearer things hide the person; None where unknown.
        light: The light of the place; None leaves the people's colours as they are.
        filmed: Frames of film have a camera's blur and noise already, a still picture made of them its blur alone.
    """

    frames: UInt8[Tensor, "time 3 height width"]
    camera: Camera | None = None
    spot: tuple[float, float, float] | None = None
    depth: Float[Tensor, "height width"] | None = None
    light: Light | None = None
    filmed: Filmed = ""


@dataclass(frozen=True, eq=False)
class Rendering:
    """People without background, as a renderer returns them.

    Attributes:
        rgb: sRGB, premultiplied by alpha.
        alpha: Coverage.
        depth: Alpha-weighted mean camera depth in metres, 0 where alpha is 0; None unless requested.
        labels: 1 + joint of the Gaussian that contributes most, plus the joints of all before it; 0 for none; or None.
    """

    rgb: UInt8[Tensor, "time 3 height width"]
    alpha: UInt8[Tensor, "time 1 height width"]
    depth: Float[Tensor, "time 1 height width"] | None = None
    labels: Int16[Tensor, "time 1 height width"] | None = None


Batch: TypeAlias = dict[str, Tensor | list[str]]
"""`video` float [batch 3 time height width], `label`, `synthetic` (0 or 1) and `key`."""


@dataclass(frozen=True)
class ClipFormat:
    """Length, rate and size of the clips that a recognizer sees, filmed and synthetic alike.

    Attributes:
        num_frames: Frames of a clip.
        fps: Frames per second at which film is sampled, whatever its own rate.
        size: Side of the square picture, pixels.
    """

    num_frames: int = 12
    fps: float = 5.0
    size: int = 112

    @property
    def seconds(self) -> float:
        """Duration of a clip."""
        return self.num_frames / self.fps
