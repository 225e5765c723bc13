"""Whether this machine has what the course needs.

    python course_lib/environment.py      in a clone; works even if nothing is installed
    python -m course_lib.environment      wherever the course is installed
    python .../environment.py --hosted    on Google Colab and its like, by the lessons' first cell

Prints a line per thing that was looked at: [OK], [FAIL] with what to do, or [NOTE] with what is
good to know. Only the standard library is imported at the top, so that a missing library ends in
a line that says so. Importing the package itself would end in a traceback: hence the first form.
"""

from __future__ import annotations

import csv
import importlib
import platform
import re
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

#: The oldest Python that the course runs on.
OLDEST_PYTHON = (3, 10)

#: Free memory, in gigabytes, that the longest lessons are comfortable with.
ENOUGH_MEMORY = 4

#: Modules whose names are not those of their packages.
_MODULES = {"ipython": "IPython", "pillow": "PIL", "scikit-image": "skimage"}


@dataclass(frozen=True)
class Finding:
    """What was found out about one thing.

    Attributes
    ----------
    status : {"OK", "FAIL", "NOTE"}
        Whether it is as the course needs it; "NOTE" is not an obstacle.
    name : str
        What was looked at.
    message : str
        What was found and, after a failure, what to do; one line.
    """

    status: str
    name: str
    message: str

    def __str__(self) -> str:
        return f"{f'[{self.status}]':6} {self.name}: {self.message}"


def check_environment() -> list[Finding]:
    """Look at Python, the libraries, what ships with the course, and the machine.

    Returns
    -------
    list of Finding
        At least one for each; whatever is wrong is in here, and nothing is raised.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of libraries, as they are imported
        findings = [_python(sys.version_info), *_libraries()]
        failure = _import("course_lib")
        if failure:
            advice = "put right first what has failed above"
            return [*findings, Finding("FAIL", "course_lib", f"{failure}; {advice}")]
        for name, check in (
            ("photographs", _photographs),
            ("weights", _weights),
            ("processor", _processor),
            ("memory", _memory),
            ("graphics card", _graphics_card),
            ("a first picture", _first_picture),
        ):
            findings += _guarded(name, check)
        return findings


def _guarded(name: str, check: Callable[[], Iterator[Finding]]) -> list[Finding]:
    try:
        return list(check())
    except Exception as error:  # whatever is wrong with this machine, say so and go on
        advice = "put right first what has failed above; if nothing has, please report this"
        return [Finding("FAIL", name, f"{_one_line(error)}; {advice}")]


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _python(version: Sequence) -> Finding:
    found = ".".join(map(str, version[:3]))
    if tuple(version[:2]) >= OLDEST_PYTHON:
        return Finding("OK", "Python", f"{found} on {platform.system()} {platform.machine()}")
    oldest = ".".join(map(str, OLDEST_PYTHON))
    return Finding("FAIL", "Python", f"{found} is older than {oldest}; install a newer one")


def _libraries() -> Iterator[Finding]:
    """Each library that the package's metadata require."""
    try:
        requirements = metadata.requires("course-lib") or []
    except metadata.PackageNotFoundError:
        advice = "run: make install (or, in the course's folder: python -m pip install .)"
        yield Finding("FAIL", "course-lib", f"not installed; {advice}")
        return
    for requirement in requirements:
        name, minimum, extra = _parsed(requirement)
        if extra is None:
            yield _library(name, minimum)
        elif extra == "lab":
            yield _for_the_lab(name, minimum)


def _parsed(requirement: str) -> tuple[str, str, str | None]:
    """Name, oldest version ("0": any) and extra of a requirement as this package writes it."""
    name, minimum = re.match(r"([\w.-]+)(?:>=([\d.]+))?", requirement).groups()
    extra = re.search(r"extra == .(\w+)", requirement)
    return name, minimum or "0", extra and extra.group(1)


def _library(name: str, minimum: str) -> Finding:
    lack = _lack(name, minimum)
    if lack:
        install = f'run: python -m pip install --upgrade "{name}>={minimum}"'
        return Finding("FAIL", name, f"{lack}; {install}")
    failure = _import(_MODULES.get(name, name))
    if failure:
        again = f'run: python -m pip install --force-reinstall "{name}>={minimum}"'
        return Finding("FAIL", name, f"{_version(name)} is installed, but {failure}; {again}")
    return Finding("OK", name, _version(name))


def _for_the_lab(name: str, minimum: str) -> Finding:
    lack = _lack(name, minimum)
    if not lack:
        return Finding("OK", name, _version(name))
    return Finding(
        "NOTE",
        name,
        f"{lack}; to open the lessons on this machine (on Colab or Kaggle it is not needed), "
        f'run: python -m pip install --upgrade "{name}>={minimum}"',
    )


def _lack(name: str, minimum: str) -> str | None:
    """Why a library is not good enough, in words; None if it is."""
    version = _version(name)
    if version is None:
        return "not installed"
    return f"{version} is older than {minimum}" if _numbers(version) < _numbers(minimum) else None


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _numbers(version: str) -> list[int]:
    """The leading numbers of a version: "2.10.0+cpu" gives [2, 10]."""
    numbers = [int(number) for number in re.match(r"[\d.]*", version).group().split(".") if number]
    while numbers and not numbers[-1]:
        numbers.pop()
    return numbers


def _import(module: str) -> str | None:
    """Import a module; say why it failed, or None."""
    try:
        importlib.import_module(module)
    except Exception as error:  # a library for another system raises OSError, for one
        return f"cannot be imported ({_one_line(error)})"
    return None


