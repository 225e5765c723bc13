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
# - train the network with the parts that you wrote, before your eyes, and put it beside a wider one
#   that learned for hours from many thousands of photographs.
#
# **You will learn**
#
# - why squared error makes pictures dull, and what a distribution is good for;
# - how the prior is made, and where the temperature went in the published PyTorch code;
# - what stride, dilation, batch normalization and a 1 x 1 convolution do;
# - why "everything is brown" and "everything has one hue" are different illnesses.
#
# **You need** lesson 01 for convolution, loss, gradient and the training loop, and lesson 02 for Lab,
# with lightness *L* and colour *a*, *b*.
#
# **Time** about 95 minutes: 40 of reading, 55 of exercises. The computer needs about two.
#
# **In a hurry** run every cell, but read only 1, 3, 8, 9 and 10; do exercises 1, 5 and 6.

# %%
import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

import course_lib as cl
from course_lib import expected_ab, nearest_bins
from course_lib.checks import lesson_03 as check
from course_lib.plotting import COLORS, ab_plane, new_figure, show, show_lines, show_pictures

bins = cl.ab_bins()
centres = torch.from_numpy(bins)

# %% [markdown]
# ## Two questions first
#
# Answer aloud or on paper, then unfold.
#
# Lesson 01: a network is trained with squared error on pixels that may be sky or leaf, and nothing in
# gray tells which. What does it answer?
#
# <details>
# <summary>Answer</summary>
#
# The mean of both: a dull colour that neither of them ever has.
#
# </details>
#
# Lesson 01: what are the five lines of a training step, and in which order?
#
# <details>
# <summary>Answer</summary>
#
# Forget the old gradients, guess, compare (the loss), work out the gradients (`backward`), move the
# weights (`step`).
#
# </details>
#
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
# fixed colours called **bins**. Its outputs are called **logits**, numbers of any size; the **softmax**
# makes probabilities of them, $p_i = e^{z_i} / \sum_j e^{z_j}$, all above 0 and with the sum 1. It is
# punished by the **cross entropy**, minus the logarithm of the true bin's probability, which grows as
# that probability falls. Everything else is the same, and so is the loop, that of lesson 01:


# %%
def one_pass(forward, batches, loss_of, optimizer):
    """One step for each batch; the mean of their losses."""
    losses = []
    for question, answer in batches:
        optimizer.zero_grad()  # 1. forget the old gradients
        loss = loss_of(forward(question), answer)  # 2. guess, and compare
        loss.backward()  # 3. work out the gradients
        optimizer.step()  # 4. move the weights
        losses.append(loss.item())  # 5. note the loss
    return np.mean(losses)


