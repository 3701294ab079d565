# Kafka's jars: fetched once from Maven Central into the cache that clones share, each pinned by its SHA-256. Sourced.
# shellcheck shell=bash

KAFKA_VERSION=4.4.0
JARS_DIR=$(cache_dir)/kafka-$KAFKA_VERSION
JARS_LIST=$LOCAL_DIR/kafka/kafka-jars.sha256

# jars_match DIR: exactly the pinned jars lie there, no other one beside them.
jars_match() {
    [[ -d $1 ]] || return 1
    (cd "$1" && sha256sum --check --status --strict "$JARS_LIST" &&
        [[ $(find . -name '*.jar' | wc -l) -eq $(wc -l <"$JARS_LIST") ]]) 2>/dev/null
}

has_jars() { jars_match "$JARS_DIR"; }

# Fills a folder of its own and renames it, so that two clones doing this at once do not see each other's halves.
fetch_jars() {
    local filling said
    filling=$(mktemp -d "$JARS_DIR.XXXXXX")
    # -C refuses a download that does not match the repository's own checksum.
    if ! said=$(mvn --batch-mode --quiet --strict-checksums -Dstyle.color=never --file "$LOCAL_DIR/kafka/pom.xml" \
        org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies \
        -DincludeScope=runtime -DoutputDirectory="$filling" 2>&1); then
        rm -rf "$filling"
        printf '\n%s\n' "$said" >&2
        die "Kafka's jars could not be fetched from Maven Central; allow access to it (or name a mirror in ~/.m2/settings.xml), or use a Kafka that exists: make … KAFKA=host:port"
    fi
    if ! jars_match "$filling"; then
        rm -rf "$filling"
        die "Kafka's jars are not those of deploy/local/kafka/kafka-jars.sha256; nothing was kept. Please find out who changed them before going on."
    fi
    # A damaged folder makes room; one that another clone filled meanwhile is as good as ours.
    if ! has_jars; then
        rm -rf "$JARS_DIR"
        mv -T "$filling" "$JARS_DIR" 2>/dev/null || has_jars || die "could not put Kafka's jars into $JARS_DIR"
    fi
    rm -rf "$filling"
}
