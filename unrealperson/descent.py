"""From gradients to weights: optimiser, learning rate, scaled 16-bit gradients, running mean of the weights."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from unrealperson.config import TrainConfig

LEAST_SCALE = 2.0**-10
"""Gradients that need a smaller factor than this to be finite in 16 bits are taken for broken."""


def learning_rate(config: TrainConfig, epoch: int) -> float:
    """The step size of an epoch.

    Args:
        config: section [train].
        epoch: 0 for the first; from `decay_epoch` on the rate is a tenth.
    """
    if epoch < config.warmup_epochs:
        return config.learning_rate * (0.01 + 0.99 * epoch / config.warmup_epochs)
    second = 0 < config.second_decay_epoch <= epoch
    return config.learning_rate * (0.1 if epoch >= config.decay_epoch else 1.0) * (0.1 if second else 1.0)


class Descent:
    """Turns the gradients of one or several batches into a step.

    Args:
        objective: what is trained.
        model: the network in it, of whose weights a running mean is kept.
        config: section [train]: optimizer, learning_rate, momentum, weight_decay, precision, ema.
        device: where it is trained.

    Attributes:
        optimizer: torch's.
        mean: running mean of each weight by its name in the model; empty without one.
    """

    def __init__(self, objective: nn.Module, model: nn.Module, config: TrainConfig, device: torch.device) -> None:
        self._model = model
        self._config = config
        self._parameters = [parameter for parameter in objective.parameters() if parameter.requires_grad]
        self.optimizer = _optimizer(self._parameters, config)
        self._scaler = torch.amp.GradScaler(device.type, enabled=config.precision == "float16")
        self.mean: dict[str, Tensor] = {}
        if config.ema:
            self.mean = {name: value.detach().clone() for name, value in model.named_parameters()}

    def add(self, loss: Tensor, share: float) -> None:
        """Adds the gradients of a batch.

        Args:
            loss: float scalar.
            share: of the batch in the step's mean, 0 to 1.
        """
        self._scaler.scale(loss if share == 1 else loss * share).backward()

    def step(self, rate: float) -> bool:
        """Changes the weights by the gradients that were added, and forgets these.

        16-bit gradients that overflow leave the weights as they are and are scaled down from then on.

        Args:
            rate: learning rate.

        Returns:
            False if the gradients are not finite; the weights stay as they were.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        if self._scaler.is_enabled():
            self._scaler.step(self.optimizer)
            self._scaler.update()
            finite = self._scaler.get_scale() >= LEAST_SCALE
        else:
            gradients = [parameter.grad for parameter in self._parameters if parameter.grad is not None]
            finite = bool(torch.nn.utils.get_total_norm(gradients).isfinite())
            if finite:
                self.optimizer.step()
        self.optimizer.zero_grad()
        with torch.no_grad():
            for name, value in self._model.named_parameters() if self.mean else ():
                self.mean[name].lerp_(value, 1 - self._config.ema)
        return finite

    def state(self) -> dict[str, Any]:
        """What going on takes beside the optimiser's own state and the saved network."""
        state: dict[str, Any] = {"scaler": self._scaler.state_dict()}
        if self.mean:
            state["weights"] = {name: value.detach() for name, value in self._model.named_parameters()}
        return state

    def load(self, state: dict[str, Any]) -> None:
        """Goes on from a `state`, the network filled with what was saved for it: the mean, where there is one.

        Args:
            state: as `state` gave it.

        Raises:
            KeyError: a value is missing.
            RuntimeError: a value does not fit.
        """
        if self._scaler.is_enabled():
            self._scaler.load_state_dict(state["scaler"])
        with torch.no_grad():
            for name, value in self._model.named_parameters() if self.mean else ():
                self.mean[name].copy_(value)
                value.copy_(state["weights"][name])


def _optimizer(parameters: list[nn.Parameter], config: TrainConfig) -> torch.optim.Optimizer:
    if config.optimizer == "adam":
        return torch.optim.Adam(parameters, lr=config.learning_rate, weight_decay=config.weight_decay)
    return torch.optim.SGD(
        parameters, lr=config.learning_rate, momentum=config.momentum, weight_decay=config.weight_decay
    )
