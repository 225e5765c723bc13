"""Write what was measured into README.md and the weights' cards in data/README.md.

``python data/write_cards.py`` takes everything from files that runs wrote: the facts from the
weights' own headers; the figures from weights/results.json and weights/held-out.json, which
``python -m course_lib.evaluation --json`` writes; the tables of weights/choices.csv and
weights/trials.csv, which ``choose`` and ``compare`` of ``python -m course_lib.training`` write;
the curves from the trainings' histories. What stands between the markers is replaced; the prose
around them is written by hand. What was not measured leaves its place empty.
"""

import csv
import json
import re
from pathlib import Path

import matplotlib.pyplot as plt
from safetensors import safe_open

from course_lib.evaluation import format_table
from course_lib.models import NETWORKS
from course_lib.plotting import COLORS, LINES, new_figure
from course_lib.training.loop import History

#: The course's own weights, by network.
COURSE = {name: row.shipped for name, row in NETWORKS.items() if row.shipped}

DATA = Path(__file__).resolve().parent
WEIGHTS = DATA / "weights"

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

#: Panels of a history's picture: what is on the vertical axis; the columns and what to call them.
#: ECCV16's balanced AuC is left out: a training takes it over all pixels at once, so that a few of
#: the rarest colours decide it.
PANELS: dict[str, dict[str, dict[str, str]]] = {
    "eccv16": {
        "training loss, nats": {"loss": "loss"},
        "raw AuC, %": {"auc_raw": "raw AuC"},
        "colourfulness": {"colourfulness": "ratio"},
    },
    "siggraph17": {
        "training loss": {"loss": "sum", "huber": "Huber", "class": "cross entropy"},
        "mean ab error, Lab units": {"error": "without hints", "error_hints": "with hints"},
    },
}


def header(model: str) -> dict[str, str]:
    """What a file of weights says of itself.

    Parameters
    ----------
    model : {"eccv16", "siggraph17"}
        The network.

    Returns
    -------
    dict
    """
    with safe_open(WEIGHTS / COURSE[model].file, framework="pt") as file:
        return file.metadata()


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
    shipped, facts = COURSE[model], header(model)
    rows = {name: facts[key] for key, name in FACTS.items() if key in facts}
    rows["size"] = f"{(WEIGHTS / shipped.file).stat().st_size / 1e6:.1f} MB, float16"
    rows["sha256"] = f"`{shipped.sha256}`"
    lines = [f"| `{shipped.file}` | |", "|---|---|"]
    return "\n".join(lines + [f"| {name} | {value} |" for name, value in rows.items()])


def measured(file: str) -> dict[str, dict]:
    """Figures that the evaluation wrote.

    Parameters
    ----------
    file : str
        In the folder of weights.

    Returns
    -------
    dict
        Name of the pictures to figures; empty if there is no such file.

    Raises
    ------
    ValueError
        If they are figures of other weights than those that ship.
    """
    path = WEIGHTS / file
    sets = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    shipped = {model: one.sha256 for model, one in COURSE.items()}
    for name, figures in sets.items():
        if figures.get("weights") != shipped:
            raise ValueError(f"{path}: {name}: measured with other weights; measure anew")
    return sets


def held_out(sets: dict[str, dict]) -> str:
    """A section for each public set.

    Parameters
    ----------
    sets : dict
        From `measured`.

    Returns
    -------
    str
    """
    sections = []
    for name, figures in sets.items():
        sections.append(
            f"#### {name}\n\n{figures['pictures']} pictures at {figures['size']} x "
            f"{figures['size']} pixels. The mean colour and the nearest picture are those of "
            f"{figures['training_pictures']:,} training pictures.\n\n"
            + format_table(figures["methods"])
        )
    return "\n\n".join(sections)


