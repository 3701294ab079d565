# Counting what passed, failed and was skipped, over scripts and cargo's tests alike. Sourced.
# shellcheck shell=bash

# open_results: starts a file of lines `passed NAME`, `failed NAME`, `skipped NAME: REASON`, unless a caller keeps one.
open_results() {
    RESULTS=${GCTB_RESULTS:-}
    [[ -z $RESULTS ]] || return 0
    RESULTS=$(mktemp)
    trap 'rm -f "$RESULTS"' EXIT
}

# result WORD NAME [REASON]
result() { printf '%s %s%s\n' "$1" "$2" "${3:+: $3}" >>"$RESULTS"; }

last_result() { tail -n 1 "$RESULTS" | cut -d ' ' -f 1; }

# results WORD: the names with that outcome.
results() { sed -n "s/^$1 //p" "$RESULTS"; }

count() { results "$1" | wc -l; }

# print_results: names what failed and what was skipped; the line of numbers comes last.
print_results() {
    results failed | sed 's/^/FAILED  /'
    results skipped | sed 's/^/SKIPPED /'
    printf '%d passed, %d failed, %d skipped\n' "$(count passed)" "$(count failed)" "$(count skipped)"
}

# close_results: prints them unless the caller will, and fails when anything failed.
close_results() {
    [[ -n ${GCTB_RESULTS:-} ]] || print_results
    (($(count failed) == 0))
}
