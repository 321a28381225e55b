from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from unrealperson.config import Config, SynthConfig, TrainConfig, load_config, save_config

CONFIGS = sorted((Path(__file__).parent.parent / "configs").glob("*.toml"))


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_defaults_without_a_file() -> None:
    assert load_config() == Config()


def test_file_overrides_only_what_it_names(tmp_path: Path) -> None:
    config = load_config(write(tmp_path / "c.toml", "[synth]\npeople = 30\n[evaluate]\nranks = [1, 3]\n"))
    assert config == Config(synth=SynthConfig(people=30), evaluate=dataclasses.replace(Config().evaluate, ranks=(1, 3)))


def test_whole_number_is_taken_for_a_float(tmp_path: Path) -> None:
    rate = load_config(write(tmp_path / "c.toml", "[train]\nlearning_rate = 1\n")).train.learning_rate
    assert rate == 1.0 and isinstance(rate, float)


def test_saved_config_reads_back_unchanged(tmp_path: Path) -> None:
    config = Config(
        synth=SynthConfig(endpoint='a"b\\c:1', sensor=False, interval_s=0.1), train=TrainConfig(learning_rate=1e-5)
    )
    save_config(config, tmp_path / "c.toml")
    assert load_config(tmp_path / "c.toml") == config
    assert [path.name for path in tmp_path.iterdir()] == ["c.toml"]


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_shipped_configs_are_valid(path: Path) -> None:
    assert isinstance(load_config(path), Config)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[synht]\n", r"unknown section \[synht\]; did you mean 'synth'\?"),
        ("[synth]\npeopel = 3\n", r"\[synth\] has unknown key 'peopel'; did you mean 'people'\?"),
        ("[synth]\npeople = 0\n", "synth.people must be at least 1, got 0"),
        ("[synth]\npeople = '3'\n", r"\[synth\] people must be int, got '3'"),
        ("[synth]\npeople = true\n", "people must be int, got True"),
        ("[synth]\npeople = 3\ntest_people = 4\n", "synth.test_people must lie in 0 ... synth.people = 3, got 4"),
        ("[synth]\ninterval_s = nan\n", "interval_s must be a finite number"),
        ("[synth]\nversions = [3]\ngroups = ['bags']\n", 'synth.groups must be such as "bag, shoes" .*, got .bags.'),
        ("[synth]\nversions = [3]\ngroups = ['0.3.1: bag']\n", "got .0.3.1: bag."),
        ("[synth]\ngroups = ['bag']\n", "synth.groups are people of version 3: add it to synth.versions"),
        ("[harden]\nhardest = 0\n", "harden.hardest must lie in 0 ... 1, 0 excluded, got 0"),
        ("[train]\nnorm = 'cnb'\n", "norm must be one of 'cbn', 'bn', got 'cnb'"),
        ("synth = 3\n", r"'synth' must be a section, written \[synth\]"),
        ("[synth\n", "is not valid TOML"),
        ("version = 9\n", "has format version 9; this release reads version 1"),
        ("[train]\nmin_images = 1\n", "train.min_images must be at least 2, got 1"),
        ("[evaluate]\nmin_statistics_images = 1\n", "evaluate.min_statistics_images must be at least 2, got 1"),
        ("[evaluate]\nbootstrap = -1\n", "evaluate.bootstrap must not be negative, got -1"),
        ("[export]\nopset = 11\n", "export.opset must be at least 18, got 11"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load_config(write(tmp_path / "c.toml", text))


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no such configuration file: .*absent\.toml"):
        load_config(tmp_path / "absent.toml")


CORNERS: dict[str, dict[str, object]] = {
    "low_light": {"hours": "night", "colors": "wardrobe"},
    "black": {"hours": "day", "colors": "black"},
    "indoor": {"scenes": (5,), "cameras": 6},
}


@pytest.mark.parametrize("path", [path for path in CONFIGS if path.stem in CORNERS], ids=lambda path: path.stem)
def test_corner_scenarios(path: Path) -> None:
    synth = load_config(path).synth
    assert {key: getattr(synth, key) for key in CORNERS[path.stem]} == CORNERS[path.stem]
