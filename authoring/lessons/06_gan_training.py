# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Train two networks against each other
#
# Punish a network for every unit that its colours are off, and it grows cautious: its flowers are
# beige, because beige is never far wrong. What we want is harder to write down. The picture should
# look like a photograph. Nobody has a formula for that, but a second network can *learn* to tell
# photographs from colourings, and the first can learn to deceive it. Such a pair is called a
# **generative adversarial network**, a GAN. In this lesson you write both players' turns and let them
# play: first in a small world from nothing, then with the course's own SIGGRAPH17, whose muted
# colours come to life before your eyes. Not all of them will be true.
#
# **You will do**
#
# - take a U-Net and a PatchGAN apart, and prove how large a patch is;
# - write the losses and the turns of both players;
# - train with L1 alone and with the game, from nothing and from a trained network;
# - measure what the game buys and what it costs, in three seeds;
# - break the training on purpose, and cheat the measure.
#
# **You will learn**
#
# - what a conditional GAN is, and what the discriminator has to see;
# - why the loss curves of a GAN do not fall, and what to watch instead;
# - that looking real and being right are two things.
#
# **You need** lesson 02: Lab, with lightness *L* and colour *a*, *b*. Lessons 03 and 04 help, and so
# does having trained some network before.
#
# **Time** about 100 minutes: 45 of reading, 55 of exercises. The computer needs about four.
# **In a hurry** read 2, 4, 6 and 7; do exercises 1, 3 and 4.

# %%
from copy import deepcopy
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from tqdm.auto import tqdm

import course_lib as cl
from course_lib.checks import lesson_06 as check
from course_lib.plotting import COLORS, LINES, new_figure, show, show_pictures, show_table

runs = Path("out/lesson-06")
runs.mkdir(parents=True, exist_ok=True)

# %% [markdown]
# ## Two questions first
#
# Answer each for yourself, in a sentence, before you open the fold.
#
# **1.** Lesson 01: of all colours that a pixel could have, which single answer has the smallest mean
# *absolute* error, and which the smallest squared one?
#
# <details>
# <summary>Answer</summary>
#
# The median, and the mean. Where the possible colours lie all around gray, both are close to gray.
#
# </details>
#
# **2.** Lesson 04: SIGGRAPH17 predicts ab directly, by regression. What do its colours look like without
# hints?
#
# <details>
# <summary>Answer</summary>
#
# Muted: seldom far wrong, seldom bold. A regression answers with a middle of what is possible.
#
# </details>
#
# ## 1. What L1 asks for
#
# Few photographs and a few minutes want a small world. Ours is the course's collection of fruit,
# flowers, birds and animals on white. Each is laid on a white square and packed into three bytes a
# pixel; `encode_lab` is the form in which the course's training takes pictures.

# %%
from course_lib import decode_lab, encode_lab, square


def on_white(rgb, size):
    """A photograph in the middle of a white square, size x size."""
    height, width = rgb.shape[:2]
    side = max(height, width)
    top, left = (side - height) // 2, (side - width) // 2
    canvas = np.full((side, side, 3), 255, np.uint8)
    canvas[top : top + height, left : left + width] = rgb
    return square(canvas, size)


def packed(split, size):
    """All objects of a split: (N, 3, size, size) uint8."""
    pictures = [on_white(p.load(), size) for p in cl.photos(split=split, kind="object")]
    return np.stack([encode_lab(cl.rgb_to_lab(rgb)) for rgb in pictures]).transpose(0, 3, 1, 2)


# %%
training, held_out = packed("train", 96), packed("validation", 64)
print("to learn from:", training.shape, "   held out:", held_out.shape)

# %% [markdown]
# The training pictures are larger, so that random squares of 64 x 64 pixels can be cut from them. The
# held-out pictures are what we measure on. Here are some of each.

# %%
from course_lib.training import pictures


def as_rgb(codes):
    """Packed pictures as (N, H, W, 3) uint8."""
    L, ab = decode_lab(torch.from_numpy(codes))
    return pictures(L.numpy(), ab.numpy())


def show_rows(rows, description, width=8):
    """Rows of pictures, each with its name above the first."""
    shown, titles = [], []
    for name, row in rows.items():
        shown += list(row)
        titles += [name] + [""] * (len(row) - 1)
    show_pictures(shown, titles, description, columns=len(row), width=width)


# %%
show_rows(
    {"to learn from": as_rgb(training[5:85:10]), "held out": as_rgb(held_out[:8])},
    "Sixteen fruits, flowers, birds and other animals on white, in two rows: eight to learn from, "
    "eight held out.",
)

# %% [markdown]
# **L1** is the mean absolute error: the mean of $|a - \hat a|$ and $|b - \hat b|$ over all pixels. Suppose
# that all a network knew of a pixel were its lightness. What should it answer? The single answer with
# the smallest L1 is the *median* of all a and the median of all b that go with that lightness. We
# look at all training pixels of middle lightness.

# %%
L, ab = (t.numpy() for t in decode_lab(torch.from_numpy(training)))
middle = np.abs(L[:, 0] - 55) < 5
colours = np.moveaxis(ab, 1, -1)[middle]
best = np.median(colours, axis=0)
print(
    f"{len(colours) / 1000:.0f} thousand pixels, chroma {np.hypot(*colours.T).mean():.0f} on average"
)
print(f"best answer under L1: a = {best[0]:.0f}, b = {best[1]:.0f}, chroma {np.hypot(*best):.0f}")

# %% tags=["assertion"]
assert np.hypot(*best) < 0.7 * np.hypot(*colours.T).mean()
tried = [np.abs(colours - (best + shift)).mean() for shift in ((4, 0), (-4, 0), (0, 4), (0, -4))]
assert min(tried) > np.abs(colours - best).mean()

