"""Hidden tests of lesson 04, "Tell the network what gray cannot".

The form of these files is described in `authoring/classroom.py`. Exercises 5 and 6 and
the challenge ask for numbers, letters and hints, and have none.
"""


def ask_decode(function, width, weights, *maps):
    """Call it with a network of these weights."""
    from course_lib.models.siggraph17 import SIGGRAPH17

    net = SIGGRAPH17(width).eval().requires_grad_(False)
    net.load_state_dict(weights)
    return function(net, *maps)


def test_reach(function):
    """Random pictures and limits, against a count pixel by pixel."""
    import numpy as np

    from course_lib.lab import rgb_to_lab

    rng = np.random.default_rng()
    before, after = rng.integers(0, 256, (2, *rng.integers(8, 30, 2), 3), dtype=np.uint8)
    after[: len(after) // 3] = before[: len(after) // 3]
    gap = (rgb_to_lab(after) - rgb_to_lab(before))[..., 1:].reshape(-1, 2)
    for limit in rng.uniform(1, 90, 4).round(1).tolist():
        expected = sum(a * a + b * b > limit**2 for a, b in gap) / len(gap)
        got = function(before.copy(), after.copy(), limit)
        np.testing.assert_allclose(got, expected, atol=1e-3, err_msg=f"beyond {limit}")


def test_decode(function):
    """Maps of a random network, picked up on the way to its own answer."""
    import numpy as np
    import torch
    from torch import nn

    from course_lib.models.siggraph17 import SIGGRAPH17

    rng = np.random.default_rng()
    n, height, width = (int(v) for v in rng.integers(1, 4, 3) * (1, 8, 8))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(rng.integers(2**31)))
        net_width = float(rng.uniform(0.05, 0.1))
        net = SIGGRAPH17(net_width).eval().requires_grad_(False)
        for module in net.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                nn.init.kaiming_normal_(module.weight)  # so that every map counts
        net.model_out[0].weight *= 0.2  # so that the tanh is not at its ends
        L, mask = torch.rand(2, n, 1, height, width)
        hint_ab = torch.randn(n, 2, height, width) * 40
    maps = []
    for block in (net.model1, net.model2, net.model3, net.model7):
        block.register_forward_hook(lambda block, inputs, output: maps.append(output.clone()))
    expected = net(L * 100, hint_ab, mask.round())
    got = function(net_width, dict(net.state_dict()), *maps[:4])
    np.testing.assert_allclose(
        got.numpy(),
        expected.numpy(),
        atol=0.01,
        err_msg=f"{n} random pictures of {height} x {width}, against the network's own answer",
    )


def test_to_tensors(function):
    """Random hints, sizes and patches, against the library's tensors."""
    import numpy as np

    from course_lib.hints import hint_tensors

    rng = np.random.default_rng()
    for smallest, largest in ((4, 20), (100, 400)):  # pixels of the network, and of the photograph
        photo = tuple(rng.integers(smallest, largest, 2).tolist())
        size = tuple((rng.integers(5, 9, 2) * 8).tolist())
        patch = int(rng.integers(2, 9))
        hints = [
            (*rng.integers(0, photo).tolist(), tuple(rng.integers(0, 256, 3).tolist()))
            for _ in range(int(rng.integers(8, 12)))
        ]
        expected = hint_tensors(hints, photo, size, patch)
        got = function(list(hints), photo, size, patch)
        for what, mine, theirs in zip(("hint_ab", "the mask"), got, expected, strict=True):
            np.testing.assert_allclose(
                mine.numpy(),
                theirs.numpy(),
                atol=0.01,
                err_msg=f"{what}, photograph {photo}, input {size}, patch {patch}: {hints}",
            )


def test_from_layer(function):
    """Random strokes, gray, black and white ones among them, on a layer of erased colours."""
    import numpy as np

    from course_lib.lab import rgb_to_lab

    rng = np.random.default_rng()
    layer = rng.integers(0, 256, (*rng.integers(10, 30, 2), 4), dtype=np.uint8)
    painted = rng.random(layer.shape[:2]) < rng.uniform(0.2, 0.8)
    layer[..., 3] = painted * 255
    gray = rng.random(layer.shape[:2]) < 0.3
    layer[gray, :3] = rng.choice([0, 90, 128, 255], (gray.sum(), 1))
    ab, mask = function(layer.copy())
    np.testing.assert_array_equal(
        mask.numpy(), painted[None, None], "the mask is to be 1 just where alpha is above 0"
    )
    np.testing.assert_allclose(
        ab.numpy()[0],
        np.moveaxis(rgb_to_lab(layer[..., :3])[..., 1:], -1, 0) * painted,
        atol=0.05,
        err_msg="hint_ab",
    )


def ask_gain_curve(function, pictures, hints, counts):
    """Each hint brings back the true colours of a row."""
    from course_lib.lab import to_gray

    def colour(picture, given):
        rows = [row for row, _, _ in given]
        coloured = to_gray(picture)
        coloured[rows] = picture[rows]
        return coloured

    return function(pictures, hints, counts, colour)


def test_gain_curve(function):
    """Random pictures, faint and strong; each hint brings back the true colours of a row."""
    import numpy as np

    from course_lib.lab import to_gray
    from course_lib.metrics import psnr

    rng = np.random.default_rng()
    pictures, hints = [], []
    for contrast in rng.permutation(np.linspace(20, 120, int(rng.integers(2, 6)))):
        height, width = rng.integers(30, 50, 2)
        pixels = rng.uniform(128 - contrast, 128 + contrast, (height, width, 3))
        pictures.append(pixels.astype(np.uint8))
        rows = rng.permutation(height)[: int(rng.integers(12, 20))].tolist()
        hints.append([(row, 0, (0, 0, 0)) for row in rows])

    def colour(picture, given):
        rows = [row for row, _, _ in given]
        coloured = to_gray(picture)
        coloured[rows] = picture[rows]
        return coloured

    counts = rng.permutation(13)[: int(rng.integers(2, 7))].tolist()
    expected = np.zeros(len(counts))
    for truth, given in zip(pictures, hints, strict=True):
        alone = psnr(colour(truth, []), truth)
        levels = [psnr(colour(truth, given[:n]), truth) for n in counts]
        expected += (np.array(levels) - alone) / len(pictures)
    got = function(pictures, hints, counts)
    np.testing.assert_allclose(
        got, expected, atol=1e-3, err_msg=f"{len(pictures)} pictures, counts {counts}"
    )
