# Every target: `make help`. State lives in NIGHTLEDGER_HOME (default ./var, or ./var-<folder> with DATA=<folder>).
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# Compiled bytecode halves every start of dbt and Airflow; some environments switch it off.
unexport PYTHONDONTWRITEBYTECODE

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
RUN := $(VENV)/bin/python
DATA ?=

ifneq ($(DATA),)
# The same night on other people's files: an own home, and their folder as the inbox.
export NIGHTLEDGER_HOME ?= $(CURDIR)/var-$(notdir $(abspath $(DATA)))
export NIGHTLEDGER_INBOX ?= $(abspath $(DATA))
endif
export NIGHTLEDGER_HOME ?= $(CURDIR)/var

# What a person types reaches the shell as it is, through the environment: names of files are the sender's text.
define as_typed
override export $(1) := $$(value $(1))
endef
$(foreach name,FILE REASON SOURCE TO FROM QUERY DESCRIPTOR PATTERN MERCHANT SUBCATEGORY NUMBER SELECT ROWS TABLE KEY FIGURE A B MODEL \
	VERSION RECEIPT ALLOW_MISSING OUT LABEL_DELAY TRAIN_DAYS CEILING CLIENT ACTION DATE TRUTH NAME ROLE,$(eval $(call as_typed,$(name))))

##@ The main job

.PHONY: demo
demo: $(VENV)/.installed ## Two years of a bank, a trained model and a night, through Airflow (DATA=folder: on real files)
	@$(RUN) -m nightledger.demo run

.PHONY: next-night
next-night: $(VENV)/.installed ## Add one more simulated day and run its night
	@$(RUN) -m nightledger.demo next-night

.PHONY: test
test: $(VENV)/.installed-dev ## All tests: unit, dbt, DAG and end-to-end, with the coverage of plugins and ml
	@rm -f .coverage .coverage.*
	@$(call tests,one,tests/dbt tests/unit) > .tests-one.log 2>&1 & one=$$!; \
		$(MAKE_COMMAND) .venv-superset/.installed || failed=yes; \
		$(call tests,two,tests/end_to_end tests/dags) || failed=yes; \
		wait $$one || failed=yes; cat .tests-one.log; \
		$(VENV)/bin/coverage combine -q; $(VENV)/bin/coverage report || failed=yes; test -z "$${failed:-}"
# Two halves side by side, as most of a test is one process that waits for another.
tests = COVERAGE_FILE=.coverage.$(1) $(VENV)/bin/pytest -q --cov --cov-report= --cov-fail-under=0 --durations=10 $(2)

##@ Run Airflow

.PHONY: up
up: $(VENV)/.installed .venv-superset/.installed ## Start Airflow with its UI and the schedule, and the dashboards
	@$(RUN) -m nightledger.demo up
	@$(RUN) -m nightledger.servers.superset_pages up || echo "Airflow runs without the dashboards; \`make superset\` starts them."

.PHONY: down
down: $(VENV)/.installed ## Stop exactly what `make up` started
	@$(RUN) -m nightledger.servers.superset_pages down
	@$(RUN) -m nightledger.airflow.launcher down

.PHONY: status
status: $(VENV)/.installed ## Tell what is running
	@$(RUN) -m nightledger.servers.superset_pages status || true
	@$(RUN) -m nightledger.airflow.launcher status

.PHONY: airflow-user
airflow-user: $(VENV)/.installed ## Give a person a log-in and roles in Airflow: NAME=priya [ROLE="fraud desk,viewer" | ROLE=none: bar them]; no ROLE: a new password
	@test -n "$$NAME" || { echo 'Say who: make airflow-user NAME=priya ROLE="fraud desk"'; exit 1; }
	@$(RUN) -m nightledger.airflow.people give --roles="$$ROLE" -- "$$NAME"

.PHONY: airflow-users
airflow-users: $(VENV)/.installed ## Who may log in to Airflow, and with which roles
	@$(RUN) -m nightledger.airflow.people list

