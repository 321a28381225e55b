"""The verbs about UnrealCV servers: the simulator served alone, and the camera poses of a level."""

from __future__ import annotations

import signal
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, ClassVar

from unrealperson.config import SynthConfig
from unrealperson.log import get_logger
from unrealperson.verb import VALUED, OptionalPath, Switch, Verb

logger = get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class Simulate(Verb):
    """Runs the embedded simulator alone, for any UnrealCV client, until Ctrl-C.

    'vrun ce AddActor' answers at once and people are made while nobody asks for anything. A request that needs
    them waits, for 10 s at most: then it is told how many are missing, before the official client gives up.

    Example: unrealperson simulate --port 9000 --people 20
    """

    summary: ClassVar[str] = "the embedded UnrealCV simulator alone, for any client"
    port: int = 9000
    """TCP port on 127.0.0.1; 0 takes a free one."""
    unix: Switch = False
    """Also listen on the Unix socket {system temporary folder}/unrealcv_PORT.socket."""
    scene: int = 1
    """Scene number."""
    people: int = 20
    """People that one 'vrun ce AddActor' spawns; 0: the scene's own number."""
    cameras: int = 6
    """Cameras, placed at the scene's surveillance views; --synth.camera-poses FILE places its own instead."""
    synth: Annotated[SynthConfig, VALUED] = field(default_factory=SynthConfig)

    def execute(self) -> None:
        from unrealperson.synth.simulator import serve_simulator

        # A service manager ends it so: the Unix socket must not stay behind.
        signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))
        config = replace(self.synth, scenes=(self.scene,), people_per_batch=self.people, cameras=self.cameras)
        serve_simulator(config, port=self.port, unix=self.unix)


@dataclass(frozen=True, kw_only=True)
class Poses(Verb):
    """Writes camera poses for --synth.camera-poses: recorded in a running level, or read from the original's file.

    Recording: fly to a camera's place in the game, press Enter here, fly on; Ctrl-D when all are recorded.
    Poses that OUT holds already stay, so that a recording can go on later.

    Example: unrealperson poses --endpoint 127.0.0.1:9000 --out cameras.json
    Example: unrealperson poses --caminfo caminfo_s001.pkl --out cameras.json
    """

    summary: ClassVar[str] = "camera poses of a level -> JSON"
    resumes: ClassVar[bool] = True
    out: Path
    """JSON file to write."""
    endpoint: str = ""
    """host:port (or Unix socket) of a running level with UnrealCV."""
    caminfo: OptionalPath = None
    """caminfo_*.pkl of the original to convert; of a pickle only lists, text and numbers are read."""

    def execute(self) -> None:
        from unrealperson.synth.endpoint import Endpoint, parse_endpoint
        from unrealperson.synth.poses import read_poses, record_poses, write_poses

        if (self.caminfo is None) == (not self.endpoint):
            raise ValueError("give --endpoint HOST:PORT to record in a running level, or --caminfo FILE to convert")
        if self.caminfo is not None:
            views = read_poses(self.caminfo)
            write_poses(self.out, views)
        else:
            with Endpoint(parse_endpoint(self.endpoint), timeout_s=30.0) as endpoint:
                logger.info("fly to a camera's place and press Enter here; Ctrl-D when all are recorded")
                views = record_poses(endpoint, self.out, sys.stdin)
        logger.info("%s: %d cameras", self.out, len(views))
