"""Damaged and foreign checkpoints, configs, histories and arrays of a training."""

import copy
import functools
import io
import json
import random
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from course_lib.training.loop import History
from course_lib.training.runs import load_array, load_run, read_config, train_run
from tests.fuzz.frame import check, mutated, numbers_of

NAME = "runs"
WHAT = "damaged and foreign checkpoints, configs, histories and arrays, read and gone on with"
COUNT, FEW = 500, 12

_NETWORKS = (
    {"model": "eccv16", "width": 0.02, "temperature": 0.4, "lam": 0.5},
    {"model": "unet", "recipe": "l1", "width": 0.02, "depth": 2},
    {"model": "eccv16", "width": 0.02, "freeze": ["model1"], "patience": 2, "rates": {}},
)
_ODD = (None, True, -1, 0, 0.5, 10**30, float("nan"), "x", "", [], [1], {}, {"a": "b"}, "unet")


@functools.cache
def _whole(number: int) -> dict[str, bytes]:
    """The files of a run that has taken two of its three steps."""
    config = _NETWORKS[number] | {"batch_size": 2, "warmup": 1, "precision": "float32"}
    codes = np.random.default_rng(0).integers(90, 160, (8, 3, 8, 8), dtype=np.uint8)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        np.save(folder / "a.npy", codes)
        (folder / "c.json").write_text(json.dumps(config | {"steps": 2}))
        _go_on(folder)
        names = ("a.npy", "c.json", "run/checkpoint.pt", "run/history.csv", "run/config.json")
        return {file: (folder / file).read_bytes() for file in names}


def _go_on(folder: Path) -> None:
    """Read everything, train on, and read what came of it."""
    config, codes = read_config(folder / "c.json"), load_array(folder / "a.npy")
    if (folder / "run" / "history.csv").exists():
        History.load_csv(folder / "run" / "history.csv")
        load_run(folder / "run")
    train_run(config, {"train": codes}, codes[:2], folder / "run", progress=False)
    load_run(folder / "run")


def _damaged_value(value: Any, random_: random.Random) -> Any:
    """A value with something odd in it, however deep; dicts and lists are changed in place."""
    keys = [*value] if isinstance(value, dict) else [*range(len(value))]
    if not keys:
        return random_.choice(_ODD)
    key = random_.choice(keys)
    inner = value[key]
    if isinstance(inner, dict | list) and inner and random_.random() < 0.7:
        value[key] = _damaged_value(inner, random_)
    elif isinstance(inner, torch.Tensor) and random_.random() < 0.5:
        value[key] = random_.choice((inner[..., :0], inner.flatten()[:1], inner.to_sparse()))
    elif isinstance(value, dict) and random_.random() < 0.4:
        del value[key]
    else:
        value[key] = random_.choice(_ODD)
    return value


def _foreign_array(random_: random.Random) -> bytes:
    ways = (
        lambda: np.zeros((0, 3, 8, 8), np.uint8),
        lambda: np.zeros((8, 3, 0, 0), np.uint8),
        lambda: np.zeros((8, 3, 8, 9), np.uint8),
        lambda: np.zeros((8, 8, 8, 3), np.uint8),
        lambda: np.zeros((8, 3, 8, 8), np.float32),
        lambda: np.uint8(3),
        lambda: np.array([print, None]),
        lambda: np.zeros((1, 3, 8, 8), np.uint8),
        lambda: np.array(["text"]),
    )
    file = io.BytesIO()
    if random_.random() < 0.2:
        np.savez(file, a=np.zeros((8, 3, 8, 8), np.uint8))
    else:
        np.save(file, random_.choice(ways)())
    return file.getvalue()


def trial(number: int, folder: Path) -> str:
    """Damage one file of a run, and go on with it."""
    random_ = numbers_of(NAME, number)
    files = dict(_whole(random_.randrange(len(_NETWORKS))))
    name = random_.choice([*files])
    if name == "a.npy" and random_.random() < 0.4:
        files[name] = _foreign_array(random_)
    elif name.endswith(".json") and random_.random() < 0.7:
        config = json.loads(files[name])
        for _ in range(random_.choice((1, 1, 2, 4))):
            _damaged_value(config, random_)
        if not isinstance(config.get("steps", 2), int) or config.get("steps", 2) < 5:
            files[name] = b"\xef\xbb\xbf" * random_.randrange(2) + json.dumps(config).encode()
    elif name.endswith(".pt") and random_.random() < 0.7:
        state = torch.load(io.BytesIO(files[name]), weights_only=True)
        for _ in range(random_.choice((1, 1, 2, 4))):
            state = _damaged_value(copy.deepcopy(state), random_)
        file = io.BytesIO()
        torch.save(state, file)
        files[name] = file.getvalue()
    else:
        files[name] = mutated(files[name], random_)
    (folder / "run").mkdir()
    for file, content in files.items():
        (folder / file).write_bytes(content)
    try:
        _go_on(folder)
    except (ValueError, FloatingPointError, OSError) as error:
        check("\n" not in str(error), f"{name}: more than a line: {error}")
        named = str(folder) in str(error) or "step" in str(error) or name == "c.json"
        check(named or name == "a.npy", f"{name}: which file? {error}")
        return f"{Path(name).name} refused"
    return f"{Path(name).name} taken"
