"""Coverage-guided fuzzing of what takes bytes from others: the simulator's port, the HTTP service, readers of files.

Atheris (libFuzzer) mutates inputs and keeps those that reach new code. Kept inputs stay in OUT/corpus and are where the
next run goes on. A finding is an exception that is not documented, an answer 500, a hang, too much memory, or the end
of the process; it is saved in OUT/findings with what it raised and the command that shows it again.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "unrealperson"
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
COMPILED = ("data.masks", "data.pixels", "synth.crowd", "synth.renderer", "synth.silhouettes", "synth.people.patches",
            "synth.people.detail")  # fmt: skip
"""Modules that numba compiles, which instrumented code would keep from it."""
HANG_S, MEMORY_MB, LONGEST_BYTES = 20, 2500, 1 << 16
MOST_DEATHS = 5
"""A target that dies, hangs or eats memory so often is left alone until that is mended."""


def fuzz(target: str, out: Path, arguments: list[str]) -> None:
    """Attacks one target in this process, until libFuzzer ends it.

    Args:
        target: name in TARGETS.
        out: folder of corpus and findings.
        arguments: libFuzzer's.
    """
    try:
        import atheris
    except ImportError:
        sys.exit("the attack needs atheris: pip install 'unrealperson[fuzz]'")
    logging.disable()
    folder = Path(tempfile.mkdtemp(prefix="attack-", dir="/dev/shm" if os.path.isdir("/dev/shm") else None))
    excluded = [f"{PACKAGE}.{name}" for name in COMPILED]
    with atheris.instrument_imports(include=[PACKAGE], exclude=excluded):
        from targets import DOCUMENTED, TARGETS

        seeds, attack = TARGETS[target](folder)
    corpus = out / "corpus" / target
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(seeds):
        (corpus / f"seed-{number:02d}").write_bytes(seed)
    known: set[str] = set()

    def one(data: bytes) -> None:
        try:
            attack(data)
        except Exception as error:
            if type(error) not in DOCUMENTED:
                _record(out / "findings", target, data, error, known)

    atheris.Setup([sys.argv[0], *arguments, str(corpus)], one)
    atheris.Fuzz()


def show(target: str, inputs: list[Path]) -> None:
    """Attacks a target with saved inputs, without atheris; what they raise is not caught.

    Args:
        target: name in TARGETS.
        inputs: files.
    """
    from targets import DOCUMENTED, TARGETS

    with tempfile.TemporaryDirectory(prefix="attack-") as folder:
        _, attack = TARGETS[target](Path(folder))
        for path in inputs:
            start, told = time.process_time(), "taken"
            try:
                attack(path.read_bytes())
            except DOCUMENTED as error:
                if type(error) not in DOCUMENTED:
                    raise
                told = f"{type(error).__name__}: {error}"
            peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
            print(f"{path.name}: {told[:200]} ({time.process_time() - start:.2f} CPU-s, peak {peak_mb:.0f} MB)")


def _record(folder: Path, target: str, data: bytes, error: Exception, known: set[str]) -> None:
    """Saves the first input for each place that raises."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if f"/{PACKAGE}/" in frame.filename]
    place = f"{Path(frames[-1].filename).stem}-{frames[-1].name}" if frames else "outside"
    key = f"{target}-{type(error).__name__}-{re.sub(r'[^a-zA-Z0-9_]', '', place)}"
    if key in known:
        return
    known.add(key)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / key).write_bytes(data)
    told = "".join(traceback.format_exception(error))[-4000:]
    (folder / f"{key}.txt").write_text(f"python soak/attack.py --show {target} {folder / key}\n\n{told}")


