"""The simulator of CUDA and its checker: each planted mistake is named, its correct twin passes in every schedule."""

from __future__ import annotations

import numpy as np
import pytest
import simulated

BLOCKS = 2
WHERE = r"block \(\d, 0, 0\) thread \(\d+, 0, 0\) at planted\.cuh:\d+"
RACE = f"(read|write) by {WHERE}, not ordered after the (read|write) by {WHERE}"
CHECKED = {
    "missing_barrier": f"block race on shared memory: {RACE}",
    "missing_barrier_before_reuse": f"block race on shared memory: {RACE}",
    "missing_syncwarp": f"warp race on shared memory: {RACE}",
    "missing_syncwarp_before_write": f"warp race on shared memory: {RACE}",
    "shuffle_for_order": f"warp race on shared memory: {RACE}",
    "order_beyond_the_mask": f"warp race on shared memory: {RACE}",
    "shared_byte": f"warp race on shared memory: {RACE}",
    "grid_race": rf"grid race on out \+ 0 bytes: {RACE}",
    "plain_counter": rf"(warp|block|grid) race on out \+ 0 bytes: {RACE}",
    "missing_fence": rf"grid race on out \+ \d+ bytes: {RACE}",
    "unwritten_static": f"uninitialised read of shared memory by {WHERE}",
    "unwritten_dynamic": f"uninitialised read of shared memory by {WHERE}",
    "unwritten_output": rf"uninitialised read of out \+ \d+ bytes by {WHERE}",
    "write_beyond": f"out of bounds: write of 4 bytes at byte 520 of out, which has 516, by {WHERE}",
    "read_before": f"out of bounds: read of 4 bytes at byte -4 of out, which has 516, by {WHERE}",
    "beyond_dynamic": f"out of bounds: write of 4 bytes .* by {WHERE}",
    "large_static": "a block uses more than 48 KiB of static shared memory",
    "long_shift": f"shift by more bits than there are: {WHERE}",
}
SCHEDULED = {
    "divergent_barrier": f"divergent barrier: {WHERE}, {WHERE}",
    "early_exit": r"early exit: block .* ended while others wait at the barrier of planted\.cuh:\d+",
    "mask_of_absent_lanes": r"bad mask: .* waits for .*, which has ended|ended while lanes of its warp wait for it",
    "mask_without_self": r"bad mask: .* thread \((0|32), 0, 0\) is not in the mask it passes at planted\.cuh:\d+",
    "divergent_shuffle": r"divergent warp: .* at planted\.cuh:\d+ while lanes that share its mask wait at planted",
    "deadlock": r"deadlock: .* waits at the (barrier|warp's meeting) of planted\.cuh:\d+; .* waits at",
    "beyond_static": f"out of bounds of an array: {WHERE}",
    "misaligned_vector": f"misaligned access: {WHERE}",
}
SEEN_AS_NAN = ("unwritten_static", "unwritten_dynamic", "inactive_source")
TWINS = {**CHECKED, **SCHEDULED, "inactive_source": ""}


def run(kind: str, name: str, schedule: str, *, broken: bool, blocks: int = BLOCKS, seed: int = 1) -> np.ndarray:
    native = simulated.module(kind)
    native.use_schedule(schedule, seed)
    cupy = simulated.cupy(native)
    make = cupy.empty if name == "unwritten_output" else cupy.zeros
    out = make(blocks * 64 + 1, np.float32)
    native.run_planted(name, broken, blocks, out)
    return out.get()[: blocks * 64]


@pytest.mark.parametrize("schedule", simulated.SCHEDULES)
@pytest.mark.parametrize("name", [*CHECKED, *SCHEDULED])
def test_the_checker_names_each_mistake_in_every_schedule(name, schedule):
    with pytest.raises(RuntimeError, match=rf"^{name}: .*({(CHECKED | SCHEDULED)[name]})"):
        run("checked", name, schedule, broken=True)


@pytest.mark.parametrize("schedule", simulated.SCHEDULES)
@pytest.mark.parametrize("name", SCHEDULED)
def test_the_scheduler_alone_names_what_breaks_its_rules(name, schedule):
    with pytest.raises(RuntimeError, match=rf"^{name}: .*({SCHEDULED[name]})"):
        run("plain", name, schedule, broken=True)


