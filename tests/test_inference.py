import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from skimage import data

import course_lib as cl
from course_lib.inference import (
    colorize,
    guided_coefficients,
    network_size,
    predict_ab,
    prepare,
    upsample_ab,
)
from course_lib.lab import lightness
from course_lib.models import ECCV16, SIGGRAPH17


class Constant(torch.nn.Module):
    """Paints every picture one colour."""

    input_size = 32

    def __init__(self, a, b):
        super().__init__()
        self.ab = torch.nn.Parameter(torch.tensor([a, b]).float().view(1, 2, 1, 1))

    def forward(self, L):
        return self.ab.expand(len(L), 2, *L.shape[-2:])


@pytest.mark.parametrize("guided", [True, False])
@pytest.mark.parametrize("shape", [(1, 1), (7, 300), (300, 7), (33, 65), (64, 64), (101, 57)])
def test_any_size_in_the_same_size_out(shape, guided):
    rgb = np.random.RandomState(0).randint(0, 256, (*shape, 3), dtype=np.uint8)
    out = colorize(rgb, ECCV16(0.03), size=16, guided=guided)
    assert out.shape == rgb.shape and out.dtype == np.uint8


def test_the_photos_own_lightness_stays():
    rgb = data.chelsea()
    out = colorize(rgb, Constant(10, 15))
    inside = (lightness(rgb) > 30) & (lightness(rgb) < 80)  # where sRGB has that colour
    assert np.abs(lightness(out) - lightness(rgb))[inside].max() < 0.7
    assert np.abs(cl.rgb_to_lab(out)[inside][:, 1:] - (10, 15)).max() < 1.5


def test_colour_that_the_photo_has_is_not_looked_at():
    net = ECCV16(0.03)
    rgb = data.coffee()[::4, ::4]
    from_colour, from_gray = colorize(rgb, net), colorize(cl.to_gray(rgb), net)
    assert np.abs(from_colour.astype(int) - from_gray).mean() < 2


def test_large_photos_are_done_in_bands_without_a_seam(monkeypatch):
    rgb, net = data.coffee(), ECCV16(0.03)
    whole = colorize(rgb, net, size=64)
    monkeypatch.setattr("course_lib.fast_lab.BAND_PIXELS", 10_000)
    assert np.array_equal(colorize(rgb, net, size=64), whole)


@pytest.mark.parametrize("shape", [(300, 470), (31, 20), (9, 400)])
def test_the_networks_view_is_pillows_and_the_readable_lightness(shape, monkeypatch):
    rgb = np.random.RandomState(0).randint(0, 256, (*shape, 3), dtype=np.uint8)
    height, width = network_size(*shape, 64)
    small = Image.fromarray(rgb).resize((width, height), Image.Resampling.BICUBIC)
    monkeypatch.setattr("course_lib.fast_lab.BAND_PIXELS", 3000)  # in bands
    assert np.abs(prepare(rgb, 64)[0, 0].numpy() - lightness(np.asarray(small))).max() < 1e-3


@pytest.mark.parametrize("shape", [(100, 30), (3, 200), (20, 20)])
def test_plain_upsampling_is_bilinear(shape):
    ab = torch.randn(1, 2, 20, 20)
    large = upsample_ab(ab, ab[:, :1], np.zeros(shape, np.float32), guided=False)
    expected = F.interpolate(ab, shape, mode="bilinear")[0].movedim(0, -1)
    assert np.abs(large - expected.numpy()).max() < 1e-5


def test_colours_follow_the_photos_edges():
    # A dark half with one colour, a light half with another; the network saw it small.
    L = np.full((160, 160), 30, np.float32)
    L[:, 83:] = 70
    small = torch.from_numpy(L[2::5, 2::5].copy())[None, None]
    ab = torch.where(small > 50, 40.0, -20.0).repeat(1, 2, 1, 1)
    truth = np.where(L > 50, 40.0, -20.0)
    error = {
        guided: np.abs(upsample_ab(ab, small, L, guided)[..., 0] - truth).mean()
        for guided in (True, False)
    }
    assert error[True] < 0.5 * error[False]


