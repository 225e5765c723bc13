"""The lessons' slides: every figure is shown, nothing overflows, no network is needed.

Tests marked "environments" look at build/slides; `make test-site` makes them first.
"""

import re
from functools import cache
from html.parser import HTMLParser

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from authoring import course, slides
from authoring.course import read

LESSONS = [path.stem for path in course.lessons()]

each_lesson = pytest.mark.parametrize("name", LESSONS)


@cache
def made_of(name):
    return slides.deck(read(name))


def flat(columns):
    return [slide for column in columns for slide in column]


def lesson(*cells):
    """A notebook of Markdown (text) and code cells."""
    return new_notebook(cells=[new_markdown_cell(c) if isinstance(c, str) else c for c in cells])


def figure(alt="A disc on a gray ground.", **metadata):
    page = f'<img alt="{alt}" src="data:image/webp;base64,aGk=">'
    output = new_output("display_data", {"text/html": page})
    return new_code_cell("show()", outputs=[output], metadata=metadata)


@each_lesson
def test_every_figure_of_the_lesson_is_shown_once_and_in_order(name):
    notebook = read(name)
    shown = [slide for slide in flat(made_of(name)) if slide.picture]
    assert [(s.picture, s.alt) for s in shown] == [
        found for cell in notebook.cells for found in slides.figures(cell)
    ]
    assert all(slide.text for slide in shown), "a figure without words"


@each_lesson
def test_every_section_is_a_column_but_for_the_further_reading(name):
    text = "\n".join(c.source for c in read(name).cells if c.cell_type == "markdown")
    text = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
    sections = re.findall(r"^## (.+)$", text, re.M)
    columns = made_of(name)
    assert columns[0][0].level == 1
    assert [column[0].heading for column in columns[1:]] == [
        heading for heading in sections if heading != "Further reading"
    ]


@each_lesson
def test_no_text_is_taller_than_its_slide(name):
    for slide in flat(made_of(name)):
        most = slides.OPENING_LINES if slide.level == 1 else slides.LINES
        if slide.picture:
            assert slides.lines(slide.text, slides.CAPTION_WIDTH) <= slides.CAPTION_LINES
        else:
            assert slides.lines(slide.text) <= most, slide.text
        assert len(slide.heading) <= {1: 60, 2: 80, 3: 100}[slide.level], slide.heading


def sizes():
    """Pixels that the template gives to a slide and its type."""
    style = slides.TEMPLATE.read_text(encoding="utf-8")

    def size(pattern):
        return [float(number) for number in re.search(pattern, style).groups()]

    return {
        "height": size(r"\.slide \{[^}]*height: (\d+)px")[0],
        "padding": size(r"padding: (\d+)px (\d+)px (\d+)px"),
        "text": size(r"font: (\d+)px/([\d.]+)"),
        "headings": [size(rf"\.slide h{level} {{ font-size: (\d+)px")[0] for level in (1, 2, 3)],
        "heading_line": size(r"\.slide h1, [^}]*line-height: ([\d.]+); margin: 0 0 ([\d.]+)em"),
        "caption": size(r"figcaption \{[^}]*font-size: (\d+)px; margin-top: (\d+)px"),
        "code": size(r"\.slide pre \{[^}]*font-size: (\d+)px; line-height: ([\d.]+)"),
    }


def test_so_many_lines_fit_in_the_template():
    px = sizes()
    line = px["text"][0] * px["text"][1]
    room = px["height"] - px["padding"][0] - px["padding"][2]
    leading, gap = px["heading_line"]

    def heading(level, rows):
        return px["headings"][level - 1] * (rows * leading + gap)

    assert slides.LINES * line <= room - heading(2, rows=2)
    assert slides.OPENING_LINES * line <= room - heading(1, rows=2)
    caption = slides.CAPTION_LINES * px["caption"][0] * px["text"][1] + px["caption"][1]
    assert room - heading(3, rows=2) - caption > room / 2  # more than half for the figure
    assert px["code"][0] * px["code"][1] / line <= slides.CODE_LINE


def test_a_character_is_counted_as_wide_as_it_may_be():
    # 0.6 of the type's size is above the mean width in the widest of the template's faces
    px = sizes()
    width = 1280 - 2 * px["padding"][1]
    assert slides.WIDTH * px["text"][0] * 0.56 <= width
    assert slides.CAPTION_WIDTH * px["caption"][0] * 0.56 <= width - 90
    assert slides.CODE_WIDTH * px["code"][0] * 0.61 <= width  # all as wide as these


def test_text_is_cut_after_a_whole_sentence():
    long = "One short sentence. " + "And then one that goes on, " * 30 + "to its end."
    assert slides.sentences(long, 3) == "One short sentence."
    assert slides.sentences("word " * 200, 3) == ""
    cited = "Zhang et al. (2016) did it. Others followed."
    assert slides.sentences(cited, 1.5, width=28) == "Zhang et al. (2016) did it."
    assert slides.sentences(cited, 1.5, width=20) == ""  # rather nothing than half a sentence
    bold = "**Do this. And that.** Then more."
    assert slides.sentences(bold, 1.5, width=24) == "**Do this. And that.**"
    assert slides.sentences("There are two kinds:", 3) == ""  # the list is elsewhere


