#!/usr/bin/env bash
# Starts, shows and stops a local stack: a private Postgres and Apache Kafka, and for `up` the simulator and every service.
#
# usage: stack.sh up|servers|down|status|remove|psql|logs STACK, or stack.sh clean
#   servers   Postgres and Kafka only, which is what tests need
#   up        servers, migrations, topics, simulator, services; what runs as it should is left alone
#   down      stops what this stack started; its data stays
#   remove    down, and removes all data of the stack
#   clean     remove for every stack of this clone, and its build folder
#
# A stack is named (demo, test-…) and keeps everything in .local/STACK: run/ (who runs), env (ports and addresses), logs/, data.
# Only what is recorded there is ever stopped. An interrupt (Ctrl-C) leaves running what was started; every step looks first at
# what is there, so the same command simply goes on. DATABASE_URL=… and KAFKA=host:port replace our own servers.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
source "$LOCAL_DIR/process.sh"
source "$LOCAL_DIR/postgres.sh"
source "$LOCAL_DIR/kafka.sh"
source "$LOCAL_DIR/services.sh"

# Tests try other ports first, so that the demo finds its usual ones free.
first_port() { if [[ $STACK == test-* ]]; then printf '%d' $(($1 + 1000)); else printf '%d' "$1"; fi; }

servers() {
    ensure_jars
    ensure_postgres "$(first_port 25432)"
    ensure_kafka "$(first_port 27092)"
}

install_what_is_missing() {
    begin "looking for the packages that are needed"
    LINE_OPEN=1 "$LOCAL_DIR/packages.sh" stack
    finish "all there"
}

up() {
    STEPS=${STEPS_OF_CALLER:-14}
    install_what_is_missing
    build_services
    servers
    ensure_schema_and_topics
    ensure_services
}

only_servers() {
    STEPS=3
    servers
}

# Services first, so that they finish what is in hand while Kafka and Postgres still answer.
down() {
    local service names=()
    for service in "${SERVICES[@]}"; do names+=("${service%:*}"); done
    stop_running "the services" TERM 15 "${names[@]}"
    stop_running "Kafka" TERM 30 kafka
    stop_running "Postgres" INT 30 postgres
}

# stop_running WHAT SIGNAL SECONDS NAME…: says so only where something runs.
stop_running() {
    local what=$1 name running=()
    for name in "${@:4}"; do ! is_running "$name" || running+=("$name"); done
    if ((${#running[@]})); then
        say "stopping $what of the stack $STACK"
        stop_processes "$2" "$3" "${running[@]}"
    fi
    for name in "${@:4}"; do rm -f "$STACK_DIR/run/$name.pid" "$STACK_DIR/run/$name.as"; done
}

status() {
    local name file
    for file in "$STACK_DIR"/run/*.pid; do
        [[ -e $file ]] || continue
        name=$(basename "$file" .pid)
        printf '%-20s %s\n' "$name" "$(is_running "$name" && printf 'running as process %s' "$(process_id "$name")" || printf 'ended')"
    done
    [[ ! -f $STACK_DIR/env ]] || cat "$STACK_DIR/env"
}

remove() {
    down
    remove_postgres_data
    rm -rf "$STACK_DIR"
}

# A test run that was killed could not tidy up. Its owner is gone, so the next command does.
remove_orphans() (
    local dir pid started
    for dir in "$ROOT_DIR"/.local/test-*/; do
        [[ -f $dir/owner ]] || continue
        read -r pid started <"$dir/owner" || continue
        [[ $(process_start "$pid") == "$started" ]] && continue
        use_stack "$(basename "$dir")"
        remove
    done
)

clean() (
    local dir cache
    cache=$(cache_dir)
    for dir in "$ROOT_DIR"/.local/*/; do
        [[ -d $dir/run ]] || continue
        use_stack "$(basename "$dir")"
        remove
    done
    rm -rf "$ROOT_DIR/.local" "$ROOT_DIR/target"
    ((EUID != 0)) || rm -rf "$(postgres_home)"
    say "removed .local, target and the local databases; what clones share stays in $cache"
)

open_psql() {
    command -v psql >/dev/null || die "psql is missing; please run: sudo apt-get install --yes postgresql-client"
    local url
    url=$(recall DATABASE_URL)
    [[ -n $url ]] || die "the stack $STACK has no database yet; start it with: make up"
    exec psql "$url"
}

follow_logs() {
    compgen -G "$STACK_DIR/logs/*.log" >/dev/null || die "there are no logs yet; start the stack with: make up"
    exec tail -n 20 -F "$STACK_DIR"/logs/*.log
}

main() {
    [[ $# -gt 0 ]] || die "usage: stack.sh up|servers|down|status|remove|psql|logs STACK, or stack.sh clean"
    if [[ $1 == clean ]]; then
        clean
        return
    fi
    use_stack "${2:?the name of a stack}"
    case $1 in
    up) lock_stack && remove_orphans && up ;;
    servers) lock_stack && remove_orphans && only_servers ;;
    down) lock_stack && remove_orphans && down ;;
    remove) remove ;;
    status) status ;;
    psql) open_psql ;;
    logs) follow_logs ;;
    *) die "stack.sh has no verb \"$1\"." ;;
    esac
}

main "$@"
