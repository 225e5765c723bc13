"""Parts of an optimization step that recipes share: precision, averaging, learning rate."""

import copy
import math

import torch
from torch import Tensor, nn


def bfloat16_pays(device: torch.device | str = "cpu") -> bool:
    """Whether a device has bfloat16 matrix units that PyTorch may use.

    With them training is several times faster in bfloat16; without them it is slower.

    Parameters
    ----------
    device : torch.device or str
        A CPU has them with Intel AMX, an NVIDIA card from compute capability 8.0 on.

    Returns
    -------
    bool
        False too where the environment variable ONEDNN_MAX_CPU_ISA forbids their use.
    """
    if torch.device(device).type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if torch.device(device).type != "cpu":
        return False
    # PyTorch has no public question for this; the second one heeds ONEDNN_MAX_CPU_ISA.
    has_units = getattr(torch.cpu, "_is_amx_tile_supported", lambda: False)()
    return has_units and torch.ops.mkldnn._is_mkldnn_bf16_supported()


class MasterWeights:
    """Train in bfloat16 while the weights themselves stay in float32.

    A bfloat16 copy of the network runs forward and backward. Its gradients move to the float32
    weights, which the optimizer updates: a step too small for bfloat16's 8 bits of precision
    still counts there (P. Micikevicius et al., "Mixed Precision Training", ICLR 2018,
    arXiv:1710.03740).

    Parameters
    ----------
    network : torch.nn.Module
        Holds the float32 weights.
    precision : {"float32", "bfloat16"}
        With "float32" the network itself runs and no copy is made.

    Attributes
    ----------
    running : torch.nn.Module
        The network to run in training.
    """

    def __init__(self, network: nn.Module, precision: str):
        if precision not in ("float32", "bfloat16"):
            raise ValueError(f"precision must be 'float32' or 'bfloat16', got {precision!r}")
        self.network = network
        self.running = network
        if precision == "bfloat16":
            self.running = copy.deepcopy(network)
            for module in self.running.modules():
                # Normalization stays in float32: its running averages need the precision.
                if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
                    module.to(torch.bfloat16)
        self.refresh()

    @torch.no_grad()
    def refresh(self) -> None:
        """Copy weights and running averages to the copy: after an update, and after loading."""
        if self.running is not self.network:
            for low, full in zip(_tensors(self.running), _tensors(self.network), strict=True):
                low.copy_(full)

    @torch.no_grad()
    def collect(self) -> None:
        """Move gradients and running averages from the copy to the float32 network."""
        if self.running is self.network:
            return
        for low, full in zip(self.running.parameters(), self.network.parameters(), strict=True):
            full.grad = None if low.grad is None else low.grad.float()
            low.grad = None
        for low, full in zip(self.running.buffers(), self.network.buffers(), strict=True):
            full.copy_(low)


def _tensors(network: nn.Module) -> list[Tensor]:
    return [*network.parameters(), *network.buffers()]


class WeightAverage:
    """Exponential moving average of a network's weights and running statistics.

    Parameters
    ----------
    network : torch.nn.Module
        The network in training.
    decay : float
        How much of the average each step keeps, once warmed up; early on it keeps less, so that
        the random start is soon forgotten.

    Attributes
    ----------
    network : torch.nn.Module
        A copy that holds the averages, in eval mode: use this one.
    """

    def __init__(self, network: nn.Module, decay: float = 0.999):
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self.decay = decay

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        """Take in the weights after step number `step` (from 0)."""
        decay = min(self.decay, (1 + step) / (10 + step))
        for mean, new in zip(_tensors(self.network), _tensors(network), strict=True):
            if mean.is_floating_point():
                mean.lerp_(new, 1 - decay)
            else:
                mean.copy_(new)


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
