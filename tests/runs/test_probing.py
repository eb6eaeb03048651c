import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from fakes import CLASSES, BySubject, Films, plan
from lightning.pytorch import Trainer

from synthaug.cli.main import main
from synthaug.datamodule.batches import normalize
from synthaug.datamodule.module import Loading, SynthAugDataModule
from synthaug.datamodule.order import BatchMixture, SampleIndex
from synthaug.files import user_cache
from synthaug.recognizers.resnet import ResNet2D
from synthaug.recognizers.slowfast import SlowFast
from synthaug.recognizers.small import SmallResNet
from synthaug.runs.feature_store import FeatureStore, digest_network
from synthaug.runs.probing import LinearProbe, find_sources, find_testable, fit_probe
from synthaug.structures import ClipFormat
from synthaug.training import loops
from synthaug.training.linear_probe import Features, Part, choose_decay, fit_parts, measure_accuracy
from synthaug.training.module import Training

pytestmark = pytest.mark.usefixtures("quiet")


def network(seed=0, **options):
    torch.manual_seed(seed)
    return SmallResNet(2, widths=(16, 16), grid=(1, 2, 2), **options).eval()


def prepared(films, *, val=(), test=("s3",), mixture=BatchMixture(), synth=None):  # noqa: B008 - frozen
    data = SynthAugDataModule(
        films, BySubject(test=test, val=val), synth=synth, clip=ClipFormat(num_frames=3, fps=5.0, size=32),
        loading=Loading(batch_size=4, num_workers=0), mixture=mixture,
    )  # fmt: skip
    data.prepare_data()
    data.setup()
    return data


def trainer(**options):
    return Trainer(accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False, **options)


def fit(data, folder, *, views=2, decays=(0.01, 1.0), **options):
    training = Training(network(), **options)
    probe = LinearProbe(views, decays, str(folder / "features"))
    return fit_probe(probe, training, data, device=torch.device("cpu")), training


