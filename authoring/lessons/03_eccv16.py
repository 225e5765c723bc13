# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Choose colours instead of averaging them
#
# A gray balloon may have been red, or blue. A network that has to name *one* colour and is punished
# for every unit that it is off will say something between the two, and so most of its pictures are
# brown. **ECCV16**, the network of "Colorful Image Colorization", does something else: it says how
# *likely* each of 313 colours is, and chooses afterwards. Colorization becomes classification. In
# this lesson you write every part of it.
#
# **You will do**
#
# - watch averaging fail, and choosing succeed, in a world of two colours;
# - write the soft encoding, the prior, the rebalancing weights and the annealed mean;
# - follow a picture through the network, block by block;
# - look at what a trained network believes about single pixels;
# - train a very small one, and see what it learns and what it does not.
#
# **You will learn**
#
# - why squared error makes pictures dull, and what a distribution is good for;
# - how the prior is made, and where the temperature went in the published PyTorch code;
# - what stride, dilation, batch normalization and a 1 x 1 convolution do;
# - why "everything is brown" and "everything has one hue" are different illnesses.
#
# **You need** lesson 02: Lab, with lightness *L* and colour *a*, *b*. It helps to have trained some
# network before, on anything.
#
# **Time** about 85 minutes: 40 of reading, 45 of exercises. The computer needs less than two.

# %%
from copy import deepcopy

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

import course_lib as cl
from course_lib.bins import annealed_mean, expected_ab, nearest_bins, soft_encode
from course_lib.checks import lesson_03 as check
from course_lib.plotting import COLORS, ab_plane, new_figure, show, show_lines, show_pictures

bins = cl.ab_bins()
centres = torch.from_numpy(bins)

# %% [markdown]
# ## 1. A world of two colours
#
# Every picture in this world shows a disc on a gray ground. The gray pictures tell nothing about the
# disc's colour: of 10 discs, 6 are red and 4 are blue, and that is all there is to know.

# %%
y, x = torch.meshgrid(torch.arange(20), torch.arange(20), indexing="ij")
red, blue = torch.tensor([60.0, 40.0]), torch.tensor([10.0, -50.0])


def toy_batch(generator, count=10):
    """Lightness (count, 1, 20, 20) and ab (count, 2, 20, 20) of discs, 3 of 5 of them red."""
    row, column = torch.randint(6, 14, (2, count, 1, 1), generator=generator)
    disc = ((y - row) ** 2 + (x - column) ** 2 < 30)[:, None]
    is_red = (torch.arange(count) % 5 < 3).view(-1, 1, 1, 1)
    colour = torch.where(is_red, red.view(1, 2, 1, 1), blue.view(1, 2, 1, 1))
    return 80.0 - 25.0 * disc, colour * disc


# %% [markdown]
# We train one tiny network in two ways. As a **regressor** it has two outputs, a and b, and is
# punished by the squared error. As a **classifier** it has 313 outputs, one for each of a set of
# fixed colours called **bins**, and is punished by the cross entropy, which grows as the true bin's
# probability falls. Everything else is the same.


