"""The lessons in a real browser: a walk through JupyterLab, and what a screen reader would meet.

Needs playwright, a Chromium and axe-core; the site and the slides are looked at where they have
been built. `make test-browser` brings all but Chromium.
"""

import shutil

import pytest
from nbconvert import HTMLExporter

from authoring import course, slides, website
from tests.browsing import ARGUMENTS, CHROMIUM, TOKEN, audit, jupyterlab

playwright_api = pytest.importorskip(
    "playwright.sync_api", reason="playwright is not installed: pip install '.[browser]'"
)
if CHROMIUM is None:
    pytest.skip("no chromium on this machine: apt-get install chromium", allow_module_level=True)

pytestmark = pytest.mark.browser

NAMES = list(course.names())
#: Milliseconds that a lesson may take on a busy machine; they guard against hanging alone.
PATIENCE = 1_800_000

each_lesson = pytest.mark.parametrize("name", NAMES)


@pytest.fixture(scope="module")
def browser():
    with playwright_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser):
    context = browser.new_context(viewport={"width": 1300, "height": 1000}, device_scale_factor=2)
    yield context.new_page()
    context.close()


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """JupyterLab's address, in a folder of its own with what learners open."""
    folder = tmp_path_factory.mktemp("lab") / "notebooks"
    shutil.copytree(course.NOTEBOOKS, folder, ignore=shutil.ignore_patterns(".*", "out"))
    with jupyterlab(folder) as address:
        yield address


SHOWN = ".jp-NotebookPanel:not(.lm-mod-hidden)"  # the notebook of the tab in front


def pictures(page):
    """Alternative text, width on the page and width as stored of each figure in front."""
    return page.eval_on_selector_all(
        f"{SHOWN} .jp-OutputArea-output img",
        "all => all.map(one => [one.alt, one.width, one.naturalWidth])",
    )


def test_a_learner_walks_from_the_first_lesson_to_the_last(page, lab):
    page.goto(f"{lab}/lab/tree/{NAMES[0]}.ipynb?token={TOKEN}")
    for name, following in zip(NAMES, [*NAMES[1:], None], strict=True):
        page.get_by_role("tab", name=f"{name}.ipynb").wait_for(timeout=90_000)
        page.wait_for_selector(f"{SHOWN} .jp-CodeCell", timeout=90_000)
        page.get_by_text("| Idle").wait_for(timeout=PATIENCE)
        stored = [alt for cell in course.read(name).cells for _, alt in course.figures(cell)]
        assert [alt for alt, *_ in pictures(page)] == stored
        page.get_by_role("menuitem", name="Run", exact=True).click()
        page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
        page.get_by_text("| Busy").wait_for(timeout=60_000)  # and all outputs are gone
        last = page.locator(f"{SHOWN} .jp-CodeCell").last
        last.get_by_text("exercises are [ok]").first.wait_for(timeout=PATIENCE)
        page.get_by_text("| Idle").wait_for(timeout=60_000)
        failed = page.locator(f"{SHOWN} [data-mime-type='application/vnd.jupyter.error']")
        assert failed.count() == 0
        shown = pictures(page)
        assert shown and all(alt and stored >= 2 * width for alt, width, stored in shown)
        assert audit(page, f"{SHOWN} .jp-RenderedMarkdown", f"{SHOWN} .jp-OutputArea-output") == []
        onward = page.locator(f"{SHOWN} .jp-RenderedMarkdown a", has_text="→")
        assert (onward.count() == 0) == (following is None)
        if following:
            onward.last.click()


@each_lesson
def test_a_lesson_that_is_exported_can_be_read_aloud(page, tmp_path, name):
    text, _ = HTMLExporter(embed_images=False).from_notebook_node(course.read(name))
    file = tmp_path / f"{name}.html"
    file.write_text(text, encoding="utf-8")
    page.goto(file.as_uri(), wait_until="domcontentloaded")
    assert page.title() == course.names()[name]
    assert page.locator("img:not([alt]), img[alt='']").count() == 0
    found = audit(page, ".jp-RenderedMarkdown", ".jp-OutputArea-output")
    # nbconvert's own style tells links from other text by their colour alone
    assert [finding for finding in found if finding[0] != "link-in-text-block"] == []


def built(folder, name):
    path = folder / f"{name}.html"
    if not path.is_file():
        pytest.skip(f"{path.relative_to(course.ROOT)} is not built; run: make site slides")
    return path.as_uri()


@pytest.mark.parametrize("name", ["index", *NAMES, "common_errors", "glossary"])
def test_a_page_of_the_site_can_be_read_aloud(page, name):
    page.goto(built(website.SITE, name), wait_until="domcontentloaded")
    # the bar above it is the theme's: axe-core finds fault with the name of its colour switch
    assert audit(page, "main article") == []


@each_lesson
def test_the_slides_can_be_read_aloud_and_the_arrow_key_walks_them_all(page, name):
    page.goto(built(slides.SLIDES, name), wait_until="domcontentloaded")
    count = sum(map(len, slides.deck(course.read(name))))
    seen = set()
    for _ in range(count):
        seen.add(page.evaluate("JSON.stringify(Reveal.getIndices())"))
        assert audit(page, "section.present > section.present") == []
        page.keyboard.press("ArrowRight")
    assert len(seen) == count
