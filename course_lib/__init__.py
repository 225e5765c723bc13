"""Image colorization, learned by doing: the library behind the course's lessons.

What the lessons use most is here under one name, ``cl``. What belongs to training, measuring and
showing has a face of its own: `course_lib.training`, `course_lib.evaluation`,
`course_lib.plotting`.

>>> import course_lib as cl
>>> net = cl.eccv16()
>>> rgb = cl.load_photo("gray/camera")
>>> out = cl.colorize(rgb, net)
"""

from course_lib.bins import (
    ab_bins,
    annealed_mean,
    expected_ab,
    nearest_bins,
    rebalancing_weights,
    smooth_prior,
    soft_encode,
)
from course_lib.data.arrays import decode_lab, encode_lab, hold_out, square
from course_lib.data.photos import load_photo, photos
from course_lib.data.prepare import GRAY_CHROMA, build_array
from course_lib.data.prior import ab_prior
from course_lib.data.split import only_part
from course_lib.hints import hint_tensors, simulate_hints, suggest_colours
from course_lib.image import ImageError, list_images, load_image, save_image
from course_lib.inference import colorize, prepare, upsample_ab
from course_lib.lab import (
    in_gamut,
    lab_to_rgb,
    lightness,
    merge_lab,
    normalize_lab,
    rgb_to_lab,
    set_saturation,
    set_temperature,
    to_gray,
)
from course_lib.metrics import ab_error_curve, auc, psnr, ssim
from course_lib.models import (
    ECCV16,
    SIGGRAPH17,
    PatchDiscriminator,
    UNetGenerator,
    WeightsError,
    eccv16,
    evaluating,
    load_file,
    load_network,
    save_weights,
    siggraph17,
)

__version__ = "0.1.0"

__all__ = [
    "ECCV16",
    "GRAY_CHROMA",
    "SIGGRAPH17",
    "ImageError",
    "PatchDiscriminator",
    "UNetGenerator",
    "WeightsError",
    "ab_bins",
    "ab_error_curve",
    "ab_prior",
    "annealed_mean",
    "auc",
    "build_array",
    "colorize",
    "decode_lab",
    "eccv16",
    "encode_lab",
    "evaluating",
    "expected_ab",
    "hint_tensors",
    "hold_out",
    "in_gamut",
    "lab_to_rgb",
    "lightness",
    "list_images",
    "load_file",
    "load_image",
    "load_network",
    "load_photo",
    "merge_lab",
    "nearest_bins",
    "normalize_lab",
    "only_part",
    "photos",
    "prepare",
    "psnr",
    "rebalancing_weights",
    "rgb_to_lab",
    "save_image",
    "save_weights",
    "set_saturation",
    "set_temperature",
    "siggraph17",
    "simulate_hints",
    "smooth_prior",
    "soft_encode",
    "square",
    "ssim",
    "suggest_colours",
    "to_gray",
    "upsample_ab",
]


def __getattr__(name: str):
    """Bring `HintPainter` only when it is asked for: it needs anywidget, which is optional."""
    if name == "HintPainter":
        from course_lib.hint_painter import HintPainter

        return HintPainter
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
