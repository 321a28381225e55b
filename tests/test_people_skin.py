from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from unrealperson.synth.people import body, charts, outfits, sheets, skin

SIDE_PX = 512
HAIR = np.array([0.12, 0.08, 0.06])


@pytest.fixture(scope="module")
def man() -> body.Body:
    drawn = (body.random_body(np.random.default_rng(seed)) for seed in range(20))
    return next(one for one in drawn if one.gender == "male")


def _bald(gender: str = "male") -> outfits.Outfit:
    return replace(outfits.random_outfit(np.random.default_rng(0), gender=gender), hair="bald")


def _paint(one: body.Body, seed: int = 0, tone: float = 0.7) -> tuple[np.ndarray, dict[str, str]]:
    rng = np.random.default_rng(seed)
    return skin.paint_head(rng, one, np.array([1.1, 0.9, 0.78]) * tone, HAIR, _bald(), SIDE_PX)


def _at(image: np.ndarray, y: float, z: float, reach: float = 0.1) -> np.ndarray:
    """Colour at a place of the face, from the chart of a vertex that lies there."""
    from unrealperson.synth.people.sheets import Sheet

    corner = np.array([[0.035 + reach, y, z]] * 3)
    none = np.zeros((3, 1))
    sheet = Sheet(corner, corner, none, corner, none, np.array([[0, 1, 2]]), np.zeros((0, 3, 2)))
    u, v = charts.head_chart(sheet)[0, 0]
    box = charts.REGIONS["head"]
    row, column = (1 - v - box.top) * SIDE_PX, (u - box.left) * SIDE_PX
    return image[int(row), int(column)]


def test_same_generator_same_face(man: body.Body):
    first, again, other = _paint(man, 1), _paint(man, 1), _paint(man, 2)
    assert np.array_equal(first[0], again[0]) and first[1] == again[1]
    assert not np.array_equal(first[0], other[0])
    box = charts.REGIONS["head"]
    assert first[0].shape == (round(box.height * SIDE_PX), round(box.width * SIDE_PX), 3)
    assert first[0].min() >= 0 and first[0].max() <= 1


@pytest.mark.parametrize("tone", [0.25, 0.7])
def test_eyes_have_white_iris_and_lid_where_the_eyeballs_are(man: body.Body, tone: float):
    image, _ = _paint(man, 3, tone)
    cheek = _at(image, 0.05, 0.70)
    for sign in (1, -1):
        iris, white = _at(image, sign * 0.0308, 0.7278), _at(image, sign * 0.0405, 0.7290)
        assert iris.mean() < 0.35
        assert white.mean() > iris.mean() + 0.2
        assert np.ptp(white) < 0.16 and white.mean() > 0.45
        lid = min(_at(image, sign * 0.0308, z).mean() for z in np.arange(0.7322, 0.7345, 0.0003))
        assert lid < 0.75 * cheek.mean()


def test_lips_are_redder_and_brows_darker_than_skin(man: body.Body):
    image, _ = _paint(man, 4)
    forehead, lip, brow = _at(image, 0.0, 0.775), _at(image, 0.006, 0.6555, 0.121), _at(image, 0.028, 0.7515, 0.109)
    assert lip[0] / lip[1] > 1.05 * forehead[0] / forehead[1]
    assert brow.mean() < 0.75 * forehead.mean()


def test_age_draws_lines(man: body.Body):
    young, old = (_paint(replace(man, age=age), 5)[0] for age in (20.0, 78.0))
    height = charts.head_height(charts.grid("head", SIDE_PX)[1][:, 0])
    forehead = (height > 0.76) & (height < 0.79)
    rows = [np.abs(np.diff(image[forehead].mean(-1), axis=0)).mean() for image in (old, young)]
    assert rows[0] > 1.08 * rows[1]


def test_beards_grow_on_men_alone(man: body.Body):
    assert {_paint(man, seed)[1]["beard"] for seed in range(24)} >= {"none", "stubble", "full"}
    woman = replace(man, gender="female")
    assert {_paint(woman, seed)[1]["beard"] for seed in range(8)} == {"none"}


def test_tones_follow_ethnicity_and_stay_natural(man: body.Body):
    means = []
    for row in range(3):
        share = tuple(float(row == column) for column in range(3))
        tones = np.array([skin.random_tone(np.random.default_rng(s), replace(man, ethnicity=share)) for s in range(50)])
        assert (tones[:, 0] > tones[:, 1]).all() and (tones[:, 1] > tones[:, 2]).all()
        means.append(tones.mean())
    assert means[0] < means[1] < means[2]
    assert skin.describe_tone(np.array([0.3, 0.2, 0.15])) == "dark"
    assert skin.describe_tone(np.array([0.8, 0.65, 0.55])) == "light"


def test_limbs_keep_the_tone_with_redder_fingers(man: body.Body):
    tone = np.array([0.7, 0.54, 0.44])
    image = skin.paint_limbs(np.random.default_rng(0), man, tone, SIDE_PX)
    assert np.abs(np.median(image, (0, 1)) - tone).max() < 0.04
    u, v = charts.grid("skin", SIDE_PX)
    fingers = image[(np.abs(0.55 * u - 0.475) < 0.02) & (np.abs(0.6 - 1.4 * v - 0.18) < 0.03)].mean(0)
    assert fingers[0] / fingers[1] > 1.03 * tone[0] / tone[1]


def test_nails_are_painted_and_lie_on_fingertips_alone(man: body.Body):
    tone = np.array([0.45, 0.33, 0.26])
    image = skin.paint_limbs(np.random.default_rng(0), man, tone, SIDE_PX)
    u, v = charts.grid("skin", SIDE_PX)
    nail = image[np.maximum(np.abs(u - charts.NAIL_UV[0]), np.abs(v - charts.NAIL_UV[1])) < 0.02].mean(0)
    assert (nail > tone + 0.04).all() and nail.max() < 0.8
    middle, axes = sheets.nails()
    np.testing.assert_allclose(np.einsum("kij,klj->kil", axes, axes), np.tile(np.eye(3), (10, 1, 1)), atol=1e-6)
    template = body.load_template()
    centres = template.vertices[sheets.skin_faces()].mean(1)
    found = centres[sheets.on_nails(centres)]
    nearest = np.linalg.norm(found[:, None] - middle, axis=2)
    assert nearest.min(1).max() < 0.01 and (np.bincount(nearest.argmin(1), minlength=10) >= 3).all()
    # Left as right.
    np.testing.assert_allclose(middle[:5] * [1, -1, 1], middle[5:], atol=2e-3)


def test_head_chart_gives_the_face_most_texels_and_can_be_inverted():
    turn = np.linspace(0.02, 1.05, 200)
    angle = charts.head_angle(turn)
    assert (np.diff(angle) > 0).all()
    front = np.abs(angle) < np.radians(60)
    assert front.mean() > 0.42
    height = charts.head_height(np.linspace(0, 1, 100))
    assert ((height > 0.63) & (height < 0.79)).mean() > 0.7
