"""RGB and Lab, both ways: for pictures (arrays) and for batches of tensors.

CIE L*a*b* under the D65 white of sRGB (CIE 15:2004; IEC 61966-2-1): L in 0..100 is lightness,
a runs from green to red, b from blue to yellow. 8-bit sRGB spans a in -86.18..98.23 and b in
-107.86..94.48.
"""

import numpy as np
import torch
from torch import Tensor

#: The white of sRGB (D65, 2 degree observer), as scikit-image has it.
WHITE = (0.95047, 1.0, 1.08883)

#: Linear sRGB to XYZ (IEC 61966-2-1).
XYZ_FROM_RGB = (
    (0.412453, 0.357580, 0.180423),
    (0.212671, 0.715160, 0.072169),
    (0.019334, 0.119193, 0.950227),
)

#: The temperature, in kelvin, at which `set_temperature` changes nothing.
NEUTRAL_KELVIN = 6504.0


def rgb_to_lab(rgb: np.ndarray) -> np.ndarray:
    """A picture from sRGB to Lab, by scikit-image.

    Parameters
    ----------
    rgb : numpy.ndarray
        (..., 3), uint8, or float in 0..1.

    Returns
    -------
    numpy.ndarray
        (..., 3) float32: L in 0..100, a and b.
    """
    if not isinstance(rgb, np.ndarray) or rgb.shape[-1:] != (3,):
        raise ValueError(f"expected an array (..., 3), got {getattr(rgb, 'shape', type(rgb))}")
    if rgb.dtype != np.uint8 and not np.issubdtype(rgb.dtype, np.floating):
        raise ValueError(f"expected uint8, or float in 0..1, got {rgb.dtype}")
    from skimage.color import rgb2lab  # takes a while, and not everybody who imports us calls it

    scaled = rgb / np.float32(255) if rgb.dtype == np.uint8 else rgb.astype(np.float32)
    return rgb2lab(scaled).astype(np.float32)


def lab_to_rgb(lab: np.ndarray) -> np.ndarray:
    """A picture from Lab to 8-bit sRGB; colours that sRGB lacks are clipped channel by channel.

    Parameters
    ----------
    lab : numpy.ndarray
        (..., 3): L in 0..100, a and b.

    Returns
    -------
    numpy.ndarray
        (..., 3) uint8.
    """
    from skimage.color import lab2rgb

    # scikit-image warns where Z would be negative; such colours lie outside sRGB anyway, and
    # clipping them here gives the same picture quietly.
    inside = np.array(lab, dtype=np.float32)
    largest_b = 200 / 116 * (inside[..., 0] + 16) - 1e-3  # less a little, for rounding
    inside[..., 2] = np.minimum(inside[..., 2], largest_b)
    return np.rint(np.clip(lab2rgb(inside), 0, 1) * 255).astype(np.uint8)


