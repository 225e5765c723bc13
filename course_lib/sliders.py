"""A picture with sliders beside it; the picture alone where there are none."""

import os
from collections.abc import Callable, Sequence
from importlib.util import find_spec

from IPython.display import display

#: A slider's lowest and highest value, and the one that it begins with; or options to choose from.
Choices = tuple[float, float, float] | Sequence[str]


def explore(draw: Callable[..., None], **choices: Choices) -> None:
    """Show what a function draws, with a slider for each of its arguments.

    Where ipywidgets is missing, and where lessons are built and tested (``COURSE_STRICT=1``), the
    picture is drawn once, for the values that the sliders begin with: what a widget shows depends
    on who has moved it, and would not be there for who reads the page.

    Parameters
    ----------
    draw : callable
        Shows a picture; takes the names of `choices`.
    **choices : (low, high, start) or sequence of str
        By argument. Whole numbers make a slider of whole numbers; of texts the first is the start.
    """
    starts = {name: _start(choice) for name, choice in choices.items()}
    if find_spec("ipywidgets") is None or os.environ.get("COURSE_STRICT", "") not in ("", "0"):
        draw(**starts)
        return
    import ipywidgets

    controls = {}
    for name, choice in choices.items():
        options = {"description": name.replace("_", " "), "value": starts[name]}
        if isinstance(choice[0], str):
            controls[name] = ipywidgets.Dropdown(options=list(choice), **options)
            continue
        whole = all(isinstance(value, int) for value in choice)
        slider = ipywidgets.IntSlider if whole else ipywidgets.FloatSlider
        # a picture for every pixel that the mouse passes would lag behind the hand
        controls[name] = slider(min=choice[0], max=choice[1], continuous_update=False, **options)
    picture = ipywidgets.interactive_output(draw, controls)
    display(ipywidgets.VBox([*controls.values(), picture]))


def _start(choice: Choices) -> float | str:
    return choice[0] if isinstance(choice[0], str) else choice[2]
