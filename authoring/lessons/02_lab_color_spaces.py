# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Take colour apart
#
# A gray photograph knows how light every place was. It does not know the colour. To teach a network
# colour, we need numbers that keep these two apart: one number for lightness, which the network
# gets, and two for colour, which it answers. RGB does not do that. The colour space **Lab** does,
# and every network in this course speaks it.
#
# **You will do**
#
# - go from a pixel's numbers to light, from light to XYZ, and from XYZ to Lab, in three functions of
#   your own that agree with scikit-image;
# - look at lightness and colour alone, and make each of them coarse;
# - find out which colours photographs have, and which ones a screen cannot show;
# - derive the 313 colour classes of the network ECCV16, and see four plausible rules fail.
#
# **You will learn**
#
# - why the mean of two pixels is not the mean of their light;
# - why a network may answer with far fewer pixels than the picture has, and nobody minds;
# - what goes wrong, silently, when two programs scale Lab differently.
#
# **You need** lesson 00, and NumPy arrays as far as indexing and broadcasting.
#
# **Time** about 100 minutes: 40 of reading, 60 of exercises. The computer needs less than half a minute.
#
# **In a hurry** run every cell, but read only 3 to 5, 7 and 9; do exercises 4 and 6.

# %%
import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from scipy.spatial import ConvexHull
from skimage.color import rgb2lab, rgb2xyz, xyz2lab, xyz2rgb

import course_lib as cl
from course_lib.checks import lesson_02 as check
from course_lib import in_gamut
from course_lib.plotting import ab_plane, new_figure, show, show_ab_histograms
from course_lib.plotting import show_lines, show_pictures, show_table
from course_lib.sliders import explore

# %% [markdown]
# ## Two questions first
#
# Answer aloud or on paper, then unfold.
#
# Lesson 00: which part of a photograph does a colorization network get, and which does it answer?
#
# <details>
# <summary>Answer</summary>
#
# It gets the lightness, and answers the colour: a and b, since lesson 01.
#
# </details>
#
# Lesson 01: why can one gray picture belong to many colour photographs?
#
# <details>
# <summary>Answer</summary>
#
# Very different colours have the same lightness, and the way from colour to gray forgets which it was.
#
# </details>
#
# ## 1. From pixels to light
#
# A pixel holds three numbers from 0 to 255. They are not amounts of light. They are positions on a
# curve that gives dark tones more numbers than bright ones, because that is where eyes see small
# differences. The curve belongs to **sRGB**, the colour space of nearly every picture file and screen
# (IEC 61966-2-1).
#
# ### Exercise 1: predict, then run
#
# *Easy, 5 minutes.* A pattern of thin stripes has as many black pixels (0) as white ones (255).
# From across the room the stripes melt into one gray, which sends out half of the light of white.
# Which pixel value has that gray: 64, 128, 188 or 230? Write your guess, then run on.

# %% tags=["exercise"]
### BEGIN SOLUTION
mixed = 188
### END SOLUTION

# %% tags=["check"]
check.mixed(mixed)

# %% [markdown] tags=["hint"]
# The curve spends many of its 256 numbers on dark tones. So half of the light is reached when more
# than half of the numbers are used up, but not nearly all.

# %% [markdown]
# scikit-image can mix light. Its function `rgb2xyz` goes to light (section 2 says what X, Y and Z
# are), and `xyz2rgb` comes back.

# %%
black, white = np.zeros((1, 3)), np.ones((1, 3))
half = (rgb2xyz(black) + rgb2xyz(white)) / 2
print("half the light of white has the value", round(255 * xyz2rgb(half)[0, 1]))
print(f"the value 128 has {rgb2xyz(np.full((1, 3), 128 / 255))[0, 1]:.0%} of the light of white")

# %% tags=["assertion"]
assert round(255 * xyz2rgb(half)[0, 1]) == 188

# %% [markdown]
# The value in the middle, 128, is a fifth of the light, not half. Any program that averages pixels
# to shrink or to blur a picture meets this. Here is red mixed with green, from all red to all
# green: above by averaging values, below by averaging light.

# %%
t = np.linspace(0, 1, 300)[None, :, None] * np.ones((50, 1, 1))
red, green = np.array([1.0, 0, 0]), np.array([0, 1.0, 0])
by_value = (1 - t) * red + t * green
by_light = xyz2rgb((1 - t) * rgb2xyz(red) + t * rgb2xyz(green))
show_pictures(
    [by_value, by_light],
    ["averages of values", "averages of light"],
    "Two bands from red to green. Mixed by values the middle is a dark olive; mixed by light it is "
    "a golden yellow.",
    columns=1,
    width=5,
)

# %% [markdown]
# Red light and green light make yellow light, as below. The dark middle of the upper band is an
# error of arithmetic that you can find in many programs.
#
# The curve itself: below a value of 0.04045 it is a straight line, `value / 12.92`. Above, it is
# `((value + 0.055) / 1.055) ** 2.4`. Often one reads "gamma 2.2" instead, a plain power. Let us
# see both.

# %%
value = np.linspace(0, 1, 256)
srgb = rgb2xyz(np.repeat(value[:, None], 3, axis=1))[:, 1]
show_lines(
    {"sRGB": (value, srgb), "power 2.2": (value, value**2.2), "straight": (value, value)},
    "value in the file, 0 to 1",
    "light, share of white",
    "Light against value: sRGB's curve and the power 2.2 lie almost on each other and sag far "
    "below the straight line.",
)
ratio = srgb[5] / value[5] ** 2.2
print(f"in the middle: {srgb[128]:.3f} of sRGB, {value[128] ** 2.2:.3f} of the power")
print(f"at the value 5 of 255, sRGB is {ratio:.0f} times the power")

# %% [markdown]
# Both sag, and at this scale they are hard to tell apart. In the dark they differ by a factor: the
# straight piece near 0 is what the power lacks. So "gamma 2.2" is good enough for a sketch and
# wrong in the shadows.

# %% tags=["assertion"]
assert abs(srgb[128] - value[128] ** 2.2) < 0.01
assert ratio > 5

# %% [markdown]
# ### Exercise 2: from values to light
#
# *Easy, 5 minutes.* Write the curve, with its straight piece.


