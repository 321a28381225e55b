"""Configuration section [serve]: the search server."""

from __future__ import annotations

from dataclasses import dataclass

from unrealperson.config.check import require
from unrealperson.config.search import Device


@dataclass(frozen=True, kw_only=True)
class ServeConfig:
    """The search server: where it listens, what it accepts, how it batches."""

    host: str = "127.0.0.1"
    """Address to listen on. One that other machines reach needs a token."""
    port: int = 8000
    """TCP port; 0 takes a free one."""
    token_file: str = ""
    """File whose first line every request must bring as 'Authorization: Bearer TOKEN'; empty: the environment variable
    UNREALPERSON_TOKEN, and without that no token."""
    hosts: tuple[str, ...] = ()
    """Further names under which browsers may call a server without a token, such as a proxy's."""
    changes: bool = True
    """Whether clients may add and remove images."""
    max_hits: int = 200
    """Most hits that a client may ask for."""
    max_upload_mb: float = 10.0
    """Largest request body, 10^6 bytes."""
    max_megapixels: float = 20.0
    """Largest image, 10^6 pixels; larger ones are refused before they are decoded."""
    max_images: int = 32
    """Most images of one request that adds."""
    upload_timeout_s: float = 30.0
    """Longest that a client may take to send the headers of a request, and then its body."""
    queue: int = 64
    """Searches and additions inside at a time; further ones are told to try again later (429)."""
    max_batch: int = 0
    """Most images in one run of the model; 0: 4 on a CPU, whose caches more would not fit into, 32 on a GPU."""
    batch_wait_ms: float = 2.0
    """Longest that an image waits for others while the model has nothing to do."""
    threads: int = 0
    """CPU threads of the model; 0: one per core, 16 at most."""
    device: Device = "cpu"
    """Where an exact gallery is searched: its file, or a copy of it on a GPU; auto: a GPU if it can hold it."""
    refresh_s: float = 2.0
    """How often to look whether another process has changed the gallery."""
    shutdown_s: float = 30.0
    """Longest that requests which are inside may take to end when the server is stopped."""

    def __post_init__(self) -> None:
        require(bool(self.host), "serve.host must name an address, such as 127.0.0.1, got ''")
        require(0 <= self.port <= 65_535, f"serve.port must lie in 0 ... 65535, got {self.port}")
        for name in ("threads", "max_batch"):
            require(getattr(self, name) >= 0, f"serve.{name} must not be negative, got {getattr(self, name)}")
        for name in ("max_hits", "max_images", "queue"):
            require(getattr(self, name) >= 1, f"serve.{name} must be at least 1, got {getattr(self, name)}")
        for name in ("max_upload_mb", "max_megapixels", "upload_timeout_s", "refresh_s", "shutdown_s"):
            require(getattr(self, name) > 0, f"serve.{name} must be above 0, got {getattr(self, name)}")
        require(
            0 <= self.batch_wait_ms <= 1000, f"serve.batch_wait_ms must lie in 0 ... 1000, got {self.batch_wait_ms}"
        )
