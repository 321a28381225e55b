"""Shards on a cluster of two nodes, one of which is killed: the output is that of one process."""

from __future__ import annotations

import dataclasses
import functools
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from learning import make_figures

from unrealperson.config import Config, CropConfig, EvaluateConfig, SynthConfig, TrainConfig
from unrealperson.crop import crop_folder
from unrealperson.data.manifest import Manifest
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


def test_without_a_cluster_one_line_says_so():
    ray = pytest.importorskip("ray")
    ray.shutdown()
    with pytest.raises(RuntimeError, match=r"no Ray cluster at 127.0.0.1:1: .*; start one with 'ray start --head'"):
        RayCluster("127.0.0.1:1")
