# make demo      set up .venv and run the main job once, end to end; TAGGER=null: with another tagger
# make demo-up   keep S3 and Airflow running until Ctrl-C; PORT=8081: another port for Airflow's user interface
# make test      set up what the tests need, too, and run them all
# make test-all  the same with many more seeds
# make lint      ruff and mypy

PYTHON ?= python3
TAGGER ?= builtin
PORT ?= 8080

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -qq
PINS := pyproject.toml constraints.txt demo/seaweedfs.txt

.PHONY: demo demo-up test test-all lint

demo: $(VENV)/.demo
	@$(BIN)/python -m demo --tagger '$(TAGGER)'

demo-up: $(VENV)/.demo
	@$(BIN)/python -m demo --up --tagger '$(TAGGER)' --port '$(PORT)'

test: $(VENV)/.test
	$(BIN)/python -m pytest

test-all: $(VENV)/.test
	$(BIN)/python -m pytest --all

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# What tests need holds what the demo needs. Set up again only when something was pinned anew.
$(VENV)/.demo: $(PINS)
	$(call set_up,demo)
$(VENV)/.test: $(PINS)
	$(call set_up,test)
	@touch $(VENV)/.demo
	@rm $(VENV)/setup_seconds

define set_up
	@sh demo/preflight.sh '$(PYTHON)'
	@echo "setting up $(VENV) for 'make $(1)': two minutes and 1.7 GB, once"
	@began=$$(date +%s) && \
	'$(PYTHON)' -m venv $(VENV) && \
	$(PIP) install -c constraints.txt setuptools && \
	$(PIP) install --require-hashes --no-deps -r demo/seaweedfs.txt && \
	$(PIP) install --no-build-isolation -c constraints.txt -e '.[$(1)]' && \
	echo $$(($$(date +%s) - began)) > $(VENV)/setup_seconds && \
	touch $@
endef
