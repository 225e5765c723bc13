"""Plain data as text: all that goes between a submission's process and the one that marks it.

Numbers, texts, bytes, paths, lists, tuples, sets, dicts, NumPy arrays and torch tensors of
numbers; nothing else, and in the types that stand here: what comes out of `loads` has no code of
its own, whoever made the text. Neither module nor class of the sender's is looked at.

`authoring.marking` sends this file's text along with every question, so it needs no other file.
"""

import base64
import json
import math
from pathlib import Path, PurePath

import numpy as np
import torch

#: What a text may hold, in bytes.
LIMIT = 2**28


def dumps(value):
    """Plain data as text; TypeError for anything else."""
    return json.dumps(_boxed(value))


def loads(text):
    """Plain data from text; ValueError if it is none."""
    if len(text) > LIMIT:
        raise ValueError(f"{len(text):,} bytes are too many")
    try:
        return _unboxed(json.loads(text))
    except (KeyError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        raise ValueError(f"not plain data ({error!r})") from None


def _boxed(value):
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value)
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, bytes):
        return ["bytes", base64.b64encode(value).decode()]
    if isinstance(value, PurePath):
        return ["path", str(value)]
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu()
        return [
            "tensor",
            _boxed((value.float() if value.dtype == torch.bfloat16 else value).numpy()),
        ]
    if isinstance(value, np.ndarray | np.generic):
        array = np.ascontiguousarray(value)
        if array.dtype.kind not in "biufc":
            raise TypeError(f"an array of {array.dtype}")
        data = base64.b64encode(array.tobytes()).decode()
        return ["array", array.dtype.str, list(np.shape(value)), data]
    for kind, name in ((list, "list"), (tuple, "tuple"), (set, "set"), (frozenset, "set")):
        if isinstance(value, kind):
            return [name, *map(_boxed, value)]
    if isinstance(value, dict):
        return ["dict", *([_boxed(key), _boxed(inner)] for key, inner in value.items())]
    raise TypeError(f"{type(value).__name__} is neither a number, a text, a list nor an array")


def _unboxed(value):
    if not isinstance(value, list):
        if isinstance(value, dict):
            raise ValueError("not plain data")
        return value
    kind, *parts = value
    if kind == "bytes":
        return base64.b64decode(parts[0])
    if kind == "path":
        return Path(parts[0])
    if kind == "tensor":
        return torch.from_numpy(np.array(_unboxed(parts[0])))
    if kind == "array":
        dtype, shape, data = np.dtype(parts[0]), tuple(parts[1]), base64.b64decode(parts[2])
        if dtype.kind not in "biufc" or min(shape, default=0) < 0:
            raise ValueError(f"an array of {dtype}")
        if math.prod(shape) * dtype.itemsize != len(data):
            raise ValueError("an array of another size than it says")
        return np.frombuffer(data, dtype).reshape(shape).copy()
    if kind == "dict":
        return {_unboxed(key): _unboxed(inner) for key, inner in parts}
    return {"list": list, "tuple": tuple, "set": set}[kind](map(_unboxed, parts))


def answer(names, question):
    """Answer a question about what a notebook has defined: in the submission's process.

    Parameters
    ----------
    names : dict
        The notebook's.
    question : str
        From `dumps`: "answer", an expression; and to call it "call", True, with "arguments" and
        "options", and "through", the source of a function that is called with it, or None.

    Returns
    -------
    str
        For `loads`: "value", or "error", what went wrong in words.
    """
    try:
        asked = loads(question)
        value = eval(asked["answer"], names)
        if asked["call"]:
            if str(getattr(value, "__module__", "")).startswith("course_lib"):
                raise TypeError("the library's own function is no answer")
            if asked["through"]:
                through = {}
                exec(asked["through"], through)
                function = next(f for name, f in through.items() if name.startswith("ask_"))
                value = function(value, *asked["arguments"], **asked["options"])
            else:
                value = value(*asked["arguments"], **asked["options"])
        return dumps({"value": value})
    except Exception as error:  # whatever the answer raises
        return dumps({"error": f"{type(error).__name__}: {error}"[:2000]})
