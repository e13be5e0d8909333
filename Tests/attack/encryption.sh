#!/bin/bash
# What an encrypted network takes: nothing that is forged, repeated, changed, of former keys, or in the clear. Three hosts of a lab; whoever
# attacks is on their underlay, and sends in a node's name.
# WEFT_BIN: directory with weft, weftd, weft-shim, weft-tunnel. Needs root and python3. Prints a line a step, ends with `N passed, N failed`.
set -u
PATH="${WEFT_BIN:?directory with the built executables}:$PATH"
export PATH LC_ALL=C
lab=${WEFT_LAB:-weft-lab}
here=$(cd "$(dirname "$0")" && pwd)
out=$(mktemp -d)
listener=
down() { [ -z "$listener" ] || kill $(pgrep -P "$listener") "$listener" 2>/dev/null; weft lab down >/dev/null 2>&1; rm -rf "$out"; }
trap down EXIT
. "$here/../e2e/steps.sh"

on() { local h=$1; shift; weft lab exec "$h" -- "$@"; }
host() { local h=$1; shift; nsenter --net="/run/netns/$lab-$h" "$@"; }
attacker() { nsenter --net="/run/netns/$lab" "$@"; }
sandbox_net() { local h=$1 name=$2; shift 2; nsenter --net="/proc/$(on "$h" weft inspect "$name" --format '{{.Pid}}')/ns/net" "$@"; }
ready() { [ "$(on 1 weft node ls --format '{{.Status}}' | grep -c Ready)" = 3 ]; }
pings() { on "$1" weft exec "$2" ping -c 1 -W 2 "$3"; }
of_tunnel() { on 2 weft status --format "{{.Encryption.Counts.$1}}"; }
of_programs() { on 2 weft status --format "{{.Underlay.Drops.$1}}"; }
is_more() { [ "$("$1" "$2")" -ge "$3" ] 2>/dev/null; }

weft lab down >/dev/null 2>&1
step "lab up with three hosts" weft lab up --nodes 3
step "three nodes are ready" within 20 ready
step "an encrypted network" on 1 weft network create -d overlay --attachable --opt encrypted sealed
for h in 1 2 3; do step "a$h" on $h weft run -d --name a$h --network sealed -- sleep infinity; done
step "a1 pings a2" within 60 pings 1 a1 a2
step "a3 pings a2" within 60 pings 3 a3 a2
a1=$(on 1 weft inspect a1 --format '{{(index .Networks "sealed").IPAddress}}') a2=$(on 2 weft inspect a2 --format '{{(index .Networks "sealed").IPAddress}}')
number=$(on 1 weft network inspect sealed --format '{{index .Options "com.docker.network.driver.overlay.vxlanid_list"}}')

# a2 counts what it hears; "forged" is what an attack carries, and what is recorded of a1.
listen() {
    sandbox_net 2 a2 timeout 900 python3 "$here/forge.py" listen 9999 >"$out/heard" 2>&1 & listener=$!
    within 10 grep -q ready "$out/heard"
}
heard() { grep -c forged "$out/heard"; }
is_heard() { [ "$(heard)" = "$1" ]; }
genuine() { sandbox_net 1 a1 python3 "$here/esp.py" datagram "$a2" forged; }
record() { # 20 packets of a1's, which have arrived
    local i recorder want=$(($(heard) + 20))
    host 2 timeout 120 python3 "$here/esp.py" record eth0 172.30.0.1 20 "$out/packets" >"$out/recorder" 2>&1 & recorder=$!
    within 10 grep -q ready "$out/recorder" || return 1
    for ((i = 0; i < 20; i++)); do genuine; done
    within 20 is_heard $want && wait $recorder
}
vanishes() { # command: what it sends is not heard, and what is sent after it is
    local want=$(($(heard) + 1))
    "$@" && genuine && within 20 is_heard $want && sleep 0.3 && is_heard $want || { tail -n 3 "$out/heard"; return 1; }
}
counted() { # counter, at least so many more, command
    local what=$1 before more=$2; shift 2; before=$($what) || return 1
    "$@" && within 20 eval "[ \$($what) -ge $((before + more)) ]" || { echo "$what was $before, is $($what)"; return 1; }
}
again() { attacker python3 "$here/esp.py" send "$1" 172.30.0.1 "${2:-172.30.0.2}" "$out/packets" "${3:-4500}"; }
replayed() { of_tunnel replayed; }
forged() { of_tunnel forged; }
unknown() { of_tunnel unknownAssociation; }
clear() { of_programs wrongTunnel | grep -E '^[0-9]+$' || echo 0; }
elsewhere() { on 3 weft status --format '{{.Encryption.Counts.unknownAssociation}}'; }

step "a2 listens" listen
step "what a1 sends it arrives, and is recorded on the way" record
step "sent again it is not taken" counted replayed 20 vanishes again same
step "nor with any bit changed" counted forged 20 vanishes again flipped
step "nor cut off anywhere" vanishes again cut
step "nor with more behind it" vanishes again grown
step "nor under another number" counted unknown 40 vanishes again stray
step "nor at another node" counted elsewhere 20 vanishes again same 172.30.0.3
step "nor at the port for packets in the clear" vanishes again same 172.30.0.2 4789
step "nothing in the clear is taken of it" counted clear 3 vanishes attacker python3 "$here/forge.py" spoofed 172.30.0.1 172.30.0.2 "$number" "$a1" "$a2"
step "nor to the port for what is encrypted" vanishes attacker python3 "$here/forge.py" spoofed 172.30.0.1 172.30.0.2 "$number" "$a1" "$a2" 4500

# Of former keys.
epoch() { on 1 weft swarm keys --format '{{.Epoch}}'; }
is_reached() { [ "$(epoch)" = "$1" ] && has "Nodes behind:        none" on 1 weft swarm keys; }
rotate() { local next=$(($(epoch) + 1)); on 1 weft swarm keys --rotate && within 60 is_reached $next; }
step "new keys" rotate
step "and once more" rotate
gone() { local before; before=$(unknown); again same && sleep 0.3 && [ "$(unknown)" -ge $((before + 20)) ]; }
step "the former ones are given up" within 60 gone
step "what was recorded under them is not taken" counted unknown 20 vanishes again same

step "a1 pings a2 after all that" pings 1 a1 a2
step "host 3 is killed and its node removed" eval "weft lab kill 3 && on 1 weft node rm --force host3"
step "what it sends then is not taken" within 30 eval "! pings 3 a3 $a2"
step "a1 pings a2 as ever" within 20 pings 1 a1 a2
conclude
