"""Put everything that a classroom without a network needs into one folder, for a stick.

    python -m authoring.offline_kit FOLDER                                  for this system
    python -m authoring.offline_kit FOLDER --for windows-3.12 macos-3.13    for others

The folder gets the lessons, the course's wheel with its photographs and weights, the wheels of
`constraints.txt` (with those for teachers and for the tests), a README that says how to install
from them, and checksums. Here the network is needed; where the folder is used it is not.
"""

import hashlib
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from packaging.markers import default_environment
from packaging.requirements import Requirement

from authoring import course
from authoring.course import NOTEBOOKS, ROOT

#: Where PyTorch for Linux comes without gigabytes for NVIDIA cards. Elsewhere it has none anyway.
TORCH_FOR_CPU = "https://download.pytorch.org/whl/cpu"

README = """\
# The colorization course, without a network

Everything is in this folder: the lessons, photographs, trained weights, and all software but
Python itself, for

{systems}

With another Python than named here, the files in `wheels` do not fit. If the computers have none,
put its installer, from python.org, beside this file.

Copy this folder to the computer, and open a terminal in the copy. What is installed takes about
four times the room of this folder.

{sections}
## For teachers

Whoever grades with nbgrader installs `"course-lib[lab,teach]"` instead, on their own computer.

To see whether a copy is good, run `sha256sum -c SHA256SUMS`, on macOS
`shasum -a 256 -c SHA256SUMS`. In Windows' PowerShell, `Get-FileHash wheels\\*` prints the sums, to
be compared.
"""

SECTION = """\
## On {system}

Install, once. The last line looks at the machine, and says [OK], or [FAIL] with what to do.

```
{start} -m venv .venv
{python} -m pip install --no-index --find-links wheels "course-lib[lab]"
{python} -m course_lib.environment
```

Begin, on this day and on every other:

```
cd notebooks
{jupyter} lab 00_start_here.ipynb
```
"""


@dataclass(frozen=True)
class Target:
    """What a kit is for.

    Attributes
    ----------
    system : str
        For people: "Windows (64 bit)".
    python : str
        "3.12".
    environment : dict of str to str
        What environment markers see there.
    options : tuple of str
        What `pip download` must be told: nothing for the system that it runs on.
    """

    system: str
    python: str
    environment: dict[str, str]
    options: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.system} with Python {self.python}"

    @property
    def section(self) -> str:
        """What the README says of it."""
        if self.environment["sys_platform"] == "win32":
            start, scripts, slash = f"py -{self.python}", ".venv\\Scripts", "\\"
        else:
            start, scripts, slash = f"python{self.python}", ".venv/bin", "/"
        return SECTION.format(
            system=self,
            start=start,
            python=f"{scripts}{slash}python",
            jupyter=f"..{slash}{scripts}{slash}jupyter",
        )


# pip takes older tags of macOS by itself, but not those of Linux.
_LINUX = [f"manylinux_2_{minor}_x86_64" for minor in range(28, 16, -1)]
_LINUX += ["manylinux2014_x86_64"]

#: Name; what markers call sys_platform, platform_system, os_name, platform_machine; wheels' tags.
_SYSTEMS = {
    "linux": ("Linux (x86, 64 bit)", "linux", "Linux", "posix", "x86_64", _LINUX),
    "macos": (
        "macOS 14 or newer (Apple silicon)",
        "darwin",
        "Darwin",
        "posix",
        "arm64",
        ["macosx_14_0_arm64"],
    ),
    "windows": ("Windows (64 bit)", "win32", "Windows", "nt", "AMD64", ["win_amd64"]),
}


def this_system() -> Target:
    """The system and the Python that this runs on."""
    environment = default_environment()
    system = environment["platform_system"].replace("Darwin", "macOS")
    system += f" ({environment['platform_machine']})"
    return Target(system, environment["python_version"], environment)


