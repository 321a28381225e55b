"""Figures of a running server, in Prometheus' text format."""

from __future__ import annotations

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_SIZES = (1, 2, 4, 8, 16, 32, 64)


class Metrics:
    """What one server counts, in a registry of its own, so that several fit into a process.

    Attributes:
        inside: gauge of searches and additions that are being answered.
        images: gauge of the gallery's images.
        revision: gauge of the gallery's revision.
    """

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        self._requests = Counter(
            "unrealperson_requests", "Requests answered.", ("method", "route", "status"), registry=self._registry
        )
        self._seconds = Histogram(
            "unrealperson_request_seconds", "From a request's head to its answer's end.", ("route",), buckets=_SECONDS,
            registry=self._registry,
        )  # fmt: skip
        self._received = Counter("unrealperson_received_bytes", "Of request bodies.", registry=self._registry)
        self._batch = Histogram(
            "unrealperson_batch_items", "Items worked on together.", ("stage",), buckets=_SIZES,
            registry=self._registry,
        )  # fmt: skip
        self._work = Histogram(
            "unrealperson_batch_seconds", "From handing a batch to a stage to its results.", ("stage",),
            buckets=_SECONDS, registry=self._registry,
        )  # fmt: skip
        self.inside = Gauge(
            "unrealperson_requests_inside", "Searches and additions that are being answered.", registry=self._registry
        )
        self.images = Gauge("unrealperson_gallery_images", "Images in the gallery.", registry=self._registry)
        self.revision = Gauge("unrealperson_gallery_revision", "Changes of the gallery.", registry=self._registry)

    def answered(self, method: str, route: str, status: int, *, seconds: float, received: int) -> None:
        """Counts a request.

        Args:
            method: GET, POST, HEAD or "other".
            route: path template, "other" where there is none.
            status: of the answer.
            seconds: it took.
            received: bytes of its body.
        """
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)
        self._received.inc(received)

    def batch_done(self, stage: str, size: int, seconds: float) -> None:
        """Counts a batch.

        Args:
            stage: encode, search or write.
            size: items in it.
            seconds: it took.
        """
        self._batch.labels(stage).observe(size)
        self._work.labels(stage).observe(seconds)

    def text(self) -> bytes:
        """All figures, as Prometheus reads them."""
        return generate_latest(self._registry)