# %% tags=["exercise"]
def linear_light(rgb):
    """Undo sRGB's curve.

    rgb: array (..., 3) of floats in 0..1, as in a file divided by 255.
    Returns an array of the same shape: light, 0 for none, 1 for the screen's most.
    """
    ### BEGIN SOLUTION
    return np.where(rgb > 0.04045, ((rgb + 0.055) / 1.055) ** 2.4, rgb / 12.92)
    ### END SOLUTION


# %% tags=["check"]
check.linear_light(linear_light)

# %% [markdown] tags=["hint"]
# `np.where(condition, a, b)` takes from `a` where the condition holds and from `b` elsewhere. The
# condition is `rgb > 0.04045`.

# %% [markdown]
# ## 2. From light to XYZ
#
# Three amounts of light, but whose red, whose green? Another screen has other lamps. **XYZ** is the
# answer of 1931: three numbers for any light at all. Two lights with the same three numbers look the
# same to an average eye, as measured in the 1920s and fixed by the International Commission on
# Illumination, CIE. X, Y and Z are no colours that one could see; they are a common currency. One of
# them has a meaning of its own: **Y** is *luminance*: how much light there is, each wavelength weighted
# by the eye's sensitivity.
#
# Light adds up, so the way from a screen's light to XYZ is a matrix. Its columns are the XYZ of the
# screen's full red, full green and full blue.

# %%
M = np.array(cl.lab.XYZ_FROM_RGB)
cells = [[n, *(f"{v:.2f}" for v in [*r, r.sum()])] for n, r in zip("XYZ", M, strict=True)]
show_table(["", "red", "green", "blue", "white"], cells, "What a screen's full lights are made of")

# %% [markdown]
# Read the middle row. Of white's luminance 72 percent come from green, 21 from red, and 7 from blue.
# This is why the mean of R, G and B is a poor gray: it counts blue like green. The last column,
# the sum of the three, is the white of sRGB. It is called **D65**, and stands for daylight of about 6500 kelvin; section 8
# comes back to it. (The standard prints the matrix with four digits, and rounded differently on the way: this one, which
# scikit-image uses too, differs from it by up to 0.0003.)

# %% tags=["assertion"]
printed = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
assert 0.0002 < np.abs(M - printed).max() < 0.0003
assert np.allclose(M[1], [0.21, 0.72, 0.07], atol=0.005)
assert np.abs(M.sum(axis=1) - cl.lab.WHITE).max() < 1e-4

# %% [markdown]
# ### Exercise 3: from light to XYZ
#
# *Easy, 5 minutes.* Multiply every pixel by the matrix. The one difficulty is that pixels are rows
# of an array, and the matrix wants columns.


# %% tags=["exercise"]
def xyz_from_light(light):
    """Light of an sRGB screen to XYZ.

    light: array (..., 3), red, green and blue, 0..1, linear.
    Returns an array (..., 3): X, Y and Z; white has Y = 1.
    """
    ### BEGIN SOLUTION
    return light @ M.T
    ### END SOLUTION


# %% tags=["check"]
check.xyz_from_light(xyz_from_light)

# %% [markdown] tags=["hint"]
# For one pixel as a column it is `M @ pixel`. For pixels as rows, both sides are turned:
# `pixels @ M.T`. NumPy's `@` works on the last two axes, so pictures need no loop.

# %% [markdown]
# ## 3. From XYZ to Lab
#
# Luminance is how much light there is. **Lightness** is how light it looks, and that is another
# thing. Two rows of gray patches: above, each patch has a tenth more of white's light than the one
# before; below, each is ten steps higher in L, the lightness of Lab.

# %%
steps = np.linspace(0, 1, 11)
even_light = np.rint(255 * xyz2rgb(steps[None, :, None] * rgb2xyz(white))).astype(np.uint8)
even_L = cl.lab_to_rgb(np.stack([100 * steps, 0 * steps, 0 * steps], axis=-1)[None])
large = [row.repeat(40, axis=0).repeat(40, axis=1) for row in (even_light, even_L)]
show_pictures(
    [np.pad(p, ((3, 3), (3, 3), (0, 0)), constant_values=160) for p in large],
    ["even steps of light", "even steps of L"],
    "Two rows of eleven gray patches from black to white. With even light the first step is a leap "
    "and the last ones are hardly seen; with even L all steps look alike.",
    columns=1,
    width=5.5,
)

# %%
L_of_18 = rgb2lab(xyz2rgb(0.18 * rgb2xyz(white)))[0, 0]
print(f"18% of white's light has L = {L_of_18:.0f}")

# %% tags=["assertion"]
assert round(L_of_18) in (49, 50)
assert abs((24 / 116) ** 3 - 0.008856) < 1e-6 and abs(841 / 108 - 7.787) < 1e-4

# %% [markdown]
# With even light the first step leaps from black to a good gray, and the last ones are hardly seen.
# With even L the steps look about equal. Photographers know the number below: a card that reflects
# 18 percent is "middle gray".
#
# This is what Lab was made for (CIE, 1976): equal distances should look equally large. It takes three
# steps. Divide by white, because the eye adapts to it. Take a cube root, because the same extra light
# counts for less the more there is. Then separate lightness from the two pairs of opposites that our
# nerves compute: red against green, and yellow against blue.
#
# ```
# L = 116 f(Y/Yn) - 16                    Xn, Yn, Zn: the XYZ of white
# a = 500 (f(X/Xn) - f(Y/Yn))             f(t) = t ** (1/3)           where t > 0.008856
# b = 200 (f(Y/Yn) - f(Z/Zn))                    7.787 t + 16/116     elsewhere
# ```
#
# The second line of f is a straight piece once more, since a cube root is infinitely steep at 0.
# The 16 makes black L = 0. The factors make L run from 0 to 100, and steps in a and b about as
# large to the eye as steps in L. The two odd numbers are rounded; CIE 15 has (24/116)³ and 841/108.
#
# ### Exercise 4: from XYZ to Lab
#
# *Medium, 10 minutes.* Write it. `cl.lab.WHITE` has white's XYZ.


# %% tags=["exercise"]
def lab_from_xyz(xyz):
    """XYZ to Lab under the white of sRGB.

    xyz: array (..., 3), white has Y = 1.
    Returns an array (..., 3): L in 0..100, a and b.
    """
    ### BEGIN SOLUTION
    ratio = xyz / np.array(cl.lab.WHITE)
    f = np.where(ratio > 0.008856, np.cbrt(ratio), 7.787 * ratio + 16 / 116)
    L = 116 * f[..., 1] - 16
    a = 500 * (f[..., 0] - f[..., 1])
    b = 200 * (f[..., 1] - f[..., 2])
    return np.stack([L, a, b], axis=-1)
    ### END SOLUTION


