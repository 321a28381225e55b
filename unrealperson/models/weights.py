"""Weights of networks made elsewhere: where they are published, how they are checked and read."""

from __future__ import annotations

import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from unrealperson.files import file_sha256, replacing
from unrealperson.log import get_logger

logger = get_logger(__name__)

TIMEOUT_S = 20.0
MAX_BYTES = 2**30


@dataclass(frozen=True)
class Release:
    """A weight file as its authors publish it.

    Attributes:
        network: name to tell the user.
        file: name of the file.
        address: where it lies.
        sha256: hash of the file, or its first digits; empty where none is known, then nothing is fetched.
    """

    network: str
    file: str
    address: str
    sha256: str

    def fetch(self) -> Path:
        """The file in torch's cache folder, fetched there where it is missing.

        Raises:
            RuntimeError: it is missing and cannot be fetched; the message names file, address, hash and option.
        """
        path = Path(torch.hub.get_dir()) / "checkpoints" / self.file
        if path.is_file() and (not self.sha256 or file_sha256(path).startswith(self.sha256)):
            return path
        missing = f"the ImageNet weights of {self.network} are missing: give --train.weights PATH of {self.file}"
        if not self.sha256:
            raise RuntimeError(f"{missing} from {self.address} (no hash is published, so it is not fetched by itself)")
        missing += f" (sha256 {self.sha256}...) from {self.address}"
        logger.info("fetching %s", self.address)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with replacing(path) as partial:
                _download(self.address, partial)
                found = file_sha256(partial)
                if not found.startswith(self.sha256):
                    raise RuntimeError(f"{missing}; what came from there has sha256 {found[:8]}...")
        except OSError as error:
            raise RuntimeError(f"{missing}; it could not be fetched: {error}") from error
        return path


def read_state(path: str | Path) -> dict[str, Tensor]:
    """Reads a PyTorch state dict, bare or under the key "state_dict", without the prefix "module.".

    Args:
        path: the file.

    Raises:
        ValueError: the file is missing or no state dict.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"no such weight file: {path}; leave train.weights empty for the network's own")
    try:
        stored = torch.load(path, map_location="cpu", weights_only=True)
    # What a damaged archive raises is open-ended.
    except Exception as error:
        raise ValueError(f"{path} is not a PyTorch state dict: {error}") from error
    if isinstance(stored, Mapping) and isinstance(stored.get("state_dict"), Mapping):
        stored = stored["state_dict"]
    if not isinstance(stored, Mapping) or not all(isinstance(value, Tensor) for value in stored.values()):
        raise ValueError(f"{path} is not a PyTorch state dict: it holds other values than tensors")
    return {str(name).removeprefix("module."): value for name, value in stored.items()}


def fill(
    model: nn.Module, path: str | Path, *, network: str, left_out: str, names: Mapping[str, str] | None = None
) -> None:
    """Fills a network with the values of a file, each of them and no others.

    Args:
        model: the network.
        path: file of a state dict.
        network: name to tell the user.
        left_out: prefix of values that the network does not have, such as those of the ImageNet classifier.
        names: stored name -> name in the model; None: they are equal.

    Raises:
        ValueError: the file is missing, is no state dict, or belongs to another network.
    """
    stored = read_state(path)
    own = model.state_dict()
    names = {name: name for name in own} if names is None else names
    found = {name for name in stored if not name.startswith(left_out)}
    # Files older than torch 0.4.1 do not count the batches that a batch-norm layer has seen.
    wanted = {name for name in names if name in found or not name.endswith("num_batches_tracked")}
    if found != wanted:
        raise ValueError(
            f"{path} does not hold {network}: {len(wanted - found)} values missing "
            f"(such as {min(wanted - found, default='-')}), {len(found - wanted)} unknown "
            f"(such as {min(found - wanted, default='-')})"
        )
    for name in sorted(found):
        if stored[name].shape != own[names[name]].shape:
            raise ValueError(
                f"{path} does not hold {network}: {name} is {list(stored[name].shape)}, "
                f"not {list(own[names[name]].shape)}"
            )
    model.load_state_dict(own | {names[name]: stored[name] for name in found}, strict=True)


def draw_weights(model: nn.Module, seed: int) -> None:
    """Draws the weights of all convolutions and linear layers anew, for training without ImageNet weights.

    Args:
        model: the network.
        seed: the weights are a pure function of it.

    Source: He et al., "Delving Deep into Rectifiers", ICCV 2015.
    """
    generator = torch.Generator().manual_seed(seed)
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu", generator=generator)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def _download(address: str, path: Path) -> None:
    with urllib.request.urlopen(address, timeout=TIMEOUT_S) as stream, path.open("wb") as file:
        size = 0
        while block := stream.read(2**20):
            size += len(block)
            if size > MAX_BYTES:
                raise OSError(f"more than {MAX_BYTES} bytes came from {address}")
            file.write(block)
