#!/bin/bash
# Weft as dockerd's network driver, without Weft's API proxy: two hosts (network namespaces with a mount namespace, a dockerd
# and a supervised weftd each), containers on a network of the swarm, and daemons that are killed in every order.
# WEFT_BIN: directory with weft, weftd, weft-shim, weft-supervisor. IMAGE_SCRIPT: a command that imports an image "busybox"
# into the docker socket given as its argument (default: made here from the busybox executable). QUICK=1 leaves the timings out.
# DOCKERD: path of another dockerd than this machine's, with its containerd beside it.
# Needs root, dockerd 20.10 or newer, and a static busybox. Prints a line a step, ends with `N passed, N failed`.
set -u
BIN=$(realpath "${WEFT_BIN:?directory with the built executables}")
DOCKERD=${DOCKERD:-$(command -v dockerd)}
PATH=$(dirname "$DOCKERD"):$PATH
export LC_ALL=C
P=${PFX:-q} WORK=${WORK:-$(mktemp -d)}
mkdir -p "$WORK"
out=$WORK
declare -A HOLDER

. "$(dirname "$0")/steps.sh"

on() { local h=$1; shift; nsenter -t "${HOLDER[$h]}" -m -u --net="/run/netns/$P$h" -- "$@"; }
docker_on() { local h=$1; shift; timeout "${LIMIT:-90}" docker -H "unix://$WORK/h$h/docker.sock" "$@"; }
weft_on() { local h=$1; shift; timeout 30 "$BIN/weft" -H "unix://$WORK/h$h/run/docker.sock" "$@"; }
weft_pid() { pgrep -P "$(cat "$WORK/h$1/weftd.pid")" -x weftd; }

start_weftd() { # host: supervised
    on "$1" setsid sh -c 'echo $$ >"$0"; exec "$@"' "$WORK/h$1/weftd.pid" "$BIN/weftd" --supervise --run-dir "$WORK/h$1/run" --state-dir "$WORK/h$1/state" \
        --bpf-dir "/sys/fs/bpf/$P$1" --engine-socket "$WORK/h$1/docker.sock" --log-level "${LOG:-info}" </dev/null >>"$WORK/h$1/weftd.log" 2>&1 &
    within 10 test -S "$WORK/h$1/run/docker.sock" && within 10 on "$1" test -S /run/docker/plugins/weft.sock
}
start_dockerd() { # host, further options
    local h=$1; shift
    rm -f "$WORK/h$h/docker.pid"
    on "$h" setsid "$DOCKERD" --data-root "$WORK/h$h/data" --exec-root "$WORK/h$h/exec" -H "unix://$WORK/h$h/docker.sock" \
        --pidfile "$WORK/h$h/docker.pid" --storage-driver "${STORAGE:-overlay2}" "$@" </dev/null >>"$WORK/h$h/dockerd.log" 2>&1 &
    within 60 docker_on "$h" version >/dev/null 2>&1
}
# dockerd leaves its containerd behind; a new one wants it gone.
end_dockerd() { # host, signal
    local h=$1 pid
    pid=$(cat "$WORK/h$h/docker.pid")
    kill "-$2" "$pid"
    within 20 gone "$pid" || return 1
    [ "$2" = KILL ] || return 0
    pid=$(cat "$WORK/h$h/exec/containerd/containerd.pid" 2>/dev/null)
    [ -z "$pid" ] || { kill -KILL "$pid" 2>/dev/null; within 20 gone "$pid" || return 1; }
    rm -f "$WORK/h$h/exec/containerd/containerd.pid"
}
end_weftd() { local pid; pid=$(cat "$WORK/h$1/weftd.pid"); kill "$pid"; within 10 gone "$pid"; }
gone() { ! kill -0 "$1" 2>/dev/null || grep -q "^State:.Z" "/proc/$1/status"; }
kill_weftd() { within 10 weft_pid "$1" >/dev/null && kill -KILL "$(weft_pid "$1")"; }

