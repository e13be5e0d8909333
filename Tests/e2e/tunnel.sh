#!/bin/bash
# weft-tunnel between two hosts: against a peer that was written apart from it, then against itself; attacked, killed, under new keys.
# WEFT_BIN: directory with weft-tunnel.
set -uo pipefail
cd "$(dirname "$0")/../.."
. Tests/e2e/steps.sh
: "${WEFT_BIN:?the directory with weft-tunnel}"
out=$(mktemp -d) tag=wt$$
peer() { /usr/bin/python3 Tests/e2e/tunnel_peer.py "$@"; }
in_host() { local host=$1; shift; nsenter --net=/run/netns/$tag$host "$@"; }
declare -A pid
# Without a shell between, so that what is ended is the program.
start_in() { local host=$1 name=$2 log=$3; shift 3; nsenter --net=/run/netns/$tag$host "$@" >"$log" 2>&1 & pid[$name]=$!; }
end() { kill "${@:2}" "${pid[$1]}"; wait "${pid[$1]}" 2>/dev/null; unset "pid[$1]"; }
cleanup() {
    local one
    for one in "${pid[@]}"; do kill "$one" 2>/dev/null; done
    wait 2>/dev/null
    ip netns del ${tag}A 2>/dev/null; ip netns del ${tag}B 2>/dev/null
    rm -rf "$out"
}
trap cleanup EXIT

# What programs in the kernel write into a frame's Ethernet addresses, neighbour entries do here: network 0a0100 and peer 10.1.0.0.
mac=02:00:0a:01:00:00 vni=2561 inner=4790
# What they do with a frame from the device: the tag is taken off, here for the host's own stack. Others than that network and peer are dropped.
cat >"$out/untag.c" <<'PROGRAM'
#include <linux/bpf.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

SEC("tc") int untag(struct __sk_buff *skb)
{
    unsigned char is[12], want[12] = { 0x0a, 0x77, 0x65, 0x66, 0x74, 0x01, 0x02, 0x00, 0x0a, 0x01, 0x00, 0x00 };

    if (!skb->vlan_present || skb->vlan_tci != 0x0a01 || bpf_skb_vlan_pop(skb) || bpf_skb_load_bytes(skb, 0, is, 12))
        return 2;
    for (int i = 0; i < 12; i++)
        if (is[i] != want[i])
            return 2;
    return bpf_skb_change_type(skb, 0) ? 2 : 0;
}
char _license[] SEC("license") = "GPL";
PROGRAM
key_a=$(printf '%040x' 0xa1a2a3a4a5a6) key_b=$(printf '%040x' 0xb1b2b3b4b5b6)
hosts() {
    ip netns add ${tag}A && ip netns add ${tag}B || return 1
    ip link add $tag.a netns ${tag}A type veth peer name $tag.b netns ${tag}B || return 1
    ip -n ${tag}A addr add 192.0.2.1/24 dev $tag.a; ip -n ${tag}B addr add 192.0.2.2/24 dev $tag.b
    for host in A B; do ip -n $tag$host link set lo up; ip -n $tag$host link set $tag.${host,} up || return 1; done
}
start() { # host, number
    start_in "$1" "$1" "$out/$1.log" "$WEFT_BIN/weft-tunnel" --device weftesp --address 192.0.2.$2 --inner-port $inner \
        --control "$out/$1.sock"
    within 10 test -S "$out/$1.sock" && within 10 in_host "$1" ip link show weftesp || return 1
}
program() { clang -target bpf -O2 -I"/usr/include/$(uname -m)-linux-gnu" -c "$out/untag.c" -o "$out/untag.o"; }
device() { # host, number
    in_host "$1" tc qdisc replace dev weftesp clsact &&
        in_host "$1" tc filter replace dev weftesp ingress prio 1 handle 1 bpf direct-action object-file "$out/untag.o" section tc || return 1
    in_host "$1" sysctl -qw net.ipv6.conf.weftesp.addr_gen_mode=1
    ip -n $tag$1 link set weftesp address $mac mtu 1404 arp off && ip -n $tag$1 addr add 10.9.0.$2/24 dev weftesp &&
        ip -n $tag$1 addr add fd09::$2/64 dev weftesp nodad && ip -n $tag$1 link set weftesp up &&
        ip -n $tag$1 neigh add 10.9.0.$((3 - $2)) lladdr $mac dev weftesp nud permanent &&
        ip -n $tag$1 neigh add fd09::$((3 - $2)) lladdr $mac dev weftesp nud permanent
}
count() { peer status "$out/$1.sock" "$2"; }
is_more() { [ "$(count "$1" "$2")" -ge "$3" ]; }