# %% [markdown]
# **Chroma** is the distance from gray. The best answer has much less of it than the pixels
# themselves: they lie in all directions around it. A real network knows more than the lightness, but
# wherever it is not sure the same happens, and the result is a beige world. (Squared error, with the
# mean in place of the median, does the same; lesson 03 escapes by predicting distributions.)
#
# L1 also looks at every pixel by itself. It does not mind if half a petal is pink and the other half
# green. What it lacks is a sense of what pictures look like.
#
# ## 2. The game
#
# So we add a critic. The **generator** $G$ gets the lightness and makes colours. The
# **discriminator** $D$ gets lightness and colours and says whether they are a photograph's or made
# up. $D$ is trained to be right, $G$ is trained to make $D$ wrong:
#
# $$ \min_G \max_D \;\; \mathbb{E}\,\log D(L, ab) + \mathbb{E}\,\log\bigl(1 - D(L, G(L))\bigr). $$
#
# In this game nobody tells $G$ which colours are right. It only learns in which direction its picture
# would look more real *to the present D*. **pix2pix** (Isola et al., 2017) plays it, and adds to $G$'s
# side the L1 of section 1, times a factor, which keeps the colours tied to the picture. It is a
# **conditional** GAN: $D$ sees the condition $L$ too. Without it, $G$ could put the colours of a parrot
# on a mushroom and get away with it.
#
# In code $D$ ends in a **logit**, a number without bounds, and the probability is its sigmoid.
# `F.binary_cross_entropy_with_logits` takes the logit itself, since the logarithm of a sigmoid loses
# all precision where the sigmoid is nearly 0. For $G$ everybody uses a small change: instead of making
# "made up" unlikely it makes "real" likely. Both have the same optimum, but the second still has a
# slope when $D$ is sure of itself, which is when $G$ needs one.
#
# ### Exercise 1: what each player wants
#
# *Easy, 5 minutes.* Write both losses. As in pix2pix, the discriminator's is the mean of its two
# halves.


# %% tags=["exercise"]
def losses_of_both(real, fake):
    """The players' losses, by cross entropy.

    real, fake: tensors (N, 1, h, w), the discriminator's logits for photographs and for made-up
    colours; above 0 it says "photograph".
    Returns two numbers (tensors without axes): the discriminator's loss, the generator's loss.
    """
    entropy = F.binary_cross_entropy_with_logits  # entropy(logits, targets), a mean
    ### BEGIN SOLUTION
    of_discriminator = entropy(real, torch.ones_like(real)) + entropy(fake, torch.zeros_like(fake))
    of_generator = entropy(fake, torch.ones_like(fake))
    return of_discriminator / 2, of_generator
    ### END SOLUTION


# %% tags=["check"]
check.losses_of_both(losses_of_both)

# %% [markdown] tags=["hint"]
# A target is a tensor of ones ("photograph") or zeros ("made up") in the shape of the logits:
# `torch.ones_like(real)`. The discriminator has two of them, one for each kind; the generator has one.
# Which one would it like to read on its own pictures?

# %% [markdown]
# What is the loss of a discriminator that has no idea? Its logits are 0, its probabilities one half.

# %%
from course_lib.training import adversarial_loss, discriminator_loss

no_idea = torch.zeros(1, 1, 8, 8)
print(f"discriminator: {discriminator_loss(no_idea, no_idea):.2f}")
print(f"generator:     {adversarial_loss(no_idea):.2f}")

# %% [markdown]
# Both are $\log 2 = 0.69$. Keep this number in mind: it is not a good or a bad loss, it is a *draw*.
#
# From here on the players use your losses, once they are right.


# %%
def library_losses(real, fake):
    """Both losses as the library has them."""
    return discriminator_loss(real, fake), adversarial_loss(fake)


both_losses = check.losses_of_both.choose(losses_of_both, library_losses)

# %% [markdown]
# The library has two other games too. In *least squares* the logit itself should be 1 or 0; in
# *hinge* patches that are judged right with a margin stop to count. They change the shape of the
# slope, not the idea.
#
# ## 3. The networks, block by block
#
# **The generator** is a **U-Net**. Its encoder halves the picture again and again, until one pixel
# stands for all of it; its decoder doubles it back. The bottom knows *what* there is and has forgotten
# *where*, so the decoder gets, at every size, what the encoder found at that size: a **skip
# connection**. We use a quarter of the published width, and six blocks, because $2^6 = 64$.

# %%
torch.manual_seed(0)
generator = cl.UNetGenerator(width=0.25, depth=6, dropout=0)
x = torch.zeros(1, 1, 64, 64)
for number, block in enumerate(generator.down, 1):
    x = block(x)
    print(f"down {number}: {x.shape[1]:3} channels of {x.shape[2]:2} x {x.shape[3]}")
for number, block in zip(range(5, 0, -1), generator.up, strict=True):
    inputs = block[1].in_channels
    print(
        f"up   {number}: {inputs:3} channels in, {block[1].out_channels:3} out, beside down {number}'s"
    )
print(f"parameters: {sum(p.numel() for p in generator.parameters()):,}")

# %% [markdown]
# Each block is a 4 x 4 convolution with stride 2 (transposed on the way up) with batch normalization,
# and leaky ReLUs on the way down, plain ones on the way up. From the second on, the blocks of the
# decoder take in twice what they would need: their own, and the skip connection's. After these one more
# block, which the list leaves out, makes the two channels ab at full size and ends in a tanh, which
# keeps ab within ±110. Inside, the pix2pix family works with L/50 - 1 and ab/110, all within ±1; ECCV16
# and SIGGRAPH17 use (L - 50)/100. Mixing the two up is a classic.
#
# A word on **batch normalization**. While it trains, a network shifts and scales its features by the
# mean and variance of the *batch*: what becomes of one picture depends on the others.


# %% tags=["nbval-ignore-output"]
L64, ab64 = decode_lab(torch.from_numpy(held_out))


def change_by_neighbours(network):
    """How far a picture's colours move when other pictures share its batch."""
    with torch.no_grad():
        return (network(L64[:4])[:1] - network(L64[[0, 9, 15, 21]])[:1]).abs().max().item()


in_training = change_by_neighbours(deepcopy(generator).train())
in_use = change_by_neighbours(deepcopy(generator).eval())
print(f"in training: {in_training:.1f} Lab units, in use: {in_use:.1f}")

# %% tags=["assertion"]
assert in_training > 100 * in_use and in_use < 1e-3

# %% [markdown]
# In use, after `eval()`, averages collected in training take the batch's place, and a picture always
# gets the same colours. With very small batches the two can be far apart: pix2pix trains with batches
# of 1 to 10, keeps the batch's statistics in use as well, and with batches of one that is called
# **instance normalization**. It also keeps **dropout** in use, its only source of chance: the same
# picture can get other colours each time. Our small U-Net goes without.
#
# **The discriminator** is a **PatchGAN**. It does not judge the picture but every *patch* of it: after
# a few convolutions, four in ours, each number still sees only a small square. That is enough, since L1
# already takes care of the large; and few layers mean few parameters.

# %%
discriminator = cl.PatchDiscriminator(width=0.25, layers=2)
with torch.no_grad():
    logits = discriminator(L64[:1], ab64[:1])
print(
    "logits:",
    tuple(logits.shape),
    f"  one for each patch of {discriminator.receptive_field} pixels",
)
print(f"parameters: {sum(p.numel() for p in discriminator.parameters()):,}")

# %% [markdown]
# How do we know that it is 34? By asking for a gradient: which pixels does one logit depend on?