# %%
def train_toy(outputs, loss, steps=200):
    """Train two layers on fresh batches of discs."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, outputs, 1))
    optimizer = torch.optim.Adam(net.parameters(), 0.02)
    generator = torch.Generator().manual_seed(0)
    for _ in range(steps):
        L, ab = toy_batch(generator)
        loss(net((L - 50) / 100), ab).backward()
        optimizer.step()
        optimizer.zero_grad()
    return net.requires_grad_(False)


regressor = train_toy(2, lambda out, ab: F.mse_loss(out, ab / 110))
classifier = train_toy(313, lambda out, ab: F.cross_entropy(out, nearest_bins(ab, k=1)[0][:, 0]))

# %% [markdown]
# `nearest_bins(ab, k=1)` gives the number of the bin that is nearest to each pixel's colour: the
# class. Now both networks see the same gray disc.

# %% tags=["nbval-ignore-output"]
L, truth = toy_batch(torch.Generator().manual_seed(1))
seen = (L[:1] - 50) / 100
disc = truth[0, 0] != 0
regressed = regressor(seen) * 110
probability = F.softmax(classifier(seen), dim=1)
one_colour = regressed[0][:, disc].mean(dim=1)
values, numbers = probability[0][:, disc].mean(dim=1).topk(2)
print("regressor:    a = {:.0f}, b = {:.0f}".format(*one_colour))
for value, number in zip(values, numbers, strict=True):
    print(f"classifier:   a = {bins[number][0]:.0f}, b = {bins[number][1]:.0f}: {value:.0%}")

# %% tags=["assertion"]
assert np.allclose(one_colour, 0.6 * red + 0.4 * blue, atol=6)
assert bins[numbers].tolist() == [red.tolist(), blue.tolist()]
assert np.allclose(values, [0.6, 0.4], atol=0.06)


# %%
def paint(L, ab):
    """A coloured picture of the tensors L (1, 1, H, W) and ab (1, 2, H, W)."""
    return cl.lab_to_rgb(torch.cat([L, ab], dim=1)[0].permute(1, 2, 0).numpy())


chosen = centres[classifier(seen)[0].argmax(0)].permute(2, 0, 1)[None]
blue_truth = torch.where(truth[:1] != 0, blue.view(1, 2, 1, 1), 0)
show_pictures(
    [paint(L[:1], ab) for ab in (truth[:1] * 0, truth[:1], blue_truth)]
    + [paint(L[:1], ab) for ab in (regressed, expected_ab(probability), chosen)],
    ["what they see", "true 6 times of 10", "true 4 times of 10"]
    + ["regressor", "classifier, mean", "classifier, likeliest"],
    "A gray disc; the two true colours, red and blue; the regressor's dull pink, the same dull pink "
    "as mean of the classifier, and the classifier's red.",
    columns=3,
)

# %% [markdown]
# No disc was ever dull pink. It is the mean of red and blue, and the mean is what squared error asks
# for: it is the answer with the smallest expected square. The classifier found *both* colours, with
# their shares. A distribution with several peaks is called **multi-modal**; the regressor has no way
# to say such a thing.
#
# But look at the middle of the lower row: take the *mean* of the classifier's distribution, and
# we are back at dull pink. Classification alone makes no colourful pictures. It keeps the knowledge
# from which one can be *chosen*; choosing is section 8.
#
# ## 2. 313 colours to choose from
#
# The bins lie on a grid of step 10 in the ab plane. Which points of the grid? If we took only those
# that a screen can show, colours near the border of the **gamut** (all colours of sRGB) would have
# no bin on their outer side. So a point belongs to the bins if it lies **less than one step**, along
# a and along b, from the convex hull of the gamut. That gives 313 of the grid's 529 points, the same
# 313 as in the published list; `cl.ab_bins()` computes them in a few lines.

# %%
figure, axes = new_figure(width=4.6, height=4.4)
axis = axes[0, 0]
axis.imshow(ab_plane(60), extent=(-110, 110, -110, 110))
axis.scatter(*bins.T, s=5, color="black")
axis.set(xlabel="a (green to red)", ylabel="b (blue to yellow)", title="the 313 bins")
axis.grid(False)
show(
    figure,
    "The ab plane in its colours at lightness 60, with the 313 bins as dots on a grid: a leaning "
    "shape that covers the colours and reaches beyond them.",
)

# %% [markdown]
# Coloured is what a screen shows at L = 60; at other lightness other parts of the plane come in,
# which is why dots lie on white. They are sorted by a, then b, and gray, (0, 0), is number 120.

# %% tags=["assertion"]
assert bins.shape == (313, 2) and bins[120].tolist() == [0, 0]
assert np.array_equal(np.lexsort((bins[:, 1], bins[:, 0])), np.arange(313))

# %% [markdown]
# ## 3. Soft encoding
#
# To train a classifier we need the true class of each pixel. The nearest bin would do, but it throws
# something away: up to 7 Lab units, half the diagonal of a cell. And it tells the network that a
# colour just right of a border has nothing to do with one just left of it. **Soft encoding** shares
# the pixel among its *k* nearest bins, by a Gaussian of their distance *d*:
#
# $$ w_i \propto \exp\left(-\frac{d_i^2}{2\sigma^2}\right), \qquad \sum_i w_i = 1,
# \qquad \sigma = 5. $$

# %%
colour = torch.tensor([23.0, 36.0])
index, weight = (t.flatten() for t in nearest_bins(colour.view(1, 2, 1, 1), k=10))
figure, axes = new_figure(width=4.6, height=3.9)
axis = axes[0, 0]
axis.scatter(*bins.T, s=12, color="0.6")
axis.scatter(*bins[index].T, s=1200 * weight, color=COLORS[0], label="its 10 nearest bins")
axis.plot(*colour, "x", color=COLORS[1], markersize=10, markeredgewidth=2, label="the colour")
axis.set(xlim=(-5, 55), ylim=(8, 62), xlabel="a", ylabel="b")
axis.legend(loc="upper right", fontsize=8, markerscale=0.6)
show(
    figure,
    "A grid of dots around a colour marked by a cross. The dots near it are large, those farther "
    "away small, and beyond ten of them all are gray.",
)

# %% [markdown]
# The area of a dot is its weight. The four bins around the colour carry most of it; the mean of all,
# so weighted, lies almost on the cross.
#
# ### Exercise 1: soft encoding
#
# *Medium, 15 minutes.* Write it for a whole batch. The distances from every pixel to every bin are
# there already; look at their shape first.


# %% tags=["exercise"]
def encode(ab, bins, k=10, sigma=5.0):
    """Soft encoding: each colour as a distribution over bins.

    ab: tensor (N, 2, H, W), Lab units. bins: tensor (Q, 2).
    Returns a tensor (N, Q, H, W): at each pixel k values above 0, sum 1 over the second axis.
    """
    distance = (ab[:, None] - bins[None, :, :, None, None]).norm(dim=2)  # (N, Q, H, W)
    ### BEGIN SOLUTION
    nearest = distance.topk(k, dim=1, largest=False)
    weight = torch.exp(-(nearest.values**2) / (2 * sigma**2))
    weight = weight / weight.sum(dim=1, keepdim=True)
    return torch.zeros_like(distance).scatter(1, nearest.indices, weight)
    ### END SOLUTION


# %% tags=["check"]
check.encode(encode)

# %% [markdown] tags=["hint"]
# `distance.topk(k, dim=1, largest=False)` has `.values` and `.indices`, both (N, k, H, W). From the
# values come the weights; `torch.zeros_like(distance).scatter(1, indices, weights)` puts them where
# they belong.

# %% [markdown]
# How much is lost by encoding a colour and taking the mean of the code? We try 20,000 random colours
# of sRGB. k = 1 is the nearest bin alone, **hard binning**; 5 is what the paper reports, 10 what its
# published code uses.

# %%
random_rgb = np.random.default_rng(0).random((100, 200, 3), dtype=np.float32)
random_rgb = np.round(random_rgb * 255).astype(np.uint8)
colours = torch.from_numpy(cl.rgb_to_lab(random_rgb)[..., 1:]).permute(2, 0, 1)[None]
for k in (1, 5, 10):
    error = (expected_ab(soft_encode(colours, k)) - colours).norm(dim=1)
    print(f"k = {k:2}: lost {error.mean():.1f} Lab units on average, {error.max():.1f} at most")

# %% tags=["assertion"]
lost = [(expected_ab(soft_encode(colours, k)) - colours).norm(dim=1) for k in (1, 5, 10)]
assert 3.6 < lost[0].mean() < 4 and 6.8 < lost[0].max() <= 7.08
assert lost[1].mean() < 0.3 and lost[2].mean() < 0.3
assert lost[2].max() < lost[1].max() < 1

# %% [markdown]
# One Lab unit is about what an eye can tell side by side. So soft encoding is free, and hard binning
# is not, as an evening sky shows:

# %%
evening = cl.rgb_to_lab(cl.load_photo("scenes/summer-night")[::3, ::3])
evening = torch.from_numpy(evening).permute(2, 0, 1)[None]
coded = [expected_ab(soft_encode(evening[:, 1:], k)) for k in (1, 10)]
show_pictures(
    [paint(evening[:, :1], ab) for ab in (evening[:, 1:], *coded)],
    ["the photograph", "nearest bin (k = 1)", "soft (k = 10)"],
    "An evening sky over a lake: smooth from violet to pink in the photograph, in stripes with hard "
    "borders after hard binning, smooth again after soft encoding.",
)

# %% [markdown]
# In the middle the sky has stripes, each one bin wide. On the right there are none.
#
# ## 4. The prior: how common each colour is
#
# Most of the world is grayish. Before we do something about that, we measure it. A **prior** is what
# one expects before looking: here, the share of each bin in many photographs.
#
# *How is the prior made?* is asked in public again and again, because the published code just loads a
# file. There is no secret:
#
# 1. take ab of the training pictures, at the resolution of the network's answer, a quarter;
# 2. encode it softly, and add up over all pixels;
# 3. smooth the counts by a Gaussian on the ab plane, so that no bin stays at 0;
# 4. divide by the sum.
#
# Here are the first two steps for the course's sixteen training scenes.

# %%
from course_lib.data.arrays import square

scenes = [square(photo.load(), 128) for photo in cl.photos(split="train", kind="scene")]
scene_lab = torch.from_numpy(np.stack([cl.rgb_to_lab(rgb) for rgb in scenes])).permute(0, 3, 1, 2)
counts = soft_encode(F.avg_pool2d(scene_lab[:, 1:], 4)).sum(dim=(0, 2, 3)).numpy()
print(f"{len(scenes)} scenes, {counts.sum():.0f} pixels")
print(f"bins that never occur: {(counts == 0).sum()} of 313")

# %% [markdown]
# Bins that never occur would be infinitely rare, and the weights of section 5 are about to divide by
# rarity. That is what the third step is for.
#
# ### Exercise 2: smooth the counts
#
# *Medium, 10 minutes.* Every bin hands its whole count on, to itself and to all bins around it, in
# shares proportional to $\exp(-d^2/2\sigma^2)$. The shares of one bin add up to 1; at the rim there
# are fewer neighbours, and each gets more.


# %% tags=["exercise"]
def smooth(counts, bins, sigma=5.0):
    """A prior over bins: counts, smoothed on the ab plane, as a distribution.

    counts: array (Q,), none negative. bins: array (Q, 2), Lab units.
    Returns an array (Q,), sum 1.
    """
    squared = ((bins[:, None] - bins[None]).astype(float) ** 2).sum(axis=-1)  # (Q, Q)
    ### BEGIN SOLUTION
    share = np.exp(-squared / (2 * sigma**2))
    share = share / share.sum(axis=0)  # column j: how bin j's count is shared out
    smoothed = share @ counts
    return smoothed / smoothed.sum()
    ### END SOLUTION


# %% tags=["check"]
check.smooth(smooth)

# %% [markdown] tags=["hint"]
# Make a (Q, Q) matrix whose column j holds the shares that bin j hands out, so that each column sums
# to 1. Then `matrix @ counts` is what each bin receives.

# %% [markdown]
# Sixteen photographs are too few for a prior of the world. The course ships one that was counted in
# the same way on the training pictures of Tiny ImageNet, a hundred thousand small photographs.


# %%
def bin_map(values):
    """A value for each bin as an array (23, 23) for imshow: b upward, a to the right."""
    grid = np.full((23, 23), np.nan)
    columns, rows = ((bins + 110) / 10).astype(int).T
    grid[rows, columns] = values
    return grid


PLANE = {"origin": "lower", "extent": (-115, 115, -115, 115)}

# %%
from course_lib.bins import smooth_prior
from course_lib.data.prior import ab_prior

priors = {"16 scenes": smooth_prior(counts), "Tiny ImageNet (shipped)": ab_prior()}
figure, axes = new_figure(1, 2, width=8, height=3.6)
for axis, (name, values) in zip(axes[0], priors.items(), strict=True):
    image = axis.imshow(bin_map(np.log10(values)), vmin=-7, vmax=-1, **PLANE)
    axis.set(title=name, xlabel="a (green to red)", ylabel="b (blue to yellow)")
    axis.grid(False)
figure.colorbar(image, ax=axes[0].tolist(), label="log10 of the probability")
show(
    figure,
    "Two heat maps of the bins: brightest at gray in the middle, darker toward the rim. The one of "
    "sixteen scenes has separate spots, the one of Tiny ImageNet is one smooth hill.",
)

# %% [markdown]
# Both maps are logarithmic: each unit of the colour bar is a factor of ten. With sixteen photographs
# you can still tell single ones: the spot at the upper left is leaves, the one at the upper right is
# orange flowers. With a hundred thousand pictures they melt into one hill, and its top is gray.

# %%
prior = ab_prior()
grayish = (np.abs(bins) <= 10).all(axis=1)
print(f"grayish: {grayish.sum()} of 313 bins hold {prior[grayish].sum():.0%} of all pixels")

# %% [markdown]
# ## 5. Rebalancing: let rare colours count
#
# A network that says "gray, probably" is right most of the time, and learns that quickly. So the
# loss of each pixel is multiplied by a **weight** that grows with the rarity of its true colour:
#
# $$ w \propto \frac{1}{(1-\lambda)\,p + \lambda / Q}, \qquad \sum_q p_q w_q = 1. $$
#
# $p$ is the prior, $Q = 313$, and $\lambda$ mixes in the uniform distribution, so that the rarest
# colours do not count absurdly much. The second condition keeps the mean weight of a pixel at 1: the
# loss stays as large as it was, only differently shared.
#
# ### Exercise 3: the weight of a colour
#
# *Easy, 10 minutes.* One formula, two lines.


# %% tags=["exercise"]
def rarity(prior, lam=0.5):
    """Loss weight of each bin.

    prior: array (Q,), sum 1. lam: in 0..1, the share of the uniform distribution.
    Returns an array (Q,), whose mean under the prior is 1.
    """
    ### BEGIN SOLUTION
    weights = 1 / ((1 - lam) * prior + lam / len(prior))
    return weights / (prior * weights).sum()
    ### END SOLUTION


# %% tags=["check"]
check.rarity(rarity)

# %% [markdown] tags=["hint"]
# First mix, then invert, then scale. The mean under the prior is `(prior * weights).sum()`; what must
# you divide by, so that it becomes 1?

# %% [markdown]
# What does $\lambda$ do? We sort the bins from common to rare and draw their weights.

# %%
from course_lib.bins import rebalancing_weights

order = np.argsort(-prior)
lams = (0, 0.1, 0.5, 1)
show_lines(
    {f"lambda = {lam}": (range(1, 314), rebalancing_weights(prior, lam)[order]) for lam in lams},
    "bins, from the most common to the rarest",
    "weight in the loss",
    "Four curves of weight over rank. For lambda 1 it is flat at 1. For smaller lambda it rises from "
    "below 1 to a plateau; for lambda 0 there is no plateau, and it rises over many powers of ten.",
    log_y=True,
)

# %%
for lam in lams:
    weights = rebalancing_weights(prior, lam)
    share = (prior * weights)[grayish].sum()
    print(
        f"lambda = {lam:3}: weights {weights.min():.2g} to {weights.max():.2g}, "
        f"grayish pixels have {share:.0%} of the loss"
    )

# %% tags=["assertion"]
shares = [(prior * rebalancing_weights(prior, lam))[grayish].sum() for lam in lams]
assert np.allclose(shares[0], 9 / 313) and np.isclose(shares[-1], prior[grayish].sum())
assert shares == sorted(shares)

# %% [markdown]
# At $\lambda = 1$ every *pixel* counts alike, and more than half of the loss is about gray. At
# $\lambda = 0$ every *colour* counts alike: the nine grayish bins get no more say than any other
# nine, and a single odd pixel can outweigh a whole sky. The paper's 0.5 is between.
#
# Its price is known too: a network that is paid for daring dares too often. What it learns is not the
# probability $p$ of a colour but something proportional to $w\,p$, so its distributions are broader
# than the world's, and gray things get colour. You will see it in sections 9 and 11.
#
# ## 6. The loss
#
# **Cross entropy** between the true code $t$ and the predicted probabilities $p$ is
# $-\sum_q t_q \log p_q$: small where the network puts much probability on bins that the code holds.
# It becomes the loss of a pixel after multiplication by the weight of its colour, and the loss of a
# batch is the mean over pixels.
#
# ### Exercise 4: find the bug
#
# *Medium, 10 minutes.* This runs, the loss falls nicely, and the pictures come out gray. The reason
# is one word. For which colour does it look up the weight, and what would *you* do in training if
# you could choose your own weight?


# %% tags=["exercise"]
def rebalanced_loss(logits, target, weights):
    """Cross entropy between predicted and true distributions, weighted by rarity.

    logits: (N, Q, H, W), unnormalized log-probabilities. target: (N, Q, H, W), soft codes.
    weights: (Q,), the loss weight of each bin.
    Returns a scalar tensor, the mean over all pixels.
    """
    cross_entropy = -(target * F.log_softmax(logits, dim=1)).sum(dim=1)
    ### BEGIN SOLUTION
    likeliest = target.argmax(dim=1)
    ### STUB
    # likeliest = logits.argmax(dim=1)
    ### END SOLUTION
    return (weights[likeliest] * cross_entropy).mean()


# %% tags=["check"]
check.rebalanced_loss(rebalanced_loss)

# %% [markdown] tags=["hint"]
# Suppose the truth is a rare red. If the network says gray, which weight does its mistake get? And
# which if it says red?

# %% [markdown]
# ## 7. The network, block by block
#
# What gives these 313 numbers for each pixel? Eight blocks of convolutions. Here is the published
# network at its full width; a picture of 256 x 256 goes through, block after block.

# %%
from course_lib.models.eccv16 import ECCV16

full = ECCV16()
blocks = dict(list(full.named_children())[:8])
with torch.inference_mode():
    features = torch.zeros(1, 1, 256, 256)
    for name, part in blocks.items():
        features = part(features)
        count = sum(p.numel() for p in part.parameters())
        print(f"{name}: {tuple(features.shape[1:])!s:15} {count:10,} parameters")
print(f"all: {sum(p.numel() for p in full.parameters()):,} parameters")

# %% tags=["assertion"]
assert sum(p.numel() for p in full.parameters()) == 32_236_011
assert len(full.state_dict()) == 82 and features.shape == (1, 313, 64, 64)

# %% [markdown]
# Channels grow while the map shrinks: from 256 to 32 in three steps, and back to 64 at the end. The
# answer has a quarter of the picture's resolution, which is enough for colour.
#
# How the map shrinks and how far the network sees is a matter of two words. A convolution's **stride**
# is by how many pixels its window moves on; stride 2 keeps every second place and halves the map.
# Its **dilation** is the distance between the pixels that the window takes in; dilation 2 covers 5 x
# 5 pixels with the nine weights of a 3 x 3 window, and keeps the size.

# %%
figure, axes = new_figure(1, 3, width=8, height=2.9)
cases = {"plain: window of 3 x 3": (1, 1), "stride 2": (2, 1), "dilation 2": (1, 2)}
for axis, (title, (stride, dilation)) in zip(axes[0], cases.items(), strict=True):
    steps, taps = np.arange(0, 9, stride), np.arange(-1, 2) * dilation
    axis.plot(*np.meshgrid(range(9), range(9)), "s", color="0.85", markersize=11)
    axis.plot(*np.meshgrid(steps, steps), "o", color=COLORS[0], markersize=4)
    axis.plot(*np.meshgrid(4 + taps, 4 + taps), "s", color=COLORS[1], markersize=11, mfc="none")
    axis.set(title=title, aspect="equal", xlim=(-1.3, 9.3))
    axis.axis("off")
show(
    figure,
    "Three grids of pixels. Blue dots, where results are computed, are on every pixel or, with stride "
    "2, on every second. The nine orange squares of a window lie two apart with dilation 2.",
)

# %% [markdown]
# Blue dots are where results are computed, orange squares what *one* of them (the one in the middle)
# takes in.
#
# The **receptive field** of a unit is the square of input pixels that can change it. It follows from
# three numbers per layer. Let *jump* be the distance, in input pixels, of neighbouring units. A layer
# with kernel size k and dilation d widens the field by (k - 1) * d * jump, and its stride multiplies
# the jump.
#
# A **transposed convolution** runs the other way round: each input unit adds to a window of outputs.
# Here the windows are 4 wide and 2 apart, so the map becomes twice as large, the jump half, and each
# output hears from two neighbours along each axis: the field grows by one jump.


# %%
def receptive_fields(parts):
    """(name of block, receptive field in pixels, jump) after each convolution."""
    field, jump, rows = 1, 1, []
    for name, part in parts.items():
        for layer in part:
            if isinstance(layer, nn.ConvTranspose2d):
                field += (layer.kernel_size[0] // layer.stride[0] - 1) * jump
                jump //= layer.stride[0]
            elif isinstance(layer, nn.Conv2d):
                field += (layer.kernel_size[0] - 1) * layer.dilation[0] * jump
                jump *= layer.stride[0]
        rows.append((name, field, jump))
    return rows


fields = receptive_fields(blocks)

# %%
names, sizes, jumps = zip(*fields, strict=True)
figure, axes = new_figure(width=7, height=3.2)
bars = axes[0, 0].barh(names, sizes, color=COLORS[0])
for bar in bars[4:6]:
    bar.set(facecolor=COLORS[4], hatch="//")
labels = [f"{size} px, output stride {jump}" for size, jump in zip(sizes, jumps, strict=True)]
axes[0, 0].bar_label(bars, labels, padding=4, fontsize=8)
axes[0, 0].set(xlabel="receptive field at the end of the block, in input pixels", xlim=(0, 500))
axes[0, 0].invert_yaxis()
show(
    figure,
    "Bars of receptive field by block, growing from 5 pixels after model1 to 349 after model8. The "
    "dilated blocks model5 and model6, hatched, add the most.",
)

# %% [markdown]
# The two hatched blocks are the dilated ones: they add 96 pixels each, twice as much as they would
# without dilation, at no cost. At the end of block 7 the field is 325 pixels wide: more than the
# whole picture, so that the network may decide about a pixel of sky because of a beach far below.
# As boxes around the middle of a picture of 256 pixels, from block 3 on (the first two would be too
# small to see):

# %%
figure, axes = new_figure(width=4.2, height=4.2)
axis = axes[0, 0]
axis.imshow(square(cl.to_gray(cl.load_photo("scenes/mountain-trail")), 256))
corners = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1), (-1, -1)]) / 2
for number, size in enumerate(sizes[2:7], start=3):
    axis.plot(*(128 + size * corners).T, color=COLORS[number % 2], linewidth=2)
    name, paper = f"block {number}", {"facecolor": "white", "edgecolor": "none", "pad": 1}
    axis.text(128, 132 - size / 2, name, fontsize=7, ha="center", bbox=paper)
axis.set(xlim=(-45, 301), ylim=(301, -45))
axis.axis("off")
show(
    figure,
    "A gray mountain with five nested squares, blocks 3 to 7: the last two are larger than it.",
)

# %% [markdown]
# Arithmetic can be wrong, so let us ask a network. Which input pixels have a gradient at one unit in
# the middle of block 7? (A narrow network will do: width changes the channels, not the field.)

# %%
torch.manual_seed(0)
narrow = ECCV16(width=0.1).eval()
pixels = torch.randn(1, 1, 400, 400, requires_grad=True)
trunk = nn.Sequential(*list(narrow.children())[:7])
trunk(pixels)[0, :, 25, 25].sum().backward()
touched = pixels.grad[0, 0].abs().amax(dim=0).nonzero()
print("columns with a gradient:", (touched.max() - touched.min() + 1).item())

# %% tags=["assertion"]
assert touched.max() - touched.min() + 1 == sizes[6] == 325
assert dict(zip(names, jumps, strict=True)) == {
    "model1": 2, "model2": 4, "model3": 8, "model4": 8, "model5": 8, "model6": 8, "model7": 8,
    "model8": 4,
}  # fmt: skip

# %% [markdown]
# A few parts are worth a closer look.

# %%
print(full.model2)
print(full.model8[0])
print(full.model8[-1])
print(full.model_out)

# %% [markdown]
# - Each of the first seven blocks ends with **batch normalization**: every channel is shifted and
#   scaled to mean 0 and variance 1 over the batch, then by two learned numbers. It keeps numbers in
#   range while all layers change at once. Here it stands once a block, *after* the ReLU; newer
#   networks put one after every convolution and before the ReLU. In use it works with averages that
#   it collected in training: forget `net.eval()`, and each picture's colours depend on the batch.
# - The **1 x 1 convolution** at the end of block 8 looks at one place only. It is a small classifier,
#   the same everywhere, that turns 256 features into 313 logits.
# - `model_out`, 1 x 1 and without bias, takes the mean of the bins under the distribution. It needs no
#   training: its weights *are* the bins, divided by 110.

# %% tags=["assertion"]
assert torch.allclose(full.model_out.weight[..., 0, 0] * 110, centres.T, atol=1e-4)
for part in list(blocks.values())[:7]:
    assert isinstance(part[-1], nn.BatchNorm2d) and isinstance(part[-2], nn.ReLU)
del full, blocks

# %% [markdown]
# ## 8. From a distribution to one colour
#
# Back to the balloon, red or blue. The *mean* of the distribution is dull, as section 1 showed. The
# *mode*, its highest peak, is bold, but it jumps: where two colours are nearly equal, neighbouring
# pixels choose differently, and patches appear. The paper goes between. Divide the logits by a
# **temperature** $T$ below 1, and peaks grow at the cost of the rest; then take the mean. This is
# called the **annealed mean**:
#
# $$ f_T(z)_q = \frac{\exp(z_q / T)}{\sum_j \exp(z_j / T)}. $$
#
# T = 1 is the mean; toward 0 it becomes the mode; the paper's choice is 0.38.
#
# ### Exercise 5: the annealed mean
#
# *Medium, 10 minutes.* Write it.


# %% tags=["exercise"]
def annealed(logits, bins, temperature=0.38):
    """Annealed mean of the distribution over bins.

    logits: (N, Q, H, W), unnormalized log-probabilities. bins: tensor (Q, 2), Lab units.
    Returns a tensor (N, 2, H, W), Lab units.
    """
    ### BEGIN SOLUTION
    probability = F.softmax(logits / temperature, dim=1)
    return torch.einsum("nqhw,qc->nchw", probability, bins)
    ### END SOLUTION


# %% tags=["check"]
check.annealed(annealed)

# %% [markdown] tags=["hint"]
# Which axis holds the bins? The softmax must add up to 1 along it. For the mean,
# `torch.einsum("nqhw,qc->nchw", ...)` multiplies and sums over q.

# %% [markdown]
# Now with a trained network, the one that the course ships. One photograph, six temperatures:

# %%
bowl = cl.to_gray(cl.load_photo("scenes/fig"))
temperatures = (0.05, 0.14, 0.38, 0.7, 1, 3)
results = [cl.colorize(bowl, cl.eccv16(temperature=t)) for t in temperatures]
show_pictures(
    results,
    [f"T = {t}" for t in temperatures],
    "A bowl on concrete at six temperatures. At the lowest it is bright red with a dark gray patch, "
    "on concrete with blue, ochre, orange and green patches; at the highest the bowl is a dull mauve "
    "and the concrete a pinkish brown.",
    columns=3,
)

# %% tags=["nbval-ignore-output"]
spread = [np.hypot(*cl.rgb_to_lab(rgb)[..., 1:].std(axis=(0, 1))) for rgb in results]
for temperature, value in zip(temperatures, spread, strict=True):
    print(f"T = {temperature:4}: colours spread by {value:.0f} Lab units")

# %% tags=["assertion"]
assert spread == sorted(spread, reverse=True)
assert spread[0] > 1.5 * spread[4] and spread[0] > 2 * spread[5]
coldest, cold, hottest = (cl.rgb_to_lab(results[i])[..., 1:] for i in (0, 2, 5))
true_fig = cl.rgb_to_lab(cl.load_photo("scenes/fig"))[..., 1:]
corner, lower_left = np.s_[20:90, 640:750], np.s_[380:500, 60:180]
assert all(np.hypot(*true_fig[part].mean((0, 1))) < 8 for part in (corner, lower_left))
assert coldest[corner][..., 1].mean() < -12 and coldest[lower_left][..., 1].mean() > 15
in_light, in_shade = np.s_[110:170, 330:520], np.s_[330:400, 620:700]
greenish, orange = np.s_[440:480, 20:80], np.s_[440:490, 110:150]
assert all(np.hypot(*true_fig[part].mean((0, 1))) < 8 for part in (greenish, orange))
assert coldest[greenish][..., 0].mean() < -8 and coldest[orange][..., 0].mean() > 20
assert coldest[in_light][..., 0].mean() > 40
assert np.hypot(*coldest[in_shade].mean((0, 1))) < 8 < cold[in_shade][..., 0].mean()
assert (hottest.mean((0, 1)) > 3).all()

# %% [markdown]
# The number says how far the colours of one picture are spread in the ab plane: their standard
# deviation. It falls as T rises, because means of more and more colours are more and more alike; in
# the end they are the mean of all 313, one brownish pink everywhere, and T = 3 is on the way there.
#
# At low temperature look for places where one colour meets another along a line at which the
# photograph has no edge: there the choice jumps. The concrete is one material, and gray in truth; at
# T = 0.05 it has a blue corner at the upper right and an ochre one at the lower left, with a green
# spot and an orange one in it. The red of the bowl breaks off into dark gray within its own shadow.
# At T = 0.38 the patches are still there, but they run into one another, and the shaded part of the
# bowl is a dark violet, a mean of colours that all had a share.
#
# ### Where did the temperature go?
#
# Another public question. The paper says T = 0.38, but the published PyTorch code has no temperature
# in it: logits, softmax, mean. Is it missing? You cannot tell from the code alone, since a
# temperature can hide in the weights. The logits come from the last convolution, $z = Wx + c$, and
# $z / T = (W/T)\,x + c/T$ is a convolution too. Let us hide ours.

# %%
net = cl.eccv16()
hidden = cl.eccv16(temperature=1.0)
with torch.no_grad():
    hidden.model8[-1].weight /= net.temperature
    hidden.model8[-1].bias /= net.temperature
    small = torch.from_numpy(cl.rgb_to_lab(square(bowl, 128))[..., 0])[None, None]
    difference = (hidden(small) - net(small)).abs().max().item()
print(f"the course's network uses T = {net.temperature}")
print(f"hidden in the weights: {difference:.1f} Lab units of difference")

# %% tags=["assertion"]
assert difference < 0.05 and 0 < net.temperature < 1

# %% [markdown]
# So the rule is: **use weights with the temperature that they came with, and never apply it twice.**
# Dividing by 0.38 twice is T = 0.14, the second picture above. In this library the
# file of weights says its temperature, and for the published weights it stays 1.
#
# ## 9. What does it believe at this pixel?
#
# A network that answers with a distribution can be asked how sure it is. A measure is the
# **entropy** of the distribution, $-\sum p \log p$; its exponential reads like a number of colours:
# 1 if the network is certain, 313 if it has no idea.

# %%
from course_lib.inference import prepare

trail = cl.to_gray(cl.load_photo("scenes/mountain-trail"))
with torch.inference_mode():
    logits = net.logits(prepare(trail, net.input_size))
belief = F.softmax(logits, dim=1)[0]
colours_in_play = torch.special.entr(belief).sum(dim=0).exp()
show_pictures(
    [trail, (colours_in_play / colours_in_play.max()).numpy(), cl.colorize(trail, net)],
    ["the photograph", "white: not sure", "its colours"],
    "The mountain in gray; a coarse map of the network's doubt, dark in the sky and light on the "
    "rocks and most of the slope; and the picture in colour, its sky blue, its slope olive.",
)

# %% [markdown]
# The map of doubt has the network's own resolution, a quarter of its small input. Where it is white,
# many colours share the probability. It is dark in the sky and on the big cloud, and light on the
# rocks and on most of the slope: a sky can hardly be anything but blue or white, a slope may be
# grass in any season, or earth.
#
# Now single pixels. Each map below is the ab plane of the bins; bright is likely. We take a pixel in
# the sky, one on the slope, and the one where the network has most doubt. The cross is the true
# colour, the ring the annealed mean. **In JupyterLab, change `row` and `column` of the first two and
# run the two cells again.**


# %%
def at(row, column):
    """Place in the network's map of a place in the photograph, in pixels."""
    scale = belief.shape[1] / trail.shape[0], belief.shape[2] / trail.shape[1]
    return int(row * scale[0]), int(column * scale[1])


