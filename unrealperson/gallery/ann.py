"""Approximate indices beside a gallery's vectors: faiss in a file, Milvus in a file or on a cluster.

An index proposes candidates; the gallery's own vectors decide among them, and rows added since it was built are
searched exactly. So it can be behind, and lost, without a wrong answer.
"""

from __future__ import annotations

import hashlib
import importlib
from pathlib import Path
from typing import Any

import numpy as np

from unrealperson.gallery import exact, store

_GRAPH_LINKS, _BUILD_WIDTH, _SEARCH_WIDTH = 32, 80, 128
_TRAINING_PER_LIST, _MOST_LISTS, _CODE_BYTES, _PROBES = 40, 4096, 64, 32
_INSERT_ROWS = 2000


def build(folder: Path, state: store.State) -> dict[str, Any]:
    """Builds the index that a gallery's back end asks for.

    Args:
        folder: the gallery.
        state: what it holds.

    Returns:
        The index's entry in gallery.json.

    Raises:
        RuntimeError: the back end's library is not installed, or its server does not answer.
    """
    if state.facts["backend"] == "milvus":
        return _build_milvus(folder, state)
    return _build_faiss(folder, state)


def open_index(folder: Path, facts: dict[str, Any]) -> Any:
    """Opens an index.

    Args:
        folder: the gallery.
        facts: content of gallery.json.

    Returns:
        What has `search(queries, k)` -> similarities and rows, each [q, k]; rows of -1 are none.

    Raises:
        RuntimeError: the back end's library is not installed, or its server does not answer.
        ValueError: the index is damaged.
    """
    entry = facts["index"]
    return MilvusIndex(folder, facts) if facts["backend"] == "milvus" else FaissIndex(folder / entry["name"], entry)


class FaissIndex:
    """A faiss index file.

    Args:
        path: the file.
        entry: its size and checksum.
    """

    def __init__(self, path: Path, entry: dict[str, Any]) -> None:
        faiss = _import("faiss", "faiss-cpu")
        if not path.is_file() or store.checksum(path) != {"bytes": entry["bytes"], "sha256": entry["sha256"]}:
            raise ValueError(f"{path} is missing or damaged; Gallery.save() builds it again")
        self._index = faiss.read_index(str(path))

    def search(self, queries: np.ndarray, k: int) -> exact.Found:
        """Proposes candidates.

        Args:
            queries: [q, d] float32.
            k: how many.
        """
        return self._index.search(queries, k)


def _build_faiss(folder: Path, state: store.State) -> dict[str, Any]:
    faiss = _import("faiss", "faiss-cpu")
    rows, dimension = len(state.present), state.facts["dimension"]
    if state.facts["backend"] == "faiss_hnsw":
        index = faiss.IndexHNSWFlat(dimension, _GRAPH_LINKS, faiss.METRIC_INNER_PRODUCT)
        index.hnsw.efConstruction, index.hnsw.efSearch = _BUILD_WIDTH, _SEARCH_WIDTH
    else:
        lists = max(1, min(_MOST_LISTS, int(4 * rows**0.5), rows // _TRAINING_PER_LIST))
        code = max(size for size in (_CODE_BYTES, 32, 16, 8, 4, 2, 1) if dimension % size == 0)
        bits = 8 if rows >= 256 * _TRAINING_PER_LIST else 4
        index = faiss.index_factory(dimension, f"IVF{lists},PQ{code}x{bits}", faiss.METRIC_INNER_PRODUCT)
        index.nprobe = min(_PROBES, lists)
        drawn = np.sort(np.random.default_rng(0).permutation(rows)[: max(lists, 256) * _TRAINING_PER_LIST])
        index.train(exact.take(state.segments, drawn))
    for segment in state.segments:
        for first in range(0, len(segment), exact.BLOCK_ROWS):
            index.add(np.asarray(segment.features[first : first + exact.BLOCK_ROWS], np.float32))
    name = f"index-{state.facts['revision']:06d}.faiss"
    faiss.write_index(index, str(folder / name))
    return {"name": name, "rows": rows, **store.checksum(folder / name)}


class MilvusIndex:
    """A collection in Milvus, or in milvus-lite's file.

    Args:
        folder: the gallery.
        facts: content of gallery.json.
    """

    def __init__(self, folder: Path, facts: dict[str, Any]) -> None:
        self._client = _milvus(folder, facts)
        self._collection = facts["index"]["collection"]
        if not self._client.has_collection(self._collection):
            raise ValueError(f"Milvus holds no collection {self._collection}; Gallery.save() builds it again")
        self._client.load_collection(self._collection)

    def search(self, queries: np.ndarray, k: int) -> exact.Found:
        """Proposes candidates.

        Args:
            queries: [q, d] float32.
            k: how many.
        """
        similarity = np.full((len(queries), k), -np.inf, np.float32)
        rows = np.full((len(queries), k), -1, np.int64)
        for query, hits in enumerate(self._client.search(self._collection, data=list(queries), limit=k)):
            for place, hit in enumerate(hits):
                similarity[query, place], rows[query, place] = hit["distance"], hit["id"]
        return similarity, rows


def _build_milvus(folder: Path, state: store.State) -> dict[str, Any]:
    client = _milvus(folder, state.facts)
    digest = hashlib.sha256(f"{folder.absolute()} {state.facts['model_sha256']}".encode()).hexdigest()[:16]
    name = f"unrealperson_{digest}_{state.facts['revision']}"
    if client.has_collection(name):
        client.drop_collection(name)
    client.create_collection(name, dimension=state.facts["dimension"], metric_type="COSINE", auto_id=False)
    row = 0
    for segment in state.segments:
        for first in range(0, len(segment), _INSERT_ROWS):
            part = np.asarray(segment.features[first : first + _INSERT_ROWS], np.float32)
            client.insert(name, [{"id": row + place, "vector": vector} for place, vector in enumerate(part)])
            row += len(part)
    client.flush(name)
    return {"name": "milvus", "collection": name, "rows": row}


def _milvus(folder: Path, facts: dict[str, Any]) -> Any:
    pymilvus = _import("pymilvus", "pymilvus milvus-lite")
    uri = facts.get("milvus_uri") or str(folder / "milvus" / "vectors.db")
    if not facts.get("milvus_uri"):
        (folder / "milvus").mkdir(exist_ok=True)
    try:
        return pymilvus.MilvusClient(uri)
    except pymilvus.MilvusException as error:
        raise RuntimeError(f"Milvus at {uri} does not answer: {error}") from error


def _import(module: str, packages: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise RuntimeError(
            f"this gallery's back end needs {module}: pip install 'unrealperson[search]', or pip install {packages}"
        ) from error
