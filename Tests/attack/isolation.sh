#!/bin/bash
# What sandboxes, containers, and users without rights may not reach or forge: an engine's networks and unpublished ports from a
# sandbox and from a container's overlay interface, tunnel packets by way of the host, ICMP errors, packets that are not translated.
# Two hosts of a lab with an engine each.
# WEFT_BIN: directory with weft, weftd, weft-shim. DOCKERD: path of another dockerd than this machine's, with its containerd
# beside it. Needs root, docker, dockerd, busybox, nft, iptables and python3. Prints a line a step, ends with `N passed, N failed`.
set -u
PATH="${WEFT_BIN:?directory with the built executables}:$PATH"
export PATH LC_ALL=C
lab=${WEFT_LAB:-weft-lab}
here=$(cd "$(dirname "$0")" && pwd)
out=$(mktemp -d)
background= listeners=()
down() {
    [ -z "$background" ] || kill $background 2>/dev/null
    # A function in the background is a shell of its own, and the program its child.
    for pid in "${listeners[@]}"; do kill $(pgrep -P "$pid") "$pid" 2>/dev/null; done
    weft lab down >/dev/null 2>&1; rm -rf "$out"
}
trap down EXIT
. "$here/../e2e/steps.sh"

on() { local h=$1; shift; weft lab exec "$h" -- "$@"; }
docker_on() { local h=$1; shift; timeout 60 docker -H "unix:///run/$lab/host$h/run/docker.sock" "$@"; }
engine_on() { local h=$1; shift; timeout 60 docker -H "unix:///run/$lab/host$h/docker/docker.sock" "$@"; }
host() { local h=$1; shift; nsenter --net="/run/netns/$lab-$h" "$@"; }
sandbox_net() { local h=$1 name=$2; shift 2; nsenter --net="/proc/$(on "$h" weft inspect "$name" --format '{{.Pid}}')/ns/net" "$@"; }
container_net() { local h=$1 name=$2; shift 2; nsenter --net="/proc/$(engine_on "$h" inspect -f '{{.State.Pid}}' "$name")/ns/net" "$@"; }
on_network() { engine_on "$1" inspect -f "{{(index .NetworkSettings.Networks \"$3\").IPAddress}}" "$2"; }
ready() { [ "$(on 1 weft node ls --format '{{.Status}}' | grep -c Ready)" = 2 ]; }
up() { weft lab up --nodes 2 --engine docker ${DOCKERD:+--dockerd "$DOCKERD"} && weft lab image --busybox; }
serve() { # host, container, docker's options: says "secret" at port 80, published or not
    local h=$1 name=$2; shift 2
    engine_on "$h" run -d --name "$name" "$@" busybox sh -c 'echo secret >/tmp/index.html; exec httpd -f -p 80 -h /tmp'
}
reads() { has secret sandbox_net 1 a1 python3 "$here/forge.py" read "$1" "$2"; }
cannot_read() { hasnt secret sandbox_net 1 a1 python3 "$here/forge.py" read "$1" "$2"; }
host_reads() { has secret host 1 python3 "$here/forge.py" read "$1" "$2"; }

weft lab down >/dev/null 2>&1
step "a lab with engines" up
echo "time engine $(engine_on 1 version -f '{{.Server.Version}}')"
step "nodes are ready" within 20 ready
for net in net other; do step "network $net" docker_on 1 network create -d overlay --attachable --opt encrypted=false $net; done
step "internal network of the swarm" docker_on 1 network create -d overlay --attachable --internal shut
step "a sandbox" on 1 weft run -d --name a1 --network net -- sleep infinity
step "and one far away" on 2 weft run -d --name a2 --network net -- sleep infinity
step "and one on an internal network there" on 2 weft run -d --name deep --network shut -- sleep infinity
step "a container on the swarm's network" docker_on 1 run -d --name c1 --network net busybox sleep 86400
step "one on another" docker_on 1 run -d --name c2 --network other busybox sh -c 'echo secret >/tmp/index.html; exec httpd -f -p 80 -h /tmp'
step "an internal bridge" engine_on 1 network create --internal inner
step "a container on it" serve 1 hidden --network inner
step "one with no port published" serve 1 plain
step "one with a published port" serve 1 web -p 8080:80
step "one published for this host alone" serve 1 local -p 127.0.0.1:8081:80
gateway_bridge=$(container_net 1 c2 ip -4 -o address | awk '/172\./ { split($4, a, "/"); print a[1]; exit }')

