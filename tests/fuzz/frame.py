"""The frame of the fuzzers: many small trials, each made from its number alone.

A kind of fuzzing is a module with

- ``NAME``: one word; ``WHAT``: what is tried, in a line;
- ``COUNT``: trials of a whole run; ``FEW``: those that the unit tests take;
- ``trial(number, folder)``: makes the case of that number in an empty folder, tries it, and
  returns in a word or two what happened. Exceptions that are documented are such outcomes; any
  other is a fault, and so is what `check` finds wrong;
- ``begin()``, if its trials share something that takes time: called once in each process.

It joins by its name in `KINDS`. Trials run in processes of their own, since a crash or a hang must
not end the run.
"""

import importlib
import random
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, Queue
from types import ModuleType

#: Modules beside this one, in the order of the table.
KINDS = ("pictures", "weights", "disks", "runs", "archives", "interrupts", "together")
#: Seconds that a trial may take.
PATIENCE = 20.0


def module_of(name: str) -> ModuleType:
    """The module of a kind."""
    return importlib.import_module(f"tests.fuzz.{name}")


def begin(name: str) -> None:
    """Load a kind and make what its trials share."""
    getattr(module_of(name), "begin", lambda: None)()


def numbers_of(name: str, number: int) -> random.Random:
    """Random numbers of one trial, the same on every machine."""
    return random.Random(f"{name} {number}")


def check(true: bool, what: str) -> None:
    """A fault unless it is true."""
    if not true:
        raise AssertionError(what)


def mutated(content: bytes, random_: random.Random, start: int = 0) -> bytes:
    """A file with some damage: changed, lost, doubled, moved or foreign bytes, or its end cut off.

    Parameters
    ----------
    content : bytes
        The whole file.
    random_ : random.Random
        Chooses.
    start : int
        Bytes that stay, so that it is still taken for what it is.
    """
    data = bytearray(content)
    for _ in range(random_.choice((1, 1, 1, 2, 4, 16))):
        at = random_.randrange(start, max(len(data), start + 1))
        length = random_.choice((1, 1, 2, 4, 8, random_.randrange(1, 200)))
        match random_.randrange(8):
            case 0:
                data[at : at + 1] = bytes([random_.randrange(256)])
            case 1 if at < len(data):
                data[at] ^= 1 << random_.randrange(8)
            case 2:  # a number that is far too large, or none
                data[at : at + 4] = random_.choice((b"\xff" * 4, bytes(4), b"\x7f" + b"\xff" * 3))
            case 3:
                del data[at : at + length]
            case 4:
                data[at:at] = random_.randbytes(length)
            case 5:
                data[at:at] = data[at : at + length]
            case 6:
                part = data[at : at + length]
                del data[at : at + length]
                to = random_.randrange(start, max(len(data), start + 1))
                data[to:to] = part
            case 7 if random_.random() < 0.3:
                del data[at:]
    return bytes(data)


@dataclass
class Result:
    """What came of a kind's trials.

    Attributes
    ----------
    outcomes : collections.Counter of str
        How often what happened.
    faults : list of str
        A line for each: undocumented exceptions, hangs and crashes, with the trial's number.
    """

    outcomes: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)


def one(name: str, number: int, folder: Path | None = None) -> str:
    """Make and try the case of a number; returns what happened, or raises what should not."""
    with tempfile.TemporaryDirectory(dir=folder) as place:
        return module_of(name).trial(number, Path(place))


def run(
    name: str,
    count: int | None = None,
    *,
    workers: int = 1,
    patience: float = PATIENCE,
    report: Callable[[int], None] = lambda done: None,
) -> Result:
    """Run a kind's trials 0..count-1.

    Parameters
    ----------
    name : str
        The kind.
    count : int, optional
        The kind's own unless given.
    workers : int
        Processes at a time.
    patience : float
        Seconds that a trial may take.
    report : callable
        Called with the number of trials that are done.
    """
    numbers = range(module_of(name).COUNT if count is None else count)
    result = Result()
    lock = threading.Lock()

    def take(number: int, outcome: str, is_fault: bool) -> None:
        with lock:
            if is_fault:
                result.faults.append(f"{name} {number}: {outcome}")
            else:
                result.outcomes[outcome] += 1
            report(sum(result.outcomes.values()) + len(result.faults))

    with ThreadPoolExecutor(workers) as pool:
        shares = [list(numbers[first::workers]) for first in range(workers)]
        list(pool.map(lambda share: _share(name, share, patience, take), shares))
    return result


def _share(name: str, numbers: list[int], patience: float, take: Callable) -> None:
    """Run some trials in a process, and in a new one after each that hangs or crashes."""
    while numbers:
        command = [sys.executable, "-m", "tests.fuzz.worker", name]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, errors="replace"
        ) as process:
            lines: Queue[str | None] = Queue()
            threading.Thread(target=_hand_over, args=(process.stdout, lines), daemon=True).start()
            if lines.get() is None:
                raise RuntimeError(f"the trials of {name} cannot be begun")
            while numbers:
                try:
                    process.stdin.write(f"{numbers[0]}\n")
                    process.stdin.flush()
                    line = lines.get(timeout=patience)
                except (Empty, OSError):
                    line = ""
                if line:
                    kind, _, outcome = line.rstrip("\n").partition(" ")
                    take(numbers.pop(0), outcome, kind == "fault")
                    continue
                how = "crashed" if line is None else f"hung over {patience:g} s"
                take(numbers.pop(0), how, True)
                break
            process.kill()


def _hand_over(lines_in: Iterable[str], lines: Queue) -> None:
    """Put what a process prints into a queue, and None once it has ended."""
    for line in lines_in:
        lines.put(line)
    lines.put(None)
