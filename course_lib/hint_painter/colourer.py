"""What colours in a notebook: a photograph and a network that answer the painter's messages."""

import copy
import io
import math
from collections.abc import Mapping, Sequence
from numbers import Real

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from course_lib.hints import Hint, hint_tensors, suggest_colours
from course_lib.inference import colorize, prepare
from course_lib.lab import lightness
from course_lib.models.networks import takes_hints

#: Most pixels of what the painter shows; larger photographs are painted on a smaller view.
VIEW_PIXELS = 1_000_000

#: Answers that are kept, so that undoing and asking for suggestions need no new one.
KEPT = 8


def checked_hints(hints: Sequence[Hint], photo_size: tuple[int, int]) -> list[Hint]:
    """Hints as `colorize` takes them, of plain numbers.

    Parameters
    ----------
    hints : sequence of (row, column, (red, green, blue))
        Of any kind of sequence and of number, NumPy's and JSON's included.
    photo_size : (int, int)
        Height and width of the photograph.

    Returns
    -------
    list of (row, column, (red, green, blue))

    Raises
    ------
    ValueError
        If one has another form, lies outside the photograph, or its colour is not 8-bit.
    """
    try:
        plain = [
            (_number(row), _number(column), tuple(map(_number, colour)))
            for row, column, colour in hints
        ]
    except (TypeError, ValueError):
        raise ValueError(
            "hints are a list of (row, column, (red, green, blue)), all of them numbers; got "
            f"{str(hints)[:80]}"
        ) from None
    hint_tensors(plain, photo_size, (8, 8))  # says what is wrong with places and colours
    return plain


def _number(value: object) -> int | float:
    if not isinstance(value, Real) or not math.isfinite(value):
        raise TypeError
    return int(value) if value == int(value) else float(value)


class _Hinted(nn.Module):
    """A network with hints of some size already given: maps L to ab, as `colorize` likes it."""

    def __init__(self, net: nn.Module, hints: Sequence[Hint], photo_size, patch: int):
        super().__init__()
        self.net, self.hints, self.photo_size, self.patch = net, hints, photo_size, patch
        self.input_size = _input_size(net)

    def forward(self, L: Tensor) -> Tensor:
        given = hint_tensors(self.hints, self.photo_size, L.shape[-2:], self.patch)
        return self.net(L, *(x.to(L.device) for x in given))


def coloured(rgb: np.ndarray, net: nn.Module, hints: Sequence[Hint], patch: int) -> np.ndarray:
    """A photograph coloured at its full size, with hints of any size.

    Parameters
    ----------
    rgb : numpy.ndarray
        (H, W, 3) uint8.
    net : torch.nn.Module
        As `Colourer` takes it.
    hints : sequence of (row, column, (red, green, blue))
        As in `colorize`.
    patch : int
        Side of a hint in pixels of the network's input.

    Returns
    -------
    numpy.ndarray
        (H, W, 3) uint8; with a `patch` of 7 what `colorize` returns.
    """
    return colorize(rgb, _Hinted(net, hints, rgb.shape[:2], patch) if hints else net)


def _input_size(net: nn.Module) -> int:
    return getattr(net, "input_size", 256)


