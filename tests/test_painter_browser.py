"""The hint painter in a real browser: the page "Try it", and JupyterLab.

Needs playwright, a Chromium, and two npm packages in build/npm:
    npm install --prefix build/npm onnxruntime-web axe-core
"""

import base64
import http.server
import importlib.util
import io
import json
import os
import shutil
import threading
import time
import urllib.request
from functools import partial
from pathlib import Path

import nbformat
import numpy as np
import pytest
from PIL import Image

import course_lib as cl
from authoring import build, course, website
from course_lib.hint_painter import page as painter_page
from course_lib.hints import hint_tensors, suggest_colours
from course_lib.inference import predict_ab, prepare
from course_lib.lab import in_gamut, rgb_to_lab
from tests.browsing import ARGUMENTS, CHROMIUM, TOKEN, audit, jupyterlab

ROOT = Path(__file__).resolve().parent.parent
NPM = ROOT / "build" / "npm" / "node_modules"

playwright_api = pytest.importorskip(
    "playwright.sync_api", reason="playwright is not installed: pip install '.[browser]'"
)
if CHROMIUM is None:
    pytest.skip("no chromium on this machine: apt-get install chromium", allow_module_level=True)

pytestmark = pytest.mark.browser

SIZES = {"desktop": (1280, 1000), "phone": (375, 740), "narrow": (320, 640)}


@pytest.fixture(scope="module")
def browser():
    with playwright_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def net():
    return cl.siggraph17()


def wait_until(condition, seconds=30):
    """What the condition returns once it is true."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)
    return found


def settled(page):
    """Wait until the painter has answered all it was asked."""
    page.wait_for_selector(".hint-painter[aria-busy=false]", timeout=90_000)


def status(page):
    return page.inner_text(".hp-status")


def shown(page):
    """What the photograph's canvas shows: (H, W, 3)."""
    url = page.evaluate("document.querySelector('.hp-canvas').toDataURL()")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(url.split(",")[1]))).convert("RGB"))


def click_photo(page, down, right):
    """Click at fractions of the photograph's height and width."""
    surface = page.locator(".hp-surface")
    surface.scroll_into_view_if_needed()
    box = surface.bounding_box()
    page.mouse.click(box["x"] + right * box["width"], box["y"] + down * box["height"])


def suggestions(page):
    page.wait_for_selector("button.hp-suggestion", timeout=30_000)
    return page.locator("button.hp-suggestion")


def downloaded(page, name):
    with page.expect_download() as download:
        page.get_by_role("button", name=name).click()
    return Path(download.value.path())


def drag(page, marker, right):
    box = marker.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    for step in range(1, 9):
        page.mouse.move(x + right * step / 8, y)
    page.mouse.up()


# -- the front end's sums are the library's


@pytest.fixture(scope="module")
def sums(browser):
    """A blank page with the functions of both modules."""
    page = browser.new_page()
    code = painter_page._code()
    url = "data:text/javascript;base64," + base64.b64encode(code.encode()).decode()
    page.evaluate(f"import({json.dumps(url)}).then(module => void Object.assign(window, module))")
    yield page
    page.close()


def as_rgba(rgb):
    opaque = np.dstack([rgb, np.full(rgb.shape[:2], 255, np.uint8)])
    return {"height": rgb.shape[0], "width": rgb.shape[1], "data": opaque.ravel().tolist()}


@pytest.mark.parametrize("shape", [(97, 131), (40, 200), (250, 20), (1, 1)])
def test_the_page_sees_photographs_as_the_network_does(sums, shape):
    rgb = np.ascontiguousarray(cl.load_photo("scenes/cups")[: shape[0], : shape[1]])
    expected = prepare(rgb, 32)[0, 0].numpy()
    got = sums.evaluate(
        """photo => {
            const [height, width] = networkSize(photo.height, photo.width, 32);
            photo.data = Uint8ClampedArray.from(photo.data);
            return {height, width, L: [...lightnessOf(resize(photo, height, width))]};
        }""",
        as_rgba(rgb),
    )
    assert (got["height"], got["width"]) == expected.shape
    gap = np.abs(np.reshape(got["L"], expected.shape) - expected)
    # a level of gray is up to half a unit of L; Pillow 13 takes rows first where that is cheaper
    assert gap.max() < 1 and gap.mean() < 0.05


def test_the_page_joins_colours_as_the_library_does(sums, net):
    rgb = np.ascontiguousarray(cl.load_photo("scenes/cups")[::5, ::4])
    hints = [(20, 30, (220, 40, 40)), (60, 90, (20, 30, 250))]
    L, ab = predict_ab(rgb, net, hints=hints)
    got = sums.evaluate(
        """([photo, height, width, L, ab]) => {
            const rgba = Uint8ClampedArray.from(photo.data);
            const small = {height, width, L: Float32Array.from(L)};
            const colours = Float32Array.from(ab);
            join(lightnessOf(rgba), photo.height, photo.width, small, colours, rgba);
            return [...rgba];
        }""",
        [as_rgba(rgb), *L.shape[-2:], L.ravel().tolist(), ab.ravel().tolist()],
    )
    joined = np.reshape(got, (*rgb.shape[:2], 4))[..., :3]
    assert np.abs(joined - cl.colorize(rgb, net, hints=hints).astype(int)).max() <= 1


