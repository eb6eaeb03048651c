"""Keep the state of learning in a file, so that a run that was stopped goes on as if it had not been."""

from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from synthaug.creation.adam import Adam
from synthaug.creation.learning import LearningState
from synthaug.creation.person import Unknowns
from synthaug.files import write_atomic

_NAMES = tuple(Unknowns.__annotations__)


def save_state(path: Path, state: LearningState, digest: str) -> None:
    """Write the state completely or not at all.

    Args:
        path: A .safetensors file.
        state: Of learning.
        digest: Of what is learnt from and how; a state of another digest is not taken up.
    """
    tensors = {f"unknowns.{name}": value for name, value in vars(state.unknowns).items()}
    for kind in ("means", "squares", "counts"):
        tensors |= {f"{kind}.{name}": value for name, value in getattr(state.adam, kind).items()}
    facts = {"digest": digest, "done": str(state.done), "error": float(state.error).hex()}
    write_atomic(path, save({name: value.contiguous().clone() for name, value in tensors.items()}, metadata=facts))


def load_state(path: Path, digest: str) -> LearningState | None:
    """The state that was kept; None if there is none, it is damaged, or it was learnt from something else."""
    try:
        with safe_open(path, framework="pt") as stored:
            facts = stored.metadata() or {}
            if facts.get("digest") != digest:
                return None
            tensors = {name: stored.get_tensor(name).clone() for name in stored.keys()}
        unknowns = Unknowns(**{name: tensors[f"unknowns.{name}"] for name in _NAMES})
        adam = Adam(*(
            {name: tensors[f"{kind}.{name}"] for name in _NAMES if f"{kind}.{name}" in tensors}
            for kind in ("means", "squares", "counts")
        ))  # fmt: skip
        return LearningState(unknowns, adam, int(facts["done"]), float.fromhex(facts["error"]))
    except (FileNotFoundError, OSError, SafetensorError, KeyError, ValueError):
        return None
