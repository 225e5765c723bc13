"""One training loop for every recipe: history, progress, checkpoints, exact resume."""

import csv
import io
import json
import math
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from filelock import FileLock, Timeout
from torch import nn
from tqdm.auto import tqdm

from course_lib import parallel
from course_lib.files import whole_file


class Recipe(Protocol):
    """What the loop asks of a recipe.

    A recipe's randomness must follow from the step's number alone (see `step_generator`), so
    that a run resumed from a checkpoint goes through the same numbers as one never stopped.
    A recipe may have an attribute `finished`: the run ends as soon as it is true.

    Attributes
    ----------
    batch_size : int
        Pictures in a step.
    parts : mapping of str to object
        Everything that the next step depends on, by name: networks, optimizers, schedules,
        averages, `Attributes`. The loop saves and loads it all by ``state_dict()`` and
        ``load_state_dict()``.
    plan : dict
        What a run must keep from its beginning to its end: "recipe", its name, and the settings.
        The loop refuses a checkpoint that was made with another plan.
    """

    batch_size: int
    parts: Mapping[str, Any]
    plan: dict[str, Any]

    def train_step(self, step: int) -> dict[str, float]:
        """Take optimization step number `step` (from 0) and return the losses to record."""

    def evaluate(self) -> dict[str, float]:
        """Measure the current weights on validation pictures."""


class Stage(NamedTuple):
    """A recipe for so many steps of a run.

    Attributes
    ----------
    steps : int
        Length of the stage.
    build : callable
        Makes the recipe, from that of the stage before. In the first stage, and where a run is
        resumed and a checkpoint tells all, it is called with None.
    """

    steps: int
    build: Callable[[Recipe | None], Recipe]


