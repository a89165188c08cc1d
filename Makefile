# Every target does its own setup and needs only Python 3.11 or newer with venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Contains only the deployed requirements; the archives run in it, as at Google.
DEPLOYED := build/deployed
CHECKOV := build/checkov
INSTALL := -m pip install --quiet --disable-pip-version-check --require-hashes

.PHONY: help deploy demo playground picture test soak check check-terraform check-infra audit sbom bench growth bench-document fuzz mutation archives release schema lock format clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 12

$(VENV)/installed: requirements.txt requirements-dev.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed, and $(PYTHON) is older: make PYTHON=python3.12 …" >&2; exit 1; }
	@echo "Installing the development environment into $(VENV) …"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python $(INSTALL) -r requirements.txt -r requirements-dev.txt
	@touch $@

$(DEPLOYED)/installed: requirements.txt
	@echo "Installing the deployed requirements into $(DEPLOYED) …"
	@$(PYTHON) -m venv $(DEPLOYED)
	@$(DEPLOYED)/bin/python $(INSTALL) -r requirements.txt
	@touch $@

# Both states with the variables of infra/terraform.tfvars or of the environment (TF_VAR_project_id …). The pipeline
# applies infra alone.
TFVARS := $(if $(wildcard infra/terraform.tfvars),-var-file=../terraform.tfvars)

deploy: archives ## apply infra/bootstrap and infra to Google Cloud, each after a confirmation
	@terraform -chdir=infra/bootstrap init -input=false
	@terraform -chdir=infra/bootstrap apply $(TFVARS)
	@terraform -chdir=infra init -input=false
	@terraform -chdir=infra apply

demo: $(VENV)/installed $(DEPLOYED)/installed archives ## run the whole pipeline on this machine (KUBECONFIG=… for a real cluster)
	@rm -f build/demo/results.jsonl; status=0; \
	KUBECONFIG="$(KUBECONFIG)" $(BIN)/python -m sandbox.demo || status=$$?; \
	if [ -s build/demo/results.jsonl ]; then \
		$(BIN)/python -m cli report build/demo/results.jsonl --html build/demo/report.html >build/demo/report.txt && \
		echo "The report: build/demo/report.html, for a browser; build/demo/report.txt, for here."; fi; \
	exit $$status

playground: $(VENV)/installed $(DEPLOYED)/installed archives ## keep the local cloud running, for prestream and kubectl in a second terminal
	@$(BIN)/python -m sandbox.playground build/playground/env

# Takes a picture of the top of the page. It needs Chromium or Chrome.
picture: build/demo/results.jsonl ## write docs/report.png from the report of the last demo
	@$(BIN)/python -m cli report $< --html build/demo/report.html >/dev/null
	@$(BIN)/python -m cli.report.page.pictures build/demo/report.html docs/report.png

build/demo/results.jsonl:
	@$(MAKE) --no-print-directory demo

test: $(VENV)/installed $(DEPLOYED)/installed archives ## run every test that needs no cloud
	@$(BIN)/python -m pytest -q -n 2 --dist loadfile

soak: $(VENV)/installed $(DEPLOYED)/installed archives ## run the long tests (faults, load, crash points, fuzzing) and write build/soak.json
	@rm -f build/soak.json
	@$(BIN)/python -m pytest -q -m soak tests
	@$(MAKE) --no-print-directory fuzz

check: $(VENV)/installed ## check format, lint, types, import contracts, Terraform, its static analysis and dependencies
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(MAKE) --no-print-directory check-terraform
	@$(MAKE) --no-print-directory check-infra
	@$(MAKE) --no-print-directory audit

# If Terraform or its provider is unavailable, report the skipped checks.
check-terraform: archives
	@if ! command -v terraform >/dev/null; then \
		echo "terraform: NOT CHECKED, as it is not installed"; exit 0; fi; \
	terraform fmt -check -recursive infra || exit 1; \
	for root in infra infra/bootstrap; do \
		if ! terraform -chdir=$$root init -backend=false -input=false >build/terraform.log 2>&1; then \
			echo "terraform: formatted; NOT VALIDATED AND NOT TESTED, as its provider cannot be had (build/terraform.log)"; exit 0; fi; \
		terraform -chdir=$$root validate || exit 1; \
	done; \
	terraform -chdir=infra test

