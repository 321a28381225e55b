from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from unrealperson.ops import skin
from unrealperson.synth.people.keep import keep_people
from unrealperson.synth.people.person import ATTACHMENTS, KEYPOINTS, Person, make_person

ARRAYS = ("positions", "normals", "uv", "faces", "bone_index", "bone_weight", "texture", "landmarks", "soles")
SHA_CODE = """
import sys, hashlib
from unrealperson.synth.people.person import make_person
person = make_person(11, 1, 4)
digest = hashlib.sha256()
for name in sys.argv[1].split(","):
    digest.update(getattr(person, name).tobytes())
digest.update(person.bones(0.3).tobytes())
digest.update(repr((person.attributes, person.speed_mps, person.stride_m)).encode())
sys.stdout.write(digest.hexdigest())
"""


@pytest.fixture(scope="module")
def people() -> list[Person]:
    return [make_person(3, 1, number) for number in range(10)]


def _digest(person: Person) -> str:
    digest = hashlib.sha256()
    for name in ARRAYS:
        digest.update(getattr(person, name).tobytes())
    digest.update(person.bones(0.3).tobytes())
    digest.update(repr((person.attributes, person.speed_mps, person.stride_m)).encode())
    return digest.hexdigest()


def _skinned(person: Person, phase: float, moving: float = 1.0) -> np.ndarray:
    bones = person.bones(phase, moving=moving)
    return skin(person.positions, person.normals, person.bone_index, person.bone_weight, bones).positions


