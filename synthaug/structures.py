"""The nouns of the package: what the stations hand to each other.

Frozen values without behaviour beyond slicing and digests; every other module speaks in these words.
Frames of reference, units and axis orders are fixed in CONVENTIONS.md.
"""

import dataclasses
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
"""What a random stage draws: JSON-able, with string keys, and nothing else."""


@dataclass(frozen=True)
class Record:
    """One labelled interval of film, described without its pixels.

    Attributes:
        key: Unique in its data set, stable between machines (no absolute path).
        path: The file that holds it.
        label: Index into the data set's `classes`.
        subject: Who is seen; splits never share one where the protocol is by subject.
        camera: Which camera or view filmed it; empty where unknown.
        start: Seconds into the file.
        end: Seconds into the file, beyond `start`.
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


@dataclass(frozen=True)
class Actor:
    """One person of a synthetic clip: whose motion, on whose body, varied how.

    Attributes:
        motion: Key of the reference record that the motion is taken from.
        identity: Name of the avatar within its cast.
        variation: What `MotionVariation.sample` drew.
        mirrored: Whether the mirror image is performed; the recipe's label is then that of the mirror image.
        partner: Key of another performance of the same class that the motion is blended with; empty for none.
        share: Of the partner in the blend, 0 to 1.
        person: Whose motion of the reference's `people`: 0 is the acting person, the others are companions.
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
    """Everything that chance decided about one synthetic clip; rendering it draws nothing.

    Attributes:
        label: Class index, the reference's own, or that of its mirror image.
        actors: The people, the acting one first; companions follow in classes of two.
        camera: What `CameraPath.sample` drew.
        background: What `Background.sample` drew.
        sensor: What `Sensor.sample` drew.
        start: Seconds into the reference motion at which the first frame lies.
        fps: Frames per second of the rendered clip.
        num_frames: Frames rendered; motions that end sooner are looped.
        size: Height and width in pixels.
        lineage: Where it comes from: data set, protocol, seed, names of the sources.
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

    def to_json(self) -> str:
        """One line of `recipes.jsonl`: canonical JSON, keys sorted, no blanks."""
        plain = {**vars(self), "actors": [vars(actor) for actor in self.actors]}
        return json.dumps(plain, sort_keys=True, separators=(",", ":"), allow_nan=False)

    @staticmethod
    def from_json(line: str) -> "Recipe":
        """Read a line that `to_json` wrote.

        Raises:
            ValueError: If the line is not JSON or lacks or adds a field.
        """
        try:
            fields = json.loads(line)
            actors = tuple(Actor(**actor) for actor in fields.pop("actors"))
            height, width = fields.pop("size")
            return Recipe(actors=actors, size=(height, width), **fields)
        except (json.JSONDecodeError, TypeError, KeyError, AttributeError, ValueError) as error:
            raise ValueError(
                f"This is no recipe: {line[:80]!r} ({error}). A line of recipes.jsonl, as Recipe.to_json writes it, "
                "was wanted. Was the file edited, or written by another version?"
            ) from error

    @property
    def digest(self) -> str:
        """Stable name of the recipe: 32 hexadecimal digits of blake2b over its canonical JSON."""
        return hashlib.blake2b(self.to_json().encode(), digest_size=16).hexdigest()

    @property
    def key(self) -> str:
        """Key of the clip that it makes."""
        return f"synthetic/{self.digest}"


@dataclass(frozen=True, eq=False)
class Clip:
    """A labelled piece of film, or of something rendered to look like film.

    Attributes:
        key: The record's key, or the recipe's.
        video: sRGB frames.
        fps: Frames per second of `video`.
        label: Index into the data set's `classes`.
        subject: Who is seen; for synthetic clips the identity's name.
        camera: Which view filmed it; empty where unknown.
        recipe: How it was made; None means that it was filmed.
        looped: Frames that repeat earlier ones because the film was shorter than asked.
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

    Axis-angle in radians, metres, world frame (right-handed, y up, floor at y = 0). `transl` is where the pelvis is,
    which is smplx's `transl` on a body whose rest pelvis lies at the origin, as all of ours do.

    Attributes:
        global_orient: Of the pelvis. An unrotated body faces +z, its left is +x.
        transl: Position of the pelvis.
        body_pose: 21 joints in SMPL-X order.
        left_hand_pose: 15 joints, relative to the flat hand.
        right_hand_pose: 15 joints, relative to the flat hand.
        jaw_pose: Of the jaw.
        leye_pose: Of the left eye.
        reye_pose: Of the right eye.
        expression: Expression coefficients; zeros where the source has none.
        betas: Shape of the performer. Avatars have their own and ignore these.
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

    @property
    def pose(self) -> Float[Tensor, "time 55 3"]:
        """All 55 joints, axis-angle, in SMPL-X order: pelvis, body, jaw, eyes, left hand, right hand."""
        head = torch.stack([self.jaw_pose, self.leye_pose, self.reye_pose], dim=1)
        return torch.cat(
            [self.global_orient[:, None], self.body_pose, head, self.left_hand_pose, self.right_hand_pose], dim=1
        )

    @staticmethod
    def from_pose(pose: Float[Tensor, "time 55 3"], transl: Float[Tensor, "time 3"], *, fps: float) -> "Motion":
        """The motion with these 55 axis-angles, mean shape and no expression."""
        return Motion(
            global_orient=pose[:, 0],
            transl=transl,
            body_pose=pose[:, 1:22],
            jaw_pose=pose[:, 22],
            leye_pose=pose[:, 23],
            reye_pose=pose[:, 24],
            left_hand_pose=pose[:, 25:40],
            right_hand_pose=pose[:, 40:55],
            expression=pose.new_zeros(len(pose), 10),
            betas=pose.new_zeros(10),
            fps=fps,
        )


