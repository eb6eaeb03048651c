import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from fakes import camera, plan
from torch.utils.data import Dataset

from synthaug.backgrounds.plain import Plain
from synthaug.body.rotations import axis_angle_to_matrix
from synthaug.body.skeleton import JOINT, joint_positions, mean_skeleton, move_motion
from synthaug.motions.actions import ACTIONS, Actions
from synthaug.pretraining.clips import RANDOM, PretrainingClips, collate, find_body_frame, make_motions, tell_truth
from synthaug.pretraining.loop import PretrainingSteps, export_weights, pretrain
from synthaug.pretraining.tasks import (
    PretrainingHeads,
    TaskWeights,
    judge_batch,
    measure_action,
    measure_frames,
    normalize_clips,
)
from synthaug.recognizers.resnet import ResNet2D
from synthaug.recognizers.small import SmallResNet
from synthaug.structures import ClipFormat, Record
from synthaug.synthesis import Synthesizer
from synthaug.synthesis.references import gather

CLIP = ClipFormat(num_frames=4, fps=8.0, size=48)


@pytest.fixture(autouse=True)
def seeded():
    torch.set_num_threads(1)
    torch.manual_seed(0)


@pytest.fixture(scope="module")
def motions():
    return make_motions(6, random_share=0.5, seed=1)


def some_clips(motions, seed=0):
    return PretrainingClips(plan(identities=2, backgrounds=1, background=Plain()), motions, CLIP, seed=seed)


def turned(motion, degrees):
    turn = axis_angle_to_matrix(torch.tensor([0.0, math.radians(degrees), 0.0]))
    return joint_positions(move_motion(motion, turn, torch.zeros(3)), mean_skeleton())


def test_motions_are_actions_in_turn_and_random_ones():
    made = make_motions(60, random_share=0.5, seed=0)
    labels = [record.label for record in made.records]
    random = sum(label == len(ACTIONS) for label in labels)
    assert 18 <= random <= 42 and len({label for label in labels if label < len(ACTIONS)}) > 15
    again = make_motions(60, random_share=0.5, seed=0)
    assert all(torch.equal(made.by_key[key].motion.pose, again.by_key[key].motion.pose) for key in made.by_key)
    with pytest.raises(ValueError, match="share of random ones from 0 to 1, got 0 and 0.5"):
        make_motions(0, random_share=0.5, seed=0)


@pytest.mark.parametrize(("degrees", "facing"), [(0, (0, 1)), (90, (1, 0)), (180, (0, -1)), (-90, (-1, 0))])
def test_where_people_face_is_told_from_the_camera(motions, degrees, facing):
    standing = replace(motions.by_key[motions.records[0].key].motion)
    still = standing.from_pose(torch.zeros(3, 55, 3), torch.zeros(3, 3), fps=10.0)
    # The camera is 3 m in front of the origin and looks back: somebody unturned faces it, somebody who turned by 90
    # degrees to their left has it at their right side.
    truth = tell_truth(turned(still, degrees), camera(3), 10.0, 0)
    sine, cosine = facing
    torch.testing.assert_close(truth.facing, torch.tensor([[-sine, cosine]] * 3).float(), atol=1e-5, rtol=0)


def test_joints_in_the_body_s_frame_do_not_depend_on_where_people_are(motions):
    motion = motions.by_key[motions.records[0].key].motion
    first = tell_truth(turned(motion, 0), camera(motion.num_frames), 10.0, 3)
    other = tell_truth(turned(motion, 75) + torch.tensor([0.4, 0.1, -0.3]), camera(motion.num_frames), 10.0, 3)
    torch.testing.assert_close(first.joints_3d, other.joints_3d, atol=1e-4, rtol=0)
    torch.testing.assert_close(first.speed, other.speed, atol=1e-3, rtol=1e-3)
    assert first.action == 3 and tell_truth(turned(motion, 0), camera(1), 10.0, len(ACTIONS)).action == RANDOM
    left, right = first.joints_3d[:, JOINT["left_hip"], 0], first.joints_3d[:, JOINT["right_hip"], 0]
    assert (left > right).all()


