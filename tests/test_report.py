"""The report: whole, partial, broken and hostile demo folders."""

from __future__ import annotations

import base64
import io
import json
import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from unrealperson.config import Config, save_config
from unrealperson.data.manifest import Manifest
from unrealperson.report.demo import choose_queries, compare, read_metrics, write_report
from unrealperson.report.figures import Score, score_chart
from unrealperson.report.page import MAX_PAGE_BYTES
from unrealperson.report.pictures import Album

PEOPLE, CAMERAS = 5, 3
VOID = {"meta", "img", "br", "path", "use"}


class Page(HTMLParser):
    """Tags of a page, with a check that each is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        assert self._open == []
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self._open or self._open[-1] != "style":
            self.words.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def report(folder: Path) -> tuple[str, Page]:
    text = write_report(folder, folder / "report.html").read_text(encoding="utf-8")
    return text, Page(text)


def write(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(value if isinstance(value, str) else json.dumps(value), encoding="utf-8")


def metrics(rank1: float, mean: float, width: float = 0.05, **more: object) -> dict[str, object]:
    return {
        "format_version": 1,
        "model": "EfficientNet-Lite0",
        "identities": PEOPLE,
        "cameras": CAMERAS,
        "queries": 15,
        "gallery": 1234,
        "skipped": {"one_camera_only": 2, "unreadable": 0},
        "cmc": {"1": rank1, "5": 0.9, "10": 1.0},
        "map": mean,
        "minp": 0.1,
        "interval": {"cmc@1": [rank1 - width, rank1 + width], "map": [mean - width, mean + width]},
    } | more


def ranking(paths: list[str], *, labelled: bool = True) -> list[dict[str, object]]:
    return [
        {
            "query": query,
            "pid": 1_000_000 + i,
            "camid": 1001,
            "hits": [
                {
                    "path": path,
                    "pid": 1_000_000 + rank,
                    "camid": 1002,
                    "distance": 0.1 * rank,
                    "correct": rank == i if labelled else None,
                }
                for rank, path in enumerate(paths[:12], 1)
            ],
        }
        for i, query in enumerate(paths[:6], 1)
    ]


def make_demo(folder: Path) -> Path:
    data = folder / "data"
    rows = []
    rng = np.random.default_rng(0)
    for person in range(PEOPLE):
        for camera in range(1, CAMERAS + 1):
            if (person, camera) == (0, 2):
                continue
            path = data / f"unreal_v1.1/images/{person:04d}_c{camera:03d}_000000.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(rng.integers(0, 255, (90, 40, 3), dtype=np.uint8)).save(path)
            left = 20 + 40 * person
            row = {"path": path.relative_to(data).as_posix(), "pid": 1_000_000 + person, "camid": 1000 + camera}
            row |= {"scene": 1, "version": 1, "person": person, "camera": camera, "frame": 0, "pixels": 2500}
            rows.append(row | {"left": left - 2, "top": 38, "right": left + 32, "bottom": 122})
    Manifest.from_rows(rows, data).write()
    for camera in range(1, CAMERAS + 1):
        mask = Image.new("RGB", (320, 240))
        draw = ImageDraw.Draw(mask)
        for person in range(PEOPLE):
            left = 20 + 40 * person
            draw.rectangle((left, 40, left + 29, 119), fill=(40 * person + 20, 200, 7))
        draw.rectangle((280, 200, 299, 230), fill=(9, 9, 250))
        (data / "samples").mkdir(exist_ok=True)
        mask.save(data / f"samples/c{camera:03d}_000000_mask.png")
        Image.new("RGB", (320, 240), (90, 110, 130)).save(data / f"samples/c{camera:03d}_000000_lit.png")
    rejected = {"not_visible": 77, "few_pixels": 30, "border": 10}
    write(data / "report.json", {"frames": 36, "people_seen": 200, "accepted": 160, "rejected": rejected, "seconds": 8})
    save_config(Config(), data / "config.toml")
    records = [
        {"epoch": 1 + s // 10, "step": s, "loss": 5 / (s + 1), "accuracy": s / 30, "lr": 0.01 if s < 20 else 0.001}
        | {"images_per_s": 31.0, "seconds": 2.0 * s}
        for s in range(30)
    ]
    write(folder / "run/metrics.jsonl", "\n".join(map(json.dumps, records)) + '\n{"epoch": 3, "st')
    paths = [str(row["path"]) for row in rows]
    write(folder / "before/metrics.json", metrics(0.2, 0.15))
    write(folder / "after/metrics.json", metrics(0.6, 0.18))
    write(folder / "before/ranking.json", ranking(paths))
    write(folder / "after/ranking.json", ranking(paths))
    write(folder / "model.onnx.parity.json", {"min_cosine": 0.9999991, "images": 32, "passed": True})
    write(folder / "gallery/gallery.json", {"images": 14, "dimension": 1280})
    write(folder / "real/metrics.json", metrics(0.3, 0.2, data=str(data)))
    write(folder / "real/before/metrics.json", metrics(0.28, 0.19))
    write(folder / "real/ranking.json", ranking(paths))
    stage = {"wall_s": 171.3, "cpu_s": 331.0, "peak_pss_mb": 1210.4}
    write(folder / "timings.json", {"synth": stage | {"budget_s": 100.0}, "train": stage, "budget_s": 600})
    write(folder / "versions.json", {"seed": 7, "torch": "2.13.0"})
    return folder


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_demo(tmp_path_factory.mktemp("demo"))


@pytest.fixture(scope="module")
def page(demo: Path) -> tuple[str, Page]:
    return report(demo)


def test_the_page_is_one_file_without_scripts_or_requests(page):
    text, parsed = page
    assert len(text.encode()) <= MAX_PAGE_BYTES
    assert not parsed.all("script") and not parsed.all("link") and not parsed.all("iframe")
    assert "@import" not in text and "default-src 'none'" in text
    for _, attributes in parsed.tags:
        assert not any(name.startswith("on") for name in attributes)
        for name in ("src", "href", "xlink:href"):
            assert (attributes.get(name) or "#").startswith(("data:image/", "#"))
    assert set(re.findall(r"https?://[^\"'\s<]+", text)) <= {
        "http://www.w3.org/1999/xlink",
        "http://www.w3.org/2000/svg",
    }
    assert set(re.findall(r"url\((.)", text)) <= {"#"}


def test_the_page_can_be_read_by_everyone(page):
    text, parsed = page
    assert parsed.all("html")[0]["lang"] == "en"
    assert len(parsed.all("h1")) == 1
    assert all(image.get("alt") for image in parsed.all("img"))
    ids = [attributes["id"] for _, attributes in parsed.tags if "id" in attributes]
    assert len(set(ids)) == len(ids)
    assert {link["href"] for link in parsed.all("a")} <= {f"#{name}" for name in ids}
    assert "prefers-color-scheme: dark" in text and "@media print" in text
    # Right and wrong hits differ by sign, word and line, not by colour alone.
    assert re.search(r'alt="rank 1, correct.*?<b aria-label="correct">✓</b>', text, re.DOTALL)
    assert re.search(r'alt="rank 2, wrong.*?<b aria-label="wrong">✗</b>', text, re.DOTALL)


def test_pictures_and_charts_are_whole(page):
    text, parsed = page
    images = parsed.all("img")
    assert len(images) > 100
    for image in images:
        kind, data = re.fullmatch(r"data:image/(webp|png);base64,(.+)", str(image["src"])).groups()
        with Image.open(io.BytesIO(base64.b64decode(data))) as picture:
            assert picture.format == kind.upper()
            assert picture.size == (int(image["width"]), int(image["height"]))
    charts = re.findall(r"<svg .*?</svg>", text, re.DOTALL)
    assert len(charts) == 4
    for chart in charts:
        ET.fromstring(chart.replace("<svg ", '<svg xmlns:xlink="http://www.w3.org/1999/xlink" ', 1))
        assert "currentColor" in chart and "font-family" not in chart
    assert "score, % (line: 95 % interval)" in charts[0]
    assert "training loss, nats" in charts[1] and "rate falls" in charts[1]
    assert "training accuracy, %" in charts[2]


@pytest.mark.parametrize(
    "text",
    [
        "160 crops of synthetic people were made, a network was trained on them for 3 epochs",
        "20.0 % → 60.0 % +40.0 points 95 % interval 55.0 to 65.0 % clear of the interval before",
        "15.0 % → 18.0 % +3.0 points 95 % interval 13.0 to 23.0 % overlaps the interval before",
        "15 queries against 1,234 gallery crops, 5 identities, 3 cameras.",
        "2 left out: one camera only.",
        "160 of 200 sightings became crops (80.0 %), from 36 frames, in 8.0 s: 20.0 crops per second.",
        "77 times more a person was in the scene, but without a pixel in the frame.",
        "too small: too few pixels of the person 30 15.0 %",
        "5 of 5 identities, 3 of 3 cameras.",
        "Instance mask. P is the number of a synthetic person. P 0 P 1 P 2 P 3 P 4 camera 2, frame 0",
        "Camera 1, frame 0.",
        "3 epochs, 29 steps, 58.0 s, 31.0 images per second (median).",
        "1 of 10 correct, the first at rank 6 P 6, camera 1",
        "synth 2 min 51 s (over) 1 min 40 s 5 min 31 s 1,210 MB",
        "5 min 43 s of a budget of 10 min 00 s: 57 %.",
        "min cosine 0.9999991 images 32 passed yes",
        "dimension 1280",
        "seed 7 torch 2.13.0",
        "Made with seed 7.",
        "[synth]",
        "unrealperson search --gallery",
    ],
)
def test_what_the_page_says(page, text):
    assert text in page[1].text


def test_a_cell_without_a_crop_says_so(page):
    assert 'aria-label="P 0 has no crop from camera 2"' in page[0]


def test_the_same_folder_gives_the_same_bytes(demo, page, tmp_path):
    assert write_report(demo, tmp_path / "new/again.html").read_text(encoding="utf-8") == page[0]
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["again.html"]


def test_a_folder_with_nothing_finished_names_the_command(tmp_path):
    folder = tmp_path / "my demo"
    (folder / "run").mkdir(parents=True)
    parsed = report(folder)[1]
    place = f"'{folder}'"
    assert f"Training record: not made yet. This command makes it: unrealperson demo --out {place}" in parsed.text
    assert parsed.text.count("This command makes it:") >= 6
    assert "left out" not in parsed.text
    assert not parsed.all("img") and not parsed.all("svg")


def test_no_folder(tmp_path):
    with pytest.raises(ValueError, match=r"there is no folder .*unrealperson demo --out"):
        write_report(tmp_path / "absent", tmp_path / "report.html")


def test_another_folder(tmp_path):
    (tmp_path / "holiday.jpg").touch()
    with pytest.raises(ValueError, match="holds nothing that 'unrealperson demo' makes"):
        write_report(tmp_path, tmp_path / "report.html")


@pytest.mark.parametrize(
    "content",
    ["", "{", "[1, 2]", "null", '{"cmc": 3}', '{"accepted": 1e999}', '[{"query": [], "hits": []}]', "[" * 100_000],
    ids=range(8),
)
@pytest.mark.parametrize(
    "name",
    [
        "data/report.json",
        "run/metrics.jsonl",
        "before/metrics.json",
        "after/metrics.json",
        "after/ranking.json",
        "before/ranking.json",
        "real/metrics.json",
        "real/ranking.json",
        "real/search.json",
        "timings.json",
        "versions.json",
        "data/manifest.parquet",
        "data/samples/c001_000000_lit.png",
    ],
)
def test_a_broken_file_costs_its_part_only(tmp_path, name, content):
    write(tmp_path / "gallery/gallery.json", {"dimension": 1280})
    write(tmp_path / name, content)
    assert "dimension 1280" in report(tmp_path)[1].text


def test_a_broken_part_says_why(tmp_path):
    write(tmp_path / "after/metrics.json", metrics(1.5, 0.5))
    write(tmp_path / "timings.json", "{")
    text = report(tmp_path)[1].text
    assert "left out, cmc@1 must be a share in 0 ... 1, got 1.5." in text
    assert "left out, timings.json is not valid JSON" in text


def test_names_and_numbers_from_files_are_escaped(tmp_path):
    evil = '<script>alert(1)</script>"><img src=x onerror=alert(1)>'
    write(tmp_path / "after/metrics.json", metrics(0.5, 0.5, model=evil, skipped={evil: 3}, data=evil))
    write(tmp_path / "after/ranking.json", [{"query": evil, "hits": [{"path": evil, "correct": True, "pid": evil}]}])
    write(tmp_path / "data/report.json", {"accepted": 1, "rejected": {evil: 3}})
    write(tmp_path / "timings.json", {evil: {"wall_s": evil, "cpu_s": 1e400}})
    write(tmp_path / "versions.json", {evil: evil, "list": [evil]})
    write(tmp_path / "real/evaluation.txt", evil)
    write(tmp_path / "run/config.toml", evil)
    text, parsed = report(tmp_path)
    assert not parsed.all("script") and not parsed.all("img")
    assert "<script" not in text
    assert "&lt;script&gt;" in text


def test_pictures_outside_the_root_are_not_read(tmp_path):
    Image.new("RGB", (20, 40)).save(tmp_path / "secret.png")
    inside = tmp_path / "demo/data"
    inside.mkdir(parents=True)
    Image.new("RGB", (20, 40)).save(inside / "mine.png")
    album = Album(10**6)
    assert album.crop(inside, "mine.png") is not None
    for name in ("../../secret.png", str(tmp_path / "secret.png"), "absent.png", ".", ""):
        assert album.crop(inside, name) is None


def test_an_album_keeps_to_its_budget(tmp_path):
    Image.new("RGB", (20, 40)).save(tmp_path / "a.png")
    size = len(Album(10**6).crop(tmp_path, "a.png").uri)
    album = Album(2 * size + 1)
    assert [album.crop(tmp_path, "a.png") is not None for _ in range(3)] == [True, True, False]


def test_crops_without_labels_show_searches_and_the_reason(demo, tmp_path):
    paths = [f"{i}.jpg" for i in range(9)]
    for path in paths:
        Image.new("RGB", (40, 90), (200, 30, 30)).save(tmp_path / path)
    write(tmp_path / "out/real/evaluation.txt", "the file names hold no identities\n")
    write(tmp_path / "out/real/search.json", {"data": str(tmp_path), "images": 9})
    write(tmp_path / "out/real/ranking.json", ranking(paths, labelled=False))
    text, parsed = report(tmp_path / "out")
    assert "Not scored: the file names hold no identities" in parsed.text
    assert "without labels nothing is right or wrong here" in parsed.text
    assert len(parsed.all("img")) == 6 * (1 + 9)
    assert "✓</b> 0." not in text and "correct," not in parsed.text


def entry(name: str, correct: list[int]) -> dict[str, object]:
    return {"query": name, "hits": [{"path": "x", "correct": rank in correct} for rank in range(1, 11)]}


@pytest.mark.parametrize(
    ("ranks", "expected"),
    [
        ([], []),
        ([[1]], ["worst q0"]),
        ([[1], [], [3]], ["worst q1", "worst q2", "best q0"]),
        (
            [[1, 2, 3], [], [2], [4], [1], [9], [1, 2], [5], [3]],
            ["worst q1", "worst q5", "median q3", "median q8", "best q6", "best q0"],
        ),
    ],
)
def test_queries_are_chosen_from_the_worst_to_the_best(ranks, expected):
    chosen = choose_queries([entry(f"q{i}", correct) for i, correct in enumerate(ranks)])
    assert [f"{kind} {query['query']}" for kind, query in chosen] == expected


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cmc": [1]}, "cmc must be a JSON object, got list"),
        ({"map": None}, "map must be a share in 0 ... 1, got None"),
        ({"minp": float("nan")}, "minp must be a share in 0 ... 1, got nan"),
        ({"interval": {"map": [0.1, 2]}}, "interval map must be a share in 0 ... 1, got 2"),
        ({"skipped": 3}, "skipped must be a JSON object, got int"),
    ],
)
def test_metrics_are_checked(tmp_path, change, message):
    write(tmp_path / "metrics.json", metrics(0.5, 0.5) | change)
    with pytest.raises(ValueError, match=re.escape(message)):
        read_metrics(tmp_path / "metrics.json")


def test_gains_are_points_and_clear_only_beyond_the_intervals(tmp_path):
    write(tmp_path / "a.json", metrics(0.2, 0.15))
    write(tmp_path / "b.json", metrics(0.6, 0.18))
    old, new = read_metrics(tmp_path / "a.json"), read_metrics(tmp_path / "b.json")
    gains = {gain.after.name: gain for gain in compare(old, new)}
    assert list(gains) == ["Rank-1", "Rank-5", "Rank-10", "mAP", "mINP"]
    assert gains["Rank-1"].points == pytest.approx(40) and gains["Rank-1"].trend == "up"
    assert gains["mAP"].points == pytest.approx(3) and gains["mAP"].trend == "unsure"
    assert gains["mINP"].trend == "unsure"
    assert compare(new, old)[0].trend == "down"
    assert compare(None, new)[0].points is None
    assert compare(old, None) == []


def test_charts_of_odd_scores():
    chart = score_chart("odd", [], [Score("a <b> & c", 1.0), Score("zero", 0.0, 0.0, 0.0)])
    ET.fromstring(chart.replace("<svg ", '<svg xmlns:xlink="http://www.w3.org/1999/xlink" ', 1))
    assert "a &lt;b&gt; &amp; c" in chart
