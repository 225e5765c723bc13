"""Say where the notebooks lie on GitHub, so that they open and run on Google Colab.

    python notebooks/publish.py owner/name          on the branch main
    python notebooks/publish.py owner/name v1       on that branch or tag

Writes published.json, from which build.py takes the badges and the repository that the lessons'
first cell installs from; puts both into the notebooks as they are, outputs kept; and writes the
links in the README. Commit and push the result to that branch, or tag it.
"""

import argparse
import json
import re
import sys
from pathlib import Path

import nbformat
from nbformat import NotebookNode

import build

#: As GitHub admits them; a name is neither dots alone nor the address of a clone.
OWNER_NAME = re.compile(r"[A-Za-z0-9](-?[A-Za-z0-9]){,38}/(?!\.+$)[\w.-]{1,100}(?<!\.git)", re.A)
TAG = re.compile(r"\w[\w.-]*", re.A)

README = build.NOTEBOOKS.parent / "README.md"

#: What stands between these lines of the README is written anew.
LINKS = re.compile(r"(?<=<!-- colab -->\n).*?(?=<!-- end of colab -->)", re.S)


def checked(repository: str, tag: str) -> dict[str, str]:
    """What `build.published` is to return from now on.

    Parameters
    ----------
    repository : str
        "owner/name", as GitHub admits them.
    tag : str
        A branch or tag.

    Raises
    ------
    ValueError
        If one of them cannot be meant.
    """
    if not OWNER_NAME.fullmatch(repository):
        raise ValueError(
            f"REPO must be the owner and name of a repository on GitHub, such as "
            f"ada/colorization, not {repository!r}"
        )
    if not TAG.fullmatch(tag):
        raise ValueError(
            f"TAG must be a branch or tag of letters, digits, '.', '_' and '-', not {tag!r}"
        )
    return {"repository": repository, "tag": tag}


def opened(source: Path, where: dict[str, str]) -> NotebookNode:
    """A built notebook, outputs and all, with the badge and the first cell of a repository."""
    notebook = nbformat.read(build.NOTEBOOKS / f"{source.stem}.ipynb", as_version=4)
    made = build.make_notebook(source, where=where)
    for cell, new in zip(notebook.cells[:2], made.cells[:2], strict=True):
        cell.source = new.source
    if build.content(notebook) != build.content(made):
        raise ValueError(f"{source.stem} is stale; run: make notebooks")
    return notebook


def links(readme: str, where: dict[str, str]) -> str:
    """The README's text with a link to Colab for each lesson."""
    lessons = [path.stem for path in build.lessons()]
    line = " · ".join(f"[{name}]({build.colab_link(name, where)})" for name in lessons)
    text, count = LINKS.subn(f"\nOpen in Colab: {line}\n\n", readme)
    if count != 1:
        raise ValueError("README.md needs the line <!-- colab --> and <!-- end of colab --> below")
    return text


def main(arguments: list[str] | None = None) -> None:
    """Publish, as the command line asks: everything or nothing."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("repository", help="owner/name, as on GitHub")
    parser.add_argument("tag", nargs="?", default="main", help="branch or tag (default: main)")
    options = parser.parse_args(arguments)
    try:
        where = checked(options.repository, options.tag)
        notebooks = {source.stem: opened(source, where) for source in build.lessons()}
        readme = links(README.read_text(encoding="utf-8"), where)
    except ValueError as error:
        sys.exit(str(error))
    build.PUBLISHED.write_text(json.dumps(where, indent=1) + "\n", encoding="utf-8")
    for name, notebook in notebooks.items():
        nbformat.write(notebook, build.NOTEBOOKS / f"{name}.ipynb")
    README.write_text(readme, encoding="utf-8")
    print(f"{len(notebooks)} lessons open from {where['repository']}, {where['tag']}.")
    print("Commit and push them there; a tag has to be set on that commit.")


if __name__ == "__main__":
    main()
