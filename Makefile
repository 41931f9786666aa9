# make demo | test | setup | lint | benchmark | clean     (docs/installation.md says more)
#   PYTHON=python3.12     the Python to use (3.10 to 3.13)
#   ROS_DISTRO=kilted     the wheels of ROS 2 Kilted instead of Jazzy's; what a sourced ROS exports does not count
#   VENV=.venv            the virtual environment that is made and used (Kilted: .venv-kilted)
#   TORCH_INDEX=URL       an extra package index for torch, such as PyTorch's CPU-only builds

PYTHON ?= python3
# Only what the command line says: a shell in which a ROS is sourced has a ROS_DISTRO too.
ifneq ($(origin ROS_DISTRO),command line)
override ROS_DISTRO := jazzy
endif
OTHER_DISTRO := $(if $(filter-out jazzy,$(ROS_DISTRO)),-$(ROS_DISTRO))
VENV ?= .venv$(OTHER_DISTRO)
BIN := $(abspath $(VENV))/bin

# ROS traffic stays on this machine.
export ROS_AUTOMATIC_DISCOVERY_RANGE = LOCALHOST
export TORCH_INDEX
# The environment has a ROS of its own: nothing of one that is sourced in this shell gets in, nor of
# another environment's wheels, whose Python may have started make. LD_LIBRARY_PATH is theirs then.
ifneq ($(AMENT_PREFIX_PATH)$(_ROS_WHEELS_BOOTSTRAP_COMPLETE),)
unexport LD_LIBRARY_PATH
endif
unexport AMENT_PREFIX_PATH CMAKE_PREFIX_PATH COLCON_PREFIX_PATH PYTHONPATH PYTHONHOME VIRTUAL_ENV
unexport ROS_DISTRO ROS_VERSION ROS_PYTHON_VERSION RMW_IMPLEMENTATION
unexport _ROS_WHEELS_BOOTSTRAP_COMPLETE
unexport MAKEFLAGS
# Each process of the tests would translate all modules anew, and pytest all assertions: 3 s each.
unexport PYTHONDONTWRITEBYTECODE

DEPENDENCIES := $(VENV)/.dependencies$(OTHER_DISTRO)
INSTALLED := $(VENV)/.installed
# What the installed package has a copy of, and the subcommands' names; our modules are used where they lie.
COPIED := CMakeLists.txt setup.py setup.cfg package.xml dev/fastdds_big_shm.xml dev/fastdds_discovery.xml glace_ros/cli.py \
  $(wildcard dev/*.cmake dev/*/*.* dev/*/msg/*) \
  $(wildcard msg/* launch/* config/*)

.PHONY: setup dependencies demo test lint benchmark clean
.DEFAULT_GOAL := setup

setup: $(INSTALLED)
dependencies: $(DEPENDENCIES)

$(DEPENDENCIES): pyproject.toml dev/constraints.txt dev/kilted.txt dev/requirements.py dev/environment.sh
	@dev/environment.sh $(VENV) $(PYTHON) $(ROS_DISTRO)
	@touch $@

$(INSTALLED): $(DEPENDENCIES) $(COPIED)
	@echo "setup: building the messages and installing glace_ros into $(VENV)"
	@PATH="$(BIN):$$PATH" $(BIN)/python -m pip install -qq --disable-pip-version-check --no-deps \
	  --no-build-isolation --editable . \
	  || { echo "setup: glace_ros could not be built (see above)" >&2; exit 1; }
	@touch $@

demo: setup
	@$(BIN)/glace demo --output demo_output

# All three run, whatever fails. Tests with ROS processes mostly wait: three at a time, and those of
# a file share a node; of the fast ones an idle worker takes over what is left. One thread
# each: two that share two cores by spinning for each other take four times as long. pytest's exit
# code 5 (no such tests) is a failure like any other.
test: setup
	@export OMP_NUM_THREADS=1; failed=; \
	for tests in "not ros and not slow" "ros and not slow" "slow"; do \
	  echo "test: $$tests"; \
	  workers=2; [ "$$tests" != "ros and not slow" ] || workers=3; \
	  dist=loadfile; [ "$$tests" != "not ros and not slow" ] || dist=worksteal; \
	  $(BIN)/python -m pytest -q -m "$$tests" -n $$workers --dist $$dist; code=$$?; \
	  [ $$code -ne 5 ] || echo "test: no test is marked '$$tests'" >&2; \
	  [ $$code -ne 130 ] && [ $$code -ne 2 ] || exit $$code; \
	  [ $$code -eq 0 ] || failed="$$failed [$$tests]"; \
	done; \
	[ -z "$$failed" ] || { echo "test: FAILED:$$failed" >&2; exit 1; }

lint: $(DEPENDENCIES)
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --check --quiet . || { echo "lint: run $(VENV)/bin/ruff format" >&2; exit 1; }
	@$(BIN)/mypy
	@echo "lint: ok"

benchmark: setup
	@$(BIN)/python -m benchmark

clean:
	rm -rf $(VENV) .venv-colcon$(OTHER_DISTRO) $(OTHER_DISTRO:-%=.colcon-%) build install log demo_output *.egg-info \
	  .pytest_cache .hypothesis .mypy_cache .ruff_cache
	find glace_ros test benchmark dev -name __pycache__ -prune -exec rm -rf {} +
