#!/bin/bash
# What Weft's own sandboxes are given as tasks of services, on two hosts of a lab without engines: secrets and configs, users, mounts,
# roots of their own, health checks, limits and rights, ports of their hosts'.
# WEFT_BIN: directory with weft, weftd, weft-shim. Needs root and busybox.
# Prints a line a step, ends with `N passed, N failed`.
set -u
cd "$(dirname "$0")/../.."
PATH="${WEFT_BIN:?directory with the built executables}:$PATH"
export PATH LC_ALL=C
lab=${WEFT_LAB:-weft-lab}
out=$(mktemp -d)
. Tests/e2e/steps.sh
trap 'weft lab down >/dev/null 2>&1; rm -rf "$out"' EXIT

on() { local h=$1; shift; timeout 120 weft lab exec "$h" -- "$@"; }
w() { on 1 weft "$@"; }
create() { w service create -d --network my_net "$@"; }
state() { w service ps "$1" --no-trunc --filter desired-state=running --format '{{.CurrentState}}' | cut -d' ' -f1 | sort -u; }
is() { equals "$2" state "$1"; }
# A service whose tasks write what they see, and go on.
shows() { # name, options -- line of a shell
    local name=$1 options=(); shift
    while [ "$1" != -- ]; do options+=("$1"); shift; done
    create --name "$name" "${options[@]}" -- sh -c "{ $2; } 2>&1; echo end of it; exec sleep 1000"
}
log() { w service logs --raw "$1" 2>&1; }
said() { # name, lines that it writes
    local name=$1 line; shift
    has "end of it" log "$name" || return 1
    for line in "$@"; do has "$line" log "$name" || return 1; done
}
problem() { w service ps "$1" --no-trunc --format '{{.Error}}'; }

weft lab down >/dev/null 2>&1
step "a lab" weft lab up --nodes 2
step "a network" w network create -d overlay --attachable my_net
step "a secret" on 1 sh -c 'printf s3cret | weft secret create key -'
step "a config" on 1 sh -c 'printf "slot {{.Task.Slot}} on {{.Node.Hostname}}" | weft config create --template-driver golang conf -'

step "secrets and configs" shows files --replicas 2 --secret source=key,uid=12,gid=34,mode=0440 --config conf \
    -- 'cat /run/secrets/key; stat -c "mode %a %u %g" /run/secrets/key; cat /conf; echo x >/run/secrets/key; stat -f -c "on %T" /run/secrets/key'
step "are files of its tasks" within 20 said files s3cret "mode 440 12 34" "slot 1 on host" "slot 2 on host" "Read-only" "on tmpfs"
step "in nobody else's sight" not test -e /conf
refer() { w service inspect files; }
step "and in no answer" hasnt s3cret refer

mkdir -p "$out/data" "$out/root/bin" "$out/root/etc"
chmod 755 "$out"; echo here >"$out/data/file"
cp "$(command -v busybox)" "$out/root/bin/busybox"
for name in sh cat id touch sleep echo stat grep; do ln -s busybox "$out/root/bin/$name"; done
echo 'web:x:33:44::/srv:/bin/sh' >"$out/root/etc/passwd"; echo 'web:x:44:' >"$out/root/etc/group"
step "a root of its own" shows rooted --rootfs "$out/root" --read-only --init -u web --hostname '{{.Service.Name}}-{{.Task.Slot}}' --add-host db:192.0.2.7 \
    --mount "type=bind,source=$out/data,target=/deep/data,readonly" --mount type=tmpfs,target=/scratch,tmpfs-size=65536 \
    -- 'id; echo "home $HOME"; cat /proc/1/comm /etc/hostname /deep/data/file; grep db /etc/hosts; touch /x; touch /scratch/x && echo scratched; echo aloud >/dev/stderr'
step "with user, mounts and names" within 20 said rooted "uid=33(web) gid=44(web)" "home /srv" weft-init rooted-1 here "192.0.2.7" \
    "/x: Read-only file system" scratched aloud
step "a mount without its source" create --name nowhere --mount type=bind,source=/no/such,target=/data -- sleep 1000
step "says so" within 20 has "cannot mount /no/such" problem nowhere
step "a volume" refused "volumes are a container engine's" create --name x --mount type=volume,source=v,target=/v -- true
step "a read-only root of the host's" refused "--rootfs" create --name x --read-only -- true

step "rights" shows rights --cap-drop ALL --cap-add NET_RAW --no-new-privileges --ulimit nofile=111:222 --sysctl net.core.somaxconn=77 \
    -- 'grep -E "CapEff|NoNewPrivs" /proc/self/status; ulimit -n; ulimit -Hn; cat /proc/sys/net/core/somaxconn'
step "are as asked" within 20 said rights "0000000000002000" "NoNewPrivs:	1" 111 222 77
step "a setting of the whole host's" refused "not a setting of a sandbox's own" create --name x --sysctl kernel.panic=1 -- true
step "memory" create --name hungry --restart-condition none --limit-memory 32m -- sh -c 'head -c 200m /dev/zero | tail -c 200m >/dev/null'
killed() { has "exit (137)" problem hungry; }
step "is not exceeded" within 30 killed
step "processes" shows forks --limit-pids 8 -- 'sh -c "for i in 1 2 3 4 5 6 7 8 9 10; do sleep 60 & done"'
step "neither" within 20 said forks "fork"

step "a health check" create --name healthy --replicas 1 --health-cmd "test -e $out/well" --health-interval 200ms --health-start-period 1m \
    --health-start-interval 100ms --restart-delay 0s -- sleep 1000
starting() { is healthy Starting; }
step "is waited for" within 10 starting
touch "$out/well"
step "and passes" within 10 is healthy Running
rm "$out/well"
failed_() { has "unhealthy container" problem healthy; }
step "and fails" within 20 failed_

server='cd $(mktemp -d) && hostname >index.html && exec busybox httpd -f -p 80'
ask() { on "$1" busybox timeout 3 busybox wget -qO- "http://$2/"; }
step "a port of its host's" create --name port --hostname '{{.Node.Hostname}}' --mode global --publish mode=host,published=8090,target=80 -- sh -c "$server"
step "runs on both" within 20 is port Running
for i in 1 2; do
    ip=$(w node inspect host$i --format '{{.Status.Addr}}')
    for from in 1 2; do step "host $from asks host $i" within 5 equals "host$i" ask $from "$ip:8090"; done
done
step "without a network" refused "a sandbox without a network" w service create -d --name x --publish mode=host,published=81,target=80 -- true
step "a port of any number" create --name any --publish mode=host,target=80 -- sh -c "$server"
number() { w service ps any --format '{{.Ports}}' | grep -o '[0-9]*->80/tcp'; }
step "gets one, and shows it" within 20 number
for name in files rooted nowhere rights hungry forks healthy port any; do step "rm $name" w service rm $name; done
step "nothing of them is left on host 1" within 20 equals "" on 1 weft ps -a -q
conclude
