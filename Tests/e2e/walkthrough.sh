#!/bin/bash
# What tutorials on Docker's overlay networks do, with the stock docker command against Weft's sockets: brings up a lab of
# three hosts with an engine each and runs the acceptance script, which is kept outside this repository, unmodified.
# WEFT_BIN: directory with weft, weftd, weft-shim.  ACCEPTANCE: directory with walkthrough.sh.  PART: which parts of it.
# DOCKERD: path of another dockerd than this machine's, with its containerd beside it.
# Exit code 77: skipped, since something outside the repository is missing. Ends with `N passed, N failed`.
set -u
cd "$(dirname "$0")/../.."
PATH="${WEFT_BIN:?directory with the built executables}:$PATH"
export PATH LC_ALL=C
lab=${WEFT_LAB:-weft-lab}
acceptance=${ACCEPTANCE:-../shared/acceptance}

skip() { echo "walkthrough: SKIPPED, NOTHING TESTED: $1" >&2; exit 77; }
[ -x "$acceptance/walkthrough.sh" ] || [ -f "$acceptance/walkthrough.sh" ] || skip "there is no $acceptance/walkthrough.sh"
for program in docker dockerd busybox tcpdump; do command -v $program >/dev/null || skip "$program is not installed (scripts/setup)"; done

out=$(mktemp -d)
. Tests/e2e/steps.sh
trap 'weft lab down >/dev/null 2>&1; rm -rf "$out"' EXIT
weft lab down >/dev/null 2>&1
began=$(date +%s%N)
weft lab up --nodes 3 --engine docker ${DOCKERD:+--dockerd "$DOCKERD"} --no-swarm >"$out/up" 2>&1 || { cat "$out/up"; echo "FAIL lab up"; exit 1; }
weft lab image --busybox || { echo "FAIL lab image"; exit 1; }
echo "time lab-with-engines-and-image $((($(date +%s%N) - began) / 1000000)) ms"

socket() { echo "/run/$lab/host$1/run/docker.sock"; }
ADDR1=172.30.0.1 ADDR2=172.30.0.2 ADDR3=172.30.0.3 NETNS1=$lab-1 NETNS2=$lab-2 NETNS3=$lab-3 \
    PART=${PART:-init net run svc end} bash "$acceptance/walkthrough.sh" "$(socket 1)" "$(socket 2)" "$(socket 3)" 2>&1 | tee "$out/log" | sed -u 's/^failed:/these failed:/'

passed=$(grep -c '^ok ' "$out/log")
while read -r name; do
    fail "$name" "$(grep -F -m 1 "FAIL $name:" "$out/log" | cut -d: -f2- | cut -c1-400)"
done < <(sed -n 's/^FAIL \([^:]*\):.*/\1/p' "$out/log")
grep -q '^[0-9]* passed, [0-9]* failed' "$out/log" || fail "the end" "the acceptance script did not reach it: $(tail -n 1 "$out/log")"
if grep -q '^skip ' "$out/log"; then fail "skipped" "$(grep '^skip ' "$out/log" | head -n 3 | tr '\n' ' ')"; fi
if [ "${KEEP_LOGS:-}" ]; then
    mkdir -p "$KEEP_LOGS"; cp "$out/log" "$KEEP_LOGS/walkthrough.log"
    for i in 1 2 3; do for d in weftd dockerd; do cp "/run/$lab/host$i/$d.log" "$KEEP_LOGS/$d$i.log"; done; done
fi

step "lab down" weft lab down
left() { ! { ip netns list | grep "$lab"; mount | grep "$lab"; find /sys/fs/cgroup -name "$lab*" 2>/dev/null; } | grep .; }
step "leaves nothing behind" left
conclude
