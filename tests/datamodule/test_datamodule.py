import dataclasses

import lightning
import numpy as np
import pytest
import torch
from fakes import CLASSES, BeadPeople, BySubject, Films, Waves, plan
from lightning.pytorch.callbacks import ModelCheckpoint

from synthaug.datamodule import module as datamodule
from synthaug.datamodule.augmentation import Augmentation
from synthaug.datamodule.batches import normalize
from synthaug.datamodule.guards import check_references, find_mirror_labels
from synthaug.datamodule.memory import hold_films
from synthaug.datamodule.module import Loading, SynthAugDataModule
from synthaug.datamodule.order import BatchMixture, SampleIndex
from synthaug.datasets import LeakError, Split
from synthaug.runs.folder import leak_report
from synthaug.structures import ClipFormat
from synthaug.synthesis.synthesizer import Synthesizer
from synthaug.video import probe, read_clip

CLIP = ClipFormat(num_frames=4, fps=5.0, size=48)


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    return Films(tmp_path_factory.mktemp("films"))


def module(films, *, workers=0, protocol=None, layout="video", ahead=1, batch_size=4, ratio=0.5, **changes):
    data = SynthAugDataModule(
        films, protocol or BySubject(), synth=plan(**changes), clip=CLIP, augmentation=Augmentation(),
        loading=Loading(batch_size=batch_size, num_workers=workers, layout=layout, ahead=ahead),
        mixture=BatchMixture(ratio=ratio),
    )  # fmt: skip
    data.prepare_data()
    data.setup("fit")
    return data


def epoch(data, loader=None):
    return list(data.train_dataloader() if loader is None else loader)


@pytest.mark.parametrize("workers", [1, 4])
def test_the_number_of_workers_changes_no_pixel(films, workers):
    alone, many = epoch(module(films)), epoch(module(films, workers=workers))
    assert len(alone) == len(many) > 0
    for one, other in zip(alone, many, strict=True):
        assert one["key"] == other["key"]
        assert torch.equal(one["video"], other["video"])


