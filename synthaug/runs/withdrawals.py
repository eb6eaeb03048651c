"""Find clips that show people who may no longer be used, in the recipes of runs."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from synthaug.avatars.packs import Packs
from synthaug.structures import Recipe


def read_recipes(paths: Sequence[Path]) -> list[Recipe]:
    """The recipes of several runs.

    Raises:
        ValueError: If a file does not exist, or is not a recipes.jsonl.
    """
    recipes: list[Recipe] = []
    for path in paths:
        try:
            recipes += [Recipe.from_json(line) for line in path.read_text("utf-8").splitlines() if line.strip()]
        except (OSError, ValueError) as error:
            raise ValueError(
                f"Expected '{path}' to be the recipes.jsonl of a run, but reading it failed: {error}. Check the path."
            ) from error
    return recipes


def find_withdrawn(root: Path, recipes: Iterable[Recipe]) -> list[tuple[Recipe, str]]:
    """Recipes that show somebody who may no longer be used, or whose pack is missing, each with the reason.

    Args:
        root: Folder of packs.
        recipes: Those to check.

    Raises:
        FileNotFoundError: If the folder has no pack.
        PackError: If a pack is damaged.
    """
    pool = Packs(root)
    reasons = {**{name: None for name in pool.headers}, **pool.refused}
    hits = []
    for recipe in recipes:
        for actor in recipe.actors:
            reason = reasons.get(actor.identity, "its pack does not exist any more")
            if reason is not None:
                hits.append((recipe, f"{actor.identity}: {reason}"))
    return hits
