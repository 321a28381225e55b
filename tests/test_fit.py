from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from unrealperson import fit
from unrealperson.cli import main
from unrealperson.config import Config, FitConfig, SynthConfig, load_config
from unrealperson.data.manifest import Manifest
from unrealperson.fit.looks import COLORS, GROUPS, distances, measure
from unrealperson.fit.sensors import apply_sensors, fit_sensors
from unrealperson.fit.views import Judge, truth_of
from unrealperson.report.fit import write_fit_report

RNG = np.random.default_rng(0)


def crops(count: int = 30, *, height: int = 96, top=(200, 40, 40), light: float = 1.0, noise: float = 4.0) -> list:
    """Figures on paving: a head, a torso of one colour, dark legs."""
    made = []
    for number in range(count):
        image = np.full((height, height // 2, 3), 150, np.float32)
        image[::12] -= 60
        part = height // 8
        image[part : 4 * part, height // 8 : -height // 8] = top
        image[4 * part : 7 * part, height // 6 : -height // 6] = (30, 30, 40)
        image = image * light * (1 + 0.05 * np.sin(number)) + RNG.normal(0, noise, image.shape[:2])[..., None]
        made.append(image.clip(0, 255).astype(np.uint8))
    return made


@pytest.fixture(scope="module")
def plain():
    return measure(crops())


@pytest.mark.parametrize(
    ("change", "groups"),
    [
        ({"light": 0.5}, {"light"}),
        ({"noise": 20.0}, {"noise"}),
        ({"height": 192}, {"resolution"}),
        ({"top": (40, 60, 200)}, {"clothing", "colour"}),
    ],
)
def test_each_attribute_is_told_by_its_distance(plain, change, groups):
    same, other = (
        distances(measure(each, features=False), plain, [*GROUPS, "clothing"]) for each in (crops(), crops(**change))
    )
    for group in groups:
        assert other[group] > 5 * max(same[group], 0.05), group
    assert same["clothing"] == 0 and max(same.values()) < 0.6


def test_clothes_are_named_by_their_colours():
    tops = {
        (20, 20, 22): "black", (240, 240, 240): "white", (128, 128, 128): "grey", (200, 30, 30): "red",
        (90, 60, 35): "brown", (220, 200, 50): "yellow", (40, 140, 60): "green", (40, 70, 190): "blue",
        (130, 50, 160): "purple",
    }  # fmt: skip
    for top, name in tops.items():
        shares = measure(crops(3, top=top, noise=0.0), features=False).clothes[0]
        assert shares[COLORS.index(name)] == 1, (top, name, shares)


def test_features_lie_nearer_where_crops_are_alike(plain):
    near, far = measure(crops()), measure(crops(top=(230, 230, 230), light=0.4))
    assert distances(near, plain, ["features"])["features"] < distances(far, plain, ["features"])["features"]


def test_sensors_are_fitted_to_what_they_were():
    clean, widths = crops(8, noise=0.0), [640] * 8
    true = SynthConfig(sensor_exposure=(-0.9, -0.7), sensor_red=(1.3, 1.4), sensor_noise=(8, 10))
    target = measure(apply_sensors(clean, widths, true, 5), features=False)
    found = fit_sensors(clean, widths, target, SynthConfig(), trials=72, seed=0)

    def distance(config: SynthConfig) -> float:
        looks = measure(apply_sensors(clean, widths, config, 9), features=False)
        return float(np.mean(list(distances(looks, target, ("light", "colour", "noise")).values())))

    before, after = distance(SynthConfig()), distance(found)
    assert after < 0.5 * before
    short = [fit_sensors(clean, widths, target, SynthConfig(), trials=10, seed=0) for _ in range(2)]
    assert short[0] == short[1] != SynthConfig()


def told(path: Path, pictures: list[np.ndarray], *, elevation_m: float = 4.0, visibility: float = 1.0) -> Manifest:
    (path / "images").mkdir(parents=True)
    rows = []
    for number, picture in enumerate(pictures):
        Image.fromarray(picture).save(path / "images" / f"{number}.png")
        rows.append(
            {
                "path": f"images/{number}.png", "pid": number % 5, "camid": 1, "frame_width": 640,
                "position_m": [0.0, 5.0], "visibility": visibility,
                "camera_pose": json.dumps({"location_m": [0.0, 0.0, elevation_m]}),
            }
        )  # fmt: skip
    return Manifest.from_rows(rows, path)


def test_views_are_told_by_what_rendered_crops_teach(tmp_path):
    low = told(tmp_path / "low", crops(20), elevation_m=0.9)
    high = told(tmp_path / "high", crops(20, top=(250, 250, 250)), elevation_m=5.9, visibility=0.5)
    assert truth_of(high)[0] == pytest.approx((45.0, 0.5))
    looks = [measure(crops(20)), measure(crops(20, top=(250, 250, 250)))]
    judge = Judge(list(zip(looks, (truth_of(low), truth_of(high)), strict=True)))
    unseen = measure(crops(20, top=(250, 250, 250)))
    assert judge.estimates(unseen)["view"] > 30 > 15 > judge.estimates(looks[0])["view"]
    near, far = (judge.distances(each, unseen) for each in (looks[1], looks[0]))
    assert near["view"] < far["view"] and near["crowding"] < far["crowding"]


@pytest.fixture
def world(tmp_path, monkeypatch):
    """In place of the renderer: figures whose top is black where clothes are, darker at dusk."""
    rendered = []

    def synthesize(config, out):
        if not out.is_dir():
            synth = config.synth
            rendered.append(synth)
            top = (25, 25, 25) if synth.colors == "black" else (200, 40, 40)
            light = {"dusk": 0.55, "night": 0.3}.get(synth.hours, 1.0)
            told(
                out,
                crops(9 if synth.scenes == (4,) else 20, top=top, light=light),
                elevation_m=max(synth.camera_height_m) or 4.0,
            ).write()
        return Manifest.read(out)

    monkeypatch.setattr(fit, "synthesize", synthesize)
    scene, hours, *_, clothes = fit.WORLD
    few = replace(scene, settings=scene.settings[-2:]), replace(hours, settings=({"hours": "dusk"},)), clothes
    monkeypatch.setattr(fit, "WORLD", few)
    return rendered


def test_a_fit_finds_what_the_site_is_and_goes_on(tmp_path, world, capsys):
    site = tmp_path / "site <1>"
    told(site, crops(80, height=192, top=(25, 25, 25), light=0.55))
    (site / "images" / "broken.jpg").write_bytes(b"\xff\xd8 no picture")
    out = tmp_path / "site.toml"
    command = ["fit", "--target", str(site), "--out", str(out), "--fit.trials", "8", "--synth.people", "300"]
    assert main(command) == 0
    found = load_config(out)
    assert found.synth.colors == "black" and found.synth.hours == "dusk"
    assert found.synth.people == 300 and found.synth.height == 960, "twice the pixels, as many people as asked for"
    summary = json.loads((tmp_path / "site_fit" / "fit.json").read_text())
    assert summary["skipped"] == 1 and summary["crops"] == 80 and "1 unreadable image" in capsys.readouterr().err
    for name in ("light", "clothing", "features"):
        entry = summary["distances"][name]
        assert entry["after"] < entry["before"] and entry["floor"] < entry["before"], name
    page = (tmp_path / "site_fit" / "report.html").read_text()
    assert "site &lt;1&gt;" in page and "<1>" not in page and "{{" not in page
    assert page.count('<img class="crop"') == 24 + 2 * 20 and "1 could not be read" in page
    assert (
        "synth.colors" in page
        and page.count("too few crops") == 1
        and not re.search(r"<script|https?://(?!www.w3.org)", page)
    )
    times = len(world)
    assert times == len(set(map(str, world)))
    fit.fit_target(site, replace(Config(), synth=SynthConfig(people=300), fit=FitConfig(trials=8)), out)
    assert len(world) == times and load_config(out) == found


@pytest.mark.parametrize(
    ("count", "message"),
    [(0, "holds no images"), (7, "holds 7 readable crops (1 cannot be read); a fit needs 20")],
)
def test_too_few_crops_are_told(tmp_path, count, message, capsys):
    folder = tmp_path / "few"
    folder.mkdir()
    if count:
        told(folder, crops(count))
        (folder / "images" / "broken.png").write_bytes(b"none")
    assert main(["fit", "--target", str(folder), "--out", str(tmp_path / "out.toml")]) == 2
    assert message in " ".join(capsys.readouterr().err.split())
    assert not list(tmp_path.glob("out*"))


def test_a_large_folder_is_sampled(tmp_path):
    told(tmp_path / "many", crops(60))
    config = Config(fit=FitConfig(crops=25))
    paths, images, skipped = fit.read_target(tmp_path / "many", config)
    assert (len(paths), len(images), skipped) == (25, 25, 0) and len(set(paths)) == 25
    again = fit.read_target(tmp_path / "many", replace(config, fit=FitConfig(crops=25, seed=1)))[0]
    assert paths == fit.read_target(tmp_path / "many", config)[0] != again


@pytest.mark.parametrize(
    ("given", "left_out"),
    [({}, []), ({"place": "mine.py:square"}, ["scene"]), ({"camera_poses": "a.json"}, ["scene", "camera height"])],
)
def test_what_the_user_gives_stays(given, left_out):
    names = [attribute.name for attribute in fit.WORLD]
    assert [each.name for each in fit._open(SynthConfig(**given))] == [name for name in names if name not in left_out]


def test_an_unreal_engine_is_not_fitted(tmp_path):
    with pytest.raises(ValueError, match=r"leave synth\.endpoint empty"):
        fit.fit_target(tmp_path, Config(synth=SynthConfig(endpoint="host:9000")), tmp_path / "out.toml")


def test_a_report_needs_a_fit(tmp_path):
    with pytest.raises(FileNotFoundError, match="no finished fit"):
        write_fit_report(tmp_path)