# %%
def train_toy(outputs, loss_of, steps=200):
    """Train two layers on fresh batches of discs."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, outputs, 1))
    optimizer = torch.optim.Adam(network.parameters(), 0.02)
    generator = torch.Generator().manual_seed(0)
    discs = (toy_batch(generator) for _ in range(steps))
    one_pass(lambda L: network((L - 50) / 100), discs, loss_of, optimizer)
    return network.requires_grad_(False)


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
# *Medium, 10 minutes.* Write it for a whole batch. The distances from every pixel to every bin are
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
# From here on the lesson goes on with your encoding, once it is [ok], and with the library's until then.
#
# How much is lost by encoding a colour and taking the mean of the code? We try 20,000 random colours
# of sRGB. k = 1 is the nearest bin alone, **hard binning**; 5 is what the paper reports, 10 what its
# published code uses.

# %%
code_of = check.encode.choose(
    encode, lambda ab, bins, k=10, sigma=5.0: cl.soft_encode(ab, k, sigma)
)
random_rgb = np.random.default_rng(0).random((100, 200, 3), dtype=np.float32)
random_rgb = np.round(random_rgb * 255).astype(np.uint8)
colours = torch.from_numpy(cl.rgb_to_lab(random_rgb)[..., 1:]).permute(2, 0, 1)[None]
for k in (1, 5, 10):
    error = (expected_ab(code_of(colours, centres, k)) - colours).norm(dim=1)
    print(f"k = {k:2}: lost {error.mean():.1f} Lab units on average, {error.max():.1f} at most")

# %% tags=["assertion"]
lost = [(expected_ab(cl.soft_encode(colours, k)) - colours).norm(dim=1) for k in (1, 5, 10)]
assert 3.6 < lost[0].mean() < 4 and 6.8 < lost[0].max() <= 7.08
assert lost[1].mean() < 0.3 and lost[2].mean() < 0.3
assert lost[2].max() < lost[1].max() < 1

# %% [markdown]
# About two Lab units are just visible between two patches side by side. So soft encoding is free, and
# hard binning is not, as an evening sky shows:

# %%
evening = cl.rgb_to_lab(cl.load_photo("scenes/summer-night")[::3, ::3])
evening = torch.from_numpy(evening).permute(2, 0, 1)[None]
coded = [expected_ab(code_of(evening[:, 1:], centres, k)) for k in (1, 10)]
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
from course_lib import square

scenes = [square(photo.load(), 128) for photo in cl.photos(split="train", kind="scene")]
scene_lab = torch.from_numpy(np.stack([cl.rgb_to_lab(rgb) for rgb in scenes])).permute(0, 3, 1, 2)
counts = code_of(F.avg_pool2d(scene_lab[:, 1:], 4), centres).sum(dim=(0, 2, 3)).numpy()
print(f"{len(scenes)} scenes, {counts.sum():.0f} pixels")
print(f"bins that never occur: {(counts == 0).sum()} of 313")

# %% [markdown]
# Bins that never occur would be infinitely rare, and the weights of section 5 are about to divide by the
# prior, that is by 0. That is what the third step is for.
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
prior_of = check.smooth.choose(
    smooth, lambda counts, bins, sigma=5.0: cl.smooth_prior(counts, sigma)
)
priors = {"16 scenes": prior_of(counts, bins), "Tiny ImageNet (shipped)": cl.ab_prior()}

# %%
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
prior = cl.ab_prior()
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
# *Easy, 5 minutes.* One formula, two lines.


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
weights_of = check.rarity.choose(rarity, cl.rebalancing_weights)
order = np.argsort(-prior)
lams = (0, 0.1, 0.5, 1)
show_lines(
    {f"lambda = {lam}": (range(1, 314), weights_of(prior, lam)[order]) for lam in lams},
    "bins, from the most common to the rarest",
    "weight in the loss",
    "Four curves of weight over rank. For lambda 1 it is flat at 1. For smaller lambda it rises from "
    "below 1 to a plateau; for lambda 0 there is no plateau, and it rises over many powers of ten.",
    log_y=True,
)

# %%
for lam in lams:
    weights = weights_of(prior, lam)
    share = (prior * weights)[grayish].sum()
    print(
        f"lambda = {lam:3}: weights {weights.min():.2g} to {weights.max():.2g}, "
        f"grayish pixels have {share:.0%} of the loss"
    )

# %% tags=["assertion"]
shares = [(prior * cl.rebalancing_weights(prior, lam))[grayish].sum() for lam in lams]
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
# **Cross entropy** between the true code $t$ and the predicted probabilities $p$ is $-\sum_q t_q \log
# p_q$: small where the network puts much probability on bins that the code holds. It becomes the loss of
# a pixel after multiplication by the weight of its colour, that of the likeliest bin of its true code,
# and the loss of a batch is the mean over pixels.
#
# ### Exercise 4: find the bug
#
# *Medium, 5 minutes.* This runs, the loss falls nicely, and the pictures come out gray. The reason
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
from course_lib import ECCV16

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
labels = [f"{size} px, jump {jump}" for size, jump in zip(sizes, jumps, strict=True)]
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
# *Medium, 5 minutes.* Write it.


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
# Now with a trained network, the one that the course ships, and with your mean. One photograph, six
# temperatures.


# %%
to_colour = check.annealed.choose(annealed, lambda z, bins, t=0.38: cl.annealed_mean(z, t))


def colour(rgb, network, temperature=None, size=None):
    """A photograph with a network's logits, your annealed mean, and its own lightness."""
    small_l = cl.prepare(rgb, size or network.input_size)
    with torch.inference_mode():
        logits = network.logits(small_l)
    ab = to_colour(logits, centres, temperature or network.temperature)
    ab = F.interpolate(ab, small_l.shape[-2:], mode="bilinear")
    L = cl.rgb_to_lab(rgb)[..., 0]
    return cl.lab_to_rgb(np.dstack([L, cl.upsample_ab(ab, small_l, L)]))


