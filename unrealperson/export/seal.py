"""A checksum at the end of an ONNX file, which tells a damaged one from a whole one. Needs no onnx to read.

It is an entry of the metadata, so any program reads the file as before. Protocol buffers may be written one after
another: the entry is appended to the bytes whose SHA-256 it holds. Files of earlier releases have none.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

KEY = "unrealperson.sha256"
_DIGITS = 64
# ModelProto.metadata_props (field 14) of 87 bytes: key (field 1) and value (field 2), each with its length.
_START = b"\x72\x57\x0a\x13" + KEY.encode() + b"\x12\x40"


def save_sealed(model: Any, path: str | Path) -> None:
    """Writes a model with its checksum.

    Args:
        model: the ONNX model; an earlier checksum among its metadata is dropped.
        path: file to write.
    """
    kept = [entry for entry in model.metadata_props if entry.key != KEY]
    del model.metadata_props[:]
    model.metadata_props.extend(kept)
    content = model.SerializeToString()
    Path(path).write_bytes(content + _START + hashlib.sha256(content).hexdigest().encode())


def require_whole(path: str | Path) -> None:
    """Compares a file with the checksum at its end, where it has one.

    Args:
        path: the ONNX file.

    Raises:
        ValueError: it has changed since it was written.
    """
    content = memoryview(Path(path).read_bytes())
    end = len(content) - len(_START) - _DIGITS
    if end < 0 or content[end : end + len(_START)] != _START:
        return
    if hashlib.sha256(content[:end]).hexdigest().encode() != content[-_DIGITS:]:
        raise ValueError(
            f"{path} is damaged: its checksum is another one; export it again. Where another program has changed it "
            f"on purpose, remove {KEY} from its metadata"
        )