def _photographs() -> Iterator[Finding]:
    from course_lib.files import data_folder, wrong_digest

    folder = data_folder() / "photos"
    again = "install the package again (in a clone: git checkout -- data/photos)"
    try:
        with (folder / "photos.csv").open(newline="", encoding="utf-8") as file:
            expected = {row["file"]: row["sha256"] for row in csv.DictReader(file)}
    except OSError as error:
        why = f"{folder / 'photos.csv'} cannot be read ({error.strerror})"
        yield Finding("FAIL", "photographs", f"{why}; {again}")
        return
    wrong = [
        file
        for file, sha256 in expected.items()
        if not (folder / file).is_file() or wrong_digest(folder / file, f"sha256:{sha256}")
    ]
    if wrong:
        named = ", ".join(wrong[:3]) + (", ..." if len(wrong) > 3 else "")
        why = f"{len(wrong)} of {len(expected)} are missing or changed: {named}"
        yield Finding("FAIL", "photographs", f"{why}; {again}")
    else:
        yield Finding("OK", "photographs", f"{len(expected)}, verified")


def _weights() -> Iterator[Finding]:
    from course_lib.models import WeightsError, find_weights, read_weights, shipped_weights

    for model, shipped in shipped_weights().items():
        try:
            _, header = read_weights(find_weights(model, "course"))
        except WeightsError as error:
            yield Finding("FAIL", f"weights of {model}", _one_line(error))
        else:
            found = f"{shipped.file} (width {header.get('width', 'unknown')}), verified"
            yield Finding("OK", f"weights of {model}", found)


def _processor() -> Iterator[Finding]:
    import torch

    from course_lib.device import bfloat16_pays

    yield Finding("OK", "processor", f"PyTorch uses {torch.get_num_threads()} threads")
    yield Finding(
        "NOTE",
        "bfloat16",
        "this processor has instructions for it, and training uses them"
        if bfloat16_pays()
        else "this processor has no instructions for it; training uses float32",
    )


def _memory() -> Iterator[Finding]:
    try:
        import psutil  # comes with JupyterLab's kernel; not worth a requirement of its own

        free = psutil.virtual_memory().available / 1e9
    except Exception:  # not there, or it cannot read this system: nothing to report
        return
    if free < ENOUGH_MEMORY:
        advice = f"below {ENOUGH_MEMORY} GB, close other programs before the training lessons"
        yield Finding("NOTE", "memory", f"{free:.1f} GB free; {advice}")
    else:
        yield Finding("OK", "memory", f"{free:.1f} GB free")


def _graphics_card() -> Iterator[Finding]:
    import torch

    found = "none that PyTorch can use; the lessons need none"
    if torch.cuda.is_available():
        found = torch.cuda.get_device_name()
    yield Finding("NOTE", "graphics card", found)


def _first_picture() -> Iterator[Finding]:
    import numpy as np

    from course_lib.inference import colorize

    ramp = np.linspace(0, 255, 64).astype(np.uint8)
    start = time.perf_counter()
    out = colorize(np.broadcast_to(ramp[:, None, None], (64, 48, 3)).copy(), "eccv16")
    seconds = time.perf_counter() - start
    if out.shape != (64, 48, 3):
        raise RuntimeError(f"expected a picture (64, 48, 3), got {out.shape}")
    yield Finding("OK", "a first picture", f"coloured in {seconds:.1f} s")


def prepare_host() -> int:
    """Install what is missing on a host, and say whether a GPU is worth switching on.

    Whatever is there stays as it is: a host's libraries are built for one another, and one that
    changes under a running notebook needs a restart.

    Returns
    -------
    int
        Exit status: 0 if everything that the course needs is there now, else 1.
    """
    required = [_parsed(requirement) for requirement in metadata.requires("course-lib")]
    # of what a lab needs, such a host has its own; only the painter's widget may be missing
    needed = {n: minimum for n, minimum, extra in required if extra is None or n == "anywidget"}
    here = {name: _version(name) for name in needed}
    missing = [f"{name}>={needed[name]}" for name in needed if here[name] is None]
    old = [n for n in needed if here[n] and _numbers(here[n]) < _numbers(needed[n])]
    for name in old:
        print(
            f"{name} {here[name]} is older than the {needed[name]} that the course needs. It was "
            "left as it is. Choose Runtime > Change runtime type > Runtime version > Latest."
        )
    if old:
        return 1
    if missing:
        kept = [f"{name}=={version}" for name, version in here.items() if version]
        pip = [sys.executable, "-m", "pip", "install", "--quiet", *missing, *kept]
        if subprocess.run(pip).returncode:
            return 1
    print(_gpu_advice())
    return 0


def _gpu_advice() -> str:
    from course_lib.device import pick_device

    if pick_device().type == "cuda":
        return "Networks train on this machine's GPU."
    return (
        "No GPU here. Lessons 06 and 07, which train networks, are faster with one. Where this "
        "host has one to choose (Google Colab: Runtime > Change runtime type > T4 GPU; Kaggle: "
        "Settings > Accelerator), do so before you begin. The others need none."
    )


def main() -> int:
    """Print what `check_environment` finds.

    Returns
    -------
    int
        Exit status: 0 if nothing failed, else 1.
    """
    # Not course_lib.console's: the package's own imports may be what is missing.
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")
    findings = check_environment()
    failed = sum(finding.status == "FAIL" for finding in findings)
    print(*findings, sep="\n")
    print(f"{failed} to put right: see [FAIL]" if failed else "This machine has what it takes.")
    return 1 if failed else 0


if __name__ == "__main__":
    # Run as a file, Python looks for modules in this folder first, where "data" and "image"
    # are this package's own. It shall look beside the package instead.
    here = Path(__file__).resolve().parent
    if Path(sys.path[0]).resolve() == here:
        sys.path[0] = str(here.parent)
    sys.exit(prepare_host() if sys.argv[1:] == ["--hosted"] else main())
