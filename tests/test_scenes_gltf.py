from __future__ import annotations

import base64
import json
import math
from pathlib import Path

import numpy as np
import pytest
from models import ModelFile, hall, tiles

from unrealperson.cli import main
from unrealperson.config import SynthConfig
from unrealperson.data.manifest import Manifest
from unrealperson.synth.cameras import camera_views
from unrealperson.synth.crowd import Crowd
from unrealperson.synth.scenes import Scene, make_scene
from unrealperson.synth.scenes.gltf import read_gltf

EXAMPLE = Path(__file__).resolve().parent.parent / "examples" / "own_scene.py"


def place(folder: Path, model: ModelFile) -> Scene:
    path = folder / "model.glb"
    path.write_bytes(model.glb())
    make_scene.cache_clear()
    return make_scene(9, 0, place=str(path))


def told_hall() -> ModelFile:
    """A hall that says what is what."""
    model = hall()
    model.json["cameras"] = [{"type": "perspective", "perspective": {"yfov": math.radians(45), "aspectRatio": 4 / 3}}]
    model.json["extensions"] = {
        "KHR_lights_punctual": {
            "lights": [
                {"type": "point", "intensity": 100.0, "color": [1, 0.5, 0.25], "range": 9.0},
                {"type": "spot", "intensity": 200.0},
                {"type": "directional"},
            ]
        }
    }
    # A camera at (2, 1, 3) that looks along +Y and 30 degrees down: about glTF's X axis, from -Z.
    turn = [math.sin(math.radians(-15)), 0, 0, math.cos(math.radians(-15))]
    model.add_node("Camera", camera=0, translation=[2, 3, -1], rotation=turn)
    for light in range(3):
        keys = {"extensions": {"KHR_lights_punctual": {"light": light}}}
        model.add_node(f"Light{light}", translation=[4 + light, 3.2, -6], **keys)
    route = model.add_node("Route", role="path", translation=[0, 0, -1])
    for x, y in ((2, 0), (13, 0), (13, 9), (2, 9)):
        model.add_node("Stop", parent=route, translation=[x, 0, -y])
    model.json["scenes"][0]["extras"] = {"unrealperson": "outdoor"}
    return model


def test_a_model_becomes_a_scene(tmp_path):
    model = told_hall()
    for node in model.json["nodes"]:
        if node["name"] == "tiled floor":
            node["extras"] = {"unrealperson": "floor"}
    model.add_box("pond", (12, 5, 0.0), (13.5, 6.5, 0.05), role="obstacle")
    lamp = model.add_box("lantern", (3, 3, 2.5), (3.2, 3.2, 3.0), role="lamp")
    model.json["nodes"][model.json["scenes"][0]["nodes"][-1]]["name"] = "Lantern x7"
    assert lamp == len(model.json["nodes"]) - 1
    route = next(node for node in model.json["nodes"] if node["name"] == "Route")
    model.json["nodes"][route["children"][1]]["translation"][0] = 11.35
    model.json["nodes"][route["children"][2]]["translation"][0] = 11.35
    scene = place(tmp_path, model)
    assert (scene.number, scene.name, scene.indoor) == (9, "Model", False)
    names = [mesh.name for mesh in scene.meshes]
    assert len(set(names)) == len(names)
    assert {"TiledFloor_1", "Wall_4", "Shelf_2", "Pillar_1", "LanternX_1"} <= set(names)
    meshes = dict(zip(names, scene.meshes, strict=True))
    assert meshes["Wall_2"].positions.max(0) == pytest.approx((16.2, 12.2, 3.6), abs=1e-5)
    assert meshes["Wall_2"].positions.min(0) == pytest.approx((-0.2, 12.0, 0.0), abs=1e-5)
    for mesh in scene.meshes:
        corners = mesh.positions[mesh.faces].astype(float)
        out = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        assert ((out * mesh.normals[mesh.faces[:, 0]]).sum(1) > 0).all(), mesh.name
    floor = meshes["TiledFloor_1"]
    assert floor.texture == pytest.approx(tiles()) and floor.colors == pytest.approx(0.9)
    assert floor.uv[:, 0] == pytest.approx(floor.positions[:, 0]) and meshes["LanternX_1"].glow > 0
    (view,) = scene.views
    assert view.position_m == pytest.approx((2, 1, 3))
    assert (view.yaw_deg, view.pitch_deg, view.roll_deg) == pytest.approx((90, -30, 0), abs=1e-6)
    assert math.tan(math.radians(view.fov_deg / 2)) == pytest.approx(math.tan(math.radians(22.5)) * 4 / 3)
    assert camera_views(9, 2, 0, place=str(tmp_path / "model.glb"))[0] == view
    marked, point, spot = scene.lamps
    assert marked.position_m == pytest.approx((3.1, 3.1, 2.45))
    assert point.position_m == pytest.approx((4, 6, 3.2)) and point.reach_m == 9.0
    assert max(spot.color) == pytest.approx(2 * max(point.color)) and point.color[1] == pytest.approx(
        point.color[0] / 2
    )
    (path,) = scene.paths
    assert path == pytest.approx(np.array([[2, 1], [11.35, 1], [11.35, 10], [2, 10]]))
    assert scene.is_free(np.array([1.0, 6.0]), 0.3) and not scene.is_free(np.array([12.7, 5.7]), 0.1)