make_host() {
    local h=$1
    mkdir -p "$WORK/h$h"
    ip netns add "$P$h"; ip -n "$P$h" link set lo up
    ip -n "${P}u" link add "v$h" type veth peer name eth0 netns "$P$h"
    ip -n "${P}u" link set "v$h" up master br0
    ip -n "$P$h" addr add "172.29.7.$h/24" dev eth0; ip -n "$P$h" link set eth0 up
    ip -n "$P$h" route add default via 172.29.7.254
    unshare -mu --propagation private sh -c "mount --make-rshared / && mkdir -p /run/docker && mount -t tmpfs none /run/docker && \
        mkdir -p /run/docker/plugins && hostname $P$h && exec sleep 86400" &
    HOLDER[$h]=$!
    within 5 on "$h" test -d /run/docker/plugins
}
image() {
    if [ -n "${IMAGE_SCRIPT:-}" ]; then $IMAGE_SCRIPT "$WORK/h$1/docker.sock" >/dev/null; return; fi
    local root; root=$(mktemp -d)
    mkdir -p "$root/bin" "$root/etc" "$root/tmp" "$root/proc" "$root/sys" "$root/dev"
    cp "$(command -v busybox)" "$root/bin/busybox"
    "$root/bin/busybox" --list | while read -r name; do [ "$name" = busybox ] || ln -s /bin/busybox "$root/bin/$name"; done
    echo 'root:x:0:0:root:/:/bin/sh' >"$root/etc/passwd"
    tar -C "$root" -c . | docker_on "$1" import -c 'CMD ["/bin/sh"]' -c 'ENV PATH=/bin' - busybox
    rm -rf "$root"
}
down() {
    for h in 1 2; do
        LIMIT=20 docker_on "$h" ps -q 2>/dev/null | while read -r id; do LIMIT=20 docker_on "$h" rm -f "$id"; done >/dev/null 2>&1
        [ -s "$WORK/h$h/docker.pid" ] && end_dockerd "$h" TERM 2>/dev/null
        [ -s "$WORK/h$h/weftd.pid" ] && end_weftd "$h" 2>/dev/null
        [ -n "${HOLDER[$h]:-}" ] && kill "${HOLDER[$h]}" 2>/dev/null
        end_tunnels "$P$h"
        ip netns del "$P$h" 2>/dev/null
        rm -rf "/sys/fs/bpf/$P$h"
    done
    ip netns del "${P}u" 2>/dev/null
    wait 2>/dev/null
    [ -n "${KEEP:-}" ] && echo "kept $WORK" || rm -rf "$WORK"
}
trap down EXIT

ip netns add "${P}u"; ip -n "${P}u" link add br0 type bridge; ip -n "${P}u" link set br0 up
ip -n "${P}u" addr add 172.29.7.254/24 dev br0
for h in 1 2; do step "host $h" make_host $h; done
for h in 1 2; do step "weftd $h, supervised" start_weftd $h; done
for h in 1 2; do step "dockerd $h" start_dockerd $h; step "image $h" image $h; done

step "outside a swarm the driver says so, at once" faster 3000 refused "weft swarm init" docker_on 1 network create -d weft --ipam-driver weft --ipam-opt weft.id=x -o weft.id=x early
step "swarm init" weft_on 1 swarm init --advertise-addr 172.29.7.1
step "swarm join" weft_on 2 swarm join --token "$(weft_on 1 swarm join-token -q worker)" 172.29.7.1:2377
step "network create" weft_on 1 network create -d overlay --attachable --subnet 10.66.0.0/24 net
step "network create internal" weft_on 1 network create -d overlay --attachable --internal shut
ID=$(weft_on 1 network inspect net --format '{{.Id}}')
SHUT=$(weft_on 1 network inspect shut --format '{{.Id}}')
shadow() { docker_on "$1" network create -d weft --ipam-driver weft --ipam-opt "weft.id=$ID" -o "weft.id=$ID" --subnet 10.66.0.0/24 net; }
step "without weft.id it is refused, with what to do" refused "weft.id=ID" docker_on 1 network create -d weft --ipam-driver weft bad
step "with dockerd's own addresses it is refused" refused "ipam-driver weft" docker_on 1 network create -d weft -o "weft.id=$ID" bad
step "another subnet is refused" refused "10.66.0.0/24" docker_on 1 network create -d weft --ipam-driver weft --ipam-opt "weft.id=$ID" -o "weft.id=$ID" --subnet 10.67.0.0/24 bad
step "an unknown option is refused" refused "-o encrypted" docker_on 1 network create -d weft --ipam-driver weft --ipam-opt "weft.id=$ID" -o "weft.id=$ID" -o encrypted= bad
for h in 1 2; do step "shadow network on host $h" shadow $h; done
step "a network of the swarm stands for itself twice, too" docker_on 1 network create -d weft --ipam-driver weft --ipam-opt "weft.id=$SHUT" -o "weft.id=$SHUT" --internal shut

