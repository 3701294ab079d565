#!/usr/bin/env bash
# Brings the demo stack up and pays one batch through it. The last line and the exit status are those of `gctb simulate`, which
# compares the status API and the bridge's tables with the simulated rails' own books. Everything keeps running afterwards;
# `make down` stops it.
# usage: demo.sh   (N=… disbursements, 1000 unless said)
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
source "$LOCAL_DIR/process.sh"
source "$LOCAL_DIR/services.sh"

[[ ${N:-1000} =~ ^[1-9][0-9]{0,6}$ ]] || die "N=$N is not a number of disbursements; try N=1000."

STEPS_OF_CALLER=15 "$LOCAL_DIR/stack.sh" up demo

use_stack demo
BIN_DIR=$(target_dir)/release
STEP=14 STEPS=15
begin_loud "paying ${N:-1000} disbursements"
say "  API documentation  $(url_of gctb-api)/docs"
say "  simulated rails    $(url_of gctb-simulator)/rails/mpesa/summary (mojaloop, simple-mpesa; docs/simulator.md)"
say "  payment files      .local/demo/bank/"
say "  logs               .local/demo/logs/ (make logs)"
say "  database           make psql"
say "  stop everything    make down"
gctb simulate docs/examples/disburse-1000.json ${N:+--count "$N"}
