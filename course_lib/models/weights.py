"""Weights: found by name or path, read without running code, loaded strictly, written whole."""

import hashlib
import json
import os
import pickle
import warnings
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from course_lib.files import DownloadError, data_folder, fetch, whole_file, wrong_digest
from course_lib.models.layers import scaled
from course_lib.models.networks import NETWORKS, Network, look_up, name_of

#: Endings of files that can hold weights.
SUFFIXES = (".safetensors", ".pth", ".pt")


class WeightsError(RuntimeError):
    """Weights cannot be fetched, read or used; the message says why and what to do."""


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
            f"{path}: holds weights of {held or 'something else'}, not {wanted}{advice}"
        )
    row = NETWORKS[held]
    found = {key: _number(header, key, path) for key in row.settings}
    found = {key: row.settings[key](value) for key, value in found.items() if value} | settings
    network = row.build(width=_width(row, state, header, width, path), **found)
    load_into(network, state, path)
    size = _number(header, "input_size", path)
    if size is not None:
        network.input_size = round(size)  # `inference.colorize` looks here
    return network.eval()


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
    if said is not None and scaled(published, said) != count:
        raise WeightsError(
            f"{path}: its header says width {said:.4g}, but its tensors have "
            f"{count / published:.4g}; fetch or save the file again"
        )
    held = said or count / published
    if asked is not None and scaled(published, asked) != count:
        raise WeightsError(
            f"{path}: holds a network of width {held:.4g}, not {asked:.4g}; leave the width out"
        )
    return asked or held


def _number(header: Mapping[str, str], key: str, path: Path) -> float | None:
    """A number above 0 in a file's header; None if the header does not have it."""
    if key not in header:
        return None
    try:
        value = float(header[key])
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise WeightsError(
            f"{path}: its header has {key} {header[key]!r}, which is no number above 0; "
            "fetch or save the file again"
        )
    return value


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


