# Two commands do all the set-up: `make demo` and `make test`. `make help` lists the others.
# pip's own variables (PIP_EXTRA_INDEX_URL, PIP_FIND_LINKS, ...) are respected; so are PYTHON and PYTEST_ADDOPTS.

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

# coremltools 9 has no build for Python 3.14.
FITS := import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3; do $$p -c '$(FITS)' 2>/dev/null && { echo $$p; break; }; done)

export PIP_DISABLE_PIP_VERSION_CHECK := 1

# Chromium is large, and often there.
DEVICE_TOOLS := adb arm64 adb-arm64 qemu-7 vulkan $(if $(shell command -v chromium),,web)

.PHONY: demo test venv qualcomm device-tools lint format types check site wheel-test runner-wheel clean help

demo: venv ## set up, then take the embedded default student to all three targets
	$(BIN)/dvfl-mobile deploy

# In the order of their names: the long files are in contract/ and device/, and short ones fill up the end. Three, since
# on two cores two of them often wait: for a browser, a phone, a child to start.
test: venv ## set up, then run the test suite, a file to each of three processes; ends with the slowest tests and files
	OMP_NUM_THREADS=1 $(BIN)/python -P -m pytest -n 3 --dist loadfile --no-loadscope-reorder --durations=10

venv: $(STAMP) ## set up .venv with everything in it

$(STAMP): pyproject.toml constraints.txt
	@$(or $(PYTHON),false) -c '$(FITS)' 2>/dev/null || { echo "error: Python 3.11, 3.12 or 3.13 is needed; $(or $(PYTHON),python3) is not one. Install one, or name it: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "error: $(PYTHON) can't make a virtual environment. On Debian and Ubuntu: sudo apt install python3-venv" >&2; exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || { echo "Making $(VENV) with $$($(PYTHON) --version)"; $(PYTHON) -m venv $(VENV); }
	@echo "Installing into $(VENV): about 3 GB once unpacked, a few minutes the first time"
	@if [ -t 1 ]; then quiet=; else quiet=-qq; fi; $(BIN)/python -m pip install $$quiet -e '.[all,dev]' -c constraints.txt
	@touch $@

# No other rule depends on it: nobody gets these libraries without having asked for them.
qualcomm: venv ## add what compiles for Qualcomm's NPU, for whoever accepts its licence: docs/qualcomm.md
	@[ "$$DVFL_MOBILE_ACCEPT_QUALCOMM_LICENCE" = yes ] || { echo "error: these libraries have a licence of Qualcomm's own (docs/qualcomm.md). If you accept it: make qualcomm DVFL_MOBILE_ACCEPT_QUALCOMM_LICENCE=yes" >&2; exit 1; }
	$(BIN)/python -m pip install -q -e '.[qualcomm]' -c constraints.txt

device-tools: ## unpack what tests of devices need from Debian's packages into build/device-tools
	@scripts/device-tools build/device-tools $(DEVICE_TOOLS)

lint: venv ## look for faults of style and of importing
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .

format: venv ## put the style right
	$(BIN)/python -m ruff check --fix .
	$(BIN)/python -m ruff format .

# mypy knows no package-dir: it is shown the package as it is installed, as a folder of links.
types: venv ## check the types
	@rm -rf build/types && mkdir -p build/types/dvfl_mobile
	@ln -s "$(CURDIR)"/dvfl_mobile/* "$(CURDIR)/converters" "$(CURDIR)/quantization" build/types/dvfl_mobile/
	cd build/types && ../../$(BIN)/python -m mypy --config-file ../../pyproject.toml --cache-dir ../../.mypy_cache -p dvfl_mobile

check: lint types test ## lint, types and test

site: venv ## build the documentation into build/site; a broken link is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

wheel-test: venv ## run what can differ in a wheel, or TESTS, against the installed wheel, out of reach of this checkout
	@sh scripts/wheel-test $(BIN)/python $(TESTS)

runner-wheel: venv ## build the wheel of native programs for 64-bit Arm, which a machine without a compiler installs, into dist
	@$(BIN)/python scripts/runner-wheel dist

clean: ## remove what was built, but not .venv
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache

help: ## show this
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1|\2/p' Makefile | awk -F'|' '{ printf "%-18s%s\n", $$1, $$2 }'
