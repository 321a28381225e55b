"""The simulator, asked by the official UnrealCV client, over a world of boxes."""

from __future__ import annotations

import io
import json
import logging
import re
import signal
import subprocess
import sys
import tempfile
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image
from synth_fakes import VIEWS, running_simulator

from unrealperson.synth.protocol import Dispatcher, Server, palette

unrealcv = pytest.importorskip("unrealcv", reason="needs unrealcv: pip install 'unrealperson[synth]'")

PEOPLE = ["MHMainClass_C_0", "MHMainClass_C_1", "MHMainClass_C_2"]


@pytest.fixture
def running() -> Iterator[SimpleNamespace]:
    with running_simulator() as simulator:
        yield simulator


@pytest.fixture
def client(running: SimpleNamespace) -> Iterator[Any]:
    client = unrealcv.Client(running.address)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # the probe for known commands must succeed
        assert client.connect() is True
    yield client
    client.disconnect()


def pixels(reply: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(reply)))


def test_handshake_status_and_version(client: Any, running: SimpleNamespace) -> None:
    status = client.request("vget /unrealcv/status").splitlines()
    assert status[:2] == ["Is Listening", "Client Connected"]
    assert {f"Port: {running.server.port}", "Width: 160", "Height: 120", "FOV: 90.0"} <= set(status)
    assert re.fullmatch(r"\d+\.\d+\.\d+", client.request("vget /unrealcv/version"))
    assert client.request("vget /unrealcv/echo a:b%20") == "a:b%20"
    assert client.request("vget /scene/name") == "unrealperson"
    assert client.request("vget /level/name") == "box_street"
    assert "vget /camera/[uint]/lit [str]" in client.request("vget /unrealcv/help")


def test_objects_have_a_trailing_space_and_palette_colours(client: Any) -> None:
    assert client.request("vget /objects") == "Sky Ground "
    assert client.request("vrun ce AddActor") == "ok"
    names = client.request("vget /objects").split(" ")
    assert names == ["Sky", "Ground", *PEOPLE, ""]
    colors = [client.request(f"vget /object/{name}/color") for name in names[:-1]]
    assert colors == ["(R={},G={},B={},A=255)".format(*color) for color in palette()[:5]]
    assert client.request("vset /object/MHMainClass_C_0/color 12 34 56") == "ok"
    assert client.request("vget /object/MHMainClass_C_0/color") == "(R=12,G=34,B=56,A=255)"
    assert client.request("vset /object/MHMainClass_C_0/color 12 34 256") == "error Argument Invalid"


def test_names_keep_their_colour_and_new_ones_get_the_next(client: Any) -> None:
    client.request("vrun ce AddActor")
    first = client.request("vget /object/MHMainClass_C_1/color")
    assert client.request("vrun ce DelActor") == "ok"
    assert client.request("vget /object/MHMainClass_C_1/color") == "error Can not find object"
    client.request("vrun ce AddActor")
    assert client.request("vget /objects") == "Sky Ground MHMainClass_C_3 MHMainClass_C_4 MHMainClass_C_5 "
    assert client.request("vget /object/MHMainClass_C_3/color") == "(R={},G={},B={},A=255)".format(*palette()[5])
    assert client.request("vrun ce DelActor") == client.request("vrun ce AddActor 1 2") == "ok"
    assert client.request("vget /objects") == "Sky Ground MHMainClass_C_1 MHMainClass_C_2 "
    assert client.request("vget /object/MHMainClass_C_1/color") == first
    assert client.request("vrun ce AddActor one") == "error AddActor takes [FIRST] [COUNT], got 'one'"
    assert client.request("vrun ce AddActor 0 40000").startswith("error The 32768 mask colours are used up")


