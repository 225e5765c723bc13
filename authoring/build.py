"""Build the lessons: authoring/lessons/NAME.py to notebooks/NAME.ipynb.

    python -m authoring.build                 every lesson, as learners get it, executed
    python -m authoring.build 05_inference    that lesson alone
    python -m authoring.build --solved        with the solutions in, into build/solved/
    python -m authoring.build --check         say which notebooks are stale, and why

A source is a solved lesson in jupytext's py:percent form. What the build makes of its cells
follows from their tags:

exercise   code with a solution between ``### BEGIN SOLUTION`` and ``### END SOLUTION``. Learners
           get a stub instead, and the solution in a fold after the hint. Where they are to find
           a bug, the solution is followed by ``### STUB`` and the faulty code, commented out.
check      code that checks the exercise before it: prints [todo], [ok] or [try again].
hint       Markdown, the exercise's hint; shown in a fold.
assertion  code that holds the prose to what it claims; its source is folded away. With other
           values than the lesson's it says so, and stops nothing: `course_lib.checks.prose`.

Other tags are nbval's. What every lesson has alike comes from here, so that it stays alike: its
title, which is its name in the index; the way on to the lessons before and after, at its top and
at its end; the first code cell, folded away, which installs the library where it is missing (from
the repository that `publish.py` was told); links from "lesson 04" to that lesson and from arXiv's
numbers to the papers; and, at its end, which exercises are done.
"""

import ast
import hashlib
import os
import re
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell

from authoring import course
from course_lib import __version__
from course_lib.files import write_text

SOLVED = course.BUILD / "solved"

#: Seconds for a cell, for a kernel to start, and for what a cell shows to arrive. They guard
#: against hanging alone: a busy machine may take many times what these take on another.
PATIENCE = {"timeout": 1800, "startup_timeout": 600, "iopub_timeout": 600}

#: What a lesson's run is told by the build and the tests: to hold the prose to what it claims, to
#: record nothing about a learner, and to draw no progress bars in texts, which would be stored.
STRICT = {"COURSE_STRICT": "1", "COURSE_PROGRESS": "", "TQDM_DISABLE": "1"}

COLAB = "https://colab.research.google.com"

# The library is not imported here to do the rest, since what it requires may still be missing.
SETUP = """\
# Where the course's library is missing, as on Google Colab or Kaggle, this cell installs it.
import os
import sys
from importlib import invalidate_caches, metadata, util

SOURCE = os.environ.get("COURSE_SOURCE", "")
if missing := not util.find_spec("course_lib"):
    if not SOURCE:
        raise RuntimeError(
            "this Python has no course_lib. On your own machine open the lessons with `make lab`, "
            "or choose the kernel of the course's .venv; elsewhere, set SOURCE above to "
            '"git+https://github.com/OWNER/NAME"'
        )
    !"{sys.executable}" -m pip install -q --no-deps {SOURCE}
    invalidate_caches()
if missing or "google.colab" in sys.modules:
    script = metadata.distribution("course-lib").locate_file("course_lib/environment.py")
    !"{sys.executable}" "{script}" --hosted"""

#: Markdown in which nothing is to become a link: code, links, headings.
PLAIN = re.compile(r"(```.*?```|`[^`]*`|!?\[[^\]]*\]\([^)]*\)|^#+ [^\n]*$)", re.M | re.S)
REFERENCE = re.compile(r"\b([Ll]essons?\s+)(\d\d(?:(?:,|,?\s+and|,?\s+or|\s+to)\s+\d\d)*)\b")
ARXIV = re.compile(r"\barXiv:(\d{4}\.\d{4,5})\b")

CLAIM = """\
# Holds the text around it to what it says; with values of your own it only tells.
from course_lib.checks.prose import as_written

with as_written():
"""

#: What tqdm puts in the place of a bar where there are no widgets.
BAR = re.compile(r"\d+%\|.*\| \d+/\d+ \[")

SOLUTION = re.compile(r"^([ \t]*)### BEGIN SOLUTION\n(.*?)^[ \t]*### END SOLUTION\n?", re.M | re.S)


STUB = re.compile(r"^[ \t]*### STUB\n", re.M)


def stub(match: re.Match) -> str:
    """What stands in a solution's place, given a match of `SOLUTION`.

    The stub that the source gives; else in a function an exception, and outside of one
    unanswered names.
    """
    indent, body = match.groups()
    if STUB.search(body):
        return re.sub(r"^([ \t]*)# ?", r"\1", STUB.split(body)[1], flags=re.M)
    if indent:
        return f"{indent}# YOUR CODE HERE\n{indent}raise NotImplementedError\n"
    targets = [node.targets[0] for node in ast.parse(body).body if isinstance(node, ast.Assign)]
    if not targets:
        raise ValueError(f"a solution outside a function must assign an answer:\n{body}")
    return "".join(f"{target.id} = ...  # YOUR ANSWER HERE\n" for target in targets)