most_doubt = np.unravel_index(colours_in_play.argmax().item(), colours_in_play.shape)
places = {
    "sky": at(row=60, column=620),
    "slope": at(row=450, column=500),
    "most doubt": tuple(int(i) for i in most_doubt),
}
true_ab = torch.from_numpy(cl.rgb_to_lab(cl.load_photo("scenes/mountain-trail"))[..., 1:])
true_ab = F.adaptive_avg_pool2d(true_ab.permute(2, 0, 1), belief.shape[1:])
chosen_ab = annealed_mean(logits, net.temperature)[0]

# %%
figure, axes = new_figure(1, 3, width=8, height=3.2)
for axis, (name, place) in zip(axes[0], places.items(), strict=True):
    here = np.s_[:, place[0], place[1]]
    axis.imshow(bin_map(belief[here].sqrt()), **PLANE)
    for color, mew in (("black", 4), ("white", 2)):
        axis.plot(*true_ab[here], "x", color=color, markersize=8, mew=mew)
    axis.plot(*chosen_ab[here], "o", color=COLORS[1], markersize=9, mfc="none", mew=2)
    axis.set(title=f"{name}\nlike {colours_in_play[place]:.0f} colours", xlabel="a", ylabel="b")
    axis.grid(False)
show(
    figure,
    "Three heat maps of the bins: sky, a spot in the blue, with cross and ring on it; slope, a spot "
    "between green and yellow with a faint tail; most doubt, a broad cloud around gray.",
)

