"""Rules that keep the house in order: layers, sizes, docstrings, types, lint, README."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "unrealperson"
MODULES = sorted(PACKAGE.rglob("*.py"))
SOURCES = sorted(
    path
    for folder in ("unrealperson", "csrc", "tests", "bench", "examples", "soak")
    for path in (ROOT / folder).rglob("*")
    if path.suffix in (".py", ".cpp", ".h", ".cu", ".cuh", ".html", ".css", ".js")
)

LAYERS = (
    ("cli", "data_verbs", "endpoint_verbs", "experiment_verbs", "gallery_verbs", "model_verbs", "verb"),
    ("demo", "ablate", "fit", "harden"),
    ("report", "doctor", "serve"),
    ("train", "adapt"),
    ("evaluate", "video", "export", "gallery"),
    ("models", "crop", "synth", "checkpoint", "distributed", "objectives", "descent", "record"),
    ("data", "cards"),
    ("ops",),
    ("executor", "storage"),
    ("schema", "log"),
    ("config",),
    ("files", "compiled", "untrusted"),
)
LEVEL = {name: len(LAYERS) - level for level, names in enumerate(LAYERS) for name in names}
ONLY_IN = {
    "unrealcv": {"synth/endpoint.py"},
    "panda3d": {"synth/renderer.py", "synth/upload.py"},
    "direct": {"synth/renderer.py"},
    "fastapi": {"serve/app.py", "serve/guard.py", "serve/page/__init__.py"},
    "uvicorn": {"serve/__init__.py", "serve/connection.py"},
    "prometheus_client": {"serve/metrics.py"},
    "nvidia": {"data/dali.py"},
    "ray": {"executor.py"},
    "tyro": {"cli.py", "data_verbs.py", "experiment_verbs.py", "gallery_verbs.py", "model_verbs.py", "verb.py"},
}
LAZY_TORCH = (
    "config",
    "cli",
    "crop",
    "synth",
    "gallery",
    "export/calibrate",
    "export/encoder",
    "demo",
    "doctor",
    "report",
    "serve",
    "data/manifest",
    "data/sources",
    "ops",
)


def relative(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def layer(module: str) -> str:
    return module.split(".")[1] if "." in module else "__init__"


def imports(path: Path, *, top_only: bool = False) -> list[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = tree.body if top_only else list(ast.walk(tree))
    found = []
    for node in nodes:
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.append(node.module)
            if node.module == "unrealperson":
                found += [f"unrealperson.{alias.name}" for alias in node.names]
    return found


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_imports_go_down_only(path: Path) -> None:
    own = relative(path).split("/")[0].removesuffix(".py")
    if own == "__init__":
        assert not [name for name in imports(path) if name.startswith("unrealperson.")]
        return
    assert own in LEVEL, f"{own} has no place in LAYERS"
    for name in imports(path):
        if name.startswith("unrealperson.") and layer(name) in LEVEL and layer(name) != own:
            same_row_is_fine = LEVEL[layer(name)] == LEVEL[own]
            assert LEVEL[layer(name)] < LEVEL[own] or same_row_is_fine, f"{own} must not import {name}"


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_heavy_libraries_stay_where_they_belong(path: Path) -> None:
    for name in imports(path):
        root = name.split(".")[0]
        assert relative(path) in ONLY_IN.get(root, {relative(path)}), f"{root} belongs in {ONLY_IN[root]}"
    if relative(path).startswith(LAZY_TORCH):
        assert not [name for name in imports(path, top_only=True) if name.split(".")[0] == "torch"]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_files_can_be_read_in_one_sitting(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 620, f"{len(lines)} lines"
    assert path.name not in ("utils.py", "common.py", "helpers.py", "misc.py")
    for number, line in enumerate(lines, 1):
        assert not re.search(r"\b(TODO|FIXME|XXX)\b", line) or path == Path(__file__), f"line {number}: {line}"


def documented(path: Path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            yield node


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_docstrings_name_the_parameters(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert (path.name == "__init__.py" and path.stat().st_size == 0) or ast.get_docstring(tree), "no module docstring"
    for function in documented(path):
        docstring = ast.get_docstring(function) or ""
        section = re.search(r"^Args:\n((?:[ \t]+.*\n?|\n)+)", docstring, flags=re.M)
        if not section:
            continue
        named = set(re.findall(r"^ {4}\*{0,2}(\w+)[^:\n]*:", section[1], flags=re.M))
        every = function.args.posonlyargs + function.args.args + function.args.kwonlyargs
        every += [extra for extra in (function.args.vararg, function.args.kwarg) if extra]
        expected = {argument.arg for argument in every} - {"self", "cls"}
        assert named == expected, f"{function.name}: documented {sorted(named)}, signature {sorted(expected)}"


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_public_functions_of_the_top_level_have_docstrings(path: Path) -> None:
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_"):
            assert ast.get_docstring(node), f"{node.name} has no docstring"


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_no_hidden_errors_and_no_prints(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        assert not isinstance(node, ast.Assert), f"line {node.lineno}: raise ValueError or RuntimeError instead"
        assert not (isinstance(node, ast.ExceptHandler) and node.type is None), f"line {node.lineno}: bare except"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print":
            assert relative(path) in (
                "cli.py",
                "data_verbs.py",
                "gallery_verbs.py",
                "doctor.py",
                "experiment_verbs.py",
                "synth/simulator.py",
            ), f"line {node.lineno}: print"


RUNS_WHAT_IT_READS = {"pickle", "cPickle", "marshal", "shelve", "dill", "cloudpickle", "yaml", "joblib"}
NEVER_CALLED = {"eval", "exec", "compile", "os.system", "os.popen", "__import__"}
BOUNDED_CALLS = {
    "torch.load": ("weights_only", "True"),
    "np.load": ("allow_pickle", "False"),
    "np.lib.format.read_array": ("allow_pickle", "False"),
    "archive.extractall": ("filter", "'data'"),
    "Image.open": ("formats", None),  # Pillow's EPS reader runs a program
}


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_nothing_that_is_read_is_run(path: Path) -> None:
    assert not RUNS_WHAT_IT_READS & {name.split(".")[0] for name in imports(path)}
    for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(call, ast.Call):
            continue
        name, given = ast.unparse(call.func), {word.arg: ast.unparse(word.value) for word in call.keywords}
        assert name not in NEVER_CALLED and "shell" not in given, f"line {call.lineno}: {name}"
        assert name in BOUNDED_CALLS or not name.endswith(("extractall", "Image.open")), f"line {call.lineno}: {name}"
        if name in BOUNDED_CALLS:
            word, value = BOUNDED_CALLS[name]
            assert given.get(word) is not None and value in (None, given[word]), f"line {call.lineno}: {name} {word}"


def test_nothing_listens_to_other_machines_by_itself() -> None:
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant):
                assert node.value not in ("0.0.0.0", "::"), f"{relative(path)}, line {node.lineno}"


def run_tool(*command: str) -> None:
    done = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_ruff() -> None:
    run_tool("ruff", "check", ".")


def test_ruff_format() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "ruff", "format", "--check", "."], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout


def test_mypy() -> None:
    run_tool("mypy")


def test_project_speaks_of_itself_alone() -> None:
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if tracked.returncode != 0 or shutil.which("git") is None:
        pytest.skip("not a git checkout")
    machine = re.compile("|".join(("/" + "work/", "/ro" + "ot/", "/" + "tmp/team", r"\bT" + "ODO\b")))
    for name in tracked.stdout.split():
        path = ROOT / name
        if path.suffix in (".py", ".md", ".toml", ".cpp", ".h", ".cu", ".cuh", ".txt", ".html") and path.is_file():
            found = machine.search(path.read_text(encoding="utf-8"))
            assert found is None, f"{name}: {found[0]!r}"


def readme_commands() -> list[str]:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```bash\n(.*?)```", text, flags=re.S)
    return [line.strip() for block in blocks for line in block.splitlines() if line.strip().startswith("unrealperson ")]


def test_readme_commands_parse(capsys: pytest.CaptureFixture[str]) -> None:
    from unrealperson.cli import VERBS, _parse

    commands = readme_commands()
    assert commands
    for command in commands:
        verb, *arguments = command.split("#")[0].split()[1:]
        if verb.startswith("-"):
            continue
        assert verb in VERBS, command
        try:
            _parse(verb, arguments)
        except SystemExit as stop:
            raise AssertionError(f"{command}: {capsys.readouterr().err}") from stop


def test_readme_table_has_every_verb() -> None:
    from unrealperson.cli import VERBS

    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert [name for name in VERBS if f"| `{name}` |" not in text] == []
