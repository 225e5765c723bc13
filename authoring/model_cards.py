"""Write what was measured into README.md and the weights' cards in data/README.md.

``python -m authoring.model_cards`` takes everything from files that runs wrote: the facts from the
weights' own headers; the figures from weights/results.json and weights/held-out.json, which
``python -m course_lib.evaluation --json`` writes; the tables of weights/choices.csv and
weights/trials.csv, which ``choose`` and ``compare`` of ``python -m course_lib.training`` write;
weights/compression.csv, which ``python -m authoring.compression`` writes; the curves from the
trainings' histories. What stands between the markers is replaced; the prose around them is
written by hand. What was not measured leaves its place empty.
"""

import csv
import json
import re
from collections.abc import Callable
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.ticker import EngFormatter
from safetensors import safe_open

from authoring.compression import COMPARED
from authoring.course import DATA
from authoring.markers import replace_between
from course_lib.evaluation import format_table, markdown_table
from course_lib.evaluation.summary import COLUMNS, interval_text
from course_lib.files import whole_file, write_text
from course_lib.models import shipped_weights
from course_lib.plotting import COLORS, LINES, new_figure
from course_lib.training.loop import History

#: The course's own weights, by network.
COURSE = shipped_weights()

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
#: A network gets those whose columns its training has recorded. Balanced AuC is left out: a
#: training takes it over all pixels at once, so that a few of the rarest colours decide it.
PANELS: dict[str, dict[str, str]] = {
    "training loss": {
        "loss": "sum",
        "huber": "Huber",
        "class": "cross entropy",
        "colour": "of colours",
        "label": "of kinds",
    },
    "raw AuC, %": {"auc_raw": "raw AuC"},
    "colourfulness": {"colourfulness": "ratio"},
    "mean ab error, Lab units": {"error": "without hints", "error_hints": "with hints"},
}

#: What ``choose`` and ``compare`` measure, and what to call it.
MEASURES = {key: heading for key, (heading, _) in COLUMNS.items() if key != "ssim"}


def header(model: str) -> dict[str, str]:
    """What a file of weights says of itself."""
    with safe_open(WEIGHTS / COURSE[model].file, framework="pt") as file:
        return file.metadata()


def card(model: str) -> str:
    """The facts of a file of weights as a Markdown table."""
    shipped, facts = COURSE[model], header(model)
    rows = [(f"`{shipped.file}`", "")]
    rows += [(name, facts[key]) for key, name in FACTS.items() if key in facts]
    rows.append(("size", f"{(WEIGHTS / shipped.file).stat().st_size / 1e6:.1f} MB, float16"))
    rows.append(("sha256", f"`{shipped.sha256}`"))
    return markdown_table(rows)


def measured(file: str) -> dict[str, dict]:
    """Figures that the evaluation wrote: of each set of pictures, by its name.

    Empty if there is no such file; ValueError if they are figures of other weights than those
    that ship.
    """
    path = WEIGHTS / file
    sets = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    shipped = {model: one.sha256 for model, one in COURSE.items()}
    for name, figures in sets.items():
        if figures.get("weights") != shipped:
            raise ValueError(f"{path}: {name}: measured with other weights; measure anew")
    return sets


def held_out(sets: dict[str, dict]) -> str:
    """A section for each public set."""
    return "\n\n".join(
        f"#### {name}\n\n{figures['pictures']} pictures at {figures['size']} x "
        f"{figures['size']} pixels. The mean colour and the nearest picture are those of "
        f"{figures['training_pictures']:,} training pictures.\n\n"
        + format_table(figures["methods"])
        + "\n\nAbove the gray picture, pairwise over the pictures:\n\n"
        + format_table(figures["above gray"])
        for name, figures in sets.items()
    )


def hints(sets: dict[str, dict]) -> str:
    """PSNR by the number of hints, a column for each set of pictures."""
    curves = [figures["hints"] for figures in sets.values()]
    rows = [[n, *(interval_text(curve[n], 2) for curve in curves)] for n in curves[0]]
    return markdown_table([["hints", *sets], *rows])


def suggestions(sets: dict[str, dict]) -> str:
    """How near suggested colours come to the truth, a row for each set of pictures."""
    found = {name: figures["suggestions"] for name, figures in sets.items()}
    heads = ["pictures", *next(iter(found.values()))]
    rows = [
        [name, *(interval_text(one, 1) for one in row.values())] for name, row in found.items()
    ]
    return markdown_table([heads, *rows])


def hues(sets: dict[str, dict], model: str) -> str:
    """What became of each true hue, in each set of pictures."""
    if not sets:
        return ""
    rows = [["pictures", "true hue", "share", "came out in it", "came out gray"]]
    for name, figures in sets.items():
        for hue, one in figures["hues"][model].items():
            shares = ([100 * end for end in one[key]] for key in ("right", "gray"))
            cells = (interval_text(share, 0) for share in shares)
            rows.append([name, hue, f"{100 * one['pixels']:.0f}", *cells])
    return (
        "Hue by hue, in percent: the share of the coloured pixels that is truly of that hue; of "
        "those, how many came out in it, and how many came out gray, with 95 % intervals.\n\n"
    ) + markdown_table(rows)


