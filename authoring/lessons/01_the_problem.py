# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Find out what gray does not tell
#
# A gray photograph of a bowl: was the bowl red, or blue? The photograph does not know. Everything
# in this course follows from that. This lesson shows why colorization is a guess, what a computer
# guesses if nobody is careful, how a first network of your own does, and how to judge the guess.
#
# **You will do**
#
# - find the same gray under very different colours in real photographs;
# - work out which single guess is best, and see that "best" can mean dull;
# - make training data out of ordinary colour photographs;
# - build four simple colorizers, and train a first network in a short loop;
# - measure them all, and a network trained on many thousands of photographs, on some that none saw.
#
# **You will learn**
#
# - what a convolution, a gradient, an optimizer and a batch are;
# - why networks trained in the obvious way paint the world brown;
# - what PSNR, SSIM, AuC, colourfulness and people each say about a colouring, and what they miss.
#
# **You need** lesson 00. You have met NumPy arrays; of PyTorch you need only what is shown.
#
# **Time** about 100 minutes: 35 of reading, 65 of exercises. The computer needs about a minute.
#
# **In a hurry** run every cell, but read only 1, 2, 5, 6 and 7; do exercises 1, 5 and 7.

# %%
import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn

import course_lib as cl
from course_lib.checks import lesson_01 as check
from course_lib import square
from course_lib.plotting import COLORS, ab_plane, new_figure, show, show_lines, show_pictures
from course_lib.plotting import show_table

# %% [markdown]
# ## Two questions first
#
# Answer aloud or on paper, then unfold. They are about lesson 00.
#
# What does `cl.colorize` look at when you give it a photograph in colour?
#
# <details>
# <summary>Answer</summary>
#
# Its lightness alone. So the colour photograph and its gray picture get the same guess.
#
# </details>
#
# Two pictures are arrays of `uint8`. Why is `np.abs(one - other).mean()` not their difference?
#
# <details>
# <summary>Answer</summary>
#
# `uint8` knows no numbers below 0: 10 - 210 is 56. Make the values signed or `float` first.
#
# </details>
#
# ## 1. One gray, many colours
#
# We describe a colour by three numbers. **L** is lightness, from 0 (black) to 100 (white). **a**
# runs from green to red and **b** from blue to yellow; both are 0 for gray. This is the colour space
# **Lab**, lesson 02's subject. A gray photograph keeps L and loses a and b.
#
# Here is a fig in a bowl. We pick out the bowl's pixels: those that have a colour and are not very
# light, except in an oval around the fig, with its lower right corner cut off.

# %%
photo = square(cl.load_photo("scenes/fig"), 256)
lab = cl.rgb_to_lab(photo)
L, ab = lab[..., 0], lab[..., 1:]
rows, columns = np.mgrid[:256, :256]
fruit = np.hypot((rows - 141) / 49, (columns - 162) / 42) < 1
fruit &= columns + 0.42 * rows < 259
bowl = (np.hypot(ab[..., 0], ab[..., 1]) > 20) & (L < 68) & ~fruit
print(f"{bowl.mean():.0%} of the picture is bowl")

# %% [markdown]
# Now we give the bowl other colours. In the plane of a and b a colour's direction is its *hue*, and
# its distance from 0 is its *chroma*, how strong it is. So we turn the direction, and keep L as it is.
# We also halve the chroma: a screen cannot show a blue of this lightness as strong as that red.


# %%
def paint(L, ab):
    """The picture (H, W, 3) uint8 with lightness L (H, W) and colours ab (H, W, 2)."""
    return cl.lab_to_rgb(np.dstack([L, ab]))


def repaint(degrees):
    """The photograph with the hue of the bowl turned."""
    cos, sin = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    turned = 0.5 * ab @ np.array([[cos, sin], [-sin, cos]])
    return paint(L, np.where(bowl[..., None], turned, ab))


# %% [markdown]
# Three turns give three more bowls. We show them beside the gray picture and the photograph as it is,
# and compare their gray pictures.

# %%
bowls = {"green": repaint(90), "blue": repaint(225), "violet": repaint(280)}
show_pictures(
    [cl.to_gray(photo), photo, *bowls.values()],
    ["gray", *(f"bowl {i}" for i in "ABCD")],
    "A cut fig in a bowl five times: in gray, and with the bowl red, green, blue and violet.",
)
for name, picture in bowls.items():
    moved = np.abs(cl.to_gray(picture).astype(int) - cl.to_gray(photo))
    print(f"{name:7} bowl: gray pictures differ by {moved.mean():.1f} of 255 levels")

# %% tags=["assertion"]
for picture in bowls.values():
    assert np.abs(cl.to_gray(picture).astype(int) - cl.to_gray(photo)).mean() < 1.5
    assert np.abs(picture.astype(int) - photo)[bowl].mean() > 40

# %% [markdown]
# Four bowls, red, green, blue and violet; each looks like a photograph, and all have the same gray
# picture but for rounding. One of them stood before the camera. If you had only the gray one, no
# amount of thought would tell you which.
#
# You may say that we cheated: those colours are made up. So let us look for the same thing in
# photographs as they are. We cut the course's 16 training scenes into patches of 8 × 8 pixels, and
# keep those with a lightness close to 50 and hardly any texture.

# %%
train_scenes = cl.photos(split="train", kind="scene")
train = [square(p.load(), 256) for p in train_scenes]
labs = np.stack([cl.rgb_to_lab(rgb) for rgb in train])
patches = labs.reshape(16, 32, 8, 32, 8, 3).swapaxes(2, 3).reshape(-1, 64, 3)
centre, spread = patches.mean(axis=1), patches.std(axis=1)
flat = (spread[:, 0] < 1.5) & (spread[:, 1:].max(axis=1) < 5)
alike = flat & (np.abs(centre[:, 0] - 50) < 1)
print(f"{alike.sum()} of {len(patches)} patches are flat and have L close to 50")

# %% [markdown]
# From these we take the most colourful one, then again and again the one that is farthest, in ab,
# from all that we have.

# %%
candidates, colours = patches[alike], centre[alike, 1:]
chosen = [int(np.hypot(*colours.T).argmax())]
while len(chosen) < 6:
    distances = [np.linalg.norm(colours - colours[c], axis=1) for c in chosen]
    chosen.append(int(np.min(distances, axis=0).argmax()))
chosen_patches = [cl.lab_to_rgb(candidates[c].reshape(8, 8, 3)) for c in chosen]
show_pictures(
    chosen_patches + [cl.to_gray(patch) for patch in chosen_patches],
    ["a {:+.0f}, b {:+.0f}".format(*np.rint(colours[c]) + 0.0) for c in chosen]
    + [f"L {candidates[c][:, 0].mean():.0f}" for c in chosen],
    "Above, six patches from photographs: orange-red, blue, green, gray, brown, orange. Below, the "
    "same six in gray, hardly to be told apart.",
    columns=6,
)

# %% tags=["assertion"]
chosen_l = [candidates[c][:, 0].mean() for c in chosen]
assert max(chosen_l) - min(chosen_l) < 2
pairs = [(i, j) for i in chosen for j in chosen if i < j]
assert max(np.linalg.norm(colours[i] - colours[j]) for i, j in pairs) > 100
assert min(np.linalg.norm(colours[i] - colours[j]) for i, j in pairs) > 10

# %% [markdown]
# Above: a petal, a sky, blurred leaves, a gray wall, a cushion, blurred flowers. Below: six times the
# same gray. From L alone you cannot go back, because the way there was not one to one. Mathematicians
# call such a problem *ill-posed*.
#
# What helps is everything *around* the pixel: a texture like grass, a shape like a leaf, a place at
# the top of the picture. That is what networks learn to use. It makes some guesses much better than
# others. It never turns a guess into knowledge: nothing around a bowl says that it is red.
#
# ## 2. The best guess is dull
#
# Suppose you must name *one* colour for all pixels of L = 50. Which one? First, look at what there
# is to choose from.

