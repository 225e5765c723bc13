"""The networks, and the functions that load them with weights.

``eccv16`` and ``siggraph17`` name a module and a function each. Seen from here the functions
win: write ``from course_lib.models.eccv16 import ECCV16`` for what is in the module.
"""

import os

from torch import nn

from course_lib.models.eccv16 import ECCV16
from course_lib.models.files import (
    check_architecture,
    choose_width,
    load_into,
    positive_number,
    read_weights,
)
from course_lib.models.modes import evaluating
from course_lib.models.patchgan import PatchDiscriminator
from course_lib.models.siggraph17 import SIGGRAPH17
from course_lib.models.unet import UNetGenerator
from course_lib.models.weights import find_weights

__all__ = [
    "ECCV16",
    "SIGGRAPH17",
    "PatchDiscriminator",
    "UNetGenerator",
    "eccv16",
    "evaluating",
    "siggraph17",
]


def _load(
    network: type[nn.Module],
    weights: str | os.PathLike,
    width: float | None,
    settings: dict[str, float | None],
) -> nn.Module:
    """Build a network to fit a file; settings that are None come from its header, or are 1."""
    model = network.__name__.lower()
    path = find_weights(model, weights)
    state, metadata = read_weights(path)
    check_architecture(model, state, metadata, path)
    for key in [key for key, value in settings.items() if value is None]:
        settings[key] = positive_number(metadata, key, path) or 1.0
    net = network(width=choose_width(state, metadata, width, path), **settings)
    load_into(net, state, path)
    size = positive_number(metadata, "input_size", path)
    if size is not None:
        net.input_size = round(size)  # `inference.colorize` looks here
    return net.eval()


def eccv16(
    weights: str | os.PathLike | None = "course",
    width: float | None = None,
    temperature: float | None = None,
) -> ECCV16:
    """ECCV16, "Colorful Image Colorization", with weights.

    Parameters
    ----------
    weights : {"course", "official"}, path or None
        - "course": trained for this course and shipped with it; works offline.
        - "official": published by the paper's authors; downloaded once (about 130 MB),
          verified, and kept in the user's cache folder.
        - None: random.
        - The path of a .safetensors file (see `weights.save_weights`), or of a .pth or .pt file
          that holds a plain state dict.
    width : float, optional
        Multiplies every hidden channel count. A file of weights knows its own, so leave it out
        there; a width that contradicts the file is an error. For random weights 1.0, the
        published network, unless given.
    temperature : float, optional
        The logits are divided by it before the softmax; see `ECCV16`. The file's own unless
        given, and 1 where the file has none.

    Returns
    -------
    ECCV16
        On the CPU in float32: in evaluation mode if weights were loaded, in training mode if
        they are random. Its attribute ``input_size`` is the size it was trained for, where the
        file says so.

    Raises
    ------
    ValueError
        If `weights` is a word that means nothing here, or a number is not above 0.
    WeightsError
        If the weights cannot be had or do not fit; the message says why and what to do.

    Examples
    --------
    >>> import torch
    >>> net = eccv16(weights=None, width=0.25)
    >>> net(torch.full((1, 1, 30, 50), 50.0)).shape
    torch.Size([1, 2, 30, 50])
    """
    if weights is None:
        return ECCV16(
            width=1.0 if width is None else width,
            temperature=1.0 if temperature is None else temperature,
        )
    return _load(ECCV16, weights, width, {"temperature": temperature})


def siggraph17(
    weights: str | os.PathLike | None = "course", width: float | None = None
) -> SIGGRAPH17:
    """SIGGRAPH17, "Real-Time User-Guided Image Colorization", with weights.

    Parameters
    ----------
    weights : {"course", "official"}, path or None
        - "course": trained for this course and shipped with it; works offline.
        - "official": published by the paper's authors; downloaded once (about 140 MB),
          verified, and kept in the user's cache folder.
        - None: random.
        - The path of a .safetensors file (see `weights.save_weights`), or of a .pth or .pt file
          that holds a plain state dict.
    width : float, optional
        Multiplies every hidden channel count. A file of weights knows its own, so leave it out
        there; a width that contradicts the file is an error. For random weights 1.0, the
        published network, unless given.

    Returns
    -------
    SIGGRAPH17
        On the CPU in float32: in evaluation mode if weights were loaded, in training mode if
        they are random. Its attribute ``input_size`` is the size it was trained for, where the
        file says so.

    Raises
    ------
    ValueError
        If `weights` is a word that means nothing here, or a number is not above 0.
    WeightsError
        If the weights cannot be had or do not fit; the message says why and what to do.
    """
    if weights is None:
        return SIGGRAPH17(width=1.0 if width is None else width)
    return _load(SIGGRAPH17, weights, width, {})
