import pytest

from synthaug.cli.targets import ForbiddenTargetError, check_targets


def test_our_own_and_harmless_targets_pass():
    check_targets(
        {"a": {"_target_": "synthaug.synthesis.caching.RenderCache"}, "b": [{"_target_": "lightning.pytorch.Trainer"}]}
    )


@pytest.mark.parametrize("target", ["os.system", "torch.load", "torch.hub.load", "builtins.eval", "synthaugment.x", 3])
def test_foreign_targets_are_refused_wherever_they_hide(target):
    with pytest.raises(
        ForbiddenTargetError, match=r"Expected the _target_ of a\[1\]\.b to begin with synthaug\., .* got"
    ):
        check_targets({"a": [1, {"b": {"_target_": target}}]})


def test_a_package_can_be_allowed_by_the_caller():
    check_targets({"a": {"_target_": "mylab.Net"}}, also=["mylab."])