# %% [markdown]
# (The maps show the root of the probability, so that small peaks can be seen.) In the sky there is
# one compact spot, in the blue: the network is sure of the hue, and it is right, for the ring and the
# cross almost meet. On the slope the spot is larger, between green and yellow, with a tail through
# gray into the blue. Its annealed mean, an olive, is close to the truth. The place of most doubt is at
# the right edge, where rock, snow and slope meet. The probability is a cloud: most of it around gray
# and in the yellow, some in the green, some in the red, some in the blue. That is a distribution of
# many answers, as for the balloon. In truth the place is gray, and the ring is not far from it: the
# mean of answers on all sides is near the middle, whether the network believes in gray or not.
#
# All three have wide, faint surroundings, even the sky's: the broad distributions that section 5
# promised. If you find a ring in a place that is itself dark, the annealed mean made a compromise
# that the network does not believe in; that happens between two spots.

# %% tags=["assertion"]
doubtful = places["most doubt"]
assert colours_in_play[doubtful] == colours_in_play.max()
parts = (np.s_[:3], np.s_[5:8, 6:10], np.s_[6:14, 16:30], np.s_[15:, 8:])
in_sky, on_cloud, on_rock, on_slope = (colours_in_play[part].median() for part in parts)
assert max(in_sky, on_cloud) < 0.6 * min(on_rock, on_slope)
pixels = {"sky": at(60, 620), "slope": at(450, 500), "doubt": doubtful}
cases = {name: np.s_[:, row, column] for name, (row, column) in pixels.items()}
blue_share = {k: belief[i][bins[:, 1] < -10].sum() for k, i in cases.items()}
yellow_share = {k: belief[i][bins[:, 1] > 10].sum() for k, i in cases.items()}
miss = {k: (chosen_ab[i] - true_ab[i]).norm() for k, i in cases.items()}
assert blue_share["sky"] > 0.65 and yellow_share["sky"] < 0.2 and miss["sky"] < 12
assert blue_share["slope"] < 0.25 and yellow_share["slope"] > 0.4 and miss["slope"] < 15
assert belief[cases["slope"]][bins[:, 0] < -5].sum() > 0.2
assert blue_share["slope"] > 0.01 and bins[belief[cases["slope"]].argmax()][1] > 10
cloud = belief[cases["doubt"]]
assert doubtful[1] > 28 and 11 < doubtful[0] < 18
assert cloud[(abs(bins) <= 10).all(axis=1)].sum() > 0.25 and yellow_share["doubt"] > 0.3
sides = blue_share["doubt"], cloud[bins[:, 0] < -5].sum(), cloud[bins[:, 0] > 5].sum()
assert min(sides) > 0.08
assert true_ab[cases["doubt"]].norm() < 6 and chosen_ab[cases["doubt"]].norm() < 15

