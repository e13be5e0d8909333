#!/bin/bash
# Logs of services and of tasks on any node, through the manager's socket, by weft's command and the docker command: on three hosts of a
# lab without engines, as weftd on a node dies and comes back; then with containers on two hosts with engines.
# WEFT_BIN: directory with weft, weftd, weft-shim. Needs root, busybox, docker and dockerd.
# Prints a line a step, ends with `N passed, N failed`.
set -u
cd "$(dirname "$0")/../.."
PATH="${WEFT_BIN:?directory with the built executables}:$PATH"
export PATH LC_ALL=C
lab=${WEFT_LAB:-weft-lab}
out=$(mktemp -d)
. Tests/e2e/steps.sh
followers=()
finish() {
    local pid; for pid in "${followers[@]}"; do kill "$pid" 2>/dev/null; done
    weft lab down
    rm -rf "$out"
}
trap 'finish >/dev/null 2>&1' EXIT

on() { local h=$1; shift; timeout 120 weft lab exec "$h" -- "$@"; }
w() { on 1 weft "$@"; }
running() { # service, how many tasks
    local n; n=$(w service ps "$1" --filter desired-state=running --format '{{.CurrentState}}' | grep -c '^Running')
    [ "$n" = "$2" ] || { echo "$n of $2 run"; w service ps "$1" --no-trunc; return 1; }
}
# Says its name on both streams, then as many lines as the file `more` of its name says, and ends with the file `end`.
talker='echo "$ID begins"; echo "$ID complains" >&2; n=0; while [ ! -e $DIR/end.$ID ]; do t=$(cat $DIR/more.$ID 2>/dev/null); while [ $n -lt ${t:-0} ]; do
    n=$((n + 1)); echo "$ID line $n"; done; sleep 0.1; done; echo "$ID ends"'
talk() { # service, options
    local name=$1; shift
    w service create -d --name "$name" "$@" -e "ID={{.Task.Slot}}-$name" -e "DIR=$out" -- sh -c "$talker"
}
say() { echo "$2" >"$out/new" && mv "$out/new" "$out/more.$1"; }
task_on() { w service ps "$1" --filter "node=$2" --filter desired-state=running --no-trunc -q | head -n 1; }
hosts_in() { sed -n 's/^[^ ]*@\(host[0-9]\) .*begins$/\1/p' <<<"$1" | sort -u | tr '\n' ' '; }
all_hosts() { local got; got=$("$@" 2>/dev/null); equals "host1 host2 host3 " hosts_in "$got"; }
count() { local want=$1 what=$2 got; shift 2; got=$("$@" 2>/dev/null | grep -c -- "$what"); [ "$got" = "$want" ] || { echo "$got of $want: $what"; return 1; }; }
follow() { # file, command: in the background, both streams each in a file
    local file=$1; shift
    weft lab exec 1 -- "$@" >"$file" 2>"$file.err" &
    followers+=($!) follower=$!
}
in_file() { local n; n=$(grep -c -- "$2" "$1"); [ "$n" = "${3:-1}" ] || { echo "$n times '$2' in:"; tail -n 3 "$1"; return 1; }; }
ended() { ! kill -0 "$1" 2>/dev/null; }

weft lab down >/dev/null 2>&1
step "a lab" weft lab up --nodes 3
step "a service on three hosts" talk web --mode global
step "runs" within 20 running web 3
step "weft shows what all wrote" within 10 all_hosts w service logs web
step "docker shows it too" all_hosts on 1 docker service logs web
step "the streams are told apart" count 0 complains w service logs --raw web
errors() { w service logs --raw web 2>&1 >/dev/null; }
step "errors go to standard error" count 3 complains errors
step "a worker refers to managers" refused "not a swarm manager" on 2 weft service logs web
step "a service that there is not" refused "no such task or service" w service logs nosuch
for h in 1 2 3; do
    task=$(task_on web host$h)
    step "a task on host $h alone" count 1 begins w service logs --raw "$task"
    step "by docker, with its name" has "web.0.${task:0:12}@host$h" on 1 docker service logs "$task"
    step "its id whole" has ".$task@host$h" w service logs --no-trunc "$task"
done
step "without names" hasnt "@host2" w service logs --no-resolve web
step "without ids" has "web.0@host2" w service logs --no-task-ids web
step "with times" has "T" w service logs --raw --timestamps web
dated() { w service logs --raw --timestamps web 2>/dev/null | grep -cE '^20[0-9]{2}-[0-9-]+T[0-9:]+\.[0-9]{9}Z .*begins$'; }
step "in front of each line" equals 3 dated
step "none since a moment" within 5 count 0 begins w service logs --raw --since 1s web

step "a service with two tasks" talk two --replicas 2
step "runs" within 20 running two 2
follow "$out/followed" weft service logs -f --tail 2 two
follow "$out/docker" docker service logs -f --tail 0 two
dockers=$follower
step "followed from the last lines on" within 10 in_file "$out/followed" "begins" 2
say 1-two 500; say 2-two 300
step "what is written is followed" within 20 in_file "$out/followed" "-two line" 800
step "in its order" sh -c "grep -o '1-two line .*' $out/followed | sort -c -k3n"
step "docker follows too" within 10 in_file "$out/docker" "-two line" 800
step "scaled up" w service scale two=3
step "a task that comes later is followed from its beginning" within 20 in_file "$out/docker" "3-two begins"
say 3-two 50000
step "many lines at once" within 60 in_file "$out/docker" "3-two line" 50000
step "and of both" within 60 in_file "$out/followed" "3-two line" 50000
step "the last ones" equals "3-two line 50000" sh -c "WEFT_LAB=$lab weft lab exec 1 -- weft service logs --raw --tail 1 two 2>/dev/null | grep 3-two"
step "as many as anybody may ask for" count 50000 "3-two line" w service logs --raw --tail 999999999999 two
step "no node lost its session for it" hasnt "of a member" cat "/run/$lab/host1/weftd.log"

