# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Tell the network what gray cannot
#
# No network will ever know that the balloon was red: gray does not say it. But you may know. You were
# there, or you have another photograph, or you simply want it red. **SIGGRAPH17**, the network of
# "Real-Time User-Guided Image Colorization with Learned Deep Priors", takes a gray picture *and* a
# few dots of colour, and works out what they mean for all the rest. In this lesson you open it up,
# feed it, measure what a dot is worth, and let it suggest colours to you.
#
# **You will do**
#
# - paint hints on photographs, and watch the network answer;
# - take the network apart, block by block, write its decoder, and cut its shortcuts;
# - turn dots on a photograph into tensors, and colour with your own pieces from there on;
# - measure PSNR against the number of hints, beside the published curve;
# - make a hint leak, stop it with another, and win back a photograph with ten dots.
#
# **You will learn**
#
# - what a U-Net is, and why colours need its shortcuts;
# - why a gray hint is not the same as no hint;
# - how a network is trained for users whom nobody has ever seen;
# - why a network trained with L1 or Huber on little data is dull, and what else it knows.
#
# **You need** lesson 03: ECCV16, its blocks, and colour as a distribution.
#
# **Time** about 100 minutes: 40 of reading, 60 of exercises; painting in section 11 takes as long as you
# like. The computer needs about two.
#
# **In a hurry** run every cell, but read only 1, 4, 8 and 11; do exercise 3 and the challenge.

# %%
import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

import course_lib as cl
from course_lib.checks import lesson_04 as check
from course_lib import prepare, psnr, square, upsample_ab
from course_lib.plotting import COLORS, new_figure, show, show_lines, show_pictures
from course_lib.plotting import show_table

# %% [markdown]
# ## Two questions first
#
# From earlier lessons. Answer in your head or on paper, then unfold.
#
# **1.** ECCV16 gives 313 probabilities at each place. Why not simply one colour?
#
# <details>
# <summary>Answer</summary>
#
# Many colours are possible there, and a single answer has to lie between them: a balloon that may be
# red or blue comes out brownish. Probabilities can say "red or blue" (lesson 03).
#
# </details>
#
# **2.** A photograph goes through the network at 96 pixels, and comes out sharp at 768. Whose
# sharpness is that?
#
# <details>
# <summary>Answer</summary>
#
# The photograph's own. The network answers with a and b alone; L, which carries the detail, is kept
# at full size and never touched (lesson 02).
#
# </details>

# %% [markdown]
# ## 1. One dot
#
# A gray sky: blue, or the brown dusk of an old postcard? Both are possible. We let the network guess
# first. Then we say one thing: the pixel in row 300, column 380 is blue. A **hint** is a row, a
# column and a colour.

# %%
net = cl.siggraph17()
kite = cl.load_photo("scenes/kite")
sky_is_blue = [(300, 380, (20, 70, 130))]
alone, told = cl.colorize(kite, net), cl.colorize(kite, net, hints=sky_is_blue)


# %%
def with_dots(rgb, hints, half=14):
    """The gray picture, with its hints as dots in a white frame."""
    picture = cl.to_gray(rgb)
    for row, column, rgb_there in hints:
        for reach, fill in ((half + 6, (255, 255, 255)), (half, rgb_there)):
            top, left = max(0, row - reach), max(0, column - reach)
            picture[top : row + reach, left : column + reach] = fill
    return picture


# %% [markdown]
# `with_dots` draws hints on the gray picture, larger than they are, so that you can see them.

# %%
show_pictures(
    [alone, with_dots(kite, sky_is_blue), told, kite],
    ["its own guess", "one hint", "told one pixel", "truth"],
    "A kite in the sky: as the network guesses it; in gray with one blue dot; as the network colours "
    "it after that hint; and in truth, under a deep blue sky.",
)

# %% tags=["nbval-ignore-output"]
print(f"own guess {psnr(alone, kite):.1f} dB, with one hint {psnr(told, kite):.1f} dB")

# %% tags=["assertion"]
assert psnr(told, kite) > psnr(alone, kite)

# %% [markdown]
# A pixel was told, and much more than a pixel answered. **Try it with the mouse.** The painter below
# holds the same photograph and the same dot. Drag the dot into a cloud, then to the kite. Click
# somewhere else: it offers five colours that the network finds likely there, and a palette with all
# that a screen can show at that lightness. With the keyboard alone: arrow keys, Enter, 1 to 5.

# %% tags=["nbval-ignore-output"]
cl.HintPainter(kite, net, hints=sky_is_blue)

# %% [markdown]
# Where there is nothing to click (on GitHub, on paper, before you have run the cell), you see what the
# cell started with.
#
# ### A worked example: how far does a hint reach?
#
# Looking is not measuring. Four steps turn "much more than a pixel" into a number.

# %%
# Step 1. Colour the photograph without the hint, and with it: `alone` and `told`, above.
# Step 2. Keep a and b. Lightness is the photograph's own in both.
ab_alone, ab_told = (cl.rgb_to_lab(rgb)[..., 1:] for rgb in (alone, told))
# Step 3. How far has each pixel moved, in Lab units?
moved = np.linalg.norm(ab_told - ab_alone, axis=-1)
# Step 4. How large a part of the picture has moved by more than 20, which nobody overlooks?
share_moved = (moved > 20).mean()

# %%
show_pictures(
    [cl.to_gray(kite), np.clip(moved / 50, 0, 1)],
    ["the photograph", "how far each pixel moved"],
    "The kite in gray; beside it a map of how far each pixel's colour moved, black for not at all and "
    "white for 50 Lab units or more.",
    width=6,
)

# %% [markdown]
# Where the map is bright the hint has arrived; where it is black the network kept to its own guess. It
# moved far places too: moved is not the same as right (section 8).

# %% tags=["nbval-ignore-output"]
print(f"one hint moved {share_moved:.0%} of the picture by more than 20 Lab units")

# %% tags=["assertion"]
sky, cloud = np.s_[250:350, 300:460], np.s_[80:200, :80]
assert moved[cloud].mean() < moved[sky].mean()
assert share_moved > 0.05

# %% [markdown]
# The dot did not colour one pixel, nor all pixels alike: it coloured *sky*, and the clouds less. How
# does the network know where to stop? That is what this lesson is about.
#
# ### Exercise 1: how far does it reach?
#
# *Easy, 4 minutes.* The same measurement for any photograph and any hint. Steps 1 to 3 are there; the
# last one is yours.


# %% tags=["exercise"]
def reach(before, after, limit=20):
    """Share of a picture whose colour has moved by more than a limit.

    before, after: (H, W, 3) uint8, the picture coloured without a hint and with it. (Step 1)
    limit: Lab units. Returns a number in 0..1.
    """
    # Step 2. Keep a and b.
    ab_before, ab_after = (cl.rgb_to_lab(rgb)[..., 1:] for rgb in (before, after))
    # Step 3. How far has each pixel moved?
    far = np.linalg.norm(ab_after - ab_before, axis=-1)
    # Step 4. How large a part has moved by more than the limit?
    ### BEGIN SOLUTION
    return (far > limit).mean()
    ### END SOLUTION


# %% tags=["check"]
check.reach(reach)

# %% [markdown] tags=["hint"]
# `far > limit` is an array of True and False, and the mean of such an array is the share that is True.

# %% [markdown]
# A word about the network that you use here. It has the published design, at a smaller width, and it
# was trained for this course on far fewer pictures and for far less time than the published one.

# %% tags=["nbval-ignore-output"]
own_parameters = sum(p.numel() for p in net.parameters())
print(f"width {net.width}, {own_parameters / 34_187_027:.0%} of the published parameters")

# %% [markdown]
# It follows hints well enough to study them; on its own it is timid. Section 6 says why, and section 7
# puts its curve beside the paper's. Where there is a network connection,
# `cl.siggraph17(weights="official")` loads the published weights.
#
# ## 2. The network, block by block
#
# We build the published network at its full width, but on PyTorch's **meta device**: tensors there
# have a shape and no numbers, so that a picture of 256 x 256 pixels goes through 34 million
# parameters in no time. A **hook** is a function that a module calls after each forward pass; ours
# notes the shape of what comes out.