@pytest.mark.parametrize("lift_m", [0.0, 2.4])
def test_what_a_model_does_not_say_is_derived(tmp_path, lift_m):
    model = hall()
    for node in model.json["nodes"]:
        node["translation"] = [0, lift_m, 0]
    scene = place(tmp_path, model)
    assert scene.indoor and scene.ceiling_m == pytest.approx(3.6, abs=0.05)
    assert scene.lamps and all(3.0 < lamp.position_m[2] < 3.6 for lamp in scene.lamps) and scene.lamp_level > 0.3
    assert scene.bounds == pytest.approx((0, 0, 16, 12), abs=0.2)
    assert 20 < len(scene.obstacles) < 150
    assert len(scene.paths) >= 4
    for line in Crowd(scene, seed=0, version=1, crowding=0.0)._paths:
        for x, y in line:
            assert scene.is_free(np.array([x, y]), 0.5), (x, y)
    inside = [np.array(spot) for spot in ((5.6, 6.0), (10.4, 4.0), (8.0, 2.1))]
    assert not any(scene.is_free(spot, 0.05) for spot in inside)
    views = camera_views(9, 200, 0, place=str(tmp_path / "model.glb"))
    assert len(set(views)) == 200 and views[:3] == camera_views(9, 3, 0, place=str(tmp_path / "model.glb"))
    assert all(2 < view.position_m[2] <= 3.21 and scene.is_free(np.array(view.position_m[:2]), 0.0) for view in views)


def test_people_stay_in_the_largest_room(tmp_path):
    model = hall(ceiling=False)
    model.add_box("partition", (0, 8.7, 0), (16, 8.9, 2.2))
    scene = place(tmp_path, model)
    assert not scene.indoor and scene.lamps == ()
    assert scene.bounds[3] < 8.8 and all(path[:, 1].max() < 8.0 for path in scene.paths)
    route = model.add_node("Route", role="path")
    for x, y in ((2, 9.9), (13, 9.9), (13, 10.9)):
        model.add_node("Stop", parent=route, translation=[x, 0, -y])
    with pytest.raises(ValueError, match=r"a path leaves the largest free ground at \(2.0, 9.9\)"):
        place(tmp_path, model)


def test_a_text_file_with_its_parts_beside_it(tmp_path):
    model = hall()
    packed = model.json | {"buffers": [{"byteLength": len(model.binary), "uri": "all%20parts.bin"}]}
    (tmp_path / "all parts.bin").write_bytes(model.binary)
    (tmp_path / "model.gltf").write_text(json.dumps(packed))
    (tmp_path / "model.glb").write_bytes(model.glb())
    inline = "data:application/octet-stream;base64," + base64.b64encode(model.binary).decode()
    (tmp_path / "inline.gltf").write_text(json.dumps(packed | {"buffers": [{"byteLength": 1, "uri": inline}]}))
    one, *others = (read_gltf(tmp_path / name) for name in ("model.glb", "model.gltf", "inline.gltf"))
    for other in others:
        for a, b in zip(one.meshes, other.meshes, strict=True):
            assert (
                a.name == b.name and np.array_equal(a.positions, b.positions) and np.array_equal(a.texture, b.texture)
            )