run() { local h=$1 name=$2; shift 2; docker_on "$h" run -d --name "$name" --network net --dns 169.254.77.53 "$@" busybox sleep 86400; }
inside() { docker_on "$1" exec "$2" "${@:3}"; }
address() { docker_on "$1" inspect -f '{{.NetworkSettings.Networks.net.IPAddress}}' "$2"; }
pings() { inside "$1" "$2" ping -c 1 -W 5 "$3"; }
step "run on host 1" run 1 alpha
step "run on host 2" run 2 beta
step "ping across" within 5 pings 1 alpha "$(address 2 beta)"
step "ping back" within 5 pings 2 beta "$(address 1 alpha)"
step "two on one host" run 1 gamma
step "ping within" pings 1 gamma "$(address 1 alpha)"
step "the way out is docker's bridge" has "default via 172.1" inside 1 alpha ip route
step "--ip of the own block or another's" run 1 delta --ip 10.66.0.77
step "it is that one" equals 10.66.0.77 address 1 delta
step "ping to it" within 5 pings 2 beta 10.66.0.77
step "a taken address is refused" refused "already in use" docker_on 1 run --rm --network net --ip 10.66.0.77 busybox true
step "an address that another host has is refused" refused "10.66.0.77" docker_on 2 run --rm --network net --ip 10.66.0.77 busybox true
step "an address outside is refused" refused "10.99.0.7" docker_on 1 run --rm --network net --ip 10.99.0.7 busybox true
step "the gateway's is refused" refused "gateway" docker_on 1 run --rm --network net --ip 10.66.0.1 busybox true
step "interface, address and route are there before the first process" has "10.66.0." docker_on 1 run --rm --network net busybox ip address show dev eth0
step "MTU of the tunnel" has "mtu 1408" inside 1 alpha ip link show dev eth0
step "names of another host resolve" within 5 has "$(address 2 beta)" inside 1 alpha nslookup beta
step "and of the same one, and the short id" within 5 has "$(address 1 alpha)" inside 2 beta nslookup "$(docker_on 1 ps -q --filter name=alpha)"
step "-p is docker's" docker_on 1 run -d --name web -p 8080:80 --network net busybox sh -c 'mkdir /w; echo yes >/w/index.html; exec httpd -f -p 80 -h /w'
step "published port answers" within 5 has yes on 2 busybox wget -qO- http://172.29.7.1:8080/
step "connect a running container to a second network" docker_on 1 network connect shut alpha
step "it has a second interface" has "inet 10." inside 1 alpha ip address show dev eth2
step "disconnect" docker_on 1 network disconnect shut alpha
step "no default route from an internal network" hasnt "default" docker_on 1 run --rm --network shut busybox ip route

endpoints() { on "$1" ip -o link 2>/dev/null | grep -c ': wv'; } # host ends
loose() { on "$1" ip -o link 2>/dev/null | grep -c ': wc'; }     # far ends that nobody took
expect_endpoints() { equals "$2" endpoints "$1" && equals 0 loose "$1"; }
step "a name that is gone does not resolve" within 5 eval "! inside 2 beta nslookup nosuch"
step "one host end for every endpoint, none loose" expect_endpoints 1 4
kill_container() { kill -KILL "$(docker_on 1 inspect -f '{{.State.Pid}}' gamma)"; }
step "kill -9 of a container" kill_container
step "its interface goes" within 10 expect_endpoints 1 3
step "it starts again" docker_on 1 start gamma
step "restart" faster 15000 docker_on 1 restart -t 0 gamma
step "ping after restart" within 3 pings 2 beta "$(address 1 gamma)"