# %%
net = cl.eccv16().eval()
bowl = cl.load_photo("scenes/fig")
temperatures = (0.05, 0.14, 0.38, 0.7, 1, 3)
results = [colour(bowl, net, t) for t in temperatures]
show_pictures(
    results,
    [f"T = {t}" for t in temperatures],
    "A bowl on concrete at six temperatures: at the lowest in strong colours with hard borders between "
    "them, at the highest all dull, a pinkish bowl on khaki.",
    columns=3,
)

# %% [markdown]
# From left to right and from top to bottom it gets hotter: first hard patches, then softer and softer
# ones, at last dull tones that are nearly alike. A number for that is how far the colours of each
# picture spread.

# %% tags=["nbval-ignore-output"]
spread = [np.hypot(*cl.rgb_to_lab(rgb)[..., 1:].std(axis=(0, 1))) for rgb in results]
for temperature, value in zip(temperatures, spread, strict=True):
    print(f"T = {temperature:4}: colours spread by {value:.0f} Lab units")

# %% tags=["assertion"]
assert spread == sorted(spread, reverse=True)
assert spread[0] > 1.2 * spread[4] and spread[0] > 1.5 * spread[5]

# %% [markdown]
# The number says how far the colours of one picture are spread in the ab plane: their standard
# deviation. It falls as T rises, because means of more and more colours are more and more alike; in
# the end they are the mean of all 313, one brownish pink everywhere, and T = 3 is on the way there.
#
# At low temperature look for places where one colour meets another along a line at which the
# photograph has no edge: there the choice jumps. The concrete is one material, and gray in truth.
# At T = 0.38 such borders run into one another.
#
# ### Where did the temperature go?
#
# Another public question. The paper says T = 0.38, but the published PyTorch code has no temperature
# in it: logits, softmax, mean. Is it missing? You cannot tell from the code alone, since a
# temperature can hide in the weights. The logits come from the last convolution, $z = Wx + c$, and
# $z / T = (W/T)\,x + c/T$ is a convolution too. Let us hide ours.

# %%
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
trail = cl.load_photo("scenes/mountain-trail")
with torch.inference_mode():
    logits = net.logits(cl.prepare(trail, net.input_size))
belief = F.softmax(logits, dim=1)[0]
colours_in_play = torch.special.entr(belief).sum(dim=0).exp()
rows_cells, columns_cells = belief.shape[1:]


def cell(row, column):
    """Place in the network's coarse map of a place in the photograph, in pixels."""
    place = row * rows_cells / len(trail), column * columns_cells / trail.shape[1]
    return int(place[0]), int(place[1])


# %% [markdown]
# We look at three places: a pixel in the sky, one on the slope, and the one where the network has most
# doubt. They are marked on the photograph.

# %%
most_doubt = np.unravel_index(colours_in_play.argmax().item(), colours_in_play.shape)
size_of_cell = len(trail) / rows_cells, trail.shape[1] / columns_cells
places = {"A, sky": (60, 620), "B, slope": (450, 500)}
places["C, most doubt"] = tuple(
    int((i + 0.5) * s) for i, s in zip(most_doubt, size_of_cell, strict=True)
)


def mark(axis, places):
    """Crosses and letters on a photograph."""
    for name, (row, column) in places.items():
        axis.plot(column, row, "o", color="white", markersize=9, mfc="none", mew=4)
        axis.plot(column, row, "o", color=COLORS[1], markersize=9, mfc="none", mew=2)
        box = {"facecolor": "white", "edgecolor": "none", "pad": 1}
        axis.text(column - 14, row, name[0], fontsize=9, ha="right", va="center", bbox=box)