# %% tags=["check"]
check.lab_from_xyz(lab_from_xyz)

# %% [markdown] tags=["hint"]
# `xyz / np.array(cl.lab.WHITE)` divides each channel by white's. Compute f for all three channels at
# once with `np.where`, as in exercise 2. `np.stack([L, a, b], axis=-1)` puts the channels together.

# %% [markdown]
# With three times [ok] you have written scikit-image's `rgb2lab`.
#
# ### Exercise 5: the whole way, in order
#
# *Easy, 5 minutes.* The steps from a photograph in 8 bits to Lab, shuffled. Put them in order, as letters.
#
# ```
# A   take the cube root, or the straight piece near 0
# B   undo sRGB's curve
# C   divide by the XYZ of white
# D   subtract: L from Y alone, a from X and Y, b from Y and Z
# E   multiply by the matrix
# F   divide by 255
# ```

# %% tags=["exercise"]
### BEGIN SOLUTION
order_of_lab = "FBECAD"
### END SOLUTION

# %% tags=["check"]
check.order_of_lab(order_of_lab)

# %% [markdown] tags=["hint"]
# Values, light, XYZ, ratios to white, their roots, differences.

# %% [markdown]
# So here is a photograph on the whole way, through your three functions where they are [ok]. The course's
# library has the same steps for tensors, so that a network can be trained through them. Do they agree?

# %%
to_light = check.linear_light.choose(
    linear_light, lambda v: np.where(v > 0.04045, ((v + 0.055) / 1.055) ** 2.4, v / 12.92)
)
to_xyz = check.xyz_from_light.choose(xyz_from_light, lambda light: light @ M.T)
to_lab = check.lab_from_xyz.choose(lab_from_xyz, xyz2lab)

photo = cl.load_photo("scenes/brushes")
lab_of_photo = to_lab(to_xyz(to_light(photo / 255)))
batch = torch.from_numpy(photo / 255).movedim(-1, 0)[None]
ours = cl.lab.rgb_to_lab_tensor(batch)[0].movedim(0, -1).numpy()
difference = np.abs(ours - lab_of_photo).max()
print("the same Lab to five digits:", bool(difference < 1e-3))

# %% tags=["assertion"]
assert difference < 1e-3 and np.abs(ours - rgb2lab(photo)).max() < 1e-7

# %% [markdown]
# Now some colours that we know, in Lab.

# %%
known = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255), "yellow": (255, 255, 0)}
known |= {"gray": (128, 128, 128), "sand": (210, 180, 140), "sky": (120, 170, 220)}
print("           L     a     b")
for name, colour in known.items():
    lab = cl.rgb_to_lab(np.array(colour, np.uint8)[None])[0]
    print(f"{name:7}" + "".join(f"{round(float(v)):6d}" for v in lab))

# %% [markdown]
# - Blue is dark (L = 32) and yellow nearly white (L = 97), though both have numbers of 255.
# - *a* is red where it is positive and green where it is negative; *b* is yellow and blue.
# - Gray has a = b = 0. The distance from there, the length of (a, b), is called **chroma**; the
#   direction is **hue**.
#
# ## 4. Look at L, a and b alone
#
# As gray pictures a and b are hard to read. So below we also show them as what they are: colours,
# all at the same lightness, L = 65.

# %%
small = photo[::2, ::2]
lab = lab_of_photo[::2, ::2].astype(np.float32)
at_65 = [lab * [0, a, b] + [65, 0, 0] for a, b in [(1, 0), (0, 1), (1, 1)]]
show_pictures(
    [lab[..., 0] / 100, lab[..., 1] / 220 + 0.5, lab[..., 2] / 220 + 0.5]
    + [cl.lab_to_rgb(picture) for picture in at_65],
    ["L as gray", "a as gray", "b as gray", "a at L = 65", "b at L = 65", "a and b at L = 65"],
    "Paint brushes six times. L alone is a sharp gray photograph. a and b alone are flat and dull as "
    "gray pictures; at constant lightness a goes from green to red, b from blue to yellow.",
    columns=3,
)

# %% [markdown]
# L is a complete black-and-white photograph: form, light, texture. In a alone
# the pink brush and the turquoise one beside it are far apart, and the blue one hardly stands out.
# In b alone it does, against the yellow ones. With both, all hues are there, and yet the picture is
# curiously flat: you have to search for the bristles. Colour tells *what* it is, lightness tells *where its edges are*.
#
# ## 5. How coarse may colour be?
#
# If that is so, colour should get by with fewer pixels. We average a and b over squares of 2, 4, 8,
# 16 and 32 pixels and enlarge the result again; L stays. Then the other way round.


# %%
def coarser(lab, factor, channels):
    """Some channels of a Lab picture averaged over squares and enlarged again.

    lab: (H, W, 3). factor: pixels on a square's side. channels: a slice.
    Returns (H, W, 3) uint8 sRGB.
    """
    x = torch.from_numpy(lab).movedim(-1, 0)[None].clone()
    few = F.avg_pool2d(x[:, channels], factor)
    x[:, channels] = F.interpolate(few, x.shape[2:], mode="bilinear", align_corners=False)
    return cl.lab_to_rgb(x[0].movedim(0, -1).numpy())


L_only, ab_only = slice(0, 1), slice(1, 3)
factors = (1, 2, 4, 8, 16, 32)
ladybird = cl.rgb_to_lab(cl.load_photo("scenes/ladybird")[96:320, 340:660])

# %%
show_pictures(
    [coarser(ladybird, factor, ab_only) for factor in factors],
    ["untouched"] + [f"ab divided by {factor}" for factor in factors[1:]],
    "A ladybird on a stem six times, its colours ever coarser and its lightness kept. Up to 8 it "
    "hardly changes; at 32 the orange of the wings has faded into the surroundings.",
    columns=3,
)

# %% [markdown]
# Ab divided by 4 looks untouched: a sixteenth of the colour numbers is enough. At 8 you have to
# search for the difference. From 16 on the small orange wings pale, while the large green areas still
# look right. And now L.

