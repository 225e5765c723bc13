"""Rebuild data/photos from the Debian packages that the photographs come from.

``python -m authoring.photographs FOLDER`` takes the packages from a folder of .deb files;
``--download`` fetches them with ``apt-get download`` first, and ``--table`` only writes the table
in data/README.md anew. data/photos/photos.csv says what to make of what: every picture is made
from its row, and its bytes are compared with the row's sha256.

The same packages and the same Pillow give the same bytes. Another version of Pillow, or of the
JPEG and colour libraries inside it, may round differently: then the script names each picture
whose bytes differ, keeps the shipped file, and ends with status 1. Whoever changes a picture on
purpose passes ``--update``, which writes the new pictures and their sha256 into the table.
"""

import argparse
import csv
import hashlib
import io
import subprocess
import sys
import tarfile
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator
from importlib import resources
from importlib.metadata import version
from pathlib import Path

import numpy as np
from PIL import Image

from authoring.course import DATA
from authoring.markers import replace_between
from course_lib.evaluation import markdown_table
from course_lib.files import whole_file
from course_lib.image import ImageError, load_image

#: Longest side of a scene or a gray picture, and of an object with its margin, in pixels.
SCENE_SIDE, OBJECT_SIDE = 768, 320
#: White around an object, as a part of its longest side.
MARGIN = 0.06
#: JPEG qualities. Objects are small, so that blocks would show in them first.
SCENE_QUALITY, OBJECT_QUALITY = 88, 92
#: Less opaque pixels than this do not count as part of an object.
OPAQUE = 24
#: Not a Debian package: its pictures come from the installed Python package.
PYTHON_PACKAGE = "scikit-image"


class BuildError(RuntimeError):
    """The photographs cannot be rebuilt; the message says why and what to do."""


# Pictures ---------------------------------------------------------------------------------------


def shrink(picture: Image.Image, side: int) -> Image.Image:
    """Make a picture smaller until its longest side fits; never larger.

    Parameters
    ----------
    picture : PIL.Image.Image
        Mode RGB or L.
    side : int
        Longest side allowed, in pixels.

    Returns
    -------
    PIL.Image.Image
        In the same mode and proportions.
    """
    scale = side / max(picture.size)
    if scale >= 1:
        return picture
    width, height = (max(1, round(length * scale)) for length in picture.size)
    return picture.resize((width, height), Image.Resampling.LANCZOS)


def make_scene(content: bytes) -> Image.Image:
    """A photograph, at most `SCENE_SIDE` pixels long.

    Parameters
    ----------
    content : bytes
        A picture file.

    Returns
    -------
    PIL.Image.Image
        Mode RGB.
    """
    return shrink(Image.fromarray(load_image(content)), SCENE_SIDE)


def make_gray(content: bytes) -> Image.Image:
    """A photograph that has no colour, as a picture of one channel.

    Parameters
    ----------
    content : bytes
        A picture file whose red, green and blue are equal throughout.

    Returns
    -------
    PIL.Image.Image
        Mode L, at most `SCENE_SIDE` pixels long.

    Raises
    ------
    BuildError
        If the picture has colour.
    """
    rgb = load_image(content)
    if (rgb != rgb[..., :1]).any():
        raise BuildError("the picture has colour, so it is not of the kind gray")
    return shrink(Image.fromarray(np.ascontiguousarray(rgb[..., 0])), SCENE_SIDE)


def make_object(content: bytes) -> Image.Image:
    """An object that was cut out, on white, cropped to itself and a small margin.

    White is laid under the object before it is made smaller, so that whatever colour hides in
    the transparent pixels cannot bleed into its edge.

    Parameters
    ----------
    content : bytes
        A picture file with an alpha channel.

    Returns
    -------
    PIL.Image.Image
        Mode RGB, at most `OBJECT_SIDE` pixels long.

    Raises
    ------
    BuildError
        If nothing in the picture is opaque.
    """
    alpha = Image.open(io.BytesIO(content)).convert("RGBA").getchannel("A")
    box = alpha.point(lambda value: 255 * (value >= OPAQUE)).getbbox()
    if box is None:
        raise BuildError("the picture is transparent throughout")
    cut = Image.fromarray(load_image(content)).crop(box)
    margin = max(3, round(MARGIN * max(cut.size)))
    canvas = Image.new("RGB", (cut.width + 2 * margin, cut.height + 2 * margin), "white")
    canvas.paste(cut, (margin, margin))
    return shrink(canvas, OBJECT_SIDE)


