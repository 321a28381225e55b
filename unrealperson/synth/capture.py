"""Frames of a shard, taken from an UnrealCV endpoint with the official client.

The endpoint is the embedded simulator, started as a child process, or any running Unreal Engine.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np

from unrealperson.config import Config, SynthConfig, save_config
from unrealperson.log import get_logger
from unrealperson.schema import LabelledFrame
from unrealperson.synth.endpoint import Endpoint, as_texts, decode_array, decode_image, parse_endpoint
from unrealperson.synth.people.photographs import open_pictures
from unrealperson.synth.poses import views_of
from unrealperson.synth.scenes import usual
from unrealperson.synth.sensors import Sensor, camera_sensors
from unrealperson.synth.truth import bend_person, describe_camera
from unrealperson.synth.unreal import LEVEL_PREFIX, Level, parse_color, person_names, person_number, pose_commands
from unrealperson.synth.view import View

_logger = get_logger(__name__)


@dataclass(frozen=True)
class Shard:
    """One batch of people in one scene: the unit of work, a pure function of the configuration.

    Attributes:
        scene: X.
        version: Y.
        batch: number of the batch, from 0.
        first: P of its first person.
        count: people in it.
    """

    scene: int
    version: int
    batch: int
    first: int
    count: int

    @property
    def name(self) -> str:
        """Name of the shard's folder."""
        return f"v{self.scene}.{self.version}_{self.batch:05d}"


@dataclass(frozen=True)
class Frame(LabelledFrame):
    """A labelled frame and the pose of the camera that saw it.

    Attributes:
        view: pose of the camera.
        depth: [H, W] uint16 distance along the optical axis in 1/256 m, 0 where nothing stands; None if nobody asked.
    """

    view: View
    depth: np.ndarray | None = field(default=None, kw_only=True)


