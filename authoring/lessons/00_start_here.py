# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Start here
#
# Welcome. In this course you teach a computer to guess the colours of gray photographs: from the
# question why that should be possible at all, through two famous networks, to training your own.
#
# Everything runs on this machine, without the internet and without a graphics card. The photographs are
# in the box, and so are the trained weights, the numbers that a network has learned.
#
# **You will do**
#
# - check that your machine has what the course needs;
# - colour a first photograph, in three lines, and then one of your own;
# - meet the exercises and their checks, which are the same in every lesson.
#
# **You will learn**
#
# - what goes into a colorization network, and what comes out;
# - to compare a picture with the truth by a number, and not to trust it too soon.
#
# **You need** some Python, and to know what an array is. No machine learning yet; lesson 01 begins with it.
#
# **Time** about 35 minutes: 20 of reading, 15 of exercises. The computer needs a few seconds.
#
# **In a hurry** read 1 to 5; do exercises 1 and 2.
#
# ## 1. How to work with a notebook
#
# A notebook is made of *cells*. Select one, press **Shift+Enter**, and it runs; its result appears
# below. Run them from top to bottom, since later cells use what earlier ones made. If something is
# muddled, **Kernel > Restart Kernel and Run All Cells** starts afresh. You cannot break anything:
# change numbers, run again, look.
#
# ## 2. Is everything here?
#
# The next cell looks at this machine. `[OK]` is as it should be, `[NOTE]` is good to know, and
# `[FAIL]` says what to do.

# %% tags=["nbval-ignore-output"]
from course_lib.environment import check_environment

for finding in check_environment():
    print(finding)

# %% [markdown]
# ## 3. A first photograph, in three lines

# %%
import course_lib as cl

gray = cl.load_photo("gray/jetty")
coloured = cl.colorize(gray, "eccv16")

# %% [markdown]
# That is all. Let us look at it.

# %%
import numpy as np
from course_lib.plotting import show_pictures

show_pictures(
    [gray, coloured],
    ["what we have", "what the network guesses"],
    "A wooden jetty reaches into misty water: on the left in gray, on the right in the colours that "
    "the network guesses.",
)
print(gray.shape, gray.dtype)

# %% [markdown]
# This photograph never had any colour, so nobody can say whether the guess is *right*. It may look
# plausible, and that is a different thing. We come back to the difference in every lesson.
#
# ### Play
#
# If you know better than the network, tell it. Below is another network and the same jetty: **click on
# the photograph and choose a colour**, and it colours the rest accordingly. Drag your dot, add another,
# see where the colours run. *Reset* begins again, and nothing can break. (With the keyboard: Tab to the
# photograph, arrow keys, Enter, 1 to 5.)

# %% tags=["nbval-ignore-output"]
painter = cl.HintPainter(gray, hints=[(150, 300, (225, 150, 110))])
painter

# %% [markdown]
# Before the cell has run, or where nothing can run, as on GitHub, you see one hint and what it does.
# For a photograph of your own: `cl.HintPainter("my-photo.jpg")`, with its path. How such a network
# listens is what lesson 04 takes apart.
#
# A picture is an array: rows, columns, and three values from 0 to 255 for red, green and blue. In a
# gray picture the three are equal.
#
# ## 4. Your own photograph
#
# Now one of yours: a picture from your phone, a scan of an old print, anything. Bring the file here:
#
# - in JupyterLab drag it into the list of files on the left (or use the arrow that points up, above it);
# - on Colab open the folder at the left edge, and drag it in there.
#
# Then write its name below, in quotes, and run the cell. Any common kind of file will do, turned or not,
# as large as it is; for `.heic`, as iPhones have it, `pip install pillow-heif` first, or send it
# to yourself as JPEG. With `None` a photograph of a man with a camera stands in.

# %%
my_file = None  # for example "IMG_2041.jpg"
mine = cl.load_image(my_file) if my_file else cl.load_photo("gray/camera")
my_colours = cl.colorize(mine, "eccv16")
show_pictures(
    [mine, cl.to_gray(mine), my_colours],
    ["your photograph", "what the network sees", "its guess"],
    "A photograph as it is, in gray as the network sees it, and in the colours that the network guesses.",
)

