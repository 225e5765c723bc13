"""Say where the notebooks lie on GitHub, so that they open and run on Google Colab and elsewhere.

    python -m authoring.publish owner/name          on the branch main
    python -m authoring.publish owner/name v1       on that branch or tag

Writes authoring/published.json, from which the build takes the badges and the repository that the
lessons' first cell installs from; puts both into the notebooks as they are, outputs kept; and
writes the links in the README. Commit and push the result to that branch, or tag it.
"""

import json
import re
import sys
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from authoring import build, course
from authoring.markers import replace_between
from course_lib.files import write_text

TAG = re.compile(r"\w[\w.-]*", re.A)

README = course.ROOT / "README.md"


def checked(repository: str, tag: str) -> dict[str, str]:
    """What `course.published` is to return from now on.

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
    if not course.OWNER_NAME.fullmatch(repository):
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
    """A built notebook, outputs and all, with the badges, links and first cell of a repository."""
    notebook = course.read(source.stem)
    made = build.make_notebook(source, where=where)
    for number, (cell, new) in enumerate(zip(notebook.cells, made.cells, strict=False)):
        if not number or {"setup", "navigation"} & set(course.tags(new)):
            cell.source = new.source
    if changed := build.changes(notebook, source, where=where):
        raise ValueError(f"{source.stem} is stale: {', '.join(changed)}; run: make notebooks")
    return notebook


def links(readme: str, where: dict[str, str]) -> str:
    """The README's text with links to each lesson on each host, and to a dev container."""
    hosts: dict[str, list[str]] = {}
    for lesson, name in course.names().items():
        for host, (_, address) in build.launchers(lesson, where).items():
            hosts.setdefault(host, []).append(f"[{name}]({address})")
    lines = [f"- {host}: {' · '.join(there)}" for host, there in hosts.items()]
    codespaces = f"https://codespaces.new/{where['repository']}/tree/{where['tag']}"
    lines.append(f"- all of it in a dev container: [GitHub Codespaces]({codespaces})")
    return replace_between(readme, "colab", "Open in the browser:\n\n" + "\n".join(lines))


def main(arguments: list[str] | None = None) -> None:
    """Publish, as the command line asks: everything or nothing."""
    parser = course.command_line(__doc__)
    parser.add_argument("repository", help="owner/name, as on GitHub")
    parser.add_argument("tag", nargs="?", default="main", help="branch or tag (default: main)")
    options = parser.parse_args(arguments)
    try:
        where = checked(options.repository, options.tag)
        notebooks = {source.stem: opened(source, where) for source in course.lessons()}
        readme = links(README.read_text(encoding="utf-8"), where)
    except ValueError as error:
        sys.exit(str(error))
    write_text(course.PUBLISHED, json.dumps(where, indent=1) + "\n")
    for name, notebook in notebooks.items():
        write_text(course.notebook_of(name), nbformat.writes(notebook) + "\n")
    write_text(README, readme)
    print(f"{len(notebooks)} lessons open from {where['repository']}, {where['tag']}.")
    print("Commit and push them there; a tag has to be set on that commit.")


if __name__ == "__main__":
    main()