class Colourer:
    """Answers for one photograph by one network; what no hint changes is computed once.

    Parameters
    ----------
    rgb : numpy.ndarray
        (H, W, 3) uint8.
    net : torch.nn.Module
        SIGGRAPH17, or any network that maps L (N, 1, h, w) to ab (N, 2, h, w); that one colours
        by itself and takes no hints.
    """

    def __init__(self, rgb: np.ndarray, net: nn.Module):
        self.rgb = rgb
        self.net = net
        self.size = rgb.shape[:2]
        self.L = prepare(rgb, _input_size(net))
        self.takes_hints = takes_hints(net)
        self._renew()

    def _renew(self) -> None:
        """Forget all answers and take the network as it is now, which may have been trained."""
        self._kept: dict[tuple, tuple[Tensor, Tensor | None]] = {}
        # A copy: with channels last it answers a quarter sooner, and the reader's own network
        # keeps its mode and its layout.
        self._quick = copy.deepcopy(self.net).eval().to(memory_format=torch.channels_last)

    def answer(self, message: Mapping) -> tuple[dict, list[bytes]]:
        """Answer one message of the painter.

        Parameters
        ----------
        message : mapping
            Its "kind" is "open", "colour", "suggest" or "export"; the other entries are
            described at the top of hint_painter.js.

        Returns
        -------
        content : dict
            Plain numbers and texts.
        buffers : list of bytes
            What goes beside it in binary.

        Raises
        ------
        ValueError
            If the message cannot be understood, or its hints are none.
        """
        kinds = {
            "open": self._open,
            "colour": self._colour,
            "suggest": self._suggest,
            "export": self._export,
        }
        if message.get("kind") not in kinds:
            raise ValueError(f"expected a message of kind {', '.join(kinds)}")
        return kinds[message["kind"]](message)

    def result(self, hints: Sequence[Hint], patch: int) -> np.ndarray:
        """The photograph coloured, at its full size: see `coloured`."""
        return coloured(self.rgb, self.net, hints, patch)

    def _given(self, message: Mapping) -> tuple[list[Hint], int]:
        hints = checked_hints(message.get("hints", ()), self.size)
        if hints and not self.takes_hints:
            raise ValueError("this network takes no hints; siggraph17() does")
        return hints, int(message.get("patch", 7))

    def _run(self, message: Mapping) -> tuple[Tensor, Tensor | None]:
        """Small ab (2, h, w) and, where the network has a class head, logits (529, h/4, w/4)."""
        hints, patch = self._given(message)
        key = (tuple(hints), patch if hints else 0)
        if key not in self._kept:
            inputs = [self.L]
            if hints:
                inputs += hint_tensors(hints, self.size, self.L.shape[-2:], patch)
            net = self._quick
            device = next(net.parameters()).device
            inputs = [x.to(device, memory_format=torch.channels_last) for x in inputs]
            with torch.inference_mode():
                if hasattr(net, "both_heads"):
                    ab, logits = (x[0].float().cpu() for x in net.both_heads(*inputs))
                else:
                    ab, logits = net(*inputs)[0].float().cpu(), None
            while len(self._kept) >= KEPT:
                del self._kept[next(iter(self._kept))]
            self._kept[key] = ab, logits
        return self._kept[key]

    def _open(self, message: Mapping) -> tuple[dict, list[bytes]]:
        self._renew()
        height, width = self.size
        view = self.rgb
        if height * width > VIEW_PIXELS:
            scale = math.sqrt(VIEW_PIXELS / (height * width))
            smaller = [max(1, int(side * scale)) for side in (width, height)]
            view = np.asarray(Image.fromarray(view).resize(smaller, Image.Resampling.LANCZOS))
        content = {
            "photo": [height, width],
            "view": list(view.shape[:2]),
            "small": list(self.L.shape[-2:]),
            "hints": self.takes_hints,
            "suggestions": hasattr(self.net, "both_heads"),
        }
        return content, [np.ascontiguousarray(view).tobytes(), self.L.numpy().tobytes()]

    def _colour(self, message: Mapping) -> tuple[dict, list[bytes]]:
        ab, _ = self._run(message)
        return {}, [ab.contiguous().numpy().tobytes()]

    def _suggest(self, message: Mapping) -> tuple[dict, list[bytes]]:
        row, column = int(message["row"]), int(message["column"])
        if not (0 <= row < self.size[0] and 0 <= column < self.size[1]):
            raise ValueError(f"row {row}, column {column} lies outside the photograph")
        _, logits = self._run(message)
        if logits is None:
            return {"colours": [], "shares": []}, []
        y, x = (
            int((place + 0.5) * cells / side)
            for place, cells, side in zip((row, column), logits.shape[1:], self.size, strict=True)
        )
        light = float(lightness(self.rgb[row : row + 1, column : column + 1])[0, 0])
        colours, shares = suggest_colours(logits[:, y, x], min(max(light, 0.0), 100.0))
        return {"colours": colours.tolist(), "shares": shares.tolist()}, []

    def _export(self, message: Mapping) -> tuple[dict, list[bytes]]:
        file = io.BytesIO()
        Image.fromarray(self.result(*self._given(message))).save(file, "PNG")
        return {}, [file.getvalue()]
