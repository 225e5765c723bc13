"""Image colorization, learned by doing: the library behind the course's lessons.

>>> import course_lib as cl
>>> net = cl.eccv16()
>>> rgb = cl.load_photo("gray/camera")
>>> out = cl.colorize(rgb, net)
"""

from course_lib.bins import ab_bins
from course_lib.data.photos import load_photo, photos
from course_lib.image import ImageError, list_images, load_image, save_image
from course_lib.inference import colorize
from course_lib.lab import lab_to_rgb, rgb_to_lab, set_saturation, set_temperature, to_gray
from course_lib.models import PatchDiscriminator, UNetGenerator, eccv16, siggraph17
from course_lib.models.weights import WeightsError

__version__ = "0.1.0"

__all__ = [
    "ImageError",
    "PatchDiscriminator",
    "UNetGenerator",
    "WeightsError",
    "ab_bins",
    "colorize",
    "eccv16",
    "lab_to_rgb",
    "list_images",
    "load_image",
    "load_photo",
    "photos",
    "rgb_to_lab",
    "save_image",
    "set_saturation",
    "set_temperature",
    "siggraph17",
    "to_gray",
]


def __getattr__(name: str):
    """Bring `HintPainter` only when it is asked for: it needs anywidget, which is optional."""
    if name == "HintPainter":
        from course_lib.hint_painter import HintPainter

        return HintPainter
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
