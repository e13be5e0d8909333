#!/bin/bash
# What happens to a swarm's nodes whose files are lost, empty or broken, whose disk is full, or whose sandbox supervisors stop:
# traffic goes on, weftd serves its socket and says what is wrong, and all is well again by itself once the cause is gone.
# Two lab hosts; host 1 is the manager. WEFT_BIN: directory with weft, weftd, weft-shim. Ends with `N passed, N failed`.
set -u
PATH="${WEFT_BIN:?directory with the built executables}:$PATH"
export PATH LC_ALL=C
lab=${WEFT_LAB:-weft-lab}
out=$(mktemp -d)
trap 'weft lab down >/dev/null 2>&1; rm -rf "$out"' EXIT

. "$(dirname "$0")/steps.sh"
on() { local host=$1; shift; weft lab exec "$host" -- "$@"; }
state=/var/lib/weft
pings() { on "$1" weft exec "$2" ping -c 1 -w 3 "$3"; }
ready() { [ "$(on 1 weft node ls --format '{{.Status}}' | grep -c Ready)" = 2 ]; }
active() { equals active on "$1" weft info --format '{{.Swarm.LocalNodeState}}'; }
file() { on "$1" sh -c "$2"; } # host, what is done to files there
begin_pings() { : >"$out/ping"; on 1 weft exec a1 ping -n -i 0.02 -c 100000 a2 >"$out/ping" 2>&1 & pinging=$!; within 5 grep -q "bytes from" "$out/ping"; }
no_ping_lost() { # ends the pings of before; a1 sends them, ping tells at the end
    on 1 weft exec a1 sh -c 'kill -INT $(pgrep -x ping)'; wait "$pinging"
    lost_none "$out/ping"
}
restarted() { # host, what is done to its files while weftd is stopped
    weft lab stop "$1" && file "$1" "$2" && weft lab start "$1"
}

weft lab down >/dev/null 2>&1
step "lab up" weft lab up --nodes 2
step "all nodes are ready when it returns" ready
step "network create" on 1 weft network create -d overlay --attachable net
step "run a1" on 1 weft run -d --name a1 --network net --network-alias first -- sleep infinity
step "run a2" on 2 weft run -d --name a2 --network net --network-alias second -- sleep infinity
step "run b2, on a second network as well" eval "on 1 weft network create -d overlay --attachable more && on 2 weft run -d --name b2 --network more --network net -- sleep infinity"
step "they reach each other" within 5 pings 1 a1 a2

echo "# node.db is lost under running sandboxes"
for how in "rm -f $state/node.db*" "rm -f $state/node.db-*; : >$state/node.db" "rm -f $state/node.db-*; head -c 20000 /dev/urandom >$state/node.db" \
    "rm -f $state/node.db-*; truncate -s 5000 $state/node.db" "rm -rf $state/node.db*; mkdir $state/node.db"; do
    before=$(on 2 weft inspect b2 --format '{{json .Networks}}')
    begin_pings
    step "node.db: ${how##*; }" restarted 2 "$how"
    step "the node is active" within 10 active 2
    step "its sandbox is reached by name and alias" within 10 eval "pings 1 a1 a2 && pings 1 a1 second"
    step "and reaches others" within 5 pings 2 a2 first
    step "its endpoints are what they were" within 5 equals "$before" on 2 weft inspect b2 --format '{{json .Networks}}'
    step "no ping was lost" no_ping_lost
done
step "one more sandbox gets an address of its own" on 2 weft run -d --name c2 --network net -- sleep infinity
step "and is reached" within 5 pings 1 a1 c2

