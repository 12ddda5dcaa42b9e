# Everything runs in .venv; the first target that needs it makes it.
PYTHON ?= python3.11
BIN := .venv/bin
# Tests run in two processes; one thread each is faster than two on two cores.
TEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest

.PHONY: install demo test coverage test-long test-extras models check clean

install: .venv/installed

# Python compiles a module when it is first imported; pip would compile all of torch and transformers, in 20 s.
.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --no-compile --constraint constraints.txt torch
	$(BIN)/pip install --quiet --no-compile --constraint constraints.txt --editable '.[dev]'
	touch $@

# PPO on HH-v0 with the bundled backbone and reward model, then SFT beside the policy on held-out prompts.
demo: install
	$(BIN)/python -m agents.train_ppo HH-v0

test: install
	$(TEST) -n 2 --durations=15

# The same with the lines that no test reaches, and slower.
coverage: install
	$(TEST) -n 2 --cov --cov-report=term:skip-covered

# An hour or more: runs killed, disks filled, checkpoints damaged, readers fuzzed, envs soaked, the whole demo over
# again. It ends with a table of trials and failures; docs/reliability.md has the figures.
test-long: install
	$(TEST) -n 2 -m long --durations=15

# perlhf in the tools of others and with what they make, in an environment of its own: docs/integrations.md. Tests of
# live pages are among them, where a Chromium is installed.
test-extras: .venv-extras/installed
	OMP_NUM_THREADS=1 .venv-extras/bin/python -m pytest -m extras --durations=15 tests/extras

.venv-extras/installed: pyproject.toml constraints-extras.txt
	$(PYTHON) -m venv .venv-extras
	.venv-extras/bin/pip install --quiet --no-compile --constraint constraints-extras.txt torch
	.venv-extras/bin/pip install --quiet --no-compile --constraint constraints-extras.txt --editable '.[dev,integrations,browser]'
	touch $@

# For whoever has a GPU: the tests of devices on it, then seconds and memory beside the CPU; a table to send in.
.PHONY: gpu-check
gpu-check: install
	$(BIN)/python -m benchmarks.gpu_check

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# docs/map.md, every file with what it says of itself.
.PHONY: map
map: install
	$(BIN)/python docs/make_map.py

# docs/architectures.md: random models of every kind through all commands, three minutes of one core.
.PHONY: architectures
architectures: install
	OMP_NUM_THREADS=1 $(BIN)/python docs/make_architectures.py

# docs/scaling.md, its tables out of `perlhf plan`, and its picture.
.PHONY: scaling
scaling: install
	OMP_NUM_THREADS=1 $(BIN)/python docs/make_scaling.py

# Speed and memory beside TRL and AgileRL, and beside full tuning, into docs/performance.md: hours on two cores. It goes
# on where it was interrupted; `make bench BENCH="--parts ppo --rounds 1"` does a part of it. The part `quality`, CPU
# seconds to a given gold beside TRL, is docs/speedrun.md: two hours of one core.
.PHONY: bench
bench: install
	$(BIN)/python -m benchmarks.performance $(BENCH)

# Makes the shipped backbones and reward models again, from seeds and by recipes/: about five hours.
BACKBONES := tiny tiny-tldr tiny-shp-liked tiny-shp tiny-taskmaster-liked tiny-taskmaster tiny-uinav
BACKBONES += tiny-uinav-pixels tiny-vqav2-told tiny-vqav2
MODELS := hh=HH-v0 tldr=TLDR-v0 uinav=UINav-v0 vqav2=VQAv2-v0
DOMAINS := coffee ticketing
REWARD := $(BIN)/python -m rewards.train_reward_model

models: install
	for name in $(BACKBONES); do $(BIN)/python -m agents.pretrain $$name --overwrite || exit 1; done
	for model in $(MODELS); do rm -rf rewards/bundled/$${model%=*}; \
	  $(REWARD) $${model#*=} --output-dir rewards/bundled/$${model%=*} || exit 1; done
	rm -rf rewards/bundled/shp
	$(REWARD) SHP-v0 --backbone tiny-shp-liked --output-dir rewards/bundled/shp
	for domain in $(DOMAINS); do rm -rf rewards/bundled/taskmaster_$$domain; \
	  $(REWARD) Taskmaster-v0 --env-options domain=$$domain --backbone tiny-taskmaster-liked \
	    --output-dir rewards/bundled/taskmaster_$$domain || exit 1; done

# docs/reliability.md, "Tests that find things": plants small faults into modules and counts those that a test notices.
.PHONY: mutants
mutants: install
	$(BIN)/pip install --quiet 'mutmut>=3.8'
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.mutants

clean:
	rm -rf .venv .venv-extras build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
