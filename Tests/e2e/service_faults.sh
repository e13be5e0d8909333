#!/bin/bash
# Services of containers on three hosts with dockerd, through what goes wrong: checks of health that fail, an image that one host lacks,
# engines that are restarted and killed, daemons killed in the middle of a rollout, a host lost and back, drained and active again.
# After each the service is what was asked for: so many tasks, on hosts that are there, no more containers than tasks, and it answers.
# WEFT_BIN: directory with weft, weftd, weft-shim. Needs root, docker, dockerd and busybox.
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
        for i in 1 2 3; do for d in weftd dockerd; do cp "/run/$lab/host$i/$d.log" "$KEEP_LOGS/faults-$d$i.log"; done; done
    fi
    weft lab down
    rm -rf "$out"
}
trap 'finish >/dev/null 2>&1' EXIT

d() { timeout 60 docker -H "unix:///run/$lab/host1/run/docker.sock" "$@"; }
# A host's engine, past weftd.
engine() { local h=$1; shift; timeout 60 docker -H "unix:///run/$lab/host$h/docker/docker.sock" "$@"; }
serve() { # name, options: a service of containers that answer with their host name and a word
    local name=$1; shift
    d service create -q --detach --no-resolve-image --name "$name" --network net --hostname '{{.Task.Name}}' --restart-delay 500ms \
        --stop-grace-period 2s "$@" alpine \
        sh -c 'trap "exit 0" TERM; mkdir -p /www; echo "$(hostname) $WORD" >/www/index.html; httpd -f -p 80 -h /www & wait'
}
tasks() { # service, what of them: their ids
    local format=${2:-}; [ -n "$format" ] || format='{{.ID}}'
    d service ps "$1" --no-trunc --filter desired-state=running --format "$format"
}
running() { # service, how many tasks
    local n; n=$(tasks "$1" '{{.CurrentState}}' | grep -c '^Running')
    [ "$n" = "$2" ] && [ "$(tasks "$1" | wc -l)" = "$2" ] || { echo "$n of $2 run"; d service ps "$1" --no-trunc; return 1; }
}
hosts_of() { tasks "$1" '{{.Node}}' | sort -u | tr '\n' ' '; }
containers() { # service: of it that run, on all hosts
    for h in 1 2 3; do engine $h ps -q --no-trunc --filter "label=com.docker.swarm.service.name=$1" || echo "host $h does not say"; done
}
# Neither a container too many nor one too few.
no_more() { equals "$2" sh -c "echo '$(containers "$1")' | grep -c ."; }
client() { local h=$1; shift; engine "$h" exec client "$@"; }
answerers() { for _ in $(seq $((4 * $3))); do client "$1" timeout 3 wget -qO- "http://$2/" || echo "lost lost"; done | cut -d' ' -f1 | sort -u; }
spread() { # host, service, number of tasks that answer
    local who; who=$(answerers "$1" "$2" "$3")
    case $who in *lost*) echo "a request was lost: $who"; return 1 ;; esac
    [ "$(wc -l <<<"$who")" = "$3" ] || { echo "answered by: $who"; return 1; }
}
whole() { running "$1" "$2" && no_more "$1" "$2"; }
becomes_whole() { # service, tasks, host to ask on
    step "$1: $2 tasks run, and as many containers" within 60 whole "$1" "$2"
    step "$1: all of them answer on host $3" within 20 spread "$3" "$1" "$2"
}
words() { for _ in $(seq 12); do client 1 timeout 3 wget -qO- "http://$1/"; done | cut -d' ' -f2 | sort -u | tr '\n' ' '; }
state() { d service inspect --format '{{if .UpdateStatus}}{{.UpdateStatus.State}}{{end}}' "$1"; }
node_is() { equals "$2" d node inspect --format '{{.Status.State}}' "$1"; }

weft lab down >/dev/null 2>&1
step "a lab of three hosts with engines" weft lab up --nodes 3 --engine docker
step "an image" weft lab image --busybox
step "a network" d network create -d overlay --attachable net
for h in 1 2 3; do
    step "a client on host $h" docker -H "unix:///run/$lab/host$h/run/docker.sock" run -d --init --name client --network net alpine sleep 86400
done

# A task's health.
step "a service with a health check" serve well --replicas 2 --health-cmd 'test ! -e /sick' --health-interval 1s --health-retries 2
becomes_whole well 2 3
read -r sick at < <(tasks well '{{.ID}} {{.Node}}' | head -n 1)
container=$(engine "${at#host}" ps -q --filter "label=com.docker.swarm.task.id=$sick")
step "one falls ill" engine "${at#host}" exec "$container" touch /sick
other() { [ -n "$(tasks well)" ] && hasnt "$sick" tasks well; }
step "it is replaced" within 30 other
step "service ps says why" within 10 has "unhealthy" d service ps well --no-trunc
becomes_whole well 2 3
step "one that never gets well" d service create -q --detach --no-resolve-image --name ill --replicas 1 --restart-max-attempts 1 \
    --restart-delay 500ms --health-cmd false --health-interval 500ms --health-retries 1 alpine sleep 1000
