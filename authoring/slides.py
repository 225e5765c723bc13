"""Make slides of the lessons: a reveal.js deck each, into build/slides.

    python -m authoring.slides                 every lesson
    python -m authoring.slides 05_inference    that lesson alone

Runs in the environment of web/requirements.txt. A deck is one file that needs no network:
reveal.js and MathJax are in it. (nbconvert's own slides take both from the web, and show whole
cells, which no slide can hold.)

What is on the slides follows from the lesson's cells by rule:

- the title and each section of level two begin a column, and exercises and lists that follow a
  bold line go below, each with its first paragraph and the list or formula right after that;
- each figure gets a slide, with the first sentences of what the lesson says right after it, or
  right before where the next section follows; failing both, with the figure's description;
- a list or formula that does not fit goes below, after the last sentence before it;
- a few lines of code that directly follow a heading stand on its slide;
- an exercise stands alone: all that its cell says, the formula that stood last before it, and its
  stub, on one slide or on several of the same heading;
- text is cut after whole sentences, or whole items of a list, so that it fits;
- hints, answers, other code, tables and the further reading are left to the lesson.
"""

import importlib.util
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment
from markdown_it import MarkdownIt
from nbconvert.filters import markdown2html
from nbformat import NotebookNode

from authoring import course
from authoring.course import figures

TEMPLATE = course.ROOT / "authoring" / "web" / "slides.html.j2"
SLIDES = course.BUILD / "slides"

#: Most lines on a slide of text, on a lesson's first, and beside a figure; and the characters in
#: a line of text, beside a figure, and of code. `tests/test_slides.py` does the sum with the sizes
#: of the template's type.
LINES, OPENING_LINES, CAPTION_LINES = 10.8, 7.5, 3.5
WIDTH, CAPTION_WIDTH, CODE_WIDTH = 60, 70, 76
#: How high a line of code is, in lines of text.
CODE_LINE = 0.7

#: Between two sentences: after a stop, and what may close with it, but not after "et al.".
SENTENCE = (
    r"(?:(?<=[.!?:])|(?<=[.!?:][*)\"])|(?<=[.!?:]\*\*))"
    r"(?<!e\.g\.)(?<!i\.e\.)(?<! al\.)\s+"
)

#: How the headings of exercises begin.
EXERCISE = ("Exercise ", "Challenge: ")

#: Sections that are for reading at home.
LEFT_OUT = ("Further reading",)


@dataclass
class Slide:
    """One slide.

    Attributes
    ----------
    heading : str
        Markdown, one line.
    level : int
        1 for the lesson's title, 2 for a section, 3 for what is below it.
    text : str
        Markdown; may be empty.
    picture : str
        A data address; empty without a figure.
    alt : str
        The figure's description.
    """

    heading: str
    level: int
    text: str = ""
    picture: str = ""
    alt: str = ""


def blocks(markdown: str) -> Iterator[tuple[str, str]]:
    """Kind ("heading", "paragraph", "list", ...) and text of each block of a Markdown cell."""
    lines = markdown.splitlines()
    for token in MarkdownIt().enable("table").parse(markdown):
        if token.level == 0 and token.nesting >= 0 and token.map:
            text = "\n".join(lines[slice(*token.map)]).strip()
            kind = token.type.removesuffix("_open").removeprefix("bullet_")
            if kind == "paragraph" and text.startswith("$$"):
                kind = "formula"
            if kind == "paragraph" and text.startswith(("![", "[![")):
                kind = "picture"  # the badge that leads to Colab, for one
            yield kind.removeprefix("ordered_"), text


def lines(markdown: str, width: int = WIDTH) -> float:
    """How many lines of a slide a text takes at most, the gaps between its blocks included.

    Parameters
    ----------
    markdown : str
        Paragraphs, lists, formulas, code.
    width : int
        Characters in a line.
    """
    total = 0.0
    for kind, text in blocks(markdown):
        if kind == "fence":
            code = text.splitlines()[1:-1]
            filled = sum(max(1, math.ceil(len(line) / CODE_WIDTH)) for line in code)
            total += 1 + CODE_LINE * filled
        elif kind == "formula":
            total += 3
        elif kind == "list":
            total += sum(math.ceil(len(_shown(item)) / (width - 3)) + 0.2 for item in _items(text))
        else:
            total += math.ceil(len(_shown(text)) / width)
        total += 0.5
    return total


def _shown(text: str) -> str:
    """About what is seen of Markdown: links without their targets, no marks."""
    return re.sub(r"\]\([^)]*\)|\*\*|[`\[\]]", "", " ".join(text.split()))


