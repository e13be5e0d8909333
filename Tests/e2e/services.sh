#!/bin/bash
# Services of Weft's own sandboxes on three hosts of a lab without engines: placed, found, balanced, scaled, updated, rolled back,
# healed, moved, and through the death of daemons; by weft's commands and by the docker command.
# WEFT_BIN: directory with weft, weftd, weft-shim. Needs root, busybox and docker (the command alone).
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
in_() { on "$1" weft exec "a$1" "${@:2}"; }
# Answers with its host name and a word; ends at once when it is told to.
server='trap "exit 0" TERM; mkdir -p $HOME; cd $HOME; echo "$(hostname) $WORD" >index.html; busybox httpd -f -p 80 & wait'
serve() { # name, options: a service of such servers
    local name=$1; shift
    w service create -d --name "$name" --network my_net --hostname '{{.Task.Name}}' -e "HOME=$out/{{.Task.Name}}" -e WORD=one "$@" \
        -- sh -c "$server"
}
running() { # service, how many tasks
    local n; n=$(w service ps "$1" --filter desired-state=running --format '{{.CurrentState}}' | grep -c '^Running')
    [ "$n" = "$2" ] || { echo "$n of $2 run"; w service ps "$1" --no-trunc; return 1; }
}
addresses() { in_ "$1" busybox nslookup "$2" 2>/dev/null | awk '/^Name:/ { found = 1 } found && /^Address/ { print $NF }' | sort -u; }
finds() { local n; n=$(addresses "$1" "$2" | wc -l); [ "$n" = "$3" ] || { echo "$2 has $n addresses on host $1"; return 1; }; }
ask() { in_ "$1" busybox timeout 3 busybox wget -qO- "http://$2/"; }
answerers() { for _ in $(seq 30); do ask "$1" "$2" || echo "lost lost"; done | cut -d' ' -f1 | sort -u; }
spread() { # host, service, number of tasks that answer
    local who; who=$(answerers "$1" "$2")
    case $who in *lost*) echo "a request was lost: $who"; return 1 ;; esac
    [ "$(wc -l <<<"$who")" = "$3" ] || { echo "answered by: $who"; return 1; }
}
hosts_of() { w service ps "$1" --filter desired-state=running --format '{{.Node}}' | sort -u | tr '\n' ' '; }
word() { [ "$(ask 1 "$1" | cut -d' ' -f2)" = "$2" ]; }
state() { w service inspect --format '{{.UpdateStatus.State}}' "$1"; }
is_state() { equals "$2" state "$1"; }
# A process on host 1 that asks a service all the time, and counts.
ask_on() { # service, file
    in_ 1 sh -c "echo \$\$ >$2.pid; while [ ! -e $2.end ]; do if busybox timeout 3 busybox wget -qO- http://$1/ >/dev/null 2>&1; then echo ok; else echo lost; fi; done" >"$2" &
    asking=$!
}
none_lost() { # file
    touch "$1.end"; wait $asking
    echo "$(grep -c ok "$1") requests, $(grep -c lost "$1") lost"
    [ "$(grep -c ok "$1")" -gt 20 ] && ! grep -q lost "$1"
}

weft lab down >/dev/null 2>&1
step "a lab" weft lab up --nodes 3
step "a network" w network create -d overlay --attachable my_net
for i in 1 2 3; do step "a sandbox on host $i" on $i weft run -d --name a$i --network my_net -- sleep infinity; done

step "create" serve web --replicas 3
step "three run" within 20 running web 3
step "one on each host" equals "host1 host2 host3 " hosts_of web
step "ls counts them" equals "web 3/3" w service ls --format '{{.Name}} {{.Replicas}}'
step "docker lists it too" equals "web" on 1 docker service ls --format '{{.Name}}'
vip=$(w service inspect --format '{{range .Endpoint.VirtualIPs}}{{.Addr}}{{end}}' web | cut -d/ -f1)
for i in 1 2 3; do
    step "its name is its address on host $i" within 5 equals "$vip" addresses $i web
    step "tasks.web is its tasks on host $i" within 5 finds $i tasks.web 3
    step "all answer on host $i" spread $i web 3
    step "the address answers ping on host $i" in_ $i ping -c 1 -w 3 "$vip"
done
step "a name twice" refused "already exists" serve web
step "a network that is not there" refused "not found" w service create -d --name x --network nosuch -- true
step "on a worker" refused "not a swarm manager" on 2 weft service ls

step "scale up" w service scale -d web=5
step "five run" within 20 running web 5
step "five are found" within 5 finds 2 tasks.web 5
step "scale down, and wait" w service scale web=2
step "two are found" within 10 finds 2 tasks.web 2
step "two answer" spread 3 web 2

