"""The command: ``python -m course_lib.evaluation``."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import pooch

from course_lib import evaluation
from course_lib.console import accept_any_letter
from course_lib.data.arrays import square
from course_lib.data.photos import KINDS, SPLITS, photos
from course_lib.data.public import PUBLIC_SETS, DatasetError, fetch_dataset
from course_lib.evaluation.baselines import NearestPicture, training_codes
from course_lib.evaluation.held_out import SIZE, held_out_pictures
from course_lib.evaluation.results import evaluate, format_results, results_sheet
from course_lib.files import whole_file
from course_lib.image import ImageError, save_image
from course_lib.models import WeightsError, find_weights, load_network, shipped_weights


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m course_lib.evaluation",
        description=evaluation.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--split", choices=SPLITS, default="test", help="shipped photographs")
    parser.add_argument("--kind", choices=[k for k in KINDS if k != "gray"], default="scene")
    parser.add_argument(
        "--folder",
        nargs="+",
        help=f"instead: folders of pictures, or public sets ({', '.join(PUBLIC_SETS)})",
    )
    parser.add_argument("--only", nargs="+", default=(), help="of the folders: these subfolders")
    parser.add_argument("--without", nargs="+", default=(), help="of the folders: not these")
    parser.add_argument("--part", choices=SPLITS, default="test", help="of the folders, by hash")
    parser.add_argument("--count", type=int, default=200, help="at most so many of them")
    parser.add_argument("--size", type=int, default=SIZE, help="of the squares, in pixels")
    parser.add_argument(
        "--train",
        type=Path,
        help="array that the baselines learn from; copies of its pictures are not measured",
    )
    parser.add_argument("--weights", default="course", help="course or official")
    parser.add_argument("--name", default="course test scenes", help="of the pictures, in FILE")
    parser.add_argument("--json", type=Path, help="also put the figures into this file")
    parser.add_argument(
        "--picture",
        type=Path,
        help="also write a sheet of results to this file, from eccv16's best picture to its worst",
    )
    parser.add_argument("--sheet", type=int, default=6, help="photographs on the sheet")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print tables; returns the exit status."""
    accept_any_letter()
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        nets = {name: load_network(name, options.weights) for name in shipped_weights()}
        nearest = NearestPicture(training_codes(options.train))
        if options.folder:
            folders = [
                fetch_dataset(name) if name in PUBLIC_SETS else Path(name)
                for name in options.folder
            ]
            pictures = held_out_pictures(
                folders,
                options.part,
                options.count,
                only=options.only,
                without=options.without,
                size=options.size,
                known=nearest.thumbnails,
            )
        else:
            pictures = [
                square(p.load(), options.size) for p in photos(options.split, options.kind)
            ]
    except (WeightsError, DatasetError, ImageError, ValueError, OSError) as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 2
    results, gains = evaluate(pictures, nets, nearest)
    print(f"{options.name}: {len(pictures)} photographs, {options.size} x {options.size}\n")
    print(format_results(results))
    if options.json:
        known = json.loads(options.json.read_text()) if options.json.exists() else {}
        known[options.name] = {
            "pictures": len(pictures),
            "size": options.size,
            "training_pictures": len(nearest.codes),  # of the baselines
            "weights": {
                name: pooch.file_hash(str(find_weights(name, options.weights))) for name in nets
            },
            **results,
        }
        with whole_file(options.json) as file:
            file.write((json.dumps(known, indent=2) + "\n").encode())
    if options.picture:
        save_image(options.picture, results_sheet(pictures, nets, gains, options.sheet))
    return 0


if __name__ == "__main__":
    sys.exit(main())
