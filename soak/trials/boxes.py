"""The embedded simulator's program over a world of coloured boxes, so that capturing costs next to nothing."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).resolve().parents[2] / "tests")]

from synth_fakes import VIEWS, FakeRenderer, FakeWorld  # noqa: E402

from unrealperson.synth import simulator  # noqa: E402


def make_boxes(config: Any, *, people: Path | None, patience_s: float) -> simulator.Simulator:
    """Takes the place of `make_simulator`: the same commands and processes, other pictures."""
    return simulator.Simulator(
        FakeWorld(), FakeRenderer(config.width, config.height), views=VIEWS, width=config.width, height=config.height,
        people=config.people_per_batch, interval_s=config.interval_s, patience_s=patience_s,
    )  # type: ignore[arg-type]  # fmt: skip


def show_boxes(settings: str) -> None:
    """Has the synth verb of this process start this program in place of the simulator.

    Args:
        settings: configuration file of the simulators.
    """
    from unrealperson.synth import capture, shards

    command = [sys.executable, __file__, "--exit-with-parent", "--port", "0", "--config", settings]
    capture.launch_simulator = partial(capture.launch_simulator, command=command)
    capture.views_of = lambda config, scene: VIEWS
    shards._portray = lambda config, out: None  # it would picture people, who are no boxes


if __name__ == "__main__":
    simulator.make_simulator = make_boxes
    simulator.main(sys.argv[1:])
