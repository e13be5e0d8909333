#!/bin/bash
# Installs the packages that scripts/package made on a copy of this machine that is thrown away (an overlay on /, namespaces of its
# own), makes a swarm there with a network and a sandbox, uninstalls, and compares: files, interfaces, addresses, rules,
# routes, firewall and eBPF are as they were.
#   Tests/e2e/install.sh [DIRECTORY with the packages (default: dist)]       ends with `N passed, N failed`
set -u
cd "$(dirname "$0")/../.."
if [ "${1:-}" != --inside ]; then
    [ "$(id -u)" = 0 ] || { echo "install: run it as root" >&2; exit 1; }
    packages=$(realpath "${1:-dist}")
    ls "$packages"/weft_*.deb "$packages"/weft-*.tar.gz >/dev/null || { echo "install: run scripts/package first" >&2; exit 1; }
    # Pids of its own as well: whatever is left running ends with it.
    exec unshare --mount --net --uts --pid --fork --kill-child --propagation private "$0" --inside "$packages"
fi

packages=$2
root=/mnt/weft-install-test
mkdir -p $root
mount -t tmpfs tmpfs $root
mkdir $root/{upper,work,root,machine}
mount -t overlay overlay -o "lowerdir=/,upperdir=$root/upper,workdir=$root/work" $root/root
mount --rbind /dev $root/root/dev
mount -t proc proc $root/root/proc
mount -t sysfs sysfs $root/root/sys
mount -t bpf bpf $root/root/sys/fs/bpf
mount -t tmpfs tmpfs $root/root/run
mount -t tmpfs tmpfs $root/root/tmp
mkdir $root/root/tmp/packages
cp "$packages"/weft_*.deb "$packages"/weft-*.tar.gz $root/root/tmp/packages
# A machine on which weftd ran by hand has an empty state directory, which a purge takes with it.
rmdir $root/root/var/lib/weft 2>/dev/null
# An address that the kernel adds later by itself would look like one that is left.
sysctl -qw net.ipv6.conf.default.disable_ipv6=1 net.ipv6.conf.all.disable_ipv6=1
ip link set lo up
ip link add eth0 type veth peer name eth0p
ip link set eth0p up
ip address add 192.0.2.11/24 dev eth0
ip link set eth0 up

cat >$root/root/tmp/inside.sh <<'INSIDE'
set -u
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C
unset SWIFT_HOME LD_LIBRARY_PATH
passed=0 failed=0
step() {
    local name=$1; shift
    if "$@" >/tmp/step 2>&1; then passed=$((passed + 1)); echo "ok   $name"
    else failed=$((failed + 1)); echo "FAIL $name: $(tail -n 5 /tmp/step | tr '\n' ' ' | cut -c1-400)"; fi
}
within() { local end=$((SECONDS + $1)); shift; until "$@"; do [ $SECONDS -lt $end ] || return 1; sleep 0.1; done; }
host() {
    # Logs and caches of the package manager are not Weft's, nor is what others do below / meanwhile.
    find / -maxdepth 1 | sort
    find /etc /usr /opt /var /srv -xdev \( -path /var/lib/dpkg -o -path /var/log -o -path /var/cache -o -path /var/tmp \) -prune -o -print | sort
    find /run /sys/fs/bpf | sort
    ip -br link; ip -br address; ip rule; ip route show table all; nft list ruleset; tc qdisc; bpftool net 2>/dev/null
}
works() {
    step "$1: no program needs Swift on the host" sh -c '! ldd "$(command -v weftd)" "$(command -v weft)" | grep -E "swift|not found"'
    weftd --supervise >/tmp/weftd.log 2>&1 &
    step "$1: weftd starts" within 10 weft info
    step "$1: swarm init" weft swarm init --advertise-addr 192.0.2.11
    step "$1: network create" weft network create -d overlay --attachable my_net
    step "$1: a sandbox" weft run -d --name a1 --network my_net -- sleep infinity
    step "$1: another finds it by name" weft run --rm --network my_net -- ping -c 1 -w 3 a1
    step "$1: --cleanup refuses while weftd runs" sh -c '! weftd --cleanup'
}
same() { host >/tmp/after; diff /tmp/before /tmp/after; }

host >/tmp/before
step "deb: install" dpkg -i /tmp/packages/weft_*.deb
step "deb: completions" grep -q weft /usr/share/bash-completion/completions/weft
works deb
step "deb: installed again over the running one" dpkg -i /tmp/packages/weft_*.deb
step "deb: the sandbox goes on" weft exec a1 true
step "deb: purge" dpkg --purge weft
step "deb: nothing is left" same
cd /tmp && tar xzf /tmp/packages/weft-*.tar.gz && cd /tmp/weft-*/ || exit 1
host >/tmp/before
step "archive: install" ./install.sh
hash -r
works archive
step "archive: uninstall" ./install.sh --uninstall --purge
step "archive: nothing is left" same
echo
echo "$passed passed, $failed failed"
[ $failed = 0 ]
INSIDE
chroot $root/root /bin/bash /tmp/inside.sh
