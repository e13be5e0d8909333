#!/bin/bash
# The stock docker command with podman as the engine behind Weft's socket, on three hosts that are namespaces, each with a podman of
# its own. Needs root; makes and removes everything it uses.
# WEFT_BIN: directory with weft, weftd, weft-shim. PODMAN_ROOT: a directory with another system's podman, which is run in it.
# Prints a line a step, ends with `N passed, N failed`.
set -u
hosts="1 2 3"
. "$(dirname "$0")/podman_hosts.sh"

inside() { local n=$1 c=$2; shift 2; docker "$n" exec "$c" "$@"; }
address() { docker "$1" inspect -f "{{(index .NetworkSettings.Networks \"$3\").IPAddress}}" "$2"; }
resolves() { has "$4" inside "$1" "$2" nslookup -type=a "$3" 169.254.77.53; } # host, container, name, address
unknown() { not inside "$1" "$2" nslookup -type=a "$3" 169.254.77.53; }
attachments() { on "$1" curl -s --unix-socket /run/weft/docker.sock http://weftd/weft/v1/attachments; }
running() { equals true docker "$1" inspect -f '{{.State.Running}}' "$2"; }
namespaces() { on "$1" ls /run/weft/netns | wc -l; }
pid_of() { docker "$1" inspect -f '{{.State.Pid}}' "$2"; }
kills() { # host, container: its process, by force; 0 would be this script
    local pid; pid=$(pid_of "$1" "$2")
    [ "${pid:-0}" -gt 1 ] && kill -9 "$pid"
}

for n in $hosts; do step "host $n" make_host $n; step "weftd on host $n" start_weftd $n; step "podman on host $n" start_podman $n; done
echo "     $(podman 1 --version)"

step "a swarm, by docker" docker 1 swarm init --advertise-addr 172.29.9.1
token=$(docker 1 swarm join-token -q worker)
step "host 2 joins" docker 2 swarm join --token "$token" 172.29.9.1:2377
step "host 3 joins" docker 3 swarm join --token "$token" 172.29.9.1:2377
nodes() { docker 1 node ls -q | wc -l; }
step "node ls" equals 3 nodes
step "info" has "active" docker 2 info -f '{{.Swarm.LocalNodeState}} {{.ServerVersion}}'
step "version names podman" within 10 has "Podman" docker 1 version
step "podman is found by itself" within 5 grep -q 'engine=podman' "$work/1/log"
for n in $hosts; do docker $n import "$work/image.tar" bb >/dev/null 2>&1; done
step "an image" has bb docker 3 images
step "network create" docker 1 network create -d overlay --attachable --subnet 10.77.1.0/24 n1
step "a second" docker 1 network create -d overlay --attachable --subnet 10.77.2.0/24 n2
step "an internal one" docker 1 network create -d overlay --attachable --internal --subnet 10.77.3.0/24 inner
docker 1 network create -d overlay closed >/dev/null
step "known on host 3" within 5 has inner docker 3 network ls
step "and not in podman" hasnt n1 podman 3 network ls

step "one with IPv6" docker 1 network create -d overlay --attachable --ipv6 --subnet fd77:6::/64 n6
step "known on host 2" within 5 has n6 docker 2 network ls
step "run --ip6" docker 1 run -d --name six --network n6 --ip6 fd77:6::66 bb sleep 1000
step "its IPv6 address is shown" equals fd77:6::66/64 docker 1 inspect -f '{{with .NetworkSettings.Networks.n6}}{{.GlobalIPv6Address}}/{{.GlobalIPv6PrefixLen}}{{end}}' six
step "is the interface's" has "fd77:6::66/64" inside 1 six ip addr show eth0
step "and answers on another host, by name" within 5 docker 2 run --rm --network n6 bb ping -6 -c 1 -w 5 six
step "refused: --ip6 outside the subnet" refused "fd77:6::/64" docker 2 run --rm --network n6 --ip6 fd77:7::1 bb true
step "it goes" docker 1 rm -f six

step "run -d" docker 1 run -d --name a1 --network n1 bb sleep 1000
step "run on host 2, with address, alias and hostname" docker 2 run -d --name a2 --network n1 --ip 10.77.1.55 --network-alias cache --hostname special bb sleep 1000
step "its address" equals 10.77.1.55 address 2 a2 n1
step "is the interface's" has "10.77.1.55/24" inside 2 a2 ip addr show eth0
step "hostname" equals special inside 2 a2 hostname
step "the MAC address is shown" equals 02:42:0a:4d:01:37 docker 2 inspect -f '{{.NetworkSettings.Networks.n1.MacAddress}}' a2
step "and the network's id" equals "$(docker 1 network inspect -f '{{.Id}}' n1)" docker 2 inspect -f '{{.NetworkSettings.Networks.n1.NetworkID}}' a2
step "and the mode" equals n1 docker 2 inspect -f '{{.HostConfig.NetworkMode}}' a2
step "weftd is asked for names" has "nameserver 169.254.77.53" inside 1 a1 cat /etc/resolv.conf
step "ping by name" within 5 inside 1 a1 ping -c 1 -w 3 a2
step "and back" within 5 inside 2 a2 ping -c 1 -w 3 a1
step "by alias" within 5 inside 1 a1 ping -c 1 -w 3 cache
step "by hostname" within 5 inside 1 a1 ping -c 1 -w 3 special
step "by short id" resolves 1 a1 "$(docker 2 inspect -f '{{.Id}}' a2 | cut -c1-12)" 10.77.1.55
step "by address" has a2 inside 1 a1 nslookup 10.77.1.55 169.254.77.53
step "the first process has its network" has "inet 10.77.1" docker 3 run --rm --network n1 bb ip addr show eth0
step "and names" docker 3 run --rm --network n1 bb ping -c 1 -w 3 a2
tty() { on 3 script -qec "env DOCKER_HOST=unix:///run/weft/docker.sock docker run -it --rm --name t3 --network n1 bb ping -c 1 -w 3 a1" /dev/null; }
step "run -it" has "1 packets received" tty
step "nothing is left of those" within 10 equals 0 namespaces 3
step "ps" has a1 docker 1 ps
step "ps by network" equals a1 docker 1 ps --filter network=n1 --format '{{.Names}}'
step "ps by another" equals "" docker 1 ps --filter network=n2 --format '{{.Names}}'
step "network inspect shows the container" has 10.77.1.55 docker 2 network inspect n1
step "under its name" equals a2 docker 2 network inspect -f '{{range .Containers}}{{.Name}}{{end}}' n1
step "weft run reaches it" weft 3 run --rm --network n1 -- ping -c 1 -w 3 a2
step "the outside is reached" inside 1 a1 ping -c 1 -w 3 172.29.9.254
step "an internal network" docker 3 run -d --name i3 --network inner bb sleep 1000
step "does not lead there" not inside 3 i3 ping -c 1 -w 1 172.29.9.254
step "refused: not attachable" refused "not manually attachable" docker 1 run --rm --network closed bb true
step "refused: an unknown network" refused "network not found" docker 1 run --rm --network nix bb true
step "refused: the gateway's address" refused "gateway" docker 1 run --rm --network n1 --ip 10.77.1.1 bb true
step "refused: an address in use" refused "10.77.1.55" docker 1 run --name twice --network n1 --ip 10.77.1.55 bb true
docker 1 rm -f twice >/dev/null 2>&1
step "refused: the name again" refused "in use" docker 1 run --name a1 --network n1 bb true
step "refused: the network while it is used" refused "in use" docker 1 network rm n1
step "nothing is left of what was refused" within 10 equals 1 namespaces 1
step "podman's own networks: none" docker 1 run --rm --network none bb true
step "host" docker 1 run --rm --network host bb true
step "a network of podman's" docker 1 network create local1
step "shows with the swarm's" has local1 docker 1 network ls
step "and goes" docker 1 network rm local1

step "publish" docker 1 run -d --name web --network n1 -p 8088:80 bb httpd -f -p 80 -h /www
step "docker port" has "0.0.0.0:8088" docker 1 port web
step "docker ps" has "0.0.0.0:8088->80/tcp" docker 1 ps
step "answers to another host" within 5 has hello on 2 curl -s -m 5 http://172.29.9.1:8088/
step "to its own host" within 5 has hello on 1 curl -s -m 5 http://172.29.9.1:8088/
step "by the loopback" within 5 has hello on 1 curl -s -m 5 http://127.0.0.1:8088/
step "by its address on the network" within 5 has hello on 2 nsenter -t "$(pid_of 2 a2)" -n curl -s -m 5 "http://$(address 1 web n1)/"
step "refused: the port again" refused "port is already allocated" docker 1 run --name web2 --network n1 -p 8088:80 bb true
docker 1 rm -f web2 >/dev/null 2>&1
step "refused: a port on an internal network" refused "internal" docker 1 run --rm --network inner -p 8089:80 bb true
step "any port" docker 1 run -d --name any --network n1 -p 127.0.0.1::80 bb httpd -f -p 80 -h /www
any() { docker 1 port any 80/tcp | cut -d: -f2; }
step "answers on the loopback" within 5 has hello on 1 curl -s -m 5 "http://127.0.0.1:$(any)/"
step "and nowhere else" not on 2 curl -s -m 1 "http://172.29.9.1:$(any)/"
step "a stop" docker 1 stop -t 0 web
step "takes the port" within 5 not on 2 curl -s -m 1 http://172.29.9.1:8088/
step "and the name" within 5 unknown 2 a2 web
step "a start" docker 1 start web
step "brings both" within 5 has hello on 2 curl -s -m 5 http://172.29.9.1:8088/
step "back" within 5 inside 2 a2 ping -c 1 -w 3 web

step "network connect" docker 1 network connect --alias second n2 a1
step "there is eth1" has "inet 10.77.2" inside 1 a1 ip addr show eth1
step "a neighbour there" docker 2 run -d --name b2 --network n2 bb sleep 1000
step "is pinged" within 5 inside 1 a1 ping -c 1 -w 3 b2
step "and pings the alias" within 5 inside 2 b2 ping -c 1 -w 3 second
step "inspect shows both" has "10.77.2" address 1 a1 n2
step "refused: twice" refused "already exists" docker 1 network connect n2 a1
step "disconnect" docker 1 network disconnect n2 a1
step "eth1 is gone" not inside 1 a1 ip link show eth1
step "refused: twice" refused "not connected" docker 1 network disconnect n2 a1
step "create" docker 3 create --name c3 --network n1 bb sleep 1000
step "connect before start" docker 3 network connect n2 c3
step "and again, with an alias" docker 3 network connect --alias third n2 c3
step "start" docker 3 start c3
step "is on both" has "10.77.2" address 3 c3 n2
step "and its names resolve" within 5 inside 2 b2 ping -c 1 -w 3 c3
step "the alias among them" within 5 inside 2 b2 ping -c 1 -w 3 third
step "disconnect of the first" docker 3 network disconnect n1 c3
step "the second stays" within 5 inside 3 c3 ping -c 1 -w 3 b2
docker 3 run -d --name p3 --network none bb sleep 1000 >/dev/null
step "refused: connect of podman's own container" refused "made without a network of the swarm" docker 3 network connect n1 p3
docker 3 rm -f p3 >/dev/null 2>&1

step "restart" docker 2 restart -t 0 a2
step "its address stays" equals 10.77.1.55 address 2 a2 n1
step "and its name" within 5 inside 1 a1 ping -c 1 -w 3 a2
step "rename" docker 2 rename a2 a2new
step "the new name resolves" within 5 resolves 1 a1 a2new 10.77.1.55
step "the old one does not" within 5 unknown 1 a1 a2
step "kill -9 of a container's process" kills 2 a2new
step "its name goes" within 5 unknown 1 a1 a2new
step "its endpoint too" within 5 hasnt a2new attachments 2
step "start" docker 2 start a2new
step "is found again" within 5 inside 1 a1 ping -c 1 -w 3 a2new
step "a restart policy" docker 2 run -d --name always --restart always --network n1 bb sleep 1000
always=$(address 2 always n1)
step "kill -9" kills 2 always
step "runs again" within 10 running 2 always
step "with its address" within 5 equals "$always" address 2 always n1
step "and name" within 10 inside 1 a1 ping -c 1 -w 3 always
step "exit of --rm" docker 2 run -d --rm --name short --network n1 bb sleep 1
step "leaves nothing" within 10 hasnt '"Name":"short"' attachments 2

pinging=$(pid_of 1 a1)
on 1 nsenter -t "$pinging" -n ping -n -i 0.05 -c 80 10.77.1.55 >"$out/ping" 2>&1 &
ping=$!
step "kill -9 of weftd" end "${daemon[1]}"
docker 2 rm -f always >/dev/null 2>&1
step "a container ends meanwhile" podman 1 stop -t 0 web
step "weftd comes back" start_weftd 1
wait $ping
step "no packet was lost" has " 0% packet loss" cat "$out/ping"
step "the running one is kept" within 5 inside 2 a2new ping -c 1 -w 3 a1
step "with its port forgotten that ended" within 20 hasnt 8088 docker 1 ps
step "and its endpoint" within 20 hasnt '"Name":"web"' attachments 1
step "start of it" docker 1 start web
step "answers" within 5 has hello on 2 curl -s -m 5 http://172.29.9.1:8088/
step "kill -9 of the engine" end "${engine[1]}"
step "goes on" within 5 inside 2 a2new ping -c 1 -w 3 a1
step "the engine comes back" start_podman 1
step "containers are there" within 5 has a1 docker 1 ps
step "a new one" within 5 docker 1 run --rm --network n1 bb ping -c 1 -w 3 a2new

step "servers for other names" docker 1 run -d --name dns --network n1 --dns 172.29.9.254 bb sleep 1000
step "are asked by weftd" hasnt 172.29.9.254 inside 1 dns cat /etc/resolv.conf
step "and shown as they were given" equals "[172.29.9.254]" docker 1 inspect -f '{{.HostConfig.Dns}}' dns
mac() { # by the API alone: the command refuses it with this API's version
    on 1 curl -sf -H 'Content-Type: application/json' --unix-socket /run/weft/docker.sock "http://weftd/containers/create?name=mac" \
        -d '{"Image":"bb","Cmd":["sleep","1000"],"MacAddress":"02:11:22:33:44:55","HostConfig":{"NetworkMode":"n1"},"NetworkingConfig":{"EndpointsConfig":{"n1":{}}}}' &&
        docker 1 start mac
}
step "a MAC address" mac
step "is the interface's" has 02:11:22:33:44:55 inside 1 mac ip link show eth0
step "UDP and a range" docker 1 run -d --name udp --network n1 -p 8053:53/udp -p 8100-8101:80-81 bb sleep 1000
step "are shown" has "8053->53/udp" docker 1 ps
step "in docker port too" has "81/tcp -> 0.0.0.0:8101" docker 1 port udp
docker 1 rm -f dns mac udp >/dev/null 2>&1

step "a network in use by a stopped container" docker 3 run -d --name st3 --restart always --network n2 bb sleep 1000
docker 3 stop -t 0 st3 >/dev/null
step "holds no endpoint" within 5 hasnt "$(docker 3 inspect -f '{{.Id}}' st3)" attachments 3
docker 3 rm -f st3 >/dev/null

# What a boot leaves: nothing of /run, no process. The engine starts its containers as podman-restart.service does.
boots() { docker 3 logs boot | grep -c "inet 10.77.1"; }
step "a container to be started at boot" docker 3 run -d --name boot --restart always --network n1 -p 8099:80 bb sh -c "ip addr show eth0; httpd -f -p 80 -h /www"
reboot() {
    local container pid monitor all=()
    for container in $(docker 3 ps -q); do
        pid=$(pid_of 3 "$container"); monitor=$(ps -o ppid= -p "$pid" | tr -d ' ')
        [ "$(cat "/proc/$monitor/comm")" = conmon ] || return 1
        all+=("$monitor" "$pid")
    done
    end "${daemon[3]}"; end "${engine[3]}"
    # The process that encrypts outlives weftd, but no boot.
    for pid in $(pidof weft-tunnel); do
        [ "$(stat -Lc %i "/proc/$pid/ns/net")" != "$(stat -Lc %i "/proc/${rooted[3]}/ns/net")" ] || all+=("$pid")
    done
    kill -9 "${all[@]}" && within 5 not kill -0 "${all[@]}" || return 1
    nsenter -t "${rooted[3]}" -m sh -c "grep -o '/[^ ]*/3/root/[^ ]*' /proc/self/mounts | xargs -r umount -l"
    on 3 sh -c 'for n in /run/weft/netns/*; do umount -l $n; done; rm -rf /run/weft /run/podman /run/crun /run/runc /run/libpod; ip link del weft_vxlan; nft flush ruleset' || return 1
    rm -rf "/sys/fs/bpf/$id-3"
}
step "the host boots" reboot
step "weftd is first" start_weftd 3
step "podman starts its containers" podman 3 start --all --filter restart-policy=always
step "podman's service comes" start_podman 3
step "the container runs" within 5 running 3 boot
step "its interface was there when it began" within 5 equals 2 boots
step "its name" within 10 inside 1 a1 ping -c 1 -w 3 boot
step "and its port" within 10 has hello on 2 curl -s -m 5 http://172.29.9.3:8099/
step "one that is started later" docker 3 start c3
step "is on its network" within 5 inside 3 c3 ping -c 1 -w 3 b2
docker 3 rm -f boot >/dev/null 2>&1
step "rm -f" docker 1 rm -f a1 web any
step "on the others" docker 2 rm -f a2new b2
step "and the last" docker 3 rm -f c3 i3
for n in $hosts; do step "nothing is left on host $n" within 10 equals 0 namespaces $n; done
step "no attachments either" within 10 equals "[]" attachments 1
step "no table of ports" within 5 not on 1 nft list table ip weft_ports
for net in n1 n2 inner closed; do step "network $net goes" within 5 docker 1 network rm $net; done

conclude
