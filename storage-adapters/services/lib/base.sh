# shellcheck shell=bash
# Words, failures, small files, and the Java to run on. Sourced by `services`.

# --- saying things ---------------------------------------------------------

say() { printf '%s\n' "$*"; }
note() { printf 'services: %s\n' "$*" >&2; }

# Prints a message on standard error and ends with status 1.
die() {
    note "$*"
    exit 1
}

# --- small files -----------------------------------------------------------

# Replaces FILE with standard input in one step: a reader sees the old text or
# the new one, never half of it.
write_atomic() {
    local file=$1 tmp
    tmp=$(mktemp "$(dirname "$file")/.tmp.XXXXXX")
    cat >"$tmp"
    chmod 644 "$tmp"
    mv -f "$tmp" "$file"
}

# Prints the first line of FILE, or nothing.
first_line() {
    local line=""
    if [[ -r $1 ]]; then
        IFS= read -r line <"$1" || true
    fi
    printf '%s' "$line"
}

# --- Java ------------------------------------------------------------------

# Prints the major version of the Java in HOME, or fails.
java_major() {
    local home=$1 version
    [[ -x $home/bin/java ]] || return 1
    version=$(sed -n 's/^JAVA_VERSION="\([0-9]*\).*/\1/p' "$home/release" 2>/dev/null | head -n 1)
    if [[ -z $version ]]; then
        version=$("$home/bin/java" -version 2>&1 | sed -n 's/.* version "\([0-9]*\).*/\1/p' | head -n 1)
    fi
    [[ -n $version ]] && printf '%s\n' "$version"
}

# Prints "MAJOR HOME" of every Java on this machine.
java_list() {
    local home path major
    path=$(command -v java || true)
    if [[ -n $path ]]; then
        path=$(readlink -f "$path")
        path=${path%/bin/java}
    fi
    for home in "${SLUICE_JAVA_HOME:-}" "${SLUICE_JAVA21_HOME:-}" "${JAVA_HOME:-}" "$path" /usr/lib/jvm/*; do
        if [[ -n $home && ! -L $home ]] && major=$(java_major "$home"); then
            printf '%s %s\n' "$major" "$home"
        fi
    done | sort -u
}

# Prints the home of a Java from MIN to MAX: the oldest of them, or with a third
# argument `newest` the newest.
java_home() {
    local min=$1 max=$2 order=${3:-oldest} found
    found=$(java_list | awk -v a="$min" -v b="$max" '$1 >= a && $1 <= b' | sort -n)
    [[ -n $found ]] || return 1
    if [[ $order == newest ]]; then
        found=$(tail -n 1 <<<"$found")
    else
        found=$(head -n 1 <<<"$found")
    fi
    printf '%s\n' "${found#* }"
}

# Kafka, Elasticsearch and HBase run on 17 to 22: HBase 2.6 calls what 24 took
# away. OpenSearch 3 needs 21.
java_for() {
    case $1 in
        opensearch) java_home 21 99 newest ;;
        *) java_home 17 22 ;;
    esac
}

# Ends with a clear word where the Java for NAME, or Maven when something is
# still to be fetched, is not there.
need_tools() {
    local name
    for name in "$@"; do
        case $name in
            maven) command -v mvn >/dev/null || missing_tools "Maven (mvn) is not in PATH" ;;
            opensearch)
                java_for opensearch >/dev/null || die "OpenSearch $OPENSEARCH_VERSION needs a JDK 21 or later;" \
                    "seen: $(java_list | tr '\n' ';' | sed 's/;$//'). Install one and name it in SLUICE_JAVA21_HOME."
                ;;
            *) java_for "$name" >/dev/null || missing_tools "no Java 17 to 22 in PATH, JAVA_HOME, SLUICE_JAVA_HOME or /usr/lib/jvm" ;;
        esac
    done
}

missing_tools() {
    if [[ ${INSTALL:-0} == 1 && ${INSTALL_TRIED:-0} == 0 ]]; then
        INSTALL_TRIED=1
        [[ $(id -u) == 0 ]] || die "$1, and --install needs root. As root: apt-get install openjdk-17-jre-headless maven"
        command -v apt-get >/dev/null || die "$1, and --install knows apt-get only: install a JDK 17 and Maven by hand"
        note "$1: installing openjdk-17-jre-headless and maven"
        if ! { apt-get update -q && apt-get install -qy --no-install-recommends openjdk-17-jre-headless maven; } >&2; then
            die "apt-get could not install openjdk-17-jre-headless maven"
        fi
        hash -r
        return 0
    fi
    die "$1. On Debian or Ubuntu: apt-get install openjdk-17-jre-headless maven (or, as root: services up --install)"
}