# weftd killed at any moment: no docker command takes long.
# A kill may come in the instant between a call's arrival and its record: then the driver can only say so. It may come once.
cut_off=0
run_or_again() {
    local said
    said=$(docker_on 1 run --rm --network net busybox true 2>&1) && return 0
    echo "$said"
    case $said in *"came again without its contents; try again"*) cut_off=$((cut_off + 1)) ;; *) return 1 ;; esac
    [ $cut_off = 1 ] && docker_on 1 run --rm --network net busybox true
}
loop() { # rounds
    local i began took worst=0
    for i in $(seq "$1"); do
        began=$(milliseconds)
        run_or_again || { echo "round $i failed"; return 1; }
        took=$(($(milliseconds) - began))
        [ $took -le $worst ] || worst=$took
    done
    echo "slowest $worst ms"
    # Half of what dockerd waits for a plugin that is not there.
    [ $worst -lt 15000 ]
}
killer() { while within 30 weft_on 1 version && sleep "${KILL_EVERY:-2}"; do kill_weftd 1; done >/dev/null 2>&1; }
kill_loop() { killer & local k=$!; loop "${ROUNDS:-12}"; local code=$?; kill $k; wait $k 2>/dev/null; return $code; }
step "runs while weftd is killed over and over, none takes 15 s" kill_loop
cat "$out/step" | tail -n 1
step "weftd is up again" within 10 weft_on 1 node ls
step "nothing is left of them" within 10 expect_endpoints 1 4
step "ping goes on" pings 2 beta "$(address 1 alpha)"
unique() { local all; all=$(for h in 1 2; do docker_on $h ps -q | while read -r id; do docker_on $h inspect -f '{{with .NetworkSettings.Networks.net}}{{.IPAddress}}{{end}}' "$id"; done; done | grep . | sort); [ "$(echo "$all" | uniq -d)" = "" ] || { echo "$all"; return 1; }; }
step "no address twice" unique

# dockerd killed, weftd up.
step "a container that comes back by itself" run 1 always --restart always
step "kill -9 of dockerd" end_dockerd 1 KILL
step "dockerd starts again" start_dockerd 1
step "the container is back" within 40 pings 1 always "$(address 2 beta)"
settled() { local want; want=$(docker_on 1 ps -q | wc -l); equals "$want" endpoints 1; }
step "as many host ends as running containers" within 20 settled
step "and none loose" within 10 equals 0 loose 1
# Both, in both orders.
step "kill -9 of weftd, then of dockerd" eval "kill_weftd 1 && end_dockerd 1 KILL && start_dockerd 1"
step "the container is back" within 40 pings 1 always "$(address 2 beta)"
step "as many host ends as running containers" within 20 settled
step "kill -9 of dockerd, then of weftd" eval "end_dockerd 1 KILL && kill_weftd 1 && start_dockerd 1"
step "the container is back" within 40 pings 1 always "$(address 2 beta)"
step "as many host ends as running containers" within 20 settled
step "no address twice" unique
step "graceful restart of dockerd" eval "end_dockerd 1 TERM && start_dockerd 1"
step "the container is back" within 40 pings 1 always "$(address 2 beta)"
step "restart of weftd and its supervisor, dockerd up" eval "end_weftd 1 && start_weftd 1"
step "ping goes on" pings 2 beta "$(address 1 always)"
step "run after it" docker_on 1 run --rm --network net busybox true

