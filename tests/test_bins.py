import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from skimage.color import rgb2lab

import course_lib as cl
from course_lib.bins import (
    ab_grid,
    annealed_mean,
    expected_ab,
    nearest_bins,
    rebalancing_weights,
    smooth_prior,
    soft_encode,
)


def gamut_colours(count=4000):
    rgb = np.random.RandomState(0).rand(count, 3)
    return torch.from_numpy(rgb2lab(rgb)[:, 1:].T.astype(np.float32))[None, :, :, None]


def test_the_313_bins_come_in_the_published_order():
    bins = cl.ab_bins()
    assert bins.shape == (313, 2)
    assert bins.dtype == np.float32
    assert bins[120].tolist() == [0, 0]
    assert bins[:, 0].min() == -90 and bins[:, 0].max() == 100
    assert bins[:, 1].min() == -110 and bins[:, 1].max() == 100
    order = np.lexsort((bins[:, 1], bins[:, 0]))
    assert np.array_equal(order, np.arange(313))


def test_changing_the_returned_bins_does_not_change_the_library():
    cl.ab_bins()[:] = 0
    assert cl.ab_bins()[0].tolist() == [-90, 50]


def test_the_bins_lie_on_the_full_grid():
    grid = ab_grid()
    assert grid.shape == (529, 2)
    assert {tuple(b) for b in cl.ab_bins()} <= {tuple(g) for g in grid}


@pytest.mark.parametrize("k", [5, 10])
def test_encode_then_mean_moves_colours_less_than_the_eye_can_tell(k):
    ab = gamut_colours(20_000)
    error = (expected_ab(soft_encode(ab, k)) - ab).norm(dim=1)
    assert error.mean() < 0.3
    assert error.max() < 1  # about one Lab unit is a just noticeable difference


def test_soft_encoding_is_a_distribution_over_k_bins():
    encoded = soft_encode(gamut_colours(), k=5)
    assert encoded.shape[1] == 313
    assert torch.allclose(encoded.sum(1), torch.ones(1), atol=1e-6)
    assert (encoded > 0).sum(1).max() == 5


def test_nearest_bins_agree_with_brute_force():
    ab = gamut_colours(500)
    index, weight = nearest_bins(ab, k=3)
    colours = ab[0, :, :, 0].T.numpy()
    distance = np.linalg.norm(colours[:, None] - cl.ab_bins()[None], axis=-1)
    expected = np.sort(distance, axis=1)[:, :3]
    chosen = np.take_along_axis(distance, index[0, :, :, 0].T.numpy(), axis=1)
    assert np.allclose(chosen, expected, atol=1e-3)
    gauss = np.exp(-(chosen**2) / 50)
    assert np.allclose(weight[0, :, :, 0].T, gauss / gauss.sum(1, keepdims=True), atol=1e-5)


def test_colours_far_from_every_bin_still_encode():
    encoded = soft_encode(torch.full((1, 2, 1, 1), 500.0))
    assert encoded.sum().item() == pytest.approx(1)


def test_annealed_mean_goes_from_mean_to_mode():
    logits = torch.randn(1, 313, 3, 4, generator=torch.Generator().manual_seed(0)) * 3
    mean = expected_ab(logits.softmax(1))
    mode = torch.from_numpy(cl.ab_bins())[logits.argmax(1)].permute(0, 3, 1, 2)
    assert torch.allclose(annealed_mean(logits, 1), mean, atol=1e-4)
    assert torch.allclose(annealed_mean(logits, 1e-3), mode, atol=1e-2)


@pytest.mark.parametrize("temperature", [0, -1, float("nan")])
def test_annealed_mean_refuses_a_bad_temperature(temperature):
    with pytest.raises(ValueError, match="above 0"):
        annealed_mean(torch.zeros(1, 313, 1, 1), temperature)


@given(st.integers(0, 2**31), st.floats(0, 1))
def test_rebalancing_keeps_the_mean_weight_at_one(seed, lam):
    prior = np.random.RandomState(seed).dirichlet(np.ones(313)) + 1e-6
    prior /= prior.sum()
    weights = rebalancing_weights(prior, lam)
    assert (prior * weights).sum() == pytest.approx(1, rel=1e-4)
    rarest, commonest = prior.argmin(), prior.argmax()
    assert weights[rarest] >= weights[commonest]


def test_rebalancing_with_lam_one_weighs_all_alike():
    prior = np.linspace(1, 3, 313)
    assert np.allclose(rebalancing_weights(prior / prior.sum(), 1), 1)


@pytest.mark.parametrize(
    ("prior", "lam", "message"),
    [
        (np.ones(313), 0.5, "sum 1"),
        (np.full(313, 1 / 313), 1.5, "lam"),
        (np.eye(313)[0], 0, "smooth"),
    ],
)
def test_rebalancing_says_what_is_wrong(prior, lam, message):
    with pytest.raises(ValueError, match=message):
        rebalancing_weights(prior, lam)


def test_smoothing_spreads_to_neighbours_and_keeps_the_sum():
    counts = np.zeros(313)
    counts[120] = 7
    prior = smooth_prior(counts)
    assert prior.sum() == pytest.approx(1)
    assert prior.argmax() == 120
    near = np.abs(cl.ab_bins()).max(axis=1) == 10
    assert 0 < prior[near].min() < prior[120]


def test_smoothing_refuses_what_is_no_count():
    with pytest.raises(ValueError, match="313"):
        smooth_prior(np.zeros(313))
    with pytest.raises(ValueError, match="313"):
        smooth_prior(np.ones(10))


def test_wrong_shape_is_said_plainly():
    with pytest.raises(ValueError, match=r"\(N, 2, H, W\)"):
        nearest_bins(torch.zeros(2, 4, 4))
