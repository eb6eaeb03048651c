"""Re-enact labelled action clips with other people, views and places, and train recognizers on the mix.

    import synthaug as sa
    from lightning.pytorch import Trainer

    data = sa.SynthAugDataModule(
        sa.Folder("videos"),  # videos/<class>/<subject>/*.mp4
        sa.CrossSubject(test_subjects=["anna", "ben"]),
        synth=sa.default_synthesis(identities=10),
        loading=sa.Loading(batch_size=16, layout="tuple"),
    )
    Trainer(max_steps=1000).fit(MyModule(), data)

A name is imported when it is first used, so that `import synthaug` itself takes milliseconds and needs no torch. The
other classes are found in the package that is named for what they do, such as `synthaug.backgrounds.images.Images`;
`synthaug.testing` checks that your own classes keep what the interfaces promise.
"""

from importlib import import_module

TYPE_CHECKING = False  # type checkers treat it like typing.TYPE_CHECKING; importing typing would be slow
if TYPE_CHECKING:
    from synthaug.avatars import Avatar as Avatar
    from synthaug.avatars import AvatarPool as AvatarPool
    from synthaug.backgrounds import Background as Background
    from synthaug.cameras import CameraPath as CameraPath
    from synthaug.datamodule import BatchMixture as BatchMixture
    from synthaug.datamodule import Loading as Loading
    from synthaug.datamodule import SynthAugDataModule as SynthAugDataModule
    from synthaug.datamodule.augmentation import Augmentation as Augmentation
    from synthaug.datasets import ActionDataset as ActionDataset
    from synthaug.datasets import DatasetNotFoundError as DatasetNotFoundError
    from synthaug.datasets import LeakError as LeakError
    from synthaug.datasets import Protocol as Protocol
    from synthaug.datasets import Split as Split
    from synthaug.datasets.demo import Demo as Demo
    from synthaug.datasets.folder import Folder as Folder
    from synthaug.datasets.hmdb51 import Hmdb51 as Hmdb51
    from synthaug.datasets.kinetics import Kinetics as Kinetics
    from synthaug.datasets.ntu import Ntu as Ntu
    from synthaug.datasets.protocols import CrossSubject as CrossSubject
    from synthaug.datasets.protocols import CrossSubjectView as CrossSubjectView
    from synthaug.datasets.protocols import CrossView as CrossView
    from synthaug.datasets.protocols import Holdout as Holdout
    from synthaug.datasets.protocols import ListSplit as ListSplit
    from synthaug.datasets.protocols import PeopleFolds as PeopleFolds
    from synthaug.datasets.protocols import Predefined as Predefined
    from synthaug.datasets.toyota import Toyota as Toyota
    from synthaug.datasets.ucf101 import Ucf101 as Ucf101
    from synthaug.defaults import default_avatars as default_avatars
    from synthaug.defaults import default_synthesis as default_synthesis
    from synthaug.defaults import demo as demo
    from synthaug.motions import MotionPrior as MotionPrior
    from synthaug.motions import MotionSource as MotionSource
    from synthaug.motions import MotionVariation as MotionVariation
    from synthaug.motions import UnusableClipError as UnusableClipError
    from synthaug.pseudoreal import FilmMaker as FilmMaker
    from synthaug.pseudoreal.film import Footage as Footage
    from synthaug.pseudoreal.film import PseudoReal as PseudoReal
    from synthaug.recognizers import Recognizer as Recognizer
    from synthaug.recognizers.foreign import ForeignNetwork as ForeignNetwork
    from synthaug.renderers import Renderer as Renderer
    from synthaug.sensors import Sensor as Sensor
    from synthaug.structures import Camera as Camera
    from synthaug.structures import Clip as Clip
    from synthaug.structures import ClipFormat as ClipFormat
    from synthaug.structures import Gaussians as Gaussians
    from synthaug.structures import Light as Light
    from synthaug.structures import Motion as Motion
    from synthaug.structures import Recipe as Recipe
    from synthaug.structures import Record as Record
    from synthaug.structures import Reference as Reference
    from synthaug.structures import Rendering as Rendering
    from synthaug.structures import Scene as Scene
    from synthaug.structures import Values as Values
    from synthaug.synthesis import Synthesis as Synthesis
    from synthaug.synthesis import Synthesizer as Synthesizer
    from synthaug.training.module import Training as Training

    __version__: str

