#!/bin/bash
# An encrypted network on three lab hosts: what is on the underlay is ESP alone, whatever is killed, rotated, or removed.
# WEFT_BIN: directory with weft, weftd, weft-shim, weft-tunnel. Needs root and tcpdump. Prints a line a step, ends with `N passed, N failed`.
set -u
PATH="${WEFT_BIN:?directory with the built executables}:$PATH"
export PATH LC_ALL=C
out=$(mktemp -d)
lab=${WEFT_LAB:-weft-lab}
trap 'kill $(jobs -p) 2>/dev/null; weft lab down >/dev/null 2>&1; rm -rf "$out"' EXIT
. "$(dirname "$0")/steps.sh"

on() { local host=$1; shift; weft lab exec "$host" -- "$@"; }
address() { on "$1" weft inspect "$2" --format '{{(index .Networks "'"$3"'").IPAddress}}'; }
ready() { [ "$(on 1 weft node ls --format '{{.Status}}' | grep -c Ready)" = 3 ]; }
# The process that encrypts on a host: in whose network namespace it is.
tunnel() {
    local process
    for process in $(pidof weft-tunnel); do
        [ "$(stat -Lc %i /proc/$process/ns/net 2>/dev/null)" = "$(stat -Lc %i /run/netns/$lab-$1)" ] && echo "$process"
    done
}
no_tunnel() { [ -z "$(tunnel "$1")" ]; }
status() { on "$1" weft status --format '{{json .Encryption}}'; }
field() { status "$1" | python3 -c "import json, sys; e = json.load(sys.stdin); print($2)"; }
is() { [ "$(field "$1" "$2")" = "$3" ]; } # host, expression, value
all_send() { # epoch, nodes to be sent to, hosts
    local host
    for host in $3; do is "$host" "sum(p['Epoch'] >= $1 for p in e['Pairs'])" "$2" || return 1; done
}
pings() { on "$1" weft exec "$2" ping -c 1 -W 1 "$3"; }
flood() { on "$1" weft exec "$2" ping -n -i 0.005 "$3" >"$out/$4" 2>&1 & }
end_flood() { on "$1" weft exec "$2" sh -c 'kill -INT $(pidof ping)'; }
arrived() { end_flood "$1" "$2" && lost_none "$out/$3"; }
# What went over a host's underlay since: only ESP of the encrypted network, with nothing of the marker in it.
listen() { # host, name
    nsenter --net=/run/netns/$lab-$1 tcpdump --immediate-mode -Z root -i eth0 -s 0 -U -w "$out/$2.pcap" >/dev/null 2>"$out/$2.log" &
    listener=$!
    within 10 grep -q listening "$out/$2.log"
}
deaf() { kill -INT $listener; wait $listener 2>/dev/null; true; }
packets() { tcpdump -Z root -nr "$out/$1.pcap" "$2" 2>/dev/null | wc -l; }
is_protected() { # name
    [ "$(packets "$1" 'udp port 4500')" -ge 10 ] || { echo "no ESP: $(packets "$1" 'udp port 4500')"; return 1; }
    [ "$(packets "$1" 'udp port 4789')" = 0 ] || { echo "VXLAN in the clear: $(packets "$1" 'udp port 4789')"; return 1; }
    ! grep -aq WEFTWEFT "$out/$1.pcap"
}
marked() { on "$1" weft exec "$2" ping -c 10 -i 0.1 -W 5 -s 64 -p 5745465457454654 "$3"; }

weft lab down >/dev/null 2>&1
step "lab up with three hosts" weft lab up --nodes 3
step "three nodes are ready" within 20 ready
step "the ingress network of a new swarm is encrypted" equals true on 1 weft network ls --filter name=ingress --format '{{.Encrypted}}'
step "it goes" sh -c "echo y | weft lab exec 1 -- weft network rm ingress"
step "without an encrypted network nothing encrypts" within 20 eval "no_tunnel 1 && no_tunnel 2 && is 1 \"e['Needed']\" False"
cat >"$out/holder.py" <<'PYTHON'
import signal, socket
port = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
port.bind(("0.0.0.0", 4500))
print("ready", flush=True)
signal.pause()
PYTHON
nsenter --net=/run/netns/$lab-2 python3 "$out/holder.py" >"$out/holder" & holder=$!
within 10 grep -q ready "$out/holder"
step "an encrypted network" on 1 weft network create -d overlay --attachable --opt encrypted sealed
step "where another program has the port, status says whose it is" within 5 has "taken by python3 (process $holder)" on 2 weft status
kill $holder; wait $holder 2>/dev/null
step "and one that is not" on 1 weft network create -d overlay --attachable --opt encrypted=false plain
for h in 1 2 3; do
    step "weft-tunnel runs on host $h" within 20 eval "[ -n \"\$(tunnel $h)\" ]"
    step "a$h" on $h weft run -d --name a$h --network sealed -- sleep infinity
done
step "every node sends to every other" within 30 all_send 1 2 "1 2 3"
step "a1 pings a2" within 20 pings 1 a1 a2
step "a3 pings a1" within 20 pings 3 a3 a1
step "pings of every size" eval "on 1 weft exec a1 ping -c 2 -W 5 -s 0 a2 && on 1 weft exec a1 ping -c 2 -W 5 -s 1300 a2 && on 1 weft exec a1 ping -c 2 -W 5 -s 20000 a2"
step "the underlay is listened to" listen 1 sealed
step "marked pings" marked 1 a1 a2
cat >"$out/take.py" <<'PYTHON'
import shutil, socket, sys
with socket.create_server(("", 7000)) as server, server.accept()[0] as peer, open(sys.argv[1], "wb") as file:
    shutil.copyfileobj(peer.makefile("rb"), file)
