#!/bin/bash
# Damaged input at every door of a running swarm: frames from a sandbox, tunnel packets from a member's host and from a stranger's,
# requests to the API and the network driver, DNS messages, bytes at the management port, command lines. What must hold
# after each: the daemons are the same processes and have not grown, the nodes are ready, sandboxes reach each other, and
# what is on another network is not reached.
# WEFT_BIN: directory with weft, weftd, weft-shim, weft-cni. SEED: another one, other input. TIMES: how much more of it.
# Prints a line a step, ends with `N passed, N failed`.
set -u
PATH="${WEFT_BIN:?directory with the built executables}:$PATH"
export PATH LC_ALL=C
lab=${WEFT_LAB:-weft-lab} seed=${SEED:-1} times=${TIMES:-1}
here=$(cd "$(dirname "$0")" && pwd)
out=$(mktemp -d)
trap 'weft lab down >/dev/null 2>&1; rm -rf "$out"' EXIT
. "$here/../e2e/steps.sh"

on() { local host=$1; shift; weft lab exec "$host" -- "$@"; }
ready() { [ "$(on 1 weft node ls --format '{{.Status}}' | grep -c Ready)" = 2 ]; }
pings() { on "$1" weft exec "$2" ping -c 1 -w "${4:-5}" "$3"; }
daemon() { cut -d' ' -f1 "/run/$lab/host$1/weftd.pid"; }
run() { for pid in "$@"; do kill -0 "$pid" || return 1; done; }
resident() { awk '/^VmRSS/ { print $2 }' "/proc/$(daemon "$1")/status"; }
noise() { timeout 400 python3 "$here/noise.py" "$@"; }
in_sandbox() { nsenter --net="/proc/$(on 1 weft inspect a1 --format '{{.Pid}}')/ns/net" "${@}"; }
on_network() { local space=$1; shift; nsenter --net="/run/netns/$space" "$@"; }

weft lab down >/dev/null 2>&1
step "lab up" weft lab up --nodes 2
step "nodes are ready" within 20 ready
for net in my_net other; do step "network $net" on 1 weft network create -d overlay --attachable --opt encrypted=false $net; done
step "a1" on 1 weft run -d --name a1 --network my_net -- sleep infinity
step "a2" on 2 weft run -d --name a2 --network my_net -- sleep infinity
step "secret, on the other network" on 2 weft run -d --name secret --network other -- sleep infinity
secret=$(on 2 weft inspect secret --format '{{(index .Networks "other").IPAddress}}')
step "a1 pings a2" within 10 pings 1 a1 a2
daemons="$(daemon 1) $(daemon 2)"
before1=$(resident 1) before2=$(resident 2)

holds() { # after what
    step "$1: the daemons are the same" equals "$daemons" echo "$(daemon 1) $(daemon 2)"
    step "$1: and run" run $daemons
    step "$1: nodes are ready" within 20 ready
    step "$1: a1 pings a2 by name" within 10 pings 1 a1 a2
    step "$1: secret is not reached" not pings 1 a1 "$secret" 1
}
throw() { # name, command of noise.py…
    local name=$1; shift
    step "$name" "$@"
    tail -n 3 "$out/step" | cut -c1-300 | sed "s/^/     /"
    holds "$name"
}

throw "frames from a sandbox" in_sandbox timeout 400 python3 "$here/noise.py" frames eth0 "$seed" $((20000 * times))
throw "tunnel packets from a stranger" on_network "$lab" timeout 400 python3 "$here/noise.py" vxlan 172.30.0.1 4789 "$seed" $((5000 * times))
throw "tunnel packets from a member's host" on_network "$lab-2" timeout 400 python3 "$here/noise.py" vxlan 172.30.0.1 4789 "$seed" $((5000 * times))
throw "requests to the API" noise http "/run/$lab/host1/run/docker.sock" "$seed" $((1500 * times))
throw "a worker's API" noise http "/run/$lab/host2/run/docker.sock" "$seed" $((500 * times))
throw "DNS messages" in_sandbox timeout 400 python3 "$here/noise.py" dns 169.254.77.53 "$seed" $((5000 * times))
throw "bytes at the management port" on_network "$lab" timeout 400 python3 "$here/noise.py" management 172.30.0.1 2377 "$seed" $((300 * times))
throw "command lines" noise command "$seed" $((150 * times)) "$(command -v weft)" -H "unix:///run/$lab/host2/run/docker.sock"
throw "calls of the CNI plugin" noise command "$seed" $((100 * times)) "$(command -v weft-cni)"
plugin=$(ls /run/"$lab"/host1/docker/plugins/weft.sock 2>/dev/null)
if [ "$plugin" ]; then throw "calls of the network driver" noise plugin "$plugin" "$seed" $((800 * times)); fi

grown() { [ $(($(resident "$1") - $2)) -lt 65536 ] || { echo "from $2 to $(resident "$1") KB"; return 1; }; }
step "the manager's daemon has not grown by 64 MB" grown 1 "$before1"
step "nor the worker's" grown 2 "$before2"
conclude