# %%
from course_lib import SIGGRAPH17

with torch.device("meta"):
    full, picture = SIGGRAPH17(), torch.zeros(1, 1, 256, 256)
parts = {}
for name, part in full.named_children():
    count = sum(p.numel() for p in part.parameters())
    part.register_forward_hook(
        lambda part, inputs, out, name=name, count=count: parts.update({name: (out.shape, count)})
    )
full.both_heads(picture)
for name, (shape, count) in parts.items():
    print(f"{name:13} {tuple(shape[1:])!s:16} {count:10,} parameters")
print(f"all: {sum(p.numel() for p in full.parameters()):,}, {len(full.state_dict())} entries")

# %% tags=["assertion"]
assert sum(p.numel() for p in full.parameters()) == 34_187_027
assert sum(count for _, count in parts.values()) == 34_187_027
assert len(full.state_dict()) == 107
assert parts["model_class"][0] == (1, 529, 64, 64) and parts["model_out"][0] == (1, 2, 256, 256)

# %% [markdown]
# The list is in the order of computation. To read it, draw it: each block at the side of its map.

# %%
path = [f"model{number}" for number in range(1, 11)]
height_of = {name: np.log2(shape[-1]) for name, (shape, _) in parts.items()}
boxes = {name: (x, height_of[name], parts[name][0][1]) for x, name in enumerate(path)}
boxes |= {"in": (-1, 8, 4), "model_class": (8.1, 6, 529), "model_out": (10, 8, 2)}
fills = dict.fromkeys(("model5", "model6"), COLORS[4])
fills |= dict.fromkeys(("model_class", "model_out"), COLORS[5])


# %%
def draw_network(axis):
    """Blocks as boxes, the way through them as a line, shortcuts as arrows."""
    axis.plot(range(10), [height_of[name] for name in path], color="0.6", zorder=0)
    for name, (x, y, channels) in boxes.items():
        paper = {"facecolor": fills.get(name, "0.9"), "edgecolor": "0.5"}
        text = f"{name.removeprefix('model').strip('_')}\n{channels}"
        axis.text(x, y, text, ha="center", va="center", fontsize=9, bbox=paper)
    for level, (start, end) in {8: (0, 9), 7: (1, 8), 6: (2, 7)}.items():
        arrow = {"arrowstyle": "->", "color": COLORS[1], "lw": 2}
        axis.annotate("", (end - 0.4, level), (start + 0.4, level), arrowprops=arrow)


# %%
figure, axes = new_figure(width=8, height=3.7)
draw_network(axes[0, 0])
axes[0, 0].set(yticks=range(5, 9), yticklabels=[32, 64, 128, 256], ylim=(4.6, 8.5))
axes[0, 0].set(xticks=[], xlim=(-1.5, 10.6), ylabel="side of the map, pixels")
show(
    figure,
    "The blocks as boxes in the form of a U: maps shrink from 256 to 32 pixels in blocks 1 to 4, stay "
    "until 7 and grow again to 256 in 8 to 10. Arrows lead straight across from 1 to 10, 2 to 9 and "
    "3 to 8. The input has 4 channels; the class head hangs on block 8, the ab head on block 10.",
)

# %% [markdown]
# In each box: the number of the block, and its channels. The form gave such networks their name,
# **U-Net**. Down the left side maps shrink and channels grow: that is ECCV16's trunk, blocks 1 to 7,
# with the same two dilated blocks (filled orange). Up the right side, the **decoder**, three transposed
# convolutions double the map again. The arrows are the **shortcuts**: a map from the left side goes
# through one convolution and is *added* to the enlarged map of its size. The two heads are blue.
#
# Compared with ECCV16:
#
# | | ECCV16 | SIGGRAPH17 |
# |---|---|---|
# | input | L | L, hint a, hint b, mask |
# | the map shrinks by | stride 2 in the last convolution of a block | taking every second row and column between blocks |
# | decoder | one step up, to a quarter | three steps up, with shortcuts, to the full size |
# | answer | 313 classes, then their mean | a and b at once, by tanh times 110 |
# | classes | 313, those in or next to the gamut | 529, the whole 23 x 23 grid, on a head of their own |
# | trained with | cross entropy, rebalanced | L1 or Huber on ab, and cross entropy on the class head |
#
# The second row is a small thing with a reason. A stride throws three of four values away *inside*
# the convolution. Here the block keeps its whole map, since a shortcut needs it, and only what goes
# on downward is thinned out. The numbers that go on are the same:

# %%
torch.manual_seed(0)
conv, x = nn.Conv2d(3, 5, 3, padding=1), torch.randn(1, 3, 16, 16)
strided = F.conv2d(x, conv.weight, conv.bias, stride=2, padding=1)
thinned = conv(x)[..., ::2, ::2]
print(tuple(strided.shape), "the same:", torch.allclose(strided, thinned, atol=1e-5))

# %% tags=["assertion"]
assert torch.allclose(strided, thinned, atol=1e-5)

# %% [markdown]
# So ECCV16's trained weights fit into SIGGRAPH17's trunk. Only the first convolution has three inputs
# more, for the hints; their weights start at 0. That is how the paper starts its training, and how this
# course does: from a network that colours already (`start_from_eccv16` in
# `course_lib.training.regression`). The price of full-size maps is work:

# %%
from torch.utils.flop_counter import FlopCounterMode

eccv, work = cl.eccv16(weights=None, width=1.0).to("meta"), {}
for name, network in {"ECCV16": eccv, "SIGGRAPH17": full}.items():
    with FlopCounterMode(display=False) as counter:
        network(picture)
    work[name] = counter.get_total_flops() / 1e9
    print(f"{name:10} {work[name]:4.0f} billion operations")
del eccv, full

# %% tags=["assertion"]
assert 1.7 < work["SIGGRAPH17"] / work["ECCV16"] < 2

# %% [markdown]
# Multiplications and additions are counted, for a picture of 256 x 256. Nearly twice as many, although
# the number of parameters is almost the same: blocks 1 and 10 work at all 65,536 places.
#
# ### Exercise 2: the decoder
#
# *Medium, 8 minutes.* Here is the way down, as code. Note what it keeps: not only the deepest map,
# but also those of blocks 1 to 3. (`conv1_2` is the paper's name for the second convolution of block
# 1, and so on.)


# %%
def encode(net, x):
    """The way down: maps of blocks 1, 2, 3 and 7 for an input (N, 4, H, W)."""
    conv1_2 = net.model1(x)
    conv2_2 = net.model2(conv1_2[..., ::2, ::2])
    conv3_3 = net.model3(conv2_2[..., ::2, ::2])
    conv7_3 = net.model7(net.model6(net.model5(net.model4(conv3_3[..., ::2, ::2]))))
    return conv1_2, conv2_2, conv3_3, conv7_3


# %% [markdown]
# Write the way up. The first step is there. The two others have the same form: `model9up` and
# `model2short9` before `model9`, `model10up` and `model1short10` before `model10`. Then the head
# `model_out`, whose tanh answers in -1..1.


# %% tags=["exercise"]
def decode(net, conv1_2, conv2_2, conv3_3, conv7_3):
    """The way up: ab at full size.

    net: a SIGGRAPH17. conv1_2 (N, c1, H, W), conv2_2 (N, c2, H/2, W/2), conv3_3 (N, c3, H/4, W/4)
    and conv7_3 (N, c7, H/8, W/8): maps, as encode returns them.
    Returns a tensor (N, 2, H, W), Lab units, in -110..110.
    """
    conv8_3 = net.model8(net.model8up(conv7_3) + net.model3short8(conv3_3))
    ### BEGIN SOLUTION
    conv9_3 = net.model9(net.model9up(conv8_3) + net.model2short9(conv2_2))
    conv10_2 = net.model10(net.model10up(conv9_3) + net.model1short10(conv1_2))
    return net.model_out(conv10_2) * 110
    ### END SOLUTION


