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

from course_lib.console import silent_libraries
from tests import tiny_runs
from tests.fuzz.frame import check, numbers_of

NAME = "interrupts"
WHAT = "Ctrl-C at a random moment of a training, by each of six recipes in turn, then to its end"
COUNT, FEW = 600, 3

_NAMES = tuple(tiny_runs.CONFIGS)
#: Functions of the library that Ctrl-C may come into, and what that is called.
_PLACES = {
    "save": "in a save",
    "evaluate": "in a measurement",
    "train_step": "in a step",
    "build": "in building",
    "_fit_stages": "between steps",
}


@functools.cache
def _whole(name: str) -> tuple[object, float, float]:
    """What a training ends in when nobody stops it, and the seconds to its first step and its end.

    Most of such a short training's time goes by before its first step.
    """
    times = []
    for _ in range(4):  # the first also warms up, and any may be slowed down by something else
        with tempfile.TemporaryDirectory() as place:
            folder, start = Path(place) / "run", time.time()
            tiny_runs.train(name, _codes(), folder)
            end, built = time.time(), (folder / "config.json").stat().st_mtime
            times.append((end - start, max(0.0, built - start)))
            outcome = tiny_runs.outcome(folder)
    return outcome, *reversed(min(times))


@functools.cache
def _codes() -> np.ndarray:
    return np.random.default_rng(0).integers(90, 160, (16, 3, 16, 16), dtype=np.uint8)


def _place() -> str:
    """What the main thread is doing."""
    frame = sys._current_frames()[threading.main_thread().ident]
    while frame:
        if frame.f_code.co_name in _PLACES and "course_lib" in frame.f_code.co_filename:
            return _PLACES[frame.f_code.co_name]
        frame = frame.f_back
    return "before or after"


def trial(number: int, folder: Path) -> str:
    """Begin a training, press Ctrl-C at random, go on, and compare."""
    random_ = numbers_of(NAME, number)
    name = _NAMES[number % len(_NAMES)]
    expected, first_step, end = _whole(name)
    moment = random_.uniform(random_.choice((0.0, first_step, first_step, first_step)), end)
    often = random_.choice((0.0, 0.05, 180.0))
    with silent_libraries():  # nor what the loop says about each
        place = _interrupted(name, folder, moment, often)
    tiny_runs.train(name, _codes(), folder)
    check(tiny_runs.outcome(folder) == expected, f"{name}: other bytes after Ctrl-C {place}")
    return place


def _interrupted(name: str, folder: Path, moment: float, often: float) -> str:
    """Begin a training and press Ctrl-C; returns where that was."""
    places = []

    def press() -> None:
        places.append(_place())
        _thread.interrupt_main()

    timer = threading.Timer(moment, press)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        timer.start()
        tiny_runs.train(name, _codes(), folder, checkpoint_seconds=often)
        timer.join()
    except KeyboardInterrupt:  # before the first step, or after the last
        pass
    finally:
        timer.join()
        signal.signal(signal.SIGINT, before)
    return places[0]
