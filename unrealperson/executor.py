"""Where the shards of a stage are made, if not by this process: side by side as tasks of a Ray cluster.

A shard is a pure function of its arguments. So it does not matter where, how often and in which order shards are made:
a lost one is made again, and the stage's output is the same.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol, TypeVar

from unrealperson.log import get_logger

_logger = get_logger(__name__)

_RETRIES = 8
"""How often a shard is made again whose worker or node is lost."""

_CONNECT_S = 10.0

Shared = TypeVar("Shared")
Item = TypeVar("Item")
Result = TypeVar("Result")


class Executor(Protocol):
    """Makes the shards of a stage somewhere else."""

    def __call__(
        self, function: Callable[[Shared, Item], Result], shared: Shared, items: Sequence[Item], *, gpu: bool = False
    ) -> Iterator[tuple[int, Result]]:
        """Makes all shards; some may be made twice.

        Args:
            function: of a module that can be imported there; makes a shard of what all have in common and its own.
            shared: what they have in common.
            items: of each shard, what is its own.
            gpu: whether a shard wants a GPU.

        Yields:
            The number of each shard and what was made, in any order.
        """


def in_turn(
    function: Callable[[Shared, Item], Result], shared: Shared, items: Sequence[Item], *, gpu: bool = False
) -> Iterator[tuple[int, Result]]:
    """The executor that makes one shard after the other in this process.

    Args:
        function: see `Executor`.
        shared: see `Executor`.
        items: see `Executor`.
        gpu: see `Executor`.
    """
    for index, item in enumerate(items):
        yield index, function(shared, item)


class RayCluster:
    """Makes shards as tasks of a Ray cluster, in the order in which they are done.

    Each takes one processor, and a GPU where it asks for one and the cluster has any. Every node needs this package,
    and the files that the shards' configuration names under the same paths.

    Args:
        address: host:port of the cluster's head. Empty: RAY_ADDRESS, and without it Ray is started for this one run, on
            loopback and all processors of this machine.

    Raises:
        RuntimeError: no such cluster.
    """

    def __init__(self, address: str = "") -> None:
        import ray

        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        self._ray = ray
        self._address = address or os.environ.get("RAY_ADDRESS", "")
        self._own = not ray.is_initialized()
        if not self._own:
            return
        settings: dict[str, Any] = {"log_to_driver": False, "logging_level": "warning", "include_dashboard": False}
        if self._address:
            settings = settings | {"address": self._address}
            settings.pop("include_dashboard")
        else:
            settings["_node_ip_address"] = "127.0.0.1"
        where = self._address or "this machine"
        host, _, port = self._address.partition(":")
        try:
            if port.isdecimal():
                socket.create_connection((host, int(port)), _CONNECT_S).close()  # Ray itself would try for minutes
            ray.init(**settings)
        except Exception as error:  # Ray raises bare ones, too
            raise RuntimeError(
                f"there is no Ray cluster at {where}: {_first_line(error)}; start one with 'ray start --head' "
                "and give its host:port, or give no address"
            ) from error

    def __call__(
        self, function: Callable[[Shared, Item], Result], shared: Shared, items: Sequence[Item], *, gpu: bool = False
    ) -> Iterator[tuple[int, Result]]:
        """See `Executor`; the first done comes first, and as many wait on the cluster as its processors take up soon.

        Raises:
            RuntimeError: a shard's workers were lost again and again. What the function raises is raised here.
        """
        ray = self._ray
        gpus = 1 if gpu and ray.cluster_resources().get("GPU") else 0
        task = ray.remote(max_retries=_RETRIES, num_cpus=1, num_gpus=gpus)(function)
        everywhere = ray.put(shared)
        queue = iter(enumerate(items))
        running: dict[Any, int] = {}
        try:
            while True:
                wanted = 2 * max(int(ray.cluster_resources().get("CPU", 1)), 1) - len(running)
                for index, item in (pair for _, pair in zip(range(wanted), queue, strict=False)):
                    running[task.remote(everywhere, item)] = index
                if not running:
                    return
                (done, *_), _ = ray.wait(list(running), num_returns=1)
                yield running.pop(done), self._result(done)
        finally:
            for left in running:
                ray.cancel(left)

    def close(self) -> None:
        """Leaves the cluster; a Ray that was started here ends."""
        if self._own:
            self._ray.shutdown()

    def _result(self, done: Any) -> Any:
        try:
            return self._ray.get(done)
        except self._ray.exceptions.RayTaskError as error:
            raise error.cause from None  # without the traceback as text
        except self._ray.exceptions.RayError as error:
            raise RuntimeError(f"a shard's worker was lost {_RETRIES + 1} times: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