# %% tags=["check"]
check.decode(decode)

# %% [markdown] tags=["hint"]
# Each step is `block(up(below) + shortcut(across))`. Which map has the same size as what `model9up`
# returns? And what must a number in -1..1 be multiplied by, to become a or b?

# %% [markdown]
# ## 3. What the shortcuts are for
#
# The deepest map sees far, but it is coarse: one value for 8 x 8 pixels. It may know *that* there is
# a cup, not where its rim is. The rim is in the map of block 1, which sees five pixels and knows
# nothing about cups. A shortcut brings the two together.
#
# Is that so? We train two very small networks on squares cut from one photograph of cups: one as it
# is, one whose shortcuts always answer zero. Everything else is the same, down to the random numbers.

# %%
from course_lib.training import initialize

cups = cl.rgb_to_lab(square(cl.load_photo("scenes/cups"), 144))
cups = torch.from_numpy(cups).permute(2, 0, 1)
SHORTCUTS = ("model1short10", "model2short9", "model3short8")


def cups_batch(generator, count=8, side=40):
    """L and ab of random squares of the photograph."""
    corners = torch.randint(0, 144 - side, (count, 2), generator=generator).tolist()
    batch = torch.stack([cups[:, r : r + side, c : c + side] for r, c in corners])
    return batch[:, :1], batch[:, 1:]


def cut(network, names):
    """Make shortcuts answer zero; returns the hooks, whose remove() joins them again."""
    modules = [network.get_submodule(name) for name in names]
    return [m.register_forward_hook(lambda m, x, out: out * 0) for m in modules]


# %%
def train_on_cups(shortcuts, steps=80):
    """A narrow SIGGRAPH17, trained for a few seconds."""
    torch.manual_seed(0)
    network, generator = SIGGRAPH17(width=0.1), torch.Generator().manual_seed(0)
    initialize(network)
    if not shortcuts:
        cut(network, SHORTCUTS)
    optimizer = torch.optim.Adam(network.parameters(), 4e-3)
    for _ in range(steps):
        L, ab = cups_batch(generator)
        F.huber_loss(network(L), ab).backward()
        optimizer.step()
        optimizer.zero_grad()
    return network.requires_grad_(False)


# %%
whole, severed = train_on_cups(shortcuts=True), train_on_cups(shortcuts=False)
cups_l, cups_ab = cups_batch(torch.Generator().manual_seed(99), count=4)
answers = {"with": whole(cups_l), "without": severed(cups_l), "truth": cups_ab}

# %%
flat_l = torch.full_like(cups_l, 65)
show_pictures(
    [
        cl.lab_to_rgb(one.permute(1, 2, 0).numpy())
        for ab in answers.values()
        for one in torch.cat([flat_l, ab], dim=1)
    ],
    [name for name in answers for _ in range(4)],
    "Colours alone, at even lightness, of four squares. With shortcuts, bluish cups with "
    "clear rims on violet; without, nearly one flat colour; in truth, clear rims again.",
    columns=4,
    width=6,
)

# %% [markdown]
# These are colours only; lightness was set to 65 everywhere, so that it cannot help your eye. (They
# are new squares, but of the photograph that both networks know.) With shortcuts the rims are in
# place after a few seconds. Without, everything has to come through a map of 5 x 5 values, and in the
# same number of steps the network has found little more than the mean colour. How far it gets with
# more time you can try: `train_on_cups(shortcuts=False, steps=400)` takes about half a minute.

# %% tags=["nbval-ignore-output"]
off_by = {name: (ab - cups_ab).norm(dim=1).mean().item() for name, ab in answers.items()}
for name in ("with", "without"):
    print(f"{name:8} shortcuts: off by {off_by[name]:.0f} Lab units")

# %% tags=["assertion"]
assert off_by["with"] < 0.8 * off_by["without"]

# %% [markdown]
# And the trained network of the course? It has learned to rely on its shortcuts, so cutting them
# afterwards is not quite fair. But it shows what went through them. Three hints on a flower:

# %%
flower = cl.load_photo("scenes/yellow-flower")
yellow = (250, 185, 10)
on_petals = [(300, 520, yellow), (250, 250, yellow), (430, 300, yellow)]
flowers = {"whole": cl.colorize(flower, net, hints=on_petals)}
for name, missing in {"no 1 to 10": SHORTCUTS[:1], "none at all": SHORTCUTS}.items():
    hooks = cut(net, missing)
    flowers[name] = cl.colorize(flower, net, hints=on_petals)
    for hook in hooks:
        hook.remove()

# %% [markdown]
# Row by row: with all shortcuts, without the one from block 1 to block 10, with none, and the truth.

# %%
show_pictures(
    [*flowers.values(), flower],
    [*flowers, "truth"],
    "A flower with three yellow hints: coloured by the whole network, by the network without its "
    "highest shortcut, by the network without any, and in truth.",
    columns=2,
)


# %% tags=["nbval-ignore-output"]
decibels = {name: psnr(rgb, flower) for name, rgb in flowers.items()}
for name, value in decibels.items():
    print(f"{name:12} PSNR {value:.1f} dB")

# %% tags=["assertion"]
assert decibels["none at all"] < decibels["whole"]

# %% [markdown]
# Details of lightness are sharp in all of them, since `colorize` keeps the photograph's own L. What
# suffers is colour: it comes out pale or wrong, and is lost most where the hints are, since a dot of
# seven pixels is less than one value of the deepest map.
#
# ## 4. Hints as tensors
#
# A network takes no list of dots. SIGGRAPH17 takes two tensors beside L, of the same height and
# width: **hint ab**, with the colours where there are hints and 0 elsewhere, and the **mask**, with 1
# where there are hints and 0 elsewhere. A dot becomes a small square, here of 7 x 7 pixels. The
# library's `hint_tensors` makes both.

# %%
from course_lib import hint_tensors

fig = cl.load_photo("scenes/fig")
L = prepare(fig, net.input_size)
size = tuple(L.shape[-2:])
dots = [(400, 420, (200, 50, 20)), (100, 200, (50, 50, 50)), (450, 90, (150, 150, 150))]
hint_ab, mask = hint_tensors(dots, fig.shape[:2], size)
print("L", tuple(L.shape), " hint ab", tuple(hint_ab.shape), " mask", tuple(mask.shape))

# %%
planes = [L[0, 0] / 100, hint_ab[0, 0] / 220 + 0.5, hint_ab[0, 1] / 220 + 0.5, mask[0, 0]]
show_pictures(
    [plane.numpy() for plane in planes],
    ["L", "hint a", "hint b", "mask"],
    "Four planes: a bowl in gray; hint a and hint b, even gray with one light square; and the mask, "
    "black with three white squares.",
)

# %% [markdown]
# In the middle two, mid-gray stands for 0 and lighter for more. Count the squares: one in hint a, one
# in hint b, *three* in the mask. Two of our dots are gray, in the shadow and on the concrete, and
# gray has a = b = 0. In hint ab they cannot be told from the rest of the picture. That is what the
# mask is for: **"this is gray" is not the same as "I say nothing about it"**.
#
# We try it on the concrete, with a gray hint and an orange one, with the mask and without.


# %%
def seen_there(hint_ab, mask):
    """Mean a and b that the network gives the concrete around row 450, column 90."""
    with torch.inference_mode():
        ab = F.interpolate(net(L, hint_ab, mask), fig.shape[:2], mode="bilinear")
    return ab[0, :, 400:500, 40:140].mean(dim=(1, 2)).numpy()


nothing = torch.zeros_like(mask)
said = {"no hint": seen_there(hint_ab * 0, nothing)}
for name, dot in {"gray": (150, 150, 150), "orange": (230, 140, 60)}.items():
    one_ab, one_mask = hint_tensors([(450, 90, dot)], fig.shape[:2], size)
    said[f"{name} hint"] = seen_there(one_ab, one_mask)
    said[f"{name} hint, mask forgotten"] = seen_there(one_ab, nothing)

