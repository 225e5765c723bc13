"""Files that Pillow refuses though their picture is whole: mended, so that it takes them."""

import io
import os
import struct
import zlib
from collections.abc import Iterator
from typing import BinaryIO

_PNG = b"\x89PNG\r\n\x1a\n"
#: Chunks of a PNG file that change how its pixels are to be seen; the rest are notes.
_SEEN = (b"tRNS", b"iCCP", b"eXIf", b"gAMA", b"cHRM", b"sRGB")
#: Most bytes of a colour profile: the largest, for printers, have about two million.
_PROFILE = 2**24

_JPEG, _END = b"\xff\xd8", b"\xff\xd9"


def without_notes(file: BinaryIO) -> BinaryIO | None:
    """A file less what programs and cameras note down in it.

    Pillow refuses PNG files with more than a megabyte of text or a damaged note of any kind, and
    AVIF files with damaged EXIF data. None of that changes the picture.

    Parameters
    ----------
    file : binary file
        The whole file, which can be sought in.

    Returns
    -------
    binary file or None
        None if it has nothing that could be left out.
    """
    file.seek(0)
    start = file.read(8)
    if start == _PNG:
        return _png_without_notes(file)
    if start[4:] == b"ftyp":
        data = start + file.read()  # notes may lie anywhere in it
        # an item of a type that no reader knows
        return io.BytesIO(data.replace(b"Exif", b"none")) if b"Exif" in data else None
    return None


def _png_without_notes(file: BinaryIO) -> BinaryIO | None:
    kept, left_out = io.BytesIO(), False
    kept.write(_PNG)
    while len(head := file.read(8)) == 8:
        length, kind = struct.unpack(">I4s", head)
        if not kind.isalpha():
            break
        # a small first letter: a decoder may do without it
        if kind[:1].islower() and kind not in _SEEN:
            file.seek(length + 4, os.SEEK_CUR)
            left_out = True
            continue
        body = file.read(length + 4)
        damaged = struct.pack(">I", zlib.crc32(kind + body[:-4])) != body[-4:]
        if kind in _SEEN[1:] and (damaged or (kind == b"iCCP" and _large_profile(body))):
            left_out = True
            continue
        kept.write(head + body)
    return kept if left_out else None


def _large_profile(body: bytes) -> bool:
    """Whether Pillow would refuse a colour profile, which it takes up to a megabyte."""
    packed = body[:-4].partition(b"\0")[2][1:]
    try:
        return len(zlib.decompressobj().decompress(packed, 2**20 + 1)) > 2**20
    except zlib.error:
        return True


def large_profile(file: BinaryIO) -> bytes | None:
    """The colour profile of a PNG file, however large, where there is one that can be unpacked."""
    file.seek(len(_PNG))
    while len(head := file.read(8)) == 8:
        length, kind = struct.unpack(">I4s", head)
        if kind == b"iCCP":
            try:
                packed = file.read(length).partition(b"\0")[2][1:]
                return zlib.decompressobj().decompress(packed, _PROFILE)
            except zlib.error:
                return None
        if not kind.isalpha() or kind == b"IDAT":
            return None
        file.seek(length + 4, os.SEEK_CUR)
    return None


def _segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """The segments of a JPEG file that have a length: marker, start of the marker, end."""
    at = 2
    while 0 < (at := data.find(b"\xff", at)) < len(data) - 3:
        marker = data[at + 1]
        if marker in (0x00, 0x01, 0xFF) or 0xD0 <= marker <= 0xD9:  # no length; or pixels' own
            at += 1 if marker == 0xFF else 2
            continue
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        yield marker, at, end
        at = end


def with_end(file: BinaryIO) -> list[bytes] | None:
    """A JPEG file that lacks its end marker, with one: in three ways, for a comparison.

    Whether it was cut short of more than that does not show in the file: a decoder takes what
    pixels there are and makes up the rest. So two of the files have noise before the marker, each
    the other's opposite. Where all pixels were there, all three give the same picture.

    Parameters
    ----------
    file : binary file
        The whole file, which can be sought in.

    Returns
    -------
    list of bytes or None
        None if it is no JPEG, has an end marker, or lacks whole passes over the picture.
    """
    file.seek(0)
    start = file.read(2)
    if start != _JPEG:
        return None
    data = start + file.read()
    data = data[:-1] if data.endswith(b"\xff") else data
    if _END in data[-64:] or not _has_all_scans(data):
        return None
    # neither 0 nor 255, which would begin a marker
    noise = bytes(1 + (89 * i * i + 57 * i + 180) % 254 for i in range(4096))
    opposite = bytes(255 - value for value in noise)
    return [data + filling + _END for filling in (b"", noise, opposite)]


def _has_all_scans(data: bytes) -> bool:
    """Whether every coefficient of every component was sent, to its last bit."""
    missing: dict[int, set[int]] = {}
    for marker, start, end in _segments(data):
        body = data[start + 4 : end]
        if 0xC0 <= marker <= 0xC2:  # a frame names its components
            missing = {component: set(range(64)) for component in body[6::3]}
        elif marker == 0xDA and body:  # a scan has some coefficients of some of them
            count = body[0]
            sent = body[1 + 2 * count : 4 + 2 * count]
            if len(sent) == 3 and sent[2] & 15 == 0:  # to the last bit
                for component in body[1 : 1 + 2 * count : 2]:
                    missing.get(component, set()).difference_update(range(sent[0], sent[1] + 1))
    return bool(missing) and not any(missing.values())
