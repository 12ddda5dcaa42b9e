# Everything runs in .venv; the first target that needs it makes it.
PYTHON ?= python3.11
BIN := .venv/bin
# Tests run in two processes; one thread each is faster than two on two cores.
TEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest

.PHONY: install demo test test-long models check clean

install: .venv/installed

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --constraint constraints.txt torch
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

# PPO on HH-v0 with the bundled backbone and reward model, then SFT beside the policy on held-out prompts.
demo: install
	$(BIN)/python -m agents.train_ppo --env HH-v0

test: install
	$(TEST) -n 2 --cov --cov-report=term:skip-covered

# Minutes each: kill tests, the whole demo over again.
test-long: install
	$(TEST) -m long

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Makes the shipped backbone and reward models again, from seeds.
models: install
	$(BIN)/python -m agents.pretrain --backbone tiny --overwrite
	rm -rf rewards/bundled/hh
	$(BIN)/python -m rewards.train_reward_model --env HH-v0 --pairs 8000 --policy-pairs 4000 --output-dir rewards/bundled/hh

clean:
	rm -rf .venv build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