# %%
doubt = (colours_in_play / colours_in_play.max()).numpy()
panels = {
    "the photograph": cl.to_gray(trail),
    "white: not sure": doubt,
    "its colours": colour(trail, net),
}

# %%
figure, axes = new_figure(1, 3, width=9, height=2.4)
for axis, (title, picture) in zip(axes[0], panels.items(), strict=True):
    axis.imshow(picture, cmap="gray", extent=(0, trail.shape[1], len(trail), 0))
    mark(axis, places)
    axis.set(title=title)
    axis.axis("off")
show(
    figure,
    "The mountain trail three times, with the places A in the sky, B on the slope and C, where doubt "
    "is greatest, marked: in gray; as a coarse map of the network's doubt; and in its colours.",
    photographs=True,
)

# %% [markdown]
# The map of doubt has the network's own resolution, a quarter of its small input. Where it is white,
# many colours share the probability; where it is dark, few do. Compare sky and ground: a sky can
# hardly be anything but blue or white, a slope may be grass in any season, or earth.
#
# Now what it believes at the three places. Each map below is the ab plane of the bins; bright is likely,
# each map on a scale of its own. (It shows the root of the probability, so that small peaks can be
# seen.) The cross is the true colour, the ring the annealed mean.


# %%
true_ab = torch.from_numpy(cl.rgb_to_lab(trail)[..., 1:]).permute(2, 0, 1)
true_ab = F.adaptive_avg_pool2d(true_ab, (rows_cells, columns_cells))
chosen_ab = to_colour(logits, centres, net.temperature)[0]


def show_belief(axis, row, column, name=""):
    """The distribution at a pixel of the photograph, its annealed mean and the truth."""
    here = (slice(None), *cell(row, column))
    axis.imshow(bin_map(belief[here].sqrt()), **PLANE)
    for color, mew in (("black", 4), ("white", 2)):
        axis.plot(*true_ab[here], "x", color=color, markersize=8, mew=mew)
    axis.plot(*chosen_ab[here], "o", color=COLORS[1], markersize=9, mfc="none", mew=2)
    axis.set(title=f"{name}\nlike {colours_in_play[here[1:]]:.0f} colours", xlabel="a", ylabel="b")
    axis.grid(False)


# %%
figure, axes = new_figure(1, 3, width=8, height=3.2)
for axis, (name, place) in zip(axes[0], places.items(), strict=True):
    show_belief(axis, *place, name)
show(
    figure,
    "Three heat maps of the bins: in the sky a spot of likely colours; on the slope a larger one; at "
    "the place of most doubt a broad cloud. A cross marks the truth, a ring the annealed mean.",
)

# %% tags=["assertion"]
shares = {n: colours_in_play[cell(*p)].item() for n, p in places.items()}
assert max(shares, key=shares.get) == "C, most doubt"
assert shares["A, sky"] < shares["C, most doubt"]

# %% [markdown]
# Where there is one compact spot the network is sure of the hue; a cloud, or two spots, is the balloon
# again: a distribution of many answers. If you find the ring in a place that is itself dark, the
# annealed mean made a compromise that the network does not believe in; that happens between two spots.
# The two on the ground have wide, faint surroundings, the broad distributions that section 5 promised;
# of the sky the network is sure.
#
# **Choose a pixel of your own.** Where there are sliders, as in JupyterLab and on Colab, move them; the
# photograph and the map follow. Look for a place where the network is wrong: did it know better?


# %%
from course_lib.sliders import explore


def at_pixel(row, column):
    """The photograph with one place marked, and the belief there."""
    figure, axes = new_figure(1, 2, width=8, height=3.2)
    axes[0, 0].imshow(trail)
    mark(axes[0, 0], {"here": (row, column)})
    axes[0, 0].axis("off")
    show_belief(axes[0, 1], row, column, f"row {row}, column {column}")
    description = f"The photograph with row {row}, column {column} marked, and the belief there."
    show(figure, description, photographs=True)


