"""Find packs, describe them in words, and say what is wrong with them."""

import datetime
from collections.abc import Iterator, Sequence
from pathlib import Path

from synthaug.avatars.pack.about import Consent, Licence, PackError
from synthaug.avatars.pack.format import SUFFIX, PackFile, read_header, read_pack
from synthaug.files import walk_files


def find_packs(paths: Sequence[Path]) -> list[Path]:
    """Packs among these paths, and below those that are folders.

    Raises:
        FileNotFoundError: If there is none.
    """
    packs = []
    for path in paths:
        packs += sorted(one for one in walk_files(path) if one.name.endswith(SUFFIX)) if path.is_dir() else [path]
    if not packs:
        raise FileNotFoundError(f"No avatar pack (*{SUFFIX}) in {', '.join(map(str, paths))}. Check the path.")
    return packs


def describe_pack(path: Path) -> dict[str, str]:
    """Facts about a pack in words, by name.

    Raises:
        FileNotFoundError: If there is no such file.
        PackError: If it is damaged.
    """
    file = PackFile(path)
    about, level = file.header.about, file.level(0)
    low, high = level.means.amin(0).tolist(), level.means.amax(0).tolist()
    consent = about.consent
    objection = consent.objection(datetime.date.today())
    facts = {
        "name": about.name,
        "digest": file.header.digest,
        "Gaussians": ", ".join(f"{count:,}" for count in file.header.counts),
        "bounds, m": " to ".join("(" + ", ".join(f"{value:.2f}" for value in corner) + ")" for corner in (low, high)),
        "height, m": "not recorded" if about.height is None else f"{about.height:.3f}",
        "hands": about.hands,
        "from": " ".join(part for part in (about.provenance.kind, about.provenance.source) if part),
        "made by": about.provenance.tool,
        "notes": "; ".join(about.provenance.notes) or "none",
        "licence": ". ".join(part for part in (about.licence.name, about.licence.terms) if part),
        "consent": objection or ", ".join(list_consent(consent)) or "not stated",
        "contact": consent.contact or "not stated",
        "subject": about.subject or "of no data set",
        "attributes": ", ".join(f"{key} {value}" for key, value in about.attributes.items()) or "none",
    }
    return {**facts, **{key: f"{value:.4g}" for key, value in about.quality.items()}}


def find_problems(path: Path) -> list[str]:
    """What is wrong with a pack: damage, consent that does not hold, a licence that is not stated."""
    try:
        about = read_pack(path).about
    except (PackError, FileNotFoundError) as error:
        return [str(error)]
    objection = about.consent.objection(datetime.date.today())
    unstated = ["licence is not stated"] if about.licence == Licence() else []
    return ([f"may not be used: {objection}"] if objection else []) + unstated


def read_licences(root: Path) -> dict[str, Licence]:
    """Licence of every pack below a folder, by identity.

    Raises:
        FileNotFoundError: If there is none.
        PackError: If one is damaged.
    """
    return {
        path.relative_to(root).as_posix().removesuffix(SUFFIX): read_header(path).about.licence
        for path in find_packs([root])
    }


def list_consent(consent: Consent) -> Iterator[str]:
    """What a person agreed to and what not, in words; nothing where they did not say."""
    for use in ("training", "display", "redistribution"):
        answer = getattr(consent, use)
        if answer is not None:
            yield use if answer else f"no {use}"
    if consent.expires:
        yield f"until {consent.expires}"
