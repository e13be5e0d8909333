#!/bin/sh
# Installs Weft from the archive that this is in, on any Linux with glibc 2.36 or newer. On Debian and Ubuntu: use the .deb.
#   ./install.sh               installs to /usr/local (PREFIX), starts weftd with systemd if the system runs it
#   ./install.sh --uninstall   ends weftd, removes all that it made on this host, and the files
#   ./install.sh --uninstall --purge   the node's identity and swarm state too
set -eu
here=$(cd "$(dirname "$0")" && pwd)
prefix=${PREFIX:-/usr/local}
units=/etc/systemd/system
completions=$prefix/share/bash-completion/completions
programs="weftd weft weft-shim weft-supervisor weft-tunnel weft-cni"
systemd() { [ -d /run/systemd/system ]; }
fail() { echo "install.sh: $1" >&2; exit 1; }
[ "$(id -u)" = 0 ] || fail "run it as root"

if [ "${1:-}" = --uninstall ]; then
    if [ -x "$prefix/bin/weftd" ]; then
        "$here/packaging/prerm" remove "$prefix/bin"
    fi
    for program in $programs; do rm -f "$prefix/bin/$program"; done
    if [ "$(readlink /opt/cni/bin/weft)" = "$prefix/bin/weft-cni" ]; then
        rm -f /opt/cni/bin/weft
        rmdir /opt/cni/bin /opt/cni 2>/dev/null || true
    fi
    rm -f "$units/weftd.service" "$units/weftd.socket" "$completions/weft"
    rmdir "$completions" "${completions%/*}" 2>/dev/null || true
    if systemd; then systemctl daemon-reload; fi
    if [ "${2:-}" = --purge ]; then rm -rf /var/lib/weft; fi
    echo "Weft is removed."
    exit 0
fi

case $(uname -m) in "$(cat "$here/machine")") ;; *) fail "this archive is for $(cat "$here/machine"), not $(uname -m)" ;; esac
release=$(uname -r)
major=${release%%.*} minor=${release#*.} minor=${minor%%[!0-9]*}
[ "$major" -gt 6 ] || { [ "$major" = 6 ] && [ "$minor" -ge 1 ]; } || fail "kernel $release is too old: Weft needs 6.1 or newer"
command -v nft >/dev/null || fail "nft is missing: install nftables"
missing=$(ldd "$here/bin/weftd" "$here/bin/weft-tunnel" | awk '/not found/ { print $1 }' | tr '\n' ' ')
[ -z "$missing" ] || fail "libraries are missing: $missing(packages libbpf, libelf, sqlite-libs, openssl-libs or the like)"

mkdir -p "$prefix/bin" "$completions"
for program in $programs; do
    # A new file, not the old one's content: the program may be running.
    install -m 0755 "$here/bin/$program" "$prefix/bin/.$program.new"
    mv "$prefix/bin/.$program.new" "$prefix/bin/$program"
done
mkdir -p /opt/cni/bin
ln -sf "$prefix/bin/weft-cni" /opt/cni/bin/weft
install -m 0644 "$here/weft.bash" "$completions/weft"
if systemd; then
    install -m 0644 "$here/packaging/weftd.socket" "$units/weftd.socket"
    sed "s|/usr/bin/|$prefix/bin/|" "$here/packaging/weftd.service" >"$units/weftd.service"
    systemctl daemon-reload
    systemctl enable --quiet weftd.socket weftd.service
    # Not restarted: systemd would close the sockets for a moment, and a docker command would fail.
    systemctl start weftd.socket
    systemctl restart weftd.service
    echo "Weft is installed and weftd runs. Next: weft swarm init, or weft swarm join"
else
    echo "Weft is installed. This system does not run systemd: start weftd before dockerd with: $prefix/bin/weftd --supervise &"
fi