PYTHON
cat >"$out/give.py" <<'PYTHON'
import socket, sys
with socket.create_connection((sys.argv[2], 7000), 10) as peer, open(sys.argv[1], "rb") as file: peer.sendfile(file)
PYTHON
transfer() {
    head -c 20000000 /dev/urandom >"$out/sent"
    on 2 weft run -d --name sink --network sealed -- python3 "$out/take.py" "$out/got" || return 1
    within 20 on 1 weft exec a1 python3 "$out/give.py" "$out/sent" "$(address 2 sink sealed)" && within 10 cmp "$out/sent" "$out/got"
}
step "20 MB by TCP" transfer
on 2 weft rm -f sink >/dev/null

# What does not get there is said, with what to do.
in_host() { nsenter --net="/run/netns/$lab-$1" "${@:2}"; }
close() { # host, what of port 4500 does not come in
    in_host "$1" nft "add table inet closed; add chain inet closed in { type filter hook input priority -10; }; add rule inet closed in udp dport 4500 $2 drop"
}
open() { in_host "$1" nft delete table inet closed; }
path_ready() { is "$1" "sum(p['Ready'] for p in e['Pairs'])" "$2"; }
paths_ready() { path_ready 1 2 && path_ready 2 2 && path_ready 3 2; }
step "every pair's path has carried full packets both ways" within 20 paths_ready
step "status says it" has "2 of 2 nodes ready" on 1 weft status
step "host 2 hears nothing at UDP port 4500" close 2 ""
step "which its peers say" within 30 has "its encrypted packets come, those of this node do not get there: let UDP port 4500" on 1 weft status
step "and itself" within 30 has "open UDP port 4500 between the two hosts" on 2 weft status
step "and node ls, of whoever it is" within 60 has "Problem:  host1: to host2: its encrypted packets come" on 1 weft node ls
step "docker's clients see it as the node's message" has "UDP port 4500" on 1 weft node inspect host1 --format '{{.Status.Message}}'
step "it is open again" open 2
step "which is the end of it" within 60 eval "paths_ready && hasnt Problem on 1 weft node ls"
step "host 3 hears no packets of full length" close 3 "udp length > 1400"
step "which its peers say" within 30 has "packets of 1500 octets are lost on the way and short ones are not" on 2 weft status
step "it is open again" open 3
step "which is the end of it" within 60 paths_ready
deaf
step "there was ESP alone, and nothing to read" is_protected sealed
step "status says it" has "Encrypted: in user space by weft-tunnel" on 1 weft status

step "kill -9 of weftd on host 2, under pings" eval "flood 1 a1 \$(address 2 a2 sealed) weftd && within 10 grep -q icmp_seq=50 '$out/weftd' && weft lab kill 2"
before=$(tunnel 2)
step "the tunnel goes on without it" eval "[ -n '$before' ] && pings 1 a1 a2"
step "weftd comes back" weft lab start 2
step "and has keys of its own" within 30 all_send 1 2 "1 2 3"
step "with the same process" equals "$before" tunnel 2
sleep 1
step "nothing was lost" arrived 1 a1 weftd

rotate() {
    local epoch; epoch=$(field 1 "e['Epoch']")
    flood 1 a1 "$(address 3 a3 sealed)" rotation
    within 10 grep -q icmp_seq=50 "$out/rotation" || return 1
    on 1 weft swarm keys --rotate || return 1
    within 60 all_send $((epoch + 1)) 2 "1 2 3" || return 1
    sleep 2
    arrived 1 a1 rotation
}
step "keys are rotated, and no ping is lost" rotate
step "once more" rotate

step "the underlay is listened to" listen 1 killed
on 1 weft exec a1 ping -n -i 0.01 -s 64 -p 5745465457454654 "$(address 2 a2 sealed)" >"$out/killing" 2>&1 &
kill_tunnels() {
    local round host
    for round in 1 2 3 4; do
        host=$((round % 2 + 1))
        kill -9 "$(tunnel $host)" || return 1
        within 20 eval "[ -n \"\$(tunnel $host)\" ]" || return 1
        within 30 pings 1 a1 a2 || return 1
    done
}
step "the tunnel's process is killed four times, and each time it goes on" kill_tunnels
end_flood 1 a1
deaf
step "in between, too, there was ESP alone" is_protected killed
step "every node sends to every other" within 30 all_send 1 2 "1 2 3"

third=$(address 3 a3 sealed)
step "host 3 is killed and its node removed" eval "weft lab kill 3 && on 1 weft node rm --force host3"
refuses() { is 1 "len(e['Pairs'])" 1 && ! pings 1 a1 "$third" && ! on 3 weft exec a3 ping -c 1 -W 1 "$(address 1 a1 sealed)" 2>/dev/null; }
step "nothing is sent to it, and nothing of it taken" within 20 refuses
step "the others go on" within 20 pings 1 a1 a2

step "the network goes" eval "on 1 weft rm -f a1; on 2 weft rm -f a2; within 20 on 1 weft network rm sealed"
step "and with it the processes" within 20 eval "no_tunnel 1 && no_tunnel 2"
left=$(tunnel 3)
step "lab down" weft lab down
gone() { [ -n "$left" ] && [ ! -d "/proc/$left" ]; }
step "and with it what host 3 still had" within 20 gone
conclude
