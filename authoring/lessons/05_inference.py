# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Colorize any photograph
#
# A trained network is not yet a tool. It wants a small gray square of numbers; you have a
# photograph of twelve megapixels, a folder of scans, a palette PNG from 1998. This lesson is about
# everything around the network: what goes in, what comes out, and how to tell whether it is any
# good.
#
# **You will do**
#
# - follow one photograph through the network, step by step, and back to its full size;
# - build a pipeline of your own, from file to file, out of what you write here, time it beside the
#   library's, and send a folder of old photographs through it;
# - adjust saturation and colour temperature, and filter before and after;
# - measure two networks against the gray picture, and look at where they fail.
#
# **You will learn**
#
# - why a network that sees a hundred pixels can colour a large photograph without blur;
# - why its colours stop at edges that it never saw sharply;
# - why one number is not enough to judge a colouring.
#
# **You need** lesson 00. Lab, the colour space with lightness *L* and colour *a*, *b*, is lesson
# 02's subject; here it is enough that L is the gray picture and ab is what gray lacks.
#
# **Time** about 95 minutes: 40 of reading, 55 of exercises. The computer needs about a minute.
#
# **In a hurry** run every cell, but read only 1 to 3, 9 and 11 to 13; do exercises 1, 2 and 5.

# %%
import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

import course_lib as cl
from course_lib.checks import lesson_05 as check
from course_lib.plotting import show_pictures, show_table

# %% [markdown]
# ## Two questions first
#
# Answer aloud or on paper, then unfold.
#
# Lesson 00: what does the network see of a colour photograph?
#
# <details>
# <summary>Answer</summary>
#
# Its lightness L alone, at a small size. What it answers are a and b.
#
# </details>
#
# Lesson 02, if you have met it: which may be coarse without anybody's noticing, L or ab?
#
# <details>
# <summary>Answer</summary>
#
# ab. The eye finds edges in L.
#
# </details>
#
# ## 1. From a photograph to the network's input
#
# We take a photograph whose colours we know, and throw them away. So there is something to compare
# with at the end. The network never sees the colours. (How good its guesses are, on this photograph and
# on others, is the matter of sections 11 and 12.)

# %%
photo = cl.load_photo("scenes/dune")
gray = cl.to_gray(photo)
show_pictures(
    [photo, gray],
    ["what the camera saw", "what we keep"],
    "Tall grass on a dune before the sea, in colour and in gray.",
)
print(photo.shape, photo.dtype)

# %% [markdown]
# Both have three channels; in the gray one they are equal. What the network wants is one channel,
# lightness **L** of Lab, from 0 (black) to 100 (white).

# %%
L = cl.rgb_to_lab(gray)[..., 0]
print("L:", L.shape, f"from {L.min():.0f} to {L.max():.0f}")

# %% [markdown]
# The network knows things at the scale at which it met them in training. A tree that fills the
# picture is not a tree to a network that only ever saw trees of 30 pixels. So every network has a
# size at which it is best used, and ours carries it along.

# %%
net = cl.eccv16()
print("input size:", net.input_size, "pixels on the shorter side")
print("parameters:", f"{sum(p.numel() for p in net.parameters()):,}")

# %% [markdown]
# Inside, the network halves the picture three times. Sides that are multiples of 8 come through
# that without a remainder, so we round to one.

# %%
height, width = photo.shape[:2]
scale = net.input_size / min(height, width)
small_height, small_width = (8 * round(side * scale / 8) for side in (height, width))
small = Image.fromarray(gray).resize((small_width, small_height), Image.Resampling.BICUBIC)
small_l = torch.from_numpy(cl.rgb_to_lab(np.asarray(small))[..., 0])[None, None]
print("to the network:", tuple(small_l.shape), small_l.dtype)

# %% [markdown]
# Four axes: pictures, channels, rows, columns. The two `None` made the first two, because networks
# take batches. That is all the preprocessing there is.
#
# ## 2. Through the network and out

# %%
with torch.inference_mode():
    ab = net(small_l)
print("from the network:", tuple(ab.shape))
print(f"a from {ab[0, 0].min():.0f} to {ab[0, 0].max():.0f}")
print(f"b from {ab[0, 1].min():.0f} to {ab[0, 1].max():.0f}")

# %% [markdown]
# Two numbers for every pixel. *a* runs from green to red, *b* from blue to yellow, and 0 is gray in
# both. Let us look at them: first each alone, as gray pictures, then together with L.

# %%
small_ab = ab[0].permute(1, 2, 0).numpy()
small_colour = cl.lab_to_rgb(np.dstack([small_l[0, 0].numpy(), small_ab]))
as_gray = np.clip(small_ab / 60 + 0.5, 0, 1)
show_pictures(
    [small_l[0, 0].numpy() / 100, as_gray[..., 0], as_gray[..., 1], small_colour],
    ["L, went in", "a, came out", "b, came out", "all three"],
    "Four small pictures: lightness with all detail, the soft clouds of a and of b, "
    "and the small coloured picture they make together.",
)

