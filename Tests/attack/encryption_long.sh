#!/bin/bash
# What an encrypted network stands for long: new keys every two seconds under pings both ways, and weftd and weft-tunnel killed at random
# moments while the wire is recorded. Nothing lost by the one, nothing in the clear and no number used twice by the other.
# WEFT_BIN: directory with weft, weftd, weft-shim, weft-tunnel. QUICK: twenty seconds and six kills, instead of ten minutes and a hundred.
# Needs root, tcpdump and python3. Prints a line a step, ends with `N passed, N failed`.
set -u
PATH="${WEFT_BIN:?directory with the built executables}:$PATH"
export PATH LC_ALL=C
lab=${WEFT_LAB:-weft-lab}
here=$(cd "$(dirname "$0")" && pwd)
out=$(mktemp -d)
seconds=${SECONDS_OF_KEYS:-${QUICK:+20}} kills=${KILLS:-${QUICK:+6}}
seconds=${seconds:-600} kills=${kills:-100}
listener=
down() { [ -z "$listener" ] || kill "$listener" 2>/dev/null; weft lab down >/dev/null 2>&1; rm -rf "$out"; }
trap down EXIT
. "$here/../e2e/steps.sh"

on() { local host=$1; shift; weft lab exec "$host" -- "$@"; }
address() { on "$1" weft inspect "$2" --format '{{(index .Networks "sealed").IPAddress}}'; }
ready() { [ "$(on 1 weft node ls --format '{{.Status}}' | grep -c Ready)" = 2 ]; }
pings() { on "$1" weft exec "$2" ping -c 1 -W 1 "$3"; }
# From inside the sandbox without weftd, which may be the one that is dead.
in_a1() { nsenter --net="/proc/$a1/ns/net" "$@"; }
tunnel() {
    local process
    for process in $(pidof weft-tunnel); do
        [ "$(stat -Lc %i /proc/$process/ns/net 2>/dev/null)" = "$(stat -Lc %i /run/netns/$lab-$1)" ] && echo "$process"
    done
}
epoch() { on 1 weft swarm keys --format '{{.Epoch}}'; }

weft lab down >/dev/null 2>&1
step "lab up with two hosts" weft lab up --nodes 2
step "two nodes are ready" within 20 ready
step "an encrypted network" on 1 weft network create -d overlay --attachable --opt encrypted sealed
for h in 1 2; do step "a$h" on $h weft run -d --name a$h --network sealed -- sleep infinity; done
step "a1 pings a2" within 60 pings 1 a1 a2
step "a2 pings a1" within 60 pings 2 a2 a1
a1=$(on 1 weft inspect a1 --format '{{.Pid}}')
target=$(address 2 a2) source=$(address 1 a1)

# ---- New keys every two seconds ----
flood() { on "$1" weft exec "$2" ping -n -i 0.005 -s 1000 "$3" >"$out/$2" 2>&1 & }
end_flood() { on "$1" weft exec "$2" sh -c 'kill -INT $(pidof ping)'; }
rekey() {
    local first end=$((SECONDS + seconds)); first=$(epoch)
    flood 1 a1 "$target"; flood 2 a2 "$source"
    within 10 grep -q icmp_seq=50 "$out/a1" || return 1
    while [ $SECONDS -lt $end ]; do on 1 weft swarm keys --rotate >/dev/null || return 1; sleep 2; done
    end_flood 1 a1; end_flood 2 a2
    echo "$(($(epoch) - first)) epochs"
    lost_none "$out/a1" && lost_none "$out/a2" && [ $(($(epoch) - first)) -ge $((seconds / 8)) ]
}
step "new keys every two seconds for $seconds s under pings both ways, and none lost" rekey
echo "     $(grep -h transmitted "$out/a1" "$out/a2" | tr '\n' ' ') $(grep epochs "$out/step")"

# ---- Kills at random moments ----
listen() {
    nsenter --net=/run/netns/$lab-1 tcpdump --immediate-mode -Z root -B 65536 -i eth0 -s 0 -w "$out/wire.pcap" >/dev/null 2>"$out/wire.log" &
    listener=$!
    within 10 grep -q listening "$out/wire.log"
}
deaf() { kill -INT "$listener"; wait "$listener" 2>/dev/null; listener=; true; }
# Milliseconds from a kill until a ping is answered.
recovery() {
    local began deadline=$((SECONDS + 60)); began=$(milliseconds)
    until in_a1 ping -n -c 1 -W 0.1 "$target" >/dev/null 2>&1; do [ $SECONDS -lt $deadline ] || return 1; done
    echo $(($(milliseconds) - began)) >>"$out/recovery"
}
kill_once() {
    local host=$((RANDOM % 2 + 1))
    sleep "0.$((RANDOM % 900 + 100))"
    if ((RANDOM % 2)); then
        weft lab kill $host || return 1
        sleep "0.$((RANDOM % 900 + 100))"
        recovery && weft lab start $host && within 30 on $host weft status
    else
        kill -9 $(tunnel $host) || return 1
        recovery && within 30 eval "[ -n \"\$(tunnel $host)\" ]"
    fi
}
kill_all() { local turn; for ((turn = 0; turn < kills; turn++)); do kill_once || { echo "at kill $turn"; return 1; }; done; }
# No number twice under an SPI, of what host 1 sent and got; both ends' keys are their own.
once() {
    python3 - "$out/wire.pcap" <<'PYTHON'
import struct, sys
seen, clear = set(), 0
with open(sys.argv[1], "rb") as file:
    file.read(24)
    while len(head := file.read(16)) == 16:
        packet = file.read(struct.unpack("<IIII", head)[2])
        if len(packet) < 50 or packet[12:14] != b"\x08\x00" or packet[23] != 17:
            continue
        header = 14 + (packet[14] & 15) * 4
        ports, payload = struct.unpack(">HH", packet[header:header + 4]), packet[header + 8:]
        clear += b"WEFTWEFT" in packet or 4789 in ports
        if ports[1] != 4500 or len(payload) < 36:
            continue
        key = packet[26:30] + payload[:16]
        if key in seen:
            sys.exit(f"twice: {payload[:16].hex()}")
        seen.add(key)
print(len(seen), "packets,", len({key[:8] for key in seen}), "keys")
sys.exit(f"{clear} packets in the clear" if clear else len(seen) < 100)
PYTHON
}
slowest() { sort -n "$out/recovery" | tail -n 1; }
step "the underlay is listened to" listen
in_a1 ping -n -i 0.01 -s 64 -p 5745465457454654 "$target" >/dev/null 2>&1 & marker=$!
step "weftd or weft-tunnel is killed $kills times, and each time it goes on" kill_all
kill $marker; wait $marker 2>/dev/null
deaf
step "there was ESP alone, and no number was used twice under a key" once
echo "     $(cat "$out/step"); ms until a ping was answered: median $(sort -n "$out/recovery" | sed -n "$(((kills + 1) / 2))p"), most $(slowest)"
step "a1 pings a2 after all that" within 20 pings 1 a1 a2
conclude
