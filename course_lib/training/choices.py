"""What input size, softening and temperature do to a trained ECCV16, on validation pictures.

All three are chosen after training, so one sweep tells what each choice would have given. Figures
are those of `course_lib.evaluation`: means over pictures, but for the pooled AuC, in which the few
pixels of the rarest colours count as much as all the gray ones.
"""

import itertools
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from course_lib.bins import annealed_mean, rebalancing_weights
from course_lib.data.arrays import decode_lab
from course_lib.data.prior import ab_prior
from course_lib.lab import lab_to_rgb_tensor
from course_lib.metrics import (
    ab_error_curve,
    auc,
    balanced_auc,
    bins_of,
    colourfulness_ratio,
    pooled_weights,
    rarity_of,
)
from course_lib.models import evaluating
from course_lib.models.eccv16 import ECCV16
from course_lib.training.batches import Labelled
from course_lib.training.loop import write_rows
from course_lib.training.runs import load_run, train_run

SIZES = (96, 112, 128, 160)
SOFTENINGS = (0.0, 0.1, 0.2, 0.3)
TEMPERATURES = (0.38, 0.6)
#: What a mean over two sizes is tried with.
TWO_SIZES = (96, 160)


@torch.no_grad()
def sweep(
    network: ECCV16,
    codes: np.ndarray,
    lam: float,
    sizes: Sequence[int | tuple[int, ...]] = SIZES,
    softenings: Sequence[float] = SOFTENINGS,
    temperatures: Sequence[float] = TEMPERATURES,
    mirrored: bool = False,
) -> list[dict[str, float]]:
    """Figures for every combination, and for the gray picture.

    Parameters
    ----------
    network : ECCV16
        As trained, not softened.
    codes : numpy.ndarray
        (N, 3, H, W) uint8, as `data.prepare.build_array` writes them; measured at that size.
    lam : float
        Of the rebalancing that the network was trained with.
    sizes : sequence of int or tuple of int
        Sides at which the network sees the pictures. Of a tuple's sides the answers' mean is
        taken, as logarithms of the probabilities.
    softenings : sequence of float
        Shares of the rebalancing to take back; see `classification.soften_rebalancing`.
    temperatures : sequence of float
        Of the annealed mean.
    mirrored : bool
        Whether the network sees each picture's mirror image too; the mean is taken likewise.

    Returns
    -------
    list of dict
        "size", "softening", "temperature" (None for gray), then "psnr" in dB, "auc_raw",
        "auc_balanced" and "auc_pooled" in percent, "colourfulness" as a ratio to the truth, and
        what was measured: "pictures" and their side in "pixels".
    """
    L, ab = decode_lab(torch.from_numpy(np.array(codes)))
    rows = [_row((None, None, None), L, torch.zeros_like(ab), ab)]
    rarity = torch.from_numpy(np.log(rebalancing_weights(ab_prior(), lam))).float()
    for size in sizes:
        views = size if isinstance(size, tuple) else (size,)
        logits = _logits(network, L, views, mirrored)
        for share, temperature in itertools.product(softenings, temperatures):
            softened = logits - share * rarity[:, None, None]
            colours = torch.cat([annealed_mean(x, temperature) for x in softened.split(32)])
            colours = F.interpolate(colours, L.shape[-2:], mode="bilinear", align_corners=False)
            setting = (" + ".join(map(str, views)), share, temperature)
            rows.append(_row(setting, L, colours, ab))
    return rows


def _logits(network: ECCV16, L: Tensor, sides: Sequence[int], mirrored: bool) -> Tensor:
    """Means of the logarithms of the probabilities; logits for a single view."""
    found = []
    for side, flipped in itertools.product(sides, (False, True) if mirrored else (False,)):
        small = F.interpolate(L, (side, side), mode="area")
        small = small.flip(-1) if flipped else small
        with evaluating(network):
            logits = torch.cat([network.logits(part) for part in small.split(32)])
        found.append(logits.flip(-1) if flipped else logits)
    if len(found) == 1:
        return found[0]
    size = found[-1].shape[-2:]
    return torch.stack(
        [
            F.interpolate(x.log_softmax(dim=1), size, mode="bilinear", align_corners=False)
            for x in found
        ]
    ).mean(dim=0)