def test_the_page_gives_hints_as_the_library_does(sums):
    hints = [(0, 0, (220, 40, 40)), (99, 149, (20, 30, 250)), (40, 70.5, (9, 200, 9))]
    for patch in (1, 4, 7):
        ab, mask = hint_tensors(hints, (100, 150), (48, 72), patch)
        got = sums.evaluate(
            """([hints, patch]) => {
                const {hint_ab, mask} = hintTensors(hints, [100, 150], [48, 72], patch);
                return [[...hint_ab], [...mask]];
            }""",
            [hints, patch],
        )
        assert np.abs(np.array(got[0]) - ab.ravel().numpy()).max() < 1e-3
        assert np.array_equal(got[1], mask.ravel().numpy())


@pytest.mark.parametrize("light", [0, 4, 37.5, 60, 92, 100])
def test_the_page_suggests_what_the_library_does(sums, light):
    import torch

    logits = torch.randn(529, generator=torch.Generator().manual_seed(1)) * 3
    colours, shares = suggest_colours(logits, light)
    got = sums.evaluate("([logits, L]) => suggestColours(logits, L)", [logits.tolist(), light])
    assert np.abs(np.array([one["rgb"] for one in got]) - colours.astype(int)).max() <= 1
    assert [one["share"] for one in got] == pytest.approx(shares.tolist(), abs=1e-4)


def test_the_picker_offers_what_a_screen_shows(sums):
    rng = np.random.default_rng(0)
    lab = np.column_stack([rng.uniform(0, 100, 2000), rng.uniform(-110, 110, (2000, 2))])
    got = sums.evaluate("all => all.map(lab => inGamut(...lab))", lab.tolist())
    assert np.array_equal(got, in_gamut(lab))


@pytest.mark.parametrize(
    ("rgb", "name"),
    [
        ((0, 0, 0), "black"), ((255, 255, 255), "white"), ((220, 30, 30), "red"),
        ((110, 180, 230), "sky blue"), ((128, 128, 128), "gray"), ((20, 80, 30), "dark green"),
    ],
)  # fmt: skip
def test_colours_have_names_in_words(sums, rgb, name):
    assert sums.evaluate("rgb => colourName(rgb)", list(rgb)) == name


def test_colours_that_share_a_name_are_told_apart(sums):
    def names(*colours):
        return sums.evaluate("all => colourNames(all)", colours)

    assert names((30, 0, 0), (0, 0, 30), (220, 30, 30)) == ["reddish black", "bluish black", "red"]
    purples = names((40, 20, 60), (50, 15, 80), (45, 18, 70))
    assert len(set(purples)) == 3 and all("dark purple" in name for name in purples)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("no json", "not JSON"),
        ("{}", "holds no hints"),
        ('{"hints": [[1, 2, [0, 0, 999]]], "height": 100, "width": 150}', "holds no hints"),
        ('{"hints": [], "height": 9, "width": 9}', "9 rows and 9 columns"),
        ('{"hints": [[100, 2, [0, 0, 9]]], "height": 100, "width": 150}', "outside"),
    ],
)
def test_a_file_without_hints_says_what_is_wrong(sums, text, message):
    script = "text => { try { readHints(text, [100, 150]) } catch (e) { return e.message } }"
    assert message in sums.evaluate(script, text)


# -- the front end with a colourer that is slow, or fails

FAKE = """async ({delay, failing}) => {
    const data = new Uint8ClampedArray(4 * 40 * 60).fill(120);
    const small = {height: 8, width: 8, L: new Float32Array(64).fill(50)};
    window.asked = [];
    window.told = [];
    window.failing = failing;
    window.fake = {
        name: "Fake", waiting: "Patience.",
        open: async () => ({photo: [40, 60], view: {height: 40, width: 60, data}, small, hints: true, suggestions: false}),
        colour: async ({hints}) => {
            asked.push(hints);
            await new Promise(done => setTimeout(done, delay));
            if (window.failing) throw new Error("It went wrong.");
            return new Float32Array(128).fill(hints.length ? hints[0][1] : 0);
        },
    };
    document.body.innerHTML = "<div id=fake></div>";
    window.painter = createPainter(document.getElementById("fake"), fake, {
        hints: [[5, 5, [200, 0, 0]]], changed: hints => told.push(hints),
    });
}"""  # fmt: skip  # noqa: E501


def test_a_drag_asks_for_the_newest_place_and_never_queues(sums):
    sums.evaluate(FAKE, {"delay": 150, "failing": False})
    settled(sums)
    sums.evaluate("asked.length = 0")
    drag(sums, sums.locator(".hp-marker"), 100)
    settled(sums)
    places = [hints[0][1] for hints in sums.evaluate("asked")]
    assert len(places) <= 3  # eight steps: the first, what came while it was busy, the last
    last = sums.evaluate("document.querySelector('.hp-marker').style.left")
    assert (places[-1] + 0.5) / 60 * 100 == pytest.approx(float(last.rstrip("%")), abs=0.01)


def test_a_failure_is_said_and_the_next_hint_tries_again(sums):
    sums.evaluate(FAKE, {"delay": 0, "failing": True})
    sums.wait_for_selector(".hp-status[data-kind=error]")
    assert status(sums) == "It went wrong."
    plain = shown(sums)
    sums.evaluate("window.failing = false")
    sums.evaluate("painter.set([[5, 50, [0, 0, 200]]])")
    settled(sums)
    sums.wait_for_function("document.querySelector('.hp-timing').textContent")
    assert (shown(sums) != plain).any()


#: The hint that the painter of FAKE starts with.
START = [5, 5, [200, 0, 0]]


