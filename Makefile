# The course's commands. On a fresh machine: Python 3.10 or newer and make are all it takes.

PYTHON ?= python3
VENV ?= .venv
# "true" installs without the lock, to try other versions.
UNLOCKED ?=
# Whether to take the torch that needs no NVIDIA card, which on Linux saves gigabytes: so it is
# where there is no such card. "CPU=true" and "CPU=" decide it.
CPU ?= $(if $(filter Linux,$(shell uname -s)),$(if $(wildcard $(NVIDIA)),,true))
NVIDIA ?= /proc/driver/nvidia/version /dev/nvidiactl /dev/dxg
CPU_INDEX ?= https://download.pytorch.org/whl/cpu
# Where that index cannot be reached, the plain one has a torch too, and more.
WITHOUT_NVIDIA = -m pip install --quiet --disable-pip-version-check --retries 1 --timeout 15 \
	--index-url $(CPU_INDEX) $(TORCH) \
	|| echo "$(CPU_INDEX) cannot be reached: taking PyTorch from the usual place"
TORCH := $(shell grep '^torch==' constraints.txt)
BIN := $(VENV)/bin
SITE := 'import sysconfig; print(sysconfig.get_path("purelib"))'
STAMP := $(VENV)/installed
CONSTRAINTS := $(if $(UNLOCKED),,-c constraints.txt)
# JupyterLab refuses to run as root unless told; in a container root is often all there is.
ALLOW_ROOT := $(if $(filter 0,$(shell id -u)),--allow-root)
LESSONS := $(wildcard notebooks/[0-9]*.ipynb)
# As many processes as there are cores, up to four, with a thread each; who has nothing left to do
# takes over tests from another.
PARALLEL = OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses=4 --dist worksteal

.DEFAULT_GOAL := help

.PHONY: help
help: ## list these commands
	@grep -E '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

# Made anew whenever the dependencies change.
$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.10 or newer is needed; this is " + sys.version.split()[0] + ". Name another one: make PYTHON=python3.12 ...") if sys.version_info < (3, 10) else 0'
	$(PYTHON) -m venv $(VENV)
	$(if $(CPU),@$(BIN)/python $(WITHOUT_NVIDIA))
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(CONSTRAINTS) -e '.[lab,test]'
	@touch $(STAMP)

.PHONY: install
install: $(STAMP) ## make .venv and install the course into it

.PHONY: check-environment
check-environment: $(STAMP) ## say whether this machine has what the course needs
	$(BIN)/python course_lib/environment.py

.PHONY: lab
lab: check-environment ## open JupyterLab at lesson 00
	cd notebooks && ../$(BIN)/jupyter lab 00_start_here.ipynb $(ALLOW_ROOT)

.PHONY: lint
lint: $(STAMP) ## check style and formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

.PHONY: unit
unit: $(STAMP) ## run the unit tests
	$(PARALLEL) -p tests.winrule -m 'not notebooks and not environments and not browser'

.PHONY: test-lessons
test-lessons: $(STAMP) ## run every lesson as learners get it; compare text (nbval) and pictures
	COURSE_STRICT=1 COURSE_PROGRESS= TQDM_DISABLE=1 \
		$(BIN)/python -m pytest -p tests.nbval_pictures --nbval --nbval-current-env \
		--nbval-cell-timeout=1800 --nbval-kernel-startup-timeout=600 \
		--nbval-sanitize-with tests/nbval_sanitize.cfg $(LESSONS)

.PHONY: test-solved
test-solved: $(STAMP) ## run every lesson with its solutions in
	$(BIN)/python -m pytest -m 'notebooks and not changes'

.PHONY: test-changes
test-changes: $(STAMP) ## run every lesson twice in each cell, and with other numbers, photographs, seeds
	$(BIN)/python -m pytest -m changes

.PHONY: mutants
mutants: $(STAMP) ## change the exercises' solutions in small ways; which do their checks let pass?
	$(BIN)/python -m tests.mutants

.PHONY: test-site
test-site: $(STAMP) site slides ## build site and slides, and look at every link and every slide
	$(BIN)/python -m pytest -m environments tests/test_site.py tests/test_slides.py

# What the browser itself needs is not among it: Debian's package chromium, or another one.
build/npm/installed: Makefile
	npm install --silent --prefix build/npm onnxruntime-web@1.30.0 axe-core@4.14.1
	@touch $@

$(VENV)/installed-browser: $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(CONSTRAINTS) \
		-e '.[fast,browser]'
	@touch $@

.PHONY: test-browser
test-browser: $(VENV)/installed-browser build/npm/installed site slides ## drive lessons, site, slides and hint painter with a real browser
	$(BIN)/python -m pytest tests/test_lessons_browser.py tests/test_painter_browser.py

.PHONY: test-teaching
test-teaching: $(STAMP) .venv-class/installed ## grade with nbgrader; install from the offline kit
	$(BIN)/python -m pytest -m environments tests/test_class.py tests/test_offline_kit.py