def split_lab(lab: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lightness and colour of a Lab picture.

    Parameters
    ----------
    lab : numpy.ndarray
        (H, W, 3).

    Returns
    -------
    L : numpy.ndarray
        (H, W).
    ab : numpy.ndarray
        (H, W, 2).
    """
    return lab[..., 0], lab[..., 1:]


def merge_lab(L: np.ndarray, ab: np.ndarray) -> np.ndarray:
    """Put lightness and colour back together.

    Parameters
    ----------
    L : numpy.ndarray
        (H, W).
    ab : numpy.ndarray
        (H, W, 2).

    Returns
    -------
    numpy.ndarray
        (H, W, 3).
    """
    if ab.shape != (*L.shape, 2):
        raise ValueError(f"L of shape {L.shape} needs ab of shape {(*L.shape, 2)}, got {ab.shape}")
    return np.concatenate([L[..., None], ab], axis=-1)


def lightness(rgb: np.ndarray) -> np.ndarray:
    """L of a picture: all that a gray photograph knows.

    Parameters
    ----------
    rgb : numpy.ndarray
        (H, W, 3), uint8, or float in 0..1.

    Returns
    -------
    numpy.ndarray
        (H, W) float32 in 0..100.
    """
    return rgb_to_lab(rgb)[..., 0]


def to_gray(rgb: np.ndarray) -> np.ndarray:
    """The gray picture of the same lightness.

    Parameters
    ----------
    rgb : numpy.ndarray
        (H, W, 3), uint8, or float in 0..1.

    Returns
    -------
    numpy.ndarray
        (H, W, 3) uint8, three equal channels.
    """
    L = lightness(rgb)
    gray = lab_to_rgb(merge_lab(L, np.zeros((*L.shape, 2), np.float32)))
    # the constants of the conversion leave a hundredth of a level between the channels, which
    # rounding can make a whole one
    return np.repeat(gray[..., 1:2], 3, axis=-1)


def in_gamut(lab: np.ndarray, tolerance: float = 1e-3) -> np.ndarray:
    """Which colours sRGB can show.

    Parameters
    ----------
    lab : numpy.ndarray
        (..., 3).
    tolerance : float
        How far outside 0..1 a channel may lie; rounding alone needs a little.

    Returns
    -------
    numpy.ndarray
        (...) bool.
    """
    batch = torch.from_numpy(np.asarray(lab, dtype=np.float64)).reshape(1, -1, 3).movedim(-1, 1)
    rgb = lab_to_rgb_tensor(batch[..., None], clip=False)[0, :, :, 0].numpy()
    inside = ((rgb >= -tolerance) & (rgb <= 1 + tolerance)).all(axis=0)
    return inside.reshape(np.shape(lab)[:-1])


def set_saturation(rgb: np.ndarray, factor: float) -> np.ndarray:
    """Scale the chroma of a picture; its lightness stays.

    Parameters
    ----------
    rgb : numpy.ndarray
        (H, W, 3), uint8, or float in 0..1.
    factor : float
        0 makes it gray, 1 changes nothing, above 1 makes colours stronger.

    Returns
    -------
    numpy.ndarray
        (H, W, 3) uint8.
    """
    if not factor >= 0:
        raise ValueError(f"saturation must be 0 or more, got {factor}")
    lab = rgb_to_lab(rgb)
    lab[..., 1:] *= factor
    return lab_to_rgb(lab)


def set_temperature(rgb: np.ndarray, kelvin: float) -> np.ndarray:
    """Make a picture look as if taken in warmer or cooler light; its lightness stays.

    The picture's white moves to the colour of daylight of that temperature (CIE 15:2004,
    section 3.1) by a von Kries adaptation with the Bradford matrix (ICC.1:2022, annex E).

    Parameters
    ----------
    rgb : numpy.ndarray
        (H, W, 3), uint8, or float in 0..1.
    kelvin : float
        4000 (warm, orange) .. 25000 (cool, blue); 6504 changes nothing.

    Returns
    -------
    numpy.ndarray
        (H, W, 3) uint8.
    """
    if not 4000 <= kelvin <= 25000:
        raise ValueError(
            f"temperature must be in 4000..25000 kelvin (6504 is neutral), got {kelvin}"
        )
    bradford = np.array(
        [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
    )
    cones = bradford @ _daylight(kelvin) / (bradford @ _daylight(NEUTRAL_KELVIN))
    adapt = np.linalg.inv(bradford) @ np.diag(cones) @ bradford
    matrix = np.array(XYZ_FROM_RGB)
    lab = rgb_to_lab(rgb)
    linear = light_of(torch.from_numpy(np.asarray(rgb) / (255 if rgb.dtype == np.uint8 else 1)))
    moved = linear.numpy() @ (matrix.T @ adapt.T)
    lab[..., 1:] = _lab_from_xyz(torch.from_numpy(moved).movedim(-1, 0)[None])[0, 1:].movedim(
        0, -1
    )
    return lab_to_rgb(lab)


def _daylight(kelvin: float) -> np.ndarray:
    """XYZ (Y = 1) of the CIE daylight locus at a temperature in 4000..25000 kelvin."""
    t = 1000 / kelvin
    if kelvin <= 7000:
        x = 0.244063 + 0.09911 * t + 2.9678 * t**2 - 4.6070 * t**3
    else:
        x = 0.237040 + 0.24748 * t + 1.9018 * t**2 - 2.0064 * t**3
    y = -3.000 * x**2 + 2.870 * x - 0.275
    return np.array([x / y, 1.0, (1 - x - y) / y])


# In the curves below: clamp before the power, whose gradient at 0 is infinite, since where() lets
# it through as nan.
def light_of(rgb: Tensor) -> Tensor:
    """sRGB's curve undone.

    Parameters
    ----------
    rgb : torch.Tensor
        Any shape, values of sRGB in 0..1.

    Returns
    -------
    torch.Tensor
        The same shape: light, 0..1.
    """
    return torch.where(
        rgb > 0.04045, ((rgb.clamp(min=0.04045) + 0.055) / 1.055) ** 2.4, rgb / 12.92
    )


def value_of(light: Tensor) -> Tensor:
    """sRGB's curve: undoes `light_of`.

    Parameters
    ----------
    light : torch.Tensor
        Any shape; below 0 and above 1 the curve goes on.

    Returns
    -------
    torch.Tensor
        The same shape: values of sRGB.
    """
    curved = 1.055 * light.clamp(min=0.0031308) ** (1 / 2.4) - 0.055
    return torch.where(light > 0.0031308, curved, 12.92 * light)


def response(ratio: Tensor) -> Tensor:
    """The f of CIE 15, on which Lab stands: a cube root, but in the dark a straight line.

    Parameters
    ----------
    ratio : torch.Tensor
        Any shape: X, Y or Z over that of white.

    Returns
    -------
    torch.Tensor
        The same shape; 16/116 of black, 1 of white.
    """
    return torch.where(
        ratio > 0.008856, ratio.clamp(min=0.008856) ** (1 / 3), 7.787 * ratio + 16 / 116
    )


def _lab_from_xyz(xyz: Tensor) -> Tensor:
    white = torch.tensor(WHITE, dtype=xyz.dtype, device=xyz.device).view(1, 3, 1, 1)
    x, y, z = response(xyz / white).unbind(1)
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], dim=1)


def rgb_to_lab_tensor(rgb: Tensor) -> Tensor:
    """A batch from sRGB to Lab, differentiable.

    Parameters
    ----------
    rgb : torch.Tensor
        (N, 3, H, W) in 0..1.

    Returns
    -------
    torch.Tensor
        (N, 3, H, W): L in 0..100, a and b.
    """
    matrix = torch.tensor(XYZ_FROM_RGB, dtype=rgb.dtype, device=rgb.device)
    return _lab_from_xyz(torch.einsum("ij,njhw->nihw", matrix, light_of(rgb)))


def lab_to_rgb_tensor(lab: Tensor, clip: bool = True) -> Tensor:
    """A batch from Lab to sRGB, differentiable where it is not clipped.

    Parameters
    ----------
    lab : torch.Tensor
        (N, 3, H, W): L in 0..100, a and b.
    clip : bool
        Bring colours that sRGB lacks into 0..1, channel by channel.

    Returns
    -------
    torch.Tensor
        (N, 3, H, W); in 0..1 if clipped.
    """
    L, a, b = lab.unbind(1)
    y = (L + 16) / 116
    f = torch.stack([y + a / 500, y, y - b / 200], dim=1)
    white = torch.tensor(WHITE, dtype=lab.dtype, device=lab.device).view(1, 3, 1, 1)
    xyz = white * torch.where(f > 0.2068966, f**3, (f - 16 / 116) / 7.787)
    matrix = torch.linalg.inv(torch.tensor(XYZ_FROM_RGB, dtype=torch.float64)).to(lab)
    linear = torch.einsum("ij,njhw->nihw", matrix, xyz)
    rgb = value_of(linear)
    return rgb.clamp(0, 1) if clip else rgb


#: How the networks' inputs and outputs are scaled: (L's centre, L's divisor, ab's divisor).
SCALINGS = {"zhang": (50.0, 100.0, 110.0), "pix2pix": (50.0, 50.0, 110.0)}


def normalize_lab(lab: Tensor, scaling: str = "zhang") -> Tensor:
    """Lab as networks see it.

    Parameters
    ----------
    lab : torch.Tensor
        (N, 3, H, W).
    scaling : {"zhang", "pix2pix"}
        "zhang": (L - 50) / 100 and ab / 110, as ECCV16 and SIGGRAPH17 have it. "pix2pix":
        L / 50 - 1 and ab / 110. A network trained with one is useless with the other.

    Returns
    -------
    torch.Tensor
        (N, 3, H, W).
    """
    centre, l_norm, ab_norm = _scaling(scaling)
    return torch.cat([(lab[:, :1] - centre) / l_norm, lab[:, 1:] / ab_norm], dim=1)


def denormalize_lab(normalized: Tensor, scaling: str = "zhang") -> Tensor:
    """Undo `normalize_lab`.

    Parameters
    ----------
    normalized : torch.Tensor
        (N, 3, H, W).
    scaling : {"zhang", "pix2pix"}
        As in `normalize_lab`.

    Returns
    -------
    torch.Tensor
        (N, 3, H, W) Lab.
    """
    centre, l_norm, ab_norm = _scaling(scaling)
    return torch.cat([normalized[:, :1] * l_norm + centre, normalized[:, 1:] * ab_norm], dim=1)


def _scaling(name: str) -> tuple[float, float, float]:
    if name not in SCALINGS:
        raise ValueError(f"scaling must be one of {', '.join(SCALINGS)}, got {name!r}")
    return SCALINGS[name]
