from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from learning import make_figures

from unrealperson import ablate
from unrealperson.ablate.grid import PoolConfig, load_grid
from unrealperson.cli import main

SHIPPED = sorted((Path(__file__).parent.parent / "configs" / "grids").glob("*.toml"))
GRID = """
[grid]
images = 24
seeds = [0, 1]

[pool]
folders = ["pool"]

[train]
backbone = "osnet_x0_25"
weights = "none"
height = 64
width = 32
epochs = 2
decay_epoch = 1
cameras_per_batch = 2
identities_per_camera = 2
images_per_identity = 2

[evaluate]
min_statistics_images = 8
mirror = false

[sets]
first = "site"

[axes.norm]
bn = {train.norm = "bn"}

[axes.people]
few = {pool.identities = 3, pool.cameras = 2}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("ablate")
    make_figures(root / "pool", identities=5).write()
    make_figures(root / "site", identities=3, cameras=2, images=4).write()
    (root / "grid.toml").write_text(GRID)
    return root


@pytest.fixture(autouse=True)
def inside(folder, monkeypatch):
    monkeypatch.chdir(folder)


@pytest.mark.parametrize(
    ("design", "names"),
    [("each", ["base", "norm=bn", "people=few"]), ("all", ["base", "people=few", "norm=bn", "norm=bn,people=few"])],
)
def test_a_grid_has_the_base_and_its_changes(tmp_path, design, names):
    path = tmp_path / "grid.toml"
    path.write_text(GRID.replace("images = 24", f'images = 24\ndesign = "{design}"'))
    grid = load_grid(path)
    assert [cell.name for cell in grid.cells] == names
    by_name = {cell.name: cell for cell in grid.cells}
    assert by_name["norm=bn"].config.train.norm == "bn" and by_name["base"].config.train.norm == "cbn"
    assert by_name["people=few"].pool == PoolConfig(folders=("pool",), identities=3, cameras=2)
    assert [cell.name for cell in grid.chosen(["norm=*"])] == [name for name in names if name.startswith("norm")]


def test_a_configuration_is_the_base_of_a_grid(tmp_path):
    (tmp_path / "base.toml").write_text("[train]\nepochs = 9\nflip = 0.25\n")
    train = load_grid("grid.toml", tmp_path / "base.toml").cells[0].config.train
    assert (train.epochs, train.flip, train.height) == (2, 0.25, 64)


CELLS = {
    "data": 10, "degradation": 11, "paper_table1": 5, "paper_table2_people": 6, "paper_table2_scale": 10,
    "paper_table3_4": 3, "paper_figure4": 15, "paper_figure5": 4,
}  # fmt: skip


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_grids_can_be_read_and_tried_in_small(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in re.findall(r'^\w+ = "([\w/]+)"$', path.read_text().split("[sets]")[1].split("[", 1)[0], flags=re.M):
        (tmp_path / name).mkdir(parents=True)
    grid = load_grid(path, images=256)
    assert grid.cells[0].name == "base" and len(grid.cells) == CELLS[path.stem] and len(grid.settings.seeds) == 3
    assert grid.settings.images == 256 and load_grid(path).settings.images >= 60000
    assert f"unrealperson ablate configs/grids/{path.name} --out" in path.read_text()
    # Cells that synthesise alike share a pool; what is drawn from it differs.
    pools = ablate._Pools(tmp_path)
    made = {pools.key(cell) for cell in grid.cells if not cell.pool.folders}
    assert len(made) == {"paper_table2_people": 6, "paper_figure4": 1, "paper_figure5": 4}.get(path.stem, 0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[train", "is not valid TOML"),
        ("[train]\nepochs = 2", "names no set to score on"),
        ('[sets]\nx = "nowhere"', "[sets] x = 'nowhere' is no folder"),
        ('[sets]\nx = "site"\n[axes.a]\nb = {train.epoch = 3}', "cell a=b: [train] has unknown key 'epoch'"),
        ('[sets]\nx = "site"\n[axes.a]\nb = 3', "[axes.a] b must be a table such as"),
        ('[sets]\nx = "site"\n[axes.a]\nb = {train.flip = 0.5}', "base and a=b are the same cell"),
        ('[sets]\nx = "site"\n[grid]\nseeds = []', "[grid] seeds must be different numbers from 0"),
        ('[sets]\nx = "site"\n[pool]\ncameras = -1', "[pool] cameras must not be negative"),
        ('[sets]\nx = "site"\n[pools]\ncameras = 1', "unknown section [pools]"),
    ],
)
def test_a_mistake_in_a_grid_gets_one_line(tmp_path, text, message, capsys):
    (tmp_path / "wrong.toml").write_text(text)
    assert main(["ablate", str(tmp_path / "wrong.toml"), "--out", str(tmp_path / "out")]) == 2
    assert message in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("drawn", "images", "identities", "cameras"),
    [
        ({}, 45, 5, 3),
        ({"identities": 2, "per_identity": 4}, 8, 2, 3),
        ({"cameras": 2, "images": 10}, 10, None, 2),
        ({"where": ("pid>=13",)}, 18, 2, 3),
    ],
)
def test_a_cell_trains_on_a_part_of_the_pool(folder, drawn, images, identities, cameras):
    pool = ablate.read_images("pool")
    part = ablate.draw_pool(pool, PoolConfig(**drawn), 0)
    assert len(part) == images and (identities is None or len(part.identities) == identities)
    assert len(part.cameras) <= cameras
    assert part.path == ablate.draw_pool(pool, PoolConfig(**drawn), 0).path
    if "identities" in drawn:
        assert {tuple(ablate.draw_pool(pool, PoolConfig(**drawn), seed).identities) for seed in range(6)} != {
            tuple(part.identities)
        }


@pytest.mark.parametrize("drawn", [{"cameras": 4}, {"images": 46}, {"identities": 6}])
def test_a_pool_that_is_too_small_is_told(drawn):
    with pytest.raises(ValueError, match=r"(46|6|4)\b.*\b(45|5|3)\b"):
        ablate.draw_pool(ablate.read_images("pool"), PoolConfig(**drawn), 0)


def test_finished_cells_are_kept_and_a_new_set_is_scored_alone(folder, capsys, monkeypatch):
    first = ["ablate", "grid.toml", "--out", "out", "--only", "base", "norm=*", "--seeds", "0"]
    assert main(first) == 0
    lines = [json.loads(text) for text in Path("out/cells.jsonl").read_text().splitlines()]
    assert [line["cell"] for line in lines] == ["base", "norm=bn"]
    # As many images for each, though the set has 45: two epochs of 12, in batches of 8.
    steps = [len(list(Path("out/runs").glob("*"))), *(line["images_seen"] for line in lines)]
    assert steps == [2, 24, 24]
    for line in lines:
        assert line["images"] == 45 and set(line["scores"]) == {"first"}
        assert set(line["scores"]["first"]) == {"plain", "per camera"}
        assert all(0 <= value <= 1 for mode in line["scores"]["first"].values() for value in mode.values())
    assert lines[0]["scores"]["first"]["plain"] != lines[0]["scores"]["first"]["per camera"]

    with Path("out/cells.jsonl").open("a") as stream:  # as if the machine had gone
        stream.write('{"cell": "base", "se')
    with monkeypatch.context() as patch:
        patch.setattr(ablate, "train", None)
        assert main(first) == 0
    table = capsys.readouterr().out
    assert re.search(r"\| base \| 45 / 5 / 3 \| 1 \| [\d.]+ / [\d.]+ \|", table) and "| norm=bn |" in table
    assert "people=few" not in table

    Path("grid.toml").write_text(GRID.replace('first = "site"', 'first = "site"\nsecond = "pool"'))
    assert main(first) == 0
    lines = [json.loads(text) for text in Path("out/cells.jsonl").read_text().splitlines() if not text.endswith("se")]
    assert [list(line["scores"]) for line in lines] == [["first"], ["first"], ["second"], ["second"]]
    figure = Path("out/results.svg").read_text()
    assert figure.startswith("<svg xmlns=") and "norm=bn" in figure and "second" in figure


def test_a_pool_is_synthesised_once(folder, tmp_path, monkeypatch):
    made = []

    def synthesize(config, out):
        made.append(config.synth.seed)
        return make_figures(tmp_path / "made", identities=3)

    monkeypatch.setattr(ablate, "synthesize", synthesize)
    text = GRID.replace('folders = ["pool"]', "").replace(
        "[axes.people]\nfew = {pool.identities = 3, pool.cameras = 2}", "[axes.world]\nother = {synth.seed = 5}"
    )
    (tmp_path / "grid.toml").write_text(text)
    pools = ablate._Pools(tmp_path / "pools")
    for cell in load_grid(tmp_path / "grid.toml").cells:
        assert len(pools.manifest(cell)) == 27
    assert made == [0, 5]