# %% tags=["nbval-ignore-output"]
for name, (mean_a, mean_b) in said.items():
    print(f"{name:28} a = {mean_a:3.0f}, b = {mean_b:3.0f}")

# %% tags=["assertion"]
without, gray_hint, gray_lost, orange_hint, orange_lost = said.values()
assert np.abs(gray_lost - without).max() < 0.01
assert np.hypot(*gray_hint) < np.hypot(*without)
assert np.hypot(*(orange_hint - without)) > 2 and np.hypot(*(orange_lost - without)) > 0.1

# %% [markdown]
# With its mask the gray hint pulls the concrete toward 0. Without the mask it is no hint at all: the
# third line equals the first. A hint in *colour* gets through without its mask too, since its ab is not
# 0, but wrongly: compare the last two lines. The picture has colour, so the mistake is easily
# overlooked.
#
# Inside, the network divides L and hint ab as always, (L - 50) / 100 and ab / 110, and stacks all four
# planes. The mask goes in as it is.
#
# ### Exercise 3: hint tensors
#
# *Medium, 12 minutes.* Write `hint_tensors`. Users click on the photograph, whose size is not that of
# the network's input, so the place must be rescaled, and rounded down. The middle of pixel `row` is at
# `row + 0.5`, and the whole height is `photo_size[0]`. The square has `patch` pixels a side and begins
# `patch // 2` above and left of the place, and is cut off at the picture's border. Where hints overlap
# the later one counts.


# %% tags=["exercise"]
def to_tensors(hints, photo_size, size, patch=7):
    """Hints as the tensors that SIGGRAPH17 takes.

    hints: list of (row, column, (red, green, blue)), in pixels of the photograph, 0..255.
    photo_size, size: (height, width) of the photograph and of the network's input.
    Returns hint_ab (1, 2, height, width), Lab units, and mask (1, 1, height, width).
    """
    hint_ab, mask = torch.zeros(1, 2, *size), torch.zeros(1, 1, *size)
    for row, column, colour in hints:
        ab = torch.from_numpy(cl.rgb_to_lab(np.array([[colour]], np.uint8))[0, 0, 1:])
        ### BEGIN SOLUTION
        y = int((row + 0.5) * size[0] / photo_size[0])
        x = int((column + 0.5) * size[1] / photo_size[1])
        top, left = y - patch // 2, x - patch // 2
        rows = slice(max(0, top), top + patch)
        columns = slice(max(0, left), left + patch)
        hint_ab[..., rows, columns] = ab.view(1, 2, 1, 1)
        mask[..., rows, columns] = 1
        ### END SOLUTION
    return hint_ab, mask


# %% tags=["check"]
check.to_tensors(to_tensors)

# %% [markdown] tags=["hint"]
# `y = int((row + 0.5) * size[0] / photo_size[0])`, and x likewise. A slice that ends beyond the border
# is cut off by itself, but one that *begins* below 0 counts from the other end: use `max(0, ...)`.
# To fill a region of `hint_ab` with the two numbers, give them the shape (1, 2, 1, 1).

# %% [markdown]
# ### Exercise 4: find the bug
#
# *Medium, 8 minutes.* A painting program keeps the user's strokes on a layer of their own: red,
# green, blue and **alpha**, which is 255 where there is paint and 0 where there is none. This function
# turns the layer into hints. It works with every colour that its author tried. Which colour did the
# author not try?


# %% tags=["exercise"]
def from_layer(layer):
    """Hint tensors from a layer that a user painted on.

    layer: (H, W, 4) uint8, red, green, blue and alpha; alpha is 255 on paint and 0 elsewhere.
    Returns hint_ab (1, 2, H, W), Lab units, 0 off the paint, and mask (1, 1, H, W), float, 1 on
    the paint and 0 elsewhere.
    """
    ab = torch.from_numpy(cl.rgb_to_lab(layer[..., :3])[..., 1:]).permute(2, 0, 1)[None]
    ### BEGIN SOLUTION
    painted = torch.from_numpy(layer[..., 3] > 0)[None, None]
    ### STUB
    # painted = ab.norm(dim=1, keepdim=True) > 1
    ### END SOLUTION
    return ab * painted, painted.float()


# %% tags=["check"]
check.from_layer(from_layer)

# %% [markdown] tags=["hint"]
# How does the function tell paint from no paint? Think of the third dot above. Which of the four
# channels says it directly?

# %% [markdown]
# ### Your pieces, put together
#
# From here on the lesson colours with what you have written: hints become tensors by `to_tensors`, go
# down by `encode` and up by `decode`. As long as an exercise is open, the library's piece stands in for
# it. So if a picture further down looks odd, it may be yours.

# %%
tensors_of = check.to_tensors.choose(to_tensors, hint_tensors)
way_up = check.decode.choose(decode, None)


def answer_of(L, hint_ab, mask):
    """ab by the way down and your way up; by the library's whole network until then."""
    if way_up is None:
        return net(L, hint_ab, mask)
    x = torch.cat([(L - 50) / 100, hint_ab / 110, mask], dim=1)
    return way_up(net, *encode(net, x))


# %%
def colour(rgb, hints=()):
    """A photograph coloured by the lesson's pieces, led by hints: (H, W, 3) uint8."""
    small_l, own_l = prepare(rgb, net.input_size), cl.lightness(rgb)
    given = tensors_of(hints, rgb.shape[:2], tuple(small_l.shape[-2:]))
    with torch.inference_mode():
        ab = answer_of(small_l, *given)
    return cl.lab_to_rgb(cl.merge_lab(own_l, upsample_ab(ab, small_l, own_l)))


pieces = np.abs(colour(kite, sky_is_blue).astype(int) - told).max() <= 2
print("the pieces make the same picture as cl.colorize:", pieces)

# %% tags=["assertion"]
assert pieces

# %% [markdown]
# That is all that `cl.colorize` does: make it small, ask the network, enlarge the colours along the
# photograph's edges (`upsample_ab`, lesson 05), and join them with its own lightness.
#
# ## 5. Users whom nobody has seen
#
# To train this network one would need a hundred thousand people who put dots on photographs. The
# paper's idea is to **simulate** them: reveal the true colours at a few random places of each training
# picture, and ask for the rest. Three choices make it work.
#
# - **How many points?** A geometric number: before each point, the first too, stop with probability
#   p = 1/8. So the network learns to work with none, one, or many.
# - **Where?** Normally distributed around the middle, with a quarter of the picture's size as standard
#   deviation: people point at the subject.
# - **How large?** A square of 1 to 9 pixels a side, filled with the *mean* true colour there: people
#   do not colour pixels, but things.

# %%
from course_lib import simulate_hints

true_ab = torch.from_numpy(cl.rgb_to_lab(square(fig, 96))[..., 1:]).permute(2, 0, 1)[None]
drawn = [simulate_hints(true_ab, torch.Generator().manual_seed(seed)) for seed in (6, 1, 9, 4)]
gray_l = torch.full((1, 1, 96, 96), 60.0)
show_pictures(
    [cl.lab_to_rgb(torch.cat([gray_l, ab], 1)[0].permute(1, 2, 0).numpy()) for ab, _ in drawn]
    + [mask[0, 0].numpy() for _, mask in drawn],
    [f"user {n}" for n in range(1, 5)] + ["mask"] * 4,
    "Above, four simulated users' hints for one picture, small squares in reds and grays around the "
    "middle; below, their masks, white squares on black.",
    columns=4,
)

# %% [markdown]
# Four users, one picture. Where the mask has a square and the upper picture seems to have none, a
# user pointed at something gray. Now many users: how many points do they give, and where?

# %%
generator = torch.Generator().manual_seed(0)
numbers = torch.empty(5000).geometric_(1 / 8, generator=generator).numpy() - 1
_, masks = simulate_hints(torch.zeros(2000, 2, 64, 64), generator)