# %%
fifty = labs[np.abs(labs[..., 0] - 50) < 0.5][:, 1:]
counts, edges, _ = np.histogram2d(*fifty.T, bins=[np.arange(-105, 106, 10)] * 2)
top = np.unravel_index(counts.argmax(), counts.shape)
guesses = {
    "mean": fifty.mean(axis=0),
    "median": np.median(fifty, axis=0),
    "mode": np.array([edges[i] + 5 for i in top]),
}
print(f"{len(fifty):,} pixels have L between 49.5 and 50.5")

# %% [markdown]
# The **mean** you know. The **median**, taken of a and of b by itself, has as many values below it as
# above. The **mode** is the most frequent colour, here by squares of 10 × 10 in the plane of a and b.

# %%
figure, (axes,) = new_figure(1, 2, width=8, height=4.2)
axes[0].imshow(ab_plane(50), extent=(-110, 110, -110, 110))
axes[0].scatter(*fifty[::10].T, s=2, color="black", alpha=0.3, linewidths=0)
for (name, guess), mark in zip(guesses.items(), "osD", strict=True):
    axes[0].plot(*guess, mark, color="white", markeredgecolor="black", markersize=9, label=name)
axes[0].set(title="pixels of L = 50", xlabel="a (green to red)", ylabel="b (blue to yellow)")
axes[0].set(xlim=(-75, 95), ylim=(-85, 75))
axes[0].legend(loc="lower left", fontsize=8)
axes[1].imshow(paint(np.full((1, 3), 50.0), np.array([list(guesses.values())])))
axes[1].set_xticks(range(3), guesses)
axes[1].set(title="the three guesses as colours", yticks=[])
axes[1].grid(False)
show(figure, "Pixels of lightness 50 in the colour plane, and three guesses as colours.")

# %% [markdown]
# On the left all colours that a screen can show at this lightness, with every tenth pixel as a black
# dot. The dots reach far, to greens, oranges and blues; none is magenta. The circle of the mean lies
# between them, where few pixels are. Just below it is the square of the median, almost at gray. The
# diamond of the mode sits in the blues. On the right are the three as colours: a dull brown-gray, a
# gray, and a blue.
#
# Now let each guess be scored, by three rules.


# %%
def scores(guess):
    """Mean squared error, mean absolute error, and share of pixels within 10 units."""
    error = fifty - guess
    within = np.linalg.norm(error, axis=1) < 10
    return (error**2).sum(axis=1).mean(), np.abs(error).sum(axis=1).mean(), within.mean()


cells = []
for name, guess in guesses.items():
    squared, absolute, within = scores(guess)
    a, b = np.rint(guess) + 0.0
    cells.append(
        [name, f"{a:.0f}", f"{b:.0f}", f"{squared:.0f}", f"{absolute:.1f}", f"{within:.0%}"]
    )
header = ["guess", "a", "b", "squared error", "absolute error", "within 10"]
show_table(header, cells, "Three guesses and how far off each is")

# %% tags=["assertion"]
table = {name: scores(guess) for name, guess in guesses.items()}
assert min(table, key=lambda name: table[name][0]) == "mean"
assert min(table, key=lambda name: table[name][1]) == "median"
assert max(table, key=lambda name: table[name][2]) == "mode"
assert np.hypot(*guesses["mean"]) < np.hypot(*fifty.T).mean() / 3
assert np.hypot(*guesses["median"]) < 3 and np.hypot(*guesses["mode"]) > 25
assert table["mean"][2] < 0.1
assert not ((fifty[:, 0] > 40) & (fifty[:, 1] < -40)).any()

# %% [markdown]
# Each wins by its own rule. The mean has the smallest squared error, and hardly any pixel has that
# colour. The mode is right most often, and pays for it wherever it is wrong.
#
# ### Exercise 1: the best constant
#
# *Easy, 10 minutes.* Write the function that names the best single colour, once for squared and
# once for absolute error. If you like, prove it on paper first: where is the derivative of
# $\sum_i (x_i - c)^2$ with respect to $c$ zero, and where that of $\sum_i |x_i - c|$?


# %% tags=["exercise"]
def best_constant(colours, loss):
    """The one colour that is closest to all of them.

    colours: (N, 2), the a and b of N pixels.
    loss: "squared", the mean of (a - a_i)^2 + (b - b_i)^2,
        or "absolute", the mean of |a - a_i| + |b - b_i|.
    Returns (2,): the a and b with the smallest loss.
    """
    ### BEGIN SOLUTION
    if loss == "squared":
        return colours.mean(axis=0)
    return np.median(colours, axis=0)
    ### END SOLUTION


# %% tags=["check"]
check.best_constant(best_constant)

# %% [markdown] tags=["hint"]
# Both losses are a part for a plus a part for b, so you may treat the two columns one by one. The
# derivative of a square is a difference, and differences sum to zero at the mean. The derivative of
# an absolute value is only a sign: as many pluses as minuses.

# %% [markdown]
# A small example shows what happens in a photograph. In `dragonfly` there are two kinds of pixels
# with L close to 50: blue sky and yellow-green leaves. Here is their b, and what each constant b
# costs.

# %%
at = [p.name for p in train_scenes].index("scenes/dragonfly")
two = labs[at][np.abs(labs[at, ..., 0] - 50) < 3][:, 2]
constants = np.arange(-60, 61)
squared = np.array([np.mean((two - c) ** 2) for c in constants])
absolute = np.array([np.mean(np.abs(two - c)) for c in constants])
figure, (axes,) = new_figure(1, 2, width=8, height=3.0)
axes[0].hist(two, bins=np.arange(-60, 61, 4), color=COLORS[0])
axes[0].set(title="what there is", xlabel="b (blue to yellow)", ylabel="pixels")
for cost, name, line in ((squared, "squared", "-"), (absolute, "absolute", "--")):
    axes[1].plot(constants, cost / cost.min(), line, label=name, color=COLORS[line == "--"])
axes[1].set(title="what a constant costs", xlabel="b", ylabel="cost over smallest cost")
axes[1].legend(frameon=False)
show(figure, "Left, two heaps of pixels, blue and yellow. Right, two curves of cost over b.")

# %% tags=["assertion"]
assert (np.abs(two - two.mean()) < 5).mean() < 0.05
assert abs(constants[squared.argmin()] + 13) <= 1 and abs(constants[absolute.argmin()] + 36) <= 1
assert (two < -30).mean() > 0.5 and (two > 10).mean() > 0.3

# %% [markdown]
# On the left a sharp heap of blue, at b of about -40, and a wide, lower one of yellowish leaves,
# around 25. On the right the squared cost is lowest near -13: between the heaps, at a bluish gray that
# is neither sky nor leaf. The absolute cost is lowest near -36, at the foot of the blue heap: more
# than half of the pixels are blue, so the median goes with them, and the leaves are simply outvoted.
#
# A network that is trained to make the squared error small learns the mean of everything that the
# gray picture leaves open. Where sky and leaves are both possible, it says neither. That is why so
# many first attempts come out brown and gray: nothing is broken, the *question* was wrong. Lesson 03
# asks another question, "how likely is each colour?", and lesson 06 lets a second network judge.
#
# ## 3. A short history
#
# People coloured photographs as soon as there were photographs.
#
# | when | who | idea |
# |---|---|---|
# | from the 1840s | painters in photographers' studios | paint onto the picture by hand; around 1900 onto films too, frame by frame |
# | 1980s | Wilson Markle and his company | a computer helps: colours are chosen for a scene, and carried on from frame to frame (reported) |
# | 2002 | Welsh, Ashikhmin, Mueller | borrow colours from a similar colour picture, by matching lightness and texture |
# | 2004 | Levin, Lischinski, Weiss | a few coloured scribbles by a person; neighbours of similar gray get similar colours |
# | 2015 | Cheng, Yang, Sheng | a neural network from features of the picture to its colours, without a person |
# | 2016 | Larsson, Maire, Shakhnarovich; Iizuka, Simo-Serra, Ishikawa; Zhang, Isola, Efros | deep networks trained on many thousands of photographs; the first and the third predict a *distribution* of colours |
# | 2017 | Zhang, Zhu, Isola and others | one network that guesses, and takes hints from a person |
# | 2017 | Isola, Zhu, Zhou, Efros (pix2pix) | a second network learns to tell real pictures from made ones |
#
# Two lines run through this list. One gives the missing knowledge by hand: paint, a reference,
# scribbles, hints. The other learns it from photographs. The third of 2016 is **ECCV16** of lesson
# 03; the one with hints is **SIGGRAPH17** of lesson 04; pix2pix is behind lesson 06.
#
# ## 4. Data for free
#
# To train a network you need questions with answers. Here every colour photograph is one: L is the
# question, ab the answer. Nobody has to label anything. Learning from such pairs is called
# *self-supervision*.


