"""From a gray photograph to a coloured one: any size, any network.

The photograph is made small, its lightness goes through the network, the predicted ab is
enlarged along the photograph's own edges, and joins the photograph's own lightness. So no
detail is lost, however small the network's picture is.
"""

import os
from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from course_lib.device import bfloat16_pays
from course_lib.fast_lab import in_bands, lab_to_rgb, lightness
from course_lib.hints import Hint, hint_tensors
from course_lib.lab import rgb_to_lab_tensor
from course_lib.models import NETWORKS, evaluating, load_file, load_network, name_of
from course_lib.models.loading import looks_like_path
from course_lib.models.onnx import onnx_network

#: What can compute a network; see `colorize`.
ENGINES = ("torch", "bfloat16", "auto", "onnx")


def network_size(height: int, width: int, size: int) -> tuple[int, int]:
    """Height and width at which a photograph goes through a network.

    Parameters
    ----------
    height, width : int
        Of the photograph.
    size : int
        Pixels of the shorter side; the picture keeps its shape, to the nearest multiple of 8.

    Returns
    -------
    (int, int)
        Multiples of 8, at least 8; the longer side is at most four times `size`. Smaller
        photographs are enlarged: networks know the scale of things that they were trained on.
    """
    if size < 8:
        raise ValueError(f"size must be at least 8 pixels, got {size}")
    scale = size / min(height, width)
    longest = 4 * size
    return tuple(max(8, min(longest, round(side * scale / 8) * 8)) for side in (height, width))


def prepare(rgb: np.ndarray, size: int) -> Tensor:
    """The network's view of a photograph.

    Parameters
    ----------
    rgb : numpy.ndarray
        (H, W, 3) uint8.
    size : int
        As in `network_size`.

    Returns
    -------
    torch.Tensor
        (1, 1, h, w) float32, lightness in 0..100 of the resized photograph.
    """
    height, width = network_size(*rgb.shape[:2], size)
    # Pillow makes pictures narrower, then lower: the first in bands gives the same pixels.
    narrow = np.empty((len(rgb), width, 3), np.uint8)

    def make_narrow(rows: slice) -> None:
        band = Image.fromarray(rgb[rows])
        narrow[rows] = band.resize((width, band.height), Image.Resampling.BICUBIC)

    in_bands(make_narrow, *rgb.shape[:2])
    small = Image.fromarray(narrow).resize((width, height), Image.Resampling.BICUBIC)
    batch = torch.from_numpy(np.array(small)).movedim(-1, 0)[None]
    return rgb_to_lab_tensor(batch / 255)[:, :1]


def guided_coefficients(
    L: Tensor, ab: Tensor, radius: int = 1, epsilon: float = 1.0
) -> tuple[Tensor, Tensor]:
    """Fit ab = scale * L + shift in a window around each pixel.

    The fast guided filter (K. He, J. Sun, "Fast Guided Filter", 2015, arXiv:1505.00996):
    enlarging `scale` and `shift` rather than ab, and applying them to the large L, puts the
    edges of the colours on the edges of the photograph.

    Parameters
    ----------
    L : torch.Tensor
        (N, 1, h, w), the network's input, in 0..100.
    ab : torch.Tensor
        (N, 2, h, w), the network's output.
    radius : int
        Windows are 2 * radius + 1 pixels wide.
    epsilon : float
        Variance of L, in squared Lab units, below which a window counts as flat and its ab is
        averaged instead.

    Returns
    -------
    scale, shift : torch.Tensor
        (N, 2, h, w) each.
    """

    def mean(x: Tensor) -> Tensor:
        x = F.pad(x, (radius,) * 4, mode="replicate")
        return F.avg_pool2d(x, 2 * radius + 1, stride=1)

    mean_l, mean_ab = mean(L), mean(ab)
    variance = mean(L * L) - mean_l**2
    covariance = mean(L * ab) - mean_l * mean_ab
    scale = covariance / (variance + epsilon)
    return mean(scale), mean(mean_ab - scale * mean_l)


def upsample_ab(ab: Tensor, small_l: Tensor, L: np.ndarray, guided: bool = True) -> np.ndarray:
    """Enlarge the network's colours to the photograph's size.

    Parameters
    ----------
    ab : torch.Tensor
        (1, 2, h, w), the network's output.
    small_l : torch.Tensor
        (1, 1, h, w), the network's input.
    L : numpy.ndarray
        (H, W), the photograph's own lightness.
    guided : bool
        Along the photograph's edges; False: bilinear.

    Returns
    -------
    numpy.ndarray
        (H, W, 2) float32.
    """
    return np.moveaxis(_upsampler(ab, small_l, L.shape, guided)(slice(None), L), 0, -1)


def _upsampler(
    ab: Tensor, small_l: Tensor, size: tuple[int, int], guided: bool
) -> Callable[[slice, np.ndarray], np.ndarray]:
    """What gives ab (2, rows, W) of a band of the photograph's rows with their L (rows, W)."""
    maps = torch.cat(guided_coefficients(small_l, ab), dim=1) if guided else ab
    small_height = maps.shape[-2]
    # Bilinear, in two steps: along the rows for the whole picture, down them band by band.
    wide = F.interpolate(maps, (small_height, size[1]), mode="bilinear")[0].numpy()
    place = ((np.arange(size[0]) + 0.5) * small_height / size[0] - 0.5).clip(0, small_height - 1)
    above = place.astype(int)
    below = np.minimum(above + 1, small_height - 1)
    share = (place - above).astype(np.float32)[:, None]

    def upsample(rows: slice, L: np.ndarray) -> np.ndarray:
        upper, lower = (np.take(wide, index[rows], axis=1) for index in (above, below))
        large = upper + share[rows] * (lower - upper)
        return (large[:2] * L + large[2:]).clip(-110, 110) if guided else large

    return upsample