# %% [markdown]
# ## 10. Train a tiny one
#
# Now we train ECCV16 at a tenth of its width, so that two processor cores can do it in half a
# minute. It sees squares of 32 pixels, cut from six photographs that were made very small. `encode_lab`
# packs Lab into three bytes a pixel; that is the form in which the course's training takes pictures.

# %%
from course_lib.data.arrays import encode_lab

known_names = ("bridge", "grass", "mountain-sunset", "red-marigold", "wooden-jetty", "leaf-veins")
new_names = ("kite", "raindrops", "summer-night", "forest-stream")


def crops(names, step):
    """Squares of 32 x 32 pixels from photographs of 40 x 40: (N, 3, 32, 32) uint8."""
    small = [square(cl.load_photo(f"scenes/{name}"), 40) for name in names]
    codes = np.stack([encode_lab(cl.rgb_to_lab(rgb)) for rgb in small]).transpose(0, 3, 1, 2)
    shifts = [(r, c) for r in range(0, 9, step) for c in range(0, 9, step)]
    return np.concatenate([codes[..., r : r + 32, c : c + 32] for r, c in shifts])


pictures, held_out = crops(known_names, step=2), crops(new_names, step=4)
print("to learn from:", pictures.shape, "   held out:", held_out.shape)

# %% [markdown]
# A **recipe** holds what is trained and how: the network, the data, and the loss of section 6 with a
# prior counted on these very pictures. At the heart of `fit`, the
# course's training loop, is what `train_toy` did in section 1: a batch, a loss, a step.