def plain_batches(films, *, batch_size, epoch, seed=0):
    """The loader of filmed clips alone, written out: shuffled, cut, augmented, normalised."""
    from synthaug.datamodule.clips import WINDOW_STREAM
    from synthaug.datamodule.order import ORDER_STREAM

    records = BySubject().split(films.records, CLASSES).train
    lap = lambda number: np.random.default_rng([seed, ORDER_STREAM, 0, epoch, number]).permutation(len(records))  # noqa: E731
    count = -(-len(records) // batch_size)
    order = np.concatenate([lap(0), lap(1)])[: count * batch_size].reshape(count, batch_size)
    augmentation = Augmentation()
    for batch, indices in enumerate(order):
        videos = []
        for place, index in enumerate(indices):
            second = [1] if batch * batch_size + place >= len(records) else []
            rng = np.random.default_rng([seed, WINDOW_STREAM, epoch, int(index), *second])
            record = records[index]
            spare = max(record.end - record.start - CLIP.seconds, 0.0)
            clip = read_clip(record, offset=float(rng.uniform()) * spare, fps=5.0, num_frames=4, size=(48, 48))
            videos.append(augmentation.apply(clip.video, augmentation.sample(rng)))
        yield [records[index].key for index in indices], normalize(torch.stack(videos)).transpose(1, 2)


@pytest.mark.parametrize("none", [{"identities": 0}, {"backgrounds": 0}, {"per_class": 0}])
def test_zero_identities_is_the_real_loader(films, none):
    data = module(films, **none)
    loader = data.train_dataloader()
    for number in range(2):
        ours = epoch(data, loader)
        theirs = list(plain_batches(films, batch_size=4, epoch=number))
        assert len(ours) == len(theirs)
        for batch, (keys, video) in zip(ours, theirs, strict=True):
            assert batch["key"] == keys and batch["synthetic"].sum() == 0
            assert torch.equal(batch["video"], video)


def test_batches_keep_their_share_of_synthetic_clips(films):
    data = module(films, ratio=0.5)
    assert data.synthetic_share() == 0.5
    for batch in epoch(data):
        assert batch["synthetic"].sum() == 2 and len(batch["label"]) == 4


@pytest.mark.parametrize("count", [1, 2, 3])
def test_the_share_of_synthetic_clips_is_that_of_the_batches_of_all_processes(films, monkeypatch, count):
    data = module(films, ratio=0.4, batch_size=3)
    monkeypatch.setattr(datamodule, "rank_and_world_size", lambda: (0, count))
    filmed, synthetic = data.order(processes=count).exposure(1)
    assert data.synthetic_share() == synthetic / (filmed + synthetic) == [1 / 3, 2 / 6, 4 / 9][count - 1]


def test_labels_of_synthetic_clips_are_their_references(films):
    data = module(films)
    by_key = {record.key: record.label for record in films.records}
    for recipe in data.recipes():
        assert recipe.label == by_key[recipe.actors[0].motion]


def test_epochs_differ_and_come_back(films):
    data = module(films)
    loader = data.train_dataloader()
    first, second = epoch(data, loader), epoch(data, loader)
    again = epoch(data)
    assert [b["key"] for b in first] == [b["key"] for b in again]
    assert all(torch.equal(a["video"], b["video"]) for a, b in zip(first, again, strict=True))
    assert [b["key"] for b in first] != [b["key"] for b in second]


def test_resuming_goes_on_with_the_next_unconsumed_batch(films):
    data = module(films)
    whole = epoch(data)
    loader = data.train_dataloader()
    running = iter(loader)
    next(running)
    next(running)
    state = loader.state_dict()
    resumed = data.train_dataloader()
    resumed.load_state_dict(state)
    for batch, expected in zip(list(resumed), whole[2:], strict=True):
        assert batch["key"] == expected["key"] and torch.equal(batch["video"], expected["video"])


def test_no_test_subject_reaches_training(films):
    data = module(films, protocol=BySubject(test=("s1",), val=("s2",)))
    keys = {record.key for record in films.records if record.subject in ("s1", "s2")}
    assert not keys & {recipe.actors[0].motion for recipe in data.recipes()}
    trained = {key for batch in epoch(data) for key in batch["key"]}
    assert not keys & trained


class Leaky(BySubject):
    def split(self, records, classes):
        right = super().split(records, classes)
        return Split(right.train + right.test[:1], right.val, right.test)


def test_a_leak_is_an_error_before_training(films):
    with pytest.raises(LeakError, match="Expected training and test to share no "):
        module(films, protocol=Leaky())


def test_a_reference_of_a_tested_person_is_an_error(films):
    data = module(films)
    assert data.synthesizer is not None
    references, split = data.synthesizer.references, data.split
    leaked = dataclasses.replace(split.test[0], subject=references.records[0].subject)
    with pytest.raises(LeakError, match="got the motion of .*, which is held out. Correct"):
        check_references(references, Split(split.train, (), (leaked,)), "subject")


def test_an_avatar_of_a_tested_person_is_an_error(films):
    class Likenesses(BeadPeople):
        def subject(self, identity):
            return "s3"

    with pytest.raises(LeakError, match="shows the subject 's3'"):
        module(films, avatar=Likenesses())


def test_people_are_made_of_training_film_alone(films):
    class Looking(BeadPeople):
        def __init__(self, seen=()):
            self.seen = seen

        def prepare(self, films):
            return Looking(tuple(films))

    data = module(films, avatar=Looking())
    assert data.synthesizer is not None
    people = data.synthesizer.synthesis.avatar
    assert {record.key for record, _ in people.seen} == {record.key for record in data.split.train}
    assert not {record.subject for record, _ in people.seen} & {record.subject for record in data.split.test}
    assert all(reference.motion.num_frames for _, reference in people.seen)


@pytest.mark.parametrize("layout", ["video", "tuple", "pixel_values"])
def test_layouts_hold_the_same_clips(films, layout):
    expected = epoch(module(films))[0]
    batch = epoch(module(films, layout=layout))[0]
    if layout == "tuple":
        video, label = batch
    elif layout == "pixel_values":
        video, label = batch["pixel_values"].transpose(1, 2), batch["labels"]
    else:
        video, label = batch["video"], batch["label"]
    assert video.shape == (4, 3, 4, 48, 48) and video.dtype == torch.float32
    assert torch.equal(video, expected["video"]) and torch.equal(label, expected["label"])


class Foreign(lightning.LightningModule):
    """A module that knows nothing of synthaug, with its own batch hook."""

    def __init__(self):
        super().__init__()
        self.net = torch.nn.Linear(3, 2)
        self.hooked = 0

    def on_after_batch_transfer(self, batch, dataloader_idx):
        self.hooked += 1
        return batch

    def training_step(self, batch, index):
        video, label = batch
        return torch.nn.functional.cross_entropy(self.net(video.mean(dim=(2, 3, 4))), label)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def test_a_foreign_module_trains_and_keeps_its_hook(films, tmp_path):
    foreign = Foreign()
    trainer = lightning.Trainer(
        accelerator="cpu", max_steps=3, logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, default_root_dir=tmp_path,
    )  # fmt: skip
    trainer.fit(foreign, datamodule=module(films, layout="tuple"))
    assert foreign.hooked == 3 and trainer.global_step == 3


@pytest.mark.parametrize("changes", [{"identities": 0}, {}], ids=["filmed", "mixed"])
def test_every_step_is_of_as_many_clips_however_short_an_epoch_is(films, tmp_path, changes):
    data, steps, filmed = module(films, **changes), [], []
    assert len(data.train_dataloader()) % 5 > 0

    class Counting(Foreign):
        def training_step(self, batch, number):
            steps.append(self.trainer.global_step)
            filmed.append(int((batch["synthetic"] == 0).sum()))
            return super().training_step((batch["video"], batch["label"]), number)

    trainer = lightning.Trainer(
        accelerator="cpu", max_steps=3, logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, default_root_dir=tmp_path, accumulate_grad_batches=5,
    )  # fmt: skip
    trainer.fit(Counting(), datamodule=data)
    assert steps == [0] * 5 + [1] * 5 + [2] * 5
    assert data.filmed_exposure(15) == round(sum(filmed) / len(data.split.train), 2)


class Diary(Foreign):
    """Writes down what it was given."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def training_step(self, batch, index):
        self.seen.append(tuple(batch["key"]))
        return super().training_step((batch["video"], batch["label"]), index)

    def validation_step(self, batch, index):
        pass

    def on_save_checkpoint(self, checkpoint):
        checkpoint["read"] = len(self.seen)


def trained(data, folder, *, kept=None, resumed=None, epochs=3):
    diary = Diary()
    callbacks = [] if kept is None else [ModelCheckpoint(folder, filename="{step}", save_top_k=-1, **kept)]
    trainer = lightning.Trainer(
        accelerator="cpu", max_epochs=epochs, logger=False, enable_checkpointing=bool(callbacks), callbacks=callbacks,
        enable_progress_bar=False, enable_model_summary=False, default_root_dir=folder,
    )  # fmt: skip
    trainer.fit(diary, datamodule=data, ckpt_path=resumed, weights_only=True if resumed else None)
    return diary.seen


def test_every_epoch_of_a_trainer_is_a_whole_one(films, tmp_path):
    loader = module(films).train_dataloader()
    expected = [tuple(batch["key"]) for _ in range(3) for batch in loader]
    assert trained(module(films), tmp_path) == expected


@pytest.mark.parametrize(
    ("kept", "val"), [({"every_n_train_steps": 7}, ()), ({"every_n_epochs": 1}, ()), ({"every_n_epochs": 1}, ("s2",))]
)
def test_a_resumed_trainer_sees_what_an_uninterrupted_one_would_have_seen(films, tmp_path, kept, val):
    protocol = BySubject(val=val)
    whole = trained(module(films, protocol=protocol), tmp_path, kept=kept, epochs=2)
    found = sorted(tmp_path.glob("*.ckpt"))
    assert len(found) == len(whole) // 7 or len(found) == 2
    for path in found[:2]:
        read = torch.load(path, weights_only=True)["read"]
        assert trained(module(films, protocol=protocol), tmp_path, resumed=path, epochs=2) == whole[read:], path.name


def test_a_pass_that_was_left_early_is_over(films):
    data = module(films)
    loader, whole = data.train_dataloader(), data.train_dataloader()
    next(iter(loader))
    epoch(data, whole)
    assert [batch["key"] for batch in loader] == [batch["key"] for batch in whole]


def test_lightning_cli_builds_it_from_its_signature(tmp_path, monkeypatch):
    from lightning.pytorch.cli import LightningCLI

    monkeypatch.setenv("JSONARGPARSE_DEBUG", "true")  # errors are raised instead of leaving the process
    data = LightningCLI(
        Foreign, SynthAugDataModule, run=False, save_config_callback=None,
        args=[
            "--data.dataset=fakes.Films", f"--data.dataset.root={tmp_path}", "--data.protocol=fakes.BySubject",
            "--data.loading.batch_size=3", "--data.loading.num_workers=0", "--data.clip.size=48",
            "--data.clip.num_frames=16", "--data.loading.layout=tuple", "--trainer.accelerator=cpu",
            "--trainer.logger=false",
        ],
    ).datamodule  # fmt: skip
    data.prepare_data()
    data.setup("fit")
    video, label = next(iter(data.train_dataloader()))
    assert video.shape == (3, 3, 16, 48, 48) and len(label) == 3


def test_resampling_changes_the_synthetic_set_when_it_should(films):
    clips = module(films, resample_every=2).training_clips()
    first, same, later = (clips[SampleIndex(number, clips.num_filmed)]["key"] for number in (0, 1, 2))
    assert first == same != later


@pytest.mark.parametrize("count", [1, 2, 3])
def test_test_intervals_are_seen_from_their_start_to_their_end(films, count):
    data = module(films)
    short = dataclasses.replace(data.split.test[0], key="short", end=data.split.test[0].start + CLIP.seconds)
    data._split = dataclasses.replace(data.split, test=(*data.split.test, short))
    data.loading = dataclasses.replace(data.loading, test_clips=count)
    batches = list(data.test_dataloader())
    keys, videos = [key for batch in batches for key in batch["key"]], torch.cat([b["video"] for b in batches])
    spares = [max(record.end - record.start - CLIP.seconds, 0.0) for record in data.split.test]
    assert max(spares) > 1 / CLIP.fps and spares[-1] == 0
    cuts = [
        (record, share * spare)
        for record, spare in zip(data.split.test, spares, strict=True)
        for share in ({1: [0.5], 2: [0.0, 1.0], 3: [0.0, 0.5, 1.0]}[count] if spare else [0.0])
    ]
    assert keys == [record.key for record, _ in cuts]
    for (record, offset), video in zip(cuts, videos, strict=True):
        clip = read_clip(record, offset=offset, fps=5.0, num_frames=4, size=(48, 48))
        assert torch.equal(video, normalize(clip.video[None]).transpose(1, 2)[0])


def test_class_weights_balance(films):
    assert torch.allclose(module(films).class_weights, torch.ones(2))


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"layout": "nchw"}, "Expected loading.layout to be one of video, tuple, pixel_values, got 'nchw'"),
        ({"last": "none"}, "Expected loading.last to be one of full, short, got 'none'"),
        ({"batch_size": 0}, "Expected loading.batch_size to be at least 1, got 0"),
        ({"test_clips": 0}, "Expected loading.test_clips to be at least 1, got 0"),
        ({"num_workers": -1}, "Expected loading.num_workers to be at least 0, got -1"),
        ({"ahead": -1}, "Expected loading.ahead to be at least 0, got -1"),
        ({"memory_mb": -1.0}, "Expected loading.memory_mb to be at least 0, got -1.0"),
    ],
)
def test_impossible_loading_is_refused(wrong, words):
    with pytest.raises(ValueError, match=words):
        Loading(**wrong)


def test_augmentation_of_nothing_is_the_same_object():
    video = torch.randint(0, 255, (4, 3, 16, 16), dtype=torch.uint8)
    still = Augmentation(crop=1.0, flip=0.0, color=0.0)
    assert still.apply(video, still.sample(np.random.default_rng(0))) is video


def test_augmentation_is_sampled_once_for_all_frames():
    frame = torch.randint(0, 255, (1, 3, 32, 32), dtype=torch.uint8)
    augmentation = Augmentation(crop=0.6, flip=0.5, color=0.3)
    out = augmentation.apply(frame.expand(5, 3, 32, 32), augmentation.sample(np.random.default_rng(1)))
    assert all(torch.equal(one, out[0]) for one in out)


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        (None, None),
        ({}, {0: 0, 1: 1}),
        ({"wave left": "wave right"}, {0: 1, 1: 0}),
        ({"wave right": "wave left", "wave left": "wave right"}, {0: 1, 1: 0}),
        ({"wave left": None}, {1: 1}),
    ],
)
def test_mirror_images_have_labels(tmp_path, pairs, expected):
    films = type("Handed", (Films,), {"mirrored_classes": pairs})(tmp_path)
    assert find_mirror_labels(films) == expected


@pytest.mark.parametrize("pairs", [{"wave": "wave left"}, {"wave left": "wave right", "wave right": None}])
def test_pairs_that_do_not_match_are_refused(tmp_path, pairs):
    films = type("Handed", (Films,), {"mirrored_classes": pairs})(tmp_path)
    with pytest.raises(
        ValueError, match=r"pair classes that are each other's mirror images.*Correct dataset\.mirrored_classes"
    ):
        find_mirror_labels(films)


def flipped(folder, pairs, chance):
    films = type("Handed", (Films,), {"mirrored_classes": pairs})(folder)
    data = SynthAugDataModule(
        films, BySubject(), synth=plan(), clip=CLIP, augmentation=Augmentation(crop=1.0, flip=chance, color=0.0),
        loading=Loading(batch_size=4, num_workers=0),
    )  # fmt: skip
    data.prepare_data()
    data.setup("fit")
    return data.training_clips()


@pytest.mark.parametrize(
    ("pairs", "labels"), [({}, [0, 1]), ({"wave left": "wave right"}, [1, 0]), ({"wave left": None}, [0, 1])]
)
def test_a_flipped_clip_bears_the_label_of_its_mirror_image(tmp_path, pairs, labels):
    clips, still = flipped(tmp_path, pairs, 1.0), flipped(tmp_path, pairs, 0.0)
    for index in (0, clips.num_filmed - 1, len(clips) - 1, clips.num_filmed):
        one, other = clips[SampleIndex(0, index)], still[SampleIndex(0, index)]
        assert one["label"] == labels[other["label"]]
        turned = pairs.get(CLASSES[other["label"]], "itself") is not None
        assert torch.equal(one["video"], other["video"].flip(-1) if turned else other["video"])


def test_flips_need_to_know_what_a_mirror_image_shows(tmp_path):
    with pytest.raises(ValueError, match=r"Set dataset\.mirrored_classes.*augmentation\.flip=0"):
        flipped(tmp_path, None, 0.5)


class Untouched(Waves):
    """Motions that nobody may ask for."""

    def load(self, record):
        pytest.fail("a motion was extracted before the settings were checked")


@pytest.mark.parametrize(("mirror", "flip", "told"), [(0.5, 0.0, "synth.mirror=0"), (0.0, 0.5, "augmentation.flip=0")])
def test_unknown_mirror_images_are_told_before_minutes_of_extraction(tmp_path, mirror, flip, told):
    films = type("Handed", (Films,), {"mirrored_classes": None})(tmp_path)
    data = SynthAugDataModule(
        films, BySubject(), synth=plan(motion=Untouched(), mirror=mirror), clip=CLIP,
        augmentation=Augmentation(crop=1.0, flip=flip, color=0.0), loading=Loading(num_workers=0),
    )  # fmt: skip
    with pytest.raises(ValueError, match=rf"mirrored_classes.*{told}"):
        data.prepare_data()


@pytest.mark.parametrize("megabytes", [0.0, 256.0])
def test_films_kept_in_memory_give_the_same_pixels(films, megabytes):
    data = module(films)
    data.loading = dataclasses.replace(data.loading, memory_mb=megabytes)
    data.augmentation = None
    clips, records = data.training_clips(), data.split.train
    assert set(clips.filmed.films) == ({record.path for record in records} if megabytes else set())
    for index, record in enumerate(records):
        rng = clips.random_generator(SampleIndex(0, index))
        offset = float(rng.uniform()) * max(record.end - record.start - CLIP.seconds, 0.0)
        plain = read_clip(record, offset=offset, fps=CLIP.fps, num_frames=CLIP.num_frames, size=(48, 48))
        assert torch.equal(clips[SampleIndex(0, index)]["video"], plain.video)


def test_films_are_kept_all_or_not_at_all(films):
    records = films.records
    needed = sum(3 * 48 * 48 * probe(path).num_frames for path in {record.path for record in records}) / 1e6
    assert hold_films(records, size=(48, 48), limit_mb=1.01 * needed)
    assert hold_films(records, size=(48, 48), limit_mb=0.99 * needed) == {}


def kept_in(data, megabytes):
    data.loading = dataclasses.replace(data.loading, memory_mb=megabytes)
    return data


@pytest.mark.parametrize("workers", [0, 2])
def test_synthetic_clips_kept_in_memory_are_the_same_clips(films, workers):
    kept, anew = kept_in(module(films, workers=workers), 256.0), kept_in(module(films), 0.0)
    loader, other = kept.train_dataloader(), anew.train_dataloader()
    for _ in range(3):
        for one, two in zip(epoch(kept, loader), epoch(anew, other), strict=True):
            assert one["key"] == two["key"] and torch.equal(one["video"], two["video"])
    # Workers that were forked put them where this process sees them.
    finished = loader.loader.dataset.synthetic.finished
    made = len(kept.synthesizer)
    assert made > 0 and all(finished.get(index) is not None for index in range(made))
    assert other.loader.dataset.synthetic.finished is None


def test_a_kept_clip_is_made_once(films, monkeypatch):
    made = []
    render = Synthesizer.render
    monkeypatch.setattr(Synthesizer, "render", lambda self, recipe: made.append(recipe.key) or render(self, recipe))
    clips = kept_in(module(films), 256.0).training_clips()
    for lap in range(3):
        for index in range(clips.num_filmed, len(clips)):
            clips[SampleIndex(lap, index)]
    assert sorted(made) == sorted(set(made)) and len(made) == clips.num_synthetic


def test_only_a_whole_set_that_comes_again_is_kept(films):
    data = module(films)
    needed = len(data.synthesizer) * 4 * 3 * 48 * 48 / 1e6
    assert kept_in(data, 1.01 * needed).training_clips().synthetic.finished is not None
    assert kept_in(data, 0.99 * needed).training_clips().synthetic.finished is None
    assert module(films, resample_every=1).training_clips().synthetic.finished is None
    data.loading = dataclasses.replace(data.loading, memory_mb=256.0, num_workers=1, start_method="spawn")
    assert data.training_clips().synthetic.finished is None
    assert module(films, identities=0).training_clips().synthetic.finished is None


def test_the_leak_report_says_what_was_checked_and_what_is_shared(films):
    data = module(films)
    report = leak_report(data)
    split = data.split
    assert report["violations"] == [] and report["separates"] == "subject"
    assert report["checked"]["recipes"] == len(data.recipes()) and report["checked"]["test"] == len(split.test)
    data._split = dataclasses.replace(split, test=(*split.test, split.train[0]))
    leaking = leak_report(data)
    first, *recipes = leaking["violations"]
    assert split.train[0].key in first
    tested = {record.key for record in split.train if record.subject == split.train[0].subject}
    assert recipes == [f"A recipe performs '{key}', which is held out." for key in sorted(tested)]
    shared = leaking["overlaps"]["subjects of training"]
    assert shared["names"] == [split.train[0].subject] and shared["shared"] == 1


def test_the_leak_report_says_how_many_clips_name_nobody(films, monkeypatch):
    data = module(films)
    keys = frozenset({data.split.train[0].key, data.split.test[0].key, "of no part"})
    monkeypatch.setattr(type(data.dataset), "unnamed", {"subject": keys}, raising=False)
    assert leak_report(data)["clips_that_name_none"] == {"subject": 2}


def test_a_recipe_of_a_held_out_motion_is_reported(films):
    data = module(films)
    gone = data.split.train[0]
    data._split = dataclasses.replace(data.split, train=data.split.train[1:])
    assert any(gone.key in words for words in leak_report(data)["violations"])


def test_motions_of_all_shards_are_those_that_setup_finds(tmp_path, monkeypatch):
    monkeypatch.setenv("SYNTHAUG_CACHE", str(tmp_path / "cache"))
    data = SynthAugDataModule(
        Films(tmp_path / "films"), BySubject(), synth=plan(), clip=CLIP, loading=Loading(num_workers=0)
    )
    shards = [{record.key for record in data.extract_motions((number, 2)).records} for number in (1, 2)]
    kept = sorted((tmp_path / "cache" / "motions").rglob("*.npz"))
    data.prepare_data()
    data.setup("fit")
    assert shards[0] and shards[1] and not shards[0] & shards[1]
    assert shards[0] | shards[1] == {record.key for record in data.split.train}
    assert sorted((tmp_path / "cache" / "motions").rglob("*.npz")) == kept
    with pytest.raises(ValueError, match="got 3/2. Correct --shard"):
        data.extract_motions((3, 2))
    filmed = SynthAugDataModule(Films(tmp_path / "films"), BySubject(), synth=None, clip=CLIP)
    with pytest.raises(ValueError, match="got synth=null"):
        filmed.extract_motions()
