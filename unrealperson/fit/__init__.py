"""Target-fitted synthesis: from a folder of a site's unlabelled crops to a configuration whose crops look like them.

Probes, small rendered sets, try one setting of the world each: scene, hours, camera height, crowding, colours of
clothes. Sensors are fitted on the crops of a clean probe, without rendering. Half of the target's crops are fitted to;
the other half judges the result.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from unrealperson.config import Config, CropConfig, SynthConfig, save_config
from unrealperson.data.manifest import Manifest
from unrealperson.data.sources import load_image, read_images, warn_unreadable
from unrealperson.files import only_process, write_json
from unrealperson.fit.looks import COLORS, Looks, distances, measure
from unrealperson.fit.sensors import apply_sensors, fit_sensors
from unrealperson.fit.views import Judge, truth_of
from unrealperson.log import get_logger
from unrealperson.synth.shards import synthesize

logger = get_logger(__name__)

FEWEST = 20
"""Fewer crops, of the site or of a probe, tell nothing."""
SUMMARY_FILE = "fit.json"
SHOWN = 24
"""Crops of each set on the report."""


@dataclass(frozen=True)
class Attribute:
    """Something about the world that is chosen among a few values.

    Attributes:
        name: for people.
        settings: the keys of [synth] of each choice.
        groups: what the choice is judged by.
    """

    name: str
    settings: tuple[dict[str, Any], ...]
    groups: tuple[str, ...]


WORLD = (
    Attribute("scene", tuple({"scenes": (scene,)} for scene in (1, 2, 3, 4, 5)), ("features", "light", "contrast")),
    Attribute("hours", tuple({"hours": part} for part in ("overcast", "dusk", "night")),
              ("light", "contrast", "features")),
    Attribute(
        "camera height",
        tuple({"camera_height_m": heights} for heights in ((1.5, 2.5), (2.5, 4.0), (4.0, 6.0))),
        ("view", "features"),
    ),
    Attribute("crowding", ({"people_per_batch": 8}, {"crowding": 0.6}), ("crowding", "features")),
    Attribute("clothes", ({"colors": "black"},), ("clothing", "features")),
)  # fmt: skip
"""What is searched, in this order."""
_MOST_PROBES = 4 + sum(len(attribute.settings) for attribute in WORLD)
"""Also the default world as it is and clean, and the fitted one."""


@dataclass(frozen=True)
class Probe:
    """A small rendered set.

    Attributes:
        manifest: its rows.
        crops: the images.
    """

    manifest: Manifest
    crops: list[np.ndarray]

    @property
    def frame_widths(self) -> list[int]:
        """Width of each crop's frame, pixels."""
        return self.manifest.column("frame_width").tolist()


def fit_target(target: str | Path, config: Config, out: str | Path) -> dict[str, Any]:
    """Searches a world whose crops look like a site's, and writes its configuration.

    Probes and the summary lie in a folder beside the configuration, OUT without its suffix and "_fit" behind; the
    same call goes on with the probes that are there.

    Args:
        target: folder of the site's crops; no label is used.
        config: sections [synth] and [crop] to start from, [fit].
        out: TOML file to write.

    Returns:
        What is in fit.json: the distances before and after on the half that was not fitted to, between the two halves
        (what no fit can beat), the choices, and what was skipped.

    Raises:
        ValueError: the folder holds no readable image, or too few; an endpoint is set.
        RuntimeError: a probe could not be rendered, or another process fits to the same file.
    """
    if config.synth.endpoint:
        raise ValueError("a fit tries worlds of the embedded simulator; leave synth.endpoint empty")
    out = Path(out)
    work = work_folder(out)
    paths, crops, skipped = read_target(Path(target), config)
    work.mkdir(parents=True, exist_ok=True)
    with only_process(work):
        fitted_half = measure(crops[0::2])
        judging_half = measure(crops[1::2])
        fit = _Fit(config, work, fitted_half)
        before = fit.probe(config.synth)
        choices = fit.choose_world()
        fit.choose_sensors()
        after = fit.probe(fit.result().synth)
        judge = fit.judge()
        shown = {"target": judging_half, "before": measure(before.crops), "after": measure(after.crops)}
        found = {name: _distances(shown[name], judging_half, judge) for name in ("before", "after")}
        summary = {
            "target": str(Path(target).resolve()), "crops": len(crops), "skipped": skipped,
            "distances": {
                name: {"before": found["before"][name], "after": found["after"][name], "floor": floor}
                for name, floor in _distances(fitted_half, judging_half, judge).items()
            },
            "choices": choices,
            "changed": _changes(config, fit.result()),
            "estimates": {name: judge.estimates(looks) for name, looks in shown.items()},
            "values": {name: {key: value.round(4).tolist() for key, value in looks.values.items()}
                       for name, looks in shown.items()},
            "colors": COLORS, "clothes": {name: looks.clothes.round(4).tolist() for name, looks in shown.items()},
            "pictures": {
                "target": [str(path) for path in paths[1::2][:SHOWN]],
                "before": _spread_out(before.manifest), "after": _spread_out(after.manifest),
            },
        }  # fmt: skip
        write_json(work / SUMMARY_FILE, summary)
        save_config(fit.result(), out)
    return summary


