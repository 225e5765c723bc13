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
# **generative adversarial network**, a GAN. In this lesson you train one, from a handful of
# photographs, in a few minutes.
#
# **You will do**
#
# - take a U-Net and a PatchGAN apart, and prove how large a patch is;
# - write the losses of both players, and mend a step of the game;
# - train with L1 alone, then with L1 and the game, and compare them fairly;
# - repeat with three seeds, and break the training in three ways on purpose;
# - stop a training, go on, and get the same numbers.
#
# **You will learn**
#
# - what a conditional GAN is, and what the discriminator has to see;
# - why the loss curves of a GAN do not fall, and what to watch instead;
# - what the game buys, and what it costs.
#
# **You need** lesson 02: Lab, with lightness *L* and colour *a*, *b*. Lesson 03 helps, and so does
# having trained some network before.
#
# **Time** about 85 minutes: 40 of reading, 45 of exercises. The computer needs about three.

# %%
import shutil
from copy import deepcopy
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

import course_lib as cl
from course_lib.checks import lesson_06 as check
from course_lib.plotting import COLORS, LINES, new_figure, show, show_lines, show_pictures

# %% [markdown]
# Everything that this lesson trains goes into one folder. We empty it first: a training goes on where
# an earlier one stopped, and here that is not wanted yet.

# %%
runs = Path("out/lesson-06")
shutil.rmtree(runs, ignore_errors=True)

# %% [markdown]
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
first = [18, 0, 21, 26, 2, 12, 15, 9]  # to be shown: flowers and fruit, then animals
held_out = np.concatenate([held_out[first], np.delete(held_out, first, axis=0)])
print("to learn from:", training.shape, "   held out:", held_out.shape)

# %% [markdown]
# The training pictures are larger, so that random squares of 64 x 64 pixels can be cut from them. The
# held-out pictures are what we measure on. Here are a few of each.

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
# **L1** is the mean absolute error: $|a - \hat a| + |b - \hat b|$, averaged over all pixels. Suppose
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
# Nobody tells $G$ which colours are right. It only learns in which direction its picture would look
# more real *to the present D*. This is **pix2pix** (Isola et al., 2017), a **conditional** GAN: $D$
# sees the condition $L$ too. Without it, $G$ could put the colours of a parrot on a mushroom and get
# away with it.
#
# In code $D$ ends in a **logit**, a number without bounds, and the probability is its sigmoid.
# `F.binary_cross_entropy_with_logits` takes the logit itself, since the logarithm of a sigmoid loses
# all precision where the sigmoid is nearly 0. For $G$ everybody uses a small change: instead of making
# "made up" unlikely it makes "real" likely. Both have the same optimum, but the second still has a
# slope when $D$ is sure of itself, which is when $G$ needs one.
#
# ### Exercise 1: what each player wants
#
# *Easy, 10 minutes.* Write both losses. As in pix2pix, the discriminator's is the mean of its two
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
# decoder take in twice what they would need: their own, and the skip connection's. The last one ends
# in a tanh, which keeps ab within ±110. Inside, the pix2pix family works with L/50 - 1 and ab/110,
# all within ±1; ECCV16 and SIGGRAPH17 use (L - 50)/100. Mixing the two up is a classic.
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
# of one and keeps the batch's statistics in use as well. That is called **instance normalization**.
#
# **The discriminator** is a **PatchGAN**. It does not judge the picture but every *patch* of it: after
# three or four convolutions each number still sees only a small square. That is enough, since L1
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
# picture. The published discriminator has one layer more and sees 70 pixels of 256.
#
# One thing is different here. The published discriminator has batch normalization. It gets photographs
# and made-up pictures in batches of their own, and a batch that is brought to mean 0 and variance 1
# cannot be told by how *strong* its colours are, which is just what we care about. Ours has **spectral
# normalization** (Miyato et al., 2018): not the features but the weights are scaled, so that no layer
# can amplify anything. Its judgement depends on the patch and on nothing else.
#
# ### Exercise 2: how large is a patch?
#
# *Medium, 10 minutes.* Compute the side of the patch from the layers. Go backward: one output pixel
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
# *Medium, 15 minutes.* The discriminator's turn below runs, and the discriminator learns. Yet the
# generator learns less from the game than it should: something pulls it back, toward being found out.
# Compare what the function touches with what it should touch, and mend it. The `optimizer` holds the
# parameters of the discriminator only.


