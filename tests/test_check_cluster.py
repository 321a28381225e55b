"""Shards on a cluster of two nodes, one of which is killed: the output is that of one process."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from learning import make_figures
from PIL import Image

from unrealperson import crop
from unrealperson.config import Config, CropConfig, EvaluateConfig, SynthConfig, TrainConfig
from unrealperson.crop import crop_folder
from unrealperson.data.manifest import Manifest
from unrealperson.data.sources import read_bytes, read_images
from unrealperson.evaluate import extract_run
from unrealperson.executor import RayCluster
from unrealperson.synth.shards import synthesize

pytestmark = pytest.mark.check
CONFIG = Config(
    synth=SynthConfig(
        people=4, test_people=2, people_per_batch=2, cameras=2, instants=2, lights=2, width=320, height=240, workers=1,
        keep_frames=True,
    ),
    crop=CropConfig(min_pixels=150, min_area=300, border=0, min_visibility=0.3, min_keypoints=4),
)  # fmt: skip


@pytest.fixture(scope="module")
def cluster() -> Iterator[object]:
    ray = pytest.importorskip("ray", reason="Ray is not installed; `make check` installs it: unrealperson[scale]")
    from ray.cluster_utils import Cluster

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers do not find the tests
    memory = {"object_store_memory": 2**27, "num_gpus": 0}
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False, **memory})
    made.second = functools.partial(made.add_node, num_cpus=2, **memory)
    ray.init(address=made.address, logging_level="warning", log_to_driver=False)
    yield made
    ray.shutdown()
    made.shutdown()


def slow_square(folder: str, number: int) -> int:
    Path(folder, f"{number}.{os.getpid()}").touch()
    time.sleep(1.0)
    return number * number


def refuse(message: str, number: int) -> int:
    raise ValueError(f"{message} {number}")


def test_shards_of_a_node_that_is_killed_are_made_again(cluster, tmp_path):
    second = cluster.second()
    cluster.wait_for_nodes()
    made = {}
    for index, result in RayCluster()(slow_square, str(tmp_path), list(range(8))):
        made[index] = result
        if second is not None:
            cluster.remove_node(second, allow_graceful=False)
            second = None
    assert made == {number: number * number for number in range(8)}
    begun = [path.name.split(".")[0] for path in tmp_path.iterdir()]
    assert set(begun) == set(map(str, range(8))) and len(begun) > 8, "some were made twice"


def test_what_a_shard_raises_is_raised_here_in_one_line(cluster):
    with pytest.raises(ValueError, match=r"^there is no 3$"):
        list(RayCluster()(refuse, "there is no", [3]))


def content(manifest: Manifest) -> dict[str, bytes]:
    return {path: (manifest.root / path).read_bytes() for path in sorted(manifest.path)}


def test_each_stage_gives_the_files_of_one_machine(cluster, tmp_path):
    second = cluster.second()
    here = synthesize(CONFIG, tmp_path / "here")
    there = synthesize(CONFIG, tmp_path / "there", executor=RayCluster())
    assert len(here) > 0 and content(here) == content(there)
    assert here.sha256() == there.sha256()
    rules = dataclasses.replace(CONFIG.crop, min_pixels=160)
    here, there = (
        crop_folder(tmp_path / "here" / "frames", tmp_path / f"crops {executor is None}", rules, executor=executor)
        for executor in (None, RayCluster())
    )
    assert len(here) > 0 and content(here) == content(there) and here.sha256() == there.sha256()
    cluster.remove_node(second)


def test_features_are_those_of_one_machine(cluster, tmp_path):
    manifest = make_figures(tmp_path, identities=6)
    config = Config(train=TrainConfig(height=64, width=32), evaluate=EvaluateConfig(batch_size=2))
    here = extract_run(None, manifest, config)
    there = extract_run(None, manifest, config, executor=RayCluster())
    assert np.abs(here.vectors - there.vectors).max() < 1e-5
    assert np.array_equal(here.camid, there.camid)


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a bucket that a server of S3's protocol keeps on loopback."""
    server = Path(sys.prefix, "s3", "bin", "moto_server")
    if not server.is_file():
        pytest.skip("moto is not installed; `make check` installs it in .venv/s3")
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    log = (tmp_path_factory.mktemp("s3") / "log").open("w")
    with log, subprocess.Popen([server, "-p", address.rpartition(":")[2]], stdout=log, stderr=log) as process:
        try:
            for _ in range(600):
                with contextlib.suppress(OSError):
                    urllib.request.urlopen(urllib.request.Request(f"http://{address}/crops", method="PUT")).close()
                    break
                time.sleep(0.2)
            yield f"s3://crops/{{}}?endpoint_override={address}&scheme=http&region=us-east-1"
        finally:
            process.terminate()