# %% [markdown]
# If your photograph has colours, the network was not shown them; section 5 makes a test of that. The
# next cell saves the guess, in a folder `out` beside this notebook.

# %%
from pathlib import Path

Path("out").mkdir(exist_ok=True)
cl.save_image("out/my_first_colours.jpg", my_colours)

# %% [markdown]
# Tell nobody that these *are* the colours. They are a guess.
#
# ## 5. When we know the truth
#
# To find out how good a guess is, take a *colour* photograph, forget its colours, let the network
# guess, and compare.

# %%
truth = cl.load_photo("scenes/mountain-trail")
guess = cl.colorize(cl.to_gray(truth), "eccv16")
show_pictures(
    [cl.to_gray(truth), guess, truth],
    ["gray", "guess", "truth"],
    "A mountain trail under a blue sky: in gray, as the network guesses it, and as it was.",
)

# %% [markdown]
# Look at the sky, at the grass, at the rocks. Some things have colours that can be guessed, because
# they nearly always have the same one. Others do not.
#
# The course ships photographs of several kinds. These are the scenes.

# %%
names = [photo.name for photo in cl.photos(kind="scene")]
for start in range(0, len(names), 3):
    print("".join(f"{name:26}" for name in names[start : start + 3]).rstrip())

# %% [markdown]
# ### Exercise 1: your photograph
#
# *Easy, 2 minutes.* Choose one scene from the list and write its name, in quotes, in place of the
# three dots. Then run the cell and the check below it.

# %% tags=["exercise"]
### BEGIN SOLUTION
my_photo = "scenes/dune"
### END SOLUTION

# %% tags=["check"]
from course_lib.checks import lesson_00 as check

check.my_photo(my_photo)

# %% [markdown] tags=["hint"]
# For example `my_photo = "scenes/kite"`.

# %% [markdown]
# That is how all exercises work: a cell for you, a check that says `[todo]`, `[ok]` or
# `[try again]` and why, a hint in a fold, and an answer in another. Try before you unfold. The
# lessons go on without your answers, so you can also come back later.

# %%
chosen = cl.load_photo(my_photo if my_photo is not ... else "scenes/dune")
show_pictures(
    [cl.to_gray(chosen), cl.colorize(chosen, "eccv16"), chosen],
    ["gray", "guess", "truth"],
    "The chosen scene in gray, as the network guesses it, and as it was.",
)

# %% [markdown]
# ### Exercise 2: predict, then run
#
# *Easy, 3 minutes.* In the cell above `cl.colorize` got the *colour* photograph, not the gray one.
# What does it return then?
#
# - **A** the photograph's own colours, since they are there;
# - **B** the same guess as from the gray picture;
# - **C** something between the two.
#
# Decide first: write `"A"`, `"B"` or `"C"`. Then run on.

# %% tags=["exercise"]
### BEGIN SOLUTION
prediction = "B"
### END SOLUTION

# %% tags=["check"]
check.from_colour(prediction)

# %% [markdown] tags=["hint"]
# What would a colorization network be worth that looks at the colours it is to guess?

# %%
from_gray = cl.colorize(cl.to_gray(truth), "eccv16")
from_colour = cl.colorize(truth, "eccv16")
show_pictures(
    [from_gray, from_colour],
    ["guess from gray", "guess from the colour photograph"],
    "Two guesses for the mountain trail, from gray and from colour: they look the same.",
)

# %% tags=["assertion"]
assert np.abs(from_gray.astype(int) - from_colour).mean() < 2

# %% [markdown]
# No difference to be seen. (What there is comes from rounding: less than two of 255 levels on
# average.) The first thing that happens to a photograph here is that everything but
# its *lightness* is dropped. Lesson 02 shows what lightness is, exactly.
#
# ## 6. A number for "how far off"
#
# Eyes get used to anything, so we also want a number. The simplest is the mean difference: subtract
# the two pictures, drop the signs, take the mean. This is how it is often written.


# %%
def careless_difference(one, other):
    """Mean absolute difference of two pictures; something is wrong here."""
    return np.abs(one - other).mean()