# Containers that outlive their engine (live-restore): traffic and names go on without it, and nothing is lost or given twice.
alive() { pings 2 beta "$(cat "$out/always")" && nsenter -t "$1" -n -- busybox ping -c 1 -W 5 "$(cat "$out/beta")"; }
step "dockerd restarts with live-restore" eval "end_dockerd 1 TERM && start_dockerd 1 --live-restore"
step "the container is back" within 40 pings 1 always "$(address 2 beta)"
# Names come from the engine, once it says that the container runs.
step "and its name" within 10 has "$(address 1 always)" inside 2 beta nslookup always
address 1 always >"$out/always"; address 2 beta >"$out/beta"; before=$(docker_on 1 inspect -f '{{.State.Pid}}' always)
# What every case of it leads to. The address is read from the engine, the name asked for on the other host.
restored() {
    equals "$before" docker_on 1 inspect -f '{{.State.Pid}}' always && equals "$(cat "$out/always")" address 1 always &&
        pings 1 always beta && has "$(cat "$out/always")" inside 2 beta nslookup always
}
# The other host may have to find the manager again first.
apart() { docker_on 1 run -d --name "$1" --network net --dns 169.254.77.53 busybox sleep 86400 && within 20 pings 2 beta "$(address 1 "$1")" && unique; }
restore() { # what happens, in words; the commands that end daemons; those that start them again
    step "$1: they end" eval "$2"
    step "traffic goes on" alive "$before"
    step "the name stays" within 10 has "$(cat "$out/always")" inside 2 beta nslookup always
    step "they start" eval "$3"
    step "the same process has the same address and names" within 20 restored
    step "a new container gets an address of its own" apart new
    step "it goes" docker_on 1 rm -f new
    step "as many host ends as running containers" within 20 settled
    step "and none loose" within 10 equals 0 loose 1
}
restore "dockerd stopped" "end_dockerd 1 TERM" "start_dockerd 1 --live-restore"
restore "dockerd killed" "end_dockerd 1 KILL" "start_dockerd 1 --live-restore"
restore "weftd killed, dockerd stopped" "kill_weftd 1; end_dockerd 1 TERM" "start_dockerd 1 --live-restore"
restore "dockerd killed, weftd killed" "end_dockerd 1 KILL; kill_weftd 1" "start_dockerd 1 --live-restore"
restore "dockerd stopped, weftd stopped, dockerd first again" "end_dockerd 1 TERM; end_weftd 1" "start_dockerd 1 --live-restore; start_weftd 1"
restore "weftd stopped, dockerd killed, weftd first again" "end_weftd 1; end_dockerd 1 KILL" "start_weftd 1; start_dockerd 1 --live-restore"
step "the restored container stops" faster 15000 docker_on 1 stop -t 0 always
step "its interface goes" within 10 settled
step "its name goes" within 5 eval "! inside 2 beta nslookup always"
step "and starts again" docker_on 1 start always
step "ping" within 5 pings 1 always "$(address 2 beta)"
died_meanwhile() { end_dockerd 1 TERM && kill -KILL "$(cat "$out/pid")" && start_dockerd 1 --live-restore; }
docker_on 1 run -d --name brief --network net busybox sleep 86400 >/dev/null; docker_on 1 inspect -f '{{.State.Pid}}' brief >"$out/pid"
step "one dies while dockerd is away" died_meanwhile
step "nothing is left of it" within 20 settled
step "and none loose" within 10 equals 0 loose 1

step "all containers go" eval "for h in 1 2; do docker_on \$h ps -aq | while read -r id; do docker_on \$h rm -f \$id; done; done"
for h in 1 2; do step "nothing is left on host $h" within 10 expect_endpoints $h 0; done
reserved() { # host: addresses without an endpoint that are not free
    python3 - "$WORK/h$1/state/node.db" <<'P'
import json, sqlite3, sys
rows = sqlite3.connect(f"file:{sys.argv[1]}?mode=ro", uri=True).execute("SELECT body FROM row WHERE kind = 'place'")
print(sum("reservation" in json.loads(body) for (body,) in rows))
P
}
for h in 1 2; do step "no address is left reserved on host $h" within 130 equals 0 reserved $h; done
step "network rm" docker_on 1 network rm net shut
step "network rm" docker_on 2 network rm net

if [ -z "${QUICK:-}" ]; then
    shadow 1 >/dev/null; docker_on 1 network create plain >/dev/null
    series() { # network: milliseconds of each run, sorted
        local i began; for i in $(seq 15); do began=$(milliseconds); docker_on 1 run --rm --network "$1" busybox true; echo $(($(milliseconds) - began)); done | sort -n
    }
    for network in none bridge plain net none bridge plain net; do
        series $network | awk -v n=$network '{a[NR]=$1} END {print "time run --rm on " n ": median " a[int((NR+1)/2)] " ms, worst " a[NR] " ms"}'
    done
fi
conclude
