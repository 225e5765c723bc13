"""Damaged pictures of every format and mode that the course reads."""

import functools
import io
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image, ImageCms, features
from skimage import data

from course_lib.exif import date_and_caption
from course_lib.image import ImageError, load_image, save_image
from tests.fuzz.frame import check, mutated, numbers_of

NAME, WHAT = "pictures", "damaged files of all formats and modes through `load_image`"
COUNT, FEW = 10_000, 150

#: What the reasons that `load_image` gives begin with, or hold.
_REASONS = ("not a picture", "damaged", "TIFF picture", "pixels", "not finite", "floats", "empty")


@functools.cache
def _whole() -> list[bytes]:
    """Whole files."""
    colour = Image.fromarray(data.coffee()[::16, ::16])
    gray = np.asarray(colour.convert("L"))
    exif = Image.Exif()
    exif[0x0112], exif[0x010E], exif[0x0132] = 6, "caption", "2001:02:03 04:05:06"
    exif.get_ifd(0x8769)[0x9003] = "2001:02:03 04:05:06"
    notes = {"exif": exif.tobytes(), "icc_profile": _profile()}
    files = []

    def add(picture: Image.Image, kind: str, **options) -> None:
        file = io.BytesIO()
        picture.save(file, kind, **options)
        files.append(file.getvalue())

    for mode in ("RGB", "L", "CMYK"):
        add(colour.convert(mode), "JPEG", **notes)
        add(colour.convert(mode), "JPEG", progressive=True)
    for mode in ("RGB", "RGBA", "L", "LA", "P", "1", "I;16"):
        picture = colour.convert("L").convert(mode) if mode == "I;16" else colour.convert(mode)
        add(picture, "PNG", **notes)
    for mode in ("RGB", "RGBA", "L", "P", "1", "CMYK", "YCbCr", "F", "I"):
        add(colour.convert(mode), "TIFF")
        if mode not in ("F", "I", "YCbCr"):
            add(colour.convert(mode), "TIFF", compression="tiff_lzw", icc_profile=_profile())
    for options in ({"lossless": True}, {"quality": 80}):
        add(colour, "WEBP", **options, **notes)
    for mode in ("RGB", "L", "P", "1"):
        add(colour.convert(mode), "BMP")
    add(colour.convert("P"), "GIF")
    add(colour.convert("P"), "GIF", save_all=True, append_images=[colour.convert("P")] * 2)
    for mode in ("RGB", "L", "1"):
        add(colour.convert(mode), "PPM")
    add(colour, "MPO", save_all=True, append_images=[colour])
    if features.check("jpg_2000"):
        add(colour, "JPEG2000")
        add(colour.convert("L"), "JPEG2000")
    if features.check("avif"):
        add(colour, "AVIF", **notes)
    for values in (gray.astype("<u2") * 257, gray.astype(">f4") / 255, gray.astype("<f8") / 255):
        for compression in (None, "zlib"):
            file = io.BytesIO()
            tifffile.imwrite(file, values, compression=compression, photometric="miniswhite")
            files.append(file.getvalue())
    return files


def _profile() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def trial(number: int, folder: Path) -> str:
    """Damage a file and read it, as bytes or by its path."""
    random = numbers_of(NAME, number)
    content = mutated(random.choice(_whole()), random, random.choice((0, 4, 12)))
    if random.random() < 0.05:
        content += mutated(random.choice(_whole()), random)
    path = folder / f"a{random.choice(('.jpg', '.png', '.tif', '.avif', ''))}"
    path.write_bytes(content)
    # now and then as large as anybody may read; that many pixels take their time
    most = {} if random.random() < 0.05 else {"max_pixels": 4_000_000}
    try:
        rgb = load_image(random.choice((path, content)), **most)
    except ImageError as error:
        check("\n" not in str(error), f"a message of several lines: {error!r}")
        reason = next((reason for reason in _REASONS if reason in str(error)), str(error)[-60:])
        return f"refused: {reason}"
    kept = date_and_caption(path, "fuzz")
    save_image(folder / "b.jpg", rgb[:8, :8], exif=kept)
    check(rgb.dtype == np.uint8 and rgb.ndim == 3 and rgb.shape[2] == 3, f"{rgb.shape}")
    return "read"
