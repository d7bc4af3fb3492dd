# `make` explains the commands. On a system without make: see README.md, "Without make".
PYTHON ?= python3
BIN := .venv/$(if $(filter Windows_NT,$(OS)),Scripts,bin)

.DEFAULT_GOAL := help
.PHONY: help environment book test lab notebooks text train bench clean

help:  ## explain the commands
	@sed -n 's/^\([a-z]*\):.*  ## /  make \1@/p' Makefile | awk -F@ '{ printf "%-18s %s\n", $$1, $$2 }'

environment:
	@$(PYTHON) .ci/environment.py

book: environment  ## build the book into _build/html (the first run makes .venv)
	@$(BIN)/jupyter-book build . --quiet --warningiserror --nitpick --keep-going

test: book  ## run every test: package, notebooks, figures, pages
	@$(BIN)/python -m pytest -n 2 --dist loadfile

lab: environment  ## open the chapters in JupyterLab
	@$(BIN)/python -m jupyterlab notebooks

notebooks: environment  ## run the chapters and store their outputs (one: make notebooks ONLY=09)
	@$(BIN)/python .ci/notebooks.py execute $(ONLY)

text: environment  ## write the chapters as Markdown text, to edit them (one: make text ONLY=09)
	@$(BIN)/python .ci/notebooks.py text $(ONLY)

train: environment  ## train again the weights that ship with the package (about twenty-five minutes)
	@$(BIN)/python -m dit_lesson.weights.make_weights

bench: environment  ## time the four designs on this CPU beside diffusers' model of the same size
	@$(BIN)/python -m tests.bench_designs

clean:  ## remove the built book and all caches (.venv stays; delete it to start afresh)
	rm -rf _build .pytest_cache .ruff_cache .hypothesis
	find dit_lesson tests .ci notebooks -name __pycache__ -exec rm -rf {} +
