# The verbs of this repository. What they do lies in deploy/local/.
# DATABASE_URL=… and KAFKA=host:port make demo, up and test use servers that exist already.

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo up down test soak prove check check-compose check-fresh bench logs psql clean

demo: ## Pay a batch of N=1000 disbursements end to end on this machine
	@deploy/local/demo.sh
up: ## Start Postgres, Kafka, the simulator and every service
	@deploy/local/stack.sh up demo
down: ## Stop all of it; data stays
	@deploy/local/stack.sh down demo
test: ## Run every check and test on servers of their own
	@deploy/local/test.sh
soak: ## Draw SEEDS=20 seeds of batches and faults (or SEED=x; ONLY=rails), check every invariant
	@deploy/local/soak.sh
prove: ## Break each invariant in a copy and see a test turn red (ONLY=text: some of them)
	@deploy/local/prove.sh
check: ## Check format, lints, documentation and dependency fences
	@deploy/local/check.sh
check-compose: ## Run docker-compose.yml from images made here (root; no registry needed)
	@deploy/local/check-compose.sh
check-fresh: ## Run make demo and make test on a new Debian 12, as root and as a user (root)
	@deploy/local/check-fresh.sh
bench: ## Measure ingest, payments and status beside their floors (BENCH=full: larger, ONLY=rail: called rails)
	@deploy/local/bench.sh
logs: ## Follow the logs of the demo
	@deploy/local/stack.sh logs demo
psql: ## Open the database of the demo
	@deploy/local/stack.sh psql demo
clean: ## Stop everything and remove all that these verbs made
	@deploy/local/stack.sh clean

help:
	@sed -n 's/^\([a-z-]*\): ## \(.*\)/make \1	\2/p' $(MAKEFILE_LIST) | expand -t 20