# %%
show_pictures(
    [coarser(ladybird, factor, L_only) for factor in factors],
    ["untouched"] + [f"L divided by {factor}" for factor in factors[1:]],
    "The same six times with lightness ever coarser and colours kept. From 4 on it is visibly "
    "blurred; at 32 only the orange of the wings is left.",
    columns=3,
)

# %% [markdown]
# L divided by 4 is already soft, at 8 the beetle's face is a smudge, and at 32 little is left of it
# but the orange of its wings.
#
# Files live on this: most video, and many a JPEG, stores colour at half the width and height. It is
# also why ECCV16 may answer on a grid four times coarser than its input.
#
# A number beside each? The usual distance of two colours is **ΔE**, the straight-line distance in
# Lab; about 2 is just visible between two large patches side by side. **SSIM** (structural
# similarity) compares patterns in small windows, and 1 means the same. We take the test scenes.

# %%
from skimage.metrics import structural_similarity

from course_lib import square

squares = [square(p.load(), 256) for p in cl.photos(split="test", kind="scene")]
delta_e, ssim = {"ab": [], "L": []}, {"ab": [], "L": []}
for factor in factors[1:]:
    for name, channels in (("ab", ab_only), ("L", L_only)):
        pairs = [(rgb, coarser(cl.rgb_to_lab(rgb), factor, channels)) for rgb in squares]
        distances = [
            np.linalg.norm(cl.rgb_to_lab(p) - cl.rgb_to_lab(q), axis=-1) for p, q in pairs
        ]
        delta_e[name].append(np.mean(distances))
        ssim[name].append(np.mean([structural_similarity(p, q, channel_axis=2) for p, q in pairs]))

# %%
print(f"{len(squares)} test scenes, 256 x 256\n\ndivided by  ", *(f"{f:5d}" for f in factors[1:]))
for title, table in (("ΔE", delta_e), ("SSIM", ssim)):
    for name, row in table.items():
        print(f"{title:4} of {name:2}   ", *(f"{v:5.{1 if title == 'ΔE' else 2}f}" for v in row))

# %% tags=["assertion"]
assert np.allclose(delta_e["ab"], delta_e["L"], rtol=0.2)
assert ssim["ab"][-1] > ssim["L"][0] - 0.02 and ssim["L"][-1] < 0.5

# %%
figure, axes = new_figure(1, 2, width=8, height=3)
for axis, title, table in zip(axes[0], ("mean ΔE", "SSIM"), (delta_e, ssim), strict=True):
    axis.plot(factors[1:], table["ab"], "o-", color="#0072B2", label="ab coarse")
    axis.plot(factors[1:], table["L"], "s--", color="#D55E00", label="L coarse")
    axis.set_xscale("log", base=2)
    axis.set_xticks(factors[1:], labels=factors[1:])
    axis.set(xlabel="divided by", ylabel=title)
axes[0, 0].legend(frameon=False)
show(
    figure,
    "Left, mean colour difference: coarse L and coarse ab cost nearly the same. Right, SSIM: with "
    "coarse ab it stays high, with coarse L it falls steeply.",
)

# %% [markdown]
# The two numbers disagree. ΔE finds coarse ab nearly as bad as coarse L. SSIM, like your eyes a
# minute ago, finds it far better: with ab divided by 32 it is still as high as with L divided by 2.
# ΔE was made for large even patches. It looks at each pixel by itself and cannot know that eyes do
# not resolve fine colour. SSIM looks at patterns, and those are in L. Every number knows something
# and misses something, and so lesson 05 judges with several.
#
# ## 6. Which colours do photographs have?
#
# A network learns from what it sees. So let us count the colours of one blue picture, of one that is
# as colourful as they come, and of all 33 scenes of the course together. The scale is logarithmic:
# each step of 1 on the colour bar is a factor of ten.

# %%
scenes = [
    cl.rgb_to_lab(p.load()[::4, ::4])[..., 1:].reshape(-1, 2) for p in cl.photos(kind="scene")
]
every = np.concatenate(scenes)
one_blue = cl.rgb_to_lab(cl.load_photo("scenes/dark-lake"))[..., 1:]
brushes = cl.rgb_to_lab(photo)[..., 1:]
show_ab_histograms(
    [one_blue, brushes, every],
    ["a dark lake", "paint brushes", "all 33 scenes"],
    "Three histograms on the ab plane. The lake is one short streak toward blue; the brushes have "
    "arms in several directions; all scenes together fill a large blob with a peak near gray.",
)

# %%
near_gray = (np.abs(every) <= 15).all(axis=1).mean()
counts = np.histogram2d(*every.T, bins=[np.arange(-115, 116, 10)] * 2)[0]
largest_first = np.sort(counts.ravel())[::-1].cumsum() / counts.sum()
print(f"|a| and |b| at most 15: {near_gray:.0%} of the pixels")
print("half of the pixels lie in", np.searchsorted(largest_first, 0.5) + 1, "squares of 10 x 10;")
print("there are", counts.size, "squares, and", (counts == 0).sum(), "of them are empty")

# %% tags=["assertion"]
assert 0.3 < near_gray < 0.4
assert largest_first[19] > 0.5 and (counts == 0).mean() > 0.5

# %% [markdown]
# The lake is a short streak from gray toward blue. The brushes reach far out in several directions. All
# scenes together fill a large blob, and yet half of the mass is in eleven squares: a third of the pixels
# lie in the middle, in a fiftieth of the plane. And these scenes are more colourful than most. In the
# counts that the authors of ECCV16 made on ImageNet, a large set of photographs of all kinds, 60 percent
# lie in these nine squares.
#
# So a network sees grayish colours all day, and a strong red once in a while. If it is punished
# alike for every error, playing safe pays: answer something near gray. Lesson 03 shows the
# remedy.
#
# ## 7. Colours that sRGB lacks
#
# The histograms above end well inside the square. Not every (L, a, b) is a colour that a screen can
# show: its **gamut**, the set of all it can show, is the cube of RGB bent into Lab. Here is the ab plane
# at five lightnesses. What is left white, sRGB lacks. (Some screens show more than sRGB; the files of
# this course do not.)

# %%
figure, axes = new_figure(1, 5, width=8, height=1.9)
for axis, L in zip(axes[0], (10, 30, 50, 75, 95), strict=True):
    axis.imshow(ab_plane(L), extent=(-110, 110, -110, 110))
    axis.set(title=f"L = {L}", xticks=(-100, 0, 100), yticks=(-100, 0, 100))
    axis.grid(False)
