import io
import os
import struct
import time
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms, PngImagePlugin, features
from skimage import data

from course_lib import image
from course_lib.image import ImageError, list_images, load_image, save_image

COFFEE = data.coffee()[::8, ::8]  # (50, 75, 3): no symmetry, and taller is not wider
GRAY = np.asarray(Image.fromarray(COFFEE).convert("L"))

Image.init()
WRITES_AVIF = "AVIF" in Image.SAVE  # features.check("avif") warns where Pillow is older than that


def encoded(picture, kind, **options):
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def png(width, height, depth, colour_type, rows, **chunks):
    """A PNG by hand: Pillow writes neither 16-bit colour nor pictures that are not there."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0)
    scanlines = b"".join(b"\0" + row for row in rows)
    parts = {"IHDR": header, **chunks, "IDAT": zlib.compress(scanlines), "IEND": b""}
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body))
        + kind.encode()
        + body
        + struct.pack(">I", zlib.crc32(kind.encode() + body))
        for kind, body in parts.items()
    )


def sixteen_bit_png(values):
    """`values` (H, W, channels) uint16."""
    colour_type = {1: 0, 2: 4, 3: 2, 4: 6}[values.shape[2]]
    rows = [row.astype(">u2").tobytes() for row in values]
    return png(values.shape[1], values.shape[0], 16, colour_type, rows)


def icc_profile(space, **tags):
    """A minimal ICC version 2 profile; a tag is three XYZ numbers or the gamma of a curve."""
    table, body = b"", b""
    for name, value in {"wtpt": (0.9642, 1.0, 0.8249), **tags}.items():
        if isinstance(value, tuple):
            block = b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(v * 65536) for v in value))
        else:
            block = b"curv\0\0\0\0" + struct.pack(">IHxx", 1, round(value * 256))
        table += name.encode() + struct.pack(">II", 132 + 12 * (1 + len(tags)) + len(body), 0)
        table = table[:-4] + struct.pack(">I", len(block))
        body += block
    header = struct.pack(
        ">I4xI4s4s4s", 132 + len(table) + len(body), 0x02200000, b"mntr", space, b"XYZ "
    )
    header = header.ljust(36, b"\0") + b"acsp"
    header = header.ljust(68, b"\0") + struct.pack(">3i", 63190, 65536, 54061)  # D50
    return header.ljust(128, b"\0") + struct.pack(">I", 1 + len(tags)) + table + body


def srgb_curve(linear):
    linear = np.clip(linear, 0, 1)
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055) * 255


def worst(result, expected):
    assert result.shape == expected.shape and result.dtype == np.uint8
    return np.abs(result.astype(float) - expected).max()


def mean_difference(result, expected):
    assert result.shape == expected.shape and result.dtype == np.uint8
    return np.abs(result.astype(float) - expected).mean()


def gray_rgb(gray=GRAY):
    return np.repeat(gray[..., None], 3, axis=2)


def over_white(rgb, alpha):
    return np.rint(rgb * (alpha / 255) + 255 * (1 - alpha / 255))


# Formats and modes


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("PNG", {}),
        ("BMP", {}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("WEBP", {"lossless": True}),
    ],
)
def test_lossless_files_come_back_to_the_byte(kind, options):
    assert np.array_equal(load_image(encoded(Image.fromarray(COFFEE), kind, **options)), COFFEE)


def test_a_gray_jpeg_becomes_three_equal_channels():
    result = load_image(encoded(Image.fromarray(GRAY), "JPEG", quality=95))
    assert np.ptp(result, axis=-1).max() == 0
    assert mean_difference(result, gray_rgb()) < 3


def test_a_palette_is_expanded():
    picture = Image.fromarray(COFFEE).quantize(64)
    assert picture.mode == "P"
    assert np.array_equal(load_image(encoded(picture, "PNG")), np.asarray(picture.convert("RGB")))


def test_a_palette_with_transparency_is_laid_over_white():
    indices = np.array([[0, 1, 2, 3]], np.uint8)
    picture = Image.fromarray(indices).convert("P")
    picture.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255, 10, 20, 30])
    result = load_image(encoded(picture, "PNG", transparency=bytes([255, 128, 0, 255])))
    assert worst(result, np.array([[[255, 0, 0], [127, 255, 127], [255] * 3, [10, 20, 30]]])) <= 1
    result = load_image(encoded(picture, "GIF", transparency=2))
    assert np.array_equal(result[0, 2], [255] * 3) and np.array_equal(result[0, 0], [255, 0, 0])


def test_transparency_is_laid_over_white():
    alpha = np.tile(np.linspace(0, 255, 75).astype(np.uint8), (50, 1))[..., None]
    rgba = Image.fromarray(np.concatenate([COFFEE, alpha], axis=2))
    assert worst(load_image(encoded(rgba, "PNG")), over_white(COFFEE, alpha)) <= 1
    la = Image.merge("LA", [Image.fromarray(GRAY), Image.fromarray(alpha[..., 0])])
    assert worst(load_image(encoded(la, "PNG")), over_white(gray_rgb(), alpha)) <= 1


def test_a_colour_that_stands_for_transparent_becomes_white():
    picture = Image.fromarray(np.array([[[1, 2, 3], [4, 5, 6]]], np.uint8))
    result = load_image(encoded(picture, "PNG", transparency=(1, 2, 3)))
    assert result.tolist() == [[[255, 255, 255], [4, 5, 6]]]


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_16_bit_pngs_equal_their_8_bit_versions(channels):
    wide = np.concatenate([data.coffee()[::8, ::8], GRAY[..., None]], axis=2).astype(np.uint16)
    wide = wide * 257 + np.random.RandomState(0).randint(-60, 60, wide.shape)
    wide = np.clip(wide, 0, 65535).astype(np.uint16)
    wide = wide[..., {1: [3], 2: [3, 0], 3: [0, 1, 2], 4: [0, 1, 2, 3]}[channels]]
    narrow = np.rint(wide / 257)
    expected = narrow if channels >= 3 else np.repeat(narrow[..., :1], 3, axis=2)
    if channels in (2, 4):
        expected = over_white(expected[..., :3], narrow[..., -1:])
    assert worst(load_image(sixteen_bit_png(wide)), expected) <= 2 - (channels in (1, 3))


def test_a_dark_16_bit_picture_stays_dark():
    picture = Image.fromarray(np.full((4, 4), 200, np.uint16))  # of 65535: nearly black
    assert load_image(encoded(picture, "TIFF")).max() == 1


def test_16_bit_tiffs_of_both_byte_orders():
    for mode, order in (("I;16", "<u2"), ("I;16B", ">u2")):
        values = (GRAY.astype(np.uint16) * 257).astype(order)
        picture = Image.frombytes(mode, (75, 50), values.tobytes())
        assert np.array_equal(load_image(encoded(picture, "TIFF")), gray_rgb()), mode


def test_float_and_32_bit_tiffs():
    for values in (GRAY.astype(np.float32) / 255, GRAY.astype(np.int32) * 8421504):
        result = load_image(encoded(Image.fromarray(values), "TIFF"))
        assert worst(result, gray_rgb()) <= 1, values.dtype


def test_1_bit_pictures_become_black_and_white():
    bits = GRAY > 128
    for kind in ("PNG", "TIFF", "BMP"):
        result = load_image(encoded(Image.fromarray(bits), kind))
        assert np.array_equal(result, gray_rgb(bits.astype(np.uint8) * 255)), kind


def test_a_cmyk_jpeg_has_the_pictures_colours():
    content = encoded(Image.fromarray(COFFEE).convert("CMYK"), "JPEG", quality=95)
    assert b"Adobe" in content  # such files hold the inks inverted
    result = load_image(content)
    assert mean_difference(result, COFFEE) < 4
    assert mean_difference(255 - result, COFFEE) > 50


def test_of_an_animation_the_first_frame_is_taken():
    frames = [Image.new("RGB", (8, 6), colour) for colour in ("red", "lime", "blue")]
    for kind in ("GIF", "WEBP", "TIFF"):
        content = encoded(frames[0], kind, save_all=True, append_images=frames[1:])
        assert mean_difference(load_image(content), np.full((6, 8, 3), (255, 0, 0))) < 3, kind


# Orientation and colour


def stored_for(upright, orientation):
    """What a camera stores: EXIF says where the stored first row and first column belong."""
    sideways = upright.swapaxes(0, 1)
    return {
        1: upright,  # row at the top, column at the left
        2: upright[:, ::-1],  # top, right
        3: upright[::-1, ::-1],  # bottom, right
        4: upright[::-1],  # bottom, left
        5: sideways,  # left, top
        6: sideways[::-1],  # right, top
        7: sideways[::-1, ::-1],  # right, bottom
        8: sideways[:, ::-1],  # left, bottom
    }[orientation]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_comes_out_upright(kind, orientation):
    picture = Image.fromarray(np.ascontiguousarray(stored_for(COFFEE, orientation)))
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"PNG": {}, "TIFF": {}}.get(kind, {"quality": 95})
    result = load_image(encoded(picture, kind, exif=exif.tobytes(), **options))
    # Mirrored or turned pictures differ from this one by more than 40 levels.
    assert mean_difference(result, COFFEE) < 8


def test_broken_exif_data_do_not_stop_a_picture():
    for exif in (b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0nonsense", b"Exif\0\0"):
        for kind in ("JPEG", "PNG"):
            content = encoded(Image.fromarray(COFFEE), kind, quality=95, exif=exif)
            assert mean_difference(load_image(content), COFFEE) < 8
    exif = Image.Exif()
    exif[0x0112] = 99
    content = encoded(Image.fromarray(COFFEE), "PNG", exif=exif.tobytes())
    assert np.array_equal(load_image(content), COFFEE)


P3 = {  # Display P3's primaries under the D50 light of ICC profiles, each to X, Y, Z
    "rXYZ": (0.51512, 0.24120, -0.00105),
    "gXYZ": (0.29198, 0.69225, 0.04189),
    "bXYZ": (0.15710, 0.06657, 0.78407),
}
SRGB = np.array(
    [[0.43607, 0.22249, 0.01392], [0.38515, 0.71687, 0.09708], [0.14307, 0.06061, 0.7141]]
)


def p3_in_srgb(rgb, gamma):
    linear = (rgb / 255.0) ** gamma
    return srgb_curve(linear @ np.array(list(P3.values())) @ np.linalg.inv(SRGB))


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
def test_a_wide_gamut_picture_is_converted_to_srgb(kind):
    profile = icc_profile(b"RGB ", **P3, rTRC=2.2, gTRC=2.2, bTRC=2.2)
    options = {"lossless": True} if kind == "WEBP" else {}
    content = encoded(Image.fromarray(COFFEE), kind, icc_profile=profile, **options)
    expected = p3_in_srgb(COFFEE, 2.2)
    assert np.abs(expected - COFFEE).max() > 20  # the test can tell them apart
    # Close to black the conversion's tables are coarse.
    assert mean_difference(load_image(content), expected) < 0.6
    assert worst(load_image(content), expected) <= 4


def test_a_profile_counts_under_transparency_and_on_a_palette():
    profile = icc_profile(b"RGB ", **P3, rTRC=2.2, gTRC=2.2, bTRC=2.2)
    picture = Image.new("RGBA", (2, 1), (200, 60, 60, 255))
    picture.putpixel((1, 0), (0, 0, 0, 0))
    expected = np.stack([p3_in_srgb(np.array([200, 60, 60]), 2.2), [255] * 3])[None]
    assert worst(load_image(encoded(picture, "PNG", icc_profile=profile)), expected) <= 2
    picture = picture.convert("RGB").quantize(2)
    picture.putpalette([200, 60, 60, 255, 255, 255])
    result = load_image(encoded(picture, "PNG", icc_profile=profile))
    assert worst(np.unique(result[0], axis=0), expected[0]) <= 2


def test_a_gray_profile_counts_in_8_and_16_bits():
    profile = icc_profile(b"GRAY", kTRC=1.0)  # values proportional to light
    expected = gray_rgb(srgb_curve(GRAY / 255))
    assert mean_difference(gray_rgb(), expected) > 40
    for values in (GRAY, GRAY.astype(np.uint16) * 257):
        content = encoded(Image.fromarray(values), "PNG", icc_profile=profile)
        assert mean_difference(load_image(content), expected) < 2, values.dtype


def test_an_srgb_profile_changes_nothing():
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    content = encoded(Image.fromarray(COFFEE), "PNG", icc_profile=profile)
    assert worst(load_image(content), COFFEE) <= 1


def test_a_broken_or_unfit_profile_is_ignored():
    whole = icc_profile(b"RGB ", **P3, rTRC=2.2, gTRC=2.2, bTRC=2.2)
    for profile in (b"nonsense", whole[:200], whole[:128] + b"\xff" * 300):
        content = encoded(Image.fromarray(COFFEE), "PNG", icc_profile=profile)
        assert np.array_equal(load_image(content), COFFEE)
    unfit = encoded(Image.fromarray(GRAY), "PNG", icc_profile=whole)
    assert np.array_equal(load_image(unfit), gray_rgb())


# Sources


def test_paths_bytes_and_open_files_are_the_same_picture(tmp_path):
    path = tmp_path / "coffee.png"
    Image.fromarray(COFFEE).save(path)
    with path.open("rb") as file:
        for source in (path, str(path), path.read_bytes(), file, io.BytesIO(path.read_bytes())):
            assert np.array_equal(load_image(source), COFFEE)


def test_the_content_counts_and_not_the_name(tmp_path):
    path = tmp_path / "photo.jpg"
    path.write_bytes(encoded(Image.fromarray(COFFEE), "PNG"))
    assert np.array_equal(load_image(path), COFFEE)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (COFFEE, COFFEE),
        (COFFEE[:, ::-1], COFFEE[:, ::-1]),
        (COFFEE / 255, COFFEE),
        ((COFFEE / 255).astype(np.float32), COFFEE),
        ((COFFEE / 255).astype(np.float16), COFFEE),
        (COFFEE.astype(np.uint16) * 257, COFFEE),
        (GRAY, gray_rgb()),
        (GRAY[..., None], gray_rgb()),
        (GRAY > 128, gray_rgb((GRAY > 128).astype(np.uint8) * 255)),
        (np.dstack([COFFEE, GRAY]), over_white(COFFEE, GRAY[..., None])),
        (np.dstack([COFFEE, GRAY]) / 255, over_white(COFFEE, GRAY[..., None])),
    ],
)
def test_arrays_of_every_allowed_type(values, expected):
    assert worst(load_image(values), expected) <= 1


def test_the_callers_array_and_the_result_are_two():
    mine = COFFEE.copy()
    result = load_image(mine)
    result[:] = 0
    assert np.array_equal(mine, COFFEE)


@pytest.mark.parametrize(
    "mode", ["RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "HSV", "L", "LA", "La", "I", "F"]
)
def test_pil_images_of_every_mode(mode):
    picture = Image.fromarray(COFFEE)
    by_way_of = {"RGBa": "RGBA", "La": "LA"}.get(mode)
    picture = (picture.convert(by_way_of) if by_way_of else picture).convert(mode)
    gray = mode in ("L", "LA", "La", "I", "F")
    assert mean_difference(load_image(picture), gray_rgb() if gray else COFFEE) < 2


# What cannot be read


def reason(source, **options):
    """The message, which must be a single line."""
    with pytest.raises(ImageError) as caught:
        load_image(source, **options)
    message = str(caught.value)
    assert message.strip() and "\n" not in message
    return message


def test_files_that_are_no_pictures(tmp_path):
    path = tmp_path / "notes.jpg"
    for content in (b"hello", b"\0" * 5000, b"%PDF-1.7 ...", b"<html></html>", b"\xff\xd8\xff"):
        path.write_bytes(content)
        message = reason(path)
        assert message.startswith(str(path)) and "not a picture" in message
    assert "the picture: not a picture" in reason(b"hello")


def test_a_file_of_another_format_is_not_opened_whatever_its_name_says(tmp_path):
    # Pillow would start Ghostscript for this one, and it would never come back
    path = tmp_path / "photo.jpg"
    path.write_bytes(
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n{} loop\n"
    )
    assert "not a picture that can be read" in reason(path)
    assert "not a picture that can be read" in reason(encoded(Image.fromarray(COFFEE), "TGA"))


@pytest.mark.parametrize("kind", ["JPEG2000", "AVIF", "PPM"])
def test_further_formats_of_phones_and_the_web(kind):
    built_with = {"JPEG2000": features.check("jpg_2000"), "AVIF": WRITES_AVIF}
    if not built_with.get(kind, True):
        pytest.skip(f"this Pillow was built without {kind}")
    fine = {"AVIF": {"quality": 95, "subsampling": "4:4:4"}}.get(kind, {})
    content = encoded(Image.fromarray(COFFEE), kind, **fine)
    assert mean_difference(load_image(content), COFFEE) < 5


def test_heic_asks_for_the_package_that_reads_it(monkeypatch):
    heic = b"\0\0\0\x18ftypheic" + b"\0" * 100
    monkeypatch.setattr(image, "_formats", lambda: ["JPEG", "PNG"])
    assert "pip install pillow-heif" in reason(heic)


@pytest.mark.parametrize("error", [RuntimeError, NotImplementedError, KeyError])
def test_whatever_a_damaged_file_makes_pillow_raise_is_an_image_error(monkeypatch, error):
    def fail(*_, **__):
        raise error("deep inside")

    monkeypatch.setattr(image.Image, "open", fail)
    assert "not a picture that can be read" in reason(encoded(Image.fromarray(COFFEE), "PNG"))


@pytest.mark.parametrize("compressed", [False, True])
def test_much_text_in_a_png_is_no_reason_to_refuse_it(compressed, tmp_path):
    notes = PngImagePlugin.PngInfo()
    for number in range(3):
        notes.add_text(f"workflow {number}", "all that a program notes down " * 50_000, compressed)
    content = encoded(Image.fromarray(COFFEE), "PNG", pnginfo=notes)
    assert np.array_equal(load_image(content), COFFEE)
    (tmp_path / "a.png").write_bytes(content)
    assert np.array_equal(load_image(tmp_path / "a.png"), COFFEE)
    assert "damaged or cut short" in reason(content[:-1000])


def chunk(kind, body, checksum=None):
    checksum = zlib.crc32(kind + body) if checksum is None else checksum
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", checksum)


@pytest.mark.parametrize(
    "note",
    [
        chunk(b"tEXt", b"Title\0damaged", 1),
        chunk(b"pHYs", b"short", 1),
        chunk(b"tIME", b"\xff" * 7, 1),
        chunk(b"iCCP", b"profile\0\0no zlib data"),
        chunk(b"iCCP", b"profile\0\0" + zlib.compress(bytes(2**21))),
        chunk(b"eXIf", b"II*\0\xff\xff\xff\xff", 1),
        chunk(b"gAMA", b"", 1),
    ],
)
@pytest.mark.parametrize("where", [33, -12])
def test_a_damaged_note_in_a_png_is_no_reason_to_refuse_it(note, where):
    content = encoded(Image.fromarray(COFFEE), "PNG")
    assert np.array_equal(load_image(content[:where] + note + content[where:]), COFFEE)


def test_a_large_colour_profile_counts():
    profile = icc_profile(b"RGB ", **P3, rTRC=2.2, gTRC=2.2, bTRC=2.2)
    content = encoded(Image.fromarray(COFFEE), "PNG")
    long = chunk(b"iCCP", b"P3\0\0" + zlib.compress(profile + bytes(2**21)))
    result = load_image(content[:33] + long + content[33:])
    assert mean_difference(result, p3_in_srgb(COFFEE, 2.2)) < 0.6


@pytest.mark.skipif(not WRITES_AVIF, reason="this Pillow was built without AVIF")
def test_damaged_exif_data_in_an_avif_are_no_reason_to_refuse_it():
    exif = Image.Exif()
    exif[0x010E] = "caption"
    content = encoded(Image.fromarray(COFFEE), "AVIF", exif=exif.tobytes(), quality=95)
    start = content.index(b"\0\0\0\x06Exif")
    broken = content[:start] + b"\xff" * 40 + content[start + 40 :]
    assert mean_difference(load_image(broken), COFFEE) < 8


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"quality": 95, "optimize": True}])
def test_a_jpeg_that_lacks_only_its_end_marker_is_read(options):
    content = encoded(Image.fromarray(COFFEE), "JPEG", **options)
    assert content.endswith(b"\xff\xd9")
    for cut in (content[:-2], content[:-1]):
        assert np.array_equal(load_image(cut), load_image(content))
    for lost in (20, 100, len(content) // 3):
        assert "damaged or cut short" in reason(content[:-lost])


def test_a_jpeg_without_its_last_passes_is_not_whole():
    content = encoded(Image.fromarray(COFFEE), "JPEG", progressive=True)
    passes = [at for at in range(len(content)) if content[at : at + 2] == b"\xff\xda"]
    for at in passes[1:]:
        assert "damaged or cut short" in reason(content[:at])


@pytest.mark.parametrize("kind", [b"avif", b"heic"])
def test_a_picture_of_a_phone_that_is_too_large_says_so(kind, monkeypatch):
    monkeypatch.setattr(image, "_formats", lambda: [*image.FORMATS])
    monkeypatch.setattr(image.Image, "open", lambda *_, **__: [][0])  # as its decoder refuses it
    size = b"\0\0\0\x14ispe\0\0\0\0" + struct.pack(">II", 17_000, 17_000)
    message = reason(b"\0\0\0\x18ftyp" + kind + b"\0" * 100 + size + b"\0" * 100)
    assert "17,000 x 17,000 pixels are more than 120,000,000; make it smaller first" in message


def test_zeros_without_end_are_refused_at_once(tmp_path):
    path = tmp_path / "zeros.png"
    with path.open("wb") as file:
        file.write(encoded(Image.fromarray(COFFEE), "PNG")[:60])
        file.truncate(300 * 10**6)  # sparse: as many empty chunks as one likes to read
    assert "damaged or cut short" in reason(path)
    with path.open("rb") as file:
        assert "damaged or cut short" in reason(file)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    assert "a device or a pipe, not a file" in reason(tmp_path / "pipe.png")


def test_a_file_far_too_large_is_refused_without_being_read(tmp_path):
    path = tmp_path / "large.png"
    with path.open("wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n")
        file.truncate(50 * 10**9)  # sparse: it takes no room
    assert "bytes; make the picture smaller first" in reason(path)
    with path.open("wb") as file:
        file.truncate(10**9)
    assert "not a picture that can be read" in reason(path)


@pytest.mark.parametrize("size", [(0, 4), (4, 0), (0, 0)])
def test_a_picture_without_pixels_is_none(size):
    content = encoded(Image.fromarray(COFFEE), "TIFF")
    for field, (before, after) in enumerate(zip((75, 50), size, strict=True), 256):
        entry = struct.pack("<HHI", field, 4, 1)
        assert entry + struct.pack("<I", before) in content
        content = content.replace(
            entry + struct.pack("<I", before), entry + struct.pack("<I", after)
        )
    assert "pixels are no picture" in reason(content)
    assert "pixels are no picture" in reason(Image.new("RGB", size))


def test_an_empty_file(tmp_path):
    (tmp_path / "empty.png").touch()
    assert reason(tmp_path / "empty.png").endswith("empty.png: the file is empty")
    assert "empty" in reason(b"") and "empty" in reason(io.BytesIO())


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "BMP", "GIF", "WEBP"])
def test_a_file_cut_short_is_never_half_a_picture(kind):
    content = encoded(Image.fromarray(COFFEE), kind)
    for share in (0.02, 0.3, 0.6, 0.9):
        message = reason(content[: int(share * len(content))])
        assert "damaged or cut short" in message or "not a picture" in message
    if kind in ("JPEG", "PNG"):
        assert "damaged or cut short" in message and "fetch it again" in message


def test_a_damaged_png():
    content = bytearray(encoded(Image.fromarray(COFFEE), "PNG"))
    middle = len(content) // 2
    content[middle : middle + 50] = b"\0" * 50
    assert "damaged" in reason(bytes(content))


@pytest.mark.parametrize(
    ("width", "height", "named"),
    [(60_000, 60_000, "pixels"), (11_000, 12_000, "11,000 x 12,000 pixels")],
)
def test_a_bomb_is_refused_without_being_decoded(tmp_path, width, height, named):
    path = tmp_path / "bomb.png"
    path.write_bytes(png(width, height, 8, 2, [b"\0" * 9]))
    assert path.stat().st_size < 200
    start = time.perf_counter()
    message = reason(path)
    assert time.perf_counter() - start < 1
    assert named in message and "make it smaller" in message and message.startswith(str(path))


def test_the_limit_of_pixels_can_be_chosen():
    content = encoded(Image.fromarray(COFFEE), "PNG")
    assert load_image(content, max_pixels=75 * 50).shape == COFFEE.shape
    assert "75 x 50 pixels are more than 3,749" in reason(content, max_pixels=75 * 50 - 1)
    assert "make it smaller" in reason(Image.fromarray(COFFEE), max_pixels=10)


def test_a_folder_and_a_missing_file(tmp_path):
    assert reason(tmp_path).endswith("this is a folder, not a picture")
    assert reason(tmp_path / "none.jpg").endswith("none.jpg: no such file")
    (tmp_path / "file").touch()
    assert "file" in reason(tmp_path / "file" / "photo.jpg")
    assert "cannot be read" in reason("zero\0byte.jpg")


def test_an_address_on_the_web():
    for address in ("https://example.org/photo.jpg", "HTTP://example.org/photo.jpg"):
        message = reason(address)
        assert address in message and "download the picture first" in message


def test_a_file_opened_as_text(tmp_path):
    path = tmp_path / "coffee.jpg"
    Image.fromarray(COFFEE).save(path)
    for encoding in ("utf-8", "latin-1"):
        with path.open(encoding=encoding) as file:
            assert 'open(path, "rb")' in reason(file)


def test_a_closed_file(tmp_path):
    (tmp_path / "coffee.png").write_bytes(encoded(Image.fromarray(COFFEE), "PNG"))
    with (tmp_path / "coffee.png").open("rb") as file:
        pass
    assert "closed file" in reason(file)


@pytest.mark.parametrize("source", [None, 7, [1, 2], bytearray(b"x"), {"a": 1}])
def test_things_that_hold_no_picture(source):
    assert f"cannot read a picture from {type(source).__name__}; pass a path" in reason(source)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.zeros((2, 2, 2), np.uint8), "(2, 2, 2)"),
        (np.zeros((2, 2, 5), np.uint8), "(2, 2, 5)"),
        (np.zeros((1, 3, 4, 4), np.uint8), "(1, 3, 4, 4)"),
        (np.zeros(5, np.uint8), "(5,)"),
        (np.zeros((0, 4, 3), np.uint8), "(0, 4, 3)"),
        (np.zeros((4, 4, 3), np.int64), "int64"),
        (np.full((4, 4, 3), 200.0), "0..1"),
        (np.full((4, 4, 3), -0.5), "0..1"),
        (np.full((4, 4, 3), np.nan), "not finite"),
    ],
)
def test_arrays_that_are_no_pictures(values, message):
    assert message in reason(values)


# Writing


@pytest.mark.parametrize("suffix", [".png", ".tif", ".TIFF", ".bmp", ".webp", ".jpg", ".JPEG"])
def test_what_is_saved_is_what_is_loaded(tmp_path, suffix):
    path = tmp_path / f"coffee{suffix}"
    save_image(path, COFFEE)
    lossy = suffix.lower() in (".webp", ".jpg", ".jpeg")
    assert mean_difference(load_image(path), COFFEE) <= (6 if lossy else 0)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_floats_and_gray_pictures_can_be_saved(tmp_path):
    save_image(tmp_path / "a.png", COFFEE / 255)
    assert np.array_equal(load_image(tmp_path / "a.png"), COFFEE)
    save_image(str(tmp_path / "b.png"), GRAY)
    assert np.array_equal(load_image(tmp_path / "b.png"), gray_rgb())


def test_jpeg_keeps_the_resolution_of_colour(tmp_path):
    stripes = np.zeros((32, 32, 3), np.uint8)
    stripes[:, ::2] = (200, 60, 60)
    stripes[:, 1::2] = (60, 100, 200)
    save_image(tmp_path / "stripes.jpg", stripes, quality=95)
    assert mean_difference(load_image(tmp_path / "stripes.jpg"), stripes) < 5


def test_quality_changes_the_size(tmp_path):
    for quality in (20, 95):
        save_image(tmp_path / f"{quality}.jpg", COFFEE, quality=quality)
    assert (tmp_path / "20.jpg").stat().st_size < (tmp_path / "95.jpg").stat().st_size / 2


def write_half_then(error):
    def save(self, file, *args, **options):
        file.write(b"half")
        file.flush()
        raise error

    return save


def test_a_failure_in_the_middle_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "photo.png"
    save_image(path, COFFEE)
    before = path.read_bytes()
    full = OSError(28, "No space left on device")
    monkeypatch.setattr(Image.Image, "save", write_half_then(full))
    for target in (path, tmp_path / "new.png"):
        with pytest.raises(ImageError, match=r"written \(No space left on device\)$"):
            save_image(target, GRAY)
    monkeypatch.setattr(Image.Image, "save", write_half_then(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        save_image(path, GRAY)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def test_a_half_written_file_is_never_taken_for_a_picture(tmp_path, monkeypatch):
    seen = []
    bring_to_disk = os.fsync

    def fsync(file):
        bring_to_disk(file)
        seen.append((len(list(tmp_path.iterdir())), list_images(tmp_path)))

    monkeypatch.setattr(os, "fsync", fsync)
    save_image(tmp_path / "photo.png", COFFEE)
    assert seen == [(1, [])]
    assert list_images(tmp_path) == [tmp_path / "photo.png"]


def test_an_existing_file_is_replaced_whole(tmp_path):
    path = tmp_path / "photo.bmp"
    save_image(path, COFFEE)
    save_image(path, GRAY[:5, :5])
    assert load_image(path).shape == (5, 5, 3)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no umask")
def test_the_umask_decides_who_may_read_the_file(tmp_path):
    old = os.umask(0o027)
    try:
        save_image(tmp_path / "photo.png", COFFEE)
        assert os.umask(0o027) == 0o027  # and stays as it was
    finally:
        os.umask(old)
    assert (tmp_path / "photo.png").stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("name", ["photo.gif", "photo.xyz", "photo", ".png"])
def test_unknown_endings_are_refused(tmp_path, name):
    with pytest.raises(ImageError, match=r"cannot write .*; end it in \.jpg, ") as caught:
        save_image(tmp_path / name, COFFEE)
    assert name in str(caught.value) and not list(tmp_path.iterdir())


def test_places_that_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "folder.png").mkdir()
    for place in ("missing/photo.png", "file/photo.png", "folder.png"):
        with pytest.raises(ImageError, match="cannot be written") as caught:
            save_image(tmp_path / place, COFFEE)
        assert str(caught.value).startswith(str(tmp_path / place))
        assert "\n" not in str(caught.value)
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["file", "folder.png"]


def test_pictures_too_large_for_a_format(tmp_path):
    with pytest.raises(ImageError, match="cannot be written"):
        save_image(tmp_path / "wide.webp", np.zeros((1, 20_000), np.uint8))
    assert not list(tmp_path.iterdir())


# Folders


def test_a_folder_is_searched_to_the_bottom_for_every_ending_in_any_case(tmp_path):
    wanted = ["B.JPG", "a.jpeg", "deep/er/c.PNG", "deep/d.tif", "e.webp", "z.gif", "ü ö.bmp"]
    wanted += ["f.jfif", "g.AVIF", "h.jp2", "i.heic", "j.heif"]
    others = ["notes.txt", "jpg", "photo.jpg.part", ".hidden.png", ".cache/f.png", "deep/.g/h.png"]
    for name in wanted + others:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "folder.png").mkdir()
    found = list_images(str(tmp_path))
    assert sorted(p.relative_to(tmp_path).as_posix() for p in found) == sorted(wanted)
    assert found == sorted(found)


def test_a_folder_below_a_hidden_one_can_be_searched(tmp_path):
    (tmp_path / ".hidden" / "photos").mkdir(parents=True)
    (tmp_path / ".hidden" / "photos" / "a.png").touch()
    assert len(list_images(tmp_path / ".hidden" / "photos")) == 1


def test_an_empty_folder_and_no_folder(tmp_path):
    assert list_images(tmp_path) == []
    (tmp_path / "a.png").touch()
    for path in (tmp_path / "none", tmp_path / "a.png"):
        with pytest.raises(ImageError, match="no such folder"):
            list_images(path)