def test_add_actor_answers_at_once_and_makes_people_afterwards(running: SimpleNamespace) -> None:
    simulator, world = running.simulator, running.world
    running.server.stop()  # from here on commands run in this thread, and nothing runs in between
    running.thread.join(10)
    assert simulator.run("vrun ce AddActor") == b"ok" and world.actors == {}
    assert simulator.run("vget /objects").decode().split() == ["Sky", "Ground", *PEOPLE]
    assert simulator.run("vget /object/MHMainClass_C_2/color").decode() == "(R={},G={},B={},A=255)".format(
        *palette()[4]
    )
    assert simulator.idle() is True and list(world.actors) == PEOPLE[:1]
    assert simulator.run("vget /object/MHMainClass_C_2/mobility") == b"Movable" and list(world.actors) == PEOPLE
    assert simulator.idle() is False
    world.full = True
    assert simulator.run("vrun ce AddActor 3 2") == b"ok"
    assert simulator.run("vrun ce Resume") == b"error no room for MHMainClass_C_3"
    assert simulator.run("vrun ce Resume") == b"ok"
    assert simulator.run("vget /objects").decode().split() == ["Sky", "Ground", *PEOPLE]


def test_nobody_waits_longer_for_people_than_the_client_does() -> None:
    with running_simulator(patience_s=0.0) as running:
        running.server.stop()
        running.thread.join(10)
        run = running.simulator.run
        assert run("vrun ce AddActor") == b"ok"
        for command in ("vset /camera/0/location 1 2 3", "vset /camera/0/fov 60", "vset /cameras/spawn"):
            assert not run(command).startswith(b"error") and running.world.actors == {}
        assert run("vget /camera/0/lit bmp") == b"error 2 people are still being made; ask again"
        assert run("vrun ce Pause") == b"error 1 people are still being made; ask again"
        assert run("vget /camera/0/lit bmp").startswith(b"BM") and list(running.world.actors) == PEOPLE


def test_lit_and_mask_are_rgba_png_with_exact_colours(client: Any) -> None:
    client.request("vrun ce AddActor")
    lit, mask, seg = client.request([f"vget /camera/1/{mode} png" for mode in ("lit", "object_mask", "seg")])
    assert pixels(lit).shape == pixels(mask).shape == (120, 160, 4)
    assert (pixels(lit)[..., 3] == 255).all() and (pixels(mask)[..., 3] == 255).all()
    expected = {palette()[0], *palette()[2:5]}
    assert {tuple(color) for color in pixels(mask)[..., :3].reshape(-1, 3).tolist()} == expected
    assert mask == seg
    assert np.array_equal(pixels(client.request("vget /camera/1/object_mask bmp")), pixels(mask)[..., :3])


