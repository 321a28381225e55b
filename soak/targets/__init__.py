"""What `attack.py` attacks: each target gives good inputs to start from and takes any bytes.

A target is a function of an empty folder; it returns its first inputs and the function to attack.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from targets.readers import (
    checkpoint,
    colors,
    config,
    features,
    gallery,
    gallery_rows,
    gltf,
    image,
    listing,
    manifest,
    mhclo,
    onnx,
    poses,
    poses_json,
    run_lengths,
    shard,
    truth,
    weights,
)  # fmt: skip
from targets.servers import commands, port, reply, service

DOCUMENTED = (ValueError, FileNotFoundError)
"""The exceptions that say what is wrong; any other one, and their subclasses, are findings."""

TARGETS: dict[str, Callable[[Path], tuple[list[bytes], Callable[[bytes], object]]]] = {
    made.__name__: made
    for made in (
        commands, port, reply, service, image, manifest, listing, shard, features, truth, colors, poses, poses_json,
        run_lengths, gltf, mhclo, config, onnx, checkpoint, weights, gallery, gallery_rows,
    )
}  # fmt: skip
