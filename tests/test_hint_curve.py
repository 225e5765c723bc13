import numpy as np
import pytest
import torch
from skimage import data

from course_lib.data.arrays import square
from course_lib.evaluation import PUBLISHED_PSNR, psnr_against_hints, reveal_hints
from course_lib.inference import colorize
from course_lib.metrics import psnr
from course_lib.models.siggraph17 import SIGGRAPH17


@pytest.fixture(scope="module")
def pictures():
    return [square(picture, 64) for picture in (data.astronaut(), data.coffee())]


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    network = SIGGRAPH17(width=0.06).eval()
    network.input_size = 32
    return network


class Listener(torch.nn.Module):
    """Answers with the hints where there are any, and gray elsewhere."""

    input_size = 64

    def __init__(self):
        super().__init__()
        self.unused = torch.nn.Parameter(torch.zeros(1))

    def forward(self, L, hint_ab, mask):
        return hint_ab * mask


def test_fewer_hints_are_the_first_of_more(pictures):
    many = reveal_hints(pictures[0], 20, seed=3)
    assert reveal_hints(pictures[0], 7, seed=3) == many[:7]
    assert reveal_hints(pictures[0], 20, seed=4) != many
    assert reveal_hints(pictures[0], 0) == []


def test_hints_tell_the_mean_true_colour_of_the_square_around_them(pictures):
    for row, column, colour in reveal_hints(pictures[1], 30, side=6):
        patch = pictures[1][row - 3 : row + 3, column - 3 : column + 3]
        assert patch.shape == (6, 6, 3)
        assert np.abs(patch.mean(axis=(0, 1)) - colour).max() <= 0.5


def test_hints_reach_every_part_of_the_picture():
    flat = np.zeros((20, 40, 3), np.uint8)
    places = np.array([hint[:2] for hint in reveal_hints(flat, 2000, side=6)])
    assert places.min(axis=0).tolist() == [3, 3]
    assert places.max(axis=0).tolist() == [17, 37]
    one = reveal_hints(np.zeros((1, 1, 3), np.uint8), 2, side=1)
    assert [hint[:2] for hint in one] == [(0, 0)] * 2


@pytest.mark.parametrize(("count", "side"), [(-1, 6), (1, 0), (1, 65)])
def test_hints_that_cannot_be_are_refused(pictures, count, side):
    with pytest.raises(ValueError, match=r"count|side"):
        reveal_hints(pictures[0], count, side=side)


def test_it_measures_what_colorize_gives(net, pictures):
    counts = (0, 3, 12)
    measured = psnr_against_hints(net, pictures, counts, seed=5)
    for row, (number, truth) in zip(measured, enumerate(pictures), strict=True):
        hints = reveal_hints(truth, 12, seed=5 + number)
        by_hand = [psnr(colorize(truth, net, hints=hints[:n]), truth) for n in counts]
        assert row == pytest.approx(by_hand, abs=0.02)


def test_more_and_larger_hints_help_a_network_that_listens(pictures):
    small = psnr_against_hints(Listener(), pictures, (0, 5, 50), patch=2)
    large = psnr_against_hints(Listener(), pictures, (0, 5, 50), patch=5)
    assert (np.diff(small, axis=1) > 0).all() and (np.diff(large, axis=1) > 0).all()
    assert np.allclose(small[:, 0], large[:, 0])
    assert (large[:, 1:] > small[:, 1:]).all()


def test_the_counts_are_the_published_ones_unless_given(net, pictures):
    assert psnr_against_hints(net, pictures[:1]).shape == (1, len(PUBLISHED_PSNR))


def test_the_networks_mode_is_left_as_it_was(net, pictures):
    before = {key: value.clone() for key, value in net.state_dict().items()}
    psnr_against_hints(net.train(), pictures[:1], (0, 1))
    assert net.training
    net.model1.eval()  # a frozen block
    psnr_against_hints(net, pictures[:1], (0, 1))
    assert net.training and not any(module.training for module in net.model1.modules())
    assert all(torch.equal(before[key], value) for key, value in net.state_dict().items())
    net.eval()
