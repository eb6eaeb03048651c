"""Put people on the spot where a filmed place has room for them. Pure functions."""

import math

from jaxtyping import Float
from torch import Tensor

from synthaug.backgrounds import Outline
from synthaug.body.skeleton import move_motion
from synthaug.structures import Camera, Motion


def move_to_spot(motion: Motion, centre: Float[Tensor, "3"], camera: Camera, scene: Outline) -> Motion:
    """The motion on the spot of a filmed place, turned so that its camera sees the side that ours would have seen.

    Args:
        motion: World frame of the camera.
        centre: Middle of the people's paths there.
        camera: The view that would have been.
        scene: The place.

    Raises:
        ValueError: If it has no spot.
    """
    assert scene.camera is not None
    if scene.spot is None:
        raise ValueError(
            "Expected a scene with a camera to have a spot to stand on, got none. Return Scene(camera=..., spot=...) "
            "from the background, or neither of them for a flat picture."
        )
    spot = motion.transl.new_tensor(scene.spot)
    turn = _find_azimuth(scene.camera, spot) - _find_azimuth(camera, centre)
    cos, sin = math.cos(turn), math.sin(turn)
    R = motion.transl.new_tensor([[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]])
    floor = centre * centre.new_tensor([1.0, 0.0, 1.0])
    return move_motion(motion, R, spot - R @ floor)


def _find_azimuth(camera: Camera, point: Float[Tensor, "3"]) -> float:
    """Direction from a point to the camera's first position, about the vertical axis, radians."""
    viewmat = camera.viewmats[0]
    position = -viewmat[:3, :3].mT @ viewmat[:3, 3]
    away = position - point
    return math.atan2(float(away[0]), float(away[2]))
