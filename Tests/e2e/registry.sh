#!/bin/bash
# Services of images that a registry shows to one user alone, by the docker command, on two hosts with dockerd: the credentials go
# with the service to the nodes that run it, stay over an update, and are nowhere to be read. And services without a registry.
# WEFT_BIN: directory with weft, weftd, weft-shim. Needs root, docker, dockerd, busybox, python3; brings a lab up.
# Prints a line a step, ends with `N passed, N failed`.
set -u
cd "$(dirname "$0")/../.."
PATH="${WEFT_BIN:?directory with the built executables}:$PATH"
export PATH LC_ALL=C
lab=${WEFT_LAB:-weft-lab}
out=$(mktemp -d)
export DOCKER_CONFIG=$out/docker
mkdir "$DOCKER_CONFIG"
registries=()
. Tests/e2e/steps.sh
finish() {
    if [ "${KEEP_LOGS:-}" ]; then
        mkdir -p "$KEEP_LOGS"
        for i in 1 2; do for d in weftd dockerd; do cp "/run/$lab/host$i/$d.log" "$KEEP_LOGS/registry-$d$i.log"; done; done
    fi
    for p in "${registries[@]}"; do kill "$p"; done
    weft lab down
    rm -rf "$out"
}
trap 'finish >/dev/null 2>&1' EXIT

docker_on() { local n=$1; shift; timeout 120 docker --host "unix:///run/$lab/host$n/run/docker.sock" "$@"; }
d() { docker_on 1 "$@"; }
image=127.0.0.1:5055/private/app
# A registry on every host's loopback, where engines take one without TLS; all have the same images.
start_registry() {
    ip netns exec "$lab-$1" python3 Tests/e2e/registry.py 5055 "$out/images" tester psst-hush-4711 "$out/asked.$1" >"$out/registry.$1.log" 2>&1 </dev/null &
    registries+=($!)
    within 10 ip netns exec "$lab-$1" curl -s -o "$out/ping" http://127.0.0.1:5055/v2/
}
push() { d tag alpine "$image:$1" && d push "$image:$1"; } # tag
names() { docker_on "$1" image ls --digests --format '{{.Repository}}:{{.Tag}} {{.Repository}}@{{.Digest}}' "$image" | tr ' ' '\n' | grep -v '<none>'; }
# By its names, of which some go with others: the image itself is alpine's too.
away() {
    local name; for name in $(names "$1" | sort -u); do docker_on "$1" image rm "$name"; done
    equals "" names "$1"
}
running() { # service, how many tasks
    local n; n=$(d service ps "$1" --filter desired-state=running --format '{{.CurrentState}}' | grep -c '^Running')
    [ "$n" = "$2" ] || { echo "$n of $2 run"; d service ps "$1" --no-trunc; return 1; }
}
nodes() { d service ps "$1" --filter desired-state=running --format '{{.Node}}' | sort -u | tr '\n' ' '; }
says() { has "$2" d service ps "$1" --no-trunc --format '{{.Error}}'; }
create() { d service create -d --restart-condition none --stop-grace-period 1s "$@" sleep 86400; }
asked() { grep -c "^tester GET .*/manifests/" "$out/asked.$1"; } # how often a host was given an image
more() { [ "$(asked "$1")" -gt "$2" ]; }
raw() { curl -s --unix-socket "/run/$lab/host1/run/docker.sock" "http://d/v1.41/$1"; }
# The password in the clear, and within base 64 wherever it begins.
secret="psst-hush-4711$(for lead in "" x xx; do printf '|%s' "$(printf '%spsst-hush-4711' "$lead" | base64 | cut -c5-16)"; done)"
untold() { local said; said=$(raw "$1"); [ -n "$said" ] && ! grep -oE "$secret" <<<"$said"; } # path of the API
unread() { # directory, or file
    local found; found=$(grep -rlaE "$secret" "$1")
    [ -z "$found" ] || { echo "found in $found"; return 1; }
}

weft lab down >/dev/null 2>&1
step "a lab of two hosts with engines" weft lab up --nodes 2 --engine docker
step "an image" weft lab image --busybox
for n in 1 2; do step "a registry on host $n" start_registry $n; done

step "without a registry a service has its tag" create --name plain --mode global alpine
step "and runs" within 60 running plain 2
step "the tag is the image" equals alpine:latest d service inspect -f '{{.Spec.TaskTemplate.ContainerSpec.Image}}' plain

step "not pushed by a stranger" refused "no basic auth credentials" push 1
step "login" sh -c "echo psst-hush-4711 | docker --host unix:///run/$lab/host1/run/docker.sock login -u tester --password-stdin 127.0.0.1:5055"
step "push" push 1
step "and a second tag" push 2
step "host 1 has it no more" away 1
step "it would be found where it is" not unread "$DOCKER_CONFIG"

step "a service without credentials" create --name stranger --replicas 2 $image:1
step "gets no image, and says why" within 60 says stranger "pulling it failed"
step "in the registry's words" says stranger "no basic auth credentials"
step "service create --with-registry-auth" create --with-registry-auth --name app --replicas 2 $image:1
step "runs" within 60 running app 2
step "on both hosts" equals "host1 host2 " nodes app
for n in 1 2; do step "host $n's engine was given it" more $n 0; done
step "the image is pinned by its digest" has "$image:1@sha256:" d service inspect -f '{{.Spec.TaskTemplate.ContainerSpec.Image}}' app
for path in services services/app tasks "events?since=0&until=$(date +%s)" "containers/json?all=1"; do
    step "no word of them at /${path%%\?*}" untold "$path"
done
for n in 1 2; do step "nor in files of weftd on host $n" unread "/run/$lab/host$n/state"; done

step "an update without credentials" d service update -d --no-resolve-image --image $image:2 app
updated() { running app 2 && equals completed d service inspect -f '{{.UpdateStatus.State}}' app; }
step "has the former ones" within 60 updated
step "rollback" d service update -d --rollback app
back() { running app 2 && equals rollback_completed d service inspect -f '{{.UpdateStatus.State}}' app; }
step "runs" within 60 back

tasks() { d service ps app -q --filter desired-state=running | sort; }
same=$(tasks)
step "other credentials alone" d service update -d --with-registry-auth app
step "replace nothing" equals "$same" tasks
step "after logout" d logout 127.0.0.1:5055
step "scale to none" d service scale -d app=0
gone() { equals "" docker_on 2 ps -q --filter label=com.docker.swarm.service.name=app && equals "" d ps -q --filter label=com.docker.swarm.service.name=app; }
step "nothing runs" within 60 gone
for n in 1 2; do step "host $n has it no more" away $n; done
before=$(asked 2)
step "weftd dies on host 2" weft lab kill 2
step "and starts" weft lab start 2
step "scale" d service scale -d app=2
step "the image is got again" within 60 running app 2
step "on both" equals "host1 host2 " nodes app
step "from the registry" more 2 "$before"
step "rm" d service rm app stranger plain
conclude
