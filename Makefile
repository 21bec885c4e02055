# dmp-fhir: `make` alone lists the targets.
PYTHON ?= python3
PORT ?= 8000
WORKERS ?= 2
BIN := .venv/bin
export DMP_FHIR_BASE_URL ?= http://127.0.0.1:$(PORT)/fhir

.DEFAULT_GOAL := help
.PHONY: help run sandbox seed test check lint campaign bench oracle clean

help: ## List the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

run: .venv/run ## Serve the demonstration world on http://127.0.0.1:8000/fhir (PORT=, WORKERS=)
	$(BIN)/dmp-fhir init
	$(BIN)/dmp-fhir seed
	$(BIN)/dmp-fhir serve --port $(PORT) --workers $(WORKERS)

sandbox: .venv/run ## The same for integrators, in var/sandbox, made anew every night (PORT=, WORKERS=)
	$(BIN)/dmp-fhir sandbox --port $(PORT) --workers $(WORKERS)

seed: .venv/run ## Create the database and feed the demonstration world, without serving
	$(BIN)/dmp-fhir init
	$(BIN)/dmp-fhir seed

test: .venv/test ## Run every test, on SQLite and PostgreSQL (about 13 minutes on two cores)
	$(BIN)/pytest -n 2 --dist loadfile -m "not campaign"

check: lint test ## Format, lint, types, then the tests

lint: .venv/test ## Format, lint and types only
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

campaign: .venv/test ## Long seeded campaigns: fuzzing, kills, races (SEED=)
	$(BIN)/pytest -m campaign -s

bench: .venv/test ## Throughput and latency beside the ceiling of this machine, as ratios
	$(BIN)/python -m benchmarks.validation
	$(BIN)/python -m benchmarks.policy
	$(BIN)/python -m benchmarks.trace
	$(BIN)/python -m benchmarks

oracle: .venv/test ## Our validator beside HAPI's, over thousands of resources (needs Java 17 and Maven)
	mvn -q -B -f oracle/pom.xml compile dependency:build-classpath -Dmdep.outputFile=target/classpath
	$(BIN)/python -m oracle --record

clean: ## Remove the environment and the local data
	rm -rf .venv var build oracle/target

.venv/run: requirements.lock pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

.venv/test: requirements-test.lock .venv/run
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-test.lock
	@touch $@
