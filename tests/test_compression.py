"""Weights in fewer bits: what they turn into, and the table of what that costs."""

import lzma

import numpy as np
import pytest
import torch
from skimage import data

from authoring import model_cards
from authoring.compression import BITS, compare, compressed, rounded
from course_lib.data.arrays import square
from course_lib.models import ECCV16
from course_lib.training.loop import write_rows
from course_lib.training.optim import initialize


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    network = ECCV16(0.05).eval()
    initialize(network)
    return network


def test_weights_are_rounded_by_half_a_step_of_their_channel_at_most():
    weight = torch.randn(6, 5, 3, 3, generator=torch.Generator().manual_seed(0))
    weight[2] *= 100
    weight[3] = 0
    for bits in BITS:
        numbers, scales = rounded(weight, bits)
        assert numbers.dtype == torch.int8 and scales.shape == (6, 1, 1, 1)
        assert numbers.abs().amax(dim=(1, 2, 3)).tolist() == [
            0 if channel == 3 else 2 ** (bits - 1) - 1 for channel in range(6)
        ]
        error = (numbers * scales - weight).abs()
        assert (error <= scales / 2 * 1.0001).all()


def test_fewer_bits_are_fewer_bytes_and_the_network_stays(network):
    before = {name: value.clone() for name, value in network.state_dict().items()}
    sizes, errors = [], []
    L = 100 * torch.rand(1, 1, 32, 32, generator=torch.Generator().manual_seed(1))
    for bits in BITS:
        small, size = compressed(network, bits)
        sizes.append(size)
        with torch.no_grad():
            errors.append((small.logits(L) - network.logits(L)).abs().mean().item())
        # nothing that is not a convolution's weight has changed
        same = {k: v for k, v in small.state_dict().items() if v.ndim < 2}
        assert all(torch.equal(v, before[k]) for k, v in same.items())
    assert sizes == sorted(sizes, reverse=True) and errors == sorted(errors)
    count = sum(p.numel() for p in network.parameters() if p.ndim > 1)
    assert sizes[0] < 1.2 * count and sizes[-1] < 0.75 * count
    assert all(torch.equal(v, before[k]) for k, v in network.state_dict().items())


def test_the_bytes_are_enough_to_build_the_network_again(network):
    small, size = compressed(network, 8)
    parts, others = [], 0
    for name, value in network.state_dict().items():
        if value.ndim < 2:
            others += value.nbytes
            continue
        numbers, scales = rounded(value, 8)
        parts.append(numbers.numpy().tobytes())
        others += scales.half().nbytes
        assert torch.equal(small.state_dict()[name], numbers * scales.half())
    packed = lzma.compress(b"".join(parts), preset=9)
    assert lzma.decompress(packed) == b"".join(parts) and size == len(packed) + others


def test_the_table_tells_differences_to_what_ships(network, tmp_path, monkeypatch):
    pictures = [square(p, 48) for p in (data.astronaut(), data.coffee())]
    rows = compare(network, pictures, 123_456)
    assert [row["bits"] for row in rows] == [16, *BITS]
    assert rows[0]["bytes"] == 123_456 and rows[0]["psnr"] == rows[0]["auc_pooled_high"] == 0
    assert all(row["psnr_low"] <= row["psnr"] <= row["psnr_high"] for row in rows)
    assert not np.isclose(rows[-1]["auc_raw"], 0, atol=0.005)
    monkeypatch.setattr(model_cards, "WEIGHTS", tmp_path)
    assert model_cards.compression() == ""
    write_rows(tmp_path / "compression.csv", [{"network": "eccv16", **row} for row in rows])
    lines = model_cards.compression().splitlines()
    assert "over 2 held-out pictures" in lines[0]
    assert "| eccv16 | 16 | 0.1 |  |  |  |  |" in lines and len(lines) == 4 + len(rows)
