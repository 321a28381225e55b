"""The verbs that experiment: a world fitted to a site, groups around what is confused, a grid of trainings."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, ClassVar

import tyro

from unrealperson.config import CropConfig, EvaluateConfig, FitConfig, HardenConfig, SynthConfig
from unrealperson.log import get_logger
from unrealperson.verb import VALUED, Verb, require_no_folder

logger = get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class Fit(Verb):
    """Searches a world whose crops look like those of a site, and writes its configuration for 'synth'.

    TARGET is a folder of any number of unlabelled crops of any size; names and labels are not used. Scene, hours,
    camera height, crowding and clothes are tried by rendering small sets, sensors on their crops. OUT_fit/report.html,
    beside OUT, shows the site, the default and the fitted crops, and how near they come to crops that were not fitted
    to. The same command goes on with the sets that are rendered.

    Example: unrealperson fit --target my_crops --out site.toml

    Then: unrealperson synth --config site.toml --out data --synth.people 200
    """

    summary: ClassVar[str] = "a site's unlabelled crops -> the configuration of a world that looks like it"
    resumes: ClassVar[bool] = True
    target: Path
    """Folder of the site's crops."""
    out: Path
    """Configuration to write (.toml)."""
    synth: Annotated[SynthConfig, VALUED] = field(default_factory=SynthConfig)
    crop: Annotated[CropConfig, VALUED] = field(default_factory=CropConfig)
    fit: Annotated[FitConfig, VALUED] = field(default_factory=FitConfig)

    def execute(self) -> None:
        from unrealperson.fit import fit_target, work_folder
        from unrealperson.report.fit import write_fit_report

        require_no_folder(self.out, "site.toml")
        fit_target(self.target, self.resolved(), self.out)
        logger.info("%s is written; the report is at %s", self.out, write_fit_report(work_folder(self.out)))


@dataclass(frozen=True, kw_only=True)
class Harden(Verb):
    """Finds whom a network takes for whom, tells why, and writes the configuration of hard groups that teach it.

    DATA are synthetic crops, such as those that RUN was trained on. Each image is asked under other cameras; what the
    confused people share and in which regions they differ is compared with people at random. OUT/synth.toml makes
    groups of five who look like the confused ones and differ in exactly those regions, mostly in regions that the
    network overlooks, in the scenes where it errs; OUT/report.html shows them. Held-out people are left alone.

    With --harden.rounds N it also renders, merges and trains on, N times; the same command goes on.

    Example: unrealperson harden --run runs/first --data data --out more

    Then: unrealperson synth --config more/synth.toml --out more/data;
    unrealperson data merge --data data more/data --out both;
    unrealperson train --config runs/first/config.toml --data both --train.from-run runs/first --out runs/second
    """

    summary: ClassVar[str] = "a run and its crops -> whom it confuses and why, and hard groups that teach it"
    resumes: ClassVar[bool] = True
    run: Path
    """Run folder of 'train'."""
    data: Path
    """Synthetic data set."""
    out: Path
    """Folder for synth.toml, hardening.json and report.html, or for the rounds."""
    harden: Annotated[HardenConfig, VALUED] = field(default_factory=HardenConfig)
    evaluate: Annotated[EvaluateConfig, VALUED] = field(default_factory=EvaluateConfig)

    def execute(self) -> None:
        from unrealperson.data.sources import read_images
        from unrealperson.harden import format_summary, harden, run_rounds
        from unrealperson.report.harden import write_hardening_report

        manifest = read_images(self.data, skip_unreadable=True)
        if self.harden.rounds:
            last = run_rounds(self.run, manifest, self.resolved(), self.out)
            for folder in sorted(self.out.glob("round_*")):
                logger.info("the report is at %s", write_hardening_report(folder))
            logger.info("the network of the last round is %s", last)
            return
        print(format_summary(harden(self.run, manifest, self.resolved(), self.out)))
        logger.info("the report is at %s", write_hardening_report(self.out))
        logger.info("now: unrealperson synth --config %s --out %s", self.out / "synth.toml", self.out / "data")


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

    Example: unrealperson ablate configs/grids/degradation.toml --out ablation --only base 'noise=*' --seeds 0
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
    images: int = 0
    """Images that each cell sees in training, such as 256 to try a grid out; 0: as many as the grid says."""

    def execute(self) -> None:
        from unrealperson.ablate import run_grid
        from unrealperson.ablate.grid import load_grid

        grid = load_grid(self.grid, self.config, images=self.images)
        print(run_grid(grid, self.out, only=self.only, seeds=self.seeds).read_text("utf-8"), end="")
