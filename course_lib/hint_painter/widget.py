"""The hint painter as a widget: JupyterLab, VS Code, Colab."""

import os
from pathlib import Path
from typing import Any

import anywidget
import numpy as np
import traitlets
from torch import nn

from course_lib.hint_painter.colourer import Colourer, checked_hints
from course_lib.hint_painter.still import still
from course_lib.hints import Hint
from course_lib.image import load_image
from course_lib.models import siggraph17

_FOLDER = Path(__file__).parent


class _Hints(traitlets.TraitType):
    """A list of hints; reading gives a copy, since appending to it would tell nobody."""

    default_value = ()

    def validate(self, painter: "HintPainter", value: Any) -> tuple[Hint, ...]:
        return tuple(checked_hints(value, painter.rgb.shape[:2]))

    def get(self, painter: "HintPainter", cls: Any = None) -> list[Hint]:
        return list(super().get(painter, cls))


def _to_json(hints: list[Hint], _: object) -> list[list]:
    return [[row, column, list(colour)] for row, column, colour in hints]


class HintPainter(anywidget.AnyWidget):
    """Paint hints on a photograph and watch SIGGRAPH17 answer.

    Click on the photograph, or move over it with the arrow keys and press Enter: five colours
    that the network finds likely there are offered, and a picker with all that a screen can show
    at that lightness. Choose one, and the photograph is coloured anew.

    Parameters
    ----------
    image : numpy.ndarray, path, bytes or PIL.Image.Image
        The photograph, as `load_image` takes it; colours it may have are not looked at.
    net : torch.nn.Module, optional
        The network; `siggraph17()` unless given. One that takes no hints, as ECCV16, colours by
        itself, and the painter says so.
    hints : sequence of (row, column, (red, green, blue))
        To start with.

    Attributes
    ----------
    hints : list of (row, column, (red, green, blue))
        As `colorize` takes them, in pixels of the photograph. Set it, and the picture follows;
        paint, and it follows the picture: ``painter.observe(function, "hints")`` tells. Reading
        gives a copy, so add a hint with ``painter.hints = [*painter.hints, hint]``.
    patch : int
        Side of a hint in pixels of the network's input, 1..15; 7 as in `colorize`.
    caption : str
        A line below the photograph, for whatever a program has to say; empty unless set.
    result : numpy.ndarray
        (H, W, 3) uint8, the photograph coloured with these hints at its full size: what
        `colorize` returns for them.
    rgb : numpy.ndarray
        (H, W, 3) uint8, the photograph.

    Raises
    ------
    ImageError
        If `image` is none.
    ValueError
        If a hint lies outside the photograph, has another form, or the network takes none. The
        hints stay as they were.

    Examples
    --------
    >>> import course_lib as cl
    >>> painter = cl.HintPainter(cl.load_photo("scenes/cups"), cl.siggraph17())
    >>> painter.hints = [(200, 150, (180, 60, 40))]
    >>> painter.result.shape == painter.rgb.shape
    True
    """

    _esm = _FOLDER / "hint_painter.js"
    _css = _FOLDER / "hint_painter.css"

    hints = _Hints().tag(sync=True, to_json=_to_json)
    patch = traitlets.Int(7, min=1, max=15).tag(sync=True)
    caption = traitlets.Unicode().tag(sync=True)

    def __init__(
        self,
        image: np.ndarray | str | os.PathLike,
        net: nn.Module | None = None,
        hints: list[Hint] = (),
    ):
        self._colourer = Colourer(load_image(image), siggraph17() if net is None else net)
        super().__init__(hints=hints)
        self.on_msg(self._answer)

    @property
    def rgb(self) -> np.ndarray:
        """(H, W, 3) uint8, the photograph."""
        return self._colourer.rgb

    @property
    def result(self) -> np.ndarray:
        """(H, W, 3) uint8, the photograph coloured with the hints there are now."""
        return self._colourer.result(self.hints, self.patch)

    @traitlets.validate("hints")
    def _heard(self, proposal: dict) -> Any:
        if proposal["value"] and not self._colourer.takes_hints:
            raise ValueError("this network takes no hints; siggraph17() does")
        return proposal["value"]

    def _repr_mimebundle_(self, **options: Any) -> tuple[dict, dict]:
        """The widget and, for where none can run, a still picture of it."""
        data, metadata = super()._repr_mimebundle_(**options)
        try:
            page, description = still(self.rgb, self._colourer.net, self.hints, self.patch)
        except Exception:  # a network that fails says so in the painter, which can be seen
            return data, metadata
        return data | {"text/html": page, "text/plain": f"[figure] {description}"}, metadata

    def _answer(self, _: object, message: dict, __: list) -> None:
        """Answer a message of the front end; an error becomes a sentence that it shows."""
        try:
            content, buffers = self._colourer.answer(message)
        except Exception as error:  # whatever it is, the painter must not wait for ever
            content, buffers = {"error": str(error) or type(error).__name__}, []
        self.send({"id": message.get("id"), **content}, buffers)