_MODULES = {
    "ActionDataset": "datasets",
    "Augmentation": "datamodule.augmentation",
    "Avatar": "avatars",
    "AvatarPool": "avatars",
    "Background": "backgrounds",
    "BatchMixture": "datamodule",
    "Camera": "structures",
    "CameraPath": "cameras",
    "Clip": "structures",
    "ClipFormat": "structures",
    "CrossSubject": "datasets.protocols",
    "CrossSubjectView": "datasets.protocols",
    "CrossView": "datasets.protocols",
    "DatasetNotFoundError": "datasets",
    "Demo": "datasets.demo",
    "FilmMaker": "pseudoreal",
    "Folder": "datasets.folder",
    "Footage": "pseudoreal.film",
    "ForeignNetwork": "recognizers.foreign",
    "Gaussians": "structures",
    "Hmdb51": "datasets.hmdb51",
    "Holdout": "datasets.protocols",
    "Kinetics": "datasets.kinetics",
    "LeakError": "datasets",
    "Light": "structures",
    "ListSplit": "datasets.protocols",
    "Loading": "datamodule",
    "Motion": "structures",
    "MotionSource": "motions",
    "MotionPrior": "motions",
    "MotionVariation": "motions",
    "Ntu": "datasets.ntu",
    "PeopleFolds": "datasets.protocols",
    "Predefined": "datasets.protocols",
    "Protocol": "datasets",
    "PseudoReal": "pseudoreal.film",
    "Recipe": "structures",
    "Recognizer": "recognizers",
    "Record": "structures",
    "Reference": "structures",
    "Renderer": "renderers",
    "Rendering": "structures",
    "Scene": "structures",
    "Sensor": "sensors",
    "Split": "datasets",
    "SynthAugDataModule": "datamodule",
    "Synthesis": "synthesis",
    "Synthesizer": "synthesis",
    "Toyota": "datasets.toyota",
    "Training": "training.module",
    "Ucf101": "datasets.ucf101",
    "UnusableClipError": "motions",
    "Values": "structures",
    "default_avatars": "defaults",
    "default_synthesis": "defaults",
    "demo": "defaults",
}
"""The module below `synthaug` that defines each public name; the imports above tell editors and type checkers."""

__all__ = [
    "ActionDataset",
    "Augmentation",
    "Avatar",
    "AvatarPool",
    "Background",
    "BatchMixture",
    "Camera",
    "CameraPath",
    "Clip",
    "ClipFormat",
    "CrossSubject",
    "CrossSubjectView",
    "CrossView",
    "DatasetNotFoundError",
    "Demo",
    "FilmMaker",
    "Folder",
    "Footage",
    "ForeignNetwork",
    "Gaussians",
    "Hmdb51",
    "Holdout",
    "Kinetics",
    "LeakError",
    "Light",
    "ListSplit",
    "Loading",
    "Motion",
    "MotionSource",
    "MotionPrior",
    "MotionVariation",
    "Ntu",
    "PeopleFolds",
    "Predefined",
    "Protocol",
    "PseudoReal",
    "Recipe",
    "Recognizer",
    "Record",
    "Reference",
    "Renderer",
    "Rendering",
    "Scene",
    "Sensor",
    "Split",
    "SynthAugDataModule",
    "Synthesis",
    "Synthesizer",
    "Toyota",
    "Training",
    "Ucf101",
    "UnusableClipError",
    "Values",
    "__version__",
    "default_avatars",
    "default_synthesis",
    "demo",
]


def __getattr__(name: str) -> object:
    if name == "__version__":
        from importlib.metadata import version

        return version("synthaug")
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = value  # so that this function runs once for each name
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
