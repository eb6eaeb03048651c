"""Batches rendered in the main process, as with a GPU: a CPU stand-in renders, so that all but kernels is tested."""

import threading

import lightning
import pytest
import torch
from fakes import FakeGpuRenderer, Films
from lightning.pytorch.loggers import CSVLogger
from test_datamodule import Diary, epoch, module, trained
from torch.utils.data import DataLoader

from synthaug.backgrounds import Background
from synthaug.datamodule.batches import LoaderMonitor, normalize
from synthaug.datamodule.clips import UnrenderedClips
from synthaug.datamodule.gpu import PendingClip, pack_clip, unpack_clip
from synthaug.datamodule.order import SampleIndex
from synthaug.sensors.camera import CameraSensor
from synthaug.structures import Light, Scene
from synthaug.synthesis.caching import RenderCache


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    return Films(tmp_path_factory.mktemp("films"))


@pytest.fixture(scope="module")
def expected(films):
    """Two epochs, rendered by the workers."""
    data = module(films, sensor=CameraSensor())
    loader = data.train_dataloader()
    return [epoch(data, loader), epoch(data, loader)]


def same(ours, theirs):
    assert len(ours) == len(theirs) > 0
    for one, other in zip(ours, theirs, strict=True):
        assert one.keys() == other.keys()
        assert one["key"] == other["key"] and torch.equal(one["label"], other["label"])
        assert torch.equal(one["video"], other["video"])


@pytest.mark.parametrize(("workers", "ahead"), [(0, 0), (0, 1), (2, 1), (1, 3)])
def test_neither_workers_nor_reading_ahead_change_a_clip(films, expected, workers, ahead):
    renderer = FakeGpuRenderer()
    data = module(films, workers=workers, ahead=ahead, renderer=renderer, sensor=CameraSensor())
    loader = data.train_dataloader()
    for whole in expected:
        same(epoch(data, loader), whole)
    assert renderer.batches == [2] * 2 * len(loader), "every batch is rendered in one call"


def test_a_clip_alone_is_the_clip_in_its_batch(films, expected):
    clips = module(films, renderer=FakeGpuRenderer(), sensor=CameraSensor()).training_clips()
    found = {batch["key"][row]: batch["video"][row] for batch in expected[1] for row in range(4)}
    alone = [clips[SampleIndex(1, index)] for index in range(clips.num_filmed, len(clips))]
    assert all(set(sample) == {"video", "label", "synthetic", "key"} for sample in alone)
    for sample in alone:
        assert torch.equal(normalize(sample["video"][None]).transpose(1, 2)[0], found[sample["key"]])


@pytest.mark.parametrize("consumed", [1, 5, 12])
@pytest.mark.parametrize("ahead", [0, 1, 2])
def test_a_batch_rendered_ahead_and_not_consumed_is_delivered_again(films, expected, consumed, ahead):
    renderer = FakeGpuRenderer()
    loader = module(films, ahead=ahead, renderer=renderer, sensor=CameraSensor()).train_dataloader()
    running = iter(loader)
    for _ in range(consumed):
        next(running)
    state = loader.state_dict()
    running.close()
    assert len(renderer.batches) == min(consumed + ahead, 12), "more are rendered than were consumed"
    resumed = module(films, renderer=FakeGpuRenderer(), sensor=CameraSensor()).train_dataloader()
    resumed.load_state_dict(state)
    same(list(resumed), (expected[0] + expected[1])[consumed:12] or expected[1])


def test_each_rank_renders_its_own_share(films, monkeypatch):
    whole = epoch(module(films, batch_size=8))
    for rank in range(2):
        monkeypatch.setattr("synthaug.datamodule.order.rank_and_world_size", lambda rank=rank: (rank, 2))
        share = epoch(module(films, renderer=FakeGpuRenderer()))
        assert len(share) == len(whole)
        for ours, both in zip(share, whole, strict=True):
            assert ours["key"] == both["key"][rank::2] and torch.equal(ours["video"], both["video"][rank::2])


def test_what_the_cache_has_is_not_rendered(films, tmp_path):
    first, second = FakeGpuRenderer(), FakeGpuRenderer()
    make = lambda renderer: module(films, workers=1, renderer=renderer, cache=RenderCache(tmp_path))  # noqa: E731
    rendered = epoch(make(first))
    kept = epoch(make(second))
    same(kept, rendered)
    assert sum(first.batches) > 0 and sum(second.batches) == 0


