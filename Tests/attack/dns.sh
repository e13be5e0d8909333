#!/bin/bash
# Sandboxes that attack the resolver, and neighbours that go on resolving: every query of theirs is sent once and answered. Two hosts
# of a lab; the first is the manager, and has the attackers and the neighbour. Beside it, hosts that have no business there.
# WEFT_BIN: directory with weft, weftd, weft-shim. Needs root and python3. Prints a line a step, ends with `N passed, N failed`.
set -u
PATH="${WEFT_BIN:?directory with the built executables}:$PATH"
export PATH LC_ALL=C
lab=${WEFT_LAB:-weft-lab}
here=$(cd "$(dirname "$0")" && pwd)
out=$(mktemp -d)
. "$here/../e2e/steps.sh"
down() { weft lab down >/dev/null 2>&1; ip netns del "$lab-plain" 2>/dev/null; rm -rf "$out"; }
trap down EXIT

on() { local host=$1; shift; weft lab exec "$host" -- "$@"; }
in_sandbox() { local name=$1; shift; on 1 weft exec "$name" python3 "$here/dns.py" "$@"; }
answers_all() { equals "$1 of $1" in_sandbox neighbour resolve neighbour "$@"; } # count, tcp
# Generous: the command alone takes a tenth of a second, and a machine of two cores has the attackers on it, and others beside.
lists_nodes() {
    local listed
    for _ in 1 2 3; do
        listed=$(timeout 10 weft lab exec 1 -- weft node ls --format '{{.Status}}') || { echo "no answer within 10 s"; return 1; }
        [ "$(grep -c Ready <<<"$listed")" = 2 ] || { echo "$listed"; return 1; }
    done
}
during() { # what, attacker, its arguments: the neighbour and the operator notice nothing of it
    local what=$1 attacker=$2; shift 2
    in_sandbox "$attacker" "$@" >"$out/attack" 2>&1 &
    local attack=$!
    sleep 0.5 # under way
    step "$what: nodes are listed, and Ready" lists_nodes
    step "$what: a neighbour has all of its 100 answers" answers_all 100
    step "$what: over TCP as well" answers_all 20 tcp
    wait $attack
}
ready() { [ "$(on 1 weft node ls --format '{{.Status}}' | grep -c Ready)" = 2 ]; }
nothing() { not in_namespace "$@"; }
in_namespace() { local namespace=$1; shift; nsenter --net="/run/netns/$namespace" python3 "$here/dns.py" "$@"; }

# What hosts give their daemons.
ulimit -Sn 1024
descriptors() { awk '/^Max open files/ { print $4, $5 }' "/proc/$(cut -d' ' -f1 "/run/$lab/host1/weftd.pid")/limits"; }
has_all() { local soft hard; read -r soft hard < <(descriptors); [ "$soft" = "$hard" ] || [ "$soft" = 1048576 ] || { echo "$soft of $hard"; return 1; }; }

weft lab down >/dev/null 2>&1
step "lab up with two hosts" weft lab up --nodes 2
step "two nodes are ready" within 10 ready
step "network" on 1 weft network create -d overlay --attachable net
for name in neighbour attacker; do step "sandbox $name" on 1 weft run -d --name $name --network net -- sleep infinity; done
step "two whose name servers are dead" eval "on 1 weft run -d --name dead1 --network net --dns 192.0.2.1 --dns 192.0.2.2 -- sleep infinity && on 1 weft run -d --name dead2 --network net --dns 192.0.2.1 --dns 192.0.2.2 -- sleep infinity"
step "weftd may open as many files as the host lets it" has_all
step "a sandbox as many as are usual" equals 1024 on 1 weft exec neighbour sh -c 'ulimit -Sn'
step "names resolve" answers_all 20

during "length 0 on 1 connection" attacker zero 4 1
during "length 0 on 8 connections" attacker zero 4 8
during "length 0 on 40 connections" attacker zero 4 40
during "queries in a row on 40 connections" attacker pipeline 5 40
during "a flood over UDP" attacker flood 6 neighbour
during "a flood over UDP, many queries at a time" attacker burst 5 neighbour
during "connections made and closed" attacker churn 4 40
during "300 slow connections" attacker slow 4 300
step "afterwards the attacker is served, too" within 12 in_sandbox attacker ask neighbour tcp

in_sandbox dead1 dead 6 400 & one=$!
in_sandbox dead2 dead 6 400 & two=$!
sleep 1
step "dead name servers: nodes are listed, and Ready" lists_nodes
step "dead name servers: a neighbour has all of its 100 answers" answers_all 100
step "dead name servers: over TCP as well" answers_all 20 tcp
step "dead name servers: their sandbox has the swarm's names" in_sandbox dead1 ask neighbour
wait $one $two

# Hosts that have no business with the resolver, and lead its address here: one of the underlay, and one behind a bridge of this host,
# as an engine's containers are.
nsenter --net="/run/netns/$lab" ip route replace 169.254.77.53 via 172.30.0.1
step "a host of the underlay gets nothing over UDP" nothing "$lab" ask neighbour
step "nor over TCP" nothing "$lab" ask neighbour tcp
step "and no answer of any kind" not nsenter --net="/run/netns/$lab" ping -c 1 -w 1 169.254.77.53
plain() {
    ip netns add "$lab-plain" && ip -n "$lab-1" link add plain0 type bridge && ip -n "$lab-1" addr add 10.99.0.1/24 dev plain0 &&
        ip -n "$lab-1" link set plain0 up && ip -n "$lab-1" link add plain1 type veth peer name eth0 netns "$lab-plain" &&
        ip -n "$lab-1" link set plain1 master plain0 up && ip -n "$lab-plain" addr add 10.99.0.2/24 dev eth0 &&
        ip -n "$lab-plain" link set eth0 up && ip -n "$lab-plain" route add default via 10.99.0.1 &&
        within 5 nsenter --net="/run/netns/$lab-plain" ping -c 1 -w 1 10.99.0.1
}
step "a plain container" plain
step "gets nothing over UDP" nothing "$lab-plain" ask neighbour
step "nor over TCP" nothing "$lab-plain" ask neighbour tcp
step "and is told so at once, to ask another server" refused "refused" nsenter --net="/run/netns/$lab-plain" python3 -c 'import socket; socket.create_connection(("169.254.77.53", 53), 5)'
step "who asks on the host itself gets nothing" nothing "$lab-1" ask neighbour
step "nor over TCP" nothing "$lab-1" ask neighbour tcp
conclude
