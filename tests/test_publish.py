"""Publishing: badges and the repository that Colab installs from, in notebooks otherwise kept."""

import shutil

import nbformat
import pytest

from authoring import build, course, publish

README = "before\n<!-- colab -->\nold\n<!-- end of colab -->\nafter\n"


@pytest.fixture
def fork(tmp_path, monkeypatch):
    """A course that was never published: its sources, notebooks with outputs, and a README."""
    notebooks, sources = tmp_path / "notebooks", tmp_path / "authoring" / "lessons"
    notebooks.mkdir()
    shutil.copytree(course.LESSONS, sources)
    monkeypatch.setattr(course, "NOTEBOOKS", notebooks)
    monkeypatch.setattr(course, "LESSONS", sources)
    monkeypatch.setattr(course, "PUBLISHED", tmp_path / "authoring" / "published.json")
    monkeypatch.setattr(publish, "README", tmp_path / "README.md")
    publish.README.write_text(README, encoding="utf-8")
    for source in course.lessons():
        notebook = build.make_notebook(source)
        notebook.metadata[course.RECORD] = build.built_from(source)
        code = [cell for cell in notebook.cells if cell.cell_type == "code"]
        code[-1].outputs = [nbformat.v4.new_output("stream", text="an hour's work\n")]
        nbformat.write(notebook, notebooks / f"{source.stem}.ipynb")
    return tmp_path


def contents(fork):
    paths = [*fork.glob("notebooks/*.ipynb"), fork / "README.md"]
    return {path: path.read_text(encoding="utf-8") for path in paths}


def test_badges_and_repository_are_written_and_outputs_kept(fork):
    assert not any("colab.research.google.com" in text for text in contents(fork).values())
    publish.main(["ada/colour", "v1"])
    readme = contents(fork)[fork / "README.md"]
    assert readme.startswith("before\n") and readme.endswith("after\n") and "old" not in readme
    for source in course.lessons():
        notebook = course.read(source.stem)
        title, way_on, setup, *others = notebook.cells
        link = "https://colab.research.google.com/github/ada/colour/blob/v1/notebooks/"
        assert f"({link}{source.stem}.ipynb)" in title.source
        assert f"({link}{source.stem}.ipynb)" in readme
        assert link in way_on.source and notebook.cells[-1].source == way_on.source
        assert '"git+https://github.com/ada/colour@v1"' in setup.source
        assert [o.text for c in others for o in c.get("outputs", [])] == ["an hour's work\n"]
    # the build agrees, and publishing once more changes nothing
    assert not any(build.staleness(source) for source in course.lessons())
    once = contents(fork)
    publish.main(["ada/colour", "v1"])
    assert contents(fork) == once


def test_the_readme_has_a_place_for_the_links():
    readme = publish.README.read_text(encoding="utf-8")
    written = publish.links(readme, publish.checked("ada/colour", "v1"))
    assert "github/ada/colour/blob/v1" in written


def test_a_fork_of_a_published_course_publishes_anew(fork):
    publish.main(["ada/colour", "v1"])
    publish.main(["grace/hue"])
    for path, text in contents(fork).items():
        assert "ada/colour" not in text
        assert "github/grace/hue/blob/main/" in text
        assert "git+https://github.com/grace/hue@main" in text or path.suffix == ".md"


@pytest.mark.parametrize(
    "repository",
    [
        *("", "colour", "ada/", "ada/..", "ada/colour.git", "ada/colour/main", "ada/colour; ls"),
        *("ada-/colour", "-ada/colour", "https://github.com/ada/colour"),
    ],
)
def test_what_is_no_repository_is_refused(repository):
    assert publish.checked("ada-l/co_l.our-2", "v1.0")["repository"] == "ada-l/co_l.our-2"
    with pytest.raises(ValueError, match="REPO must be the owner and name"):
        publish.checked(repository, "main")


@pytest.mark.parametrize("tag", ["", "v1 && ls", "--v1", "@"])
def test_what_is_no_branch_or_tag_is_refused(tag):
    with pytest.raises(ValueError, match="TAG must be a branch or tag"):
        publish.checked("ada/colour", tag)


def test_a_stale_notebook_is_refused_and_nothing_is_written(fork):
    source = course.lessons()[-1]
    with source.open("a", encoding="utf-8") as file:
        file.write("\n# One word more.\n")
    before = contents(fork)
    with pytest.raises(
        SystemExit, match=f"{source.stem} is stale: authoring/lessons/{source.name}, its cells"
    ):
        publish.main(["ada/colour"])
    assert contents(fork) == before and not course.PUBLISHED.exists()