.PHONY: superset
superset: $(VENV)/.installed .venv-superset/.installed ## Start the dashboards on the newest publication; brings in what git says
	@$(RUN) -m nightledger.servers.superset_pages up

.PHONY: harvest-superset
harvest-superset: $(VENV)/.installed-dev ## Write what the browser asks for each chart, on a running server: [PAGES="segments spend"]
	@PYTHONPATH=superset $(RUN) -m nightledger_superset.browser harvest $(PAGES)

.PHONY: screenshots-superset
screenshots-superset: $(VENV)/.installed-dev ## Pictures of every tab, on a running server: [PAGES="segments spend"] [WIDTHS=1440,1920; 1440 by default] [DARK=yes] [FOLDER=docs/images]
	@PYTHONPATH=superset $(RUN) -m nightledger_superset.browser screenshots $(PAGES) --widths $(or $(WIDTHS),1440) $(if $(DARK),--dark) --folder $(or $(FOLDER),docs/images)

.PHONY: superset-refresh
superset-refresh: $(VENV)/.installed .venv-superset/.installed ## Compute the answers of all dashboards on the newest publication
	@$(RUN) -m nightledger.servers.superset_pages refresh

.PHONY: train
train: $(VENV)/.installed ## Train the models on the current publication (Airflow must be up)
	@$(RUN) -m nightledger.airflow.launcher trigger train
	@$(RUN) -m nightledger.demo models

.PHONY: score
score: $(VENV)/.installed ## Score the published date again, aside: bands, money at stake, whether it is what was published
	@$(RUN) -m ml.rescore
	@$(RUN) -m nightledger.demo models

.PHONY: models
models: $(VENV)/.installed ## Each model's last version beside its baselines and the ceiling
	@$(RUN) -m nightledger.demo models

.PHONY: evaluate
evaluate: $(VENV)/.installed ## How good a model would have been: MODEL=… FROM=date TO=date [LABEL_DELAY=days] [TRAIN_DAYS=days] [OUT=folder]
	@test -n "$$MODEL" -a -n "$$FROM" -a -n "$$TO" \
		|| { echo "Say what and when: make evaluate MODEL=churn FROM=2026-03-01 TO=2026-03-31 [LABEL_DELAY=7] [TRAIN_DAYS=28]"; exit 1; }
	@$(RUN) -m ml.evaluate --from "$$FROM" --to "$$TO" $${LABEL_DELAY:+--label-delay "$$LABEL_DELAY"} \
		$${TRAIN_DAYS:+--train-days "$$TRAIN_DAYS"} $${OUT:+--out "$$OUT"} $${CEILING:+--ceiling "$$CEILING"} -- "$$MODEL"

.PHONY: backfill
backfill: $(VENV)/.installed ## Run the nights FROM=date TO=date again, one after another (Airflow must be up)
	@test -n "$$FROM" -a -n "$$TO" || { echo "Say which dates: make backfill FROM=2026-06-28 TO=2026-06-29"; exit 1; }
	@$(RUN) -m nightledger.airflow.launcher backfill --from "$$FROM" --to "$$TO"

.PHONY: features
features: $(VENV)/.installed ## Build the features of the month-ends FROM=date TO=date in one run (Airflow must be up)
	@test -n "$$FROM" -a -n "$$TO" || { echo "Say which dates: make features FROM=2024-07-31 TO=2026-06-30"; exit 1; }
	@$(RUN) -m nightledger.airflow.launcher features --from "$$FROM" --to "$$TO"

.PHONY: metrics
metrics: $(VENV)/.installed ## What Prometheus reads, as text: [TO=file of a textfile collector]
	@$(RUN) -m nightledger.monitoring.metrics $${TO:+--to "$$TO"}

##@ Run in containers (docs/how-to/deploy.md)

.PHONY: env-file
env-file: ## Write the secrets of docker-compose.yml into .env, random ones; what is there stays
	@$(PYTHON) docker/env_file.py

