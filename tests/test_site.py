"""The reading site, the index page that it opens with, and what leads to either.

Tests marked "environments" look at build/site; `make test-site` builds it first.
"""

import json
import re
from html.parser import HTMLParser
from itertools import pairwise
from urllib.parse import unquote, urlsplit

import jupytext
import pytest
import yaml

from authoring import course, website
from authoring.course import NOTEBOOKS, ROOT, read
from authoring.website import SITE

LESSONS = [path.stem for path in course.lessons()]
INDEX = NOTEBOOKS / "README.md"


class Page(HTMLParser):
    """What a page has that can be linked to, links to, loads, and shows."""

    def __init__(self, path):
        super().__init__()
        self.anchors, self.links, self.loads, self.pictures = set(), [], [], []
        self.folds, self._in_summary = [], False
        self.text = path.read_text(encoding="utf-8")
        self.feed(self.text)

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.anchors |= {values[key] for key in ("id", "name") if values.get(key)}
        self.links += [values[key] for key in ("href", "src") if values.get(key)]
        if tag in ("script", "img", "iframe", "source"):
            self.loads.append(values.get("src") or "")
        if tag == "link" and values.get("rel") in ("stylesheet", "preload", "icon"):
            self.loads.append(values["href"])
        if tag == "img":
            self.pictures.append(values.get("alt"))
        self._in_summary = tag == "summary" and "class" not in values

    def handle_data(self, data):
        if self._in_summary:
            self.folds.append(data.strip())
            self._in_summary = False


@pytest.fixture(scope="module")
def site():
    if not SITE.is_dir():
        pytest.fail("there is no build/site; run: make test-site")
    pages = [path for path in SITE.rglob("*.html") if "_static" not in path.parts]
    return {path.relative_to(SITE).as_posix(): Page(path) for path in pages}


def described(notebook):
    """The descriptions of a notebook's figures, in order."""
    return [alt for cell in notebook.cells for _, alt in course.figures(cell)]


@pytest.mark.environments
def test_every_lesson_and_help_page_is_there(site):
    names = ["index", "lessons", *LESSONS, "common_errors", "glossary", "teaching", "data"]
    assert {f"{name}.html" for name in names} <= site.keys()
    places = [site["index.html"].text.index(f'href="{name}.html"') for name in LESSONS]
    assert places == sorted(places)


@pytest.mark.environments
def test_internal_links_and_their_anchors_lead_somewhere(site):
    followed = 0
    for name, page in site.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                assert parts.scheme != "http", f"{name}: {link}"  # a file name taken for a site
                continue
            path = unquote(parts.path)
            file = (SITE / name).parent / path if path else SITE / name
            assert file.is_file(), f"{name}: {link}"
            if parts.fragment and file.suffix == ".html":
                target = site[file.resolve().relative_to(SITE.resolve()).as_posix()]
                assert unquote(parts.fragment) in target.anchors, f"{name}: {link}"
            followed += 1
    assert followed > 100


@pytest.mark.environments
def test_the_site_loads_nothing_from_elsewhere(site):
    for name, page in site.items():
        ends = ("/colab-badge.svg", "/open-in-kaggle.svg", "/badge_logo.svg")
        badges = [load for load in page.loads if load.endswith(ends)]
        assert [x for x in page.loads if urlsplit(x).netloc] == badges, name
    assert '"tex-svg-full.js' in str(site["03_eccv16.html"].text).replace("_static/", '"')


@pytest.mark.environments
@pytest.mark.parametrize("name", LESSONS)
def test_descriptions_of_figures_survive(site, name):
    alts = [alt for alt in site[f"{name}.html"].pictures if alt in described(read(name))]
    assert alts == described(read(name))
    assert all(site[f"{name}.html"].pictures), "a picture without a description"


@pytest.mark.environments
@pytest.mark.parametrize("name", LESSONS)
def test_folds_and_printed_results_survive(site, name):
    cells = read(name).cells
    page = site[f"{name}.html"]
    exercises = sum("exercise" in course.tags(cell) for cell in cells)
    # an answer follows each hint; those of the recall questions at the start stand alone
    after = [second for first, second in pairwise(page.folds) if first == "Hint"]
    assert after == ["Answer"] * exercises
    assert page.text.count("[todo]") >= exercises  # what the built notebook printed, not run anew
    assert "google.colab" not in page.text  # the set-up cell is of no use here


