"""Damaged and lying files of weights."""

import functools
import io
import json
import random
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save

import course_lib as cl
from course_lib.models import ECCV16, SIGGRAPH17, UNetGenerator, WeightsError
from tests.fuzz.frame import check, mutated, numbers_of

NAME, WHAT = "weights", "damaged and lying files of weights through `load_file` and `colorize`"
COUNT, FEW = 2_000, 60

_NUMBERS = (
    "0",
    "-1",
    "1e9",
    "1e308",
    "nan",
    "inf",
    "",
    "wide",
    "0.5",
    "8",
    "25",
    "4.7",
    "9" * 400,
)
_WRONG = (0, -1, 1, 2**31, 2**62, 2**63, 10**30, 0.5, None, "x", [])


@functools.cache
def _whole() -> list[tuple[str, bytes]]:
    """Whole files, each with its ending."""
    files = []
    for network in (ECCV16(0.02), SIGGRAPH17(0.02), UNetGenerator(0.03, depth=3)):
        state = network.state_dict()
        header = {"architecture": type(network).__name__.lower(), "width": str(network.width)}
        header |= {"input_size": "32"}
        if hasattr(network, "depth"):
            header["depth"] = "3"
        files.append((".safetensors", save(state, header)))
        for zipped in (True, False):
            file = io.BytesIO()
            torch.save(state, file, _use_new_zipfile_serialization=zipped)
            files.append((".pth", file.getvalue()))
    return files


def _lying_header(content: bytes, random_: random.Random) -> bytes:
    """A safetensors file whose header says something else."""
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    for _ in range(random_.choice((1, 1, 2, 5))):
        key = random_.choice([*header])
        if key == "__metadata__" or random_.random() < 0.3:
            said = random_.choice(("width", "input_size", "temperature", "depth", "architecture"))
            header.setdefault("__metadata__", {})[said] = random_.choice(_NUMBERS)
            continue
        entry = header[key]
        match random_.randrange(5):
            case 0:
                entry["dtype"] = random_.choice(
                    ("F64", "F16", "I64", "BOOL", "F8_E5M2", "C64", "?")
                )
            case 1:
                entry["shape"] = [random_.choice(_WRONG) for _ in range(random_.randrange(5))]
            case 2:
                entry["data_offsets"] = [random_.choice(_WRONG) for _ in range(2)]
            case 3:
                del header[key]
            case 4:
                header[f"{key}\n{random_.randrange(9)}"] = header.pop(key)
    text = json.dumps(header).encode()
    if random_.random() < 0.9:
        text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + content[8 + length :]


def _odd(tensor: torch.Tensor, random_: random.Random) -> object:
    """Something else in a tensor's place."""
    ways = (
        lambda: tensor.to("meta"),
        lambda: tensor.float().to_sparse(),
        lambda: torch.zeros(()).expand(tensor.shape),
        lambda: torch.zeros(1).expand(10**6, 10**6),
        lambda: torch.zeros(0, 2**40),
        lambda: tensor.to(torch.complex64),
        lambda: tensor.to(torch.bool),
        lambda: tensor.to(torch.float8_e5m2),
        lambda: tensor.double() * 1e300,
        lambda: tensor.float() * float("nan"),
        lambda: tensor.flatten(),
        lambda: torch.nn.Parameter(tensor.float()),
        lambda: torch.quantize_per_tensor(tensor.float(), 0.1, 0, torch.qint8),
        lambda: "text",
        lambda: 7,
        lambda: [tensor],
    )
    return random_.choice(ways)()


def trial(number: int, folder: Path) -> str:
    """Damage a file, or let it lie; load it, and colour a small picture if that works."""
    random_ = numbers_of(NAME, number)
    ending, content = random_.choice(_whole())
    if ending == ".safetensors" and random_.random() < 0.7:
        content = _lying_header(content, random_)
    elif ending == ".pth" and random_.random() < 0.5:
        state = torch.load(io.BytesIO(content), weights_only=True)
        for key in random_.sample([*state], random_.choice((1, 2, len(state)))):
            state[key] = _odd(state[key], random_)
        file = io.BytesIO()
        torch.save(state, file, _use_new_zipfile_serialization=random_.random() < 0.5)
        content = file.getvalue()
    else:
        start = random_.choice((0, 8))
        if random_.random() < 0.7:  # what says how the rest is to be read
            part = 6000 if ending == ".safetensors" else 3000
            content = mutated(content[:part], random_, start) + content[part:]
        else:
            content = mutated(content, random_, start)
    path = folder / f"a{ending}"
    path.write_bytes(content)
    try:
        network = cl.load_file(path)
    except WeightsError as error:
        check("\n" not in str(error) and str(error).startswith(f"{path}: "), f"{error}")
        check(len(str(error)) < 1000, "a message without end")
        return "refused"
    gray = np.linspace(0, 255, 24 * 16 * 3).reshape(24, 16, 3).astype(np.uint8)
    try:
        out = cl.colorize(gray, network, size=16)
    except ValueError as error:
        check("not finite" in str(error), f"{error}")
        return "loaded, and its colours refused"
    check(out.shape == gray.shape, "another size")
    return "loaded, and a picture coloured"
