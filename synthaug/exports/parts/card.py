"""The card of an export: counts, terms, columns and how to read it, for whoever is given the folder."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from synthaug.exports import Export
from synthaug.exports.parts.clips import ARRAYS
from synthaug.exports.parts.columns import COLUMNS
from synthaug.structures import Values

if TYPE_CHECKING:
    from synthaug.exports.parts.walk import Handover

_HEAD = """---
pretty_name: Synthetic action clips
license: other
task_categories:
- video-classification
tags:
- synthetic
- action-recognition
- pose
---
# Synthetic action clips
"""
"""The front matter is that of data cards on the Hugging Face Hub."""
_SHOWN = {
    "": "nothing of the training film",
    "still": "a still picture made of the training film",
    "moving": "moving frames of the training film",
}


def write_card(rows: Iterable[Values], handover: "Handover", layout: Export) -> str:
    """The card as Markdown."""
    classes, filmed = Counter[str](), Counter[str]()
    identities, sources = set[str](), set[str]()
    for row in rows:
        classes[str(row["class_name"])] += 1
        filmed[str(row["filmed"])] += 1
        identities.update(map(str, _list(row["identities"])))
        sources.update(map(str, _list(row["sources"])))
    clip = handover.synthesizer.clip
    counts = [
        f"{classes.total()} clips of {clip.num_frames} frames at {clip.fps:g} frames per second, {clip.size} x "
        f"{clip.size} pixels; {len(classes)} classes, {len(identities)} people, motions of {len(sources)} filmed "
        "clips.",
        *(f"{count} clips show {_SHOWN.get(kind, kind)}." for kind, count in sorted(filmed.items())),
        *(f"{count} clips of the run were left out: {reason}." for reason, count in handover.left_out.items()),
        f"Made by {handover.maker}, renderer {handover.synthesizer.synthesis.renderer.fingerprint}.",
    ]
    parts = [_HEAD]
    if handover.own_use:
        parts.append("**For your own use: people are shown who do not agree to being handed on. Do not pass it on.**\n")
    parts += [
        "\n".join(f"- {line}" for line in counts),
        "\n## Read it\n",
        layout.manual,
        "\n## Terms, as far as they are known\n",
        "A summary, not legal advice.\n",
        _table(
            ("of", "source", "licence", "share", "train", "where"),
            [(one.part, one.name, one.licence, one.share, one.train, one.where) for one in handover.papers.sources],
        ),
        "\n## People\n",
        _table(
            ("person", "licence", "terms", "consent"),
            [
                (name, one.licence, one.terms, one.uses)
                for name, one in sorted(handover.papers.people.items())
                if name in identities
            ],
        ),
        "\n## Classes\n",
        _table(("class", "clips"), [(name, str(count)) for name, count in sorted(classes.items())]),
        "\n## Columns\n",
        _table(("column", "meaning"), list(COLUMNS.items())),
        "\n## Arrays\n",
        _table(("array", "meaning"), list(ARRAYS.items())),
    ]
    return "\n".join(parts) + "\n"


def _list(value: object) -> Sequence[object]:
    return value if isinstance(value, list) else []


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
