"""Ctrl-C at random moments of trainings: each must end in the bytes of one never stopped."""

import _thread
import functools
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

from tests.fuzz.frame import check, numbers_of

sys.path.insert(0, str(Path(__file__).parents[1]))
import tiny_runs

NAME, WHAT = "interrupts", "Ctrl-C at random moments of each recipe, until it is through"
COUNT, FEW = 600, 3

_NAMES = tuple(tiny_runs.CONFIGS)


@functools.cache
def _whole(name: str) -> tuple[object, float]:
    """What a training ends in when nobody stops it, and the seconds that it takes."""
    with tempfile.TemporaryDirectory() as place:
        tiny_runs.train(name, _codes(), Path(place) / "first")  # which also warms up
        start = time.monotonic()
        tiny_runs.train(name, _codes(), Path(place) / "second")
        return tiny_runs.outcome(Path(place) / "second"), time.monotonic() - start


@functools.cache
def _codes() -> np.ndarray:
    return np.random.default_rng(0).integers(90, 160, (16, 3, 16, 16), dtype=np.uint8)


def trial(number: int, folder: Path) -> str:
    """Begin a training, press Ctrl-C at random, go on, and compare."""
    random_ = numbers_of(NAME, number)
    name = _NAMES[number % len(_NAMES)]
    expected, seconds = _whole(name)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        timer = threading.Timer(random_.uniform(0, seconds), _thread.interrupt_main)
        timer.start()
        try:
            often = random_.choice((0.0, 0.05, 180.0))
            _, history = tiny_runs.train(name, _codes(), folder, checkpoint_seconds=often)
            outcome = "stopped after a step" if history.interrupted else "not stopped"
            timer.join()
        except KeyboardInterrupt:
            outcome = "stopped before the first step or after the last"
    finally:
        timer.cancel()
        timer.join()
        signal.signal(signal.SIGINT, before)
    tiny_runs.train(name, _codes(), folder)
    check(tiny_runs.outcome(folder) == expected, f"{name}: other bytes")
    return f"{name}: {outcome}"
