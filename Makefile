# Every target sets itself up in .venv; a second call reuses it.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/ready

.PHONY: demo test test-slow lint docs dist clean

demo: $(READY)
	$(BIN)/python train/demo.py

test: lint
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 -m "not slow"

# PyTorchVideo and mmaction2, to compare with: without what they ask for, which clashes with today's torch.
test-slow: $(READY)
	$(BIN)/pip install --quiet --no-deps pytorchvideo==0.1.5 fvcore iopath yacs tabulate termcolor portalocker \
		mmaction2==1.2.0 mmengine mmcv-lite addict yapf platformdirs rich markdown-it-py mdurl opencv-python-headless
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 -m slow

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy experiments/*.py train/*.py docs/*/*.py

# The docs site, into build/site/html.
docs: $(READY)
	$(BIN)/python docs/site/build.py

# The wheel and the sdist, checked as PyPI checks them and tried in empty environments; docs/releasing.md has the rest.
dist: $(READY)
	rm -rf dist
	$(BIN)/python -m build
	$(BIN)/twine check --strict dist/*
	CMPL_DIST=dist OMP_NUM_THREADS=1 $(BIN)/pytest tests/test_dist.py tests/test_windows.py tests/test_video.py \
		tests/test_export.py

$(READY): pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "cmpl_zoo needs Python 3.11 or newer: make PYTHON=python3.12")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --only-binary :all: -e '.[dev]'
	touch $@

clean:
	rm -rf .venv runs dist