# A client that reads nothing.
mkfifo "$out/stuck"
weft lab exec 1 -- weft service logs -f two >"$out/stuck" 2>/dev/null & followers+=($!)
exec 7<"$out/stuck"
step "a client that takes nothing holds up no other" count 50000 "3-two line" w service logs --raw two
say 1-two 600
step "nor who follows" within 10 in_file "$out/followed" "1-two line 600"
exec 7<&-

host=$(w service ps two --filter desired-state=running --format '{{.Node}} {{.Name}}' | sed -n 's/^\(host[23]\) .*two\.\([0-9]\)$/\1 \2/p' | head -n 1)
slot=${host#* } host=${host% *}
step "weftd dies on $host" weft lab kill "${host#host}"
step "who follows is told" within 30 grep -q "weft: the output of task .* is not to be had" "$out/followed.err"
say "$slot-two" 60000
step "weftd starts on $host" weft lab start "${host#host}"
step "who follows goes on where it broke off" within 60 in_file "$out/followed" "$slot-two line 60000"
twice() { grep -o "$slot-two line .*" "$out/followed" | sort | uniq -d | head -n 3; }
step "without a line twice" equals "" twice

task=$(task_on two "$host")
follow "$out/task" weft service logs -f --raw "$task"
step "a task is followed" within 20 grep -q "line 60000" "$out/task"
touch "$out/end.$slot-two"
step "to its end" within 20 grep -q "$slot-two ends" "$out/task"
step "which is the follower's" within 20 ended $follower
rm "$out/end.$slot-two"
again() { [ "$(grep -c "$slot-two begins" "$out/followed")" -ge 2 ]; }
step "its successor is followed by who follows the service" within 30 again

# Gone for longer: its tasks go elsewhere, and what they wrote there is out of reach.
step "weftd dies again" weft lab kill "${host#host}"
others=$(w service ps two --filter desired-state=running --format '{{.Node}}' | grep -vc "$host")
shows_rest() { local got; got=$(w service logs --raw two 2>"$out/rest"); grep -q "is not to be had" "$out/rest" && [ "$(grep -c begins <<<"$got")" -ge "$others" ]; }
step "of the others all is shown" within 60 shows_rest
down() { has "is down" w service logs web; }
step "a node that is down is said to be" within 60 down
step "and starts" weft lab start "${host#host}"
step "the service is removed" w service rm two
step "and following ends with it" within 60 ended "$dockers"
step "web is removed" w service rm web
step "down" weft lab down

step "a lab with engines" weft lab up --nodes 2 --engine docker
step "an image" weft lab image --busybox
docker_on() { local n=$1; shift; timeout 60 docker --host "unix:///run/$lab/host$n/run/docker.sock" "$@"; }
step "a service of containers" docker_on 1 service create -d --name box --mode global --log-driver json-file --log-opt env=COLOUR -e COLOUR=red alpine \
    sh -c 'echo "$(hostname) begins"; echo "$(hostname) complains" >&2; n=0; while [ $n -lt 30000 ]; do n=$((n + 1)); echo "line $n"; done; exec sleep 1000'
boxes() { running box 2; }
step "runs" within 60 boxes
both() { local got; got=$(docker_on 1 service logs box 2>"$out/err") && equals "host1 host2 " hosts_in "$got" && [ "$(grep -c complains "$out/err")" = 2 ]; }
step "docker shows what both wrote" within 20 both
step "all of it" count 60000 "line" docker_on 1 service logs --raw box
step "weft shows it too" count 60000 "line" w service logs --raw box
step "the last lines of each" count 6 "line" docker_on 1 service logs --tail 3 box
step "details of the log driver" has "COLOUR=red" docker_on 1 service logs --details --tail 1 box
for h in 1 2; do step "a task on host $h" has "line 30000" docker_on 1 service logs --tail 1 "$(task_on box host$h)"; done
task=$(task_on box host2)
docker --host "unix:///run/$lab/host1/run/docker.sock" service logs -f --tail 1 "$task" >"$out/box" 2>&1 & followers+=($!) follower=$!
step "a container on the other host is followed" within 20 in_file "$out/box" "line 30000"
box=$(docker_on 2 ps -q --filter "label=com.docker.swarm.task.id=$task")
step "it is killed" docker_on 2 kill "$box"
step "and following ends" within 20 ended $follower
step "a terminal's output" docker_on 1 service create -d --name screen --tty --constraint node.hostname==host2 alpine sh -c 'echo on screen; exec sleep 1000'
screens() { running screen 1; }
step "runs" within 60 screens
step "is shown raw" within 10 has "on screen" docker_on 1 service logs --raw screen
step "and by weft" has "on screen" w service logs --raw screen
step "which else refuses it" refused "give --raw" w service logs screen
for name in box screen; do step "rm $name" w service rm $name; done
conclude
