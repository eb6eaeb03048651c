"""Few-shot tasks: prototypes as written out, and synthetic clips of the support alone."""

from dataclasses import replace

import pytest
import torch
from fakes import BySubject, Films, Waves, plan

from synthaug.datamodule.batches import normalize
from synthaug.datamodule.module import Loading, SynthAugDataModule
from synthaug.datasets import LeakError
from synthaug.fewshot.episodes import Episodes, sample_tasks
from synthaug.recognizers import Recognizer
from synthaug.runs.fewshot import evaluate_tasks
from synthaug.structures import ClipFormat
from synthaug.synthesis.references import References, gather
from synthaug.synthesis.synthesizer import Synthesizer
from synthaug.video import read_clip

CLIP = ClipFormat(num_frames=4, fps=5.0, size=48)
EPISODES = Episodes(n_way=2, n_shot=1, n_query=2, n_tasks=6)


class Colours(Recognizer):
    """Features are the mean colours of the clip."""

    def __init__(self):
        super().__init__()
        self.nothing = torch.nn.Parameter(torch.zeros(1))

    num_classes = 2
    num_features = 3

    def features(self, video):
        return video.mean((2, 3, 4))

    def forward(self, video):
        return self.features(video)[:, :2]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    films = Films(tmp_path_factory.mktemp("films"), subjects=6)
    protocol = BySubject(test=("s2", "s3", "s4", "s5"))
    data = SynthAugDataModule(films, protocol, synth=plan(), clip=CLIP, loading=Loading(batch_size=4, num_workers=0))
    data.prepare_data()
    data.setup("fit")
    return data


def features(record):
    offset = max(record.end - record.start - CLIP.seconds, 0) / 2
    clip = read_clip(record, offset=offset, fps=5.0, num_frames=4, size=(48, 48))
    return normalize(clip.video[None])[0].mean((0, 2, 3))


def test_filmed_tasks_are_nearest_prototypes(data):
    for task, outcome in zip(
        sample_tasks(data.split.test, EPISODES), evaluate_tasks(Colours(), data, EPISODES), strict=True
    ):
        right = 0
        for query in task.query:
            distances = [(features(query) - features(example)).norm() for example in task.support]
            right += task.support[int(torch.stack(distances).argmin())].label == query.label
        assert outcome.filmed == pytest.approx(right / len(task.query))
        assert outcome.extended is None and outcome.synthetic_clips == 0


def test_synthetic_clips_come_from_the_support_alone(data, monkeypatch):
    asked = []
    render = Synthesizer.render
    monkeypatch.setattr(Synthesizer, "render", lambda self, recipe: (asked.append(recipe), render(self, recipe))[1])
    played = evaluate_tasks(Colours(), data, EPISODES, per_class=3)
    assert [one.synthetic_clips for one in played] == [6] * len(played)
    support = [{record.key for record in task.support} for task in sample_tasks(data.split.test, EPISODES)]
    for recipe in asked:
        assert {actor.motion for actor in recipe.actors} <= support[recipe.lineage["task"]]


def test_an_outsider_is_a_leak(data, monkeypatch):
    from synthaug.datamodule import support

    stranger = data.split.train[0]
    take = data.synth.motion.load(stranger)

    def with_a_stranger(found, **options):
        return References((*found.records, stranger), {**found.by_key, stranger.key: take}, {})

    monkeypatch.setattr(support, "filter_references", with_a_stranger)
    with pytest.raises(LeakError, match="to show its support alone, got '0/s0'"):
        evaluate_tasks(Colours(), data, EPISODES, per_class=8)


class Tipped(Waves):
    """Every clip says another pitch of the one camera, and none is sure."""

    fingerprint = "tipped"

    def load(self, record):
        pitch = float(int(record.subject[1:]) * 8)
        notes = {"pitch_deg": pitch, "pitch_sd_deg": 6.0, "roll_deg": 0.0, "roll_sd_deg": 1.0}
        return replace(Waves().load(record), notes=notes)


def test_no_other_task_says_which_way_is_up(data, monkeypatch):
    """A query of one task is in the support of another; what is performed for a task is known from its support."""
    one_camera = [replace(record, camera="c1") for record in data.split.test]
    monkeypatch.setattr(data, "synth", replace(data.synth, motion=Tipped()))
    monkeypatch.setattr(data, "_split", replace(data.split, test=tuple(one_camera)))
    given = []
    make = Synthesizer.__init__
    monkeypatch.setattr(
        Synthesizer,
        "__init__",
        lambda self, synthesis, found, *a, **k: (given.append(found), make(self, synthesis, found, *a, **k))[1],
    )
    evaluate_tasks(Colours(), data, EPISODES, per_class=1)
    played = sample_tasks(data.split.test, EPISODES)
    assert len(given) == len(played)
    pooled = 0
    for task, found in zip(played, given, strict=True):
        alone = gather(task.support, Tipped())
        for key, take in alone.by_key.items():
            assert found.by_key[key].notes == take.notes
            pooled += "camera_clips" in take.notes
    assert pooled


def test_tasks_without_synthesis_say_what_to_give(data):
    bare = SynthAugDataModule(data.dataset, data.protocol, clip=CLIP)
    bare.setup("fit")
    with pytest.raises(
        ValueError, match="Expected a data module with synth, got none, with per_class=2. Give it a Synthesis"
    ):
        evaluate_tasks(Colours(), bare, EPISODES, per_class=2)
