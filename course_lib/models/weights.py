"""Files of weights: read without running code, written whole, loaded strictly."""

import hashlib
import json
import os
import pickle
import struct
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor, nn

from course_lib.files import whole_file
from course_lib.models.networks import NETWORKS, name_of

#: Endings of files that can hold weights.
SUFFIXES = (".safetensors", ".pth", ".pt")

#: Most bytes of such a file: a network of four times the published width, in float32.
MAX_BYTES = 2**31

#: What files from before PyTorch 0.4.1 lack: how many batches a normalization has seen, which
#: plays no part in use.
_COUNTER = "num_batches_tracked"


class WeightsError(RuntimeError):
    """Weights cannot be fetched, read or used; the message says why and what to do."""


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
        If the file is missing, empty, damaged or far too large, or holds anything else, such as
        tensors of other kinds than plain arrays of real numbers.
    """
    path = Path(path)
    try:
        if path.is_dir():
            raise WeightsError(f"{path}: this is a folder; pass the path of a file in it")
        if not path.exists():
            raise WeightsError(f"{path}: no such file; check the path")
        if path.suffix.lower() not in SUFFIXES:
            raise WeightsError(f"{path}: weights are files that end in {', '.join(SUFFIXES)}")
        if not path.is_file():  # opening a pipe would wait for somebody to write to it
            raise WeightsError(f"{path}: this is a device or a pipe, not a file")
        if path.stat().st_size == 0:
            raise WeightsError(f"{path}: the file is empty; fetch or save it again")
        if path.stat().st_size > MAX_BYTES:
            raise WeightsError(
                f"{path}: more than {MAX_BYTES:,} bytes; no network here has so many"
            )
        read = _read_safetensors if path.suffix.lower() == ".safetensors" else _read_pickle
        state, metadata = read(path)
        check_plain(state, path)
        return state, metadata
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
    except (OSError, MemoryError):
        raise
    except Exception:  # SafetensorError, or what PyTorch makes of kinds of numbers it lacks
        raise _damaged(path) from None


def _read_pickle(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    _check_archive(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on files of odd origin, which are refused below
            state = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, MemoryError):
        raise
    except Exception as error:  # there is no end to what a damaged pickle makes Python raise
        program = "TorchScript" in str(error)
        if program or (
            isinstance(error, pickle.UnpicklingError)
            and any(word in str(error).lower() for word in ("global", "reduce"))
        ):
            raise WeightsError(
                f"{path}: holds {'a program' if program else 'Python objects'}, which could run "
                "any code, and was not loaded; "
                "save plain weights with torch.save(network.state_dict(), path)"
            ) from None
        raise _damaged(path) from None
    if not isinstance(state, dict) or not all(
        isinstance(key, str) and isinstance(value, Tensor) for key, value in state.items()
    ):
        held = f"a dict of {listed(state)}" if isinstance(state, dict) else type(state).__name__
        raise WeightsError(
            f"{path}: expected a plain state dict, names to tensors, but it holds {held}; save "
            "one with torch.save(network.state_dict(), path)"
        )
    return dict(state), {}


def _check_archive(path: Path) -> None:
    """Refuse a zip archive that would unpack to more than it is; PyTorch packs nothing."""
    try:
        with zipfile.ZipFile(path) as archive:
            parts = archive.infolist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError, struct.error):
        return  # PyTorch's older format, or damaged: reading it will say so
    if any(part.filename.endswith("/constants.pkl") for part in parts):
        return  # a program in TorchScript, which is not loaded in any case
    if any(part.compress_type != zipfile.ZIP_STORED for part in parts) or (
        sum(part.file_size for part in parts) > path.stat().st_size
    ):
        raise WeightsError(
            f"{path}: its parts are packed or overlap, as torch.save never writes them; save it "
            "again with torch.save(network.state_dict(), path)"
        )


def check_plain(state: Mapping[str, Tensor], name: str | os.PathLike) -> None:
    """Refuse tensors that are not what they seem, before anything is made after them.

    Parameters
    ----------
    state : mapping of str to torch.Tensor
        Names to tensors.
    name : str or path
        What to call the weights in messages.

    Raises
    ------
    WeightsError
        If a tensor is no plain array of real numbers in memory (but sparse, quantized, nested,
        complex, ...), or the tensors claim more numbers than are there: a few bytes can be shown
        as a tensor of any size, over and over.
    """
    for key, value in state.items():
        if kind := _odd_kind(value):
            raise WeightsError(
                f"{name}: {listed([key])} is {kind}; save plain weights with "
                "torch.save(network.state_dict(), path)"
            )
    storages = {}
    for value in state.values():
        storages[value.untyped_storage().data_ptr()] = value.untyped_storage().nbytes()
    if sum(value.numel() * value.element_size() for value in state.values()) > sum(
        storages.values()
    ):
        raise WeightsError(
            f"{name}: its tensors claim more numbers than it holds; save it again with "
            "torch.save(network.state_dict(), path)"
        )


def _odd_kind(value: Tensor) -> str | None:
    """In which way a tensor is no plain array of real numbers in memory."""
    if type(value) not in (Tensor, nn.Parameter):
        return f"a {type(value).__name__}"
    for kind, is_it in (
        ("a nested tensor", value.is_nested),
        ("a quantized tensor", value.is_quantized),
        ("a sparse tensor", value.layout is not torch.strided),
        ("a tensor without numbers", value.is_meta),
        ("a tensor of complex numbers", value.is_complex()),
    ):
        if is_it:
            return kind
    return None


def listed(names: list | dict, most: int = 3) -> str:
    """The first few names, and how many there are if that is not all; always one line."""
    names = ["".join(c if c.isprintable() else "?" for c in str(name)[:80]) for name in names]
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
        Must hold the network's entries, each in its shape, and no others. The counters of batches
        that normalizations have seen may be missing, as in files from before PyTorch 0.4.1.
    name : str or path
        What to call the weights in messages: the file's path.

    Raises
    ------
    WeightsError
        If a key is missing, unexpected or of another shape, or a value is not finite. The
        message says which; the network is as it was.
    """
    check_plain(state, name)
    check_fit(network, state, name)
    own = network.state_dict()
    try:
        cast = {key: state.get(key, value).to(value.dtype) for key, value in own.items()}
    except (RuntimeError, NotImplementedError, TypeError):
        raise WeightsError(
            f"{name}: its numbers are of a kind that cannot be converted; save it in float32"
        ) from None
    broken = [key for key, value in cast.items() if not torch.isfinite(value).all()]
    if broken:
        raise WeightsError(
            f"{name}: {len(broken)} entries have values that are not finite: {listed(broken)}; "
            "the training went wrong, or the file was changed"
        )
    network.load_state_dict(cast)


def check_fit(network: nn.Module, state: Mapping[str, Tensor], name: str | os.PathLike) -> None:
    """Refuse weights that are not a network's, by names and shapes alone.

    Parameters
    ----------
    network : torch.nn.Module
        May be on the device "meta", where a network of any size takes no memory.
    state, name
        As for `load_into`.

    Raises
    ------
    WeightsError
        If a key is missing, unexpected or of another shape. The message says which.
    """
    own = network.state_dict()
    missing = [key for key in own if key not in state]
    wrong = {
        "missing": [] if all(key.endswith(_COUNTER) for key in missing) else missing,
        "unexpected": [key for key in state if key not in own],
        "of another shape": [
            f"{key} (file {tuple(state[key].shape)}, network {tuple(value.shape)})"
            for key, value in own.items()
            if key in state and state[key].shape != value.shape
        ],
    }
    problems = [f"{len(keys)} {what}: {listed(keys)}" for what, keys in wrong.items() if keys]
    if problems:
        raise WeightsError(
            f"{name}: these are not weights for this {type(network).__name__}; entries "
            + "; ".join(problems)
        )
