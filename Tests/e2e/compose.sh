#!/bin/bash
# docker-compose against Weft's sockets, two hosts with an engine each: networks of the swarm and of the engine, what a
# compose file says of them, changes, and two projects on two hosts which share a network. Needs root; brings a lab up.
# WEFT_BIN: directory with weft, weftd, weft-shim.  COMPOSE: the command, `docker-compose` by default; `docker compose` for v2.
# Ends with `N passed, N failed`.
set -u
cd "$(dirname "$0")/../.."
PATH="${WEFT_BIN:?directory with the built executables}:$PATH"
export PATH LC_ALL=C COMPOSE_HTTP_TIMEOUT=120 COMPOSE_IGNORE_ORPHANS=0 COMPOSE_INTERACTIVE_NO_CLI=1
lab=${WEFT_LAB:-weft-lab}
command=${COMPOSE:-docker-compose}

for program in docker dockerd busybox; do
    command -v $program >/dev/null || { echo "compose: $program is not installed (scripts/setup)" >&2; exit 1; }
done
$command version >/dev/null 2>&1 || { echo "compose: $command is not installed (scripts/setup)" >&2; exit 1; }

out=$(mktemp -d)
finish() {
    if [ "${KEEP_LOGS:-}" ]; then
        mkdir -p "$KEEP_LOGS"
        for i in 1 2; do for d in weftd dockerd; do cp "/run/$lab/host$i/$d.log" "$KEEP_LOGS/compose-$d$i.log"; done; done
    fi
    weft lab down
    rm -rf "$out"
}
trap 'finish >/dev/null 2>&1' EXIT
. Tests/e2e/steps.sh

weft lab down >/dev/null 2>&1
step "a lab of two hosts with engines" weft lab up --nodes 2 --engine docker
step "an image" weft lab image --busybox

# On a host: the docker command, compose with the project in $project (its file is $out/$project.yml), and a container's.
docker_on() { local n=$1; shift; docker --host "unix:///run/$lab/host$n/run/docker.sock" "$@"; }
on() { local n=$1; shift; ip netns exec "$lab-$n" "$@"; }
compose_on() {
    local n=$1; shift
    DOCKER_HOST="unix:///run/$lab/host$n/run/docker.sock" timeout 120 $command -p "$project" -f "$out/$project.yml" "$@" </dev/null
}
compose() { compose_on 1 "$@"; }
inside() { local service=$1; shift; compose exec -T "$service" "$@"; }
pings() { within 10 inside "$1" ping -c 1 -w 3 "$2"; }
# Servers in containers take a moment to listen.
fetches() { within 10 has "$3" inside "$1" timeout 5 wget -qO- "http://$2/"; }
container() { compose ps -q "$1"; }
field() { docker_on 1 inspect --format "$2" "$(container "$1")"; }
network() { docker_on 1 network inspect --format "$2" "${project}_$1"; }

project=shop
cat >"$out/shop.yml" <<'Y'
services:
  web:
    image: alpine
    init: true
    command: sh -c 'mkdir -p /www && echo "hello from web" >/www/index.html && httpd -f -p 80 -h /www'
    ports: ["18080:80", "127.0.0.1:18081:80"]
    networks:
      front:
        aliases: [shopfront, www]
        ipv4_address: 10.77.1.77
      back: {}
    depends_on:
      store: {condition: service_healthy}
    extra_hosts: ["printer:192.0.2.7"]
    labels: {tier: front}
  store:
    image: alpine
    init: true
    command: sh -c 'mkdir -p /www && echo "hello from store" >/www/index.html && httpd -f -p 80 -h /www'
    networks: {back: {aliases: [database]}}
    volumes: ["data:/data"]
    healthcheck: {test: ["CMD", "wget", "-qO-", "http://127.0.0.1/"], interval: 1s, timeout: 3s, retries: 30}
  client:
    image: alpine
    init: true
    command: sleep 86400
    networks: [front, hidden]
    links: ["web:linked"]
    dns_search: [shop.test]
  hidden:
    image: alpine
    init: true
    command: sleep 86400
    networks: [hidden]
  bridged:
    image: alpine
    init: true
    command: sleep 86400
    networks: [local]
  neighbour:
    image: alpine
    init: true
    command: sleep 86400
    networks: [local]
  both:
    image: alpine
    init: true
    command: sleep 86400
    networks: [local, front]
  shared:
    image: alpine
    init: true
    command: sleep 86400
    network_mode: "service:client"
  onhost:
    image: alpine
    init: true
    command: sleep 86400
    network_mode: host
  alone:
    image: alpine
    init: true
    command: sleep 86400
    network_mode: none
