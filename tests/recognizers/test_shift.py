import torch

from synthaug.recognizers.shift import temporal_shift


def slow_shift(frames, time, channels):
    shifted = frames.clone()
    for clip in range(len(frames) // time):
        for t in range(time):
            here = clip * time + t
            for c in range(channels):
                shifted[here, c] = frames[here + 1, c] if t + 1 < time else 0
                shifted[here, channels + c] = frames[here - 1, channels + c] if t > 0 else 0
    return shifted


def test_shift_is_the_literal_loop():
    frames = torch.randn(2 * 5, 8, 3, 2, generator=torch.Generator().manual_seed(0))
    for channels in (0, 1, 4):
        torch.testing.assert_close(
            temporal_shift(frames, time=5, channels=channels), slow_shift(frames, 5, channels), rtol=0, atol=0
        )


def test_clips_do_not_leak_into_each_other():
    frames = torch.randn(2 * 4, 8, 2, 2, generator=torch.Generator().manual_seed(0))
    changed = frames.clone()
    changed[4:] = 7
    assert torch.equal(temporal_shift(frames, time=4, channels=2)[:4], temporal_shift(changed, time=4, channels=2)[:4])


def test_shift_leaves_its_input_alone():
    frames = torch.randn(4, 8, 2, 2)
    before = frames.clone()
    temporal_shift(frames, time=4, channels=2)
    assert torch.equal(frames, before)
