"""Check the words of a command before Hydra composes with them, and say in ours what to write instead.

Hydra gives some characters a meaning (`#`, `=`, `,`, `(` ...), reads `1_2` as the number 12, and names only the setting
that it does not know, not the one that was meant.
"""

import os
import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hydra.core.config_loader import ConfigLoader
    from hydra.core.override_parser.types import Override
    from omegaconf import DictConfig

_QUOTED = re.compile(r"""'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*\"""")
_NUMBER = re.compile(r"[+-]?(?:[0-9][0-9_]*\.?[0-9_]*|\.[0-9][0-9_]*)(?:[eE][+-]?[0-9_]+)?")
_WORD = re.compile(r"true|false|[+-]?(?:nan|inf)", re.IGNORECASE)
"""What Hydra reads as a truth value or a number, and what people and classes are called too: Nan, True."""
_STRUCTURE = r"[\[\]{},:()]"
"""What stands between the items of lists, dictionaries, sweeps and functions."""
_BARE = re.compile(r"[\w.,:/@%+~=\[\]-]*", re.ASCII)
"""A word that no common shell changes, apart from brackets, which bash leaves alone where no file matches."""


@dataclass(frozen=True)
class Catalogue:
    """The groups of options that Hydra finds, and their options.

    Attributes:
        loader: Hydra's own.
        searched: `hydra.searchpath=` words, which add folders.
    """

    loader: "ConfigLoader"
    searched: Sequence[str] = ()

    def options(self, group: str) -> list[str]:
        """Names of a group's options; empty if there is no such group."""
        return self.loader.get_group_options(group, config_name="config", overrides=list(self.searched))

    def groups(self, parent: str = "") -> Iterator[str]:
        """Every group of our own below a group."""
        for name in self.loader.list_groups(parent):
            path = f"{parent}/{name}" if parent else name
            if name != "hydra" and not name.startswith("__"):
                yield path
                yield from self.groups(path)


def check_words(words: Sequence[str], *, multirun: bool = False) -> None:
    """Refuse words that Hydra cannot read, or of which one sweeps where nothing sweeps.

    Args:
        words: NAME=VALUE words, under today's names.
        multirun: Whether commas sweep.

    Raises:
        ValueError: If there is one; the message shows it with the quotes to write.
    """
    for word in words:
        override = _parse(word)
        if isinstance(override, str):
            raise ValueError(_explain_unreadable(word, override))
        if not override.is_sweep_override():
            continue
        value = word.partition("=")[2]
        if not multirun:
            raise ValueError(
                f"{word} does not compose: expected one value, got {value}, whose commas or parentheses mean several. "
                f"Write {quote_word(word)} for a text that contains them, [...] for a list, or add -m to train once "
                "with each value (train alone can)."
            )
        if Path(value).expanduser().exists():
            raise ValueError(
                f"Expected a comma between the values of a sweep, got {word}, which names a file or folder. Write "
                f"{quote_word(word)} for that path."
            )


def quote_word(word: str) -> str:
    """A NAME=VALUE word with quotes around what Hydra must not read, and around the whole for the shell."""
    name, _, value = word.partition("=")
    if name.lstrip("+").startswith("hydra."):  # our classes know the home folder, Hydra does not
        value = os.path.expanduser(value)
    marks = {"[]": r"[\[\],]", "{}": r"[\[\]{},:]"}.get(value[:1] + value[-1:], "")
    return _quote_for_shell(f"{name}={_quote_items(value, marks) if marks else _quote(value)}")


def _quote_items(value: str, marks: str) -> str:
    """A value in which the items between these marks are quoted where Hydra would read them otherwise."""
    kept = f"({_QUOTED.pattern}|{marks})"
    pieces = [piece.strip() for piece in re.split(kept, value) if piece.strip()]
    return "".join(piece if re.fullmatch(kept, piece) or _keeps(piece) else _quote(piece) for piece in pieces)


def _quote_for_shell(word: str) -> str:
    if _BARE.fullmatch(word):
        return word
    return shlex.quote(word) if re.search(r'["$`\\!]', word) else f'"{word}"'