def test_in_flat_regions_guided_upsampling_averages():
    L = torch.full((1, 1, 16, 16), 50.0)
    ab = torch.randn(1, 2, 16, 16, generator=torch.Generator().manual_seed(0))
    scale, shift = guided_coefficients(L, ab)
    assert scale.abs().max() < 1e-4
    assert shift.std() < 0.5 * ab.std()


def test_hints_change_the_colour_where_they_are():
    rgb, net = data.coffee(), SIGGRAPH17(0.05).eval()
    plain = colorize(rgb, net, size=64).astype(int)
    hinted = colorize(rgb, net, size=64, hints=[(200, 300, (255, 0, 0))]).astype(int)
    change = np.abs(hinted - plain).sum(-1)
    assert change[180:220, 280:320].mean() > 10 * change[:40, :40].mean()


def test_hints_need_siggraph17():
    with pytest.raises(ValueError, match="SIGGRAPH17"):
        colorize(data.coffee(), ECCV16(0.03), hints=[(0, 0, (1, 2, 3))])


def test_the_network_is_left_in_the_mode_it_was_in():
    net = ECCV16(0.03).train()
    net.model3.eval()
    state = {k: v.clone() for k, v in net.state_dict().items()}
    predict_ab(data.coffee(), net, size=32)
    assert net.training and net.model4.training and not net.model3.training
    assert all(torch.equal(v, state[k]) for k, v in net.state_dict().items())


@pytest.mark.parametrize("name", ["eccv16", "siggraph17"])
def test_half_the_bits_move_no_colour_far(name):
    net = cl.load_network(name)
    rgb = cl.photos("test", "scene")[0].load()
    _, full = predict_ab(rgb, net)
    _, half = predict_ab(rgb, net, engine="bfloat16")
    assert half.dtype == torch.float32 and 0 < (half - full).abs().max() < 1.5


def test_the_automatic_engine_halves_only_where_it_pays(monkeypatch):
    rgb, net = data.coffee(), ECCV16(0.05).eval()
    answers = {engine: predict_ab(rgb, net, engine=engine)[1] for engine in ("torch", "bfloat16")}
    for pays, engine in ((True, "bfloat16"), (False, "torch")):
        monkeypatch.setattr("course_lib.inference.bfloat16_pays", lambda device, pays=pays: pays)
        assert torch.equal(predict_ab(rgb, net, engine="auto")[1], answers[engine])


def test_bfloat16_networks_serve_too():
    rgb, net = data.coffee(), ECCV16(0.05).eval()
    full = colorize(rgb, net, size=64).astype(int)
    half = colorize(rgb, net.to(torch.bfloat16), size=64)
    assert np.abs(half - full).mean() < 3


@pytest.mark.parametrize(
    ("photo", "size", "expected"),
    [
        ((512, 512), 128, (128, 128)),
        ((300, 600), 128, (128, 256)),
        ((10, 10_000), 64, (64, 256)),
        ((1, 1), 8, (8, 8)),
    ],
)
def test_network_sizes(photo, size, expected):
    assert network_size(*photo, size) == expected
    small = prepare(np.zeros((*photo, 3), np.uint8), size)
    assert small.shape == (1, 1, *expected)


@pytest.mark.parametrize(
    "bad", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8), "x"]
)
def test_what_is_no_picture_is_refused_with_advice(bad):
    with pytest.raises(ValueError, match="load_image"):
        colorize(bad, ECCV16(0.03))


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="torch, bfloat16"):
        colorize(data.coffee(), ECCV16(0.03), engine="steam")
    with pytest.raises(ValueError, match="eccv16 or siggraph17"):
        colorize(data.coffee(), "alexnet")
    with pytest.raises(ValueError, match="at least 8"):
        network_size(100, 100, 4)
