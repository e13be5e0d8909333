#!/bin/bash
# Names in an engine's containers: held on several hosts; in containers that were not made for one of the swarm's networks, or that
# have name servers of their own; without weftd. Three hosts of a lab with an engine each, and a name server on the first one.
# WEFT_BIN: directory with weft, weftd, weft-shim. DOCKERD: path of another dockerd than this machine's, with its containerd
# beside it. Needs root, docker, dockerd, busybox and python3. Prints a line a step, ends with `N passed, N failed`.
set -u
PATH="${WEFT_BIN:?directory with the built executables}:$PATH"
export PATH LC_ALL=C
lab=${WEFT_LAB:-weft-lab}
out=$(mktemp -d)
. "$(dirname "$0")/steps.sh"
down() { [ -z "${server:-}" ] || kill "$server" 2>/dev/null; weft lab down >/dev/null 2>&1; rm -rf "$out"; }
trap down EXIT

docker_on() { local h=$1; shift; timeout 60 docker -H "unix:///run/$lab/host$h/run/docker.sock" "$@"; }
engine_on() { local h=$1; shift; timeout 60 docker -H "unix:///run/$lab/host$h/docker/docker.sock" "$@"; }
inside() { docker_on "$1" exec "$2" "${@:3}"; }
address() { docker_on "$1" inspect -f "{{(index .NetworkSettings.Networks \"$3\").IPAddress}}" "$2"; }
# host, container, name, address: it resolves in the container
resolves() { has "$4" timeout 20 docker -H "unix:///run/$lab/host$1/docker/docker.sock" exec "$2" nslookup "$3"; }
up() { weft lab up --nodes 3 --engine docker ${DOCKERD:+--dockerd "$DOCKERD"} && weft lab image --busybox; }
sleeper() { local h=$1 name=$2; shift 2; docker_on "$h" run -d --name "$name" "$@" busybox sleep 86400; }
weft lab down >/dev/null 2>&1
step "a lab with engines" up
echo "time engine $(engine_on 1 version -f '{{.Server.Version}}')"
for h in 1 2 3; do
    step "the engine's firewall lets sandboxes out on host $h" within 10 has "-i wv+ -j WEFT-FORWARD" nsenter --net=/run/netns/$lab-$h iptables -S DOCKER-USER
done
step "network" docker_on 1 network create -d overlay --attachable net
step "internal network" docker_on 1 network create -d overlay --attachable --internal shut
step "bridge" docker_on 1 network create town
for h in 2 3; do step "networks are known on host $h" within 5 docker_on $h network inspect net shut; done
step "a container far away" sleeper 2 far --network net --network-alias db
step "and on the internal network" sleeper 2 deep --network shut
far=$(address 2 far net) deep=$(address 2 deep shut)
nsenter --net=/run/netns/$lab-1 python3 - <<'PYTHON' &
import socket
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("172.30.0.1", 53))
while True:
    query, client = server.recvfrom(4096)
    end = query.index(b"\0", 12) + 5
    known, isA = query[12:end].lower().startswith(b"\4corp\7example\0"), query[end - 4:end - 2] == b"\0\1"
    answer = b"\xc0\x0c\0\1\0\1\0\0\0\1\0\4\xc0\0\2\7" if known and isA else b""
    server.sendto(query[:2] + (b"\x85\x80" if known else b"\x85\x83") + b"\0\1" + bytes([0, len(answer) > 0]) + bytes(4) + query[12:end] + answer, client)
PYTHON
server=$!

# One name on several hosts: all holders, from everywhere, and nothing of the engines' own knowledge of it.
cat >"$out/ask" <<'PYTHON'
import socket, struct, sys
name, kind = sys.argv[1], {"A": 1, "PTR": 12}[sys.argv[2]]
if kind == 12: name = ".".join(reversed(name.split("."))) + ".in-addr.arpa"
query = b"\x12\x34\1\0\0\1\0\0\0\0\0\0" + b"".join(bytes([len(l)]) + l.encode() for l in name.split(".")) + b"\0" + struct.pack(">HH", kind, 1)
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(5); s.connect(("127.0.0.11" if len(sys.argv) < 4 else sys.argv[3], 53)); s.send(query)
answer, records = s.recv(4096), []
def text(at):
    labels = []
    while answer[at]:
        if answer[at] >= 0xc0: at = struct.unpack(">H", answer[at:at + 2])[0] & 0x3fff; continue
        labels.append(answer[at + 1:at + 1 + answer[at]].decode()); at += 1 + answer[at]
    return ".".join(labels)
