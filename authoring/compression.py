"""How small the files of weights could be, and what it would cost: writes weights/compression.csv.

    python -m authoring.compression --folder imagenette-224 --count 100

Each convolution's weights are rounded to whole numbers of so many bits, with one scale for every
output channel, and the numbers of the whole file are packed by LZMA, which leaves about as many
bytes as their entropy. Biases and normalization stay as they are. Measured is what the networks do
with the rounded weights on held-out pictures, pairwise against the weights that ship.
"""

import argparse
import copy
import lzma
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from authoring.course import DATA
from course_lib.data.public import PUBLIC_SETS, fetch_dataset
from course_lib.evaluation import measure_all
from course_lib.evaluation.held_out import held_out_pictures
from course_lib.evaluation.summary import summarize_gain
from course_lib.inference import colorize
from course_lib.models import load_network, shipped_weights
from course_lib.training.loop import write_rows

#: Bits of a weight; the file that ships has 16.
BITS = (8, 6, 5, 4)
#: What is compared, and digits after the point.
COMPARED = {"psnr": 2, "auc_raw": 2, "auc_balanced": 2, "auc_pooled": 2}


def rounded(weight: Tensor, bits: int) -> tuple[Tensor, Tensor]:
    """A convolution's weights as whole numbers, and the scale of each output channel.

    Parameters
    ----------
    weight : torch.Tensor
        (out, ...).
    bits : int
        2 to 8: numbers lie in -(2^(bits-1) - 1) .. 2^(bits-1) - 1.

    Returns
    -------
    numbers : torch.Tensor
        int8, in the weights' shape.
    scales : torch.Tensor
        (out, 1, ...): numbers times scales are the weights, nearly.
    """
    most = 2 ** (bits - 1) - 1
    scales = weight.abs().amax(dim=tuple(range(1, weight.ndim)), keepdim=True) / most
    return (weight / scales.clamp(min=1e-12)).round().to(torch.int8), scales


def compressed(network: nn.Module, bits: int) -> tuple[nn.Module, int]:
    """A network with rounded weights, and the bytes that they take when they are packed.

    Parameters
    ----------
    network : torch.nn.Module
        Stays as it is.
    bits : int
        As for `rounded`.

    Returns
    -------
    torch.nn.Module
        A copy.
    int
        Bytes: packed numbers, scales in float16, and everything else as it ships.
    """
    network, numbers, others = copy.deepcopy(network), [], 0
    with torch.no_grad():
        for value in network.state_dict().values():
            if value.ndim < 2:
                others += value.nbytes
                continue
            whole, scales = rounded(value, bits)
            value.copy_(whole * scales.half())
            numbers.append(whole.numpy().tobytes())
            others += scales.half().nbytes
    return network, len(lzma.compress(b"".join(numbers), preset=9)) + others


def compare(
    network: nn.Module, pictures: Sequence[np.ndarray], shipped_bytes: int
) -> list[dict[str, str | int | float]]:
    """A row for each number of bits, beginning with the 16 that ship.

    Parameters
    ----------
    network : torch.nn.Module
        As it ships.
    pictures : sequence of numpy.ndarray
        (H, W, 3) uint8 each, held out.
    shipped_bytes : int
        Size of its file.

    Returns
    -------
    list of dict
        "bits", "bytes", "pictures", and of each of `COMPARED` the mean difference to the weights
        that ship, with the ends of its 95 % interval: "psnr", "psnr_low", "psnr_high", ...
    """
    networks = {16: (network, shipped_bytes)} | {bits: compressed(network, bits) for bits in BITS}
    methods = {
        str(bits): lambda gray, net=net: colorize(gray, net) for bits, (net, _) in networks.items()
    }
    figures, rows = measure_all(pictures, methods), []
    for bits, (_, size) in networks.items():
        gains = summarize_gain(figures[str(bits)], figures["16"])
        row = {"bits": bits, "bytes": size, "pictures": len(pictures)}
        for name, digits in COMPARED.items():
            ends = zip(("", "_low", "_high"), gains[name], strict=True)
            row |= {name + end: round(value, digits) + 0.0 for end, value in ends}
        rows.append(row)
    return rows


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure all networks that ship."""
    parser = argparse.ArgumentParser(prog="python -m authoring.compression")
    parser.add_argument("--folder", default="imagenette-224", help="of pictures, or a public set")
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--output", type=Path, default=DATA / "weights" / "compression.csv")
    options = parser.parse_args(arguments)
    name = options.folder
    folder = fetch_dataset(name) if name in PUBLIC_SETS else Path(name)
    pictures = held_out_pictures([folder], "test", options.count)
    rows = []
    for model, shipped in shipped_weights().items():
        size = (DATA / "weights" / shipped.file).stat().st_size
        found = compare(load_network(model, "course"), pictures, size)
        rows += [{"network": model, **row} for row in found]
    write_rows(options.output, rows)


if __name__ == "__main__":
    main()