def test_same_bytes_in_every_process_and_with_an_empty_cache_made_twice_at_once(tmp_path):
    env = os.environ | {"UNREALPERSON_CACHE": str(tmp_path), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", SHA_CODE, ",".join(ARRAYS)]
    running = [subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    found = [process.communicate(timeout=120)[0] for process in running]
    assert [process.returncode for process in running] == [0, 0]
    assert found[0] == found[1] == _digest(make_person(11, 1, 4))
    assert len(list(tmp_path.iterdir())) == 1


def test_arrays_have_the_promised_types_and_ranges(people: list[Person]):
    for person in people:
        vertices = len(person.positions)
        assert 4_000 < vertices <= 20_000
        for name, dtype, columns in (
            ("positions", np.float32, 3),
            ("normals", np.float32, 3),
            ("uv", np.float32, 2),
            ("bone_index", np.uint8, 4),
            ("bone_weight", np.float32, 4),
        ):
            value = getattr(person, name)
            assert value.shape == (vertices, columns) and value.dtype == dtype, name
            assert np.isfinite(value.astype(np.float64)).all(), name
        assert person.faces.dtype == np.uint32 and person.faces.shape[1] == 3
        assert int(person.faces.max()) < vertices
        assert person.texture.dtype == np.uint8 and person.texture.shape[2] == 3
        assert person.uv.min() >= 0 and person.uv.max() <= 1
        np.testing.assert_allclose(person.bone_weight.sum(1), 1, atol=1e-5)
        np.testing.assert_allclose(np.linalg.norm(person.normals, axis=1), 1, atol=1e-3)
        assert person.bone_index.max() < len(person.bones(0.0))


def test_size_and_speed_are_plausible(people: list[Person]):
    for person in people:
        assert 1.45 <= person.height_m <= 2.05
        assert 0.6 <= person.speed_mps <= 1.8
        assert 0.6 <= person.speed_mps / person.stride_m <= 1.5
        assert person.attributes["height_m"] == pytest.approx(person.height_m, abs=1e-3)
        named = "gender top top_color bottom bottom_color shoes_color hair hair_color skin".split()
        named += "age_band height build eye_color beard walk idle activity".split()
        assert all(isinstance(person.attributes[name], str) for name in named)


def test_feet_stay_on_the_ground(people: list[Person]):
    for person in people[:5]:
        for moving in (0.0, 0.5, 1.0):
            for phase in np.linspace(0, 1, 8, endpoint=False):
                lowest = float(_skinned(person, float(phase), moving)[:, 2].min())
                assert abs(lowest) < 0.02, (person.number, moving, phase)


def test_things_attach_to_the_pose(people: list[Person]):
    for person in people[:4]:
        for moving in (0.0, 1.0):
            bones = person.bones(0.2, moving=moving)
            at = {name: person.attachment(name, bones) for name in ATTACHMENTS}
            keypoints = dict(zip(KEYPOINTS, person.keypoints(bones), strict=True))
            for placed in at.values():
                assert placed.shape == (3, 4) and placed.dtype == np.float32
                np.testing.assert_allclose(placed[:, :3].T @ placed[:, :3], np.eye(3), atol=1e-4)
            for side in ("left", "right"):
                grip, wrist = at[f"hand_{side}"][:, 3], keypoints[f"{side}_wrist"]
                assert 0.04 < np.linalg.norm(grip - wrist) < 0.17
                assert at[f"hand_{side}"][:, 0] @ (grip - wrist) > 0
                shoulder = keypoints[f"{side}_shoulder"]
                assert np.linalg.norm(at[f"shoulder_{side}"][:, 3] - shoulder) < 0.16
                assert at[f"shoulder_{side}"][2, 3] > shoulder[2]
            assert at["back"][0, 3] < at["chest"][0, 3] - 0.1
            assert at["head"][2, 3] > at["face"][2, 3] > at["neck"][2, 3] > at["chest"][2, 3]
            assert at["hip_left"][1, 3] > 0.1 > -0.1 > at["hip_right"][1, 3]
    with pytest.raises(ValueError, match="got 'tail'"):
        people[0].attachment("tail", people[0].bones(0.0))


def test_a_kept_person_is_equal_to_the_byte(people: list[Person], tmp_path: Path):
    made: list[int] = []

    def make(seed: int, version: int, number: int) -> Person:
        made.append(number)
        return people[number]

    again = keep_people(make, tmp_path)
    for number, person in enumerate(people[:2]):
        assert again(0, 1, number) is person
        kept = again(0, 1, number)
        for name, value in vars(person).items():
            if isinstance(value, np.ndarray):
                there = getattr(kept, name)
                assert there.dtype == value.dtype and np.array_equal(there, value), name
            elif name not in ("levels", "skeleton"):
                assert getattr(kept, name) == value and type(getattr(kept, name)) is type(value), name
        for ours, theirs in zip(kept.levels, person.levels, strict=True):
            assert all(np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True))
        pose = {"phase": 0.3, "moving": 0.7, "look_deg": 20.0}
        assert np.array_equal(kept.bones(**pose), person.bones(**pose))
    assert made == [0, 1]
    kept_file = tmp_path / "v1_000000.npz"
    kept_file.write_bytes(kept_file.read_bytes()[:1000])
    assert again(0, 1, 0) is people[0] and made == [0, 1, 0]  # a damaged file is made again
    assert sorted(path.name for path in tmp_path.iterdir()) == ["v1_000000.npz", "v1_000001.npz"]


def test_presets_make_other_people():
    assert make_person(3, 1, 1, body="natural").height_m != make_person(3, 1, 1).height_m


def test_keypoints_are_where_they_should_be(people: list[Person]):
    at = {name: index for index, name in enumerate(KEYPOINTS)}
    for person in people:
        points = person.keypoints(person.bones(0.3, moving=0.0))
        assert points.shape == (17, 3)
        assert points[at["nose"], 2] > points[at["left_shoulder"], 2] > points[at["left_hip"], 2]
        assert points[at["left_hip"], 2] > points[at["left_knee"], 2] > points[at["left_ankle"], 2] > 0.03
        assert points[at["nose"], 0] > points[at["left_ear"], 0]
        for part in ("eye", "ear", "shoulder", "elbow", "wrist", "hip", "knee", "ankle"):
            assert points[at[f"left_{part}"], 1] > points[at[f"right_{part}"], 1], part
        assert points[at["left_eye"], 2] > 0.88 * person.height_m
        surface = _skinned(person, 0.3, 0.0)
        nose = np.linalg.norm(surface - points[at["nose"]], axis=1).min()
        assert nose < 0.02


def test_identities_differ(people: list[Person]):
    assert len({_digest(person) for person in people}) == len(people)
    colours = {(p.attributes["top"], p.attributes["top_color"], p.attributes["bottom_color"]) for p in people}
    assert len(colours) >= 8
    assert _digest(make_person(4, 1, 0)) != _digest(people[0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 4, 0), "version must be one of 1, 2, 3, got 4"),
        ((-1, 1, 0), "seed and number must be 0 or more, got seed -1"),
        ((0, 1, -3), "got seed 0 and number -3"),
    ],
)
def test_bad_arguments_are_named(arguments: tuple[int, int, int], message: str):
    with pytest.raises(ValueError, match=message):
        make_person(*arguments)


def test_keypoints_refuse_other_shapes(people: list[Person]):
    with pytest.raises(ValueError, match=r"bones must be \[53, 3, 4\] from Person.bones, got \[4, 3, 4\]"):
        people[0].keypoints(np.zeros((4, 3, 4), np.float32))