# checkov pins many packages, so it has a separate environment. If it cannot be installed, report that.
# A parsing error is a failure, because checkov skips such files.
check-infra: $(VENV)/installed
	@if ! $(MAKE) --no-print-directory $(CHECKOV)/installed >build/checkov.log 2>&1; then \
		echo "infra: NOT ANALYSED, as checkov cannot be installed (build/checkov.log)"; exit 0; fi; \
	if ! $(CHECKOV)/bin/checkov --config-file infra/.checkov.yaml >build/checkov.log 2>&1; then \
		grep -B1 -A4 "FAILED for" build/checkov.log || cat build/checkov.log; exit 1; fi; \
	if ! grep -q "Passed checks" build/checkov.log || grep -q "Parsing errors" build/checkov.log; then \
		cat build/checkov.log; echo "infra: checkov could not read all of it"; exit 1; fi; \
	grep "Passed checks" build/checkov.log | sort -u | sed 's/^/infra: checkov: /'

$(CHECKOV)/installed: requirements-checkov.txt
	@mkdir -p build
	@$(PYTHON) -m venv $(CHECKOV)
	@$(CHECKOV)/bin/python $(INSTALL) -r requirements-checkov.txt
	@touch $@

audit: $(VENV)/installed ## check the dependencies for known vulnerabilities
	@$(BIN)/python -m tools.audit

sbom: archives ## write build/sbom.json, the SBOM of the deployed code
	@$(BIN)/python -m tools.sbom

# atheris has wheels for Linux only, so it has a separate environment.
build/fuzzing/installed: requirements.txt requirements-dev.txt requirements-fuzz.txt
	@echo "Installing the fuzzing environment into build/fuzzing …"
	@$(PYTHON) -m venv build/fuzzing
	@build/fuzzing/bin/python $(INSTALL) -r requirements.txt -r requirements-dev.txt -r requirements-fuzz.txt
	@touch $@

FUZZ_SECONDS ?= 20

fuzz: build/fuzzing/installed ## fuzz the parsers, FUZZ_SECONDS each (Linux); findings are in build/fuzz
	@build/fuzzing/bin/python -m tools.fuzz --seconds $(FUZZ_SECONDS)

build/mutation/installed: requirements.txt requirements-dev.txt requirements-mutation.txt
	@echo "Installing the mutation testing environment into build/mutation …"
	@$(PYTHON) -m venv build/mutation
	@build/mutation/bin/python $(INSTALL) -r requirements.txt -r requirements-dev.txt -r requirements-mutation.txt
	@touch $@

MUTANTS ?= 1000

mutation: build/mutation/installed ## test a sample of MUTANTS mutants (25 minutes); survivors are in build/mutation/mutation.txt
	@build/mutation/bin/python -m tools.mutation --sample $(MUTANTS)

bench: $(VENV)/installed $(DEPLOYED)/installed archives ## measure cold start, memory, rate and calls, compared with a blank and a naive function
	@$(BIN)/python -m tools.bench

bench-document: $(VENV)/installed ## write docs/performance.md and its chart from the last make bench
	@$(BIN)/python -m tools.bench --document

growth: $(VENV)/installed $(DEPLOYED)/installed archives ## measure calls, memory and time against size: events, images, clusters
	@$(BIN)/python -m tools.bench.growth

archives: $(VENV)/installed ## write build/functions/NAME.zip, as uploaded
	@mkdir -p build
	@$(BIN)/python tools/archives.py > build/archives.log 2>&1 || { cat build/archives.log >&2; exit 1; }

release: sbom ## date the changelog, tag the version, and gather wheel, archives and SBOM in build/release
	@$(BIN)/python -m tools.release

schema: $(VENV)/installed ## write docs/prestream.schema.json and docs/configuration.md from the settings
	@$(BIN)/python -m tools.settings_reference

lock: $(VENV)/installed ## pin the requirements again, with hashes
	@$(BIN)/uv pip compile -q --upgrade --universal --python-version 3.11 --generate-hashes --no-header --no-annotate requirements.in -o requirements.txt
	@$(BIN)/uv pip compile -q --upgrade --universal --python-version 3.11 --generate-hashes --no-header --no-annotate requirements-dev.in -o requirements-dev.txt
	@$(BIN)/uv pip compile -q --upgrade --universal --python-version 3.11 --generate-hashes --no-header --no-annotate requirements-checkov.in -o requirements-checkov.txt
	@$(BIN)/uv pip compile -q --upgrade --universal --python-version 3.11 --generate-hashes --no-header --no-annotate requirements-fuzz.in -o requirements-fuzz.txt
	@$(BIN)/uv pip compile -q --upgrade --universal --python-version 3.11 --generate-hashes --no-header --no-annotate requirements-mutation.in -o requirements-mutation.txt

format: $(VENV)/installed ## format, and fix lint findings where possible
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

clean: ## remove build/
	@rm -rf build