.PHONY: images
images: ## Build the images of docker-compose.yml: [BASE_IMAGE=image] [COMPOSE=podman-compose]
	@REVISION="$$(git rev-parse --short=12 HEAD)" $(or $(COMPOSE),docker compose) build

##@ Publications

.PHONY: publications
publications: $(VENV)/.installed ## What was published: when, from what, why
	@$(RUN) -m nightledger.publications list

.PHONY: rollback
rollback: $(VENV)/.installed ## Move readers back: REASON="why" [TO=publication]
	@$(RUN) -m nightledger.publications rollback --reason "$$REASON" --to "$$TO"

.PHONY: report
report: $(VENV)/.installed ## Print the table of the current publication again
	@$(RUN) -m nightledger.demo report

.PHONY: sql
sql: $(VENV)/.installed ## A SQL shell on the current publication (read-only)
	@$(RUN) -m nightledger.demo sql

.PHONY: export
export: $(VENV)/.installed ## What a query answers as CSV for a spreadsheet: QUERY="from marts.…" TO=file.csv
	@test -n "$$QUERY" -a -n "$$TO" \
		|| { echo 'Say what and where to: make export QUERY="from marts.mart_customer_overview" TO=overview.csv'; exit 1; }
	@$(RUN) -m nightledger.exports "$$QUERY" "$$TO"

##@ Files

.PHONY: hold
hold: $(VENV)/.installed ## Set a file aside from the next night on: FILE=name REASON="why"
	@$(RUN) -m nightledger.ingestion.holds hold "$$FILE" --reason "$$REASON"

.PHONY: release
release: $(VENV)/.installed ## Let a held file in again: FILE=name
	@$(RUN) -m nightledger.ingestion.holds release "$$FILE" --reason "$$REASON"

.PHONY: requeue
requeue: $(VENV)/.installed ## Read a file again under its mended contract: FILE=name or SOURCE=source
	@$(RUN) -m nightledger.ingestion.holds requeue "$$FILE" --source "$$SOURCE" --reason "$$REASON"

##@ Merchants

.PHONY: correct-merchant
correct-merchant: $(VENV)/.installed ## Say what a merchant is: DESCRIPTOR=text | PATTERN=text% MERCHANT=name SUBCATEGORY=name REASON="why"
	@$(RUN) -m nightledger.merchants.corrections correct --descriptor="$$DESCRIPTOR" --pattern="$$PATTERN" \
		--merchant="$$MERCHANT" --subcategory="$$SUBCATEGORY" --reason="$$REASON"

.PHONY: withdraw-correction
withdraw-correction: $(VENV)/.installed ## Take a correction back: NUMBER=number REASON="why"
	@$(RUN) -m nightledger.merchants.corrections withdraw --reason="$$REASON" -- "$$NUMBER"

.PHONY: merchant-corrections
merchant-corrections: $(VENV)/.installed ## What people have said about merchants: who, when, why
	@$(RUN) -m nightledger.merchants.corrections list

.PHONY: merchant-impact
merchant-impact: $(VENV)/.installed ## How many rows today's rules and waiting corrections would change, before a night does it
	@$(RUN) -m nightledger.merchants.impact

##@ Decisions about models

.PHONY: decisions
decisions: $(VENV)/.installed ## Who decided what about models, when and why: [MODEL=name]
	@$(RUN) -m nightledger.governance.decisions list --model "$$MODEL"

.PHONY: demote
demote: $(VENV)/.installed ## Go back to an earlier champion: MODEL=name REASON="why" [TO=version | TO=none: score with nothing]
	@$(RUN) -m nightledger.governance.decisions demote --reason "$$REASON" --to "$$TO" -- "$$MODEL"

##@ Scores and the registry

.PHONY: replay
replay: $(VENV)/.installed ## Compute a published score again, from the archive: RECEIPT=receipt_id of marts.fct_scores
	@test -n "$$RECEIPT" || { echo "Say which: make replay RECEIPT=… (receipt_id of marts.fct_scores)"; exit 1; }
	@$(RUN) -m ml.scores.replay -- "$$RECEIPT"