def read_weights(path: str | os.PathLike) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read a file of weights without running any code in it.

    Parameters
    ----------
    path : path
        A .safetensors file; or a .pth or .pt file that holds a plain state dict, as
        ``torch.save(network.state_dict(), path)`` writes it.

    Returns
    -------
    state : dict of str to torch.Tensor
        On the CPU, in the precision of the file.
    metadata : dict of str to str
        The header of a .safetensors file; empty for others.

    Raises
    ------
    WeightsError
        If the file is missing, empty, damaged, or holds anything else.
    """
    path = Path(path)
    if path.is_dir():
        raise WeightsError(f"{path}: this is a folder; pass the path of a file in it")
    if not path.exists():
        raise WeightsError(f"{path}: no such file; check the path")
    if path.suffix.lower() not in SUFFIXES:
        raise WeightsError(f"{path}: weights are files that end in {', '.join(SUFFIXES)}")
    try:
        if path.stat().st_size == 0:
            raise WeightsError(f"{path}: the file is empty; fetch or save it again")
        read = _read_safetensors if path.suffix.lower() == ".safetensors" else _read_pickle
        return read(path)
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read ({error.strerror or error})") from None


def _damaged(path: Path) -> WeightsError:
    return WeightsError(
        f"{path}: damaged or cut short, or no {path.suffix} file; fetch or save it again"
    )


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            keys = file.keys()  # the file itself cannot be iterated over before safetensors 0.5
            return {key: file.get_tensor(key) for key in keys}, file.metadata() or {}
    except SafetensorError:
        raise _damaged(path) from None


def _read_pickle(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on files of odd origin, which are refused below
            state = torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:  # there is no end to what a damaged pickle makes Python raise
        if isinstance(error, pickle.UnpicklingError) and any(
            word in str(error).lower() for word in ("global", "reduce")
        ):
            raise WeightsError(
                f"{path}: holds Python objects, which could run any code, and was not loaded; "
                "save plain weights with torch.save(network.state_dict(), path)"
            ) from None
        raise _damaged(path) from None
    if not isinstance(state, dict) or not all(
        isinstance(key, str) and isinstance(value, Tensor) for key, value in state.items()
    ):
        held = f"a dict of {_some(state)}" if isinstance(state, dict) else type(state).__name__
        raise WeightsError(
            f"{path}: expected a plain state dict, names to tensors, but it holds {held}; save "
            "one with torch.save(network.state_dict(), path)"
        )
    return dict(state), {}


def _some(names: list | dict, most: int = 3) -> str:
    """The first few names, and how many there are if that is not all."""
    names = [str(name) for name in names]
    return ", ".join(names[:most]) + (f", ... ({len(names)} in all)" if len(names) > most else "")


def save_weights(
    path: str | os.PathLike, network: nn.Module, metadata: Mapping[str, str] | None = None
) -> str:
    """Write a network's weights, in float16, with what is to be known about them.

    The same weights and metadata always give the same bytes. The file appears whole or not at
    all.

    Parameters
    ----------
    path : path
        Ends in .safetensors. Its folder must exist.
    network : torch.nn.Module
        Its convolutions are rounded to float16; biases, normalization and counts stay.
    metadata : mapping of str to str, optional
        For the header: "input_size" (pixels, which `load_network` hands on to `colorize`),
        training data, date, metrics, licence, ... "architecture", "width" and the network's
        settings, such as "temperature", are taken from the network.

    Returns
    -------
    str
        The file's sha256, in hexadecimal.

    Raises
    ------
    WeightsError
        If a value is not finite in float16, or the file cannot be written.
    ValueError
        If the ending is another, or the metadata are not text.
    """
    path = Path(path)
    if path.suffix.lower() != ".safetensors":
        raise ValueError(f"{path}: end the name in .safetensors")
    header = dict(metadata or {})
    header["architecture"] = type(network).__name__.lower()
    name = name_of(network)
    kinds = {"width": float} | dict(NETWORKS[name].settings if name else {})
    for key, kind in kinds.items():
        if hasattr(network, key):
            header[key] = str(kind(getattr(network, key)))
    for name, value in header.items():
        if not isinstance(name, str) or not isinstance(value, str):
            raise ValueError(f"metadata are text to text, got {name!r}: {value!r}")
    state = {}
    for name, value in network.state_dict().items():
        value = value.detach().cpu()
        # Convolutions hold nearly all the bytes. The rest is small, and a running variance can
        # be beyond float16's 65504.
        state[name] = (value.half() if value.ndim > 1 else value).contiguous()
        if not torch.isfinite(state[name]).all():
            raise WeightsError(
                f"{name} has values that are not finite in float16; nothing was saved"
            )
    data = _with_header(save(state), header)
    try:
        with whole_file(path) as file:
            file.write(data)
    except OSError as error:
        raise WeightsError(f"{path}: cannot be written ({error.strerror or error})") from None
    return hashlib.sha256(data).hexdigest()


def _with_header(data: bytes, metadata: dict[str, str]) -> bytes:
    """Put metadata into a safetensors file, in sorted order.

    The library does that too, but in an order that changes from run to run, and with it the
    sha256. A file is the header's length in 8 bytes, the header as JSON, then the tensors.
    """
    length = int.from_bytes(data[:8], "little")
    header = {"__metadata__": dict(sorted(metadata.items())), **json.loads(data[8 : 8 + length])}
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # the tensors must start at a multiple of 8
    return len(text).to_bytes(8, "little") + text + data[8 + length :]


def load_into(network: nn.Module, state: Mapping[str, Tensor], name: str | os.PathLike) -> None:
    """Copy weights into a network, all of them or none.

    Parameters
    ----------
    network : torch.nn.Module
        Keeps its precision: float16 weights become float32 in a float32 network.
    state : mapping of str to torch.Tensor
        Must hold the network's entries, each in its shape, and no others.
    name : str or path
        What to call the weights in messages: the file's path.

    Raises
    ------
    WeightsError
        If a key is missing, unexpected or of another shape, or a value is not finite. The
        message says which; the network is as it was.
    """
    own = network.state_dict()
    missing = [key for key in own if key not in state]
    unexpected = [key for key in state if key not in own]
    shapes = [
        f"{key} (file {tuple(state[key].shape)}, network {tuple(value.shape)})"
        for key, value in own.items()
        if key in state and state[key].shape != value.shape
    ]
    problems = [
        f"{len(found)} {what}: {_some(found)}"
        for what, found in (
            ("missing", missing),
            ("unexpected", unexpected),
            ("of another shape", shapes),
        )
        if found
    ]
    if problems:
        raise WeightsError(
            f"{name}: these are not weights for this {type(network).__name__}; entries "
            + "; ".join(problems)
        )
    cast = {key: state[key].to(value.dtype) for key, value in own.items()}
    broken = [key for key, value in cast.items() if not torch.isfinite(value).all()]
    if broken:
        raise WeightsError(
            f"{name}: {len(broken)} entries have values that are not finite: {_some(broken)}; "
            "the training went wrong, or the file was changed"
        )
    network.load_state_dict(cast)