def test_npy_and_size(client: Any) -> None:
    assert client.request("vset /camera/1/size 200 100") == "ok"
    assert client.request("vget /camera/1/size") == "200 100"
    depth = np.load(io.BytesIO(client.request("vget /camera/1/depth npy")))
    assert depth.dtype == np.float32 and depth.shape == (100, 200) and (depth == 250.0).all()
    assert np.load(io.BytesIO(client.request("vget /camera/0/lit npy"))).shape == (120, 160, 4)


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("vget /camera/0/lit ../../etc/passwd.png", "Invalid filename type, filename ../../etc/passwd.png"),
        ("vget /camera/0/lit out.png", "Invalid filename type, filename out.png"),
        ("vget /camera/0/depth png", "Depth is sent as npy only"),
        ("vget /camera/9/lit png", "Invalid sensor id"),
        ("vset /camera/9/location 1 2 3", "Invalid sensor id"),
        ("vset /camera/0/location 1 2", "No handler found for URI"),
        ("vset /camera/0/fov 171", "fov_deg must lie in 1 ... 170 degrees, got 171.0"),
        ("vset /camera/0/size 4097 480", "Width and height must lie in 64 ... 4096, got 4097 480"),
        ("vget /object/Nobody/location", "Can not find object"),
        ("vset /object/Ground/location 1 2 3", "Object Ground is static"),
        ("vset /object/Sky/destroy", "Object Sky is static"),
        ("vset /objects/spawn Dragon", "Class Dragon can not be spawned"),
        ("vset /viewmode fancy", "View mode fancy is unknown"),
    ],
)
def test_what_cannot_be_done_is_an_error(client: Any, command: str, message: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        reply = client.request(command)
    assert reply.startswith("error ") and message in reply


def test_unknown_commands_warn_and_are_errors(client: Any) -> None:
    with pytest.warns(UserWarning, match="may not support command 'vget /nonsense'"):
        assert client.request("vget /nonsense") == "error No handler found for URI 'vget /nonsense'"


def test_camera_poses_round_trip(client: Any) -> None:
    assert client.request("vget /cameras") == "PlayerCamera FusionCameraActor_1 FusionCameraActor_2 "
    assert client.request("vget /camera/2/location") == "0.000 0.000 150.000"
    assert client.request("vget /camera/2/rotation") == "-5.000 -20.000 0.000"
    assert client.request("vget /camera/2/fov") == "70.000000"
    for camera in (0, 1):
        for _ in range(2):
            assert client.request(f"vset /camera/{camera}/location -12.345 67.891 -0.5") == "ok"
            assert client.request(f"vset /camera/{camera}/rotation -10.25 200.125 3.5") == "ok"
            location, rotation = client.request([f"vget /camera/{camera}/{what}" for what in ("location", "rotation")])
            assert (location, rotation) == ("-12.345 67.891 -0.500", "-10.250 200.125 3.500")
    assert client.request("vset /camera/0/pose 1 2 3 4 5 6") == "ok"
    assert client.request("vget /camera/0/pose") == "1.000 2.000 3.000 4.000 5.000 6.000"
    assert client.request("vset /cameras/spawn") == "FusionCameraActor_3"
    assert client.request("vget /camera/3/pose") == client.request("vget /camera/0/pose")


def test_objects_move_hide_and_vanish(client: Any, running: SimpleNamespace) -> None:
    client.request("vrun ce AddActor")
    name = f"vget /object/{PEOPLE[0]}"
    assert client.request(f"{name}/location") == "400.000 -200.000 0.000"
    assert client.request(f"{name}/rotation") == "0.000 -90.000 0.000"
    assert client.request(f"vset /object/{PEOPLE[0]}/location 500 10 0") == "ok"
    assert client.request(f"vset /object/{PEOPLE[0]}/rotation 0 45 0") == "ok"
    assert running.world.actors[PEOPLE[0]].position_m == pytest.approx((5.0, -0.1, 0.0))
    assert client.request(f"{name}/rotation") == "0.000 45.000 0.000"
    assert client.request(f"vset /object/{PEOPLE[0]}/rotation 9 45 0").startswith("error People and cubes")
    assert client.request(f"{name}/bounds") == "480.00 -20.00 0.00 520.00 40.00 180.00"
    assert client.request("vget /object/Ground/bounds") == "-100.00 -400.00 0.00 300.00 200.00 0.00"
    assert client.request(f"{name}/scale") == "1.000 1.000 1.000"
    assert client.request(f"{name}/uclass_name") == "MHMainClass_C"
    assert client.request(f"{name}/mobility") == "Movable" and client.request("vget /object/Sky/mobility") == "Static"
    before = pixels(client.request("vget /camera/0/object_mask png"))
    assert client.request(f"vset /object/{PEOPLE[0]}/hide") == "ok"
    hidden = pixels(client.request("vget /camera/0/object_mask png"))
    assert (before == (*palette()[2], 255)).all(-1).any() and not (hidden == (*palette()[2], 255)).all(-1).any()
    assert PEOPLE[0] in client.request("vget /objects").split()
    assert client.request(f"vset /object/{PEOPLE[0]}/show") == "ok"
    assert np.array_equal(pixels(client.request("vget /camera/0/object_mask png")), before)
    assert client.request(f"vset /object/{PEOPLE[0]}/destroy") == "ok"
    assert client.request(f"{name}/location") == "error Can not find object"
    assert client.request("vset /objects/spawn MHMainClass_C") == "MHMainClass_C_3"


def test_time_moves_only_at_a_pause_after_a_resume(client: Any, running: SimpleNamespace) -> None:
    def time_s() -> float:
        return json.loads(client.request("vget /camera/0/annotations"))["time_s"]

    assert client.request("vget /action/game/is_paused") == "false"
    for command, expected in (
        ("vrun ce Pause", 0.0),
        ("vrun ce Pause", 0.0),
        ("vrun ce Resume", 0.0),
        ("vrun ce Resume", 0.0),
        ("vrun ce Pause", 2.0),
        ("vset /action/game/resume", 2.0),
        ("vset /action/game/pause", 4.0),
        ("vset /action/game/pause", 4.0),
    ):
        assert client.request(command) == "ok"
        assert time_s() == expected
    assert client.request("vget /action/game/is_paused") == "true"


def test_light_and_console(client: Any, running: SimpleNamespace) -> None:
    events = ["LC", "LC", "LC"]
    assert [client.request(f"vrun ce {event}") for event in events] == ["ok"] * 3
    assert running.world.light == 2
    assert client.request("vrun ce LCreset") == "ok" and running.world.light == 2
    assert client.request("vrun ce LC") == "ok" and running.world.light == 0
    for command in ("vrun ce NoSuchEvent 1 2", "vrun setres 640x480w", "vrun whatever", "vbatch 3"):
        assert client.request(command) == "ok"
    assert client.request("vset /viewmode object_mask") == "ok" and client.request("vget /viewmode") == "object_mask"
    assert client.request("vset /action/input/disable") == client.request("vset /action/keyboard W 0.5") == "ok"


def test_batches_mix_text_and_images_and_async_keeps_the_order(client: Any) -> None:
    client.request("vrun ce AddActor")
    assert client.request("vset /camera/0/location 1 2 3", -1) is True
    assert client.request("vget /camera/0/location") == "1.000 2.000 3.000"
    client.request(["vset /camera/0/location 4 5 6", "vget /camera/0/lit png"], -1)
    replies = client.request(
        ["vget /camera/0/location", "vget /camera/0/lit png", "vget /objects", "vget /camera/0/fov"]
    )
    assert replies[0] == "4.000 5.000 6.000" and replies[1][:4] == b"\x89PNG"
    assert replies[2].endswith("MHMainClass_C_2 ") and replies[3] == "90.000000"


def test_one_instant_is_rendered_once_and_in_one_thread(client: Any, running: SimpleNamespace) -> None:
    client.request("vrun ce AddActor")
    first = client.request("vget /camera/0/object_mask png")
    client.request(["vget /camera/0/annotations", "vget /camera/0/object_mask bmp"])
    assert running.renderer.renders == 1
    client.request(["vrun ce Resume", "vrun ce Pause"])
    assert client.request("vget /camera/0/object_mask png") != first
    assert running.renderer.renders == 2 and len(running.renderer.threads) == 1


def test_classes_have_a_mask_of_their_own(client: Any) -> None:
    client.request("vrun ce AddActor")
    classes = json.loads(client.request("vget /classes"))
    assert list(classes) == ["Sky", "Person", "Ground"] and len({tuple(color) for color in classes.values()}) == 3
    mask = pixels(client.request("vget /camera/0/class_mask png"))[..., :3]
    people = pixels(client.request("vget /camera/0/object_mask png"))[..., :3]
    own = np.zeros(mask.shape[:2], bool)
    for name in PEOPLE:
        red, green, blue = map(int, re.findall(r"=(\d+)", client.request(f"vget /object/{name}/color"))[:3])
        own |= (people == (red, green, blue)).all(-1)
    assert own.any() and np.array_equal((mask == classes["Person"]).all(-1), own)
    assert "error" in client.request("vget /camera/0/class_mask gif")


def test_images_of_one_instant_are_kept_within_bounds(
    client: Any, running: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unrealperson.synth.commands.cameras.CACHE_BYTES", 160 * 120 * 3)
    first = client.request("vget /camera/0/lit bmp")
    client.request("vget /camera/0/object_mask bmp")
    rendered = running.renderer.renders
    assert client.request("vget /camera/0/lit bmp") == first and running.renderer.renders == rendered + 1


def test_annotations_tell_the_truth(client: Any, running: SimpleNamespace) -> None:
    client.request("vrun ce AddActor")
    client.request("vset /object/MHMainClass_C_1/location -500 0 0")  # behind the camera
    client.request("vset /object/MHMainClass_C_2/location 600 0 0")
    client.request("vset /object/MHMainClass_C_2/rotation 0 180 0")
    truth = json.loads(client.request("vget /camera/0/annotations"))
    mask = pixels(client.request("vget /camera/0/object_mask png"))[..., :3]
    assert (truth["width"], truth["height"], truth["light"]) == (160, 120, 0)
    people = {person["name"]: person for person in truth["people"]}
    assert set(people) == {"MHMainClass_C_0", "MHMainClass_C_2"}
    towards = people["MHMainClass_C_2"]
    own = (mask == palette()[4]).all(-1)
    rows, columns = np.nonzero(own)
    assert towards["pixels"] == own.sum()
    assert towards["visible_box"] == [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    assert towards["full_box"] == pytest.approx(towards["visible_box"], abs=1.0)
    assert towards["person"] == 2 and towards["yaw_deg"] == 180.0
    assert towards["speed_mps"] == 1.25 and towards["distance_m"] == pytest.approx(np.hypot(6.0, 1.5), abs=1e-3)
    assert len(towards["keypoints"]) == 17 and {point[2] for point in towards["keypoints"]} == {2}
    x, y, _ = towards["keypoints"][0]
    projected, _ = VIEWS[0].project(np.array([[5.85, 0.0, 1.7]]), 160, 120)
    assert (x, y) == pytest.approx(projected[0], abs=0.01)
    attributes = json.loads(client.request("vget /person/MHMainClass_C_2/attributes"))
    assert attributes == {"person": 2, "version": 1, "top": "shirt", "height_m": 1.8}


def test_a_hidden_person_has_no_visible_box(client: Any) -> None:
    client.request(["vrun ce AddActor 0 2", "vset /object/MHMainClass_C_0/location 300 0 0"])
    client.request("vset /object/MHMainClass_C_1/location 900 0 0")
    near, far = json.loads(client.request("vget /camera/0/annotations"))["people"]
    assert near["pixels"] > 0 and {point[2] for point in near["keypoints"]} <= {0, 2}
    assert far["pixels"] == 0 and far["visible_box"] is None and far["full_box"][0] > 0
    assert {point[2] for point in far["keypoints"]} == {1}


def test_second_client_is_refused_and_reconnecting_goes_on(
    client: Any, running: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("unrealcv"), "disabled", True)
    assert unrealcv.Client(running.address).connect() is False
    client.request("vset /camera/0/location 1 2 3")
    sent = client.send_message_id
    for _ in range(3):
        client.disconnect()
        assert client.connect() is True
    assert client.request("vget /camera/0/location") == "1.000 2.000 3.000"
    assert client.send_message_id == sent + 1


def test_unix_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with running_simulator(unix=True) as running:
        client = unrealcv.Client(str(running.server.unix_path), "unix")
        assert client.connect() is True
        assert client.request("vget /objects") == "Sky Ground "
        client.disconnect()


def test_the_clients_own_api_starts_up(running: SimpleNamespace) -> None:
    running.world.spawn(0)
    api = unrealcv.UnrealCv_API(running.server.port, "127.0.0.1", (160, 120))
    try:
        assert len(api.cam) == 3
        assert set(api.obj_dict) == {"Sky", "Ground"}
        image = api.get_image(0, "lit", "png")
        assert image.shape[:2] == (120, 160)
    finally:
        api.client.disconnect()


def test_a_server_that_does_not_report_its_commands_is_only_warned_about() -> None:
    dispatcher = Dispatcher()
    old = {"vget /unrealcv/commands": b"error Can not find a handler for URI 'vget /unrealcv/commands'"}
    with Server(lambda command: old.get(command) or dispatcher.run(command)) as server:
        thread = threading.Thread(target=server.serve)
        thread.start()
        client = unrealcv.Client(("127.0.0.1", server.port))
        with pytest.warns(UserWarning, match="too old to report its supported commands"):
            assert client.connect() is True
        assert client.request("vget /unrealcv/help").startswith("vget /unrealcv/commands")
        client.disconnect()
        server.stop()
        thread.join(10)


def test_a_wrong_option_is_named_before_anything_is_built(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("version = 1\n[synth]\nwidth = 3\n")
    done = subprocess.run(
        [sys.executable, "-m", "unrealperson.synth.simulator", "--config", str(tmp_path / "config.toml")],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode != 0 and "synth.width and synth.height must lie in 64 ... 4096" in done.stderr
    assert done.returncode != -signal.SIGSEGV and done.stdout == ""