# %% tags=["nbval-ignore-output"]
from course_lib.training.classification import Classification, ClassificationSettings
from course_lib.training.loop import fit
from course_lib.training.optim import initialize

torch.manual_seed(0)
tiny = ECCV16(width=0.1, temperature=0.38)
initialize(tiny)
untrained = deepcopy(tiny).eval()
settings = ClassificationSettings(
    steps=300, batch_size=32, rate=3e-3, warmup=20, average=0.98, precision="float32"
)
recipe = Classification(tiny, pictures, held_out, settings)
history = fit(recipe, steps=300, record_every=10, progress=False)
learned = recipe.average.network
print(f"{history.rows[-1]['seconds']:.0f} seconds")

# %%
show_lines(
    {"rebalanced cross entropy": history.column("loss")},
    "step",
    "loss in nats per pixel",
    "The training loss over 300 steps: it falls steeply at first, then slowly, with some noise.",
)

# %% [markdown]
# A falling curve says that something was learned, not what. Look at pictures: three photographs that
# it was trained on, and two that it never saw.

# %% tags=["assertion"]
losses = history.column("loss")[1]
assert losses[-1] < 0.6 * losses[0]

# %%
rows, kinds = [], ["known"] * 3 + ["new"] * 2
for name in ("bridge", "red-marigold", "leaf-veins", "kite", "raindrops"):
    truth = square(cl.load_photo(f"scenes/{name}"), 256)
    rows.append([cl.colorize(truth, n, size=32) for n in (untrained, learned)] + [truth])