# %%
figure, axes = new_figure(1, 2, width=8, height=2.9)
axes[0, 0].hist(numbers, bins=np.arange(-0.5, 40), color=COLORS[0])
axes[0, 0].set(xlabel="points on a picture", ylabel="pictures of 5000")
image = axes[0, 1].imshow(masks.mean(dim=0)[0], cmap="viridis")
axes[0, 1].set(title="share of users who point there", xticks=[], yticks=[])
axes[0, 1].grid(False)
figure.colorbar(image, ax=axes[0, 1])
show(
    figure,
    "Left, a histogram of the number of points, highest at zero and falling ever more slowly. Right, "
    "a map of where they lie, brightest in the middle of the picture.",
)

# %% [markdown]
# ### Exercise 5: predict, then run
#
# *Easy, 4 minutes.* From the rule alone, without counting: which share of all pictures gets no point,
# and how many points does a picture get on average? (The average number of *trials* until something
# of probability p happens is 1 / p. What is a trial here, and what is a point?)

# %% tags=["exercise"]
### BEGIN SOLUTION
share_without = 1 / 8
mean_points = 7
### END SOLUTION

# %% tags=["check"]
check.point_numbers(share_without, mean_points)

# %% [markdown] tags=["hint"]
# Before the first point there is a chance to stop already. With p = 1/8 one needs 8 trials on average
# until one says "stop"; all the others gave a point.

# %% tags=["nbval-ignore-output"]
print(f"without a point: {(numbers == 0).mean():.3f}, mean number: {numbers.mean():.1f}")

# %% tags=["assertion"]
assert abs((numbers == 0).mean() - 1 / 8) < 0.02 and abs(numbers.mean() - 7) < 0.5

# %% [markdown]
# That an eighth of the pictures comes without hints is on purpose: so one network learns both, to
# colour alone and to listen.
#
# ### Exercise 6: a step of training, in order
#
# *Easy, 3 minutes.* These lines are one step of such a training, shuffled. Only
# `optimizer.zero_grad()`, which ends the step, stands where it belongs. Write the other letters in
# order, for example `"FEDCBA"`.
#
# ```text
# A   hint_ab, mask = simulate_hints(ab, generator)
# B   loss.backward()
# C   L, ab = next(batches)
# D   guess = net(L, hint_ab, mask)
# E   optimizer.step()
# F   loss = F.huber_loss(guess, ab)
#     optimizer.zero_grad()
# ```

# %% tags=["exercise"]
### BEGIN SOLUTION
order = "CADFBE"
### END SOLUTION

# %% tags=["check"]
check.training_step(order)

# %% [markdown] tags=["hint"]
# Each line uses what another one makes: who makes `ab`? Who makes `mask`, `guess`, `loss`? And what
# does a step of the optimizer need that `backward` leaves behind?

# %% [markdown]
# Note line F: the loss asks for the colours of *all* pixels, not only of those that were revealed.
# That is where the network learns to spread what it is told.
#
# ## 6. The losses, and why it is dull
#
# ECCV16 learned a distribution. SIGGRAPH17's main head names one colour per pixel, and is punished for
# its distance from the truth. Three ways to punish an error $e$:
#
# - **L2**, the square $e^2$: the best answer is the *mean* of what is possible;
# - **L1**, the size $|e|$: the best answer is the *median*, half of the possibilities on each side;
# - **Huber**, a square up to $\delta$ and a line beyond: smooth at 0, and with a small $\delta$ nearly
#   L1. Both L1 and Huber are reported for this network; this course's recipe uses Huber with
#   $\delta$ = 5 Lab units.
#
# Take a pixel that may be blue sky (b = -35, probability 0.4), gray cloud (b = 0, 0.35) or evening
# glow (b = 40, 0.25). What does each loss want to hear?

# %%
possible, probability = torch.tensor([-35.0, 0.0, 40.0]), torch.tensor([0.4, 0.35, 0.25])
answer = torch.arange(-60.0, 61.0)
error = answer[:, None] - possible
losses = {
    "L2": error**2 / 60,
    "L1": error.abs(),
    "Huber": F.huber_loss(error, torch.zeros_like(error), reduction="none", delta=5.0) / 5,
}
expected = {name: loss @ probability for name, loss in losses.items()}
best = {name: answer[loss.argmin()].item() for name, loss in expected.items()}

# %%
show_lines(
    {f"{name}, best at b = {best[name]:.0f}": (answer, loss) for name, loss in expected.items()},
    "the network's answer b",
    "expected loss (L2 / 60, Huber / 5)",
    "Three curves of expected loss over the answer b. L2 is a parabola with its lowest point at -4; "
    "L1 is a bent line, lowest at 0; Huber runs close to it, with rounded bends, lowest at -2.",
)

# %% tags=["assertion"]
assert best == {"L2": -4.0, "L1": 0.0, "Huber": -2.0}
assert possible[probability.argmax()] == -35

# %% [markdown]
# None of them says blue, although blue is the likeliest. L2 answers with the mean, a colour that is not
# even possible; L1 answers gray, because it is in the middle, and Huber next to it. With two
# possibilities L1 does choose the likelier; with many, spread around gray, it stays near gray. So **the
# less a network knows, the duller it is**: doubt makes distributions broad, and the middle of a broad
# one is the middle of the world's colours. Where is that?

# %%
from course_lib import ab_prior

prior, bins = ab_prior(), cl.ab_bins()
mean = prior @ bins
median = []
for values in bins.T:
    by_size = values.argsort(kind="stable")
    median.append(values[by_size][np.searchsorted(prior[by_size].cumsum(), 0.5)])
print(f"mean of all colours:   a = {mean[0]:.0f}, b = {mean[1]:.0f}")
print(f"median of all colours: a = {median[0]:.0f}, b = {median[1]:.0f}")

# %%
knows_nothing = np.full((*fig.shape[:2], 2), median, np.float32)
olive = cl.lab_to_rgb(np.dstack([cl.rgb_to_lab(fig)[..., 0], knows_nothing]))
show_pictures(
    [olive, colour(fig), fig],
    ["everywhere the median", "our network, no hints", "truth"],
    "A bowl on concrete: in an even olive gray; as the network colours it without hints; and in truth, a "
    "red bowl on gray.",
)

# %% [markdown]
# On the left is what a network with L1 says that knows nothing: an olive gray. Ours has seen little
# compared with the published one. Compare the two pictures: where it does not know, it stays near the
# middle of the world's colours, the honest answer of somebody who is afraid of being wrong. The same
# happens to people who fine-tune a regression network on few pictures and ask **why it turns gray or
# brown**: not because it broke, but because it has too little evidence, or pictures of which many are
# gray, and the loss makes it answer with the middle.
#
# Two things help against it. More data, that is, less doubt. And hints, which are evidence. The
# second can be measured at once. We ask somebody who knows the truth for 50 hints at random places:

# %%
from course_lib.evaluation import bootstrap, reveal_hints

scenes = [square(photo.load(), 256) for photo in cl.photos(split="test", kind="scene")]
knowing = [reveal_hints(rgb, 50, seed) for seed, rgb in enumerate(scenes)]


def chroma(rgb):
    """Mean distance from gray, in Lab units."""
    return np.linalg.norm(cl.rgb_to_lab(rgb)[..., 1:], axis=-1).mean()


# %%
true_chroma = np.array([chroma(rgb) for rgb in scenes])
timid = np.array([chroma(colour(rgb)) for rgb in scenes])
bold = np.array([chroma(colour(rgb, given)) for rgb, given in zip(scenes, knowing, strict=True)])

# %% tags=["nbval-ignore-output"]
for name, values in {"without hints": timid, "with 50 hints": bold}.items():
    ratio, low, high = bootstrap(values, over=true_chroma)
    print(f"colourfulness {name}: {ratio:.2f} of the truth's ({low:.2f} to {high:.2f})")

# %% tags=["assertion"]
assert timid.sum() < 0.95 * true_chroma.sum() and bold.sum() > timid.sum()

