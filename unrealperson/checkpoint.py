"""A run on disk: weights and what is needed to use them or to go on training.

`model.safetensors` holds the weights, and in its metadata the epoch, configuration, identities and
cameras; `optimizer-EPOCH.pt`, or `optimizer-EPOCH-STEP.pt` in mid-epoch, holds the optimiser's state while
training is not finished. The metadata also holds checksums of both, which runs of earlier releases lack.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from unrealperson.config import Config, TrainConfig, load_config, save_config
from unrealperson.files import file_sha256, replacing
from unrealperson.models.reid import ReidModel, build_model

FORMAT_VERSION = 1
MODEL_FILE = "model.safetensors"
CONFIG_FILE = "config.toml"
_STATE, _WHOLE, _OPTIMIZER = "unrealperson", "sha256", "optimizer_sha256"
"""Keys of the metadata: the state, the checksum of it and the weights, and that of the optimiser's file."""
FREE_KEYS = ("workers",)
"""What another start may change: no image depends on it."""


@dataclass(frozen=True)
class RunState:
    """What a run says of itself.

    Attributes:
        epoch: finished epochs.
        identity_keys: global identity of each class.
        camera_keys: global camera of each camera index.
        data_sha256: hash of the training manifest's rows.
        data_root: absolute path of the folder of the training images.
        step: finished steps.
        seconds: training time so far.
        epoch_step: finished steps of the epoch that is not finished.
    """

    epoch: int
    identity_keys: tuple[int, ...]
    camera_keys: tuple[int, ...]
    data_sha256: str
    data_root: str
    step: int = 0
    seconds: float = 0.0
    epoch_step: int = 0


def save_checkpoint(
    run: str | Path,
    model: ReidModel,
    state: RunState,
    *,
    optimizer: torch.optim.Optimizer | None = None,
    extra: dict[str, Any] | None = None,
    weights: dict[str, torch.Tensor] | None = None,
) -> None:
    """Writes weights and optimiser; a crash at any moment leaves the previous checkpoint or this one.

    Args:
        run: folder of the run.
        model: the network.
        state: what to remember beside the weights.
        optimizer: needed to go on training; None for a finished run.
        extra: what else is needed to go on: tensors, numbers, text, and lists and dictionaries of them.
        weights: values to save as the network's in place of its own, such as running means, by their names.
    """
    run = Path(run)
    run.mkdir(parents=True, exist_ok=True)
    stored = {name: value.contiguous() for name, value in (model.state_dict() | (weights or {})).items()}
    text = json.dumps({"format_version": FORMAT_VERSION, **dataclasses.asdict(state)})
    metadata = {_STATE: text, _WHOLE: fingerprint(stored, text)}
    if optimizer is not None:
        content = io.BytesIO()  # what torch says of a full disk names neither disk nor file
        torch.save({"optimizer": optimizer.state_dict(), "extra": extra or {}}, content)
        metadata[_OPTIMIZER] = hashlib.sha256(content.getbuffer()).hexdigest()
        with replacing(_optimizer_path(run, state)) as partial:
            partial.write_bytes(content.getbuffer())
    with replacing(run / MODEL_FILE) as partial:
        partial.write_bytes(save(stored, metadata=metadata))
    kept = _optimizer_path(run, state) if optimizer is not None else None
    for path in run.glob("optimizer-*.pt"):
        if path != kept:
            path.unlink()


def load_state(run: str | Path) -> RunState:
    """Reads what a run says of itself, without its weights.

    Args:
        run: folder of the run.

    Raises:
        FileNotFoundError: no checkpoint there.
        ValueError: not a checkpoint, or one of another format version.
    """
    path = Path(run) / MODEL_FILE
    if Path(run).is_file():
        raise ValueError(f"{run} is a file; give the folder of the run (OUT of 'unrealperson train')")
    if not path.is_file():
        raise FileNotFoundError(f"{run} holds no trained model ({MODEL_FILE}); make one with 'unrealperson train'")
    try:
        document: dict[str, Any] = json.loads(_metadata(path)[_STATE])
        if not isinstance(document, dict):
            raise TypeError("its metadata is no table")
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not a checkpoint of unrealperson: {error}") from error
    version = document.pop("format_version", None)
    if version != FORMAT_VERSION:
        raise ValueError(f"{path} has format version {version}; this release reads {FORMAT_VERSION}: train again")
    known = {field.name for field in dataclasses.fields(RunState)}
    if set(document) not in (known, known - {"epoch_step"}):  # the runs of earlier releases lack it
        raise ValueError(f"{path} is damaged: its metadata holds {', '.join(sorted(document))}")
    for name in ("identity_keys", "camera_keys"):
        if type(document[name]) is not list or any(type(key) is not int for key in document[name]):
            raise ValueError(f"{path} is damaged: {name} must be whole numbers")
        document[name] = tuple(document[name])
    return RunState(**document)


def load_checkpoint(run: str | Path) -> tuple[ReidModel, Config, RunState]:
    """Reads a trained network.

    Args:
        run: folder of the run.

    Returns:
        The model in evaluation mode, the configuration it was trained with, and the run's state.

    Raises:
        FileNotFoundError: no checkpoint there.
        ValueError: not a checkpoint, of another format version, or it does not fit its configuration.
    """
    run = Path(run)
    state = load_state(run)
    config = load_config(run / CONFIG_FILE)
    classes, cameras = len(state.identity_keys), len(state.camera_keys)
    model = build_model(config.train, classes=classes, cameras=cameras, pretrained=False)
    load_weights(run, model)
    return model.eval(), config, state


