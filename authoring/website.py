"""Build the reading site: the lessons as they are, with Jupyter Book, into build/site.

    python -m authoring.website                    for reading on this machine
    python -m authoring.website owner/name         with links into that repository and to Colab

Without a name it takes the repository that publish.py wrote down, if it did.

The page "Try it", the hint painter, comes along if `make site` has built it into build/try.

Runs in the environment of web/requirements.txt. Nothing is executed, and nothing is fetched: the
pages are copied with small changes, which `stage` makes, and Jupyter Book does the rest.
"""

import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path, PurePosixPath

import nbformat
import yaml
from nbformat import NotebookNode

from authoring import course
from authoring.course import ROOT

SETTINGS = ROOT / "authoring" / "web"
WORK = course.BUILD / "site-work"
SITE = course.BUILD / "site"
#: Where `course_lib.hint_painter.page` has put the page "Try it"; missing where there is no npm.
TRY = course.BUILD / "try"

#: Stands in for the painter while Jupyter Book builds, so that links to it and the search know it.
TRY_STUB = """\
# Try it

Colour a photograph in this browser: choose one of ours or bring your own, click, choose a colour.
Nothing is uploaded.
"""
TRY_OFFER = """
:::{admonition} Colour a photograph now
:class: tip
**[Try it](try/index.md)** in this browser, with one of our photographs or your own: the network
colours it, and you tell it what it cannot know. Nothing is uploaded, and nothing installed.
:::
"""

#: Code in Markdown; or a link or picture that leads neither to the web nor into its own page.
CODE = r"(?:```.*?```|`[^`]*`)"
LINK = re.compile(rf"{CODE}|(!?)\[((?:[^\[\]]|\[[^\[\]]*\])*)\]\((?!\w+:|#)([^()\s]+)\)", re.S)


def pages() -> dict[str, str]:
    """Files of the repository that are pages of the site, and their names there."""
    lessons = [source.stem for source in course.lessons()]
    return {
        "authoring/web/index.md": "index.md",
        "notebooks/README.md": "lessons.md",
        **{f"notebooks/{name}.ipynb": f"{name}.ipynb" for name in lessons},
        **{f"notebooks/{page.name}": page.name for page in course.help_pages()},
        "TEACHING.md": "teaching.md",
        "data/README.md": "data.md",
    }


def home(repository: str = "") -> dict[str, str] | None:
    """Where the course lies on GitHub: as named, else as published, else nowhere."""
    if repository:
        return {"repository": repository, "tag": "main"}
    return course.published()


def with_links(text: str, page: str, where: dict[str, str] | None, pictures: Path) -> str:
    """A page's Markdown with its links as the site needs them.

    Links between pages stay links. Those to other files of the repository lead to GitHub, or
    become plain text where no repository is known. Pictures are copied.

    Parameters
    ----------
    text : str
        Markdown.
    page : str
        The page's path in the repository.
    where : dict or None
        The repository on GitHub: {"repository": "owner/name", "tag": branch or tag}.
    pictures : pathlib.Path
        Folder for copies.

    Returns
    -------
    str
    """
    known = pages()

    def moved(match: re.Match) -> str:
        mark, label, target = match.groups()
        if target is None:
            return match.group()  # code: nets[name](L) is no link
        path, _, anchor = target.partition("#")
        file = (ROOT / PurePosixPath(page).parent / path).resolve().relative_to(ROOT)
        if mark:
            shutil.copy(ROOT / file, pictures / file.name)
            return f"![{label}]({file.name})"
        if file.as_posix() in known:
            return f"[{label}]({known[file.as_posix()]}{'#' * bool(anchor)}{anchor})"
        if where:
            tree = f"https://github.com/{where['repository']}/blob/{where['tag']}"
            return f"[{label}]({tree}/{file.as_posix()})"
        return label

    return LINK.sub(moved, text)


def staged(
    notebook: NotebookNode, page: str, where: dict[str, str] | None, pictures: Path
) -> NotebookNode:
    """A lesson as Jupyter Book takes it: side matters left out, links as the site needs them.

    Parameters are those of `with_links`, but for the notebook, which is changed.
    """
    cells = []
    for cell in notebook.cells:
        tags = course.tags(cell)
        if {"setup", "navigation", "progress"} & set(
            tags
        ):  # for who runs it; the site has its own
            continue
        if cell.cell_type == "markdown":
            cell.source = with_links(cell.source, page, where, pictures)
        cells.append(cell)
    notebook.cells = cells
    notebook.metadata.pop(course.RECORD, None)
    return notebook