# %%
colours_in = torch.zeros(1, 2, 64, 64, requires_grad=True)
discriminator(L64[:1], colours_in)[0, 0, 7, 7].backward()
depends = colours_in.grad[0].abs().sum(dim=0) > 0
rows = depends.any(dim=1).nonzero().flatten()
print(f"rows {rows[0].item()} to {rows[-1].item()}: {len(rows)} of 64")

# %% tags=["assertion"]
assert len(rows) == 34 == discriminator.receptive_field
assert cl.PatchDiscriminator(layers=3).receptive_field == 70

# %%
patch = np.where(depends.numpy()[..., None], as_rgb(held_out[3:4])[0], 225).astype(np.uint8)
show_pictures(
    [as_rgb(held_out[3:4])[0], patch, depends.numpy().astype(float)],
    ["the whole picture", "what one logit sees", "where its gradient is not 0"],
    "A held-out object; the square of 34 by 34 pixels of it that one logit sees; and the same "
    "square in white on black, where the gradient is not zero.",
    width=6,
)

# %% [markdown]
# The square on the right is where the gradient is not zero, and its side is 34 pixels: about half the
# picture. The published discriminator has one convolution more, five, and sees 70 pixels of 256.
#
# One thing is different here. The published discriminator has batch normalization. It gets photographs
# and made-up pictures in batches of their own, and a batch that is brought to mean 0 and variance 1
# hides much of how *strong* its colours are, which is just what we care about. Ours has **spectral
# normalization** (Miyato et al., 2018): not the features but the weights are scaled, such that each
# layer's weights, written as a matrix, have a largest singular value of 1. That keeps its slopes in
# bounds, and its judgement depends on the patch and on nothing else.
#
# ### Exercise 2: how large is a patch?
#
# *Medium, 8 minutes.* Compute the side of the patch from the layers. Go backward: one output pixel
# of a layer with kernel $k$ sees $k$ input pixels; two neighbours see $k + s$, since their views
# begin $s$ (the stride) apart.


# %% tags=["exercise"]
def patch_side(layers):
    """Side of the square of input pixels that one output of a chain of convolutions sees.

    layers: list of (kernel size, stride), the first layer first.
    Returns an int.
    """
    ### BEGIN SOLUTION
    side = 1
    for kernel, stride in reversed(layers):
        side = (side - 1) * stride + kernel
    return side
    ### END SOLUTION


# %% tags=["check"]
check.patch_side(patch_side)

# %% [markdown] tags=["hint"]
# Start with a side of 1 and go through the layers from the last to the first. If $n$ neighbouring
# outputs are wanted, the first needs $k$ inputs and each further one $s$ more.

# %% [markdown]
# ## 4. One step of the game
#
# A step has two turns. In the discriminator's turn it looks at photographs and at the generator's
# colours, and learns to tell them. In the generator's turn $D$ stands still; the gradient runs through
# it, back into the colours, and on into $G$.
#
# ### Exercise 3: find the bug
#
# *Medium, 10 minutes.* The discriminator's turn below is a worked example, its steps named. It runs,
# and the discriminator learns. Yet the generator learns less from the game than it should: something
# pulls it back, toward being found out. Compare what the function touches with what it should touch,
# and mend it. The `optimizer` holds the parameters of the discriminator only.


# %% tags=["exercise"]
def discriminator_turn(generator, discriminator, optimizer, L, ab):
    """One step of the discriminator; the generator is not to notice.

    L: (N, 1, H, W), lightness. ab: (N, 2, H, W), the true colours.
    Returns the discriminator's loss, a float.
    """
    # Step 1: the generator makes colours
    ### BEGIN SOLUTION
    made = generator(L).detach()
    ### STUB
    # made = generator(L)
    ### END SOLUTION
    # Step 2: the discriminator judges photographs and made-up colours
    real, fake = discriminator(L, ab), discriminator(L, made)
    # Step 3: its loss
    loss, _ = both_losses(real, fake)
    # Step 4: descend, and leave no gradients behind
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    return loss.item()


# %% tags=["check"]
check.discriminator_turn(discriminator_turn)

# %% [markdown] tags=["hint"]
# Call it once with a fresh generator and look at `generator.out[1].weight.grad`. Whose loss is that the
# gradient of, and what happens to it in the generator's turn, where `backward()` *adds* to what is
# there?

# %% [markdown]
# With the bug the discriminator's loss reached the generator too, and asked it for colours that are
# *easy* to see through. `backward()` adds up, and at a draw that cancelled half of what the game
# teaches.

# %% tags=["assertion"]
logit = torch.zeros(1, requires_grad=True)
pull = torch.autograd.grad(discriminator_loss(torch.zeros(1), logit), logit)[0]
push = torch.autograd.grad(adversarial_loss(logit), logit)[0]
assert torch.isclose(pull, -push / 2)

# %% [markdown]
# ### Exercise 4: the generator's turn
#
# *Medium, 8 minutes.* The same steps for the other player; the last one is missing. What the generator
# descends is the sum of two: `l1_weight` times the L1 loss, and the loss in the game. `optimizer` holds
# the generator's parameters. (`requires_grad_(False)` makes $D$ stand still: gradients go through it, but
# do not collect in it. L1 is divided by 110, the scale inside the networks. It is small, so it gets a
# weight: 100 in pix2pix, 10 for us.)


# %% tags=["exercise"]
def generator_turn(generator, discriminator, optimizer, L, ab, l1_weight=10.0):
    """One step of the generator, against a discriminator that stands still.

    L: (N, 1, H, W), lightness. ab: (N, 2, H, W), the true colours.
    Returns the L1 error in Lab units and the loss in the game, two floats.
    """
    # Step 1: the generator makes colours
    made = generator(L)
    # Step 2: the discriminator, standing still, judges them
    discriminator.requires_grad_(False)
    fake = discriminator(L, made)
    discriminator.requires_grad_(True)
    # Step 3: both losses
    l1 = F.l1_loss(made, ab) / 110
    _, deceive = both_losses(fake, fake)
    # Step 4: descend, and leave no gradients behind
    ### BEGIN SOLUTION
    (l1_weight * l1 + deceive).backward()
    optimizer.step()
    optimizer.zero_grad()
    ### END SOLUTION
    return l1.item() * 110, deceive.item()


# %% tags=["check"]
check.generator_turn(generator_turn)

# %% [markdown] tags=["hint"]
# Three lines, as in step 4 of the discriminator's turn. The loss is one number: `backward()` once.

# %% [markdown]
# That is the whole of pix2pix. The lesson plays with your two turns from here on.

# %%
from course_lib.training import gan

judge_turn = check.discriminator_turn.choose(discriminator_turn, gan.discriminator_turn)
maker_turn = check.generator_turn.choose(generator_turn, gan.generator_turn)