networks:
  front:
    driver: overlay
    attachable: true
    driver_opts: {com.docker.network.driver.mtu: "1400"}
    labels: {purpose: shopping}
    ipam: {driver: default, config: [{subnet: 10.77.1.0/24, gateway: 10.77.1.254, ip_range: 10.77.1.0/25, aux_addresses: {router: 10.77.1.5}}]}
  back: {driver: overlay, attachable: true}
  hidden: {driver: overlay, attachable: true, internal: true}
  local: {driver: bridge, ipam: {config: [{subnet: 172.31.77.0/24}]}}
volumes:
  data: {}
Y

step "config" has "10.77.1.0/24" compose config
step "up" compose up -d
step "up again changes nothing" hasnt "ecreat" compose up -d
running() { equals 10 sh -c "docker --host unix:///run/$lab/host1/run/docker.sock ps -q --filter label=com.docker.compose.project=$project | wc -l"; }
step "ten containers run" running
step "ps" has "web" compose ps
step "network ls" has "shop_front" docker_on 1 network ls --filter driver=overlay --filter label=com.docker.compose.project=shop
step "the subnet asked for" equals "10.77.1.0/24 10.77.1.254 10.77.1.0/25 10.77.1.5" network front '{{with index .IPAM.Config 0}}{{.Subnet}} {{.Gateway}} {{.IPRange}} {{index .AuxAddress "router"}}{{end}}'
step "labels, options and driver asked for" equals "shopping 1400 overlay true" network front '{{index .Labels "purpose"}} {{index .Options "com.docker.network.driver.mtu"}} {{.Driver}} {{.Attachable}}'
step "internal asked for" equals "true" network hidden '{{.Internal}}'
step "the address asked for" equals "10.77.1.77" field web '{{(index .NetworkSettings.Networks "shop_front").IPAddress}}'
step "network ids are the swarm's" equals "$(docker_on 2 network inspect --format '{{.Id}}' shop_front)" field web '{{(index .NetworkSettings.Networks "shop_front").NetworkID}}'
step "the MTU asked for, less what the tunnel takes" equals 1308 inside both sh -c 'cat /sys/class/net/eth*/mtu | sort -n | head -n 1'
step "ping by service" pings client web
step "ping by alias" pings client shopfront
step "the other alias" pings client www
step "ping by link" pings client linked
step "ping by container name" pings client "$(field web '{{slice .Name 1}}')"
step "ping by address" pings client 10.77.1.77
step "ping by name and network" pings client web.shop_front
step "http by service" fetches client web "hello from web"
step "http on the other network, by alias" fetches web database "hello from store"
step "no name of a network one is not on" not pings client store
step "internal: its neighbour" pings hidden client
step "internal: no way out" hasnt default inside hidden ip route
step "not internal: a way out" has default inside client ip route
step "extra_hosts" has "192.0.2.7" inside web cat /etc/hosts
step "dns_search" has "shop.test" inside client cat /etc/resolv.conf
step "bridge: ping by service" pings bridged neighbour
step "bridge: the subnet asked for" has "172.31.77." inside bridged ip addr
step "bridge: nothing of the overlay" not inside bridged timeout 2 ping -c 1 web
step "on both: the overlay's" pings both web
step "on both: the bridge's" pings both neighbour
step "network_mode service" fetches shared web "hello from web"
step "it has its addresses" equals "$(inside client ip -4 -o addr show dev eth0 | awk '{print $4}')" inside shared sh -c "ip -4 -o addr show dev eth0 | awk '{print \$4}'"
step "network_mode host" has "172.30.0.1" inside onhost ip addr
step "network_mode none" hasnt "eth0" inside alone ip addr
step "a published port" within 10 has "hello from web" on 1 curl -s -m 5 http://172.30.0.1:18080/
step "from the other host" within 10 has "hello from web" on 2 curl -s -m 5 http://172.30.0.1:18080/
step "published on one address" within 10 has "hello from web" on 1 curl -s -m 5 http://127.0.0.1:18081/
step "port" has ":1808" compose port web 80
# Compose 1 now and then loses the output of a container that ends at once, without Weft as well.
step "run" within 10 has "hello from web" compose run --rm -T client wget -qO- http://web/
step "run leaves nothing" running
step "exec gives the exit code" exits 7 inside client sh -c 'exit 7'
step "scale" compose up -d --no-recreate --scale client=3
replicas() { equals "$1" sh -c "docker --host unix:///run/$lab/host1/run/docker.sock ps -q --filter label=com.docker.compose.service=client | wc -l"; }
step "three of it" replicas 3
addresses() { inside web nslookup client | awk '/^Address/ && $NF ~ /^10\.77\.1\./ {print $NF}' | sort -u | wc -l; }
step "its name has three addresses" within 10 equals 3 addresses
step "scale down" compose up -d --no-recreate --scale client=1
step "its name has one" within 10 equals 1 addresses
step "recreate" compose up -d --force-recreate --no-deps web
step "with the same address" equals "10.77.1.77" field web '{{(index .NetworkSettings.Networks "shop_front").IPAddress}}'
step "answers" fetches client web "hello from web"
step "restart" compose restart -t 0 web
step "answers" fetches client web "hello from web"
step "stop" compose stop -t 0 store
step "start" compose start store
step "answers" fetches web store "hello from store"
inside store sh -c 'echo kept >/data/file'
step "logs" compose logs web
step "pause" compose pause bridged
step "unpause" compose unpause bridged
step "top" has sleep compose top bridged