explore(at_pixel, row=(0, len(trail) - 1, 300), column=(0, trail.shape[1] - 1, 300))

# %% [markdown]
# Here the truth is in the picture, so that you can judge. The network saw the gray one.
#
# ## 10. Train it yourself
#
# Now the parts come together: your encoding, your prior, your weights, your loss, your mean. What is
# missing is the loop. The network is ECCV16 at a tenth of its width, so that two processor cores can
# train it in half a minute. It learns from the course's 104 training photographs at 48 pixels, that is
# from scenes and from objects on white; 34 others are held out.
#
# ### Exercise 6: the last steps of the loop
#
# *Easy, 5 minutes.* Section 1 has the whole loop for discs. Here it is for photographs, with the last
# steps missing. Write them.


# %% tags=["exercise"]
def one_epoch(forward, batches, loss_of, optimizer):
    """One step for each batch; the mean of their losses.

    forward: from a batch of questions to the network's outputs. batches: pairs (question, answer).
    loss_of: from outputs and answers to a scalar tensor. optimizer: of the network's parameters.
    Returns a number.
    """
    losses = []
    for question, answer in batches:
        optimizer.zero_grad()  # 1. forget the old gradients
        loss = loss_of(forward(question), answer)  # 2. guess, and compare
        ### BEGIN SOLUTION
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        ### END SOLUTION
    return np.mean(losses)


# %% tags=["check"]
check.one_epoch(one_epoch)

# %% [markdown] tags=["hint"]
# Steps 3, 4 and 5 of `one_pass`: the gradients, the move, and a note of the loss as a plain number,
# with `.item()`.

# %% [markdown]
# The training data: L to put in, and the code of ab, at a quarter of the resolution, to get out.

# %%
from torch.utils.data import DataLoader, TensorDataset
from tqdm.auto import tqdm

from course_lib.training import initialize, rebalanced_cross_entropy

epoch_of = check.one_epoch.choose(one_epoch, one_pass)
loss_of = check.rebalanced_loss.choose(rebalanced_loss, rebalanced_cross_entropy)


def pairs(rgbs, size=48):
    """L (N, 1, size, size) and codes (N, 313, size / 4, size / 4) of photographs."""
    labs = np.stack([cl.rgb_to_lab(square(rgb, size)) for rgb in rgbs])
    x = torch.from_numpy(labs).permute(0, 3, 1, 2)
    return x[:, :1].contiguous(), code_of(F.avg_pool2d(x[:, 1:], 4), centres)


# %% [markdown]
# And the training. Every name in it that ends in `_of` is one of yours, as soon as that is [ok]. (Batch
# normalization works otherwise in training than in use: `train()` and `eval()` tell it.)


# %%
def loss_by_rarity(codes):
    """Your loss with your weights, from your prior of these codes."""
    prior = prior_of(codes.sum(dim=(0, 2, 3)).numpy(), bins)
    weights = torch.from_numpy(weights_of(prior)).float()
    return lambda logits, target: loss_of(logits, target, weights)


# %%
def train_eccv16(training, held_out, epochs, width=0.1, rate=3e-3):
    """ECCV16, trained from nothing; and its losses on both splits by epoch, (epochs, 2)."""
    network, loss = ECCV16(width=width, temperature=0.38), loss_by_rarity(training[1])
    initialize(network)
    optimizer = torch.optim.Adam(network.parameters(), rate)
    batches, losses = DataLoader(TensorDataset(*training), 26, shuffle=True), []
    for _ in tqdm(range(epochs)):
        mean = epoch_of(network.train().logits, batches, loss, optimizer)
        with torch.no_grad():
            losses.append([mean, loss(network.eval().logits(held_out[0]), held_out[1]).item()])
    return network, np.array(losses)


# %% [markdown]
# ### Exercise 7: predict, then run
#
# *Easy, 5 minutes.* 100 epochs of 4 batches: 400 steps, half a minute. What will the two losses do, that
# on the training photographs and that on the 34 that are held out?
#
# - **A** both fall, the second a little later;
# - **B** the first falls, the second soon stops falling, or rises;
# - **C** both stay where they are: half a minute is too short.

