from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from unrealperson.files import only_process, replacing, replacing_folder, write_json, write_text


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_appears_when_the_block_ends(tmp_path: Path) -> None:
    with replacing(tmp_path / "a.bin") as partial:
        partial.write_bytes(b"12")
        assert not (tmp_path / "a.bin").exists()
    assert (tmp_path / "a.bin").read_bytes() == b"12" and names(tmp_path) == ["a.bin"]


def test_a_failed_block_leaves_the_earlier_file_and_nothing_else(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "earlier")
    with pytest.raises(ZeroDivisionError), replacing(tmp_path / "a.txt") as partial:
        partial.write_text("half", encoding="utf-8")
        raise ZeroDivisionError
    assert (tmp_path / "a.txt").read_text() == "earlier" and names(tmp_path) == ["a.txt"]


def test_json(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"größe": [1, None]})
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == {"größe": [1, None]}


def test_a_second_process_is_kept_out_until_the_first_is_done(tmp_path: Path) -> None:
    code = f"from unrealperson.files import only_process\nwith only_process({str(tmp_path)!r}): print('in')"

    def second() -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)

    with only_process(tmp_path):
        assert "another process is writing to" in second().stderr
    assert second().stdout == "in\n"


def test_a_folder_appears_complete_or_not_at_all(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(RuntimeError, match="half"), replacing_folder(out) as folder:
        (folder / "a").touch()
        raise RuntimeError("half")
    assert not list(tmp_path.iterdir())
    out.mkdir()
    with replacing_folder(out) as folder:
        (folder / "a").touch()
    assert [path.name for path in tmp_path.rglob("*")] == ["out", "a"]
    with pytest.raises(ValueError, match="out exists; choose another folder"), replacing_folder(out):
        pass
    assert (out / "a").exists()