# %%
def make_pair(rgb):
    """A photograph (H, W, 3) uint8 as tensors: L (1, H, W) to put in, ab (2, H, W) to get out."""
    lab = torch.from_numpy(cl.rgb_to_lab(rgb)).permute(2, 0, 1)
    return lab[:1], lab[1:]


cups = train[[p.name for p in train_scenes].index("scenes/cups")]
question, answer = make_pair(cups)
print("question:", tuple(question.shape), " answer:", tuple(answer.shape))
only_ab = paint(np.full((256, 256), 60.0), answer.permute(1, 2, 0).numpy())
show_pictures(
    [cups, question[0].numpy() / 100, only_ab],
    ["the photograph", "L: the question", "ab: the answer"],
    "Paper cups: the photograph, its lightness, and its colours alone without light and dark.",
    width=6.5,
)

# %% [markdown]
# On the right is what a network has to find: ab, shown at one lightness everywhere, so without light
# and dark. The shading inside the cups is gone; what is left is soft.
#
# ### Leave gray pictures out
#
# Any large collection of photographs holds black-and-white ones. As a pair they say: "the right
# answer to this is gray". A network believes it, and its guesses become grayer. So we measure the
# **mean chroma** of a picture, the mean distance of its pixels from gray, and drop what is too low.

# %%
from course_lib import GRAY_CHROMA


def mean_chroma(rgb):
    """Mean distance of a picture's pixels from gray, in units of Lab."""
    return np.hypot(*np.moveaxis(cl.rgb_to_lab(rgb)[..., 1:], -1, 0)).mean()


candidates_of = ["gray/camera", "scenes/bird-lamp", "scenes/two-dogs", "scenes/grass"]
some = [square(cl.load_photo(name), 256) for name in candidates_of]
verdict = ["left out" if mean_chroma(rgb) < GRAY_CHROMA else "kept" for rgb in some]
show_pictures(
    some,
    [f"chroma {mean_chroma(rgb):.1f}: {what}" for rgb, what in zip(some, verdict, strict=True)],
    "A gray photograph, a bird-shaped lamp in a nearly gray room, two dogs at a pale fence, grass.",
)
print("limit:", GRAY_CHROMA)

# %% tags=["assertion"]
assert verdict == ["left out", "left out", "kept", "kept"]

# %% [markdown]
# The limit of 3 is the library's. It costs something: the second picture has a little green bird in it,
# and would be left out all the same. (Among our few it stays). And it misses something: a
# black-and-white photograph printed in brown has chroma, and passes. No filter replaces a look at the
# data.
#
# ### Three splits, by photograph
#
# A network may learn its training pictures by heart. Whether it learned anything else shows only on
# pictures that it never saw. So photographs are split into three sets: **train** to learn from,
# **validation** to choose between versions, **test** to report once at the end. The split is *by
# photograph*. Two crops, or two frames of one film, never go to different sides: they would be
# almost the same picture.

# %%
for split in ("train", "validation", "test"):
    found = [p.kind for p in cl.photos(split=split)]
    print(f"{split:11} {found.count('scene'):3} scenes, {found.count('object'):3} objects")
in_split = [{p.name for p in cl.photos(split=s)} for s in ("train", "validation", "test")]
twice = in_split[0] & in_split[1] | in_split[0] & in_split[2] | in_split[1] & in_split[2]
print("in two splits:", len(twice))

# %% [markdown]
# One more thing about training: the order. Networks see data in batches, and every batch pulls them
# a step. If the files come in the order of their names, all scenes come in one block, and the last
# block pulls last. Here is how many of 16 are scenes, batch by batch.

# %%
kinds = np.array([p.kind == "scene" for p in cl.photos(split="train")])
shuffled = np.random.default_rng(0).permutation(kinds)
for title, order in (("in file order", kinds), ("shuffled", shuffled)):
    print(f"{title:14}", [int(order[i : i + 16].sum()) for i in range(0, len(order), 16)])

# %% tags=["assertion"]
batches = [kinds[i : i + 16].sum() for i in range(0, len(kinds), 16)]
mixed = [shuffled[i : i + 16].sum() for i in range(0, len(kinds), 16)]
assert max(batches) > 10 and batches.count(0) >= 3
assert max(mixed) < 8

# %% [markdown]
# In file order most batches have no scene at all. So training data are shuffled, anew in every
# *epoch*, as one pass over all data is called. Validation data are not: there nothing is learned,
# and a fixed order lets you compare picture by picture.
#
# ### Exercise 2: find the bugs
#
# *Medium, 10 minutes.* The function below makes two loaders, one for training and one for validation.
# A `DataLoader` puts pairs together into batches. The function runs, and training with it shows
# lovely validation numbers. It has two bugs, of a kind that nobody notices while it runs. Mend them.

# %% tags=["exercise"]
from torch.utils.data import DataLoader


def make_loaders(training, validation, batch_size=4):
    """Loaders of pairs (L, ab) for training and for validation.

    training, validation: lists of pictures (H, W, 3) uint8.
    Returns two DataLoaders. The first gives each training picture once per epoch, in a new random
    order each time; the second gives each validation picture once, always in the order of the list.
    """
    ### BEGIN SOLUTION
    loaders = []
    for pictures, shuffle in ((training, True), (validation, False)):
        data = [make_pair(rgb) for rgb in pictures]
        loaders.append(DataLoader(data, batch_size, shuffle=shuffle))
    ### STUB
    # data, loaders = [], []
    # for pictures in (training, validation):
    #     for rgb in pictures:
    #         data.append(make_pair(rgb))
    #     loaders.append(DataLoader(data, batch_size))
    ### END SOLUTION
    return tuple(loaders)


# %% tags=["check"]
check.make_loaders(make_loaders)

# %% [markdown] tags=["hint"]
# Print `len(loader.dataset)` of both loaders for 8 training and 4 validation pictures: what should
# it be, what is it, and why is it the same for both? Then go through the first loader twice and
# compare the order. Which argument of `DataLoader` is missing, and for which of the two?

# %% [markdown]
# ## 5. Baselines: what costs nothing
#
# A **baseline** is a simple method that any clever one has to beat. We build four. The first changes
# nothing: the gray picture. The second gives every pixel the same colour: the best constant
# over all training photographs by squared error. That is your function of exercise 1, as soon as it
# is [ok]; until then the mean stands in, and a line says so. So it goes throughout the course.

# %%
best = check.best_constant.choose(best_constant, lambda colours, loss: colours.mean(axis=0))
mean_ab = best(labs[..., 1:].reshape(-1, 2), "squared")
print(f"the mean colour: a {mean_ab[0]:.1f}, b {mean_ab[1]:.1f}")


