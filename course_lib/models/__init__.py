"""The networks, and the functions that load them with weights.

``eccv16`` and ``siggraph17`` name a module and a function each. Seen from here the functions
win: write ``from course_lib.models.eccv16 import ECCV16`` for what is in the module.
"""

import os

from course_lib.models.eccv16 import ECCV16
from course_lib.models.modes import evaluating
from course_lib.models.networks import NETWORKS, Network, look_up, name_of
from course_lib.models.patchgan import PatchDiscriminator
from course_lib.models.siggraph17 import SIGGRAPH17
from course_lib.models.unet import UNetGenerator
from course_lib.models.weights import (
    WeightsError,
    find_weights,
    load_file,
    load_into,
    load_network,
    read_weights,
    save_weights,
)

__all__ = [
    "ECCV16",
    "NETWORKS",
    "SIGGRAPH17",
    "Network",
    "PatchDiscriminator",
    "UNetGenerator",
    "WeightsError",
    "eccv16",
    "evaluating",
    "find_weights",
    "load_file",
    "load_into",
    "load_network",
    "look_up",
    "name_of",
    "read_weights",
    "save_weights",
    "siggraph17",
]


def eccv16(
    weights: str | os.PathLike | None = "course",
    width: float | None = None,
    temperature: float | None = None,
) -> ECCV16:
    """ECCV16, "Colorful Image Colorization", with weights.

    Parameters
    ----------
    weights : {"course", "official"}, path or None
        Shipped, published by the paper's authors, a file of one's own, or random; see
        `load_network`, which this calls.
    width : float, optional
        Multiplies every hidden channel count, for random weights; a file knows its own.
    temperature : float, optional
        The logits are divided by it before the softmax; see `ECCV16`. The file's own unless
        given, and 1 where the file has none.

    Returns
    -------
    ECCV16
        On the CPU in float32: in evaluation mode if weights were loaded, in training mode if
        they are random.

    Examples
    --------
    >>> import torch
    >>> net = eccv16(weights=None, width=0.25)
    >>> net(torch.full((1, 1, 30, 50), 50.0)).shape
    torch.Size([1, 2, 30, 50])
    """
    return load_network("eccv16", weights, width=width, temperature=temperature)


def siggraph17(
    weights: str | os.PathLike | None = "course", width: float | None = None
) -> SIGGRAPH17:
    """SIGGRAPH17, "Real-Time User-Guided Image Colorization", with weights.

    Parameters
    ----------
    weights, width
        As for `eccv16`.

    Returns
    -------
    SIGGRAPH17
        As from `eccv16`.
    """
    return load_network("siggraph17", weights, width=width)