axes[0, 0].set(xlabel="a", ylabel="b")
show(
    figure,
    "The displayable part of the ab plane at five lightnesses: small at L = 10, reaching far into "
    "blue at L = 30, widest in the middle, and at L = 95 a narrow wedge toward yellow and green.",
)

# %%
ab = np.stack(np.meshgrid(np.arange(-110, 111), np.arange(-110, 111)), axis=-1)
for L in (10, 30, 50, 75, 95):
    shown = in_gamut(np.concatenate([np.full((221, 221, 1), L), ab], axis=-1))
    print(f"L = {L:2}: {shown.mean():.0%} of the square")

# %% [markdown]
# **Try it.** A hue, a chroma and a lightness make a colour. Where there are sliders, as in JupyterLab and on
# Colab, move them, and look for the strongest blue, the strongest yellow, and the lightness at which red
# is strongest.


# %%
def one_colour(hue, chroma, lightness):
    """The ab plane at a lightness with one colour marked, and the colour as a patch."""
    angle = np.deg2rad(hue)
    lab = np.array([[lightness, chroma * np.cos(angle), chroma * np.sin(angle)]], np.float32)
    figure, axes = new_figure(1, 2, width=6.5, height=3.2)
    axes[0, 0].imshow(ab_plane(lightness), extent=(-110, 110, -110, 110))
    axes[0, 0].plot(*lab[0, 1:], "o", color="black", markersize=9, mfc="none", mew=2)
    axes[0, 0].set(title=f"L = {lightness}", xlabel="a", ylabel="b")
    axes[0, 1].imshow(cl.lab_to_rgb(lab)[None])
    axes[0, 1].set(title="sRGB has it" if in_gamut(lab)[0] else "sRGB lacks it: clipped")
    axes[0, 1].axis("off")
    show(
        figure, f"Hue {hue}, chroma {chroma}, L {lightness}: its place in the plane, and a patch."
    )


# %%
explore(one_colour, hue=(0, 360, 40), chroma=(0, 140, 60), lightness=(1, 99, 60))

# %% [markdown]
# No lightness fills even a third of the square. The strongest blue (hue 306, chroma 134) exists in the
# dark only, at L = 32; the strongest yellow (hue 103, chroma 97) in the light only, at L = 97; red is
# strongest (hue 40, chroma 105) at L = 53. A network that answers ab for a given L does not know that;
# nothing keeps it from asking for a bright, strong blue.
#
# What happens then? `lab_to_rgb` **clips**: red, green and blue values below 0 become 0, and those
# above 255 become 255, each for itself. We provoke it by pushing the saturation, that is, by
# multiplying a and b.

# %%
sky = cl.rgb_to_lab(cl.load_photo("scenes/kite")[::2, ::2])
pushed = {factor: sky * np.array([1, factor, factor], np.float32) for factor in (1, 1.5, 3)}
outside = {factor: ~in_gamut(lab) for factor, lab in pushed.items()}
show_pictures(
    [cl.lab_to_rgb(lab) for lab in pushed.values()] + [m.astype(float) for m in outside.values()],
    [f"saturation {factor}" for factor in pushed]
    + [f"clipped: {m.mean():.0%}" for m in outside.values()],
    "A blue sky with a kite, at three saturations; below, in white, the pixels that had to be clipped: "
    "none, most of the sky, nearly all of it.",
    columns=3,
)


# %%
def hue(lab):
    """The angle of (a, b), in degrees."""
    return np.degrees(np.arctan2(lab[..., 2], lab[..., 1]))


for factor, asked in pushed.items():
    if factor > 1:
        got, where = cl.rgb_to_lab(cl.lab_to_rgb(asked)), outside[factor]
        turned = np.abs((hue(got) - hue(asked) + 180) % 360 - 180)[where].mean()
        moved = np.abs(got - asked)[..., 0][where].mean()
        print(f"saturation {factor}: hue turned by {turned:.0f} degrees, L moved by {moved:.0f}")

# %% [markdown]
# The more we push, the less comes of it. At 1.5 most of the sky is outside of the gamut already, and
# at 3 the thin veils of cloud have drowned in one electric blue. Since each channel is cut for
# itself, the result has another hue and another lightness than we asked for: clipping is not the
# same as less saturation. It happens without a word, to a network's colours too. To be sure, ask
# `in_gamut`.
#
# ## 8. The colour of light
#
# White paper is white at noon and white under a lamp, though the light that it sends into your eye
# is bluish at noon and orange under the lamp. Eyes adapt. The colour of such light is named by its
# **temperature**: a body heated to 4000 kelvin glows orange-white, one of 10000 kelvin bluish.
# Daylight runs along a curve close to that, and CIE 15 has its formula.
#
# `cl.set_temperature` makes a picture look as if taken in other light. It needs two ideas:
#
# - *daylight locus*: a formula says which XYZ the white of a temperature has;
# - *von Kries adaptation*: the eye's three kinds of cones turn their sensitivity up or down, each by
#   its own factor. So: XYZ to the cones' signals (a matrix), multiply each of the three by new white
#   over old white, and back. L is left as it was.

# %%
trail = cl.load_photo("scenes/mountain-trail")[::2, ::2]
kelvins = (4000, 5000, 6504, 8000, 12000, 25000)
show_pictures(
    [cl.set_temperature(trail, kelvin) for kelvin in kelvins],
    [f"{kelvin} K" for kelvin in kelvins],
    "A mountain trail in six lights, from the orange of 4000 kelvin through the unchanged 6504 to "
    "the blue of 25000.",
    columns=3,
)

# %% [markdown]
# **Try it.** The same with sliders, where there are any: the light, and beside it the chroma.


# %%
def in_light(kelvin, chroma_percent):
    """The trail in other light, and with other chroma."""
    rgb = cl.set_saturation(cl.set_temperature(trail, kelvin), chroma_percent / 100)
    title = f"{kelvin} K, chroma {chroma_percent} %"
    show_pictures([trail, rgb], ["the photograph", title], f"The trail as it is, and at {title}.")


explore(in_light, kelvin=(4000, 25000, 5000), chroma_percent=(0, 200, 130))

# %% [markdown]
# Warm colours have low temperatures, which is the reverse of how we speak. At 6504 kelvin, the white
# of sRGB, nothing changes. Where do the whites lie on the ab plane? A gray patch knows.