step "a program for what comes out of the device" program
step "two hosts" hosts
step "weft-tunnel starts and makes its device" start A 1
step "the device is set up" device A 1

# ---- Against another implementation ----
step "without a key nothing is sent" eval "! in_host A ping -c 2 -W 1 -i 0.2 10.9.0.2 && [ \$(count A noKey) -ge 2 ] && [ \$(count A sent) = 0 ]"
step "keys are taken" eval "peer keys '$out/A.sock' in 4097 10.1.0.0 $key_b && peer keys '$out/A.sock' out 10.1.0.0 192.0.2.2 4500 4098 $key_a"
step "an SPI that is taken is refused" refused "is taken" peer keys "$out/A.sock" in 4097 10.1.0.0 "$key_a"
step "a key of another length is refused" refused "16 or 32" peer keys "$out/A.sock" in 4099 10.1.0.0 0011
start_in B echo "$out/echo" /usr/bin/python3 Tests/e2e/tunnel_peer.py echo 4500 192.0.2.1 $vni $inner 4098 "$key_a" 4097 "$key_b"
step "a peer of its own making listens" within 10 grep -q ready "$out/echo"
for size in 0 1 2 3 56 1000 1376; do
    step "it reads and answers a ping of $size bytes" in_host A ping -c 3 -i 0.2 -W 5 -s $size 10.9.0.2
done
attack() { # mode, counter
    local before; before=$(count A "$2")
    in_host B /usr/bin/python3 Tests/e2e/tunnel_peer.py send "$1" 192.0.2.1 $vni $inner 4098 "$key_a" 4097 "$key_b" || return 1
    within 10 is_more A "$2" $((before + ${3:-20}))
}
received() { count A received; }
before=$(received)
step "forged packets are refused" attack forged forged
step "packets under a foreign SPI are refused" attack stray unknownAssociation
step "none of them was taken" equals "$before" received
step "of a packet sent twenty times one is taken" attack replayed replayed 19
step "one, not two" equals $((before + 1)) received
# Below the window a number stands for one beyond it (RFC 4303, A2.2), whose tag this is not.
step "packets from before the window are refused" attack old forged
step "none of these either" equals $((before + 1)) received
step "VXLAN in the clear is nothing here" eval "attack clear sent 0 && [ \$(received) = $((before + 1)) ]"
end echo
step "the peer had nothing to object to" hasnt Error cat "$out/echo"

