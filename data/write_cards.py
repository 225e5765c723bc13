"""Write what was measured into README.md and the weights' cards in data/README.md.

``python data/write_cards.py`` takes the figures from data/weights/results.json, which
``python -m course_lib.evaluation --json`` writes, and the facts from the weights' own headers.
What stands between the markers is replaced; the prose around them is written by hand.
"""

import json
import re
from pathlib import Path

from safetensors import safe_open

from course_lib.evaluation import format_table
from course_lib.models.weights import COURSE

DATA = Path(__file__).resolve().parent
RESULTS = DATA / "weights" / "results.json"

#: Entries of a header that a card shows, and what to call them.
FACTS = {
    "width": "width",
    "temperature": "temperature of the annealed mean",
    "input_size": "input size, pixels",
    "training_data": "training data",
    "training": "training",
    "date": "date",
    "licence": "licence",
}


def card(model: str) -> str:
    """The facts of a file of weights as a Markdown table.

    Parameters
    ----------
    model : {"eccv16", "siggraph17"}
        The network.

    Returns
    -------
    str
    """
    shipped = COURSE[model]
    path = DATA / "weights" / shipped.file
    with safe_open(path, framework="pt") as file:
        header = file.metadata()
    rows = {name: header[key] for key, name in FACTS.items() if key in header}
    rows["size"] = f"{path.stat().st_size / 1e6:.1f} MB, float16"
    rows["sha256"] = f"`{shipped.sha256}`"
    lines = [f"| `{shipped.file}` | |", "|---|---|"]
    return "\n".join(lines + [f"| {name} | {value} |" for name, value in rows.items()])


def between_markers(text: str, name: str, content: str) -> str:
    """A page with new content between ``<!-- name -->`` and ``<!-- end of name -->``.

    Parameters
    ----------
    text : str
        The page.
    name : str
        Of the markers.
    content : str
        Markdown.

    Returns
    -------
    str

    Raises
    ------
    ValueError
        If the page does not have the markers, once each.
    """
    start, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    pattern = re.compile(f"{re.escape(start)}.*?{re.escape(end)}", re.S)
    new, count = pattern.subn(lambda _: f"{start}\n\n{content}\n\n{end}", text)
    if count != 1:
        raise ValueError(f"expected {start} and {end} once, found them {count} times")
    return new


def pages() -> dict[Path, str]:
    """README.md and data/README.md as they should be.

    Returns
    -------
    dict
        Path to text.
    """
    scenes = json.loads(RESULTS.read_text(encoding="utf-8"))["course test scenes"]
    table = format_table(scenes["methods"])
    front, data = DATA.parent / "README.md", DATA / "README.md"
    cards = data.read_text(encoding="utf-8")
    for model in COURSE:
        cards = between_markers(cards, f"card of {model}", card(model))
    return {
        front: between_markers(front.read_text(encoding="utf-8"), "results", table),
        data: between_markers(cards, "results", table),
    }


if __name__ == "__main__":
    for path, text in pages().items():
        path.write_text(text, encoding="utf-8")