ask_on web "$out/update"
step "update, and wait" w service update -q --env-add WORD=two --update-delay 500ms web
step "no request was lost" none_lost "$out/update"
step "the new ones answer" word web two
step "the update is completed" is_state web completed
ask_on web "$out/rollback"
step "rollback, and wait" w service rollback -q web
step "no request was lost in the rollback" none_lost "$out/rollback"
step "the former ones answer" word web one
ask_on web "$out/failing"
step "an update that fails" w service update -d --update-failure-action rollback --update-monitor 2s --args 'sh -c "exit 3"' web
step "is rolled back" within 40 is_state web rollback_completed
step "and loses no request" none_lost "$out/failing"
step "both run again" within 20 running web 2
step "an update that fails, and pauses" w service update -d --update-failure-action pause --update-monitor 2s --args 'sh -c "exit 3"' web
step "is paused" within 40 is_state web paused
step "says why" has "exit (3)" w service ps web --no-trunc
step "rolled back by hand" w service update -q --rollback web
step "two run again" within 20 running web 2

task_pid() { on "$1" weft ps --no-trunc --format '{{.ID}}' --filter "name=$2" | head -n 1; }
victim=$(w service ps web --filter desired-state=running --format '{{.Name}}.{{.ID}} {{.Node}}' --no-trunc | head -n 1)
kill_task() { on "${victim##*host}" weft kill "${victim%% *}"; }
step "a task is killed" kill_task
replaced() { running web 2 && hasnt "$(cut -d. -f3 <<<"${victim%% *}")" w service ps web --filter desired-state=running --no-trunc -q; }
step "and replaced" within 20 replaced
step "two answer again" within 10 spread 1 web 2

step "global" serve everywhere --mode global
step "one on every host" within 20 running everywhere 3
step "dnsrr" serve rr --replicas 2 --endpoint-mode dnsrr
step "has its tasks' addresses" within 20 finds 3 rr 2
step "answers by name" within 5 ask 3 rr
step "a job" w service create -d --name job --mode replicated-job --replicas 2 -- sh -c 'exit 0'
done_() { equals "2" sh -c "WEFT_LAB=$lab weft lab exec 1 -- weft service ps job --format '{{.CurrentState}}' | grep -c ^Complete"; }
step "is completed" within 20 done_
step "by a label that no node has" serve picky --constraint node.labels.disk==fast
waits() { has "no suitable node" w service ps picky --no-trunc; }
step "waits, and says for what" within 10 waits
step "a node gets the label" w node update --label-add disk=fast host3
step "it runs there" within 20 equals "host3 " hosts_of picky

step "drain host 3" w node update --availability drain host3
moved() { running web 2 && hasnt host3 hosts_of web && running everywhere 2; }
step "its tasks move" within 30 moved
step "a sandbox of its own stays" in_ 1 ping -c 1 -w 3 a3
step "active again" w node update --availability active host3
step "global comes back" within 20 running everywhere 3

# Daemons die, what runs does not.
step "three again" w service scale -d web=3
step "three run again" within 20 running web 3
before=$(w service ps web --filter desired-state=running -q --no-trunc | sort)
step "weftd dies on host 2" weft lab kill 2
step "all three answer still" spread 1 web 3
step "weftd starts on host 2" weft lab start 2
again() { running web 3 && equals "$before" sh -c "WEFT_LAB=$lab weft lab exec 1 -- weft service ps web --filter desired-state=running -q --no-trunc | sort"; }
step "the same tasks go on" within 20 again
step "the manager dies" weft lab kill 1
step "all three answer without a manager" spread 2 web 3
orphan=$(on 2 weft ps --format '{{.Names}}' | grep -m 1 '^everywhere')
step "a task dies without a manager" on 2 weft kill "$orphan"
restarted() { on 2 weft ps --format '{{.Names}} {{.Status}}' | grep '^everywhere' | grep -q Up; }
step "its node starts it again" within 20 restarted
step "the manager starts" weft lab start 1
step "the same tasks go on with it" within 30 again
step "as many as there should be" within 20 running everywhere 3

for name in everywhere rr job picky; do step "rm $name" w service rm $name; done
step "docker removes one too" on 1 docker service rm web
step "its name goes" within 10 finds 2 web 0
left() { ! on 1 weft ps -a --format '{{.Names}}' | grep -v '^a[123]$'; }
step "nothing of them is left on host 1" within 20 left
step "the network goes with its last task" w service create -d --name last --network my_net -- sleep 1000
step "last is gone" w service rm last
for i in 1 2 3; do step "a$i is gone" on $i weft rm -f a$i; done
step "network rm" within 5 w network rm my_net
conclude