@pytest.mark.parametrize("where", ["file", "s3"])
def test_a_node_killed_while_it_writes_to_a_url_leaves_the_same_set(cluster, tmp_path, monkeypatch, request, where):
    monkeypatch.setenv("UNREALPERSON_CACHE", str(tmp_path / "cache"))
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    url = f"{tmp_path.as_uri()}/there" if where == "file" else request.getfixturevalue("bucket").format("there")
    monkeypatch.setattr(crop, "_FRAMES", 2)
    frames = draw_frames(tmp_path / "unreal_v1.1" / "frames", count=24)
    second = cluster.second()
    cluster.wait_for_nodes()
    killed = []

    def loses_a_node(function, shared, items, *, gpu=False):
        for index, result in RayCluster()(as_user, (function, shared), items, gpu=gpu):
            if not killed:
                cluster.remove_node(second, allow_graceful=False)
                killed.append(index)
            yield index, result

    rules = CropConfig(min_pixels=100, min_area=100)
    there = crop_folder(frames, url, rules, executor=loses_a_node)
    here = crop_folder(frames, tmp_path / "here", rules)
    assert killed and len(here) == 48
    assert [path.rpartition("/")[2] for path in there.path] == [path.rpartition("/")[2] for path in here.path]
    assert there.table.drop_columns(["path"]).equals(here.table.drop_columns(["path"]))
    copied = read_images(url)
    assert [read_bytes(copied.image_path(row)) for row in range(48)] == list(content_in_order(here))
    assert len(crop_folder(frames, url, rules, executor=None)) == 48, "what is whole is not made again"


KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_EC2_METADATA_DISABLED": "true"}


def as_user(given, item):
    """A shard that takes 0.3 s more, with the keys that a bucket asks for."""
    function, shared = given
    os.environ.update(KEYS)
    time.sleep(0.3)
    return function(shared, item)


def draw_frames(folder: Path, *, count: int) -> Path:
    """Frames of two people each, as the original's toolkit keeps them."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number in range(count):
        mask = np.zeros((80, 120, 3), np.uint8)
        mask[10:60, 20:40], mask[20:70, 70:90] = (255, 0, 60), (255, 20, 60)
        Image.fromarray(mask).save(folder / f"c001_{number}_mask.png")
        Image.fromarray(rng.integers(0, 255, mask.shape, np.uint8)).save(folder / f"c001_{number}_lit.png")
    (folder / "object_color.json").write_text('{"0": "(R=255,G=0,B=60,A=255)", "1": "(R=255,G=20,B=60,A=255)"}')
    return folder


def content_in_order(manifest: Manifest) -> Iterator[bytes]:
    return (read_bytes(manifest.image_path(row)) for row in range(len(manifest)))


def test_without_a_cluster_one_line_says_so():
    ray = pytest.importorskip("ray")
    ray.shutdown()
    with pytest.raises(RuntimeError, match=r"no Ray cluster at 127.0.0.1:1: .*; start one with 'ray start --head'"):
        RayCluster("127.0.0.1:1")