def _items(text: str) -> list[str]:
    return re.split(r"\n(?=[-*] |\d+\. )", text)


def sentences(paragraph: str, most: float, width: int = WIDTH) -> str:
    """The first sentences of a paragraph that fit on a slide.

    Parameters
    ----------
    paragraph : str
        Markdown.
    most : float
        Lines.
    width : int
        Characters in a line.

    Returns
    -------
    str
        Empty if the first sentence alone is longer.
    """
    parts = re.split(SENTENCE, " ".join(paragraph.split()))
    fitting = ""
    for end in range(1, len(parts) + 1):
        text = " ".join(parts[:end])
        if lines(text, width) > most:
            break
        # not within code, a formula, emphasis or brackets; nor where a list would have followed
        whole = all(text.count(mark) % 2 == 0 for mark in ("`", "$", "**"))
        if whole and text.count("(") == text.count(")") and not text.endswith(":"):
            fitting = text
    return fitting


def pieces(text: str) -> list[str]:
    """A list in pieces of whole items that fit on a slide each."""
    found = [""]
    for item in _items(text):
        longer = f"{found[-1]}\n{item}".strip()
        if found[-1] and lines(longer) > LINES:
            found.append(item)
        else:
            found[-1] = longer
    return found


def _fenced(code: str) -> str:
    return f"```python\n{code}\n```"


class _Deck:
    """Columns of slides that grow as a lesson's cells are read."""

    def __init__(self) -> None:
        self.columns: list[list[Slide]] = []
        self.section = ""  # the section's heading
        self.wants = False  # the newest slide has no text yet
        self.shown = ""  # the paragraph that was put on a slide last
        self.used: set[str] = set()  # all that were
        self.formula = ""  # the section's last, if no exercise has used it

    def add(self, slide: Slide) -> None:
        if slide.level < 3:
            self.columns.append([])
            self.section, self.formula = slide.heading, ""
        self.columns[-1].append(slide)
        self.wants = True

    def read(self, cell: NotebookNode) -> None:
        before, exercise = "", False
        for kind, text in blocks(cell.source):
            slide = self.columns[-1][-1] if self.columns else None
            if kind == "formula":
                self.formula = text
            bold = re.fullmatch(r"\*\*([^*]+)\*\*", text)
            if kind == "heading":
                marks, heading = text.split(maxsplit=1)
                self.add(Slide(heading, min(len(marks), 3)))
                exercise = heading.startswith(EXERCISE)
            elif exercise and kind in ("paragraph", "list", "formula"):
                self.used.add(text)
                self.go_on(text)
            elif bold:
                self.add(Slide(bold[1], 3))
            elif kind == "paragraph" and self.wants:
                slide.text = sentences(text, OPENING_LINES if slide.level == 1 else LINES)
                self.wants, self.shown = False, text
                self.used.add(text)
            elif kind == "list" and self.wants:
                slide.text, *more = pieces(text)
                self.columns[-1] += [Slide(slide.heading, 3, piece) for piece in more]
                self.wants = False
            elif kind in ("list", "formula") and before == self.shown != "":
                last = re.split(SENTENCE, " ".join(before.split()))[-1]
                below = Slide(self.section, 3, f"{last}\n\n{text}")
                if not self.append(f"{before}\n\n{text}") and lines(below.text) <= LINES:
                    self.columns[-1].append(below)
            before = text

    def append(self, text: str) -> bool:
        """Give the newest slide a longer text, if it fits; say whether it does."""
        slide = self.columns[-1][-1]
        if slide.picture or lines(text) > LINES:
            return False
        slide.text = text
        return True

    def go_on(self, text: str) -> None:
        """Put text below that of the newest slide, or on another one of the same heading."""
        slide = self.columns[-1][-1]
        if self.append(f"{slide.text}\n\n{text}".strip()):
            self.wants = False
            return
        parts = pieces(text) if re.match(r"[-*] |\d+\. ", text) else [text]
        for part in parts:
            short = part if lines(part) <= LINES else sentences(part, LINES)
            if self.wants:
                slide.text, self.wants = short, False
            elif short:
                self.columns[-1].append(Slide(slide.heading, 3, short))

    def listing(self, code: str) -> None:
        """Put code that directly follows a heading on the heading's slide."""
        if self.wants:
            self.wants = not self.append(_fenced(code))

    def stub(self, code: str) -> None:
        """Put the formula that an exercise is about, and its stub, below what there is to do."""
        slide = self.columns[-1][-1]
        if self.formula and "$$" not in slide.text:
            self.append(f"{slide.text}\n\n{self.formula}")
        self.formula = ""
        if lines(_fenced(code)) <= LINES:
            self.go_on(_fenced(code))

    def draw(self, picture: str, alt: str, caption: str) -> None:
        slide = self.columns[-1][-1]
        if not self.wants:
            slide = Slide(self.section, 3)
            self.columns[-1].append(slide)
        slide.text, slide.picture, slide.alt, self.wants = caption, picture, alt, False


