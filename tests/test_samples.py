"""Range and polarity of pictures: what their file declares counts, not their largest value."""

import io
import struct
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image
from skimage import data

from course_lib.image import ImageError, load_image
from tests.test_image import encoded, gray_rgb, png, worst

COFFEE = data.coffee()[::8, ::8]
# no white in it: what goes by the largest value makes it too bright
DARK = np.minimum(np.asarray(Image.fromarray(COFFEE).convert("L")), 120)

UNSIGNED, SIGNED, FLOAT = 1, 2, 3
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB = 0, 1, 2


def packed(values, bits, order):
    """Integers of any number of bits, row by row; those of whole bytes in the byte order."""
    rows = values.reshape(len(values), -1, 1).astype(np.int64)
    places = (rows >> np.arange(bits)[::-1] & 1).astype(np.uint8)
    codes = np.packbits(places.reshape(len(rows), -1), axis=1)
    if bits % 8 == 0 and order == "<":
        codes = codes.reshape(len(rows), -1, bits // 8)[..., ::-1]
    return codes.tobytes()


def tiff(values, body, bits, kind, colours, order="<", **fields):
    """A TIFF by hand: no library writes every number of bits."""
    height, width, *samples = values.shape
    count = samples[0] if samples else 1
    entries = {256: width, 257: height, 258: [bits] * count, 259: 1, 262: colours, 273: 0}
    entries |= {277: count, 278: height, 279: len(body), 339: [kind] * count}
    entries |= {int(number[1:]): value for number, value in fields.items()}
    start = 8 + 2 + 12 * len(entries) + 4
    table, more = b"", b""
    for number, value in sorted(entries.items()):
        if isinstance(value, list) and len(value) > 2:
            field = struct.pack(order + "HHII", number, 3, len(value), start + len(more))
            more += struct.pack(f"{order}{len(value)}H", *value)
        elif isinstance(value, list):
            field = struct.pack(order + "HHI", number, 3, len(value))
            field += struct.pack(f"{order}{len(value)}H", *value).ljust(4, b"\0")
        else:
            field = struct.pack(order + "HHII", number, 4, 1, value)
        table += field
    where = struct.pack(order + "HHII", 273, 4, 1, 0)
    table = table.replace(where, where[:-4] + struct.pack(order + "I", start + len(more)))
    head = b"II" if order == "<" else b"MM"
    head += struct.pack(order + "HIH", 42, 8, len(entries))
    return head + table + b"\0" * 4 + more + body


def integers(unit, bits, kind):
    """A picture in 0..1 as integers, and what they stand for in 0..255."""
    top = 2 ** (bits - (kind == SIGNED)) - 1
    values = np.rint(unit * top).astype(np.int64)
    return values, values / top * 255


@pytest.mark.parametrize("bits", range(1, 33))
def test_gray_tiffs_of_every_number_of_bits_sign_polarity_and_byte_order(bits):
    for kind in (UNSIGNED, SIGNED)[: 1 + (bits > 1)]:
        values, expected = integers(DARK / 255, bits, kind)
        for colours in (BLACK_IS_ZERO, WHITE_IS_ZERO):
            stored = values if colours == BLACK_IS_ZERO else 2 ** (bits - kind + 1) - 1 - values
            for order in "<>":
                content = tiff(stored, packed(stored, bits, order), bits, kind, colours, order)
                result = load_image(content)
                assert worst(result, gray_rgb(expected)) <= 1, (kind, colours, order)


@pytest.mark.parametrize("bits", range(1, 33))
def test_colour_tiffs_of_every_number_of_bits_and_sign(bits):
    for kind in (UNSIGNED, SIGNED)[: 1 + (bits > 1)]:
        values, expected = integers(COFFEE / 255, bits, kind)
        for order in "<>":
            content = tiff(values, packed(values, bits, order), bits, kind, RGB, order)
            assert worst(load_image(content), expected) <= 1, (kind, order)


@pytest.mark.parametrize("type_", ["f2", "f4", "f8"])
@pytest.mark.parametrize("order", "<>")
def test_float_tiffs_of_every_size_polarity_and_byte_order(type_, order):
    unit, bits = (DARK / 255).astype(order + type_), 8 * int(type_[1])
    for colours, stored in ((BLACK_IS_ZERO, unit), (WHITE_IS_ZERO, 1 - unit)):
        content = tiff(stored, stored.astype(unit.dtype).tobytes(), bits, FLOAT, colours, order)
        assert worst(load_image(content), gray_rgb(DARK)) <= 1, colours
    colour = (COFFEE / 255).astype(order + type_)
    content = tiff(colour, colour.tobytes(), bits, FLOAT, RGB, order)
    assert worst(load_image(content), COFFEE) <= 1


def test_negative_integers_are_darker_than_black():
    values = np.array([[-5, 0, 127]], np.int64)
    for colours, expected in ((BLACK_IS_ZERO, [0, 0, 255]), (WHITE_IS_ZERO, [255, 255, 0])):
        content = tiff(values, packed(values, 8, "<"), 8, SIGNED, colours)
        assert load_image(content)[0, :, 0].tolist() == expected


@pytest.mark.parametrize("layout", [{}, {"tile": (16, 32)}, {"rowsperstrip": 7}])
@pytest.mark.parametrize("planes", ["contig", "separate"])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_layouts_that_other_programs_write(layout, planes, compression):
    for values in ((COFFEE.astype(float) * 257).astype(">u2"), (COFFEE / 255).astype("<f4")):
        stored = values if planes == "contig" else np.moveaxis(values, -1, 0)
        file = io.BytesIO()
        tifffile.imwrite(
            file,
            stored,
            photometric="rgb",
            planarconfig=planes,
            compression=compression,
            byteorder=values.dtype.byteorder.replace("=", "<"),
            **layout,
        )
        expected = COFFEE if values.dtype.kind == "f" else np.rint(values / 257)
        assert worst(load_image(file.getvalue()), expected) <= 1


@pytest.mark.parametrize(("extra", "multiplied"), [(1, True), (2, False)])
def test_float_colours_with_transparency_lie_over_white(extra, multiplied):
    alpha = np.full((4, 4, 1), 0.5, np.float32)
    colour = np.full((4, 4, 3), (0.2, 0.4, 0.8), np.float32) * (alpha if multiplied else 1)
    stored = np.concatenate([colour, alpha], axis=2)
    content = tiff(stored, stored.tobytes(), 32, FLOAT, RGB, t338=extra)
    expected = np.full((4, 4, 3), (0.6, 0.7, 0.9)) * 255
    assert worst(load_image(content), expected) <= 1.5


def test_a_turn_in_an_unusual_tiff_counts():
    values, expected = integers(DARK[:, ::-1] / 255, 10, UNSIGNED)
    content = tiff(values, packed(values, 10, "<"), 10, UNSIGNED, BLACK_IS_ZERO, t274=2)
    assert worst(load_image(content), gray_rgb(expected[:, ::-1])) <= 1


def test_an_unusual_tiff_cut_short_or_too_large_says_so():
    values, _ = integers(DARK / 255, 10, UNSIGNED)
    content = tiff(values, packed(values, 10, "<"), 10, UNSIGNED, BLACK_IS_ZERO)
    with pytest.raises(ImageError, match="some of its pixels are missing"):
        load_image(content[:-5])
    with pytest.raises(ImageError, match="75 x 50 pixels are more than 3,000; make it smaller"):
        load_image(content, max_pixels=3000)


def test_an_unusual_tiff_that_unpacks_to_far_more_than_it_holds_is_refused():
    body = zlib.compress(b"\0" * 10**7)
    content = tiff(np.zeros((4, 4)), body, 64, FLOAT, BLACK_IS_ZERO, t259=8)
    with pytest.raises(ImageError, match="unpack to more than the picture holds"):
        load_image(content)


def test_lab_tiffs_have_their_colours():
    # L of 50, and a and b of 40 and -30 above 128, as Pillow has them in memory
    bands = [Image.new("L", (4, 4), value) for value in (127, 168, 98)]
    picture = Image.merge("LAB", bands)
    red, green, blue = load_image(encoded(picture, "TIFF"))[0, 0].astype(int)
    assert red > green + 50 and blue > green + 50  # purple


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
def test_gray_pngs_of_every_number_of_bits_with_a_colour_that_is_transparent(bits):
    values, expected = integers(DARK / 255, bits, UNSIGNED)
    rows = [packed(row[None], bits, ">") for row in values]
    height, width = values.shape
    assert worst(load_image(png(width, height, bits, 0, rows)), gray_rgb(expected)) <= 1
    clear = values.max()
    content = png(width, height, bits, 0, rows, tRNS=struct.pack(">H", clear))
    expected = np.where(values == clear, 255, expected)
    assert worst(load_image(content), gray_rgb(expected)) <= 1


def test_a_transparent_colour_of_16_bits_becomes_white():
    row = struct.pack(">6H", 300, 300, 300, 60_000, 60_000, 60_000)
    content = png(2, 1, 16, 2, [row], tRNS=struct.pack(">3H", 300, 300, 300))
    assert load_image(content)[0, :, 0].tolist() == [255, 234]


def as_float_tiff(unit):
    return tiff(unit, unit.astype("<f4").tobytes(), 32, FLOAT, BLACK_IS_ZERO)


@pytest.mark.parametrize("as_", [np.float32, as_float_tiff])
@pytest.mark.parametrize("beyond", [1.0000001, 1.05, 1.2, -0.0000001, -0.2])
def test_floats_a_little_beyond_are_clipped_in_arrays_and_files_alike(as_, beyond):
    unit = DARK / 255
    unit[0, 0] = beyond
    expected = DARK.copy()
    expected[0, 0] = 255 * (beyond > 0.5)
    assert worst(load_image(as_(unit)), gray_rgb(expected)) <= 1


@pytest.mark.parametrize(
    "as_",
    [np.float32, as_float_tiff, lambda unit: Image.fromarray(unit.astype(np.float32))],
)
@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.nan, "not finite"),
        (np.inf, "not finite"),
        (-np.inf, "not finite"),
        (200.0, "values in 0..1, these reach from 0 to 200; divide by 255"),
        (-0.5, "values in 0..1"),
    ],
)
def test_floats_that_are_no_picture_are_refused_in_arrays_and_files_alike(as_, value, message):
    unit = np.zeros((4, 4))
    unit[1, 1] = value
    if value > 1 and np.isfinite(value) and isinstance(as_(unit), Image.Image):
        pytest.skip("a picture in memory declares no range, and Pillow's own is 0..255")
    with pytest.raises(ImageError) as caught:
        load_image(as_(unit))
    assert message in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("order", "<>=")
def test_arrays_of_every_byte_order(order):
    for type_, scale in (("u2", 257), ("f4", 1 / 255), ("f8", 1 / 255)):
        assert worst(load_image((COFFEE.astype(float) * scale).astype(order + type_)), COFFEE) <= 1


@pytest.mark.filterwarnings("ignore:the matrix subclass")
def test_matrices_and_masked_arrays_are_arrays():
    assert np.array_equal(load_image(np.matrix(DARK)), gray_rgb(DARK))
    assert np.array_equal(load_image(np.ma.masked_array(COFFEE)), COFFEE)