# The engine's networks.
step "the former rule of DOCKER-USER goes" eval "host 1 iptables -I DOCKER-USER -i wv+ -j ACCEPT && on 1 weft run --rm --network net -- true && weft lab kill 1 && weft lab start 1 && within 20 hasnt '-i wv+ -j ACCEPT' host 1 iptables -S DOCKER-USER"
step "and Weft's is there" within 20 has "-i wv+ -j WEFT-FORWARD" host 1 iptables -S DOCKER-USER
# As dockerd sets it where forwarding was off before.
step "Docker's policy is to drop" host 1 iptables -P FORWARD DROP
# Without it nothing below would prove anything.
step "the host itself reads all of them" eval "host_reads $gateway_bridge 80 && host_reads $(on_network 1 hidden inner) 80 && host_reads $(on_network 1 plain bridge) 80 && host_reads 127.0.0.1 8081"
step "a sandbox reads a published port" reads 172.30.0.1 8080
step "not a container by its docker_gwbridge address" cannot_read "$gateway_bridge" 80
step "not one on an internal bridge" cannot_read "$(on_network 1 hidden inner)" 80
step "not a port that is not published" cannot_read "$(on_network 1 plain bridge)" 80
step "not a published one at the container's own address" cannot_read "$(on_network 1 web bridge)" 80
step "nor with Docker's policy to accept" eval "host 1 iptables -P FORWARD ACCEPT && cannot_read $gateway_bridge 80 && cannot_read $(on_network 1 hidden inner) 80 && cannot_read $(on_network 1 plain bridge) 80 && host 1 iptables -P FORWARD DROP"
step "nor on a bridge that came this moment" eval "engine_on 1 network create town && serve 1 townsman --network town && host_reads \$(on_network 1 townsman town) 80 && cannot_read \$(on_network 1 townsman town) 80"
step "nor what is published on loopback" cannot_read 127.0.0.1 8081
step "a sandbox reaches the outside" sandbox_net 1 a1 ping -c 1 -W 3 172.30.0.254
step "so does a container" docker_on 1 exec c1 ping -c 1 -W 3 172.30.0.254
step "and another host's published ports" eval "serve 2 web2 -p 8082:80 && within 5 reads 172.30.0.2 8082"
step "frames on a container's overlay interface reach no container" eval "container_net 1 c1 python3 $here/forge.py frames $(container_net 1 c1 ip -4 -o address | awk '/10\./ { print $2; exit }') $gateway_bridge $(on_network 1 plain bridge) $(on_network 1 hidden inner)"