class SimulatorProcess:
    """A running child process of `launch_simulator`.

    Attributes:
        address: (host, port) of its server.
    """

    def __init__(self, process: subprocess.Popen[bytes], log: IO[bytes]) -> None:
        self.address = ("127.0.0.1", 0)
        self._process = process
        self._log = log

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    def last_words(self) -> str:
        """Exit status and the end of the child's standard error, for messages."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(1.0)
        self._log.seek(0, os.SEEK_END)
        self._log.seek(max(self._log.tell() - 2000, 0))
        text = self._log.read().decode(errors="replace").strip()
        status = self._process.poll()
        state = "it still runs" if status is None else f"it ended with status {status}"
        return f"{state}; its last words: {text or 'none'}"

    def wait_until_ready(self, timeout_s: float) -> None:
        """Waits for the line that names the port.

        Args:
            timeout_s: longest wait in seconds.

        Raises:
            RuntimeError: the child ended or is late.
        """
        deadline_s = time.monotonic() + timeout_s
        stdout = self._process.stdout
        received = b""
        while stdout is not None and (left_s := deadline_s - time.monotonic()) > 0:
            if not select.select([stdout], [], [], left_s)[0]:
                break
            part = os.read(stdout.fileno(), 4096)
            if not part:
                raise RuntimeError(f"the simulator did not start: {self.last_words()}")
            received += part
            for line in received.split(b"\n")[:-1]:
                if line.startswith(b"{"):
                    self.address = ("127.0.0.1", int(json.loads(line)["port"]))
                    return
        raise RuntimeError(f"the simulator was not ready within {timeout_s:g} s: {self.last_words()}")


@contextlib.contextmanager
def launch_simulator(
    config: SynthConfig, *, people: Path | None = None, command: Sequence[str] | None = None
) -> Iterator[SimulatorProcess]:
    """Runs a simulator as a child process; it ends with the context, and with this process.

    Args:
        config: what the simulator shows; its timeout_s is the longest wait for its start.
        people: folder in which people are kept for other simulators of this configuration.
        command: program to run instead of the simulator's module.

    Raises:
        RuntimeError: the child ends early or is not ready within `timeout_s`; the end of its log is in the message.
        ValueError: no pictures that garments could take.
    """
    if config.textures != "generated":
        # Cutting patches may take minutes: it is done before the simulator's time to start runs.
        open_pictures(Path(config.pictures), config.textures)
    # One thread and one vector width, so that Mesa's software renderer gives the same bits everywhere.
    environment = os.environ | {"LP_NUM_THREADS": "1", "LP_NATIVE_VECTOR_WIDTH": "256", "OMP_NUM_THREADS": "1"}
    environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile() as log:
        path = Path(folder) / "config.toml"
        save_config(Config(synth=config), path)
        if command is None:
            module = [sys.executable, "-m", "unrealperson.synth.simulator", "--exit-with-parent", "--port", "0"]
            command = [*module, "--config", str(path)]
            if people is not None:
                command += ["--people", str(people)]
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            env=environment,
            start_new_session=True,
        )
        try:
            child = SimulatorProcess(process, log)
            child.wait_until_ready(config.timeout_s)
            yield child
        finally:
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            stream.close()
    try:
        process.wait(5.0)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def capture(
    config: SynthConfig, shard: Shard, *, only: tuple[int, int] | None = None, people: Path | None = None
) -> Generator[Frame, None, None]:
    """Yields the frames of a shard: instant after instant, and for each instant camera after camera.

    Args:
        config: what to synthesise; `endpoint` names a running Unreal Engine.
        shard: which people.
        only: (frame number, camera) of the one frame that is wanted; the people walk up to it, nobody looks before.
        people: folder in which people are kept for other shards of this configuration.

    Raises:
        RuntimeError: the endpoint is missing, dies, refuses a command or is late.

    Source: toolkit/generate_datasets.py of the authors' code. There, cameras are visited one after another
        while time goes on; in the embedded simulator all cameras look at the same instant.
    """
    with contextlib.ExitStack() as stack:
        if config.endpoint:
            endpoint = Endpoint(parse_endpoint(config.endpoint), timeout_s=config.timeout_s)
            yield from drive(stack.enter_context(endpoint), config, shard, only)
            return
        simulator = stack.enter_context(
            launch_simulator(replace(config, scenes=(shard.scene,), versions=(shard.version,)), people=people)
        )
        try:
            endpoint = stack.enter_context(Endpoint(simulator.address, timeout_s=config.timeout_s))
            yield from drive(endpoint, config, shard, only)
        except RuntimeError as error:
            raise RuntimeError(f"shard {shard.name}: {error}; simulator: {simulator.last_words()}") from error


def drive(
    endpoint: Endpoint, config: SynthConfig, shard: Shard, only: tuple[int, int] | None = None
) -> Iterator[Frame]:
    """Yields the frames of a shard from an endpoint that listens already.

    Args:
        endpoint: of the embedded simulator, or of Unreal Engine where `config.endpoint` says so.
        config: what to synthesise; the endpoint shows the same scene and version.
        shard: which people.
        only: as for `capture`.

    Raises:
        RuntimeError: the endpoint dies, refuses a command or is late.
    """
    level = Level(endpoint) if config.endpoint else None
    if level:
        level.resize(config.width, config.height)
    views = views_of(config, shard.scene)
    sensors = camera_sensors(shard.scene, len(views), config.seed, config)
    lights = config.lights or usual(shard.scene).lights
    colors = level.populate(shard.count) if level else _spawn(endpoint, shard)
    attributes = {} if level else _attributes(endpoint)
    objects = _object_colors(endpoint) if config.keep_frames else {}
    endpoint.request("vrun ce LCreset")
    fired = 0
    for instant in range(config.instants):
        light = instant * lights // config.instants
        if config.light_schedule == "original":
            light = min(instant, lights - 1)
        if lights > 1:
            endpoint.request(*["vrun ce LC"] * (light + 1 - fired))
            fired = light + 1
        if level:
            time.sleep(config.interval_s)
        else:
            endpoint.request("vrun ce Resume", "vrun ce Pause")
        number = shard.batch * config.instants + instant
        for camera, (view, sensor) in enumerate(zip(views, sensors, strict=True), 1):
            if only not in (None, (number, camera)):
                continue
            image, mask, truth = (*level.look(view), {}) if level else _look(endpoint, view)
            people = {person["person"]: person for person in truth.get("people", ())}
            height, width = mask.shape[:2]
            depth = _depth(endpoint) if config.keep_frames and not level else None
            pose = describe_camera(view, width, height) | {"distortion": sensor.distortion if config.sensor else 0.0}
            if config.sensor:
                seed = [config.seed, shard.scene, shard.version, camera, number]
                image = sensor.apply(sensor.bend(image), np.random.default_rng(seed), gain=truth.get("gain", 1.0))
                mask = sensor.bend(mask, flat=True)
                depth = None if depth is None else _bend_depth(sensor, depth)
                people = {
                    person: bend_person(facts, partial(sensor.bent, width=width, height=height), mask, colors[person])
                    for person, facts in people.items()
                }
            yield Frame(
                scene=shard.scene,
                version=shard.version,
                camera=camera,
                number=number,
                time_s=number * config.interval_s,
                light=light,
                image=image,
                mask=mask,
                colors=colors,
                people=people,
                view=view,
                hours=None if level else config.hours,
                camera_pose=pose,
                attributes=attributes,
                objects=objects,
                depth=depth,
                driver=truth.get("driver"),
            )
            if only is not None:
                return


def _spawn(endpoint: Endpoint, shard: Shard) -> dict[int, tuple[int, int, int]]:
    """Replaces the people of the scene; returns the mask colour of each new P."""
    endpoint.request("vrun ce DelActor")
    endpoint.request(f"vrun ce AddActor {shard.first} {shard.count}")
    names = person_names(endpoint)
    if not names:
        raise RuntimeError(f"AddActor made no object whose name starts with {LEVEL_PREFIX}")
    replies = as_texts(endpoint.request(*[f"vget /object/{name}/color" for name in names]))
    colors = dict(zip(map(person_number, names), map(parse_color, replies), strict=True))
    if None in colors.values() or len(set(colors.values())) != len(names) or (0, 0, 0) in colors.values():
        raise RuntimeError(f"mask colours of people must differ and not be black, got {sorted(set(replies))}")
    return {number: color for number, color in colors.items() if color is not None}


def _attributes(endpoint: Endpoint) -> dict[int, dict[str, Any]]:
    """What each person looks like, from the embedded simulator."""
    names = person_names(endpoint)
    replies = as_texts(endpoint.request(*[f"vget /person/{name}/attributes" for name in names]))
    told = {person_number(name): json.loads(reply) for name, reply in zip(names, replies, strict=True)}
    own = ("person", "version")
    return {number: {key: value for key, value in looks.items() if key not in own} for number, looks in told.items()}


def _object_colors(endpoint: Endpoint) -> dict[str, tuple[int, int, int]]:
    """Mask colour of each object that is no person."""
    (objects,) = as_texts(endpoint.request("vget /objects"))
    names = [name for name in objects.split() if not name.startswith(LEVEL_PREFIX)]
    # Plug-ins have no colour for some things of the engine: those are left out.
    replies = as_texts(endpoint.attempt(*[f"vget /object/{name}/color" for name in names])) if names else []
    colors = zip(names, map(parse_color, replies), strict=True)
    return {name: color for name, color in colors if color not in (None, (0, 0, 0))}


def _look(endpoint: Endpoint, view: View) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
    """Colour image, mask and truth from camera 0 placed at a view."""
    images = ["vget /camera/0/lit bmp", "vget /camera/0/object_mask bmp"]
    *_, lit, mask, annotations = endpoint.request(*pose_commands(view), *images, "vget /camera/0/annotations")
    return decode_image(lit), decode_image(mask), json.loads(annotations)


def _depth(endpoint: Endpoint) -> np.ndarray:
    """Depth from camera 0 where it stands, as in `Frame`."""
    (reply,) = endpoint.request("vget /camera/0/depth npy")
    depth_cm = decode_array(reply)
    return np.where(np.isfinite(depth_cm), np.clip(depth_cm * 2.56, 0, 65535).round(), 0).astype(np.uint16)


def _bend_depth(sensor: Sensor, depth: np.ndarray) -> np.ndarray:
    """Depth as the lens bends it, its two bytes as two colours."""
    bent = sensor.bend(np.stack([depth >> 8, depth & 255, depth & 0], -1).astype(np.uint8), flat=True).astype(np.uint16)
    return bent[..., 0] << 8 | bent[..., 1]