PAGE = "notebooks/README.md"


ADAS = {"repository": "ada/course", "tag": "v1"}


def linked(text, tmp_path, where=None):
    return website.with_links(text, PAGE, where, tmp_path)


def test_links_between_pages_stay_and_others_go_to_the_repository(tmp_path):
    lesson = f"{LESSONS[0]}.ipynb"
    assert linked(f"[a]({lesson})", tmp_path) == f"[a]({lesson})"
    assert linked("[`a`](../data/README.md#x)", tmp_path) == "[`a`](data.md#x)"
    assert linked("see [a b](../CONTRIBUTING.md).", tmp_path) == "see a b."
    assert linked("[a](../CONTRIBUTING.md)", tmp_path, ADAS) == (
        "[a](https://github.com/ada/course/blob/v1/CONTRIBUTING.md)"
    )
    for code in ("`nets[0](L)`", "```python\nout = nets[name](L)  # `L`\n```"):
        assert linked(code, tmp_path) == code
    for untouched in ("[a](https://example.org/x)", "[a](#section)", "[a](mailto:a@example.org)"):
        assert linked(untouched, tmp_path) == untouched


def test_pictures_travel_along(tmp_path):
    assert linked("![six rows](../data/results.jpg)", tmp_path) == "![six rows](results.jpg)"
    assert (tmp_path / "results.jpg").is_file()


def test_the_site_is_at_home_where_it_is_told_or_else_published(tmp_path, monkeypatch):
    monkeypatch.setattr(course, "PUBLISHED", tmp_path / "published.json")
    assert website.home() is None
    course.PUBLISHED.write_text(json.dumps(ADAS), encoding="utf-8")
    assert website.home() == ADAS
    assert website.home("bob/fork") == {"repository": "bob/fork", "tag": "main"}


@pytest.fixture
def built_try(tmp_path, monkeypatch):
    """Where the page "Try it" would have been built."""
    monkeypatch.setattr(website, "TRY", tmp_path / "try")
    monkeypatch.setattr(website, "mathjax", lambda: INDEX)  # the site's own environment has it
    website.TRY.mkdir()
    return website.TRY / "index.html"


def test_the_page_try_it_is_offered_where_it_was_built_and_only_there(built_try, tmp_path):
    for there in (False, True):
        if there:
            built_try.write_text("painter", encoding="utf-8")
        folder = tmp_path / str(there)
        folder.mkdir()
        website.stage(folder, None)
        assert ("(try/index.md)" in (folder / "index.md").read_text("utf-8")) == there
        assert ("file: try/index.md" in (folder / "_toc.yml").read_text("utf-8")) == there
        assert (folder / "try" / "index.md").is_file() == there


@pytest.mark.environments
def test_the_page_try_it_is_whole_and_leads_back(site):
    if not website.has_try():
        pytest.skip("build/try was not built; `make site` says why")
    page = site["try/index.html"]
    assert 'href="try/index.html"' in site["index.html"].text
    assert 'href="try/index.html"' in site["04_siggraph17.html"].text
    assert "../index.html" in page.links and "hint-painter" in page.text
    named = re.findall(r'"name": "([\w-]+)"', page.text)
    assert len(named) >= 10
    for name in [*named, "runtime", "wasm"]:
        assert (SITE / "try" / "files" / f"{name}.js").is_file()


@pytest.mark.parametrize("where", [None, ADAS])
def test_only_a_named_repository_is_linked_to(tmp_path, monkeypatch, where):
    script = tmp_path / "tex-svg-full.js"
    script.touch()
    monkeypatch.setattr(website, "mathjax", lambda: script)
    folder = tmp_path / "source"
    folder.mkdir()
    website.stage(folder, where)
    config = yaml.safe_load((folder / "_config.yml").read_text(encoding="utf-8"))
    buttons = {"repository", "launch_buttons"} & config.keys()
    assert buttons == ({"repository", "launch_buttons"} if where else set())
    # without this the theme's options would replace those that make the buttons
    assert config["sphinx"]["recursive_update"] is True
    assert config["execute"]["execute_notebooks"] == "off"
    said = (folder / "index.md").read_text(encoding="utf-8")
    assert ("https://github.com/ada/course/blob/v1/README.md" in said) == bool(where)
    assert config.get("repository", {}).get("branch") == (where and "v1")
    assert "](../" not in said


