#!/bin/bash
# Network namespaces that others made: the CNI plugin called as a runtime calls it, on two hosts that are namespaces, and
# podman over it where podman is installed. Needs root; makes and removes everything it uses.
# WEFT_BIN: directory with weft, weftd, weft-shim, weft-cni. Prints a line a step, ends with `N passed, N failed`.
set -u
bin=$(cd "${WEFT_BIN:?directory with the built executables}" && pwd -P)
export LC_ALL=C
id=cni$$
work=$(mktemp -d)
out=$work/out; mkdir "$out"
declare -A daemon=()
started=()

host() { echo "$id-h$1"; }
socket() { echo "unix://$work/$1/run/docker.sock"; }
on() { local host=$1; shift; nsenter --net="/run/netns/$(host "$host")" "$@"; }
weft() { local host=$1; shift; on "$host" "$bin/weft" --host "$(socket "$host")" "$@"; }
start() {
    local n=$1
    nsenter --net="/run/netns/$(host "$n")" unshare -u sh -c "hostname $id-h$n; exec \"\$@\"" sh \
        "$bin/weftd" --run-dir "$work/$n/run" --state-dir "$work/$n/state" --bpf-dir "/sys/fs/bpf/$id-$n" \
        --plugin-socket "" --engine-socket "$work/$n/none" </dev/null >>"$work/$n/log" 2>&1 &
    daemon[$n]=$!; started+=($!)
    within 10 weft "$n" version
}
finish() {
    [ -n "${podman_roots:-}" ] && for n in 1 2; do podman_on $n rm -fa -t 0; podman_on $n system reset -f; done
    weft 2 rm -f w1
    for pid in "${started[@]}"; do kill -9 "$pid"; done
    wait
    for n in 1 2; do end_tunnels "$(host $n)"; ip netns del "$(host $n)"; rm -rf "/sys/fs/bpf/$id-$n"; done
    ip netns del "$id-u"; rm -f "/run/netns/$id-file"; for n in a b c d e; do ip netns del "$id-$n"; done
    rm -rf "$work"
} >/dev/null 2>&1
trap finish EXIT

. "$(dirname "$0")/steps.sh"

