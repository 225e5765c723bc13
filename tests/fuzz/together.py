"""Two processes at once: an array prepared, a run trained, a set of pictures unpacked.

Run as a program it is one of the two: it takes lines of JSON (what to do, where, after how many
seconds) and answers each with a line, "ok" or what was refused.
"""

import atexit
import functools
import hashlib
import io
import json
import os
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from course_lib.data import public
from course_lib.data.prepare import build_array
from tests import tiny_runs
from tests.fuzz.frame import check, numbers_of

NAME, WHAT = "together", "two processes that prepare one array, train one run, unpack one set"
COUNT, FEW = 60, 3

_RECIPES = ("eccv16", "gan", "finetune", "l1")
#: Sides of the arrays that the two prepare: mixed, they would be neither.
_SIZES = (24, 32)


def _prepare(folder: Path, output: Path, size: int) -> None:
    paths = sorted(folder.glob("*.png"))
    build_array(paths, output, size, labels=[*range(len(paths))], progress=False)


def _train(folder: Path, name: str) -> None:
    codes = np.random.default_rng(0).integers(90, 160, (16, 3, 16, 16), dtype=np.uint8)
    tiny_runs.train(name, codes, folder, checkpoint_seconds=0)


def _fetch(cache: Path) -> None:
    digest = hashlib.md5((cache / "tiny.zip").read_bytes()).hexdigest()
    os.environ |= {"COURSE_CACHE": str(cache), "COURSE_OFFLINE": "1"}
    public.PUBLIC_SETS["tiny"] = public.PublicSet(
        "http://nowhere.invalid/tiny.zip", f"md5:{digest}", 1, "tiny", "free"
    )
    folder = public.fetch_dataset("tiny", progress=False)
    check(len([*folder.glob("*.jpg")]) == 200, "a set that is not whole was handed over")


#: What the two do at once, each with what differs between them.
_JOBS: dict[str, Callable[..., None]] = {
    "prepare": lambda folder, size: _prepare(folder, folder / "a.npy", size),
    "train": lambda folder, name: _train(folder / "run", name),
    "fetch": lambda folder, _: _fetch(folder),
}


@functools.cache
def _pair() -> list[subprocess.Popen]:
    """Two processes that wait for jobs."""
    pair = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.fuzz.together"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=Path(__file__).parents[2],
            text=True,
            encoding="utf-8",
        )
        for _ in range(2)
    ]
    for process in pair:
        atexit.register(process.kill)
        process.stdout.readline()  # ready
    return pair


def begin() -> None:
    """What the trials share: the two processes, and what trainings alone end in."""
    _pair()
    for name in _RECIPES:
        _alone(name)


def _both(job: str, folder: Path, given: tuple, delays: tuple[float, float]) -> list[str]:
    """Have the two do something at once; what each answers."""
    for process, one, delay in zip(_pair(), given, delays, strict=True):
        line = json.dumps([job, str(folder), one, delay])
        process.stdin.write(line + "\n")
        process.stdin.flush()
    return [process.stdout.readline().strip() for process in _pair()]


@functools.cache
def _alone(name: str) -> object:
    """What a training that is alone in its folder ends in."""
    with tempfile.TemporaryDirectory() as place:
        _train(Path(place), name)
        return tiny_runs.outcome(Path(place))


def trial(number: int, folder: Path) -> str:
    """Begin one thing in two processes, some time apart, and look at what there is then."""
    random_ = numbers_of(NAME, number)
    job = [*_JOBS][number % len(_JOBS)]
    delays = (0.0, random_.uniform(0, random_.choice((0.0, 0.03, 0.3, 1.5))))
    if random_.random() < 0.5:
        delays = delays[::-1]
    return f"{job}: " + {"prepare": _arrays, "train": _runs, "fetch": _sets}[job](
        folder, delays, random_.choice(_RECIPES)
    )


def _arrays(folder: Path, delays: tuple[float, float], _: str) -> str:
    noise = np.random.default_rng(0).integers(0, 256, (12, 40, 40, 3), dtype=np.uint8)
    for index, pixels in enumerate(noise):
        Image.fromarray(pixels).save(folder / f"{index:02}.png")
    answers = _both("prepare", folder, _SIZES, delays)
    check(answers == ["ok", "ok"], f"{answers}")
    wholes = []
    for size in _SIZES:
        _prepare(folder, folder / "alone.npy", size)
        wholes.append((folder / "alone.npy").read_bytes())
    check((folder / "a.npy").read_bytes() in wholes, "an array that neither has made")
    check(not [*folder.glob(".*")], "something is left behind")
    return "whole"


def _runs(folder: Path, delays: tuple[float, float], name: str) -> str:
    answers = _both("train", folder, (name, name), delays)
    refused = [answer for answer in answers if answer != "ok"]
    check(len(refused) < 2, f"{answers}")
    check(all("another process is training there" in answer for answer in refused), f"{refused}")
    check(tiny_runs.outcome(folder / "run") == _alone(name), f"{name}: other bytes")
    names = {path.name for path in (folder / "run").iterdir()}
    check(not [one for one in names if one.endswith(".part")], "something is left behind")
    return "one was refused" if refused else "one after the other"


def _sets(folder: Path, delays: tuple[float, float], _: str) -> str:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for index in range(200):
            file.writestr(f"{index}.jpg", bytes([index]) * 2000)
    (folder / "tiny.zip").write_bytes(buffer.getvalue())
    answers = _both("fetch", folder, (None, None), delays)
    check(answers == ["ok", "ok"], f"{answers}")
    check({path.name for path in folder.iterdir()} == {"tiny", "tiny.zip"}, "something is left")
    pictures = {path.name: path.read_bytes() for path in (folder / "tiny").glob("*.jpg")}
    check(
        pictures == {f"{index}.jpg": bytes([index]) * 2000 for index in range(200)},
        "other pictures",
    )
    return "whole"


def _serve() -> None:
    """Do what comes in."""
    answers, sys.stdout = sys.stdout, sys.stderr
    print("ready", file=answers, flush=True)
    for line in sys.stdin:
        job, folder, given, delay = json.loads(line)
        time.sleep(delay)
        try:
            _JOBS[job](Path(folder), given)
            answer = "ok"
        except Exception as error:
            answer = f"{type(error).__name__}: {error}".replace("\n", " ")
        print(answer, file=answers, flush=True)


if __name__ == "__main__":
    _serve()