# %% tags=["exercise"]
### BEGIN SOLUTION
curves = "B"
### END SOLUTION

# %% tags=["check"]
check.curves(curves)

# %% [markdown] tags=["hint"]
# Think of the first network of lesson 01. This one has more weights, and 104 photographs.

# %% tags=["nbval-ignore-output"]
training, held_out = (
    pairs([photo.load() for photo in cl.photos(split=split)]) for split in ("train", "validation")
)
torch.manual_seed(0)
tiny, losses = train_eccv16(training, held_out, epochs=100)
print(f"training: {losses[0, 0]:.1f} to {losses[-3:, 0].mean():.1f}, at last")
print(f"held out: {losses[2:, 1].min():.1f} at best, {losses[-10:, 1].mean():.1f} at last")

# %% tags=["pictures-vary"]
epochs = np.arange(1, len(losses) + 1)
show_lines(
    {"training": (epochs, losses[:, 0]), "held out": (epochs[1:], losses[1:, 1])},
    "epochs",
    "rebalanced cross entropy, nats a pixel",
    "Two curves of loss: that of training falls, with a bump, that of the held-out photographs stops "
    "early, jumps about and ends far above the other.",
)

# %% tags=["assertion"]
assert losses[-5:, 0].mean() < 0.75 * losses[0, 0]
assert losses[-10:, 1].mean() > losses[-10:, 0].mean() + 1
assert losses[-10:, 1].mean() > 0.95 * losses[2:10, 1].min()

# %% [markdown]
# The unit is the *nat*, that of natural logarithms. The curves part, as in lesson 01, only faster: with
# many more weights a network learns 104 photographs by heart. A falling curve says that something was
# learned, not what.
#
# So look. `colour` of section 8 takes your network as it took the course's: it is the same design, the
# same kind of loss, the same mean. Yours has a tenth of the published width, sees 48 pixels, and learned
# from 104 photographs for half a minute. The course's is wider, sees 112 pixels, and learned from many
# thousands for hours. We take the three test scenes on which the course's network comes closest to the
# truth, and the three training scenes that your network learned best.


# %%
def ab_error(rgb, network):
    """Mean distance of a network's colours from the true ones, in Lab units."""
    ab = cl.rgb_to_lab(colour(rgb, network))[..., 1:] - cl.rgb_to_lab(rgb)[..., 1:]
    return np.hypot(*np.moveaxis(ab, -1, 0)).mean()


def gray_error(rgb):
    """The same of the gray picture: its mean chroma."""
    return np.hypot(*np.moveaxis(cl.rgb_to_lab(rgb)[..., 1:], -1, 0)).mean()


def closest(rgbs, network):
    """The three whose colours a network leaves the smallest part of wrong."""
    return sorted(rgbs, key=lambda rgb: ab_error(rgb, network) / gray_error(rgb))[:3]


# %%
tiny.input_size = 48
train_scenes, test_scenes = (
    [square(photo.load(), 192) for photo in cl.photos(split=split, kind="scene")]
    for split in ("train", "test")
)

# %% tags=["pictures-vary"]
known, new = closest(train_scenes, tiny), closest(test_scenes, net)
networks = {"yours": tiny, "hours later": net}
show_pictures(
    [cl.to_gray(rgb) for rgb in known + new]
    + [colour(rgb, network) for network in networks.values() for rgb in known + new]
    + known
    + new,
    [f"{w}, {k}" for w in ("gray", *networks, "truth") for k in ["learned"] * 3 + ["new"] * 3],
    "Six photographs in gray, from the small network, from the course's, and in truth. The small one "
    "has the three that it learned nearly right; on the three new ones the course's has colours that "
    "belong to things, where the small one has stains.",
    columns=6,
    width=10,
)

# %% [markdown]
# Go down the columns, from gray to the truth. In numbers, over all training and all test scenes:

