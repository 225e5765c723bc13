"""Networks with weights: by name, by a file of weights, shipped, published or random."""

import os
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from course_lib.files import DownloadError, data_folder, fetch, wrong_digest
from course_lib.models.eccv16 import ECCV16
from course_lib.models.layers import scaled
from course_lib.models.networks import NETWORKS, Network, look_up
from course_lib.models.siggraph17 import SIGGRAPH17
from course_lib.models.weights import WeightsError, check_fit, listed, load_into, read_weights

#: Pixels of the shorter side at a network, at least and at most.
SIZES = (8, 2048)


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


def load_network(
    name: str,
    weights: str | os.PathLike | None = "course",
    *,
    width: float | None = None,
    **settings: float | None,
) -> nn.Module:
    """A network of the table by its name, with weights.

    Parameters
    ----------
    name : str
        One of `networks.NETWORKS`.
    weights : {"course", "official"}, path or None
        - "course": trained for this course and shipped with it; works offline.
        - "official": published by the paper's authors; downloaded once (up to 140 MB), verified,
          and kept in the user's cache folder.
        - None: random.
        - The path of a .safetensors file (see `save_weights`), or of a .pth or .pt file that holds
          a plain state dict.
    width : float, optional
        Multiplies every hidden channel count. A file of weights knows its own, so leave it out
        there; a width that contradicts the file is an error. For random weights 1.0, the
        published network, unless given.
    **settings
        What else the network takes, such as ``temperature``. The file's own unless given, and the
        class's default where the file has none.

    Returns
    -------
    torch.nn.Module
        On the CPU in float32: in evaluation mode if weights were loaded, in training mode if
        they are random. Its attribute ``input_size`` is the size it was trained for, where the
        file says so.

    Raises
    ------
    ValueError
        If the name, or a word for weights, means nothing here, or a number is not above 0.
    WeightsError
        If the weights cannot be had or do not fit; the message says why and what to do.
    """
    row = look_up(name)
    given = {key: value for key, value in settings.items() if value is not None}
    if weights is not None:
        return _load(find_weights(name, weights), name, width, given)
    return row.build(**given) if width is None else row.build(width=width, **given)


def load_file(path: str | os.PathLike) -> nn.Module:
    """The network that a file of weights holds, whichever of the table it is.

    Parameters
    ----------
    path : path
        As for `load_network`. A .safetensors file says in its header what it is; others show it
        by the names of their entries.

    Returns
    -------
    torch.nn.Module
        As from `load_network`.

    Raises
    ------
    WeightsError
        If the file cannot be read, or holds weights of no network of the table.
    """
    return _load(Path(path), None, None, {})


def find_weights(name: str, weights: str | os.PathLike) -> Path:
    """The file that a word for weights stands for; downloads it where that is what it takes.

    Parameters
    ----------
    name : str
        The network: one of `networks.NETWORKS`.
    weights : {"course", "official"} or path
        Shipped, published, or a file of one's own.

    Returns
    -------
    pathlib.Path
        Verified by its sha256, unless `weights` is a path.

    Raises
    ------
    ValueError
        If `weights` is a word that means nothing here.
    WeightsError
        If the file cannot be had.
    """
    row = look_up(name)
    if weights == "course":
        return _shipped(name, row)
    if weights == "official":
        return _published(name, row)
    if looks_like_path(weights):
        return Path(weights)
    raise ValueError(
        f'no weights called {weights!r}; use "course", "official", None or the path of a file'
    )


def looks_like_path(text: str | os.PathLike) -> bool:
    """Whether a file is meant rather than a word: it has an ending or a folder, or is there.

    Parameters
    ----------
    text : str or path
        What was given as weights, or as a network.
    """
    if not isinstance(text, str):
        return isinstance(text, os.PathLike)
    return bool(Path(text).suffix) or len(Path(text).parts) > 1 or Path(text).exists()


def _shipped(name: str, row: Network) -> Path:
    official = ', or use weights="official"' if row.published else ""
    if row.shipped is None:
        raise WeightsError(
            f"the course ships no weights for {name} ({row.description}); pass the path of a "
            f"file of weights{official}"
        )
    path = data_folder() / "weights" / row.shipped.file
    again = "install the package again (in a clone: git checkout -- data/weights)"
    if not path.is_file():
        raise WeightsError(
            f"{path}: the course's weights for {name} are missing; {again}{official}"
        )
    wrong = wrong_digest(path, f"sha256:{row.shipped.sha256}")
    if wrong:
        raise WeightsError(
            f"{path}: not the file that ships with this version of the course ({wrong}); {again}"
        )
    return path


