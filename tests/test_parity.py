"""The networks are the published ones: key for key, and number for number.

``data/parity.json`` holds every entry's name and shape, and what the published networks answer
for weights and inputs that can be drawn anew from fixed seeds.

How close is close: a value is compared relative to its own size, but at least to the mean size
of the output it is in: |x - y| <= 1e-4 * max(|y|, mean |output|). A sample near 0 is the small
difference of large terms, and float32 gives it no more absolute precision than its neighbours.
"""

import json
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch

from course_lib.models import ECCV16, SIGGRAPH17
from course_lib.models.layers import scaled

PARITY = json.loads((Path(__file__).parent / "data" / "parity.json").read_text())
NETWORKS = {"eccv16": ECCV16, "siggraph17": SIGGRAPH17}
TOLERANCE = 1e-4
NARROW = 0.05


def draw(key: str, shape: list[int], model: str) -> torch.Tensor:
    """One entry of the made-up weights: drawn in float64, by the entry's own seed."""
    if key.endswith("num_batches_tracked"):
        return torch.tensor(1)
    random = np.random.RandomState(zlib.crc32(("public" + key).encode()) & 0x7FFFFFFF)
    count = int(np.prod(shape))
    if key.endswith("running_var"):
        values = random.uniform(0.5, 1.5, count)
    elif key.endswith("running_mean"):
        values = random.uniform(-0.2, 0.2, count)
    elif key.endswith("bias"):
        values = random.uniform(-0.1, 0.1, count)
    elif len(shape) == 1:
        values = random.uniform(0.5, 1.5, count)
    else:
        values = random.standard_normal(count) * np.sqrt(2 / np.prod(shape[1:]))
        if model == "eccv16" and key == "model8.6.weight":
            values *= 20
    return torch.from_numpy(values.astype(np.float32).reshape(shape))


def inputs(case: str) -> list[torch.Tensor]:
    """L, and for "hints@..." also hint_ab and mask, of the size that the case names."""
    kind, size = case.split("@")
    size = int(size)
    axis = np.linspace(0, 1, size)
    y, x = np.meshgrid(axis, axis, indexing="ij")
    lightness = 50 + 45 * np.sin(7 * x + 3 * y) * np.cos(5 * x * y + 1)
    tensors = [torch.from_numpy(lightness.astype(np.float32))[None, None]]
    if kind == "hints":
        hint_ab, mask = torch.zeros(1, 2, size, size), torch.zeros(1, 1, size, size)
        for i, j, a, b in ((0.25, 0.25, 40, -30), (0.5, 0.75, -50, 45), (0.8, 0.3, 10, 60)):
            row, column = int(i * size), int(j * size)
            patch = (..., slice(row - 2, row + 3), slice(column - 2, column + 3))
            hint_ab[0, 0][patch], hint_ab[0, 1][patch], mask[patch] = a, b, 1
        tensors += [hint_ab, mask]
    return tensors


@pytest.fixture(scope="module", params=NETWORKS)
def published(request):
    """The full-size network with the made-up weights, and what is known of it."""
    model = request.param
    expected = PARITY[model]
    net = NETWORKS[model]().eval()
    state = {key: draw(key, shape, model) for key, shape in expected["keys"].items()}
    net.load_state_dict(state)
    return net, expected


@pytest.mark.parametrize(("model", "count"), [("eccv16", 82), ("siggraph17", 107)])
def test_entries_are_the_published_ones_in_their_order(model, count):
    with torch.device("meta"):  # names and shapes need no memory
        state = SIGGRAPH17().state_dict() if model == "siggraph17" else None
    state = ECCV16().state_dict() if state is None else state
    shapes = [(key, list(value.shape)) for key, value in state.items()]
    assert shapes == list(PARITY[model]["keys"].items())
    assert len(shapes) == count


def test_number_of_parameters(published):
    net, expected = published
    assert sum(p.numel() for p in net.parameters()) == expected["params"]