# %% tags=["exercise"]
def discriminator_turn(generator, discriminator, optimizer, L, ab):
    """One step of the discriminator; the generator is not to notice.

    L: (N, 1, H, W), lightness. ab: (N, 2, H, W), the true colours.
    Returns the discriminator's loss, a float.
    """
    ### BEGIN SOLUTION
    made = generator(L).detach()
    ### STUB
    # made = generator(L)
    ### END SOLUTION
    real, fake = discriminator(L, ab), discriminator(L, made)
    loss = discriminator_loss(real, fake)
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
# And this is the generator's turn. `requires_grad_(False)` makes $D$ stand still: gradients go through
# it but do not collect in it. The L1 loss is weighted, because it is small: colours are at most 1
# inside the networks, and errors of a few hundredths are usual. pix2pix takes a weight of 100; for our
# small world 10 will do.


# %%
def generator_turn(generator, discriminator, optimizer, L, ab, l1_weight=10.0):
    """One step of the generator, against a discriminator that stands still."""
    made = generator(L)
    discriminator.requires_grad_(False)
    deceive = adversarial_loss(discriminator(L, made))
    discriminator.requires_grad_(True)
    l1 = F.l1_loss(made, ab) / 110
    (l1_weight * l1 + deceive).backward()
    optimizer.step()
    optimizer.zero_grad()
    return l1.item() * 110, deceive.item()


# %% [markdown]
# That is the whole of pix2pix. The library's recipe, `course_lib.training.gan.Gan`, takes the same two
# turns; it saves time by running the generator once for both, and adds what long trainings need:
# averaged weights, a history, checkpoints. A test compares its gradients with these functions'.
#
# ## 5. First L1 alone
#
# A generator that knows nothing is easy to see through, and has little to learn from being seen
# through. So the training begins with L1 alone. `fit` is the course's training loop; `progress=True`
# would show a bar, and Kernel > Interrupt would end it early with everything usable.

# %% tags=["nbval-ignore-output"]
from course_lib.training import Gan, GanSettings, Reconstruction, Settings, fit, measure_colouring

common = {"batch_size": 16, "size": 64, "zoom": 1.5, "average": 0.98, "precision": "float32"}
alone = Reconstruction(
    generator, training, held_out, Settings(steps=450, rate=2e-3, warmup=20, **common)
)
history_l1 = fit(alone, 250, run_dir=runs / "l1", record_every=10, progress=False)
after_l1 = deepcopy(alone.average.network)
print(f"{history_l1.rows[-1]['seconds']:.0f} seconds")

# %%
from course_lib.training import predict


def coloured(network, codes):
    """Packed pictures, coloured by a network: (N, H, W, 3) uint8."""
    L, made, _ = predict(network.eval(), codes)
    return pictures(L, made)


gray = pictures(L64.numpy(), 0 * ab64.numpy())
truth = as_rgb(held_out)
show_rows(
    {"gray": gray[:8], "L1 alone": coloured(after_l1, held_out[:8]), "truth": truth[:8]},
    "Eight held-out objects in gray, as coloured after training with L1 alone, in shades of brown "
    "and beige, and in their true, stronger colours.",
)

# %% [markdown]
# The white stayed white, and things got a colour: brown, more or less of it. Nothing is very far off,
# and nothing is alive. This is what section 1 promised.

# %% tags=["assertion"]
losses = history_l1.column("l1")[1]
assert np.mean(losses[-5:]) < 0.5 * losses[0]
true_chroma = np.hypot(*np.moveaxis(ab64.numpy(), 1, 0)).mean()
assert measure_colouring(after_l1, held_out)["chroma"] < 0.8 * true_chroma

# %% [markdown]
# ## 6. Then L1 and the game
#
# Now we go on in two ways from the same weights: 200 more steps with L1 alone, and 200 steps with L1
# and the game. Only so is the comparison fair; otherwise the second would just have trained longer.
# First the game. We stop it twice, before the first step and after 50, and keep a copy of both
# players for later.