def work_folder(out: Path) -> Path:
    """Where probes, summary and report of a fitted configuration lie.

    Args:
        out: the configuration.
    """
    return out.with_name(out.stem + "_fit")


def read_target(folder: Path, config: Config) -> tuple[list[Path], list[np.ndarray], int]:
    """A random sample of a folder's images.

    Args:
        folder: of any number of crops of any size.
        config: section [fit]: crops, seed.

    Returns:
        Paths and images in random order, and how many of the sample could not be read.

    Raises:
        ValueError: no image, or too few that can be read.
    """
    manifest = read_images(folder, keep_unreadable=True)
    order = np.random.default_rng(config.fit.seed).permutation(len(manifest))
    paths: list[Path] = []
    crops: list[np.ndarray] = []
    broken: list[str] = []
    for row in order.tolist():
        if len(crops) == config.fit.crops:
            break
        try:
            image = load_image(manifest.image_path(row))
        except ValueError:
            broken.append(manifest.path[row])
            continue
        if min(image.shape[:2]) >= 8:
            paths.append(manifest.image_path(row))
            crops.append(image)
    if broken:
        warn_unreadable(broken, folder)
    if len(crops) < FEWEST:
        raise ValueError(
            f"{folder} holds {len(crops)} readable crops ({len(broken)} cannot be read); a fit needs {FEWEST}, and "
            "some hundreds to be worth it"
        )
    if len(crops) < 100:
        logger.warning("%s holds %d crops: the fit is rough, some hundreds are better", folder, len(crops))
    return paths, crops, len(broken)


