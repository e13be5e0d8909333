#!/bin/bash
# Addresses when they are few: containers that restart, come back, take another's place, and share a small subnet over three hosts
# down to its last address. Three hosts of a lab with an engine each.
# WEFT_BIN: directory with weft, weftd, weft-shim. DOCKERD: path of another dockerd than this machine's, with its containerd
# beside it. Needs root, docker, dockerd, busybox and curl. Prints a line a step, ends with `N passed, N failed`.
set -u
PATH="${WEFT_BIN:?directory with the built executables}:$PATH"
export PATH LC_ALL=C
lab=${WEFT_LAB:-weft-lab}
out=$(mktemp -d)
. "$(dirname "$0")/steps.sh"
down() { weft lab down >/dev/null 2>&1; rm -rf "$out"; }
trap down EXIT

docker_on() { local h=$1; shift; timeout 90 docker -H "unix:///run/$lab/host$h/run/docker.sock" "$@"; }
engine_on() { local h=$1; shift; timeout 90 docker -H "unix:///run/$lab/host$h/docker/docker.sock" "$@"; }
address() { engine_on "$1" inspect -f "{{(index .NetworkSettings.Networks \"$3\").IPAddress}}" "$2"; }
running() { engine_on "$1" ps -q --filter "name=$2" | wc -l; }
make() { local h=$1 name=$2 net=$3; shift 3; docker_on "$h" run -d --name "$name" --network "$net" "$@" busybox sleep 86400; }
network() { # name, subnet: made, and known to all three hosts
    local h; docker_on 1 network create -d overlay --attachable --subnet "$2" "$1" || return 1
    for h in 1 2 3; do within 5 docker_on $h network inspect "$1" || return 1; done
}
gone() { docker_on "$1" rm -f "${@:2}"; }
up() { weft lab up --nodes 3 --engine docker ${DOCKERD:+--dockerd "$DOCKERD"} && weft lab image --busybox; }
together() { # command, names…: runs it for each name at once; fails if one does
    local command=$1 pids=() p; shift
    for p in "$@"; do $command "$p" & pids+=($!); done
    for p in "${pids[@]}"; do wait "$p" || return 1; done
}
addresses() { # network, host:name…: sorted; fails where one is empty or there twice
    local net=$1 c all=(); shift
    for c in "$@"; do all+=("$(address "${c%:*}" "${c#*:}" "$net")"); done
    printf '%s\n' "${all[@]}" | sort
    [ "$(printf '%s\n' "${all[@]}" | sort -u | grep -c .)" = $# ]
}
reaches() { within 5 engine_on "$1" exec "$2" ping -c 1 -W 5 "$3"; }

weft lab down >/dev/null 2>&1
step "a lab with engines" up
echo "time engine $(engine_on 1 version -f '{{.Server.Version}}')"

# A restart of the engine, 8 of 13 addresses.
step "a /28" network few 10.91.0.0/28
few=(f1 f2 f3 f4 f5 f6 f7 f8)
new_few() { make 1 "$1" few --restart always; }
step "8 containers that restart" together new_few "${few[@]}"
all_run() { [ "$(running 1 '^f[1-8]$')" = 8 ]; }
step "the engine is restarted" eval "weft lab stop 1 --engine && weft lab start 1 --engine"
step "all 8 run again" within 60 all_run
step "with an address each" addresses few "${few[@]/#/1:}"
step "the engine is killed" eval "weft lab kill 1 --engine && weft lab start 1 --engine"
step "all 8 run again" within 60 all_run
step "with an address each" addresses few "${few[@]/#/1:}"
step "they reach each other" reaches 1 f1 f8
step "8 go" gone 1 "${few[@]}"
step "and 8 are made anew at once" together new_few "${few[@]}"
step "with an address each" addresses few "${few[@]/#/1:}"
step "8 go" gone 1 "${few[@]}"

# A full /29.
step "a /29" network full 10.91.1.0/29
for n in 1 2 3 4 5; do step "container $n of 5" make 1 u$n full --restart always; done
before=$(address 1 u3 full)
step "a sixth is refused, and told why" refused "all addresses of 10.91.1.0/29 are in use" make 1 u6 full
step "it is gone" gone 1 u6
step "restart" docker_on 1 restart -t 0 u3
step "its address is its own again" equals "$before" address 1 u3 full
step "stop" docker_on 1 stop -t 0 u3
step "start" docker_on 1 start u3
step "its address is its own again" equals "$before" address 1 u3 full
pid() { engine_on 1 inspect -f '{{.State.Pid}}' "$1"; }
died=$(pid u3)
step "one dies" kill -9 "$died"
back() { local now; now=$(pid u3) && [ "$now" != 0 ] && [ "$now" != "$died" ] && [ -n "$(address 1 u3 full)" ]; }
step "and is restarted" within 20 back
step "its address is its own again" equals "$before" address 1 u3 full
step "one goes" gone 1 u5
step "another takes its place at once" make 1 u7 full
step "another host has none, and is told so" refused "all addresses of 10.91.1.0/29 are in use" make 2 v1 full
step "it is gone" gone 2 v1
step "one goes on host 1" gone 1 u7
step "another takes its place on host 2" make 2 v2 full
step "and reaches the others" reaches 2 v2 u1
step "the address of one that runs is refused, and named" refused "already in use by endpoint u1 on node" make 2 v3 full --ip "$(address 1 u1 full)"
step "they go" eval "gone 1 u1 u2 u3 u4 && gone 2 v2 v3"

# Three hosts, one small subnet.
step "a /28" network shared 10.91.2.0/28
for n in 1 2 3 4 5 6 7 8 9; do step "container $n on host 1" make 1 s$n shared; done
for n in 10 11; do step "container $n on host 2" make 2 s$n shared; done
step "container 12 on host 3" make 3 s12 shared
step "the last address on host 2" make 2 s13 shared
step "no more" refused "all addresses of 10.91.2.0/28 are in use" make 3 s14 shared
step "it is gone" gone 3 s14
step "no address twice" addresses shared 1:s{1..9} 2:s10 2:s11 3:s12 2:s13
step "six go on host 1" gone 1 s1 s2 s3 s4 s5 s6
took=$(milliseconds)
for n in 21 22 23 24 25 26; do step "container $n on host 3" make 3 s$n shared; done
echo "time six asked back with docker run: $(($(milliseconds) - took)) ms"
step "no more" refused "all addresses of 10.91.2.0/28 are in use" make 2 s27 shared
step "no address twice" addresses shared 1:s{7..9} 2:s10 2:s11 3:s12 2:s13 3:s2{1..6}
step "host 1 reaches host 3" reaches 1 s7 s26
step "they go" eval "gone 1 s7 s8 s9; gone 2 s10 s11 s13 s27; gone 3 s12 s21 s22 s23 s24 s25 s26"

# By name.
step "a /24" network named 10.91.3.0/24
step "--ip on host 1" make 1 n1 named --ip 10.91.3.7
step "is refused on host 2 while it runs" refused "already in use by endpoint n1 on node" make 2 n2 named --ip 10.91.3.7
step "they go" eval "gone 1 n1; gone 2 n2"
step "and at once it is host 2's" make 2 n2 named --ip 10.91.3.7
step "with that address" equals 10.91.3.7 address 2 n2 named
step "one without a name on host 3" make 3 n3 named
inside() { echo "$1" | awk -F. -v OFS=. '{ $4 = $4 + 2; print }'; }
near=$(inside "$(address 3 n3 named)")
step "a free address within host 3's block, on host 1" make 1 n4 named --ip "$near"
step "it reaches host 3" reaches 1 n4 n3
step "weftd of host 3 is killed" weft lab kill 3
down_named() { refused "which is down" docker_on 1 run --rm --network named --ip "$(inside "$near")" busybox true; }
step "what a node that is down leases is refused, and it is named" within 60 down_named
step "weftd of host 3 starts" weft lab start 3
step "and it can be had" within 20 docker_on 1 run --rm --network named --ip "$(inside "$near")" busybox true

# What comes back has its own address, whatever came meanwhile.
step "a /27" network back 10.91.6.0/27
for n in 1 2 3; do step "container b$n" make 1 b$n back; done
own=("$(address 1 b1 back)" "$(address 1 b2 back)" "$(address 1 b3 back)")
step "they stop" docker_on 1 stop -t 0 b1 b2 b3
step "a new one" make 1 b4 back
step "they start in another order" docker_on 1 start b3 b1 b2
backs() { echo "$(address 1 b1 back) $(address 1 b2 back) $(address 1 b3 back)"; }
step "each with its own address" equals "${own[*]}" backs
step "restart" docker_on 1 restart -t 0 b2
step "with its own address" equals "${own[*]}" backs

# An automatic MAC address that is chosen by another. Addresses come in order.
step "a /24" network macs 10.91.4.0/24
step "a container" make 1 m1 macs
next=$(address 1 m1 macs | awk -F. '{ printf "02:42:%02x:%02x:%02x:%02x", $1, $2, $3, $4 + 1 }')
chooser() { # whatever version of the API the engine has
    curl -sS --fail-with-body --unix-socket "/run/$lab/host1/run/docker.sock" -H 'Content-Type: application/json' \
        "http://weft/containers/create?name=m2" -d '{"Image":"busybox","Cmd":["sleep","86400"],"MacAddress":"'"$next"'",
            "HostConfig":{"NetworkMode":"macs"},"NetworkingConfig":{"EndpointsConfig":{"macs":{"MacAddress":"'"$next"'",
            "IPAMConfig":{"IPv4Address":"10.91.4.9"}}}}}' && docker_on 1 start m2
}
step "one that chooses the next one's MAC address" chooser
step "it has it" has "$next" engine_on 1 exec m2 ip link
step "the next one takes another by itself" make 1 m3 macs
step "it has the address that MAC address is derived from" equals "$next" \
    eval "address 1 m3 macs | awk -F. '{ printf \"02:42:%02x:%02x:%02x:%02x\", \$1, \$2, \$3, \$4 }'"
step "and not the MAC address" hasnt "$next" engine_on 1 exec m3 ip link
step "it reaches the one that has it" reaches 1 m3 m2

# The manager's own routes.
step "weftd of host 1 is restarted" eval "weft lab stop 1 && weft lab start 1"
step "a route" nsenter --net=/run/netns/$lab-1 ip route add 10.92.0.0/16 via 172.30.0.2
step "a subnet that overlaps it is refused at once" refused "overlaps with the route 10.92.0.0/16" network over 10.92.3.0/24

conclude