def test_body_frames_are_rotations(motions):
    for record in motions.records:
        joints = joint_positions(motions.by_key[record.key].motion, mean_skeleton())[:, :22]
        frame = find_body_frame(joints)
        torch.testing.assert_close(frame.mT @ frame, torch.eye(3).expand_as(frame), atol=1e-4, rtol=0)
        torch.testing.assert_close(torch.linalg.det(frame), torch.ones(len(frame)), atol=1e-4, rtol=0)


def test_speed_is_metres_a_second():
    joints = torch.zeros(5, 55, 3)
    joints[:, :, 0] = torch.arange(5)[:, None] * 0.2
    joints[:, JOINT["left_hip"], 2] += 0.1
    assert tell_truth(joints, camera(5), 10.0, 0).speed.allclose(torch.tensor(2.0), atol=1e-5)


def test_joints_lie_where_the_picture_shows_the_person(motions):
    clips = some_clips(motions)
    shares = []
    for number in range(8):
        clip = clips[number]
        x, y = (clip["joints_2d"] * 48).floor().long().unbind(-1)
        inside = (x >= 0) & (x < 48) & (y >= 0) & (y < 48)
        frame = torch.arange(4)[:, None].expand_as(x)
        # The background of these clips is white, and beads lie along every bone.
        around = torch.nn.functional.max_pool2d(255.0 - clip["video"].float(), 3, stride=1, padding=1).amax(1)
        seen = around[frame, y.clamp(0, 47), x.clamp(0, 47)] > 30
        shares += seen[inside].tolist()
    assert sum(shares) / len(shares) > 0.9


def test_a_number_gives_the_same_clip_every_time(motions):
    one, other = some_clips(motions), some_clips(motions)
    for _ in range(2):
        assert torch.equal(one[5]["video"], other[5]["video"])
    assert not torch.equal(one[5]["video"], one[6]["video"])
    assert not torch.equal(some_clips(motions, seed=1)[5]["video"], one[5]["video"])


def test_places_are_asked_for_within_what_the_network_sees():
    found = {"joints_2d": torch.rand(2, 3, 22, 2), "joints_3d": torch.zeros(2, 3, 22, 3),
             "speed": torch.zeros(2, 3, 22), "facing": torch.zeros(2, 3, 2)}  # fmt: skip
    window = torch.tensor([[0.1, 0.2, 0.5, 0.4], [0.0, 0.0, 1.0, 1.0]])
    places = found["joints_2d"] * window[:, None, None, 2:] + window[:, None, None, :2]
    truth = {**found, "joints_2d": places, "facing": torch.tensor([0.0, 1.0]).expand(2, 3, 2)}
    losses = measure_frames(found, truth, window)
    assert float(losses["joints_2d"]) < 1e-9 and float(losses["facing"]) == 1 and float(losses["joints_3d"]) == 0
    far = {**truth, "joints_2d": places + 5}
    assert float(measure_frames(found, far, window)["joints_2d"]) == 0, "nobody sees so far beyond the picture"


def test_random_motions_show_no_action():
    logits = torch.randn(3, 26)
    alone = measure_action(logits[:1], torch.tensor([4]))
    torch.testing.assert_close(measure_action(logits, torch.tensor([4, RANDOM, RANDOM])), alone)
    assert float(measure_action(logits, torch.full((3,), RANDOM))) == 0


@pytest.mark.parametrize("recognizer", [SmallResNet(26, focus=32), ResNet2D(26, temporal="shift")])
def test_every_part_of_a_recognizer_learns(motions, recognizer):
    batch = collate([some_clips(motions)[number] for number in range(4)])
    batch["action"][:] = torch.tensor([0, 1, 2, RANDOM])
    heads = PretrainingHeads(128 if isinstance(recognizer, SmallResNet) else 512)
    loss, parts = judge_batch(recognizer.train(), heads, batch, TaskWeights())
    loss.backward()
    assert loss.item() == pytest.approx(sum(parts.values()), rel=1e-4)
    for module in (recognizer, heads):
        assert [name for name, value in module.named_parameters() if value.grad is None] == []
    assert recognizer.classifier.out_features == 26


def test_dense_features_are_the_pooled_maps():
    video = torch.randn(2, 3, 4, 64, 64)
    for recognizer in (SmallResNet(5).eval(), ResNet2D(5).eval()):
        with torch.no_grad():
            assert torch.equal(recognizer.features(video), recognizer.pool(recognizer.maps(video)))
            assert recognizer.window(video).tolist() == [[0, 0, 1, 1]] * 2