def by_gray(gray):
    """No colour at all."""
    return gray


def by_mean(gray):
    """The same colour everywhere."""
    L = cl.rgb_to_lab(gray)[..., 0]
    return paint(L, np.broadcast_to(mean_ab, (*L.shape, 2)))


# %% [markdown]
# ### Exercise 3: colour by gray level
#
# *Medium, 10 minutes.* The third baseline looks at the pixel's own gray. Perhaps bright pixels are
# often sky, and dark ones often leaves. Write the function that learns a table from training pixels:
# for each level of L, the mean colour of the pixels of that level.


# %% tags=["exercise"]
def level_colours(L, ab):
    """The mean colour of each gray level.

    L: (N,), in 0..100. ab: (N, 2).
    Returns (101, 2): row k is the mean ab of the pixels whose L, rounded to the nearest whole
    number, is k; (0, 0) where there is no such pixel.
    """
    ### BEGIN SOLUTION
    level = np.rint(L).astype(int)
    count = np.maximum(np.bincount(level, minlength=101), 1)
    sums = [np.bincount(level, weights=ab[:, c], minlength=101) for c in (0, 1)]
    return np.stack(sums, axis=1) / count[:, None]
    ### END SOLUTION


# %% tags=["check"]
check.level_colours(level_colours)

# %% [markdown] tags=["hint"]
# A loop over the 101 levels will do: pick the rows with `np.rint(L) == k`, and take their mean, if
# there are any. `np.bincount(level, weights=..., minlength=101)` does it without a loop: it gives the
# sum in each level, and without weights the count.

# %% [markdown]
# SciPy can do the same in a line, with `ndimage.mean` for the mean within each label; that stands in
# until your table is [ok].

# %%
from scipy import ndimage


def scipy_table(L, ab):
    """A row for each level, by SciPy."""
    levels = np.rint(L).astype(int)
    return np.stack([ndimage.mean(ab[:, c], levels, np.arange(101)) for c in (0, 1)], axis=-1)


table_of = check.level_colours.choose(level_colours, scipy_table)
level_ab = table_of(labs[..., 0].ravel(), labs[..., 1:].reshape(-1, 2))


def by_level(gray):
    """The mean colour of the pixel's gray level."""
    L = cl.rgb_to_lab(gray)[..., 0]
    return paint(L, level_ab[np.rint(L).astype(int)])


# %%
ramp = np.tile(np.arange(101.0), (12, 1))
show_pictures(
    [ramp / 100, paint(ramp, level_ab[ramp.astype(int)])],
    ["gray levels, L from 0 to 100", "the colour that each level gets"],
    "A ramp from black to white, and below it the dull colours that the levels get.",
    columns=1,
    width=6,
)

# %% [markdown]
# The lower strip shows the whole of what this method knows: up to the middle mostly browns, beyond it
# a dull yellow-green, then pale yellow. Those are the habits of our 16 photographs, averaged. No level
# has a strong colour.
#
# The fourth baseline looks at a window *around* each pixel, as Welsh and others did in 2002, if in a
# simpler way. It keeps 10,000 windows of 7 × 7 pixels from training photographs, shrunk to 64 × 64,
# with the colour of the middle. For a pixel of a new picture it finds the most similar window and
# copies its colour. This is *nearest neighbour* search.


# %%
def shrink(rgb, size=64):
    """A picture at size x size."""
    return np.asarray(Image.fromarray(rgb).resize((size, size), Image.Resampling.BICUBIC))