def clear_solution(code: str) -> str:
    """A solved exercise's code with stubs in the solutions' place.

    Parameters
    ----------
    code : str
        With at least one region between ``### BEGIN SOLUTION`` and ``### END SOLUTION``.

    Returns
    -------
    str

    Raises
    ------
    ValueError
        If there is no such region, or one does not end.
    """
    cleared, count = SOLUTION.subn(stub, code + "\n")
    if not count or "### BEGIN" in cleared or "### END" in cleared:
        raise ValueError(f"no solution between BEGIN and END, or one that does not end:\n{code}")
    return cleared.rstrip("\n")


def show_solution(code: str) -> str:
    """A solved exercise's code without the markers around its solution, and without a stub."""
    return SOLUTION.sub(lambda match: STUB.split(match[2])[0], code + "\n").rstrip("\n")


def _fold(title: str, text: str) -> str:
    return f"<details>\n<summary>{title}</summary>\n\n{text}\n\n</details>"


def _answer(code: str) -> NotebookNode:
    # the stub's docstring stands above already: the answer is the solution alone
    solutions = [STUB.split(body)[0] for _, body in SOLUTION.findall(code + "\n")]
    bodies = [textwrap.dedent(body).rstrip() for body in solutions]
    text = "```python\n" + "\n\n".join(bodies) + "\n```"
    return new_markdown_cell(_fold("Answer", text), metadata={"tags": ["answer"]})


def linked(text: str, lesson: str) -> str:
    """A lesson's Markdown in which each "lesson 04" and each arXiv number is a link.

    Code, headings, what is a link already, and the lesson's own number stay as they are.

    Parameters
    ----------
    text : str
        Markdown.
    lesson : str
        The lesson that it stands in.

    Returns
    -------
    str
    """
    files = {name[:2]: f"{name}.ipynb" for name in course.names() if name != lesson}

    def links(match: re.Match) -> str:
        word, numbers = match.groups()
        if numbers in files:
            return f"[{word}{numbers}]({files[numbers]})"
        return word + re.sub(
            r"\d\d", lambda m: f"[{m[0]}]({files[m[0]]})" if m[0] in files else m[0], numbers
        )

    parts = PLAIN.split(text)
    parts[::2] = [
        ARXIV.sub(r"[arXiv:\1](https://arxiv.org/abs/\1)", REFERENCE.sub(links, part))
        for part in parts[::2]
    ]
    return "".join(parts)


def launchers(lesson: str, where: dict[str, str]) -> dict[str, tuple[str, str]]:
    """Hosts that open a lesson, each with its badge and its address, given `course.published`."""
    repository, tag, notebook = where["repository"], where["tag"], f"notebooks/{lesson}.ipynb"
    blob = f"github/{repository}/blob/{tag}/{notebook}"
    return {
        "Google Colab": (f"{COLAB}/assets/colab-badge.svg", f"{COLAB}/{blob}"),
        "Kaggle": (
            "https://kaggle.com/static/images/open-in-kaggle.svg",
            f"https://kaggle.com/kernels/welcome?src=https://{blob.replace('/', '.com/', 1)}",
        ),
        "Binder": (
            "https://mybinder.org/badge_logo.svg",
            f"https://mybinder.org/v2/gh/{repository}/{tag}?urlpath=lab/tree/{notebook}",
        ),
    }


def setup(where: dict[str, str] | None) -> str:
    """The lessons' first code cell, for notebooks in a repository or, with None, in none yet."""
    source = f"git+https://github.com/{where['repository']}@{where['tag']}" if where else ""
    return SETUP.replace('"COURSE_SOURCE", ""', f'"COURSE_SOURCE", "{source}"')


def _map() -> str:
    """Where the map of the lessons is: a section of the first lesson."""
    first = course.lessons()[0]
    heading = re.search(r"^# ## (.*\bmap\b.*)$", first.read_text(encoding="utf-8"), re.M)
    return f"{first.stem}.ipynb" + (f"#{heading[1].replace(' ', '-')}" if heading else "")