class Stage(Background):
    """A lit place with depth, that moves."""

    fingerprint = "stage"

    def sample(self, rng):
        return {}

    def scene(self, values, camera):
        frames = torch.arange(len(camera.viewmats), dtype=torch.uint8)[:, None, None, None] + 100
        depth = torch.full((camera.height, camera.width), 9.0)
        depth[:, : camera.width // 2] = 1.0
        light = Light((0.3, 0.8, 0.5), (0.5, 0.5, 0.5), (0.7, 0.7, 0.7), (0.5, 0.5, 0.5))
        return Scene(frames.repeat(1, 3, camera.height, camera.width), camera, (0.0, 0.0, 0.0), depth, light)


def test_what_travels_is_small_and_whole(films):
    # Its wall hides half of the picture, whatever is sampled.
    whole = {"min_shown": 0.0, "min_shown_half_second": 0.0}
    synthesizer = module(films, renderer=FakeGpuRenderer(), background=Stage(), **whole).synthesizer
    recipe = synthesizer.sample(3)
    staged = synthesizer.stage(recipe)
    content = pack_clip(PendingClip(SampleIndex(0, 9), recipe, staged))
    clip = unpack_clip(content, staged.scene.frames, synthesizer)
    assert clip.index == SampleIndex(0, 9) and clip.recipe == recipe and clip.job.key == staged.key
    finished = synthesizer.finish(recipe, clip.job, synthesizer.render_people(clip.job)).video
    assert torch.equal(finished, synthesizer.render(recipe).video)
    assert len(content) < 48 * 48 * 4 + 20_000, "a depth plane and motions; no frames, no people"


def test_a_failure_while_rendering_reaches_the_training_loop(films):
    class Broken(FakeGpuRenderer):
        def render_clips(self, shots):
            raise RuntimeError("out of paint")

    with pytest.raises(RuntimeError, match="out of paint"):
        epoch(module(films, renderer=Broken()))


def test_no_thread_stays_behind(films):
    before = threading.active_count()
    running = iter(module(films, renderer=FakeGpuRenderer()).train_dataloader())
    next(running)
    assert threading.active_count() > before
    running.close()
    assert threading.active_count() == before


def test_kernels_are_prepared_in_prepare_data(films):
    renderer = FakeGpuRenderer()
    module(films, renderer=renderer)
    assert renderer.prepared == 1


def test_pending_clips_do_not_reach_the_training_loop(films):
    data = module(films, renderer=FakeGpuRenderer())
    clips = UnrenderedClips(data.training_clips(), data.synthesizer)
    assert len(clips) == len(clips.clips)
    assert clips[SampleIndex(0, 0)]["pending"] == b"" and clips[SampleIndex(0, len(clips) - 1)]["pending"] != b""
    assert all("pending" not in batch for batch in epoch(data))


def test_a_trainer_resumes_while_batches_are_rendered_ahead(films, tmp_path):
    make = lambda: module(films, renderer=FakeGpuRenderer())  # noqa: E731
    whole = trained(make(), tmp_path, kept={"every_n_train_steps": 7}, epochs=2)
    for path in sorted(tmp_path.glob("*.ckpt"))[:2]:
        read = torch.load(path, weights_only=True)["read"]
        assert trained(make(), tmp_path, resumed=path, epochs=2) == whole[read:], path.name


def test_the_monitor_logs_what_training_waits_for(films, tmp_path):
    trainer = lightning.Trainer(
        accelerator="cpu", max_steps=4, log_every_n_steps=2, logger=CSVLogger(tmp_path, name="", version="logs"),
        callbacks=[LoaderMonitor()], enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(Diary(), datamodule=module(films, renderer=FakeGpuRenderer()))
    header = (tmp_path / "logs" / "metrics.csv").read_text().splitlines()[0].split(",")
    assert {"loader/wait_ms", "loader/step_ms", "loader/render_ms"} <= set(header)


def test_the_monitor_refuses_other_batches(films, tmp_path):
    trainer = lightning.Trainer(
        accelerator="cpu", max_steps=1, logger=False, callbacks=[LoaderMonitor()], enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, default_root_dir=tmp_path,
    )  # fmt: skip
    loader = DataLoader([{"key": "a", "video": torch.zeros(3, 2, 4, 4), "label": 0}])
    with pytest.raises(TypeError, match="expected the train dataloader of a SynthAugDataModule, got DataLoader"):
        trainer.fit(Diary(), train_dataloaders=loader)
