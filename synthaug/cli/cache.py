"""`synthaug cache`: size, soundness and clean-up of the rendered people on disk."""

import argparse
from pathlib import Path

from synthaug.cli.arguments import add_command


def add_cache(commands: "argparse._SubParsersAction") -> None:
    """Add the command."""
    parser = add_command(commands, "cache", _cache, "look after the rendered people on disk")
    parser.add_argument("verb", choices=("stats", "verify", "gc"))
    parser.add_argument("--root", type=Path, help="the cache's folder; the default run's otherwise")
    parser.add_argument("--max-gb", type=float, default=20.0, help="gc: size to shrink to (20)")


def _cache(chosen: argparse.Namespace) -> int:
    from synthaug.synthesis.caching import RenderCache

    cache = RenderCache(chosen.root, max_gb=chosen.max_gb)
    if chosen.verb == "gc":
        removed = cache.collect()
        print(f"{removed.entries} entries, {removed.bytes / 1e6:.1f} MB, removed from {cache.root}.")
    if chosen.verb == "verify":
        damaged = cache.verify()
        for key, reason in damaged.items():
            print(f"{key}: {reason}")
        total = cache.stats().entries
        print(f"{len(damaged)} of {total} entries are damaged; reading one removes and renders it again.")
        return 1 if damaged else 0
    stats = cache.stats()
    print(f"{cache.root}: {stats.entries} entries, {stats.bytes / 1e6:.1f} MB")
    return 0
