#!/bin/bash
# Published ports of services whose tasks are an engine's containers, on two lab hosts: by both families, and the rules by which answers find
# their way (7700 to 7702 in a container's network namespace) after restarts of weftd and of the container.
# WEFT_BIN: directory with weft, weftd, weft-shim. Needs root, docker, dockerd, busybox and python3.
# Prints a line a step, ends with `N passed, N failed`.
set -u
PATH="${WEFT_BIN:?directory with the built executables}:$PATH"
export PATH LC_ALL=C
lab=${WEFT_LAB:-weft-lab}
out=$(mktemp -d)
client=$lab-client
server=
. "$(dirname "$0")/steps.sh"
down() { [ -z "$server" ] || kill "$server" 2>/dev/null; ip netns del "$client" 2>/dev/null; weft lab down >/dev/null 2>&1; rm -rf "$out"; }
trap down EXIT

on() { local h=$1; shift; timeout 60 weft lab exec "$h" -- "$@"; }
engine_on() { local h=$1; shift; timeout 60 docker -H "unix:///run/$lab/host$h/docker/docker.sock" "$@"; }
up() { weft lab up --nodes 2 --engine docker && weft lab image --busybox; }
container() { engine_on 2 ps -q --filter "label=com.docker.swarm.service.name=web" | head -n 1; }
pid() { engine_on 2 inspect -f '{{.State.Pid}}' "$(container)"; }
inside() { local p; p=$(pid) && nsenter --net="/proc/$p/ns/net" "$@"; }
rule() { has "$2" inside ip "$1" rule; } # -4 or -6, words
rules() { # UDP port
    local family
    for family in -4 -6; do
        has "lookup 7701" inside ip $family rule && rule $family "ipproto udp sport $1 lookup main suppress_prefixlength 0" &&
            rule $family "ipproto udp sport $1 lookup 7701" || return 1
    done
}
cat >"$out/ask.py" <<'PYTHON'
import socket, sys
kind, address, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
family = socket.AF_INET6 if ":" in address else socket.AF_INET
s = socket.socket(family, socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM); s.settimeout(3)
s.connect((address, port)); s.send(b"GET / HTTP/1.0\r\n\r\n"); print(s.recv(200).decode().split("\r\n")[0])
PYTHON
cat >"$out/echo.py" <<'PYTHON'
import select, socket, sys
sockets = [socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) for _ in sys.argv[1:]]
for s, port in zip(sockets, sys.argv[1:]): s.bind(("::", int(port)))
while True:
    for s in select.select(sockets, [], [])[0]: s.sendto(b"echo", s.recvfrom(9000)[1])
PYTHON
ask() { timeout 20 ip netns exec "$client" python3 "$out/ask.py" "$@"; }
# What python says of a failure quotes the request: its own words alone count.
http() { local got; got=$(ask tcp "$1" 8080 2>/dev/null) && [[ $got == HTTP/* ]]; }
udp() { equals echo ask udp "$1" "$2"; }
echo_in_container() { # ports: a server that is bound to no address
    [ -z "$server" ] || kill "$server" 2>/dev/null
    nsenter --net="/proc/$(pid)/ns/net" python3 "$out/echo.py" "$@" & server=$!
}

weft lab down >/dev/null 2>&1
step "a lab with engines" up
ip netns add "$client"
ip link add vc1 netns "$client" type veth peer name client0 netns "$lab-1"
for where in "$lab-1 client0 1" "$client vc1 2"; do
    set -- $where
    ip -n "$1" addr add "203.0.113.$3/28" dev "$2"; ip -n "$1" addr add "2001:db8:5::$3/64" dev "$2" nodad; ip -n "$1" link set "$2" up
done
four=203.0.113.1 six=2001:db8:5::1

step "the ingress network has both families" equals "true 2" on 1 weft network inspect ingress --format '{{.EnableIPv6}} {{len .IPAM.Config}}'
step "docker says so too" has '"EnableIPv6": true' on 1 docker network inspect ingress
step "a service of a container on host 2" on 1 docker service create -d --name web --constraint node.hostname==host2 -p 8080:80 \
    -p 8081:81/udp busybox httpd -f -p 80
step "it answers at host 1" within 60 http $four
step "and by IPv6" within 20 http $six
step "its container has the rules" within 20 rules 81
step "a UDP server in it" echo_in_container 81 82
step "answers" within 10 udp $four 8081
step "and by IPv6" within 10 udp $six 8081

step "without weftd" weft lab kill 2
step "it answers still" http $four
step "a port is published meanwhile" on 1 docker service update -d --publish-add 8082:82/udp web
step "somebody removes the rules" inside sh -c 'for f in -4 -6; do for p in 7700 7701 7702; do ip $f rule del priority $p; done; done'
step "weftd again" weft lab start 2
step "the rules are there again" within 40 rules 81
step "those of the new port too" within 20 rules 82
step "UDP answers" within 10 udp $four 8081
step "and by IPv6" within 10 udp $six 8081
step "at the new port" within 20 udp $four 8082
step "TCP too" http $six

before=$(pid)
step "the container is restarted" engine_on 2 restart -t 1 "$(container)"
another() { local p; p=$(pid) && [ "$p" != "$before" ] && [ "$p" != 0 ]; }
step "its program is another" within 60 another
step "with the rules" within 40 rules 81
step "of both ports" within 20 rules 82
step "it answers" within 20 http $four
step "a UDP server in it" echo_in_container 81 82
step "answers" within 20 udp $six 8082
step "the service goes" on 1 docker service rm web
closed() { ! http $four; }
step "nothing answers" within 30 closed
step "down" weft lab down
conclude