# %% [markdown]
# The same weights, the same loss, and more colour, because there is less doubt. (In brackets: where
# the ratio would lie with other photographs of the kind, by resampling these. The first line is the
# figure that the course's front page and lesson 05 give for SIGGRAPH17.)
#
# The **class head** is the other half. It hangs on block 8 and learns a distribution over the 529
# cells of the ab grid, by the cross entropy of lesson 03 (without rebalancing). In this course's training
# both losses are added, and the trunk learns from both. Colouring does not need that head; the paper's
# interactive tool asks it for suggestions, and so does our painter. Section 9 shows how: it may know
# a blue that the regression dares not say.
#
# ## 7. What is a hint worth?
#
# The paper's own way to measure: somebody who knows the truth reveals the mean colours of small squares
# at random places. The more squares, the closer the result should come. We have `reveal_hints` for
# that; what is missing is the curve.
#
# Pictures differ far more in how hard they are than hints change them. So we ask, for each picture,
# for the **gain**: its PSNR with hints less its PSNR without any.
#
# ### Exercise 7: the gain curve
#
# *Medium, 8 minutes.* Write it. `colour` is any function that takes a picture and a list of hints
# and returns a coloured picture. A count of n means the first n hints of the picture's list.


# %% tags=["exercise"]
def gain_curve(pictures, hints, counts, colour):
    """Mean gain in PSNR over no hints, for each number of hints.

    pictures: list of true pictures, (H, W, 3) uint8. hints: a list of hints for each of them.
    counts: numbers of hints. colour: function of a picture and a list of hints.
    Returns an array (len(counts),), dB.
    """
    ### BEGIN SOLUTION
    gains = []
    for truth, given in zip(pictures, hints, strict=True):
        start = psnr(colour(truth, []), truth)
        gains.append([psnr(colour(truth, given[:n]), truth) - start for n in counts])
    return np.mean(gains, axis=0)
    ### END SOLUTION


# %% tags=["check"]
check.gain_curve(gain_curve)

# %% [markdown] tags=["hint"]
# For one picture: `psnr(colour(truth, given[:n]), truth)` less the same with `[]`. Collect a row for
# each picture, and take the mean over the pictures, axis 0.

# %% [markdown]
# We run it on ten test photographs, with hints of 7 pixels, as `colorize` draws them. The library's
# `psnr_against_hints` returns the PSNR of every picture at every count, before the means; we take it for
# the uncertainty, and for hints of 2 pixels: the paper's 6 pixels of 256 are about as large a part of
# the picture as 2 of our 96.

# %%
from course_lib.evaluation import PUBLISHED_PSNR, psnr_against_hints

counts = list(PUBLISHED_PSNR)
levels = {patch: psnr_against_hints(net, scenes, patch=patch) for patch in (2, 7)}
gains = {patch: values - values[:, :1] for patch, values in levels.items()}


def gain_by_library(pictures, hints, counts, colour):
    """The same pictures and places, as the library measured them."""
    return gains[7].mean(axis=0)


curve_of = check.gain_curve.choose(gain_curve, gain_by_library)

# %%
hundred = [reveal_hints(rgb, 100, seed) for seed, rgb in enumerate(scenes)]
gain_7 = curve_of(scenes, hundred, counts, colour)
published = np.array(list(PUBLISHED_PSNR.values()))

# %% tags=["nbval-ignore-output"]
curves = {"ours, 7 px": gain_7, "ours, 2 px": gains[2].mean(axis=0)}
curves["published"] = published - published[0]
cells = [[name, *(f"{value:.1f}" for value in curve)] for name, curve in curves.items()]
show_table(["gain, dB", *map(str, counts)], cells, "PSNR gained by so many hints")
print(f"start: ours {levels[7][:, 0].mean():.1f} dB, published {published[0]:.1f} dB")

# %%
shown = {
    "published network": published - published[0],
    "ours, hints of 7 px": gain_7,
    "ours, hints of 2 px": gains[2].mean(axis=0),
}
show_lines(
    {name: (np.array(counts) + 1, gain) for name, gain in shown.items()},
    "1 + number of hints",
    "gain in PSNR over no hints, dB",
    "Three rising curves of gain over the number of hints on a logarithmic axis: the published "
    "network, ours with hints of 7 pixels, and ours with hints of 2 pixels.",
    log_x=True,
)

