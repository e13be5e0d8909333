# Sourced by the end-to-end scripts: a line a step, waiting with a deadline, and what to expect of a command's output.
# The caller sets `out` to a directory of its own; its last step's output is in $out/step. A script ends with `conclude`.
# PATIENCE: seconds that a wait gets beyond its own; 0 to see what a machine with nothing else to do needs.
passed=0 failed=0 failures=() ran_out=0

milliseconds() { echo $(($(date +%s%N) / 1000000)); }
step() {
    local name=$1 began; shift; began=$(milliseconds)
    if "$@" >"$out/step" 2>&1; then
        passed=$((passed + 1)); echo "ok   $name ($(($(milliseconds) - began)) ms)"
    else
        fail "$name" "$(tail -n 3 "$out/step" | tr '\n' ' ' | cut -c1-400) ($(($(milliseconds) - began)) ms)" \
            "$(tail -n 8 "$out/step" | cut -c1-300)"
    fi
}
fail() { # name, why in a line, [why in several]
    failed=$((failed + 1)); echo "FAIL $1: $2"
    failures+=("$1"$'\n'"$(sed 's/^/    | /' <<<"${3:-$2}")")
}
# The last lines of a script's output say what failed and why, even if the record of a run keeps only its end.
conclude() {
    local failure
    echo
    for failure in "${failures[@]}"; do echo "failed: $failure"; done
    echo "$passed passed, $failed failed"
    [ $failed = 0 ]
}
# Waits for a condition, with a deadline: the seconds that are given, and patience for a machine that is busy with other things.
# Once five waits have run out it is not the machine, and nobody need be patient any more.
within() { # seconds, command
    local deadline=$((SECONDS + $1)); shift
    [ $ran_out -ge 5 ] || deadline=$((deadline + ${PATIENCE:-60}))
    until "$@"; do [ $SECONDS -lt $deadline ] || { ran_out=$((ran_out + 1)); return 1; }; sleep 0.1; done
}
faster() { # milliseconds, command
    local limit=$1 began took; shift; began=$(milliseconds)
    "$@" || return 1
    took=$(($(milliseconds) - began))
    [ $took -le "$limit" ] || { echo "took $took ms, more than $limit"; return 1; }
}
# What `ping` wrote until it was interrupted: nothing was lost, but for the last packet, which may have been under way.
lost_none() { # file
    within 5 grep -q 'packets transmitted' "$1" || { echo "no summary: $(tail -n 1 "$1")"; return 1; }
    awk -F '[ =]' '/icmp_seq=/ { for (i = 1; i < NF; i++) if ($i == "icmp_seq") last = $(i + 1) }
        /packets transmitted/ { print; sent = $1; received = $4 }
        END { exit !(sent > 5 && (sent == received || sent == received + 1 && last == received % 65536)) }' "$1"
}
has() { local want=$1 got; shift; got=$("$@" 2>&1); case $got in *"$want"*) ;; *) echo "wanted '$want', got: $got"; return 1 ;; esac; }
hasnt() { local bad=$1 got; shift; got=$("$@" 2>&1); case $got in *"$bad"*) echo "unwanted '$bad' in: $got"; return 1 ;; esac; }
equals() { local want=$1 got; shift; got=$("$@" 2>&1); [ "$got" = "$want" ] || { echo "wanted '$want', got '$got'"; return 1; }; }
refused() { # words, command: it fails and says them, in whatever case
    local want=$1 got; shift
    got=$("$@" 2>&1) && { echo "was not refused: $got"; return 1; }
    case ${got,,} in *"${want,,}"*) ;; *) echo "refused without '$want': $got"; return 1 ;; esac
}
exits() { local want=$1 code; shift; "$@"; code=$?; [ $code = "$want" ] || { echo "exit code $code, wanted $want"; return 1; }; }
not() { ! "$@"; }
# The processes that encrypt outlive weftd: a script that starts weftd by itself ends them, by the name of their host's network namespace.
end_tunnels() {
    local name pid
    for name in "$@"; do
        for pid in $(pidof weft-tunnel); do
            [ "$(stat -Lc %i "/proc/$pid/ns/net" 2>/dev/null)" != "$(stat -Lc %i "/run/netns/$name" 2>/dev/null)" ] || kill -9 "$pid"
        done
    done
}
