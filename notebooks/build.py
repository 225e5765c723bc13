"""Build the lessons: notebooks/src/NAME.py to notebooks/NAME.ipynb.

    python notebooks/build.py                 every lesson, as learners get it, executed
    python notebooks/build.py 05_inference    that lesson alone
    python notebooks/build.py --solved        with the solutions in, into notebooks/solved/
    python notebooks/build.py --check         are the committed notebooks those of the sources?

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

import argparse
import ast
import json
import re
import sys
import textwrap
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell

NOTEBOOKS = Path(__file__).resolve().parent
SOURCES = NOTEBOOKS / "src"
SOLVED = NOTEBOOKS / "solved"

#: The repository that the notebooks are in, {"repository": "owner/name", "tag": "main"};
#: written by publish.py, and absent before.
PUBLISHED = NOTEBOOKS / "published.json"

#: Seconds that one cell may take.
CELL_TIMEOUT = 120

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


def _tags(cell: NotebookNode) -> list[str]:
    return cell.metadata.get("tags", [])


def published() -> dict[str, str] | None:
    """The repository that the notebooks are in, and its branch or tag; None before publishing."""
    return json.loads(PUBLISHED.read_text(encoding="utf-8")) if PUBLISHED.exists() else None


def colab_link(lesson: str, where: dict[str, str]) -> str:
    """Where Colab opens a lesson, given what `published` returned."""
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
        The repository, as from `published`, which is the default.

    Returns
    -------
    nbformat.NotebookNode
        The same for the same source, to the last byte.
    """
    first, *others = jupytext.read(source).cells
    cells, solution = _opening(first, source.stem, where or published()), None
    for cell in others:
        tags = _tags(cell)
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


def execute(notebook: NotebookNode, folder: Path = NOTEBOOKS) -> None:
    """Run a notebook's cells, as "Run All" does in a folder: that of the lessons unless given."""
    metadata = dict(notebook.metadata)
    client = NotebookClient(
        notebook,
        timeout=CELL_TIMEOUT,
        record_timing=False,
        coalesce_streams=True,  # on a busy machine, what a cell prints comes in pieces
        resources={"metadata": {"path": str(folder)}},
    )
    client.execute()
    # execution notes the Python version and widgets' state, which differ between machines
    notebook.metadata = nbformat.from_dict(metadata)


def content(notebook: NotebookNode) -> list[tuple]:
    """What a notebook's cells are, outputs aside."""
    return [(c.id, c.cell_type, c.source, dict(c.metadata)) for c in notebook.cells]


def is_fresh(source: Path) -> bool:
    """Whether the committed notebook's cells, outputs aside, are those of its source."""
    target = NOTEBOOKS / f"{source.stem}.ipynb"
    if not target.exists():
        return False
    committed = nbformat.read(target, as_version=4)
    return content(committed) == content(make_notebook(source))


def lessons(names: list[str] | None = None) -> list[Path]:
    """Sources of the lessons, in order; of some of them if names are given."""
    found = sorted(SOURCES.glob("[0-9]*.py"))
    unknown = set(names or ()) - {path.stem for path in found}
    if unknown:
        raise SystemExit(
            f"no lesson {', '.join(sorted(unknown))}; there are "
            + ", ".join(path.stem for path in found)
        )
    return [path for path in found if not names or path.stem in names]


def main() -> None:
    """Build or check, as the command line asks."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("lessons", nargs="*", help="names such as 05_inference (default: all)")
    parser.add_argument("--solved", action="store_true", help="into notebooks/solved/")
    parser.add_argument("--check", action="store_true", help="build nothing; exit 1 if stale")
    options = parser.parse_args()
    sources = lessons(options.lessons)
    if options.check:
        stale = [path.stem for path in sources if not is_fresh(path)]
        if stale:
            sys.exit(f"stale: {', '.join(stale)}; run: make notebooks")
        return
    folder = SOLVED if options.solved else NOTEBOOKS
    folder.mkdir(exist_ok=True)
    for source in sources:
        notebook = make_notebook(source, solved=options.solved)
        execute(notebook)
        nbformat.write(notebook, folder / f"{source.stem}.ipynb")
        print(f"{source.stem}: {len(notebook.cells)} cells")


if __name__ == "__main__":
    main()
