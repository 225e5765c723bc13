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
# You have a few dozen photographs of your own: fruit for a shop, birds from your garden, your
# grandfather's slides. Far too few to train a network from nothing, and yet the trained ones colour
# them badly, because they never saw their like. **Transfer learning** lets a network that has learned
# on many pictures go on learning on your few. It is how most networks in use were made. It is also
# where most goes wrong without a word: training runs, losses fall, and the pictures come out gray.
#
# **You will do**
#
# - meet a domain that the course's network colours poorly, and measure how poorly;
# - find out whether pretrained weights were loaded at all;
# - freeze a trunk, thaw it, and train from nothing, at equal budget with three seeds each;
# - measure what fine-tuning forgets, how many pictures it takes, and when to stop;
# - fine-tune on a folder of your own, and write a report of one page.
#
# **You will learn**
#
# - what batch normalization does behind your back in a frozen block;
# - why fine-tuning turns gray, and why a network may run with no colour at all;
# - which numbers an honest comparison needs.
#
# **You need** lesson 03: colour as classes, rebalancing, the blocks of ECCV16. It helps to have trained
# some network before.
#
# **Time** about 100 minutes: 50 of reading, 50 of exercises. The computer needs about three.

# %%
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

import course_lib as cl
from course_lib.checks import lesson_07 as check
from course_lib.plotting import COLORS, LINES, new_figure, show, show_lines, show_pictures

out = Path("out/lesson-07")
out.mkdir(parents=True, exist_ok=True)

# %% [markdown]
# ## 1. A domain that it colours poorly
#
# A **domain** is a kind of pictures. The course's network was trained on photographs of the world,
# where most things stand before skies, lawns and walls, and a few, from Caltech-101, on plain white.
# Our new domain has the last kind alone: fruit, vegetables, flowers, birds and animals, cut out and
# laid on white. So it is less strange to the network than it might be, and less poorly coloured; yours
# may be stranger. Most are small, so 48 pixels hold all there is. A photograph that is not square gets
# white margins.

# %%
from course_lib.data.arrays import decode_lab, encode_lab, square

SIZE = 48


def on_white(rgb, size):
    """A photograph in the middle of a white square, size x size."""
    height, width = rgb.shape[:2]
    side = max(height, width)
    top, left = (side - height) // 2, (side - width) // 2
    canvas = np.full((side, side, 3), 255, np.uint8)
    canvas[top : top + height, left : left + width] = rgb
    return square(canvas, size)


def packed(photos, fit):
    """Photographs as training takes them: Lab in three bytes, (N, 3, SIZE, SIZE)."""
    lab = np.stack([cl.rgb_to_lab(fit(photo.load(), SIZE)) for photo in photos])
    return encode_lab(lab).transpose(0, 3, 1, 2)


# %% [markdown]
# Three parts, and each has its use. **Training** pictures are learned from. **Validation** pictures
# decide: which weights to keep, when to stop, which rate is best. **Test** pictures are looked at when
# everything is decided. The shipped photographs are split *by object*: no other picture of the same
# apple is in another part.

# %%
parts = ("train", "validation", "test")
objects = {part: cl.photos(split=part, kind="object") for part in parts}
train, validation, test = (packed(photos, on_white) for photos in objects.values())
print({part: len(photos) for part, photos in objects.items()})

# %% [markdown]
# Two mistakes that are in widely used tutorials happen in these lines. In one, a loop over
# "validation" pictures reuses the variable of the training pictures; its fine validation loss is that
# of pictures learned by heart. In the other there is no held-out number at all. A line of code rules
# the first one out:

# %%
seen = {picture.tobytes() for picture in train}
print("held-out pictures among the training pictures:", end=" ")
print(sum(picture.tobytes() in seen for picture in [*validation, *test]))

# %% [markdown]
# Now the network, and what it makes of six test objects.

# %%
base = cl.eccv16()
names = ("broccoli", "butterflyfish", "rainbow-lorikeet", "purple-star-flower", "strawberry")
names += ("red-anemone",)
truths = [on_white(cl.load_photo(f"objects/{name}"), 192) for name in names]


def row(network):
    """The six test objects as a network colours them."""
    return [cl.colorize(truth, network, size=SIZE) for truth in truths]


# %%
show_pictures(
    [cl.to_gray(truth) for truth in truths] + row(base) + truths,
    ["gray"] * 6 + ["before"] * 6 + ["truth"] * 6,
    "Six objects on white, gray, coloured by the course's network, and in truth. The network gives "
    "a strawberry and an anemone some red, the rest dull brown, orange and yellow, and the white "
    "ground a yellow glow; in truth the others are green, turquoise, blue, orange and violet.",
    columns=6,
)

# %% [markdown]
# Compare the middle row with the lower one. Of the red of strawberry and anemone it has found some;
# of the green, the blue and the violet next to nothing, and the white ground glows yellow.
#
# ### Measure where it matters
#
# On these pictures the usual measures mislead: most pixels are white ground, and white is right in the
# gray picture already. So we measure two groups of pixels apart. **Coloured** are those whose true
# chroma is above 20; **other** is the rest: the ground, and what is gray or black. A network that
# paints everything red does better on the first and pays on the second; both are to be looked at.


# %%
def errors(network, codes):
    """Mean distance from the true ab, on coloured pixels and on all others, in Lab units."""
    L, ab = decode_lab(torch.from_numpy(codes))
    with torch.inference_mode():
        predicted = network.eval()(L) if network else torch.zeros_like(ab)
    distance, coloured = (predicted - ab).norm(dim=1), ab.norm(dim=1) > 20
    return distance[coloured].mean().item(), distance[~coloured].mean().item()