# %% tags=["nbval-ignore-output"]
game = GanSettings(
    steps=200, rate=5e-4, discriminator_rate=6e-4, l1_weight=10, sample_every=50, **common
)
torch.manual_seed(1)
gan = Gan(deepcopy(after_l1), cl.PatchDiscriminator(0.25, 2), training, held_out, game)
players = {}
for stop in (0, 50, 200):
    history = fit(
        gan, stop, run_dir=runs / "gan", record_every=10, evaluate_every=20, progress=False
    )
    players[stop] = deepcopy(gan.average.network), deepcopy(gan.discriminator)
with_gan = players[200][0]
print(f"{history.rows[-1]['seconds']:.0f} seconds")

# %% [markdown]
# Each call of `fit` finds the checkpoint of the one before in `run_dir` and goes on from there. And now
# the other way, L1 alone, which goes on from its checkpoint too.

# %% tags=["nbval-ignore-output"]
history_l1 = fit(alone, 450, run_dir=runs / "l1", record_every=10, progress=False)
only_l1 = alone.average.network
print(f"{history_l1.rows[-1]['seconds']:.0f} seconds in all")

# %% [markdown]
# The recipe keeps colourings of the first few held-out pictures at fixed steps, in `gan.samples` and
# in the checkpoint. That is the best record of a GAN's training:

# %% tags=["pictures-vary"]
show_rows(
    {f"step {step}": row for step, row in gan.samples.items()} | {"truth": truth[:4]},
    "Four held-out flowers and fruits at steps 0, 50, 100, 150 and 200 of the game and in truth: "
    "brownish at first, then in more, and changing, colours.",
    width=4.5,
)

# %% [markdown]
# Read it row by row. Colours come, and then they *change*: a petal may be yellow now and pink later.
# No row is a goal that the next comes closer to.
#
# ## 7. Curves, and what they do not say
#
# Here are the two losses of the game.

# %% tags=["pictures-vary"]
names = {"discriminator": "discriminator", "adversarial": "generator, in the game"}
show_lines(
    {label: history.column(name) for name, label in names.items()}
    | {"log 2: a draw": ([0, 200], [np.log(2)] * 2)},
    "step",
    "loss",
    "The losses of both players over 200 steps: they wander up and down near the line at 0.69 and "
    "do not fall.",
)

# %% [markdown]
# *Why do GAN loss curves not fall?* It is asked again and again by people who believe that their
# training is broken. Each player's loss is measured *by the other player*, and the other learns too.
# If both get better alike, both curves stay where they are, like the score of two tennis players who
# take lessons together. We can show it. Take the generators of steps 0, 50
# and 200, and let the discriminators of steps 0, 50 and 200 judge each of them.


# %% tags=["nbval-ignore-output"]
@torch.no_grad()
def deceives(generator, discriminator):
    """The generator's loss in the game, over the training pictures."""
    L, _ = decode_lab(torch.from_numpy(training))
    return adversarial_loss(discriminator.eval()(L, generator.eval()(L))).item()


judged = {g: {d: deceives(players[g][0], players[d][1]) for d in players} for g in players}
print("judge of step:        ", *(f"{d:6}" for d in players))
for step, row in judged.items():
    print(f"generator of step {step:3}:", *(f"{loss:6.2f}" for loss in row.values()))

# %% tags=["assertion"]
assert abs(np.mean(history.column("discriminator")[1][5:]) - np.log(2)) < 0.2
assert abs(np.mean(history.column("adversarial")[1][5:]) - np.log(2)) < 0.4
assert abs(judged[0][0] - np.log(2)) < 0.1
for judge in (50, 200):
    assert judged[200][judge] < judged[0][judge]
assert max(judged[g][0] for g in players) - min(judged[g][0] for g in players) < 0.05

# %% [markdown]
# On the diagonal, from top left to bottom right, is what the curve shows: every generator judged by
# the discriminator of its own time. It hardly moves. Now read the second or the third column: one
# judge for all three, and the last generator has the smallest loss. So it did get better at
# deceiving, only its judge got better too. (The judge of step 0 knows nothing and cannot tell them
# apart.) And read the last row: the same pictures get another number from another judge. So the curve
# says nothing about the pictures. What a GAN's curves are good for is to notice that the game is over:
# if one of them runs away, somebody has won, and the other learns nothing any more (section 10).
#
# What can be watched instead are measurements that no player has a hand in, on held-out pictures, and
# the pictures themselves. Section 8 says what the two below are.