# %%
patch = np.full((1, 1, 3), 160, np.uint8)
path = np.array([cl.rgb_to_lab(cl.set_temperature(patch, k))[0, 0, 1:] for k in kelvins])

# %% tags=["assertion"]
assert np.ptp(path[:, 1]) > 2 * np.ptp(path[:, 0])
assert np.abs(path[2]).max() < 0.5
assert every[:, 1].std() > every[:, 0].std()

# %%
figure, axes = new_figure(width=4.6, height=4)
axis = axes[0, 0]
axis.imshow(ab_plane(66), extent=(-110, 110, -110, 110))
axis.plot(path[:, 0], path[:, 1], "ko-", markersize=4)
for k, (a, b) in zip(kelvins, path, strict=True):
    axis.annotate(f"{k} K", (a, b), xytext=(6, 0), textcoords="offset points", fontsize=8)
axis.set(xlim=(-45, 65), ylim=(-50, 60), xlabel="a", ylabel="b")
axis.grid(False)
show(
    figure,
    "The path of a gray patch on the ab plane: from yellow-orange at 4000 kelvin through 0, 0 at "
    "6504 to blue at 25000, almost along the b axis.",
)

# %% [markdown]
# The path runs almost along b, from a yellowish orange to blue. (The blank corners are colours that sRGB
# lacks at this lightness.) A thousand kelvin count for much in warm light and for little in cool light.
# Photographs are taken in all kinds of light, which spreads their grays along this path. It is probably
# one reason why the histogram of all scenes is longer in b than in a; skies and leaves are others.

# %% [markdown]
# ## 9. Two scalings, and the bug of mixing them
#
# Networks learn best from numbers around 0, so nobody feeds L = 0..100 as it is. Sadly there are two
# customs. ECCV16 and SIGGRAPH17 use `(L - 50) / 100` and `ab / 110`. The networks that descend from
# pix2pix, as in lesson 06, use `L / 50 - 1` and `ab / 110`.

# %%
three = torch.tensor([[0.0, 0, 0], [50, 0, 0], [100, 110, -110]]).T.reshape(1, 3, 3, 1)
for name in ("zhang", "pix2pix"):
    L, a, b = cl.lab.normalize_lab(three, name)[0, :, :, 0]
    print(f"{name:8} L = 0, 50, 100 becomes {L.tolist()}; ab = 110 becomes {a[2]:.0f}")

# %% [markdown]
# They differ by a factor of two in L and agree at L = 50. That is the nastiest kind of difference:
# shapes fit, types fit, nothing crashes. To see what it does we feed our ECCV16 three times. It
# scales by itself and wants L in 0..100, so for the wrong scaling we hand it a value that becomes
# `L / 50 - 1` inside. The third is another favourite: L in 0..1. One photograph may be lucky, so we
# ask about ten.

# %%
net = cl.eccv16()


def three_answers(small):
    L = cl.rgb_to_lab(small)[..., 0]
    fed = {"right": L, "L / 50 - 1": 50 + 100 * (L / 50 - 1), "L in 0..1": L / 100}
    with torch.inference_mode():
        return {k: net(torch.from_numpy(v)[None, None])[0].movedim(0, -1) for k, v in fed.items()}


views = [cl.load_photo(photo.name) for photo in cl.photos(split="test", kind="scene")]
views = [np.asarray(Image.fromarray(scene).resize((192, 128))) for scene in views]
answers = [three_answers(scene) for scene in views]

# %% tags=["nbval-ignore-output"]
middle = np.s_[32:-32, 32:-32]  # the picture's edge is something that a network sees, too
varies, moved = {}, {}
for name in answers[0]:
    varies[name] = [float(one[name][middle].std(dim=(0, 1)).mean()) for one in answers]
    moved[name] = [float((one[name] - one["right"]).norm(dim=-1).mean()) for one in answers]
    print(
        f"{name:10}  varies by {np.mean(varies[name]):3.0f}   "
        f"mean distance from right {np.mean(moved[name]):3.0f}"
    )

# %% tags=["assertion"]
assert np.mean(varies["L in 0..1"]) < 0.2 * np.mean(varies["right"])
assert np.mean(moved["L / 50 - 1"]) > 8

# %% [markdown]
# And here is the photograph of the ten to which the wrong scaling does most.

# %%
worst = int(np.argmax(moved["L / 50 - 1"]))
L = cl.rgb_to_lab(views[worst])[..., 0]
show_pictures(
    [views[worst]] + [cl.lab_to_rgb(np.dstack([L, ab])) for ab in answers[worst].values()],
    ["the photograph", *answers[worst]],
    "A photograph four times: as it is, with the network's colours for the right scaling, with others "
    "for L / 50 - 1, and hardly coloured at all for L in 0..1.",
    columns=4,
)

# %% [markdown]
# With L in 0..1 the network sees a nearly black rectangle and gives all of it nearly one tint, or none:
# a mistake that one notices. With `L / 50 - 1` it sees the photograph in too hard a contrast and gives
# other colours, about ten Lab units away from the right ones on average. Where a photograph is kind they
# look as plausible as the right ones, so one sees no error in them, and this bug lives long.
#
# The other end can be wrong too. Here a picture goes through one scaling and comes back by the other.

# %%
mountain = np.asarray(Image.fromarray(cl.load_photo("scenes/autumn-mountain")).resize((192, 128)))
scaled = cl.lab.normalize_lab(torch.from_numpy(cl.rgb_to_lab(mountain)).movedim(-1, 0)[None])
hazy = cl.lab.denormalize_lab(scaled, "pix2pix")[0].movedim(0, -1).numpy()
show_pictures(
    [mountain, cl.lab_to_rgb(hazy)],
    ["into the scaling", "out of the wrong one"],
    "The mountain twice: as it was, and with a haze in which nothing is dark and nothing is bright.",
    width=6,
)

# %% [markdown]
# A haze: L went from 0..100 to -0.5..0.5, and came back as 25..75. A network's colours get the same
# haze if its answer is undone with the wrong custom.
#
# ### Exercise 6: find the bug
#
# *Easy, 5 minutes.* The function below is meant to undo the scaling of ECCV16. Its pictures are
# hazy. Find the bug and mend it.