# %% [markdown]
# ### Exercise 5: put the loop in order
#
# *Easy, 4 minutes.* A training with L1 alone, its lines shuffled. Gradients of the step before were
# cleared at that step's end. Write the letters in order, such as `"FEDCBA"`.
#
# - **A** `optimizer.step()`
# - **B** `made = generator(L)`
# - **C** `loss.backward()`
# - **D** `L, ab = batches(step)`
# - **E** `optimizer.zero_grad()`
# - **F** `loss = F.l1_loss(made, ab) / 110`

# %% tags=["exercise"]
### BEGIN SOLUTION
loop = "DBFCAE"
### END SOLUTION

# %% tags=["check"]
check.loop(loop)

# %% [markdown] tags=["hint"]
# What does each line need that another one makes?

# %% [markdown]
# ## 5. A small world, from nothing
#
# Here is the loop, in view. With a discriminator it plays; without one it trains with L1 alone. What it
# returns is an average over the generator's last weights, which is steadier than any of them, and at
# some steps it keeps copies of both players for later. `LabBatches` deals the batches: mirrored, cut at
# random, a little brighter or darker.

# %%
from course_lib.training.batches import LabBatches, Settings
from course_lib.training.optim import WeightAverage


def adam(network, rate):
    """pix2pix's optimizer: with momentum 0.5 a player soon forgets what an old opponent taught."""
    return torch.optim.Adam(network.parameters(), rate, betas=(0.5, 0.999))


def l1_step(generator, optimizer, L, ab):
    """One step with L1 alone; returns the error in Lab units."""
    loss = F.l1_loss(generator(L), ab) / 110
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    return loss.item() * 110


# %%
def step_of(generator, judge, own, its, L, ab, weight):
    """One step: both turns, or L1 alone if there is no judge; returns the losses by name."""
    if judge is None:
        return {"l1": l1_step(generator, own, L, ab)}
    judged = judge_turn(generator, judge, its, L, ab)
    l1, game = maker_turn(generator, judge, own, L, ab, weight)
    return {"judge": judged, "game": game, "l1": l1}


# %%
def play(generator, batches, steps, rate, judge=None, judge_rate=1e-3, weight=10.0, keep=()):
    """Train; returns the averaged generator, each step's losses, and both players at some steps."""
    generator, judge = generator.requires_grad_(True).train(), judge and judge.train()
    average = WeightAverage(generator, 0.95)
    own, its = adam(generator, rate), judge and adam(judge, judge_rate)
    losses, kept = {"judge": [], "game": [], "l1": []}, {}
    for step in tqdm(range(steps), leave=False):
        if step in keep:
            kept[step] = deepcopy(average.network), deepcopy(judge)
        for name, loss in step_of(generator, judge, own, its, *batches(step), weight).items():
            losses[name].append(loss)
        average.update_parameters(generator)
    kept[steps] = average.network, judge
    return average.network, losses, kept


# %%
def dealer(codes, size, seed=0, batch_size=8):
    """Batches of random squares of the pictures."""
    return LabBatches(codes, Settings(batch_size=batch_size, size=size, zoom=1.5, seed=seed))


# %% [markdown]
# A generator that knows nothing is easy to see through, and has little to learn from it. So the training
# begins with L1 alone, and goes on in two ways for as many steps: with L1, and with the game.

# %% tags=["nbval-ignore-output"]
small = dealer(training, 64, batch_size=16)
after_l1, history_l1, _ = play(generator, small, 200, rate=2e-3)
print(f"L1 of the training batches, per channel: from {history_l1['l1'][0]:.0f} to", end=" ")
print(f"{np.mean(history_l1['l1'][-20:]):.0f} Lab units")

# %% tags=["nbval-ignore-output"]
STEPS = 120
only_l1, _, _ = play(deepcopy(after_l1), small, STEPS, rate=5e-4)
torch.manual_seed(1)
judge = cl.PatchDiscriminator(width=0.25, layers=2)
with_game, history, players = play(
    deepcopy(after_l1), small, STEPS, 5e-4, judge, 6e-4, keep=(0, 40)
)
print("both have taken", STEPS, "more steps")

# %% tags=["pictures-vary"]
from course_lib.training import predict


def coloured(network, codes):
    """Packed pictures, coloured by a network: (N, H, W, 3) uint8."""
    L, made, _ = predict(network, codes)
    return pictures(L, made)


gray, truth = pictures(L64.numpy(), 0 * ab64.numpy()), as_rgb(held_out)
small_rows = {"gray": gray, "L1 alone": coloured(only_l1, held_out)}
small_rows |= {"L1 + game": coloured(with_game, held_out), "truth": truth}
show_rows(
    {name: row[:8] for name, row in small_rows.items()},
    "The first eight held-out objects in gray; in beige and brown with L1 alone; a few bold and wrong, "
    "others grayer, with the game; and in truth.",
)

# %% [markdown]
# With L1 alone the white stayed white, and things got a colour: brown, more or less of it. Nothing is
# very far off, and nothing is alive. With the game a few things become bold, and wrong, and others
# grayer. That is all: a generator that has seen 88 objects in its life has nothing to be bold with.
# Section 7 gives the game a better one. First let us see what can be learned from the small one, which
# is quick.

# %% tags=["assertion"]
assert np.mean(history_l1["l1"][-20:]) < 0.5 * history_l1["l1"][0]
true_chroma = np.hypot(*np.moveaxis(ab64.numpy(), 1, 0)).mean()
assert np.hypot(*np.moveaxis(predict(only_l1, held_out)[1], 1, 0)).mean() < 0.8 * true_chroma

# %% [markdown]
# ## 6. Curves, and what they do not say
#
# Here are the two losses of the game.


# %% tags=["pictures-vary"]
def smooth(values, width=5):
    """Means of `width` neighbours."""
    return np.convolve(values, np.ones(width) / width, mode="valid")


figure, axes = new_figure(width=6.5, height=3.2)
for i, (name, label) in enumerate({"judge": "discriminator", "game": "generator"}.items()):
    axes[0, 0].plot(smooth(history[name]), label=label, color=COLORS[i], linestyle=LINES[i])
axes[0, 0].axhline(np.log(2), color=COLORS[6], linestyle=LINES[3], label="log 2: a draw")
axes[0, 0].set(xlabel="step", ylabel="loss in the game", ylim=(0, 1.5))
axes[0, 0].legend(frameon=False)
show(
    figure,
    "The losses of both players against steps, on an axis that begins at 0: both stay near the line "
    "at 0.69 and do not go down to 0.",
)

# %% [markdown]
# *Why do GAN loss curves not fall?* It is asked again and again by people who believe that their
# training is broken. Each player's loss is measured *by the other player*, and the other learns too.
# If both get better alike, both curves stay where they are, like the score of two tennis players who
# take lessons together. We can show it. Take the generators of three steps, and let the
# discriminators of the same steps judge each of them.


