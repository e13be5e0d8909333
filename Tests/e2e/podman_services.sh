#!/bin/bash
# Services by the stock docker command on two hosts that are namespaces, each with a podman of its own behind Weft's socket: placed, found,
# balanced, scaled, updated, healed, with secrets, health checks, mounts and ports, and through the death of daemons.
# Needs root; makes and removes everything it uses.
# WEFT_BIN: directory with weft, weftd, weft-shim. PODMAN_ROOT: a directory with another system's podman, which is run in it.
# Prints a line a step, ends with `N passed, N failed`.
set -u
hosts="1 2"
. "$(dirname "$0")/podman_hosts.sh"

d() { docker 1 "$@"; }
running() { # service, how many tasks
    local n; n=$(d service ps "$1" --filter desired-state=running --format '{{.CurrentState}}' | grep -c '^Running')
    [ "$n" = "$2" ] || { echo "$n of $2 run"; d service ps "$1" --no-trunc; return 1; }
}
nodes() { d service ps "$1" --filter desired-state=running --format '{{.Node}}' | sort -u | tr '\n' ' '; }
says() { has "$2" d service ps "$1" --no-trunc --format '{{.Error}}'; }
# A container on a host that asks: the manual one of that host.
inside() { local n=$1; shift; docker "$n" exec "a$n" "$@"; }
addresses() { inside "$1" nslookup -type=a "$2" 169.254.77.53 2>/dev/null | awk '/^Name:/ { found = 1 } found && /^Address/ { print $NF }' | sort -u; }
finds() { local n; n=$(addresses "$1" "$2" | grep -c .); [ "$n" = "$3" ] || { echo "$2 has $n addresses on host $1"; return 1; }; }
ask() { inside "$1" busybox timeout 3 busybox wget -qO- "http://$2/"; }
spread() { # host, service, number of tasks that answer
    local who; who=$(for _ in $(seq $((8 * $3))); do ask "$1" "$2" || echo lost; done | cut -d' ' -f1 | sort -u)
    case $who in *lost*) echo "a request was lost: $who"; return 1 ;; esac
    [ "$(wc -l <<<"$who")" = "$3" ] || { echo "answered by: $who"; return 1; }
}
word() { [ "$(ask 1 "$1" | cut -d' ' -f2)" = "$2" ]; }
is_state() { equals "$2" d service inspect -f '{{.UpdateStatus.State}}' "$1"; }
server='trap "exit 0" TERM; cd /www; echo "$(hostname) $WORD" >index.html; busybox httpd -f -p 80 & wait'
serve() { # name, options: a service of such servers
    local name=$1; shift
    d service create -d --no-resolve-image --name "$name" --network n1 --hostname '{{.Service.Name}}-{{.Task.Slot}}' -e WORD=one "$@" \
        bb sh -c "$server"
}
# The container of a task, and the host it is on.
container() { docker "$1" ps -q --no-trunc --filter "label=com.docker.swarm.service.name=$2"; }
first() { for n in $hosts; do c=$(container "$n" "$1" | head -n 1); [ -z "$c" ] || { echo "$n $c"; return; }; done; }
executes() { local n c; read -r n c <<<"$(first "$1")"; shift; docker "$n" exec "$c" "$@"; }
inspects() { local n c; read -r n c <<<"$(first "$1")"; docker "$n" inspect -f "$2" "$c"; }
attachments() { on "$1" ls /run/weft/netns | wc -l; }

for n in $hosts; do step "host $n" make_host $n; step "weftd on host $n" start_weftd $n; step "podman on host $n" start_podman $n; done
echo "     $(podman 1 --version)"
step "a swarm, by docker" d swarm init --advertise-addr 172.29.9.1
step "host 2 joins" docker 2 swarm join --token "$(d swarm join-token -q worker)" 172.29.9.1:2377
for n in $hosts; do docker $n import "$work/image.tar" bb >/dev/null 2>&1; done
step "a network" d network create -d overlay --attachable --subnet 10.77.1.0/24 n1
for n in $hosts; do step "a container on host $n" within 10 docker $n run -d --name a$n --network n1 bb sleep 1000; done