@pytest.mark.parametrize("schedule", simulated.SCHEDULES)
@pytest.mark.parametrize("kind", ["plain", "checked"])
@pytest.mark.parametrize("name", TWINS)
def test_correct_twins_pass_with_one_result(name, kind, schedule):
    found = run(kind, name, schedule, broken=False)
    assert np.isfinite(found).all() and (found > 0).any()
    if name != "missing_fence":  # whose sum the last block leaves
        np.testing.assert_array_equal(found, run(kind, name, "forward", broken=False))


@pytest.mark.parametrize("schedule", simulated.SCHEDULES)
@pytest.mark.parametrize("name", SEEN_AS_NAN)
def test_what_nothing_wrote_reads_as_nan(name, schedule):
    assert np.isnan(run("plain", name, schedule, broken=True)).any()


def test_a_missing_barrier_shows_in_a_schedule_even_without_the_checker():
    results = [run("plain", "missing_barrier", schedule, broken=True) for schedule in simulated.SCHEDULES]
    assert any((found != 1).any() for found in results)


def test_a_seed_repeats_a_schedule_and_another_gives_another():
    first, again, other = (run("plain", "missing_barrier", "random", broken=True, seed=seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other, equal_nan=True)


def test_a_kernel_runs_after_another_has_failed():
    for kind in ("plain", "checked"):
        with pytest.raises(RuntimeError, match="divergent barrier"):
            run(kind, "divergent_barrier", "forward", broken=True)
        assert (run(kind, "divergent_barrier", "forward", broken=False) == 1).all()


LIMITS = [
    ((1, 1, 1), (1025, 1, 1), 0, 0, "a block has 1 to 1,024 threads, got 1025"),
    ((1, 1, 1), (1, 1, 65), 0, 0, "a block has 1 to 1,024 threads"),
    ((0, 1, 1), (32, 1, 1), 0, 0, "a grid has 1 to 2,147,483,647"),
    ((1, 65536, 1), (32, 1, 1), 0, 0, "got 1 x 65536 x 1"),
    ((1, 1, 1), (32, 1, 1), 49153, 49152, "49153 bytes of dynamic shared memory where the kernel may have 49152"),
    ((1, 1, 1), (32, 1, 1), 0, 227 * 1024 + 1, "cudaFuncSetAttribute refuses"),
    ((2, 3, 4), (8, 4, 2), 227 * 1024, 227 * 1024, None),
]


@pytest.mark.parametrize(("blocks", "threads", "shared_bytes", "allowed", "message"), LIMITS)
def test_limits_of_a_device_hold(blocks, threads, shared_bytes, allowed, message):
    native = simulated.module("plain")
    if message is None:
        before = native.simulation()
        native.run_empty(blocks, threads, shared_bytes, allowed)
        assert native.simulation()["threads"] - before["threads"] == 24 * 64
    else:
        with pytest.raises(RuntimeError, match=message):
            native.run_empty(blocks, threads, shared_bytes, allowed)


def test_arrays_of_the_simulated_gpu_stay_out_of_numpy_and_the_host_ops():
    native = simulated.module("plain")
    array = simulated.cupy(native).zeros((3, 4), np.float32)
    for misuse in (lambda: np.asarray(array), lambda: memoryview(array), lambda: np.zeros(4, np.float32) + array):
        with pytest.raises(TypeError):
            misuse()
    with pytest.raises(ValueError, match="x must lie in host memory"):
        native.row_norms(array, np.empty(3, np.float32), 0)
    with pytest.raises(ValueError, match="x must lie in GPU memory"):
        native.cuda_row_norms(np.zeros((3, 4), np.float32), array, array, 0, 0)


def test_empty_memory_is_poison_to_reads_and_its_slices_are_views():
    cupy = simulated.cupy(simulated.module("plain"))
    assert np.isnan(cupy.empty((2, 3), np.float32).get()).all()
    array = cupy.zeros((4, 4), np.int32)
    array[1:3][:, 2] = cupy.arange(2, dtype=np.int32) + 5
    assert array.get()[:, 2].tolist() == [0, 5, 6, 0] and array.data.ptr % 256 == 0
