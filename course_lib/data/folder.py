"""Where the files that ship with the course lie: photographs and weights."""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent.parent


def data_folder() -> Path:
    """The folder of shipped photographs and weights.

    Returns
    -------
    pathlib.Path
        ``course_lib/_shipped`` in an installed package; the repository's ``data`` in a
        checkout.

    Raises
    ------
    FileNotFoundError
        If neither is there.
    """
    # Which one is there depends on how the package came here, so look, installed copy first:
    # beside an installed package (site-packages) a folder "data" would be somebody else's.
    packed, checkout = _PACKAGE / "_shipped", _PACKAGE.parent / "data"
    if packed.is_dir():
        return packed
    if any((checkout / part).is_dir() for part in ("photos", "weights")):
        return checkout
    raise FileNotFoundError(
        f"the course's photographs and weights are missing: neither {packed} nor {checkout} is "
        "there; install the package again, or clone the whole repository"
    )
