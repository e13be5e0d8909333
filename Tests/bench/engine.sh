#!/bin/bash
# Measures containers on Weft's overlay against a real Docker swarm's overlay, a bridge and none, in one interleaved run.
#
#   Tests/bench/engine.sh [directory of weft and weftd] [--only-sockets]      default: .build/release
#
# --only-sockets: nothing but Weft's socket beside the engine's own, and writes nothing.
#
# Root; needs docker, dockerd, iperf3, nsenter, ping, taskset, busybox (static) and python3. Makes `weft lab` with two
# hosts and an engine on each, whose dockerds also form a swarm of their own beside Weft's; removes it at the end.
# Writes docs/benchmarks/engine.json and engine.md, or to the directory in WEFT_BENCH_OUT.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
only_sockets=
if [ "${!#}" = --only-sockets ]; then only_sockets=1; set -- "${@:1:$#-1}"; fi
binaries=$(cd "${1:-$root/.build/release}" && pwd)
out=${WEFT_BENCH_OUT:-$root/docs/benchmarks}
weft=$binaries/weft

if [ "$(id -u)" != 0 ]; then echo "engine.sh: the lab makes namespaces: run it as root" >&2; exit 1; fi
for tool in docker dockerd iperf3 nsenter ping taskset python3; do
    if ! command -v "$tool" >/dev/null; then echo "engine.sh: $tool is missing: install it" >&2; exit 1; fi
done

# The trap after `up`: where that fails because there is a lab already, it is somebody else's and stays.
"$weft" lab up --nodes 2 --engine docker >/dev/null
trap '"$weft" lab down >/dev/null' EXIT
"$weft" lab image --busybox

if [ -n "$only_sockets" ]; then
    python3 "$here/engine.py" --binaries "$binaries" --out "$out" --only-sockets
    exit
fi

engine() { local host=$1; shift; docker -H "unix:///run/${WEFT_LAB:-weft-lab}/host$host/docker/docker.sock" "$@"; }
# Not Docker's own ports: weftd has 2377, and a device of Weft's holds 4789.
engine 1 swarm init --advertise-addr 172.30.0.1:2378 --listen-addr 172.30.0.1:2378 --data-path-port 4790 >/dev/null
token=$(engine 1 swarm join-token --quiet worker)
engine 2 swarm join --token "$token" --advertise-addr 172.30.0.2 --listen-addr 172.30.0.2:2378 172.30.0.1:2378 >/dev/null

python3 "$here/engine.py" --binaries "$binaries" --out "$out"
