#!/bin/bash
# Measures names: queries a second and how long they take (dnsperf), asked in a sandbox and in a container of Weft's and in a container of an
# engine alone, in turns.
#
#   Tests/bench/dns.sh [directory of weft and weftd]      default: .build/release
#
# ROUNDS: how often each is asked (3); SECONDS_EACH: for how long (5). Root; needs docker, dockerd, dnsperf and busybox (static).
# Makes `weft lab` with a host and an engine, and removes it at the end. Prints a table.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
PATH=$(cd "${1:-$root/.build/release}" && pwd):$PATH
export PATH LC_ALL=C
for tool in docker dockerd dnsperf nsenter; do
    command -v "$tool" >/dev/null || { echo "dns.sh: $tool is missing: install it" >&2; exit 1; }
done
lab=${WEFT_LAB:-weft-lab}
out=$(mktemp -d)
weft lab up --nodes 1 --engine docker >/dev/null
trap 'weft lab down >/dev/null; rm -rf "$out"' EXIT
weft lab image --busybox
on() { weft lab exec 1 -- "$@"; }
engine() { docker -H "unix:///run/$lab/host1/docker/docker.sock" "$@"; }
on weft network create -d overlay --attachable my_net >/dev/null
on weft run -d --name asker --network my_net sleep infinity >/dev/null
on weft run -d --name one --network my_net sleep infinity >/dev/null
on docker run -d --name box --network my_net busybox sleep infinity >/dev/null
engine network create own >/dev/null
engine run -d --name alone --network own busybox sleep infinity >/dev/null
engine run -d --name one-own --network own busybox sleep infinity >/dev/null
process() { engine inspect -f '{{.State.Pid}}' "$1"; }
sandbox=$(on weft inspect asker --format '{{.Pid}}')
echo "one A" >"$out/weft"; echo "one-own A" >"$out/engine"
ask() { # title, process, resolver, names, queries at once
    local result
    result=$(nsenter --target "$2" --net dnsperf -s "$3" -d "$out/$4" -l "${SECONDS_EACH:-5}" -q "$5" -c 4 -T 1 -O latency-histogram 2>&1) ||
        result=$(nsenter --target "$2" --net dnsperf -s "$3" -d "$out/$4" -l "${SECONDS_EACH:-5}" -q "$5" -c 4 -T 1 2>&1)
    awk -v title="$1" -v at="$5" '
        /Queries per second/ { rate = $4 } /Queries lost/ { lost = $3 } /Average Latency/ { mean = $4 * 1000; max = $8 * 1000 }
        END { sub(/\)/, "", max); printf "%-28s %4d at once %9.0f queries/s   mean %7.3f ms   lost %s\n", title, at, rate, mean, lost }' <<<"$result"
}
for _ in $(seq "${ROUNDS:-3}"); do
    for at in 1 100; do
        ask "sandbox, Weft" "$sandbox" 169.254.77.53 weft $at
        ask "container, Weft" "$(process box)" 127.0.0.11 weft $at
        ask "container, engine alone" "$(process alone)" 127.0.0.11 engine $at
    done
done