.PHONY: score-file
score-file: $(VENV)/.installed ## Score a CSV of features, publish nothing: FILE=file.csv MODEL=churn [VERSION=…] [TO=file.csv] [ALLOW_MISSING=yes]
	@test -n "$$FILE" -a -n "$$MODEL" || { echo "Say what, and by which model: make score-file FILE=features.csv MODEL=churn"; exit 1; }
	@$(RUN) -m ml.scores.score_file --version="$$VERSION" --to="$$TO" $${ALLOW_MISSING:+--allow-missing="$$ALLOW_MISSING"} -- "$$MODEL" "$$FILE"

.PHONY: mlflow
mlflow: $(VENV)/.installed .venv-mlflow/.installed ## MLflow's pages on the registry, until Ctrl-C
	@exec $(RUN) -m nightledger.servers.mlflow_pages

.PHONY: reports
reports: $(VENV)/.installed ## Draw Evidently's reports on the current publication, as the DAG does after each night
	@$(RUN) -m ml.reports.writing

.PHONY: evidently
evidently: $(VENV)/.installed ## Evidently's own pages on the reports, until Ctrl-C
	@exec $(RUN) -m nightledger.servers.evidently_pages

##@ Actions

.PHONY: targets
targets: $(VENV)/.installed ## Whom to contact, as CSV, without the control: CLIENT=name ACTION=name [DATE=date] [OUT=file.csv]
	@test -n "$$CLIENT" -a -n "$$ACTION" || { echo "Say for whom and what: make targets CLIENT=demo_bank ACTION=keep_customer"; exit 1; }
	@$(RUN) -m nightledger.target_lists --client="$$CLIENT" --action="$$ACTION" --date="$$DATE" --out="$$OUT"

.PHONY: evaluate-goals
evaluate-goals: $(VENV)/.installed ## Whether a learned ranker tells life events better than the rules: CLIENT=name TRUTH=file (customer_id, kind, date) [OUT=file.csv]
	@test -n "$$CLIENT" -a -n "$$TRUTH" || { echo "Say whose, and what happened: make evaluate-goals CLIENT=demo_bank TRUTH=var/bank/truth/lives.parquet"; exit 1; }
	@$(RUN) -m ml.goals --client="$$CLIENT" --truth="$$TRUTH" --out="$$OUT"

##@ Keep and compare

.PHONY: backup
backup: $(VENV)/.installed ## Back up all that nothing could make again: [TO=directory of backups]
	@$(RUN) -m nightledger.backup make $${TO:+--to "$$TO"}

.PHONY: restore
restore: $(VENV)/.installed ## Fill an empty home: FROM=backup NIGHTLEDGER_HOME=directory
	@test -n "$$FROM" || { echo "Say from where: make restore FROM=var-backups NIGHTLEDGER_HOME=/srv/ledger"; exit 1; }
	@$(RUN) -m nightledger.backup restore --from "$$FROM"

.PHONY: drill-faults
drill-faults: $(VENV)/.installed-dev ## Disturb a night in every way (at most 30 minutes); writes docs/reference/faults.md
	@$(RUN) -m tests.drills

.PHONY: drill-monitoring
drill-monitoring: $(VENV)/.installed-dev ## 120 nights with planted faults and drifts (at most 30 minutes); writes docs/reference/monitoring-drill.md: [NIGHTS=120] [EVERY=1] [UNDISTURBED=1]
	@$(RUN) -m tests.drills.monitoring --nights $(or $(NIGHTS),120) --every $(or $(EVERY),1) \
		$(if $(UNDISTURBED),--undisturbed,--write docs/reference/monitoring-drill.md)

.PHONY: drill-runbooks
drill-runbooks: $(VENV)/.installed-dev ## Cause each alert and follow its runbook (at most 10 minutes); writes docs/reference/runbook-drill.md
	@$(RUN) -m tests.drills.runbooks