@pytest.fixture
def held(sums):
    """A painter whose one hint is given a colour: the mouse button is held down on the picker."""
    errors = []

    def note(error):
        errors.append(str(error))

    sums.on("pageerror", note)
    sums.evaluate(FAKE, {"delay": 0, "failing": False})
    settled(sums)
    sums.locator(".hp-surface").focus()
    sums.keyboard.press("Enter")
    sums.locator(".hp-picker").scroll_into_view_if_needed()
    box = sums.locator(".hp-picker").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    sums.mouse.move(x, y)
    sums.mouse.down()
    sums.mouse.move(x + 20, y)
    yield sums, (x + 10, y)
    sums.mouse.up()
    sums.remove_listener("pageerror", note)
    assert errors == []


def test_escape_while_picking_keeps_what_is_picked(held):
    page, elsewhere = held
    page.keyboard.press("Escape")
    page.mouse.move(*elsewhere)
    page.mouse.up()
    ((picked,),) = page.evaluate("told")
    assert picked[:2] == [5, 5] and picked != START
    page.get_by_role("button", name="Undo").click()
    assert page.evaluate("told[1]") == [START]


def test_undo_while_picking_takes_back_the_pick_alone(held):
    page, elsewhere = held
    page.keyboard.press("Control+z")
    page.mouse.move(*elsewhere)
    page.mouse.up()
    assert page.evaluate("told[1]") == [START]
    assert page.get_by_role("button", name="Undo").is_disabled()


def test_a_program_that_sets_hints_while_one_picks_has_its_way(held):
    page, elsewhere = held
    page.evaluate("painter.set([])")
    page.mouse.move(*elsewhere)
    page.mouse.up()
    assert page.locator(".hp-marker").count() == 0 and page.evaluate("told") == []


def test_a_program_may_take_away_the_hint_that_is_being_dragged(held):
    page, _ = held
    page.mouse.up()
    page.locator(".hp-marker").last.scroll_into_view_if_needed()
    box = page.locator(".hp-marker").last.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 10, y + 10)
    page.evaluate("painter.set([])")
    page.mouse.move(x + 20, y + 20)
    page.mouse.up()
    assert page.locator(".hp-marker").count() == 0


def test_painters_of_one_notebook_share_no_names(browser):
    """A notebook has the module anew for each widget, and all widgets are in one page."""
    page = browser.new_page()
    code = (ROOT / "course_lib" / "hint_painter" / "hint_painter.js").read_text(encoding="utf-8")
    for number in range(2):
        own = f"{code}\n// {number}"
        url = "data:text/javascript;base64," + base64.b64encode(own.encode()).decode()
        page.evaluate(
            """url => import(url).then(({createPainter}) => {
                const root = document.body.appendChild(document.createElement("div"));
                createPainter(root, {open: () => new Promise(() => {})});
            })""",
            url,
        )
    ids, names = page.evaluate(
        """["[id]", "[name]"].map(chosen =>
            [...document.querySelectorAll(chosen)].map(element => element.id || element.name))"""
    )
    assert len(set(ids)) == len(ids) > 0
    assert len(set(names)) == 2
    page.close()


@pytest.mark.parametrize("system", ["light", "dark"])
@pytest.mark.parametrize(
    ("theme", "scheme"),
    [
        ("vscode-light", "light"), ("vscode-dark", "dark"), ("vscode-high-contrast", "dark"),
        ("vscode-high-contrast vscode-high-contrast-light", "light"),
    ],
)  # fmt: skip
def test_the_editors_theme_counts_for_more_than_the_systems(browser, system, theme, scheme):
    page = browser.new_page(color_scheme=system)
    css = (ROOT / "course_lib" / "hint_painter" / "hint_painter.css").read_text(encoding="utf-8")
    page.set_content(f"<style>{css}</style><body class='{theme}'><div class='hp-root'></div>")
    assert page.evaluate("getComputedStyle(document.querySelector('div')).colorScheme") == scheme
    page.close()


def test_a_slow_answer_asks_for_patience(sums):
    sums.evaluate(FAKE, {"delay": 5000, "failing": False})
    sums.wait_for_selector(".hp-status[data-kind=error]")
    assert status(sums) == "Patience."
    settled(sums)
    assert status(sums) == ""


BUSY = """() => {
    const heard = {};
    window.sent = [];
    window.answer = (content, buffers) =>
        heard["msg:custom"]({id: sent[0].id, ...content}, buffers);
    const model = {
        get: name => ({hints: [], patch: 7, caption: ""})[name],
        on: (event, hear) => heard[event] = hear, off: () => {},
        send: message => sent.push(message),
    };
    document.body.innerHTML = "<div id=busy></div>";
    window.default.render({model, el: document.getElementById("busy")});
}"""


def test_a_kernel_that_runs_a_whole_notebook_is_waited_for(sums):
    sums.clock.install()
    sums.evaluate(BUSY)
    sums.clock.fast_forward(300_000)
    assert "busy" in status(sums) and "again" not in status(sums)
    assert sums.get_attribute(".hp-canvas", "aria-label")  # read aloud meanwhile, too
    sums.evaluate(
        """() => answer(
            {photo: [8, 8], view: [8, 8], small: [8, 8], hints: true, suggestions: false},
            [new DataView(new ArrayBuffer(192)), new DataView(new ArrayBuffer(256))],
        )"""
    )
    sums.wait_for_function("sent.length > 1")  # open now, it asks for colours
    assert status(sums) == ""
    sums.clock.resume()