@dataclass(frozen=True, eq=False)
class Camera:
    """A camera over time: OpenCV axes (x right, y down, z forward), pixels.

    Attributes:
        viewmats: World to camera.
        Ks: Intrinsics; pixel centres lie at half-integers.
        width: Pixels.
        height: Pixels.
    """

    viewmats: Float[Tensor, "time 4 4"]
    Ks: Float[Tensor, "time 3 3"]
    width: int
    height: int

    def scaled(self, *, height: int, width: int) -> "Camera":
        """The same camera with a picture of another size: the crop of its aspect that keeps the centre.

        The shorter side of the old picture fills the new one; what sticks out is cut, nothing is stretched.
        """
        scale = max(height / self.height, width / self.width)
        Ks = self.Ks.clone()
        Ks[:, :2] *= scale
        Ks[:, 0, 2] += (width - self.width * scale) / 2
        Ks[:, 1, 2] += (height - self.height * scale) / 2
        return Camera(viewmats=self.viewmats, Ks=Ks, width=width, height=height)

    def around(self, point: Float[Tensor, "3"]) -> "Camera":
        """The same view in a world whose origin is the floor below this point: where a built place is laid out."""
        T_world_local = torch.eye(4, dtype=self.viewmats.dtype)
        T_world_local[0, 3], T_world_local[2, 3] = point[0], point[2]
        return dataclasses.replace(self, viewmats=self.viewmats @ T_world_local)