def _published(name: str, row: Network) -> Path:
    published = row.published
    if published is None:
        raise WeightsError(
            f"nobody published weights for {name} ({row.description}); pass the path of a file"
        )
    what = f"the published weights of {name}"
    try:
        return fetch(published.source, f"sha256:{published.sha256}", what)
    except DownloadError as error:
        ways = [f'{error}\nOr pass the path of a copy: weights="folder/{published.file}"']
        if row.shipped:
            ways.append('or use the weights that ship with the course: weights="course"')
        raise WeightsError(",\n".join(ways)) from None


def _load(
    path: Path, name: str | None, width: float | None, settings: Mapping[str, float]
) -> nn.Module:
    """Build the network that fits a file, and load it."""
    state, header = read_weights(path)
    held = _name_in(state, header) or name
    if held not in NETWORKS or held != (name or held):
        wanted = name or " or ".join(NETWORKS)
        advice = f"; load it as {held}" if held in NETWORKS else ""
        raise WeightsError(
            f"{path}: holds weights of {listed([held or 'something else'])}, not {wanted}{advice}"
        )
    row = NETWORKS[held]
    found = {key: _number(header, key, path) for key in row.settings}
    found = {key: row.settings[key](value) for key, value in found.items() if value}
    size = _input_size(header, path)
    width = _width(row, state, header, width, path)
    try:
        with torch.device("meta"):  # of any size it takes no memory
            sketch = row.build(width=width, **found)
    except (ValueError, RuntimeError, OverflowError) as error:
        raise WeightsError(
            f"{path}: its header or its tensors ask for a network that cannot be "
            f"({str(error).partition(chr(10))[0]}); fetch or save the file again"
        ) from None
    check_fit(sketch, state, path)
    network = row.build(width=width, **found | settings)
    load_into(network, state, path)
    if size is not None:
        network.input_size = size  # `inference.colorize` looks here
    # Channels last: the layout in which CPUs convolve soonest, most of all at full resolution.
    return network.eval().to(memory_format=torch.channels_last)


def _input_size(header: Mapping[str, str], path: Path) -> int | None:
    """The size that a network was trained for, as a file's header has it."""
    size = _number(header, "input_size", path)
    if size is None or (size == round(size) and SIZES[0] <= size <= SIZES[1]):
        return size if size is None else round(size)
    raise WeightsError(
        f"{path}: its header has input_size {header['input_size'][:40]!r}, expected a whole "
        f"number of {SIZES[0]}..{SIZES[1]} pixels; fetch or save the file again"
    )


def _name_in(state: Mapping[str, Tensor], header: Mapping[str, str]) -> str | None:
    """What network a file says it holds, or its entries' names do; as the table calls it."""
    if "architecture" in header:
        said = header["architecture"]
        return next((name for name, row in NETWORKS.items() if row.architecture == said), said)
    return next((name for name, row in NETWORKS.items() if row.landmark[0] in state), None)


def _width(
    row: Network,
    state: Mapping[str, Tensor],
    header: Mapping[str, str],
    asked: float | None,
    path: Path,
) -> float:
    """The width that a network must have to take these weights."""
    said = _number(header, "width", path)
    entry, published = row.landmark
    if entry not in state or not state[entry].ndim:  # `load_into` will say what is wrong
        return asked or said or 1.0
    count = len(state[entry])
    for width, who, advice in (
        (said, "its header says", "fetch or save the file again"),
        (asked, "the call says", "leave the width out"),
    ):
        if width is not None and scaled(published, width) != count:
            raise WeightsError(
                f"{path}: {who} width {width:.4g}, but its tensors have {count / published:.4g}; "
                f"{advice}"
            )
    return asked or said or count / published


def _number(header: Mapping[str, str], key: str, path: Path) -> float | None:
    """A number above 0 in a file's header; None if the header does not have it."""
    if key not in header:
        return None
    try:
        value = float(header[key])
    except ValueError:
        value = 0.0
    if not 0 < value < 1e9:
        raise WeightsError(
            f"{path}: its header has {key} {header[key][:40]!r}, which is no number above 0; "
            "fetch or save the file again"
        )
    return value