# -- the page "Try it"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    runtime = NPM / "onnxruntime-web" / "dist"
    if not runtime.is_dir():
        pytest.skip("onnxruntime-web is not there: npm install --prefix build/npm onnxruntime-web")
    for package in ("onnx", "onnxscript"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed: pip install '.[fast]'")
    return painter_page.build_page(tmp_path_factory.mktemp("site"), runtime)


@pytest.fixture(scope="module")
def served(site):
    """The page's address on a plain web server on this machine."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    handler = partial(Quiet, directory=site.parent)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/index.html"
        server.shutdown()


@pytest.fixture
def open_page(browser, site):
    """Open the page in a fresh context that notes every request and every error."""
    contexts = []

    def open_page(address=None, size="desktop", **options):
        width, height = SIZES[size]
        viewport = {"width": width, "height": height}
        context = browser.new_context(viewport=viewport, accept_downloads=True, **options)
        contexts.append(context)
        page = context.new_page()
        page.requests, page.errors = [], []
        page.on("request", lambda request: page.requests.append(request.url))
        page.on("pageerror", lambda error: page.errors.append(str(error)))
        page.goto(address or site.as_uri())
        settled(page)
        page.wait_for_function("document.querySelector('.hp-timing').textContent", timeout=90_000)
        return page

    yield open_page
    for context in contexts:
        for page in context.pages:
            assert page.errors == []
        context.close()


@pytest.mark.parametrize("from_stick", [True, False])
def test_a_click_and_a_suggestion_recolour_the_photograph(open_page, served, from_stick, net):
    page = open_page(None if from_stick else served)
    plain = shown(page)
    click_photo(page, 0.8, 0.3)
    offers = suggestions(page)
    assert offers.count() == 5
    offers.last.click()
    settled(page)
    hints = json.loads(downloaded(page, "Save hints").read_text())
    ((row, column, rgb),) = hints["hints"]
    coloured = shown(page)
    want = rgb_to_lab(np.array([[rgb]], np.uint8))[0, 0, 1:]
    gap = [
        np.hypot(*(rgb_to_lab(x[row, column][None, None])[0, 0, 1:] - want))
        for x in (plain, coloured)
    ]
    assert gap[1] < gap[0]

    exported = np.asarray(Image.open(downloaded(page, "Save PNG")).convert("RGB"))
    photo = cl.load_photo(painter_page.PHOTOS[0])
    expected = cl.colorize(photo, net, hints=[(row, column, tuple(rgb))]).astype(int)
    assert np.abs(exported - expected).max() <= 2
    assert np.abs(coloured - expected).max() <= 2

    page.get_by_role("button", name="Undo").click()
    settled(page)
    assert np.array_equal(shown(page), plain)
    page.get_by_role("button", name="Redo").click()
    settled(page)
    assert np.array_equal(shown(page), coloured)

    own = ("blob:", "data:", page.url.rsplit("/", 1)[0])
    assert [url for url in page.requests if not url.startswith(own)] == []


@pytest.mark.parametrize("file", ["runtime", "siggraph17"])
def test_a_file_that_did_not_come_is_asked_for_again(browser, served, file):
    page = browser.new_page()
    page.route(f"**/files/{file}.js", lambda route: route.abort())
    page.goto(served)
    page.wait_for_selector(".hp-status[data-kind=error]")
    assert f"files/{file}.js cannot be read" in status(page)
    page.unroute(f"**/files/{file}.js")
    plain = shown(page)
    click_photo(page, 0.5, 0.5)
    suggestions(page).last.click()
    page.wait_for_function("document.querySelector('.hp-timing').textContent", timeout=90_000)
    settled(page)
    assert (shown(page) != plain).any() and status(page).startswith("Hint 1")
    page.close()


def test_a_hint_is_dragged_and_removed(open_page):
    page = open_page()
    click_photo(page, 0.7, 0.3)
    suggestions(page).last.click()
    settled(page)
    before = shown(page)
    marker = page.locator(".hp-marker")
    drag(page, marker, 200)
    settled(page)
    assert "Moved" in status(page) or "Hint 1" in status(page)
    assert (shown(page) != before).any()
    page.keyboard.press("Control+z")
    settled(page)
    assert np.array_equal(shown(page), before)
    marker.click(button="right")
    assert page.locator(".hp-marker").count() == 0
    assert "Removed" in status(page)


def test_the_keyboard_alone_suffices(open_page):
    page = open_page()
    plain = shown(page)
    page.locator(".hp-surface").focus()
    row = page.evaluate("document.querySelector('.hp-crosshair').style.top")
    page.keyboard.press("Shift+ArrowDown")
    assert page.evaluate("document.querySelector('.hp-crosshair').style.top") != row
    assert status(page).startswith("Row")
    page.keyboard.press("Enter")
    suggestions(page)
    page.keyboard.press("4")
    settled(page)
    assert status(page).startswith("Hint 1:")
    one = shown(page)
    assert (one != plain).any()

    page.locator(".hp-picker").focus()
    page.keyboard.press("Shift+ArrowUp")
    settled(page)
    assert (shown(page) != one).any()
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.className") == "hp-surface"

    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "hp-marker"
    page.keyboard.press("ArrowRight")
    assert status(page).startswith("Moved")
    page.keyboard.press("Delete")
    settled(page)
    assert page.locator(".hp-marker").count() == 0
    assert np.array_equal(shown(page), plain)
    assert page.evaluate("document.activeElement.className") == "hp-surface"
    page.keyboard.press("Control+z")
    assert page.locator(".hp-marker").count() == 1
    page.keyboard.press("Control+y")
    assert page.locator(".hp-marker").count() == 0


def test_views_comparison_zoom_and_size(open_page):
    page = open_page()
    result = shown(page)
    click_photo(page, 0.5, 0.5)
    suggestions(page).last.click()
    page.get_by_role("radio", name="Gray").check(force=True)
    gray = shown(page)
    assert np.ptp(gray.astype(int), axis=-1).max() == 0
    page.get_by_role("radio", name="Hints").check(force=True)
    seven = (np.ptp(shown(page).astype(int), axis=-1) > 0).sum()
    page.get_by_label("Size of hint").fill("15")
    fifteen = (np.ptp(shown(page).astype(int), axis=-1) > 0).sum()
    assert 0 < seven < fifteen
    page.get_by_role("radio", name="Result").check(force=True)
    settled(page)
    assert (shown(page) != result).any()
    page.get_by_label("Before / after").fill("40")
    assert "60%" in page.evaluate("document.querySelector('.hp-before').style.clipPath")
    width = page.locator(".hp-stage").bounding_box()["width"]
    page.get_by_role("button", name="Zoom in").click()
    assert page.locator(".hp-stage").bounding_box()["width"] == pytest.approx(
        1.5 * width, rel=0.01
    )
    click_photo(page, 0.4, 0.4)  # still where one points, zoomed
    row = int(page.inner_text(".hp-where").split()[1].rstrip(","))
    assert row / gray.shape[0] == pytest.approx(0.4, abs=0.01)


def test_hints_are_saved_and_loaded_again(open_page, tmp_path):
    page = open_page()
    plain = shown(page)
    for place in (0.3, 0.6):
        click_photo(page, place, place)
        suggestions(page).last.click()
    settled(page)
    painted = shown(page)
    saved = tmp_path / "hints.json"
    shutil.copy(downloaded(page, "Save hints"), saved)
    page.get_by_role("button", name="Reset").click()
    settled(page)
    assert np.array_equal(shown(page), plain)
    page.locator(".hint-painter input[type=file]").set_input_files(saved)
    page.wait_for_selector(".hp-marker >> nth=1")
    settled(page)
    assert np.array_equal(shown(page), painted)
    saved.write_text("nonsense")
    page.locator(".hint-painter input[type=file]").set_input_files(saved)
    page.wait_for_selector(".hp-status[data-kind=error]")
    assert "not JSON" in status(page) and page.locator(".hp-marker").count() == 2


def own_photo(page, picture, path, **options):
    picture.save(path, **options)
    page.locator("#file").set_input_files(path)


def test_own_photographs_of_any_kind(open_page, tmp_path, net):
    page = open_page()
    transparent = Image.fromarray(np.full((60, 90, 4), (200, 10, 10, 0), np.uint8))
    own_photo(page, transparent, tmp_path / "transparent.png")
    page.wait_for_function("document.querySelector('.hp-canvas').width === 90")
    settled(page)
    assert shown(page).min() > 240  # white, as over paper

    tiny = Image.fromarray(np.full((1, 2), 90, np.uint8))
    own_photo(page, tiny, tmp_path / "tiny.png")
    page.wait_for_function("document.querySelector('.hp-canvas').width === 2")
    settled(page)

    rgb = cl.load_photo("gray/camera")
    large = Image.fromarray(rgb).resize((2000, 1500))
    own_photo(page, large, tmp_path / "large.png", compress_level=1)
    page.wait_for_function("document.querySelector('.hp-canvas').width > 1000")
    settled(page)
    exported = np.asarray(Image.open(downloaded(page, "Save PNG")).convert("RGB"))
    expected = cl.colorize(np.asarray(large), net).astype(int)
    assert np.abs(exported - expected).max() <= 2

    turned = Image.fromarray(rgb[:60, :80])
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held upright
    own_photo(page, turned, tmp_path / "turned.jpg", exif=exif)
    page.wait_for_function("document.querySelector('.hp-canvas').width === 60")
    settled(page)
    assert shown(page).shape == (80, 60, 3)

    nonsense = tmp_path / "no-picture.jpg"
    nonsense.write_text("no picture")
    page.locator("#file").set_input_files(nonsense)
    page.wait_for_selector("#message.wrong")
    assert "no picture" in page.inner_text("#message")
    assert page.locator(".hp-canvas").first.is_visible()  # what was there stays


def test_the_other_network_colours_by_itself(open_page):
    page = open_page()
    page.get_by_label("Network").select_option("eccv16")
    page.wait_for_function("document.querySelector('.hp-timing')?.textContent", timeout=60_000)
    settled(page)
    photo = cl.load_photo(painter_page.PHOTOS[0])
    assert np.abs(shown(page) - cl.colorize(photo, "eccv16").astype(int)).max() <= 2
    click_photo(page, 0.5, 0.5)
    assert status(page) == "ECCV16 takes no hints: it colours by itself."
    assert page.locator("button.hp-suggestion").count() == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_it_is_accessible_and_nothing_is_lost(open_page, size, scheme, tmp_path):
    page = open_page(size=size, color_scheme=scheme, has_touch=size != "desktop")
    click_photo(page, 0.6, 0.4)
    suggestions(page).last.click()
    settled(page)
    if os.environ.get("SCREENSHOTS"):
        name = f"page-{size}-{scheme}.png"
        page.screenshot(path=Path(os.environ["SCREENSHOTS"]) / name, full_page=True)
    assert audit(page) == []
    wide = "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
    assert page.evaluate(wide)
    for control in page.locator("button:visible, input:visible, select:visible").all():
        box = control.bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= SIZES[size][0] + 1


def test_a_finger_suffices(open_page):
    page = open_page(size="phone", has_touch=True, is_mobile=True)
    plain = shown(page)
    surface = page.locator(".hp-surface")
    surface.scroll_into_view_if_needed()
    box = surface.bounding_box()
    page.touchscreen.tap(box["x"] + box["width"] / 2, box["y"] + box["height"] * 0.7)
    suggestions(page).last.tap()
    settled(page)
    assert (shown(page) != plain).any()
    assert page.locator(".hp-marker").bounding_box()["width"] >= 24


# -- JupyterLab

PAINT = """
import json, pathlib
import numpy as np
import course_lib as cl
painter = cl.HintPainter(cl.load_photo("scenes/cups"), cl.siggraph17())
def note(change):
    np.save("result.npy", painter.result)
    pathlib.Path("hints.part").write_text(json.dumps(painter.hints))
    pathlib.Path("hints.part").replace("hints.json")
painter.observe(note, "hints")
painter
"""
FIRST = (100, 150, (40, 60, 200))


def notebook_of(cells):
    """A notebook of these cells."""
    return nbformat.v4.new_notebook(
        metadata={
            "kernelspec": {"name": "python3", "display_name": "Python 3 (ipykernel)"},
            "language_info": {"name": "python"},
        },
        cells=[nbformat.v4.new_code_cell(source.strip()) for source in cells],
    )


def run_notebook(page, address):
    page.goto(f"{address}/lab/tree/paint.ipynb?token={TOKEN}")
    page.wait_for_selector(".jp-Notebook .jp-CodeCell", timeout=90_000)
    page.get_by_text("| Idle").wait_for(timeout=60_000)
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    page.wait_for_selector(".hp-marker", timeout=120_000)
    settled(page)


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """JupyterLab's address, and its folder with a notebook."""
    for package in ("jupyterlab", "anywidget"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed: pip install '.[lab]'")
    folder = tmp_path_factory.mktemp("lab")
    nbformat.write(notebook_of([PAINT, f"painter.hints = [{FIRST}]"]), folder / "paint.ipynb")
    with jupyterlab(folder) as address:
        yield address, folder


@pytest.fixture(scope="module")
def notebook(browser, lab):
    """The notebook, run: its page and its folder."""
    address, folder = lab
    context = browser.new_context(
        viewport={"width": 1400, "height": 1300}, accept_downloads=True, color_scheme="light"
    )
    page = context.new_page()
    run_notebook(page, address)
    yield page, folder
    context.close()


def noted(folder, condition):
    """Python's hints and result, once its hints are as wanted."""

    def look():
        file = folder / "hints.json"
        hints = json.loads(file.read_text()) if file.exists() else None
        return hints is not None and condition(hints) and (hints, np.load(folder / "result.npy"))

    return wait_until(look)


def test_jupyterlab_paints_with_python_behind(notebook, net):
    page, folder = notebook
    photo = cl.load_photo("scenes/cups")
    page.wait_for_function("document.querySelector('.hp-timing').textContent")
    settled(page)
    assert np.abs(shown(page) - cl.colorize(photo, net, hints=[FIRST]).astype(int)).max() <= 2

    before = shown(page)
    click_photo(page, 0.7, 0.6)
    suggestions(page).last.click()
    settled(page)
    hints, result = noted(folder, lambda hints: len(hints) == 2)
    (row, column, rgb) = hints[1]
    taken = [(r, c, tuple(colour)) for r, c, colour in hints]
    assert np.array_equal(result, cl.colorize(photo, net, hints=taken))
    after = shown(page)
    assert np.abs(after - result.astype(int)).max() <= 2
    want = rgb_to_lab(np.array([[rgb]], np.uint8))[0, 0, 1:]
    gap = [
        np.hypot(*(rgb_to_lab(x[row, column][None, None])[0, 0, 1:] - want))
        for x in (before, after)
    ]
    assert gap[1] < gap[0]
    if os.environ.get("SCREENSHOTS"):
        page.screenshot(path=Path(os.environ["SCREENSHOTS"]) / "lab-light.png")

    exported = Image.open(downloaded(page, "Save PNG"))
    assert np.array_equal(np.asarray(exported), result)

    drag(page, page.locator(".hp-marker").nth(1), -80)
    settled(page)
    moved, _ = noted(folder, lambda hints: hints[-1][1] < column - 20)
    assert moved[1][2] == rgb
    page.get_by_role("button", name="Undo", exact=True).click()
    settled(page)
    noted(folder, lambda now: now == hints)
    assert np.array_equal(shown(page), after)


def test_jupyterlab_paints_by_the_keyboard(notebook):
    page, folder = notebook
    page.locator(".hp-surface").focus()
    for _ in range(3):
        page.keyboard.press("Shift+ArrowUp")
    page.keyboard.press("Enter")
    suggestions(page)
    count = page.locator(".hp-marker").count()
    page.keyboard.press("1")  # in the dark there may be no more
    noted(folder, lambda hints: len(hints) == count + 1)
    page.keyboard.press("Delete")  # on a suggestion: nothing to JupyterLab, nothing here
    page.keyboard.press("Control+z")
    noted(folder, lambda hints: len(hints) == count)
    assert page.locator(".jp-CodeCell").count() == 2  # no shortcut of the notebook took a key


def test_jupyterlab_is_accessible_in_both_themes(notebook):
    page, _ = notebook
    click_photo(page, 0.3, 0.3)
    suggestions(page)
    assert audit(page, ".hint-painter") == []
    page.evaluate("document.body.dataset.jpThemeLight = 'false'")
    page.evaluate("document.body.style.setProperty('--jp-layout-color1', '#111111')")
    if os.environ.get("SCREENSHOTS"):
        page.screenshot(path=Path(os.environ["SCREENSHOTS"]) / "lab-dark.png")
    assert audit(page, ".hint-painter") == []
    page.evaluate("document.body.dataset.jpThemeLight = 'true'")
    page.evaluate("document.body.style.removeProperty('--jp-layout-color1')")
    page.keyboard.press("Escape")


def test_a_closed_kernel_is_said_not_waited_for(notebook, lab):
    page, _ = notebook
    address, _ = lab
    login = {"Authorization": f"token {TOKEN}"}
    kernels = urllib.request.Request(f"{address}/api/kernels", headers=login)
    for kernel in json.load(urllib.request.urlopen(kernels)):
        url = f"{address}/api/kernels/{kernel['id']}"
        urllib.request.urlopen(urllib.request.Request(url, method="DELETE", headers=login))
    click_photo(page, 0.2, 0.8)
    page.locator(".hp-picker").click(position={"x": 100, "y": 100})
    page.wait_for_selector(".hp-status[data-kind=error]", timeout=20_000)
    assert "kernel" in status(page)
    page.get_by_role("radio", name="Gray").check(force=True)  # all that needs no kernel works on
    assert np.ptp(shown(page).astype(int), axis=-1).max() == 0


# -- the benchmark, which measures with what is above


@pytest.fixture(scope="module")
def benchmark():
    return importlib.import_module("tests.benchmarks.hint_painter")  # which imports this module


def test_the_benchmark_measures_the_page(benchmark, browser, site):
    assert len(benchmark.on_the_page(browser, site, clicks=2)) == 2


def test_the_benchmark_measures_jupyterlab(benchmark, browser, lab, tmp_path):
    assert len(benchmark.in_jupyterlab(browser, tmp_path, clicks=2)) == 2


# -- lesson 04 itself

#: Seconds that the lesson may take: a guard against hanging on a busy machine, and nothing else.
PATIENCE = 1800

#: What a reader's own cell notes of the last painter: hints, result, and the score below it.
NOTE = """
import json, pathlib
def note(change=None):
    np.save("result.npy", win_back.result)
    pathlib.Path("hints.part").write_text(json.dumps([win_back.hints, win_back.caption]))
    pathlib.Path("hints.part").replace("hints.json")
win_back.observe(note, "hints")
note()
"""


@pytest.fixture(scope="module")
def lesson(browser, tmp_path_factory):
    """Lesson 04 in JupyterLab, run whole: its page, and its folder."""
    folder = tmp_path_factory.mktemp("lesson")
    notebook = build.make_notebook(course.LESSONS / "04_siggraph17.py")
    notebook.cells.append(nbformat.v4.new_code_cell(NOTE.strip()))
    nbformat.write(notebook, folder / "paint.ipynb")
    with jupyterlab(folder) as address:
        context = browser.new_context(
            viewport={"width": 1400, "height": 1300}, accept_downloads=True, color_scheme="light"
        )
        page = context.new_page()
        page.goto(f"{address}/lab/tree/paint.ipynb?token={TOKEN}")
        page.wait_for_selector(".jp-Notebook .jp-CodeCell", timeout=90_000)
        page.get_by_text("| Idle").wait_for(timeout=90_000)
        page.get_by_role("menuitem", name="Run", exact=True).click()
        page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
        wait_until((folder / "hints.json").exists, PATIENCE)
        yield page, folder
        context.close()


def scored(folder, condition):
    """Python's hints, score and result of the lesson's last painter, once they are as wanted."""

    def look():
        hints, score = json.loads((folder / "hints.json").read_text())
        return condition(hints) and (hints, score, np.load(folder / "result.npy"))

    return wait_until(look, 60)


class Within:
    """A page of which only one painter counts."""

    def __init__(self, page, painter):
        self.page, self.painter = page, painter

    def settled(self):
        wait_until(lambda: self.painter.get_attribute("aria-busy") == "false", 90)

    def shown(self):
        canvas = self.painter.locator(".hp-canvas").first
        url = canvas.evaluate("canvas => canvas.toDataURL()")
        content = base64.b64decode(url.split(",")[1])
        return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))

    def click(self, down, right):
        surface = self.painter.locator(".hp-surface")
        surface.scroll_into_view_if_needed()
        box = surface.bounding_box()
        self.page.mouse.click(box["x"] + right * box["width"], box["y"] + down * box["height"])
        self.painter.locator("button.hp-suggestion").first.wait_for(timeout=60_000)
        return self.painter.locator("button.hp-suggestion")

    def button(self, name):
        return self.painter.get_by_role("button", name=name, exact=True)


