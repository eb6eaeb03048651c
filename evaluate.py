"""Test a run's checkpoint again: `python evaluate.py run=PATH ...` is `synthaug evaluate run=PATH ...`."""

import sys

from synthaug.cli.main import main

if __name__ == "__main__":
    raise SystemExit(main(["evaluate", *sys.argv[1:]]))
