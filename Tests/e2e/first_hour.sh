#!/bin/bash
# What a user's first hour with Weft looks like, through the `weft` command alone: a swarm of three lab hosts, networks,
# sandboxes that find each other by name, isolation, daemons that die, and nothing left behind.
# WEFT_BIN: directory with weft, weftd, weft-shim. Prints a line a step, ends with `N passed, N failed`.
set -u
PATH="${WEFT_BIN:?directory with the built executables}:$PATH"
export PATH LC_ALL=C
lab=${WEFT_LAB:-weft-lab}
out=$(mktemp -d)
trap 'weft lab down >/dev/null 2>&1; rm -rf "$out"' EXIT

. "$(dirname "$0")/steps.sh"
on() { local host=$1; shift; weft lab exec "$host" -- "$@"; }
ready() { [ "$(on 1 weft node ls --format '{{.Status}}' | grep -c Ready)" = 3 ]; }
pings() { on "$1" weft exec "$2" ping -c 1 -w 3 "$3"; }
cannot_ping() { ! on "$1" weft exec "$2" ping -c 1 -w 1 "$3"; }

weft lab down >/dev/null 2>&1
step "lab up with three hosts" weft lab up --nodes 3
step "three nodes are ready" within 10 ready
step "one of them is the leader" has Leader on 1 weft node ls
step "a worker says that it is no manager" refused "not a swarm manager" on 2 weft node ls
step "a second init is refused" refused "already part of a swarm" on 1 weft swarm init
step "a second join is refused" refused "already part of a swarm" on 2 weft swarm join --token SWMTKN-1-x 172.30.0.1:2377
step "the join command is printed" has "swarm join --token SWMTKN-1-" on 1 weft swarm join-token worker
step "info counts the nodes" has 3 on 1 weft info --format '{{.Swarm.Nodes}}'

step "network create" on 1 weft network create -d overlay --attachable my_net
step "network create with subnet and gateway" on 1 weft network create -d overlay --attachable --subnet 10.91.7.0/24 --gateway 10.91.7.1 --label tier=db my_sub
step "network create internal" on 1 weft network create -d overlay --attachable --internal my_int
step "network create without attachable" on 1 weft network create -d overlay my_na
step "the same name is refused" refused "already exists" on 1 weft network create -d overlay my_net
step "an overlapping subnet is refused" refused "overlaps" on 1 weft network create -d overlay --subnet 10.91.0.0/16 my_overlap
step "a worker refuses to create" refused "manager" on 2 weft network create -d overlay my_w
step "networks are encrypted by themselves" equals true on 1 weft network ls --filter name=my_net --format '{{.Encrypted}}'
step "one that is not" on 1 weft network create -d overlay --opt encrypted=false my_clear
step "is told from the others" equals false on 1 weft network ls --filter name=my_clear --format '{{.Encrypted}}'
step "the swarm can have it the other way round" on 1 weft swarm update --default-encryption=false
step "then one says that it is" on 1 weft network create -d overlay --opt encrypted my_enc
step "and is" equals true on 1 weft network ls --filter name=my_enc --format '{{.Encrypted}}'
step "and the next is not" eval "on 1 weft network create -d overlay my_next && equals false on 1 weft network ls --filter name=my_next --format '{{.Encrypted}}' && on 1 weft network rm my_next"
step "and back" on 1 weft swarm update --default-encryption
step "the swarm's keys are told" has "Epoch:" on 1 weft swarm keys
step "what is neither is refused" refused "--opt encrypted=false" on 1 weft network create -d overlay --opt encrypted=perhaps my_perhaps
step "and they go" on 1 weft network rm my_enc my_clear
step "an unknown option is refused, and told which there are" refused "vxlanid_list" on 1 weft network create -d overlay --opt dsr my_dsr
step "an MTU that is too small is refused" refused "between 626 and 65535" on 1 weft network create -d overlay --opt encrypted=false --opt com.docker.network.driver.mtu=600 my_mtu
step "an encrypted one needs more" refused "between 668 and 65535" on 1 weft network create -d overlay --opt com.docker.network.driver.mtu=600 my_mtu
step "a predefined name is refused" refused "predefined host" on 1 weft network create -d overlay host
step "a network with a VNI of its own" on 1 weft network create -d overlay --opt com.docker.network.driver.overlay.vxlanid_list=5000 my_vni
step "has it" equals 5000 on 1 weft network inspect my_vni --format '{{index .Options "com.docker.network.driver.overlay.vxlanid_list"}}'
step "which nothing else can have" refused "5000 is already that of network my_vni" on 1 weft network create --opt com.docker.network.driver.overlay.vxlanid_list=5000 my_vni2
step "a /30 has room for one" on 1 weft network create --attachable --subnet 10.91.9.0/30 my_30
step "and is removed" on 1 weft network rm my_vni my_30
for i in 1 2 3; do step "host $i sees the network" within 5 has my_net on $i weft network ls; done
step "filters" equals my_sub on 1 weft network ls --filter label=tier=db --format '{{.Name}}'
step "inspect shows the subnet" equals "10.91.7.0/24 10.91.7.1" on 1 weft network inspect my_sub --format '{{range .IPAM.Config}}{{.Subnet}} {{.Gateway}}{{end}}'