def test_lesson_04_is_painted_in(lesson, net):
    page, folder = lesson
    painters = page.locator(".hint-painter")
    assert painters.count() == 4  # one dot, the bowl, the leak, and the one that keeps score
    painter = Within(page, painters.last)
    painters.last.scroll_into_view_if_needed()
    painter.settled()
    caption = painters.last.locator(".hp-caption")
    assert caption.inner_text().startswith("0 of 10 hints: ")

    plain = painter.shown()
    painter.click(0.8, 0.5).nth(1).click()
    hints, score, result = scored(folder, lambda hints: len(hints) == 1)
    painter.settled()
    ((row, column, rgb),) = hints
    coloured = painter.shown()
    assert np.abs(coloured - result.astype(int)).max() <= 2
    want = rgb_to_lab(np.array([[rgb]], np.uint8))[0, 0, 1:]
    gap = [
        np.hypot(*(rgb_to_lab(x[row, column][None, None])[0, 0, 1:] - want))
        for x in (plain, coloured)
    ]
    assert gap[1] < gap[0]
    assert score.startswith("1 of 10 hints: ") and "largest error first" in score
    wait_until(lambda: caption.inner_text() == score)
    if os.environ.get("SCREENSHOTS"):
        page.screenshot(path=Path(os.environ["SCREENSHOTS"]) / "lesson-04.png")

    with page.expect_download() as download:
        painter.button("Save PNG").click()
    exported = np.asarray(Image.open(download.value.path()))
    assert np.array_equal(exported, result)

    drag(page, painters.last.locator(".hp-marker"), -150)
    moved, _, _ = scored(folder, lambda hints: hints[0][1] < column - 20)
    assert moved[0][2] == rgb
    painter.button("Undo").click()
    scored(folder, lambda now: now == hints)
    painter.settled()
    assert np.array_equal(painter.shown(), coloured)


