#!/bin/bash
# IPv6 beside IPv4 on two lab hosts: subnets given and automatic, addresses chosen and automatic, names, isolation, and daemons
# that die; with docker too, where a container engine is installed.
# WEFT_BIN: directory with weft, weftd, weft-shim. Prints a line a step, ends with `N passed, N failed`.
set -u
PATH="${WEFT_BIN:?directory with the built executables}:$PATH"
export PATH LC_ALL=C
out=$(mktemp -d)
trap 'weft lab down >/dev/null 2>&1; rm -rf "$out"' EXIT

. "$(dirname "$0")/steps.sh"
on() { local host=$1; shift; weft lab exec "$host" -- "$@"; }
ready() { [ "$(on 1 weft node ls --format '{{.Status}}' | grep -c Ready)" = 2 ]; }
pings() { on "$1" weft exec "$2" ping -6 -c 1 -w 3 "$3"; }
cannot_ping() { ! on "$1" weft exec "$2" ping -6 -c 1 -w 1 "$3"; }
address() { on "$1" weft inspect "$2" --format "{{(index .Networks \"$3\").GlobalIPv6Address}}"; }
unique_local() { # an address of fd00::/8 outside what people choose, under a gateway ::1
    local subnet; subnet=$(on 1 weft network inspect six --format '{{(index .IPAM.Config 1).Subnet}}')
    has "${subnet%::/64}::1" on 1 weft network inspect six && has "${subnet%::/64}" address 1 a1 six
}

engine=; command -v dockerd >/dev/null && command -v docker >/dev/null && engine="--engine docker"
weft lab down >/dev/null 2>&1
step "lab up with two hosts" weft lab up --nodes 2 $engine
step "two nodes are ready" within 20 ready

step "network create --ipv6" on 1 weft network create --ipv6 --attachable six
step "network create with two subnets" on 1 weft network create --attachable --subnet 10.91.7.0/24 --subnet fd00:91:7::/64 --gateway fd00:91:7::fe --aux-address printer=fd00:91:7::5 sub6
step "network create without IPv6" on 1 weft network create --attachable plain
step "inspect shows both subnets" equals "true 10.91.7.0/24 10.91.7.1 fd00:91:7::/64 fd00:91:7::fe" on 1 weft network inspect sub6 --format '{{.EnableIPv6}}{{range .IPAM.Config}} {{.Subnet}} {{.Gateway}}{{end}}'
step "and that there is but one" equals "false" on 1 weft network inspect plain --format '{{.EnableIPv6}}'
step "an overlapping subnet is refused" refused "overlaps with network sub6" on 1 weft network create --subnet fd00:91:7::/56 again
step "link-local space is refused" refused "link-local" on 1 weft network create --subnet fe80:1::/64 again
step "a subnet that is too small is refused" refused "between /48 and /120" on 1 weft network create --subnet fd00:93::/126 again

step "a1 on host 1" on 1 weft run -d --name a1 --network six -- sleep infinity
step "a2 on host 2" on 2 weft run -d --name a2 --network six -- sleep infinity
step "it has an address of the swarm's own" unique_local
step "names lead to IPv6" within 5 pings 1 a1 a2
step "both ways" within 5 pings 2 a2 a1
step "and to IPv4 as before" on 1 weft exec a1 ping -4 -c 1 -w 3 a2
step "20 pings without loss" has " 0% packet loss" on 1 weft exec a1 ping -6 -c 20 -i 0.01 -w 10 a2
step "large pings" on 1 weft exec a1 ping -6 -c 2 -w 3 -s 8000 a2
a2=$(address 2 a2 six)
step "PTR answers the name" has a2.six on 1 weft exec a1 getent hosts "$a2"

step "a chosen address" on 2 weft run -d --name s2 --network sub6 --ip6 fd00:91:7::77 -- sleep infinity
step "is in use then" refused "in use by endpoint s2" on 1 weft run -d --name s1b --network sub6 --ip6 fd00:91:7::77 -- sleep infinity
step "the gateway's is refused" refused "gateway" on 1 weft run -d --name s1b --network sub6 --ip6 fd00:91:7::fe -- sleep infinity
step "the auxiliary one is refused" refused "printer" on 1 weft run -d --name s1b --network sub6 --ip6 fd00:91:7::5 -- sleep infinity
step "the routers' anycast address is refused" refused "no host address" on 1 weft run -d --name s1b --network sub6 --ip6 fd00:91:7:: -- sleep infinity
step "--ip6 is refused without IPv6" refused "has no IPv6" on 1 weft run -d --name s1b --network plain --ip6 fd00:91:7::78 -- sleep infinity
step "a neighbour" on 1 weft run -d --name s1 --network sub6 -- sleep infinity
step "reaches it" within 5 pings 1 s1 fd00:91:7::77
step "another network does not" cannot_ping 1 a1 fd00:91:7::77
step "nor resolves it" cannot_ping 1 a1 s2
step "a sandbox without IPv6" on 2 weft run -d --name p2 --network plain -- sleep infinity
step "has none" hasnt inet6 on 2 weft exec p2 ip address show eth0
step "and no AAAA" not on 2 weft exec p2 getent ahostsv6 p2
step "connect with a chosen address" on 1 weft network connect --ip6 fd00:91:7::55 sub6 a1
step "reaches both networks" within 5 pings 1 a1 s2

step "kill -9 of the manager" weft lab kill 1
step "the network goes on without it" pings 2 a2 a1
step "attach without a manager" on 2 weft run -d --name late --network six -- sleep infinity
step "reaches its neighbour on the host" within 5 pings 2 late a2
step "the manager comes back" weft lab start 1
step "two nodes are ready again" within 15 ready
step "and the late name is known" within 10 pings 1 a1 late
step "everybody has kept the address" equals "$a2" address 2 a2 six

if [ -n "$engine" ]; then
    container() { on "$1" docker exec "$2" ping -6 -c 1 -w 3 "$3"; }
    step "an image" weft lab image --busybox
    step "docker network create --ipv6" on 1 docker network create -d overlay --attachable --ipv6 --subnet fd00:94::/64 docked
    step "docker run" on 1 docker run -d --name c1 --network docked alpine sleep 86400
    step "known on host 2" within 5 has docked on 2 docker network ls
    step "docker run --ip6" on 2 docker run -d --name c2 --network docked --ip6 fd00:94::77 alpine sleep 86400
    step "docker inspect shows it" equals "fd00:94::77/64" on 2 docker inspect c2 --format '{{range .NetworkSettings.Networks}}{{.GlobalIPv6Address}}/{{.GlobalIPv6PrefixLen}}{{end}}'
    step "containers reach each other by name" within 10 container 1 c1 c2
    step "an address in use is refused" refused "in use" on 1 docker run -d --name c3 --network docked --ip6 fd00:94::77 alpine true
    step "docker network connect --ip6" on 1 docker network connect --ip6 fd00:91:7::66 sub6 c1
    step "reaches a sandbox" within 10 container 1 c1 s2
    step "docker network inspect shows it" has "fd00:91:7::66/64" on 1 docker network inspect sub6
    for n in 1 2; do step "docker rm on host $n" sh -c "weft lab exec $n -- docker ps -aq | xargs -r weft lab exec $n -- docker rm -f"; done
    step "docker network rm" within 5 on 1 docker network rm docked
fi

for i in 1 2; do step "rm everything on host $i" sh -c "weft lab exec $i -- weft ps -aq | xargs -r weft lab exec $i -- weft rm -f"; done
for net in six sub6 plain; do step "network rm $net" within 5 on 1 weft network rm $net; done
step "lab down" weft lab down

conclude