# ---- Against itself ----
keys() { # epoch: an SPI a direction, a key of it
    local ab ba; ab=$(printf '%02x%038x' "$1" 0xa7) ba=$(printf '%02x%038x' "$1" 0xb7)
    peer keys "$out/A.sock" in $((8192 + $1)) 10.1.0.0 "$ba" && peer keys "$out/B.sock" in $((4096 + $1)) 10.1.0.0 "$ab" &&
        peer keys "$out/A.sock" out 10.1.0.0 192.0.2.2 4500 $((4096 + $1)) "$ab" &&
        peer keys "$out/B.sock" out 10.1.0.0 192.0.2.1 4500 $((8192 + $1)) "$ba"
}
step "a second tunnel" eval "start B 2 && device B 2"
step "both have keys" keys 16
step "ping" in_host A ping -c 3 -i 0.2 -W 5 10.9.0.2
step "ping by IPv6" in_host A ping -c 3 -i 0.2 -W 5 fd09::2
serve() {
    head -c 30000000 /dev/urandom >"$out/file"
    start_in B serve "$out/serve" /usr/bin/python3 -c '
import socket, sys
listener = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind(("::", 7000)); listener.listen()
while True:
    connection, _ = listener.accept()
    try:
        with open(sys.argv[1], "rb") as file: connection.sendfile(file)
    except OSError: pass
    connection.close()' "$out/file"
    within 10 in_host B bash -c 'exec 3<>/dev/tcp/127.0.0.1/7000'
}
fetches() { # address
    in_host A timeout 30 bash -c "exec 3<>/dev/tcp/$1/7000; cat <&3" | cmp - "$out/file"
}
step "a server" serve
step "30 MB over TCP arrive as they were" fetches 10.9.0.2
step "and by IPv6" fetches fd09::2
step "packets went in few frames" eval "[ \$(count B sent) -gt 20000 ] && [ \$(count A undelivered) = 0 ] && [ \$(count A replayed) -lt 60 ]"
in_host A ethtool -K weftesp tso off gso off >/dev/null 2>&1; in_host B ethtool -K weftesp tso off gso off >/dev/null 2>&1
step "and without offloads at the device" fetches 10.9.0.2
in_host A ethtool -K weftesp tso on gso on >/dev/null 2>&1; in_host B ethtool -K weftesp tso on gso on >/dev/null 2>&1
in_host B ethtool -K $tag.b tx-udp-segmentation off >/dev/null 2>&1
step "and without segmentation of UDP at the underlay" fetches 10.9.0.2
start_in B tcpdump "$out/tcpdump" tcpdump --immediate-mode -Z root -i $tag.b -w "$out/capture" -U -s 0
step "the underlay is listened to" within 10 grep -q listening "$out/tcpdump"
marked() {
    in_host A ping -c 5 -i 0.2 -W 5 -s 64 -p 5745465457454654 10.9.0.2 || return 1
    within 10 grep -q . "$out/capture" && end tcpdump
    [ "$(tcpdump -Z root -r "$out/capture" udp port 4500 2>/dev/null | wc -l)" -ge 10 ] && ! grep -aq WEFT "$out/capture"
}
step "on it nothing is in the clear" marked
renew() {
    local epoch
    start_in A ping "$out/ping" ping -i 0.002 10.9.0.2
    within 10 grep -q icmp_seq=100 "$out/ping" || return 1
    for epoch in {17..36}; do keys $epoch || return 1; done
    end ping -INT
    lost_none "$out/ping"
}
step "twenty new keys in both directions, and no packet lost" renew
step "what came under the first key is refused once it is gone" eval "peer keys '$out/A.sock' refuse 8208 && peer keys '$out/A.sock' refuse 8208"
step "killed, nothing leaves in the clear" eval "end A -9; ! in_host A ping -c 2 -W 1 -i 0.2 10.9.0.2"
step "its device stays" in_host A ip link show weftesp
step "the next one goes on under keys of its own" eval "start A 1 && ! in_host A ping -c 1 -W 1 10.9.0.2 && keys 40 && in_host A ping -c 3 -i 0.2 -W 5 10.9.0.2"
end serve
cat >"$out/holder.py" <<'PYTHON'
import signal, socket
port = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
port.bind(("0.0.0.0", 4500))
print("ready", flush=True)
signal.pause()
PYTHON
ip netns add ${tag}C && trap 'cleanup; ip netns del ${tag}C 2>/dev/null' EXIT
start_in C holder "$out/holder" python3 "$out/holder.py"
within 10 grep -q ready "$out/holder"
step "a port that is taken: it ends at once, and says whose it is" refused "(process ${pid[holder]});" in_host C timeout 5 \
    "$WEFT_BIN/weft-tunnel" --device weftesp --address 127.0.0.1 --inner-port $inner --control "$out/C.sock"
end holder
step "nobody complained" equals "" cat "$out/A.log" "$out/B.log"
conclude