@dataclass(frozen=True, eq=False)
class Reference:
    """What a MotionSource takes out of one clip: the motion, and the camera that saw it.

    Attributes:
        motion: World frame, gravity-aligned where that can be known.
        camera: The clip's own view, one frame for every frame of `motion`.
        quality: 0 (useless) to 1 (exact); None where the motion is known truth.
        notes: Parts of the score and other things worth reporting, by name.
        companions: Motions of others who take part in the action, such as who is handed something: in the same world,
            at the same instants. Bystanders are none.
    """

    motion: Motion
    camera: Camera
    quality: float | None = None
    notes: dict[str, float] = field(default_factory=dict)
    companions: tuple[Motion, ...] = ()

    def __post_init__(self) -> None:
        shapes = {(motion.num_frames, motion.fps) for motion in self.people}
        if len(shapes) > 1:
            raise ValueError(
                f"People of {sorted(shapes)} (frames, frames a second) were given in one reference; one length and one "
                "rate were wanted, since they act together. Resample the companions at the acting person's times."
            )

    @property
    def people(self) -> tuple[Motion, ...]:
        """The acting person and the companions."""
        return (self.motion, *self.companions)


@dataclass(frozen=True)
class Light:
    """A distant light and the light of the surroundings, for relighting people and rooms alike.

    Attributes:
        direction: From the person towards the light, world frame, unit length.
        key: Colour and strength of the distant light, linear factor for each channel.
        sky: Ambient colour from above.
        ground: Ambient colour from below.
    """

    WRAP: ClassVar[float] = 0.5
    """How far light reaches beyond the terminator, as the cosine at which it ends: skin and cloth scatter."""
    BRIGHTEST: ClassVar[float] = 1.6
    """Cap on shade. Beyond it the colours of fitted avatars clip to flat white at uint8."""

    direction: tuple[float, float, float]
    key: tuple[float, float, float]
    sky: tuple[float, float, float]
    ground: tuple[float, float, float]

    def shade(self, normals: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3"]:
        """Factors on display-referred colours of surfaces that look this way, in [0, BRIGHTEST].

        The surroundings light each normal by how far it looks up (hemisphere light), the distant light by a Lambert
        term wrapped around the terminator. Nothing casts shadows. Avatars' colours carry the light of their own
        photographs already, so what is multiplied on is gentle and relative to it.

        Args:
            normals: World frame, of any length.

        Source:
            Green, "Real-Time Approximations to Subsurface Scattering", GPU Gems, 2004 (wrapped diffuse).
        """
        n = torch.nn.functional.normalize(normals, dim=-1)
        direction, key, sky, ground = (n.new_tensor(part) for part in (self.direction, self.key, self.sky, self.ground))
        direction = torch.nn.functional.normalize(direction, dim=-1, eps=1e-6)
        lambert = ((n @ direction + self.WRAP) / (1 + self.WRAP)).clamp(min=0)
        ambient = ground + (sky - ground) * (0.5 + 0.5 * n[..., 1:2])
        return (ambient + key * lambert[..., None]).clamp(0, self.BRIGHTEST)


@dataclass(frozen=True, eq=False)
class Level:
    """A person at rest with fewer Gaussians than it has: what a small picture can show of it.

    Attributes:
        means: See `Gaussians`, here as below.
        quats: wxyz, unit.
        scales: Linear metres.
        opacities: 0..1.
        colors: Display-referred sRGB, 0..1.
        joint_ids: Joints of the same body.
        weights: Adding up to 1.
        normals: Outward unit normals; None where unknown.
    """

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
    """A person over time: rest Gaussians, skinning and joint transforms, world frame.

    Kept unposed so that a renderer may fuse skinning into projection; `posed` gives what gsplat takes.

    Attributes:
        means: Rest positions, metres.
        quats: Rest orientations, wxyz, unit.
        scales: Standard deviations along the local axes, linear metres.
        opacities: 0..1.
        colors: Display-referred sRGB, 0..1.
        joint_ids: Joints that move each Gaussian.
        weights: Their shares, non-negative, adding up to 1.
        T_world_rest: Rest to world, for each frame and joint. Rigid.
        normals: Outward unit normals at rest; None where unknown, and then light does nothing.
        light: Multiplies the colours by what `Light.shade` says of the turned normals; None leaves them.
        levels: The same person with ever fewer Gaussians, finest first.
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
        """The same performance at this level, which has no coarser ones."""
        return Gaussians(**vars(level), T_world_rest=self.T_world_rest, light=self.light)

    def posed(self, frame: int) -> "PosedGaussians":
        """Materialise one frame by linear blend skinning.

        Covariances go through the blended matrix A as A S A^T, shear included, so that a fused renderer and this
        agree exactly.
        """
        A = torch.einsum("gk,gkij->gij", self.weights, self.T_world_rest[frame][self.joint_ids.long()])
        means = torch.einsum("gij,gj->gi", A[:, :3, :3], self.means) + A[:, :3, 3]
        M = A[:, :3, :3] @ (quats_to_matrices(self.quats) * self.scales[:, None, :])
        colors = self.colors
        if self.light is not None and self.normals is not None:
            colors = colors * self.light.shade((A[:, :3, :3] @ self.normals[:, :, None])[..., 0])
        return PosedGaussians(means=means, covars=M @ M.mT, opacities=self.opacities, colors=colors)


@dataclass(frozen=True, eq=False)
class PosedGaussians:
    """One frame of Gaussians in the world frame, as gsplat's `covars` form takes them."""

    means: Float[Tensor, "gaussian 3"]
    covars: Float[Tensor, "gaussian 3 3"]
    opacities: Float[Tensor, " gaussian"]
    colors: Float[Tensor, "gaussian 3"]


def quats_to_matrices(quats: Float[Tensor, "*batch 4"]) -> Float[Tensor, "*batch 3 3"]:
    """Rotation matrices of quaternions (wxyz), which are normalised first, as gsplat does."""
    w, x, y, z = torch.nn.functional.normalize(quats, dim=-1).unbind(-1)
    rows = [
        1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
        2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
        2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y),
    ]  # fmt: skip
    return torch.stack(rows, dim=-1).unflatten(-1, (3, 3))


