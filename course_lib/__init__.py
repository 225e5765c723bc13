"""Image colorization, learned by doing: the library behind the course's lessons.

>>> import course_lib as cl
>>> net = cl.eccv16()
>>> rgb = cl.load_photo("gray/camera")
>>> out = cl.colorize(rgb, net)
"""

from course_lib.bins import ab_bins
from course_lib.data.arrays import square
from course_lib.data.photos import load_photo, photos
from course_lib.hints import hint_tensors
from course_lib.image import ImageError, list_images, load_image, save_image
from course_lib.inference import colorize, prepare, upsample_ab
from course_lib.lab import (
    lab_to_rgb,
    lightness,
    rgb_to_lab,
    set_saturation,
    set_temperature,
    to_gray,
)
from course_lib.metrics import psnr
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
    "SIGGRAPH17",
    "ImageError",
    "PatchDiscriminator",
    "UNetGenerator",
    "WeightsError",
    "ab_bins",
    "colorize",
    "eccv16",
    "evaluating",
    "hint_tensors",
    "lab_to_rgb",
    "lightness",
    "list_images",
    "load_file",
    "load_image",
    "load_network",
    "load_photo",
    "photos",
    "prepare",
    "psnr",
    "rgb_to_lab",
    "save_image",
    "save_weights",
    "set_saturation",
    "set_temperature",
    "siggraph17",
    "square",
    "to_gray",
    "upsample_ab",
]
