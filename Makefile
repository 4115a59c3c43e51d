# Everything that a person runs. Each target sets up what it needs by itself.

.PHONY: demo test check bench setup clean

demo: ## the main job on simulated devices; ARGS="--headless --seconds 45 --report report.json" for no terminal
	@scripts/setup run
	@.venv/bin/pledgewatch-sim demo $(ARGS)

test: ## all tests; ARGS goes to pytest
	@scripts/setup dev
	@scripts/test $(ARGS)

check: ## format, lints, types, who may import whom, generated files
	@scripts/setup dev
	@scripts/check

bench: ## measurements; ARGS="--only NAME --json FILE --seconds N"
	@scripts/setup dev
	@.venv/bin/python scripts/bench.py $(ARGS)

setup: ## the virtual environment with everything
	@scripts/setup dev

clean: ## forget the virtual environment
	@rm -rf .venv
