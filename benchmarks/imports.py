"""Time `import synthaug` in fresh processes: `python -m benchmarks.imports`.

Prints one JSON object: the median in milliseconds of what Python itself measures (`-X importtime`), the number of
modules that come with it, and the heavy libraries among them (there should be none).
"""

import json
import statistics
import subprocess
import sys

RUNS = 7
HEAVY = ("torch", "numpy", "hydra", "lightning")


def time_import() -> float:
    """Milliseconds that one fresh process takes to import the package."""
    command = [sys.executable, "-X", "importtime", "-c", "import synthaug"]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stderr.splitlines()
    (last,) = [line for line in lines if line.split("|")[-1].strip() == "synthaug"]
    return int(last.split("|")[1]) / 1000


def find_imported() -> list[str]:
    """Modules that are loaded after the import, and were not before it."""
    code = "import sys; before = set(sys.modules); import synthaug; print(*sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.split()


def main() -> None:
    modules = find_imported()
    times = [time_import() for _ in range(RUNS)]
    heavy = [name for name in modules if name in HEAVY]
    print(json.dumps({"import_ms": round(statistics.median(times), 1), "modules": len(modules), "heavy": heavy}))


if __name__ == "__main__":
    main()
