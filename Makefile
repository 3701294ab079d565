# The verbs of this repository. What they do lies in deploy/local/.
# DATABASE_URL=… and KAFKA=host:port make demo, up and test use servers that exist already.

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo up down test check bench logs psql clean

demo: ## Pay a batch of N=1000 disbursements end to end on this machine
	@deploy/local/demo.sh
up: ## Start Postgres, Kafka, the simulator and every service
	@deploy/local/stack.sh up demo
down: ## Stop all of it; data stays
	@deploy/local/stack.sh down demo
test: ## Run every check and test on servers of their own
	@deploy/local/test.sh
check: ## Check format, lints, documentation and dependency fences
	@deploy/local/check.sh
bench: ## Measure throughput (not part of this release)
	@echo 'bench: not part of this release yet; see CHANGELOG.md' >&2; exit 1
logs: ## Follow the logs of the demo
	@deploy/local/stack.sh logs demo
psql: ## Open the database of the demo
	@deploy/local/stack.sh psql demo
clean: ## Stop everything and remove all that these verbs made
	@deploy/local/stack.sh clean

help:
	@sed -n 's/^\([a-z]*\): ## \(.*\)/make \1	\2/p' $(MAKEFILE_LIST) | expand -t 14