def test_outputs_are_the_published_ones(published):
    net, expected = published
    for case, output in expected["outputs"].items():
        with torch.inference_mode():
            ab = net(*inputs(case))
        assert list(ab.shape) == output["shape"], case
        assert ab.dtype == torch.float32
        size = output["abs_mean"]
        for channel, row, column, value in output["samples"]:
            got = ab[0, channel, row, column].item()
            assert got == pytest.approx(value, rel=TOLERANCE, abs=TOLERANCE * size), case
        for name, got in (
            ("mean", ab.mean()),
            ("std", ab.std()),
            ("abs_mean", ab.abs().mean()),
        ):
            expectation = pytest.approx(output[name], rel=TOLERANCE, abs=TOLERANCE * size)
            assert got.item() == expectation, (case, name)


def test_both_heads_give_what_each_gives_alone():
    torch.manual_seed(0)
    net = SIGGRAPH17(width=NARROW).eval()
    tensors = inputs("hints@64")
    with torch.inference_mode():
        ab, logits = net.both_heads(*tensors)
        torch.testing.assert_close(ab, net(*tensors))
        torch.testing.assert_close(logits, net.logits(*tensors))


@pytest.mark.parametrize("network", NETWORKS.values())
@pytest.mark.parametrize(
    ("height", "width"), [(1, 1), (7, 13), (8, 8), (64, 64), (65, 33), (100, 40), (1, 50)]
)
def test_any_size_in_the_same_size_out(network, height, width):
    net = network(width=NARROW).eval()
    with torch.inference_mode():
        ab = net(torch.rand(2, 1, height, width) * 100)
        logits = net.logits(torch.rand(2, 1, height, width) * 100)
    assert ab.shape == (2, 2, height, width)
    assert ab.isfinite().all()
    # the class heads answer at a quarter of the size, rounded up to the stride
    assert logits.shape[-2:] == (-(-height // 8) * 2, -(-width // 8) * 2)


@pytest.mark.parametrize("network", NETWORKS.values())
def test_padding_changes_nothing_far_from_it(network):
    """A picture of 64 x 61 is answered as its 64 x 64 continuation, away from the edge."""
    torch.manual_seed(0)
    net = network(width=NARROW).eval()
    smooth = inputs("auto@64")[0][..., :61]
    padded = torch.nn.functional.pad(smooth, (0, 3, 0, 0), mode="replicate")
    with torch.inference_mode():
        torch.testing.assert_close(net(smooth), net(padded)[..., :61])


@pytest.mark.parametrize("model", NETWORKS)
@pytest.mark.parametrize("width", [0.02, 0.25, 0.5])
def test_width_scales_hidden_channels_and_keeps_heads(model, width):
    # In the published network a hidden layer's axis is 64, 128, 256 or 512 long; every other
    # length is an input, a kernel, a head or the two colours, and stays.
    hidden = {channels: scaled(channels, width) for channels in (64, 128, 256, 512)}
    for key, value in NETWORKS[model](width=width).state_dict().items():
        published = PARITY[model]["keys"][key]
        assert list(value.shape) == [hidden.get(n, n) for n in published], key
    assert hidden[512] == round(512 * width)


def test_heads_keep_their_classes():
    L = torch.zeros(1, 1, 8, 8)
    assert ECCV16(width=NARROW).eval().logits(L).shape[1] == 313
    assert SIGGRAPH17(width=NARROW).eval().logits(L).shape[1] == 529


def test_hints_change_the_colours_near_them():
    torch.manual_seed(0)
    net = SIGGRAPH17(width=NARROW).eval()
    L = torch.full((1, 1, 128, 128), 50.0)
    hint_ab, mask = torch.zeros(1, 2, 128, 128), torch.zeros(1, 1, 128, 128)
    hint_ab[..., 30:37, 30:37] = torch.tensor([60.0, -40.0])[:, None, None]
    mask[..., 30:37, 30:37] = 1
    with torch.inference_mode():
        change = (net(L, hint_ab, mask) - net(L)).abs().sum(1)[0]
        nothing_given = net(L, torch.zeros_like(hint_ab), torch.zeros_like(mask))
        torch.testing.assert_close(nothing_given, net(L))
    assert change[30:37, 30:37].mean() > 0
    assert change[30:37, 30:37].mean() > 10 * change[100:, 100:].mean()


def test_a_neutral_hint_differs_from_no_hint():
    """ "This pixel is gray" is knowledge: only the mask tells it from "nothing known"."""
    torch.manual_seed(0)
    net = SIGGRAPH17(width=NARROW).eval()
    L, mask = torch.full((1, 1, 16, 16), 50.0), torch.zeros(1, 1, 16, 16)
    mask[..., 8, 8] = 1
    with torch.inference_mode():
        assert not torch.equal(net(L, torch.zeros(1, 2, 16, 16), mask), net(L))


@pytest.mark.parametrize("network", NETWORKS.values())
def test_ab_stays_within_110(network):
    torch.manual_seed(0)
    net = network(width=NARROW).eval()
    for parameter in net.parameters():  # far out of any trained range
        if parameter.ndim == 4 and parameter is not getattr(net.model_out, "weight", None):
            parameter.data.mul_(5)
    with torch.inference_mode():
        ab = net(torch.rand(1, 1, 32, 32) * 100)
    assert ab.abs().max() <= 110.001
    assert ab.abs().max() > 1


@pytest.mark.parametrize("network", NETWORKS.values())
@pytest.mark.parametrize("shape", [(8, 8), (1, 8, 8), (1, 3, 8, 8), (0, 1, 8, 8), (1, 1, 0, 8)])
def test_wrong_lightness_shape_says_what_to_pass(network, shape):
    with pytest.raises(ValueError, match=r"\(N, 1, H, W\), got .*L\[None, None\]"):
        network(width=NARROW)(torch.zeros(shape))


def test_wrong_hints_say_what_to_pass():
    net, L = SIGGRAPH17(width=NARROW), torch.zeros(1, 1, 16, 16)
    ab, mask = torch.zeros(1, 2, 16, 16), torch.zeros(1, 1, 16, 16)
    with pytest.raises(ValueError, match="both hint_ab and mask"):
        net(L, ab)
    with pytest.raises(ValueError, match="both hint_ab and mask"):
        net(L, mask=mask)
    with pytest.raises(ValueError, match=r"hint_ab of shape \(1, 2, 16, 16\).*got \(1, 2, 8, 8\)"):
        net(L, ab[..., :8, :8], mask)
    with pytest.raises(ValueError, match=r"mask of shape \(1, 1, 16, 16\).*got \(1, 2, 16, 16\)"):
        net(L, ab, ab)


@pytest.mark.parametrize("network", NETWORKS.values())
@pytest.mark.parametrize("width", [0, -1])
def test_width_must_be_above_0(network, width):
    with pytest.raises(ValueError, match="width must be above 0"):
        network(width=width)


def test_temperature_sharpens_toward_the_mode():
    torch.manual_seed(0)
    mean, sharp = ECCV16(width=NARROW).eval(), ECCV16(width=NARROW, temperature=1e-6).eval()
    sharp.load_state_dict(mean.state_dict())
    L = torch.rand(1, 1, 8, 8) * 100
    with torch.inference_mode():
        mode = mean.logits(L).argmax(1)
        bins = mean.model_out.weight[:, :, 0, 0].T * 110
        at_bins = bins[mode].movedim(-1, 1)
        quarter = sharp.model_out(torch.softmax(sharp.logits(L) / 1e-6, 1)) * 110
        torch.testing.assert_close(quarter, at_bins, atol=2.0, rtol=0)
        assert sharp(L).abs().mean() > mean(L).abs().mean()
    with pytest.raises(ValueError, match="temperature must be above 0"):
        ECCV16(width=NARROW, temperature=0)