step "a service on every node" d service create -d --no-resolve-image --name probe --mode global bb sleep 1000
step "runs on both, once both engines are known" within 60 running probe 2
step "rm" d service rm probe
step "service create" serve web --replicas 3
step "three run" within 60 running web 3
step "on both hosts" equals "$id-h1 $id-h2 " nodes web
step "service ls" equals "web 3/3" d service ls --format '{{.Name}} {{.Replicas}}'
vip=$(d service inspect -f '{{range .Endpoint.VirtualIPs}}{{.Addr}}{{end}}' web | cut -d/ -f1)
for n in $hosts; do
    step "its name is its address on host $n" within 5 equals "$vip" addresses $n web
    step "tasks.web is its tasks on host $n" within 5 finds $n tasks.web 3
    step "all answer on host $n" spread $n web 3
done
step "containers are labelled as Swarm's" has "web." inspects web '{{index .Config.Labels "com.docker.swarm.task.name"}}'
step "and shown with their network" has "10.77.1." inspects web '{{.NetworkSettings.Networks.n1.IPAddress}}'
step "a task's name" within 5 has "10.77.1." addresses 2 "$(inspects web '{{index .Config.Labels "com.docker.swarm.task.name"}}')"
step "hostname by template" has "web-" executes web hostname
step "service logs" d service logs web

step "scale up" d service scale -d web=5
step "five run" within 60 running web 5
step "five are found" within 5 finds 2 tasks.web 5
step "scale down" d service scale -d web=2
step "two are found" within 60 finds 2 tasks.web 2
step "two run" within 20 running web 2
step "both answer" spread 1 web 2

step "update" d service update -q --no-resolve-image --env-add WORD=two web
step "is completed" within 60 is_state web completed
step "the new ones answer" within 5 word web two
step "rollback" d service rollback -q web
step "the former ones answer" within 10 word web one
step "both run" within 20 running web 2

killed() { local n c; read -r n c <<<"$(first web)"; victim=$c; kill -9 "$(docker "$n" inspect -f '{{.State.Pid}}' "$c")"; }
step "a task is killed" killed
replaced() { running web 2 && hasnt "$victim" container 1 web && hasnt "$victim" container 2 web; }
step "and replaced" within 60 replaced
step "both answer" within 10 spread 2 web 2
removed() { local n c; read -r n c <<<"$(first web)"; victim=$c; podman "$n" rm -f -t 0 "$c"; }
step "by the podman command" removed
step "and replaced too" within 60 replaced
step "both answer again" within 10 spread 1 web 2

step "a secret" sh -c "printf s3cret | nsenter -t ${holder[1]} -n -m -u env DOCKER_HOST=unix:///run/weft/docker.sock docker secret create key -"
step "a config" sh -c "printf 'slot {{.Task.Slot}}' | nsenter -t ${holder[1]} -n -m -u env DOCKER_HOST=unix:///run/weft/docker.sock docker config create --template-driver golang conf -"
step "a service with many wishes" serve rich --secret source=key,mode=0400 --config source=conf,target=/etc/conf \
    --limit-memory 64m --limit-cpu 0.5 --limit-pids 60 --user 0:0 --read-only --mount type=tmpfs,target=/www,tmpfs-size=1m \
    --mount type=volume,source=vol,target=/data --cap-add NET_ADMIN --stop-signal SIGUSR1 --stop-grace-period 3s \
    --host printer:192.0.2.7 --dns-search shop.test --label tier=1 --container-label kind=rich
step "runs" within 60 running rich 1
step "its secret" equals s3cret executes rich cat /run/secrets/key
step "its config, a template" equals "slot 1" executes rich cat /etc/conf
step "its memory" equals 67108864 inspects rich '{{.HostConfig.Memory}}'
step "its processors" equals 500000000 inspects rich '{{.HostConfig.NanoCpus}}'
step "its processes" equals 60 inspects rich '{{.HostConfig.PidsLimit}}'
step "its host names" has printer executes rich cat /etc/hosts
step "its search domains" has shop.test executes rich cat /etc/resolv.conf
step "its root is read-only" refused "read-only" executes rich busybox touch /x
step "its tmpfs" has "size=1024k" executes rich cat /proc/mounts
step "its label" equals rich inspects rich '{{.Config.Labels.kind}}'
step "refused on podman: a volume's driver options" serve odd --restart-condition none --mount type=volume,source=v2,target=/data,volume-opt=type=nfs
step "the task says so" within 30 says odd "podman makes volumes without options"
step "rm of both" d service rm rich odd
step "their containers go" within 60 equals "" container 1 rich