def skip(at):
    while answer[at] and answer[at] < 0xc0: at += 1 + answer[at]
    return at + (1 if not answer[at] else 2)
at = skip(12) + 4
for _ in range(struct.unpack(">H", answer[6:8])[0]):
    at = skip(at); kind, _, ttl, size = struct.unpack(">HHIH", answer[at:at + 10]); at += 10
    records.append(f"{socket.inet_ntoa(answer[at:at + 4]) if kind == 1 else text(at)}/{ttl}"); at += size
print(*sorted(records))
PYTHON
weft_on_3() { timeout 30 weft -H "unix:///run/$lab/host3/run/docker.sock" "$@"; }
pid() { engine_on "$1" inspect -f '{{.State.Pid}}' "$2"; }
ask() { nsenter -t "$(pid "$1" "$2")" -n python3 "$out/ask" "$3" "${4:-A}"; } # host, container, name: "address/TTL …" in order
step "a plain container on host 2" sleeper 2 late
for h in 1 2 3; do
    step "web on host $h" sleeper $h w$h --network net --network-alias web --hostname box
    step "a name that each host has once, on host $h" sleeper $h same --network net
done
step "one whose alias is another's name" sleeper 3 other --network net --network-alias w1
step "one with servers of its own" sleeper 1 served --network net --dns 172.30.0.1 --network-alias web
step "one that joins by another alias" docker_on 2 network connect --alias web net late
step "a sandbox" weft_on_3 run -d --name boxed --network net --network-alias web -- sleep 86400
all() { # addresses, with the lifetime that weftd gives: as ask prints them
    printf '%s/1\n' "$@" | sort | xargs
}
everywhere() { # what ask prints, name, [kind]: in every kind of container
    local c
    for c in "1 w1" "2 w2" "3 w3" "1 served" "2 late"; do
        equals "$1" ask ${c% *} ${c#* } "$2" "${3:-A}" || { echo "in $c"; return 1; }
    done
}
w1=$(address 1 w1 net) w2=$(address 2 w2 net) w3=$(address 3 w3 net) sandbox=$(weft_on_3 inspect -f '{{.Networks.net.IPAddress}}' boxed)
web=$(all $w1 $w2 $w3 "$(address 1 served net)" "$(address 2 late net)" "$sandbox")
step "all that are called web, from everywhere" within 10 everywhere "$web" web
step "in a sandbox as well" equals "$web" nsenter -t "$(weft_on_3 inspect -f '{{.Pid}}' boxed)" -n python3 "$out/ask" web A 169.254.77.53
step "by the network's name, too" everywhere "$web" web.net
step "all that have the host name" everywhere "$(all $w1 $w2 $w3)" box
step "all that have the same name" everywhere "$(all "$(address 1 same net)" "$(address 2 same net)" "$(address 3 same net)")" same
step "a name and another's alias" everywhere "$(all $w1 "$(address 3 other net)")" w1
step "reverse" eval "everywhere w1.net/1 $w1 PTR && everywhere w2.net/1 $w2 PTR && everywhere late.net/1 $(address 2 late net) PTR"
first() { # a container's first process asks
    local got; got=$(docker_on "$1" run --rm --network net busybox nslookup web | sed -n 's/^Address: \(10[0-9.]*\)$/\1/p' | sort | xargs)
    [ "$got" = "$(all $w1 $w2 $w3 "$(address 1 served net)" "$(address 2 late net)" "$sandbox" | sed 's,/1,,g')" ] || { echo "got $got"; return 1; }
}
first_everywhere() { local h; for h in 1 2 3 1 2 3 1 2 3; do first $h || return 1; done; }
step "from the first moment, too" first_everywhere
same=$(address 2 same net)
step "weftd is killed on host 2" weft lab kill 2
step "what the engine knows resolves" eval "resolves 2 w2 same $same && resolves 2 w2 web $w2 && resolves 2 late w2 $w2"
step "weftd starts" weft lab start 2
step "and all names are there" within 10 everywhere "$web" web
step "one that leaves the network" docker_on 2 network disconnect net late
without() { not nsenter -t "$(pid 2 late)" -n nft list table ip weft && equals "$(all $w1 $w2 $w3 "$(address 1 served net)" "$sandbox")" ask 1 w1 web; }
step "has nothing of Weft, and is in no answer" within 5 without
step "they go" eval "for h in 1 2 3; do docker_on \$h rm -f w\$h same; done; docker_on 3 rm -f other && docker_on 1 rm -f served && docker_on 2 rm -f late && weft_on_3 rm -f boxed"

# With servers of its own.
step "--dns: the container's own server answers, from the first moment" has 192.0.2.7 docker_on 1 run --rm --dns 172.30.0.1 --network net busybox nslookup corp.example
step "the swarm's names as well" has "$far" docker_on 1 run --rm --dns 172.30.0.1 --network net busybox nslookup far
step "in a container that stays" sleeper 1 own --dns 172.30.0.1 --network net
step "its server answers" resolves 1 own corp.example 192.0.2.7
step "and the swarm" resolves 1 own db "$far"
step "inspect shows what was given" equals '["172.30.0.1"]' docker_on 1 inspect -f '{{json .HostConfig.Dns}}' own
step "nothing where nothing was given" equals '[]' docker_on 2 inspect -f '{{json .HostConfig.Dns}}' far

# Made without the swarm's networks.
step "a container on the default bridge" sleeper 1 plain --dns 172.30.0.1
step "one on a bridge of one's own" sleeper 1 townsman --dns 172.30.0.1 --network town
step "its neighbour" sleeper 1 neighbour --network town
untouched() { # container: as the engine alone would have it
    docker_on 1 inspect "$1" >"$out/weft" && engine_on 1 inspect "$1" >"$out/engine" && cmp "$out/weft" "$out/engine" &&
        hasnt 169.254 inside 1 "$1" cat /etc/resolv.conf &&
        not nsenter -t "$(docker_on 1 inspect -f '{{.State.Pid}}' "$1")" -n nft list table ip weft
}
for c in plain townsman neighbour; do step "$c has nothing of Weft" untouched $c; done
names() { # container: names of the swarm, of the container's own server, and of the bridge
    within 10 resolves 1 "$1" far "$far" && resolves 1 "$1" db "$far" && resolves 1 "$1" far.net "$far" &&
        resolves 1 "$1" corp.example 192.0.2.7
}
step "connected, the first has all names" eval "docker_on 1 network connect net plain && names plain"
step "reverse, too" has "far.net" inside 1 plain nslookup "$far"
step "the second as well" eval "docker_on 1 network connect --alias mayor net townsman && names townsman"
near=$(address 1 neighbour town)
step "and its neighbours" resolves 1 townsman neighbour "$near"
step "the other host finds it" within 5 resolves 2 far mayor "$(address 1 townsman net)"
step "on an internal network besides" eval "docker_on 1 network connect shut townsman && names townsman && within 5 resolves 1 townsman deep $deep"
step "after a restart" eval "docker_on 1 restart -t 0 townsman && names townsman && resolves 1 townsman neighbour $near"

# Without weftd.
step "weftd stops" weft lab stop 1
step "what is not the swarm's resolves" eval "resolves 1 plain corp.example 192.0.2.7 && resolves 1 townsman neighbour $near && resolves 1 townsman corp.example 192.0.2.7"
step "weftd starts" weft lab start 1
step "and the swarm's names are back" eval "names plain && names townsman"
step "weftd is killed" weft lab kill 1
step "a container that has nothing of Weft resolves" resolves 1 neighbour townsman "$(engine_on 1 inspect -f '{{.NetworkSettings.Networks.town.IPAddress}}' townsman)"
step "weftd starts" weft lab start 1
step "and the swarm's names are back" eval "names plain && names townsman"

lost() { ! resolves 1 townsman far "$far" >/dev/null; }
step "disconnected" eval "docker_on 1 network disconnect shut townsman && docker_on 1 network disconnect net townsman"
step "the swarm's names are gone" within 5 lost
step "the others are not" eval "resolves 1 townsman corp.example 192.0.2.7 && resolves 1 townsman neighbour $near"
step "nothing of Weft is left in it" within 5 untouched townsman
step "containers go" docker_on 1 rm -f plain townsman neighbour own

# Names that are given at odd times, and some that are none.
odd=(--network net --name odd)
step "a container that is only created" docker_on 2 create "${odd[@]}" --network-alias aaa busybox sleep 86400
step "its network again, with another alias" docker_on 2 network connect --alias bbb net odd
step "it starts" docker_on 2 start odd
step "the alias that was given last resolves" within 5 resolves 2 far bbb "$(address 2 odd net)"
step "on a network that it has, a running one is refused" refused "already exists" docker_on 2 network connect --alias ccc net odd
step "an alias that is no name is refused, and named" refused 'invalid alias "bad alias"' docker_on 1 run -d --network net --network-alias "bad alias" busybox true
long=$(printf 'n%.0s' $(seq 300))
step "as is one of 300 characters" refused "invalid alias \"$long\"" docker_on 2 network connect --alias "$long" shut odd
step "behind weftd's back the engine takes them" engine_on 1 run -d --name mixed --network net --dns 169.254.77.53 --network-alias "bad alias" --network-alias "$long" --network-alias fine busybox sleep 86400
mixed=$(address 1 mixed net)
step "the others of its names resolve everywhere" eval "within 5 resolves 2 far mixed $mixed && resolves 2 far fine $mixed"
step "and the log says which does not" has "name=bad alias" cat "/run/$lab/host1/weftd.log"

# Which network is meant.
id=$(docker_on 1 network inspect -f '{{.Id}}' net)
digit=${id:0:1}
nets() { docker_on 1 inspect -f '{{range $name, $n := .NetworkSettings.Networks}}{{$name}} {{end}}' "$1"; }
step "a bridge that is called as the swarm's id begins" docker_on 1 network create "$digit"
step "run on it" sleeper 1 local --network "$digit"
step "it is there" equals "$digit " nets local
step "connect to it" docker_on 1 network connect "$digit" mixed
step "and from it" eval "docker_on 1 network disconnect $digit mixed && equals 'net ' nets mixed"
step "a sandbox is not put on another in its place" refused "container engine's" weft -H "unix:///run/$lab/host1/run/docker.sock" run --network "$digit" -- true
step "the beginning of the swarm's id still is the swarm's" docker_on 1 run --rm --network "${id:0:8}" busybox true
step "ps by the beginning of its id" equals mixed docker_on 1 ps --filter "network=${id:0:8}" --format '{{.Names}}'
step "rm takes the bridge" eval "docker_on 1 rm -f local && docker_on 1 network rm $digit && docker_on 1 network inspect net"
step "names that differ by case only are one" refused "already exists" docker_on 1 network create -d overlay NET
step "of whichever kind" refused "already exists" docker_on 2 network create Net
step "as are sandboxes'" eval "weft_on_3 run -d --name Box --network net -- sleep 86400 && refused 'already in use' weft_on_3 run -d --name box --network net -- sleep 86400 && weft_on_3 rm -f Box"
step "filters are patterns for networks of every kind" equals "bridge net town" eval "docker_on 1 network ls --filter 'name=^(n.t|town|bridge)$' --format '{{.Name}}' | sort | xargs"

# A network that is made again.
step "a second network" docker_on 1 network create -d overlay --attachable again
step "a container that is only created, on another host" within 5 docker_on 2 create --name waiting --network again busybox sleep 86400
step "and one that ran" eval "sleeper 2 ran --network again --network-alias runner && docker_on 2 stop -t 0 ran"
step "the network goes" within 10 docker_on 1 network rm again
absent() { not docker_on 2 network inspect again; }
step "neither starts, and the network is named" eval "within 5 absent && refused 'network again not found' docker_on 2 start waiting && refused 'network again not found' docker_on 2 start ran"
step "one of the same name comes" docker_on 1 network create -d overlay --attachable again
step "both start" eval "within 5 docker_on 2 start waiting && docker_on 2 start ran"
step "on the new one" eval "equals \"\$(docker_on 1 network inspect -f '{{.Id}}' again)\" docker_on 2 inspect -f '{{.NetworkSettings.Networks.again.NetworkID}}' waiting && within 5 resolves 2 waiting runner \$(address 2 ran again)"
step "containers go" eval "docker_on 2 rm -f waiting ran odd && docker_on 1 rm -f mixed"
conclude