def target(text: str) -> Target:
    """Another system and Python.

    Parameters
    ----------
    text : str
        Such as "windows-3.12": linux, macos or windows, and a version of Python.

    Returns
    -------
    Target

    Raises
    ------
    ValueError
        If it is of another form.
    """
    match = re.fullmatch(r"(linux|macos|windows)-(3\.\d+)", text)
    if not match:
        raise ValueError(f"{text} is not linux, macos or windows with a Python, as windows-3.12")
    system, python = match.groups()
    name, sys_platform, platform_system, os_name, machine, tags = _SYSTEMS[system]
    environment = default_environment() | {
        "implementation_name": "cpython",
        "os_name": os_name,
        "platform_machine": machine,
        "platform_python_implementation": "CPython",
        "platform_system": platform_system,
        "python_full_version": f"{python}.0",
        "python_version": python,
        "sys_platform": sys_platform,
    }
    options = ["--implementation", "cp", "--python-version", python]
    options += [option for tag in tags for option in ("--platform", tag)]
    return Target(name, python, environment, tuple(options))


def pins(constraints: str, environment: dict[str, str]) -> list[str]:
    """The exact versions for one system.

    Parameters
    ----------
    constraints : str
        Lines of ``name==version``, some with an environment marker after a semicolon.
    environment : dict of str to str
        What the markers see, as `packaging.markers.default_environment` gives it.

    Returns
    -------
    list of str
        The lines that hold there, without their markers.
    """
    lines = [line for line in constraints.splitlines() if line and not line.startswith("#")]
    found = [Requirement(line) for line in lines]
    return [
        f"{pin.name}{pin.specifier}"
        for pin in found
        if pin.marker is None or pin.marker.evaluate(environment)
    ]


def download(wheels: Path, target: Target) -> None:
    """Fetch the wheels of `constraints.txt` for one system."""

    def pip(*requirements: str) -> None:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        command += ["--disable-pip-version-check", "--only-binary", ":all:", "--dest", str(wheels)]
        subprocess.run([*command, *target.options, *requirements], check=True)

    versions = pins((ROOT / "constraints.txt").read_text("utf-8"), target.environment)
    if target.environment["sys_platform"] == "linux":
        (torch,) = (pin for pin in versions if pin.startswith("torch=="))
        pip(torch, "--index-url", TORCH_FOR_CPU, "--retries", "1")
        versions.remove(torch)
    pip(*versions)


def checksums(folder: Path) -> str:
    """A line of SHA-256 and path, as sha256sum has it, for every file in a folder."""
    lines = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        lines.append(f"{digest}  {path.relative_to(folder).as_posix()}\n")
    return "".join(lines)


def make_kit(folder: Path, targets: list[Target]) -> None:
    """Write the kit, all of it or nothing.

    Parameters
    ----------
    folder : pathlib.Path
        New or empty.
    targets : list of Target
        What it is for.

    Raises
    ------
    FileExistsError
        If there is something in the folder.
    subprocess.CalledProcessError
        If a wheel cannot be had.
    """
    with course.new_folder(folder) as kit:
        _fill(kit, targets)


def _fill(folder: Path, targets: list[Target]) -> None:
    wheels, notebooks = folder / "wheels", folder / "notebooks"
    wheels.mkdir()
    notebooks.mkdir()
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel"]
    subprocess.run([*command, "--directory", str(wheels.resolve())], cwd=ROOT, check=True)
    for wanted in targets:
        download(wheels, wanted)
    pages = [course.notebook_of(source.stem) for source in course.lessons()]
    for path in [*pages, NOTEBOOKS / "common_errors.md"]:
        shutil.copy(path, notebooks)
    readme = README.format(
        systems="\n".join(f"- {wanted}," for wanted in targets)[:-1] + ".",
        sections="\n".join(wanted.section for wanted in targets),
    )
    course.write_text(folder / "README.md", readme)
    course.write_text(folder / "SHA256SUMS", checksums(folder))


def main() -> None:
    """Make the folder that the command line names."""
    parser = course.command_line(__doc__)
    parser.add_argument("folder", type=Path, help="where; a new or empty folder")
    parser.add_argument(
        "--for",
        nargs="+",
        dest="targets",
        metavar="SYSTEM-PYTHON",
        default=[],
        help="windows-3.12",
    )
    options = parser.parse_args()
    options.folder = options.folder.expanduser()
    try:
        targets = [target(text) for text in options.targets] or [this_system()]
        make_kit(options.folder, targets)
    except (FileExistsError, ValueError) as error:
        sys.exit(str(error))
    except subprocess.CalledProcessError:
        sys.exit(f"{options.folder} has not been made: see above")
    size = sum(path.stat().st_size for path in options.folder.rglob("*") if path.is_file())
    print(f"{options.folder}: {size / 1e6:.0f} MB, for {', '.join(map(str, targets))}")


if __name__ == "__main__":
    main()
