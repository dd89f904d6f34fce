# `make help` lists the targets. Everything runs in .venv, built from environment.yml.

STUDY ?= digits
# STUDY may be a path; NAME is what its results are called.
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

env: .venv/.installed ## set up .venv from environment.yml (once; minutes, about 6 GB)

# environment.yml is the only list of versions: its pip section, line by line, is what pip gets.
.venv/.installed: environment.yml pyproject.toml
	@command -v $(PYTHON) > /dev/null || { echo "make: Python 3.11 is needed and $(PYTHON) is" \
	  "not found; install it or name it: make env PYTHON=/path/to/python3.11"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	sed -n '/- pip:/,$$ s/^ *- \(.*==.*\|-e \.\)$$/\1/p' environment.yml > .venv/requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r .venv/requirements.txt
	touch $@

reproduce: env ## train every run of STUDY=digits, then tables, figures and the MLflow store
	@$(SNAKEMAKE) --config study="$(STUDY)" $(ARGS)
	@$(BIN)/posmlp show "$(STUDY)"
	@echo "Report: results/$(NAME)/report.html"

plan: env ## print what STUDY=digits will cost: runs, hours, disk; trains nothing
	@$(BIN)/posmlp plan "$(STUDY)" $(ARGS)

calibrate: env ## measure for some seconds how fast each variant trains here, for the plan
	@$(SNAKEMAKE) calibrate --config study="$(STUDY)" $(ARGS)

report: env ## write report.html of STUDY=digits, and archive.html with logs, learned maps and code
	@$(SNAKEMAKE) all audit --config study="$(STUDY)" \
	  --report-after-run --report "results/$(NAME)/archive.html" $(ARGS)
	@echo "Report:  results/$(NAME)/report.html"
	@echo "Archive: results/$(NAME)/archive.html"

audit: env ## compare every published number with ours: results/audit (seconds; no data, no GPU)
	@$(BIN)/posmlp audit $(ARGS)

# Every study that has results, unless STUDY is given: then its default above does not count.
check-results: env ## make committed tables and figures again, and train a sample of runs (STUDY=...)
	@$(BIN)/posmlp check-results $(if $(filter-out file,$(origin STUDY)),"$(STUDY)") $(ARGS)

evaluate-checkpoint: env ## test a released checkpoint: FILE=PosMLP_T.pth DATA=/datasets/imagenet
	@[ -n "$(FILE)" ] && [ -n "$(DATA)" ] || { echo "make: name the checkpoint and the folder that" \
	  "holds val/<class>/: make $@ FILE=PosMLP_T.pth DATA=/datasets/imagenet"; exit 1; }
	@$(BIN)/posmlp evaluate-checkpoint "$(FILE)" "$(DATA)" $(ARGS)

test: env ## run the tests, all but those that need a cluster
	$(BIN)/python -m pytest -n 2 --dist loadgroup --ignore tests/cluster $(ARGS)

test-slurm: env ## start a real Slurm on this machine, run the tests of slurm/ on it, stop it (root)
	bash tests/cluster/run.sh $(ARGS)

faults: env ## kill short runs 200 times (FAULTS=...) and compare them with uninterrupted ones
	$(BIN)/python -m tests.faults --faults $(FAULTS)

bench: env ## measure speed beside the released formulation and timm's models (minutes)
	$(BIN)/python benchmarks/speed.py $(ARGS)
	$(BIN)/posmlp docs

bench-full: env ## the same with larger batches and more repetitions, and a whole study (most of an hour)
	$(BIN)/python benchmarks/speed.py --full $(ARGS)
	$(BIN)/python benchmarks/study.py
	$(BIN)/posmlp docs

lint: env ## check style, formats and the workflow
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/snakefmt --check Snakefile workflow
	@# One lint is left out: rules share .venv, so none names an environment.
	! $(BIN)/snakemake --lint 2>&1 | grep '^    \* ' | grep -v 'Specify a conda env'

docs: env ## renew what README and docs say of results and settings
	$(BIN)/posmlp docs

notebook: env ## execute docs/results.ipynb anew (after `make reproduce`)
	cd docs && env -u MPLBACKEND PYTHONWARNINGS=ignore ../$(BIN)/python -c "import nbclient, nbformat; \
	  notebook = nbformat.read('results.ipynb', 4); \
	  nbclient.execute(notebook, record_timing=False); nbformat.write(notebook, 'results.ipynb')"

site: env ## write the documentation as a site that needs no network: site/index.html
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

ui: env ## open the MLflow UI on this machine (PORT=...)
	@$(BIN)/posmlp ui $(if $(PORT),--port $(PORT)) $(ARGS)

mlflow-rebuild: env ## make a new MLflow store from results/; the old one is kept beside it
	@[ ! -e results/mlflow.db ] || mv -v results/mlflow.db results/mlflow.db.$$(date +%Y%m%d-%H%M%S)
	@$(BIN)/posmlp sync $(ARGS)

clean: ## remove caches and logs; asks before it touches finished runs
	rm -rf .pytest_cache .ruff_cache .hypothesis results/logs
	find posmlp tests workflow -name __pycache__ -type d -exec rm -rf {} +
	@runs=$$(find results/runs -name metrics.json 2> /dev/null | wc -l); \
	  [ $$runs -eq 0 ] || { printf 'Remove %s finished runs in results/runs too? [y/N] ' $$runs; \
	  read answer; [ "$$answer" = y ] && rm -rf results/runs || echo 'Kept.'; }
