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
assertion  code that holds the prose to what it claims; its source is folded away.

Other tags are nbval's. Every lesson's first code cell, tagged "setup" and folded away, comes from
here: on Google Colab it installs the library. `publish.py` says from which repository.
"""

import ast
import hashlib
import re
import sys
import textwrap
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell

from authoring import course
from course_lib import __version__

SOLVED = course.BUILD / "solved"

#: Seconds for a cell, for a kernel to start, and for what a cell shows to arrive. They guard
#: against hanging alone: a busy machine may take many times what these take on another.
PATIENCE = {"timeout": 1800, "startup_timeout": 600, "iopub_timeout": 600}

COLAB = "https://colab.research.google.com"

# "google.colab" is imported from the start in Colab's own kernel, and nowhere else. The library
# is not imported here to do the rest, since what it requires may still be missing.
SETUP = """\
# On Google Colab this cell installs the course's library. Anywhere else it does nothing.
import os
import sys
from importlib import invalidate_caches, metadata, util

SOURCE = os.environ.get("COURSE_SOURCE", "")
if "google.colab" in sys.modules:
    if not util.find_spec("course_lib"):
        if not SOURCE:
            raise RuntimeError('above, set SOURCE to "git+https://github.com/OWNER/NAME"')
        !pip install -q --no-deps {SOURCE}
        invalidate_caches()
    script = metadata.distribution("course-lib").locate_file("course_lib/environment.py")
    !python {script} --colab"""

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


def colab_link(lesson: str, where: dict[str, str]) -> str:
    """Where Colab opens a lesson, given what `course.published` returned."""
    return f"{COLAB}/github/{where['repository']}/blob/{where['tag']}/notebooks/{lesson}.ipynb"


def setup(where: dict[str, str] | None) -> str:
    """The lessons' first code cell, for notebooks in a repository or, with None, in none yet."""
    source = f"git+https://github.com/{where['repository']}@{where['tag']}" if where else ""
    return SETUP.replace('"COURSE_SOURCE", ""', f'"COURSE_SOURCE", "{source}"')


def _opening(cell: NotebookNode, lesson: str, where: dict | None) -> list[NotebookNode]:
    """A lesson's first cell as three: the title with its badge, the set-up, and the rest."""
    title, _, rest = cell.source.partition("\n")
    if cell.cell_type != "markdown" or not title.startswith("# "):
        raise ValueError(f"{lesson}: a lesson begins with its title, a line of Markdown")
    if where:
        badge = f"![Open this lesson in Google Colab]({COLAB}/assets/colab-badge.svg)"
        title += f"\n\n[{badge}]({colab_link(lesson, where)})"
    folded = {"tags": ["setup"], "jupyter": {"source_hidden": True}}
    return [
        new_markdown_cell(title),
        new_code_cell(setup(where), metadata=folded),
        new_markdown_cell(rest.strip("\n")),
    ]


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
    first, *others = jupytext.read(source).cells
    cells, solution = _opening(first, source.stem, where or course.published()), None
    for cell in others:
        tags = course.tags(cell)
        if "exercise" in tags:
            solution = cell.source
            cell.source = show_solution(solution) if solved else clear_solution(solution)
        if "assertion" in tags:
            cell.metadata["jupyter"] = {"source_hidden": True}
        if "hint" in tags:
            cell.source = _fold("Hint", cell.source)
        cells.append(cell)
        if "hint" in tags:
            if solution is None:
                raise ValueError(f"{source.name}: a hint without an exercise before it")
            cells.append(_answer(solution))
            solution = None
    for number, cell in enumerate(cells):
        cell.id = f"cell-{number:03}"
    kernel = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
    metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
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
    client.execute()
    # execution notes the Python version and widgets' state, which differ between machines
    notebook.metadata = nbformat.from_dict(metadata)
    # a widget without its kernel shows an error; what stands in for it stays
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            output.get("data", {}).pop("application/vnd.jupyter.widget-view+json", None)


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
        nbformat.write(notebook, folder / f"{source.stem}.ipynb")
        print(f"{source.stem}: {len(notebook.cells)} cells")


if __name__ == "__main__":
    main()