# %% [markdown]
# L is crisp; a and b are soft clouds. The network answers on a grid four times coarser than its
# input, and enlarges that. It does not matter, as lesson 02 shows: eyes are forgiving about the
# sharpness of colour, and not at all about the sharpness of lightness.
#
# ## 3. Back to full size: keep the photograph's own L
#
# The obvious way is to enlarge the small coloured picture. The better way is to enlarge **ab only**
# and to join it with the L of the photograph, which was sharp all along.

# %%
enlarged = np.asarray(
    Image.fromarray(small_colour).resize((width, height), Image.Resampling.BICUBIC)
)
large_ab = F.interpolate(ab, (height, width), mode="bilinear", align_corners=False)
joined = cl.lab_to_rgb(np.dstack([L, large_ab[0].permute(1, 2, 0).numpy()]))


def detail(rgb):
    """Mean difference of neighbouring pixels' lightness: how much fine detail there is."""
    return np.abs(np.diff(cl.rgb_to_lab(rgb)[..., 0], axis=1)).mean()


for name, picture in {"photograph": gray, "enlarged": enlarged, "own L kept": joined}.items():
    print(f"{name:10}  detail {detail(picture):.1f}")

# %% tags=["assertion"]
assert detail(enlarged) < 0.5 * detail(gray)
assert abs(detail(joined) / detail(gray) - 1) < 0.05

# %%
window = np.s_[120:300, 330:600]
show_pictures(
    [gray[window], enlarged[window], joined[window]],
    ["the photograph", "enlarged: blurred", "own L kept: sharp"],
    "A part of the dune three times: gray and sharp, coloured and blurred, coloured and sharp.",
)

# %% [markdown]
# This answers a question that is asked in public again and again: *how do I colorize a photograph
# larger than 256 pixels without blur?* Never take the lightness from the network's size.
#
# ### Exercise 1: keep the lightness
#
# *Easy, 10 minutes.* Write that step as a function. You have just seen all its pieces.


# %% tags=["exercise"]
def keep_lightness(rgb, ab):
    """Join a photograph's own L with colours that a network predicted at a smaller size.

    rgb: (H, W, 3) uint8. ab: tensor (1, 2, h, w), Lab units; it is to be enlarged smoothly.
    Returns (H, W, 3) uint8.
    """
    ### BEGIN SOLUTION
    L = cl.rgb_to_lab(rgb)[..., 0]
    large = F.interpolate(ab, L.shape, mode="bilinear", align_corners=False)
    return cl.lab_to_rgb(np.dstack([L, large[0].permute(1, 2, 0).numpy()]))
    ### END SOLUTION


# %% tags=["check"]
check.keep_lightness(keep_lightness)

# %% [markdown] tags=["hint"]
# Three steps: L from `cl.rgb_to_lab`, ab to the size of L with `F.interpolate`, and both into
# `cl.lab_to_rgb`. A tensor (1, 2, H, W) becomes an array (H, W, 2) with
# `[0].permute(1, 2, 0).numpy()`.

# %% [markdown]
# ## 4. Colours that stop at edges
#
# Enlarging ab bilinearly leaves a seam: beside every edge of the photograph the colours of both
# sides mix. How much does that cost? Here is an experiment that needs no network: take the *true*
# ab of a photograph, shrink it to the network's coarse grid, and bring it back in two ways. What is
# lost is the fault of the enlarging alone.

# %%
from course_lib import prepare, psnr, upsample_ab