.PHONY: test
test: $(STAMP) $(VENV)/installed-browser ## run every test, and say what ran and how long it took
	@-$(if $(shell command -v npm),$(MAKE) --no-print-directory build/npm/installed)
	$(BIN)/python tests/run_parts.py $(MAKE) --no-print-directory

# The three targets below make environments of their own; the first time that takes minutes.
.PHONY: versions
versions: $(STAMP)
	$(PARALLEL) -m 'not environments and not changes and not browser'

# Old releases deprecate parts of each other; that is for nobody here to mend.
.PHONY: oldest
oldest: ## run unit tests and lessons with the oldest versions that pyproject.toml admits
	mkdir -p build
	$(PYTHON) -m authoring.versions oldest > build/oldest.txt
	PYTEST_ADDOPTS='-W ignore::DeprecationWarning' $(MAKE) versions VENV=.venv-oldest \
		CONSTRAINTS='-c build/oldest.txt' TORCH="$$(grep '^torch==' build/oldest.txt)"

.PHONY: newest
newest: ## run unit tests and lessons with the newest versions on the registry
	rm -rf .venv-newest
	$(MAKE) versions VENV=.venv-newest UNLOCKED=true TORCH=torch

.venv-colab/installed: tests/colab_versions.txt constraints.txt
	$(PYTHON) -m venv .venv-colab
	$(if $(CPU),@.venv-colab/bin/python $(WITHOUT_NVIDIA))
	.venv-colab/bin/python -m pip install --quiet --disable-pip-version-check $(TORCH) \
		-r tests/colab_versions.txt
	@touch $@

.PHONY: colab
colab: $(STAMP) .venv-colab/installed ## run every lesson as on Google Colab, with its versions
	$(BIN)/python -m pytest -m environments tests/test_colab.py

.PHONY: publish
publish: $(STAMP) ## write Colab's badges and install cell: make publish REPO=owner/name [TAG=v1]
	$(BIN)/python -m authoring.publish '$(REPO)' '$(or $(TAG),main)'

.PHONY: notebooks
notebooks: $(STAMP) ## build the lessons from authoring/lessons
	$(BIN)/python -m authoring.build

# Jupyter Book and what the slides need: nothing that a learner's environment should carry.
.venv-site/installed: authoring/web/requirements.txt authoring/web/constraints.txt
	$(PYTHON) -m venv .venv-site
	.venv-site/bin/python -m pip install --quiet --disable-pip-version-check \
		-r authoring/web/requirements.txt -c authoring/web/constraints.txt
	@touch $@