given_up() { [ "$(d service ps ill --no-trunc --format '{{.CurrentState}}' | grep -c '^Failed')" = 2 ]; }
step "is tried as often as was asked" within 40 given_up
step "rm" d service rm well ill

# An image that one host does not have.
for h in 1 2; do step "an image on host $h" engine $h tag alpine special:1; done
step "a service of it on every host" d service create -q --detach --no-resolve-image --name special --mode global --network net \
    --restart-delay 500ms special:1 sh -c 'mkdir /www; hostname >/www/index.html; exec httpd -f -p 80 -h /www'
two() { [ "$(tasks special '{{.CurrentState}}' | grep -c ^Running)" = 2 ]; }
step "runs on two of them" within 30 two
reason() { d service ps special --no-trunc --format '{{.Node}} {{.Error}}' | grep '^host3' | grep -q 'No such image: special:1'; }
step "service ps says what host 3 lacks" within 30 reason
step "the image is loaded there" engine 3 tag alpine special:1
becomes_whole special 3 2
step "rm" d service rm special

# Engines that are stopped and killed under their tasks.
step "a service of six" serve web --replicas 6 -e WORD=one --update-delay 500ms --update-order start-first
becomes_whole web 6 1
step "the engine of host 2 is stopped" weft lab stop --engine 2
step "weftd answers there" has host2 weft -H "unix:///run/$lab/host2/run/docker.sock" status
step "and started" weft lab start --engine 2
step "its client is started" docker -H "unix:///run/$lab/host2/run/docker.sock" start client
becomes_whole web 6 2
step "the engine of host 3 is killed" weft lab kill --engine 3
step "and started" weft lab start --engine 3
step "its client is started" docker -H "unix:///run/$lab/host3/run/docker.sock" start client
becomes_whole web 6 3
step "the manager's own engine is stopped" weft lab stop --engine 1
step "and started" weft lab start --engine 1
step "its client is started" docker -H "unix:///run/$lab/host1/run/docker.sock" start client
becomes_whole web 6 1

# Daemons killed in the middle of a rollout.
# A task of the new spec runs, and not all of them do.
begun() { [ "$(state web)" = updating ] && tasks web '{{.ID}} {{.CurrentState}}' | grep ' Running' | grep -qvF "$before"; }
rollout() { # word, host whose weftd is killed
    before=$(tasks web)
    step "update to $1" d service update -q --detach --no-resolve-image --env-add "WORD=$1" web
    step "it is under way" within 30 begun
    step "weftd of host $2 is killed" weft lab kill "$2"
    step "and started" weft lab start "$2"
    step "the update ends" within 90 equals completed state web
    becomes_whole web 6 "$2"
    step "as it was asked for" equals "$1 " words web
}
rollout two 1
rollout three 2
rollout four 1

# A host that is lost, and comes back.
cable() { ip netns exec "$lab-3" ip link set eth0 "$1"; }
step "host 3 is lost" cable down
step "the swarm notices" within 60 node_is host3 down
moved() { running web 6 && equals "host1 host2 " hosts_of web; }
step "its tasks are elsewhere" within 60 moved
step "all six answer" within 20 spread 1 web 6
step "it comes back" cable up
step "and is ready" within 60 node_is host3 ready
becomes_whole web 6 3
step "on the same hosts" equals "host1 host2 " hosts_of web

# Drained, and active again.
step "drain host 2" d node update --availability drain host2
drained() { running web 6 && hasnt host2 hosts_of web; }
step "its tasks move" within 60 drained
step "nothing of it is left there" within 20 equals "" engine 2 ps -q --filter label=com.docker.swarm.service.name=web
becomes_whole web 6 2
step "active again" d node update --availability active host2
step "no task moves by itself" hasnt host2 hosts_of web
step "update --force" d service update -q --detach --force web
step "the update ends" within 90 equals completed state web
step "spreads them anew" equals "host1 host2 host3 " hosts_of web
becomes_whole web 6 1

step "rm" d service rm web
gone() { equals "" containers web; }
step "nothing of it is left" within 30 gone
for h in 1 2 3; do step "the client of host $h is gone" engine $h rm -f client; done
step "network rm" within 10 d network rm net
conclude
