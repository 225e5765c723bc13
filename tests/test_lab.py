import warnings

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis.extra import numpy as hnp
from skimage import data
from skimage.color import lab2rgb, rgb2lab

import course_lib as cl
from course_lib.lab import (
    SCALINGS,
    denormalize_lab,
    in_gamut,
    lab_to_rgb_tensor,
    lightness,
    merge_lab,
    normalize_lab,
    rgb_to_lab_tensor,
    split_lab,
)

pictures = hnp.arrays(
    np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=6).map(lambda s: (*s, 3))
)


@given(pictures)
def test_8_bit_pictures_survive_lab_and_back(rgb):
    assert np.array_equal(cl.lab_to_rgb(cl.rgb_to_lab(rgb)), rgb)


@given(pictures)
def test_arrays_and_tensors_agree_with_scikit_image(rgb):
    expected = rgb2lab(rgb)
    assert np.allclose(cl.rgb_to_lab(rgb), expected, atol=2e-3)
    tensor = torch.from_numpy(rgb / 255).permute(2, 0, 1)[None]
    lab = rgb_to_lab_tensor(tensor)
    assert np.allclose(lab[0].permute(1, 2, 0), expected, atol=1e-6)
    assert torch.allclose(lab_to_rgb_tensor(lab), tensor, atol=1e-5)


def test_colours_outside_srgb_are_clipped_as_scikit_image_does_but_quietly():
    low, high = [0, -110, -110], [100, 110, 110]
    lab = np.random.RandomState(0).uniform(low, high, (200, 200, 3)).astype(np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rgb = cl.lab_to_rgb(lab)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = np.rint(lab2rgb(lab) * 255)
    assert np.abs(rgb - expected).max() <= 1


def test_the_conversion_is_differentiable_at_black_and_in_colour():
    rgb = torch.tensor([[0.0, 0.0, 0.0], [0.2, 0.7, 0.4]], dtype=torch.float64)
    rgb = rgb.T[None, :, :, None].requires_grad_()
    lab = rgb_to_lab_tensor(rgb)
    lab_to_rgb_tensor(lab, clip=False).sum().backward()
    assert torch.isfinite(rgb.grad).all()
    colour = torch.tensor([0.2, 0.7, 0.4], dtype=torch.float64).view(1, 3, 1, 1).requires_grad_()
    assert torch.autograd.gradcheck(rgb_to_lab_tensor, (colour,))


def test_gray_keeps_lightness_and_loses_colour():
    rgb = data.coffee()
    gray = cl.to_gray(rgb)
    assert (gray[..., 0] == gray[..., 1]).all() and (gray[..., 0] == gray[..., 2]).all()
    assert np.abs(lightness(gray) - lightness(rgb)).max() < 0.4


def test_split_and_merge_are_inverse():
    lab = cl.rgb_to_lab(data.astronaut())
    assert np.array_equal(merge_lab(*split_lab(lab)), lab)
    with pytest.raises(ValueError, match="needs ab"):
        merge_lab(lab[..., 0], lab)


def test_gamut():
    assert in_gamut(cl.rgb_to_lab(data.coffee())).all()
    assert in_gamut(np.array([[50.0, 100, -100], [50, 0, 0]])).tolist() == [False, True]


@pytest.mark.parametrize("factor", [0, 0.5, 1])
def test_saturation_scales_chroma_and_keeps_lightness(factor):
    rgb = data.coffee()[::8, ::8]
    before, after = cl.rgb_to_lab(rgb), cl.rgb_to_lab(cl.set_saturation(rgb, factor))
    assert np.abs(after[..., 0] - before[..., 0]).mean() < 0.3
    assert np.abs(after[..., 1:] - factor * before[..., 1:]).mean() < 0.6


def test_temperature_warms_and_cools_and_is_neutral_at_daylight():
    rgb = data.astronaut()[::8, ::8]
    lab = {k: cl.rgb_to_lab(cl.set_temperature(rgb, k)) for k in (4000, 6504, 20000)}
    assert np.array_equal(cl.set_temperature(rgb, 6504), rgb)
    b = {k: v[..., 2].mean() for k, v in lab.items()}
    assert b[4000] > b[6504] + 5 and b[20000] < b[6504] - 5
    assert np.abs(lab[4000][..., 0] - lab[6504][..., 0]).mean() < 2


def test_temperature_takes_float_pictures_too():
    rgb = data.astronaut()[::16, ::16]
    assert np.array_equal(cl.set_temperature(rgb, 5000), cl.set_temperature(rgb / 255, 5000))


@pytest.mark.parametrize("kelvin", [0, 3999, 25001, float("nan")])
def test_temperature_outside_daylight_is_refused(kelvin):
    with pytest.raises(ValueError, match="4000"):
        cl.set_temperature(data.coffee(), kelvin)


def test_negative_saturation_is_refused():
    with pytest.raises(ValueError, match="0 or more"):
        cl.set_saturation(data.coffee(), -1)


@pytest.mark.parametrize("scaling", SCALINGS)
def test_scalings_are_undone(scaling):
    lab = torch.rand(2, 3, 4, 4) * 100
    assert torch.allclose(denormalize_lab(normalize_lab(lab, scaling), scaling), lab, atol=1e-4)


def test_scalings_are_what_the_papers_say():
    lab = torch.tensor([100.0, 55, -110]).view(1, 3, 1, 1)
    assert normalize_lab(lab, "zhang").flatten().tolist() == [0.5, 0.5, -1]
    assert normalize_lab(lab, "pix2pix").flatten().tolist() == [1, 0.5, -1]
    with pytest.raises(ValueError, match="zhang"):
        normalize_lab(lab, "other")


@pytest.mark.parametrize("bad", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), int), [[1]]])
def test_wrong_arrays_are_refused(bad):
    with pytest.raises(ValueError, match="expected"):
        cl.rgb_to_lab(bad)
