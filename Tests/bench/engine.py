"""What engine.sh measures, once its two hosts and both swarms are up."""

import argparse
import ctypes
import datetime
import json
import math
import multiprocessing
import os
import platform
import random
import re
import socket
import statistics
import struct
import subprocess
import time

IMAGE = "alpine"
NAME = os.environ.get("WEFT_LAB", "weft-lab")
LAB = f"/run/{NAME}"
CLONE_NEWNET = 0x40000000


def weft_socket(host):
    return f"unix://{LAB}/host{host}/run/docker.sock"


def engine_socket(host):
    return f"unix://{LAB}/host{host}/docker/docker.sock"


SYSTEMS = {"weft": weft_socket, "swarm": engine_socket}
# Where `docker run` is measured: the socket, and the network's name.
NETWORKS = {
    "weft": (weft_socket, "bench_weft"),
    "swarm": (engine_socket, "bench_swarm"),
    "bridge": (engine_socket, "bridge"),
    "none": (engine_socket, "none"),
}


def docker(where, *words):
    result = subprocess.run(["docker", "-H", where, *words], capture_output=True, text=True)
    if result.returncode != 0:
        raise SystemExit(f"docker -H {where} {' '.join(words)} failed: {result.stderr.strip()}")
    return result.stdout.strip()


def timed(where, *words):
    """Milliseconds that a docker command took."""
    start = time.monotonic()
    docker(where, *words)
    return (time.monotonic() - start) * 1000


def percentile(values, share):
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def shuffled(items):
    items = list(items)
    random.shuffle(items)
    return items


def make_network(system, name, subnet):
    docker(SYSTEMS[system](1), "network", "create", "-d", "overlay", "--attachable", "--subnet", subnet, name)


def pid_of(where, name):
    return int(docker(where, "inspect", "-f", "{{.State.Pid}}", name))


def enter(path):
    libc = ctypes.CDLL(None, use_errno=True)
    with open(path) as file:
        if libc.setns(file.fileno(), CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), f"setns {path}")


# Containers


def first_runs(rounds):
    """`docker run -d` on a network that the node has had no container of."""
    found = {system: [] for system in SYSTEMS}
    for number in range(rounds):
        for system in shuffled(SYSTEMS):
            network = f"first_{system}_{number}"
            # Both swarms are in one kernel per host: their subnets must not meet.
            make_network(system, network, f"10.{80 + list(SYSTEMS).index(system)}.{number}.0/24")
            where = SYSTEMS[system](2)
            found[system].append(timed(where, "run", "-d", "--name", "first", "--network", network, IMAGE, "sleep", "600"))
            docker(where, "rm", "-f", "first")
            remove_network(SYSTEMS[system](1), network)
    return found


def remove_network(where, name):
    # A swarm hears of the last container's end a little later.
    deadline = time.monotonic() + 10
    while subprocess.run(["docker", "-H", where, "network", "rm", name], capture_output=True).returncode != 0:
        if time.monotonic() > deadline:
            raise SystemExit(f"the network {name} cannot be removed")
        time.sleep(0.1)


def later_runs(rounds):
    detached = {name: [] for name in NETWORKS}
    removed = {name: [] for name in NETWORKS}
    for _ in range(rounds):
        for name in shuffled(NETWORKS):
            where, network = NETWORKS[name][0](1), NETWORKS[name][1]
            detached[name].append(timed(where, "run", "-d", "--name", "later", "--network", network, IMAGE, "sleep", "600"))
            docker(where, "rm", "-f", "later")
            removed[name].append(timed(where, "run", "--rm", "--network", network, IMAGE, "true"))
    return detached, removed


# Names


