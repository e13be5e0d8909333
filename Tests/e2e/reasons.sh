#!/bin/bash
# What a service lacks, said where people look, and what becomes of it once it is there: an image, a node with room, a port of the host's,
# an address; of replicated and global services and of jobs. On one host with dockerd, in a swarm that is announced at 127.0.0.1.
# WEFT_BIN: directory with weft, weftd, weft-shim. Needs root, docker, dockerd, busybox and python3.
# DOCKER_PY: a directory with the sources of docker-py, whose own tests of services, swarms and networks are run then (pytest, paramiko).
# Prints a line a step, ends with `N passed, N failed`.
set -u
cd "$(dirname "$0")/../.."
PATH="${WEFT_BIN:?directory with the built executables}:$PATH"
export PATH LC_ALL=C
lab=${WEFT_LAB:-weft-lab}
out=$(mktemp -d)
. Tests/e2e/steps.sh
finish() {
    if [ "${KEEP_LOGS:-}" ]; then
        mkdir -p "$KEEP_LOGS"
        for d in weftd dockerd; do cp "/run/$lab/host1/$d.log" "$KEEP_LOGS/reasons-$d.log"; done
    fi
    weft lab down
    rm -rf "$out"
}
trap 'finish >/dev/null 2>&1' EXIT

socket=unix:///run/$lab/host1/run/docker.sock
d() { timeout 60 docker -H "$socket" "$@"; }
create() { local name=$1; shift; d service create -q --detach --no-resolve-image --restart-delay 2s --name "$name" "$@"; }
says() { has "$2" d service ps --no-trunc --format '{{.Error}}' "$1"; }
count() { d service ls --filter "name=$1" --format '{{.Replicas}}'; }
is() { has "$2" count "$1"; }

weft lab down >/dev/null 2>&1
step "a lab of a host with an engine" weft lab up --nodes 1 --engine docker --no-swarm
step "an image" weft lab image --busybox
step "tunnels cannot end at 127.0.0.1" refused "give an address of the host's network" d swarm init --data-path-addr 127.0.0.1
step "a swarm announced there" d swarm init --advertise-addr 127.0.0.1
step "its node is ready" within 10 equals Ready d node ls --format '{{.Status}}'

# An image that there is not.
declare -A modes=([replicated]="" [global]="--mode global" [job]="--mode replicated-job --restart-condition on-failure"
    [globaljob]="--mode global-job --restart-condition on-failure")
for kind in "${!modes[@]}"; do
    # shellcheck disable=SC2086
    step "$kind: a service of it" create "$kind" ${modes[$kind]} special:1 sh -c 'case $0 in *job) ;; *) sleep 86400 ;; esac' "$kind"
done
for kind in "${!modes[@]}"; do step "$kind: service ps says so" within 20 says "$kind" "No such image: special:1"; done
for kind in replicated global; do is "$kind" 0/1 || sleep 1; step "$kind: none of one runs" within 5 is "$kind" 0/1; done
shown() { has "No such image" timeout 6 docker -H "$socket" service create --no-resolve-image --restart-delay 2s --name shown special:1; }
step "the progress of a command shows it" shown
pulls() { grep -c "an image cannot be pulled" "/run/$lab/host1/weftd.log"; }
seldom() { # It is asked for once in a delay by each of the four.
    local before after; before=$(pulls); sleep 8; after=$(pulls)
    [ $((after - before)) -le 20 ] || { echo "asked for $((after - before)) times in 8 seconds"; return 1; }
}
step "the registry is asked once in a delay" seldom
d service rm shown >/dev/null
step "the image is there" d tag alpine special:1
for kind in replicated global; do step "$kind: it runs" within 20 is "$kind" 1/1; done
for kind in job globaljob; do step "$kind: it is done" within 20 is "$kind" "1/1 completed"; done

# Room that no node has.
create roomy --mode global --reserve-memory 400g alpine sleep 86400 >/dev/null
create roomyjob --mode global-job --restart-condition on-failure --reserve-memory 400g alpine true >/dev/null
for name in roomy roomyjob; do
    step "$name: service ps says what is lacking" within 10 says $name "no suitable node (insufficient resources on 1 node)"
    step "$name: less is asked for" d service update -q --detach --no-resolve-image --reserve-memory 8m $name
done
step "roomy: it runs" within 20 is roomy 1/1
step "roomyjob: it is done" within 20 is roomyjob "1/1 completed"
step "what nodes do not tell of is waited for" create gpus --generic-resource gpu=1 alpine true
step "gpus: service ps says so" within 10 says gpus "insufficient resources on 1 node"

# A port of the host's that another program has, and one that another service has.
weft lab exec 1 -- timeout 120 python3 - "$out/release" <<'PYTHON' >"$out/holder" 2>&1 &
import os, socket, sys, time
holder = socket.create_server(("0.0.0.0", 9001))
print("ready", flush=True)
while not os.path.exists(sys.argv[1]): time.sleep(0.1)
PYTHON
step "a program has the port" within 10 grep -q ready "$out/holder"
create ported --mode global --publish mode=host,published=9001,target=80 alpine sleep 86400 >/dev/null
step "ported: service ps says that the port is taken" within 20 says ported "address already in use"
touch "$out/release"
step "ported: it runs once the port is free" within 30 is ported 1/1
step "other: another service wants the same port" create other --publish mode=host,published=9001,target=80 alpine sleep 86400
step "other: service ps says whom it waits for" within 10 says other "host-mode port already in use on 1 node"
step "ported: rm" d service rm ported
step "other: it runs then" within 30 is other 1/1

# Addresses.
d network create -d overlay --subnet 10.201.0.0/29 tiny >/dev/null
create first --replicas 8 --network tiny --stop-grace-period 1s alpine sleep 86400 >/dev/null
step "first: service ps says that there are no addresses left" within 20 says first "no free address in network tiny"
step "first: fewer are asked for" d service update -q --detach --no-resolve-image --replicas 2 first
step "first: they run" within 30 is first 2/2
step "a network in use stays" refused "in use" d network rm tiny

# A container that somebody starts once its task is over.
create hand alpine sleep 86400 >/dev/null
step "hand: it runs" within 20 is hand 1/1
old=$(d ps -q --filter label=com.docker.swarm.service.name=hand)
d kill "$old" >/dev/null
another() { local now; now=$(d ps -q --filter label=com.docker.swarm.service.name=hand); [ "$now" ] && [ "$now" != "$old" ]; }
step "hand: another follows" within 20 another
step "hand: the first is started by hand" d start "$old"
alone() { equals 1 sh -c "docker -H $socket ps -q --filter label=com.docker.swarm.service.name=hand | grep -c ."; }
step "hand: and is stopped again" within 30 alone
step "hand: the other runs on" another

if [ "${DOCKER_PY:-}" ]; then
    step "leave" d swarm leave --force
    for tag in alpine:3.10 busybox:latest busybox:buildroot-2014.02; do d tag alpine:latest $tag; done
    sdk() { # a file of docker-py's integration tests
        DOCKER_HOST=$socket DOCKER_TEST_API_VERSION=1.41 PYTHONPATH=$DOCKER_PY timeout 300 python3 -m pytest -q -p no:cacheprovider \
            --rootdir "$DOCKER_PY" "$DOCKER_PY/tests/integration/$1"
    }
    for file in api_service models_services api_secret api_config api_swarm models_swarm models_nodes api_network models_networks errors; do
        step "docker-py: $file" sdk "${file}_test.py"
    done
fi
conclude