show_pictures(
    [row[i] for i in range(3) for row in rows],
    [f"{kind}, {when}" for when in ("before", "after", "truth") for kind in kinds],
    "Five photographs as the tiny network colours them before and after training, and in truth. The "
    "three that it knows come out nearly right; the two new ones get colours learned elsewhere.",
    columns=5,
)

# %% [markdown]
# Before training all is one brownish pink; section 12 says why. After it the known three have their
# colours; compare them with the truth below. Now the new ones. If the leaf comes out green, ask
# yourself why: green leaves are a third of all that this network has ever seen. The dark sky is the
# harder test. In numbers:


# %% tags=["nbval-ignore-output"]
def ab_error(network, names):
    """Mean distance from the true colour, of a network's pictures or, with None, of gray."""
    errors = []
    for name in names:
        truth = square(cl.load_photo(f"scenes/{name}"), 128)
        out = cl.colorize(truth, network, size=32) if network else cl.to_gray(truth)
        ab = cl.rgb_to_lab(out)[..., 1:] - cl.rgb_to_lab(truth)[..., 1:]
        errors.append(np.hypot(*ab.transpose(2, 0, 1)).mean())
    return np.mean(errors)


for kind, names_of in {"known": known_names, "new": new_names}.items():
    error, gray_error = ab_error(learned, names_of), ab_error(None, names_of)
    print(f"{kind:6} photographs: off by {error:.0f}, gray would be off by {gray_error:.0f}")

# %% tags=["assertion"]
assert ab_error(learned, known_names) < 0.7 * ab_error(None, known_names)
assert ab_error(learned, new_names) > 1.5 * ab_error(learned, known_names)

# %% [markdown]
# This is learning by heart. On what it knows the network is far better than gray; on new photographs
# it is several times as far off. Nothing is wrong with the method; six photographs are no world. The
# course's own network saw many thousands, the published one more than a million. Always measure on
# photographs that were held out; the loss curve alone would have fooled you.
#
# ## 11. What its mistakes have in common
#
# Back to the network that the course ships, on test photographs.

# %%
net = cl.eccv16()
names = ["scenes/ladybird", "scenes/fig", "scenes/fallen-leaf"]
rows = [(cl.to_gray(t), cl.colorize(t, net), t) for t in map(cl.load_photo, names)]
show_pictures(
    [picture for row in rows for picture in row],
    ["gray", "ECCV16", "truth"] * 3,
    "A ladybird, half a fig in a bowl and maple leaves, in gray, from the network and in truth. The "
    "network paints the green meadow reddish brown and the ladybird with it, the red bowl half red "
    "and half violet on patchy concrete, and the orange and red leaves in a pale brown.",
    columns=3,
)

# %% [markdown]
# The kinds of mistakes are the same with every network of this sort:
#
# - **What can have any colour gets some colour.** Bowls, cars, clothes: nothing in gray tells. It is
#   the balloon again, and no training will cure it. Lesson 04 lets a person say it.
# - **The small is overruled by the large.** A ladybird is a few cells of the network's coarse map.
#   This one has the very colour of the meadow around it.
# - **What is seen from close by is taken for something else.** A lawn below a sky, or the slope of
#   section 9, gets its olive or green. The meadow behind the ladybird is out of focus and has no sky
#   above it; it came out reddish brown.
# - **Patches.** Every place chooses for itself. Nothing in the loss says that one thing has one
#   colour. So the concrete is blue in one corner and ochre in another, and the bowl is red in the
#   light and violet in the shade.
# - **Colour where gray would be right.** The concrete again. That is the price of rebalancing. From
#   this network a share of it was taken back after training (`soften_rebalancing` in the library);
#   some is left.
# - **Vivid colours are muted or missed.** The red of the bowl is paler than in truth, and the red
#   leaf at the left of the last picture is not red at all. Even with weights such a colour is rare,
#   and many things that are red could be something else.
#
# Three of these can be measured on all test scenes: colour on gray, green that is missed, and red.

# %% tags=["nbval-ignore-output"]
truths = [square(photo.load(), 128) for photo in cl.photos(split="test", kind="scene")]
true_lab = np.stack([cl.rgb_to_lab(rgb) for rgb in truths])
out_lab = np.stack([cl.rgb_to_lab(cl.colorize(rgb, net)) for rgb in truths])
chroma, out_chroma = (np.hypot(lab[..., 1], lab[..., 2]) for lab in (true_lab, out_lab))
nearly_gray, green = chroma < 5, true_lab[..., 1] < -15
vivid_red = (true_lab[..., 1] > 40) & (true_lab[..., 2] > 20)
before, after = chroma[nearly_gray].mean(), out_chroma[nearly_gray].mean()
print(f"nearly gray pixels: chroma {before:.0f} in truth, {after:.0f} from the network")
for name, pixels in {"green": green, "vivid red": vivid_red}.items():
    before, after = (lab[..., 1][pixels].mean() for lab in (true_lab, out_lab))
    print(f"{name} pixels: a = {before:.0f} in truth, {after:.0f} from the network")

