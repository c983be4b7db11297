# make demo      set up .venv and run the main job once, end to end; TAGGER=null, transformers:NAME or openai:MODEL:
#                with another tagger
# make demo-up   keep S3 and Airflow running until Ctrl-C; PORT=8081: another port for Airflow's user interface
# make test      set up what the tests need, too, and run them all
# make test-all  the same with many more seeds
# make test-qwen the model families that README names, tiny, in .venv-qwen
# make fuzz      damaged media by the thousand; FILES=1000 SEED=7: how many, and the first one's number
# make bench     what the pipeline costs beside a model, as a table
# make bench-peers  the same frames by others, each in an environment of its own under .venv-peers, as a table
# make lint      ruff and mypy

PYTHON ?= python3
TAGGER ?= builtin
PORT ?= 8080
FILES ?= 100000
SEED ?= 0

# two processes, a file of tests to each at a time: many tests wait for a server's start more than they reckon. In the
# order of the files, of which the short ones come last: so no process waits long for the other
SPREAD := --numprocesses 2 --dist loadfile --no-loadscope-reorder

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -qq
PINS := pyproject.toml constraints.txt demo/seaweedfs.txt
EXTRA := $(filter transformers openai,$(firstword $(subst :, ,$(TAGGER))))
QWEN := .venv-qwen
PEERS := datachain daft pixeltable ray_data
FAMILIES := qwen2_vl qwen2_5_vl qwen3_vl smolvlm

.PHONY: demo demo-up test test-all test-qwen bench bench-peers fuzz lint

demo: $(VENV)/.demo $(EXTRA:%=$(VENV)/.%)
	@$(BIN)/python -m demo --tagger '$(TAGGER)'

demo-up: $(VENV)/.demo $(EXTRA:%=$(VENV)/.%)
	@$(BIN)/python -m demo --up --tagger '$(TAGGER)' --port '$(PORT)'

test: $(VENV)/.test
	$(BIN)/python -m pytest $(SPREAD)

test-all: $(VENV)/.test
	$(BIN)/python -m pytest $(SPREAD) --all

test-qwen: $(QWEN)/.ready
	$(QWEN)/bin/python -m pytest tests/families
	@set -e; for family in $(FAMILIES); do \
		$(QWEN)/bin/python -m pytest tests/contract/test_taggers.py -k transformers --family $$family; done

bench: $(VENV)/.test .venv-peers/shotlog/.ready
	@$(BIN)/python -m tests.benchmark

bench-peers: $(VENV)/.test .venv-peers/shotlog/.ready $(PEERS:%=.venv-peers/%/.ready)
	@$(BIN)/python -m tests.benchmark.peers

fuzz: $(VENV)/.test
	@$(BIN)/python -m tests.fuzz --files '$(FILES)' --seed '$(SEED)'

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# What tests need holds what the demo needs. Set up again only when something was pinned anew.
$(VENV)/.demo: $(PINS)
	$(call set_up,demo,two minutes and 1.7 GB)
$(VENV)/.test: $(PINS)
	$(call set_up,test,four minutes and 7.5 GB)
	@touch $(VENV)/.demo
	@rm $(VENV)/setup_seconds

# What a tagger needs beside the demo.
$(VENV)/.transformers: $(PINS) | $(VENV)/.demo
	$(call add,transformers,two minutes and 5 GB)
$(VENV)/.openai: $(PINS) | $(VENV)/.demo
	$(call add,openai,seconds)

# The families' processors want torchvision, which wants a torch of its own: neither touches .venv.
$(QWEN)/.ready: $(PINS)
	@sh demo/preflight.sh '$(PYTHON)'
	@echo "setting up $(QWEN) for 'make test-qwen': three minutes and 7 GB, once"
	@'$(PYTHON)' -m venv $(QWEN)
	@grep -vE '^(torch|torchvision|triton)==' constraints.txt > $(QWEN)/constraints.txt
	@$(QWEN)/bin/python -m pip --disable-pip-version-check -qq install -c $(QWEN)/constraints.txt setuptools
	@$(QWEN)/bin/python -m pip --disable-pip-version-check -qq install --no-build-isolation \
		-c $(QWEN)/constraints.txt torch==2.14.1 torchvision==0.29.1 -e '.[test,transformers]'
	@touch $@

# shotlog as README installs it, without what tests need: some of that slows its start.
.venv-peers/shotlog/.ready: $(PINS)
	@echo "setting up .venv-peers/shotlog for benchmarks: half a minute and 0.9 GB, once"
	@'$(PYTHON)' -m venv .venv-peers/shotlog
	@.venv-peers/shotlog/bin/python -m pip --disable-pip-version-check -qq install -c constraints.txt -e .
	@touch $@

.venv-peers/%/.ready: tests/benchmark/peers/%.txt
	@echo "setting up .venv-peers/$* for 'make bench-peers': a minute and up to 0.9 GB, once"
	@'$(PYTHON)' -m venv .venv-peers/$*
	@.venv-peers/$*/bin/python -m pip --disable-pip-version-check -qq install -r $<
	@touch $@

define set_up
	@sh demo/preflight.sh '$(PYTHON)'
	@echo "setting up $(VENV) for 'make $(1)': $(2), once"
	@began=$$(date +%s) && \
	'$(PYTHON)' -m venv $(VENV) && \
	$(PIP) install -c constraints.txt setuptools && \
	$(PIP) install --require-hashes --no-deps -r demo/seaweedfs.txt && \
	$(PIP) install --no-build-isolation -c constraints.txt -e '.[$(1)]' && \
	echo $$(($$(date +%s) - began)) > $(VENV)/setup_seconds && \
	touch $@
endef

define add
	@echo "adding to $(VENV) what the tagger '$(1)' needs: $(2), once"
	@$(PIP) install --no-build-isolation -c constraints.txt -e '.[$(1)]'
	@touch $@
endef
