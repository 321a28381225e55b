"""Containers that may come from anybody: JSON, and pickles of the original's toolkit.

Each is bounded before it is read, runs nothing that is inside, and fails with one kind of error that names the file.
"""

from __future__ import annotations

import json
import pickletools
import reprlib
from collections.abc import Set
from pathlib import Path
from typing import Any

MOST_JSON_BYTES = 64 << 20


def read_bounded(path: str | Path, most_bytes: int) -> bytes:
    """The content of a small file.

    Args:
        path: the file.
        most_bytes: a larger one is refused.

    Raises:
        ValueError: it is larger.
        OSError: it cannot be read.
    """
    with Path(path).open("rb") as stream:
        content = stream.read(most_bytes + 1)
    if len(content) > most_bytes:
        raise ValueError(f"{path} is larger than {most_bytes} bytes, which is the most that is read")
    return content


def read_json(path: str | Path, *, most_bytes: int = MOST_JSON_BYTES) -> Any:
    """Reads a JSON file in UTF-8.

    Args:
        path: the file.
        most_bytes: a larger one is refused.

    Raises:
        FileNotFoundError: no such file.
        ValueError: larger, no text, no JSON, or nested too deeply.
    """
    content = read_bounded(path, most_bytes)
    try:
        return json.loads(content.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not valid JSON: {error}") from error


def read_pickle(path: str | Path, *, bags: Set[str] = frozenset(), most_bytes: int = 1 << 20) -> Any:
    """Reads the plain values of a pickle without unpickling it: nothing is imported or called.

    Args:
        path: the file.
        bags: names of classes, of any module, whose instances are read as dicts of their attributes.
        most_bytes: a larger file is refused.

    Returns:
        Lists, tuples, dicts (with keys of text and numbers), text, bytes, numbers, truth values and None.

    Raises:
        FileNotFoundError: no such file.
        ValueError: damaged, too large, or anything else is inside.
    """
    content = read_bounded(path, most_bytes)
    try:
        return _plain_value(content, bags)
    except (ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise ValueError(f"{path} holds no plain values: {error}") from error


_CONSTANTS: dict[str, Any] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_EMPTY = {"EMPTY_LIST": list, "EMPTY_DICT": dict, "EMPTY_TUPLE": tuple}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_LITERALS = frozenset(
    "INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT STRING BINSTRING SHORT_BINSTRING UNICODE BINUNICODE "
    "SHORT_BINUNICODE BINUNICODE8 BINBYTES SHORT_BINBYTES BINBYTES8".split()
)


class _Bag:
    """A class that was named; its instances are dicts."""


def _plain_value(content: bytes, bags: Set[str]) -> Any:
    stack: list[Any] = []
    marks: list[int] = []
    memo: dict[int, Any] = {}

    def above_mark() -> list[Any]:
        start = marks.pop()
        items = stack[start:]
        del stack[start:]
        return items

    def fill(target: Any, items: list[Any]) -> None:
        if type(target) is not dict or any(type(key) not in (str, int, float) for key in items[::2]):
            raise ValueError(f"keys must be text or numbers, got {reprlib.repr(items[::2])}")
        target.update(zip(items[::2], items[1::2], strict=True))

    argument: Any
    for opcode, argument, _ in pickletools.genops(content):
        name = opcode.name
        if name in _LITERALS:
            stack.append(argument)
        elif name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name in _EMPTY:
            stack.append(_EMPTY[name]())
        elif name in _TUPLES:
            stack[-_TUPLES[name] :] = [tuple(stack[-_TUPLES[name] :])]
        elif name == "MARK":
            marks.append(len(stack))
        elif name in ("LIST", "TUPLE"):
            stack.append((list if name == "LIST" else tuple)(above_mark()))
        elif name in ("APPEND", "APPENDS"):
            items = above_mark() if name == "APPENDS" else [stack.pop()]
            if type(stack[-1]) is not list:
                raise ValueError(f"{name} needs a list")
            stack[-1].extend(items)
        elif name == "DICT":
            items = above_mark()
            stack.append({})
            fill(stack[-1], items)
        elif name in ("SETITEM", "SETITEMS"):
            items = above_mark() if name == "SETITEMS" else [stack.pop(-2), stack.pop()]
            fill(stack[-1], items)
        elif name in ("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"):
            memo[len(memo) if name == "MEMOIZE" else argument] = stack[-1]
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            stack.append(memo[argument])
        elif name in ("GLOBAL", "STACK_GLOBAL"):
            module, wanted = argument.split(" ", 1) if name == "GLOBAL" else (stack.pop(-2), stack.pop())
            if wanted not in bags:
                raise ValueError(f"it asks for {str(module)[:80]}.{str(wanted)[:80]}, which is refused")
            stack.append(_Bag)
        elif name == "NEWOBJ":
            arguments, kind = stack.pop(), stack.pop()
            if kind is not _Bag or arguments != ():
                raise ValueError("it makes an object, which is refused")
            stack.append({})
        elif name == "BUILD":
            state = stack.pop()
            if type(state) is not dict:
                raise ValueError(f"attributes must be a dict, got {type(state).__name__}")
            fill(stack[-1], [item for pair in state.items() for item in pair])
        elif name == "STOP":
            return stack.pop()
        elif name not in ("PROTO", "FRAME"):
            raise ValueError(f"it holds {name}, which is refused")
    raise ValueError("it ends too early")