# %%
def show_panels(columns, records, description):
    """Columns of trainings' histories side by side: column to title, and name to history."""
    figure, axes = new_figure(1, len(columns), width=8, height=3)
    for axis, (column, title) in zip(axes[0], columns.items(), strict=True):
        for i, (name, record) in enumerate(records.items()):
            axis.plot(*record.column(column), label=name, color=COLORS[i], linestyle=LINES[i])
        axis.set(title=title, xlabel="step")
    lines = axes[0, 0].get_lines()
    figure.legend(handles=lines, loc="outside lower center", ncols=4, frameon=False)
    show(figure, description)


# %% tags=["pictures-vary"]
show_panels(
    {"chroma": "mean chroma, Lab units", "histogram": "histogram distance"},
    {"the generator of the game, on held-out pictures": history},
    "Two uneven curves over 200 steps of the game, measured on held-out pictures: mean chroma goes "
    "up, the histogram distance goes down.",
)

# %% [markdown]
# Here something happens: colours grow stronger, and as a whole come closer to those of photographs.
# Not in a straight line, but that is how it is with GANs; section 9 looks at luck.
#
# ## 8. L1 alone against L1 and the game
#
# ### Exercise 4: predict, then run
#
# *Easy, 5 minutes.* PSNR measures how close the RGB values come to the truth, in decibels; higher is
# better. Which of the two generators has the higher PSNR on the held-out pictures, the one trained
# with `"L1"` alone or the one trained with `"L1 + GAN"`?

# %% tags=["exercise"]
### BEGIN SOLUTION
higher_psnr = "L1"
### END SOLUTION

# %% tags=["check"]
check.higher_psnr(higher_psnr)

# %% [markdown] tags=["hint"]
# What does PSNR punish: a beige flower that should be violet, or a yellow one?

# %% [markdown]
# PSNR compares pixel by pixel, and so does AuC: the share of pixels whose ab is right, averaged over
# all tolerances from 0 to 150, in percent. What about the colours as a whole? Isola et al. compare
# *histograms*: how often does each colour occur in all pictures together, no matter where?
#
# ### Exercise 5: the distance of two histograms
#
# *Medium, 15 minutes.* Count how often each cell of the ab plane, 10 x 10 Lab units large, occurs in
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
# Now all four numbers: on the 27 held-out pictures at 64 x 64 pixels, with gray as the baseline.


# %% tags=["nbval-ignore-output"]
no_colour = deepcopy(only_l1)
for parameter in no_colour.out.parameters():
    parameter.detach().zero_()  # the last layer answers 0, and so does the tanh
networks = {"gray": no_colour, "L1": only_l1, "L1 + GAN": with_gan}
figures = {name: measure_colouring(network.eval(), held_out) for name, network in networks.items()}
print("             PSNR    AuC   chroma   histogram distance")
for name, row in figures.items():
    print("{:10} {psnr:6.1f} {auc:6.1f} {chroma:8.1f} {histogram:12.2f}".format(name, **row))
print(f"truth                    {true_chroma:8.1f}")

# %% tags=["assertion"]
assert figures["L1 + GAN"]["chroma"] > 1.03 * figures["L1"]["chroma"]
assert figures["L1 + GAN"]["histogram"] < 0.97 * figures["L1"]["histogram"]
for measure in ("psnr", "auc"):
    assert figures["L1"][measure] > figures["L1 + GAN"][measure]
assert figures["gray"]["psnr"] > figures["L1 + GAN"]["psnr"]
assert figures["L1"]["auc"] > figures["gray"]["auc"]

# %% [markdown]
# With the game the colours are stronger, and as a whole closer to those of the photographs: higher
# mean chroma, smaller distance of the histograms. And pixel by pixel it is *worse*: PSNR falls, and
# so does AuC. Both follow from what was asked for. L1 minimizes the distance to the truth, and a bold
# guess that misses is farther off than beige. Look at the first line, too: by PSNR no colour at all
# beats the game. So which one is better depends on what you want it for; no single number can say.