fig = cl.load_photo("scenes/fig")
fig_l = cl.rgb_to_lab(fig)[..., 0]
fig_small_l = prepare(fig, net.input_size)  # what section 1 did by hand
coarse_rows, coarse_columns = fig_small_l.shape[-2:]
fig_ab = torch.from_numpy(cl.rgb_to_lab(fig)[..., 1:]).permute(2, 0, 1)[None]
grid_ab = F.interpolate(
    fig_ab, (coarse_rows // 4, coarse_columns // 4), mode="bilinear", antialias=True
)
small_fig_ab = F.interpolate(grid_ab, (coarse_rows, coarse_columns), mode="bilinear")

# %%
back = {}
for way in ("bilinear", "guided"):
    large = upsample_ab(small_fig_ab, fig_small_l, fig_l, guided=way == "guided")
    back[way] = cl.lab_to_rgb(np.dstack([fig_l, large]))
    print(f"{way:8}  PSNR {psnr(back[way], fig):.1f} dB")

# %% tags=["assertion"]
assert psnr(back["guided"], fig) > psnr(back["bilinear"], fig) > 24

# %% [markdown]
# PSNR is a measure of likeness, in decibels: 6 dB more is half the error. Two things to take away.
# First, even with perfect colours on that coarse grid the result is not perfect: sharp, strong
# colours like those of this bowl lose most. Second, the *guided* way is a little ahead.
#
# The guided filter (He and Sun, 2015) does not enlarge ab itself. In a small window around each
# pixel it writes ab as `scale * L + shift`, enlarges `scale` and `shift`, and applies them to the
# photograph's large L. Where L has an edge, ab then gets one in the very same place. In code it is
# two means and a division: see `course_lib.inference.guided_coefficients`.

# %%
fig_window = np.s_[40:240, 60:360]
show_pictures(
    [fig[fig_window], back["bilinear"][fig_window], back["guided"][fig_window]],
    ["truth", "bilinear ab", "guided ab"],
    "A part of the red bowl three times: in truth, with red that spills over its rim, and with red "
    "that keeps closer to the rim.",
)

# %% [markdown]
# Look along the rim of the bowl. In both the red fades toward it and a reddish haze lies outside; with
# the guide a little less so. It is a small gain, and it costs next to nothing. The dark rim is narrower
# than one cell of the coarse grid, so its own red was lost before any guide could act. And where two
# regions have the same lightness there is no edge in L to follow: a guide cannot show what gray does
# not.
#
# You have now built the whole of `cl.colorize`. From here on we use it: it does these steps, guided,
# in bands of rows, so that even a very large photograph needs little memory, and with tables in place
# of powers (`course_lib.fast_lab`), which may move a value by one of its 256 levels.

# %%
show_pictures(
    [gray, cl.colorize(gray, net), photo],
    ["gray", "cl.colorize(gray, net)", "truth"],
    "The dune in gray, coloured by the network, and as the camera saw it.",
)

# %% tags=["assertion"]
by_hand = cl.lab_to_rgb(np.dstack([L, upsample_ab(ab, small_l, L)]))
assert np.abs(cl.colorize(gray, net).astype(int) - by_hand).max() <= 1

# %% [markdown]
# ## 5. Any size, any file
#
# `size` sets the shorter side at which the network looks. Larger is not better: it makes things
# larger than they were in training, and the network loses the whole picture out of sight.

# %%
flower = cl.to_gray(cl.load_photo("scenes/yellow-flower"))
sizes = (32, 64, 128, 256)
show_pictures(
    [cl.colorize(flower, net, size=size) for size in sizes],
    [f"size={size}" for size in sizes],
    "One flower coloured at four network sizes: the colours change with the size.",
)

# %% [markdown]
# Same photograph, same network, four answers. Which is best depends on how large the subject is in
# the picture; `net.input_size` was chosen on validation photographs, where it did well on average.
#
# Files come in more kinds than sizes. Many tutorials crash on the first palette PNG, or colour it
# wrongly without a word. Let us make one small photograph into six kinds of files, in memory.

# %%
import io


def as_file(picture, kind, **options):
    """The bytes of a picture file."""
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


small_photo = Image.fromarray(gray).resize((240, 150))
sideways = Image.Exif()
sideways[0x0112] = 6  # "turn me a quarter to the right"
transparent = small_photo.convert("RGBA")
transparent.putalpha(Image.linear_gradient("L").resize((240, 150)))
sixteen = Image.fromarray(np.asarray(small_photo.convert("L")).astype(np.uint16) * 257)

# %%
files = {
    "gray JPEG": as_file(small_photo.convert("L"), "JPEG"),
    "palette PNG": as_file(small_photo.quantize(64), "PNG"),
    "RGBA PNG": as_file(transparent, "PNG"),
    "16-bit PNG": as_file(sixteen, "PNG"),
    "CMYK JPEG": as_file(small_photo.convert("CMYK"), "JPEG"),
    "JPEG to be turned": as_file(small_photo.rotate(90, expand=True), "JPEG", exif=sideways),
}
loaded = {kind: cl.load_image(content) for kind, content in files.items()}

# %% [markdown]
# `load_image` takes a path, the bytes of a file, or a picture in memory. Here it read bytes.

# %%
show_pictures(
    [cl.colorize(picture, net) for picture in loaded.values()],
    list(loaded),
    "The same small photograph out of six kinds of files, five coloured alike and all upright; the "
    "one with transparency fades to white, and its grass is greener.",
    columns=3,
)

# %% tags=["assertion"]
assert {picture.shape for picture in loaded.values()} == {(150, 240, 3)}
for kind in ("palette PNG", "16-bit PNG", "CMYK JPEG", "JPEG to be turned"):
    assert np.abs(loaded[kind].astype(int) - loaded["gray JPEG"]).mean() < 8, kind

# %% [markdown]
# One function, one result: an array (H, W, 3) of 8-bit sRGB, upright, transparency over white. What
# cannot be read gets one plain sentence, which your program can catch and print.

# %%
bad = {"cut short": files["gray JPEG"][:700], "empty": b"", "no picture": b"Dear diary, ..."}
for name, content in bad.items():
    try:
        cl.load_image(content)
    except cl.ImageError as error:
        print(f"{name}: {str(error).split('(')[0].strip()}")

# %% [markdown]
# ### Exercise 2: find the bug
#
# *Medium, 5 minutes.* The function below runs, and on gray photographs its results look fine. Give it a *colour* photograph, and the network sees
# something it was never trained on. Find out what, and mend it.


# %% tags=["exercise"]
def network_input(rgb):
    """Lightness of any photograph as the network wants it.

    rgb: (H, W, 3) uint8, gray or in colour.
    Returns a float32 tensor (1, 1, H, W), L in 0..100.
    """
    ### BEGIN SOLUTION
    channel = cl.rgb_to_lab(rgb)[..., 0]
    ### STUB
    # channel = rgb[..., 0] * np.float32(100 / 255)
    ### END SOLUTION
    return torch.from_numpy(channel)[None, None]


# %% tags=["check"]
check.network_input(network_input)

# %% [markdown] tags=["hint"]
# What is `rgb[..., 0]`? For a gray picture all three channels are equal, so any of them looks like
# lightness. For a red flower it does not. And even for gray: sRGB's value 50 of 100 is not L = 50.

# %% [markdown]
# ## 6. Both networks, side by side
#
# The course has two networks. **ECCV16** picks colours from 313 classes and leans toward strong ones
# on purpose; **SIGGRAPH17** predicts two numbers a pixel and, where it is unsure, stays near gray.
# Lessons 03 and 04 open them up. Here we only look.

# %%
siggraph = cl.siggraph17()
names_of_three = ["scenes/yellow-flower", "scenes/rowing-boats", "scenes/mountain-trail"]
compared, titles = [], []
for name in names_of_three:
    truth = cl.load_photo(name)
    known = cl.to_gray(truth)
    compared += [known, cl.colorize(known, net), cl.colorize(known, siggraph), truth]
    titles += ["gray", "ECCV16", "SIGGRAPH17", "truth"]
show_pictures(
    compared,
    titles,
    "Three photographs in gray, coloured by ECCV16, coloured by SIGGRAPH17, and in truth.",
    columns=4,
)

# %% [markdown]
# Neither is right everywhere, and they err differently. Where ECCV16 is wrong it is boldly wrong.
# SIGGRAPH17 minimises its error, so where it is unsure it stays closer to gray. Its strength is
# another: it takes hints, and lesson 04 shows how far a few of them carry. The published networks, much
# larger and trained far longer, are one word away where there is a network connection:
# `cl.eccv16(weights="official")`.
#
# ## 7. Saturation and colour temperature
#
# A colouring is an opinion, and you may adjust it. **Saturation** multiplies a and b; **temperature**
# changes the colour of the light. Both leave L alone.

# %%
coloured = cl.colorize(gray, net)
factors = (0, 0.5, 1, 1.5)
kelvins = (4500, 6504, 9000, 15000)
show_pictures(
    [cl.set_saturation(coloured, f) for f in factors]
    + [cl.set_temperature(coloured, k) for k in kelvins],
    [f"saturation {f}" for f in factors] + [f"{k} K" for k in kelvins],
    "Above, the dune from gray to strong colours; below, in light from warm to cool.",
    columns=4,
)

# %% tags=["assertion"]
moved = cl.rgb_to_lab(cl.set_temperature(coloured, 9000))[..., 0] - L
assert np.abs(moved).mean() < 1

# %% [markdown]
# 6504 kelvin is the white of an ordinary screen, so it changes nothing. Lower is warmer light, like
# a lamp; higher is cooler, like shade on a clear day.
#
# ### Exercise 3: saturation
#
# *Medium, 5 minutes.* Write saturation yourself. The trap is to do it on RGB.


# %% tags=["exercise"]
def stronger_colours(rgb, factor):
    """Multiply the chroma of a picture; its lightness stays.

    rgb: (H, W, 3) uint8. factor: 0 makes it gray, 1 changes nothing, 2 doubles the chroma.
    Returns (H, W, 3) uint8.
    """
    ### BEGIN SOLUTION
    lab = cl.rgb_to_lab(rgb)
    lab[..., 1:] *= factor
    return cl.lab_to_rgb(lab)
    ### END SOLUTION


# %% tags=["check"]
check.stronger_colours(stronger_colours)

# %% [markdown] tags=["hint"]
# In Lab chroma is the length of (a, b). Convert, multiply two of the three channels, convert back.

# %% [markdown]
# ## 8. Filters, before and after
#
# Old photographs are noisy, and a network takes noise for texture. scikit-image has the classic
# remedies: a **Gaussian** filter averages over a neighbourhood; a **bilateral** filter averages over
# those neighbours that have a similar value, and so leaves edges standing. We add noise to a
# photograph and try.

# %%
from skimage.filters import gaussian
from skimage.restoration import denoise_bilateral

boats = cl.to_gray(cl.load_photo("scenes/rowing-boats"))[::2, ::2]
noise = np.random.default_rng(0).normal(0, 20, boats.shape[:2])
noisy = np.clip(boats + noise[..., None], 0, 255).astype(np.uint8)

blurred = gaussian(noisy, sigma=1.5, channel_axis=2)
bilateral = denoise_bilateral(noisy[..., 0], sigma_color=0.2, sigma_spatial=2, mode="edge")
filtered = {
    "noisy": noisy,
    "Gaussian first": cl.load_image(blurred),
    "bilateral first": cl.load_image(bilateral),
}

# %% [markdown]
# Then each of the three goes through the network.

# %%
show_pictures(
    [cl.colorize(picture, net) for picture in filtered.values()],
    list(filtered),
    "Boats on a lake coloured three times: from the noisy picture, from a blurred one, and from one "
    "filtered bilaterally, where edges stayed.",
)

# %% [markdown]
# The bilateral filter takes away most of the noise and keeps the boats' outlines; the Gaussian makes
# everything soft. Both change the photograph itself, though.
#
# ### Exercise 4: predict, then run
#
# *Easy, 5 minutes.* Suppose we blur with a Gaussian in one of three places: the gray photograph
# *before* the network, the finished picture *after* it, or the *ab only*, between network and
# joining. Which way does the result keep the detail of the photograph? Answer `"before"`,
# `"after"` or `"ab only"`, then run on.

# %% tags=["exercise"]
### BEGIN SOLUTION
sharpest = "ab only"
### END SOLUTION

# %% tags=["check"]
check.sharpest(sharpest)

# %% [markdown] tags=["hint"]
# Where does detail live: in L or in ab? Which of the three leaves that part alone?

# %%
before = cl.colorize(cl.load_image(gaussian(gray, sigma=3, channel_axis=2)), net)
after = cl.load_image(gaussian(coloured, sigma=3, channel_axis=2))
lab = cl.rgb_to_lab(coloured)
lab[..., 1:] = gaussian(lab[..., 1:], sigma=3, channel_axis=2)
ab_only = cl.lab_to_rgb(lab)
for name, picture in {"before": before, "after": after, "ab only": ab_only}.items():
    print(f"{name:8} detail {detail(picture):.1f} (the photograph: {detail(gray):.1f})")

# %% tags=["assertion"]
assert detail(before) < 0.5 * detail(gray) and detail(after) < 0.5 * detail(gray)
assert abs(detail(ab_only) / detail(gray) - 1) < 0.05

# %% [markdown]
# Blur ab as you like: specks of colour vanish, detail stays. To take noise out of the network's
# view without touching the photograph, filter a copy, predict from that, and join the ab with the
# L you want to keep. That is exercise 1 once more.
#
# ## 9. Your own pipeline, from file to file
#
# Now put together what you have written. One function reads any file, colours it and writes the result.
#
# ### Exercise 5: the order of a pipeline
#
# *Easy, 5 minutes.* These are its lines, shuffled. Each can only stand where its ingredients are there.
# Put them in order, as letters such as `"ABCDEF"`: the file shall hold the saturated picture.
# (`saturate` is your exercise 3, `join` your exercise 1, `input_of` your exercise 2.)
#
# ```
# A   ab = net(input_of(small))
# B   cl.save_image(target, coloured)
# C   rgb = cl.load_image(source)
# D   coloured = join(rgb, ab)
# E   small = shrink(rgb, net.input_size)
# F   coloured = saturate(coloured, factor)
# ```

# %% tags=["exercise"]
### BEGIN SOLUTION
order_of_pipeline = "CEADFB"
### END SOLUTION

# %% tags=["check"]
check.order_of_pipeline(order_of_pipeline)

# %% [markdown] tags=["hint"]
# Begin at the end: what does `save_image` need, and which line makes that?

# %% [markdown]
# Here it is, with your functions where they are [ok], and with the library's elsewhere.


# %%
def shrink(rgb, size):
    """A photograph with about `size` pixels on the shorter side, in multiples of 8."""
    scale = size / min(rgb.shape[:2])
    rows, columns = (max(8, 8 * round(side * scale / 8)) for side in rgb.shape[:2])
    return np.asarray(Image.fromarray(rgb).resize((columns, rows), Image.Resampling.BICUBIC))


def library_join(rgb, ab):
    """Bilinearly, by the library."""
    L = cl.rgb_to_lab(rgb)[..., 0]
    return cl.lab_to_rgb(cl.merge_lab(L, upsample_ab(ab, ab[:, :1], L, guided=False)))


# %%
join = check.keep_lightness.choose(keep_lightness, library_join)
saturate = check.stronger_colours.choose(stronger_colours, cl.set_saturation)
input_of = check.network_input.choose(
    network_input, lambda rgb: torch.from_numpy(cl.lightness(rgb))[None, None]
)


# %%
@torch.inference_mode()
def colour_file(source, target, net, factor=1.0):
    """Colour a picture file into another; return the coloured picture."""
    rgb = cl.load_image(source)
    small = shrink(rgb, net.input_size)
    ab = net(input_of(small))
    coloured = join(rgb, ab)
    coloured = saturate(coloured, factor)
    cl.save_image(target, coloured)
    return coloured


# %% [markdown]
# A photograph goes in as a file and comes out as one; beside it what the library's `colorize` makes of
# the same file. We keep everything in the folder `notebooks/out`.

# %%
from pathlib import Path

folder, results = Path("out/gray"), Path("out/mine")
for place in (folder, results):
    place.mkdir(parents=True, exist_ok=True)
    for old in place.iterdir():  # whatever an earlier run has left
        old.unlink()
for name in ("camera", "facade", "jetty", "lawn"):
    cl.save_image(folder / f"{name}.jpg", cl.load_photo(f"gray/{name}"))
(folder / "notes.jpg").write_text("not a picture at all")
mine_out = colour_file(folder / "jetty.jpg", results / "jetty.png", net)
library_out = cl.colorize(cl.load_image(folder / "jetty.jpg"), net)

# %%
show_pictures(
    [cl.load_image(folder / "jetty.jpg"), mine_out, library_out],
    ["the file", "your pipeline", "the library's"],
    "A wooden jetty in gray, coloured by the pipeline of this lesson, and by the library: alike.",
)
print(f"mean difference: {np.abs(mine_out.astype(int) - library_out).mean():.1f} of 255 levels")

# %% tags=["assertion"]
assert np.abs(mine_out.astype(int) - library_out).mean() < 3
assert (results / "jetty.png").exists()

# %% [markdown]
# What little differs is the guide of section 4. And the time? A photograph of 1.5 megapixels, the best of
# three runs each.

# %%
from time import perf_counter

large_photo = np.asarray(Image.fromarray(photo).resize((1536, 1024)))
cl.save_image(folder / "large.png", large_photo)


# %%
def seconds(run):
    """The shortest of three runs."""
    times = []
    for _ in range(3):
        start = perf_counter()
        run()
        times.append(perf_counter() - start)
    return min(times)


def library_file():
    """The same by the library."""
    out = cl.set_saturation(cl.colorize(cl.load_image(folder / "large.png"), net), 1.0)
    cl.save_image(results / "large.png", out)


# %% tags=["nbval-ignore-output"]
yours = seconds(lambda: colour_file(folder / "large.png", results / "large.png", net))
print(f"your pipeline {yours:.2f} s, the library {seconds(library_file):.2f} s")
(folder / "large.png").unlink()

# %% [markdown]
# Little of the time is the network's, which sees a small picture whatever the size of yours. It goes
# into reading, writing, and the way to Lab and back. The library works in bands of rows, so that a very
# large photograph needs little memory; otherwise it does what you do, and lets the guide of section 4
# enlarge ab.
#
# ### Exercise 6: a folder of old photographs
#
# *Medium, 10 minutes.* Send a whole folder through. In every real folder there is a file that is no
# picture; it must not stop the others.


# %% tags=["exercise"]
def colour_folder(folder, output, colour):
    """Colour every file in a folder; a file that cannot be read costs a line, not the rest.

    folder, output: pathlib.Path; output is there.
    colour: a function of two paths, source and target; raises cl.ImageError for what is no picture.
    Results are output / (name without ending + ".png"). Returns the list of the names (as
    "notes.jpg") of the files that failed, sorted.
    """
    ### BEGIN SOLUTION
    failed = []
    for source in sorted(folder.iterdir()):
        try:
            colour(source, output / f"{source.stem}.png")
        except cl.ImageError:
            failed.append(source.name)
    return failed
    ### END SOLUTION


# %% tags=["check"]
check.colour_folder(colour_folder)

# %% [markdown] tags=["hint"]
# A loop over `sorted(folder.iterdir())`, and in it `try:` and `except cl.ImageError:`. A path has `.name`,
# "notes.jpg", and `.stem`, "notes".


# %%
def library_folder(folder, output, colour):
    """The same, until yours is [ok]."""
    failed = []
    for source in sorted(folder.iterdir()):
        try:
            colour(source, output / f"{source.stem}.png")
        except cl.ImageError:
            failed += [source.name]
    return failed


send = check.colour_folder.choose(colour_folder, library_folder)
failed = send(folder, results, lambda source, target: colour_file(source, target, net, 0.9))
done = sorted(path for path in results.iterdir() if path.stem != "large")
print("coloured:", [path.name for path in done], " failed:", failed)

# %%
show_pictures(
    [cl.load_image(path) for path in done],
    [path.stem for path in done],
    "Four photographs that never had colours, in those of the pipeline: a man with a camera, a facade, "
    "a jetty, a lawn.",
    columns=4,
)

# %% tags=["assertion"]
assert failed == ["notes.jpg"] and len(done) == 4

# %% [markdown]
# They are in `notebooks/out/mine`; put your own scans into `notebooks/out/gray` and run the cells again.
# For everyday use the library has all of this as one command, which also goes through folders in folders,
# keeps what is there already, and says what it passed over:
#
# ```
# python -m course_lib out/gray --output out/coloured --saturation 0.9 --compare
# ```

# %%
from course_lib.cli import main

status = main(["out/gray", "--output", "out/coloured", "--compare", "--overwrite", "--quiet"])
print("exit status:", status)

# %% [markdown]
# The broken file was reported in one line, and the exit status 1 tells a script that something failed.
#
# ## 10. Measure, against gray
#
# Pictures persuade, numbers remind. Every measure needs a *baseline*, and the honest baseline here
# is the gray picture itself: a colouring that is further from the truth than no colour at all has
# some explaining to do.

# %%
from course_lib import square
from course_lib.evaluation import bootstrap, measure, summarize

test_scenes = cl.photos(split="test", kind="scene")
truths = [square(p.load(), 256) for p in test_scenes]
methods = {
    "gray": lambda picture: picture,
    "ECCV16": lambda picture: cl.colorize(picture, net),
    "SIGGRAPH17": lambda picture: cl.colorize(picture, siggraph),
}
figures = {name: measure(truths, method) for name, method in methods.items()}

# %%
digits = {"psnr": 1, "auc_raw": 1, "auc_balanced": 1, "colourfulness": 2}
means = {name: summarize(figure) for name, figure in figures.items()}
cells = [[n, *(f"{m[key][0]:.{d}f}" for key, d in digits.items())] for n, m in means.items()]
header = ["method", "PSNR, dB", "AuC raw, %", "AuC balanced, %", "colourfulness"]
title = f"Means over {len(truths)} test photographs, centre squares of 256 x 256 pixels"
show_table(header, cells, title)

# %% [markdown]
# - **PSNR** compares RGB values, in dB. Where a network is unsure it rewards caution: gray is never very
#   far off.
# - **AuC raw** asks how many pixels have the right ab, at every tolerance from 0 to 150.
# - **AuC balanced** is the same with rare colours counted as much as common ones. Most of the
#   world is grayish, so AuC raw flatters gray.
# - **Colourfulness** is the mean chroma over that of the truth: 1 is as colourful as life.
#
# Read them together, and then photograph by photograph: all methods saw the same ten, so what counts is
# the difference on each.

# %%
gain = {name: figures[name]["psnr"] - figures["gray"]["psnr"] for name in ("ECCV16", "SIGGRAPH17")}
for name, values in gain.items():
    mean, low, high = bootstrap(values)
    print(f"{name} less gray: {mean:+.1f} dB, 95 % interval {low:+.1f} to {high:+.1f}\n")
order = np.argsort(gain["ECCV16"])
for i in order:
    print(f"{gain['ECCV16'][i]:+5.1f} dB  {test_scenes[i].name}")

# %% tags=["assertion"]
means = {name: {k: v[0] for k, v in summarize(f).items()} for name, f in figures.items()}
assert means["ECCV16"]["auc_balanced"] > means["gray"]["auc_balanced"]
assert means["gray"]["colourfulness"] < 0.05
assert gain["ECCV16"].min() < 0 < 2 < gain["ECCV16"].max()

# %% [markdown]
# The sign differs from photograph to photograph. Where the network knows the thing, it gains several
# decibels, and even a pale guess in the right direction beats none; where it guesses wrong, it loses
# some: PSNR punishes a bold miss, and gray never dares anything. If an interval above holds 0, ten
# photographs do not say who is ahead; `python -m course_lib.evaluation` measures on more.
#
# ## 11. A gallery of failures
#
# The most useful pictures in any paper are the ones that went wrong. So here are not the best but the
# worst: of all photographs that the network never saw, the six on which its colours are farthest from
# the truth.


# %%
def colour_error(rgb):
    """Mean distance of the network's colours from the true ones, in Lab units."""
    out, true = (cl.rgb_to_lab(picture)[..., 1:] for picture in (cl.colorize(rgb, net), rgb))
    return np.hypot(*np.moveaxis(out - true, -1, 0)).mean()


# %%
unseen = [
    square(p.load(), 192)
    for split in ("validation", "test")
    for p in cl.photos(split=split, kind="scene")
]
worst = sorted(unseen, key=colour_error)[-6:]
show_pictures(
    [picture for rgb in worst for picture in (cl.colorize(rgb, net), rgb)],
    [f"{kind}" for rgb in worst for kind in (f"off by {colour_error(rgb):.0f}", "truth")],
    "The six photographs that the network colours worst, each beside its truth.",
    columns=4,
)

# %% [markdown]
# Above each guess stands its mean error in Lab units. Which of these reasons belongs to which?
#
# - **Any colour would do.** A bowl can be red or blue; gray does not say. Nothing will ever fix this but
#   a hint from somebody who knows, which is lesson 04.
# - **Which season?** In close-up a leaf may be green or autumn brown. The network has to choose.
# - **Sky or sunset?** Far from anything that settles it, the guess drifts from one plausible answer to
#   another, and nothing in the network makes the whole sky agree.
# - **Made to be colourful.** Paint, toys, clothes, petals: the strongest colours are where guessing is
#   hardest, so they come out muted.
#
# Two more are not among these: in deep shadow there is little to recognise, and a wall of equal bricks
# shows no thing, only texture; both come out in patches.
#
# <details>
# <summary>Answer</summary>
#
# The lake: sky or sunset. The ladybird and the wet leaf, seen from near: which season. The bowl: any
# colour would do. The brushes and the yellow flower: made to be colourful.
#
# </details>
#
# The first and the last have a moral side: clothes, flags and skin are in this class, and a
# computer's brown is not a witness.
#
# ## 12. What colours of the past can claim
#
# The photographs that you sent through your pipeline have no truth to compare with. So say what the
# result is, and what it is not.
#
# | a coloured old photograph can | it cannot |
# |---|---|
# | make people look longer, and see depth and shape that gray hides | say what colour a coat, a flag, a wall or a face was |
# | show what today's photographs make likely: grass, sky, wood, skin | show what was rare, or has gone out of use: dyes, paints, uniforms |
# | carry knowledge that somebody gave as hints, if it is said whose | be shown without the gray original, as if it were a find |
# | be one of several versions, side by side | settle a question: two networks answer differently, both with confidence |
#
# And the gray itself was made by plates that saw blue light and hardly any red: a network trained on
# today's lightness reads a red coat as a black one (lesson 01 has the experiment). Write the label before
# you show the picture: *coloured by a computer in this year, with this network; the colours are a guess;
# the original is gray.*
#
# ## 13. Your own photograph
#
# Put a picture into the folder `notebooks`, write its name below, and run the cell. Anything that
# you can open will do. With `None` it takes a shipped photograph that never had colours.

# %%
my_file = None  # for example "grandmother.jpg"
mine = cl.load_image(my_file) if my_file else cl.load_photo("gray/jetty")
show_pictures(
    [cl.to_gray(mine), cl.colorize(mine, net), cl.colorize(mine, siggraph)],
    ["gray", "ECCV16", "SIGGRAPH17"],
    "A photograph in gray and with the two networks' guesses at its colours.",
)

# %% [markdown]
# Before you post it anywhere, say that the colours are a computer's guess. Nobody knows what colour
# the coat was.
#
# ### Challenge: colours that keep to their edges
#
# *Open, 15 minutes.* Section 4 took a photograph's true ab, made it coarse, and brought it back. Write a
# better way back. The check does this with the ten test scenes, measures the PSNR, and ranks yours beside
# the bilinear and the guided way. To be [ok] it must beat the bilinear one; can you beat the guided?


# %% tags=["exercise"]
def my_upsampling(ab, small_l, L):
    """Enlarge coarse colours along the edges of a photograph.

    ab: tensor (1, 2, h, w). small_l: tensor (1, 1, h, w), the lightness that belongs to it.
    L: array (H, W), the photograph's own lightness.
    Returns an array (H, W, 2).
    """
    ### BEGIN SOLUTION
    # averaging has softened the borders of the colours: sharpen them, then enlarge along the edges
    blurred = F.avg_pool2d(F.pad(ab, (4,) * 4, mode="replicate"), 9, stride=1)
    return upsample_ab(ab + (ab - blurred), small_l, L)
    ### END SOLUTION


# %% tags=["check"]
check.my_upsampling(my_upsampling)

# %% [markdown] tags=["hint"]
# What has the coarse grid done to the colours? It has averaged them, as a blur does. How does one sharpen
# a picture that was blurred? Then `upsample_ab`, with the photograph's edges.

# %% [markdown]
# ## Summary
#
# - The network sees a small L and answers with a small ab. Enlarge **ab only**, and keep the
#   photograph's own L: no blur at any size.
# - The guided filter puts the colours' edges on the photograph's edges.
# - A pipeline from file to file is six lines, and one bad file must not stop a folder.
# - Use a network at the scale that it was trained at.
# - Saturation and temperature act on ab; filters on ab cost no detail.
# - Judge with several measures, always beside the gray baseline, on photographs that were never
#   trained on.
# - Plausible is not true.
#
# ## Further reading
#
# - R. Zhang, P. Isola, A. A. Efros, "Colorful Image Colorization", ECCV 2016, arXiv:1603.08511.
# - R. Zhang, J.-Y. Zhu, P. Isola, X. Geng, A. S. Lin, T. Yu, A. A. Efros, "Real-Time User-Guided
#   Image Colorization with Learned Deep Priors", SIGGRAPH 2017, arXiv:1705.02999.
# - K. He, J. Sun, "Fast Guided Filter", 2015, arXiv:1505.00996.
# - C. Tomasi, R. Manduchi, "Bilateral Filtering for Gray and Color Images", ICCV 1998.
# - M. D. Fairchild, "Color Appearance Models", 3rd edition, Wiley 2013, on colour temperature and
#   adaptation.
