"""One training loop for every recipe: history, progress, checkpoints, exact resume."""

import csv
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import torch
from tqdm.auto import tqdm

from course_lib import parallel


class Recipe(Protocol):
    """What the loop asks of a recipe.

    A recipe's randomness must follow from the step's number alone (see `step_generator`), so
    that a run resumed from a checkpoint goes through the same numbers as one never stopped.
    A recipe may have an attribute `finished`: the run ends as soon as it is true.
    """

    batch_size: int

    def train_step(self, step: int) -> dict[str, float]:
        """Take optimization step number `step` (from 0) and return the losses to record."""

    def evaluate(self) -> dict[str, float]:
        """Measure the current weights on validation pictures."""

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next step depends on: weights, optimizer, averages."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go back to a state that `state_dict` returned."""


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


class History:
    """Losses and measurements of a run, one row each time they are recorded.

    Attributes
    ----------
    rows : list of dict
        ``step`` (steps taken so far), ``samples``, ``seconds`` (spent training, resumed runs
        added up), then the recipe's losses (means since the last row) and measurements.
    """

    def __init__(self, rows: list[dict[str, float]] | None = None):
        self.rows = list(rows or [])

    def column(self, name: str) -> tuple[list[float], list[float]]:
        """Steps and values of the rows that have a value of that name."""
        having = [row for row in self.rows if row.get(name) is not None]
        return [row["step"] for row in having], [row[name] for row in having]

    def save_csv(self, path: str | os.PathLike) -> None:
        """Write all rows; the file is replaced only once it is complete."""
        names = list(dict.fromkeys(name for row in self.rows for name in row))
        temporary = Path(f"{path}.part")
        with temporary.open("w", newline="") as file:
            writer = csv.DictWriter(file, names)
            writer.writeheader()
            for row in self.rows:
                writer.writerow(
                    {k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items()}
                )
        temporary.replace(path)

    @classmethod
    def load_csv(cls, path: str | os.PathLike) -> "History":
        """Read what `save_csv` wrote."""
        with Path(path).open(newline="") as file:
            return cls(
                [
                    {k: float(v) if v else None for k, v in row.items()}
                    for row in csv.DictReader(file)
                ]
            )


def _save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    # A kill in the middle of a write must leave the last good checkpoint in place.
    temporary = path.with_suffix(".part")
    with temporary.open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


@contextmanager
def _stopped_by_learner() -> Iterator[None]:
    """Let Kernel > Interrupt end the training early with everything usable."""
    try:
        yield
    except KeyboardInterrupt:
        tqdm.write("interrupted: the model and its history are those of the last whole step")


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
        Also after an interrupt (Ctrl-C, or Kernel > Interrupt), which ends the run early.
    """
    folder = Path(run_dir) if run_dir is not None else None
    checkpoint = folder / "checkpoint.pt" if folder else None
    history, step, seconds = History(), 0, 0.0
    sums: dict[str, float] = {}  # since the last row
    summed = 0
    if folder:
        folder.mkdir(parents=True, exist_ok=True)
    if checkpoint and checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        recipe.load_state_dict(state["recipe"])
        history, step, seconds = History(state["rows"]), state["step"], state["seconds"]
        sums, summed = state["sums"], state["summed"]
    parallel.check_same_everywhere(step, "the step of the checkpoint")
    first = parallel.rank() == 0
    silent = not (progress and first)

    def save() -> None:
        if checkpoint and first:
            state = {
                "recipe": recipe.state_dict(),
                "rows": history.rows,
                "sums": sums,
                "summed": summed,
                "step": step,
                "seconds": seconds,
            }
            _save_checkpoint(checkpoint, state)
            history.save_csv(folder / "history.csv")

    last_save = time.monotonic()
    bar = tqdm(total=steps, initial=step, disable=silent, unit="step", mininterval=1)
    with bar, _stopped_by_learner():
        while step < steps and not getattr(recipe, "finished", False):
            start = time.monotonic()
            losses = recipe.train_step(step)
            seconds += time.monotonic() - start
            step += 1
            for name, value in losses.items():
                sums[name] = sums.get(name, 0.0) + value
            summed += 1
            if step % record_every == 0 or step == steps:
                row = {"step": step, "samples": step * recipe.batch_size, "seconds": seconds}
                row |= {name: total / summed for name, total in sums.items()}
                sums, summed = {}, 0
                due = evaluate_every is not None and step % evaluate_every == 0
                if due or step == steps:
                    row |= recipe.evaluate()
                history.rows.append(row)
                bar.set_postfix({k: f"{v:.3g}" for k, v in losses.items()}, refresh=False)
            bar.update()
            if time.monotonic() - last_save > checkpoint_seconds:
                save()
                last_save = time.monotonic()
    save()
    return history