# %% tags=["pictures-vary"]
show_rows(
    {"L1": coloured(only_l1, held_out[:8]), "L1 + GAN": coloured(with_gan, held_out[:8])}
    | {"truth": truth[:8]},
    "Eight held-out objects: brown and beige with L1 alone; in more colours, not always the right "
    "ones, with L1 and the game; and in truth.",
)

# %% [markdown]
# Compare the rows. With the game, flowers and fruit differ from one another. That does not make them
# *right*: the network has seen 88 objects in its life, and gray does not tell. Look closely and you
# will also find what critics of patches leave behind: fine patterns, and colours that change within
# one thing. Here are all the colours on the ab plane.

# %% tags=["pictures-vary"]
from course_lib.plotting import show_ab_histograms

show_ab_histograms(
    [np.moveaxis(predict(n.eval(), held_out)[1], 1, -1) for n in (only_l1, with_gan)]
    + [np.moveaxis(ab64.numpy(), 1, -1)],
    ["L1 alone", "L1 + GAN", "truth"],
    "How often each colour occurs: with L1 alone on a narrow streak toward yellow and red; with the "
    "game on a wider patch; in truth over a far wider region still.",
)

# %% [markdown]
# L1 alone uses a narrow streak of the plane, the browns. With the game it is wider. The truth is far
# wider still: our small training has not won this game, it has only begun to play it.
#
# How good is the real pix2pix? For its paper, people had to say which of two pictures was the
# photograph. They took the colouring for it in 22.5% ± 1.6% of the trials with the published L1 + GAN,
# in 16.3% ± 2.4% with squared error, and in 27.8% ± 2.7% with ECCV16, which you know from lesson 03 (as
# reported there). A game is one way out of the beige world, and choosing from a distribution is
# another.
#
# ## 9. Was it luck?
#
# One training is an anecdote. A GAN's result depends on the seed, on the order of the batches and on
# the discriminator's first weights, and small differences grow. We repeat a shorter game, 80 steps,
# with three seeds, each from the same generator of section 5.


# %%
def play(network=None, seed=0, **changes):
    """A short game, from the generator of section 5 unless given: the recipe and its history."""
    torch.manual_seed(seed)
    usual = {"rate": 5e-4, "discriminator_rate": 6e-4, "l1_weight": 10, "sample_every": 1000}
    settings = GanSettings(steps=80, seed=seed, **(common | usual | changes))
    judge = cl.PatchDiscriminator(0.25, 2)
    player = deepcopy(after_l1 if network is None else network)
    recipe = Gan(player, judge, training, held_out, settings)
    return recipe, fit(recipe, 80, record_every=5, progress=False)


# %% tags=["nbval-ignore-output"]
before = measure_colouring(after_l1, held_out)
games = [play(seed=0)]
print("seed 0: chroma {chroma:.1f}".format(**games[0][1].rows[-1]))

# %% [markdown]
# A number, and by itself it says little. Two more:

# %% tags=["nbval-ignore-output"]
games += [play(seed=1), play(seed=2)]
seeds = [record.rows[-1] for _, record in games]
for seed, row in enumerate(seeds):
    print(f"seed {seed}: chroma {row['chroma']:.1f}, histogram distance {row['histogram']:.2f}")
print(f"before: chroma {before['chroma']:.1f}, histogram distance {before['histogram']:.2f}")

# %% tags=["pictures-vary"]
figure, axes = new_figure(1, 2, width=7, height=2.6)
panels = {"chroma": "mean chroma", "histogram": "histogram distance"}
for axis, (name, label) in zip(axes[0], panels.items(), strict=True):
    axis.axhline(before[name], color=COLORS[6], linestyle=LINES[1], label="before the game")
    values = [row[name] for row in seeds]
    axis.plot(range(3), values, "o", color=COLORS[0], label="after 80 steps")
    axis.set(xlabel="seed", ylabel=label, xticks=range(3))
axes[0, 0].legend(frameon=False, fontsize=8)
show(
    figure,
    "Two panels with a dot for each of three seeds: mean chroma above the line of the value before "
    "the game, histogram distance below it.",
)

# %% [markdown]
# Every seed moves in the same direction, some further than others. So "the game makes colours
# stronger" is a finding; "0.3 better than your method", from one run each, would not be. When you
# read a paper, look for the word *seeds*.