sed -i 's/tier: front/tier: changed/' "$out/shop.yml"
step "a changed service is made again" compose up -d
step "with the change" equals changed field web '{{index .Config.Labels "tier"}}'
sed -i '/^  neighbour:/,/^    networks: \[local\]/d' "$out/shop.yml"
step "a removed service" compose up -d --remove-orphans
step "is gone" hasnt neighbour docker_on 1 ps -a

# A second project on the other host, on a network of the first one's.
project=visitor
cat >"$out/visitor.yml" <<'Y'
services:
  guest:
    image: alpine
    init: true
    command: sh -c 'mkdir -p /www && echo "hello from guest" >/www/index.html && httpd -f -p 80 -h /www'
    networks:
      shop: {aliases: [stranger], ipv4_address: 10.77.1.88}
  inner:
    image: alpine
    init: true
    command: sleep 86400
networks:
  default: {}
  shop:
    name: shop_front
    external: true
Y
visit() { compose_on 2 "$@"; }
step "another project on the other host" visit up -d
step "it resolves the first by service" within 10 visit exec -T guest ping -c 1 -w 3 web
step "and by alias" within 10 has "hello from web" visit exec -T guest timeout 5 wget -qO- http://shopfront/
step "and by container name" within 10 visit exec -T guest ping -c 1 -w 3 "$(docker_on 1 ps --filter label=com.docker.compose.service=web --format '{{.Names}}')"
project=shop
step "the first resolves it by service" fetches client guest "hello from guest"
step "and by alias" fetches client stranger "hello from guest"
project=visitor
step "what is on its own default network is reached there only" not docker_on 1 exec "$(project=shop container client)" ping -c 1 -w 2 inner
sed -i 's/shop_front/nothing_such/' "$out/visitor.yml"
external_missing() { local got; got=$(visit up -d 2>&1) && return 1; case $got in *nothing_such*) ;; *) echo "$got"; return 1 ;; esac; }
step "an external network that is not there is named" external_missing
sed -i 's/nothing_such/shop_front/' "$out/visitor.yml"
project=shop
step "down while the other is on its network" has "in use" compose down -t 0
step "the network is kept" docker_on 2 network inspect shop_front
project=visitor
step "down of the other project" visit down -t 0
step "the external network stays" docker_on 2 network inspect shop_front
project=shop
step "up after down" compose up -d
step "the volume was kept" equals kept inside store cat /data/file
step "answers" fetches client web "hello from web"
step "down with volumes" compose down -v -t 0 --remove-orphans
step "no container is left" equals "" docker_on 1 ps -aq
step "no network is left" hasnt "shop" docker_on 1 network ls
step "nor on the other host" within 10 hasnt "shop" docker_on 2 network ls
step "nor in the engine" within 10 hasnt "shop" docker --host unix:///run/$lab/host1/docker/docker.sock network ls
step "no volume is left" hasnt "shop" docker_on 1 volume ls

# What compose compares with the file before it uses a network that is there already.
project=conf
cat >"$out/conf.yml" <<'Y'
services:
  one: {image: alpine, init: true, command: sleep 86400, networks: [net]}
networks:
  net: {driver: overlay, attachable: true, driver_opts: {com.docker.network.driver.mtu: "1400", encrypted: "false"}}
Y
step "a network of a project" compose up -d
step "up again finds it as asked for" compose up -d
sed -i 's/"1400"/"1300"/' "$out/conf.yml"
# Version 2 does not look at it.
case $($command version --short) in 1.*) step "up with another option is refused" refused "mtu" compose up -d ;; esac
docker_on 1 network create -d overlay --attachable foreign >/dev/null
cat >"$out/foreign.yml" <<'Y'
services:
  one: {image: alpine, init: true, command: sleep 86400}
networks:
  default: {name: foreign, external: true}
Y
step "down" compose down -t 0
project=foreign
step "default network is external" compose up -d
step "down leaves it" compose down -t 0
step "it is there" docker_on 2 network inspect foreign

conclude
