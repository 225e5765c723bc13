"""Small pieces that the networks share."""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

#: Both networks see ``(L - L_CENT) / L_NORM`` and ``ab / AB_NORM`` (Zhang et al. 2016, 2017).
L_CENT = 50.0
L_NORM = 100.0
AB_NORM = 110.0

#: The largest output stride inside the networks: heights and widths are padded to a multiple.
STRIDE = 8


def scaled(channels: int, width: float) -> int:
    """Number of channels of a layer in a network of the given width.

    Parameters
    ----------
    channels : int
        Channels of the layer in the published network.
    width : float
        Multiplier, above 0; 1.0 is the published network.

    Returns
    -------
    int
        At least 1.

    Raises
    ------
    ValueError
        If the width is not above 0.
    """
    if not width > 0:
        raise ValueError(f"width must be above 0, got {width}")
    return max(1, round(channels * width))


def conv3x3(inputs: int, outputs: int, stride: int = 1, dilation: int = 1) -> nn.Conv2d:
    """3 x 3 convolution with bias whose padding keeps the size (at stride 1)."""
    return nn.Conv2d(inputs, outputs, 3, stride=stride, padding=dilation, dilation=dilation)


def block(channels: list[int], stride: int = 1, dilation: int = 1) -> nn.Sequential:
    """Convolutions with ReLU, then one batch normalization: the unit of both networks.

    Parameters
    ----------
    channels : list of int
        Input channels, then the output channels of each convolution.
    stride : int
        Stride of the last convolution.
    dilation : int
        Dilation of every convolution.

    Returns
    -------
    torch.nn.Sequential
        conv, ReLU, conv, ReLU, ..., BatchNorm: the published networks' numbering.
    """
    layers: list[nn.Module] = []
    last = len(channels) - 2
    for i, (inputs, outputs) in enumerate(pairwise(channels)):
        layers += [conv3x3(inputs, outputs, stride if i == last else 1, dilation), nn.ReLU(True)]
    layers.append(nn.BatchNorm2d(channels[-1]))
    return nn.Sequential(*layers)


def upsampling(inputs: int, outputs: int) -> nn.ConvTranspose2d:
    """Transposed convolution that doubles height and width."""
    return nn.ConvTranspose2d(inputs, outputs, 4, stride=2, padding=1)


def pad_to_stride(x: Tensor, mode: str = "replicate", stride: int = STRIDE) -> Tensor:
    """Extend the bottom and right edges to the next multiple of a network's stride.

    Parameters
    ----------
    x : torch.Tensor
        (N, C, H, W).
    mode : {"replicate", "constant"}
        What the new pixels hold: the edge's value, or zero.
    stride : int
        The network's largest output stride.

    Returns
    -------
    torch.Tensor
        (N, C, H', W') with H' and W' the next multiples. Multiples come back as they are.
    """
    height, width = x.shape[-2:]
    bottom, right = -height % stride, -width % stride
    return F.pad(x, (0, right, 0, bottom), mode=mode) if bottom or right else x


def unrounded(block: nn.Module, x: Tensor) -> Tensor:
    """Run a network's first block in the precision of its weights, also under autocast.

    bfloat16 keeps eight bits of a number. A lightness rounded to that moves colours by up to 2.5
    Lab units, while all the later blocks together move them by half a unit.

    Parameters
    ----------
    block : torch.nn.Module
        What sees the picture first.
    x : torch.Tensor
        Its input, in the precision of the weights.

    Returns
    -------
    torch.Tensor
        The block's output.
    """
    if not torch.amp.is_autocast_available(x.device.type):  # such as on "meta", for counting
        return block(x)
    with torch.autocast(x.device.type, enabled=False):
        return block(x)


def check_gray(L: Tensor) -> None:
    """Raise a `ValueError` that says what to pass unless `L` is (N, 1, H, W).

    Parameters
    ----------
    L : torch.Tensor
        What the caller passed as lightness.
    """
    if L.ndim != 4 or L.shape[1] != 1 or 0 in L.shape:
        raise ValueError(
            f"expected lightness L of shape (N, 1, H, W), got {tuple(L.shape)}; "
            "a single picture of shape (H, W) becomes one with L[None, None]"
        )