# %% tags=["nbval-ignore-output"]
@torch.no_grad()
def deceives(generator, discriminator):
    """The generator's loss in the game, over the training pictures."""
    L, _ = decode_lab(torch.from_numpy(training))
    return adversarial_loss(discriminator.eval()(L, generator.eval()(L))).item()


judged = {g: {d: deceives(players[g][0], players[d][1]) for d in players} for g in players}
cells = [[str(step), *(f"{loss:.2f}" for loss in row.values())] for step, row in judged.items()]
header = ["generator of step", *(f"judge of step {step}" for step in players)]
show_table(header, cells, "The generator's loss in the game")

# %% tags=["assertion"]
assert abs(np.mean(history["judge"][20:]) - np.log(2)) < 0.25
assert abs(np.mean(history["game"][20:]) - np.log(2)) < 0.5
assert abs(judged[0][0] - np.log(2)) < 0.1
assert all(judged[STEPS][d] < min(judged[0][d], judged[40][d]) for d in (40, STEPS))
assert np.ptp(list(judged[0].values())) > 0.03

# %% [markdown]
# On the diagonal, from top left to bottom right, is what the curve shows: every generator judged by the
# discriminator of its own time. Now read down the last two columns: each of these judges is deceived
# best by the last generator. So that did get better at deceiving. (The judge of step 0 knows nothing and
# cannot tell them apart.) And read the first row: the same pictures get another number from another
# judge. So the curve says nothing about the pictures. What a GAN's curves are good for is to notice that
# the game is over: if one of them runs away, somebody has won, and the other learns nothing any more
# (section 9).
#
# What can be watched instead are measurements that no player has a hand in, on held-out pictures, and
# the pictures themselves.
#
# PSNR and AuC compare pixel by pixel. What about the colours as a whole? Isola et al. compare
# *histograms*: how often does each colour occur in all pictures together, no matter where?
#
# ### Exercise 6: the distance of two histograms
#
# *Medium, 8 minutes.* Count how often each cell of the ab plane, 10 x 10 Lab units large, occurs in
# either set of pictures. The distance is half the sum of the absolute differences of the *shares*: 0
# if all shares are equal, 1 if no cell occurs in both.


# %% tags=["exercise"]
def histogram_distance(predicted, true, step=10.0):
    """How far the colours of pictures, taken together, are from those of other pictures.

    predicted, true: arrays (N, 2, H, W), ab in Lab units.
    Returns a number in 0..1.
    """
    edges = np.arange(-115.0, 115.0 + step, step)  # of the cells, the same for a and b
    ### BEGIN SOLUTION
    shares = []
    for ab in (predicted, true):
        a, b = np.moveaxis(ab, 1, 0).reshape(2, -1)
        counts, _, _ = np.histogram2d(a, b, bins=(edges, edges))
        shares.append(counts / counts.sum())
    return np.abs(shares[0] - shares[1]).sum() / 2
    ### END SOLUTION


# %% tags=["check"]
check.histogram_distance(histogram_distance)

# %% [markdown] tags=["hint"]
# `np.histogram2d(a, b, bins=(edges, edges))[0]` counts pairs; `a` and `b` are flat arrays.
# `np.moveaxis(ab, 1, 0).reshape(2, -1)` gives both. Divide each set's counts by their own sum.

# %% [markdown]
# ## 7. The game on a trained generator
#
# Now the real thing. The generator is the course's own **SIGGRAPH17**, which has learned from many
# thousands of photographs with a regression loss. The pictures are the course's few training **scenes**;
# the ten test scenes are held out. The two turns are those that you wrote; the
# discriminator begins from nothing and has twice the width of the small one.

# %%
from course_lib.metrics import ab_histogram_distance

distance = check.histogram_distance.choose(histogram_distance, ab_histogram_distance)
SEE, ROUNDS = 80, 40  # pixels; steps


def scenes(split, size):
    """The centre squares of all scenes of a split, packed: (N, 3, size, size) uint8."""
    rgb = np.stack([square(p.load(), size) for p in cl.photos(split=split, kind="scene")])
    return encode_lab(cl.rgb_to_lab(rgb)).transpose(0, 3, 1, 2)


