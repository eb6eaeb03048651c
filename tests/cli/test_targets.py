import pytest

from synthaug.cli.targets import ForbiddenTargetError, check_origins, check_targets


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


def test_names_that_lead_elsewhere_or_nowhere_are_refused():
    check_origins({"a": {"_target_": "synthaug.datamodule.Loading"}, "b": [{"_target_": "torch.optim.AdamW"}]})
    for missing in ("synthaug.nowhere.Loading", "synthaug.datamodule.Nothing"):
        with pytest.raises(ValueError, match=rf"Expected the _target_ of b.0. to exist in .*, got '{missing}'"):
            check_origins({"b": [{"_target_": missing}]})
    foreign = (
        "synthaug.files.Path.unlink",
        "synthaug.recognizers.small.torch.save",
        "torch.optim.optimizer.torch.save",
    )
    for target in foreign:
        check_targets({"_target_": target})
        with pytest.raises(ForbiddenTargetError, match="which belongs to"):
            check_origins({"_target_": target})
