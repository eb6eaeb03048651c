"""Contracts for plugin authors: one `check_*` for each interface, the same for our classes and for yours.

Each check raises an AssertionError that says which promise is broken. A check and what it needs are imported when its
name is first used: `from synthaug.testing import check_background`. The modules of this folder also have examples to
build tests from, such as cameras and people.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from synthaug.testing.avatars import check_avatar as check_avatar
    from synthaug.testing.avatars import check_avatar_pool as check_avatar_pool
    from synthaug.testing.avatars import check_importer as check_importer
    from synthaug.testing.backgrounds import check_background as check_background
    from synthaug.testing.cameras import check_camera_path as check_camera_path
    from synthaug.testing.datasets import check_dataset as check_dataset
    from synthaug.testing.datasets import check_protocol as check_protocol
    from synthaug.testing.motions import check_motion as check_motion
    from synthaug.testing.motions import check_motion_source as check_motion_source
    from synthaug.testing.motions import check_motion_variation as check_motion_variation
    from synthaug.testing.recognizers import check_recognizer as check_recognizer
    from synthaug.testing.renderers import check_renderer as check_renderer
    from synthaug.testing.sensors import check_sensor as check_sensor

_MODULES = {
    "check_avatar": "avatars",
    "check_avatar_pool": "avatars",
    "check_background": "backgrounds",
    "check_camera_path": "cameras",
    "check_dataset": "datasets",
    "check_importer": "avatars",
    "check_motion": "motions",
    "check_motion_source": "motions",
    "check_motion_variation": "motions",
    "check_protocol": "datasets",
    "check_recognizer": "recognizers",
    "check_renderer": "renderers",
    "check_sensor": "sensors",
}
"""Where each check is defined, below `synthaug.testing`."""

__all__ = [
    "check_avatar",
    "check_avatar_pool",
    "check_background",
    "check_camera_path",
    "check_dataset",
    "check_importer",
    "check_motion",
    "check_motion_source",
    "check_motion_variation",
    "check_protocol",
    "check_recognizer",
    "check_renderer",
    "check_sensor",
]


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