# %% tags=["assertion"]
assert out_chroma[nearly_gray].mean() > 2.5 * chroma[nearly_gray].mean()
assert out_lab[..., 1][green].mean() > 5
assert 0.3 < out_lab[..., 1][vivid_red].mean() / true_lab[..., 1][vivid_red].mean() < 0.7
lady, fig, leaf = ([cl.rgb_to_lab(rgb)[..., 1:] for rgb in row[1:]] for row in rows)
shell, meadow = (lady[1] > [35, 20]).all(axis=-1), lady[1][..., 0] < -15
rows_of, columns_of = (int(np.median(where)) for where in shell.nonzero())
around = np.s_[rows_of - 80 : rows_of + 80, columns_of - 80 : columns_of + 80]
assert np.hypot(*(lady[0][shell].mean(0) - lady[0][around].mean((0, 1)))) < 10
assert (lady[0][meadow].mean(0) > 15).all() and meadow.mean() > 0.5
assert fig[0][corner][..., 1].mean() < -10 and fig[0][lower_left][..., 1].mean() > 15
assert fig[0][in_light].mean((0, 1)).min() > 20
assert fig[0][in_shade][..., 1].mean() < 5 < fig[0][in_shade][..., 0].mean()
assert fig[0][in_light][..., 0].mean() < 0.8 * fig[1][in_light][..., 0].mean()
red_leaf = (leaf[1] > [50, 30]).all(axis=-1)
assert leaf[0][red_leaf][..., 0].mean() < 0.4 * leaf[1][red_leaf][..., 0].mean()
scene_names = [photo.name for photo in cl.photos(split="test", kind="scene")]
green_a = {
    name: (out_lab[i, ..., 1][green[i]].mean(), green[i].sum() / green.sum())
    for i, name in enumerate(scene_names)
    if green[i].any()
}
largest = sorted(green_a, key=lambda name: green_a[name][1])[-3:]
lawn, forest, ladybird = (
    green_a[f"scenes/{name}"] for name in ("autumn-mountain", "forest-path", "ladybird")
)
assert sorted(largest) == ["scenes/autumn-mountain", "scenes/forest-path", "scenes/ladybird"]
assert lawn[0] < -4 and min(forest[0], ladybird[0]) > 4 and forest[1] + ladybird[1] > 0.6

# %% [markdown]
# On nearly gray pixels the network is several times as colourful as the truth. On vivid red ones it
# is on the side of red, at about half of its strength. And the green pixels are, on average, on the
# *wrong* side of gray: most of them belong to the ladybird's meadow and to a path through a dark
# forest, which comes out reddish too. The lawn below the autumn mountain, the third large green area
# of the test scenes, does turn green, if paler than it is. Ten scenes are few, and these numbers say
# nothing finer than that.
#
# Lesson 05 has a gallery of failures, with what each of them is due to.
#
# ## 12. Why is everything brown, or one hue?
#
# This is the most frequent question of all about networks that people train themselves. Several
# illnesses look alike from far. Here are four flat colours that a network gives when it does not look
# at the picture at all.


# %%
def flat(ab):
    """A small picture of one colour at lightness 60."""
    return cl.lab_to_rgb(np.full((40, 80, 3), [60, *ab], np.float32))


squared_error = prior @ bins
balanced = rebalancing_weights(prior) * prior
balanced_mean = balanced @ bins / balanced.sum()
uniform_mean = bins.mean(axis=0)
show_pictures(
    [flat(bins[prior.argmax()]), flat(squared_error), flat(balanced_mean), flat(uniform_mean)],
    ["mode of the prior", "mean of the prior", "mean, rebalanced", "mean of all bins"],
    "Four flat colours: gray, brownish gray, a little more brown, and brownish pink.",
)

# %% [markdown]
# From left to right: what a classifier says that only ever takes the likeliest colour: gray. What
# squared error gives: the mean colour of the world, a brownish gray, because red, green, yellow and
# blue average to it. The mean of a *rebalanced* classifier that has learned nothing but the prior.
# And the mean of all bins alike, which is what an **untrained** network gives. Another way not to see
# the picture is to be fed with it in the wrong scale.


# %%
class WrongScale(nn.Module):
    """The trained network, fed with L in 0..1 where it expects 0..100."""

    def __init__(self):
        super().__init__()
        self.net, self.input_size = net, net.input_size

    def forward(self, L):
        return self.net(L / 100)


# %%
torch.manual_seed(0)
no_weights = cl.eccv16(weights=None, width=0.375).eval()
wrong_scale = WrongScale().eval()
two = [trail, cl.to_gray(cl.load_photo("scenes/fallen-leaf"))]
sick = [cl.colorize(rgb, network) for rgb in two for network in (net, no_weights, wrong_scale)]
show_pictures(
    sick,
    ["as it should run", "weights not loaded", "L in 0..1"] * 2,
    "A mountain and fallen leaves: each in colours of its own from the trained network; both in one "
    "brownish pink from an untrained one; both almost gray when the input is too small.",
    columns=3,
)

# %% [markdown]
# In the middle: the last of the four flat colours, whatever the photograph. On the right: an L of 0
# to 1 is black everywhere to this network, and every photograph gets the same answer, that to black.
# From these weights it is almost gray; other weights may answer with a hue. The sign of this illness
# is not the colour but that it is the same for every photograph.

# %% tags=["assertion"]
means = np.array([cl.rgb_to_lab(rgb)[..., 1:].mean(axis=(0, 1)) for rgb in sick]).reshape(2, 3, 2)
apart = np.hypot(*(means[0] - means[1]).T)
assert np.abs(means[:, 1] - uniform_mean).max() < 4
assert apart[1] < 0.3 * apart[0] and apart[2] < 0.3 * apart[0]
assert np.hypot(*means[:, 2].T).max() < 4

# %% [markdown]
# | what you see | what to look at first |
# |---|---|
# | one hue, the same in every picture | were the weights loaded at all? `strict=False` hides that they were not |
# | one hue, or none, but another network is fine | the input's scale: 0..1, 0..255 or 0..100? (L - 50)/100, or L/50 - 1? `net.eval()`? |
# | brown and gray, yet skies are a little blue | a mean: squared error, or T = 1. Anneal, or classify |
# | gray, and the loss is low | no rebalancing, or the weight of the wrong bin (exercise 4) |
# | right shapes, impossible colours | a and b exchanged, or ab / 110 taken for ab |
# | right on training pictures only | too few pictures (section 10) |
#
# ## Summary
#
# - Squared error learns the mean of what is possible, and the mean of colours is dull. A
#   distribution over 313 bins keeps all the possibilities, with their shares.
# - Soft encoding loses a quarter of a Lab unit, hard binning almost four.
# - The prior is counted, smoothed and normalized; rebalancing divides by it, half mixed with the
#   uniform distribution, at the **true** bin.
# - Stride halves the map, dilation widens the view: 325 pixels at the end of block 7.
# - The annealed mean is between mean and mode. Know whether your weights hold the temperature
#   already.
# - A loss that falls is no proof. Look at held-out photographs.
#
# ## Further reading
#
# - R. Zhang, P. Isola, A. A. Efros, "Colorful Image Colorization", ECCV 2016, arXiv:1603.08511.
#   Sections 2.1 to 2.3 are this lesson's sections 2 to 8.
# - G. Larsson, M. Maire, G. Shakhnarovich, "Learning Representations for Automatic Colorization",
#   ECCV 2016, arXiv:1603.06668. The same idea in the same year, with histograms.
# - A. K. Menon et al., "Long-tail learning via logit adjustment", ICLR 2021, arXiv:2007.07314: how
#   to take back part of a rebalancing after training.
# - F. Yu, V. Koltun, "Multi-Scale Context Aggregation by Dilated Convolutions", ICLR 2016,
#   arXiv:1511.07122.
# - S. Ioffe, C. Szegedy, "Batch Normalization: Accelerating Deep Network Training by Reducing
#   Internal Covariate Shift", ICML 2015, arXiv:1502.03167.
# - G. Hinton, O. Vinyals, J. Dean, "Distilling the Knowledge in a Neural Network", 2015,
#   arXiv:1503.02531, on the temperature of a softmax.
