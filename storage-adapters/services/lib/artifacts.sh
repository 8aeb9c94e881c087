# shellcheck shell=bash
# The engines as their makers publish them on Maven Central, kept in a cache.
#
# An engine is a folder CACHE/NAME-VERSION. It is put together beside its place
# and moved there whole, so a folder that is there is complete; one lock keeps
# runs at the same time from fetching the same thing twice.

readonly KAFKA_VERSION=4.1.1
readonly ELASTICSEARCH_VERSION=8.19.21
readonly HBASE_VERSION=2.6.1
readonly OPENSEARCH_VERSION=3.6.0
readonly SLF4J_VERSION=1.7.36
readonly DEPENDENCY_PLUGIN=org.apache.maven.plugins:maven-dependency-plugin:3.8.1

CACHE=${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/sluice-services

# Prints the folder of ENGINE (kafka, elasticsearch, opensearch or hbase).
artifact_dir() {
    case $1 in
        kafka) printf '%s\n' "$CACHE/kafka-$KAFKA_VERSION" ;;
        elasticsearch) printf '%s\n' "$CACHE/elasticsearch-$ELASTICSEARCH_VERSION" ;;
        opensearch) printf '%s\n' "$CACHE/opensearch-$OPENSEARCH_VERSION" ;;
        hbase) printf '%s\n' "$CACHE/hbase-$HBASE_VERSION" ;;
    esac
}

# Fetches every ENGINE that is not in the cache yet.
fetch() {
    local engine lock missing=()
    for engine in "$@"; do
        [[ -d $(artifact_dir "$engine") ]] || missing+=("$engine")
    done
    [[ ${#missing[@]} -gt 0 ]] || return 0
    need_tools maven
    mkdir -p "$CACHE"
    exec {lock}>"$CACHE/lock"
    flock -w 900 "$lock" || die "another run has been fetching into $CACHE for 15 minutes: see what holds $CACHE/lock"
    for engine in "${missing[@]}"; do
        [[ -d $(artifact_dir "$engine") ]] || fetch_one "$engine"
    done
    exec {lock}>&-
}

fetch_one() {
    local engine=$1 place stage began=$SECONDS
    place=$(artifact_dir "$engine")
    rm -rf "$CACHE"/.fetch.*
    stage=$(mktemp -d "$CACHE/.fetch.XXXXXX")
    note "fetching $(basename "$place")"
    case $engine in
        kafka)
            fetch_jars "$stage" \
                org.apache.kafka:kafka_2.13:$KAFKA_VERSION \
                org.apache.kafka:kafka-tools:$KAFKA_VERSION \
                org.slf4j:slf4j-simple:$SLF4J_VERSION
            ;;
        hbase)
            fetch_jars "$stage" \
                org.apache.hbase:hbase-server:$HBASE_VERSION \
                org.apache.hbase:hbase-thrift:$HBASE_VERSION
            ;;
        elasticsearch)
            fetch_zip "$stage" "org.elasticsearch.distribution.integ-test-zip:elasticsearch:$ELASTICSEARCH_VERSION:zip"
            ;;
        opensearch)
            fetch_zip "$stage" "org.opensearch.distribution.integ-test-zip:opensearch:$OPENSEARCH_VERSION:zip"
            ;;
    esac
    # Elasticsearch runs as another user where we are root.
    chmod -R a+rX "$stage"
    mv -T "$stage" "$place"
    note "fetched $(basename "$place") in $((SECONDS - began)) s"
}

# Puts ARTIFACT… and all they need into STAGE/jars.
fetch_jars() {
    local stage=$1 artifact group name version
    shift
    {
        printf '%s\n' '<project xmlns="http://maven.apache.org/POM/4.0.0">' \
            '<modelVersion>4.0.0</modelVersion><groupId>sluice</groupId>' \
            '<artifactId>services</artifactId><version>1</version><packaging>pom</packaging><dependencies>'
        for artifact in "$@"; do
            IFS=: read -r group name version <<<"$artifact"
            printf '<dependency><groupId>%s</groupId><artifactId>%s</artifactId><version>%s</version></dependency>\n' \
                "$group" "$name" "$version"
        done
        printf '%s\n' '</dependencies></project>'
    } >"$stage/pom.xml"
    maven "$stage" "$DEPENDENCY_PLUGIN:copy-dependencies" -DincludeScope=runtime -DoutputDirectory="$stage/jars"
}

# Unpacks the zip ARTIFACT into STAGE, without the folder it has at its root.
fetch_zip() {
    local stage=$1 artifact=$2 root
    maven "$stage" "$DEPENDENCY_PLUGIN:unpack" -Dartifact="$artifact" -DoutputDirectory="$stage/unpacked"
    root=$(find "$stage/unpacked" -mindepth 1 -maxdepth 1 -type d)
    [[ -d $root/bin ]] || die "$artifact does not hold one folder with bin/ inside: $(ls "$stage/unpacked")"
    find "$root" -mindepth 1 -maxdepth 1 -exec mv -t "$stage" {} +
    rm -r "$stage/unpacked"
    find "$stage/bin" -type f -exec chmod a+x {} +
}

# Runs Maven in STAGE, three times at most: one lost connection is no failure.
maven() {
    local stage=$1 attempt
    shift
    for attempt in 1 2 3; do
        if (cd "$stage" && JAVA_HOME=$(java_for kafka) timeout 600 mvn -B -q -C "$@" </dev/null >maven.log 2>&1); then
            rm -f "$stage/maven.log"
            return 0
        fi
        note "Maven failed (attempt $attempt of 3): $(grep -m 1 -a ERROR "$stage/maven.log" || tail -n 1 "$stage/maven.log")"
    done
    tail -n 20 "$stage/maven.log" >&2
    die "could not fetch: is Maven Central reached from here? Maven's own settings (~/.m2/settings.xml) hold a proxy or mirror"
}