.PHONY: drill-replay
drill-replay: $(VENV)/.installed-dev ## Run NIGHTS=30 twice from one start and compare the hashes: [CUSTOMERS=400] [WRITE=page]
	@$(RUN) -m tests.drills.replay --nights $(or $(NIGHTS),30) --customers $(or $(CUSTOMERS),400) \
		$(if $(WRITE),--write "$(WRITE)")

##@ Measure

.PHONY: benchmark-ingestion
benchmark-ingestion: $(VENV)/.installed ## Ingestion beside a bare read_csv: [ROWS=10000000]
	@$(RUN) benchmarks/ingestion.py --rows "$(or $(ROWS),10000000)"

.PHONY: anomaly-evaluation
anomaly-evaluation: $(VENV)/.installed-dev ## What the anomaly models point out on Birmingham's cards (with DATA=… or NIGHTLEDGER_HOME=…); writes docs/reference/anomalies-birmingham.md
	@$(RUN) -m benchmarks.anomalies --write docs/reference/anomalies-birmingham.md

.PHONY: merchant-evaluation
merchant-evaluation: $(VENV)/.installed-dev ## How well merchants are resolved, by labelled descriptors; writes docs/reference/merchants.md
	@$(RUN) -m benchmarks.merchants --write docs/reference/merchants.md

.PHONY: bench-segments
bench-segments: $(VENV)/.installed-dev ## Segments over a year of the published bank, other methods, a million customers; writes docs/reference/segments-measured.md
	@$(RUN) -m benchmarks.segments --write docs/reference/segments-measured.md

.PHONY: bench-forecasts
bench-forecasts: $(VENV)/.installed-dev ## A million customers, 150 series with Prophet, and forecasts beside the floor: [HOMES="demo_bank=./var birmingham=./var-birmingham"]; writes docs/reference/forecasts.md
	@$(RUN) -m benchmarks.forecasts --homes $(HOMES) --write docs/reference/forecasts.md

##@ Change the warehouse

.PHONY: dbt-dev
dbt-dev: $(VENV)/.installed ## Build changed models and their children privately and compare: [SELECT=models] [ROWS=5]
	@$(RUN) -m nightledger.engineering.dbt_dev --select "$$SELECT" --rows "$${ROWS:-5}"

.PHONY: diff
diff: $(VENV)/.installed ## What changed between two publications: [A=earlier] [B=later] [TABLE=schema.table] [ROWS=10]
	@$(RUN) -m nightledger.engineering.diff --a "$$A" --b "$$B" --table "$$TABLE" --rows "$${ROWS:-10}"

.PHONY: trace
trace: $(VENV)/.installed ## A published row or figure back to its files: KEY=… or FIGURE="…" [ROWS=20] [TO=file.csv]
	@$(RUN) -m nightledger.engineering.trace --key "$$KEY" --figure "$$FIGURE" --rows "$${ROWS:-20}" $${TO:+--to "$$TO"}

.PHONY: docs
docs: $(VENV)/.installed ## dbt's documentation of every model and column, as one page
	@$(RUN) -m nightledger.engineering.docs

.PHONY: reference
reference: $(VENV)/.installed ## Write docs/reference/features.md from the definitions of the features
	@$(RUN) -m nightledger.dbt.reference

.PHONY: bench-superset
bench-superset: $(VENV)/.installed-dev ## The dashboards' answers and pages, cold and warm, on a running server; writes docs/reference/dashboard-speed.md
	@$(RUN) -m benchmarks.superset --write docs/reference/dashboard-speed.md

.PHONY: bench-warehouse
bench-warehouse: $(VENV)/.installed-dev ## The warehouse beside bare DuckDB, pandas and Polars: [ROWS="1000000 10000000"]
	@$(RUN) -m benchmarks.warehouse --rows $(or $(ROWS),1000000 10000000) --write docs/reference/warehouse-speed.md

.PHONY: bench-drift
bench-drift: $(VENV)/.installed ## What counting a million rows of 75 features for drift costs
	@$(RUN) -m benchmarks.drift

