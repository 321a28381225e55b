"""The operations on a CUDA device: each against torch on the same device and against the floor that the device sets.

Every contender is queued many times over and waited for once, so launches count and the host's wait does not. The
floor is a peer too: a copy of as many bytes as have to move, or the product alone, of the same precision (float32
without TF32). Skipped where there is no device.

Run: make bench
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
import torch
from bench_cbn import forward_backward, mask_loop
from bench_train import STEP_GOAL, training_step
from torch import Tensor

from unrealperson import ops
from unrealperson.distributed import Team

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not ops.build_info()["cuda_devices"], reason="no CUDA device"),
]
MARKET, MSMT17 = (3368, 15_913), (11_659, 82_161)
CBN_SHAPES = {
    "64x64x64x32, 8 cameras": (64, 64, 64, 32, 8),
    "64x256x64x32, 8 cameras": (64, 256, 64, 32, 8),
    "64x2048x16x8, 8 cameras": (64, 2048, 16, 8, 8),
    "256x256x64x32, 15 cameras": (256, 256, 64, 32, 15),
}
CBN_KINDS = {
    "float32": (torch.float32, torch.contiguous_format),
    "bfloat16, channels last": (torch.bfloat16, torch.channels_last),
}


@pytest.fixture(autouse=True)
def exact_products() -> Iterator[None]:
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = False
    yield
    torch.backends.cuda.matmul.allow_tf32 = before
    torch.cuda.empty_cache()


def queued(contender: Callable[[], Any], times: int) -> Callable[[], None]:
    """So many runs of it, waited for at the end."""

    def run() -> None:
        for _ in range(times):
            contender()
        torch.cuda.synchronize()

    return run


def run_race(
    race: Any, ours: Callable[[], Any], peers: dict[str, Callable[[], Any]], *, times: int = 1, **options: Any
) -> None:
    for name in ("flop", "traffic"):
        options[name] = times * options.get(name, 0)
    race(queued(ours, times), {name: queued(peer, times) for name, peer in peers.items()}, rounds=5, **options)


def copy_of(nbytes: int) -> Callable[[], Any]:
    """Moves so many bytes, reads and writes counted."""
    source, target = (torch.ones(nbytes // 2, dtype=torch.uint8, device="cuda") for _ in range(2))
    return lambda: target.copy_(source)


def unit(n: int, d: int, seed: int) -> Tensor:
    """Rows of 750 people: each a direction of its own, and as much again that differs from image to image."""
    generator = torch.Generator("cuda").manual_seed(seed)
    people = torch.randn(750, d, device="cuda", generator=torch.Generator("cuda").manual_seed(99))
    x = people[torch.randint(750, (n,), device="cuda", generator=generator)]
    x = x + 0.8 * torch.randn(n, d, device="cuda", generator=generator)
    return x / x.norm(dim=1, keepdim=True)


@pytest.mark.parametrize("kind", CBN_KINDS)
@pytest.mark.parametrize("shape", CBN_SHAPES)
def bench_cuda_camera_batch_norm(race, shape, kind):
    *size, cameras = CBN_SHAPES[shape]
    dtype, layout = CBN_KINDS[kind]
    x, grad = (torch.randn(size, device="cuda").to(dtype).to(memory_format=layout) for _ in range(2))
    x.requires_grad_()
    camera = torch.arange(size[0], device="cuda")[torch.randperm(size[0], device="cuda")] % cameras
    terms = (
        torch.ones(size[1], device="cuda", requires_grad=True),
        torch.zeros(size[1], device="cuda", requires_grad=True),
    )
    tables = torch.zeros(cameras, size[1], device="cuda"), torch.ones(cameras, size[1], device="cuda")
    plain = torch.nn.BatchNorm2d(size[1]).cuda()
    traffic = 5 * x.numel() * x.element_size()
    run_race(
        race,
        forward_backward(lambda x: ops.camera_batch_norm(x, camera, *terms, *tables, training=True).y, x, grad),
        {
            "BatchNorm2d (cuDNN)": forward_backward(plain, x, grad),
            "mask loop": forward_backward(mask_loop(camera, *terms), x, grad),
            "copy of the same bytes": copy_of(traffic),
        },
        times=50,
        traffic=traffic,
    )


@pytest.mark.parametrize("images", [64, 256])
def bench_cuda_training_step(race, images):
    """ResNet-50 at 256 x 128 in bfloat16."""
    step = partial(
        training_step, images=images, height=256, width=128, team=Team(0, 1, torch.device("cuda")), classes=3000,
        cameras=34, backbone="resnet50", weights="none", precision="bfloat16",
    )  # fmt: skip
    goals = {"plain batch norm": STEP_GOAL}
    run_race(race, step("cbn"), {"plain batch norm": step("bn")}, times=10, goals=goals)


def torch_topk(q: Tensor, g: Tensor, k: int, rows: int = 2**31 // 4) -> Tensor:
    """As many rows at once as 2 GiB of distances allow."""
    lengths = (g * g).sum(1)[None]
    blocks = q.split(max(1, rows // len(g)))
    return torch.cat([torch.addmm(lengths, block, g.T, alpha=-2).topk(k, largest=False).indices for block in blocks])


TOPK = {
    "1 query, 1,000,000 x 512": (1, 1_000_000, 512, 10, 50),
    "256 queries, 1,000,000 x 512": (256, 1_000_000, 512, 10, 3),
    "Market-1501 against itself, k 21": (sum(MARKET), sum(MARKET), 2048, 21, 1),
}


@pytest.mark.parametrize("size", TOPK)
def bench_cuda_topk(race, size):
    queries, rows, d, k, times = TOPK[size]
    g = unit(rows, d, 2)
    q = g if queries == rows else unit(queries, d, 1)
    found, expected = ops.topk(q, g, k=k, metric="sqeuclidean").indices, torch_topk(q, g, k)
    assert (found == expected).float().mean() > 0.99  # but for roundings that tie
    peers = {"torch product + topk": lambda: torch_topk(q, g, k), "the product alone": lambda: torch_product(q, g)}
    if queries == 1:
        peers["copy of the same bytes"] = copy_of(4 * g.numel())
    run_race(
        race, lambda: ops.topk(q, g, k=k, metric="sqeuclidean"), peers, times=times, flop=2.0 * queries * g.numel(),
        traffic=4 * g.numel(),
    )  # fmt: skip


def torch_product(q: Tensor, g: Tensor) -> None:
    for block in q.split(max(1, 2**29 // len(g))):
        block @ g.T


def bench_cuda_pairwise_distance(race):
    q, g = unit(MARKET[0], 2048, 1), unit(MARKET[1], 2048, 2)
    run_race(
        race,
        lambda: ops.pairwise_distance(q, g),
        {"torch.cdist": lambda: torch.cdist(q, g), "the product alone": lambda: q @ g.T},
        times=3,
        flop=2.0 * len(q) * g.numel(),
    )


def torch_k_reciprocal(q: Tensor, g: Tensor, k1: int = 20, k2: int = 6, lambda_: float = 0.3) -> Tensor:
    """The formulas by dense matrices on the device, all rows with all."""
    x = torch.cat([q, g])
    norm2 = (x * x).sum(1)
    original = torch.addmm(norm2[None] + norm2[:, None], x, x.T, alpha=-2).clamp_(min=0)
    original /= original.amax(1, keepdim=True)
    rank = original.topk(k1 + 1, largest=False).indices

    def reciprocal(k: int) -> Tensor:
        near = torch.zeros_like(original, dtype=torch.bool).scatter_(1, rank[:, :k], True)
        return near & near.T

    full, half = reciprocal(k1 + 1), reciprocal(round(k1 / 2) + 1)
    common = full.half() @ half.half().T
    taken = full & (3 * common > 2 * half.sum(1)[None])
    weight = ((taken.half() @ half.half() > 0) | full) * torch.exp(-original)
    weight /= weight.sum(1, keepdim=True)
    weight = torch.stack([weight[near].mean(0) for near in rank[:, :k2]])
    result = torch.empty(len(q), len(x), device=x.device)
    for row in range(len(q)):
        columns = weight[row].nonzero()[:, 0]
        result[row] = torch.minimum(weight[row, columns], weight[:, columns]).sum(1)
    return ((1 - lambda_) * (1 - result / (2 - result)) + lambda_ * original[: len(q)])[:, len(q) :]


def bench_cuda_k_reciprocal_market(race):
    x = unit(sum(MARKET), 2048, 1)
    q, g = x[: MARKET[0]], x[MARKET[0] :]
    # A rounding decides which of two equally far rows is the last neighbour, and so a few pairs in a million.
    assert ((ops.k_reciprocal(q, g) - torch_k_reciprocal(q, g)).abs() < 1e-4).float().mean() > 1 - 1e-5
    run_race(
        race,
        lambda: ops.k_reciprocal(q, g),
        {"torch, dense": lambda: torch_k_reciprocal(q, g), "the product alone": lambda: torch_product(x, x)},
        flop=2.0 * len(x) * x.numel(),
    )


def bench_cuda_k_reciprocal_msmt17(race):
    """93,820 rows: all with all would be 35 GB."""
    x = unit(sum(MSMT17), 2048, 1)
    q, g = x[: MSMT17[0]], x[MSMT17[0] :]
    run_race(
        race, lambda: ops.k_reciprocal(q, g), {"the product alone": lambda: torch_product(x, x)},
        flop=2.0 * len(x) * x.numel(),
    )  # fmt: skip


@pytest.mark.parametrize("rows", [12_936, 32_621])
def bench_cuda_jaccard_graph(race, rows):
    x = unit(rows, 2048, 1)
    run_race(
        race, lambda: ops.jaccard_graph(x), {"the product alone": lambda: torch_product(x, x)},
        flop=2.0 * len(x) * x.numel(),
    )  # fmt: skip


def bench_cuda_joint_similarity(race):
    import bench_temporal as temporal

    known, sides = temporal.model(), temporal.seen(temporal.QUERIES)
    similarity = torch.rand(temporal.QUERIES, temporal.GALLERY, device="cuda")
    placed = {name: torch.from_numpy(values).cuda() for name, values in sides.items()}
    table, out = torch.from_numpy(known.probability).cuda(), torch.empty_like(similarity)
    run_race(
        race,
        lambda: ops.joint_similarity(similarity, known, out=out, **placed),
        {
            "torch": lambda: temporal.torch_statement(similarity, table, placed, out),
            "copy of the same bytes": copy_of(8 * similarity.numel()),
        },
        times=10,
        traffic=8 * similarity.numel(),
    )