def run(target: str, out: Path, *, seconds: float, seed: int) -> dict[str, Any]:
    """Attacks one target in processes of its own; one that dies is started again.

    Args:
        target: name in TARGETS.
        out: folder of corpus and findings.
        seconds: how long.
        seed: of libFuzzer's choices.

    Returns:
        Figures of this run.
    """
    findings = out / "findings"
    findings.mkdir(parents=True, exist_ok=True)
    before = set(findings.iterdir())
    end, executions, edges, features, deaths = time.monotonic() + seconds, 0, 0, 0, 0
    cpu = _children_cpu()
    while (left := end - time.monotonic()) > 3 and deaths < MOST_DEATHS:
        options = {
            "max_total_time": int(left), "timeout": HANG_S, "rss_limit_mb": MEMORY_MB, "max_len": LONGEST_BYTES,
            "seed": seed + deaths, "report_slow_units": HANG_S, "artifact_prefix": f"{findings}/{target}-",
            "print_final_stats": 1, "len_control": 20,
        }  # fmt: skip
        command = [sys.executable, __file__, "--out", str(out), "--inside", target]
        command += [f"-{name}={value}" for name, value in options.items()]
        # Standard error of libFuzzer is kept whole where the process died of something.
        done = subprocess.run(command, cwd=ROOT, env=_environment(), capture_output=True, text=True, errors="replace")
        told = done.stderr
        executions += max((int(number) for number in re.findall(r"^#(\d+)", told, re.M)), default=0)
        edges = max((int(number) for number in re.findall(r"cov: (\d+)", told)), default=edges)
        features = max((int(number) for number in re.findall(r" ft: (\d+)", told)), default=features)
        if done.returncode != 0:
            deaths += 1
            (findings / f"{target}-death-{int(time.time())}.txt").write_text(f"{' '.join(command)}\n\n{told[-6000:]}")
    found = {path.name for path in set(findings.iterdir()) - before if path.suffix != ".txt"}
    return {
        "target": target, "seed": seed, "seconds": round(seconds), "cpu_s": round(_children_cpu() - cpu),
        "inputs": executions, "edges": edges, "features": features,
        "corpus": sum(1 for _ in (out / "corpus" / target).glob("*")), "deaths": deaths,
        "findings": sorted(found),
    }  # fmt: skip


def table(rows: list[dict[str, Any]]) -> str:
    """All runs so far, summed by target.

    Args:
        rows: of results.jsonl.
    """
    lines = [
        "| target | runs | minutes | inputs | edges reached | inputs kept | findings |",
        "|---|---|---|---|---|---|---|",
    ]
    for target in dict.fromkeys(row["target"] for row in rows):
        own = [row for row in rows if row["target"] == target]
        found = {name for row in own for name in row["findings"]}
        lines.append(
            f"| {target} | {len(own)} | {sum(row['seconds'] for row in own) / 60:.1f} "
            f"| {sum(row['inputs'] for row in own):,} | {max(row['edges'] for row in own)} | {own[-1]['corpus']} "
            f"| {len(found) + sum(row['deaths'] for row in own)} |"
        )
    minutes, inputs = sum(row["seconds"] for row in rows) / 60, sum(row["inputs"] for row in rows)
    return "\n".join([*lines, f"{minutes:.0f} minutes, {inputs:,} inputs in all"])


def _environment() -> dict[str, str]:
    root = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    return os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": root.rstrip(os.pathsep)}


def _children_cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    from targets import TARGETS

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of corpus, findings and results.jsonl")
    parser.add_argument("--minutes", type=float, default=60, help="in total, shared among the targets")
    parser.add_argument(
        "--target", nargs="+", choices=[*TARGETS], default=[*TARGETS], help="only these; all by default"
    )
    parser.add_argument("--seed", type=int, help="of the first choice; by default the number of runs so far")
    parser.add_argument("--show", nargs=2, metavar=("TARGET", "FILE"), help="attack with one saved input, and end")
    parser.add_argument("--inside", metavar="TARGET", help=argparse.SUPPRESS)
    options, rest = parser.parse_known_args()
    if options.inside:
        fuzz(options.inside, options.out, rest)
        return
    if rest:
        parser.error(f"unknown arguments: {' '.join(rest)}")
    if options.show:
        show(options.show[0], [Path(options.show[1])])
        return
    options.out.mkdir(parents=True, exist_ok=True)
    results = options.out / "results.jsonl"
    rows = [json.loads(line) for line in results.read_text().splitlines()] if results.is_file() else []
    seed = len(rows) + 1 if options.seed is None else options.seed
    for number, target in enumerate(options.target):
        left = options.minutes * (1 - number / len(options.target))
        print(f"{target}: {number + 1} of {len(options.target)}, {left:.0f} minutes left", file=sys.stderr)
        row = run(target, options.out, seconds=60 * options.minutes / len(options.target), seed=seed + number)
        rows.append(row)
        with results.open("a") as stream:
            stream.write(json.dumps(row) + "\n")
        for name in row["findings"]:
            print(f"  found {options.out / 'findings' / name}", file=sys.stderr)
    print(table(rows))


if __name__ == "__main__":
    main()
