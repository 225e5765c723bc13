"""What the numbers in a picture mean: their range and polarity, as their file declares them.

A picture's largest value says little: a dark photograph has no white in it, and a sharpened one
may go beyond. What counts is how many bits a sample has, whether it is signed or a float, and
whether 0 is black or white. TIFF says so in the fields BitsPerSample, SampleFormat and
PhotometricInterpretation (TIFF 6.0, Adobe 1992, sections 8 and 19); other formats have one
convention each.
"""

from dataclasses import dataclass

import numpy as np
from PIL import Image

#: How far floats may lie outside of 0..1: filters that sharpen or resize overshoot by about so
#: much. What lies further out is data of another range, and no picture.
OVERSHOOT = 0.25

_BITS, _FORMAT, _PHOTOMETRIC = 258, 339, 262
_FORMATS = {1: "unsigned", 2: "signed", 3: "float", 4: "unsigned"}


class ValuesError(ValueError):
    """The numbers are no picture; the message says why."""


class TooLargeError(ValueError):
    """A picture claims more pixels than may be decoded."""

    def __init__(self, width: int, height: int, most: int):
        super().__init__(
            f"{width:,} x {height:,} pixels are more than {most:,}; make it smaller first"
        )


@dataclass(frozen=True)
class Samples:
    """The numbers of a picture, as declared.

    Attributes
    ----------
    bits : int
        Of a sample, 1..64.
    kind : {"unsigned", "signed", "float"}
        Integers go from 0 to the largest that the bits hold, and negative ones are darker than
        black; floats go from 0 to 1.
    white_is_zero : bool
        Whether 0 is white, as in scans of text, and the largest value black.
    """

    bits: int
    kind: str = "unsigned"
    white_is_zero: bool = False

    def to_bytes(self, values: np.ndarray) -> np.ndarray:
        """The same picture in 8 bits, with black at 0.

        Parameters
        ----------
        values : numpy.ndarray
            Of any shape.

        Returns
        -------
        numpy.ndarray
            uint8.

        Raises
        ------
        ValuesError
            If floats are not finite, or further outside of 0..1 than `OVERSHOOT`.
        """
        if values.dtype.kind == "f":
            _check_finite(values)
        if self.kind == "float":
            _check_range(values)
            unit = np.clip(values, 0, 1)
        else:
            top = 2 ** (self.bits - (self.kind == "signed")) - 1
            unit = np.clip(values, 0, top) / max(top, 1)
        return np.rint((1 - unit if self.white_is_zero else unit) * 255).astype(np.uint8)


def _check_finite(values: np.ndarray) -> None:
    if not np.isfinite(values).all():
        raise ValuesError("some values are not finite (nan or inf); put values in 0..1 there")


def _check_range(values: np.ndarray) -> None:
    low, high = values.min(initial=0), values.max(initial=0)
    if low < -OVERSHOOT or high > 1 + OVERSHOOT:
        raise ValuesError(
            f"floats must hold values in 0..1, these reach from {low:.4g} to {high:.4g}; "
            "divide by 255 if they are meant for 0..255"
        )


def sample_format(code: int) -> str:
    """What a TIFF's SampleFormat stands for, as `Samples.kind` names it."""
    if code not in _FORMATS:
        raise ValuesError("complex numbers are no picture")
    return _FORMATS[code]


def declared(picture: Image.Image) -> Samples | None:
    """What a picture that Pillow opened says about its numbers.

    Parameters
    ----------
    picture : PIL.Image.Image
        As `PIL.Image.open` returns it.

    Returns
    -------
    Samples or None
        None where Pillow brings the values to 8 bits by itself.
    """
    fields = getattr(picture, "tag_v2", None)
    wide = picture.mode in ("I", "F") or picture.mode.startswith("I;16")
    if fields is not None:
        bits = _first(fields.get(_BITS, 1))
        kind = sample_format(_first(fields.get(_FORMAT, 1)))
        if wide or (picture.mode == "L" and kind == "signed"):
            return Samples(bits, kind, fields.get(_PHOTOMETRIC, 0) == 0)
        return None
    if not wide:
        return None
    if picture.mode == "F":
        return Samples(32, "float") if picture.format else _by_largest(picture)
    # Older versions of Pillow have 16-bit PNG files in 32 bits.
    return Samples(16) if picture.format or picture.mode != "I" else _by_largest(picture)


def raw_values(picture: Image.Image, samples: Samples) -> np.ndarray:
    """A picture's numbers, where Pillow hands out their bits as another type than declared."""
    values = np.asarray(picture)
    if samples.kind == "signed" and values.dtype == np.uint8:
        return values.view(np.int8)
    if samples.kind == "unsigned" and values.dtype == np.int32 and samples.bits == 32:
        return values.view(np.uint32)
    return values


def _by_largest(picture: Image.Image) -> Samples:
    """For a picture that was made in memory, which declares nothing: a guess."""
    high = picture.getextrema()[1]
    if picture.mode == "F" and high <= 1 + OVERSHOOT:
        return Samples(32, "float")
    return Samples(16) if high > 255 else Samples(8)


def _first(value: object) -> int:
    return int(value[0] if isinstance(value, tuple) else value)