# Tunnel packets by way of the host. The sandbox that they are for counts what it hears.
vni() { on 1 weft network inspect "$1" --format '{{index .Options "com.docker.network.driver.overlay.vxlanid_list"}}'; }
a1=$(on 1 weft inspect a1 --format '{{(index .Networks "net").IPAddress}}') a2=$(on 2 weft inspect a2 --format '{{(index .Networks "net").IPAddress}}')
number=$(vni net)
listen() { # host, sandbox
    sandbox_net "$1" "$2" timeout 900 python3 "$here/forge.py" listen 9999 >"$out/heard$1" 2>&1 &
    listeners+=($!)
    within 10 grep -q ready "$out/heard$1"
}
heard() { grep -c forged "$out/heard$1"; }
is_heard() { [ "$(heard "$1")" = "$2" ]; }
genuine() { # to the sandbox on this host: three datagrams, from root on the other one
    if [ "$1" = 2 ]; then host 1 python3 "$here/forge.py" tunnel 172.30.0.2 "$number" "$a1" "$a2"
    else host 2 python3 "$here/forge.py" tunnel 172.30.0.1 "$number" "$a2" "$a1"; fi
}
vanishes() { # host, command: what it sends is not heard there, and what is sent after it is
    local h=$1 want=$(($(heard "$1") + 3)); shift
    "$@" && genuine "$h" && within 10 is_heard "$h" $want && sleep 0.3 && is_heard "$h" $want || { cat "$out/heard$h"; return 1; }
}
step "a2 listens" listen 2 a2
step "a1 listens" listen 1 a1
step "a datagram by the tunnel arrives from root" eval "genuine 2 && within 10 is_heard 2 3 && genuine 1 && within 10 is_heard 1 3"
to_a2="172.30.0.2 $number $a1 $a2"
user() { # by a python and a script that root alone may not be able to read
    host 1 setpriv --reuid 65534 --clear-groups "$@" env PATH=/usr/local/bin:/usr/bin:/bin python3 - tunnel $to_a2 <"$here/forge.py"
}
step "not from a user without rights" vanishes 2 user
step "not from root of a user namespace" vanishes 2 user unshare --user --map-root-user
step "not from a container that the host masquerades" vanishes 2 container_net 1 plain python3 "$here/forge.py" tunnel $to_a2
step "not in fragments" vanishes 2 container_net 1 plain python3 "$here/forge.py" tunnel $to_a2 3000
step "not from a sandbox" vanishes 2 sandbox_net 1 a1 python3 "$here/forge.py" tunnel $to_a2
step "not with this host's address" vanishes 2 container_net 1 plain python3 "$here/forge.py" spoofed 172.30.0.1 $to_a2
step "nor to this host with the peer's" vanishes 1 container_net 1 plain python3 "$here/forge.py" spoofed 172.30.0.2 172.30.0.1 "$number" "$a2" "$a1"
step "the overlay itself goes on" sandbox_net 1 a1 ping -c 3 -i 0.2 -W 3 "$a2"
step "a machine that is none of the swarm's is sent what it likes" eval "container_net 1 plain python3 $here/forge.py tunnel 172.30.0.254 $number $a1 $a2"

# ICMP errors, and what is not translated.
narrowed() { has "mtu" host 1 ip route get 172.30.0.2; }
step "forged ICMP errors narrow no route of this host" eval "for target in 169.254.77.53 172.30.0.1 172.30.0.2; do sandbox_net 1 a1 python3 $here/forge.py icmp $a1 \$target 172.30.0.1 172.30.0.2; done; not narrowed"
step "nor of the peer" hasnt mtu host 2 ip route get 172.30.0.1
step "ping of the resolver goes on" sandbox_net 1 a1 ping -c 1 -W 3 169.254.77.53
step "traceroute sees what is on the way" has "172.30.0.254" sandbox_net 1 a1 timeout 60 busybox traceroute -n -m 3 -w 2 -q 1 172.30.0.254
untranslated() {
    nsenter --net="/run/netns/$lab-1" timeout 60 python3 "$here/forge.py" watch eth0 "$a1" >"$out/watch" 2>&1 & background=$!
    within 3 grep -q ready "$out/watch" && sandbox_net 1 a1 python3 "$here/forge.py" invalid "$a1" 172.30.0.254 || return 1
    sleep 1
    kill $background; wait $background; background=
    hasnt "$a1" cat "$out/watch"
}
step "nothing leaves with an address of the overlay" untranslated
step "the firewall is as weftd made it" within 35 has "WEFT-FORWARD" host 1 iptables -S WEFT-FORWARD
conclude
