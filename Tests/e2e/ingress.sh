#!/bin/bash
# Ports of services that are published at every node, on three hosts of a lab without engines: asked from a client beyond the hosts, who
# has no part in the swarm. The client's address is the task's own word for it.
# WEFT_BIN: directory with weft, weftd, weft-shim. Needs root, python3 and busybox.
# Prints a line a step, ends with `N passed, N failed`.
set -u
PATH="${WEFT_BIN:?directory with the built executables}:$PATH"
export PATH LC_ALL=C
lab=${WEFT_LAB:-weft-lab}
out=$(mktemp -d)
client=$lab-client
. "$(dirname "$0")/steps.sh"
trap 'ip netns del $client 2>/dev/null; weft lab down >/dev/null 2>&1; rm -rf "$out"' EXIT

on() { local h=$1; shift; timeout 60 weft lab exec "$h" -- "$@"; }
cat >"$out/server.py" <<'PYTHON'
import socket, sys, threading
def tcp(s):
    while True:
        c, peer = s.accept()
        with c: c.recv(4096); c.sendall((sys.argv[1] + " " + peer[0]).encode())
t = socket.create_server(("", 80)); u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.bind(("", 81))
threading.Thread(target=tcp, args=(t,), daemon=True).start()
while True:
    data, peer = u.recvfrom(9000); u.sendto((sys.argv[1] + " " + peer[0]).encode(), peer)
PYTHON
cat >"$out/ask.py" <<'PYTHON'
import socket, sys
kind, address, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
s = socket.socket(socket.AF_INET, socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM); s.settimeout(3)
s.connect((address, port)); s.send(b"?"); print(s.recv(200).decode())
PYTHON
ask() { timeout 20 ip netns exec "$client" python3 "$out/ask.py" "$@"; }
answers() { ask "$@" >/dev/null 2>&1; }
closed() { ! answers "$@"; }
sees() { local want=$1; shift; [ "$(ask "$@" | cut -d' ' -f2)" = "$want" ]; }
# All tasks answer at a host's address.
tasks() { local n; n=$(for _ in $(seq 40); do ask "$@"; done | cut -d' ' -f1 | sort -u | wc -l); echo "$n tasks"; [ "$n" = "$tasks" ]; }

weft lab down >/dev/null 2>&1
step "a lab" weft lab up --nodes 3
for i in 1 2 3; do
    ip netns list | grep -q "^$client" || ip netns add "$client"
    ip link add "vc$i" netns "$client" type veth peer name client0 netns "$lab-$i"
    ip -n "$lab-$i" addr add "203.0.113.$((16 * i + 1))/28" dev client0; ip -n "$lab-$i" link set client0 up
    ip -n "$client" addr add "203.0.113.$((16 * i + 2))/28" dev "vc$i"; ip -n "$client" link set "vc$i" up
done
host() { echo "203.0.113.$((16 * $1 + 1))"; }
me() { echo "203.0.113.$((16 * $1 + 2))"; }

step "a network" on 1 weft network create -d overlay --attachable my_net
step "a service with two tasks" on 1 weft service create -d --name web --network my_net --replicas 2 --hostname '{{.Task.Name}}' \
    -p 8080:80 -p 8081:81/udp -- sh -c "exec python3 $out/server.py \$(hostname)"
tasks=2
for i in 1 2 3; do
    step "TCP at host $i" within 30 answers tcp "$(host $i)" 8080
    step "UDP at host $i" within 10 answers udp "$(host $i)" 8081
    step "the task sees the client at host $i, TCP" sees "$(me $i)" tcp "$(host $i)" 8080
    step "the task sees the client at host $i, UDP" sees "$(me $i)" udp "$(host $i)" 8081
    step "both tasks answer at host $i" tasks tcp "$(host $i)" 8080
done
step "a port that is published is held" refused "in use" on 1 python3 -c 'import socket; socket.create_server(("", 8080))'
step "a second service cannot have it" refused "8080" on 1 weft service create -d --name second -p 8080:80 -- sleep 60
step "without weftd" weft lab kill 2
step "a host whose weftd is gone answers" answers tcp "$(host 2)" 8080
step "weftd again" weft lab start 2
step "it still does" within 30 answers tcp "$(host 2)" 8080
tasks=4
step "scale" on 1 weft service scale -d web=4
step "four tasks answer" within 60 tasks tcp "$(host 3)" 8080
step "the ports change" on 1 weft service update -d --publish-rm 8080:80 --publish-add 8090:80 web
step "the new one answers" within 30 answers tcp "$(host 2)" 8090
step "the old one does not" within 30 closed tcp "$(host 2)" 8080
step "the service goes" on 1 weft service rm web
step "nothing answers" within 30 closed tcp "$(host 1)" 8090
step "and the port is free" within 30 on 1 python3 -c 'import socket; socket.create_server(("", 8090))'
tasks=1
step "a service at an address of host 1, for one client" on 1 weft service create -d --name here -p "$(host 1):8080:80" \
    -l "weft.ingress.from=$(me 1)" -- python3 "$out/server.py" here
step "another has the port at an address of host 2" on 1 weft service create -d --name there -p "$(host 2):8080:80" \
    -- python3 "$out/server.py" there
step "a third cannot have it at all" refused "8080" on 1 weft service create -d --name third -p 8080:80 -- sleep 60
step "nor where the first has it" refused "'here'" on 1 weft service create -d --name third -p "$(host 1):8080:80" -- sleep 60
step "they are listed with their addresses" has "$(host 1):8080->80/tcp" on 1 weft service ls
is() { local want=$1; shift; [ "$(ask "$@" | cut -d' ' -f1)" = "$want" ]; }
step "the first answers at host 1" within 30 is here tcp "$(host 1)" 8080
step "the second at host 2" within 30 is there tcp "$(host 2)" 8080
step "neither at host 3" closed tcp "$(host 3)" 8080
step "an update by hand moves it" on 1 weft service update -d --publish-rm "$(host 2):8080:80" --publish-add "$(host 3):8080:80" there
step "to host 3" within 30 is there tcp "$(host 3)" 8080
step "from host 2" within 30 closed tcp "$(host 2)" 8080
step "the label names another client" on 1 weft service update -d --label-add "weft.ingress.from=$(me 2)" here
step "the first is closed to this one" within 30 closed tcp "$(host 1)" 8080
step "what is misspelt is refused" refused "there is no label" on 1 weft service update -d --label-add weft.ingress.form=10.0.0.0/8 here
step "they go" on 1 weft service rm here there
step "the ingress network goes" sh -c "echo y | weft lab exec 1 -- weft network rm ingress"
step "and comes again" on 1 weft network create -d overlay --ingress --subnet 10.99.0.0/24 ingress
step "a service on it" on 1 weft service create -d --name again -p 8080:80 -- python3 "$out/server.py" again
tasks=1
for i in 1 2 3; do step "it answers at host $i" within 60 answers tcp "$(host $i)" 8080; done
step "down" weft lab down
conclude