def test_the_window_is_what_the_network_is_cropped_to():
    video = torch.zeros(1, 3, 6, 100, 100)
    for time in range(6):
        video[0, :, time, 60:75, 20 + 2 * time : 32 + 2 * time] = 1.0
    left, top, width, height = SmallResNet(3, focus=64).window(video)[0].tolist()
    assert width == height and left < 0.2 and left + width > 0.42 and top < 0.6 and top + height > 0.75 and width < 0.8


def test_a_stopped_run_continues_to_the_same_weights(motions, tmp_path):
    def run(folder, *plans):
        for steps in plans:
            torch.manual_seed(0)
            recognizer = SmallResNet(26, focus=32)
            settings = PretrainingSteps(steps=4, batch_size=2, save_every=2, num_workers=0)
            if steps < 4:
                with pytest.raises(KeyboardInterrupt):
                    pretrain(recognizer, Interrupted(motions, after=2 * steps + 1), settings, folder)
            else:
                pretrain(recognizer, some_clips(motions), settings, folder)
        return recognizer.state_dict()

    whole, parts = run(tmp_path / "whole", 4), run(tmp_path / "parts", 3, 4)
    assert all(torch.equal(whole[name], parts[name]) for name in whole)
    with pytest.raises(ValueError, match="Expected the state of this plan"):
        pretrain(SmallResNet(26, focus=32), some_clips(motions), PretrainingSteps(steps=5, num_workers=0),
                 tmp_path / "whole")  # fmt: skip


class Interrupted(Dataset):
    """Clips, until somebody presses Ctrl-C."""

    def __init__(self, motions, *, after):
        self.clips, self.left = some_clips(motions), after + 1

    def __getitem__(self, number):
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt
        return self.clips[number]


@pytest.mark.parametrize(
    "make", [SmallResNet, lambda classes, **more: ResNet2D(classes, depth=18, temporal="shift", **more)]
)
def test_exported_weights_are_all_but_the_classifier(make, tmp_path):
    given = make(7)
    with torch.no_grad():
        for value in given.state_dict().values():
            if value.is_floating_point():
                value.add_(torch.rand_like(value) * 0.01)
    path = tmp_path / "weights.safetensors"
    path.write_bytes(export_weights(given, {"made_by": "a test"}))
    # Whatever the number of classes, even that of pretraining: the classes are others.
    for classes in (7, 3):
        taken, fresh = make(classes, weights=str(path)), make(classes)
        state, classifier = taken.state_dict(), 0
        for name, value in given.state_dict().items():
            if "fc" in name.split("."):
                classifier += 1
                assert state[name].shape[0] == fresh.state_dict()[name].shape[0] == classes
                assert classes != 7 or not torch.equal(state[name], value)
            else:
                assert torch.allclose(state[name].double(), value.double(), rtol=2e-3, atol=1e-4), name
        assert classifier == 2


def test_the_shipped_weights_tell_actions_of_performers_they_have_not_seen():
    """By the nearest other clip, among performers of the demo's family of styles; far better than without weights."""
    names = ("hand waving", "clapping", "sit down", "bow", "kicking something", "jump up")
    records = [
        Record(f"{name}/street/{performer}", Path("none"), label, str(performer), "", 0.0, 2.0)
        for label, name in enumerate(names)
        for performer in range(5)
    ]
    found = gather(records, Actions(fps=16.0))
    synth = plan(motion=Actions(), identities=1, backgrounds=1, background=Plain(), min_shown=0.0, crop=None)
    synthesizer = Synthesizer(synth, found, ClipFormat(num_frames=10, fps=5.0, size=96), seed=0)
    clips = [synthesizer.render(synthesizer.sample(index)) for index in range(len(synthesizer))]
    video = normalize_clips(torch.stack([clip.video for clip in clips]))
    labels = torch.tensor([clip.label for clip in clips])
    shares = {}
    for weights in (None, "synthetic"):
        network = SmallResNet(len(names), focus=64, weights=weights).eval()
        with torch.no_grad():
            features = torch.nn.functional.normalize(network.features(video), dim=-1)
        alike = (features @ features.T).fill_diagonal_(-1)
        shares[weights] = float((labels[alike.argmax(1)] == labels).float().mean())
    assert shares["synthetic"] > 0.7 and shares["synthetic"] > shares[None] + 0.1
