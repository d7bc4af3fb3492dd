# `make` explains the commands. On a system without make: see README.md, "Without make".
PYTHON ?= python3
BIN := .venv/$(if $(filter Windows_NT,$(OS)),Scripts,bin)
READY := .venv/ready

.DEFAULT_GOAL := help
.PHONY: help book pdf test lab notebooks text train race bench mutants clean

help:  ## explain the commands
	@sed -n 's/^\([a-z]*\):.*  ## /  make \1@/p' Makefile | awk -F@ '{ printf "%-18s %s\n", $$1, $$2 }'

# .venv is complete when it holds the file READY; otherwise it is made anew, or, where only the
# lists are newer, brought up to them. The first import lets Matplotlib look for fonts once.
$(READY): requirements.txt constraints.txt pyproject.toml
	@$(PYTHON) tools/oldest.py
	@test -e $@ || $(PYTHON) -m venv --clear .venv || { echo "environment: Python could not make .venv; on Debian and Ubuntu the package python3-venv is needed"; exit 1; }
	@echo "environment: installing into .venv, some minutes the first time"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt -c constraints.txt \
	  || { echo "environment: the packages could not be installed; connect to a network and run this again"; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@$(BIN)/python -c "import matplotlib.font_manager, torch, dit_lesson" && touch $@ && echo "environment: ready"

book: $(READY)  ## build the book into _build/html (the first run makes .venv)
	@$(BIN)/jupyter-book build . --quiet --warningiserror --nitpick --keep-going

pdf: book  ## print the built book into _build/book.pdf (needs Chromium)
	@$(BIN)/python -m tools.pdf

test: book  ## run every test: package, notebooks, figures, pages
	@$(BIN)/python -m pytest -n 3 --dist loadfile

lab: $(READY)  ## open the chapters in JupyterLab
	@$(BIN)/python -m jupyterlab notebooks

notebooks: $(READY)  ## run the chapters and store their outputs (one: make notebooks ONLY=09)
	@$(BIN)/python -m tools.chapters execute $(ONLY)

text: $(READY)  ## write the chapters as Markdown text, to edit them (one: make text ONLY=09)
	@$(BIN)/python -m tools.chapters text $(ONLY)

train: $(READY)  ## train again what ships with the package (some hours; one: make train ONLY=vit)
	@$(BIN)/python -m dit_lesson.experiments $(ONLY)

race: $(READY)  ## the race of the designs (15): the runs that its results lack
	@$(BIN)/python -m dit_lesson.experiments rate-choice step-time race

bench: $(READY)  ## time the four designs, the figures in the built book, and the engine of the page
	@$(BIN)/python -m tools.bench_designs
	@$(BIN)/python -m tools.bench_figures
	@$(BIN)/python -m tools.bench_engine

mutants: $(READY)  ## change one operator or number of the core at a time: which changes go unnoticed
	@$(BIN)/python -m tools.mutants

clean:  ## remove the built book and all caches (.venv stays; delete it to start afresh)
	rm -rf _build .pytest_cache .ruff_cache .hypothesis
	find dit_lesson tests tools notebooks -name __pycache__ -exec rm -rf {} +
