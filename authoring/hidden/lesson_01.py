"""Hidden tests of lesson 01, "Find out what gray does not tell".

The form of these files is described in `authoring/classroom.py`.
"""


def test_best_constant(function):
    """No constant within reach costs less than the answer."""
    import numpy as np

    rng = np.random.default_rng()
    colours = rng.exponential(rng.uniform(10, 40, 2), (int(rng.integers(100, 400)), 2)) - 20
    for loss, power in (("squared", 2), ("absolute", 1)):
        guess = np.asarray(function(colours.copy(), loss), dtype=float)
        others = guess + rng.normal(0, [[1], [5]], (200, 2, 2)).reshape(-1, 2)
        costs = (np.abs(colours - others[:, None]) ** power).sum(axis=2).mean(axis=1)
        own = (np.abs(colours - guess) ** power).sum(axis=1).mean()
        assert own <= costs.min() * 1.001, loss


def ask_make_loaders(function, train, held_out, batch_size):
    """The mean lightness of each picture, for two epochs of each loader."""
    loaders = function(train, held_out, batch_size)
    return [
        [[float(L.mean()) for batch, _ in loader for L in batch] for _ in range(2)]
        for loader in loaders
    ]


def test_make_loaders(function):
    """Random numbers of pictures and sizes of batches; each picture is known by its lightness."""
    import numpy as np

    from course_lib.lab import lightness

    rng = np.random.default_rng()
    shape = (*rng.integers(4, 12, 2), 3)
    pictures = [np.full(shape, gray, np.uint8) for gray in rng.permutation(range(5, 250, 7))]
    levels = np.array([lightness(rgb).mean() for rgb in pictures])
    count = int(rng.integers(12, 22))
    loaders = function(pictures[:count], pictures[count:], int(rng.integers(2, 6)))
    train, held_out = (
        [[int(np.abs(levels - mean).argmin()) for mean in epoch] for epoch in loader]
        for loader in loaders
    )
    assert sorted(train[0]) == sorted(train[1]) == list(range(count))
    assert train[0] != train[1]
    assert held_out[0] == held_out[1] == list(range(count, len(pictures)))


def test_level_colours(function):
    """Random pixels, level by level; some levels have none."""
    import numpy as np

    rng = np.random.default_rng()
    L = rng.uniform(*np.sort(rng.choice(101, 2, replace=False)), 500).astype(np.float32)
    ab = rng.normal(0, 25, (len(L), 2)).astype(np.float32)
    got = np.asarray(function(L.copy(), ab.copy()), dtype=float)
    assert got.shape == (101, 2)
    for level in range(101):
        pixels = ab[np.rint(L) == level].astype(float)
        expected = pixels.mean(axis=0) if len(pixels) else (0, 0)
        np.testing.assert_allclose(got[level], expected, atol=0.01)


def test_psnr(function):
    """Random pictures, against the library's PSNR."""
    import numpy as np

    from course_lib.metrics import psnr

    rng = np.random.default_rng()
    truth = rng.integers(0, 256, (*rng.integers(5, 20, 2), 3), dtype=np.uint8)
    noise = rng.normal(0, rng.uniform(3, 60), truth.shape)
    rgb = np.clip(truth + noise, 0, 255).astype(np.uint8)
    np.testing.assert_allclose(float(function(rgb.copy(), truth.copy())), psnr(rgb, truth), 1e-4)
    with np.errstate(divide="ignore"):
        assert np.isposinf(float(function(truth.copy(), truth.copy())))


def test_convolve(function):
    """Random pictures, windows and biases, against SciPy."""
    import numpy as np
    from scipy.signal import correlate2d

    rng = np.random.default_rng()
    for side in rng.choice([1, 3, 5, 7], 3):
        picture, weights = rng.normal(size=rng.integers(7, 15, 2)), rng.normal(size=(side, side))
        bias = float(rng.normal(0, 3))
        got = np.asarray(function(picture, weights, bias), dtype=float)
        np.testing.assert_allclose(got, correlate2d(picture, weights, "valid") + bias, atol=1e-3)


def test_my_colorizer(function):
    """Held-out scenes mirrored and cropped: still ahead of gray and of the mean colour."""
    import numpy as np

    from course_lib.data.arrays import square
    from course_lib.data.photos import photos
    from course_lib.lab import lab_to_rgb, rgb_to_lab, to_gray
    from course_lib.metrics import psnr

    scenes = {
        split: [square(photo.load(), 96) for photo in photos(split=split, kind="scene")]
        for split in ("train", "validation", "test")
    }
    mean_ab = np.mean(
        [rgb_to_lab(rgb)[..., 1:].mean((0, 1)) for rgb in scenes.pop("train")], axis=0
    )
    cut = int(np.random.default_rng().integers(1, 6))
    scores = []
    for rgb in scenes["validation"] + scenes["test"]:
        truth = np.ascontiguousarray(rgb[cut:, ::-1])
        gray = to_gray(truth)
        lab = rgb_to_lab(gray)
        brown = lab_to_rgb(lab * np.float32([1, 0, 0]) + np.float32([0, *mean_ab]))
        got = np.asarray(function(gray))
        assert got.shape == truth.shape and got.dtype == np.uint8
        scores.append([psnr(picture, truth) for picture in (got, gray, brown)])
    yours, *others = np.mean(scores, axis=0)
    assert yours > max(others), f"{yours:.2f} dB; gray and the mean colour have {others}"