def test_a_long_list_goes_on_below_and_loses_nothing():
    items = [f"- item number {i}, which is of an ordinary length" for i in range(20)]
    first, *rest = flat(slides.deck(lesson("# Title", "## Summary\n\n" + "\n".join(items))))[1:]
    assert first.level == 2 and rest and all(slide.level == 3 for slide in rest)
    assert "\n".join([first.text, *(slide.text for slide in rest)]) == "\n".join(items)


def test_two_figures_never_share_their_words():
    made = flat(slides.deck(lesson("# T", "## A\n\nIntro.", figure(), "Said once.", figure())))
    assert [s.text for s in made if s.picture] == ["Said once.", "A disc on a gray ground."]


def test_what_stands_beside_a_figure_comes_from_after_it_else_from_before_else_from_itself():
    def caption(*cells):
        (shown,) = [s for s in flat(slides.deck(lesson("# T", *cells))) if s.picture]
        return shown.text

    assert caption("## A\n\nIntro.\n\nBefore.", figure(), "After. More.") == "After. More."
    assert caption("## A\n\nIntro.\n\nBefore.", figure(), "## B\n\nAfter.") == "Before."
    assert caption("## A\n\nIntro.", figure(), "## B\n\nAfter.") == "A disc on a gray ground."


def test_a_formula_that_does_not_fit_goes_below_with_the_sentence_before_it():
    intro = "It is worth a thought. " * 22 + "So this is it:"
    columns = slides.deck(lesson("# T", f"## A\n\n{intro}\n\n$$x = y$$"))
    section, below = columns[1]
    assert "$$" not in section.text and below.text == "So this is it:\n\n$$x = y$$"
    columns = slides.deck(lesson("# T", "## A\n\nSo this is it:\n\n$$x = y$$"))
    assert [slide.text for slide in columns[1]] == ["So this is it:\n\n$$x = y$$"]


def exercise(text, stub):
    tagged = new_code_cell(stub, metadata={"tags": ["exercise"]})
    columns = slides.deck(lesson("# T", "## A\n\nSo it is:\n\n$$x = y$$\n\nMore.", text, tagged))
    return [slide for slide in flat(columns) if slide.heading.startswith("Exercise")]


def test_an_exercise_stands_alone_with_all_its_text_its_formula_and_its_stub():
    options = "- **A** this;\n- **B** that."
    (shown,) = exercise(f"### Exercise 1: choose\n\nWrite it.\n\n{options}", "guess = ...")
    code = "```python\nguess = ...\n```"
    assert shown.text == f"Write it.\n\n{options}\n\n$$x = y$$\n\n{code}"


def test_an_exercise_that_does_not_fit_goes_on_under_the_same_heading():
    paragraphs = [f"{i}. paragraph: " + "word " * 60 + "end." for i in "ABC"]
    text = "### Exercise 1: read\n\n" + "\n\n".join(paragraphs)
    shown = exercise(text, "def f(x):\n" + "    # line\n" * 9)
    assert len(shown) > 2 and {slide.heading for slide in shown} == {"Exercise 1: read"}
    assert all(slides.lines(slide.text) <= slides.LINES for slide in shown)
    whole = "\n\n".join(slide.text for slide in shown)
    assert all(paragraph in whole for paragraph in paragraphs) and "# line" in whole


def test_hints_answers_and_set_up_are_left_to_the_lesson():
    hidden = new_markdown_cell("Hidden.", metadata={"tags": ["hint"]})
    setup = new_code_cell("import os", metadata={"tags": ["setup"]})
    exercise = new_code_cell("guess = ...", metadata={"tags": ["exercise"]})
    made = flat(
        slides.deck(lesson("# T", setup, "## A\n\n### Exercise 1\n\nDo.", exercise, hidden))
    )
    assert [slide.text for slide in made] == ["", "", "Do.\n\n```python\nguess = ...\n```"]


def test_the_badge_of_a_published_lesson_is_no_text():
    badge = "[![Open it](https://example.org/badge.svg)](https://example.org/lesson)"
    (title,) = flat(slides.deck(lesson(f"# T\n\n{badge}", "What it is about.")))
    assert title.text == "What it is about."


class Deck(HTMLParser):
    def __init__(self, path):
        super().__init__()
        self.loads, self.alts, self.headings, self._deep = [], [], 0, 0
        self.text = path.read_text(encoding="utf-8")
        self.feed(self.text)

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        if tag in ("script", "img", "link", "iframe", "source", "video", "audio"):
            self.loads += [values[key] for key in ("src", "href") if key in values]
        self.headings += tag in ("h1", "h2", "h3")
        if tag == "img":
            self.alts.append(values["alt"])


@pytest.mark.environments
@each_lesson
def test_the_deck_is_one_file_that_needs_no_network(name):
    path = slides.SLIDES / f"{name}.html"
    assert path.is_file(), "run: make test-site"
    made = flat(made_of(name))
    page = Deck(path)
    assert all(load.startswith("data:image/") for load in page.loads)
    assert not re.search(
        r"@import|url\((?!['\"]?data:)", re.sub(r"<script.*?</script>", "", page.text, flags=re.S)
    )
    assert page.alts == [slide.alt for slide in made if slide.picture]
    assert page.headings == len(made)
    assert "Reveal.initialize(" in page.text and "reveal.js 5" in page.text
    assert ("window.MathJax" in page.text) == any("$" in slide.text for slide in made)