class _Fit:
    """The search: its settings so far, and the probes that it rendered.

    Args:
        config: what it starts from.
        work: folder of the probes.
        target: what is fitted to.
    """

    def __init__(self, config: Config, work: Path, target: Looks) -> None:
        self.synth = config.synth
        self._config = config
        self._work = work
        self._target = target
        self._crop = _crop_rules(config.crop, target)
        self._heights_px = np.ones(1)
        self._truth: list[tuple[Looks, np.ndarray]] = []
        self._probes, self._start_s = 0, time.monotonic()

    def probe(self, synth: SynthConfig) -> Probe:
        """Renders some people of a world, or reads them where they are rendered already."""
        small = self._config.fit
        together = min(synth.people_per_batch or small.people, small.people)
        synth = replace(
            synth, people=small.people, test_people=0, people_per_batch=together, cameras=small.cameras,
            instants=small.instants, scenes=synth.scenes[:1], versions=synth.versions[:1], seed=small.seed,
            workers=self._config.synth.workers, keep_frames=False,
        )  # fmt: skip
        made = Config(synth=synth, crop=self._crop)
        text = json.dumps([asdict(replace(synth, workers=0)), asdict(self._crop)], sort_keys=True)
        manifest = synthesize(made, self._work / "probes" / hashlib.sha256(text.encode()).hexdigest()[:12])
        self._probes += 1
        gone_s = time.monotonic() - self._start_s
        left_s = gone_s / self._probes * max(_MOST_PROBES - self._probes, 0)
        logger.info("probe %d of %d at most, %.0f s gone, %.0f s left", self._probes, _MOST_PROBES, gone_s, left_s)
        return Probe(manifest, [load_image(manifest.image_path(row)) for row in range(len(manifest))])

    def choose_world(self) -> list[dict[str, Any]]:
        """Tries the values of each attribute after the other, and keeps what brings the crops nearer."""
        current = self._look(self.synth)
        if current is None:
            raise ValueError(f"a probe of the world gives fewer than {FEWEST} crops; raise fit.people or fit.instants")
        chosen = []
        for attribute in _open(self.synth):
            entries = []
            best, best_looks, least = {}, current, 1.0
            start = self._distances(current)
            for settings in attribute.settings:
                if all(getattr(self.synth, key) == value for key, value in settings.items()):
                    continue
                looks = self._look(replace(self.synth, **settings))
                if looks is None:
                    entries.append({"settings": _plain(settings), "share": None})
                    continue
                found = self._distances(looks)
                share = float(np.mean([found[group] / max(start[group], 1e-6) for group in attribute.groups]))
                entries.append({"settings": _plain(settings), "distances": found, "share": share})
                if share < least - self._config.fit.margin:
                    best, best_looks, least = settings, looks, share
            self.synth, current = replace(self.synth, **best), best_looks
            self._heights_px = 2.0 ** current.values["log height"]
            logger.info("%s: %s", attribute.name, _plain(best) or "stays")
            chosen.append(
                {"attribute": attribute.name, "groups": attribute.groups, "start": start, "tried": entries,
                 "chosen": _plain(best)}
            )  # fmt: skip
        return chosen

    def choose_sensors(self) -> None:
        """Fits the ranges of the sensors on the clean crops of the chosen world."""
        clean = self.probe(replace(self.synth, sensor=False))
        some = slice(0, 120)
        self.synth = fit_sensors(
            clean.crops[some], clean.frame_widths[some], self._target, replace(self.synth, sensor=True),
            trials=self._config.fit.trials, seed=self._config.fit.seed,
        )  # fmt: skip

    def judge(self) -> Judge:
        """What tells camera height and crowding of crops, learnt from all probes so far."""
        return Judge(self._truth)

    def result(self) -> Config:
        """The configuration that the search ended with: everything but the world stays as it was."""
        target_px = 2.0 ** float(np.median(self._target.values["log height"]))
        ratio = float(np.clip(target_px / np.median(self._heights_px), 0.5, 3.0))
        width, height = (
            max(64, min(4096, 16 * round(side * ratio / 16))) for side in (self.synth.width, self.synth.height)
        )
        return replace(self._config, synth=replace(self.synth, width=width, height=height), crop=self._crop)

    def _look(self, synth: SynthConfig) -> Looks | None:
        """How a world looks through the present sensors, on clean crops; None where these are too few to tell."""
        clean = self.probe(replace(synth, sensor=False))
        if len(clean.crops) < FEWEST:
            return None
        crops = apply_sensors(clean.crops, clean.frame_widths, synth, self._config.fit.seed)
        looks = measure(crops)
        self._truth.append((looks, truth_of(clean.manifest)))
        return looks

    def _distances(self, looks: Looks) -> dict[str, float]:
        return _distances(looks, self._target, self.judge())


def _open(synth: SynthConfig) -> list[Attribute]:
    """What may be chosen: a place of the user's own and recorded cameras stay."""
    given = {"scenes"} if synth.place or synth.camera_poses else set()
    given |= {"camera_height_m"} if synth.camera_poses else set()
    return [attribute for attribute in WORLD if not given & set(attribute.settings[0])]


def _distances(ours: Looks, target: Looks, judge: Judge) -> dict[str, float]:
    return distances(ours, target) | judge.distances(ours, target)


def _crop_rules(rules: CropConfig, target: Looks) -> CropConfig:
    """The rules, letting crops as small as the target's through."""
    height_px = 2.0 ** target.values["log height"]
    smallest = int(0.3 * np.quantile(height_px**2 * target.values["aspect"], 0.05))
    return replace(
        rules, min_pixels=min(rules.min_pixels, max(smallest, 200)), min_area=min(rules.min_area, max(smallest, 200))
    )


def _changes(before: Config, after: Config) -> dict[str, list[Any]]:
    """What the fit changed, as old and new value by section.key."""
    return {
        f"{section}.{key}": [_plain(old[key]), _plain(value)]
        for section in ("synth", "crop")
        for old, new in [(asdict(getattr(before, section)), asdict(getattr(after, section)))]
        for key, value in new.items()
        if old[key] != value
    }


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    return list(value) if isinstance(value, tuple) else value


def _spread_out(manifest: Manifest) -> list[str]:
    rows: Sequence[int] = np.unique(np.linspace(0, len(manifest) - 1, SHOWN).round().astype(int)).tolist()
    return [str(manifest.image_path(row)) for row in rows]