@dataclass(frozen=True, eq=False)
class Scene:
    """What a background gives.

    Attributes:
        frames: Opaque sRGB frames.
        camera: The camera that filmed the frames, where the frames depend on it; None for a flat picture.
        spot: A free place on the floor where a person can stand, world frame; None where there is no floor.
        depth: Camera depth of what is seen, metres, so that nearer things hide the person; None where unknown.
        light: The light of the place; None leaves people as they are.
    """

    frames: UInt8[Tensor, "time 3 height width"]
    camera: Camera | None = None
    spot: tuple[float, float, float] | None = None
    depth: Float[Tensor, "height width"] | None = None
    light: Light | None = None


@dataclass(frozen=True, eq=False)
class Rendering:
    """People without background, as a renderer returns them.

    Attributes:
        rgb: Multiplied by alpha already.
        alpha: Coverage.
        depth: Alpha-weighted mean camera depth, metres, 0 where alpha is 0; None unless asked for.
        labels: The part that contributes most: 1 + the joint that moves it most, plus all joints of the people before
            (55 each); 0 where there is nobody. None unless asked for.
    """

    rgb: UInt8[Tensor, "time 3 height width"]
    alpha: UInt8[Tensor, "time 1 height width"]
    depth: Float[Tensor, "time 1 height width"] | None = None
    labels: Int16[Tensor, "time 1 height width"] | None = None


Batch: TypeAlias = dict[str, Tensor | list[str]]
"""`video` float [batch 3 time height width], `label`, `synthetic` (0 or 1), `key`: what others eat already."""


@dataclass(frozen=True)
class ClipFormat:
    """How a clip is cut for the recognizer, the same for filmed and synthetic ones.

    Attributes:
        num_frames: Frames.
        fps: Frames per second at which they are taken, whatever the film's own rate.
        size: Side of the square picture, pixels.
    """

    num_frames: int = 16
    fps: float = 8.0
    size: int = 112

    @property
    def seconds(self) -> float:
        """Time that a clip covers."""
        return self.num_frames / self.fps
