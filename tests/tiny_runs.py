"""Trainings of every recipe that take a second, and what they end in."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from course_lib.training.runs import train_run

COMMON = {"batch_size": 4, "average": 0.5, "warmup": 1, "precision": "float32", "seed": 0}

#: A config of each recipe, and of several stages.
CONFIGS: dict[str, dict[str, Any]] = {
    "eccv16": {"model": "eccv16", "width": 0.05, "temperature": 0.4, "steps": 7, **COMMON},
    "siggraph17": {"model": "siggraph17", "width": 0.05, "steps": 5, **COMMON},
    "l1": {"model": "unet", "recipe": "l1", "width": 0.05, "depth": 3, "steps": 7, **COMMON},
    "gan": {
        "recipe": "gan",
        "width": 0.05,
        "depth": 3,
        "layers": 1,
        **COMMON,
        "reconstruction": {"steps": 4},
        "game": {"steps": 5, "sample_every": 2, "sample_count": 2},
    },
    "finetune": {
        "model": "eccv16",
        "width": 0.05,
        "steps": 7,
        "freeze": ["model1", "model2"],
        "patience": 3,
        **COMMON,
    },
    "stages": {
        "model": "eccv16",
        "width": 0.05,
        **COMMON,
        "stages": [{"steps": 3}, {"steps": 4, "size": 8, "zoom": 1.5, "seed": 1}],
    },
}


def train(name: str, codes: np.ndarray, folder: Path, **options: Any):
    """Train one of `CONFIGS`, or go on with it."""
    options = {"record_every": 2, "evaluate_every": 4, "progress": False} | options
    return train_run(CONFIGS[name], {"train": codes}, codes[:8], folder, **options)


def outcome(folder: Path) -> Any:
    """All that a run has come to, but for how long it took; equal only to the bit."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: plain(inner) for key, inner in value.items() if key != "seconds"}
        if isinstance(value, list | tuple):
            return [plain(inner) for inner in value]
        if isinstance(value, torch.Tensor):
            return value.dtype, tuple(value.shape), value.numpy().tobytes()
        return value

    return plain(torch.load(folder / "checkpoint.pt", weights_only=True, map_location="cpu"))
