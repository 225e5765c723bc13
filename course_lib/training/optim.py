"""Parts of an optimization step that recipes share: precision, averaging, learning rate."""

import math
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR
from torch.optim.swa_utils import AveragedModel

from course_lib.device import bfloat16_pays


def autocast(precision: str, device: torch.device) -> AbstractContextManager:
    """A with statement's context in which a network computes in a precision.

    The weights stay in float32 whatever the network computes in, and so do the optimizer's steps:
    one too small for bfloat16's 8 bits of precision still counts (P. Micikevicius et al., "Mixed
    Precision Training", ICLR 2018, arXiv:1710.03740).

    Parameters
    ----------
    precision : {"auto", "float32", "bfloat16"}
        "auto" takes bfloat16 where it pays.
    device : torch.device
        Where the network is.

    Returns
    -------
    context manager
        To be entered again and again: ``torch.autocast``, or nothing for float32.
    """
    if precision not in ("auto", "float32", "bfloat16"):
        raise ValueError(f"precision must be 'auto', 'float32' or 'bfloat16', got {precision!r}")
    if precision == "float32" or (precision == "auto" and not bfloat16_pays(device)):
        return nullcontext()
    return torch.autocast(device.type, torch.bfloat16)


class WeightAverage(AveragedModel):
    """Exponential moving average of a network's weights and running statistics.

    PyTorch's own, with a warm-up: early on the average keeps less, so that the random start is
    soon forgotten.

    Parameters
    ----------
    network : torch.nn.Module
        The network in training.
    decay : float
        How much of the average each step keeps, once warmed up.
    """

    def __init__(self, network: nn.Module, decay: float = 0.999):
        @torch.no_grad()
        def take_in(means: list[Tensor], values: list[Tensor], count: Tensor) -> None:
            keep = min(decay, (1 + count.item()) / (10 + count.item()))
            if means[0].is_floating_point():
                torch._foreach_lerp_(means, values, 1 - keep)
            else:
                torch._foreach_copy_(means, values)

        super().__init__(network, multi_avg_fn=take_in, use_buffers=True)
        self.requires_grad_(False).eval()

    @property
    def network(self) -> nn.Module:
        """The copy that holds the averages, in evaluation mode: use this one."""
        return self.module


def cosine_rate(step: int, steps: int, rate: float, warmup: int = 0) -> float:
    """Learning rate of a step: a linear warm-up, then half a cosine down to 0.

    Parameters
    ----------
    step : int
        Number of the step, from 0.
    steps : int
        Steps in all.
    rate : float
        The highest rate.
    warmup : int
        Steps of the warm-up.

    Returns
    -------
    float
        In 0..rate.

    References
    ----------
    I. Loshchilov, F. Hutter, "SGDR", ICLR 2017, arXiv:1608.03983.
    """
    if step < warmup:
        return rate * (step + 1) / warmup
    return rate * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


def constant_rate(step: int, steps: int, rate: float, warmup: int, decay: int) -> float:
    """Learning rate of a step: a linear warm-up, constant, then down to 0 along a line.

    Other than with `cosine_rate`, how long the run will be can be decided while it runs.

    Parameters
    ----------
    step, steps, rate, warmup
        As in `cosine_rate`.
    decay : int
        Steps at the end in which the rate falls; 0 if it stays.

    Returns
    -------
    float
        In 0..rate.

    References
    ----------
    A. Hägele et al., "Scaling laws and compute-optimal training beyond fixed training durations",
    NeurIPS 2024, arXiv:2405.18392.
    """
    if step < warmup:
        return rate * (step + 1) / warmup
    return rate * min(1.0, (steps - step) / max(1, decay))


def rate_schedule(
    optimizer: torch.optim.Optimizer, steps: int, warmup: int, decay: int | None = None
) -> LambdaLR:
    """Let an optimizer's learning rates follow `cosine_rate`, or with a decay `constant_rate`.

    Parameters
    ----------
    optimizer : torch.optim.Optimizer
        Each of its groups has its own highest rate.
    steps, warmup, decay
        As in these.

    Returns
    -------
    torch.optim.lr_scheduler.LambdaLR
        To be stepped after the optimizer.
    """
    if decay is None:
        return LambdaLR(optimizer, lambda step: cosine_rate(step, steps, 1.0, warmup))
    return LambdaLR(optimizer, lambda step: constant_rate(step, steps, 1.0, warmup, decay))


def initialize(network: nn.Module) -> None:
    """Draw weights as suits layers with ReLU, so that signals keep their size through them.

    Parameters
    ----------
    network : torch.nn.Module
        Its 3 x 3 and transposed convolutions are drawn anew from PyTorch's global generator;
        heads and normalization stay as they are.

    References
    ----------
    K. He et al., "Delving deep into rectifiers", ICCV 2015, arXiv:1502.01852.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d) and module.kernel_size != (1, 1):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            nn.init.zeros_(module.bias)