def test_lesson_04_is_painted_in_by_the_keyboard(lesson):
    page, folder = lesson
    last = page.locator(".hint-painter").last
    last.locator(".hp-surface").focus()
    for _ in range(3):
        page.keyboard.press("Shift+ArrowUp")
    page.keyboard.press("Enter")
    last.locator("button.hp-suggestion").first.wait_for(timeout=60_000)
    before = last.locator(".hp-marker").count()
    page.keyboard.press("1")
    scored(folder, lambda hints: len(hints) == before + 1)
    page.keyboard.press("Escape")
    page.keyboard.press("Control+z")
    scored(folder, lambda hints: len(hints) == before)


def test_lesson_04_keeps_the_score_of_hints_of_any_size(lesson):
    """The size of hints changes the picture, so the line below it has to follow."""
    page, folder = lesson
    last = page.locator(".hint-painter").last
    caption = last.locator(".hp-caption")
    if last.locator(".hp-marker").count() == 0:
        Within(page, last).click(0.8, 0.5).nth(1).click()
        scored(folder, lambda hints: len(hints) == 1)
    first = wait_until(lambda: caption.inner_text().startswith("1 of") and caption.inner_text())
    for side in ("1", "15"):
        last.get_by_label("Size of hint").fill(side)
        wait_until(lambda: caption.inner_text() != first)
    last.get_by_label("Size of hint").fill("7")
    wait_until(lambda: caption.inner_text() == first)


