"""A real browser, JupyterLab in it, and what axe-core finds, for the tests marked "browser"."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
AXE = ROOT / "build" / "npm" / "node_modules" / "axe-core" / "axe.min.js"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update",
]  # fmt: skip
TOKEN = "course"

#: All cells in the page, also those that are out of sight, so that a test can look at them.
SETTINGS = {"@jupyterlab/notebook-extension/tracker": {"windowingMode": "none"}}


@contextmanager
def jupyterlab(folder):
    """Start JupyterLab in a folder, with nobody's settings; gives its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    own = folder / ".own"
    for plugin, settings in SETTINGS.items():
        file = own / f"{plugin}.jupyterlab-settings"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(settings))
    environment = {f"JUPYTER_{kind}_DIR": str(own) for kind in ("CONFIG", "DATA", "RUNTIME")}
    environment |= {"IPYTHONDIR": str(own), "JUPYTERLAB_SETTINGS_DIR": str(own)}
    environment |= {"PYTHONPATH": str(ROOT), "COURSE_OFFLINE": "1"}
    options = [
        "--no-browser",
        "--allow-root",
        "--ip=127.0.0.1",
        f"--port={port}",
        f"--ServerApp.root_dir={folder}",
        f"--IdentityProvider.token={TOKEN}",
        "--LabApp.extension_manager=readonly",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    ]
    server = subprocess.Popen(
        [sys.executable, "-m", "jupyterlab", *options],
        env={**os.environ, **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    address = f"http://127.0.0.1:{port}"
    try:
        _wait_for(server, address)
        yield address
    finally:
        server.terminate()
        server.wait(20)


def _wait_for(server, address, seconds=90):
    end = time.monotonic() + seconds
    while True:
        assert server.poll() is None, "JupyterLab ended"
        assert time.monotonic() < end, "JupyterLab does not answer"
        try:
            if urllib.request.urlopen(f"{address}/api", timeout=5).status == 200:
                return
        except OSError:
            time.sleep(0.2)


def audit(page, *within):
    """What axe-core finds that is serious or worse, within what selectors choose, or anywhere."""
    if not AXE.is_file():
        pytest.skip("axe-core is not in build/npm; run: make test-browser")
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found = page.evaluate(
        "within => axe.run(within.length ? {include: within.map(s => [s])} : document)"
        ".then(r => r.violations)",
        list(within),
    )
    return [
        (rule["id"], [node["html"][:160] for node in rule["nodes"]][:5])
        for rule in found
        if rule["impact"] in ("serious", "critical")
    ]
