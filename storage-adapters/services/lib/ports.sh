# shellcheck shell=bash
# Ports on 127.0.0.1: chosen once for a set, then kept, so that a server that
# comes back is found where it was.
#
# Chosen below the range the kernel gives to outgoing connections, or a client's
# connection could sit on a stopped server's port. Sets of one user that come up
# at the same time are kept apart by reservations; against everybody else there
# is the look before the start and another port when the bind fails.

readonly PORT_FIRST=20000 PORT_COUNT=12000
# How long a stopped server may hold its port.
readonly PORT_FREE_S=10
RESERVATIONS=/tmp/sluice-services-ports.$(id -u)

# Prints the port kept under KEY, or nothing.
port_of() { first_line "$DIR/state/ports/$1"; }

# port_taken PORT [listening]: whether any socket of this machine, or any that
# listens, has that local port.
port_taken() {
    local hex
    printf -v hex ':%04X' "$1"
    awk -v port="$hex" -v listening="${2:+1}" \
        'substr($2, length($2) - 4) == port && (!listening || $4 == "0A") { found = 1; exit } END { exit !found }' \
        /proc/net/tcp /proc/net/tcp6 2>/dev/null
}

# port_free_within SECONDS PORT: waits until nothing listens there. A server that was
# killed keeps its sockets until the last of its threads has ended, a moment after
# its process is seen to be gone; on a busy machine that moment is long.
port_free_within() {
    local until=$((SECONDS + $1))
    while port_taken "$2" listening; do
        ((SECONDS < until)) || return 1
        sleep 0.1
    done
}

# Prints who listens on PORT, as far as can be seen.
port_owner() {
    local line=""
    if command -v ss >/dev/null; then
        line=$(ss -Hltnp "sport = :$1" 2>/dev/null | sed -n 's/.*users:((\([^)]*\)).*/\1/p' | head -n 1)
    fi
    printf '%s' "${line:-a process that cannot be seen from here}"
}

# Gives every KEY that has no port one.
ports_choose() {
    local key lock
    mkdir -p "$RESERVATIONS" "$DIR/state/ports"
    exec {lock}>"$RESERVATIONS/lock"
    flock -w 30 "$lock" || die "somebody has held $RESERVATIONS/lock for 30 s"
    for key in "$@"; do
        [[ -n $(port_of "$key") ]] || port_choose "$key"
    done
    exec {lock}>&-
}

port_choose() {
    local key=$1 port try
    for try in {1..200}; do
        port=$((PORT_FIRST + (RANDOM * 32768 + RANDOM + try) % PORT_COUNT))
        if port_reserved "$port" || port_taken "$port"; then
            continue
        fi
        printf '%s\n' "$DIR/state/ports/$key" | write_atomic "$RESERVATIONS/$port"
        printf '%s\n' "$port" | write_atomic "$DIR/state/ports/$key"
        return 0
    done
    die "no free port among 200 tried from $PORT_FIRST on"
}

# Whether a set keeps PORT, this one or another. Reservations of sets that are
# gone, or that moved on, do not count.
port_reserved() {
    local file
    file=$(first_line "$RESERVATIONS/$1")
    [[ -n $file && $(first_line "$file") == "$1" ]]
}

# Forgets the port of every KEY.
ports_forget() {
    local key port
    for key in "$@"; do
        port=$(port_of "$key")
        rm -f "$DIR/state/ports/$key" "$RESERVATIONS/${port:-none}"
    done
}