def windows(L, side=7):
    """The window around each pixel: from (N, h, w) to (N * h * w, side * side)."""
    padded = F.pad(torch.from_numpy(L)[:, None], (side // 2,) * 4, mode="reflect")
    return F.unfold(padded, side).transpose(1, 2).flatten(0, 1)


def remember(pictures, count=10_000):
    """Windows from pictures, and the ab in their middle: (count, 49) and (count, 2)."""
    lab = np.stack([cl.rgb_to_lab(shrink(rgb)) for rgb in pictures])
    some = np.random.default_rng(0).choice(lab[..., 0].size, count, replace=False)
    return windows(lab[..., 0])[some], torch.from_numpy(lab[..., 1:].reshape(-1, 2)[some])


# %% [markdown]
# `torch.cdist` measures the distance from each window of the new picture to each that we remember:
# 4096 times 10,000 distances. The small ab is then enlarged along the photograph's own edges, by a
# function that lesson 05 explains.

# %%
from course_lib import upsample_ab


def by_patch(gray, memory):
    """The colour of the most similar window in memory."""
    known, colours = memory
    small_l = cl.rgb_to_lab(shrink(gray))[None, ..., 0]
    nearest = torch.cdist(windows(small_l), known).argmin(dim=1)
    ab = colours[nearest].T.reshape(1, 2, 64, 64)
    L = cl.rgb_to_lab(gray)[..., 0]
    return paint(L, upsample_ab(ab, torch.from_numpy(small_l)[None], L))


# %%
memory = remember(train)
methods = {
    "gray": by_gray,
    "mean colour": by_mean,
    "gray level": by_level,
    "nearest patch": lambda gray: by_patch(gray, memory),
}
truths = [square(p.load(), 256) for p in cl.photos(split="test", kind="scene")]

# %%
shown = [2, 6, 7, 9]
results = [[method(cl.to_gray(truths[i])) for method in methods.values()] for i in shown]
show_pictures(
    [picture for i, row in zip(shown, results, strict=True) for picture in (*row, truths[i])],
    [*methods, "truth"] * len(shown),
    "Four test photographs, each in gray, in one brown, in the colours of gray levels, in blotches "
    "copied from patches, and in truth.",
    columns=5,
)

# %% [markdown]
# Go from left to right. The *mean colour* turns every photograph into an old brown print. *Gray level*
# has two or three colours, and puts them where the gray is, whatever is there: light petals and light
# clouds get the same greenish yellow. *Nearest patch* is colourful, in blotches: orange and blue on one
# and the same mountain. A smooth gray window may be a sky or a petal; that is section 1 again.
#
# ## 6. A first network
#
# Nobody says which windows look like a sky and which like a petal: a network is to find out. Its
# smallest part is a window that moves over the picture. At each place it multiplies the pixels that
# it covers by nine **weights**, adds the nine products, and adds one number more, the **bias**. That is a
# **convolution**. Here it is by hand, at one place of a small picture: dark on the left, light on the
# right.

# %%
edge = np.array([[20.0, 20, 80, 80], [20, 20, 80, 80], [20, 20, 80, 80], [20, 20, 80, 80]])
upright = np.array([[-1.0, 0, 1], [-1, 0, 1], [-1, 0, 1]])
window = edge[0:3, 0:3]  # 1. take what the window covers
products = window * upright  # 2. multiply each pixel by its weight
print(products)
print("their sum:", products.sum())  # 3. add them up

# %% [markdown]
# With these weights the sum is large where it gets lighter from left to right, 0 where nothing changes,
# and below 0 where it gets darker. Other weights find other things.
#
# ### Exercise 4: a convolution
#
# *Medium, 10 minutes.* Write it for the whole picture: the three steps above at every place at which
# the window fits in, and then the bias.


# %% tags=["exercise"]
def convolve(picture, weights, bias=0.0):
    """A window of weights moved over a picture.

    picture: (H, W). weights: (k, k), k odd. bias: a number.
    Returns (H - k + 1, W - k + 1): at each place at which the window fits in, the sum of the pixels
    times their weights, plus the bias.
    """
    ### BEGIN SOLUTION
    k = len(weights)
    height, width = picture.shape[0] - k + 1, picture.shape[1] - k + 1
    out = np.empty((height, width))
    for row in range(height):
        for column in range(width):
            out[row, column] = (picture[row : row + k, column : column + k] * weights).sum() + bias
    return out
    ### END SOLUTION


# %% tags=["check"]
check.convolve(convolve)

# %% [markdown] tags=["hint"]
# Two loops, over the rows and the columns of the result. In them `picture[row : row + k, column :
# column + k]` is what the window covers.

# %% [markdown]
# Two convolutions of the fig, with these weights and with the same on their side. And what comes
# after each convolution in a network, the **ReLU** (rectified linear unit): whatever is below 0
# becomes 0. It looks like nothing, but without it many convolutions in a row could say no more than
# one.


# %%
def by_pytorch(picture, weights, bias=0.0):
    """The same, by PyTorch."""
    x, w = (torch.from_numpy(np.array(v, float))[None, None] for v in (picture, weights))
    return F.conv2d(x, w)[0, 0].numpy() + bias


move = check.convolve.choose(convolve, by_pytorch)
small_fig = L[::2, ::2]
edges_of = [move(small_fig, upright), move(small_fig, upright.T)]
edges_of.append(np.maximum(edges_of[0], 0))
show_pictures(
    [small_fig / 100, *(np.clip(0.5 + f / 150, 0, 1) for f in edges_of)],
    ["L", "upright edges", "level edges", "upright, after the ReLU"],
    "The fig in gray; its upright edges in white and black on gray; its level edges; and the upright "
    "edges again, of which only the white ones are left.",
)

# %% tags=["assertion"]
assert np.allclose(by_pytorch(small_fig, upright), move(small_fig, upright))
assert edges_of[2].min() == 0 > edges_of[0].min()

# %% [markdown]
# White is above 0, black below, gray is 0. The upright window sees the left rim of the bowl, the edge of
# its shadow and both sides of the fig; the other one the upper and lower rims. In a network nobody
# chooses the weights. They begin at random, and are *learned*.
#
# Here is the whole network: three convolutions, with windows of 5 × 5. Each result of a convolution is a
# *map*. The first makes 32 maps out of L, the second 32 out of those, the third two out of those: a and
# b. A window of the second covers all 32 maps at once, so that each of its own 32 has 32 · 25 weights
# and a bias. (`padding=2` lays zeros around the picture, so that it does not shrink.) Numbers near 0 are
# easiest to learn from, so L is scaled on the way in, and ab on the way out.


# %%
class FirstNetwork(nn.Module):
    """Three convolutions from L to ab."""

    input_size = 48  # pixels: the size at which it sees photographs

    def __init__(self):
        super().__init__()
        sizes = [(1, 32), (32, 32), (32, 2)]
        self.one, self.two, self.three = (nn.Conv2d(i, o, 5, padding=2) for i, o in sizes)

    def forward(self, L):
        """L (N, 1, H, W) in 0..100 to ab (N, 2, H, W)."""
        x = F.relu(self.one((L - 50) / 100))
        x = F.relu(self.two(x))
        return 110 * self.three(x)


# %%
torch.manual_seed(0)
untrained = FirstNetwork()
print(f"{sum(p.numel() for p in untrained.parameters()):,} numbers to learn")

# %% [markdown]
# What is wrong with a guess? By now you know the obvious answer: its squared error. It is the **loss**,
# the number that training makes small. (On the scale of ab / 110, so that it is not a huge one.)
#
# How? Take one of the 28,000 numbers, add a little, and look whether the loss rises or falls. That
# change, divided by the little that you added, is the **gradient** of the loss in that number. Then move
# every number a little against its gradient. `loss.backward()` works out all gradients at once, with one
# pass through the network backwards. Let us see whether it is right about one of them.


# %%
def squared_error(guess, ab):
    """Mean squared error, of ab / 110."""
    return F.mse_loss(guess / 110, ab / 110)


def tensors(split, size=48):
    """L (N, 1, size, size) and ab (N, 2, size, size) of the scenes of a split."""
    scenes = [square(p.load(), size) for p in cl.photos(split=split, kind="scene")]
    return [torch.stack(part) for part in zip(*map(make_pair, scenes), strict=True)]


training, held_out = tensors("train"), tensors("validation")
error = squared_error(untrained(training[0]), training[1])
error.backward()
bias = untrained.three.bias  # two numbers, one of a and one of b

# %% tags=["nbval-ignore-output"]
with torch.no_grad():
    bias[0] += 0.001
    moved_error = squared_error(untrained(training[0]), training[1])
    bias[0] -= 0.001
by_hand = (moved_error - error.detach()) / 0.001
print(f"by hand {by_hand:.3f}, by backward() {bias.grad[0]:.3f}")

# %% tags=["assertion"]
assert abs(by_hand - bias.grad[0]) < 0.02 * abs(bias.grad[0]) + 1e-3

# %% [markdown]
# They agree. What decides how far each number moves is the **optimizer**; ours is Adam, which takes
# steps of about a set size, the *learning rate*, whatever the size of the gradient. And the loss is not
# taken over all photographs but over a few, drawn anew for each step, a **batch**: a step then costs
# less, and many rough steps lead farther than a few exact ones.
#
# ### Exercise 5: the order of a step
#
# *Easy, 5 minutes.* These are the lines of one step, shuffled. PyTorch *adds* new gradients to old
# ones, so the first line forgets the old. Put them in order, as letters.
#
# ```
# A   loss.backward()
# B   guess = network(L)
# C   optimizer.step()
# D   optimizer.zero_grad()
# E   loss = loss_of(guess, ab)
# ```

# %% tags=["exercise"]
### BEGIN SOLUTION
order_of_step = "DBEAC"
### END SOLUTION

# %% tags=["check"]
check.order_of_step(order_of_step)

# %% [markdown] tags=["hint"]
# What does each line need? The optimizer needs gradients, `backward()` needs a loss, the loss needs a
# guess.

# %% [markdown]
# Now the loop: for each epoch, for each batch, these five steps (the guess and the loss share a line).
# At the end of each epoch we note the loss on the training photographs, and on the seven of the
# validation split, from which nothing is learned.

# %%
from torch.utils.data import TensorDataset
from tqdm.auto import tqdm


# %%
def train_network(network, loss_of, epochs, rate=2e-3, batch_size=4):
    """Train a network; return the losses on both splits after each epoch, (epochs, 2)."""
    batches = DataLoader(TensorDataset(*training), batch_size, shuffle=True)
    optimizer = torch.optim.Adam(network.parameters(), rate)
    losses = []
    for _ in tqdm(range(epochs)):
        for L_batch, ab_batch in batches:
            optimizer.zero_grad()
            loss = loss_of(network(L_batch), ab_batch)
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            losses.append([loss_of(network(x), y).item() for x, y in (training, held_out)])
    return np.array(losses)


# %% [markdown]
# We keep a copy of the network after 4 epochs of 4 steps each, and let it go on to 80 with a higher
# rate. `tqdm` draws the bar.

# %% tags=["nbval-ignore-output"]
from copy import deepcopy

torch.manual_seed(0)
first = FirstNetwork()
losses = train_network(first, squared_error, epochs=4, rate=1e-3)
early = deepcopy(first)
losses = np.concatenate([losses, train_network(first, squared_error, epochs=76)])

# %%
mean_of_train = training[1].mean(dim=(0, 2, 3), keepdim=True)
constant = [
    squared_error(mean_of_train.expand_as(ab), ab).item() for _, ab in (training, held_out)
]
epochs = np.arange(1, len(losses) + 1)

# %% tags=["pictures-vary"]
show_lines(
    {
        "training": (epochs, losses[:, 0]),
        "validation": (epochs, losses[:, 1]),
        "validation, mean colour": (epochs, np.full(len(losses), constant[1])),
    },
    "epochs",
    "squared error of ab / 110",
    "Two curves of loss over 80 epochs. Training begins higher, rises for a few epochs, then falls to "
    "about half; validation soon stops falling and jumps up and down, below the level line of the "
    "mean colour at first and mostly above it in the end.",
)

# %% tags=["assertion"]
assert losses[-10:, 0].mean() < 0.75 * losses[0, 0]
assert losses[-10:, 1].mean() > 1.15 * losses[-10:, 0].mean()
assert losses[-10:, 1].mean() > 0.97 * losses[5:15, 1].mean()
assert losses[-10:, 1].mean() > 0.9 * constant[1]

# %% [markdown]
# This is the most important figure in machine learning. At first the training loss is the higher one:
# these sixteen photographs are more colourful. (The bump after epoch 4 is the higher rate.) Then the
# curves cross and part: on the photographs that it learns from the network becomes better and better, on
# others it does not. It learns the sixteen *by heart*. Where the gap opens, more epochs help no more;
# more photographs would. The level line says how little was won: at its best the network is a little
# ahead of one brown for everything, in the end behind it.
#
# `cl.colorize` takes any network that goes from L to ab. Three photographs that it learned from, and
# three that it did not, after 4 epochs and after 80.

# %% tags=["pictures-vary"]
few = [train[i] for i in (5, 6, 9)] + [truths[i] for i in (2, 6, 9)]
kinds_shown = ["learned"] * 3 + ["new"] * 3
show_pictures(
    few + [cl.colorize(rgb, network) for network in (early, first) for rgb in few],
    [f"truth\n{kind}" for kind in kinds_shown]
    + [f"{n} epochs\n{kind}" for n in (4, 80) for kind in kinds_shown],
    "Six photographs in truth; below, after 4 epochs, all dull, brown in the dark and pale greenish "
    "beige in the light; below, after 80, with green on the grass and leaf that it learned, and "
    "stains of green and orange on the new ones.",
    columns=6,
)

# %% tags=["assertion"]
chroma_of = [
    np.mean([mean_chroma(cl.colorize(rgb, network)) for rgb in truths])
    for network in (early, first)
]
assert max(chroma_of) < 0.7 * np.mean([mean_chroma(rgb) for rgb in truths])

# %% [markdown]
# After 4 epochs everything is dull. The network has learned what section 2 foretold: the mean. Nothing
# is broken, and more steps do not mend it: after 80 epochs the grass that it knows by heart is green,
# the orange flower only half learned, and the new photographs have stains, colours of the sixteen in
# places where they do not belong.
#
# Beside these we put the course's small ECCV16, which lesson 03 takes apart. The contest is not fair,
# and it should be said: all others learned from 16 photographs, that network from many thousands. None
# of them saw the test photographs.

# %% tags=["pictures-vary"]
net = cl.eccv16()
methods["first network"] = lambda gray: cl.colorize(gray, first)
methods["ECCV16"] = lambda gray: cl.colorize(gray, net)
names_shown = ("mean colour", "first network", "ECCV16")
rows_shown = [[methods[name](cl.to_gray(truths[i])) for name in names_shown] for i in shown]
show_pictures(
    [p for i, row in zip(shown, rows_shown, strict=True) for p in (*row, truths[i])],
    [*names_shown, "truth"] * len(shown),
    "Four test photographs in one brown, from the first network, from ECCV16 and in truth.",
    columns=4,
)

# %% [markdown]
# *ECCV16* colours whole regions. Go through them one by one: which would you believe, had you not seen
# the truth? Which are false all the same?
#
# ## 7. How to judge
#
# Looking is not enough: you would look at the pictures that you like. We need numbers, and we need
# to know what each of them sees.
#
# **PSNR**, the peak signal-to-noise ratio, compares the RGB values of two pictures. Let *MSE* be the
# mean of the squared differences, over all pixels and all three channels. Then
#
# $$\text{PSNR} = 10 \log_{10} \frac{255^2}{\text{MSE}}$$
#
# in decibels (dB). More is better; half the error, that is a quarter of the MSE, gives 6 dB more.
#
# ### Exercise 6: PSNR
#
# *Easy, 5 minutes.* Write it. Mind the type of the pictures: in 8 bits, 10 - 20 is 246.


# %% tags=["exercise"]
def psnr(rgb, truth):
    """Peak signal-to-noise ratio of two pictures, in decibels.

    rgb, truth: (H, W, 3) uint8.
    Returns a float; infinity if the pictures are equal.
    """
    ### BEGIN SOLUTION
    mse = np.mean((rgb.astype(float) - truth.astype(float)) ** 2)
    if mse == 0:
        return float("inf")
    return float(10 * np.log10(255**2 / mse))
    ### END SOLUTION


# %% tags=["check"]
check.psnr(psnr)

# %% [markdown] tags=["hint"]
# Make both pictures `float` before you subtract. One mean over everything, not one for each channel.
# `np.log10`, not `np.log`.

# %% [markdown]
# The library has the same, `cl.psnr`, which stands in until yours is [ok]. Now score the *gray picture
# itself*, for two photographs that come with scikit-image.

# %%
from skimage import data

score = check.psnr.choose(psnr, cl.psnr)
coffee, hubble = data.coffee(), data.hubble_deep_field()
show_pictures(
    [coffee, cl.to_gray(coffee), hubble, cl.to_gray(hubble)],
    ["coffee", "its gray picture", "deep field", "its gray picture"],
    "A red cup of coffee on a brown wooden table, and galaxies on a black sky, each in colour and in gray.",
)
for name, picture in {"coffee": coffee, "deep field": hubble}.items():
    print(f"{name:10}  PSNR of the gray picture: {score(cl.to_gray(picture), picture):.1f} dB")

# %% tags=["assertion"]
assert abs(cl.psnr(cl.to_gray(coffee), coffee) - 14.12) < 0.03
assert abs(cl.psnr(cl.to_gray(hubble), hubble) - 31.29) < 0.03

# %% [markdown]
# In both cases nobody coloured anything, and the numbers are 17 dB apart. The sky is mostly black,
# so there is little colour to miss. A PSNR without the photograph and the gray picture's own score
# tells you nothing.
#
# ### Exercise 7: predict, then run
#
# *Easy, 5 minutes.* Take the fig once more, and three wrong versions of it: `"gray"`, the gray
# picture; `"blue"`, sharp, with a blue bowl, one that no one could tell from a true photograph by
# the colours; `"blurred"`, the true picture so blurred that the fig is a smudge. Put them in the
# order of their PSNR, **best first**, and only then run on.

# %% tags=["exercise"]
### BEGIN SOLUTION
best_first = ["blurred", "gray", "blue"]
### END SOLUTION

# %% tags=["check"]
check.best_first(best_first)

# %% [markdown] tags=["hint"]
# PSNR looks at differences of RGB values, pixel by pixel. How far is red from a mixture of nearby
# reds? How far is it from gray? And how far from blue, which lies on the other side of gray?

# %%
versions = {
    "gray": cl.to_gray(photo),
    "blue": bowls["blue"],
    "blurred": np.asarray(Image.fromarray(shrink(photo, 20)).resize((256, 256), Image.BICUBIC)),
}
titles = [
    f"{name}: {score(picture, photo):.1f} dB\nSSIM {cl.ssim(picture, photo):.2f}"
    for name, picture in versions.items()
]
show_pictures(
    [photo, *versions.values()],
    ["truth", *titles],
    "The fig as it was, in gray, in a blue bowl, and as a smudge in the right colours.",
)

# %% tags=["assertion"]
by_psnr = sorted(versions, key=lambda name: -cl.psnr(versions[name], photo))
assert by_psnr == ["blurred", "gray", "blue"]
by_ssim = sorted(versions, key=lambda name: -cl.ssim(versions[name], photo))
assert by_ssim == ["gray", "blurred", "blue"]

# %% [markdown]
# PSNR puts the smudge first by far and the blue bowl last, below no colour at all. This is section 2
# again: PSNR *is* a squared error, so it prefers the cautious. Someone who looks for a picture to put
# on the wall would choose the other way round.
#
# **SSIM**, structural similarity (Wang and others, 2004), compares small windows of each channel by
# their mean, their contrast and their pattern; 1 is the most. It minds the blur more, and puts gray
# first. The blue bowl is last again: SSIM knows no more than PSNR about which colours are plausible.
#
# Four more ways to judge:
#
# - **AuC raw**, from the ECCV16 paper. Count the pixels whose ab is off by at most *t*, for every *t*
#   from 0 to 150, draw the curve, and take the *area under the curve* in percent. Gray does well,
#   because most of the world is grayish.
# - **AuC balanced** is the same, but rare colours count as much as common ones.
# - **Colourfulness** is the mean chroma over that of the truth: 0 for gray, 1 for as colourful as
#   life. It says nothing about whether the colours are in their places.
# - **People.** Show the real photograph and the coloured one, and ask which is false. If nobody can
#   tell, the coloured one is chosen as the real one in 50 % of trials.
#
# | study | method | took for real |
# |---|---|---|
# | Zhang and others, 2016 | ECCV16 | 32 % |
# | Isola and others, 2017 | ECCV16's network, with squared error (L2) | 16.3 % ± 2.4 |
# | Isola and others, 2017 | pix2pix (L1 and adversarial loss) | 22.5 % ± 1.6 |
# | Isola and others, 2017 | ECCV16 | 27.8 % ± 2.7 |
#
# Both studies asked crowd workers, who saw ImageNet photographs at 256 × 256 for a second each
# (reported). The network that chooses colours was taken for real far more often than the same network
# with squared error. (Between pix2pix and L2 the authors found no significant difference.) And ECCV16
# got 32 % in one study and 27.8 % in the other: even with people, compare only within one protocol.
#
# ## 8. Measure
#
# A **protocol** says all that a number depends on. Ours, that of `course_lib.evaluation`: the ten
# test scenes, centre squares of 256 × 256 pixels; methods see the gray picture; PSNR over 8-bit RGB;
# AuC over ab from 0 to 150; each number is a mean over the photographs.

# %%
from course_lib.evaluation import bootstrap, measure, summarize


def show_means(names):
    """The means over the photographs, a row for each method."""
    digits = {"psnr": 1, "auc_raw": 1, "auc_balanced": 1, "colourfulness": 2}
    header = ["method", "PSNR, dB", "AuC raw, %", "AuC balanced, %", "colourfulness"]
    means = {name: summarize(figures[name]) for name in names}
    cells = [[n, *(f"{m[key][0]:.{d}f}" for key, d in digits.items())] for n, m in means.items()]
    show_table(header, cells, "Means over the ten test scenes")


# %%
figures = {name: measure(truths, method) for name, method in methods.items()}
show_means([name for name in methods if name != "first network"])

# %% tags=["nbval-ignore-output"]
show_means(["first network"])

# %% tags=["assertion"]
means = {name: {k: v[0] for k, v in summarize(f).items()} for name, f in figures.items()}
baselines = [name for name in methods if name not in ("ECCV16", "first network")]
assert max(baselines, key=lambda name: means[name]["psnr"]) == "mean colour"
assert means["mean colour"]["auc_balanced"] > means["gray"]["auc_balanced"] + 2
assert all(means["ECCV16"]["auc_balanced"] > means[n]["auc_balanced"] + 1 for n in baselines)
assert means["mean colour"]["colourfulness"] < means["ECCV16"]["colourfulness"]
assert 0.3 < means["mean colour"]["colourfulness"] < 0.6
assert min(baselines, key=lambda name: means[name]["psnr"]) == "nearest patch"
assert means["first network"]["psnr"] < means["mean colour"]["psnr"] + 0.5
assert np.mean([cl.rgb_to_lab(truth)[..., 2].mean() for truth in truths]) > 10

# %% [markdown]
# Read it slowly; it is humbling.
#
# - *Mean colour* is hard to beat. One brown for everything has the best PSNR of the four baselines,
#   and even its balanced AuC is well above gray's. Our test photographs are warm on average, autumn
#   and sunset and wood, and so is that brown.
# - *Nearest patch* dares much and loses: its PSNR is the lowest of the baselines. A window of seven
#   pixels is not enough to know a sky from a petal.
# - *Your first network* did what it was asked for, and hardly beats that brown, if at all.
# - *ECCV16* is far ahead in balanced AuC, and more colourful than the mean colour. Compare it with the
#   mean colour, column by column, and then look at the pictures above again. How much of what you see
#   is in the numbers?
#
# No column alone can be trusted, and ten photographs are few. How few? The **bootstrap** tells: draw ten
# photographs out of the ten, with repeats, many times, and see how the mean varies. All methods saw the
# *same* photographs, and a dark one is easy for all of them. So we take the difference on each
# photograph, and then the mean of the differences: they are **paired**. That mean is the same as the
# difference of the means, but its interval is narrower. (The 95 % interval holds the middle 95 % of the
# means that were drawn.)


# %%
def paired(one, other, key="psnr"):
    """The mean of one less the other over the photographs, with its 95 % interval."""
    mean, low, high = bootstrap(figures[one][key] - figures[other][key])
    return f"{one} less {other}: {mean:+.1f} ({low:+.1f} to {high:+.1f})"


alone = summarize(figures["gray"])["psnr"]
print("PSNR in dB, means with 95 % intervals")
print("gray alone: {:.1f} ({:.1f} to {:.1f})".format(*alone))
print(paired("mean colour", "gray"))
print(paired("ECCV16", "gray"))
print(paired("ECCV16", "mean colour"))

# %% tags=["nbval-ignore-output"]
print(paired("first network", "mean colour"))
print(paired("first network", "gray"))

# %% tags=["assertion"]
_, low, high = bootstrap(figures["mean colour"]["psnr"] - figures["gray"]["psnr"])
assert low < 0 < high and high - low < 0.5 * (alone[2] - alone[1])

# %% [markdown]
# The interval of one method alone is several dB wide: that is how much photographs differ. The paired
# ones are narrower. Where such an interval holds 0, as that of *mean colour less gray* does, the ten
# photographs do not say who is ahead; more would have to be asked. A difference without its interval is
# a rumour.
#
# So let us ask more. When the course's networks were made they were measured on hundreds of photographs
# from public sets, held out of all training. The library ships what came out; we read it from the file.

# %%
import json

from course_lib.files import data_folder

sets = json.loads((data_folder() / "weights" / "held-out.json").read_text(encoding="utf-8"))
names_of = ("gray", "mean colour", "eccv16")
for key, title in (("psnr", "PSNR, dB"), ("auc_balanced", "AuC balanced, %")):
    cells = [
        [f"{r['pictures']} of {name}", *(f"{r['methods'][m][key][0]:.1f}" for m in names_of)]
        for name, r in sets.items()
    ]
    show_table(["pictures", *names_of], cells, f"{title}, means over held-out pictures")

# %% tags=["assertion"]
of_sets = [r["methods"] for r in sets.values()]
assert all(m["eccv16"]["auc_balanced"][0] > m["gray"]["auc_balanced"][0] for m in of_sets)
lead = {
    k: np.mean([m["eccv16"][k][0] - m["mean colour"][k][0] for m in of_sets])
    for k in ("psnr", "auc_balanced")
}
assert lead["psnr"] < 1 and lead["auc_balanced"] > lead["psnr"]
leads = {n: r["methods"] for n, r in sets.items()}
leads = {n: m["eccv16"]["psnr"][0] - m["mean colour"]["psnr"][0] for n, m in leads.items()}
assert [n for n, ahead in leads.items() if ahead > 0] == ["PACS"]

# %% [markdown]
# On all of these sets but one ECCV16 has no lead in PSNR over a picture in one brown. (The one is PACS:
# mostly animals out of doors.) Our ten photographs said otherwise, and their interval did not hold 0.
# But an interval tells of chance among photographs *like these*, and ours are few and chosen by hand.
# That ECCV16 has no lead is as it should be. PSNR *is* the squared error, and whoever wants its best has
# to answer with the mean of all possibilities; section 2 showed it. ECCV16 is made to choose instead.
# When it chooses wrongly it pays twice, and when nobody can know it chooses all the same. Its balanced
# AuC, for which rare colours count like common ones, is ahead on every set. A network that is to please
# PSNR is easy to get: you have just trained one.
#
# ### What a leak does
#
# Now the leak of exercise 2, in numbers. We let the nearest patch remember windows of the *test*
# photographs, and change nothing else.

# %%
leak = remember(truths)
figures["leak"] = measure(truths, lambda gray: by_patch(gray, leak))
for name in ("nearest patch", "leak"):
    result = summarize(figures[name])
    print(f"{name:13} PSNR {result['psnr'][0]:.1f}, AuC balanced {result['auc_balanced'][0]:.1f}")

# %% tags=["assertion"]
leaked = summarize(figures["leak"])
assert leaked["psnr"][0] > max(mean["psnr"] for mean in means.values()) + 3
assert leaked["auc_balanced"][0] > max(mean["auc_balanced"] for mean in means.values()) + 10

# %% [markdown]
# The lowest PSNR of the baselines has become the highest of all, by a wide margin, and nothing was
# learned that would help with any other photograph. When your validation numbers are wonderful, suspect
# the split first.
#
# ## 9. What colorized history can claim
#
# A colorized photograph of 1910 is a picture of what the training photographs of today make likely.
# It is not a picture of 1910. Three reasons to be careful:
#
# **The colour is not there.** The bowl may have been blue. So may the coat, the flag, the wall. A
# network has no access to what no one recorded; it has only habits.
#
# **Even the gray is not what we trained on.** Our gray is L, and L sees all colours. Most plates of the
# 19th century saw blue light and next to nothing of red. Roughly, they kept the blue channel.

# %%
plate = np.repeat(photo[..., 2:], 3, axis=2)
show_pictures(
    [
        photo,
        cl.to_gray(photo),
        plate,
        cl.colorize(cl.to_gray(photo), net),
        cl.colorize(plate, net),
    ],
    ["truth", "L", "blue light only", "ECCV16, L", "ECCV16, blue"],
    "The fig's bowl: red in truth, middle gray in L, almost black to a plate that sees only blue; "
    "and the network's guesses from both gray pictures.",
)

# %% tags=["assertion"]
assert photo[..., 2][bowl].mean() < 50 < cl.to_gray(photo)[..., 0][bowl].mean() - 30

# %% [markdown]
# In blue light the red bowl is nearly black, and the pale stone around it stays as it was. Networks
# are trained on L of today's photographs, where such a picture would mean a black bowl. So the last two
# pictures answer two different questions. Compare both with the truth on the left.
#
# **Habits are not neutral.** A network gives to the rare what it knows of the common. If few of its
# training photographs show certain people, dresses or places, it paints them like the others. With
# the colour of skin that is no longer a small error.
#
# What to do? It is simple, and it is rarely done:
#
# - say that the colours are a guess, and whose: which network, which hints;
# - keep the gray original beside it, and never let the coloured one replace it;
# - do not use coloured pictures as evidence of what something looked like;
# - ask, if you can, those who know: people, museums, a piece of the cloth. Lesson 04 shows how to
#   give what they know to the network as hints;
# - think of who is shown. A photograph of someone's suffering does not need to become lifelike.
#
# Then colour can do what it does well: make us look longer.
#
# ### Challenge: beat the mean colour
#
# *Open, 15 minutes.* Write a colorizer that has a better mean PSNR than the mean colour on the 17 scenes
# of validation and test, without the course's networks. (For once the test photographs take part in the
# choice. So your number is no fair one any more: why?) All that this lesson has built is yours:
# `mean_ab`, `level_ab`, `first`, `paint`, `upsample_ab`, and whatever you think of. The check measures
# and ranks it. And when you have won: look at your pictures. Is it the measure that you have beaten, or
# the problem?


# %% tags=["exercise"]
def my_colorizer(gray):
    """A gray picture (H, W, 3) uint8 in colours: (H, W, 3) uint8."""
    ### BEGIN SOLUTION
    L = cl.rgb_to_lab(gray)[..., 0]
    return paint(L, np.broadcast_to(mean_ab / 2, (*L.shape, 2)))
    ### END SOLUTION


# %% tags=["check"]
check.my_colorizer(my_colorizer)

# %% [markdown] tags=["hint"]
# The squared error punishes every unit of chroma that is in the wrong place. Between gray and the mean
# colour there is room. Is the upper part of a photograph bluer than the lower? What is the mean of two
# colorizers?

# %% [markdown]
# ## Summary
#
# - A gray pixel has many possible colours. What surrounds it makes some likelier; nothing makes one
#   certain.
# - The constant with the smallest squared error is the mean, with the smallest absolute error the
#   median. Both are dull where the truth is colourful.
# - Training pairs come free: L in, ab out. Leave gray pictures out, split by photograph, shuffle the
#   training data, and keep the splits apart.
# - Baselines come first. One brown for everything is hard to beat in numbers, and nobody wants it.
# - A convolution is a window of weights; a network is several, with ReLU between them. Training
#   moves the weights against the gradient of a loss, batch by batch. With squared error it ends in
#   beige, and on few photographs in learning by heart: two curves that part.
# - Compare methods photograph by photograph, and give the difference with its interval.
# - PSNR and SSIM prefer the cautious; AuC balanced, colourfulness and people see more. State the
#   protocol, use several measures, and look.
# - Plausible is not true.
#
# ## Further reading
#
# - W. Markle, C. Mitchell, "Method of, and apparatus for, modifying luminance levels of a black and
#   white video signal", US patent 4,710,805, 1987.
# - T. Welsh, M. Ashikhmin, K. Mueller, "Transferring Color to Greyscale Images", ACM Transactions on
#   Graphics 21(3) (SIGGRAPH), 2002.
# - A. Levin, D. Lischinski, Y. Weiss, "Colorization using Optimization", ACM Transactions on Graphics
#   23(3) (SIGGRAPH), 2004.
# - Z. Wang, A. C. Bovik, H. R. Sheikh, E. P. Simoncelli, "Image Quality Assessment: From Error
#   Visibility to Structural Similarity", IEEE Transactions on Image Processing 13(4), 2004.
# - Z. Cheng, Q. Yang, B. Sheng, "Deep Colorization", ICCV 2015, arXiv:1605.00075.
# - G. Larsson, M. Maire, G. Shakhnarovich, "Learning Representations for Automatic Colorization",
#   ECCV 2016, arXiv:1603.06668.
# - S. Iizuka, E. Simo-Serra, H. Ishikawa, "Let there be Color! Joint End-to-end Learning of Global and
#   Local Image Priors for Automatic Image Colorization with Simultaneous Classification", ACM
#   Transactions on Graphics 35(4) (SIGGRAPH), 2016.
# - R. Zhang, P. Isola, A. A. Efros, "Colorful Image Colorization", ECCV 2016, arXiv:1603.08511.
# - R. Zhang, J.-Y. Zhu, P. Isola, X. Geng, A. S. Lin, T. Yu, A. A. Efros, "Real-Time User-Guided
#   Image Colorization with Learned Deep Priors", SIGGRAPH 2017, arXiv:1705.02999.
# - P. Isola, J.-Y. Zhu, T. Zhou, A. A. Efros, "Image-to-Image Translation with Conditional
#   Adversarial Networks", CVPR 2017, arXiv:1611.07004.
