#!/bin/bash
# weftd is killed forty times, on either of two hosts, while endpoints come and go: just after one was made, and at random moments.
# A ping every 5 ms must lose nothing. WEFT_BIN: directory with weft, weftd, weft-shim. SEED: other moments.
# Prints a line a step, ends with `N passed, N failed`.
set -u
PATH="${WEFT_BIN:?directory with the built executables}:$PATH"
export PATH LC_ALL=C
RANDOM=${SEED:-1}
out=$(mktemp -d)
trap 'rm -f "$out/on"; weft lab down >/dev/null 2>&1; rm -rf "$out"' EXIT
. "$(dirname "$0")/../e2e/steps.sh"

on() { local host=$1; shift; weft lab exec "$host" -- "$@"; }
ready() { [ "$(on 1 weft node ls --format '{{.Status}}' | grep -c Ready)" = 2 ]; }
address() { on "$1" weft inspect "$2" --format '{{(index .Networks "'"$3"'").IPAddress}}'; }
pings() { on 1 weft exec "$1" ping -c 1 -W 1 "$2" >/dev/null 2>&1; }
flood() { # sandbox on host 1, address, file: until it is interrupted
    on 1 weft exec "$1" ping -n -i 0.005 "$2" >"$out/$3" 2>&1 &
}
all_arrived() { # sandbox on host 1, file: ends its pings
    on 1 weft exec "$1" sh -c 'kill -INT $(pidof ping)' && lost_none "$out/$2"
}
restart() { weft lab kill "$1" && weft lab start "$1"; }

weft lab down >/dev/null 2>&1
step "lab up" weft lab up --nodes 2
step "nodes are ready" within 20 ready
step "network" on 1 weft network create -d overlay --attachable net
for h in 1 2; do step "a$h" on $h weft run -d --name a$h --network net -- sleep infinity; done
far=$(address 2 a2 net)
step "a1 pings a2" within 10 pings a1 "$far"

# What the manager has just said is not forgotten: an endpoint that came, on a network that is known or that came too.
fresh() { # number, host to kill
    local net=net from=a1 to
    if [ $(($1 % 2)) = 0 ]; then
        net=f$1 from=s$1
        on 1 weft network create -d overlay --attachable "$net" && on 1 weft run -d --name "$from" --network "$net" -- sleep infinity
    fi && on 2 weft run -d --name "b$1" --network "$net" -- sleep infinity || return 1
    to=$(address 2 "b$1" "$net")
    within 10 pings "$from" "$to" || return 1
    flood "$from" "$to" "fresh$1"
    within 5 grep -q icmp_seq=2 "$out/fresh$1" && restart "$2" && sleep 0.5 && all_arrived "$from" "fresh$1"
}
for k in 1 2 3 4 5 6 7 8 9 10 11 12; do
    step "kill $k, on host $(((k + k / 2) % 2 + 1)): an endpoint just made is reached" fresh $k $(((k + k / 2) % 2 + 1))
done

# Random moments, under load.
touch "$out/on"
for h in 1 2; do
    (i=0; while [ -e "$out/on" ]; do i=$((i + 1)); on $h timeout 20 weft run --rm --name l$h-$i --network net -- true; done) >"$out/load$h" 2>&1 &
done
flood a1 "$far" steady
storm() {
    for k in $(seq 28); do sleep 0.$((RANDOM % 5)); restart $((RANDOM % 2 + 1)) || return 1; done
}
step "28 kills under load" storm
rm "$out/on"
step "nothing was lost" all_arrived a1 steady
echo "time $(grep transmitted "$out/steady")"
step "nodes are ready" within 20 ready
conclude