for i in 1 2 3; do step "run a$i on host $i" on $i weft run -d --name a$i --network my_net -- sleep infinity; done
for i in 1 2 3; do for j in 1 2 3; do [ $i = $j ] || step "a$i pings a$j by name" within 5 pings $i a$i a$j; done; done
step "20 pings without loss" has " 0% packet loss" on 1 weft exec a1 ping -c 20 -i 0.01 -w 10 a3
step "large and fragmented pings" on 1 weft exec a1 ping -c 2 -w 3 -s 8000 a2
step "not attachable is refused" refused "not manually attachable" on 2 weft run --rm --network my_na -- true
step "the network is there before the first instruction" has "eth0" on 2 weft run --rm --network my_net -- cat /proc/net/dev
step "exit codes come through" exits 7 on 2 weft run --rm --network my_net -- sh -c 'exit 7'
step "exit codes of exec" exits 9 on 1 weft exec a1 sh -c 'exit 9'
step "a static address" on 1 weft run -d --name s1 --network my_sub --ip 10.91.7.77 -- sleep infinity
step "is in use then" refused "10.91.7.77" on 1 weft run -d --name s1b --network my_sub --ip 10.91.7.77 -- sleep infinity
step "a neighbour on another host" on 2 weft run -d --name s2 --network my_sub -- sleep infinity
step "pings it by address" within 5 on 2 weft exec s2 ping -c 1 -w 3 10.91.7.77
step "pings it by name" within 5 pings 2 s2 s1
step "names of another network do not resolve" cannot_ping 2 s2 a1
a1=$(on 1 weft inspect a1 --format '{{(index .Networks "my_net").IPAddress}}')
step "addresses of another network are not reached" cannot_ping 2 s2 "$a1"
step "an alias" on 3 weft run -d --name d1 --network my_net --network-alias db -- sleep infinity
step "resolves elsewhere" within 5 pings 1 a1 db
step "PTR answers the name" has a1 on 3 weft exec a3 getent hosts "$a1"
step "outside is reached by masquerading" on 1 weft exec a1 ping -c 1 -w 3 172.30.0.254
step "internal: run" on 1 weft run -d --name i1 --network my_int -- sleep infinity
step "internal: no way out" cannot_ping 1 i1 172.30.0.254
step "hostname" equals web on 1 weft run --rm --hostname web --network my_net -- hostname
step "logs" sh -c "weft lab exec 1 -- weft run -d --name l1 --network my_net -- sh -c 'echo hello; exec sleep infinity' >/dev/null"
step "show what was written" within 5 has hello on 1 weft logs l1
step "ps lists" has a1 on 1 weft ps
step "a network in use is not removed" refused "in use" on 1 weft network rm my_net
step "rm of a sandbox" on 3 weft rm -f d1
step "takes its name away" within 5 cannot_ping 1 a1 db

on 1 weft exec a1 ping -n -i 0.01 -c 300 a2 >"$out/ping" 2>&1 &
ping=$!
step "kill -9 of a daemon" weft lab kill 2
step "the network goes on without it" on 1 weft exec a1 ping -c 3 -i 0.05 -w 3 a2
step "the daemon comes back" weft lab start 2
step "and knows its sandboxes" within 10 has a2 on 2 weft ps
wait $ping
step "no packet was lost meanwhile" has " 0% packet loss" cat "$out/ping"
step "kill -9 of the manager" weft lab kill 1
step "names still resolve" pings 2 a2 a3
step "attach without a manager" on 3 weft run -d --name late --network my_net -- sleep infinity
step "reaches its neighbour on the host" on 3 weft exec late ping -c 1 -w 3 a3
step "the manager comes back" weft lab start 1
step "three nodes are ready again" within 15 ready
step "and the late name is known everywhere" within 10 pings 1 a1 late

for i in 1 2 3; do step "rm everything on host $i" sh -c "weft lab exec $i -- weft ps -aq | xargs -r weft lab exec $i -- weft rm -f"; done
for net in my_net my_sub my_int my_na; do step "network rm $net" within 5 on 1 weft network rm $net; done
step "gone on a worker" within 5 hasnt my_net on 3 weft network ls
answers_no() { echo n | on 1 weft network rm ingress; on 1 weft network ls | grep -w ingress; }
step "the ingress network stays unless its removal is confirmed" answers_no
step "a last network" on 1 weft network create --attachable my_last
step "a sandbox on it" within 5 on 3 weft run -d --name left1 --network my_last -- sleep infinity
step "host 3 leaves, and says what that costs" has "1 sandbox goes on without its networks: left1" on 3 weft swarm leave
step "its sandbox goes on" on 3 weft exec left1 true
step "there is no network for another" refused "weft swarm init" on 3 weft run --rm --network my_last -- true
step "it is removed" on 3 weft rm -f left1
step "host 2 leaves" on 2 weft swarm leave
step "the last manager wants --force" refused "--force" on 1 weft swarm leave
step "and leaves with it" on 1 weft swarm leave --force
# Daemons and supervisors run in the hosts' network namespaces.
spaces=$(for i in 1 2 3; do stat -L -c 'net:[%i]' /run/netns/$lab-$i; done)
processes() { for p in /proc/[0-9]*; do n=$(readlink "$p/ns/net") && grep -qxF "$n" <<<"$spaces" && echo "$p"; done; }
step "lab down" weft lab down
left() {
    ip netns list | grep "$lab" && return 1
    mount | grep "$lab" && return 1
    processes | grep . && return 1
    return 0
}
step "leaves nothing behind" within 5 left

conclude