def has_try() -> bool:
    """Whether the page "Try it" has been built."""
    return (TRY / "index.html").is_file()


def stage(folder: Path, where: dict[str, str] | None) -> None:
    """Put everything that Jupyter Book needs into a folder."""
    for page, name in pages().items():
        if name.endswith(".ipynb"):
            notebook = course.read(Path(name).stem)
            nbformat.write(staged(notebook, page, where, folder), folder / name)
        else:
            text = with_links((ROOT / page).read_text(encoding="utf-8"), page, where, folder)
            if name == "index.md" and has_try():
                text = text.replace("\n## ", f"{TRY_OFFER}\n## ", 1)
            (folder / name).write_text(text, encoding="utf-8")
    if has_try():
        (folder / "try").mkdir()
        (folder / "try" / "index.md").write_text(TRY_STUB, encoding="utf-8")
    static = folder / "_static"
    static.mkdir()
    shutil.copy(SETTINGS / "style.css", static)
    shutil.copy(mathjax(), static)
    (folder / "_toc.yml").write_text(yaml.safe_dump(contents()), encoding="utf-8")
    config = yaml.safe_load((SETTINGS / "_config.yml").read_text(encoding="utf-8"))
    if where:
        config["repository"] = {
            "url": f"https://github.com/{where['repository']}",
            "path_to_book": "notebooks",
            "branch": where["tag"],
        }
        config["launch_buttons"] = {"colab_url": "https://colab.research.google.com"}
        config["html"] |= {"use_repository_button": True, "use_issues_button": True}
    (folder / "_config.yml").write_text(yaml.safe_dump(config), encoding="utf-8")


def contents() -> dict:
    """The table of contents as Jupyter Book takes it, the lessons by their names."""
    lessons = [{"file": f"{file}.ipynb", "title": name} for file, name in course.names().items()]
    painter = {"caption": "At once", "chapters": [{"file": "try/index.md", "title": "Try it"}]}
    return {
        "format": "jb-book",
        "root": "index.md",
        "parts": [
            *([painter] if has_try() else []),
            {"caption": "Lessons", "chapters": [{"file": "lessons.md"}, *lessons]},
            {
                "caption": "Help and reference",
                "chapters": [
                    *({"file": page.name} for page in course.help_pages()),
                    {"file": "teaching.md"},
                    {"file": "data.md"},
                ],
            },
        ],
    }


def mathjax() -> Path:
    """MathJax in one file, from the package that carries it."""
    package = importlib.util.find_spec("sphinx-mathjax-offline")
    return Path(package.origin).parent / "static" / "mathjax" / "tex-svg-full.js"


def publish(pages: Path) -> None:
    """Put a site that has been built where it belongs, in one move once it is complete."""
    if has_try():
        shutil.copytree(TRY, pages / "try", dirs_exist_ok=True)
    shutil.rmtree(SITE, ignore_errors=True)
    pages.replace(SITE)


def main() -> None:
    """Build the site, as the command line asks."""
    parser = course.command_line(__doc__)
    parser.add_argument("repository", nargs="?", default="", help="owner/name, as on GitHub")
    repository = parser.parse_args().repository
    if repository and not course.OWNER_NAME.fullmatch(repository):
        parser.error(f"a repository is named owner/name, not {repository!r}")
    shutil.rmtree(WORK, ignore_errors=True)
    source = WORK / "source"
    source.mkdir(parents=True)
    stage(source, home(repository))
    command = [Path(sys.executable).with_name("jupyter-book"), "build", source]
    # a warning is a broken link, an unknown language, a heading out of order: mend it
    command += ["--path-output", WORK, "--warningiserror", "--keep-going", "--quiet"]
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if done.returncode:
        sys.exit(done.stdout)
    publish(WORK / "_build" / "html")
    shutil.rmtree(WORK)
    print(f"open {(SITE / 'index.html').relative_to(ROOT)}")


if __name__ == "__main__":
    main()