def _quote(text: str) -> str:
    # Within double quotes, shells change some letters: these stand in single ones, and Hydra's are then the double.
    mark = '"' if re.search(r"['$`\\!]", text) and '"' not in text else "'"
    ends = len(text) - len(text.rstrip("\\"))
    return f"{mark}{text.replace(mark, chr(92) + mark)}{chr(92) * ends}{mark}"


def _keeps(item: str) -> bool:
    """Whether Hydra reads an item of a list as the same text."""
    override = _parse(f"x=[{item}]")
    read = None if isinstance(override, str) else override.value()
    return isinstance(read, list) and [str(one) for one in read] in ([item], [] if not item else [item])


def _parse(word: str) -> "Override | str":
    """The word as Hydra reads it, or why it cannot."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        return OverridesParser.create().parse_override(word)
    except HydraException as error:
        return next((line for line in str(error.__cause__ or error).splitlines() if line.strip()), "")


def _explain_unreadable(word: str, reason: str) -> str:
    name, equals, value = word.partition("=")
    if not equals:
        return f"{word} does not compose: expected NAME=VALUE, got {word}. Write {word}=VALUE."
    if isinstance(_parse(f"{name}=1"), str):
        return (
            f"{word} does not compose: expected a name of conf/ before =, got {name}. Write a group or a setting, such "
            "as synth/renderer=torch or synth.identities=10."
        )
    structure = "[],{}:" if value[:1] + value[-1:] in ("[]", "{}") else ""
    letters = dict.fromkeys(letter for letter in _QUOTED.sub("", value) if letter not in structure)
    odd = [letter for letter in letters if isinstance(_parse(f"{name}=a{letter}b"), str)]
    what = f"{' '.join(odd)} without quotes" if odd else f"{value} ({reason})"
    return (
        f"{word} does not compose: expected a value that Hydra can read, got {what}. Write {quote_word(word)}, with "
        "both kinds of quotes: the shell takes the outer ones."
    )


def first_of_sweeps(words: Sequence[str]) -> list[str]:
    """The words of the first job of a sweep, without those whose values Hydra alone knows, such as `arm=glob(*)`."""
    return [first for word in words if (first := next(spread_sweep(word), None)) is not None]


def spread_sweep(word: str) -> Iterator[str]:
    """A word once with each value that it sweeps over, or alone; of an interval the start, of a glob nothing."""
    from hydra.core.override_parser.types import ValueType

    override, name = _parse(word), word.partition("=")[0]
    if isinstance(override, str) or not override.is_sweep_override():
        yield word
    elif override.is_interval_sweep():
        yield f"{name}={override.value().start}"  # type: ignore[union-attr]
    elif override.value_type != ValueType.GLOB_CHOICE_SWEEP:
        yield from (f"{name}={value}" for value in override.sweep_string_iterator())


def has_respelt_numbers(words: Sequence[str]) -> bool:
    """Whether Hydra reads something in the words as a number, or a truth value, that is written in another way."""
    values = [word.partition("=")[2] for word in words]
    return any(
        _is_respelt(token) and (value[:1] == "[" or not _WORD.fullmatch(token))
        for value in values
        for token in _tokens(value)
    )


def explain_respelt(words: Sequence[str], before: "DictConfig") -> str | None:
    """What to write for the first number whose spelling Hydra would drop: the person 1_2 must not become 12.

    Args:
        words: NAME=VALUE words that Hydra can read.
        before: The configuration without them, which tells where numbers are expected.

    Returns:
        The message; None if every value is read as it is written, or a number is wanted there.
    """
    from omegaconf import OmegaConf

    for word in words:
        name, _, value = word.lstrip("+").partition("=")
        there = OmegaConf.select(before, name, default=None, throw_on_missing=False) if "/" not in name else None
        inside = value[:1] in ("[", "{")
        for token in _tokens(value):
            named = value[:1] == "[" if _WORD.fullmatch(token) else "_" in token or inside or isinstance(there, str)
            if _expects_numbers(there) or not named or not _is_respelt(token):
                continue
            read = _parse(f"x={token}").value()  # type: ignore[union-attr]
            what = "truth value" if isinstance(read, bool) else "number"
            quoted = _quote_for_shell(f"{name}={_quote_items(value, _STRUCTURE)}")
            return (
                f"Expected {word} to be read as it is written, got the {what} {read} for {token}. Write {quoted} for "
                f"the name, with both kinds of quotes since the shell takes the outer ones, or {read} for the {what}."
            )
    return None


def _tokens(value: str) -> Iterator[str]:
    """The plain items of a value, nested ones too, without those in quotes."""
    yield from (token.strip() for token in re.split(_STRUCTURE, _QUOTED.sub("", value)) if token.strip())


def _is_respelt(token: str) -> bool:
    """Whether Hydra reads a token as a number, or a truth value, that is written in another way."""
    if not _NUMBER.fullmatch(token) and not _WORD.fullmatch(token):
        return False
    override = _parse(f"x={token}")
    if isinstance(override, str):
        return False
    read = override.value()
    return isinstance(read, int | float) and str(read) != token


def _expects_numbers(there: object) -> bool:
    from omegaconf import ListConfig

    if isinstance(there, ListConfig):
        return len(there) > 0 and all(_expects_numbers(one) for one in there)
    return isinstance(there, int | float) and not isinstance(there, bool)


def explain_unknown(words: Sequence[str], catalogue: Catalogue, before: "DictConfig | None") -> str | None:
    """What to write for the first word that names a group, an option or a setting that does not exist.

    Args:
        words: NAME=VALUE words that Hydra can read, without sweeps.
        catalogue: The groups and their options.
        before: The configuration with the groups' options alone; None if these do not compose.

    Returns:
        The message; None if every word names something.
    """
    for word in words:
        override = _parse(word)
        if isinstance(override, str) or override.is_add() or override.is_force_add() or "@" in word.partition("=")[0]:
            continue
        name, equals, value = override.key_or_group, *word.partition("=")[1:]
        if is_option(word, catalogue):
            wrong = _explain_option(name, value, catalogue)
        else:
            wrong = "" if before is None else _explain_setting(name, equals + value, catalogue, before)
        if wrong:
            return f"{word} does not compose: {wrong}"
    return None


def is_option(word: str, catalogue: Catalogue) -> bool:
    """Whether a word selects an option of a group."""
    name = word.lstrip("+~").partition("=")[0].partition("@")[0]
    return "/" in name or bool(catalogue.options(name))


def _explain_option(group: str, option: str, catalogue: Catalogue) -> str:
    """What is wrong with a word that selects an option; empty if nothing is, or a word removes the group."""
    options = catalogue.options(group)
    if not options:
        near = _nearest(group, catalogue.groups())
        advice = (
            f"Did you mean {near}{'=' * bool(option)}{option}?"
            if near
            else f"Choose from {', '.join(catalogue.groups())}."
        )
        return f"expected a group of options that exists, got {group}. {advice}"
    chosen = option.removesuffix(".yaml").strip("'\"")
    if not chosen or chosen in options or chosen.startswith("[") or "/" in chosen:
        return ""
    near = _nearest(chosen, options)
    advice = f"Did you mean {group}={near}?" if near else "Choose one of them."
    return f"expected an option of {group} ({', '.join(options)}), got {option}. {advice}"


def _explain_setting(name: str, rest: str, catalogue: Catalogue, before: "DictConfig") -> str:
    known = list(_settings(before))
    if name in known:
        return ""
    near = _nearest(name, [*known, *catalogue.groups()])
    advice = f"Did you mean {near}{rest}?" if near else "See conf/ for what there is."
    return f"expected a setting that exists, got {name}. {advice}"


def _nearest(name: str, known: Iterator[str] | Sequence[str]) -> str | None:
    """The nearest name as a whole; else one whose last part is near."""
    names = list(known)
    if near := get_close_matches(name, names, n=1, cutoff=0.75):
        return near[0]
    leaves = {re.split(r"[./]", one)[-1]: one for one in reversed(names)}
    near = get_close_matches(re.split(r"[./]", name)[-1], leaves, n=1, cutoff=0.75)
    return leaves[near[0]] if near else None


def _settings(tree: "DictConfig", above: str = "") -> Iterator[str]:
    """The dotted place of every setting of a configuration."""
    from omegaconf import DictConfig

    for key in tree:
        place = ".".join(filter(None, (above, str(key))))
        yield place
        child = tree._get_node(key)
        if isinstance(child, DictConfig) and not child._is_none() and not child._is_missing():
            if not child._is_interpolation():
                yield from _settings(child, place)
