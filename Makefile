# Everything runs through .venv, which the first target that needs it makes; it takes Python 3.11 or newer and make.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
# The GPU wheels where an NVIDIA driver answers, the CPU ones elsewhere; never both: they own the same files.
EXTRA := $(shell nvidia-smi -L >/dev/null 2>&1 && echo all-gpu || echo all)
PROCESSES ?= 3

.PHONY: tools setup demo docs test coverage soak fuzz check format bench man release clean

# Compilers, emulators, a browser, an SSH server: with apt and as root; elsewhere it says what is missing.
tools:
	.ci/tools

setup: $(VENV)/.done

$(VENV)/.done: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[$(EXTRA),dev]'
	@touch $@

# Generated log -> model -> bundle -> verified -> table, in demo/.
demo: setup
	$(BIN)/pulsecast demo --out demo --force

# The site, in build/docs; a dead link, or a cell of a notebook that fails, is an error. It needs no network.
docs: setup
	$(BIN)/python -m sphinx -b html -W --keep-going -q docs build/docs
	@echo "the site is in build/docs; to read it: $(BIN)/python -m http.server --bind 127.0.0.1 --directory build/docs"

# Three processes for two cores, as tests wait for brokers, servers and children. A file's tests stay together, and so do
# the models they share. Compiled modules are written, also where a machine says otherwise: the tests start a thousand
# children, and each would compile all that it imports.
test: setup
	PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n $(PROCESSES) --dist loadfile --no-loadscope-reorder

# The same, with the share of the runtime's lines and branches that the tests run.
coverage: setup
	$(BIN)/python -m pytest -n $(PROCESSES) --dist loadfile --no-loadscope-reorder --cov --cov-report=term

# A hundred thousand damaged bundles, kills at random moments, every instruction set: some twenty minutes more. Fuzzing is part
# of it where `make fuzz` has installed atheris.
soak: setup
	$(BIN)/python -m pytest -m soak

# Coverage-guided fuzzing of everything that reads a stranger's bytes, a minute for each target. Installs atheris.
FUZZ_SECONDS ?= 60
fuzz: setup
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[fuzz]'
	cd tests && ../$(BIN)/python -m fuzz --seconds $(FUZZ_SECONDS)

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The ratios this project claims, each measured side by side in one run; needs a quiet machine and some minutes.
bench: setup
	test -d demo/bundle || $(MAKE) demo
	$(BIN)/pulsecast bench demo/bundle --out demo/bench.json --profile standard --force
	$(BIN)/pulsecast report demo/bench.json --out demo/bench.html --force
	$(BIN)/python -m pulsecast_bench.claims.imports
	$(BIN)/python -m pulsecast_bench.claims.starts demo/bundle
	$(BIN)/python -m pulsecast_bench.claims.training
	$(BIN)/python -m pulsecast_bench.claims.reading
	$(BIN)/python -m pulsecast_bench.claims.batch demo/bundle
	$(BIN)/python -m pulsecast_bench.claims.series demo/model
	$(BIN)/python -m pulsecast_bench.claims.pushes demo/bundle
	$(BIN)/python -m pulsecast_bench.native.limits demo/model
	! command -v valgrind >/dev/null || $(BIN)/python -m pulsecast_bench.native.instructions

# The manual page, of the words that --help shows: man -l build/pulsecast.1
man: setup
	mkdir -p build
	$(BIN)/python -m pulsecast_cli.manual > build/pulsecast.1

# Wheel, sdist, manual, licences and bill of materials, each twice and compared, in dist/.
release: setup
	.ci/release $(BIN)/python dist

clean:
	rm -rf $(VENV) demo build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage
