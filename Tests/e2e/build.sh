#!/bin/bash
# BuildKit and the large bodies through Weft's socket: build with all that has a stream of its own, cancelled ones, save, load,
# cp, commit, export, import. Needs root and a docker command that brings BuildKit's client along (Debian's docker.io).
# WEFT_BIN: directory with weft, weftd, weft-shim.  DOCKER: the docker command. Ends with `N passed, N failed`.
set -u
cd "$(dirname "$0")/../.."
PATH="${WEFT_BIN:?directory with the built executables}:$PATH"
export PATH LC_ALL=C DOCKER_BUILDKIT=1
lab=${WEFT_LAB:-weft-lab}
command=${DOCKER:-/usr/bin/docker}
for program in "$command" dockerd busybox; do
    command -v "$program" >/dev/null || { echo "build: $program is not installed (scripts/setup)" >&2; exit 1; }
done

out=$(mktemp -d)
finish() {
    weft lab down
    rm -rf "$out"
}
trap 'finish >/dev/null 2>&1' EXIT
. Tests/e2e/steps.sh

weft lab down >/dev/null 2>&1
step "a lab of one host with an engine" weft lab up --nodes 1 --engine docker
step "an image" weft lab image --busybox
export DOCKER_HOST=unix:///run/$lab/host1/run/docker.sock DOCKER_CONFIG=$out/config
docker() { timeout 180 "$command" "$@"; }
build() { docker build --progress plain "$@"; }

context=$out/context
mkdir "$context" && echo payload >"$context/small" && head -c 20000000 /dev/urandom >"$context/big" && echo secret >"$out/token"
cat >"$context/Dockerfile" <<'D'
FROM alpine AS base
ARG WHO=nobody
COPY small big /x/
RUN echo "for $WHO" >/x/who && md5sum /x/big >/x/sum
RUN --mount=type=secret,id=token cat /run/secrets/token >/x/token
FROM base
RUN ls /x
CMD ["cat", "/x/who"]
D
built() { build --build-arg WHO=me --secret "id=token,src=$out/token" -t built "$context"; }
step "build with arguments, a secret, 20 MB of context" built
step "the argument" equals "for me" docker run --rm built
step "the context" has "$(md5sum <"$context/big" | cut -c1-32)" docker run --rm built cat /x/sum
step "the secret" equals secret docker run --rm built cat /x/token
step "once more comes from the cache" has CACHED built
recipe() { printf '%s\n' "$@"; }
from_stdin() { recipe "FROM alpine" "RUN echo here >/here" | build -t piped -; }
step "a Dockerfile on standard input" from_stdin
context_from_stdin() { tar -C "$context" -cf - . | build --target base --secret "id=token,src=$out/token" -t piped -; }
step "a context on standard input" context_from_stdin
failing() { recipe "FROM alpine" "RUN exit 3" | build -; }
step "a failing build says so" refused "exit code: 3" failing
exported() { recipe "FROM alpine AS a" "RUN echo there >/there" "FROM scratch" "COPY --from=a /there /" | build --output "$out/tree" -; }
step "the result as files" exported
step "are there" equals there cat "$out/tree/there"
parallel() {
    local pids=() i
    for i in 1 2 3 4; do recipe "FROM alpine" "RUN sleep 1; echo $i" | build --no-cache -t "par$i" - & pids+=($!); done
    for i in "${pids[@]}"; do wait "$i" || return 1; done
}
step "four at once" parallel
cancelled() {
    recipe "FROM alpine" "RUN sleep 7654" >"$out/slow"
    "$command" build --no-cache --progress plain -f "$out/slow" "$context" >"$out/slow.log" 2>&1 &
    local pid=$!
    within 20 pgrep -f "^sleep 7654" || return 1
    kill -INT $pid; wait $pid
    within 20 not pgrep -f "^sleep 7654"
}
step "an interrupted build ends in the engine too" cancelled
legacy() { recipe "FROM alpine" "COPY big /" >"$context/Legacy"; DOCKER_BUILDKIT=0 docker build -f "$context/Legacy" -t legacy "$context"; }
step "build without BuildKit" legacy
saved() { docker save built | docker load; }
step "save and load" saved
container=$(docker create built)
copied() { docker cp "$context/big" "$container:/y" && docker cp "$container:/y" - | tar xO | cmp - "$context/big"; }
step "cp in and out" copied
step "commit" docker commit -m words "$container" committed
imported() { docker export "$container" | docker import - imported; }
step "export and import" imported
step "what was imported" equals payload docker run --rm imported cat /x/small
echoed() { docker run -i --rm alpine cat <"$context/big" | cmp - "$context/big"; }
step "20 MB through a container, both ways" echoed
engine_ends() { ls "/proc/$(cut -d' ' -f1 /run/$lab/host1/weftd.pid)/fd" | wc -l; }
before=$(engine_ends)
followers() {
    local pids=() i
    docker run -d --name silent alpine sleep 86400
    for i in 1 2 3 4 5; do
        for verb in "logs -f silent" events "stats silent" "wait silent" "attach --sig-proxy=false silent"; do
            "$command" $verb </dev/null >/dev/null 2>&1 & pids+=($!)
        done
    done
    more() { [ "$(engine_ends)" -ge $((before + 25)) ]; }
    within 20 more || return 1
    kill -KILL "${pids[@]}"; wait "${pids[@]}"
    fewer() { [ "$(engine_ends)" -le "$before" ]; }
    within 20 fewer
}
step "killed clients leave no connection behind" followers

conclude
