import numpy as np
import pytest
import torch
from skimage import data
from torch import nn

from course_lib.bins import ab_bins, ab_grid
from course_lib.data.arrays import square
from course_lib.data.prior import ab_prior
from course_lib.evaluation import suggestion_errors
from course_lib.evaluation.suggestions import prior_logits
from course_lib.lab import rgb_to_lab

RED = (180, 40, 30)


class Sure(nn.Module):
    """Answers gray, while its class head is sure of one colour everywhere."""

    input_size = 32

    def __init__(self, rgb):
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(1))
        ab = rgb_to_lab(np.uint8([[rgb]]))[0, 0, 1:]
        self.cell = int(((ab_grid() - ab) ** 2).sum(axis=1).argmin())

    def forward(self, L, hint_ab=None, mask=None):
        return torch.zeros(len(L), 2, *L.shape[2:])

    def logits(self, L):
        assert not self.training
        logits = torch.full((1, 529, 16, 16), -30.0)
        logits[:, self.cell] = 30.0
        return logits


def test_the_prior_stands_where_its_bins_are():
    probability = prior_logits().exp().numpy()
    assert probability.sum() == pytest.approx(1)
    assert (probability > 0).sum() == (ab_prior() > 0).sum()
    assert ab_prior() @ ab_bins() == pytest.approx(probability @ ab_grid())


def test_a_head_that_knows_beats_its_own_gray_answer_and_the_prior():
    red = np.full((40, 40, 3), RED, np.uint8)
    net = Sure(RED).train()
    net.frozen = nn.Dropout().eval()
    errors = suggestion_errors(net, [red], places=5)
    assert net.training and not net.frozen.training, "it is left as it was"
    chroma = np.hypot(*rgb_to_lab(red[:1, :1])[0, 0, 1:])
    assert errors["single answer"][0] == pytest.approx(chroma, abs=0.5)
    # the grid has a cell every 10 units
    assert errors["five of the class head"][0] < 8
    assert errors["five of the class head"][0] < errors["five of the prior"][0] < chroma


def test_each_picture_has_places_of_its_own_that_a_seed_decides():
    pictures = [square(picture, 48) for picture in (data.astronaut(), data.coffee())]
    first, again, other = (
        suggestion_errors(Sure(RED), pictures, places=4, seed=seed) for seed in (0, 0, 9)
    )
    for name, values in first.items():
        assert values.shape == (2,) and np.array_equal(values, again[name])
    assert not np.array_equal(first["single answer"], other["single answer"])
