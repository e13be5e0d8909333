# Sourced by the scripts with podman behind Weft's socket: hosts that are namespaces, each with a podman of its own, and an image of busybox
# alone (`$work/image.tar`). The caller sets `hosts` to their numbers, 1 to 9; all of it goes when the caller ends.
# WEFT_BIN: directory with weft, weftd, weft-shim. PODMAN_ROOT: a directory with another system's podman, which is run in it.
set -u
bin=$(cd "${WEFT_BIN:?directory with the built executables}" && pwd -P)
export LC_ALL=C
for program in docker busybox; do
    command -v "$program" >/dev/null || { echo "skip $(basename "$0" .sh): $program is not installed"; exit 0; }
done
[ -n "${PODMAN_ROOT:-}" ] || command -v podman >/dev/null || { echo "skip $(basename "$0" .sh): podman is not installed"; exit 0; }
unset DOCKER_CONTEXT
id=wp$$
work=$(mktemp -d)
out=$work/out; mkdir "$out"
hosts=${hosts:?numbers of the hosts}
declare -A holder=() rooted=() daemon=() engine=()
. "$(dirname "$0")/steps.sh"

# A host: network, mount and UTS namespaces, which a sleeping process holds. /run is its own, so that weftd and podman use their
# usual paths; both see one another's mounts.
make_host() {
    local n=$1 ns=$id-h$1
    mkdir -p "$work/$n"
    ip netns add "$ns" && ip -n "$ns" link set lo up &&
        ip -n "$id-u" link add "v$n" type veth peer name eth0 netns "$ns" && ip -n "$id-u" link set "v$n" up master br0 &&
        ip -n "$ns" addr add "172.29.9.$n/24" dev eth0 && ip -n "$ns" link set eth0 up &&
        ip -n "$ns" route add default via 172.29.9.254 || return 1
    nsenter --net="/run/netns/$ns" unshare -mu --propagation slave sh -c "
        hostname $id-h$n
        mount --make-rshared / && mount -t tmpfs none /run && mkdir -p /run/lock
        # crun wants one version of cgroups, not both.
        umount /sys/fs/cgroup/unified 2>/dev/null
        touch '$work/$n/ready'; exec sleep infinity" </dev/null >"$work/$n/host.log" 2>&1 &
    holder[$n]=$!
    within 10 test -e "$work/$n/ready" || return 1
    rooted[$n]=${holder[$n]}
    [ -z "${PODMAN_ROOT:-}" ] || make_root "$n"
}
# The other system as the root of a mount namespace, with the host's /run: a runtime changes roots, for which a chroot is not enough.
make_root() {
    local n=$1
    nsenter -t "${holder[$n]}" -n -m -u unshare -m --propagation unchanged sh -c "
        cd '$PODMAN_ROOT' && mount --make-private / && mount --bind . . && cd '$PODMAN_ROOT' && mount --make-private . || exit 1
        for d in run proc sys dev; do mount --rbind /\$d \$d || exit 1; done
        mount --bind '$work/$n' mnt && touch mnt/rooted && umount mnt && pivot_root . mnt && cd / &&
            mount --make-rprivate /mnt && umount -l /mnt
        exec sleep infinity" </dev/null >>"$work/$n/host.log" 2>&1 &
    rooted[$n]=$!
    within 10 test -e "$work/$n/rooted" && within 5 nsenter -t "${rooted[$n]}" -m test ! -e "$work"
}
on() { local n=$1; shift; nsenter -t "${holder[$n]}" -n -m -u "$@"; }
podman() { local n=$1; shift; nsenter -t "${rooted[$n]}" -n -m -u env CONTAINERS_CONF="$conf/$n.conf" podman --root "$store/$n/root" --runroot /run/podman/root --tmpdir /run/podman/tmp --storage-driver vfs "$@"; }
weft() { local n=$1; shift; on "$n" "$bin/weft" "$@"; }
docker() { local n=$1; shift; on "$n" env DOCKER_HOST=unix:///run/weft/docker.sock docker "$@"; }
start_weftd() {
    local n=$1
    on "$n" "$bin/weftd" --state-dir "$work/$n/state" --bpf-dir "/sys/fs/bpf/$id-$n" --plugin-socket "" \
        --engine-socket /run/podman/podman.sock </dev/null >>"$work/$n/log" 2>&1 &
    daemon[$n]=$!
    within 10 weft "$n" version
}
start_podman() {
    local n=$1
    on "$n" mkdir -p /run/podman; on "$n" rm -f /run/podman/podman.sock
    podman "$n" system service -t 0 unix:///run/podman/podman.sock </dev/null >>"$work/$n/podman.log" 2>&1 &
    engine[$n]=$!
    within 20 on "$n" curl -sf -o "$out/ping" --unix-socket /run/podman/podman.sock http://podman/_ping
}
# A function in the background is a shell of its own, and the program its child.
end() { kill -9 $(pgrep -P "$1") "$1"; wait "$1" 2>/dev/null; return 0; }
finish() {
    for n in $hosts; do podman $n rm -fa -t 0; done
    for n in $hosts; do end "${daemon[$n]}"; end "${engine[$n]}"; end "${rooted[$n]}"; end "${holder[$n]}"; done
    # Monitors of exec sessions stay for minutes, for someone who might ask how they ended.
    kill -9 $(pgrep -f "^[^ ]*conmon .*$store/")
    for n in $hosts; do end_tunnels "$id-h$n"; ip netns del "$id-h$n"; rm -rf "/sys/fs/bpf/$id-$n"; done
    ip netns del "$id-u"
    [ -n "${KEEP_LOGS:-}" ] && mkdir -p "$KEEP_LOGS" && for n in $hosts; do cp "$work/$n/log" "$KEEP_LOGS/weftd$n.log"; cp "$work/$n/podman.log" "$KEEP_LOGS/podman$n.log"; done
    rm -rf "$work" ${PODMAN_ROOT:+"$PODMAN_ROOT/$store"}
} >/dev/null 2>&1
trap finish EXIT

# What podman reads, and where it stores, by the path that it sees.
store=${PODMAN_ROOT:+/weft-test-$id}; store=${store:-$work/store}; conf=$store/conf
mkdir -p "${PODMAN_ROOT:-}$conf"
for n in $hosts; do
    # ulimits below what a small machine may give; a raw socket for busybox's ping, which newer podman does not allow by itself.
    cat >"${PODMAN_ROOT:-}$conf/$n.conf" <<C
[containers]
default_ulimits = ["nofile=4096:4096", "nproc=8192:8192"]
default_capabilities = ["CHOWN", "DAC_OVERRIDE", "FOWNER", "KILL", "NET_BIND_SERVICE", "NET_RAW", "SETGID", "SETUID"]
[engine]
runtime = "${RUNTIME:-crun}"
cgroup_manager = "cgroupfs"
events_logger = "file"
C
done

# An image of busybox alone.
root=$work/image; mkdir -p "$root/bin" "$root/etc" "$root/tmp" "$root/www"
cp "$(command -v busybox)" "$root/bin/busybox"
for tool in sh ping sleep nslookup httpd ip cat hostname true; do ln -sf busybox "$root/bin/$tool"; done
echo hello >"$root/www/index.html"
tar -C "$root" -cf "$work/image.tar" .

ip netns add "$id-u" && ip -n "$id-u" link set lo up && ip -n "$id-u" link add br0 type bridge && ip -n "$id-u" link set br0 up
ip -n "$id-u" addr add 172.29.9.254/24 dev br0
