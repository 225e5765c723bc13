# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Teach a trained network a new domain
#
# You have pictures of one kind: slides from a microscope, your grandfather's holidays, birds from your
# garden. Few to train a network from nothing, and the trained ones colour them with nonsense,
# because they never saw their like. **Transfer learning** lets a network that has learned on many
# pictures go on learning on your few. It is how most networks in use were made. In this lesson a
# minute of it turns green and blue tissue into tissue that looks right. And you will see where the
# same minute achieves nothing, and why.
#
# **You will do**
#
# - cut one large picture into tiles, some to learn from and some held out, with a gap between;
# - find out whether pretrained weights were loaded at all;
# - freeze a trunk, write the rule that stops in time, and run a fine-tuning made of your own parts;
# - compare frozen, thawed, gentle and from nothing, with the uncertainty that goes with it;
# - measure what was forgotten, how many pictures it takes, and where it fails;
# - fine-tune on a folder of your own, and write a report of one page.
#
# **You will learn**
#
# - which domains fine-tuning helps, and which it cannot;
# - what batch normalization does behind your back in a frozen block;
# - which numbers an honest comparison needs.
#
# **You need** lesson 03: colour as classes, rebalancing, the blocks of ECCV16. It helps to have trained
# some network before.
#
# **Time** about 100 minutes: 45 of reading, 55 of exercises. The computer needs about four.
# **In a hurry** read 1 to 5 and 10; do exercises 1, 2 and 4.

# %%
from copy import deepcopy
from pathlib import Path

import numpy as np
import torch
from tqdm.auto import tqdm

import course_lib as cl
from course_lib.checks import lesson_07 as check
from course_lib.plotting import COLORS, LINES, new_figure, show, show_pictures, show_table

out = Path("out/lesson-07")
out.mkdir(parents=True, exist_ok=True)

# %% [markdown]
# ## Two questions first
#
# Answer each for yourself, in a sentence, before you open the fold.
#
# **1.** Lesson 03: why does ECCV16 count rare colours more than common ones?
#
# <details>
# <summary>Answer</summary>
#
# Most pixels of most photographs are nearly gray. A plain loss is lowest for a network that agrees, so
# its colours are dull. Weights by rarity make a red pixel count as much as the many gray ones.
#
# </details>
#
# **2.** Lesson 01: the same photographs are coloured by two methods. Why compare them photograph by
# photograph, and not by two means with an interval each?
#
# <details>
# <summary>Answer</summary>
#
# Some photographs are hard for both. What the two have in common drops out of the *differences*, whose
# interval is then that of the question: by how much is one better than the other?
#
# </details>
#
# ## 1. A domain that it colours with nonsense
#
# A **domain** is a kind of pictures. Ours is **tissue under a microscope**: a section stained so that
# one protein turns brown and the nuclei of cells turn blue. scikit-image brings one such picture along,
# 512 pixels wide. One picture is a small world, but it holds hundreds of cells, and its colours *follow
# from its shapes*: what is stringy and dense is brown, small ovals are blue, the rest is white. That is
# what makes it learnable. Remember it for section 10.
#
# Here is how one picture becomes three sets. It is a worked example: its four steps will come back.

# %%
from skimage import data

from course_lib import decode_lab, encode_lab, square

TILE, SIZE = 48, 96  # pixels of the picture, and as the network sees them

# Step 1: say which region is for what, as (top, bottom, left, right), with a gap between
tissue = data.immunohistochemistry()
regions = {"train": (0, 512, 0, 240), "validation": (0, 248, 256, 512)}
regions["test"] = (264, 512, 256, 512)


# %%
# Step 2: cut a region into tiles
def tiles(picture, region, step):
    """Squares of TILE pixels, `step` apart, that lie wholly in a region."""
    top, bottom, left, right = region
    return [
        picture[y : y + TILE, x : x + TILE]
        for y in range(top, bottom - TILE + 1, step)
        for x in range(left, right - TILE + 1, step)
    ]


# Step 3: pack the tiles as training takes them, Lab in three bytes
def packed(pictures, size=96):
    """Pictures as training takes them: (N, 3, size, size) uint8."""
    lab = np.stack([cl.rgb_to_lab(square(picture, size)) for picture in pictures])
    return encode_lab(lab).transpose(0, 3, 1, 2)


# %% [markdown]
# The tiles to learn from may overlap *each other*: that only shows the network the same cell in several
# places. The held-out tiles lie side by side.

