#!/bin/bash
# Attacks on a manager's port (2377): connections that say nothing, messages that never end, floods of frames, more connections
# than there are descriptors, from a host that is no member; and floods by a member with its own certificate. What must hold
# during and after each: the manager answers, the nodes stay ready and their sessions are the same, weftd's memory is bounded,
# it has processor time left, and what is idle is gone after its limit.
# WEFT_BIN: directory with weft, weftd, weft-shim. WEFT_LAB: the lab's name, to use another.
# Prints a line a step, ends with `N passed, N failed`.
set -u
PATH="${WEFT_BIN:?directory with the built executables}:$PATH"
export PATH LC_ALL=C
lab=${WEFT_LAB:-weft-lab}
here=$(cd "$(dirname "$0")" && pwd)
out=$(mktemp -d)
trap 'weft lab down >/dev/null 2>&1; rm -rf "$out"' EXIT
. "$here/../e2e/steps.sh"

on() { local host=$1; shift; weft lab exec "$host" -- "$@"; }
ready() { [ "$(on 1 weft node ls --format '{{.Status}}' | grep -c Ready)" = 2 ]; }
manager() { cut -d' ' -f1 "/run/$lab/host1/weftd.pid"; }
resident() { awk '/^VmRSS/ { print $2 }' "/proc/$(manager)/status"; }
ticks() { awk '{ print $14 + $15 }' "/proc/$(manager)/stat"; }
descriptors() { ls "/proc/$(manager)/fd" | wc -l; }
# The bridge's own namespace: a host on the underlay that is no member.
stranger() { nsenter --net="/run/netns/$lab" timeout 60 python3 "$here/management.py" "$@"; }
member() { nsenter --net="/run/netns/$lab-2" timeout 60 python3 "$here/management.py" "$@"; }
lost() { grep -c "session with the manager" "/run/$lab/host2/weftd.log"; }

weft lab down >/dev/null 2>&1
step "lab up" weft lab up --nodes 2
step "nodes are ready" within 20 ready
before=$(resident) pid=$(manager) losses=$(lost)
# What it may take: strangers' connections, 300 at most of some 100 KB each, and their handshakes.
limit=$((before + 65536))

during() { # name, most CPU in percent of a core, command: the manager serves while it runs
    local name=$1 share=$2 peak=0 slow=0 began now worst=0 asked=0 used; shift 2
    used=$(ticks) began=$(milliseconds)
    "$@" >"$out/attack" 2>&1 &
    local attacker=$!
    while kill -0 $attacker 2>/dev/null; do
        now=$(milliseconds)
        on 1 timeout 20 weft node ls --format '{{.Status}}' >"$out/nodes" 2>&1
        asked=$((asked + 1)) now=$(($(milliseconds) - now))
        [ "$(grep -c Ready "$out/nodes")" = 2 ] || slow=$((slow + 1))
        [ $now -gt $worst ] && worst=$now
        now=$(resident); [ "$now" -gt $peak ] && peak=$now
        sleep 0.2
    done
    wait $attacker; local code=$?
    local time=$(($(milliseconds) - began)); used=$((($(ticks) - used) * 1000 / time))
    echo "     $name: $(cat "$out/attack"); $used % of a core, $((peak >> 10)) of $((before >> 10)) MB, answers within $worst ms"
    step "$name: it came about as it should" equals 0 echo $code
    step "$name: both nodes were ready each of $asked times" equals 0 echo $slow
    step "$name: memory stays bounded" test "$peak" -lt $limit
    step "$name: weftd has time left" test "$used" -lt "$share"
    step "$name: the same process" equals "$pid" manager
    step "$name: nobody's session ended" equals "$losses" lost
}

during "connections without a byte" 60 stranger silent 172.30.0.1 2377 10
during "unfinished handshakes" 60 stranger handshake 172.30.0.1 2377 10
during "handshakes without a call" 60 stranger idle 172.30.0.1 2377 10
during "messages of 20 MB" 60 stranger large 172.30.0.1 2377 8
for kind in window ping settings reset empty unknown; do during "a flood of $kind frames" 80 stranger $kind 172.30.0.1 2377 2; done
during "calls without end" 80 stranger calls 172.30.0.1 2377 2
during "connections without end" 80 stranger connects 172.30.0.1 2377 3
during "more connections than descriptors" 80 stranger descriptors 172.30.0.1 2377 4
# A member that floods loses its connections, and nobody else's.
on 2 cat /var/lib/weft/node.pem >"$out/node.pem"
python3 - "$out" <<'END'
import pathlib, sys
text = pathlib.Path(sys.argv[1], "node.pem").read_text()
blocks = ["-----BEGIN" + block for block in text.split("-----BEGIN")[1:]]
pathlib.Path(sys.argv[1], "key").write_text(next(block for block in blocks if "KEY-----" in block.split("\n")[0]))
pathlib.Path(sys.argv[1], "certificate").write_text(next(block for block in blocks if "CERTIFICATE-----" in block.split("\n")[0]))
END
for kind in window ping unknown; do
    during "a member's flood of $kind frames" 100 member $kind 172.30.0.1 2377 3 "$out/certificate" "$out/key"
done

step "all of it is gone again" within 20 eval '[ $(descriptors) -lt 120 ]'
token=$(on 1 weft swarm join-token -q worker)
step "a node can leave" on 2 weft swarm leave
step "and join again at once" on 2 weft swarm join --token "$token" 172.30.0.1:2377
step "and is ready" within 20 ready

# A node says where its tunnels end: an address that it has, and that nobody reaches it by; and one that it answers at.
rejoin() { on 2 weft swarm leave && on 2 weft swarm join --data-path-addr "$1" --token "$token" 172.30.0.1:2377; }
on 2 ip address add 8.8.8.8/32 dev lo
on 2 ip address add 172.30.0.77/24 dev eth0
step "a node that claims a foreign data path address" rejoin 8.8.8.8
step "is told why it is not let in" within 20 has "8.8.8.8 is not the one that it comes from (172.30.0.2)" on 2 weft status
step "and nobody sends there" hasnt 8.8.8.8 on 1 weft status
step "a node whose data path address is another of its own" rejoin 172.30.0.77
step "is ready with it" within 20 ready
step "and known by it" within 5 has 172.30.0.77 on 1 weft status
conclude