def test_mirrored_turned_and_scaled_nodes(tmp_path):
    model = hall()
    box = next(node for node in model.json["nodes"] if node["name"] == "pillar")
    mesh = box.pop("mesh")
    half = math.sqrt(0.5)
    group = model.add_node("group", translation=[1, 0, 0], rotation=[0, half, 0, half], scale=[2, 1, 1])
    model.add_node("pillar", parent=group, mesh=mesh, scale=[-1, 1, 1])
    (tmp_path / "m.glb").write_bytes(model.glb())
    found = next(mesh for mesh in read_gltf(tmp_path / "m.glb").meshes if mesh.name == "Pillar_1")
    # (x, y) of the pillar, mirrored and stretched to (-2 x, y), turned by 90 degrees about Z and moved.
    assert found.positions.min(0) == pytest.approx((1 - 2.3, -16.4, 0.0), abs=1e-5)
    assert found.positions.max(0) == pytest.approx((1 - 1.9, -15.6, 3.6), abs=1e-5)
    corners = found.positions[found.faces].astype(float)
    outward = corners.mean(1) - found.positions.mean(0)
    assert ((found.normals[found.faces[:, 0]] * outward).sum(1) > 0).all()


def _set(*keys, value):
    def change(model: ModelFile) -> None:
        inside = model.json
        for key in keys[:-1]:
            inside = inside[key]
        inside[keys[-1]] = value

    return change


def _sparse_light(model: ModelFile) -> None:
    model.add_node("Light", extensions={"KHR_lights_punctual": {"light": 3}})
    model.json["extensions"] = {"KHR_lights_punctual": {"lights": []}}


def _no_number(model: ModelFile) -> None:
    view = model.json["bufferViews"][model.json["accessors"][0]["bufferView"]]
    model.binary[view["byteOffset"] : view["byteOffset"] + 4] = np.array([np.nan], "<f4").tobytes()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_set("asset", "version", value="1.0"), "glTF 1.0, only 2 is supported"),
        (_set("extensionsRequired", value=["KHR_draco_mesh_compression"]), "needs KHR_draco_mesh_compression"),
        (_set("scene", value=3), r"scenes\[3\] is asked for, there are 1"),
        (_set("scenes", 0, "nodes", value=[99]), r"nodes\[99\] is asked for"),
        (_set("scenes", 0, "nodes", value=[0, 0]), "node 0 is there twice"),
        (_set("scenes", 0, "nodes", value=[]), "holds no triangles"),
        (_set("scenes", 0, "extras", value={"unrealperson": "cave"}), "may be 'indoor' or 'outdoor'"),
        (_set("nodes", 0, "children", value=[0]), "node 0 is there twice"),
        (_set("nodes", 0, "extras", value={"unrealperson": "wall"}), "may be path, camera, lamp, floor, obstacle"),
        (_set("nodes", 0, "extras", value={"unrealperson": "path"}), "must be a line strip"),
        (_set("nodes", 0, "matrix", value=[1, 2]), "cannot reshape"),
        (_set("nodes", 0, "translation", value=[math.inf, 0, 0]), "Infinity is no number"),
        (_set("nodes", 0, "mesh", value=-1), r"meshes\[-1\] is asked for"),
        (_set("nodes", value=7), "no valid glTF file"),
        (_set("meshes", 0, "primitives", 0, "mode", value=5), "strips or fans"),
        (_set("meshes", 0, "primitives", 0, "indices", value=0), "is VEC3, expected SCALAR"),
        (_set("accessors", 0, "count", value=10**9), "count 1000000000"),
        (_set("accessors", 0, "count", value=1000), "reaches beyond its"),
        (_set("accessors", 0, "count", value=3), "positions and 4 of|asks for vertex 3, there are 3"),
        (_set("accessors", 0, "byteOffset", value=-4), "offset -4"),
        (_set("accessors", 0, "sparse", value={}), "sparse, which is not supported"),
        (_set("accessors", 0, "componentType", value=1), "no valid glTF file"),
        (_set("bufferViews", 0, "byteLength", value=10**7), "a buffer view reaches from"),
        (_set("materials", 0, "pbrMetallicRoughness", "baseColorTexture", "texCoord", value=1), "TEXCOORD_1"),
        (_set("materials", 0, "pbrMetallicRoughness", "baseColorFactor", value=[1]), "has the colour"),
        (_set("images", 0, value={"uri": "../secret.png"}), "lies outside its folder"),
        (_set("images", 0, value={"uri": "..%2Fsecret.png"}), "lies outside its folder"),
        (_set("images", 0, value={"uri": "/etc/hostname"}), "lies outside its folder"),
        (_set("images", 0, value={"uri": "https://example.org/a.png"}), "is not in"),
        (_set("images", 0, value={"uri": "data:image/png;base64,AAAA"}), "no PNG or JPEG"),
        (_set("images", 0, value={"uri": "data:image/png;base64,*"}), "data URI is damaged"),
        (_sparse_light, "light 3 is asked for, there are 0"),
        (_no_number, "values that are no numbers"),
    ],
)
def test_broken_models_say_what_is_wrong(tmp_path, change, message):
    (tmp_path / "inner").mkdir()
    (tmp_path / "secret.png").write_bytes(b"secret")
    model = hall()
    change(model)
    path = tmp_path / "inner" / "model.glb"
    path.write_bytes(model.glb())
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        read_gltf(path)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "model.glb"),
        (b"glTF", "no valid glTF file"),
        (hall().glb()[:4000], "GLB of version 2 with 4000 of"),
        (b"\xff\xfe{}", "model.glb"),
        (b"[]", "no valid glTF file"),
    ],
)
def test_files_that_are_no_models(tmp_path, data, message):
    path = tmp_path / "model.glb"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=message):
        read_gltf(path)