def _row(setting: tuple, L: Tensor, predicted: Tensor, true: Tensor) -> dict[str, float]:
    pictures = (lab_to_rgb_tensor(torch.cat([L, x], dim=1)) for x in (predicted, true))
    error = torch.sub(*pictures).square().mean(dim=(1, 2, 3))
    predicted, true = predicted.numpy(), true.numpy()
    balance = rebalancing_weights(ab_prior(), lam=0)
    pooled = rarity_of(true, pooled_weights([bins_of(true)]))
    return dict(zip(("size", "softening", "temperature"), setting, strict=True)) | {
        "psnr": float((-10 * error.log10()).mean()),
        "auc_raw": auc(ab_error_curve(predicted, true)),
        "auc_balanced": balanced_auc(predicted, true, balance),
        "auc_pooled": auc(ab_error_curve(predicted, true, pooled)),
        "colourfulness": colourfulness_ratio(predicted, true),
        "pictures": len(true),
        "pixels": true.shape[-1],
    }


def save_choices(path: str | os.PathLike, rows: Sequence[dict[str, Any]]) -> None:
    """Write a sweep as CSV, rounded as a table shows it."""
    digits = {"psnr": 2, "auc_raw": 1, "auc_balanced": 1, "auc_pooled": 1, "colourfulness": 2}

    def shown(name: str, value: Any) -> Any:
        return f"{value:.{digits[name]}f}" if name in digits and value is not None else value

    write_rows(path, [{name: shown(name, v) for name, v in row.items()} for row in rows])


def sweep_run(run_dir: str | os.PathLike, codes: np.ndarray, output: str | os.PathLike) -> int:
    """Write a sweep over a run's network, averaged and as of the last step; returns its rows."""
    network, config, _ = load_run(run_dir)
    if config["recipe"] != "classification":
        raise ValueError("size, softening and temperature are chosen for classification alone")
    gray, *averaged = sweep(network, codes, config["lam"])
    last, _, _ = load_run(run_dir, averaged=False)
    _, *others = sweep(last, codes, config["lam"], sizes=(config["size"],))
    _, *mirrored = sweep(network, codes, config["lam"], sizes=(config["size"],), mirrored=True)
    _, *two_sizes = sweep(network, codes, config["lam"], sizes=(TWO_SIZES,))
    parts = {
        "averaged": averaged,
        "last step": others,
        "averaged, the mirror image too": mirrored,
        "averaged, two sizes": two_sizes,
    }
    rows = [{"weights": None} | gray]
    rows += [{"weights": name} | row for name, found in parts.items() for row in found]
    save_choices(output, rows)
    return len(rows)


def compare(
    config: dict[str, Any],
    changes: Sequence[dict[str, Any]],
    train: Mapping[str, np.ndarray | Labelled],
    validation: np.ndarray,
    count: int,
    run_dir: Path,
    output: str | os.PathLike,
) -> int:
    """Train short runs that differ in a setting, and write what each came to.

    Parameters
    ----------
    config : dict
        Of a training by classification, without stages.
    changes : sequence of dict
        A run each: what is different in its config.
    train : mapping of str to numpy.ndarray or Labelled
        As in `train_run`.
    validation : numpy.ndarray
        (N, 3, H, W) uint8; the runs are compared on its first `count` pictures.
    count : int
        See there.
    run_dir, output : path
        For the runs' folders; the CSV to write, anew after each run.

    Returns
    -------
    int
        How many rows it has.

    Raises
    ------
    KeyboardInterrupt
        If a run was interrupted; called again, the comparison goes on with it.
    """
    if config["recipe"] != "classification":
        raise ValueError("only trainings by classification are compared")
    rows: list[dict[str, Any]] = []
    for change in changes:
        trial = config | change
        folder = run_dir / "-".join(["trial", *(f"{k}-{v}" for k, v in change.items())])
        recipe, history = train_run(trial, train, validation, folder)
        if history.interrupted:
            raise KeyboardInterrupt
        network = recipe.average.network
        gray, row = sweep(
            network,
            validation[:count],
            recipe.settings.lam,
            (recipe.settings.size,),
            (0.0,),
            (network.temperature,),
        )
        changed = ", ".join(f"{name} {value}" for name, value in change.items())
        trained = {"changed": changed or "nothing", "samples": history.rows[-1]["samples"]}
        rows += [] if rows else [dict.fromkeys(trained) | gray]
        rows.append(trained | row)
        save_choices(output, rows)
    return len(rows)
