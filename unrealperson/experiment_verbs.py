"""The verbs that experiment: a grid of trainings on synthetic people scored on real ones."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

import tyro

from unrealperson.verb import Verb


@dataclass(frozen=True, kw_only=True)
class Ablate(Verb):
    """Trains every cell of a grid on synthetic people and scores it on labelled sets that it never saw.

    The grid is a TOML file: the sections of a configuration make the base (over those of --config), and

      [grid]        design = "each" (base, and each value alone) or "all" (every combination); seeds; images seen
      [pool]        folders of crops that are there, or none to synthesise; cameras, identities, images to draw
      [sets]        NAME = "FOLDER" of labelled crops to score on
      [axes.NAME]   value = {train.jitter = 0.4, pool.identities = 100, synth.sensor = false}

    Each finished cell is appended to OUT/cells.jsonl and never done again; the same command goes on. OUT/results.md
    and OUT/results.svg show all of them: plain, and with batch-norm statistics of each target camera.

    Example: unrealperson ablate configs/ablate_sensor.toml --out ablation --only base 'jitter=*' --seeds 0
    """

    summary: ClassVar[str] = "a grid of settings -> trainings, their scores on real crops, a table and a figure"
    resumes: ClassVar[bool] = True
    grid: Annotated[Path, tyro.conf.Positional]
    """TOML file of the grid."""
    out: Path
    """Folder for pools, runs, cells.jsonl and results."""
    only: tuple[str, ...] = ()
    """Names of cells to do, such as base or 'jitter=*'; left out: all."""
    seeds: tuple[int, ...] = ()
    """Seeds to do; left out: those of the grid."""

    def execute(self) -> None:
        from unrealperson.ablate import run_grid
        from unrealperson.ablate.grid import load_grid

        grid = load_grid(self.grid, self.config)
        print(run_grid(grid, self.out, only=self.only, seeds=self.seeds).read_text("utf-8"), end="")