def part(seed, people="aabb", share=1.0, classes=2, width=5):
    """Noisy clips of each class by each of these people, in turn."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(len(people) * classes) % classes
    vectors = torch.randn(len(labels), width, generator=generator)
    vectors[:, 0] += 2 * labels
    keys = tuple(f"{seed}/{place}" for place in range(len(labels)))
    return Part(Features(vectors, labels, keys), tuple(who for who in people for _ in range(classes)), share)


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    return Films(tmp_path_factory.mktemp("films"))


@pytest.mark.parametrize(
    "build",
    [
        lambda: network(),
        lambda: ResNet2D(3, depth=18),
        lambda: SlowFast(3, width=16, blocks=(1, 1, 1, 1)),
    ],
    ids=["small", "resnet18", "slowfast"],
)
def test_the_classifier_makes_logits_of_features(build):
    recognizer = build().eval()
    video = torch.randn(2, 3, 8, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(recognizer.classifier(recognizer.features(video)), recognizer(video))


def test_a_network_with_two_such_layers_has_to_say_which_is_its_classifier():
    recognizer = network()
    recognizer.other = torch.nn.Linear(recognizer.num_features, 2)
    with pytest.raises(ValueError, match="Expected one linear layer from 64 features to 2 classes .* got 2"):
        _ = recognizer.classifier


def test_kept_features_are_the_networks(tmp_path, monkeypatch):
    recognizer, videos = network(), torch.randint(0, 256, (5, 3, 3, 32, 32), dtype=torch.uint8)
    with torch.no_grad():
        wanted = recognizer.features(normalize(videos).transpose(1, 2).contiguous())
    store = FeatureStore(tmp_path, recognizer)
    torch.testing.assert_close(store.look(videos), wanted)
    computed = store.look(videos)
    monkeypatch.setattr(SmallResNet, "features", None)  # from here on it must not be asked
    assert torch.equal(FeatureStore(tmp_path, recognizer).look(videos), computed)
    assert len([*tmp_path.rglob("*.npy")]) == 5


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY", "short", "pickled", "double"])
def test_damaged_features_are_computed_again(tmp_path, content):
    videos = torch.randint(0, 256, (1, 3, 3, 32, 32), dtype=torch.uint8)
    store = FeatureStore(tmp_path, network())
    wanted = store.look(videos)
    (path,) = tmp_path.rglob("*.npy")
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        broken = {"short": wanted[0, 1:].numpy(), "pickled": np.array([print]), "double": wanted[0].double().numpy()}
        np.save(path, broken[content])
    torch.testing.assert_close(store.look(videos), wanted)
    assert np.array_equal(np.load(path), wanted[0].numpy())


def test_features_are_named_by_what_they_depend_on():
    one = network()
    names = {"same": digest_network(network()), "weights": digest_network(network(seed=1))}
    names["setting"] = digest_network(network(still=True))
    with torch.no_grad():
        one.classifier.weight.zero_()
    names["classifier"] = digest_network(one)
    running = network()
    running.stem[1].running_mean += 1
    names["statistics"] = digest_network(running)
    base = digest_network(network())
    assert {name for name, digest in names.items() if digest != base} == {"weights", "setting", "statistics"}


def test_parts_count_as_their_shares_whatever_their_numbers():
    one, other = part(0, share=3.0), part(1, "ab")
    twice = Part(Features.join([one.features, one.features]), one.groups * 2, 3.0)
    scaled = [part(0, share=6.0), part(1, "ab", share=2.0)]
    alone = fit_parts([one], 2, decay=0.1)
    torch.testing.assert_close(fit_parts([twice], 2, decay=0.1).weight, alone.weight, rtol=1e-4, atol=1e-5)
    mixed = fit_parts([one, other], 2, decay=0.1)
    torch.testing.assert_close(fit_parts(scaled, 2, decay=0.1).weight, mixed.weight, rtol=1e-4, atol=1e-5)
    nothing = fit_parts([one, Part(other.features, other.groups, 0.0)], 2, decay=0.1)
    assert not torch.allclose(nothing.weight, mixed.weight, rtol=1e-2)


def test_each_person_is_left_out_of_every_part():
    film, made, shown = part(0), part(1, "abab"), part(2)
    grade, decay = choose_decay([film, made], shown, 2, (0.03, 3.0))
    by_hand = {}
    for candidate in (0.03, 3.0):
        found = []
        for person in "ab":
            rest = [[k for k, who in enumerate(one.groups) if who != person] for one in (film, made)]
            fitted = fit_parts([film.select(rest[0]), made.select(rest[1])], 2, decay=candidate)
            held = shown.features.select([k for k, who in enumerate(shown.groups) if who == person])
            found.append(measure_accuracy(fitted, held))
        by_hand[candidate] = sum(found) / 2
    assert grade == max(by_hand.values()) and decay == max(by_hand, key=by_hand.get)
    validated, _ = choose_decay([film], shown, 2, (0.5,), left_out=False)
    assert validated == measure_accuracy(fit_parts([film], 2, decay=0.5), shown.features)


def test_a_fit_is_that_of_its_clips_and_is_what_the_checkpoint_holds(films, tmp_path):
    data = prepared(films, synth=plan(per_class=3), mixture=BatchMixture(ratio=0.25))
    found, training = fit(data, tmp_path, decays=(0.1,), synthetic_weight=2.0)
    clips, store = data.training_clips(), FeatureStore(tmp_path / "other", network())

    def look(indices):
        shown = [clips[index] for index in indices]
        labels = torch.tensor([one["label"] for one in shown])
        return Features(store.look(torch.stack([one["video"] for one in shown])), labels, tuple(map(str, indices)))

    filmed = look([SampleIndex(epoch, place) for epoch in (0, 1) for place in range(6)])
    made = look([SampleIndex(0, 6 + place) for place in range(6)])
    wanted = fit_parts([Part(filmed, ("",) * 12, 0.75), Part(made, ("",) * 6, 0.5)], 2, decay=0.1)
    torch.testing.assert_close(training.recognizer.classifier.weight, wanted.weight)
    assert (found.decay, found.grade, found.filmed_exposure) == (0.1, None, 2.0)
    runner = trainer(max_steps=1)
    checkpoint = loops.leave_checkpoint(runner, training, tmp_path)
    kept = torch.load(checkpoint, weights_only=True)["state_dict"]
    assert torch.equal(kept["recognizer.fc.weight"], training.recognizer.fc.weight)
    tested = loops.test(runner, training, data, checkpoint)
    assert {one["key"] for one in tested} == {record.key for record in data.split.test}
    assert all(not parameter.isnan().any() for parameter in training.parameters())


@pytest.mark.parametrize(("val", "alone"), [((), False), (("s2",), False), ((), True)])
def test_the_decay_is_chosen_without_the_test(films, tmp_path, val, alone):
    """By the people who teach, by the validation part, and of one person by parts of their clips."""
    if alone:
        records, films = films.records, Films(films.records[0].path.parent)
        films._records = [record if record.subject == "s3" else replace(record, subject="s0") for record in records]
    data = prepared(films, val=val)
    found, _ = fit(data, tmp_path)
    assert found.decay in (0.01, 1.0) and 0 <= found.grade <= 1


def test_each_synthetic_clip_is_left_out_with_the_person_whose_motion_it_shows(films):
    data = prepared(films, synth=plan(per_class=3))
    people = {record.key: record.subject for record in data.split.train}
    assert [people[key] for key in find_sources(data)] == [people[recipe.actors[0].motion] for recipe in data.recipes()]


def test_what_cannot_be_fitted_at_once_is_refused(films, tmp_path):
    data = prepared(films, synth=plan(per_class=1), mixture=BatchMixture(pretrain_batches=5))
    with pytest.raises(ValueError, match=r"Expected mixture\.pretrain_batches=0 for probe=exact.* got 5"):
        fit(data, tmp_path)
    with pytest.raises(ValueError, match=r"Expected one process for probe=exact.* got 2. Set trainer\.devices=1"):
        loops.check_alone(trainer(devices=2, strategy="ddp"), "probe=exact")
    for wrong in ({"views": 0}, {"decays": ()}, {"decays": (0.0,)}, {"decays": (float("nan"),)}):
        with pytest.raises(ValueError, match=r"Expected probe\.views of 1 or more and positive probe\.decays"):
            LinearProbe(**wrong)


def test_the_command_fits_and_a_second_run_computes_nothing_again(tmp_path):
    root = tmp_path / "films"
    root.mkdir()
    records = Films(root).records
    table = "\n".join(f"{record.path.name},{CLASSES[record.label]},{record.subject}" for record in records)
    (root / "clips.csv").write_text(f"file,label,subject\n{table}\n")
    words = [
        "train", "dataset=folder", f"dataset.root={root}", "dataset.csv=clips.csv", "protocol.test_subjects=[s3]",
        "synth.identities=0", "probe=exact", "probe.views=2", "clip.num_frames=3", "clip.fps=5.0", "clip.size=32",
        "loading.num_workers=0", "loading.test_clips=1", "trainer.enable_progress_bar=false",
    ]  # fmt: skip
    assert main([*words, f"hydra.run.dir={tmp_path / 'one'}"]) == 0
    kept = {path: path.stat().st_mtime_ns for path in (user_cache() / "features").rglob("*.npy")}
    assert len(kept) == 18  # six films in two views, and as they are
    assert main([*words, f"hydra.run.dir={tmp_path / 'two'}"]) == 0
    assert kept == {path: path.stat().st_mtime_ns for path in (user_cache() / "features").rglob("*.npy")}
    one, two = (json.loads((tmp_path / name / "metrics.json").read_text()) for name in ("one", "two"))
    assert one["decay"] == two["decay"] and one["top1"] == two["top1"] and one["filmed_exposure"] == 2.0
    assert (tmp_path / "one" / "best.safetensors").is_file()


def test_where_nobody_can_be_left_out_the_regularisation_is_not_chosen_by_chance(tmp_path):
    """One shot of each class: whoever is left out, nobody else teaches what they show."""
    films = Films(tmp_path / "films", subjects=2)
    films._records = [record for record in films.records if record.key in ("0/s0", "1/s1")] + [
        record for record in Films(tmp_path / "films").records if record.subject == "s3"
    ]
    data = prepared(films)
    with pytest.raises(ValueError, match=r"choose among 2 values of probe.decays, got none in 2 .*'probe.decays="):
        fit(data, tmp_path)
    assert fit(data, tmp_path, decays=(0.01,))[0].grade is None


def test_whoever_alone_shows_their_classes_does_not_lower_the_grade(tmp_path):
    films = Films(tmp_path / "films", subjects=4)
    films._records = [r for r in films.records if r.subject == "s3" or (r.label == 1) == (r.subject == "s2")]
    data = prepared(films)
    assert find_testable(data.split.train) == ["s0", "s1"]
    assert fit(data, tmp_path, decays=(0.01, 1.0))[0].grade == 1.0  # class 1 is not asked of those who do not show it