def make_photo(kind: str, content: bytes) -> bytes:
    """The JPEG file that ships, from the file in the package.

    Parameters
    ----------
    kind : {"scene", "object", "gray"}
        As in photos.csv.
    content : bytes
        The file in the package.

    Returns
    -------
    bytes
        The JPEG file, without metadata and with colour at full resolution.
    """
    make = {"scene": make_scene, "object": make_object, "gray": make_gray}[kind]
    picture = make(content)
    picture.info.clear()
    file = io.BytesIO()
    quality = OBJECT_QUALITY if kind == "object" else SCENE_QUALITY
    picture.save(file, format="JPEG", quality=quality, subsampling=0, optimize=True)
    return file.getvalue()


# Packages ---------------------------------------------------------------------------------------


def find_package(folder: Path, package: str) -> Path:
    """The file of a Debian package in a folder.

    Parameters
    ----------
    folder : pathlib.Path
        Holds files named as Debian names them: package_version_architecture.deb.
    package : str
        The package's name.

    Returns
    -------
    pathlib.Path
        The last of them by name, if there are several.

    Raises
    ------
    BuildError
        If there is none.
    """
    found = sorted(folder.glob(f"{package}_*.deb"))
    if not found:
        raise BuildError(
            f"{folder}: no {package}_*.deb; put it there with 'apt-get download {package}'"
        )
    return found[-1]


def package_version(deb: Path) -> str:
    """The version that a Debian package says it has.

    Parameters
    ----------
    deb : pathlib.Path
        The package's file.

    Returns
    -------
    str
        For example "1.26.0-1".
    """
    command = ["dpkg-deb", "--field", str(deb), "Version"]
    try:
        run = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise BuildError("dpkg-deb is missing; this runs on Debian and its relatives") from None
    if run.returncode:
        raise BuildError(f"{deb}: not a Debian package ({run.stderr.strip()})")
    return run.stdout.strip()


