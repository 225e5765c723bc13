"""The one table of networks: everything else asks it which there are, and what each needs.

To add a network, write its module and give it a row in `NETWORKS`. It then loads and saves,
colours pictures by its name or by a file of its weights (`inference.colorize`, the command line),
and can be trained and exported.

A network is a `torch.nn.Module` that

- is built as ``Class(width=1.0, **settings)``, with channel counts by `layers.scaled`, and shows
  `width` and each setting as attributes of those names,
- maps L (N, 1, H, W) in 0..100 to ab (N, 2, H, W) for any H and W; one that takes hints also maps
  (L, hint_ab, mask), as `SIGGRAPH17` does.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from torch import nn

from course_lib.models.eccv16 import ECCV16
from course_lib.models.siggraph17 import SIGGRAPH17
from course_lib.models.unet import UNetGenerator


@dataclass(frozen=True)
class Weights:
    """A file of weights that somebody vouches for.

    Attributes
    ----------
    source : str
        Of shipped weights the file's name in the shipped folder ``weights``; of published ones the
        address.
    sha256 : str
        Of the file, in hexadecimal; `weights.save_weights` returns it.
    """

    source: str
    sha256: str

    @property
    def file(self) -> str:
        """The file's name."""
        return self.source.rsplit("/", 1)[-1]


@dataclass(frozen=True)
class Network:
    """A row of the table of networks.

    Attributes
    ----------
    build : type
        The network's class.
    description : str
        One line that says what it is, for lists and messages; no full stop.
    landmark : (str, int)
        An entry of its state dict that no other network has, and how long that entry's first axis
        is at width 1. They tell files without a header apart, and their width.
    settings : mapping of str to type
        What its class takes beside the width, and in which type: ``{"temperature": float}``.
        The header of a file of its weights holds them.
    shipped : Weights or None
        The course's own weights, "course".
    published : Weights or None
        Those that the paper's authors published, "official".
    """

    build: type[nn.Module]
    description: str
    landmark: tuple[str, int]
    settings: Mapping[str, Callable[[str], float]] = field(default_factory=dict)
    shipped: Weights | None = None
    published: Weights | None = None

    @property
    def architecture(self) -> str:
        """What a file's header calls the network: its class, in small letters."""
        return self.build.__name__.lower()

    @property
    def takes_hints(self) -> bool:
        """Whether it is also called with ``(L, hint_ab, mask)``."""
        return takes_hints(self.build)


#: The networks, by the name that users write.
NETWORKS: dict[str, Network] = {
    "eccv16": Network(
        ECCV16,
        'ECCV16, "Colorful Image Colorization"',
        landmark=("model8.0.weight", 512),
        settings={"temperature": float},
        shipped=Weights(
            "eccv16-course.safetensors",
            "98ff6b7b3d9158cf877e07fcafe1d9888da8d3b1b9637a3129bc65158248c9c8",
        ),
        published=Weights(
            "https://colorizers.s3.us-east-2.amazonaws.com/colorization_release_v2-9b330a0b.pth",
            "9b330a0bae53f4ded77b1e23defbf78beaa09c10ebc4c4999e8e4f4a160b93f9",
        ),
    ),
    "siggraph17": Network(
        SIGGRAPH17,
        'SIGGRAPH17, "Real-Time User-Guided Image Colorization with Learned Deep Priors"',
        landmark=("model8up.0.weight", 512),
        shipped=Weights(
            "siggraph17-course.safetensors",
            "7ce51390035ac1080396cf56f7976227a3bcffc8527edca0b0f46db6c88e2494",
        ),
        published=Weights(
            "https://colorizers.s3.us-east-2.amazonaws.com/siggraph17-df00044c.pth",
            "df00044c0a4d7c3edcecf6f75437ce346a66e7a42612d9b968e1a7e17dbc6f66",
        ),
    ),
    "unet": Network(
        UNetGenerator,
        "the U-Net of pix2pix, which python -m course_lib.training gan trains",
        landmark=("down.0.0.weight", 64),
        settings={"depth": int},
    ),
}


def takes_hints(network: nn.Module | type[nn.Module]) -> bool:
    """Whether a network listens to hints, as SIGGRAPH17 does.

    Parameters
    ----------
    network : torch.nn.Module or its class
        Any that colours, also one that is not in the table.

    Returns
    -------
    bool
        Whether its `forward` takes ``hint_ab`` and ``mask``.
    """
    return {"hint_ab", "mask"} <= inspect.signature(network.forward).parameters.keys()


def look_up(name: str) -> Network:
    """The row of a network.

    Parameters
    ----------
    name : str
        As users write it: "eccv16".

    Returns
    -------
    Network

    Raises
    ------
    ValueError
        If there is none of this name; the message has those that there are.
    """
    if name not in NETWORKS:
        raise ValueError(f"no network called {name!r}; use {' or '.join(NETWORKS)}")
    return NETWORKS[name]


def name_of(network: nn.Module) -> str | None:
    """The name in the table of a network's class; None if it is not in there.

    Parameters
    ----------
    network : torch.nn.Module
        Any network.
    """
    return next((name for name, row in NETWORKS.items() if isinstance(network, row.build)), None)


def shipped_weights() -> dict[str, Weights]:
    """The course's own weights, by the names of their networks."""
    return {name: row.shipped for name, row in NETWORKS.items() if row.shipped}