def markdown(name):
    cells = jupytext.read(course.LESSONS / f"{name}.py").cells
    return "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")


@pytest.mark.parametrize("name", LESSONS)
def test_the_index_lists_the_lesson_with_the_minutes_that_it_states(name):
    time = re.search(
        r"\*\*Time\*\*\s+about\s+(\d+)\s+minutes:\s+(\d+)\s+of\s+reading,\s+(\d+)\s+of\s+exercises",
        markdown(name),
    )
    assert time, 'the lesson does not say "**Time** about N minutes: N of reading, N of exercises"'
    total, reading, exercises = time.groups()
    row = re.search(
        rf"^\| \[{name[:2]} [^\]]+\]\({name}\.ipynb\) \| .+ \| "
        rf"{total} \({reading} \+ {exercises}\) \| .*\|$",
        INDEX.read_text(encoding="utf-8"),
        re.M,
    )
    assert row, (
        f"notebooks/README.md needs the row | [{name[:2]} ...]({name}.ipynb) | ... | "
        f"{total} ({reading} + {exercises}) | needs |"
    )


def needs():
    """What the index says: each lesson's number to those that it needs."""
    rows = re.findall(
        r"^\| \[(\d\d) .*\| ((?:\d\d(?:, )?)*) ?\|$", INDEX.read_text(encoding="utf-8"), re.M
    )
    return {number: re.findall(r"\d\d", others) for number, others in rows}


def test_the_index_says_what_builds_on_what_as_the_lessons_do():
    found = needs()
    assert list(found) == [name[:2] for name in LESSONS]
    for name in LESSONS:
        own = re.search(r"\*\*You need\*\*(.*?)\n\n", markdown(name), re.S)[1]
        for other in found[name[:2]]:
            assert other < name[:2], "a lesson cannot need a later one"
            assert re.search(rf"lessons?\b[\s\d,and]*\b{other}\b", own), f"{name} needs {other}?"


def test_the_map_of_the_index_draws_what_its_table_says():
    drawing = re.search(r"```text\n(.*?)```", INDEX.read_text(encoding="utf-8"), re.S)[1]
    above, drawn = [], {}
    for line in drawing.splitlines():
        number = re.search(r"\d\d", line)
        depth = number.start() // 4
        del above[depth:]
        drawn[number.group()] = list(above[-1:])
        above.append(number.group())
    # a lesson hangs below the last of those that it needs
    assert drawn == {number: others[-1:] for number, others in needs().items()}


@pytest.mark.parametrize("page", [INDEX, NOTEBOOKS / "common_errors.md"], ids=lambda p: p.name)
def test_links_of_the_help_pages_lead_somewhere(page):
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!https?:|#|mailto:)([^)#]+)", text):
        assert (page.parent / target).exists(), target


def test_the_learners_environment_is_spared_what_the_site_needs():
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert "jupyter-book" not in project and "sphinx" not in project
    requirements = (website.SETTINGS / "requirements.txt").read_text(encoding="utf-8")
    lock = (website.SETTINGS / "constraints.txt").read_text(encoding="utf-8")
    named = re.findall(r"^([a-z][\w-]*)[>=]", requirements, re.M)
    assert named
    for name in named:
        assert re.search(rf"^{name}==", lock, re.M), f"constraints.txt has no version of {name}"


def test_the_workflow_builds_with_the_make_target_and_publishes_only_where_pages_are_on():
    path = ROOT / ".github" / "workflows" / "site.yml"
    workflow = yaml.safe_load(path.read_text(encoding="utf-8"))
    triggers = workflow[True]  # YAML 1.1 reads "on" as true
    assert triggers["push"] == {"branches": ["main"]} and "workflow_dispatch" in triggers
    steps = workflow["jobs"]["build"]["steps"]
    assert any(step.get("run", "").startswith("make site ") for step in steps)
    upload = next(s for s in steps if "upload-pages-artifact" in s.get("uses", ""))
    assert ROOT / upload["with"]["path"] == SITE
    publish = workflow["jobs"]["publish"]
    assert publish["permissions"] == {"pages": "write", "id-token": "write"}
    assert "enabled" in publish["if"] and publish["needs"] == "build"
    assert workflow["permissions"] == {"contents": "read"}
