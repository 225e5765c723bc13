"""Time and peak memory of colouring one 12-megapixel photograph, beside its parts.

    python tests/benchmarks/large_photo.py [eccv16|siggraph17]

The picture is a shipped photograph enlarged to 4000 x 3000. The ratio to a plain Lab round trip
of the same picture is what to compare between machines; seconds are this machine's alone.
"""

import resource
import sys
import time

import numpy as np
import torch
from PIL import Image

import course_lib as cl


def seconds(function, repeats=3):
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return sorted(times)[len(times) // 2]


def peak_megabytes():
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)


def main(model):
    photo = Image.fromarray(cl.photos("test", "scene")[0].load())
    rgb = np.asarray(photo.resize((4000, 3000), Image.Resampling.BICUBIC))
    net = getattr(cl, model)()
    small = rgb[::16, ::16]
    cl.colorize(small, net)  # warm-up
    before = peak_megabytes()
    whole = seconds(lambda: cl.colorize(rgb, net))
    after = peak_megabytes()
    network = seconds(lambda: cl.colorize(small, net))
    round_trip = seconds(lambda: [cl.lab_to_rgb(cl.rgb_to_lab(r)) for r in np.array_split(rgb, 6)])
    print(f"{model}, 12 megapixels, {torch.get_num_threads()} threads, median of 3")
    print(f"whole      {whole:6.2f} s, {whole / round_trip:.2f} times a Lab round trip")
    print(f"network    {network:6.2f} s (at its own size)")
    print(f"round trip {round_trip:6.2f} s")
    print(f"memory     {after:6.0f} MB at its peak, {after - before:.0f} MB more than before")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "eccv16")
