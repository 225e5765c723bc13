"""How soon the hint painter answers: from a click to the new picture, in a browser.

    python -m tests.benchmarks.hint_painter [--clicks 50]

In a page with the networks as ONNX files, one thread; and in JupyterLab, with the kernel behind
it. Each time a hint moves to a new place, which asks for a new answer as choosing a colour does.
Needs what tests/test_painter_browser.py needs. Times are this machine's, and say something only
when it is otherwise idle; so the load is printed too.
"""

import argparse
import os
import tempfile
from pathlib import Path

import nbformat
import numpy as np
from playwright.sync_api import sync_playwright

from course_lib.hint_painter.page import build_page
from tests import test_painter_browser as browser_tests

PAINT = """
import course_lib as cl
painter = cl.HintPainter(cl.photos("test", "scene")[0].load(), cl.siggraph17())
painter
"""

# Move the hint by a pixel of the network's input, and wait until the new picture is drawn.
MOVE = """() => new Promise(done => {
    const painter = document.querySelector('.hint-painter');
    const start = performance.now();
    const event = new KeyboardEvent('keydown', {key: 'ArrowRight', bubbles: true});
    painter.querySelector('.hp-marker').dispatchEvent(event);
    const look = () => painter.getAttribute('aria-busy') === 'false'
        ? done(performance.now() - start) : setTimeout(look, 1);
    setTimeout(look, 0);
})"""


def measure(page, clicks):
    browser_tests.settled(page)
    browser_tests.click_photo(page, 0.5, 0.1)
    browser_tests.suggestions(page).first.click()
    browser_tests.settled(page)
    return [page.evaluate(MOVE) for _ in range(clicks)]


def on_the_page(chromium, site, clicks):
    """Milliseconds of each click on the page "Try it"."""
    page = chromium.new_page(viewport={"width": 1280, "height": 1000})
    page.goto(site.as_uri())
    times = measure(page, clicks)
    page.close()
    return times


def in_jupyterlab(chromium, folder, clicks):
    """Milliseconds of each click in a notebook that is written into a folder."""
    cells = [PAINT, "painter.hints = [(9, 9, (0, 0, 0))]"]
    nbformat.write(browser_tests.notebook_of(cells), Path(folder) / "paint.ipynb")
    with browser_tests.jupyterlab(Path(folder)) as address:
        page = chromium.new_page(viewport={"width": 1400, "height": 1300})
        browser_tests.run_notebook(page, address)
        times = measure(page, clicks)
        page.close()
    return times


def report(name, times):
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    print(
        f"{name:12} median {np.median(times):4.0f} ms, worst {max(times):4.0f} ms, best "
        f"{min(times):4.0f} ms of {len(times)} clicks (load {load:.1f})"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clicks", type=int, default=50)
    clicks = parser.parse_args().clicks
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=browser_tests.CHROMIUM, args=browser_tests.ARGUMENTS
        )
        site = build_page(folder, browser_tests.NPM / "onnxruntime-web" / "dist")
        files = [file for file in site.parent.rglob("*") if file.is_file()]
        for file in sorted(files, key=lambda file: -file.stat().st_size):
            print(f"{file.relative_to(site.parent)!s:32} {file.stat().st_size / 1e6:6.2f} MB")
        total = sum(file.stat().st_size for file in files)
        print(f"{'the page and its files':32} {total / 1e6:6.2f} MB")
        report("page", on_the_page(chromium, site, clicks))
        report("JupyterLab", in_jupyterlab(chromium, folder, clicks))
        chromium.close()


if __name__ == "__main__":
    main()
