"""Papers of a pack: licence, consent, subject and attributes, read from a JSON file that a person writes."""

from dataclasses import replace
from pathlib import Path

from synthaug.avatars.pack.about import About, Consent, Licence, from_plain, read_json
from synthaug.avatars.pack.format import read_pack, with_about, write_pack

FIELDS = ("licence", "consent", "subject", "attributes", "height", "name")
"""Fields of `About` that papers may set."""


def apply_papers(about: About, path: Path) -> About:
    """What is known about a person, updated by a JSON file with some of FIELDS.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not such JSON; the message says which field is wrong.
    """
    plain = read_json(path)
    if not isinstance(plain, dict) or not set(plain) <= set(FIELDS):
        raise ValueError(f"Expected '{path}' to be a JSON object with some of {', '.join(FIELDS)}. Correct it.")
    known = {name: value for name, value in vars(about).items() if name in FIELDS}
    parts = {"licence": Licence, "consent": Consent}
    try:
        stated = {
            name: from_plain(parts[name], value, where=name) if name in parts else value
            for name, value in plain.items()
        }
        return replace(about, **{**known, **stated})
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"'{path}' cannot be used: {error}. Correct it; docs/avatar-pack.md lists the fields."
        ) from error


def label_pack(path: Path, papers: Path) -> None:
    """Replace the papers of a pack in place, for example after consent was withdrawn.

    Raises:
        FileNotFoundError: If a file does not exist.
        PackError: If the pack is damaged.
        ValueError: If the papers cannot be used.
    """
    pack = read_pack(path)
    write_pack(path, with_about(pack, apply_papers(pack.about, papers)))
