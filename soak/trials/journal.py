"""A file of JSON lines that a part appends to, and goes on with when it is started again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


class Journal:
    """Lines of one file; a last line that was cut off is dropped.

    Args:
        path: the file; its folder is made.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        text = path.read_text(encoding="utf-8") if path.is_file() else ""
        whole = text[: text.rfind("\n") + 1]
        self.lines: list[dict[str, Any]] = [json.loads(line) for line in whole.splitlines()]
        if whole != text:
            path.write_text(whole, encoding="utf-8")

    def add(self, line: dict[str, Any]) -> None:
        """Appends one line.

        Args:
            line: what JSON can write.
        """
        self.lines.append(line)
        with self._path.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(line) + "\n")