def test_the_notebook_and_the_page_make_the_same_picture(lesson, open_page, tmp_path):
    """The hints of the lesson's last painter, loaded into the page "Try it"."""
    notebook_page, folder = lesson
    last = notebook_page.locator(".hint-painter").last
    painter = Within(notebook_page, last)
    painter.click(0.35, 0.25).nth(2).click()
    scored(folder, lambda hints: len(hints) == 2)
    painter.settled()
    with notebook_page.expect_download() as download:
        painter.button("Save hints").click()
    saved = tmp_path / "hints.json"
    shutil.copy(download.value.path(), saved)

    page = open_page()
    place = painter_page.PHOTOS.index("scenes/autumn-mountain")
    page.locator("#photos button").nth(place).click()
    settled(page)
    page.locator(".hint-painter input[type=file]").set_input_files(saved)
    page.wait_for_selector(".hp-marker >> nth=1")
    settled(page)
    _, _, result = scored(folder, lambda hints: len(hints) == 2)
    assert np.abs(shown(page) - result.astype(int)).max() <= 2


def test_lesson_04s_painters_are_accessible(lesson):
    page, _ = lesson
    assert audit(page, ".hint-painter") == []


# -- the page as a part of the site


@pytest.mark.parametrize("size", ["desktop", "phone"])
def test_the_site_leads_to_the_page_and_asks_nobody_else(browser, size):
    """From a folder, as on a stick: front page, "Try it", a click, a colour."""
    if not (website.SITE / "try" / "index.html").is_file():
        pytest.skip("build/site has no page Try it; run: make site")
    width, height = SIZES[size]
    phone = {"has_touch": True, "is_mobile": True} if size == "phone" else {}
    context = browser.new_context(viewport={"width": width, "height": height}, **phone)
    page, requests = context.new_page(), []
    page.on("request", lambda request: requests.append(request.url))
    page.goto((website.SITE / "index.html").as_uri())
    page.locator("main a[href='try/index.html']").first.click()
    settled(page)
    page.wait_for_function("document.querySelector('.hp-timing')?.textContent", timeout=90_000)
    plain = shown(page)
    click_photo(page, 0.3, 0.4)
    suggestions(page).nth(1).click()
    settled(page)
    assert (shown(page) != plain).any()
    if os.environ.get("SCREENSHOTS"):
        page.screenshot(path=Path(os.environ["SCREENSHOTS"]) / f"site-{size}.png")
    own = ("blob:", "data:", website.SITE.as_uri())
    assert [url for url in requests if not url.startswith(own)] == []
    page.get_by_role("link", name="The course").click()
    page.wait_for_url(f"**{website.SITE.name}/index.html")
    context.close()