def question(name, number):
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return struct.pack(">HHHHHH", number, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack(">HH", 1, 1)


def ask_until_answered(pid, name, ready, result):
    """Asks the container's resolver every 2 ms; the wall clock's time of the first answer."""
    enter(f"/proc/{pid}/ns/net")
    asker = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    asker.connect(("127.0.0.11", 53))
    number, deadline, following = 0, time.monotonic() + 20, time.monotonic()
    while time.monotonic() < deadline:
        number = (number + 1) % 65536
        asker.send(question(name, number))
        if number == 5:
            ready.set()
        following = max(following + 0.002, time.monotonic())
        while (left := following - time.monotonic()) > 0:
            asker.settimeout(left)
            try:
                answer = asker.recv(4096)
            except (TimeoutError, socket.timeout):
                break
            flags, _, answers = struct.unpack(">HHH", answer[2:8])
            if flags & 15 == 0 and answers > 0:
                result.put(time.time())
                return
    result.put(None)


def names(rounds, keepers):
    """Milliseconds from the start of a container's process until another node's container resolves its name."""
    found = {system: [] for system in SYSTEMS}
    for number in range(rounds):
        for system in shuffled(SYSTEMS):
            where, name = SYSTEMS[system](1), f"name{number}"
            ready, result = multiprocessing.Event(), multiprocessing.Queue()
            asker = multiprocessing.Process(
                target=ask_until_answered, args=(keepers[system][2], name, ready, result))
            asker.start()
            ready.wait(5)
            docker(where, "run", "-d", "--name", name, "--network", NETWORKS[system][1], IMAGE, "sleep", "600")
            started = docker(where, "inspect", "-f", "{{.State.StartedAt}}", name)
            answered = result.get(timeout=30)
            asker.join()
            if answered is None:
                raise SystemExit(f"{name} on {system} was not resolvable within 20 s")
            found[system].append((answered - wall(started)) * 1000)
            docker(where, "rm", "-f", name)
    return found


def wall(text):
    """Seconds since 1970 of a time as Docker writes it, with nine digits."""
    whole, _, fraction = text.rstrip("Z").partition(".")
    moment = datetime.datetime.strptime(whole, "%Y-%m-%dT%H:%M:%S").replace(tzinfo=datetime.timezone.utc)
    return moment.timestamp() + float(f"0.{fraction or 0}")


# Pass-through


TRANSFERS = {
    "ps": "`docker ps`",
    "exec300MB": "300 MB through `docker exec`",
    "logs100MB": "100 MB through `docker logs`",
    "save": "`docker save` of 100 MB",
}


def received(where, *words):
    """Milliseconds that a docker command took to write all its output, and the bytes of it."""
    start = time.monotonic()
    process = subprocess.Popen(["docker", "-H", where, *words], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    count = 0
    while data := os.read(process.stdout.fileno(), 1 << 20):
        count += len(data)
    if process.wait() != 0:
        raise SystemExit(f"docker -H {where} {' '.join(words)} failed")
    return (time.monotonic() - start) * 1000, count


def pass_through(lists, copies):
    sockets = {"weft": weft_socket(1), "engine": engine_socket(1)}
    engine = engine_socket(1)
    docker(engine, "run", "-d", "--name", "copier", "--network", "none", IMAGE, "sleep", "3600")
    docker(engine, "run", "-d", "--name", "talker", "--network", "none", IMAGE, "sh", "-c",
           f"yes {'0123456789' * 8} | head -c {100 << 20} | tee /image")
    docker(engine, "wait", "talker")
    docker(engine, "commit", "talker", "bench_image")
    work = {
        "exec300MB": (["exec", "copier", "dd", "if=/dev/zero", "bs=1M", "count=300"], 300 << 20),
        "logs100MB": (["logs", "talker"], 100 << 20),
        "save": (["save", "bench_image"], 100 << 20),
    }
    found = {kind: {name: [] for name in sockets} for kind in TRANSFERS}
    for _ in range(lists):
        for name in shuffled(sockets):
            found["ps"][name].append(timed(sockets[name], "ps"))
    for _ in range(copies):
        for kind, (words, least) in work.items():
            for name in shuffled(sockets):
                took, count = received(sockets[name], *words)
                found[kind][name].append(took)
                if count < least:
                    raise SystemExit(f"docker {words[0]} through {name} gave {count} bytes, not {least}")
    docker(engine, "rm", "-f", "copier", "talker")
    docker(engine, "rmi", "bench_image")
    return found


def report_sockets(through):
    lines = [
        "| pass-through, ms (median, n) | engine's socket | Weft's socket | median of ratios |", "| --- | ---: | ---: | ---: |",
    ]
    for kind, title in TRANSFERS.items():
        weft, engine = through[kind]["weft"], through[kind]["engine"]
        lines.append(
            f"| {title} (n = {len(weft)}) | {statistics.median(engine):.1f} | {statistics.median(weft):.1f} "
            f"| {ratio_of_rounds(weft, engine):.2f} × |")
    return lines


def resident(host):
    """Megabytes of weftd alone, which may run under a supervisor."""
    with open(f"{LAB}/host{host}/weftd.pid") as file:
        pid = int(file.read().split()[0])
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        pids = [pid] + [int(child) for child in file.read().split()]
    for each in pids:
        with open(f"/proc/{each}/status") as file:
            status = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
        if status["Name"] == "weftd":
            return int(status["VmRSS"].split()[0]) / 1024
    raise SystemExit(f"weftd of host {host} does not run")


# Traffic


def throughput(paths, seconds):
    """Gb/s of one TCP stream from host 1 to host 2."""
    client, server, address = paths
    listener = subprocess.Popen(
        ["nsenter", f"--net={server}", "taskset", "-c", "1", "iperf3", "-s", "-1"], stdout=subprocess.DEVNULL)
    time.sleep(0.3)
    report = subprocess.run(
        ["nsenter", f"--net={client}", "taskset", "-c", "0", "iperf3", "-c", address, "-t", str(seconds), "-J"],
        capture_output=True, text=True)
    listener.wait(30)
    return json.loads(report.stdout)["end"]["sum_received"]["bits_per_second"] / 1e9


def reply(path, address, ready):
    enter(path)
    os.sched_setaffinity(0, {1})
    listener = socket.create_server((address, 7001))
    ready.set()
    connection, _ = listener.accept()
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    while data := connection.recv(64):
        connection.send(data)


def request(path, address, count, result):
    enter(path)
    os.sched_setaffinity(0, {0})
    connection = socket.create_connection((address, 7001))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    data, took = b"x" * 64, []
    for _ in range(count):
        start = time.perf_counter_ns()
        connection.send(data)
        connection.recv(64)
        took.append((time.perf_counter_ns() - start) / 1000)
    result.put((percentile(took, 0.5), percentile(took, 0.99)))


def round_trip(paths, count):
    """p50 and p99 in µs of 64 bytes there and back over TCP."""
    client, server, address = paths
    ready, result = multiprocessing.Event(), multiprocessing.Queue()
    replier = multiprocessing.Process(target=reply, args=(server, address, ready))
    replier.start()
    ready.wait(5)
    asker = multiprocessing.Process(target=request, args=(client, address, count, result))
    asker.start()
    values = result.get(timeout=60)
    asker.join()
    replier.join()
    return values


def ping(paths, count):
    """Median in µs."""
    client, _, address = paths
    output = subprocess.run(
        ["nsenter", f"--net={client}", "taskset", "-c", "0", "ping", "-i", "0.001", "-c", str(count), address],
        capture_output=True, text=True).stdout
    return percentile([float(value) * 1000 for value in re.findall(r"time=([0-9.]+) ms", output)], 0.5)


def traffic(rounds, seconds, keepers):
    paths = {"hosts": (f"/run/netns/{NAME}-1", f"/run/netns/{NAME}-2", "172.30.0.2")}
    for system, where in SYSTEMS.items():
        form = "{{(index .NetworkSettings.Networks \"%s\").IPAddress}}" % NETWORKS[system][1]
        address = docker(where(2), "inspect", "-f", form, f"keep_{system}")
        paths[system] = (f"/proc/{keepers[system][1]}/ns/net", f"/proc/{keepers[system][2]}/ns/net", address)
    found = {kind: {name: [] for name in paths} for kind in ["tcpGbps", "rrP50us", "rrP99us", "pingP50us"]}
    for _ in range(rounds):
        for name in shuffled(paths):
            found["tcpGbps"][name].append(throughput(paths[name], seconds))
            half, most = round_trip(paths[name], 10000)
            found["rrP50us"][name].append(half)
            found["rrP99us"][name].append(most)
            found["pingP50us"][name].append(ping(paths[name], 500))
    return found


# Report


def ratio_of_rounds(over, under):
    return statistics.median(a / b for a, b in zip(over, under))


def bar(text, value, limit, at_most=True, unit="×"):
    met = value <= limit if at_most else value >= limit
    sign = "≤" if at_most else "≥"
    return f"| {text} | {sign} {limit:.2f} {unit} | {value:.2f} {unit} | {'met' if met else 'missed'} |"


def report(data):
    runs = data["runs"]
    machine = data["machine"]
    lines = [
        "# Containers on Weft and on a Docker swarm", "",
        f"Made by `Tests/bench/engine.sh`, {data['date']}. Kernel {machine['kernel']}, {machine['cpus']} CPUs, dockerd "
        f"{machine['dockerd']}, docker {machine['docker']}; weftd: {machine['weftd']}. Load of the machine before the run: "
        f"{machine['loadBefore']:.1f}, after: {machine['loadAfter']:.1f}.", "",
        "Two hosts are namespaces on one machine, each with a dockerd that serves Weft and is a node of a real swarm. "
        "Everything is interleaved in shuffled order. first: the node had no container on that network yet; later: it has one.", "",
        "| docker run, ms | n | median | p90 |", "| --- | ---: | ---: | ---: |",
    ]
    titles = {"firstDetached": "`run -d`, first", "laterDetached": "`run -d`, later", "laterRemoved": "`run --rm … true`, later"}
    places = {"weft": "Weft's overlay", "swarm": "swarm's overlay", "bridge": "bridge", "none": "none"}
    for kind, title in titles.items():
        for name, values in runs[kind].items():
            half, most = percentile(values, 0.5), percentile(values, 0.9)
            lines.append(f"| {title}, {places[name]} | {len(values)} | {half:.0f} | {most:.0f} |")
    lines += [
        "", "| name resolvable on the other node, ms after State.StartedAt | n | median | p90 | p99 |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for name, values in data["names"].items():
        cells = [f"{percentile(values, share):.1f}" for share in (0.5, 0.9, 0.99)]
        lines.append(f"| {places[name]} | {len(values)} | {' | '.join(cells)} |")
    lines += [
        "", "Negative: the name answers before the container's first process runs. p99 of so few is the largest. Asked every 2 ms "
        "with raw queries to 127.0.0.11 of a container there; the swarm's has `--dns 127.0.0.1`, so that unknown names are "
        "refused at once instead of waiting for a resolver outside.", "",
    ]
    through = data["passThrough"]
    lines += report_sockets(through)
    traffic_values = data["traffic"]
    lines += [
        "", "| between containers of two hosts (median of rounds) | hosts' own path | swarm's overlay | Weft's overlay |",
        "| --- | ---: | ---: | ---: |",
    ]
    kinds = {"tcpGbps": "TCP, one stream, Gb/s", "rrP50us": "64-byte TCP RR p50, µs", "rrP99us": "64-byte TCP RR p99, µs", "pingP50us": "ping p50, µs"}
    for kind, title in kinds.items():
        cells = [f"{statistics.median(traffic_values[kind][name]):.1f}" for name in ("hosts", "swarm", "weft")]
        lines.append(f"| {title} | {' | '.join(cells)} |")
    lines += [
        "", "The RR programs are Python, whose own time is in all three columns and pulls the ratios towards 1; `weft-bench` "
        "measures the same without it.", "",
        "| work | bar | measured |  |", "| --- | ---: | ---: | --- |",
    ]
    for kind, title in titles.items():
        value = statistics.median(runs[kind]["weft"]) / statistics.median(runs[kind]["swarm"])
        lines.append(bar(f"{title}, to the swarm's overlay", value, 0.8))
    lines.append(bar("name on another node, p99", percentile(data["names"]["weft"], 0.99), 100, unit="ms"))
    for kind, title in TRANSFERS.items():
        value = ratio_of_rounds(through[kind]["weft"], through[kind]["engine"])
        lines.append(bar(f"{title}, to the engine's socket", value, 1.1))
    weft, swarm, hosts = (({kind: traffic_values[kind][name] for kind in kinds}) for name in ("weft", "swarm", "hosts"))
    lines.append(bar("TCP, to the swarm's overlay", ratio_of_rounds(weft["tcpGbps"], swarm["tcpGbps"]), 1.2, at_most=False))
    lines.append(bar("TCP, to the hosts' own path", ratio_of_rounds(weft["tcpGbps"], hosts["tcpGbps"]), 0.95, at_most=False))
    for kind, title in {"rrP50us": "RR p50", "rrP99us": "RR p99", "pingP50us": "ping p50"}.items():
        lines.append(bar(f"{title}, to the swarm's overlay", ratio_of_rounds(weft[kind], swarm[kind]), 0.8))
        lines.append(bar(f"{title}, to the hosts' own path", ratio_of_rounds(weft[kind], hosts[kind]), 1.1))
    for host, value in data["residentMB"].items():
        lines.append(bar(f"weftd resident memory with engine, {host}", value, 40, unit="MB"))
    lines += ["", "All values of all rounds: `engine.json`.", ""]
    return "\n".join(lines)


def build(directory):
    """What SwiftPM's directory says of what is in it."""
    return next((f"{kind} build" for kind in ("release", "debug") if f"/{kind}" in directory), "kind of build not known")


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--binaries", required=True)
    options.add_argument("--out", required=True)
    options.add_argument("--rounds", type=int, default=12)
    options.add_argument("--only-sockets", action="store_true", help="print what the sockets cost, and write nothing")
    arguments = options.parse_args()
    if arguments.only_sockets:
        print("\n".join(report_sockets(pass_through(arguments.rounds * 5 // 2, arguments.rounds))))
        return
    load = os.getloadavg()[0]
    make_network("weft", "bench_weft", "10.70.0.0/24")
    make_network("swarm", "bench_swarm", "10.71.0.0/24")
    first = first_runs(max(2, arguments.rounds // 2))
    # The measured containers are not the only ones of their network, or each would be the first again.
    keepers = {system: {} for system in SYSTEMS}
    for system, where in SYSTEMS.items():
        for host in (1, 2):
            # What the swarm's resolver does not know it asks elsewhere; refused at once, it has no queue of that.
            elsewhere = ["--dns", "127.0.0.1"] if system == "swarm" else []
            docker(where(host), "run", "-d", "--name", f"keep_{system}", "--network", NETWORKS[system][1], *elsewhere,
                   IMAGE, "sleep", "86400")
            keepers[system][host] = pid_of(where(host), f"keep_{system}")
    detached, removed = later_runs(arguments.rounds)
    data = {
        "date": datetime.date.today().isoformat(),
        "runs": {"firstDetached": first, "laterDetached": detached, "laterRemoved": removed},
        "names": names(max(3, arguments.rounds * 5 // 3), keepers),
        "passThrough": pass_through(max(3, arguments.rounds * 5 // 2), max(2, arguments.rounds // 2)),
        "traffic": traffic(max(2, arguments.rounds * 5 // 12), 2 if arguments.rounds > 3 else 1, keepers),
        "residentMB": {"manager": resident(1), "worker": resident(2)},
        "machine": {
            "kernel": platform.release(), "cpus": os.cpu_count(), "loadBefore": load, "loadAfter": os.getloadavg()[0],
            "dockerd": docker(engine_socket(1), "version", "-f", "{{.Server.Version}}"),
            "docker": docker(engine_socket(1), "version", "-f", "{{.Client.Version}}"),
            "weftd": os.environ.get("WEFT_BENCH_BUILD") or build(arguments.binaries),
        },
    }
    os.makedirs(arguments.out, exist_ok=True)
    with open(f"{arguments.out}/engine.json", "w") as file:
        json.dump(data, file, indent=1)
        file.write("\n")
    text = report(data)
    with open(f"{arguments.out}/engine.md", "w") as file:
        file.write(text)
    print(text)


if __name__ == "__main__":
    main()
