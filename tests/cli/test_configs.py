import pytest

from synthaug.cli.configs import compose_config, config_folder
from synthaug.cli.main import main

GROUPS = sorted({path.parent.relative_to(config_folder()).as_posix() for path in config_folder().rglob("*/*.yaml")})


@pytest.mark.parametrize("group", GROUPS)
def test_null_is_no_option_of_any_group_and_the_answer_says_what_to_write(group):
    with pytest.raises(ValueError, match=f"^Expected an option name after {group}=, got null") as raised:
        compose_config([f"{group}=null"])
    setting = group.replace("/", ".")
    assert str(raised.value).endswith(f"Write {setting}=null.") if "/" in group else "Leave it out" in str(raised.value)


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        (["synth/sensor=null"], "Write synth.sensor=null."),
        (["+synth/sensor=NULL"], "Write synth.sensor=null."),
        (["-m", "synth/sensor=camera,null"], "Sweep over names, and run synth.sensor=null by itself."),
        (["--cfg", "job", "arm=null"], "Leave it out, or take best, classic, "),
    ],
)
def test_train_and_preview_answer_a_null_option_in_words(words, answer, capsys):
    assert main(["train", *words]) == 2
    assert answer in capsys.readouterr().err
    if words[0][0] != "-":
        assert main(["preview", *words]) == 2
        assert answer in capsys.readouterr().err


def test_null_is_a_value_where_a_dot_sets_it():
    assert compose_config(["synth.sensor=null", "synth.cache=null"]).synth.sensor is None