step "an image that is nowhere" d service create -d --no-resolve-image --name nix --restart-condition none --network n1 127.0.0.1:1/nix:1
step "says so" within 60 says nix "pulling it failed"
step "a command that is not there" d service create -d --no-resolve-image --name bad --restart-condition none --network n1 bb /nosuch
step "says so too" within 60 says bad "starting container failed"
step "an end of its own" d service create -d --no-resolve-image --name ends --restart-condition none --network n1 bb sh -c 'exit 7'
step "with its code" within 60 says ends "non-zero exit (7)"
step "a job" d service create -d --no-resolve-image --name job --mode replicated-job --replicas 2 --network n1 bb true
step "is completed" within 60 equals 2 sh -c "nsenter -t ${holder[1]} -n -m -u env DOCKER_HOST=unix:///run/weft/docker.sock docker service ps job --format '{{.CurrentState}}' | grep -c ^Complete"
step "rm" d service rm nix bad ends job

step "a health check" serve fit --health-cmd 'test -e /tmp/fit' --health-interval 1s --health-retries 3 --health-start-period 10s
starting() { has Starting d service ps fit --format '{{.CurrentState}}'; }
step "is waited for" within 30 starting
step "nobody is its backend" within 5 finds 2 tasks.fit 0
health() { [ -n "$(first fit)" ] && executes fit busybox touch /tmp/fit; }
step "it gets well" within 10 health
step "runs" within 60 running fit 1
step "and is found" within 5 finds 2 tasks.fit 1
fit=$(inspects fit '{{.Id}}')
step "it falls ill" executes fit busybox rm /tmp/fit
ill() { hasnt "$fit" container 1 fit && hasnt "$fit" container 2 fit; }
step "and is replaced" within 90 ill
step "rm" d service rm fit

step "ports at its node" serve port --publish mode=host,published=8090,target=80 --mode global
step "run" within 60 running port 2
for n in $hosts; do step "host $n's answers" within 10 has port on 2 curl -s -m 5 "http://172.29.9.$n:8090/"; done
step "shown" has "8090->80/tcp" d service ps port --format '{{.Ports}}'
step "rm" d service rm port
step "the port goes" within 60 not on 2 curl -s -m 1 http://172.29.9.1:8090/
step "ports at every node" serve mesh --publish published=8091,target=80
step "runs" within 60 running mesh 1
for n in $hosts; do step "host $n answers" within 10 has mesh on $n curl -s -m 5 "http://172.29.9.$((3 - n)):8091/"; done
step "rm" d service rm mesh
step "on the host's network" d service create -d --no-resolve-image --name bare --network host bb sleep 1000
step "runs" within 60 running bare 1
step "rm" d service rm bare

# Daemons die, what runs does not.
tasks() { d service ps web -q --no-trunc --filter desired-state=running | sort; }
before=$(tasks)
step "kill -9 of weftd on host 2" end "${daemon[2]}"
step "both answer still" within 10 spread 1 web 2
step "weftd comes back" start_weftd 2
same() { running web 2 && equals "$before" tasks; }
step "the same tasks go on" within 60 same
step "kill -9 of weftd on the manager" end "${daemon[1]}"
step "weftd comes back there" start_weftd 1
step "the same tasks still" within 60 same
step "kill -9 of podman on host 2" end "${engine[2]}"
step "podman comes back" start_podman 2
step "the same tasks after all" within 60 same
step "both answer" within 10 spread 1 web 2
step "weftd dies once more on host 2" end "${daemon[2]}"
lone() { local c; c=$(podman 2 ps -q --no-trunc --filter label=com.docker.swarm.service.name=web | head -n 1); [ -n "$c" ] && podman 2 kill -s KILL "$c"; }
step "and a task with nobody watching" lone
step "weftd comes back" start_weftd 2
other() { running web 2 && [ "$(tasks)" != "$before" ]; }
step "it is replaced" within 60 other
step "both answer" within 10 spread 2 web 2

step "drain host 2" d node update --availability drain "$id-h2"
moved() { running web 2 && equals "$id-h1 " nodes web; }
step "its tasks move" within 60 moved
step "rm of all" d service rm web
for n in $hosts; do
    step "no container is left on host $n" within 60 equals "" container $n web
    step "nor a namespace but the manual one's" within 20 equals 1 attachments $n
    docker $n rm -f a$n >/dev/null
done
step "the network goes" within 20 d network rm n1
conclude