# What runs networks in a browser comes by npm.
build/try/index.html: $(VENV)/installed-browser build/npm/installed \
		$(wildcard course_lib/hint_painter/*.*) $(wildcard data/weights/*.safetensors)
	$(BIN)/python -m course_lib.hint_painter.page build/try --home ../index.html \
		--runtime build/npm/node_modules/onnxruntime-web/dist

.PHONY: site
site: .venv-site/installed ## build the lessons as a web site, in build/site: make site [REPO=owner/name]
	@if ! command -v npm > /dev/null; then rm -rf build/try; \
		echo 'The site has no page "Try it": that needs npm (Node.js), and there is none.'; \
	elif ! $(MAKE) --no-print-directory build/try/index.html; then rm -rf build/try; \
		echo 'The site has no page "Try it": the error above is why.'; fi
	.venv-site/bin/python -m authoring.website '$(REPO)'

.PHONY: slides
slides: .venv-site/installed ## make a deck of slides of each lesson, in build/slides
	.venv-site/bin/python -m authoring.slides

# nbgrader adds to JupyterLab what no learner should see, so it has an environment of its own, with a
# JupyterLab of its own. PyTorch and all else that it lacks then comes from the learners'.
.venv-class/installed: $(STAMP)
	$(BIN)/python -m venv .venv-class
	.venv-class/bin/python -m pip install --quiet --disable-pip-version-check $(CONSTRAINTS) nbgrader
	$(BIN)/python -c $(SITE) > "$$(.venv-class/bin/python -c $(SITE))/learners.pth"
	.venv-class/bin/python -m pip install --quiet --disable-pip-version-check $(CONSTRAINTS) \
		-e '.[teach]'
	@touch $@

.PHONY: class
class: .venv-class/installed ## make a course folder for nbgrader: make class OUT=folder
	.venv-class/bin/python -m authoring.classroom \
		'$(or $(OUT),$(error name a new folder: make class OUT=folder))'

.PHONY: offline-kit
offline-kit: $(STAMP) ## a folder to install from without a network: [OUT=folder] [FOR=windows-3.12]
	$(BIN)/python -m authoring.offline_kit '$(or $(OUT),build/offline-kit)' $(if $(FOR),--for $(FOR))

# The arrays of `make arrays`, by the names that the configs call them.
SETS := miniplaces mini-imagenet flickr8k imagenette-224 caltech-101 pacs intel-scenes tiny-imagenet
on-all-sets = $(foreach set,$(SETS),--train $(set)=$(ARRAYS)/$(set)-train.npy) \
	--validation $(ARRAYS)/miniplaces-validation.npy

.PHONY: train-eccv16
train-eccv16: $(STAMP) ## ECCV16 in seven stages, after `make arrays`: a day on two cores
	$(BIN)/python -m course_lib.training eccv16 $(on-all-sets) --run runs/eccv16

.PHONY: train-siggraph17
train-siggraph17: $(STAMP) ## SIGGRAPH17 from ECCV16's trunk, after `make arrays`
	$(BIN)/python -m course_lib.training siggraph17 $(on-all-sets) --trunk course \
		--run runs/siggraph17

.PHONY: compare-trials
compare-trials: $(STAMP) ## short trainings with one other setting each, after `make arrays`
	$(BIN)/python -m course_lib.training compare --train miniplaces=$(ARRAYS)/miniplaces-train.npy \
		--validation $(ARRAYS)/miniplaces-validation.npy --run runs/trials --threads 1 \
		--change width 0.375 --change lam 0.25 --change lam 0.75 --change label_weight 0.1 \
		--change featureless 0.06 --output data/weights/trials.csv
	$(BIN)/python -m authoring.model_cards

.PHONY: fuzz
fuzz: $(STAMP) ## damage thousands of files and see that nothing breaks; writes tests/fuzz/README.md
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.fuzz

.PHONY: bench
bench: $(STAMP) ## measure how fast everything is, as ratios; write tests/benchmarks/README.md anew
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(CONSTRAINTS) -e '.[fast]'
	$(BIN)/python -m tests.benchmarks.ratios --write
	$(BIN)/python -m tests.benchmarks.lessons --write

.PHONY: lock
lock: $(STAMP) ## choose the newest versions anew for constraints.txt (keeps torch)
	$(BIN)/python -m authoring.versions lock

.PHONY: results
results: $(STAMP) ## measure the shipped weights; write the READMEs' figures and picture anew
	$(BIN)/python -m course_lib.evaluation --json data/weights/results.json --picture data/results.jpg
	$(BIN)/python -m authoring.model_cards

# Folders of the public sets; those that are not named are fetched, into the user's cache folder.
# The arrays are those that the networks were trained on: the baselines learn from them. Faces are
# left out, since the same few people are in all parts.
MINIPLACES ?= miniplaces
MINI_IMAGENET ?= mini-imagenet
FLICKR8K ?= flickr8k
IMAGENETTE ?= imagenette-224
CALTECH ?= caltech-101
PACS ?= pacs
INTEL_SCENES ?= intel-scenes
TINY_IMAGENET ?= tiny-imagenet
ARRAYS ?= runs/arrays
COUNT ?= 200
NO_FACES := --without Faces Faces_easy person
held-out = $(BIN)/python -m course_lib.evaluation --part test --json data/weights/held-out.json \
	--count $(COUNT) --name '$1' --folder $2 --train $(ARRAYS)/$3-train.npy --size $4 $5

.PHONY: arrays
arrays: $(STAMP) ## fetch and prepare the public sets that the networks learn from, 10 GB: [ARRAYS=folder]
	$(BIN)/python -m course_lib.training arrays --output $(ARRAYS)

.PHONY: results-held-out
results-held-out: $(STAMP) ## measure the shipped weights on held-out public pictures, after `make arrays`
	rm -f data/weights/held-out.json
	$(call held-out,MiniPlaces,$(MINIPLACES),miniplaces,128)
	$(call held-out,Flickr8k,$(FLICKR8K),flickr8k,256)
	$(call held-out,Imagenette,$(IMAGENETTE),imagenette-224,256)
	$(call held-out,Caltech-101,$(CALTECH),caltech-101,256,$(NO_FACES))
	$(call held-out,PACS,$(PACS),pacs,256,--only photo $(NO_FACES))
	$(call held-out,mini-ImageNet,$(MINI_IMAGENET),mini-imagenet,84)
	$(call held-out,Tiny ImageNet,$(TINY_IMAGENET),tiny-imagenet,64,--only val)
	$(BIN)/python -m authoring.model_cards

.PHONY: contact-sheet
contact-sheet: $(STAMP) ## 24 held-out public pictures coloured, in out/held-out.jpg (not to be passed on)
	mkdir -p out
	$(BIN)/python -m course_lib.evaluation --part test --count 24 --sheet 24 --picture out/held-out.jpg \
		--name 'contact sheet' --folder $(CALTECH) $(PACS) --only 101_ObjectCategories photo \
		$(NO_FACES)

.PHONY: photos
photos: $(STAMP) ## rebuild data/photos from the Debian packages
	$(BIN)/python -m authoring.photographs --download

.PHONY: clean
clean: ## remove what these commands made, but not .venv
	rm -rf dist build .pytest_cache .ruff_cache .hypothesis