# %% tags=["nbval-ignore-output"]
for kind, rgbs in {"learned": train_scenes, "new": test_scenes}.items():
    off = {name: np.mean([ab_error(rgb, n) for rgb in rgbs]) for name, n in networks.items()}
    gray_off = np.mean([gray_error(rgb) for rgb in rgbs])
    rest = ", ".join(f"{name} {value:.0f}" for name, value in off.items())
    print(f"{kind:8} scenes, off by so many Lab units: gray {gray_off:.0f}, {rest}")

# %% tags=["assertion"]
by_tiny, by_net = ([ab_error(rgb, n) for rgb in test_scenes] for n in (tiny, net))
assert np.mean([ab_error(rgb, tiny) for rgb in known]) < 0.7 * np.mean([*map(gray_error, known)])
assert np.mean(by_net) < np.mean(by_tiny)

# %% [markdown]
# On the left is what your network has learned by heart, nearly right, and better than the large one; on
# the right are photographs that neither has seen. After half a minute on its 104 photographs yours does
# not know a sky from a petal, and on new scenes it is worse than gray. The one that learned for hours
# from many thousands does, if not always. You wrote what makes the difference possible; the photographs
# make the difference. Always measure on photographs that were held out: the training curve alone would
# have fooled you.
#
# ## 11. What its mistakes have in common
#
# Back to the network that the course ships. We have seen the test scenes on which it does best. Here are
# the three on which it leaves most of the colour wrong.

# %%
farthest = sorted(test_scenes, key=lambda rgb: -ab_error(rgb, net) / gray_error(rgb))[:3]
rows = [(cl.to_gray(rgb), cl.colorize(rgb, net), rgb) for rgb in farthest]
show_pictures(
    [picture for row in rows for picture in row],
    ["gray", "ECCV16", "truth"] * 3,
    "The three test scenes that the network colours worst, in gray, from the network and in truth.",
    columns=3,
    width=6,
)

# %% [markdown]
# The kinds of mistakes are the same with every network of this sort. Which of them do you find above,
# and in the pictures of sections 8 and 10?
#
# - **What can have any colour gets some colour.** Bowls, cars, clothes: nothing in gray tells. It is
#   the balloon again, and no training will cure it. Lesson 04 lets a person say it.
# - **The small is overruled by the large.** A ladybird is a few cells of the network's coarse map.
# - **What is seen from close by is taken for something else.** A lawn below a sky gets its green. A
#   meadow out of focus, without a sky above it, may be anything.
# - **Patches.** Every place chooses for itself. Nothing in the loss says that one thing has one
#   colour.
# - **Colour where gray would be right.** That is the price of rebalancing. From this network a share
#   of it was taken back after training (`soften_rebalancing` in the library); some is left.
# - **Vivid colours are muted or missed.** Even with weights such a colour is rare, and many things
#   that are red could be something else.
#
# <details>
# <summary>Which are here</summary>
#
# The bowl: any colour, and patches. The concrete around it: colour where gray would be right. The dogs,
# the boats and the sunset: vivid colours missed. The small and the close-up are not among these three;
# lesson 05 has them.
#
# </details>
#
# Two of these can be measured on all test scenes: colour on gray, and muted red.

# %% tags=["nbval-ignore-output"]
true_lab = np.stack([cl.rgb_to_lab(rgb) for rgb in test_scenes])
out_lab = np.stack([cl.rgb_to_lab(cl.colorize(rgb, net)) for rgb in test_scenes])
chroma, out_chroma = (np.hypot(lab[..., 1], lab[..., 2]) for lab in (true_lab, out_lab))
nearly_gray, vivid_red = chroma < 5, (true_lab[..., 1] > 40) & (true_lab[..., 2] > 20)
before, after = chroma[nearly_gray].mean(), out_chroma[nearly_gray].mean()
print(f"nearly gray pixels: chroma {before:.0f} in truth, {after:.0f} from the network")
before, after = (lab[..., 1][vivid_red].mean() for lab in (true_lab, out_lab))
print(f"vivid red pixels: a = {before:.0f} in truth, {after:.0f} from the network")

# %% tags=["assertion"]
assert out_chroma[nearly_gray].mean() > 1.5 * chroma[nearly_gray].mean()
assert out_lab[..., 1][vivid_red].mean() < 0.85 * true_lab[..., 1][vivid_red].mean()

