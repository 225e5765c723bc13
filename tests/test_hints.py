import numpy as np
import pytest
import torch
from scipy import ndimage
from scipy.cluster.vq import kmeans2

from course_lib.bins import ab_grid
from course_lib.hints import hint_tensors, hints_at_errors, simulate_hints, suggest_colours
from course_lib.lab import in_gamut, rgb_to_lab


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


def peaks(*colours, spread=3.0, height=12.0):
    """Logits with a peak at each ab; far from all of them almost nothing."""
    gaps = np.hypot(*(ab_grid()[:, None] - np.array(colours)).transpose(2, 0, 1))
    return torch.from_numpy(height * np.exp(-(gaps**2) / (2 * spread**2)).max(axis=1) - 12.0)


def suggested_ab(logits, lightness, count=5):
    colours, shares = suggest_colours(logits, lightness, count)
    return rgb_to_lab(colours[None])[0], shares


def test_suggestions_are_the_distributions_peaks_likeliest_first():
    logits = peaks((40, 30), (-40, 30), height=14)
    logits[ab_grid().tolist().index([40, 30])] += 1
    lab, shares = suggested_ab(logits, 60, count=2)
    assert np.allclose(lab[:, 1:], [(40, 30), (-40, 30)], atol=3)
    assert shares[0] / shares[1] == pytest.approx(np.e, rel=0.1)
    assert shares.sum() == pytest.approx(1)


@pytest.mark.parametrize("lightness", [0, 8.5, 35, 60, 97, 100])
def test_suggestions_can_be_shown_at_the_pixels_lightness(lightness):
    everything = torch.zeros(529)
    everything[ab_grid().tolist().index([110, 110])] = 20  # no screen shows this one
    lab, shares = suggested_ab(everything, lightness)
    assert np.abs(lab[:, 0] - lightness).max() < 1.5
    assert len(np.unique(lab, axis=0)) == len(lab) and (np.diff(shares) <= 0).all()
    assert shares.sum() == pytest.approx(1)


def test_suggestions_are_spread_where_the_network_has_no_idea():
    lab, _ = suggested_ab(torch.zeros(529), 60)
    gaps = np.hypot(*(lab[:, None, 1:] - lab[None, :, 1:]).transpose(2, 0, 1))
    assert gaps[~np.eye(5, dtype=bool)].min() > 30


def test_suggestions_come_near_to_what_sampling_and_clustering_give():
    generator = torch.Generator().manual_seed(0)
    logits = peaks((50, 30), (-40, 40), (0, -50), (0, 0), spread=12)
    lab, shares = suggested_ab(logits, 60, count=4)
    grid = ab_grid()
    shown = in_gamut(np.column_stack([np.full(529, 60.0), grid]))
    chance = torch.softmax(logits, 0) * torch.from_numpy(shown)
    samples = grid[torch.multinomial(chance, 20_000, True, generator=generator).numpy()]
    centres, member = kmeans2(samples.astype(float), lab[:, 1:].astype(float), minit="matrix")
    assert np.abs(centres - lab[:, 1:]).max() < 2
    assert np.allclose(np.bincount(member) / len(samples), shares, atol=0.02)


def test_suggestions_do_not_depend_on_chance():
    logits = torch.randn(529, generator=torch.Generator().manual_seed(2))
    torch.manual_seed(1)
    one = suggest_colours(logits, 50)
    torch.manual_seed(2)
    assert all(np.array_equal(a, b) for a, b in zip(one, suggest_colours(logits, 50), strict=True))


def test_black_can_only_be_black():
    colours, shares = suggest_colours(torch.zeros(529), 0.0)
    assert colours.tolist() == [[0, 0, 0]] and shares.tolist() == [1]


@pytest.mark.parametrize(
    ("logits", "lightness", "count", "message"),
    [
        (torch.zeros(313), 50, 5, "529 logits of one place"),
        (torch.zeros(529, 2, 2), 50, 5, "row, column"),
        (torch.zeros(529), 101, 5, "0..100"),
        (torch.zeros(529), 50, 0, "at least 1"),
    ],
)
def test_suggestions_refuse_what_they_cannot_use(logits, lightness, count, message):
    with pytest.raises(ValueError, match=message):
        suggest_colours(logits, lightness, count)


def test_hints_at_errors_lie_where_a_colouring_is_furthest_off():
    ab = torch.zeros(1, 2, 64, 64)
    ab[:, 0, 10:20, 10:20], ab[:, 1, 40:60, 40:60] = 60, -40
    for seed in range(40):
        generator = torch.Generator().manual_seed(seed)
        hint_ab, mask = hints_at_errors(torch.zeros_like(ab), ab, generator)
        if not mask.any():  # one picture in eight has no hint
            continue
        rows, columns = torch.nonzero(mask[0, 0], as_tuple=True)
        # the largest error first; further ones at the other patch before anywhere else
        in_first = (rows < 24) & (columns < 24)
        assert in_first.any()
        if mask[0, 0].float().sum() > 2 * 81:
            assert ((rows > 36) & (columns > 36)).any()
        assert (hint_ab * (1 - mask) == 0).all() and hint_ab[:, 0].max() > 0
    # without an error in the first patch nobody points at it before the second
    predicted = ab * 1.0
    predicted[:, 1] = 0
    mask = hints_at_errors(predicted, ab, torch.Generator().manual_seed(1), stop=0.5)[1]
    assert mask.any() and not mask[..., :30, :30].any()


def test_hints_at_errors_are_apart_and_inside_and_repeat():
    generator = torch.Generator().manual_seed(5)
    ab = 50 * torch.randn(6, 2, 24, 40, generator=generator)
    given = [
        hints_at_errors(0 * ab, ab, torch.Generator().manual_seed(2), stop=0.01, largest_patch=5)
        for _ in range(2)
    ]
    assert all(torch.equal(*pair) for pair in zip(*given, strict=True))
    hint_ab, mask = given[0]
    assert hint_ab.shape == ab.shape and mask.shape == (6, 1, 24, 40) and mask.any()
    for number in range(6):
        patches, count = ndimage.label(mask[number, 0].numpy(), np.ones((3, 3)))
        assert count > 2 and np.bincount(patches.ravel())[1:].max() <= 25