def load_weights(run: str | Path, model: ReidModel) -> None:
    """Fills a model with a run's weights.

    Args:
        run: folder of the run.
        model: built as the run's configuration says.

    Raises:
        ValueError: the weights are damaged, or do not fit the model.
    """
    path = Path(run) / MODEL_FILE
    try:
        model.load_state_dict(_weights(path), strict=True)
    except RuntimeError as error:
        raise ValueError(f"{path} does not fit the configuration beside it: {error}") from error


def load_start(run: str | Path, model: ReidModel, config: TrainConfig) -> None:
    """Gives a new model the weights of a run, all but its classifier: where fine-tuning starts.

    Tables of statistics that do not fit stay as they are: training fills those of camera batch norm anew.

    Args:
        run: folder of the run.
        model: the new network.
        config: section [train] that it was built with.

    Raises:
        FileNotFoundError: no checkpoint there.
        ValueError: not a checkpoint, or one of another backbone.
    """
    load_state(run)
    earlier = load_config(Path(run) / CONFIG_FILE).train
    if earlier.backbone != config.backbone:
        raise ValueError(f"{run} holds {earlier.backbone}; set train.backbone to it, or choose another train.from_run")
    stored = _weights(Path(run) / MODEL_FILE)
    with torch.no_grad():
        parameters = {name for name, _ in model.named_parameters()}
        for name, value in model.state_dict().items():
            if name.startswith("classifier."):
                continue
            if name in stored and stored[name].shape == value.shape:
                value.copy_(stored[name])
            elif name in parameters and not name.startswith("attention."):  # a run on images has none
                raise ValueError(f"{run} does not fit train.backbone: it lacks {name} of shape {list(value.shape)}")


def load_optimizer(run: str | Path, optimizer: torch.optim.Optimizer, state: RunState) -> dict[str, Any]:
    """Fills an optimiser with the state saved with a checkpoint.

    Args:
        run: folder of the run.
        optimizer: built over the same parameters.
        state: what the run says of itself.

    Returns:
        The extra values that were saved with it.

    Raises:
        ValueError: the state is missing or unreadable.
    """
    path = _optimizer_path(Path(run), state)
    expected = _metadata(Path(run) / MODEL_FILE).get(_OPTIMIZER)
    try:
        if expected not in (None, file_sha256(path)):
            raise ValueError("its checksum is another one")
        stored = torch.load(path, map_location="cpu", weights_only=True)
        optimizer.load_state_dict(stored["optimizer"])
        return dict(stored["extra"])
    # What a damaged archive raises is open-ended.
    except Exception as error:
        raise ValueError(f"training cannot go on from {path}: {error}; delete {run} to start again") from error


def prepare_run(run: str | Path, config: Config, keys: Sequence[str] = ("train",)) -> bool:
    """Claims a folder for a run, or finds that it holds one of the same configuration.

    Args:
        run: folder of the run; made where missing.
        config: configuration of the run, saved as config.toml.
        keys: sections that must agree with those saved earlier.

    Returns:
        Whether a checkpoint to go on from is there.

    Raises:
        ValueError: the folder holds a run of another configuration.
    """
    run = Path(run)
    saved = run / CONFIG_FILE
    if saved.is_file():
        earlier = load_config(saved)
        for key in keys:
            old, new = dataclasses.asdict(getattr(earlier, key)), dataclasses.asdict(getattr(config, key))
            names = [name for name in new if old[name] != new[name] and name not in FREE_KEYS]
            changed = [f"{key}.{name} = {old[name]!r}, now {new[name]!r}" for name in names]
            if changed:
                raise ValueError(
                    f"{run} holds a run with another configuration ({'; '.join(changed)}); "
                    "choose another --out, or delete the folder"
                )
    elif (run / MODEL_FILE).exists():
        raise ValueError(f"{run} holds {MODEL_FILE} but no {CONFIG_FILE}; choose another --out")
    run.mkdir(parents=True, exist_ok=True)
    save_config(config, saved)
    return (run / MODEL_FILE).is_file()


def _metadata(path: Path) -> dict[str, str]:
    try:
        with safe_open(path, "pt") as stored:
            return stored.metadata() or {}
    except SafetensorError as error:
        raise ValueError(f"{path} is not a checkpoint of unrealperson: {error}") from error


def _weights(path: Path) -> dict[str, torch.Tensor]:
    """A run's weights, compared with their checksum."""
    metadata = _metadata(path)
    with safe_open(path, "pt") as stored:
        weights = {name: stored.get_tensor(name) for name in stored.keys()}
    if metadata.get(_WHOLE) not in (None, fingerprint(weights, metadata.get(_STATE, ""))):
        raise ValueError(f"{path} is damaged: its checksum is another one; train again, or take a copy of it")
    return weights


def fingerprint(weights: Mapping[str, torch.Tensor], text: str = "") -> str:
    """SHA-256 of weights with their names, types and shapes, as hexadecimal digits.

    Args:
        weights: by name, on any device.
        text: what else it is of.
    """
    digest = hashlib.sha256(text.encode())
    for name, value in sorted(weights.items()):
        digest.update(f"{name} {value.dtype} {list(value.shape)}\n".encode())
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _optimizer_path(run: Path, state: RunState) -> Path:
    return run / f"optimizer-{state.epoch}{f'-{state.epoch_step}' if state.epoch_step else ''}.pt"
