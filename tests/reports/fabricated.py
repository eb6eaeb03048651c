"""Folders as a multirun leaves them, with predictions sampled instead of learnt."""

import json

import numpy as np

CLASSES = ["drink water", "sit <b>down</b> & 50%_up | x", "bow", "kick", "walk", "jump", "lie\\down"]
SKILL = {"none": 0.6, "classic": 1.0, "full": 2.0}
CONFIG = """
seed: {seed}
dataset: {{_target_: synthaug.datasets.folder.Folder}}
protocol: {{_target_: synthaug.datasets.protocols.generic.CrossSubject, n_shot: {shot}, test_subjects: [{subjects}]}}
synth: {{per_class: 200, identities: 10}}
"""


def run_files(arm, shot, seed, **facts):
    """The files of one run; `facts` replace some of metrics.json."""
    rng = np.random.default_rng((list(SKILL).index(arm), shot, seed))
    predictions = []
    for label in range(len(CLASSES)):
        for person in range(6):
            scores = np.exp(rng.normal(0, 1, len(CLASSES)) + (SKILL[arm] + 0.1 * shot) * np.eye(len(CLASSES))[label])
            scores /= scores.sum()
            predictions.append(
                {
                    "key": f"{label}/p{person}",
                    "label": label,
                    "prediction": int(scores.argmax()),
                    "scores": list(scores),
                }
            )
    per_class = {
        name: float(np.mean([one["prediction"] == label for one in predictions if one["label"] == label]))
        for label, name in enumerate(CLASSES)
    }
    mean = float(np.mean(list(per_class.values())))
    metrics = {
        "mean_class_accuracy": mean, "top1": mean, "per_class": per_class, "interval": [mean - 0.1, mean + 0.1],
        "clips": 42, "chance": 1 / 7, "seed": seed, "steps": 200, "seconds": 100.0 + seed, "filmed_clips": 7 * shot,
        "synthetic_clips": 1400 if arm == "full" else 0, "val_clips": 7, "classes": CLASSES, "version": "0.1.0",
        "overrides": ["experiment=made_up", f"arm={arm}", f"protocol.n_shot={shot}", f"seed={seed}"],
    }  # fmt: skip
    curve = ["step,val/mean_class_accuracy,train/loss", "49,0.2,", "59,,2.1", "99,0.4,", "100,0."]
    return {
        "metrics.json": json.dumps({**metrics, **facts}),
        "predictions.json": json.dumps(predictions),
        "config.yaml": CONFIG.format(seed=seed, shot=shot, subjects=", ".join(f"p{k}" for k in range(12))),
        "leakage.json": json.dumps(
            {"protocol": "CrossSubject", "violations": [], "overlaps": {}, "checked": {"clips": 9}}
        ),
        "logs/metrics.csv": "\n".join(curve),
    }


def write(folder, files):
    """Write a run's files."""
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def sweep(folder, *, arms=tuple(SKILL), shots=(1, 5), seeds=6, order=None):
    """A whole sweep; `order` shuffles which run is in which folder."""
    jobs = [(arm, shot, seed) for arm in arms for shot in shots for seed in range(seeds)]
    for place, job in enumerate(jobs if order is None else [jobs[k] for k in order.permutation(len(jobs))]):
        write(folder / str(place), run_files(*job))
    write(folder, {"multirun.yaml": f"hydra: {{overrides: {{task: ['arm={','.join(arms)}', 'seed=range(0,6)']}}}}\n"})
    return folder
