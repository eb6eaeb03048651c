"""Train a recognizer on filmed and synthetic clips: `python train.py OVERRIDES` is `synthaug train OVERRIDES`."""

import sys

from synthaug.cli.main import main

if __name__ == "__main__":
    raise SystemExit(main(["train", *sys.argv[1:]]))