# %% tags=["assertion"]
assert min(row["chroma"] for row in seeds) > before["chroma"]
assert max(row["histogram"] for row in seeds) < before["histogram"]

# %% [markdown]
# ## 10. Three ways to break it
#
# You will meet these, so meet them now, on purpose: three short games in which something is wrong.
#
# - **A discriminator that is too strong**: it learns five times as fast as before, against a
#   generator that was not prepared with L1 and learns ten times as slowly.
# - **No L1**: the game alone.
# - **A wrong scale**: the generator returns its ab within ±1 and not in Lab units; somebody forgot the
#   factor 110.


# %%
class Forgetful(cl.UNetGenerator):
    """A generator whose author forgot the factor 110."""

    def forward(self, L):
        return super().forward(L) / 110


# %% tags=["nbval-ignore-output"]
torch.manual_seed(0)
unprepared = cl.UNetGenerator(width=0.25, depth=6, dropout=0)
broken = {
    "as it should be": games[0],
    "D too strong": play(unprepared, discriminator_rate=3e-3, rate=5e-5),
}

# %% tags=["nbval-ignore-output"]
forgetful = Forgetful(width=0.25, depth=6, dropout=0)
forgetful.load_state_dict(after_l1.state_dict())
broken |= {"no L1": play(l1_weight=0), "wrong scale": play(forgetful)}

# %% [markdown]
# First the curves. Try to tell from them alone which game went wrong, and how.

# %% tags=["pictures-vary"]
titles = {
    "discriminator": "discriminator's loss",
    "adversarial": "generator's loss in the game",
    "l1": "L1, Lab units",
}
show_panels(
    titles,
    {kind: record for kind, (_, record) in broken.items()},
    "Three panels of curves for four games: against a discriminator that is too strong its loss is "
    "low and the generator's high; without L1 the L1 error grows; with the wrong scale the "
    "discriminator's loss sinks slowly.",
)

# %% [markdown]
# And now what came of it.

# %% tags=["pictures-vary"]
show_rows(
    {kind: coloured(recipe.average.network, held_out[:6]) for kind, (recipe, _) in broken.items()},
    "Six held-out objects after four games: as it should be; full of coloured noise against a "
    "discriminator that is too strong; in wrong colours without L1; gray with the wrong scale.",
)

# %% [markdown]
# | what you see | what it is | what to do |
# |---|---|---|
# | D's loss is near 0, G's in the game far above 0.69 | D is too strong: it is sure of everything, and its slope has little to teach | let D learn more slowly, or be smaller; more steps of L1 first |
# | L1 grows while the losses of the game look healthy | nothing ties the colours to the picture | more weight on L1; is D conditional? |
# | D gets better and better, pictures are gray, L1 does not fall | the two do not speak the same units | print the range of both inputs of D |
# | colours change from batch to batch, or in use are not those of training | `eval()` was forgotten, or batches are very small | `eval()`; larger batches, or another normalization |
# | every picture has the same stain | **collapse**: one thing that deceives D is enough | more L1; stop at an earlier sample |
#
# Note what does *not* help here: waiting. And note that without L1 the curves of the game look as good
# as ever. Only the third panel and the pictures tell.

# %% tags=["assertion"]
last = {kind: record.rows[-1] for kind, (_, record) in broken.items()}
assert last["D too strong"]["discriminator"] < 0.7 * last["as it should be"]["discriminator"]
assert last["D too strong"]["adversarial"] > 1.5 * last["as it should be"]["adversarial"]
assert last["no L1"]["l1"] > 1.2 * last["as it should be"]["l1"]
assert abs(last["no L1"]["discriminator"] - np.log(2)) < 0.3
assert last["wrong scale"]["chroma"] < 1.1
assert last["wrong scale"]["discriminator"] < last["as it should be"]["discriminator"]

# %% [markdown]
# ## 11. Stop, go on, and keep the result
#
# Trainings get interrupted. Here is one that stops after 6 steps, as if the power had failed, and one
# that never stopped. The second half begins with a *new* recipe, which knows nothing but the folder.