# %% tags=["nbval-ignore-output"]
_, true_ab = decode_lab(torch.from_numpy(test))
print(f"coloured: {(true_ab.norm(dim=1) > 20).float().mean():.0%} of the test pictures' pixels\n")
for name, network in {"gray": None, "before fine-tuning": base}.items():
    print("{:20} coloured off by {:2.0f}, other by {:2.0f}".format(name, *errors(network, test)))

# %% tags=["assertion"]
assert len(train) == 88 and len(validation) == 27 and len(test) == 28
assert 0.1 < (true_ab.norm(dim=1) > 20).float().mean() < 0.35
assert errors(base, test)[0] > 20
assert errors(base, test)[0] < errors(None, test)[0]

# %% [markdown]
# Three pixels of four count as "other". Any mean over all of them would have drowned the colours.
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
# Loading it raises an error, as it should. An advice that is often given is to add
# `strict=False`, and the error is gone.

# %%
from course_lib.models.eccv16 import ECCV16

torch.manual_seed(0)
hopeful = ECCV16(base.width, base.temperature)
report = hopeful.load_state_dict(wrapped, strict=False)
show_pictures(
    row(hopeful.eval()),
    list(names),
    "The six objects coloured by the network that was loaded with strict=False: all in one pale "
    "brownish pink, the ground too.",
)

# %% [markdown]
# It runs. But one colour for everything, ground included, is the mean of all bins: the answer of an
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
# *Medium, 10 minutes.* The function below, in other words, is in widely read tutorials, under the name
# of a pretrained backbone. Mend it, so that it loads files with and without the prefix, and so that a
# file that lacks an entry is an error.


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
# `cl.eccv16` is strict, and says what is wrong:

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
flat = [cl.rgb_to_lab(picture)[..., 1:].reshape(-1, 2) for picture in row(hopeful)]
assert max(np.abs(ab.mean(axis=0) - flat[0].mean(axis=0)).max() for ab in flat) < 5

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
from course_lib.training.finetune import TRUNK, FineTuning, freeze

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
# *Medium, 10 minutes.* Write it so that *nothing* in the block changes any more.


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
L_train, _ = decode_lab(torch.from_numpy(train))
for _ in range(3):
    for part in L_train.split(16):
        drifted(part)
scenes = packed(cl.photos(split="test", kind="scene"), square)
for name, network in {"as it was": base, "after looking only": drifted}.items():
    print(f"{name:20} coloured pixels of ten scenes off by {errors(network, scenes)[0]:.0f}")

# %% tags=["assertion"]
weights_same = all(
    torch.equal(p, q) for p, q in zip(base.parameters(), drifted.parameters(), strict=True)
)
buffers_same = all(
    torch.equal(p, q) for p, q in zip(base.buffers(), drifted.buffers(), strict=True)
)
assert weights_same and not buffers_same
assert errors(drifted, scenes)[0] > errors(base, scenes)[0] + 0.5

# %% [markdown]
# Every weight is what it was, and the network has changed: its averages are now those of white
# pictures, and its old job suffers. It is a classic bug, and it hides well, since `network.train()` at
# the top of every epoch undoes the `eval()` of a frozen block.
#
# Even where blocks may learn, the averages are better left alone when the new pictures are few: they
# were made by very many pictures, and all weights fit them. The library's `FineTuning` does that unless
# told otherwise, and puts frozen blocks back into evaluation mode before every step.
#
# ## 4. Frozen, thawed, or from nothing?
#
# Three ways, at equal budget: the same 88 pictures, the same number of steps, the same batches.
#
# - **frozen**: the trained network; the trunk stays, the head learns.
# - **thawed**: the trained network; everything learns.
# - **random**: the same network with random weights; everything learns. It shows what the training
#   before was worth.
#
# `FineTuning` wraps the recipe that you know from lesson 03: it measures the validation pictures every
# few steps and keeps the weights that did best, as `recipe.best`.

# %%
from course_lib.training.classification import Classification, ClassificationSettings
from course_lib.training.loop import fit
from course_lib.training.optim import cosine_rate, initialize

STEPS = 20
settings = ClassificationSettings(
    steps=STEPS, batch_size=16, rate=1e-3, warmup=3, average=0.9, precision="float32"
)


# %%
def from_nothing(seed):
    """The same network with random weights."""
    torch.manual_seed(seed)
    network = ECCV16(base.width, base.temperature)
    initialize(network)
    return network