@torch.inference_mode()
def predict_ab(
    rgb: np.ndarray,
    net: nn.Module,
    *,
    size: int | None = None,
    hints: Sequence[Hint] = (),
    engine: str = "torch",
) -> tuple[Tensor, Tensor]:
    """Run a network on a photograph at the network's size.

    Parameters
    ----------
    rgb : numpy.ndarray
        (H, W, 3) uint8.
    net : torch.nn.Module
        A network of the course, or anything that maps L (N, 1, h, w) to ab (N, 2, h, w).
    size : int, optional
        Pixels of the shorter side at the network; the size it was trained for unless given.
    hints : sequence of Hint
        For SIGGRAPH17; see `hints.hint_tensors`.
    engine : str
        One of `ENGINES`.

    Returns
    -------
    L : torch.Tensor
        (1, 1, h, w), what went in.
    ab : torch.Tensor
        (1, 2, h, w), what came out. Both float32 on the CPU.

    Raises
    ------
    ValueError
        If a colour is not finite: the network's weights are damaged.
    """
    if engine not in ENGINES:
        raise ValueError(f"no engine called {engine!r}; use {', '.join(ENGINES)}")
    device = next(net.parameters()).device
    L = prepare(rgb, size or getattr(net, "input_size", 256))
    inputs = [L]
    if hints:
        able = {name: row.build.__name__ for name, row in NETWORKS.items() if row.takes_hints}
        if name_of(net) not in able:
            raise ValueError(f"hints need {' or '.join(able.values())}; this network takes none")
        inputs += hint_tensors(hints, rgb.shape[:2], L.shape[-2:])
    if engine == "onnx":
        net, device = onnx_network(net), torch.device("cpu")
    half = engine == "bfloat16" or (engine == "auto" and bfloat16_pays(device))
    with evaluating(net), torch.autocast(device.type, torch.bfloat16, enabled=half):
        ab = net(*(x.to(device) for x in inputs))
    if not torch.isfinite(ab).all():
        raise ValueError(
            "the network's colours are not finite (nan or inf): its weights are damaged, or their "
            "training went wrong; load or train them again"
        )
    return L, ab.detach().float().cpu()


def _loaded(net: nn.Module | str | os.PathLike) -> nn.Module:
    if isinstance(net, nn.Module):
        return net
    if net not in NETWORKS and looks_like_path(net):
        return load_file(net)
    return load_network(net)


def colorize(
    rgb: np.ndarray,
    net: nn.Module | str | os.PathLike = "eccv16",
    *,
    size: int | None = None,
    hints: Sequence[Hint] = (),
    guided: bool = True,
    engine: str = "torch",
) -> np.ndarray:
    """Colour a photograph; its own lightness, and so every detail, stays.

    Parameters
    ----------
    rgb : numpy.ndarray
        (H, W, 3) uint8, as `load_image` returns; colours it may have are not looked at.
    net : torch.nn.Module, str or path
        The network; or the name of one ("eccv16", "siggraph17") to load with the course's
        weights; or the path of a file of weights, which says what network it holds.
    size : int, optional
        Pixels of the shorter side at the network; the size it was trained for unless given.
    hints : sequence of (row, column, (red, green, blue))
        Colours that the user wants at pixels of the photograph; SIGGRAPH17 only.
    guided : bool
        Enlarge the colours along the photograph's edges; False: bilinearly, as the published
        demonstration does.
    engine : {"torch", "bfloat16", "auto", "onnx"}
        What computes the network. "torch": PyTorch, in the network's own precision, the same on
        every machine. "bfloat16": PyTorch in half the bits, with a and b within about one unit;
        "auto" does so where the processor or card has units for it (`device.bfloat16_pays`) and
        is twice as fast then. "onnx": ONNX Runtime, ``pip install "course-lib[fast]"``; the
        network is translated at its first picture, which takes some seconds.

    Returns
    -------
    numpy.ndarray
        (H, W, 3) uint8, the size of `rgb`.

    Examples
    --------
    >>> import course_lib as cl
    >>> gray = cl.load_photo("gray/camera")
    >>> cl.colorize(gray, "eccv16").shape == gray.shape
    True
    """
    if not isinstance(rgb, np.ndarray) or rgb.ndim != 3 or rgb.shape[2] != 3 or 0 in rgb.shape:
        raise ValueError(
            f"expected a picture (H, W, 3), got {getattr(rgb, 'shape', type(rgb).__name__)}; "
            "load_image() makes one of any file"
        )
    if rgb.dtype != np.uint8:
        raise ValueError(f"expected uint8, got {rgb.dtype}; load_image() also takes float arrays")
    small_l, ab = predict_ab(rgb, _loaded(net), size=size, hints=hints, engine=engine)
    return _assemble(rgb, small_l, ab, guided)


def _assemble(rgb: np.ndarray, small_l: Tensor, ab: Tensor, guided: bool) -> np.ndarray:
    """Join the photograph's own L with the enlarged ab, a band of rows at a time."""
    upsample = _upsampler(ab, small_l, rgb.shape[:2], guided)
    out = np.empty_like(rgb)

    def fill(rows: slice) -> None:
        L = lightness(rgb[rows])
        lab_to_rgb(L, *upsample(rows, L), out[rows])

    in_bands(fill, *rgb.shape[:2])
    return out