# %% [markdown]
# On nearly gray pixels the network is more colourful than the truth, and on vivid red ones less. Ten
# scenes are few, and these numbers say nothing finer than that.
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
balanced = weights_of(prior) * prior
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
    "brownish pink from an untrained one; both plain gray when L comes in 0..1.",
    columns=3,
)

# %% [markdown]
# In the middle: the last of the four flat colours, whatever the photograph. On the right: an L of 0 to 1
# is black everywhere to this network, and every photograph gets the same answer, that to black: from
# this network gray, from another perhaps a tint. The sign of this illness is not the colour but that it
# is the same for every photograph.

# %% tags=["assertion"]
means = np.array([cl.rgb_to_lab(rgb)[..., 1:].mean(axis=(0, 1)) for rgb in sick]).reshape(2, 3, 2)
apart = np.hypot(*(means[0] - means[1]).T)
assert np.abs(means[:, 1] - uniform_mean).max() < 4
assert apart[1] < 0.3 * apart[0] and apart[2] < 0.3 * apart[0]

# %% [markdown]
# | what you see | what to look at first |
# |---|---|
# | one hue, the same in every picture | were the weights loaded at all? `strict=False` hides that they were not |
# | one hue, or none, but another network is fine | the input's scale: 0..1, 0..255 or 0..100? (L - 50)/100, or L/50 - 1? `net.eval()`? |
# | brown and gray, yet skies are a little blue | a mean: squared error, or T = 1. Anneal, or classify |
# | gray, and the loss is low | no rebalancing, or the weight of the wrong bin (exercise 4) |
# | right shapes, impossible colours | a and b exchanged, or ab / 110 taken for ab |
# | right on training pictures only | too few pictures (section 10) |

# %% [markdown]
# ### Challenge: twenty colours
#
# *Open, 10 minutes.* ECCV16 chooses among 313 colours. How far does one get with twenty? Given the
# colours of training photographs, name twenty, such that the colours of photographs that nobody has seen
# lie as close as possible to the nearest of them, by the mean distance. The check measures yours on the
# ten test scenes and ranks it beside the twenty likeliest bins, and beside twenty bins that are spread
# evenly.


# %% tags=["exercise"]
def my_palette(colours):
    """Twenty colours to paint the world with.

    colours: array (N, 2), a and b of pixels of the training scenes.
    Returns an array (20, 2).
    """
    ### BEGIN SOLUTION
    rng = np.random.default_rng(0)
    palette = colours[rng.choice(len(colours), 20, replace=False)]
    for _ in range(
        30
    ):  # k-means: each pixel to its nearest colour, each colour to its pixels' mean
        nearest = ((colours[:, None] - palette) ** 2).sum(axis=-1).argmin(axis=1)
        found = [k for k in range(20) if (nearest == k).any()]
        palette[found] = [colours[nearest == k].mean(axis=0) for k in found]
    return palette
    ### END SOLUTION


# %% tags=["check"]
check.my_palette(my_palette)

# %% [markdown] tags=["hint"]
# The likeliest bins are all grayish, and so waste many colours on one place; evenly spread ones lie where
# no photograph goes. Begin with twenty pixels drawn at random. Which of your twenty could move, so
# that the pixels nearest to it are nearer?

# %% [markdown]
# ## Summary
#
# - Squared error learns the mean of what is possible, and the mean of colours is dull. A
#   distribution over 313 bins keeps all the possibilities, with their shares.
# - Soft encoding loses about a fifth of a Lab unit, hard binning almost four.
# - The prior is counted, smoothed and normalized; rebalancing divides by it, half mixed with the
#   uniform distribution, at the **true** bin.
# - Stride halves the map, dilation widens the view: 325 pixels at the end of block 7.
# - The annealed mean is between mean and mode. Know whether your weights hold the temperature
#   already.
# - The same design makes stains after half a minute on 104 photographs, and believable colours after
#   hours on many thousands. A loss that falls is no proof: look at held-out photographs.
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