class Attributes:
    """Plain attributes of an object, as a part of a recipe: numbers, texts, dicts, arrays.

    Parameters
    ----------
    owner : object
        Whose attributes.
    names : str
        Which.
    """

    def __init__(self, owner: Any, *names: str):
        self._owner, self._names = owner, names

    def state_dict(self) -> dict[str, Any]:
        """Their values."""
        return {name: _saved(getattr(self._owner, name)) for name in self._names}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Set them."""
        for name in self._names:
            setattr(self._owner, name, _restored(state[name]))


def _saved(value: Any) -> Any:
    """A value as a checkpoint may hold it, which runs no code when it is read: no arrays."""
    if isinstance(value, dict):
        return {key: _saved(inner) for key, inner in value.items()}
    return torch.from_numpy(value) if isinstance(value, np.ndarray) else value


def _restored(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _restored(inner) for key, inner in value.items()}
    return value.numpy() if isinstance(value, torch.Tensor) else value


def step_generator(seed: int, step: int) -> torch.Generator:
    """Random numbers of one step, the same whenever and wherever the step is taken.

    Parameters
    ----------
    seed : int
        Seed of the run.
    step : int
        Number of the step, or of the epoch, from 0.

    Returns
    -------
    torch.Generator
        On the CPU.
    """
    # A large odd multiplier keeps (seed, step) pairs apart without a hash.
    return torch.Generator().manual_seed((seed * 1_000_003 + step) % 2**63)


def write_rows(path: str | os.PathLike, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write a CSV table, whole or not at all.

    Parameters
    ----------
    path : path
        The file.
    rows : sequence of mapping
        Names of columns to values; a row may lack some.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, list(dict.fromkeys(name for row in rows for name in row)))
    writer.writeheader()
    writer.writerows(rows)
    with whole_file(path) as file:
        file.write(text.getvalue().encode())


class History:
    """Losses and measurements of a run, one row each time they are recorded.

    Attributes
    ----------
    rows : list of dict
        ``step`` (steps taken so far), ``samples``, ``seconds`` (spent training, resumed runs
        added up), then the recipe's losses (means since the last row) and measurements.
    interrupted : bool
        Whether the run ended early, by Ctrl-C or Kernel > Interrupt.
    """

    def __init__(self, rows: list[dict[str, float]] | None = None, interrupted: bool = False):
        self.rows = list(rows or [])
        self.interrupted = interrupted

    def column(self, name: str) -> tuple[list[float], list[float]]:
        """Steps and values of the rows that have a value of that name."""
        having = [row for row in self.rows if row.get(name) is not None]
        return [row["step"] for row in having], [row[name] for row in having]

    def save_csv(self, path: str | os.PathLike) -> None:
        """Write all rows; the file is replaced only once it is complete."""
        write_rows(
            path,
            [
                {k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items()}
                for row in self.rows
            ],
        )

    @classmethod
    def load_csv(cls, path: str | os.PathLike) -> "History":
        """Read what `save_csv` wrote; ValueError if it is something else."""
        try:
            with Path(path).open(newline="", encoding="utf-8-sig") as file:
                return cls(
                    [
                        {k: float(v) if v else None for k, v in row.items()}
                        for row in csv.DictReader(file, strict=True)
                    ]
                )
        except (ValueError, TypeError, csv.Error) as error:
            raise ValueError(f"{path}: not the history of a run ({error})") from None


@dataclass
class _Progress:
    """How far a run has come, in whole steps."""

    step: int = 0
    samples: int = 0
    seconds: float = 0.0
    stage: int = 0
    stage_step: int = 0
    rows: list[dict[str, float]] = field(default_factory=list)
    #: sums of the losses since the last row, and how many steps they are of
    sums: dict[str, float] = field(default_factory=dict)
    summed: int = 0

    def take_in(self, losses: dict[str, float], samples: int, seconds: float) -> None:
        self.step += 1
        self.stage_step += 1
        self.samples += samples
        self.seconds += seconds
        self.summed += 1
        for name, value in losses.items():
            self.sums[name] = self.sums.get(name, 0.0) + value

    def add_row(self, values: dict[str, float]) -> None:
        row = {"step": self.step, "samples": self.samples, "seconds": self.seconds}
        self.rows.append(row | values)
        self.sums, self.summed = {}, 0


def load_checkpoint(path: str | os.PathLike) -> dict[str, Any]:
    """Read a run's checkpoint, also without the graphics card that it was made with.

    Parameters
    ----------
    path : path
        The checkpoint.pt.

    Returns
    -------
    dict
        "recipe", the states of the recipe's parts by name; "plan"; and how far the run has come:
        "step", "samples", "seconds", "stage", "stage_step" and "rows" among others.

    Raises
    ------
    ValueError
        If it is damaged, or not one of this version's.
    """
    try:
        state = torch.load(path, weights_only=True, map_location="cpu")
    except OSError:
        raise
    except Exception as error:  # there is no end to what a damaged file makes torch raise
        raise ValueError(
            f"{path}: damaged, or no checkpoint ({_reason(error)}); train into another folder"
        ) from None
    kinds = {f.name: type(getattr(_Progress(), f.name)) for f in fields(_Progress)}
    kinds |= {"recipe": dict, "plan": dict}
    if not (
        isinstance(state, dict)
        and all(isinstance(state.get(name), kind) for name, kind in kinds.items())
        and isinstance(state["plan"].get("recipe"), str)
        and min(state["step"], state["stage"], state["stage_step"], state["summed"]) >= 0
        and all(isinstance(row, dict) for row in state["rows"])
    ):
        raise ValueError(
            f"{path}: not a checkpoint that this version of the course wrote; train into another "
            "folder"
        )
    return state


def _load(recipe: Recipe, state: dict[str, Any], path: Path) -> None:
    """Bring a recipe to the state of a checkpoint, if that was made with the same plan."""
    saved, mine = state["plan"], recipe.plan
    if saved["recipe"] != mine["recipe"]:
        raise ValueError(
            f"{path}: the checkpoint is one of {saved['recipe']}, not of {mine['recipe']}; train "
            "into another folder"
        )
    changed = [k for k in {**saved, **mine} if k not in saved or saved[k] != mine.get(k)]
    if changed:
        raise ValueError(
            f"{path}: the checkpoint was made with other settings ({', '.join(changed)}); go on "
            "with the same ones, or train into another folder"
        )
    for name, part in recipe.parts.items():
        load_part(part, state, name, path)


def load_part(part: Any, state: Mapping[str, Any], name: str, path: Path) -> None:
    """Bring a part of a recipe to its state in a checkpoint; ValueError if that does not fit.

    Parameters
    ----------
    part : object
        With ``load_state_dict()``.
    state : mapping
        From `load_checkpoint`.
    name : str
        Of the part.
    path : pathlib.Path
        Of the checkpoint, for messages.
    """
    try:
        part.load_state_dict(state["recipe"][name])
        if isinstance(part, torch.optim.Optimizer):  # which itself looks at no shape
            for parameter, moments in part.state.items():
                wrong = [m for m in moments.values() if m.ndim and m.shape != parameter.shape]
                if wrong:
                    raise ValueError(f"{tuple(wrong[0].shape)} for {tuple(parameter.shape)}")
    except Exception as error:  # a foreign file may hold anything under these names
        raise ValueError(
            f"{path}: does not fit what is to be trained ({name}: {_reason(error)}); train into "
            "another folder"
        ) from None


def _reason(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


@contextmanager
def _held_interrupts() -> Iterator[list[int]]:
    """Let Ctrl-C and Kernel > Interrupt wait, so that steps, measurements and files are whole.

    Yields the list of those that came. Signals come to the main thread alone, and a process may
    have been told to ignore them: then nothing is held.
    """
    came: list[int] = []

    def hold(number: int, frame: Any) -> None:
        came.append(number)
        # Straight to the terminal: a print may be what was interrupted.
        os.write(2, b"\ninterrupted: the step is finished first\n")

    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield came
        return
    signal.signal(signal.SIGINT, hold)
    try:
        yield came
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Be the only process that trains in a folder; the system lets go of it if this one dies."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        lock = FileLock(folder / ".lock").acquire(timeout=0)
    except Timeout:
        raise ValueError(
            f"{folder}: another process is training there; wait until it ends, or choose another "
            "folder"
        ) from None
    except NotImplementedError:  # some network disks know no locks
        lock = nullcontext()
    with lock:
        yield


def _networks(recipe: Recipe) -> list[nn.Module]:
    return [part for part in recipe.parts.values() if isinstance(part, nn.Module)]


def _expect_finite(losses: Mapping[str, float], step: int, networks: Sequence[nn.Module]) -> None:
    """Raise FloatingPointError if a loss or a weight is nan or infinite."""
    lost = [name for name, value in losses.items() if not math.isfinite(value)]
    if not lost and all(p.isfinite().all() for net in networks for p in net.parameters()):
        return
    raise FloatingPointError(
        f"step {step}: {lost[0] if lost else 'a weight'} is not finite any more, which no later "
        "step would mend; what was saved before is kept. Train anew with a lower rate"
    )


def fit(
    recipe: Recipe,
    steps: int,
    *,
    run_dir: str | os.PathLike | None = None,
    record_every: int = 50,
    evaluate_every: int | None = None,
    checkpoint_seconds: float = 180.0,
    progress: bool = True,
) -> History:
    """Train until `steps` steps have been taken.

    Parameters
    ----------
    recipe : Recipe
        What to train and how.
    steps : int
        Steps in all, those taken before a resume among them.
    run_dir : path, optional
        Folder for ``checkpoint.pt`` and ``history.csv``. If it holds a checkpoint, training
        goes on from there, and ends up where an uninterrupted run does, number for number.
        Without a folder nothing is saved. Where torchrun started several processes, the first
        one alone writes, and all of them read.
    record_every : int
        Steps whose mean losses make one row of the history.
    evaluate_every : int, optional
        Steps between measurements on validation pictures; a multiple of `record_every`.
        None: only after the last step.
    checkpoint_seconds : float
        Seconds between checkpoints; one is always written at the end.
    progress : bool
        Show a progress bar.

    Returns
    -------
    History
        Also after an interrupt (Ctrl-C, or Kernel > Interrupt), which ends the run early, with
        the step or the measurement that it came in.

    Raises
    ------
    FloatingPointError
        If a loss or a weight is nan or infinite. What was saved before is kept.
    ValueError
        If the folder's checkpoint is damaged or of another training, or another process trains
        in the folder.
    """
    _, history = fit_stages(
        [Stage(steps, lambda before: recipe)],
        run_dir=run_dir,
        record_every=record_every,
        evaluate_every=evaluate_every,
        checkpoint_seconds=checkpoint_seconds,
        progress=progress,
    )
    return history


def fit_stages(
    stages: Sequence[Stage],
    *,
    run_dir: str | os.PathLike | None = None,
    record_every: int = 50,
    evaluate_every: int | None = None,
    checkpoint_seconds: float = 180.0,
    progress: bool = True,
    config: Mapping[str, Any] | None = None,
) -> tuple[Recipe, History]:
    """Train through several stages, as one run with one checkpoint and one history.

    Parameters
    ----------
    stages : sequence of Stage
        One after the other. The last step of each makes a row of the history, with measurements.
    run_dir, record_every, evaluate_every, checkpoint_seconds, progress
        As in `fit`.
    config : mapping, optional
        What the folder is to hold as "config.json", once the run is known to go on in it.

    Returns
    -------
    recipe : Recipe
        Of the stage that the run came to before it ended, or was interrupted.
    history : History
        Of all stages.
    """
    for name, every in (("record_every", record_every), ("evaluate_every", evaluate_every)):
        if every is not None and every < 1:
            raise ValueError(f"{name} must be at least 1, got {every}")
    folder = Path(run_dir) if run_dir is not None else None
    first = parallel.rank() == 0
    with _alone_in(folder) if folder and first else nullcontext():
        return _fit_stages(
            stages, folder, config, record_every, evaluate_every, checkpoint_seconds, progress
        )


def _fit_stages(
    stages: Sequence[Stage],
    folder: Path | None,
    config: Mapping[str, Any] | None,
    record_every: int,
    evaluate_every: int | None,
    checkpoint_seconds: float,
    progress: bool,
) -> tuple[Recipe, History]:
    first = parallel.rank() == 0
    checkpoint = folder / "checkpoint.pt" if folder else None
    run, state = _Progress(), None
    if checkpoint and checkpoint.exists():
        state = load_checkpoint(checkpoint)
        run = _Progress(**{f.name: state[f.name] for f in fields(_Progress)})
        if run.stage >= len(stages):
            raise ValueError(f"{checkpoint}: has come to a stage that there is not; train anew")
    parallel.check_same_everywhere(run.step, "the step of the checkpoint")
    recipe = stages[run.stage].build(None)
    if state:
        _load(recipe, state, checkpoint)
    del state  # it is as large as the recipe
    if config is not None and folder and first:
        with whole_file(folder / "config.json") as file:
            file.write(json.dumps(config, indent=2).encode())

    def save() -> None:
        _expect_finite({}, run.step, _networks(recipe))
        if checkpoint and first:
            parts = {name: part.state_dict() for name, part in recipe.parts.items()}
            with whole_file(checkpoint) as file:
                torch.save({"recipe": parts, "plan": recipe.plan, **asdict(run)}, file)
            History(run.rows).save_csv(folder / "history.csv")

    saved_at = time.monotonic()
    bar = tqdm(
        total=sum(stage.steps for stage in stages),
        initial=run.step,
        unit="step",
        mininterval=1,
        # not as "disable=False": what the environment says, TQDM_DISABLE=1, is to count
        **({} if progress and first else {"disable": True}),
    )
    with bar, _held_interrupts() as interrupts:
        try:
            # Once around is a step, a row or a change of stage: whole, and then interrupts count.
            while not any(parallel.total_over_processes([len(interrupts)])):
                steps = stages[run.stage].steps
                over = run.stage_step >= steps or getattr(recipe, "finished", False)
                if run.summed and (run.step % record_every == 0 or run.stage_step >= steps):
                    _expect_finite({}, run.step, _networks(recipe))
                    due = evaluate_every is not None and run.step % evaluate_every == 0
                    means = {name: total / run.summed for name, total in run.sums.items()}
                    bar.set_postfix({k: f"{v:.3g}" for k, v in means.items()}, refresh=False)
                    measured = recipe.evaluate() if due or run.stage_step >= steps else {}
                    run.add_row(means | measured)
                elif not over:
                    start = time.monotonic()
                    losses = recipe.train_step(run.stage_step)
                    _expect_finite(losses, run.step + 1, ())
                    run.take_in(losses, recipe.batch_size, time.monotonic() - start)
                    bar.update()
                elif run.stage + 1 < len(stages):
                    recipe = stages[run.stage + 1].build(recipe)
                    run.stage, run.stage_step = run.stage + 1, 0
                else:
                    break
                if time.monotonic() - saved_at > checkpoint_seconds:
                    save()
                    saved_at = time.monotonic()
            save()
        except KeyboardInterrupt:  # one that was not held: nothing half-taken is saved
            interrupts.append(signal.SIGINT)
            where = f"within step {run.step + 1}: go on from what was saved last"
        else:
            where = f"after step {run.step}: the model and its history are as of that step"
        finally:  # whatever ended it: what a half-taken step leaves would go into the next one
            for network in _networks(recipe):
                network.zero_grad()
    if interrupts and first:
        tqdm.write(f"interrupted {where}")
    return recipe, History(run.rows, interrupted=bool(interrupts))