# %% tags=["exercise"]
def from_network(scaled):
    """Undo ECCV16's scaling, (L - 50) / 100 and ab / 110.

    scaled: tensor (N, 3, H, W).
    Returns a tensor (N, 3, H, W): L in 0..100, a and b.
    """
    ### BEGIN SOLUTION
    L = scaled[:, :1] * 100 + 50
    ### STUB
    # L = (scaled[:, :1] + 1) * 50
    ### END SOLUTION
    ab = scaled[:, 1:] * 110
    return torch.cat([L, ab], dim=1)


# %% tags=["check"]
check.from_network(from_network)

# %% [markdown] tags=["hint"]
# Take one number through by hand: L = 100 becomes (100 - 50) / 100 = 0.5. What does the function
# make of 0.5?

# %% [markdown]
# `cl.lab.normalize_lab` and `cl.lab.denormalize_lab` know both customs by name. Use them as a pair,
# with one name.
#
# ## 10. The 313 colours of ECCV16
#
# ECCV16 does not predict two numbers. It picks from a list of colours (lesson 03 says why). The list
# is a grid of step 10 on the ab plane, of which the paper keeps the 313 points, the **bins**, that
# are "in-gamut". The published code loads them from a file. How would one find them? The question
# is asked in public, and one posted answer is "25 * 25 / 2". `cl.ab_bins()` has the published list,
# so we can check a rule against it.

# %%
axis = np.arange(-110, 111, 10)
grid = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape(-1, 2).astype(float)
print("the whole grid:", len(grid), "points;  25 * 25 / 2 =", 25 * 25 / 2)

# %% [markdown]
# Half a bin is a bad sign, and no grid here has 25 columns. Let us try rules that mean something.
#
# **Rule 1: the point itself is a colour.** Keep a point if there is an L at which a screen can show
# it. We try every whole L.

# %%
levels = np.arange(101.0)
lab = np.concatenate(
    [np.tile(levels[:, None, None], (1, 529, 1)), np.tile(grid, (101, 1, 1))], axis=-1
)
found = {"1: itself a colour": in_gamut(lab).any(axis=0)}
print("rule 1:", found["1: itself a colour"].sum())

# %% [markdown]
# Too few. And think of the use: a colour between two grid points must be described by its
# neighbours, and some of these lie just outside.
#
# **Rule 2: inside the hull.** The gamut's shadow on the ab plane has dents. Fill them: take the
# *convex hull*, the shape of a rubber band around all colours. SciPy gives it as edges, each with a
# normal N of length 1, pointing outwards, and an offset c. A point g has the distance N·g + c from
# the edge's line, negative on the inside.

# %%
levels = np.linspace(0, 1, 17)
cube = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(-1, 3)
gamut = rgb2lab(cube)[:, 1:]
hull = ConvexHull(gamut)
normals, offsets = hull.equations[:, :2], hull.equations[:, 2:]
found["2: inside the hull"] = (grid @ normals.T + offsets.T <= 0).all(axis=1)
print("rule 2:", found["2: inside the hull"].sum(), "with", len(normals), "edges")

# %% [markdown]
# **Rule 3: nearest to some colour.** Round every sRGB colour to its grid point and keep what was
# hit. That sounds like the definition of a class. We need not try all 16.7 million colours: seen
# from above, along L, the gamut's shadow is that of its surface, and the surface has 393 thousand.
#
# **Rule 4: corners of touched cells.** Each colour lies in a cell of the grid; keep all four corners
# of every cell that is hit.

# %%
side = np.stack(np.meshgrid(np.arange(256), np.arange(256)), axis=-1).reshape(-1, 2)
faces = [np.insert(side, k, v, axis=1) for k in range(3) for v in (0, 255)]
surface = cl.rgb_to_lab(np.concatenate(faces).astype(np.uint8))[:, 1:] / 10
number = grid @ [100, 1] / 10  # one whole number for each point
cell = np.unique(np.floor(surface).astype(int) @ [100, 1])
found["3: nearest"] = np.isin(number, np.unique(np.rint(surface).astype(int) @ [100, 1]))
found["4: touched cells"] = np.isin(
    number, np.concatenate([cell, cell + 1, cell + 100, cell + 101])
)
for rule, keep in found.items():
    print(f"{keep.sum()} by rule {rule}")

# %% [markdown]
# None is 313. Where do they differ from the published list? In the figure, dots are bins that a rule
# finds, crosses are published bins that it misses, and the line is the hull.

# %%
bins = cl.ab_bins()
published = np.isin(number, bins @ [100, 1] / 10)
for rule, keep in found.items():
    print(f"rule {rule}: {(keep & ~published).sum()} too many, {(published & ~keep).sum()} missed")

# %%
outline = gamut[np.append(hull.vertices, hull.vertices[0])]
figure, axes = new_figure(1, 4, width=8, height=2.5)
for panel, (rule, keep) in zip(axes[0], found.items(), strict=True):
    panel.plot(*outline.T, color="#009E73", linewidth=1)
    panel.plot(*grid[keep].T, ".", color="#0072B2", markersize=3)
    panel.plot(*grid[published & ~keep].T, "x", color="#D55E00", markersize=4)
    panel.set(
        title=f"{rule}\n{keep.sum()}", aspect="equal", xticks=(-100, 0, 100), yticks=(-100, 0, 100)
    )
show(
    figure,
    "Four copies of the grid with the hull of the gamut. Rules 1 and 2 miss a whole rim of published "
    "bins around the hull, rule 3 misses part of the rim, rule 4 misses four points.",
)

# %% [markdown]
# No rule finds a bin too many, and all of them miss some at the rim. Rules 1 and 2 stop at the hull.
# Rule 3 goes half a step further, but not where no colour comes near. Rule 4 is almost it. In other
# words it says: *less than one step from a colour*. What it misses are four points beside long
# straight edges of the hull, where the shadow has a shallow dent.

# %% tags=["assertion"]
assert [int(keep.sum()) for keep in found.values()] == [227, 233, 261, 309]
assert not any((keep & ~published).any() for keep in found.values())

# %% [markdown]
# ### Exercise 7: less than one step from the hull
#
# *Hard, 15 minutes.* So take rule 4 and put the hull, dents filled, in the place of the colours: **a
# grid point is a bin if it lies less than one step from the hull**, where distance is the larger of
# the distances in a and in b. In other words: draw a square around the point, 10 to the left,
# right, up and down. The point is a bin if the square reaches into the hull.
#
# Seen from one edge: a square of half side s, with the normal N, reaches toward the edge by
# s·(|Na| + |Nb|). So the square gets over the edge's line if N·g + c is less than that. It must hold
# for every edge. Write it.


