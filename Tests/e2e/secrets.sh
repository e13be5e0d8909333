#!/bin/bash
# Secrets and configs as the docker command, the Python SDK and weft's own commands use them, on a manager, and refused on a worker.
# Two hosts of a lab without engines.
# WEFT_BIN: directory with weft, weftd, weft-shim. Needs root, docker (the command alone) and python3; the SDK's steps where it is there.
# Prints a line a step, ends with `N passed, N failed`.
set -u
PATH="${WEFT_BIN:?directory with the built executables}:$PATH"
export PATH LC_ALL=C
lab=${WEFT_LAB:-weft-lab}
out=$(mktemp -d)
. "$(dirname "$0")/steps.sh"
trap 'weft lab down >/dev/null 2>&1; rm -rf "$out"' EXIT

socket() { echo "unix:///run/$lab/host$1/run/docker.sock"; }
on() { local h=$1; shift; timeout 60 docker -H "$(socket "$h")" "$@"; }
own() { local h=$1; shift; timeout 60 weft "$@" -H "$(socket "$h")"; }
made() { local h=$1 kind=$2 content=$3; shift 3; printf %s "$content" | on "$h" "$kind" create "$@" -; }

weft lab down >/dev/null 2>&1
step "a lab" weft lab up --nodes 2
for kind in secret config; do
    step "$kind create" made 1 $kind s3same --label tier=db --label late k1
    step "$kind ls" has k1 on 1 $kind ls
    step "$kind ls by label" equals k1 on 1 $kind ls --filter label=tier=db --format '{{.Name}}'
    step "$kind ls by another label" equals "" on 1 $kind ls --filter label=tier=web --format '{{.Name}}'
    step "$kind inspect" equals "k1 db" on 1 $kind inspect --format '{{.Spec.Name}} {{index .Spec.Labels "tier"}}' k1
    step "$kind taken" refused "already exists" made 1 $kind other k1
    step "$kind too large" refused "must be larger than 0 and less than" sh -c "head -c 1024000 /dev/zero | docker -H $(socket 1) $kind create k2 -"
    step "$kind unknown" refused "nosuch" on 1 $kind inspect nosuch
    step "$kind on a worker" refused "not a swarm manager" on 2 $kind ls
done
step "a secret's content is shown to nobody" hasnt czNzYW1l on 1 secret inspect k1
step "a config's content is shown" has s3same on 1 config inspect --pretty k1
step "weft secret create" sh -c "printf own | weft secret create -H $(socket 1) k3 -"
step "weft secret ls" has k3 own 1 secret ls
step "weft secret ls as the docker command has it" equals "$(on 1 secret ls -q | sort)" sh -c "weft secret ls -q -H $(socket 1) | sort"
step "weft config inspect" has s3same own 1 config inspect --pretty k1
if python3 -c 'import docker' 2>/dev/null; then
    step "the Python SDK" python3 - "$(socket 1)" <<'PYTHON'
import sys, docker
client = docker.DockerClient(base_url=sys.argv[1], version="auto")
secret = client.secrets.create(name="sdk", data="püssword", labels={"a": "b"})
assert secret.name == "sdk", secret.attrs
found = client.secrets.get(secret.id)
assert found.attrs["Spec"] == {"Name": "sdk", "Labels": {"a": "b"}}, found.attrs
assert [s.id for s in client.secrets.list(filters={"name": "sdk"})] == [secret.id]
secret.remove()
try: client.secrets.get(secret.id); raise SystemExit("still there")
except docker.errors.NotFound: pass
config = client.api.create_config("sdk", b"sensitive", templating={"name": "golang"})
shown = client.api.inspect_config(config["ID"])
assert shown["Spec"]["Templating"] == {"Name": "golang"} and shown["Spec"]["Data"] == "c2Vuc2l0aXZl", shown
client.api.remove_config(config["ID"])
assert client.services.list() == [] and client.api.tasks() == []
PYTHON
fi
for kind in secret config; do
    step "$kind rm" on 1 $kind rm k1
    step "$kind gone" refused "k1" on 1 $kind inspect k1
done
step "weft secret rm" own 1 secret rm k3
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
