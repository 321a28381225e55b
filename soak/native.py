"""Every native operation with shapes and values that hypothesis makes up, under the sanitizers and the race checker.

Two programs run in turn: the module built with the address and undefined-behaviour sanitizers, and the CUDA kernels'
own source on simulated threads, whose checker finds races, reads of undefined memory and accesses out of bounds. An
operation may refuse an input (ValueError); anything else that it raises, and any report, is a finding. It is saved in
OUT/findings with the command that shows it again.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = 40
"""Of an operation in a row, from one seed."""
PROGRAMS = ("sanitizers", "checker")
MOST_ROWS = {"sanitizers": 70, "checker": 20}

Draw = Callable[[Any], Any]
Put = Callable[[np.ndarray], Any]


class Maker:
    """Draws arrays for one example."""

    def __init__(self, draw: Draw, put: Put, most: int) -> None:
        from hypothesis import strategies as st

        self.st, self.draw, self.put, self.most = st, draw, put, most
        self.rng = np.random.default_rng(draw(st.integers(0, 2**32)))

    def size(self, low: int = 0, high: int | None = None) -> int:
        return self.draw(self.st.integers(low, self.most if high is None else high))

    def one_of(self, *choices: Any) -> Any:
        return self.draw(self.st.sampled_from(choices))

    def floats(self, *shape: int, plain: bool = False) -> Any:
        """Floats of any type and layout; unless `plain`, some that are no ordinary numbers."""
        values = self.rng.standard_normal(shape)
        kind = self.one_of(*["ordinary", "ties", "zeros", "tiny"] * 5, *([] if plain else ["huge", "nan", "inf"]))
        if kind == "ties":
            values = np.rint(values)
        elif kind in ("zeros", "tiny", "huge"):
            values = values * {"zeros": 0.0, "tiny": 1e-42, "huge": 1e38}[kind]
        elif kind in ("nan", "inf") and values.size:
            values.reshape(-1)[self.rng.integers(0, values.size, 2)] = np.nan if kind == "nan" else -np.inf
        return self.put(self.laid_out(values.astype(self.one_of("f4", "f4", "f2", "f8"))))

    def whole(self, low: int, high: int, *shape: int) -> Any:
        """Whole numbers from `low` to `high`, now and then one of them beyond."""
        values = self.rng.integers(low, max(high, low) + 1, shape).astype(self.one_of("i8", "i8", "i4"))
        if values.size and self.rng.random() < 0.05:
            values.reshape(-1)[0] = self.one_of(-2, high + 1, 2**31 - 1)
        return self.put(self.laid_out(values))

    def laid_out(self, x: np.ndarray) -> np.ndarray:
        way = self.one_of(
            "as it is", "as it is", "columns first", "every other", "backwards", "odd address", "read-only"
        )
        if way == "columns first":
            return np.asfortranarray(x)
        if way == "every other" and x.ndim:
            return np.repeat(x, 2, axis=0)[::2]
        if way == "backwards" and x.ndim:
            return x[::-1].copy()[::-1]
        if way == "odd address":
            raw = np.zeros(x.nbytes + 1, np.uint8)
            raw[1:] = np.frombuffer(x.tobytes(), np.uint8)
            return raw[1:].view(x.dtype).reshape(x.shape)
        x = x.copy()
        x.flags.writeable = way != "read-only"
        return x


def sides(make: Maker) -> tuple[Any, Any, int]:
    d = make.one_of(*(1, 2, 3, 7, 8, 15, 16, 17, 33) * 4, 0)
    q, g = make.size(), make.size()
    return make.floats(q, d), make.floats(g, d), g


def distance(make: Maker) -> None:
    from unrealperson import ops

    q, g, rows = sides(make)
    if make.one_of(True, False):
        ops.pairwise_distance(q, g, metric=make.one_of("sqeuclidean", "cosine", "inner_product"))
    else:
        ops.topk(
            q, g, k=make.size(0, rows + 3), metric=make.one_of("sqeuclidean", "cosine", "inner_product"),
            precision=make.one_of(None, None, "int8", "int16"),
        )  # fmt: skip


def prepared(make: Maker) -> None:
    from unrealperson import ops

    q, g, rows = sides(make)
    gallery = ops.prepare(g, precision=make.one_of("int8", "int16"))
    ops.topk(q, gallery, k=make.size(1, rows + 3), metric=make.one_of("sqeuclidean", "cosine", "inner_product"))


def rerank(make: Maker) -> None:
    from unrealperson import ops

    q, g, _ = sides(make)
    k1 = make.size(1, 25)
    if make.one_of(True, False):
        ops.k_reciprocal(q, g, k1=k1, k2=make.size(1, k1 + 1), lambda_=make.one_of(0.0, 0.3, 1.0))
    else:
        ops.jaccard_graph(g, k1=k1, k2=make.size(1, k1 + 1), rule=make.one_of("spcl", "zhong"))


def temporal(make: Maker) -> None:
    from unrealperson import ops

    q, g, rows = sides(make)
    cameras, bins = make.size(1, 5), make.size(1, 9)
    model = ops.TemporalModel(make.rng.random((cameras, cameras, bins)).astype("f4"), make.size(1, 50))
    known = {
        "query_camera": make.whole(-1, cameras - 1, len(q)), "gallery_camera": make.whole(-1, cameras - 1, len(g)),
        "query_frame": make.whole(-1, 500, len(q)), "gallery_frame": make.whole(-1, 500, len(g)),
    }  # fmt: skip
    if make.one_of(True, False):
        ops.joint_similarity((q, g), model, **known)
    else:
        ops.joint_topk((q, g), model, k=make.size(0, rows + 3), **known)


def metrics(make: Maker) -> None:
    from unrealperson import ops

    q, g, _ = sides(make)
    known = {"query_pid": make.whole(-1, 2, len(q)), "gallery_pid": make.whole(-1, 2, len(g))}
    if make.one_of(True, False):
        known |= {"query_camera": make.whole(-1, 2, len(q)), "gallery_camera": make.whole(-1, 2, len(g))}
    limits = {"max_rank": make.size(0, 60), "hits": make.size(0, 12)}
    ops.cmc_map(q, g, metric=make.one_of("sqeuclidean", "cosine"), **known, **limits)


def batch_norm(make: Maker) -> None:
    from unrealperson import ops

    n, channels, cameras = make.size(), make.size(0, 19), make.size(1, 4)
    shape = (n, channels, *([make.size(0, 5)] * make.one_of(0, 1, 2)))
    x, camera = make.floats(*shape), make.whole(0, cameras - 1, n)
    weight, bias = make.floats(channels, plain=True), make.floats(channels, plain=True)
    if make.one_of(True, False):
        y, statistics = ops.normalise_by_camera(x, camera, weight, bias, cameras=cameras, min_images=make.size(1, 3))
        ops.camera_batch_norm_backward(y, x, camera, weight, statistics.mean, statistics.var, statistics.images)
    else:
        tables = make.floats(cameras, channels, plain=True), make.floats(cameras, channels, plain=True)
        ops.normalise_by_tables(x, camera, weight, bias, *tables)


def skin(make: Maker) -> None:
    from unrealperson import ops

    vertices, bones, people = make.size(), make.size(1, 6), make.one_of(None, 1, 2, 3)
    points, normals = (make.rng.standard_normal((vertices, 3)).astype("f4") for _ in range(2))
    index = make.rng.integers(0, bones + (make.rng.random() < 0.05), (vertices, 4)).astype("u1")
    weight = make.rng.random((vertices, 4))
    weight = (weight / weight.sum(1, keepdims=True)).astype("f4")
    poses = make.rng.standard_normal((*([] if people is None else [people]), bones, 3, 4)).astype("f4")
    first = make.size(0, vertices)
    counts = {None: None, 1: [vertices], 2: [first, vertices - first], 3: [0, first, vertices - first]}[people]
    ops.skin(make.laid_out(points), normals, index, make.laid_out(weight), make.laid_out(poses), vertices=counts)


ON_CPU = (distance, prepared, rerank, temporal, metrics, batch_norm, skin)
ON_GPU = (distance, rerank, temporal, batch_norm)


def work(program: str, out: Path, *, seconds: float, seed: int, only: str) -> None:
    """Runs rounds of one program in this process, and writes what it began and ended to a record.

    Args:
        program: of PROGRAMS.
        out: folder of the record.
        seconds: how long.
        seed: of the first round.
        only: name of an operation; "": all in turn.
    """
    from hypothesis import HealthCheck, Phase, given, settings
    from hypothesis import seed as seeded
    from hypothesis import strategies as st

    put: Put = lambda x: x  # noqa: E731
    if program == "checker":
        sys.path.insert(0, str(ROOT / "tests"))
        import simulated

        from unrealperson.ops import _native

        gpu = simulated.SimulatedGpu(simulated.module("checked"))
        _native._module = gpu.native
        sys.modules["cupy"] = gpu.cupy
        put = gpu.array
    rules = settings(
        max_examples=EXAMPLES, deadline=None, database=None, phases=[Phase.generate], print_blob=False,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    chosen = [each for each in (ON_GPU if program == "checker" else ON_CPU) if only in ("", each.__name__)]
    end, number = time.monotonic() + seconds, seed
    with np.errstate(all="ignore"), (out / f"{program}.record").open("a") as record:
        while time.monotonic() < end:
            operation = chosen[number % len(chosen)]
            counts = {"tried": 0, "refused": 0}

            example = _example(operation, put, MOST_ROWS[program], counts)
            if program == "checker":
                gpu.native.use_schedule(("forward", "reverse", "random")[number % 3], number)
            record.write(json.dumps({"begins": operation.__name__, "seed": number}) + "\n")
            record.flush()
            seeded(number)(rules(given(data=st.data())(example)))()
            record.write(json.dumps({"operation": operation.__name__, "seed": number, **counts}) + "\n")
            record.flush()
            number += 1


def _example(operation: Callable[[Maker], None], put: Put, most: int, counts: dict[str, int]) -> Callable[..., None]:
    def example(data: Any) -> None:
        counts["tried"] += 1
        try:
            operation(Maker(data.draw, put, most))
        except ValueError as error:
            if type(error) is not ValueError:
                raise
            counts["refused"] += 1

    return example


def environment(program: str, out: Path) -> dict[str, str]:
    """Builds what a program needs, where sources are newer, and says how to run it."""
    if program == "checker":
        return {"PYTHONPATH": str(ROOT)}
    sys.path.insert(0, str(ROOT / "tests"))
    from checkout import copy_checkout

    copy = out / "sanitized"
    newest = max(path.stat().st_mtime for path in (ROOT / "csrc").rglob("*") if path.is_file())
    built = next(copy.glob("unrealperson/ops/_C*.so"), None)
    if built is None or built.stat().st_mtime < newest:
        subprocess.run(["rm", "-rf", str(copy)], check=True)
        copy_checkout(copy)
        flags = os.environ | {"UP_CUDA": "off", "UP_SANITIZE": "address,undefined"}
        subprocess.run([sys.executable, "setup.py", "-q", "build_ext", "--inplace"], cwd=copy, env=flags, check=True)
    compiler = os.environ.get("CXX", "c++")
    libraries = [
        subprocess.run(
            [compiler, f"-print-file-name={name}"], capture_output=True, text=True, check=True
        ).stdout.strip()
        for name in ("libasan.so", "libubsan.so")
    ]
    return {
        "PYTHONPATH": str(copy), "LD_PRELOAD": " ".join(libraries),
        "ASAN_OPTIONS": f"detect_leaks=0:allocator_may_return_null=1:log_path={out}/report",
        "UBSAN_OPTIONS": f"halt_on_error=1:print_stacktrace=1:log_path={out}/report",
    }  # fmt: skip


def run(program: str, out: Path, *, minutes: float, seed: int) -> dict[str, Any]:
    """Runs one program until its time is over; after a finding it goes on with the next seed.

    Args:
        program: of PROGRAMS.
        out: folder.
        minutes: how long.
        seed: of the first round.

    Returns:
        Examples of each operation, how many of them were refused, and the findings.
    """
    more = environment(program, out)
    record, findings = out / f"{program}.record", out / "findings"
    findings.mkdir(parents=True, exist_ok=True)
    record.unlink(missing_ok=True)
    end, found, examples, refused = time.monotonic() + 60 * minutes, [], dict[str, int](), 0
    while (left := end - time.monotonic()) > 1 and len(found) < 10:
        record.unlink(missing_ok=True)
        command = [sys.executable, __file__, "--out", str(out), "--inside", program, "--seed", str(seed)]
        done = subprocess.run(
            [*command, "--minutes", str(left / 60)], env=os.environ | more | {"OMP_NUM_THREADS": "2"},
            capture_output=True, text=True, errors="replace",
        )  # fmt: skip
        lines = [json.loads(line) for line in record.read_text().splitlines()] if record.is_file() else []
        for line in (line for line in lines if "tried" in line):
            examples[line["operation"]] = examples.get(line["operation"], 0) + line["tried"]
            refused += line["refused"]
        reports = sorted(out.glob("report.*"))
        if done.returncode == 0 and not reports:
            break
        if not lines:
            raise RuntimeError(f"{program} did not start:\n{done.stderr[-3000:]}")
        last = next(line for line in reversed(lines) if "begins" in line)
        name = f"{program}-{last['begins']}-{last['seed']}.txt"
        shown = f"python soak/native.py --out {out} --show {program} {last['begins']} {last['seed']}"
        told = "\n".join(path.read_text() for path in reports)[:6000]
        (findings / name).write_text(f"{shown}\n\n{told}\n{done.stderr[-6000:]}")
        for path in reports:
            path.unlink()
        found.append(name)
        seed = last["seed"] + 1
    total = sum(examples.values())
    return {"program": program, "minutes": round(minutes, 1), "seed": seed, "examples": total, "refused": refused,
            "of": examples, "findings": found}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of builds, findings and results.jsonl")
    parser.add_argument("--minutes", type=float, default=30, help="in total, half of it for each program")
    parser.add_argument("--program", nargs="+", choices=PROGRAMS, default=PROGRAMS, help="only these")
    parser.add_argument("--seed", type=int, help="of the first round; by default 1,000 for each run so far")
    parser.add_argument("--show", nargs=3, metavar=("PROGRAM", "OPERATION", "SEED"), help="one round again, and end")
    parser.add_argument("--inside", help=argparse.SUPPRESS)
    parser.add_argument("--only", default="", help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.out = options.out.resolve()
    if options.inside:
        work(options.inside, options.out, seconds=60 * options.minutes, seed=options.seed, only=options.only)
        return
    options.out.mkdir(parents=True, exist_ok=True)
    if options.show:
        program, operation, seed = options.show
        command = [sys.executable, __file__, "--out", str(options.out), "--inside", program, "--seed", seed]
        again = os.environ | environment(program, options.out)
        sys.exit(subprocess.run([*command, "--only", operation, "--minutes", "0.0001"], env=again).returncode)
    results = options.out / "results.jsonl"
    rows = [json.loads(line) for line in results.read_text().splitlines()] if results.is_file() else []
    for program in options.program:
        print(f"{program}: {options.minutes / len(options.program):.0f} minutes", file=sys.stderr)
        first = 1000 * len(rows) if options.seed is None else options.seed
        row = run(program, options.out, minutes=options.minutes / len(options.program), seed=first)
        rows.append(row)
        with results.open("a") as stream:
            stream.write(json.dumps(row) + "\n")
        for name in row["findings"]:
            print(f"  found {options.out / 'findings' / name}", file=sys.stderr)
    print("| program | runs | minutes | examples | refused | findings |\n|---|---|---|---|---|---|")
    for program in dict.fromkeys(row["program"] for row in rows):
        own = [row for row in rows if row["program"] == program]
        total = {name: sum(row[name] for row in own) for name in ("minutes", "examples", "refused")}
        print(f"| {program} | {len(own)} | {total['minutes']:.0f} | {total['examples']:,} | {total['refused']:,} "
              f"| {sum(len(row['findings']) for row in own)} |")  # fmt: skip


if __name__ == "__main__":
    main()
