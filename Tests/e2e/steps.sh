# Sourced by the end-to-end scripts: a line a step, waiting with a deadline, and what to expect of a command's output.
# The caller sets `out` to a directory of its own; its last step's output is in $out/step.
passed=0 failed=0

milliseconds() { echo $(($(date +%s%N) / 1000000)); }
step() {
    local name=$1 began; shift; began=$(milliseconds)
    if "$@" >"$out/step" 2>&1; then
        passed=$((passed + 1)); echo "ok   $name ($(($(milliseconds) - began)) ms)"
    else
        failed=$((failed + 1))
        echo "FAIL $name: $(tail -n 3 "$out/step" | tr '\n' ' ' | cut -c1-400) ($(($(milliseconds) - began)) ms)"
    fi
}
within() { # seconds, command: waits for a condition, with a deadline
    local deadline=$((SECONDS + $1)); shift
    until "$@"; do [ $SECONDS -lt $deadline ] || return 1; sleep 0.1; done
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