# %% tags=["assertion"]
assert np.allclose(gain_7, gains[7].mean(axis=0), atol=0.05)
for curve in shown.values():
    assert 0 < curve[len(counts) // 2] < curve[-1] and curve[-1] > 1
doublings = [PUBLISHED_PSNR[2 * n] - PUBLISHED_PSNR[n] for n in (1, 5, 10, 50)]
assert all(0.7 < doubling < 1.1 for doubling in doublings)
assert (np.diff(levels[7], axis=1) < 0).any(), "a further hint can also do harm"

# %% [markdown]
# Compare the gains, not the levels. The published figures are reported for 1000 test pictures of
# ImageNet at 256 x 256; ours are for ten photographs, resized and coloured by another network at 96
# pixels, and by such differences alone PSNR can be decibels apart. What can be compared is the *shape*:
#
# - Every curve rises, and is still rising at a hundred hints. On a logarithmic axis the published one
#   is nearly straight: each doubling of the hints brings about a decibel.
# - Where one starts matters: who starts low has more to gain, since the first hints take back gross
#   mistakes. A large gain alone is no honour.
#
# And do large hints help more than small ones? The two curves are of the same ten photographs, so take
# the difference photograph by photograph, and see whether it is more than chance:

# %% tags=["nbval-ignore-output"]
more, low, high = bootstrap((gains[7] - gains[2])[:, 1:].mean(axis=1))
print(f"7 px rather than 2 px: {more:+.2f} dB ({low:+.2f} to {high:+.2f}), mean over all counts")

# %% [markdown]
# In brackets the 95 % interval over photographs. Where it lies above 0, larger hints helped; where it
# holds 0, ten photographs cannot tell, however far apart the curves look.
#
# The mean also hides that for single photographs one more hint can make things worse, as the next
# section shows.
#
# ## 8. A hint that leaks, and one that stops it
#
# Sea meets grass, and in gray there is little between them. We say that the sea is blue.


# %%
def reach_by_library(before, after):
    """What lesson 01's curve of errors leaves beyond 20 Lab units."""
    two = [cl.rgb_to_lab(rgb)[..., 1:].transpose(2, 0, 1)[None] for rgb in (after, before)]
    return 1 - cl.ab_error_curve(*two)[20]


reach_of = check.reach.choose(reach, reach_by_library)

# %%
dune = cl.load_photo("scenes/dune")
sea = [(190, 380, (40, 110, 200))]
grass = [(290, 380, (215, 170, 90))]
shores = [colour(dune, given) for given in ([], sea, sea + grass)]
show_pictures(
    [with_dots(dune, sea + grass), *shores, dune],
    ["two hints", "neither", "the first alone", "both", "truth"],
    "Tall grass before the sea: in gray with a blue dot on the sea and a yellow one on the grass; "
    "without hints; with the blue hint alone; with both; and in truth.",
    columns=3,
)

# %% [markdown]
# The blue of the sea runs down into the grass, until a hint of its own tells the grass what it is. In
# numbers:

# %% tags=["nbval-ignore-output"]
below = np.s_[260:320, 300:460]
b_below = [cl.rgb_to_lab(rgb)[..., 2][below].mean() for rgb in (*shores, dune)]
print("b of the grass just below: {:.0f} without, {:.0f} sea, {:.0f} both".format(*b_below))
print(f"in truth: {b_below[3]:.0f}")
print(f"the sea's hint moves {reach_of(shores[0], shores[1]):.0%} of the picture by over 20 units")

# %% tags=["assertion"]
assert b_below[1] < b_below[0], "the sea's blue leaks into the grass"
assert b_below[2] > b_below[1] + 5, "the second hint stops it"
at_dot, given = (cl.rgb_to_lab(x) for x in (shores[1][190, 380], np.uint8(sea[0][2])))
assert np.hypot(*(at_dot - given)[1:]) < 15 and at_dot[0] > given[0]

# %% [markdown]
# The blue **leaks**: it passes the shore and tints the grass (*b* falls, toward blue). A hint is
# evidence for what resembles it and is near. Where the network sees no border between two things, it
# finds no reason to stop. The remedy is the one that painters use: say the other side too. The second
# hint turns the grass, and the border comes to lie somewhere between the two, along what edges there
# are. It is *not* a wall: an edge that is not in L cannot be found, as in lesson 05.
#
# The dot itself looks lighter than the blue that we gave: its *a* and *b* are nearly ours, but its
# lightness is the photograph's own, and higher. Farther away, where the blue weakens, the sea may look
# violet. Lab is not perfect there: of all its colours it is blue that seems to turn violet on its way
# to gray.
#
# So, in practice: begin with the largest regions, one dot in the middle of each; look where it leaks;
# put the next dot just beyond the border, in gray if it is gray there. Small things last.
#
# ## 9. Ask it for suggestions
#
# Which colours are plausible for a sky at all? The class head knows many, with their probabilities. The
# paper's interface shows a few of them beside the pixel: draw samples from the distribution there, and
# cluster them by **k-means** into K groups, nine in the published interface, five here. k-means puts K
# centres among the points, gives each point to its nearest centre, moves each centre to the mean of its
# points, and repeats until nothing moves.
#
# `suggest_colours` does the same without dice: each cell of the grid counts with its probability. And
# it leaves out cells that no screen can show *at this lightness*: there is no dark lemon yellow.

# %%
from course_lib import suggest_colours


def class_logits(rgb):
    """The class head's logits for a photograph, (529, h, w)."""
    with torch.inference_mode():
        return net.logits(prepare(rgb, net.input_size))[0]


def at_pixel(logits, rgb, row, column):
    """Logits at a pixel of the photograph, (529,), and the pixel's lightness."""
    y = int(row * logits.shape[1] / rgb.shape[0])
    x = int(column * logits.shape[2] / rgb.shape[1])
    return logits[:, y, x], float(cl.rgb_to_lab(rgb[row, column])[0])


# %%
place = (60, 200)  # the sky above the dune
there, lightness = at_pixel(class_logits(dune), dune, *place)
colours, shares = suggest_colours(there, lightness)
belief = F.softmax(there, dim=0).reshape(23, 23).T.sqrt()
centres = cl.rgb_to_lab(colours)[:, 1:]

# %%
figure, axes = new_figure(1, 2, width=7, height=3.3)
axes[0, 0].imshow(belief, origin="lower", extent=(-115, 115, -115, 115))
axes[0, 0].plot(*centres.T, "o", color=COLORS[1], mfc="none", mew=2)
axes[0, 0].set(title="the class head's belief", xlabel="a", ylabel="b")
axes[0, 0].grid(False)
bars = axes[0, 1].barh(range(5), shares, color=colours / 255, edgecolor="0.3")
axes[0, 1].bar_label(bars, [f"{share:.0%}" for share in shares], padding=3)
axes[0, 1].set(yticks=range(5), yticklabels=range(1, 6), xlim=(0, 1), xlabel="share")
axes[0, 1].invert_yaxis()
show(
    figure,
    "Left, a heat map of the distribution at a pixel of sky over the ab plane, with five rings, the "
    "centres of its clusters. Right, five bars in those colours, as long as their shares.",
)

# %% [markdown]
# Five groups, likeliest first. (The map shows the root of the probability, so that small peaks can be
# seen.) Each suggestion, given back as a hint, makes a picture:

# %%
show_pictures(
    [colour(dune, [(*place, tuple(rgb))]) for rgb in colours.tolist()] + [dune],
    [f"{number}: {share:.0%}" for number, share in enumerate(shares, start=1)] + ["truth"],
    "The dune five times, its sky tinted from one hint in each of the suggested colours, and in truth.",
    columns=3,
)

# %% [markdown]
# Is the truth among the suggestions? `suggestion_errors` asks at 20 random places of each test
# photograph how far the true colour is from the regression's single answer, and from the *nearest* of
# the five suggestions. That is not a fair race: five tickets against one. So a third runner comes
# along, who has five tickets too, but the same for every photograph: suggestions made from the prior,
# from which only the lightness of the pixel is known.

# %% tags=["nbval-ignore-output"]
from course_lib.evaluation import suggestion_errors

off = suggestion_errors(net, scenes)
for name, values in off.items():
    print(f"{name:23} off by {values.mean():.1f} Lab units on average")
single, head, world = off.values()
for name, difference in {
    "one of five less one": head - single,
    "head less prior": head - world,
}.items():
    print("{}: {:+.1f} ({:+.1f} to {:+.1f})".format(name, *bootstrap(difference)))

# %% tags=["assertion"]
assert [values.shape for values in off.values()] == [(10,)] * 3 and head.mean() < single.mean()
assert len(shares) == 5 and np.isclose(shares.sum(), 1) and (np.diff(shares) <= 0).all()

# %% [markdown]
# One of five is far nearer than the single answer, and for whoever chooses that is what counts. But
# look at the third runner, who never looked at a photograph: five tickets alone bring most of that. What
# the class head adds is the last line, photograph by photograph, with its 95 % interval: if the interval
# holds 0, these ten photographs do not show that it adds anything. Had we left the third runner out,
# we could have told you a better story. (The weights' card in `data/README.md` runs the same race on
# hundreds of held-out photographs.)
#
# Why 529 classes and not the 313 of ECCV16? The grid is 23 x 23, and cells that never occur cost
# little: the head learns to leave them empty.
#
# ## 10. Alone, or with you
#
# All together: ECCV16 on its own, SIGGRAPH17 on its own, and SIGGRAPH17 with four hints each. Their
# places were chosen by hand; their colours are the true ones there, what somebody would say who was
# present.

# %%
guided = {
    "scenes/mountain-trail": [(60, 650), (220, 420), (450, 600), (420, 120)],
    "scenes/rowing-boats": [(60, 250), (110, 420), (330, 100), (420, 450)],
    "scenes/fallen-leaf": [(330, 560), (150, 260), (60, 600), (400, 150)],
}
eccv = cl.eccv16()


def true_hints(rgb, places, half=6):
    """Hints in the mean true colours around some places."""
    around = [rgb[r - half : r + half, c - half : c + half].mean(axis=(0, 1)) for r, c in places]
    return [(*p, tuple(mean.astype(int).tolist())) for p, mean in zip(places, around, strict=True)]


# %%
rows = {}
for name, places in guided.items():
    scene = cl.load_photo(name)
    four = true_hints(scene, places)
    rows[name] = [with_dots(scene, four), cl.colorize(scene, eccv), colour(scene)]
    rows[name] += [colour(scene, four), scene]

# %% [markdown]
# From left to right: the hints, two networks on their own, SIGGRAPH17 with the hints, truth.

# %%
show_pictures(
    [picture for row in rows.values() for picture in row],
    ["four hints", "ECCV16", "SIGGRAPH17", "with the hints", "truth"] * 3,
    "A mountain, boats at sunset and fallen leaves: in gray with four dots of colour each, by "
    "ECCV16, by SIGGRAPH17 alone, by SIGGRAPH17 with the hints, and in truth.",
    columns=5,
)

# %% tags=["nbval-ignore-output"]
of_scenes = [
    [name, *(f"{psnr(picture, true_scene):.1f}" for picture in tries)]
    for name, (_, *tries, true_scene) in rows.items()
]
header = ["photograph", "ECCV16", "SIGGRAPH17", "with four hints"]
show_table(header, of_scenes, "PSNR in dB")

# %% tags=["assertion"]
alone_db, hinted_db = (np.mean([psnr(row[i], row[-1]) for row in rows.values()]) for i in (2, 3))
assert hinted_db > alone_db

# %% [markdown]
# By its loss ECCV16 dares more: where it is right that pays, as on the leaves, and where it is wrong it
# costs. SIGGRAPH17 alone is careful. With four hints it is led where it would not have gone. Look for
# places where a hint ends though the thing goes on: there a second dot is needed.
#
# ## 11. Paint
#
# Now you. The painter asks the same network, about ten times a second, and draws its answer along the
# photograph's edges. Three tasks, each a little harder. **Drag a dot** to move it, **Delete** or a right
# click removes it, **Ctrl+Z** takes back, *Before / after* compares, and `painter.hints` is the list that
# you know.
#
# ### Task 1: colour the bowl
#
# *5 minutes.* Three things to name: the bowl, its shadow, the concrete. The true picture stands in
# section 6; or make it a bowl of your own.

# %% tags=["nbval-ignore-output"]
bowl = cl.HintPainter(fig, net, hints=[(400, 420, (200, 50, 20))])
bowl

# %% [markdown]
# One way to do it, for comparison: a red dot on each side of the bowl, and gray ones where the red went
# too far. `bowl.hints = red_bowl` in a cell of your own puts these dots into the painter above.

# %%
red_places = [(400, 420), (300, 560), (200, 300)]
gray_places = [(100, 200), (450, 90), (40, 720), (480, 740)]
red_bowl = true_hints(fig, red_places + gray_places)
show_pictures(
    [with_dots(fig, red_bowl), colour(fig, red_bowl), fig],
    ["seven hints", "what the network makes of them", "truth"],
    "The bowl in gray with seven dots, three on it and four beside it; as the network colours it with "
    "these; and in truth.",
)

# %% [markdown]
# ### Task 2: stop a leak
#
# *5 minutes.* The dune again, with the dot on the sea that leaks. Bring the grass just below back to its
# true *b*, and leave the sea blue. With one dot? The line under the photograph counts for you: it is
# written by `report_leak`, which the painter calls whenever its hints change, or their size.

# %% tags=["nbval-ignore-output"]
shore = cl.HintPainter(dune, net, hints=sea)


def report_leak(change=None):
    """Below the picture, write b of the grass and of the sea around the dot."""
    b = cl.rgb_to_lab(shore.result)[..., 2]
    shore.caption = (
        f"grass: b = {b[below].mean():.0f}, in truth {b_below[3]:.0f}; "
        f"sea around the dot: b = {b[170:210, 340:420].mean():.0f}, to stay below 0"
    )


shore.observe(report_leak, ["hints", "patch"])
report_leak()
shore

# %% [markdown]
# Section 8 has one answer. Is there a better place for the second dot: nearer to the border, or
# farther from it? Drag it, and watch the number.
#
# ### Task 3: win a photograph back
#
# *10 minutes.* Here you know the truth and may say it, but in ten hints only. Where would you put them?
# Two players set the scale. One points at **random** places. The other is **greedy**: it colours, looks
# where the colour is farthest from the truth, puts the next hint there, and repeats.

# %%
from course_lib.evaluation import greedy_hints

autumn = cl.load_photo("scenes/autumn-mountain")
greedy = greedy_hints(autumn, 10, colour)
players = [reveal_hints(autumn, 10, seed, side=24) for seed in range(5)]


def levels_of(given):
    """PSNR with the first 0, 1, ... 10 of some hints, dB."""
    return np.array([psnr(colour(autumn, given[:n]), autumn) for n in range(len(given) + 1)])


greedy_db = levels_of(greedy)
random_db = np.mean([levels_of(given) for given in players], axis=0)

# %%
show_lines(
    {"largest error first": (range(11), greedy_db), "random, mean of 5": (range(11), random_db)},
    "hints",
    "PSNR, dB",
    "Two curves of PSNR over 0 to 10 hints for one photograph, that of hints at the largest error and "
    "the mean of five players who point at random.",
)

# %% [markdown]
# Except perhaps for the first hints, who points at the largest error needs fewer for the same PSNR. With
# ten of them:

# %%
show_pictures(
    [with_dots(autumn, greedy), colour(autumn, greedy), autumn],
    ["ten hints, largest error first", "coloured with them", "truth"],
    "A meadow before trees and a mountain: in gray with ten dots, coloured with these, and in truth.",
)

# %% tags=["assertion"]
assert greedy_db[-1] > greedy_db[0] and random_db[-1] > random_db[0]

# %% [markdown]
# Greed is no guarantee. Look along its curve: where it falls, mending the largest error spoilt
# something else, since a hint spreads. You can see that coming, and it cannot. Your turn: the
# painter keeps the score.

# %% tags=["nbval-ignore-output"]
win_back = cl.HintPainter(autumn, net)


def keep_score(change=None):
    """Write PSNR below the picture, beside those of the two players."""
    n = len(win_back.hints)
    text = f"{n} of 10 hints: {psnr(win_back.result, autumn):.1f} dB"
    if n <= 10:
        text += f"; random {random_db[n]:.1f}, largest error first {greedy_db[n]:.1f}"
    win_back.caption = text


win_back.observe(keep_score, ["hints", "patch"])
keep_score()
win_back

# %% [markdown]
# ### Challenge: ten hints
#
# *Hard, 10 minutes.* Hand in at most ten hints for this photograph: `my_ten = win_back.hints`, or a list
# that you write, or one that a program of yours finds (then do not stop at ten tries). The check colours
# with them, and tells you where you stand between random places and the greedy choice.

# %% tags=["exercise"]
### BEGIN SOLUTION
my_ten = [
    (376, 324, (86, 123, 56)),
    (128, 356, (118, 138, 170)),
    (144, 12, (166, 116, 64)),
    (137, 105, (131, 139, 162)),
    (189, 122, (170, 118, 72)),
    (316, 295, (156, 111, 77)),
    (227, 673, (143, 110, 71)),
    (185, 665, (133, 145, 173)),
    (328, 162, (84, 119, 54)),
    (303, 175, (132, 95, 61)),
]
### END SOLUTION

# %% tags=["check"]
check.ten_hints(my_ten)

# %% [markdown] tags=["hint"]
# Large regions first: meadow, trees, mountain, sky. The true colours are in `autumn[row, column]`; the
# mean of a small square is better than one pixel. Then look where your picture and the truth differ
# most, and whether a dot there pulls something else away from it.

# %% [markdown]
# What you have painted is yours: *Save PNG* in the painter writes it at full size, *Save hints* keeps the
# dots, and `cl.save_image("my-picture.png", win_back.result)` does it from here. Any photograph will do:
# `cl.HintPainter("my-photo.jpg")`. If you do not know where to begin, ask for suggestions; if a colour
# goes too far, you know two remedies: a hint on the other side of the border, and a gray one.
#
# ## Summary
#
# - A U-Net's deep path knows *what*, its shortcuts know *where*; they are added, size by size.
# - Taking every second value after a convolution is a stride, and leaves the full map for a shortcut.
# - Hints are two tensors: ab, and a mask that tells gray from silence. Places are rescaled from the
#   photograph to the network's input.
# - In training the users are simulated: a geometric number of small squares of true colour, an eighth
#   of the pictures without any.
# - L2 wants the mean, L1 and Huber the median. In doubt both are dull; hints and data remove doubt,
#   and the class head keeps the other possibilities.
# - PSNR rises with hints, about alike for each doubling. Compare gains, and state the protocol.
# - Hints leak where the network sees no border. Say the other side too.
#
# ## Further reading
#
# - R. Zhang, J.-Y. Zhu, P. Isola, X. Geng, A. S. Lin, T. Yu, A. A. Efros, "Real-Time User-Guided Image
#   Colorization with Learned Deep Priors", ACM Transactions on Graphics (SIGGRAPH) 2017,
#   arXiv:1705.02999.
# - A. Levin, D. Lischinski, Y. Weiss, "Colorization using Optimization", SIGGRAPH 2004: hints without
#   any learning, spread where neighbours are alike in lightness.
# - O. Ronneberger, P. Fischer, T. Brox, "U-Net: Convolutional Networks for Biomedical Image
#   Segmentation", MICCAI 2015, arXiv:1505.04597. Its shortcuts are put beside the map rather than
#   added to it.
# - P. J. Huber, "Robust Estimation of a Location Parameter", Annals of Mathematical Statistics 35(1),
#   1964.
# - S. Lloyd, "Least Squares Quantization in PCM", IEEE Transactions on Information Theory 28(2), 1982:
#   k-means.
