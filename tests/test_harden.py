"""Mined confusions and the hard groups that are planned from them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from learning import make_figures

from unrealperson import harden as loop
from unrealperson.cli import main
from unrealperson.config import Config, CropConfig, HardenConfig, SynthConfig, TrainConfig, load_config, save_config
from unrealperson.data.manifest import Manifest
from unrealperson.data.recipe import write_recipe
from unrealperson.harden.confusions import Pair, count_pairs, find_confusions
from unrealperson.harden.explain import Contrast, Looks, explain_images, explain_pairs
from unrealperson.harden.plan import plan_world
from unrealperson.schema import Features

SYNTH = SynthConfig(scenes=(1, 2), versions=(2, 3), people=10, test_people=2, people_per_batch=10, cameras=2)
LOOK = {
    "gender": "male", "top_color": "red", "top_category": "shirt", "backpack": "none", "backpack_color": "none",
    "shoes_category": "sneakers", "shoes_color": "white", "hair": "short", "headwear": "none", "headwear_color": "none",
}  # fmt: skip
# Person, version, what differs from LOOK. 1 and 2 are alike but for bag and shoes, 3 and 4 are of one hard group.
PEOPLE = (
    (0, 2, {"top_color": "green", "gender": "female", "hair": "long"}),
    (1, 2, {}),
    (2, 2, {"backpack": "backpack", "backpack_color": "black", "shoes_color": "black"}),
    (3, 3, {"group": 0, "differs": "hat", "headwear": "cap", "headwear_color": "red"}),
    (4, 3, {"group": 0, "differs": "hat"}),
)


def make_set(root: Path, **changes) -> Manifest:
    """Two crops of each person, one in each of two scenes; the last person but one looks from behind."""
    rows = []
    for person, version, look in PEOPLE:
        for scene in (1, 2):
            rows.append(
                {
                    "path": f"unreal_v{scene}.{version}/images/{person}_{scene}.jpg", "pid": 1000 * version + person,
                    "camid": scene, "frame": 0, "scene": scene, "version": version, "person": person, "seed": 0,
                    "attributes": json.dumps(LOOK | look), "recipe": write_recipe(SYNTH, CropConfig()),
                    "split": "train", "hours": "night" if scene == 2 else "day", "light": 0,
                }
                | changes
            )  # fmt: skip
    return Manifest.from_rows(rows, root)


def features_of(manifest: Manifest) -> Features:
    """1 is taken for 2 in scene 2, 3 for 4 in both; 0 is found."""
    angle = np.deg2rad([0, 10, 90, 140, 110, 125, 200, 240, 215, 215])
    vectors = np.stack([np.cos(angle), np.sin(angle)], 1).astype(np.float32)
    return Features(vectors, manifest.pid, manifest.camid, manifest.frame, manifest.path)


@pytest.fixture
def people(tmp_path) -> Manifest:
    return make_set(tmp_path)


def test_confused_are_those_nearer_to_somebody_else(people):
    features = features_of(people)
    found = find_confusions(features, hardest=0.1)
    assert len(found.asked) == 10 and found.missed.all()
    assert np.all(np.diff(found.margin) <= 0)
    cosine = features.vectors @ features.vectors.T
    expected = set()
    for row in range(10):
        other = people.camid != people.camid[row]
        own = cosine[row][other & (people.pid == people.pid[row])].max()
        if cosine[row][other & (people.pid != people.pid[row])].max() > own:
            expected.add(row)
    assert set(found.image.tolist()) == expected
    pairs = count_pairs(features, found)
    assert {pair.pid for pair in pairs} == {(2001, 2002), (3003, 3004)} and sum(pair.images for pair in pairs) == len(
        expected
    )
    assert [pair.missed for pair in pairs] == sorted((pair.missed for pair in pairs), reverse=True)
    for pair in pairs:
        assert set(people.pid[list(pair.example)].tolist()) == set(pair.pid)


def test_the_hardest_count_where_nobody_is_missed(people):
    features = features_of(people)
    features = features.with_vectors(np.repeat(np.eye(5, dtype=np.float32), 2, 0))
    found = find_confusions(features, hardest=0.25)
    assert len(found.image) == 3 and not found.missed.any()
    one = Features(features.vectors, features.pid * 0, features.camid, features.frame, features.path)
    with pytest.raises(ValueError, match="one of another person under other cameras"):
        find_confusions(one, hardest=0.1)


@pytest.mark.parametrize(
    ("first", "second", "regions", "shared", "group"),
    [
        (2, 4, ["bag", "shoes"], ["gender", "hair cut", "upper garment", "upper colour", "shoes"], False),
        (6, 8, ["hat"], ["gender", "hair cut", "upper garment", "upper colour", "shoes", "colour of shoes"], True),
        (0, 2, ["hair"], ["upper garment", "shoes", "colour of shoes"], False),
    ],
)
def test_what_two_people_share_and_in_what_they_differ(people, first, second, regions, shared, group):
    looks = Looks(people)
    assert looks.regions(first, second) == regions and looks.shared(first, second) == shared
    assert bool(looks.one_group(first, second)) == group


def test_an_overlooked_region_has_a_lift_of_one_or_more(people):
    found = find_confusions(features_of(people), hardest=0.1)
    shared, regions = explain_pairs(Looks(people), people, found, np.random.default_rng(0))
    lift = {each.name: each.lift for each in regions}
    assert lift["bag"] > 1 and lift["hat"] == pytest.approx(1, abs=0.25) and lift["hair"] < 0.7
    assert next(each for each in shared if each.name == "upper colour").confused == 1
    factors = {factor["factor"]: factor["groups"] for factor in explain_images(people, found)}
    assert {group["label"] for group in factors["light"]} == {"day", "night"} and len(factors["scene"]) == 2
    assert sum(group["images"] * group["confused"] for group in factors["scene"]) == pytest.approx(len(found.image))


REGIONS = [Contrast(name, 0.5, 0.5) for name in ("bag", "shoes", "logo", "hair", "hat")]
PAIRS = [Pair((2001, 2002), 3, 2, (2, 4)), Pair((3003, 3004), 2, 2, (6, 8)), Pair((2000, 2001), 1, 0, (0, 2))]


@pytest.mark.parametrize(
    ("settings", "rows", "looks"),
    [
        ({}, {}, ["0.2.1", "", "0.2.0", ""]),
        ({"split": "test"}, {}, ["", "", "", ""]),
        ({}, {"split": "test"}, ["", "", "", ""]),
        (
            {},
            {"recipe": write_recipe(replace(SYNTH, groups=("0.2.1: bag", "hat")), CropConfig())},
            ["0.2.2", "", "0.2.0", ""],
        ),
    ],
    ids=["training", "held out asked", "all held out", "second round"],
)
def test_groups_look_like_the_confused_and_differ_where_they_do(tmp_path, settings, rows, looks):
    people = make_set(tmp_path, **rows)
    easy, hard = {"label": "1", "images": 5, "lift": 0.5}, {"label": "2", "images": 5, "lift": 1.5}
    factors = [{"factor": "scene", "groups": [easy, hard]}, {"factor": "light", "groups": [hard | {"label": "night"}]}]
    config = HardenConfig(images=20, **settings)  # a crop a person in scene 2: 20 people, 4 groups
    world = plan_world(people, Looks(people), PAIRS, REGIONS, factors, config).synth
    assert (world.seed, world.people, world.scenes, world.hours) == (1000, 20, (2,), "night")
    assert (world.versions, world.test_people, world.cameras) == ((3,), 0, 2)
    parts = [text.rpartition(": ") for text in world.groups]
    assert [look for look, _, _ in parts] == looks
    for (_, _, text), may in zip(parts, ({"bag", "shoes"}, {"hat"}, {"hair"}), strict=False):
        assert set(text.split(", ")) <= may
    assert world == plan_world(people, Looks(people), PAIRS, REGIONS, factors, config).synth


def test_what_cannot_be_mined_is_told(tmp_path):
    config = HardenConfig()
    with pytest.raises(ValueError, match="does not tell what its people look like"):
        Looks(make_set(tmp_path, attributes=None))
    unknown = make_set(tmp_path, recipe=None)
    with pytest.raises(ValueError, match="does not say how its crops were made"):
        plan_world(unknown, Looks(unknown), PAIRS, REGIONS, [], config)
    elsewhere = make_set(tmp_path, recipe=write_recipe(replace(SYNTH, endpoint="host:9000", scenes=(1,)), CropConfig()))
    with pytest.raises(ValueError, match="captured in an engine"):
        plan_world(elsewhere, Looks(elsewhere), PAIRS, REGIONS, [], config)
    code = make_set(tmp_path, recipe=write_recipe(replace(SYNTH, place="own.py:scene", scenes=(1,)), CropConfig()))
    with pytest.raises(ValueError, match="a data set may not choose code to run"):
        plan_world(code, Looks(code), PAIRS, REGIONS, [], config)
    with pytest.raises(ValueError, match="no crops of split test"):
        loop.harden(tmp_path, make_set(tmp_path), Config(harden=HardenConfig(split="test")), tmp_path / "out")


def test_the_verb_writes_a_configuration_and_a_page(tmp_path, monkeypatch, capsys):
    figures = make_figures(tmp_path / "data", identities=5, cameras=2, images=1)
    told = make_set(figures.root)
    told.replaced("path", list(figures.path)).write()
    monkeypatch.setattr(loop, "extract_run", lambda run, manifest, config: features_of(manifest))
    out = tmp_path / "more"
    command = ["harden", "--run", str(tmp_path), "--data", str(figures.root), "--out", str(out)]
    assert main([*command, "--harden.images", "10"]) == 0
    printed = capsys.readouterr().out
    assert "10 crops asked" in printed and "differs in confused pairs" in printed and "hard groups" in printed
    config = load_config(out / "synth.toml")
    assert config.synth.versions == (3,) and len(config.synth.groups) == config.synth.people // 5 == 1
    page = (out / "report.html").read_text()
    assert "Whom the network takes for whom" in page and page.count("<img") == 4
    (out / "report.html").unlink()
    assert main(["report", "--data", str(out), "--out", str(out / "again.html")]) == 0
    assert (out / "again.html").is_file()
    assert main(["harden", "--run", str(tmp_path), "--data", str(tmp_path / "nothing"), "--out", str(out)]) == 2


def test_rounds_mine_render_merge_and_train_on_and_go_on(tmp_path, monkeypatch):
    figures = make_figures(tmp_path / "data", identities=5, cameras=2, images=1)
    people = make_set(figures.root).replaced("path", list(figures.path))
    calls: list[SimpleNamespace] = []

    def synthesize(config, out):
        made = make_figures(out, identities=5, cameras=2, images=1)
        rows = make_set(out, seed=config.synth.seed, recipe=write_recipe(config.synth, config.crop))
        return rows.replaced("path", list(made.path))

    def train(manifest, config, out):
        calls.append(SimpleNamespace(images=len(manifest), people=len(manifest.identities), train=config.train))
        if len(calls) == 2:
            raise RuntimeError("the machine went")
        return out

    monkeypatch.setattr(loop, "extract_run", lambda run, manifest, config: (
        Features(np.tile(features_of(people).vectors, (len(manifest) // 10, 1)), manifest.pid, manifest.camid,
                 manifest.frame, manifest.path)))  # fmt: skip
    monkeypatch.setattr(loop, "synthesize", synthesize)
    monkeypatch.setattr(loop, "train", train)
    run = tmp_path / "run"
    run.mkdir()
    save_config(Config(train=TrainConfig(epochs=9, height=64)), run / "config.toml")
    config = Config(harden=HardenConfig(images=10, rounds=2, epochs=3))
    with pytest.raises(RuntimeError, match="machine"):
        loop.run_rounds(run, people, config, tmp_path / "out")
    mined = (tmp_path / "out" / "round_1" / "hardening.json").stat().st_mtime_ns
    last = loop.run_rounds(run, people, config, tmp_path / "out")
    assert last == tmp_path / "out" / "round_2" / "run"
    assert mined == (tmp_path / "out" / "round_1" / "hardening.json").stat().st_mtime_ns
    assert [(call.images, call.people) for call in calls] == [(20, 10), (30, 15), (20, 10), (30, 15)]
    settings = calls[-1].train
    assert settings.from_run == str(tmp_path / "out" / "round_1" / "run")
    assert (settings.epochs, settings.decay_epoch, settings.height) == (3, 2, 64)
    seeds = [load_config(tmp_path / "out" / f"round_{number}" / "synth.toml").synth.seed for number in (1, 2)]
    assert seeds == [1000, 2000]
