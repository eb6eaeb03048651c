"""The contract of a recognizer, for the tests of its author."""

import torch

from synthaug.recognizers import Recognizer

ABSOLUTE_TOLERANCE = 1e-4
"""For logits of order 1: with other batch sizes kernels add in another order, about 1e-6 for each layer in float32."""


def check_recognizer(recognizer: Recognizer, *, frames: tuple[int, ...] = (8, 16), size: int = 64) -> None:
    """Check shapes and types, that clips do not depend on each other, and that every parameter gets a gradient.

    Leaves the recognizer in evaluation mode, with its parameters as they were and without gradients.

    Args:
        recognizer: A new recognizer.
        frames: Numbers of frames that it must support.
        size: Height and width of the test clips, pixels.

    Raises:
        AssertionError: If the contract is broken; the message says how.
    """
    generator = torch.Generator().manual_seed(0)
    for time in frames:
        video = torch.randn(3, 3, time, size, size, generator=generator)
        _check_evaluation(recognizer.eval(), video)
    _check_gradients(recognizer, torch.randn(2, 3, frames[0], size, size, generator=generator))


def _check_evaluation(recognizer: Recognizer, video: torch.Tensor) -> None:
    given = video.clone()
    with torch.no_grad():
        logits, features = recognizer(video), recognizer.features(video)
        alone = torch.cat([recognizer(clip[None]) for clip in video])
        again = recognizer(video)
    for name, value, width in (
        ("logits", logits, recognizer.num_classes),
        ("features", features, recognizer.num_features),
    ):
        assert value.shape == (len(video), width), f"{name} are {tuple(value.shape)}, not {(len(video), width)}"
        assert value.dtype == video.dtype, f"{name} are {value.dtype} for video of {video.dtype}"
        assert torch.isfinite(value).all(), f"{name} are not finite"
    assert torch.equal(video, given), "the video was changed in place"
    assert torch.equal(logits, again), "the same clips give other logits a second time"
    torch.testing.assert_close(
        alone, logits, atol=ABSOLUTE_TOLERANCE, rtol=1e-3, msg="a clip's logits depend on its batch mates"
    )


def _check_gradients(recognizer: Recognizer, video: torch.Tensor) -> None:
    state = {name: value.clone() for name, value in recognizer.state_dict().items()}
    labels = torch.arange(len(video)) % recognizer.num_classes
    torch.nn.functional.cross_entropy(recognizer.train()(video), labels).backward()
    unreached = [name for name, p in recognizer.named_parameters() if p.requires_grad and p.grad is None]
    broken = [name for name, p in recognizer.named_parameters() if p.grad is not None and not p.grad.isfinite().all()]
    recognizer.zero_grad(set_to_none=True)
    recognizer.load_state_dict(state)  # batch norms have moved
    recognizer.eval()
    assert not unreached, f"no gradient reaches {unreached}"
    assert not broken, f"gradients are not finite at {broken}"
