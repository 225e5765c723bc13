import numpy as np
import pytest
import torch

from course_lib.hints import hint_tensors, simulate_hints
from course_lib.lab import rgb_to_lab


def test_a_hint_lands_where_the_user_clicked_with_its_colour():
    ab, mask = hint_tensors([(300, 100, (255, 0, 0))], (400, 800), (64, 128), patch=5)
    rows, columns = np.nonzero(mask[0, 0].numpy())
    assert rows.mean() == 48 and columns.mean() == 16
    assert len(rows) == 25
    expected = rgb_to_lab(np.array([[[255, 0, 0]]], np.uint8))[0, 0, 1:]
    assert torch.allclose(ab[0, :, 48, 16], torch.from_numpy(expected), atol=1e-3)
    assert (ab * (1 - mask)).abs().max() == 0


@pytest.mark.parametrize("corner", [(0, 0), (0, 799), (399, 0), (399, 799)])
def test_hints_at_the_corners_stay_inside(corner):
    _, mask = hint_tensors([(*corner, (10, 20, 30))], (400, 800), (64, 128))
    assert 0 < mask.sum() <= 49


def test_of_two_hints_at_one_place_the_later_counts():
    hints = [(10, 10, (255, 0, 0)), (10, 10, (0, 0, 255))]
    both, _ = hint_tensors(hints, (64, 64), (64, 64))
    last, _ = hint_tensors(hints[1:], (64, 64), (64, 64))
    assert torch.equal(both, last)


def test_no_hints_give_empty_tensors():
    ab, mask = hint_tensors([], (10, 10), (8, 16))
    assert ab.shape == (1, 2, 8, 16) and mask.shape == (1, 1, 8, 16)
    assert not ab.any() and not mask.any()


@pytest.mark.parametrize(
    ("hint", "message"),
    [
        ((400, 0, (0, 0, 0)), "outside"),
        ((-1, 0, (0, 0, 0)), "outside"),
        ((0, 0, (0, 0, 256)), "0..255"),
    ],
)
def test_bad_hints_are_refused(hint, message):
    with pytest.raises(ValueError, match=message):
        hint_tensors([hint], (400, 800), (64, 128))


def test_simulated_hints_reveal_mean_true_colours():
    ab = torch.randn(200, 2, 32, 32, generator=torch.Generator().manual_seed(1)) * 20
    hint_ab, mask = simulate_hints(ab, torch.Generator().manual_seed(0))
    none = (mask.flatten(1).sum(1) == 0).float().mean().item()
    assert 0.06 < none < 0.20  # one picture in eight gets no hint
    assert set(mask.unique().tolist()) == {0, 1}
    assert (hint_ab * (1 - mask)).abs().max() == 0
    single = torch.zeros(1, 2, 8, 8) + torch.tensor([5.0, -7.0]).view(1, 2, 1, 1)
    for seed in range(20):
        given, where = simulate_hints(single, torch.Generator().manual_seed(seed))
        assert torch.allclose(given, single * where)


def test_simulated_hints_lie_around_the_middle():
    ab = torch.zeros(500, 2, 40, 40)
    _, mask = simulate_hints(ab, torch.Generator().manual_seed(0), largest_patch=1)
    heat = mask.sum(0)[0]
    assert heat[10:30, 10:30].mean() > 2 * heat[:5, :5].mean()


def test_simulated_hints_follow_from_the_generator():
    ab = torch.randn(4, 2, 16, 16)
    one = simulate_hints(ab, torch.Generator().manual_seed(3))
    two = simulate_hints(ab, torch.Generator().manual_seed(3))
    assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))