# %%
def fresh():
    """A recipe as section 6 began it."""
    torch.manual_seed(1)
    player = deepcopy(after_l1)
    return Gan(player, cl.PatchDiscriminator(0.25, 2), training, held_out[:8], game)


whole, first, second = fresh(), fresh(), fresh()
fit(whole, 12, progress=False)
fit(first, 6, run_dir=runs / "stopped", progress=False)
fit(second, 12, run_dir=runs / "stopped", progress=False)
pairs = zip(whole.generator.parameters(), second.generator.parameters(), strict=True)
print("largest difference of any weight:", max((p - q).abs().max().item() for p, q in pairs))

# %% [markdown]
# Not close: *equal*. For that a checkpoint must hold everything that the next step depends on: both
# networks, the averages, and both optimizers, whose momenta people forget. And every random number
# must follow from the step's number, not from what happened to be drawn before.
#
# A checkpoint is for going on. To keep or share a result, save the generator alone, with what is
# needed to build it again in the header.

# %%
from course_lib.models import load_into, read_weights, save_weights

path = runs / "generator.safetensors"
save_weights(path, with_gan, {"depth": "6", "input_size": "64"})
state, header = read_weights(path)
again = cl.UNetGenerator(float(header["width"]), int(header["depth"])).eval()
load_into(again, state, path)
again.input_size = int(header["input_size"])
print(dict(sorted(header.items())))

# %% [markdown]
# From here on it is a network like the others. `cl.colorize` takes it, and photographs of any size.

# %% tags=["pictures-vary"]
white = [on_white(p.load(), 128) for p in cl.photos(split="test", kind="object")[::4]]
grays = [cl.to_gray(rgb) for rgb in white]
show_rows(
    {"gray": grays, "L1 + GAN": [cl.colorize(rgb, again) for rgb in grays], "truth": white},
    "Seven objects of the test split in gray, coloured by the saved generator, and in truth.",
)

# %% tags=["assertion"]
for one, other in zip(whole.generator.parameters(), second.generator.parameters(), strict=True):
    assert torch.equal(one, other)
assert np.abs(coloured(again, held_out).astype(int) - coloured(with_gan, held_out)).mean() < 1

# %% [markdown]
# These are from the **test** split, which nothing in this lesson was chosen on. Look for the ones that
# came out wrong; there will be several. A few minutes and 88 objects are not enough to know roses.
# Their sharpness is no wonder, though the network saw 64 pixels: the photograph keeps its own
# lightness, as in lesson 05.
#
# ## 12. On a GPU, for hours
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
# ## Summary
#
# - L1 asks for the median of what is possible: beige. A discriminator asks for what looks real.
# - pix2pix is a U-Net against a PatchGAN that sees L as well as ab, with L1 beside the game.
# - In the discriminator's turn the generated colours are data: detach them. In the generator's turn
#   the discriminator stands still.
# - The losses of the game are measured by the opponent. Near log 2 they say "a draw", and nothing
#   about the pictures. Watch samples, and measures on held-out pictures.
# - The game makes colours stronger and their histogram truer, and PSNR worse. More than one seed, the
#   same number of steps, and a baseline make it a finding.
# - A checkpoint holds both networks, both optimizers and the averages, or going on is not the same.
#
# ## Further reading
#
# - I. Goodfellow et al., "Generative Adversarial Nets", NIPS 2014, arXiv:1406.2661.
# - P. Isola, J.-Y. Zhu, T. Zhou, A. A. Efros, "Image-to-Image Translation with Conditional Adversarial
#   Networks", CVPR 2017, arXiv:1611.07004. Section 3 is this lesson's sections 2 to 6.
# - O. Ronneberger, P. Fischer, T. Brox, "U-Net: Convolutional Networks for Biomedical Image
#   Segmentation", MICCAI 2015, arXiv:1505.04597.
# - T. Miyato et al., "Spectral Normalization for Generative Adversarial Networks", ICLR 2018,
#   arXiv:1802.05957.
# - X. Mao et al., "Least Squares Generative Adversarial Networks", ICCV 2017, arXiv:1611.04076.
# - M. Lucic et al., "Are GANs Created Equal? A Large-Scale Study", NeurIPS 2018, arXiv:1711.10337: what
#   is left of improvements once seeds and budgets are the same.
