# A private Postgres on 127.0.0.1 for one stack. Sourced by stack.sh and packages.sh.
#
# Postgres refuses to run as root, and its own user cannot enter a clone under a root-only folder. So as root the data lies in
# /var/tmp/gctb-<hash of the clone's path>/STACK and belongs to the user postgres; otherwise in .local/STACK/postgres.
# .local/STACK/postgres-data names the place. Connections from this machine need no password, others are not listened for.
# shellcheck shell=bash

POSTGRES_USER_COMMAND=()
((EUID != 0)) || POSTGRES_USER_COMMAND=(setpriv --reuid=postgres --regid=postgres --init-groups --)

# as_postgres COMMAND…: as the user who owns the data, from a folder which that user can enter.
as_postgres() { (cd / && umask 077 && "${POSTGRES_USER_COMMAND[@]}" "$@"); }

# The newest server installed: Debian keeps each version's programs in a folder of its own, off the PATH.
postgres_bin() {
    local newest
    newest=$(find /usr/lib/postgresql/*/bin -maxdepth 1 -name postgres 2>/dev/null | sort -V | tail -n 1)
    [[ -n $newest ]] || newest=$(command -v postgres || true)
    [[ -z $newest ]] || dirname "$newest"
}

# The folder of all Postgres data of this clone that lies outside it.
postgres_home() { printf '/var/tmp/gctb-%s' "$(printf '%s' "$ROOT_DIR" | sha256sum | cut -c1-12)"; }

postgres_data() {
    if ((EUID == 0)); then printf '%s/%s' "$(postgres_home)" "$STACK"; else printf '%s/postgres' "$STACK_DIR"; fi
}

# /var/tmp is everybody's: a folder of our name that is not ours is not used.
make_postgres_home() {
    ((EUID == 0)) || return 0
    id -u postgres >/dev/null 2>&1 || die "the user postgres does not exist; please create it: useradd --system postgres"
    [[ -e $(postgres_home) ]] || mkdir -m 711 "$(postgres_home)"
    [[ -O $(postgres_home) && ! -L $(postgres_home) ]] || die "$(postgres_home) belongs to somebody else; please remove it."
}

# Made beside its place and moved there, so that an interrupted initdb leaves nothing that looks like a database.
init_postgres() {
    local data making unsafe=()
    data=$(postgres_data)
    printf '%s\n' "$data" >"$STACK_DIR/postgres-data"
    [[ ! -f $data/PG_VERSION ]] || return 0
    make_postgres_home
    making=$data.new
    [[ $STACK != test-* ]] || unsafe=(--no-sync)
    rm -rf "$making"
    ((EUID != 0)) || install -d -m 700 -o postgres -g postgres "$making"
    as_postgres "$PG_BIN/initdb" --pgdata "$making" --username gctb --auth trust --encoding UTF8 --locale C.UTF-8 \
        --no-instructions "${unsafe[@]}" >"$STACK_DIR/logs/postgres-initdb.log" 2>&1 ||
        { tail -n 20 "$STACK_DIR/logs/postgres-initdb.log" >&2; die "could not create a Postgres database in $making"; }
    mv -T "$making" "$data"
}

# write_postgres_settings PORT
write_postgres_settings() {
    local text extra=$LOCAL_DIR/postgres/${STACK%%-*}.conf
    text=$(<"$LOCAL_DIR/postgres/postgresql.conf")
    [[ ! -f $extra ]] || text+=$'\n'$(<"$extra")
    printf '%s\n' "${text//@PORT@/"$1"}" | as_postgres tee "$(postgres_data)/postgresql.conf" >/dev/null
}

# start_postgres NAME PORT
start_postgres() {
    write_postgres_settings "$2"
    launch postgres "${POSTGRES_USER_COMMAND[@]}" "$PG_BIN/postgres" -D "$(postgres_data)"
}

# ready_postgres NAME PORT
ready_postgres() { "$PG_BIN/pg_isready" --quiet --host 127.0.0.1 --port "$2" --username gctb --dbname postgres; }

# A server whose record was lost (.local removed by hand) still holds its data: it is taken over, not fought.
adopt_postgres() {
    local data pid port
    data=$(postgres_data)
    { { read -r pid && read -r _ && read -r _ && read -r port; } <"$data/postmaster.pid"; } 2>/dev/null || return 0
    [[ $(readlink "/proc/$pid/cwd" 2>/dev/null) == "$data" ]] || return 0
    record_process postgres "$pid"
    remember POSTGRES_PORT "$port"
}

make_database() {
    local psql=("$PG_BIN/psql" --no-psqlrc --quiet --tuples-only --no-align --host 127.0.0.1 --port "$1" --username gctb --dbname postgres)
    [[ $("${psql[@]}" --command "SELECT 1 FROM pg_database WHERE datname = 'gctb'") == 1 ]] ||
        "${psql[@]}" --command 'CREATE DATABASE gctb'
}

# ensure_postgres FROM_PORT: a database that was named is used, otherwise our own runs.
ensure_postgres() {
    if [[ -n ${DATABASE_URL:-} ]]; then
        begin "using the Postgres of DATABASE_URL"
        remember DATABASE_URL "$DATABASE_URL"
        finish_as "as asked"
        return
    fi
    local port note=
    [[ $STACK != test-* ]] || note=" (fsync off: it holds test data only)"
    begin "starting Postgres$note"
    PG_BIN=$(postgres_bin)
    is_running postgres || adopt_postgres
    port=$(recall POSTGRES_PORT)
    if is_running postgres && answers postgres "$port" 30 ready_postgres; then
        finish_as "already running on port $port"
    else
        stop_processes INT 30 postgres
        init_postgres
        check_postgres_version
        launch_on_port postgres POSTGRES_PORT "$1" 60 start_postgres ready_postgres
        port=$(recall POSTGRES_PORT)
        finish "ready on port $port"
    fi
    make_database "$port"
    remember DATABASE_URL "postgres://gctb@127.0.0.1:$port/gctb"
}

check_postgres_version() {
    local theirs ours
    theirs=$(<"$(postgres_data)/PG_VERSION")
    ours=$("$PG_BIN/postgres" --version | sed 's/[^0-9]*\([0-9]*\).*/\1/')
    [[ $theirs == "$ours" ]] || die "the data in $(postgres_data) was made by Postgres $theirs and $ours is installed; please run make clean."
}

# Removes the stack's data, wherever it lies.
remove_postgres_data() {
    rm -rf "$(postgres_data)" "$(postgres_data).new"
    rmdir "$(postgres_home)" 2>/dev/null || true
}