.PHONY: bench-scoring
bench-scoring: $(VENV)/.installed-dev ## Scoring beside the bare booster; writes docs/reference/scoring-speed.md
	@$(RUN) benchmarks/scoring.py --write docs/reference/scoring-speed.md

##@ Develop

.PHONY: check
check: lint types test ## What CI runs: lint, types and all tests

.PHONY: lint
lint: $(VENV)/.installed-dev ## ruff on Python, sqlfluff on the dbt models
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .
	@cd dbt_project && ../$(VENV)/bin/sqlfluff lint --disable-progress-bar models tests

.PHONY: types
types: $(VENV)/.installed-dev ## mypy, strict
	@$(VENV)/bin/mypy

.PHONY: format
format: $(VENV)/.installed-dev ## Format Python and SQL
	@$(VENV)/bin/ruff check --fix . && $(VENV)/bin/ruff format .
	@cd dbt_project && ../$(VENV)/bin/sqlfluff fix --disable-progress-bar models tests

.PHONY: lock
lock: $(VENV)/.installed ## Compile every requirements….txt from its .in file
	@$(VENV)/bin/uv pip compile -q requirements.in -o requirements.txt $(COMPILE)
	@$(VENV)/bin/uv pip compile -q requirements-dev.in -o requirements-dev.txt $(COMPILE)
	@$(VENV)/bin/uv pip compile -q requirements-mlflow.in -o requirements-mlflow.txt $(COMPILE)
	@$(VENV)/bin/uv pip compile -q superset/requirements.in -o superset/requirements.txt $(COMPILE)
	@$(VENV)/bin/uv pip compile -q docker/requirements.in -c requirements.txt -o docker/requirements.txt $(COMPILE)
COMPILE := --python-version 3.11 --no-header --annotation-style line

.PHONY: clean
clean: ## Remove the environment and what tests leave; never NIGHTLEDGER_HOME
	@rm -rf $(VENV) .venv-mlflow .venv-superset .tests-one.log *.egg-info .pytest_cache .mypy_cache .ruff_cache dbt_project/target dbt_project/logs

##@ Help

.PHONY: help
help: ## This list
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n\033[1m%s\033[0m\n", substr($$0, 5)} \
		/^[a-z-]+:.*## / {printf "  \033[36m%-14s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# The environment, made again when the lock changes.
INSTALL := $(VENV)/bin/uv pip install --quiet --compile-bytecode

$(VENV)/.installed: requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' \
		|| { echo "Nightledger needs Python 3.11; $(PYTHON) is $$($(PYTHON) -V). Set PYTHON=/path/to/python3.11"; exit 1; }
	@echo "Making the environment in $(VENV) …"
	@$(PYTHON) -m venv $(VENV)
	@echo "  [1/3] installer"
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check uv==0.13.8
	@echo "  [2/3] $$(grep -c == requirements.txt) pinned packages (about 1.5 GB; a minute or two)"
	@$(INSTALL) -r requirements.txt
	@echo "  [3/3] nightledger"
	@$(INSTALL) --no-deps --editable .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed requirements-dev.txt
	@echo "Adding what tests and checks need …"
	@$(INSTALL) -r requirements-dev.txt
	@touch $@

.venv-mlflow/.installed: $(VENV)/.installed requirements-mlflow.txt
	@echo "Making MLflow's environment in .venv-mlflow: $$(grep -c == requirements-mlflow.txt) pinned packages (about 650 MB) …"
	@$(PYTHON) -m venv .venv-mlflow
	@$(INSTALL) --python .venv-mlflow/bin/python -r requirements-mlflow.txt
	@touch $@

.venv-superset/.installed: $(VENV)/.installed superset/requirements.txt
	@echo "Making Superset's environment in .venv-superset: $$(grep -c == superset/requirements.txt) pinned packages (about 800 MB) …"
	@$(PYTHON) -m venv .venv-superset
	@$(INSTALL) --python .venv-superset/bin/python -r superset/requirements.txt
	@touch $@
