#!/bin/bash
# No request is lost while services are updated, rolled back, scaled and their nodes drained: a client asks two services, one with an
# address of its own and one with its tasks' (dnsrr), over kept and over new connections, and counts.
# WEFT_BIN: directory with weft, weftd, weft-shim. REQUESTS: how many to make at least (5,000). Needs root and python3.
# Prints a line a step, ends with `N passed, N failed`.
set -u
cd "$(dirname "$0")/../.."
PATH="${WEFT_BIN:?directory with the built executables}:$PATH"
export PATH LC_ALL=C
lab=${WEFT_LAB:-weft-lab}
requests=${REQUESTS:-5000}
out=$(mktemp -d)
. Tests/e2e/steps.sh
trap 'touch "$out/stop"; weft lab down >/dev/null 2>&1; rm -rf "$out"' EXIT

on() { local h=$1; shift; timeout 180 weft lab exec "$h" -- "$@"; }
w() { on 1 weft "$@"; }
serve() { # name, options
    local name=$1; shift
    w service create -d --name "$name" --network my_net --replicas 4 --update-delay 200ms "$@" \
        -- sh -c 'exec python3 "$0" 80 "${WORD:-one}"' "$PWD/Tests/e2e/graceful_server.py"
}
running() { # service, how many tasks
    local n; n=$(w service ps "$1" --filter desired-state=running --format '{{.CurrentState}}' | grep -c '^Running')
    [ "$n" = "$2" ] || { echo "$n of $2 run"; w service ps "$1" --no-trunc; return 1; }
}
made() { [ "$(cat "$out/stop.count" 2>/dev/null || echo 0)" -ge "$1" ]; }
both() { # command: for both services
    local command=$1; shift
    w service $command -q "$@" vip & local first=$!
    w service $command -q "$@" rr && wait $first
}

weft lab down >/dev/null 2>&1
step "a lab" weft lab up --nodes 3
step "a network" w network create -d overlay --attachable my_net
step "a client" w run -d --name client --network my_net -- sleep infinity
step "a service with an address" serve vip
step "a service with its tasks' addresses" serve rr --endpoint-mode dnsrr
for name in vip rr; do step "$name runs" within 20 running $name 4; done
w exec client python3 "$PWD/Tests/e2e/counting_client.py" "$out/stop" vip rr >"$out/counts" 2>"$out/errors" &
client=$!
step "the client asks" within 10 made 100
round=0
until made "$requests" && [ $round -gt 0 ]; do
    round=$((round + 1))
    step "update $round" both update --env-add WORD=$round
    step "start-first $round" both update --update-order start-first --env-add WORD=first$round
    step "rollback $round" both rollback
    step "scale down $round" w service scale -d vip=2 rr=2
    for name in vip rr; do step "two of $name $round" within 20 running $name 2; done
    step "scale up $round" w service scale -d vip=4 rr=4
    for name in vip rr; do step "four of $name $round" within 20 running $name 4; done
    step "drain $round" w node update --availability drain host2
    empty() { [ -z "$(w node ps host2 --filter desired-state=running -q)" ]; }
    step "drained $round" within 30 empty
    for name in vip rr; do step "four of $name elsewhere $round" within 20 running $name 4; done
    step "active $round" w node update --availability active host2
    [ $failed -eq 0 ] || break
done
touch "$out/stop"
wait $client
cat "$out/counts" "$out/errors"
while read -r name way count lost first; do
    step "$name, $way connections: none of $count lost" equals "0 " echo "$lost $first"
done <"$out/counts"
step "all ways were counted" equals 4 grep -c . "$out/counts"
conclude
