# `make help` lists the targets. Everything runs in .venv, built from environment.yml.

STUDY ?= digits
# STUDY may be a path; NAME is the folder of its results.
NAME = $(patsubst %.yaml,%,$(notdir $(STUDY)))
PYTHON ?= python3.11
CORES ?= all
FAULTS ?= 200
ARGS ?=

BIN := .venv/bin
# Plain lines, whatever the terminal's locale; matplotlib without a display.
export PYTHONUTF8 := 1
export MPLBACKEND := agg
export MLFLOW_DISABLE_TELEMETRY := true

SNAKEMAKE := $(BIN)/snakemake --cores $(CORES)

.DEFAULT_GOAL := help
.PHONY: help env reproduce plan calibrate report audit check-results evaluate-checkpoint test \
  test-slurm faults bench bench-full lint docs notebook site ui mlflow-rebuild clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-20s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

env: .venv/.installed ## set up .venv from environment.yml (once; takes minutes and about 6 GB)

# environment.yml is the only list of versions; pip installs its pip section.
.venv/.installed: environment.yml pyproject.toml
	@command -v $(PYTHON) > /dev/null || { echo "make: Python 3.11 is required but $(PYTHON) was" \
	  "not found; install it or set its path: make env PYTHON=/path/to/python3.11"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	sed -n '/- pip:/,$$ s/^ *- \(.*==.*\|-e \.\)$$/\1/p' environment.yml > .venv/requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r .venv/requirements.txt
	touch $@

reproduce: env ## train every run of STUDY=digits, then make tables, figures and the report
	@$(SNAKEMAKE) --config study="$(STUDY)" $(ARGS)
	@$(BIN)/posmlp show "$(STUDY)"
	@echo "Report: results/$(NAME)/report.html"

plan: env ## estimate the cost of STUDY=digits (runs, hours, disk) without training
	@$(BIN)/posmlp plan "$(STUDY)" $(ARGS)

calibrate: env ## measure how fast each variant of STUDY=digits trains, for the plan (seconds each)
	@$(SNAKEMAKE) calibrate --config study="$(STUDY)" $(ARGS)

report: env ## write report.html of STUDY=digits, and archive.html with logs, learned maps and code
	@$(SNAKEMAKE) all audit --config study="$(STUDY)" \
	  --report-after-run --report "results/$(NAME)/archive.html" $(ARGS)
	@echo "Report:  results/$(NAME)/report.html"
	@echo "Archive: results/$(NAME)/archive.html"

audit: env ## compare every published number with ours in results/audit (seconds; no data, no GPU)
	@$(BIN)/posmlp audit $(ARGS)

# All studies with results, unless STUDY is given; its default above does not count.
check-results: env ## reproduce committed results and retrain a sample of runs (all studies, or STUDY=...)
	@$(BIN)/posmlp check-results $(if $(filter-out file,$(origin STUDY)),"$(STUDY)") $(ARGS)

evaluate-checkpoint: env ## evaluate a released checkpoint: FILE=PosMLP_T.pth DATA=/datasets/imagenet
	@[ -n "$(FILE)" ] && [ -n "$(DATA)" ] || { echo "make: give the checkpoint and the folder that" \
	  "contains val/<class>/: make $@ FILE=PosMLP_T.pth DATA=/datasets/imagenet"; exit 1; }
	@$(BIN)/posmlp evaluate-checkpoint "$(FILE)" "$(DATA)" $(ARGS)

test: env ## run all tests except those that need a cluster
	$(BIN)/python -m pytest -n 2 --dist loadgroup --ignore tests/cluster $(ARGS)

test-slurm: env ## run the cluster tests on a temporary Slurm on this machine (needs root)
	bash tests/cluster/run.sh $(ARGS)

faults: env ## kill short runs 200 times (FAULTS=...) and compare them with uninterrupted runs
	$(BIN)/python -m tests.faults --faults $(FAULTS)

bench: env ## compare speed with the released formulation and timm's models (minutes)
	$(BIN)/python benchmarks/speed.py $(ARGS)
	$(BIN)/posmlp docs

bench-full: env ## bench with larger batches and more repetitions, and a whole study (most of an hour)
	$(BIN)/python benchmarks/speed.py --full $(ARGS)
	$(BIN)/python benchmarks/study.py
	$(BIN)/posmlp docs

lint: env ## check style, formatting and the workflow
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/snakefmt --check Snakefile workflow
	@# One lint is ignored: rules share .venv, so none specifies an environment.
	! $(BIN)/snakemake --lint 2>&1 | grep '^    \* ' | grep -v 'Specify a conda env'

docs: env ## update generated passages on results and settings in README and docs
	$(BIN)/posmlp docs

notebook: env ## execute docs/results.ipynb (after `make reproduce`)
	cd docs && env -u MPLBACKEND PYTHONWARNINGS=ignore ../$(BIN)/python -c "import nbclient, nbformat; \
	  notebook = nbformat.read('results.ipynb', 4); \
	  nbclient.execute(notebook, record_timing=False); nbformat.write(notebook, 'results.ipynb')"

site: env ## build the documentation as an offline site: site/index.html
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

ui: env ## start the MLflow UI on this machine (PORT=...)
	@$(BIN)/posmlp ui $(if $(PORT),--port $(PORT)) $(ARGS)

mlflow-rebuild: env ## make a new MLflow store from results/; the old one is kept beside it
	@[ ! -e results/mlflow.db ] || mv -v results/mlflow.db results/mlflow.db.$$(date +%Y%m%d-%H%M%S)
	@$(BIN)/posmlp sync $(ARGS)

clean: ## remove caches and logs; asks before removing finished runs
	rm -rf .pytest_cache .ruff_cache .hypothesis results/logs
	find posmlp tests workflow -name __pycache__ -type d -exec rm -rf {} +
	@runs=$$(find results/runs -name metrics.json 2> /dev/null | wc -l); \
	  [ $$runs -eq 0 ] || { printf 'Remove %s finished runs in results/runs too? [y/N] ' $$runs; \
	  read answer; [ "$$answer" = y ] && rm -rf results/runs || echo 'Kept.'; }
