# shellcheck shell=bash
# One process per server: start it apart from the caller, know it again, signal
# it, see it end.
#
# A process is known by its id, its start time and the boot: an id that was used
# again is never taken for ours. The command line carries a mark as well, so a
# server whose pid file was lost is found.

BOOT=$(cat /proc/sys/kernel/random/boot_id 2>/dev/null || echo unknown)
TICKS=$(getconf CLK_TCK 2>/dev/null || echo 100)

mark_of() { printf -- '-Dsluice.services=%s:%s' "$DIR" "$1"; }

# Puts state and start time (ticks since boot) of PID into STAT_STATE, STAT_START.
proc_stat() {
    local text fields
    text=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
    # The second field is the command in parentheses and may hold anything.
    read -r -a fields <<<"${text##*) }"
    STAT_STATE=${fields[0]}
    STAT_START=${fields[19]}
}

remember_pid() {
    proc_stat "$2" || return 1
    printf '%s %s %s\n' "$2" "$STAT_START" "$BOOT" | write_atomic "$DIR/state/$1.pid"
}

# Puts the id of server NAME's process into PID; fails when it does not run.
pid_of() {
    local start boot
    PID=""
    read -r PID start boot < <(first_line "$DIR/state/$1.pid"; echo) || true
    if [[ $PID =~ ^[0-9]+$ && $boot == "$BOOT" ]] && proc_stat "$PID" \
        && [[ $STAT_START == "$start" && $STAT_STATE != [ZX] ]]; then
        return 0
    fi
    PID=""
    return 1
}

# Looks through all processes for server NAME by its mark, and takes it up again.
adopt() {
    local proc mark args
    pid_of "$1" && return 0
    mark=$(mark_of "$1")
    for proc in /proc/[0-9]*; do
        { mapfile -d '' -t args <"$proc/cmdline"; } 2>/dev/null || continue
        if [[ " ${args[*]} " == *" $mark "* ]] && proc_stat "${proc#/proc/}" && [[ $STAT_STATE != [ZX] ]]; then
            remember_pid "$1" "${proc#/proc/}" && pid_of "$1"
            return
        fi
    done
    return 1
}

# spawn NAME FOLDER COMMAND…: runs it in a session of its own, in FOLDER, with
# its output at the end of the server's log and nothing of ours held open.
spawn() {
    local name=$1 folder=$2 log
    shift 2
    log=$DIR/logs/$name.log
    log_mark "$name"
    (
        cd "$folder" || exit 1
        for fd in "/proc/$BASHPID/fd"/*; do
            fd=${fd##*/}
            # 255 is bash's own and closes by itself.
            if ((fd > 2 && fd != 255)); then
                eval "exec $fd>&-" 2>/dev/null || true
            fi
        done
        exec setsid "$@" </dev/null >>"$log" 2>&1
    ) &
    SPAWNED=$!
    disown "$SPAWNED" 2>/dev/null || true
    remember_pid "$name" "$SPAWNED" || true
}

# Remembers where the server's log ends now: what it says from here on is of
# this start.
log_mark() {
    local size=0
    [[ -e $DIR/logs/$1.log ]] && size=$(stat -Lc %s "$DIR/logs/$1.log")
    printf '%s\n' "$size" | write_atomic "$DIR/state/$1.log-start"
}

# Prints the server's log since its last start.
log_since_start() {
    local from
    from=$(first_line "$DIR/state/$1.log-start")
    [[ -r $DIR/logs/$1.log ]] || return 0
    tail -c +$((${from:-0} + 1)) "$DIR/logs/$1.log"
}

# log_says NAME PATTERN: whether that log has a line like it.
log_says() {
    # No pipe: grep ends at the first hit, and tail would fail for it.
    grep -aqE -- "$2" <(log_since_start "$1")
}

# signal_to SIGNAL NAME: only ever to the process that was started as NAME.
signal_to() {
    pid_of "$2" && kill -s "$1" "$PID" 2>/dev/null
}

# gone_within SECONDS NAME
gone_within() {
    local until=$((SECONDS + $1))
    while pid_of "$2"; do
        ((SECONDS < until)) || return 1
        sleep 0.1
    done
}

is_paused() { pid_of "$1" && [[ $STAT_STATE == [Tt] ]]; }

# Prints for how many seconds NAME has been running.
uptime_of() {
    local up
    pid_of "$1" || return 1
    read -r up _ </proc/uptime
    printf '%s\n' $((${up%.*} - STAT_START / TICKS))
}

# Prints NAME's resident memory in bytes.
rss_of() {
    pid_of "$1" || return 1
    awk '/^VmRSS:/ { print $2 * 1024 }' "/proc/$PID/status" 2>/dev/null
}
