"""Write the gallery's page: one HTML file whose only other files are the films and recipes in the folder beside it.

It is plain HTML, CSS and a short script of its own, so that it opens from a disk, years from now, without a network.
"""

import base64
import hashlib
import html
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.resources import files

from synthaug.structures import Plain
from synthaug.synthesis.exclusions import Exclusions

FILMS = "clips"
"""Folder of the films and recipes, beside the page."""


@dataclass(frozen=True)
class Papers:
    """What a page says besides its clips.

    Attributes:
        title: Its title.
        of_clips: Number of clips that the run has.
        dropped: Number of training clips that gave no motion.
        terms: Sources with their licence, and whether they may be shared and trained on.
        excluded: What the run already leaves out; it is saved again with what is marked.
    """

    title: str
    of_clips: int
    dropped: int = 0
    terms: Sequence[tuple[str, str, str, str]] = ()
    excluded: Exclusions = field(default_factory=Exclusions)


def build_page(content: dict[str, Plain], papers: Papers) -> str:
    """The whole page.

    Nothing of the content can leave its place in the page: it is JSON in a block that browsers do not run, with every
    character escaped that could end the block, and the script writes it as text. A policy in the page lets no other
    script run, whatever the files of the run contain.

    Args:
        content: What `entries.describe` returned.
        papers: Everything else.
    """
    excluded: dict[str, Plain] = {"motions": sorted(papers.excluded.motions), "clips": sorted(papers.excluded.clips)}
    facts: dict[str, Plain] = {"films": FILMS, "of": papers.of_clips, "excluded": excluded}
    data = {**content, **facts, "id": _name(content)}
    script, style = _read("gallery.js"), _read("gallery.css")
    policy = (
        f"default-src 'none'; script-src 'sha256-{_hash(script)}'; style-src 'unsafe-inline'; "
        "media-src 'self' file:; base-uri 'none'; form-action 'none'"
    )
    shared = files("synthaug.reports").joinpath("style.css").read_text("utf-8")
    values = {
        "POLICY": policy, "TITLE": html.escape(papers.title), "STYLE": shared + style, "DATA": embed_json(data),
        "TERMS": _write_terms(papers.terms), "DROPPED": _write_dropped(papers.dropped), "SCRIPT": script,
    }  # fmt: skip
    page = _read("gallery.html")
    head, *rest = page.split("{{")
    parts = [part.partition("}}") for part in rest]
    return head + "".join(values[name] + tail for name, _, tail in parts)


def embed_json(value: Plain) -> str:
    """JSON that can stand inside a script element: no text in it can end the element or start another."""
    plain = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for sign in "<>&\u2028\u2029":
        plain = plain.replace(sign, f"\\u{ord(sign):04x}")
    # A lone surrogate, as undecodable file names have, cannot be written as UTF-8.
    return "".join(f"\\u{ord(sign):04x}" if 0xD800 <= ord(sign) <= 0xDFFF else sign for sign in plain)


def _name(content: dict[str, Plain]) -> str:
    """Names the content, so that marks that a browser keeps are not another gallery's."""
    return hashlib.blake2b(json.dumps(content, sort_keys=True).encode(), digest_size=8).hexdigest()


def _hash(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _read(name: str) -> str:
    return files("synthaug.runs.gallery").joinpath(name).read_text("utf-8")


def _write_terms(terms: Sequence[tuple[str, str, str, str]]) -> str:
    if not terms:
        return "<p class='under'>The run's configuration names no source with known terms.</p>"
    heads = "".join(f"<th class='words' scope='col'>{name}</th>" for name in ("source", "licence", "share", "train"))
    rows = "".join(f"<tr>{''.join(f'<td class=words>{html.escape(word)}</td>' for word in one)}</tr>" for one in terms)
    return f"<div class='wide'><table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div>"


def _write_dropped(dropped: int) -> str:
    if not dropped:
        return ""
    what = "1 training clip" if dropped == 1 else f"{dropped} training clips"
    return f"<p class='under'>{what} gave no motion and cannot be shown; motions.json of the run says why.</p>"