# %%
learn = scenes("train", SEE * 3 // 2)
choosing, tests = scenes("validation", SEE), scenes("test", SEE)
base = cl.siggraph17()
print(
    f"scenes to learn from: {len(learn)}   to choose by: {len(choosing)}   for tests: {len(tests)}"
)


# %%
def off(network, codes):
    """Mean ab error of each picture, Lab units."""
    _, made, true = predict(network, codes)
    return np.hypot(*np.moveaxis(made - true, 1, 0)).mean(axis=(1, 2))


# %% [markdown]
# ### Exercise 7: predict, then run
#
# *Easy, 2 minutes.* PSNR measures how close the RGB values come to the truth, in decibels; higher is
# better. Two copies of SIGGRAPH17 go on learning, one with `"L1"` alone, one with `"L1 + GAN"`. Which has
# the higher PSNR on the held-out scenes?

# %% tags=["exercise"]
### BEGIN SOLUTION
higher_psnr = "L1"
### END SOLUTION

# %% tags=["check"]
check.higher_psnr(higher_psnr)

# %% [markdown] tags=["hint"]
# What does PSNR punish: a beige flower that should be violet, or a yellow one?

# %% [markdown]
# First L1 alone. So few pictures are soon learned by heart, so we keep the weights that are best on the
# validation scenes, as one does.

# %% tags=["nbval-ignore-output"]
l1_end, l1_losses, stages = play(
    deepcopy(base), dealer(learn, SEE), ROUNDS, rate=1e-4, keep=(0, 10, 20, 30)
)
held = {step: off(network, choosing).mean() for step, (network, _) in stages.items()}
cells = [[str(step), f"{error:.2f}"] for step, error in held.items()]
show_table(["step", "error, Lab units"], cells, "L1 alone, on the validation scenes")
l1_scenes = stages[min(held, key=held.get)][0]
print(
    f"L1 of the training batches, per channel: from {l1_losses['l1'][0]:.0f} to {np.mean(l1_losses['l1'][-5:]):.0f}"
)

# %% [markdown]
# And the game: the same start, rate and batches. No held-out error could choose among its steps, since it
# is not after small errors; it plays to the end.


# %% tags=["nbval-ignore-output"]
def game_on_scenes(seed):
    """SIGGRAPH17 after the game, and its losses."""
    torch.manual_seed(seed)
    critic = cl.PatchDiscriminator(width=0.5, layers=2)
    return play(deepcopy(base), dealer(learn, SEE, seed), ROUNDS, rate=1e-4, judge=critic)[:2]


games = [game_on_scenes(seed=0)]
print(f"training L1: {np.mean(games[0][1]['l1'][-5:]):.0f} Lab units at the end")

# %% tags=["pictures-vary"]
many = [square(photo.load(), 144) for photo in cl.photos(split="test", kind="scene")]
networks = {"before": base, "L1": l1_scenes, "L1 + GAN": games[0][0]}
scene_rows = {name: [cl.colorize(x, n, size=SEE) for x in many] for name, n in networks.items()}
scene_rows |= {"truth": many}
for half in (slice(0, 5), slice(5, 10)):
    show_rows(
        {name: row[half] for name, row in scene_rows.items()},
        "Five held-out scenes in four rows: muted before; a little stronger with L1 alone; in far stronger "
        "and more varied colours with the game, many of them not the true ones; and in truth.",
        width=8.5,
    )

# %% [markdown]
# There it is. The third row is far more colourful than the two above, though not on every scene, and
# often in patches. All ten are shown, in the order of the list. Now compare the third row with the
# *fourth*. How many of its colours are right? A good part is **wrong**: it has the strength and the
# mixture of colours that photographs have, and not always their places. The discriminator asks for no
# more.
#
# ### What it buys, and what it costs
#
# Four numbers on the ten held-out scenes, with gray for a baseline. Mean chroma and the distance of the
# histograms look at the colours as a whole; PSNR and AuC (the share of pixels whose ab is right, averaged
# over all tolerances) look at each pixel in its place. One training would be an anecdote: a GAN's
# result depends on the seed. So two more games.

# %% tags=["nbval-ignore-output"]
games += [game_on_scenes(seed=1)]
print("seed 1 done")

# %% tags=["nbval-ignore-output"]
games += [game_on_scenes(seed=2)]
print("seed 2 done")

# %%
from course_lib import ab_error_curve, auc, psnr


def measures(network):
    """PSNR, AuC, mean chroma and histogram distance on the held-out scenes; None: gray."""
    L, made, true = predict(network or base, tests)
    made = made if network else 0 * made
    pairs = zip(pictures(L, made), pictures(L, true), strict=True)
    quality = np.mean([psnr(*pair) for pair in pairs])
    chroma = np.hypot(made[:, 0], made[:, 1]).mean()
    return np.array([quality, auc(ab_error_curve(made, true)), chroma, distance(made, true)])


# %% tags=["nbval-ignore-output"]
true_ab = decode_lab(torch.from_numpy(tests))[1].numpy()
scene_chroma = np.hypot(true_ab[:, 0], true_ab[:, 1]).mean()
shown = {"gray": None, "before": base, "L1": l1_scenes, "L1, to the end": l1_end}
figures = {name: measures(network) for name, network in shown.items()}
figures |= {f"L1 + GAN, seed {seed}": measures(g[0]) for seed, g in enumerate(games)}
cells = [
    [n, *(f"{x:.{d}f}" for x, d in zip(r, (1, 1, 1, 2), strict=True))] for n, r in figures.items()
]
cells.append(["truth", "", "", f"{scene_chroma:.1f}", ""])
header = ["network", "PSNR, dB", "AuC, %", "chroma", "histogram distance"]
show_table(header, cells, "On the test scenes")

# %% tags=["assertion"]
played = np.array([row for name, row in figures.items() if "GAN" in name])
assert (abs(played[:, 2] / scene_chroma - 1) < 0.25).all()  # chroma as in truth, in every seed
assert figures["before"][2] < figures["L1"][2] + 1 < 0.8 * scene_chroma
assert (played[:, 2] > 1.25 * figures["L1"][2]).all()
assert (played[:, 3] < figures["L1"][3]).all() and (
    played[:, 3] < figures["before"][3] - 0.1
).all()
assert played[:, 0].mean() < figures["L1"][0] and played[:, 0].mean() < figures["before"][0]

# %% [markdown]
# In every seed the mean chroma comes close to that of the true photographs, and the distance of the
# histograms is well below that of L1 and of the network before. And in every seed PSNR is *lower* than
# with L1. Both follow from what was asked for. L1 minimizes the distance to the truth, and a bold guess
# that misses is farther off than beige. So which one is better depends on what you want it for; no single
# number can say. An archive will not want invented colours. A film may.
#
# One line deserves a second look: *L1, to the end*. It is bolder than L1 at its best, without any game. It
# has learned its few scenes by heart, and whoever is sure is bold; only that on scenes that it does not
# know its error grew. So strong colours alone prove nothing for a GAN. Compare with this line too before
# you praise one.
#
# Here are all the colours on the ab plane.

# %% tags=["pictures-vary"]
from course_lib.plotting import show_ab_histograms

of_scenes = [predict(n, tests)[1] for n in networks.values()]
show_ab_histograms(
    [np.moveaxis(ab, 1, -1) for ab in [*of_scenes, true_ab]],
    [*networks, "truth"],
    "How often each colour occurs: before on a small spot around gray; with L1 on a larger one; with "
    "the game on a wide patch, nearly as wide as in truth.",
)

# %% [markdown]
# How good is the real pix2pix? For its paper, people had to say which of two pictures was the
# photograph. They took the colouring for it in 22.5% ± 1.6% of the trials with the published L1 + GAN,
# in 16.3% ± 2.4% with squared error, and in 27.8% ± 2.7% with ECCV16, which you know from lesson 03. The
# difference between the first two is, by the paper's own bootstrap test, *not significant*. A game is
# one way out of the beige world, and choosing from a distribution is another.
#
# ## 8. Worst and best
#
# Where is the game nearest to the truth, and where furthest? We choose by a rule, not by eye: the three
# scenes whose error has fallen most against the network before, and the three where it has grown most.


# %% tags=["pictures-vary"]
gain = off(base, tests) - off(games[0][0], tests)
order = np.argsort(-gain)
chosen = [*order[:3], *order[-3:]]
show_rows(
    {name: [scene_rows[name][i] for i in chosen] for name in ("before", "L1 + GAN", "truth")},
    "Six held-out scenes before, after the game, and in truth. In the three on the left the game has "
    "come nearer to the truth, in the three on the right it is bold and wrong.",
    width=8.5,
)
print("change of the error, Lab units:", "  ".join(f"{-gain[i]:+.0f}" for i in chosen))

# %% tags=["assertion"]
assert gain[order[0]] > gain[order[-1]] and gain[order[-1]] < 0

# %% [markdown]
# The same network, the same training: nearer to the truth here, confidently wrong there, and not by what
# gray tells. Nearer is not right either: where any colour would do it was lucky. A viewer cannot know
# which is which. A beige picture at least *looks* unsure.
#
# ## 9. Ways to break it
#
# You will meet these, so meet them now, on purpose, in the small world: two short games in which
# something is wrong.
#
# - **A discriminator that is too strong**: it learns sixty times as fast as the generator, which was not
#   prepared with L1. - **A wrong scale**: the generator returns its ab within ±1 and not in Lab units;
#   somebody forgot the   factor 110.


# %%
class Forgetful(cl.UNetGenerator):
    """A generator whose author forgot the factor 110."""

    def forward(self, L):
        return super().forward(L) / 110


# %% tags=["nbval-ignore-output"]
torch.manual_seed(0)
unprepared = cl.UNetGenerator(width=0.25, depth=6, dropout=0)
forgetful = Forgetful(width=0.25, depth=6, dropout=0)
forgetful.load_state_dict(after_l1.state_dict())
broken = {"as it should be": (with_game, history)}
for kind, network, rate, fast in (
    ("D too strong", unprepared, 5e-5, 3e-3),
    ("wrong scale", forgetful, 5e-4, 6e-4),
):
    torch.manual_seed(1)
    critic = cl.PatchDiscriminator(width=0.25, layers=2)
    broken[kind] = play(network, small, 80, rate, critic, fast)[:2]

# %% [markdown]
# First the curves. Try to tell from them alone which game went wrong, and how.

# %% tags=["pictures-vary"]
titles = {"judge": "discriminator's loss", "game": "generator's loss", "l1": "L1, Lab units"}
figure, axes = new_figure(1, 3, width=8, height=3)
for axis, (column, title) in zip(axes[0], titles.items(), strict=True):
    for i, (name, (_, record)) in enumerate(broken.items()):
        axis.plot(smooth(record[column])[:76], label=name, color=COLORS[i], linestyle=LINES[i])
    axis.set(title=title, xlabel="step", ylim=(0, None))
lines = axes[0, 0].get_lines()
figure.legend(handles=lines, loc="outside lower center", ncols=3, frameon=False)
show(
    figure,
    "Three panels of curves for three games: of a discriminator that is too strong the loss is low, "
    "with jumps, and the generator's highest; with the wrong scale the discriminator's sinks steadily.",
)

# %% tags=["pictures-vary"]
show_rows(
    {kind: coloured(network, held_out[:6]) for kind, (network, _) in broken.items()}
    | {"truth": truth[:6]},
    "Six held-out objects after three games and in truth: as it should be; in stray colours and noise "
    "that have nothing to do with the objects against a discriminator that is too strong; gray with "
    "the wrong scale.",
)

# %% [markdown]
# | what you see | what it is | what to do |
# |---|---|---|
# | D's loss is far below 0.69, with jumps, G's far above it | D is too strong: it is sure of everything, and its slope has little to teach | let D learn more slowly, or be smaller; more steps of L1 first |
# | D gets better and better, pictures are gray | the two do not speak the same units | print the range of both inputs of D |
# | L1 grows while the losses of the game look healthy | nothing ties the colours to the picture | more weight on L1; is D conditional? |
# | colours change from batch to batch, or in use are not those of training | `eval()` was forgotten, or batches are very small | `eval()`; larger batches, or another normalization |
# | every picture has the same stain | **collapse**: one thing that deceives D is enough | more L1; stop at an earlier sample |

# %% tags=["assertion"]
last = {kind: {k: np.mean(v[60:80]) for k, v in r.items()} for kind, (_, r) in broken.items()}
good = last["as it should be"]
assert last["D too strong"]["judge"] < 0.7 * good["judge"]
assert last["D too strong"]["game"] > 1.4 * good["game"]
assert np.abs(predict(broken["wrong scale"][0], held_out)[1]).mean() < 1.1

# %% [markdown]
# ## 10. Stop, go on, and keep the result
#
# Long trainings get interrupted. The library's recipe, `Gan`, takes the same two turns as yours, with
# one forward pass for both, and writes checkpoints. Here is one that stops after 3 steps, as if the power
# had failed, and one that never stopped. The second half begins with a *new* recipe, which knows nothing
# but the folder.

# %%
import shutil

from course_lib.training import Gan, GanSettings, fit

shutil.rmtree(runs / "stopped", ignore_errors=True)
shared = {"batch_size": 8, "size": 64, "zoom": 1.5, "precision": "float32"}


def fresh():
    """A recipe for a game of the small generator."""
    torch.manual_seed(1)
    critic = cl.PatchDiscriminator(0.25, 2)
    settings = GanSettings(steps=6, **shared)
    return Gan(deepcopy(after_l1), critic, training, held_out[:8], settings)


# %%
whole, first, second = fresh(), fresh(), fresh()
fit(whole, 6, progress=False)
fit(first, 3, run_dir=runs / "stopped", progress=False)
fit(second, 6, run_dir=runs / "stopped", progress=False)
weights = zip(whole.generator.parameters(), second.generator.parameters(), strict=True)
print("largest difference of any weight:", max((p - q).abs().max().item() for p, q in weights))

# %% [markdown]
# Not close: *equal*. For that a checkpoint must hold everything that the next step depends on: both
# networks, the averages, and both optimizers, whose momenta people forget. And every random number
# must follow from the step's number, not from what happened to be drawn before.
#
# A checkpoint is for going on. To keep or share a result, save the generator alone. From then on it is a
# network like the others: `cl.siggraph17` and the command line take the file, and `cl.colorize` colours
# photographs of any size with it.

# %%
cl.save_weights(runs / "vivid.safetensors", games[0][0], {"input_size": str(SEE)})
vivid_network = cl.siggraph17(runs / "vivid.safetensors")
print("input size:", vivid_network.input_size)

# %% tags=["pictures-vary"]
large = cl.load_photo("scenes/mountain-trail")
show_pictures(
    [cl.colorize(large, base), cl.colorize(large, vivid_network), large],
    ["before", "after the game", "truth"],
    "A mountain path at full size: in muted colours before, in strong ones after the game, and in "
    "truth.",
)

# %% tags=["assertion"]
for one, other in zip(whole.generator.parameters(), second.generator.parameters(), strict=True):
    assert torch.equal(one, other)
with torch.inference_mode():
    L_tests = decode_lab(torch.from_numpy(tests[:2]))[0]
    assert (vivid_network(L_tests) - games[0][0](L_tests)).abs().mean() < 0.5

# %% [markdown]
# It is sharp, though the network saw few pixels: the photograph keeps its own lightness, as in lesson
# 05.
#
# ## 11. On a GPU, for hours
#
# Everything above is a model of a training. The real thing has more pictures, larger ones, and the
# published width. Change `PROFILE` to `"gpu"` to run it, best on Colab with a GPU. It downloads
# **Imagenette**, ten kinds of things from ImageNet, 13,394 photographs, about 100 MB, and verifies the
# checksum; ImageNet's terms (research and teaching, not commercial) apply. Each stage's checkpoints
# lie in `out/gan-imagenette`: run the cell again and it goes on. On Colab choose a folder on your Drive
# instead, since a runtime that is taken away takes its disk with it.

# %%
import json

from course_lib.training import CONFIGS, train_gan

PROFILE = "laptop"
config = json.loads((CONFIGS / "gan.json").read_text())
if PROFILE == "gpu":
    from course_lib import build_array, only_part
    from course_lib.data.public import fetch_dataset

    photos, parts = cl.list_images(fetch_dataset("imagenette")), {}
    for part, size in (("train", 144), ("validation", 128)):
        build_array(only_part(photos, part), f"out/imagenette-{part}.npy", size)
        parts[part] = np.load(f"out/imagenette-{part}.npy", mmap_mode="r")
    recipe, history = train_gan(config, parts["train"], parts["validation"], "out/gan-imagenette")

# %% [markdown]
# What will it cost? We count, instead of guessing: PyTorch can add up the multiplications of a step.


# %%
from torch.utils.flop_counter import FlopCounterMode


def operations(game):
    """Operations for a picture in a step, forward and backward, in billions."""
    g = cl.UNetGenerator(config["width"], config["depth"])
    d = cl.PatchDiscriminator(config["width"], config["layers"])
    L, ab = torch.zeros(2, 1, 128, 128), torch.zeros(2, 2, 128, 128)
    with FlopCounterMode(display=False) as counter:
        made = g(L)
        if game:
            discriminator_loss(d(L, ab), d(L, made.detach())).backward()
            d.requires_grad_(False)
        (adversarial_loss(d(L, made)) if game else made.mean()).backward()
    return counter.get_total_flops() / len(L) / 1e9


# %%
total = 0
for stage, is_game in (("reconstruction", False), ("game", True)):
    seen = config[stage]["steps"] * config[stage]["batch_size"]
    total += seen * operations(is_game)
    print(f"{stage}: {seen:,} pictures, {operations(is_game):.0f} billion operations each")
print(f"in all: {total / 1e6:.0f} million billion")

# %% [markdown]
# Colab's usual card, a T4, does 8 thousand billion operations a second by its data sheet, in float32.
# Networks like these reach perhaps a third or a half of that. So expect **about two hours**. This is an
# estimate from the count, not a measurement. On a card with bfloat16 matrix units (from compute
# capability 8.0 on) the recipe uses them, and takes a fraction of it. The same training as a command,
# also for several cards:
#
# ```
# python -m course_lib.data.public imagenette
# python -m course_lib.training prepare FOLDER --part train --size 144 --output train.npy
# python -m course_lib.training prepare FOLDER --part validation --size 128 --output val.npy
# torchrun --nproc-per-node 2 -m course_lib.training gan --train train.npy --validation val.npy --run runs/gan
# ```

# %% tags=["assertion"]
hours = [total * 1e9 / (share * 8.1e12) / 3600 for share in (0.5, 0.33)]
assert 1 < hours[0] < 2 < hours[1] < 3

# %% [markdown]
# ### Challenge: cheat the measure
#
# *Hard, 10 minutes.* The game brought the histograms together in minutes of training. Can you do it in a
# line or two, with no training at all? You get the cautious colours of SIGGRAPH17 for the validation
# scenes, their lightness, and the true colours of *other* scenes. Return colours whose histogram is
# closer to the truth's. The check measures, and ranks you against doing nothing and against one factor for
# all chroma; it also says what your answer costs in error. To pass, beat doing nothing; to win, beat both.


# %% tags=["exercise"]
def enliven(L, ab, examples):
    """Livelier colours, without training.

    L: array (N, 1, H, W), lightness in 0..100. ab: array (N, 2, H, W), cautious colours.
    examples: array (M, 2, H, W), true colours of other photographs.
    Returns an array (N, 2, H, W) in Lab units.
    """
    ### BEGIN SOLUTION
    result = np.empty_like(ab)
    for channel in range(2):
        values, wanted = ab[:, channel].ravel(), np.sort(examples[:, channel].ravel())
        ranks = np.empty(values.size)
        ranks[np.argsort(values)] = np.linspace(0, 1, values.size)
        levels = np.quantile(wanted, ranks)
        result[:, channel] = levels.reshape(ab[:, channel].shape)
    return result
    ### END SOLUTION


# %% tags=["check"]
check.enliven(enliven)

# %% [markdown] tags=["hint"]
# First try: multiply all ab by the ratio of the mean chroma of `examples` to that of `ab`. Then:
# **histogram matching** gives each value the value of the same *rank* among the examples.

# %% [markdown]
# If that was easy, remember it when a paper reports one such number. A measure can be satisfied without
# what it was meant for; so can a discriminator.
#
# ## Summary
#
# - L1 asks for the median of what is possible: beige. A discriminator asks for what looks real.
# - pix2pix is a U-Net against a PatchGAN that sees L as well as ab, with L1 beside the game.
# - In the discriminator's turn the generated colours are data: detach them. In the generator's turn
#   the discriminator stands still.
# - The losses of the game are measured by the opponent. Near log 2 they say "a draw", and nothing
#   about the pictures. Watch samples, and measures on held-out pictures.
# - From a trained generator the game makes colours nearly as strong as those of photographs, and far more
#   varied than before, in every seed, and PSNR worse: much of it is wrong.
# - More than one seed, the same number of steps, and a baseline make it a finding.
# - A checkpoint holds both networks, both optimizers and the averages, or going on is not the same.
#
# ## Further reading
#
# - I. Goodfellow et al., "Generative Adversarial Nets", NIPS 2014, arXiv:1406.2661.
# - P. Isola, J.-Y. Zhu, T. Zhou, A. A. Efros, "Image-to-Image Translation with Conditional Adversarial
#   Networks", CVPR 2017, arXiv:1611.07004. Section 3 is this lesson's sections 2 to 5.
# - O. Ronneberger, P. Fischer, T. Brox, "U-Net: Convolutional Networks for Biomedical Image
#   Segmentation", MICCAI 2015, arXiv:1505.04597.
# - T. Miyato et al., "Spectral Normalization for Generative Adversarial Networks", ICLR 2018,
#   arXiv:1802.05957.
# - X. Mao et al., "Least Squares Generative Adversarial Networks", ICCV 2017, arXiv:1611.04076.
# - M. Lucic et al., "Are GANs Created Equal? A Large-Scale Study", NeurIPS 2018, arXiv:1711.10337: what
#   is left of improvements once seeds and budgets are the same.