def navigation(lesson: str, where: dict[str, str] | None) -> str:
    """The way on from a lesson: the one before, the map, the help pages, the one after.

    Links between files lead on in JupyterLab, in editors, on GitHub and in a class. Colab has its
    own addresses, so a published lesson has a second line for it.
    """
    names = course.names()
    order = [*names]
    place = order.index(lesson)
    before, after = order[:place][-1:], order[place + 1 :][:1]

    def line(address: Callable[[str], str], between: list[str]) -> str:
        return " · ".join(
            [f"[← {names[other]}]({address(other)})" for other in before]
            + between
            + [f"[{names[other]} →]({address(other)})" for other in after]
        )

    pages = [(page.stem.replace("_", " "), page.name) for page in course.help_pages()]
    pages = [("map", _map()), *pages]
    text = line("{}.ipynb".format, [f"[{name}]({page})" for name, page in pages])
    if where:
        folder = f"https://github.com/{where['repository']}/blob/{where['tag']}/notebooks"
        help_pages = [f"[{name}]({folder}/{page})" for name, page in pages[1:]]
        there = line(lambda other: launchers(other, where)["Google Colab"][1], help_pages)
        text += f"\n\nOn Google Colab: {there}"
    return text


def _way_on(lesson: str, where: dict[str, str] | None) -> NotebookNode:
    return new_markdown_cell(navigation(lesson, where), metadata={"tags": ["navigation"]})


def _opening(cell: NotebookNode, lesson: str, where: dict | None) -> list[NotebookNode]:
    """A lesson's first cell as four: title and badges, the way on, the set-up, and the rest.

    The title is the lesson's name; that of the source, which says what to do, stands below it.
    """
    title, _, rest = cell.source.partition("\n")
    if cell.cell_type != "markdown" or not title.startswith("# "):
        raise ValueError(f"{lesson}: a lesson begins with its title, a line of Markdown")
    name, task = course.names()[lesson], title.removeprefix("# ")
    lines = [f"# {name}"]
    if task != name[3:]:
        lines.append(f"*{task}.*")
    if where:
        badges = [
            f"[![Open this lesson on {host}]({badge})]({address})"
            for host, (badge, address) in launchers(lesson, where).items()
        ]
        lines.append(" ".join(badges))
    folded = {"tags": ["setup"], "jupyter": {"source_hidden": True}}
    return [
        new_markdown_cell("\n\n".join(lines)),
        _way_on(lesson, where),
        new_code_cell(setup(where), metadata=folded),
        new_markdown_cell(linked(rest.strip("\n"), lesson)),
    ]


def as_claim(code: str) -> str:
    """An assertion cell's code as learners get it: with other values it says so, and goes on."""
    body = textwrap.indent(code, "    ")
    (block,) = ast.parse(f"if True:\n{body}").body
    if ast.dump(ast.Module(block.body, [])) != ast.dump(ast.Module(ast.parse(code).body, [])):
        raise ValueError(f"an assertion cell cannot hold a text of several lines:\n{code}")
    return CLAIM + body


def _done(lesson: str) -> NotebookNode:
    """The cell that says which exercises are done: of this lesson, at its start of all."""
    which = "" if lesson[:2] == "00" else f'"{lesson[:2]}"'
    code = (
        "# Which exercises have been [ok] on this machine; nothing of it is sent anywhere.\n"
        f"from course_lib.checks.progress import show_progress\n\nshow_progress({which})"
    )
    folded = {"tags": ["progress"], "jupyter": {"source_hidden": True}}
    return new_code_cell(code, metadata=folded)


def make_notebook(
    source: Path, *, solved: bool = False, where: dict[str, str] | None = None
) -> NotebookNode:
    """The notebook of a lesson, not executed.

    Parameters
    ----------
    source : pathlib.Path
        A py:percent file.
    solved : bool
        Leave the solutions in.
    where : dict, optional
        The repository, as from `course.published`, which is the default.

    Returns
    -------
    nbformat.NotebookNode
        The same for the same source, to the last byte.
    """
    where = where or course.published()
    first, *others = jupytext.read(source).cells
    cells, solution = _opening(first, source.stem, where), None
    for cell in others:
        tags = course.tags(cell)
        if "exercise" in tags:
            solution = cell.source
            cell.source = show_solution(solution) if solved else clear_solution(solution)
        if "assertion" in tags:
            cell.metadata["jupyter"] = {"source_hidden": True}
            cell.source = as_claim(cell.source)
        if cell.cell_type == "markdown":
            cell.source = linked(cell.source, source.stem)
        if "hint" in tags:
            cell.source = _fold("Hint", cell.source)
        cells.append(cell)
        if "hint" in tags:
            if solution is None:
                raise ValueError(f"{source.name}: a hint without an exercise before it")
            cells.append(_answer(solution))
            solution = None
    cells += [_done(source.stem), _way_on(source.stem, where)]
    for number, cell in enumerate(cells):
        cell.id = f"cell-{number:03}"
    kernel = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
    metadata = {
        "kernelspec": kernel,
        "language_info": {"name": "python"},
        "title": course.names()[source.stem],  # of a page that it is exported to
    }
    return nbformat.v4.new_notebook(cells=cells, metadata=metadata)