# What a runtime does: host, command, container, namespace ("" for none), interface; the configuration on standard input.
# ARGS: CNI_ARGS. The answer is in $out/answer as well.
cni() {
    CNI_COMMAND=$2 CNI_CONTAINERID=$3 CNI_NETNS=${4:+/run/netns/$id-$4} CNI_IFNAME=$5 CNI_ARGS=${ARGS:-} CNI_PATH=$bin \
        WEFT_HOST=$(socket "$1") "$bin/weft-cni" >"$out/answer"
    local code=$?
    cat "$out/answer"
    return $code
}
configuration() { # version, further members
    echo "{\"cniVersion\":\"$1\",\"name\":\"net1\",\"type\":\"weft\"${2:+,$2}}"
}
call() { local version=$1 members=$2; shift 2; configuration "$version" "$members" | cni "$@"; }
answer() { # a Python expression over the answer r
    python3 -c 'import json,sys; r=json.load(open(sys.argv[1])); assert eval(sys.argv[2]), json.dumps(r)' "$out/answer" "$1"
}
answers() { # Python expression, arguments of `call`: it succeeds, and the expression holds
    local expression=$1; shift; call "$@" && answer "$expression"
}
refuses() { # code, text, arguments of `call`: it fails with that number and words
    local code=$1 text=$2; shift 2
    call "$@" && { echo "was not refused"; return 1; }
    answer "r['code'] == $code and '''$text''' in r['msg'] + r.get('details', '') and r['cniVersion']"
}
inside() { local ns=$1; shift; nsenter --net="/run/netns/$id-$ns" "$@"; }
address() { ip -n "$id-$1" -4 -o addr show dev "$2" | awk '{print $4}' | cut -d/ -f1; }
pings() { inside "$1" ping -c 1 -w 3 "$2"; }
asks() { # namespace, name, wanted address: by the resolver itself, as ip netns has no resolv.conf of its own here
    inside "$1" python3 - "$2" "$3" <<'P'
import socket, struct, sys
name, want = sys.argv[1:]
question = b"".join(bytes([len(p)]) + p.encode() for p in name.split(".")) + b"\0" + struct.pack(">HH", 1, 1)
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(5)
s.sendto(struct.pack(">HHHHHH", 7, 0x100, 1, 0, 0, 0) + question, ("169.254.77.53", 53))
reply = s.recv(512)
count = struct.unpack(">H", reply[6:8])[0]
assert count >= 1, "no answer for " + name
got = socket.inet_ntoa(reply[-4:])
assert got == want, got
P
}
attachments() { on "$1" curl -s --unix-socket "$work/$1/run/docker.sock" http://weftd/weft/v1/attachments; }

# Hosts: two namespaces behind a bridge.
ip netns add "$id-u" && ip -n "$id-u" link add br0 type bridge && ip -n "$id-u" link set br0 up
ip -n "$id-u" addr add 172.29.8.254/24 dev br0
for n in 1 2; do
    mkdir -p "$work/$n"
    ip netns add "$(host $n)"
    ip -n "$(host $n)" link set lo up
    ip -n "$id-u" link add "v$n" type veth peer name eth0 netns "$(host $n)"
    ip -n "$id-u" link set "v$n" up master br0
    ip -n "$(host $n)" addr add "172.29.8.$n/24" dev eth0
    ip -n "$(host $n)" link set eth0 up
    ip -n "$(host $n)" route add default via 172.29.8.254
done
for n in a b c d e; do ip netns add "$id-$n"; done
touch "/run/netns/$id-file"

step "two daemons" start 1
step "and the second" start 2
step "outside a swarm nothing is attached" refuses 11 "not part of a swarm" 1.0.0 "" 1 ADD x1 a eth0
weft 1 swarm init --advertise-addr 172.29.8.1 >/dev/null
token=$(weft 1 swarm join-token -q worker)
step "a swarm" weft 2 swarm join --token "$token" 172.29.8.1:2377
step "a network" weft 1 network create -d overlay --attachable --subnet 10.88.7.0/24 net1
step "an internal network" weft 1 network create -d overlay --attachable --internal --subnet 10.88.8.0/24 net2
weft 1 network create -d overlay --subnet 10.88.9.0/24 closed >/dev/null
weft 1 network create -d overlay --attachable --subnet 10.88.10.0/24 --subnet fd00:88::/64 net6 >/dev/null
step "known on the other host" within 5 has net1 weft 2 network ls

version() { echo '{"cniVersion":"1.0.0"}' | cni 1 VERSION dummy "" dummy && answer "r['cniVersion'] == '1.0.0' and {'0.3.1','0.4.0','1.0.0'} <= set(r['supportedVersions'])"; }
step "VERSION" version
step "STATUS" call 1.1.0 "" 1 STATUS "" "" ""
step "STATUS of a network that is not" refuses 50 "not found" 1.1.0 '"network":"nix"' 1 STATUS "" "" ""

ARGS="IgnoreUnknown=1;K8S_POD_NAME=pa"
step "ADD with an interface name of its own" answers \
    "[i['name'] for i in r['interfaces'] if i.get('sandbox') == '/run/netns/$id-a'] == ['net7'] and r['ips'][0]['interface'] == 1 and r['ips'][0]['gateway'] == '10.88.7.1' and r['dns']['nameservers'] == ['169.254.77.53'] and 'version' not in r['ips'][0]" \
    1.0.0 "" 1 ADD ca a net7
cp "$out/answer" "$out/result-a"
same() { [ "$(python3 -c 'import json,sys; print(json.load(open(sys.argv[1]))["ips"][0]["address"])' "$out/result-a")" = "$(address a net7)/24" ]; }
step "the interface has the address of the answer" same
step "its namespace has a default route" has "default via 10.88.7.1 dev net7" ip -n "$id-a" route
ARGS="IgnoreUnknown=1;K8S_POD_NAME=pb;IP=10.88.7.77"
step "ADD on the other host, with an address, MAC and aliases" answers \
    "r['ips'][0]['address'] == '10.88.7.77/24' and r['ips'][0]['version'] == '4' and r['interfaces'][1]['mac'] == '02:11:22:33:44:55' and r['dns']['search'] == ['lan']" \
    0.4.0 '"dns":{"search":["lan"]},"runtimeConfig":{"mac":"02:11:22:33:44:55","aliases":{"net1":["db"]}}' 2 ADD cb b eth0
step "the MAC is the interface's" has 02:11:22:33:44:55 ip -n "$id-b" link show eth0
ARGS=
step "they ping" within 5 pings a 10.88.7.77
step "both ways" within 5 pings b "$(address a net7)"
step "a name" within 5 asks a pb 10.88.7.77
step "an alias" within 5 asks a db 10.88.7.77
step "a weft sandbox" weft 2 run -d --name w1 --network net1 -- sleep infinity
step "pings by name" within 5 weft 2 exec w1 ping -c 1 -w 3 pa
w1=$(weft 2 inspect w1 --format '{{(index .Networks "net1").IPAddress}}')
step "and is pinged" within 5 pings a "$w1"
step "its name is known" within 5 asks a w1 "$w1"
step "an address by the capability ips" answers "r['ips'][0]['address'] == '10.88.7.99/24'" 0.3.1 '"runtimeConfig":{"ips":["10.88.7.99/24"]}' 1 ADD cc c eth0
step "whose name is the container's id" within 5 asks a cc 10.88.7.99
step "two addresses where the network has IPv6" answers \
    "[i['address'] for i in r['ips']] == ['10.88.10.88/24', 'fd00:88::77/64'] and [i['version'] for i in r['ips']] == ['4', '6']" \
    0.4.0 '"network":"net6","runtimeConfig":{"ips":["fd00:88::77/64","10.88.10.88"]}' 1 ADD six1 d eth6
check6="\"network\":\"net6\",\"prevResult\":$(cat "$out/answer")"
step "CHECK finds both" call 0.4.0 "$check6" 1 CHECK six1 d eth6
step "an automatic one on the other host" answers "len(r['ips']) == 2 and r['ips'][1]['address'].startswith('fd00:88:')" \
    1.0.0 '"network":"net6"' 2 ADD six2 e eth6
step "reaches it" within 5 inside e ping -6 -c 1 -w 3 fd00:88::77
step "two addresses of one family are refused" refuses 7 "one of IPv6" 1.0.0 '"network":"net6","runtimeConfig":{"ips":["fd00:88::78","fd00:88::79"]}' 1 ADD six3 c eth6
step "an IPv6 address where there is none" refuses 7 "has no IPv6" 1.0.0 '"runtimeConfig":{"ips":["fd00:88::78"]}' 1 ADD six3 c eth6
ip -n "$id-d" address del fd00:88::77/64 dev eth6
step "CHECK misses the one that is gone" refuses 101 "fd00:88::77" 0.4.0 "$check6" 1 CHECK six1 d eth6
step "DEL with IPv6" call 0.4.0 '"network":"net6"' 1 DEL six1 d eth6
step "and on the other host" call 1.0.0 '"network":"net6"' 2 DEL six2 e eth6
step "a second, internal network" answers "r['ips'][0]['address'].startswith('10.88.8.') and not r['routes'] and not r['dns'].get('nameservers')" \
    1.0.0 '"network":"net2"' 1 ADD ca a eth1
step "the default route stays" equals 1 sh -c "ip -n $id-a route show default | wc -l"
step "without a default route" answers "not any(x['dst'] == '0.0.0.0/0' for x in r['routes'])" 1.0.0 '"isDefaultGateway":false' 1 ADD cd d eth0
step "there is none" equals "" ip -n "$id-d" route show default

long=$(printf 'c%.0s' {1..128})
step "an id as long as one may be" answers "r['ips'][0]['address'].startswith('10.88.8.')" 1.0.0 '"network":"net2"' 2 ADD "$long" e eth9
step "is known to the whole swarm" within 5 has "${long:0:12}" weft 1 network inspect net2 -v
step "and its node stays connected" hasnt "Problem:" weft 2 status
step "and goes" call 1.0.0 '"network":"net2"' 2 DEL "$long" e eth9
step "refused: a longer id" refuses 7 "up to 128 characters" 1.0.0 "" 2 ADD "${long}c" e eth9
step "refused: the same interface again" refuses 100 "already" 1.0.0 "" 1 ADD ca a net7
step "refused: the network twice" refuses 100 "already exists" 1.0.0 "" 1 ADD ca a eth5
step "refused: an address in use" refuses 100 "10.88.7.77" 1.0.0 '"runtimeConfig":{"ips":["10.88.7.77"]}' 1 ADD ce e eth0
step "and nothing is left of it" not ip -n "$id-e" link show eth0
step "refused: an unknown network" refuses 100 "not found" 1.0.0 '"network":"nix"' 1 ADD ce e eth0
step "refused: not attachable" refuses 100 "not manually attachable" 1.0.0 '"network":"closed"' 1 ADD ce e eth0
step "refused: no such namespace" refuses 7 "no network namespace" 1.0.0 "" 1 ADD ce nowhere eth0
step "refused: a file that is no namespace" refuses 7 "no network namespace" 1.0.0 "" 1 ADD ce file eth0
step "refused: port maps" refuses 7 "portmap" 1.0.0 '"runtimeConfig":{"portMappings":[{"hostPort":80,"containerPort":80}]}' 1 ADD ce e eth0
step "refused: an ipam plugin" refuses 7 "ipam" 1.0.0 '"ipam":{"type":"host-local"}' 1 ADD ce e eth0
step "refused: a version" refuses 1 "0.2.0" 0.2.0 "" 1 ADD ce e eth0
step "refused: no container" refuses 4 "CNI_CONTAINERID" 1.0.0 "" 1 ADD "" e eth0
garbage() { echo '{"cniVersion"' | cni 1 ADD ce e eth0 && return 1; answer "r['code'] == 6"; }
step "refused: not JSON" garbage
ARGS="COLOUR=red"
step "refused: unknown arguments" refuses 4 "COLOUR" 1.0.0 "" 1 ADD ce e eth0
ARGS=
step "refused: weftd is not there" refuses 11 "weftd" 1.0.0 "\"host\":\"unix://$work/nobody\"" 1 ADD ce e eth0

check() { call 1.0.0 "\"prevResult\":$(cat "$out/result-a")" 1 CHECK ca a net7; }
step "CHECK" check
ip -n "$id-a" addr del "$(address a net7)/24" dev net7
step "CHECK finds that the address is gone" not check
step "with the number of it" answer "r['code'] == 101"
ip -n "$id-a" addr add "$(python3 -c 'import json,sys; print(json.load(open(sys.argv[1]))["ips"][0]["address"])' "$out/result-a")" dev net7
ip -n "$id-a" route replace default via 10.88.7.1 dev net7
step "CHECK" check
step "CHECK of what is not" refuses 3 "no interface" 1.0.0 '"prevResult":{}' 1 CHECK ca a eth9

inside a ping -n -i 0.02 -c 150 10.88.7.77 >"$out/ping" 2>&1 &
ping=$!
step "kill -9 of a daemon" kill -9 "${daemon[1]}"
wait "${daemon[1]}" 2>/dev/null
step "DEL without a daemon is to be tried again" refuses 11 "weftd" 1.0.0 "" 1 DEL cd d eth0
ip netns del "$id-c"
step "the daemon comes back" start 1
wait $ping
step "no packet was lost meanwhile" has " 0% packet loss" cat "$out/ping"
step "CHECK after the restart" check
step "the name is still there" weft 2 exec w1 ping -c 1 -w 3 pa
step "what lost its namespace meanwhile is gone" within 5 not has '"SandboxID":"cc"' attachments 1
step "and its name with it" within 5 not asks a cc 10.88.7.99

step "DEL" call 1.0.0 "" 1 DEL ca a eth1
step "the interface is gone" not ip -n "$id-a" link show eth1
step "the other is there" pings a 10.88.7.77
step "DEL again" call 1.0.0 "" 1 DEL ca a eth1
step "DEL without a namespace" call 1.0.0 "" 1 DEL nobody "" eth0
step "GC" call 1.1.0 '"cni.dev/valid-attachments":[{"containerID":"ca","ifname":"net7"}]' 1 GC "" "" ""
step "keeps what is valid" pings a 10.88.7.77
step "and takes the rest" not ip -n "$id-d" link show eth0
ip netns del "$id-b"; ip netns add "$id-b"
step "a namespace that died without a word is noticed" within 30 equals "[]" attachments 2
step "nothing was made in its successor" not ip -n "$id-b" link show eth0
step "ADD in the successor under the same id" call 1.0.0 "" 2 ADD cb b eth0
step "DEL" call 1.0.0 "" 2 DEL cb b eth0

times() { # milliseconds of a call: the plugin's own start, and ADD with DEL
    local began n=10 i
    began=$(milliseconds); for i in $(seq $n); do echo '{"cniVersion":"1.0.0"}' | cni 1 VERSION d "" d >/dev/null || return 1; done
    echo "VERSION $((($(milliseconds) - began) / n))"
    began=$(milliseconds)
    for i in $(seq $n); do call 1.0.0 "" 2 ADD "t$i" b eth0 >/dev/null && call 1.0.0 "" 2 DEL "t$i" b eth0 >/dev/null || return 1; done
    echo "ADD and DEL $((($(milliseconds) - began) / n))"
}
step "ten times" times
echo "     milliseconds a call: $(tr '\n' ' ' <"$out/step")"

step "DEL of the last" call 1.0.0 "" 1 DEL ca a net7

. "$(dirname "$0")/cni_podman.sh"

step "a sandbox's end" weft 2 rm -f w1
step "the network goes when nobody is on it" within 5 weft 1 network rm net1

conclude