# %% tags=["exercise"]
def near_hull(points, normals, offsets, step=10):
    """Which points lie less than one step from a convex hull, in the larger of |a| and |b|.

    points: (G, 2). normals: (E, 2), of length 1, outward. offsets: (E, 1).
    A point g is inside of an edge if N.g + c <= 0.
    Returns (G,) bool.
    """
    ### BEGIN SOLUTION
    distance = points @ normals.T + offsets.T
    reach = step * np.abs(normals).sum(axis=1)
    return (distance < reach).all(axis=1)
    ### END SOLUTION


# %% tags=["check"]
check.near_hull(near_hull)

# %% [markdown] tags=["hint"]
# Start from rule 2: `points @ normals.T + offsets.T` has a row for each point and a column for each
# edge. Instead of 0, compare with a row of numbers, one for each edge.

# %% [markdown]
# Two lines of algebra deserve a second opinion. So here is the rule by another way: let the hull grow by
# one step. Shift it to the four corners of the square and take the hull of all four. A bin is a point
# *inside* of that, and inside is rule 2. (At a sharp corner of a hull the two ways can differ, since
# edges alone do not cut the tip off. The grown hull is exact, and for our hull they agree.)

# %%
corners = 10 * np.array([(-1, -1), (-1, 1), (1, -1), (1, 1)])
grown = ConvexHull((gamut[hull.vertices][:, None] + corners).reshape(-1, 2))
big = grown.points[np.append(grown.vertices, grown.vertices[0])]
inside = (grid @ grown.equations[:, :2].T + grown.equations[:, 2:].T < -1e-9).all(axis=1)
print(inside.sum(), "bins; the published list, in its order:", np.array_equal(grid[inside], bins))
print("gray, (0, 0), is number", int(np.flatnonzero((bins == 0).all(axis=1))[0]))

# %% tags=["assertion"]
assert inside.sum() == 313 and np.array_equal(grid[inside], bins)

# %%
figure, axes = new_figure(width=7.2, height=4.8)
panel = axes[0, 0]
panel.plot(*outline.T, color="#000000", linewidth=1, label="hull of the gamut")
panel.plot(*big.T, "--", color="#000000", linewidth=1, label="grown by one step")
panel.scatter(*bins.T, s=92, c=cl.lab_to_rgb(np.insert(bins, 0, 65, axis=1)) / 255, marker="s")
panel.plot(*grid[~inside].T, "x", color="#999999", markersize=4, label="no bin")
panel.set(xlabel="a (green to red)", ylabel="b (blue to yellow)", aspect="equal")
panel.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
panel.grid(False)
show(
    figure,
    "The 313 bins as coloured squares, their centres inside a dashed outline, which is the hull of the "
    "gamut grown by one step; the crosses outside of it are no bins.",
)

# %% [markdown]
# 313 bins, in the published order, from nothing but the definition of sRGB. The paper does not say by
# which rule its authors found them; this one gives their list. It has a use as well: the four grid
# points around any colour are all bins, so a colour between bins can always be described by its
# neighbours. Lesson 03 does exactly that.
#
# ### Challenge: a better clip
#
# *Open, 15 minutes.* Section 7 pushed the saturation of a sky until most of it could not be shown, and the
# clipping turned its hue and moved its lightness. Write a better way into the gamut: every colour that a
# screen lacks gets one that it has, of the same hue and lightness, and as strong as may be. The check
# measures what a screen then shows, and ranks yours beside plain clipping. (Gray for all would keep the
# lightness too; so at least half of the chroma that clipping leaves has to stay.)


# %% tags=["exercise"]
def into_gamut(lab):
    """Colours that a screen can show, for colours that it may not.

    lab: array (N, 3).
    Returns an array (N, 3).
    """
    ### BEGIN SOLUTION
    low, high = np.zeros(len(lab)), np.ones(len(lab))
    for _ in range(12):  # halve the interval in which the largest share lies that can be shown
        middle = (low + high) / 2
        shown = in_gamut(lab * np.stack([np.ones(len(lab)), middle, middle], axis=1))
        low, high = np.where(shown, middle, low), np.where(shown, high, middle)
    share = np.where(in_gamut(lab), 1, low)
    return lab * np.stack([np.ones(len(lab)), share, share], axis=1)
    ### END SOLUTION


# %% tags=["check"]
check.into_gamut(into_gamut)

# %% [markdown] tags=["hint"]
# Keep L, and multiply a and b of a colour by one number between 0 and 1: its hue stays. `in_gamut` tells
# whether the number is small enough. How would you find the largest such number in a dozen questions?

# %% [markdown]
# ## Summary
#
# - Pixel values are not light. Undo sRGB's curve before you average; mind the straight piece.
# - Light to XYZ is a matrix, XYZ to Lab a division by white and a cube root, with a straight piece
#   again. L is lightness, a red against green, b yellow against blue.
# - The eye reads edges from L. Ab may be coarse by 4 or 8.
# - Photographs crowd near gray; strong colours are rare.
# - Not every Lab is a colour. Clipping keeps neither hue nor lightness.
# - A network knows one scaling of Lab. Mixing two gives no error, only other colours.
# - The 313 bins are the grid points less than one step from the hull of the gamut.
#
# ## Further reading
#
# - IEC 61966-2-1:1999, "Default RGB colour space - sRGB".
# - CIE 15:2004, "Colorimetry", 3rd edition: XYZ, Lab, and the daylight locus.
# - R. Zhang, P. Isola, A. A. Efros, "Colorful Image Colorization", ECCV 2016, arXiv:1603.08511.
# - Z. Wang, A. C. Bovik, H. R. Sheikh, E. P. Simoncelli, "Image Quality Assessment: From Error
#   Visibility to Structural Similarity", IEEE Transactions on Image Processing 13(4), 2004.
# - M. D. Fairchild, "Color Appearance Models", 3rd edition, Wiley 2013, on adaptation and on how
#   well Lab keeps its promises.
# - C. Poynton, "Digital Video and HD: Algorithms and Interfaces", 2nd edition, Morgan Kaufmann 2012,
#   on gamma and on coarse colour.