echo "# other files of a manager"
broken() { # file, what is done to it, words of the reason
    local name=$1 how=$2 words=$3
    begin_pings
    step "$name: $how" restarted 1 "rm -rf /tmp/$lab-kept; cp -a $state /tmp/$lab-kept; $how"
    step "the socket is served, and info says what is wrong" within 5 has "$words" on 1 weft info
    step "status says it, too" within 5 has "Problem:" on 1 weft status
    step "so does what needs a manager" refused "$words" on 1 weft node ls
    [ "$4" = names ] && step "names still resolve" pings 1 a1 a2
    step "the file comes back" file 1 "rm -rf $state/$name; cp -a /tmp/$lab-kept/$name $state/$name"
    step "and all is well by itself" within 20 eval "active 1 && ready"
    step "names resolve" within 5 pings 1 a1 a2
    step "no ping was lost" no_ping_lost
    file 1 "rm -rf /tmp/$lab-kept"
}
for name in store.sqlite seal.json node.pem; do
    broken $name "rm -f $state/$name*" "$name" names
    broken $name "rm -f $state/$name-*; : >$state/$name" "$name" names
    broken $name "rm -f $state/$name-*; head -c 9000 /dev/urandom >$state/$name" "$name" names
    broken $name "rm -f $state/$name-*; truncate -s 60 $state/$name" "$name" names
    broken $name "rm -rf $state/$name*; mkdir $state/$name" "$name" names
done
broken seal.json "echo '{\"version\":9}' >$state/seal.json" seal.json names
for how in "rm -f $state/membership.json" ": >$state/membership.json" "echo '{}' >$state/membership.json" "rm -f $state/membership.json; mkdir $state/membership.json"; do
    broken membership.json "$how" membership.json -
done

echo "# a full disk"
full() { file 2 "dd if=/dev/zero of=$state/ballast bs=4k 2>/dev/null; dd if=/dev/zero of=$state/ballast2 bs=1 count=4096 2>/dev/null; true"; }
moved() { file 2 "cp -a $state /run/weft/kept && mount -t tmpfs -o size=4m,mode=700 tmpfs $state && cp -a /run/weft/kept/. $state/ && rm -rf /run/weft/kept"; }
step "host 2's state moves to a small disk" eval "weft lab stop 2 && moved && weft lab start 2"
step "the node is active" within 10 active 2
step "the disk is filled" full
attached() { on 2 weft run -d --name "$1" --network net -- sleep infinity; }
fails_once_full() { # what fits into the file's log still is saved
    local i; for i in $(seq 200); do attached "f$i" >"$out/run" 2>&1 || { cat "$out/run"; return 0; }; done; return 1
}
step "an attach fails" fails_once_full
step "and says why" has "make room" cat "$out/run"
known=$(on 2 weft ps -q | wc -l)
begin_pings
step "weftd starts on the full disk" eval "weft lab kill 2; weft lab start 2"
step "with what it knew" within 10 eval "active 2 && equals $known sh -c 'weft lab exec 2 -- weft ps -q | wc -l'"
step "after a stop, too" eval "weft lab stop 2 && weft lab start 2 && within 10 active 2"
step "its sandboxes are reached" within 5 pings 1 a1 a2
step "no ping was lost" no_ping_lost
step "there is room again" file 2 "rm -f $state/ballast $state/ballast2"
step "and an attach works" within 10 attached late
step "all that was acknowledged is there after a crash" eval "weft lab kill 2 && weft lab start 2 && within 10 pings 1 a1 late"

echo "# a supervisor that does not answer"
shim() { on 1 sh -c "sed -n 's/.*\"shimPID\":\\([0-9]*\\).*/\\1/p' /run/weft/sandboxes/$(on 1 weft inspect "$1" --format '{{.ID}}')/state.json"; }
step "run z1" on 1 weft run -d --name z1 --network net -- sleep infinity
kill -STOP "$(shim z1)"
on 1 weft kill -s TERM z1 >/dev/null 2>&1 &
step "ps" on 1 timeout 10 weft ps
step "another sandbox runs" on 1 timeout 30 weft run --rm -- true
step "its own signal is refused with a reason" refused "does not answer" on 1 timeout 60 weft kill -s TERM z1
step "weftd starts beside it" eval "weft lab kill 1 && weft lab start 1 && within 10 ready"
step "others' ends are noticed" on 1 timeout 30 weft run --rm --network net -- true
step "it can be removed" on 1 timeout 60 weft rm -f z1
wait

conclude