# %%
def tune(arm, seed, pictures=None, rates=None, patience=None, **changed):
    """Train one arm with one seed; returns the recipe and its history."""
    network = deepcopy(base) if arm != "random" else from_nothing(seed)
    if arm == "frozen":
        freeze(network, TRUNK)
    chosen = replace(settings, seed=seed, **changed)
    pictures = train if pictures is None else pictures
    recipe = Classification(network, pictures, validation, chosen)
    still = "frozen" if arm == "random" else "all"
    recipe = FineTuning(recipe, rates=rates, patience=patience, still=still)
    options = {"record_every": STEPS // 4, "evaluate_every": STEPS // 4, "progress": False}
    return recipe, fit(recipe, chosen.steps, **options)


# %% [markdown]
# The seed sets the order of the pictures, how they are mirrored and brightened, and the random weights.
# (An order there must be: a loader that **never shuffles**, another bug of tutorials, shows all birds
# first and all vegetables last.) One run proves little, since another seed may turn the result around.
# So there are three of each; the next three cells take much of the lesson's computing time.

# %% tags=["nbval-ignore-output"]
ARMS = ("frozen", "thawed", "random")
runs = {(arm, 0): tune(arm, 0) for arm in ARMS}
for (arm, _), (_, history) in runs.items():
    print(f"{arm}: {history.rows[-1]['seconds']:.0f} seconds of training")

# %%
runs |= {(arm, 1): tune(arm, 1) for arm in ARMS}

# %%
runs |= {(arm, 2): tune(arm, 2) for arm in ARMS}

# %% [markdown]
# A **learning curve** shows a loss against the steps, here that of the validation pictures. Thin lines
# are single seeds, thick ones their mean.

# %%
curves = {}
for (arm, _), (recipe, history) in runs.items():
    steps, losses = history.column("validation_loss")
    curves.setdefault(arm, []).append([recipe.start["validation_loss"], *losses])

# %%
figure, axes = new_figure(width=6.5, height=3.6)
for number, (arm, of_seeds) in enumerate(curves.items()):
    style = {"color": COLORS[number], "linestyle": LINES[number]}
    axes[0, 0].plot([0, *steps], np.transpose(of_seeds), **style, lw=0.8, alpha=0.6)
    axes[0, 0].plot([0, *steps], np.mean(of_seeds, axis=0), **style, lw=2.5, label=arm)
axes[0, 0].set(xlabel="step", ylabel="validation loss in nats per pixel")
axes[0, 0].legend(frameon=False)
show(
    figure,
    "Validation loss against steps for three arms with three seeds each. Frozen and thawed fall at "
    "once and level out, thawed below frozen; random starts higher, falls more slowly, and is still "
    "above both at the end.",
)

# %% [markdown]
# The random network falls too, since how common each colour is can be learned from nothing, but it ends
# above where the other two began. Of these, thawed comes out below frozen. Would you choose it?
#
# Now the test pictures, with the weights that did best on the validation pictures.


# %%
ruler = Classification(deepcopy(base), train, validation, settings)
L_test, ab_test = decode_lab(torch.from_numpy(test))


def results(network):
    """Test loss in nats per pixel; errors on coloured and on other pixels in Lab units."""
    with torch.inference_mode():
        loss = ruler.losses(network.eval(), L_test, ab_test, 0)["loss"].item()
    return loss, *errors(network, test)


# %% tags=["nbval-ignore-output"]
table = {"before": [results(base)]}
for arm in ARMS:
    table[arm] = [results(runs[arm, seed][0].best) for seed in range(3)]
print("means of three seeds; in brackets the lowest and the highest\n")
print("          test loss           coloured          other")
for arm, values in table.items():
    low, mean, high = (f(values, axis=0) for f in (np.min, np.mean, np.max))
    cells = [f"{mean[i]:5.1f} ({low[i]:.1f}, {high[i]:.1f})" for i in (1, 2)]
    print(f"{arm:8} {mean[0]:5.2f} ({low[0]:.2f}, {high[0]:.2f})", *cells)

# %% tags=["assertion"]
for thawed, random in zip(table["thawed"], table["random"], strict=True):
    assert thawed[0] < random[0] - 0.1  # the loss, in every seed
    assert sum(thawed[1:]) < sum(random[1:]) - 1  # and the errors
for frozen, random in zip(table["frozen"], table["random"], strict=True):
    assert frozen[0] < random[0] - 0.1
    assert frozen[0] < table["before"][0][0] - 0.02 and frozen[1] < table["before"][0][1] - 0.5
kept_loss = {
    arm: np.mean([runs[arm, seed][0].best_value for seed in range(3)])
    for arm in ("frozen", "thawed")
}
assert kept_loss["thawed"] < kept_loss["frozen"] - 0.03  # validation says one thing
means = {arm: np.mean(values, axis=0) for arm, values in table.items()}
assert means["thawed"][0] > means["frozen"][0] + 0.03  # and test another
assert abs(means["thawed"][0] - means["before"][0]) < 0.05
assert means["frozen"][1] < means["thawed"][1] - 0.5 < means["before"][1] - 1
assert means["frozen"][2] < means["before"][2] - 1 and means["thawed"][2] > means["frozen"][2] + 1
assert np.ptp(table["thawed"], axis=0)[2] > np.ptp(table["frozen"], axis=0)[2]
assert means["random"][0] > means["before"][0] + 0.2
assert np.min(curves["random"], axis=0)[-1] > curves["frozen"][0][0]

# %% [markdown]
# Four things to read from it.
#
# - The **thawed** pretrained network beats the **random** one in every seed, at equal budget. So does
#   the frozen one. And random is worse than the network was before any of it: 88 pictures are no
#   match for the many thousands that it has seen.
# - The **frozen** one has gained, in every seed, and little: the loss is somewhat lower than before, and
#   both groups of pixels are a little nearer to the truth.
# - The **thawed** one has gained next to nothing: its test loss is about what it was before. On coloured
#   pixels it is a little nearer to the truth, if less so than the frozen one; on white and gray pixels it
#   is further off than that, and how far depends on the seed.
# - **Validation said otherwise.** There thawed was the best. But 27 pictures are few, they also picked
#   among its weights, and 28 others, of other objects, do not agree. This is what test pictures are
#   for, and why you look at them once.

# %%
tuned = {arm: runs[arm, 0][0].best for arm in ARMS}
titles = ["before", *tuned, "truth"]
show_pictures(
    row(base) + [picture for network in tuned.values() for picture in row(network)] + truths,
    [title for title in titles for _ in names],
    "The six test objects in five rows: before fine-tuning; with a frozen trunk, with more brown and "
    "yellow and less red; with a thawed trunk, the strawberry a little redder and the broccoli dark "
    "red; from random weights, all in one brown on a tinted ground; and in truth.",
    columns=6,
)

# %% tags=["assertion"]
coloured = {arm: row(net) for arm, net in {"before": base, **tuned}.items()}
labs = {arm: [cl.rgb_to_lab(rgb) for rgb in rgbs] for arm, rgbs in coloured.items()}
# mean a and b of what is not ground: the higher a, the redder
mean_ab = {
    arm: np.array([lab[lab[..., 0] < 70][:, 1:].mean(axis=0) for lab in of_objects])
    for arm, of_objects in labs.items()
}
broccoli, strawberry, anemone = 0, 4, 5
red = {arm: of_objects[:, 0] for arm, of_objects in mean_ab.items()}
assert red["thawed"][broccoli] > max(red["before"][broccoli], red["frozen"][broccoli]) + 8
assert red["before"][strawberry] + 1 < red["thawed"][strawberry] < red["before"][strawberry] + 8
for arm in ("frozen", "thawed"):
    assert red[arm][anemone] < red["before"][anemone] - 3
assert mean_ab["frozen"][broccoli, 1] > mean_ab["before"][broccoli, 1] + 5
assert (np.ptp(mean_ab["random"], axis=0) < 12).all()

# %% [markdown]
# Look down the columns, and honestly. The frozen row is the row before with more brown and yellow, and
# the gain in the numbers is hard to see; the anemone was redder before. The thawed row, here of seed 0,
# has a strawberry that is a little redder, and a broccoli that is dark red too. 88 pictures and 20 steps
# teach which colours are common in this domain and how strong they are. They cannot teach that this
# fish is turquoise; nothing in gray tells. The random network has learned how common colours are, and
# little else: it gives them to any object alike, the ground included.
#
# Two reasons suggest themselves for so small a gain. The network had seen things on white before, so
# there was less to win; and 88 pictures are few. Section 8 looks into the second.
#
# ## 5. What it forgot
#
# A network has only so many weights, and the new pictures pull at all of them. What happened to its old
# job? We look at the ten general test scenes of lesson 05, which have nothing white around them.
#
# ### Exercise 3: predict, then run
#
# *Easy, 5 minutes.* Which arm got *further from the truth* on the general photographs, compared with
# the network before: `"frozen"` or `"thawed"`?

# %% tags=["exercise"]
### BEGIN SOLUTION
forgets_more = "thawed"
### END SOLUTION

# %% tags=["check"]
check.forgets_more(forgets_more)

# %% [markdown] tags=["hint"]
# In which of the two do the layers change that found skies, grass and walls?

# %% [markdown]
# The protocol: centre squares of 128 pixels, coloured at the network's own input size; PSNR over RGB,
# and AuC, the area under the curve of ab error from 0 to 150 (lesson 05, section 10). Means over ten
# scenes.

# %%
from course_lib.metrics import ab_error_curve, auc, psnr

scene_truths = [square(photo.load(), 128) for photo in cl.photos(split="test", kind="scene")]


def to_ab(pictures):
    """ab of pictures: (N, 2, H, W)."""
    return np.stack([cl.rgb_to_lab(rgb)[..., 1:] for rgb in pictures]).transpose(0, 3, 1, 2)


def general(network):
    """PSNR in dB and AuC in percent on the general test scenes; None: of the gray pictures."""
    done = [cl.colorize(t, network) if network else cl.to_gray(t) for t in scene_truths]
    quality = np.mean([psnr(*pair) for pair in zip(done, scene_truths, strict=True)])
    return quality, auc(ab_error_curve(to_ab(done), to_ab(scene_truths)))


# %% [markdown]
# One remedy we try at once: **discriminative learning rates**. Everything may learn, but the trunk at a
# tenth of the head's rate. Early layers know the most general things, and should change least. We call
# this arm "gentle", and train it with the same three seeds.

# %%
slow = dict.fromkeys(TRUNK, 0.1)
runs |= {("gentle", seed): tune("thawed", seed, rates=slow) for seed in range(3)}

# %% tags=["nbval-ignore-output"]
table["gentle"] = [results(runs["gentle", seed][0].best) for seed in range(3)]
kept = {"gray": [general(None)], "before": [general(base)]}
for arm in ("frozen", "thawed", "gentle"):
    kept[arm] = [general(runs[arm, seed][0].best) for seed in range(3)]
print("          ten general scenes   the new domain")
print("            PSNR     AuC         test loss")
for arm, values in kept.items():
    new = f"{np.mean(table[arm], axis=0)[0]:14.2f}" if arm in table else ""
    print("{:8} {:7.1f} {:7.1f}".format(arm, *np.mean(values, axis=0)), new)

# %% tags=["assertion"]
quality = {arm: np.mean(values, axis=0)[1] for arm, values in kept.items()}
assert quality["thawed"] < quality["before"] - 1
assert quality["thawed"] < quality["frozen"] - 0.5
assert quality["thawed"] < quality["gentle"] - 0.5
assert quality["before"] - quality["thawed"] > 0.35 * (quality["before"] - quality["gray"])
for arm in ("frozen", "gentle"):
    assert quality["before"] > quality[arm]
assert np.mean(table["gentle"], axis=0)[0] < np.mean(table["thawed"], axis=0)[0] - 0.02
assert abs(np.mean(table["gentle"], axis=0)[0] - np.mean(table["frozen"], axis=0)[0]) < 0.08

# %% [markdown]
# The thawed network got next to nothing in the new domain, and paid for it with the old one: a good part of
# what it had above gray photographs is gone. It is called **catastrophic forgetting**. Freezing
# limits it, and so does a lower rate for the trunk; on the new domain these two do about equally
# well, and better than full speed. A second remedy, where you have them, is to mix in many of the
# *old* pictures. And if the old job does not matter, forgetting does not matter either. But measure
# it, before somebody else does.

# %%
meadow = [cl.load_photo(f"scenes/{name}") for name in ("autumn-mountain", "mountain-trail")]
columns = {"before": base, "thawed": tuned["thawed"], "gentle": runs["gentle", 0][0].best}
show_pictures(
    [
        picture
        for scene in meadow
        for picture in [*(cl.colorize(scene, network) for network in columns.values()), scene]
    ],
    [*columns, "truth"] * len(meadow),
    "Two mountain landscapes before fine-tuning on objects; after it with everything thawed, the "
    "grass of both blue and the upper wood red; after it with a slow trunk, nearly as before; and "
    "in truth.",
    columns=4,
)

# %% tags=["assertion"]
after = [[cl.rgb_to_lab(cl.colorize(scene, net)) for scene in meadow] for net in columns.values()]
# b of the lower quarter, which is grass: the lower, the bluer
before, thawed, slowly = (
    np.array([lab[-len(lab) // 4 :, :, 2].mean() for lab in x]) for x in after
)
assert (before > 10).all() and (thawed < -3).all() and (abs(slowly - before) < 6).all()


def wood(lab):
    """Mean a of the upper photograph's wood: above 0 it is red, below 0 green."""
    height, width = lab.shape[:2]
    return lab[int(0.4 * height) : int(0.6 * height), : width // 2, 1].mean()


for seed in range(3):
    red, green = (
        wood(cl.rgb_to_lab(cl.colorize(meadow[0], runs[arm, seed][0].best)))
        for arm in ("thawed", "gentle")
    )
    assert red > 10 and green < 0 and wood(after[0][0]) < 0

# %% [markdown]
# The grass was green, and with everything thawed it is blue; a red haze lies over the wood. The haze
# comes with every seed, the blue with this one. On white ground there is neither grass nor wood, and
# nothing reminded the network of them. With a slow trunk it remembers.
#
# ## 6. Learning rates
#
# How fast should it learn? We try three rates, with everything thawed, and look at the validation loss.
# The test pictures have no say in it: whoever picks the rate by the test pictures has fitted a number
# to them.

# %% tags=["nbval-ignore-output"]
sweep = {1e-5: tune("thawed", 0, rate=1e-5), 1e-3: runs["thawed", 0]}
sweep[3e-2] = tune("thawed", 0, rate=3e-2)
curves = {}
for rate, (recipe, history) in sweep.items():
    steps, losses = history.column("validation_loss")
    curves[f"rate {rate:g}"] = [0, *steps], [recipe.start["validation_loss"], *losses]
for name, (_, losses) in curves.items():
    print(f"{name:10}  from {losses[0]:.2f} to {losses[-1]:.2f}, at most {max(losses):.2f}")

# %%
figure, axes = new_figure(width=6.5, height=3.4)
for number, (name, (x, losses)) in enumerate(curves.items()):
    axes[0, 0].plot(x, losses, label=name, color=COLORS[number], linestyle=LINES[number])
axes[0, 0].set(xlabel="step", ylabel="validation loss in nats per pixel", ylim=(3.6, 4.6))
axes[0, 0].legend(frameon=False)
show(
    figure,
    "Validation loss against steps at three rates: at 0.00001 it hardly falls, at 0.001 it falls and "
    "levels out, at 0.03 it leaves the figure at the top, comes back, and ends above the two others.",
)

# %% tags=["assertion"]
begin, end = (np.array([losses[i] for _, losses in curves.values()]) for i in (0, -1))
assert end[1] < begin[1] - 0.15
assert begin[0] - end[0] < 0.5 * (begin[1] - end[1])
assert not end[2] < end[1] + 0.1 and not end[2] < end[0]  # it may be nan
assert not np.max(curves["rate 0.03"][1]) < begin[2] + 0.5
assert sweep[3e-2][0].best_value <= begin[2]

# %% [markdown]
# Too low a rate does little within the budget: you would think that fine-tuning does not work. Too
# high a rate destroys within a few steps what took long to learn (its peak is far outside of the
# figure), and goes on from there as a random network does. If that third run never gets below where
# it began, the best weights are those of step 0: a fine-tuning that only harms gives back what it
# was given.
#
# ## 7. A frozen trunk's features never change
#
# So why compute them again in every step? Before the first step, send every picture through the trunk
# once, and keep what comes out, the **features**. Then train the head on them.


# %%
@torch.no_grad()
def trunk_features(codes):
    """What the frozen trunk makes of pictures, (N, C, h, w), and their true ab."""
    L, ab = decode_lab(torch.from_numpy(codes))
    x = (L - 50) / 100
    for name in TRUNK:
        x = base.get_submodule(name)(x)
    return x, ab


both_ways = np.concatenate([train, train[..., ::-1]])  # each picture, and its mirror image
features, colours = trunk_features(both_ways)
print("pictures:", both_ways.shape, " features:", tuple(features.shape))

# %% tags=["assertion"]
with torch.inference_mode():
    assert torch.allclose(base.model8(features[:2]), base.logits(L_train[:2]), atol=1e-3)

# %% [markdown]
# What is lost is augmentation that would change what the trunk sees: we keep the mirrored pictures, and
# give up the changes of brightness. The head takes features where the network took L; for the loss we
# use the recipe's own.


# %%
class Head(nn.Module):
    """Block 8 alone: from features to the logits of the 313 bins."""

    def __init__(self):
        super().__init__()
        self.model8 = deepcopy(base.model8)

    def logits(self, x):
        return self.model8(x)


def with_head(head):
    """The whole network, with another head."""
    network = deepcopy(base)
    network.model8.load_state_dict(head.model8.state_dict())
    return network.eval()


# %%
def train_head(numbers, seed, lam=0.5):
    """Train a head on the cached features of some training pictures, for the usual steps."""
    changed = replace(settings, batch_size=min(16, len(numbers)), lam=lam)
    loss_of = Classification(deepcopy(base), train[numbers], validation, changed).losses
    chosen = torch.tensor([*numbers, *(number + len(train) for number in numbers)])
    head, generator = Head(), torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(head.parameters(), betas=(0.9, 0.99), weight_decay=1e-3)
    for step in range(STEPS):
        optimizer.param_groups[0]["lr"] = cosine_rate(step, STEPS, settings.rate, settings.warmup)
        batch = chosen[torch.randperm(len(chosen), generator=generator)[:16]]
        loss_of(head, features[batch], colours[batch], 0)["loss"].backward()
        optimizer.step()
        optimizer.zero_grad()
    return with_head(head)


# %% [markdown]
# The heart of it is the loop that every training has: a batch, a loss, a step. What does it save?
# Seconds depend on the machine and on who else uses it, so we count multiplications and additions, of
# one step forward and backward.

# %% tags=["nbval-ignore-output"]
from torch.utils.flop_counter import FlopCounterMode


def work(logits_of, inputs):
    """Billions of multiplications and additions of a step on a batch."""
    with FlopCounterMode(display=False) as counter:
        logits_of(inputs).sum().backward()
    return counter.get_total_flops() / 1e9


ways = {arm: runs[arm, 0][0].recipe.network.logits for arm in ("thawed", "frozen")}
for name, logits_of in ways.items():
    print(f"{name:16} {work(logits_of, L_train[:16]):5.1f}")
print(f"frozen, cached   {work(Head().logits, features[:16]):5.1f}")

# %% [markdown]
# To freeze saves the way back through the trunk, to cache also the way forward. And is the result as
# good?

# %% tags=["nbval-ignore-output"]
cached = train_head(list(range(len(train))), seed=0)
for name, network in {"frozen": runs["frozen", 0][0].best, "frozen, cached": cached}.items():
    print(f"{name:16} test loss {results(network)[0]:.2f}")

# %% tags=["assertion"]
assert abs(results(cached)[0] - np.mean(table["frozen"], axis=0)[0]) < 0.5
assert results(cached)[0] < table["before"][0][0]
steps_work = [work(logits_of, L_train[:16]) for logits_of in ways.values()]
assert steps_work[0] > 1.5 * steps_work[1] > 3 * work(Head().logits, features[:16])

# %% [markdown]
# About as good, for a fraction of the work. The larger the trunk beside the head, the more it saves;
# then the head can be trained on a laptop that could never train the whole.
#
# ## 8. How many pictures does it take?
#
# Now that runs are cheap, we can ask. We train heads on 10, on 30 and on all 88 pictures (a round
# hundred would be nice, but there are 88), each with three seeds, which here choose the pictures too.
# Loss and errors are those of the test pictures.

# %% tags=["nbval-ignore-output"]
amounts = {}
for count in (10, 30, len(train)):
    for seed in range(3):
        order = np.random.default_rng(seed).permutation(len(train))
        network = train_head(sorted(order[:count].tolist()), seed)
        amounts.setdefault(count, []).append(results(network))

# %% tags=["nbval-ignore-output"]
print("pictures   test loss of three seeds   coloured   other")
print("       0   {:4.2f} {:31.1f} {:7.1f}".format(*table["before"][0]))
for count, values in amounts.items():
    losses, (_, coloured, other) = sorted(value[0] for value in values), np.mean(values, axis=0)
    print(
        f"{count:8}   {losses[0]:.2f}  {losses[1]:.2f}  {losses[2]:.2f} {coloured:19.1f} {other:7.1f}"
    )

# %% tags=["assertion"]
mean = {count: np.mean(values, axis=0)[0] for count, values in amounts.items()}
assert mean[10] > mean[30] > mean[88]
assert mean[10] > table["before"][0][0] + 0.1 and mean[88] < table["before"][0][0] - 0.03
assert mean[30] > table["before"][0][0] - 0.03
spread = {count: np.ptp([value[0] for value in values]) for count, values in amounts.items()}
assert spread[10] > spread[88]

# %% [markdown]
# With 10 pictures the test loss is *higher* than before: the head learned those ten by heart and became
# sure of colours that others do not have. What it is worth depends on which ten they were, as the three
# columns show. With 30 nothing is won yet. With 88 it is lower than before, and the seeds nearly agree.
# Where the line lies depends on the domain, and on how good the network was before. That there is one,
# and that ten pictures can do harm, does not.
#
# ## 9. Stop in time
#
# If few pictures do harm in the end, they may do some good in the beginning. **Early stopping** watches
# the validation loss, remembers where it was lowest, and gives up when nothing got better for some
# measurements in a row. How many of them is called **patience**.
#
# ### Exercise 4: when to stop
#
# *Medium, 10 minutes.* Write the rule.


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
# `FineTuning` has it as `patience`, and the training loop ends as soon as it is used up. Ten pictures
# again, with the trunk frozen and steps to spare:

# %% tags=["nbval-ignore-output"]
ten = train[np.random.default_rng(0).permutation(len(train))[:10]]
stopped, history = tune("frozen", 0, ten, steps=90, batch_size=10, rate=2e-3, patience=4)
print(f"stopped after {history.rows[-1]['step']} of 90 steps, best after {stopped.best_step}")

# %%
steps, losses = history.column("validation_loss")
show_lines(
    {
        "the ten training pictures": history.column("loss"),
        "validation pictures": ([0, *steps], [stopped.start["validation_loss"], *losses]),
    },
    "step",
    "loss in nats per pixel",
    "Two losses against steps: that of the ten training pictures falls all the way, that of the "
    "validation pictures hardly falls at first, then rises until the run is stopped.",
)

# %% tags=["assertion"]
assert history.rows[-1]["step"] < 90 and stopped.finished
training = history.column("loss")[1]
assert training[-1] < training[0] and losses[-1] > stopped.best_value + 0.3
assert stopped.start["validation_loss"] - stopped.best_value < 0.15
assert results(stopped.best)[0] < results(stopped.recipe.average.network)[0]

# %% [markdown]
# The training loss falls and falls. Whoever watches that alone sees a success. The validation loss
# tells the truth, and the weights that are kept are those from before it rose: close to where the
# run began, so ten pictures won next to nothing here, but they did no harm either. (The two start at
# different heights since each set of training pictures has rarity weights of its own; compare how
# they *move*.)
#
# What stops early also goes on where it stopped: `fit(..., run_dir=...)` writes checkpoints that hold
# the best weights and the used-up patience, and an interrupt (Kernel, Interrupt) leaves `recipe.best`
# as it was.
#
# ## 10. Why does my fine-tuning turn gray?
#
# People ask this one in public too. Most fine-tuning code has a plain loss: squared error, or cross
# entropy without weights. On pictures like ours most pixels are white, the prior of lesson 03 says gray
# above all, and a plain loss is lowest for a network that agrees. Here is the same training twice, with
# rebalancing (`lam=0.5`) and without it (`lam=1.0`, all weights equal).

# %%
everything = list(range(len(train)))
plain = train_head(everything, seed=0, lam=1.0)
show_pictures(
    row(base) + row(cached) + row(plain) + truths,
    [title for title in ("before", "rebalanced", "plain", "truth") for _ in names],
    "The six objects before fine-tuning; after fine-tuning with rebalancing, with less red and "
    "more brown and yellow; after fine-tuning without it, nearly gray; and in truth.",
    columns=6,
)


# %% tags=["nbval-ignore-output"]
def colourfulness(network):
    """Mean chroma over the truth's, on the coloured pixels of the test pictures."""
    with torch.inference_mode():
        chroma, true = network.eval()(L_test).norm(dim=1), ab_test.norm(dim=1)
    return (chroma[true > 20].mean() / true[true > 20].mean()).item()


for name, network in {"before": base, "rebalanced": cached, "plain": plain}.items():
    print(f"{name:10}  colourfulness {colourfulness(network):.2f}", end="  ")
    print("coloured off by {:.0f}, other by {:.0f}".format(*errors(network, test)))

# %% tags=["assertion"]
assert colourfulness(plain) < 0.75 * colourfulness(cached)
assert colourfulness(plain) < colourfulness(base)
assert errors(plain, test)[1] < errors(cached, test)[1]
assert errors(plain, test)[0] > errors(cached, test)[0]

# %% [markdown]
# The plain one turned gray, and by its own measure it is right: look at its small error on the other
# pixels, three of four. It does what it was asked for. Ask for something else: count rare colours more,
# or leave the ground out of the loss.
#
# What else makes a fine-tuning go gray, or go nowhere:
#
# | what you see | what to look at first |
# |---|---|
# | duller with every step | a plain loss on pictures that are mostly white, gray or sepia |
# | gray training pictures | files that have colour channels, but no colour; `build_array` leaves them out |
# | one hue from the first step | weights not loaded: `strict=False` (section 2) |
# | good in training mode, bad in `eval()` | running averages (section 3) |
# | nothing changes | rate too low (section 6); an optimizer made before the blocks were thawed |
# | colours of the first pictures only | a loader that never shuffles |
# | fine validation loss, bad pictures | validation pictures among the training pictures |
#
# ## 11. Your own pictures
#
# Now yours. Any folder with a few dozen colour photographs of one kind will do. First they have to be
# split, and this time nobody did it for you.
#
# ### Exercise 5: hold pictures out
#
# *Medium, 10 minutes.* Folders are sorted: by name, and so by kind, or by date. Split at random, but
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
# A random split is not enough if your pictures are bursts of one scene: then hold out whole scenes, as
# the shipped photographs do with objects.
#
# **Write the name of your folder below** and run on. With `None` the cells take the course's scenes.
# `build_array` cuts the centre square of each file, leaves out gray and unreadable ones and says how
# many; `FineTuning` does the rest.

# %%
from course_lib.data.arrays import build_array
from course_lib.training.finetune import hold_out

my_folder = None  # for example "my pictures"
if my_folder:
    paths = cl.list_images(my_folder)
else:
    known = cl.photos(split="train", kind="scene") + cl.photos(split="validation", kind="scene")
    paths = [photo.path for photo in known]
for name, numbers in zip(("mine", "held-out"), hold_out(len(paths), 0.25, seed=0), strict=True):
    chosen = [paths[number] for number in numbers]
    print(name, build_array(chosen, out / f"{name}.npy", 64, progress=False))

# %% tags=["nbval-ignore-output"]
mine, held_out = np.load(out / "mine.npy"), np.load(out / "held-out.npy")
network = cl.eccv16()
freeze(network, TRUNK)
few = replace(settings, steps=20, batch_size=min(8, len(mine)), rate=5e-4)
own = FineTuning(Classification(network, mine, held_out, few), patience=3)
fit(own, few.steps, record_every=4, evaluate_every=4, progress=False)
print(f"held-out loss {own.start['validation_loss']:.2f} before, {own.best_value:.2f} at best")
print(f"best after {own.best_step} steps")

# %%
L_held, ab_held = decode_lab(torch.from_numpy(held_out[:4]))
stages = {"before": base, "after": own.best}
with torch.inference_mode():
    guesses = [network(L_held) for network in stages.values()]

# %%
show_pictures(
    [
        cl.lab_to_rgb(torch.cat([L_held, ab], dim=1)[i].permute(1, 2, 0).numpy())
        for ab in [torch.zeros_like(ab_held), *guesses, ab_held]
        for i in range(len(L_held))
    ],
    [title for title in ("gray", *stages, "truth") for _ in L_held],
    "Held-out pictures of the folder in four rows: gray, coloured before and after fine-tuning on the "
    "folder's other pictures, and in truth.",
    columns=len(L_held),
)

# %% [markdown]
# With the course's scenes do not expect much: sixteen photographs of everything are no domain, and
# section 8 said what so few are worth. The loss may go down a little; in the pictures you will
# hardly find it, and what was wrong before, such as the red dusk of the first, is wrong after. If
# the best is at step 0, the answer is: with these pictures, leave it alone. That is a result too.
#
# To keep a network, save it with the size at which it was trained; `cl.eccv16(path)` and the command
# line (`--weights`) take the file.

# %%
from course_lib.models.weights import save_weights

save_weights(out / "mine.safetensors", own.best, {"input_size": "64"})
again = cl.eccv16(out / "mine.safetensors")
print("input size:", again.input_size)

# %% tags=["assertion"]
assert own.best_value <= own.start["validation_loss"]
with torch.inference_mode():
    assert (again(L_held) - own.best(L_held)).abs().mean() < 0.5

# %% [markdown]
# More steps, checkpoints, several processes: the same as a command, once `prepare` has made the arrays.
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
# by hand, and what all this does *not* show. The first four come from what you ran. Write the last one
# yourself, and change the question if you changed the experiment.

# %%
question = "Does training before help, when a colorizer learns objects on white from 88 pictures?"
doubts = (
    "One domain, one network of three eighths of the published width, a budget of 20 steps. The "
    "learning rate was the same for all arms, and a lower one may suit the thawed one better. 27 "
    "validation and 28 test pictures are few, and did not agree on which arm is best."
)

# %%
protocol = {
    "Data": f"{len(train)} training, {len(validation)} validation, {len(test)} test pictures of "
    f"objects on white, {SIZE} px, split by object",
    "Arms": "frozen: head alone learns; thawed: all learns; random: from random weights",
    "Budget": f"{STEPS} steps of {settings.batch_size} pictures, AdamW, rate {settings.rate:g}",
    "Seeds": "0, 1, 2: order of pictures, augmentation, random weights",
    "Kept": "the weights with the lowest loss on the validation pictures",
    "Measure": "test pictures: rebalanced cross entropy; mean ab error on pixels of true chroma "
    "above 20 (coloured) and on all others; Lab units",
}

# %% [markdown]
# The pictures are the first six of the test part, in the order of the list, in gray, before, after
# fine-tuning with a frozen trunk, and in truth.

# %% tags=["nbval-ignore-output"]
from course_lib.training.report import write_report

numbers = [["network", "test loss", "coloured", "other", "seeds"]]
for arm in ("before", *ARMS):
    mean, spread = np.mean(table[arm], axis=0), np.ptp(table[arm], axis=0) / 2
    cells = [f"{m:.2f} ± {s:.2f}" for m, s in zip(mean, spread, strict=True)]
    numbers.append([arm, *cells, len(table[arm])])
firsts = [on_white(photo.load(), 128) for photo in objects["test"][:6]]
stages = [cl.to_gray, lambda t: cl.colorize(t, base, size=SIZE)]
stages += [lambda t: cl.colorize(t, tuned["frozen"], size=SIZE), lambda t: t]
sheet = np.vstack([np.hstack([stage(truth) for truth in firsts]) for stage in stages])

# %% tags=["nbval-ignore-output"]
page = write_report(
    out / "report.html",
    title="Fine-tuning a colorizer on objects",
    question=question,
    protocol=protocol,
    table=numbers,
    caption="Mean of the seeds ± half the distance from lowest to highest; lower is better.",
    picture=sheet,
    description="First six test pictures; from above: gray, before, after (frozen, seed 0), truth.",
    doubts=doubts,
)
print(page.name, f"{len(page.read_text(encoding='utf-8')) // 1000} kB")

# %% tags=["assertion"]
text = page.read_text(encoding="utf-8")
assert all(point in text for point in protocol) and text.count("<tr>") == len(numbers)

# %% [markdown]
# The page is in `notebooks/out/lesson-07/report.html`; open it from the file browser on the left, and
# print it, on one sheet of paper, if you like. Pictures are inside the file, so that you can send it.
#
# ## Summary
#
# - Before the first step let a pretrained network do its old job. `strict=False` hides that nothing
#   was loaded.
# - To freeze a block takes two things: no gradients, and evaluation mode. Running averages move without
#   any optimizer.
# - At equal budget a trained network beats a random one by far. With 88 pictures a frozen trunk gained
#   a little, and a thawed one nothing, though validation preferred it. Compare over seeds, show the
#   spread, and let pictures judge that decided nothing.
# - Fine-tuning forgets. A frozen trunk or a lower rate for it limits that; measure the old job.
# - Too few pictures do harm. Early stopping keeps the best weights, which may be those at the start.
# - Measure where it matters, and count rare colours more, or the white ground decides.
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