def compared(
    file: str, settings: dict[str, str], is_bold: Callable[[dict], bool] = lambda row: False
) -> tuple[list[dict[str, str]], str]:
    """Rows of a table of trials, and the table in Markdown.

    `settings` are its first columns and what to call them; the first row is the gray picture's.
    """
    with (WEIGHTS / file).open(newline="", encoding="utf-8") as opened:
        rows = list(csv.DictReader(opened))
    columns = settings | {key: heading for key, heading in MEASURES.items() if key in rows[0]}
    table = [list(columns.values())]
    for row in rows:
        cells = [row[key] for key in columns]
        if row is rows[0]:
            cells[0] = "the gray picture"
        elif is_bold(row):
            cells = [f"**{cell}**" for cell in cells]
        table.append(cells)
    return rows, markdown_table(table)


def choices() -> str:
    """What other sizes, softenings, temperatures and weights would give; empty if not tried."""
    if not (WEIGHTS / "choices.csv").exists():
        return ""
    facts = header("eccv16")
    softened = re.findall(r"softened by ([\d.]+)", facts["training"]) or ["0"]
    shipped = [facts["input_size"], float(softened[-1]), float(facts["temperature"])]
    settings = {
        "weights": "weights",
        "size": "input size, pixels",
        "softening": "softening",
        "temperature": "temperature",
    }

    def ships(row: dict) -> bool:
        numbers = [float(row[key]) for key in ("softening", "temperature")]
        return row["weights"] == "averaged" and [row["size"], *numbers] == shipped

    rows, table = compared("choices.csv", settings, ships)
    return (
        "What other input sizes, softenings and temperatures would have given, the weights of the "
        "last step instead of the averaged ones, and means of the answers (as logarithms of the "
        "probabilities) to a picture and its mirror image or to a picture at two sizes, on the "
        f"first {rows[0]['pictures']} validation pictures at {rows[0]['pixels']} x "
        f"{rows[0]['pixels']} pixels. What ships is in bold if it is among them.\n\n{table}"
    )


def trials() -> str:
    """What short trainings with one other setting gave; empty if there were none."""
    if not (WEIGHTS / "trials.csv").exists():
        return ""
    rows, table = compared("trials.csv", {"changed": "changed"})
    return (
        f"Short trainings from random weights, each on the same {int(rows[1]['samples']):,} "
        "pictures of MiniPlaces, in the same order: measured on the first "
        f"{rows[0]['pictures']} validation pictures at {rows[0]['pixels']} x {rows[0]['pixels']} "
        f"pixels, without softening.\n\n{table}"
    )


def compression() -> str:
    """How small the files could be and what it costs; empty if it was not measured."""
    if not (WEIGHTS / "compression.csv").exists():
        return ""
    with (WEIGHTS / "compression.csv").open(newline="", encoding="utf-8") as opened:
        rows = list(csv.DictReader(opened))
    table = [["network", "bits a weight", "MB", *(COLUMNS[key][0] for key in COMPARED)]]
    for row in rows:
        ends = ([float(row[key + end]) for end in ("", "_low", "_high")] for key in COMPARED)
        cells = [interval_text(one, 2) for one in ends] if row["bits"] != "16" else [""] * 4
        table.append([row["network"], row["bits"], f"{int(row['bytes']) / 1e6:.1f}", *cells])
    return (
        f"Differences to the weights that ship, pairwise over {rows[0]['pictures']} held-out "
        f"pictures, with 95 % intervals:\n\n{markdown_table(table)}"
    )


def history(model: str) -> History:
    """The history of a network's training, as it ships."""
    return History.load_csv(WEIGHTS / f"{model}-course.csv")


def panels_of(rows: History) -> dict[str, dict[str, str]]:
    """Those of `PANELS` that a history has something for, with the columns that it has."""
    had = {
        label: {column: name for column, name in columns.items() if rows.column(column)[0]}
        for label, columns in PANELS.items()
    }
    return {label: columns for label, columns in had.items() if columns}


def history_in_words(model: str) -> str:
    """The picture of a network's history in Markdown, with alternative text."""
    rows, panels = history(model), []
    for label, columns in panels_of(rows).items():
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
    """Draw the history of a network's training as a PNG."""
    rows = history(model)
    panels = panels_of(rows)
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
        axis.xaxis.set_major_formatter(EngFormatter(sep=""))  # 10k: long numbers run together
        if len(columns) > 1:
            place = {"loc": "lower center", "bbox_to_anchor": (0.5, 1), "ncols": len(columns)}
            axis.legend(frameon=False, fontsize=9, **place)
    with whole_file(path) as file:
        figure.savefig(file, format=path.suffix[1:], metadata={"Software": None})
    plt.close(figure)


def pages() -> dict[Path, str]:
    """README.md and data/README.md as they should be: path to text."""
    scenes, public = measured("results.json"), measured("held-out.json")
    table = format_table(scenes["course test scenes"]["methods"])
    blocks = {
        "results": table,
        "held-out pictures": held_out(public),
        "hints": hints(scenes | public),
        "suggestions": suggestions(scenes | public),
        "choices": choices(),
        "trials": trials(),
        "compression": compression(),
    }
    for model in COURSE:
        blocks[f"card of {model}"] = card(model)
        blocks[f"history of {model}"] = history_in_words(model)
        blocks[f"hues of {model}"] = hues(scenes | public, model)
    front, data = DATA.parent / "README.md", DATA / "README.md"
    text = data.read_text(encoding="utf-8")
    for name, content in blocks.items():
        text = replace_between(text, name, content)
    return {
        front: replace_between(front.read_text(encoding="utf-8"), "results", table),
        data: text,
    }


if __name__ == "__main__":
    for path, text in pages().items():
        write_text(path, text)
    for model in COURSE:
        draw_history(model, DATA / f"{model}-history.png")
