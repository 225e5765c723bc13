"""Networks as files for other programs: ``python -m course_lib.models export eccv16``."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from course_lib.console import accept_any_letter
from course_lib.models.loading import load_network
from course_lib.models.networks import NETWORKS
from course_lib.models.onnx import export_onnx
from course_lib.models.weights import WeightsError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    arguments : sequence of str, optional
        Without the program's name; those of the process unless given.

    Returns
    -------
    int
        Exit status: 0 done, 2 wrong use or no weights (also raised as SystemExit by argparse).
    """
    accept_any_letter()
    parser = argparse.ArgumentParser(
        prog="python -m course_lib.models", description="Write networks for other programs."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    export = commands.add_parser("export", help="write a network as an ONNX file")
    export.add_argument("model", choices=NETWORKS)
    export.add_argument(
        "--weights", default="course", help="course (the default), official, or a file"
    )
    export.add_argument("--output", type=Path, help="the file (default: MODEL.onnx)")
    options = parser.parse_args(arguments)
    output = options.output or Path(f"{options.model}.onnx")
    try:
        export_onnx(load_network(options.model, options.weights), output)
    except (WeightsError, ValueError, ImportError, OSError) as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 2
    print(f"{output}: {output.stat().st_size / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