def execute(notebook: NotebookNode, folder: Path = course.NOTEBOOKS) -> None:
    """Run a notebook's cells, as "Run All" does in a folder: that of the lessons unless given."""
    metadata = dict(notebook.metadata)
    client = NotebookClient(
        notebook,
        **PATIENCE,
        record_timing=False,
        store_widget_state=False,
        coalesce_streams=True,  # on a busy machine, what a cell prints comes in pieces
        resources={"metadata": {"path": str(folder)}},
    )
    client.execute(env={**os.environ, **STRICT})
    # execution notes the Python version and widgets' state, which differ between machines
    notebook.metadata = nbformat.from_dict(metadata)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = without_widgets(cell.outputs)


def without_widgets(outputs: list[NotebookNode]) -> list[NotebookNode]:
    """A cell's outputs as they are stored: without what only a running kernel can show.

    A widget without its kernel shows an error; what stands in for it stays. Of a progress bar
    that is a bar that never moved, so nothing stays: tqdm's bars in notebooks do not heed
    TQDM_DISABLE.
    """
    for output in outputs:
        output.get("data", {}).pop("application/vnd.jupyter.widget-view+json", None)
    return [one for one in outputs if not BAR.search(one.get("data", {}).get("text/plain", ""))]


def content(notebook: NotebookNode) -> list[tuple]:
    """What a notebook's cells are, outputs aside."""
    return [(c.id, c.cell_type, c.source, dict(c.metadata)) for c in notebook.cells]


def built_from(source: Path) -> dict[str, str]:
    """What a lesson's outputs depend on, as it is now.

    Parameters
    ----------
    source : pathlib.Path
        A lesson's py:percent file.

    Returns
    -------
    dict of str to str
        The sha256 of the source, of the shipped weights and of the table of photographs, which
        holds that of each photograph; and the library's version. By path in the repository.
    """
    texts = {
        f"authoring/lessons/{source.name}": source,
        "data/photos/photos.csv": course.DATA / "photos" / "photos.csv",
    }
    # as text, so that it is the same where git writes other ends of lines
    contents = {name: path.read_text("utf-8").encode() for name, path in texts.items()}
    for path in sorted((course.DATA / "weights").glob("*.safetensors")):
        contents[f"data/weights/{path.name}"] = path.read_bytes()
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    return {**digests, "course_lib": __version__}


def changes(
    notebook: NotebookNode, source: Path, *, where: dict[str, str] | None = None
) -> list[str]:
    """What has changed since a notebook was built.

    Parameters
    ----------
    notebook : nbformat.NotebookNode
        As it is committed.
    source : pathlib.Path
        The lesson's py:percent file.
    where : dict, optional
        As for `make_notebook`.

    Returns
    -------
    list of str
        Names as in `built_from`, or "its cells"; empty if the notebook is fresh.
    """
    recorded = notebook.metadata.get(course.RECORD)
    if recorded is None:
        return ["no record of what it was built from"]
    now = built_from(source)
    changed = [name for name, value in recorded.items() if now.get(name) != value]
    if content(notebook) != content(make_notebook(source, where=where)):
        changed.append("its cells")
    return changed


def staleness(source: Path) -> str:
    """What is stale about a lesson's notebook, as a line; empty if nothing is."""
    lesson = source.stem
    if not course.notebook_of(lesson).exists():
        return f"{lesson} has no notebook"
    changed = changes(course.read(lesson), source)
    return f"{lesson} is stale: {', '.join(changed)}" if changed else ""


def main() -> None:
    """Build or check, as the command line asks."""
    parser = course.command_line(__doc__)
    parser.add_argument("lessons", nargs="*", help="names such as 05_inference (default: all)")
    parser.add_argument("--solved", action="store_true", help="into build/solved/")
    parser.add_argument("--check", action="store_true", help="build nothing; exit 1 if stale")
    options = parser.parse_args()
    sources = course.lessons(options.lessons)
    if options.check:
        stale = [line for line in map(staleness, sources) if line]
        if stale:
            sys.exit("\n".join([*stale, "run: make notebooks"]))
        return
    folder = SOLVED if options.solved else course.NOTEBOOKS
    folder.mkdir(parents=True, exist_ok=True)
    for source in sources:
        record = built_from(source)
        notebook = make_notebook(source, solved=options.solved)
        execute(notebook)
        notebook.metadata[course.RECORD] = record
        write_text(folder / f"{source.stem}.ipynb", nbformat.writes(notebook) + "\n")
        print(f"{source.stem}: {len(notebook.cells)} cells")


if __name__ == "__main__":
    main()