def read_package(deb: Path, wanted: Iterable[str]) -> Iterator[tuple[str, bytes]]:
    """Files out of a Debian package; nothing is unpacked to disk.

    Parameters
    ----------
    deb : pathlib.Path
        The package's file.
    wanted : iterable of str
        Paths inside the package, without "./" before them.

    Yields
    ------
    path : str
        One of `wanted`.
    content : bytes
        The file's content.

    Raises
    ------
    BuildError
        After the last one, if some of `wanted` are not in the package.
    """
    missing = set(wanted)
    command = ["dpkg-deb", "--fsys-tarfile", str(deb)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        try:
            with tarfile.open(fileobj=process.stdout, mode="r|") as archive:
                for member in archive:
                    path = member.name.removeprefix("./")
                    if path in missing and member.isfile():
                        missing.remove(path)
                        yield path, archive.extractfile(member).read()
                    if not missing:
                        break
        except tarfile.TarError as error:
            raise BuildError(f"{deb}: damaged, or not a Debian package ({error})") from None
        finally:
            process.kill()  # the rest of a large package need not be unpacked
    if missing:
        raise BuildError(f"{deb.name} does not hold {', '.join(sorted(missing))}")


def read_python_package(wanted: Iterable[str]) -> Iterator[tuple[str, bytes]]:
    """Files out of the installed scikit-image.

    Parameters
    ----------
    wanted : iterable of str
        Paths below site-packages, as "skimage/data/camera.png".

    Yields
    ------
    path : str
        One of `wanted`.
    content : bytes
        The file's content.
    """
    for path in wanted:
        package, *parts = path.split("/")
        try:
            yield path, resources.files(package).joinpath(*parts).read_bytes()
        except FileNotFoundError:
            raise BuildError(
                f"{path} is not in {PYTHON_PACKAGE} {version(PYTHON_PACKAGE)}"
            ) from None


def download(packages: Iterable[str], folder: Path) -> None:
    """Fetch Debian packages with apt-get.

    Parameters
    ----------
    packages : iterable of str
        Their names.
    folder : pathlib.Path
        Where the .deb files go.
    """
    try:
        subprocess.run(["apt-get", "download", *packages], cwd=folder, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise BuildError(f"apt-get could not download the packages ({error})") from None


# Files ------------------------------------------------------------------------------------------


def read_rows(table: Path) -> list[dict[str, str]]:
    """The rows of photos.csv.

    Parameters
    ----------
    table : pathlib.Path
        The file.

    Returns
    -------
    list of dict
        From column to value.
    """
    with table.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def write_whole(path: Path, content: bytes) -> None:
    """Write a file whole or not at all, into a folder that is made if need be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as file:
        file.write(content)


def write_rows(table: Path, rows: list[dict[str, str]]) -> None:
    """Write photos.csv.

    Parameters
    ----------
    table : pathlib.Path
        The file.
    rows : list of dict
        As from `read_rows`, with the same columns in each.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, rows[0].keys(), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_whole(table, text.getvalue().encode())


def photo_table(rows: list[dict[str, str]]) -> str:
    """Where each photograph comes from, as a table in Markdown.

    Parameters
    ----------
    rows : list of dict
        The rows of photos.csv.

    Returns
    -------
    str
        Lines, a row each.
    """
    columns = ("file", "title", "author", "licence", "package", "version")
    cells = [[row[column].replace("|", r"\|") for column in columns] for row in rows]
    return markdown_table([columns, *cells])


def fresh_readme(text: str, rows: list[dict[str, str]]) -> str:
    """data/README.md with the table of photographs made anew.

    Parameters
    ----------
    text : str
        The page as it is.
    rows : list of dict
        The rows of photos.csv.

    Returns
    -------
    str
        The page as it should be.
    """
    return replace_between(text, "table of photographs", photo_table(rows))


# The whole --------------------------------------------------------------------------------------


def read_sources(
    rows: list[dict[str, str]], folder: Path
) -> Iterator[tuple[dict[str, str], bytes]]:
    """The file in the package for each row, package by package.

    Parameters
    ----------
    rows : list of dict
        The rows of photos.csv.
    folder : pathlib.Path
        Holds the .deb files.

    Yields
    ------
    row : dict
        One of `rows`.
    content : bytes
        The file that the row's picture is made from.
    """
    packages = defaultdict(dict)
    for row in rows:
        packages[row["package"]][row["source"]] = row
    debs = {name: find_package(folder, name) for name in packages if name != PYTHON_PACKAGE}
    for package, by_source in packages.items():
        deb = debs.get(package)
        found = package_version(deb) if deb else version(PYTHON_PACKAGE)
        expected = next(iter(by_source.values()))["version"]
        if found != expected:
            print(f"{package}: version {found}; the table was made from {expected}")
        files = read_package(deb, by_source) if deb else read_python_package(by_source)
        for source, content in files:
            yield by_source[source], content


def build(photos: Path, folder: Path, *, update: bool = False) -> list[str]:
    """Make every picture of photos.csv and compare it with the table.

    Parameters
    ----------
    photos : pathlib.Path
        The folder of photos.csv, to which the pictures go.
    folder : pathlib.Path
        Holds the .deb files.
    update : bool
        Whether pictures that came out otherwise replace those that are there, and their sha256
        that in the table.

    Returns
    -------
    list of str
        The pictures that came out otherwise than the table says.
    """
    rows = read_rows(photos / "photos.csv")
    different = []
    for row, content in read_sources(rows, folder):
        try:
            photo = make_photo(row["kind"], content)
        except (BuildError, ImageError) as error:
            raise BuildError(f"{row['file']}: {error}") from None
        digest = hashlib.sha256(photo).hexdigest()
        path = photos / row["file"]
        if digest != row["sha256"]:
            different.append(row["file"])
        if digest == row["sha256"] or update or not path.exists():
            write_whole(path, photo)
        if update:
            row["sha256"] = digest
    if update:
        write_rows(photos / "photos.csv", rows)
    return different


def report(different: list[str], *, update: bool) -> None:
    """Say which pictures came out otherwise than the table says.

    Parameters
    ----------
    different : list of str
        From `build`.
    update : bool
        Whether they were taken over.
    """
    for name in different:
        print(f"{name}: {'new bytes' if update else 'other bytes than the table says'}")
    if different and not update:
        print(
            f"{len(different)} pictures differ. Another version of Pillow ({version('pillow')} "
            "here) can do that; look at them before you pass --update."
        )
    elif not different:
        print("every picture is as the table says")


def main(arguments: list[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    arguments : list of str, optional
        Those of the process unless given.

    Returns
    -------
    int
        0 if all is as the table says or was updated, 1 if not, 2 if it could not be done.
    """
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("folder", nargs="?", type=Path, help="folder of the .deb files")
    source.add_argument("--download", action="store_true", help="fetch them with apt-get")
    source.add_argument("--table", action="store_true", help="only data/README.md's table")
    parser.add_argument("--update", action="store_true", help="take over what came out otherwise")
    options = parser.parse_args(arguments)
    photos, readme = DATA / "photos", DATA / "README.md"
    different = []
    try:
        if options.download:
            packages = {row["package"] for row in read_rows(photos / "photos.csv")}
            with tempfile.TemporaryDirectory() as folder:
                download(sorted(packages - {PYTHON_PACKAGE}), Path(folder))
                different = build(photos, Path(folder), update=options.update)
        elif options.folder:
            different = build(photos, options.folder, update=options.update)
        text = readme.read_text(encoding="utf-8")
        fresh = fresh_readme(text, read_rows(photos / "photos.csv"))
        if fresh != text:
            write_whole(readme, fresh.encode())
    except (BuildError, OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if not options.table:
        report(different, update=options.update)
    return int(bool(different) and not options.update)


if __name__ == "__main__":
    sys.exit(main())