def test_too_large(tmp_path, monkeypatch):
    path = tmp_path / "model.glb"
    path.write_bytes(hall().glb())
    for name, value, message in (
        ("_FILE_BYTES", 1000, "the most is 1000"),
        ("_NODES", 3, "more than 3 nodes"),
        ("_TRIANGLES", 20, "20 triangles"),
        ("_IMAGE_PX", 32, "the most is 32 a side"),
        ("_TEXTURE_BYTES", 999, "pictures take more than 999 bytes"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(f"unrealperson.synth.scenes.gltf.{name}", value)
            with pytest.raises(ValueError, match=message):
                read_gltf(path)
    monkeypatch.setattr("unrealperson.synth.scenes.gltf._TEXTURE_PX", 16)
    assert read_gltf(path).meshes[0].texture.shape == (16, 16, 3)


@pytest.mark.parametrize(
    ("size_m", "message"),
    [((0.5, 0.5), "no free ground that is wide enough"), ((1.5, 1.5), "nowhere wide enough")],
)
def test_ground_that_is_too_small(tmp_path, size_m, message):
    model = ModelFile()
    wide, deep = size_m
    corners = np.array([[0, 0, 0], [wide, 0, 0], [wide, deep, 0], [0, deep, 0]])
    model.add_node("floor", mesh=model.add_mesh(corners, [[0, 1, 2], [0, 2, 3]]))
    with pytest.raises(ValueError, match=message):
        place(tmp_path, model)


def test_of_a_wide_plain_the_part_around_its_things_is_walked_on(tmp_path):
    model = ModelFile()
    corners = np.array([[-2000, -1500, 0], [2000, -1500, 0], [2000, 1500, 0], [-2000, 1500, 0]])
    model.add_node("plain", mesh=model.add_mesh(corners, [[0, 1, 2], [0, 2, 3]]))
    for number in range(9):
        x, y = 300 + 8 * (number % 3), -200 + 8 * (number // 3)
        model.add_box(f"tower.{number}", (x - 1, y - 1, 0), (x + 1, y + 1, 4))
    scene = place(tmp_path, model)
    x0, y0, x1, y1 = scene.bounds
    assert ((x0 + x1) / 2, (y0 + y1) / 2) == pytest.approx((308, -192), abs=1.5)
    assert 58 < x1 - x0 < 64 and 58 < y1 - y0 < 64
    assert len(scene.paths) >= 4 and not scene.is_free(np.array([308, -192]), 0.1)


FUNCTIONS = f"""
import dataclasses, importlib.util, sys
import numpy as np
spec = importlib.util.spec_from_file_location("own_scene", {str(EXAMPLE)!r})
own = importlib.util.module_from_spec(spec)
spec.loader.exec_module(own)

@dataclasses.dataclass
class Wish:
    seed: int

def good(seed):
    return own.build_yard(Wish(seed).seed)
def nothing(seed):
    return None
def blocked(seed):
    return dataclasses.replace(good(seed), obstacles=np.array([[3.0, 0.0, 0.4]]))
def outside(seed):
    return dataclasses.replace(good(seed), bounds=(-2.0, -2.0, 2.0, 2.0))
def pathless(seed):
    return dataclasses.replace(good(seed), paths=())
def twins(seed):
    scene = good(seed)
    return dataclasses.replace(scene, meshes=scene.meshes + scene.meshes[:1])
def torn(seed):
    scene = good(seed)
    return dataclasses.replace(scene, meshes=(dataclasses.replace(scene.meshes[0], faces=np.array([[0, 1, 10**6]])),))
text = "no function"
"""


def test_a_function_is_a_place(tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text(FUNCTIONS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    scene = make_scene(7, 3, place="mine.py:good")
    assert (scene.number, scene.seed, scene.name) == (7, 3, "Yard")
    same = make_scene(7, 3, place="mine:good")
    assert [mesh.name for mesh in same.meshes] == [mesh.name for mesh in scene.meshes]
    views = camera_views(7, 5, 3, place="mine.py:good")
    assert tuple(views[:2]) == scene.views and len(views) == 5


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("mine.py:nothing", ValueError, "must return a Scene, got NoneType"),
        ("mine.py:blocked", ValueError, "path 0 comes closer than 0.3 m"),
        ("mine.py:outside", ValueError, "path 0 comes closer than 0.3 m"),
        ("mine.py:pathless", ValueError, "at least one path"),
        ("mine.py:twins", ValueError, "must be of its own"),
        ("mine.py:torn", ValueError, "faces beyond its"),
        ("mine.py:text", ValueError, "has no function text"),
        ("mine.py:absent", ValueError, "has no function absent"),
        ("absent.py:good", FileNotFoundError, "no such file: absent.py"),
        ("absent.module:good", ValueError, "there is no module absent.module"),
        ("mine.py", ValueError, "a place is FILE.py:FUNCTION"),
        ("absent.glb", FileNotFoundError, "no such model: absent.glb"),
    ],
)
def test_places_that_are_not_sound(tmp_path, monkeypatch, name, error, message):
    (tmp_path / "mine.py").write_text(FUNCTIONS)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=message):
        make_scene(7, 0, place=name)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"place": "yard.obj"}, "synth.place must be FILE.py:FUNCTION, FILE.glb or FILE.gltf, got 'yard.obj'"),
        ({"place": "yard.glb", "scenes": (1, 2)}, "synth.place is one scene: give one of synth.scenes"),
    ],
)
def test_configuration(values, message):
    with pytest.raises(ValueError, match=message):
        SynthConfig(**values)


def test_crops_of_a_model(tmp_path):
    pytest.importorskip("panda3d", reason="rendering needs panda3d: pip install unrealperson[synth]")
    pytest.importorskip("unrealcv", reason="capturing needs the UnrealCV client: pip install unrealperson[synth]")
    (tmp_path / "hall.glb").write_bytes(told_hall().glb())
    counts = {"people": 2, "test_people": 1, "people_per_batch": 2, "cameras": 2, "instants": 8, "workers": 1}
    options = [part for key, value in counts.items() for part in (f"--synth.{key}", str(value))]
    out = tmp_path / "out"
    arguments = ["synth", "--out", str(out), "--synth.place", str(tmp_path / "hall.glb"), *options]
    assert main([*arguments, "--synth.scenes", "6"]) == 0
    manifest = Manifest.read(out)
    assert len(manifest.table) >= 2
    assert {path.split("/")[0] for path in manifest.path} == {"unreal_v6.1"}