# %%
train = packed(tiles(tissue, regions["train"], step=TILE // 2))
validation = packed(tiles(tissue, regions["validation"], step=TILE))
test = packed(tiles(tissue, regions["test"], step=TILE))

# Step 4: prove that no pixel is in two regions
used = np.zeros(tissue.shape[:2], int)
for top, bottom, left, right in regions.values():
    used[top:bottom, left:right] += 1
print("tiles:", len(train), len(validation), len(test), "  pixels in two:", (used > 1).sum())

# %% [markdown]
# **Training** tiles are learned from. **Validation** tiles decide: which weights to keep, when to stop.
# **Test** tiles are looked at when everything is decided. Had we cut all tiles first and drawn the
# held-out ones at random, each would have had neighbours among the training tiles, with halves of the
# same cells: a fine figure, and worth nothing.
#
# Now the network, and what it makes of the test region, the lower right of the picture.

# %%
base = cl.eccv16()


def enlarged(picture, region):
    """A region of a picture, in the size in which the network sees its tiles."""
    top, bottom, left, right = region
    part = picture[top:bottom, left:right]
    return square(part, min(part.shape[:2]) * SIZE // TILE)


def coloured(rgb, network):
    """A picture as a network colours it, seen at full size."""
    return cl.colorize(rgb, network, size=len(rgb) // 8 * 8)


# %%
there = enlarged(tissue, regions["test"])
show_pictures(
    [cl.to_gray(there), coloured(there, base), there],
    ["gray", "before", "truth"],
    "A piece of tissue in gray; with a grass green cluster of cells on a ground with sky blue patches, "
    "coloured by the course's network; and in truth, brown with blue nuclei on white.",
)

# %% [markdown]
# The middle picture is nonsense: what is brown in truth is grass green, and the ground sky blue, in
# patches. Nothing is wrong with the network. It learned from photographs of the world, and there is no
# tissue in them.
#
# ### Measure where it matters
#
# Two kinds of pixels: **pale** ones, whose true chroma is below 12 (most of the tiles), and **coloured**
# ones. Whoever paints everything brown does well on the second and pays on the first. Two baselines
# cost nothing: gray, and **one colour**, the mean of the training tiles, for every pixel.


# %%
def distances(answer, codes):
    """Mean distance from the true ab for each picture: (N, 3) of all, pale, coloured pixels."""
    L, ab = decode_lab(torch.from_numpy(codes))
    with torch.inference_mode():
        guess = answer(L) if callable(answer) else answer.expand_as(ab)
    far, pale = (guess - ab).norm(dim=1), ab.norm(dim=1) < 12
    kinds = [torch.ones_like(pale), pale, ~pale]
    return np.array(
        [[d[k].mean() if k.any() else np.nan for d, k in zip(far, m, strict=True)] for m in kinds]
    ).T


def errors(answer, codes):
    """The means of `distances` over pictures."""
    return np.nanmean(distances(answer, codes), axis=0)


# %% tags=["nbval-ignore-output"]
_, ab_train = decode_lab(torch.from_numpy(train))
baselines = {"gray": torch.zeros(1, 2, 1, 1), "one colour": ab_train.mean((0, 2, 3), keepdim=True)}


def show_errors(answers, codes):
    """A row for each answer."""
    cells = [[name, *(f"{e:.1f}" for e in errors(one, codes))] for name, one in answers.items()]
    show_table(["answer", "all", "pale", "coloured"], cells, "Mean error in Lab units, by pixels")


show_errors(baselines | {"the network, before": base}, test)

# %% tags=["assertion"]
assert (used > 1).sum() == 0 and len(train) == 180 and len(validation) == len(test) == 25
assert errors(base, test)[0] > errors(baselines["gray"], test)[0]

# %% [markdown]
# Here the network is worse than no colour at all.
#
# ## 2. Were the weights loaded at all?
#
# *Why does it run, but with no colour?* People ask that in public, with a pretrained network in their
# hands. One answer is that the weights were never loaded. Here is how that happens. Somebody
# trained the network inside a wrapper, say `nn.DataParallel` for several cards. Then every name in the
# file begins with `module.`. We make such a file.

# %%
wrapped = {f"module.{name}": value for name, value in base.state_dict().items()}
torch.save(wrapped, out / "backbone.pth")
print(list(wrapped)[:3])

# %% [markdown]
# Loading it raises an error, as it should. Advice that is often given is to add
# `strict=False`, and the error is gone.

# %%
from course_lib import ECCV16

torch.manual_seed(0)
hopeful = ECCV16(base.width, base.temperature)
report = hopeful.load_state_dict(wrapped, strict=False)
show_pictures(
    [coloured(there, base), coloured(there, hopeful.eval())],
    ["the course's weights", "loaded with strict=False"],
    "The tissue as the course's network colours it, in many colours; and as the network that was "
    "loaded with strict=False does: all in one pale brownish pink, the white parts too.",
)

# %% [markdown]
# It runs. But one colour for everything is the mean of all bins: the answer of an
# untrained network (lesson 03, section 12). `strict=False` means: take what fits, and keep quiet about
# the rest. What it did not load it *returned*, in a value that nobody looks at:

# %%
print(f"entries of the network: {len(hopeful.state_dict())}")
print(f"not in the file:        {len(report.missing_keys)}")
print(f"only in the file:       {len(report.unexpected_keys)}")

# %% [markdown]
# Nothing was loaded. (The seven that the second line does not count are counters inside batch
# normalization. PyTorch makes up a value for those.)
#
# ### Exercise 1: find the bug
#
# *Medium, 8 minutes.* Mend the function below, so that it loads files with and without the prefix, and
# so that a file that lacks an entry is an error.


# %% tags=["exercise"]
def load_backbone(path, width, temperature):
    """ECCV16 with the weights of a file whose names may begin with "module.".

    path: a .pth file of a state dict. width, temperature: of the network.
    Returns the network in evaluation mode; raises an error unless every entry was loaded.
    """
    network = ECCV16(width, temperature)
    state = torch.load(path, weights_only=True)
    ### BEGIN SOLUTION
    state = {name.removeprefix("module."): value for name, value in state.items()}
    network.load_state_dict(state)
    ### STUB
    # network.load_state_dict(state, strict=False)
    ### END SOLUTION
    return network.eval()


# %% tags=["check"]
check.load_backbone(load_backbone)

# %% [markdown] tags=["hint"]
# Two things: make the names those of the network (`str.removeprefix`), and let `load_state_dict`
# complain, which it does unless you forbid it.

# %% [markdown]
# From here on the lesson loads its network with your function, once it is right. `cl.eccv16` is strict
# too, and says what is wrong:

# %%
load = check.load_backbone.choose(load_backbone, lambda path, width, temperature: cl.eccv16())

# %%
import textwrap

try:
    cl.eccv16(out / "backbone.pth")
except cl.WeightsError as error:
    print(textwrap.fill(str(error).partition(": ")[2], 95))

# %% tags=["assertion"]
entries = hopeful.state_dict()
assert len(report.unexpected_keys) == len(entries)
assert len(report.missing_keys) == sum("num_batches" not in name for name in entries)
flat = cl.rgb_to_lab(coloured(there, hopeful))[..., 1:]
assert np.abs(flat - flat.mean(axis=(0, 1))).mean() < 6

# %% [markdown]
# A test for any framework and any network: **before** the first step of training, let the network do
# its old job on one picture that you know. If it cannot, nothing was loaded.
#
# ## 3. Freeze the trunk
#
# Early layers find edges, textures, shapes, which are of use for any picture. The last ones turn what
# was found into an answer. So a common plan is to keep the early ones, the **trunk**, as they are, and
# to train the **head** alone. In ECCV16 blocks 1 to 7 are the trunk; block 8 makes the 313 logits.

# %%
from course_lib.training import TRUNK, freeze

sizes = {name: sum(p.numel() for p in part.parameters()) for name, part in base.named_children()}
in_trunk = sum(sizes[name] for name in TRUNK)
print(f"trunk: {in_trunk:,} parameters ({in_trunk / sum(sizes.values()):.0%} of all)")
print(f"head:  {sizes['model8']:,}")

# %% [markdown]
# To **freeze** a block means to ask for no gradients: `requires_grad_(False)` on its parameters. The
# optimizer then leaves them alone. But a block holds more than parameters. Batch normalization keeps
# **running averages** of what passes through, and in training mode it updates them in every forward
# pass. No optimizer has a part in that.
#
# ### Exercise 2: freeze a block
#
# *Medium, 8 minutes.* Write it so that *nothing* in the block changes any more.


# %% tags=["exercise"]
def freeze_blocks(network, names):
    """Keep blocks as they are, whatever passes through them in training.

    network: a module. names: names of parts of it, ["model1", "model2"].
    Changes the network in place; blocks that are not named go on learning.
    """
    ### BEGIN SOLUTION
    for name in names:
        block = network.get_submodule(name)
        for parameter in block.parameters():
            parameter.requires_grad_(False)
        block.eval()
    ### END SOLUTION


# %% tags=["check"]
check.freeze_blocks(freeze_blocks)

# %% [markdown] tags=["hint"]
# `network.get_submodule(name)` finds a block, `block.parameters()` its parameters. Which mode makes
# batch normalization use its averages without updating them?

# %% [markdown]
# How much does it matter? We take the whole network, ask for no gradients anywhere, and show it some
# batches of the new pictures in training mode. No loss, no optimizer, not one step.

# %% tags=["nbval-ignore-output"]
drifted = deepcopy(base).requires_grad_(False).train()
L_train, _ = decode_lab(torch.from_numpy(train[::4]))
for _ in range(3):
    for part in L_train.split(15):
        drifted(part)
scenes = packed([photo.load() for photo in cl.photos(split="test", kind="scene")])
for name, network in {"as it was": base, "after looking only": drifted}.items():
    off = errors(network.eval(), scenes)[0]
    print(f"{name:20} pixels of ten scenes off by {off:.0f} Lab units")

# %% tags=["assertion"]
weights_same = all(
    torch.equal(p, q) for p, q in zip(base.parameters(), drifted.parameters(), strict=True)
)
buffers_same = all(
    torch.equal(p, q) for p, q in zip(base.buffers(), drifted.buffers(), strict=True)
)
assert weights_same and not buffers_same
assert np.abs(distances(drifted, scenes) - distances(base, scenes))[:, 0].mean() > 0.5

# %% [markdown]
# Every weight is what it was, and the network has changed: its averages are now those of tissue.
# It is a classic bug, and it hides well, since `network.train()` at the top of every epoch undoes the
# `eval()` of a frozen block.
#
# Even where blocks may learn, the averages are better left alone when the new pictures are few: they
# were made by very many pictures, and all weights fit them. `keep_still` of the library does that.
#
# ## 4. Stop in time
#
# Few pictures are soon learned by heart. **Early stopping** watches the validation loss, remembers where
# it was lowest, and gives up when nothing got better for some measurements in a row. How many of them
# is called **patience**.
#
# ### Exercise 3: when to stop
#
# *Medium, 8 minutes.* Write the rule.


# %% tags=["exercise"]
def best_and_stop(losses, patience):
    """Which of the measurements so far was best, and whether to stop after them.

    losses: list of validation losses in order, lower is better. patience: int, at least 1.
    Returns (index of the best, True or False): True once `patience` measurements in a row, up to
    the last one, were not lower than the best before them. Of equal ones the first is best.
    """
    ### BEGIN SOLUTION
    best = min(range(len(losses)), key=losses.__getitem__)
    return best, len(losses) - 1 - best >= patience
    ### END SOLUTION


# %% tags=["check"]
check.best_and_stop(best_and_stop)

# %% [markdown] tags=["hint"]
# The position of the lowest loss says it all: how many measurements came after it?

# %% [markdown]
# ### Exercise 4: put the plan in order
#
# *Easy, 4 minutes.* The steps of a fine-tuning, shuffled. Write their letters in order, such as
# `"GFEDCBA"`.
#
# - **A** choose among the weights of different steps by the validation pictures
# - **B** make the optimizer, with the parameters that ask for gradients
# - **C** measure once on the test pictures
# - **D** load the trained weights
# - **E** freeze the trunk
# - **F** take steps on the training pictures
# - **G** let the network do its old job on a picture that you know

# %% tags=["exercise"]
### BEGIN SOLUTION
plan = "DGEBFAC"
### END SOLUTION

# %% tags=["check"]
check.plan(plan)

# %% [markdown] tags=["hint"]
# What has to be known before it is of any use to freeze? And what would an optimizer hold that was
# made before the freezing?

# %% [markdown]
# ## 5. Thirty-two steps
#
# Now everything comes together: your loading, your freezing, your rule, once each is right.

# %%
from course_lib.training import Classification, ClassificationSettings, best_and_stop as stop_rule
from course_lib.training import cosine_rate, initialize
from course_lib.training.finetune import keep_still

freeze_now = check.freeze_blocks.choose(freeze_blocks, freeze)
rule = check.best_and_stop.choose(best_and_stop, stop_rule)


# %% [markdown]
# First a network for each of four ways, of which we use one at once and the others in section 7.
#
# - **frozen**: the trained network; the trunk stays, the head learns.
# - **thawed**: the trained network; everything learns.
# - **gentle**: the same, but the trunk learns at a tenth of the rate.
# - **random**: the same network with random weights. It shows what the training before was worth.


# %%
def prepared(arm, seed=0):
    """A network to train, and the groups of its parameters with their factors of the rate."""
    if arm == "random":
        torch.manual_seed(seed)
        network = ECCV16(base.width, base.temperature).train()
        initialize(network)
        return network, [(network.parameters(), 1.0)]
    network = load(out / "backbone.pth", base.width, base.temperature).train()
    trunk = [p for name in TRUNK for p in network.get_submodule(name).parameters()]
    if arm == "frozen":
        freeze_now(network, TRUNK)
        return network, [(network.model8.parameters(), 1.0)]
    keep_still(network, "all")
    return network, [(network.model8.parameters(), 1.0), (trunk, 0.1 if arm == "gentle" else 1.0)]


# %% [markdown]
# And the loop. It is the one that you know: a batch, a loss, a step. `Classification` of the library
# gives the batches, mirrored and brightened at random, and lesson 03's loss with its rebalancing.
# Every few steps the validation tiles are measured, and your rule decides.

# %%
STEPS, EVERY, RATE = 32, 4, 7e-4


def validation_loss(ruler, network, codes):
    """Mean loss over held-out pictures, in nats per pixel."""
    L, ab = decode_lab(torch.from_numpy(codes))
    with torch.inference_mode(), cl.evaluating(network):
        return ruler.losses(network, L, ab, 0)["loss"].item()


# %%
def parts_of(arm, seed, pictures, held_out, lam):
    """A network, its optimizer, and the recipe that deals the batches and has the loss."""
    pictures = train if pictures is None else pictures
    network, groups = prepared(arm, seed)
    size = min(12, len(pictures))
    settings = ClassificationSettings(STEPS, size, seed=seed, lam=lam, precision="float32")
    ruler = Classification(deepcopy(base), pictures, held_out, settings)
    groups = [{"params": parameters, "factor": factor} for parameters, factor in groups]
    return network, torch.optim.AdamW(groups, betas=(0.9, 0.99)), ruler


# %%
def descend(network, optimizer, ruler, step):
    """One step of AdamW, each group at its own rate."""
    for group in optimizer.param_groups:
        group["lr"] = cosine_rate(step, STEPS, group["factor"] * RATE, warmup=3)
    ruler.losses(network, *ruler.batches(step), step)["loss"].backward()
    optimizer.step()
    optimizer.zero_grad()


# %%
def fine_tune(arm, seed=0, pictures=None, held_out=None, lam=0.5):
    """Train one way; returns the weights that did best, and the validation losses."""
    held_out = validation if held_out is None else held_out
    network, optimizer, ruler = parts_of(arm, seed, pictures, held_out, lam)
    losses, kept = [validation_loss(ruler, network, held_out)], deepcopy(network)
    for step in tqdm(range(STEPS), desc=f"{arm}, seed {seed}", leave=False):
        descend(network, optimizer, ruler, step)
        if (step + 1) % EVERY == 0:
            losses.append(validation_loss(ruler, network, held_out))
            best, stop = rule(losses, patience=3)
            kept = deepcopy(network) if best == len(losses) - 1 else kept
            if stop:
                break
    return kept.eval(), losses


# %% tags=["nbval-ignore-output"]
runs = {("thawed", 0): fine_tune("thawed")}
after, its_losses = runs["thawed", 0]
print(f"validation loss from {its_losses[0]:.2f} to {min(its_losses):.2f}")

# %%
show_pictures(
    [cl.to_gray(there), coloured(there, base), coloured(there, after), there],
    ["gray", "before", "after", "truth"],
    "The held-out piece of tissue in gray; before fine-tuning, green and sky blue; after it, brown, "
    "with bluish nuclei on white around it; and in truth, where there are blue nuclei in the brown too.",
    width=9,
)

# %% [markdown]
# That took 32 steps. The network has never seen this half of the picture; it learned from the other one
# what brown goes with. Before and after in numbers:

# %% tags=["nbval-ignore-output"]
show_errors(baselines | {"the network, before": base, "after": after}, test)

# %% tags=["assertion"]
assert errors(after, test)[0] < 0.55 * errors(base, test)[0]
assert errors(after, test)[0] < 0.8 * min(errors(a, test)[0] for a in baselines.values())
assert errors(after, test)[2] < 0.6 * errors(baselines["gray"], test)[2]

# %% [markdown]
# The error has fallen far below what the network had before, and on all pixels below both baselines,
# gray and one colour for all. On pale ones gray is still ahead: the ground has got a tint. And look at
# the pictures again: the nuclei inside the brown have become brown, only those outside are bluish. Two
# stains and the bare ground have to be told apart by shape alone, and one picture is all that there was
# to learn it from.
#
# ## 6. Another look: the back of the eye
#
# Was it luck? Here is a picture of quite another kind that scikit-image brings along: a **retina**, seen
# through the pupil. Do the same with it. Steps 1 to 3 are there; the last one, the proof, is yours. This
# time the proof is to be a function, which also looks at the gap.

# %%
# Step 1: regions, with a gap between (the photograph made smaller: 512 pixels wide)
retina = square(data.retina(), 512)
eye_regions = {"train": (0, 240, 0, 512), "validation": (272, 512, 0, 256)}
eye_regions["test"] = (272, 512, 256, 512)
# Steps 2 and 3: tiles of the eye itself, not of the black around it; packed
eye = {}
for part, region in eye_regions.items():
    cut = tiles(retina, region, step=TILE // 2 if part == "train" else TILE)
    eye[part] = packed([tile for tile in cut if (tile.max(axis=2) > 40).mean() > 0.9])
print({part: len(codes) for part, codes in eye.items()})

# %% [markdown]
# ### Exercise 5: prove that regions are apart
#
# *Easy, 6 minutes.* Step 4.


# %% tags=["exercise"]
def regions_apart(one, other, gap):
    """Whether two regions of a picture have at least `gap` pixels between them.

    one, other: (top, bottom, left, right) in pixels; bottom and right are the first row and
    column outside. gap: int, at least 0. With a gap of 0 they may touch, but share no pixel.
    Returns True or False.
    """
    ### BEGIN SOLUTION
    down = max(one[0], other[0]) - min(one[1], other[1])
    across = max(one[2], other[2]) - min(one[3], other[3])
    return max(down, across) >= gap
    ### END SOLUTION


# %% tags=["check"]
check.regions_apart(regions_apart)

# %% [markdown] tags=["hint"]
# Two rectangles are apart if they are apart in *one* direction: one is wholly above the other, or wholly
# beside it. Between the end of the upper one and the begin of the lower one there are
# `max(tops) - min(bottoms)` rows, a number below 0 if they overlap.

# %% tags=["nbval-ignore-output"]
eye_after, _ = fine_tune("frozen", 0, eye["train"], eye["validation"])
eye_mean = decode_lab(torch.from_numpy(eye["train"]))[1].mean((0, 2, 3), keepdim=True)
eye_rows = {"gray": baselines["gray"], "one colour": eye_mean, "before": base, "after": eye_after}
cells = [[name, f"{errors(one, eye['test'])[0]:.1f}"] for name, one in eye_rows.items()]
show_table(["answer", "error, Lab units"], cells, "The lower right quarter of the retina")

# %%
eye_there = enlarged(retina, eye_regions["test"])
show_pictures(
    [cl.to_gray(eye_there), *(coloured(eye_there, n) for n in (base, eye_after)), eye_there],
    ["gray", "before", "after", "truth"],
    "A quarter of a retina in gray; before fine-tuning, in clouds of clashing colours; after it, in "
    "even orange red, as in truth.",
    width=9,
)

# %% tags=["assertion"]
for part in ("validation", "test"):
    assert eye_regions["train"][1] + 32 <= eye_regions[part][0]
assert errors(eye_after, eye["test"])[0] < 0.5 * errors(base, eye["test"])[0]

# %% [markdown]
# Unmistakable again, and this time with the trunk frozen, so only the head has learned. But read the
# second line of the table: *one colour* for the whole eye does as well or better. This domain is easy,
# and without that baseline we would have praised the network for it. Tissue is the better proof, since
# there one colour would not do.
#
# ## 7. Frozen, thawed, gentle, or from nothing?
#
# At equal budget: the same tiles, the same number of steps, the same batches. The seed sets the order of
# the tiles, how they are mirrored and brightened, and the random weights. One run proves little, since
# another seed may turn the result around; so there are three of each.

# %% tags=["nbval-ignore-output"]
runs |= {(arm, seed): fine_tune(arm, seed=seed) for arm in ("frozen",) for seed in range(3)}
runs |= {("thawed", seed): fine_tune("thawed", seed=seed) for seed in (1, 2)}

# %% tags=["nbval-ignore-output"]
runs |= {("gentle", seed): fine_tune("gentle", seed=seed) for seed in range(3)}

# %% tags=["nbval-ignore-output"]
runs |= {("random", seed): fine_tune("random", seed=seed) for seed in range(3)}

# %%
ARMS = ("frozen", "thawed", "gentle", "random")
figure, axes = new_figure(width=6.5, height=3.6)
for number, arm in enumerate(ARMS):
    style = {"color": COLORS[number], "linestyle": LINES[number]}
    for seed in range(3):
        line, label = runs[arm, seed][1], None if seed else arm
        axes[0, 0].plot(np.arange(len(line)) * EVERY, line, **style, lw=1.5, label=label)
axes[0, 0].set(xlabel="step", ylabel="validation loss in nats per pixel")
axes[0, 0].legend(frameon=False)
show(
    figure,
    "Validation loss against steps for four arms with three seeds each: frozen, thawed and gentle "
    "start together and fall, thawed fastest; random starts far higher and ends near frozen.",
)

# %% [markdown]
# Now the test tiles. For each arm the errors of a tile are averaged over its three seeds, and the
# *differences* to another arm are taken tile by tile. The interval says how far such a difference could
# be chance if other tiles had been drawn (95 %, bootstrap over the tiles); the last column says how far
# the seeds alone lie apart. They all come from one slide, so neither says anything of other slides.

# %%
from course_lib.evaluation.summary import bootstrap, interval_text

by_arm = {
    arm: np.array([distances(runs[arm, seed][0], test)[:, 0] for seed in range(3)]) for arm in ARMS
}
before = distances(base, test)[:, 0]

# %% tags=["nbval-ignore-output"]
print("mean error on all pixels, Lab units")
for arm, of_seeds in by_arm.items():
    less = bootstrap(of_seeds.mean(axis=0) - before)
    seeds = ", ".join(f"{x:.1f}" for x in of_seeds.mean(axis=1))
    print(
        f"{arm:7} {of_seeds.mean():5.1f}   less before: {interval_text(less, 1)}   seeds {seeds}"
    )
for one, other in (("thawed", "frozen"), ("gentle", "frozen"), ("random", "frozen")):
    gap = bootstrap(by_arm[one].mean(axis=0) - by_arm[other].mean(axis=0))
    print(f"{one} less {other}: {interval_text(gap, 2)}")

# %% tags=["assertion"]
for arm in ("frozen", "thawed", "gentle"):
    assert bootstrap(by_arm[arm].mean(axis=0) - before)[2] < 0  # in every case better than before
    assert by_arm[arm].mean(axis=1).max() < 0.65 * before.mean()

# %% [markdown]
# How to read such a table. *Less before*: an interval that lies wholly below 0 is a finding, and here
# all arms have one, even that which began with random weights: this domain is easy. What training before
# was worth is the last line: *random less frozen*. The three lines below compare arms: where an interval
# holds 0, or where the seeds lie further apart than the arms, there is **nothing to say** about which is
# better, and whoever says it anyway reads noise. What is left to decide between such arms is what they
# cost, and what they forget.
#
# ## 8. What it forgot
#
# A network has only so many weights, and the new pictures pull at all of them. What happened to its old
# job? We look at the ten general test scenes of lesson 05, which have no tissue in them.
#
# ### Exercise 6: predict, then run
#
# *Easy, 3 minutes.* Whose answers on the general photographs have *moved further* from those of the
# network before: those of `"frozen"` or of `"thawed"`?

# %% tags=["exercise"]
### BEGIN SOLUTION
forgets_more = "thawed"
### END SOLUTION

# %% tags=["check"]
check.forgets_more(forgets_more)

# %% [markdown] tags=["hint"]
# In which of the two do the layers change that found skies, grass and walls?

# %% [markdown]
# How far the colours have moved, and how far they are now from the truth, on ten scenes. Means over
# three seeds, with intervals over the scenes.


# %%
def moved(network):
    """How far a network's colours of the scenes are from those before, one number a scene."""
    L, _ = decode_lab(torch.from_numpy(scenes))
    with torch.inference_mode():
        return (network(L) - base(L)).norm(dim=1).mean(dim=(1, 2)).numpy()


# %% tags=["nbval-ignore-output"]
old_job = distances(base, scenes)[:, 0]
print("Lab units   moved by              further from the truth by")
way = {}
for arm in ("frozen", "thawed", "gentle"):
    networks = [runs[arm, seed][0] for seed in range(3)]
    way[arm] = np.mean([moved(network) for network in networks], axis=0)
    worse = np.mean([distances(network, scenes)[:, 0] for network in networks], axis=0) - old_job
    print(
        f"{arm:9} {interval_text(bootstrap(way[arm]), 1):20}", interval_text(bootstrap(worse), 1)
    )

# %%
lasting = [cl.load_photo(f"scenes/{name}") for name in ("mountain-trail", "rowing-boats")]
stages = {"before": base} | {arm: runs[arm, 0][0] for arm in ("frozen", "thawed", "gentle")}
show_pictures(
    [p for scene in lasting for p in [*(cl.colorize(scene, n) for n in stages.values()), scene]],
    [*stages, "truth"] * len(lasting),
    "A mountain path and boats on a shore as coloured before fine-tuning on tissue, after it with the "
    "trunk frozen, with everything thawed, and with a slow trunk, and in truth. Their colours move "
    "away from those before.",
    columns=5,
    width=9,
)

# %% tags=["assertion"]
assert bootstrap(way["thawed"] - way["gentle"])[1] > 0
for arm in way:
    assert bootstrap(way[arm])[1] > 1

# %% [markdown]
# The answers to the old questions have moved, most where everything could learn at full speed. It is
# called **catastrophic forgetting**. *Further from the truth* says less than *moved*: where a network was
# wrong before, brown and pale can be nearer the truth than a bold guess that missed, and ten photographs
# leave a wide interval. So look at both, and at the pictures. Three remedies: a frozen trunk, a low rate
# for it, or many of the *old* pictures mixed in. And if the old job does not matter, neither does
# forgetting. But measure it, before somebody else does.
#
# ## 9. How many pictures does it take?
#
# Frozen networks again, since they are quick, on 4, on 20, and on all 180 tiles, three seeds each, which
# here choose the tiles too.

# %% tags=["nbval-ignore-output"]
amounts = {len(train): by_arm["frozen"].mean(axis=1)}
for count in (4, 20):
    some = [np.random.default_rng(seed).permutation(len(train))[:count] for seed in range(3)]
    networks = [fine_tune("frozen", i, train[chosen])[0] for i, chosen in enumerate(some)]
    amounts[count] = np.array([errors(network, test)[0] for network in networks])
cells = [[str(n), *(f"{error:.1f}" for error in amounts[n])] for n in sorted(amounts)]
cells.insert(0, ["0", *[f"{before.mean():.1f}"] * 3])
show_table(["tiles", "seed 0", "seed 1", "seed 2"], cells, "Error in Lab units")

# %% tags=["assertion"]
assert np.mean(amounts[4]) < before.mean() and np.mean(amounts[180]) < 0.65 * before.mean()

# %% [markdown]
# Read along the lines first: how far do three seeds lie apart? A difference between two lines that is
# smaller than that is none. That a handful of tiles goes so far has one reason: they are all alike. Most
# tiles have the same few things in them: brown, blue, white. The next section has a domain where this is
# not so.
#
# ## 10. Where it does not work
#
# The course's 88 training objects: fruit, flowers, birds and animals, cut out and laid on white. Half as
# many pictures as tiles, and the same recipe.


# %%
def on_white(rgb, size):
    """A photograph in the middle of a white square, size x size."""
    height, width = rgb.shape[:2]
    side = max(height, width)
    top, left = (side - height) // 2, (side - width) // 2
    canvas = np.full((side, side, 3), 255, np.uint8)
    canvas[top : top + height, left : left + width] = rgb
    return square(canvas, size)


objects = {part: cl.photos(split=part, kind="object") for part in ("train", "validation", "test")}
fruit = {
    part: packed([on_white(photo.load(), 64) for photo in photos], 64)
    for part, photos in objects.items()
}

# %% tags=["nbval-ignore-output"]
fruit_runs = {
    seed: fine_tune("frozen", seed, fruit["train"], fruit["validation"])[0] for seed in range(3)
}
plain = fine_tune("frozen", 0, fruit["train"], fruit["validation"], lam=1.0)[0]
fruit_before = distances(base, fruit["test"])
fruit_after = np.mean([distances(n, fruit["test"]) for n in fruit_runs.values()], axis=0)
for column, kind in enumerate(("all", "pale", "coloured")):
    gain = interval_text(bootstrap(fruit_after[:, column] - fruit_before[:, column]), 1)
    print(f"{kind:8} before {fruit_before[:, column].mean():4.1f}, change {gain}")

# %%
firsts = [on_white(photo.load(), 128) for photo in objects["test"][:8]]
rows = {"before": base, "after": fruit_runs[0], "after, plain loss": plain}
show_pictures(
    [cl.colorize(truth, network, size=64) for network in rows.values() for truth in firsts]
    + firsts,
    [title if i == 0 else "" for title in [*rows, "truth"] for i in range(len(firsts))],
    "The first eight test objects in four rows: before fine-tuning; after it, yellower; after it with "
    "a plain loss, nearly gray; and in truth, each in a colour of its own.",
    columns=len(firsts),
    width=9,
)

# %% tags=["assertion"]
chroma = {}
for name, network in {"rebalanced": fruit_runs[0], "plain": plain}.items():
    L, ab = decode_lab(torch.from_numpy(fruit["test"]))
    with torch.inference_mode():
        chroma[name] = network(L).norm(dim=1)[ab.norm(dim=1) > 20].mean()
assert chroma["plain"] < 0.8 * chroma["rebalanced"]
change = (fruit_after - fruit_before).mean(axis=0)
assert fruit_after[:, 2].mean() > 0.7 * fruit_before[:, 2].mean()  # no payoff as with tissue
assert 0 < change[1] < 4 and fruit_before[:, 1].mean() < 5

# %% [markdown]
# Next to nothing is gained, and something is lost: the ground was nearly white before and is a little
# yellow now. The coloured pixels are hardly less wrong than before, only more alike. **Why?** Hardly a
# kind comes twice: there is no banana among the 88, so that nothing learned from one object tells the
# colour of the next. And where colour is free, *as with a bird or a flower*, no number of pictures
# helps. With tissue, shape decides, and every tile shows the same few shapes. So before you collect
# pictures, ask two things: could an expert who sees the gray picture name the colours? And does each
# kind of thing come often enough?
#
# The third row is another classic. A **plain loss** (`lam=1.0`, no rebalancing) on pictures that are
# mostly white is lowest for a network that agrees: gray. People ask about it in public. What else
# makes a fine-tuning go gray, or go nowhere:
#
# | what you see | what to look at first |
# |---|---|
# | duller with every step | a plain loss on pictures that are mostly white, gray or sepia |
# | gray training pictures | files that have colour channels, but no colour; `build_array` leaves them out |
# | one hue from the first step | weights not loaded: `strict=False` (section 2) |
# | good in training mode, bad in `eval()` | running averages (section 3) |
# | nothing changes | rate too low; an optimizer made before the blocks were thawed |
# | colours of the first pictures only | a loader that never shuffles |
# | fine validation loss, bad pictures | validation pictures among the training pictures, or beside them |
#
# ## 11. Your own pictures
#
# Now yours. Any folder with a few dozen colour photographs of one kind will do. First they have to be
# split, and this time nobody did it for you.
#
# ### Exercise 7: hold pictures out
#
# *Medium, 8 minutes.* Folders are sorted: by name, and so by kind, or by date. Split at random, but
# give the same split for the same seed, so that a later run does not train on what an earlier one held
# out.


# %% tags=["exercise"]
def split_files(paths, share, seed):
    """Split files at random into those to train on and those to hold out.

    paths: list, at least 2 long. share: of those held out, between 0 and 1. seed: int.
    Returns (train, held_out): two lists that share nothing and leave out nothing; held_out has
    round(share * len(paths)) of them, but at least 1, and train at least 1.
    """
    ### BEGIN SOLUTION
    order = np.random.default_rng(seed).permutation(len(paths))
    count = min(len(paths) - 1, max(1, round(share * len(paths))))
    return [paths[i] for i in order[count:]], [paths[i] for i in order[:count]]
    ### END SOLUTION


# %% tags=["check"]
check.split_files(split_files)

# %% [markdown] tags=["hint"]
# `np.random.default_rng(seed).permutation(n)` gives the numbers 0 to n - 1 in a random order that
# depends on the seed alone. Cut it once: a number before the cut cannot be behind it.

# %% [markdown]
# A random split is not enough if your pictures are bursts of one scene, or tiles of one picture: then
# hold out whole scenes, or whole regions.
#
# **Write the name of your folder below** and run on. With `None` the cells take the course's scenes.
# If there is nothing to learn from in your folder, the cell says so and stops there: what an earlier
# folder left behind is forgotten first.

# %%
from course_lib import build_array, hold_out


def by_numbers(paths, share, seed):
    """The library's split, of paths."""
    numbers = hold_out(len(paths), share, seed)
    return tuple([paths[i] for i in part] for part in numbers)


split = check.split_files.choose(split_files, by_numbers)

# %%
my_folder = None  # for example "my pictures"
mine = None
for name in ("mine", "held-out"):
    (out / f"{name}.npy").unlink(missing_ok=True)
if my_folder:
    paths = cl.list_images(my_folder)
else:
    known = cl.photos(split="train", kind="scene") + cl.photos(split="validation", kind="scene")
    paths = [photo.path for photo in known]
if len(paths) < 8:
    raise ValueError(f"{my_folder!r} has {len(paths)} pictures; it takes at least 8")
for name, chosen in zip(("mine", "held-out"), split(paths, 0.25, seed=0), strict=True):
    print(name, build_array(chosen, out / f"{name}.npy", 96, progress=False))

# %% tags=["nbval-ignore-output"]
mine, mine_held = np.load(out / "mine.npy"), np.load(out / "held-out.npy")
own, own_losses = fine_tune("frozen", 0, mine, mine_held)
best_at = int(np.argmin(own_losses)) * EVERY
print(f"held-out loss {own_losses[0]:.2f} before, {min(own_losses):.2f} after {best_at} steps")

# %%
L_held, ab_held = decode_lab(torch.from_numpy(mine_held[:4]))
with torch.inference_mode():
    guesses = [torch.zeros_like(ab_held), base(L_held), own(L_held), ab_held]
show_pictures(
    [
        cl.lab_to_rgb(torch.cat([L_held, ab], dim=1)[i].permute(1, 2, 0).numpy())
        for ab in guesses
        for i in range(len(L_held))
    ],
    [title for title in ("gray", "before", "after", "truth") for _ in L_held],
    "Held-out pictures of the folder in four rows: gray, coloured before and after fine-tuning on the "
    "folder's other pictures, and in truth.",
    columns=len(L_held),
)

# %% [markdown]
# With the course's scenes do not expect much: sixteen photographs of everything are no domain. If the
# loss has hardly moved, or the best is after 0 steps, the answer is: with these pictures, leave it
# alone. That is a result too.
#
# To keep a network, save it with the size at which it was trained; `cl.eccv16(path)` and the command
# line (`--weights`) take the file.

# %%
from course_lib import save_weights

save_weights(out / "mine.safetensors", own, {"input_size": str(SIZE)})
again = cl.eccv16(out / "mine.safetensors")
print("input size:", again.input_size)

# %% tags=["assertion"]
assert min(own_losses) <= own_losses[0]
with torch.inference_mode():
    assert (again(L_held) - own(L_held)).abs().mean() < 0.5

# %% [markdown]
# More steps, averaged weights, checkpoints, several processes: the same as a command, once `prepare`
# has made the arrays.
#
# ```
# python -m course_lib.training finetune --run runs/mine \
#     --train mine.npy --validation held-out.npy
# python -m course_lib.training export --run runs/mine \
#     --validation held-out.npy --output mine.safetensors
# ```
#
# ## 12. A report of one page
#
# An experiment that nobody can read was not done. The page below has what a reader needs to judge your
# numbers: the question, the **protocol**, the numbers with their spread, pictures that were not picked
# by hand, and what all this does *not* show. Change the question and the doubts if you changed the
# experiment.

# %%
question = "Does training before help, when a colorizer learns stained tissue from one picture?"
doubts = (
    "One slide: nothing here says what happens on tissue that another laboratory has stained. One "
    f"network of {base.width:g} of the published width, {STEPS} steps. The rate was the same for all "
    "arms, and another may suit one of them better."
)

# %%
protocol = {
    "Data": f"{len(train)} training, {len(validation)} validation, {len(test)} test tiles of one "
    f"picture, from regions at least 16 pixels apart, seen at {SIZE} px",
    "Arms": "frozen: head alone learns; thawed: all learns; gentle: the trunk at a tenth of the "
    "rate; random: from random weights",
    "Budget": f"{STEPS} steps of 12 tiles, AdamW, rate {RATE:g}",
    "Seeds": "0, 1, 2: order of tiles, augmentation, random weights",
    "Kept": "the weights with the lowest loss on the validation tiles",
    "Measure": "test tiles: mean distance from the true ab, Lab units; 95 % bootstrap interval of "
    "the paired difference to the network before",
}

# %% tags=["nbval-ignore-output"]
from course_lib.training import write_report

table = [["network", "error", "less before", "seeds"], ["before", f"{before.mean():.1f}", "", ""]]
for arm, of_seeds in by_arm.items():
    less = interval_text(bootstrap(of_seeds.mean(axis=0) - before), 1)
    table.append([arm, f"{of_seeds.mean():.1f}", less, len(of_seeds)])

# %%
page = write_report(
    out / "report.html",
    title="Fine-tuning a colorizer on tissue",
    question=question,
    protocol=protocol,
    table=table,
    caption="Mean error in Lab units over seeds and tiles; lower is better.",
    picture=np.hstack([cl.to_gray(there), coloured(there, base), coloured(there, after), there]),
    description="The test region; from the left: gray, before, after (thawed, seed 0), truth.",
    doubts=doubts,
)
print(page.name)

# %% tags=["assertion"]
text = page.read_text(encoding="utf-8")
assert all(point in text for point in protocol) and text.count("<tr>") == len(table)

# %% [markdown]
# The page is in `notebooks/out/lesson-07/report.html`; open it from the file browser on the left, and
# print it, on one sheet of paper, if you like. Pictures are inside the file, so that you can send it.
#
# ### Challenge: colour tissue without a network
#
# *Hard, 10 minutes.* One colour for all is a poor rival. You have the training tiles, and you know that
# what is dark is brown and what is light is white. Write a colourizer that is *not* a network, and see
# how near it comes. The check measures it on the test tiles and ranks it against gray, one colour, and
# the mean colour of each lightness. To pass, beat gray and one colour. To win, beat them all. Then
# compare with what the network achieved in section 7.


# %% tags=["exercise"]
def colour_tissue(L, known_L, known_ab):
    """Colours for tissue, from its lightness and from tiles whose colours are known.

    L: array (N, 1, H, W), lightness in 0..100, of tiles to colour.
    known_L, known_ab: arrays (M, 1, H, W) and (M, 2, H, W) of the training tiles.
    Returns an array (N, 2, H, W), ab in Lab units.
    """
    ### BEGIN SOLUTION
    from scipy.ndimage import gaussian_filter
    from scipy.spatial import cKDTree

    def features(x):
        around = [gaussian_filter(x[:, 0], (0, s, s)) for s in (1, 3, 8)]
        return np.stack([x[:, 0], *around], axis=-1).reshape(-1, 4)

    some = np.random.default_rng(0).permutation(known_L.size)[:20000]
    colours = np.moveaxis(known_ab, 1, -1).reshape(-1, 2)[some]
    _, nearest = cKDTree(features(known_L)[some]).query(features(L), k=30)
    ab = colours[nearest].mean(axis=1).reshape(len(L), *L.shape[2:], 2)
    return np.moveaxis(ab, -1, 1)
    ### END SOLUTION


# %% tags=["check"]
check.colour_tissue(colour_tissue)

# %% [markdown] tags=["hint"]
# A first step: for each whole lightness from 0 to 100, the mean a and b of all known pixels of that
# lightness (`np.bincount` with weights), looked up for each new pixel. A second one: not the lightness
# alone, but also how light it is *around* the pixel (`scipy.ndimage.gaussian_filter`).

# %% [markdown]
# ## Summary
#
# - Fine-tuning pays where colours follow from what can be seen in gray, often enough, and the network has
#   not seen it. Where every object has a colour of its own it cannot.
# - Hold out by place, with a gap, and prove it. Compare with gray *and* with one colour for all.
# - Before the first step let a pretrained network do its old job. `strict=False` hides that nothing
#   was loaded.
# - To freeze a block takes two things: no gradients, and evaluation mode. Running averages move without
#   any optimizer.
# - Compare arms by differences, picture by picture, with an interval, in several seeds; where the
#   interval holds 0, say nothing.
# - Fine-tuning forgets: measure the old job. Early stopping keeps the best weights, which may be those
#   at the start.
#
# ## Further reading
#
# - J. Yosinski, J. Clune, Y. Bengio, H. Lipson, "How transferable are features in deep neural
#   networks?", NIPS 2014, arXiv:1411.1792.
# - J. Howard, S. Ruder, "Universal Language Model Fine-tuning for Text Classification", ACL 2018,
#   arXiv:1801.06146. Discriminative rates and gradual thawing.
# - S. Kornblith, J. Shlens, Q. V. Le, "Do Better ImageNet Models Transfer Better?", CVPR 2019,
#   arXiv:1805.08974.
# - K. He, R. Girshick, P. Dollár, "Rethinking ImageNet Pre-training", ICCV 2019, arXiv:1811.08883:
#   with data and time enough, random weights catch up.
# - J. Kirkpatrick et al., "Overcoming catastrophic forgetting in neural networks", PNAS 2017,
#   arXiv:1612.00796.
# - L. Prechelt, "Early stopping, but when?", in Neural Networks: Tricks of the Trade, Springer 1998.
