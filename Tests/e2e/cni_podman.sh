# podman over the CNI plugin; a part of cni.sh, with its hosts and functions.
if ! command -v podman >/dev/null || ! [ -x /usr/lib/cni/portmap ]; then
    echo "skip podman: needs the packages podman and containernetworking-plugins"
else

podman_roots=$work/podman
mkdir -p "$podman_roots/bin" "$podman_roots/image"
cp "$bin/weft-cni" "$podman_roots/bin/weft"
for n in 1 2; do
    mkdir -p "$podman_roots/$n/net.d"
    # podman's own plugins for the ports; ulimits below what a small machine may give.
    cat >"$podman_roots/$n/containers.conf" <<C
[containers]
default_ulimits = ["nofile=4096:4096", "nproc=8192:8192"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
[network]
network_backend = "cni"
cni_plugin_dirs = ["$podman_roots/bin", "/usr/lib/cni"]
network_config_dir = "$podman_roots/$n/net.d"
C
    for net in net1 net2; do
        cat >"$podman_roots/$n/net.d/$net.conflist" <<C
{"cniVersion": "1.0.0", "name": "$net", "plugins": [
  {"type": "weft", "host": "$(socket $n)", "capabilities": {"aliases": true, "ips": true, "mac": true}},
  {"type": "portmap", "capabilities": {"portMappings": true}}]}
C
    done
done
podman_on() {
    local n=$1; shift
    CONTAINERS_CONF=$podman_roots/$n/containers.conf on "$n" \
        podman --root "$podman_roots/$n/root" --runroot "$podman_roots/$n/run" --storage-driver vfs \
        --tmpdir "$podman_roots/$n/tmp" "$@"
}
# An image of busybox alone.
image() {
    local root=$podman_roots/image busybox
    busybox=$(command -v busybox) || { echo "install busybox-static"; return 1; }
    mkdir -p "$root/bin" "$root/etc" "$root/tmp" "$root/www" && cp "$busybox" "$root/bin/busybox" || return 1
    for tool in sh ping sleep nslookup httpd ip cat wget; do ln -sf busybox "$root/bin/$tool"; done
    echo hello >"$root/www/index.html"
    tar -C "$root" -cf "$podman_roots/image.tar" . && for n in 1 2; do podman_on $n import "$podman_roots/image.tar" weft-test || return 1; done
}
step "podman: an image on both hosts" image
step "podman: network ls" has net1 podman_on 1 network ls
step "podman: run" podman_on 1 run -d --name p1 --network net1 weft-test sleep 1000
step "podman: run on the other host, with an address and an alias" podman_on 2 run -d --name p2 --network net1 --ip 10.88.7.55 --network-alias cache weft-test sleep 1000
step "podman: the address is kept" equals 10.88.7.55 podman_on 2 inspect p2 --format '{{.NetworkSettings.Networks.net1.IPAddress}}'
step "podman: ping by name across hosts" within 5 podman_on 1 exec p1 ping -c 1 -w 3 p2
step "podman: and back" within 5 podman_on 2 exec p2 ping -c 1 -w 3 p1
step "podman: by alias" within 5 podman_on 1 exec p1 ping -c 1 -w 3 cache
step "podman: to a weft sandbox" within 5 podman_on 1 exec p1 ping -c 1 -w 3 w1
step "podman: from a weft sandbox" within 5 weft 2 exec w1 ping -c 1 -w 3 p1
step "podman: names are asked of weftd" has 169.254.77.53 podman_on 1 exec p1 cat /etc/resolv.conf
step "podman: the outside is reached" podman_on 1 exec p1 ping -c 1 -w 3 172.29.8.254
step "podman: network connect" podman_on 1 network connect net2 p1
step "podman: there is eth1" podman_on 1 exec p1 ip link show eth1
podman_on 2 run -d --name p3 --network net2 weft-test sleep 1000 >/dev/null 2>&1
step "podman: pings by it" within 5 podman_on 1 exec p1 ping -c 1 -w 3 p3
step "podman: network disconnect" podman_on 1 network disconnect net2 p1
step "podman: eth1 is gone" podman_on 1 exec p1 sh -c "! ip link show eth1"
step "podman: and the name on that network" within 5 podman_on 2 exec p3 sh -c "! ping -c 1 -w 1 p1"
step "podman: the first network stays" podman_on 1 exec p1 ping -c 1 -w 3 p2
step "podman: published port" podman_on 1 run -d --name web --network net1 -p 8088:80 weft-test httpd -f -p 80 -h /www
step "podman: answers to another host" within 5 has hello on 2 curl -s -m 2 http://172.29.8.1:8088/
step "podman: answers to its own host" within 5 has hello on 1 curl -s -m 2 http://172.29.8.1:8088/
step "podman: restart" podman_on 2 restart -t 0 p2
step "podman: it is found again" within 5 podman_on 1 exec p1 ping -c 1 -w 3 p2
step "podman: a container's end while the daemon is dead" podman_on 2 run -d --name p4 --network net1 weft-test sleep 1000
kill -9 "${daemon[2]}"; wait "${daemon[2]}" 2>/dev/null
podman_on 2 rm -f -t 0 p4 >"$out/rm" 2>&1
step "podman: the container is gone" not podman_on 2 container exists p4
step "podman: the daemon comes back" start 2
step "podman: and knows that it is gone" within 15 not has '"Name":"p4"' attachments 2
step "podman: kill -9 of the daemon" kill -9 "${daemon[1]}"
wait "${daemon[1]}" 2>/dev/null
step "podman: goes on" podman_on 1 exec p1 ping -c 1 -w 3 10.88.7.55
step "podman: the daemon comes back" start 1
step "podman: and still knows it" has '"Name":"p1"' attachments 1
step "podman: kill -9 of a container" sh -c "kill -9 \$1" sh "$(podman_on 1 inspect p1 --format '{{.State.Pid}}')"
step "podman: its endpoint goes" within 30 not has '"Name":"p1"' attachments 1
step "podman: and starts again" within 5 podman_on 1 start p1
step "podman: with its name" within 5 podman_on 2 exec p2 ping -c 1 -w 3 p1
step "podman: rm" podman_on 1 rm -f -t 0 p1 web
step "podman: on the other host" podman_on 2 rm -f -t 0 p2 p3
step "podman: nothing is left" within 10 equals "[][]" sh -c "curl -s --unix-socket $work/1/run/docker.sock http://weftd/weft/v1/attachments | tr -d '\n'; curl -s --unix-socket $work/2/run/docker.sock http://weftd/weft/v1/attachments | tr -d '\n'"
fi
