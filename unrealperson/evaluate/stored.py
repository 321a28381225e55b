"""Features by URL: one .npz for each part of the images, put there by whoever took it; nobody gathers them."""

from __future__ import annotations

import dataclasses
import json
import tempfile
from pathlib import Path

import numpy as np

from unrealperson.checkpoint import fingerprint
from unrealperson.config import EvaluateConfig
from unrealperson.data.loader import Images
from unrealperson.data.manifest import Manifest
from unrealperson.evaluate.features import embed_part, feature_parts
from unrealperson.evaluate.statistics import estimate_tables, statistics_groups
from unrealperson.executor import Executor
from unrealperson.log import get_logger, track
from unrealperson.models.reid import ReidModel
from unrealperson.schema import Features
from unrealperson.storage import Storage

_logger = get_logger(__name__)

_MADE_OF = "features.json"


def extract_to(
    url: str, model: ReidModel, images: Images, config: EvaluateConfig, *, query: np.ndarray | None, executor: Executor
) -> int:
    """Estimates the cameras' statistics, then has each part of the images' features put below a URL; or finishes it.

    Args:
        url: folder to fill: features.json tells what the features are of, 000003-of-000010.npz holds the fourth of ten
            parts as `Features.save` writes it. The parts in order are the rows of `extract`.
        model: the network; its tables are replaced.
        images: the images, at the size the network was trained on.
        config: section [evaluate].
        query: [q] int64 rows of the queries; needed where config.statistics is "split".
        executor: who takes the features.

    Returns:
        How many parts there are.

    Raises:
        ValueError: the folder was begun with another network, other images or settings.
    """
    storage = Storage(url)
    made_of = {
        "network": fingerprint(model.state_dict()),
        "images": images.manifest.sha256(),
        **dataclasses.asdict(config),
    }
    text = json.dumps(made_of, indent=1, sort_keys=True) + "\n"
    there = set(storage.names())
    if _MADE_OF not in there and there:
        raise ValueError(f"{url} holds {min(there)} and no {_MADE_OF} of an earlier run; choose another folder")
    if _MADE_OF in there and storage.read(_MADE_OF).decode() != text:
        raise ValueError(f"{url} was begun with another network, other images or settings; choose another folder")
    parts = feature_parts(len(images), config)
    names = [f"{number:06d}-of-{len(parts):06d}.npz" for number in range(len(parts))]
    missing = [number for number, name in enumerate(names) if name not in there]
    if len(missing) < len(parts):
        _logger.info("%d of %d parts are there already", len(parts) - len(missing), len(parts))
    if not missing:
        return len(parts)
    storage.put(_MADE_OF, text.encode())
    group = statistics_groups(images, config, query)
    row = estimate_tables(model, images, config, group).rows(group)
    items = [(names[number], images.manifest.select(parts[number]), row[parts[number]]) for number in missing]
    shared = (url, model.cpu(), (images.height, images.width), config)
    for _ in track(executor(_put_part, shared, items, gpu=True), label="features", total=len(items)):
        pass
    return len(parts)


def _put_part(
    shared: tuple[str, ReidModel, tuple[int, int], EvaluateConfig], item: tuple[str, Manifest, np.ndarray]
) -> None:
    (url, model, size, config), (name, manifest, row) = shared, item
    vectors = embed_part((model, size, config), (manifest, row))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, name)
        Features(vectors, manifest.pid, manifest.camid, manifest.frame, manifest.path).save(file)
        Storage(url).put(name, file.read_bytes())