def hints(sets: dict[str, dict]) -> str:
    """PSNR by the number of hints, a column for each set of pictures.

    Parameters
    ----------
    sets : dict
        From `measured`.

    Returns
    -------
    str
    """
    lines = ["| hints | " + " | ".join(sets) + " |", "|---|" + "---|" * len(sets)]
    curves = [figures["hints"] for figures in sets.values()]
    for count in curves[0]:
        cells = ["{:.2f} ({:.2f} to {:.2f})".format(*curve[count]) for curve in curves]
        lines.append(f"| {count} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def suggestions(sets: dict[str, dict]) -> str:
    """How near suggested colours come to the truth, a row for each set of pictures.

    Parameters
    ----------
    sets : dict
        From `measured`.

    Returns
    -------
    str
    """
    names = list(next(iter(sets.values()))["suggestions"])
    lines = ["| pictures | " + " | ".join(names) + " |", "|---|" + "---|" * len(names)]
    for name, figures in sets.items():
        cells = ["{:.1f} ({:.1f} to {:.1f})".format(*figures["suggestions"][key]) for key in names]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def hues(sets: dict[str, dict], model: str) -> str:
    """What became of each true hue, in each set of pictures.

    Parameters
    ----------
    sets : dict
        From `measured`.
    model : {"eccv16", "siggraph17"}
        The network.

    Returns
    -------
    str
    """
    if not sets:
        return ""
    lines = ["| pictures | true hue | share | came out in it | came out gray |", "|---" * 5 + "|"]
    for name, figures in sets.items():
        for hue, one in figures["hues"][model].items():
            shares = (one["pixels"], *one["right"], *one["gray"])
            cells = "{:.0f} | {:.0f} ({:.0f} to {:.0f}) | {:.0f} ({:.0f} to {:.0f})".format(
                *(100 * share for share in shares)
            )
            lines.append(f"| {name} | {hue} | {cells} |")
    return (
        "Hue by hue, in percent: the share of the coloured pixels that is truly of that hue; of "
        "those, how many came out in it, and how many came out gray, with 95 % intervals.\n\n"
    ) + "\n".join(lines)


def choices() -> str:
    """What other sizes, softenings, temperatures and weights would give; empty if not measured.

    Returns
    -------
    str
    """
    path = WEIGHTS / "choices.csv"
    if not path.exists():
        return ""
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    facts = header("eccv16")
    softened = re.findall(r"softened by ([\d.]+)", facts["training"]) or ["0"]
    shipped = [float(x) for x in (facts["input_size"], softened[-1], facts["temperature"])]
    settings = ("size", "softening", "temperature")
    shown = ("weights", *settings, "psnr", "auc_raw", "auc_balanced", "colourfulness")
    lines = [
        "| weights | input size, pixels | softening | temperature | PSNR, dB | AuC raw, % | "
        "AuC balanced, % | colourfulness |",
        "|---" * len(shown) + "|",
    ]
    for row in rows:
        cells = [row[key] for key in shown]
        if not row["size"]:
            cells[0] = "the gray picture"
        elif row["weights"] == "averaged" and [float(row[key]) for key in settings] == shipped:
            cells = [f"**{cell}**" for cell in cells]
        lines.append("| " + " | ".join(cells) + " |")
    pictures, pixels = rows[0]["pictures"], rows[0]["pixels"]
    return (
        "What other input sizes, softenings and temperatures would have given, and the weights of "
        f"the last step instead of the averaged ones, on the first {pictures} validation pictures "
        f"at {pixels} x {pixels} pixels. What ships is in bold if it is among them.\n\n"
    ) + "\n".join(lines)


def trials() -> str:
    """What short trainings of other widths and lambdas gave; empty if there were none.

    Returns
    -------
    str
    """
    path = WEIGHTS / "trials.csv"
    if not path.exists():
        return ""
    with path.open(newline="", encoding="utf-8") as file:
        gray, *rows = csv.DictReader(file)
    shown = ("width", "lambda", "psnr", "auc_raw", "auc_balanced", "colourfulness")
    lines = [
        "| width | lambda | PSNR, dB | AuC raw, % | AuC balanced, % | colourfulness |",
        "|---" * len(shown) + "|",
    ]
    for row in (gray, *rows):
        cells = [row[key] for key in shown]
        if not row["width"]:
            cells[0] = "the gray picture"
        lines.append("| " + " | ".join(cells) + " |")
    return (
        f"Short trainings from random weights, each on the same {int(rows[0]['samples']):,} "
        "pictures of Tiny ImageNet, in the same order: measured on the first "
        f"{gray['pictures']} validation pictures at {gray['pixels']} x {gray['pixels']} pixels, "
        "without softening.\n\n"
    ) + "\n".join(lines)


def history(model: str) -> History:
    """The history of a network's training, as it ships.

    Parameters
    ----------
    model : {"eccv16", "siggraph17"}
        The network.

    Returns
    -------
    History
    """
    return History.load_csv(WEIGHTS / f"{model}-course.csv")


def history_in_words(model: str) -> str:
    """The picture of a network's history in Markdown, with alternative text.

    Parameters
    ----------
    model : {"eccv16", "siggraph17"}
        The network.

    Returns
    -------
    str
    """
    rows, panels = history(model), []
    for label, columns in PANELS[model].items():
        lines = []
        for column, name in columns.items():
            _, values = rows.column(column)
            change = f"{values[0]:.3g}" + f" to {values[-1]:.3g}" * (len(values) > 1)
            lines.append(f"{name} {change}" if len(columns) > 1 else change)
        panels.append(f"{label}: {', '.join(lines)}")
    steps = rows.rows[-1]["step"]
    values = "; ".join(panels)
    text = (
        f"Curves over {steps:,.0f} steps of training, with their first and last values: {values}"
    )
    return f"![{text}]({model}-history.png)"


def draw_history(model: str, path: Path) -> None:
    """Draw the history of a network's training.

    Parameters
    ----------
    model : {"eccv16", "siggraph17"}
        The network.
    path : pathlib.Path
        The PNG.
    """
    rows, panels = history(model), PANELS[model]
    figure, axes = new_figure(1, len(panels), width=9, height=2.6)
    for axis, (label, columns) in zip(axes[0], panels.items(), strict=True):
        for number, (column, name) in enumerate(columns.items()):
            x, y = rows.column(column)
            mark = "o" if len(x) < 20 else ""  # measurements are few
            style = {"color": COLORS[number], "linestyle": LINES[number], "marker": mark}
            axis.plot(x, y, label=name, markersize=3, **style)
        axis.set_xlabel("step")
        axis.set_ylabel(label)
        axis.set_xlim(left=0)
        if len(columns) > 1:
            place = {"loc": "lower center", "bbox_to_anchor": (0.5, 1), "ncols": len(columns)}
            axis.legend(frameon=False, fontsize=9, **place)
    figure.savefig(path, metadata={"Software": None})
    plt.close(figure)


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
    inside = f"\n\n{content}\n\n" if content else "\n\n"
    new, count = pattern.subn(lambda _: f"{start}{inside}{end}", text)
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
    scenes, public = measured("results.json"), measured("held-out.json")
    table = format_table(scenes["course test scenes"]["methods"])
    blocks = {
        "results": table,
        "held-out pictures": held_out(public),
        "hints": hints(scenes | public),
        "suggestions": suggestions(scenes | public),
        "choices": choices(),
        "trials": trials(),
    }
    for model in COURSE:
        blocks[f"card of {model}"] = card(model)
        blocks[f"history of {model}"] = history_in_words(model)
        blocks[f"hues of {model}"] = hues(scenes | public, model)
    front, data = DATA.parent / "README.md", DATA / "README.md"
    text = data.read_text(encoding="utf-8")
    for name, content in blocks.items():
        text = between_markers(text, name, content)
    return {
        front: between_markers(front.read_text(encoding="utf-8"), "results", table),
        data: text,
    }


if __name__ == "__main__":
    for path, text in pages().items():
        path.write_text(text, encoding="utf-8")
    for model in COURSE:
        draw_history(model, DATA / f"{model}-history.png")