def _caption(cells: list[NotebookNode], place: int, alt: str, used: set[str]) -> str:
    """What the lesson says beside the figure of a cell; nothing is said twice."""
    after = next((c for c in cells[place + 1 :] if c.cell_type == "markdown" or figures(c)), None)
    before = next((c for c in reversed(cells[:place]) if c.cell_type == "markdown"), None)
    beside = []
    if after is not None and after.cell_type == "markdown":
        beside += list(blocks(after.source))[:1]
    if before is not None:
        beside += list(blocks(before.source))[-1:]
    said = [text for kind, text in beside if kind == "paragraph" and text not in used]
    for text in [*said, alt]:
        if caption := sentences(text, CAPTION_LINES, CAPTION_WIDTH):
            used.add(text)
            return caption
    return ""


def deck(notebook: NotebookNode) -> list[list[Slide]]:
    """The slides of a lesson.

    Parameters
    ----------
    notebook : nbformat.NotebookNode
        Built and executed.

    Returns
    -------
    list of list of Slide
        Columns, from left to right, of slides from top to bottom.
    """
    aside = {"hint", "answer", "setup", "assertion", "navigation", "progress"}
    cells = [c for c in notebook.cells if not aside & set(course.tags(c))]
    made = _Deck()
    for place, cell in enumerate(cells):
        if cell.cell_type == "markdown":
            made.read(cell)
        elif "exercise" in course.tags(cell):
            made.stub(cell.source)
        elif "check" not in course.tags(cell):
            made.listing(cell.source)
        for picture, alt in figures(cell):
            made.draw(picture, alt, _caption(cells, place, alt, made.used))
    return [column for column in made.columns if column[0].heading not in LEFT_OUT]


def _carried(package: str, *path: str) -> str:
    """A script or style sheet that a Python package of the environment carries."""
    folder = Path(importlib.util.find_spec(package).origin).parent
    text = folder.joinpath(*path).read_text(encoding="utf-8")
    if "</script" in text:
        raise ValueError(f"{package} {'/'.join(path)} cannot stand inside of a page")
    return text


def _with_decks(text: str) -> str:
    """Markdown whose links to lessons lead to their decks; no other page lies beside these."""
    text = re.sub(r"\]\((\d\d_\w+)\.ipynb[^)]*\)", r"](\1.html)", text)
    return re.sub(r"(?<!!)\[([^\]]*)\]\((?!\w+:|#|\d\d_)[^)]*\)", r"\1", text)


def render(columns: list[list[Slide]]) -> str:
    """A deck as one HTML file.

    Parameters
    ----------
    columns : list of list of Slide
        From `deck`.

    Returns
    -------
    str
    """
    environment = Environment(autoescape=False, trim_blocks=True, lstrip_blocks=True)
    environment.filters["markdown"] = lambda text: markdown2html(_with_decks(text))
    environment.filters["inline"] = MarkdownIt().renderInline  # "1. One" is no list here
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        columns=columns,
        title=columns[0][0].heading,
        reveal=_carried("sphinx_revealjs", "_static", "revealjs", "dist", "reveal.js"),
        style=_carried("sphinx_revealjs", "_static", "revealjs", "dist", "reveal.css"),
        mathjax=_carried("sphinx-mathjax-offline", "static", "mathjax", "tex-svg-full.js")
        if any("$" in slide.text for column in columns for slide in column)
        else "",
    )


def main() -> None:
    """Make the decks, as the command line asks."""
    parser = course.command_line(__doc__)
    parser.add_argument("lessons", nargs="*", help="names such as 05_inference (default: all)")
    names = [source.stem for source in course.lessons(parser.parse_args().lessons)]
    SLIDES.mkdir(parents=True, exist_ok=True)
    for name in names:
        columns = deck(course.read(name))
        course.write_text(SLIDES / f"{name}.html", render(columns))
        print(f"build/slides/{name}.html: {sum(map(len, columns))} slides")


if __name__ == "__main__":
    main()