dark = np.full((2, 2, 3), 10, np.uint8)
light = np.full((2, 2, 3), 210, np.uint8)
print("light against dark:", careless_difference(light, dark))
print("dark against light:", careless_difference(dark, light))

# %% [markdown]
# The same two pictures, two different distances. No error, no warning, just a wrong number: the
# most expensive kind of bug.
#
# ### Exercise 3: find the bug
#
# *Medium, 10 minutes.* Mend the function, so that it gives the same distance both ways. The check
# tries it on several pictures.


# %% tags=["exercise"]
def mean_difference(one, other):
    """Mean absolute difference of two pictures.

    one, other: (H, W, 3) uint8. Returns a number in 0..255.
    """
    ### BEGIN SOLUTION
    return np.abs(one.astype(float) - other.astype(float)).mean()
    ### STUB
    # return np.abs(one - other).mean()
    ### END SOLUTION


# %% tags=["check"]
check.mean_difference(mean_difference)

# %% [markdown] tags=["hint"]
# `uint8` holds whole numbers from 0 to 255 and nothing else. What can 10 - 210 be, then? Look at
# `one.astype(...)`.

# %% [markdown]
# Now the number itself. How far is the network's guess from the truth, and how far is the gray
# picture, which guesses nothing?


# %%
def difference(one, other):
    return np.abs(one.astype(int) - other).mean()


print(f"guess against truth: {difference(guess, truth):.1f}")
print(f"gray against truth:  {difference(cl.to_gray(truth), truth):.1f}")

# %% [markdown]
# Both are out of 255. Here the guess is closer. It need not be: a network that guesses boldly and misses
# is punished, one that guesses nothing is never very far off, and on some photographs gray comes out
# ahead. So this number alone does not tell who coloured better. Lesson 01 is about that trap, and about
# better numbers.
#
# ## 7. The map
#
# You will write much of this yourself, and what you write is what the lessons go on with: as soon as a
# check says `[ok]`, a line such as `encode: yours` tells that your function is in use. Until then the
# library's stands in, so that you can always read on.
#
# | you write | in lesson | and it is used for |
# |---|---|---|
# | a convolution, the order of a training step, PSNR | 01 | a first network, and to judge everything |
# | the way from sRGB to Lab | 02 | what every network sees and answers |
# | encoding, prior, weights, loss, loop, annealed mean | 03 | to train ECCV16 before your eyes |
# | hints as tensors | 04 | to tell a network what you know |
# | joining, saturation, a folder | 05 | a pipeline of your own for old photographs |
# | both turns of the game | 06 | a generator that dares |
# | what is frozen, and how fast the rest learns | 07 | a network for photographs of your own |
#
# The networks' long training, which takes hours, has been done for you; the recipes are in the library.
#
# | lesson | what it is about | minutes |
# |---|---|---|
# | 00 Start here | this one | 35 |
# | [01 The problem](01_the_problem.ipynb) | why one gray picture has many colourings; a first network; how to judge | 100 |
# | [02 Lab colour spaces](02_lab_color_spaces.ipynb) | from pixels to light to Lab; the 313 colours | 100 |
# | [03 ECCV16](03_eccv16.ipynb) | colour as classes: encoding, rebalancing, the network, and its training | 95 |
# | [04 SIGGRAPH17](04_siggraph17.ipynb) | shortcuts, and a network that listens to hints: paint them | 100 |
# | [05 Inference](05_inference.ipynb) | any photograph, a pipeline of your own, measures, failures | 95 |
# | [06 A small GAN training run](06_gan_training.ipynb) | generator against discriminator: the game, its curves, its failures | 100 |
# | [07 Transfer learning](07_transfer_learning.ipynb) | a trained network learns a new domain, and forgets | 100 |
#
# The lessons build on each other, but not strictly. Whoever only wants to colour photographs can go
# straight to lesson 05. Lessons 03 and 04 open the networks
# and need 02; lesson 06 trains networks of your own, and 07 teaches a trained one your photographs.
#
# ## Summary
#
# - A colorization network sees lightness and guesses colour: `cl.colorize(gray, "eccv16")`.
# - Forget the colours of a colour photograph, and you have a question with a known answer.
# - Plausible is not true, and one number is not a judgement.
# - Subtracting `uint8` pictures goes wrong in silence.
