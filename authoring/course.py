"""The course as its scripts see it: where its parts lie, and what its lessons are.

It needs nbformat and nothing else, since some scripts run where the library is not installed.
"""

import argparse
import json
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from html.parser import HTMLParser
from pathlib import Path

import nbformat
from nbformat import NotebookNode

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = ROOT / "notebooks"
DATA = ROOT / "data"
#: The page that lists the lessons.
INDEX = NOTEBOOKS / "README.md"
#: The lessons' sources.
LESSONS = ROOT / "authoring" / "lessons"
#: What can be made anew at any time.
BUILD = ROOT / "build"
#: Where a notebook's metadata say what it was built from.
RECORD = "built_from"

#: The repository that the notebooks are in, {"repository": "owner/name", "tag": "main"};
#: written by publish.py, and absent before.
PUBLISHED = ROOT / "authoring" / "published.json"

#: "owner/name" as GitHub admits it; a name is neither dots alone nor the address of a clone.
OWNER_NAME = re.compile(r"[A-Za-z0-9](-?[A-Za-z0-9]){,38}/(?!\.+$)[\w.-]{1,100}(?<!\.git)", re.A)


def lessons(names: list[str] | None = None) -> list[Path]:
    """Sources of the lessons, in order; of some of them if names are given."""
    found = sorted(LESSONS.glob("[0-9]*.py"))
    unknown = set(names or ()) - {path.stem for path in found}
    if unknown:
        raise SystemExit(
            f"no lesson {', '.join(sorted(unknown))}; there are "
            + ", ".join(path.stem for path in found)
        )
    return [path for path in found if not names or path.stem in names]


def notebook_of(lesson: str) -> Path:
    """Where a lesson's notebook lies, given its name, such as "05_inference"."""
    return NOTEBOOKS / f"{lesson}.ipynb"


def names() -> dict[str, str]:
    """Each lesson's one name, such as "05 Inference", by that of its file.

    The index has it, and the notebooks' titles, the site, the slides and the map all follow.
    """
    rows = re.findall(r"^\| \[(.+?)\]\((\d\d_\w+)\.ipynb\)", INDEX.read_text("utf-8"), re.M)
    return {file: name for name, file in rows}


def help_pages() -> list[Path]:
    """The pages beside the lessons that these link to."""
    return [INDEX.with_name(name) for name in ("common_errors.md", "glossary.md")]


def read(lesson: str) -> NotebookNode:
    """A lesson's notebook as learners get it."""
    return nbformat.read(notebook_of(lesson), as_version=4)


def tags(cell: NotebookNode) -> list[str]:
    """The tags of a cell."""
    return cell.metadata.get("tags", [])


def tagged(notebook: NotebookNode, tag: str) -> list[NotebookNode]:
    """The cells of a notebook that have a tag."""
    return [cell for cell in notebook.cells if tag in tags(cell)]


class _Pictures(HTMLParser):
    """The pictures of a piece of HTML: address and alternative text of each."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, str]] = []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        if tag == "img":
            values = dict(attributes)
            self.found.append((values.get("src") or "", values.get("alt") or ""))


def figures(cell: NotebookNode) -> list[tuple[str, str]]:
    """Data address and description of each figure that a cell shows, in order."""
    outputs = cell.get("outputs", [])
    pages = ["".join(output.get("data", {}).get("text/html", "")) for output in outputs]
    return [picture for page in pages for picture in _Pictures(page).found]


def published() -> dict[str, str] | None:
    """The repository that the notebooks are in, and its branch or tag; None before publishing."""
    return json.loads(PUBLISHED.read_text(encoding="utf-8")) if PUBLISHED.exists() else None


def write_text(path: Path, text: str) -> None:
    """Write a text in UTF-8, whole or not at all, as `course_lib.files.write_text` does."""
    # in a folder of its own beside it: two at once do not mix, and an error leaves nothing
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as temporary:
        part = Path(temporary) / path.name
        part.write_text(text, encoding="utf-8", newline="\n")
        part.replace(path)


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """Fill a folder, which has all of its content when the with statement ends well, or none.

    Parameters
    ----------
    folder : pathlib.Path
        New or empty.

    Yields
    ------
    pathlib.Path
        What to fill: a hidden folder in it, since the folder itself may be a stick's own.

    Raises
    ------
    FileExistsError
        If there is something in the folder.
    """
    if folder.exists() and any(folder.iterdir()):
        raise FileExistsError(f"{folder} is not empty; name a new folder")
    is_new = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(dir=folder, prefix=".unfinished.") as temporary:
            yield Path(temporary)
            for path in sorted(Path(temporary).iterdir()):
                path.rename(folder / path.name)
    except BaseException:
        if is_new:
            with suppress(OSError):
                folder.rmdir()
        raise


def command_line(documentation: str) -> argparse.ArgumentParser:
    """A script's parser, which shows the script's own documentation as it stands."""
    # as course_lib.console has it: a folder's name may have letters that the console lacks
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")
    return argparse.ArgumentParser(
        description=documentation, formatter_class=argparse.RawDescriptionHelpFormatter
    )
