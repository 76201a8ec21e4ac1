"""Where the server's nanoseconds go, by stage, as a Markdown table. Standard library only; needs `perf` (linux-perf).

Usage: profile.py LOADTEST FIGURE NAME=COMMAND...

FIGURE is broadcast-1000, broadcast-10000, burst, echo or handshake. Each COMMAND is a server of `/room` and `/echo`, with
{port} where its port stands; a name that begins with "floor" is sent the sample key. Servers take turns, ROUNDS times
(environment, default 3), each on core 0 with the generator on core 1. What a delivery costs is the median of runs without
perf; how it divides comes from one run under perf's sampling of the CPU clock, which needs no hardware counter:

    profile.py target/release/loadtest broadcast-1000 \\
        'floor=loadtest/peers/target/release/floor {port}' \\
        'dormouse=target/release/dormouse --cores 1 --listen 127.0.0.1:{port}'
"""

import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

FIGURES = {
    "broadcast-1000": ("broadcast", "/room", ["--sockets", "1000", "--count", "1000"]),
    "broadcast-10000": ("broadcast", "/room", ["--sockets", "10000", "--count", "100"]),
    "burst": ("burst", "/room", ["--sockets", "1000", "--burst", "16", "--count", "300"]),
    "echo": ("echo", "/echo", ["--sockets", "1000", "--count", "400"]),
    "handshake": ("idle", "/room", ["--sockets", "9500", "--hold", "3s"]),
}
ROUNDS = int(os.environ.get("ROUNDS", "3"))
SERVER_CORE, GENERATOR_CORE = "0", "1"

# The first line whose functions a stack holds names its stage.
STAGES = [
    ("the receiver is woken", ["sock_def_readable"]),
    ("the receiver's half of TCP, in softirq", ["process_backlog", "__netif_receive_skb_one_core"]),
    ("the rest of softirq", ["handle_softirqs"]),
    ("IP output", ["__ip_queue_xmit"]),
    ("TCP, sending", ["tcp_sendmsg", "__sys_sendto"]),
    ("TCP, receiving", ["tcp_recvmsg", "sock_recvmsg", "__sys_recvfrom"]),
    ("accept", ["do_accept", "__sys_accept4"]),
    ("sleep and wake", ["schedule"]),
    ("io_uring, epoll", ["__do_sys_io_uring_enter", "do_epoll_wait", "do_epoll_ctl", "do_epoll_pwait.part.0"]),
]
ENGINE, OTHER = "the server itself", "other kernel"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    def __init__(self, command):
        self.port = free_port()
        words = ["taskset", "-c", SERVER_CORE, *command.replace("{port}", str(self.port)).split()]
        self.process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(100):
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                time.sleep(0.05)
        sys.exit(f"does not start: {command}")

    def generator(self, loadtest, name, mode, path, arguments):
        key = ["--sample-key"] if name.startswith("floor") else []
        url = f"ws://127.0.0.1:{self.port}{path}"
        words = ["taskset", "-c", GENERATOR_CORE, loadtest, mode, "--url", url, *arguments, *key]
        words += ["--server-pid", str(self.process.pid), "--progress", "never", "--json"]
        return subprocess.Popen(words, stdout=subprocess.PIPE, text=True)

    def end(self):
        self.process.kill()
        self.process.wait()


def cost(loadtest, name, command, figure):
    mode, path, arguments = FIGURES[figure]
    server = Server(command)
    try:
        told, _ = server.generator(loadtest, name, mode, path, arguments).communicate(timeout=120)
        key = "cpu_ns_per_handshake" if figure == "handshake" else "cpu_ns_per_delivery"
        return json.loads(told)["server"][key]
    finally:
        server.end()


def stacks(loadtest, name, command, figure):
    """Lists of function names, innermost first, of each sample."""
    mode, path, arguments = FIGURES[figure]
    server = Server(command)
    with tempfile.TemporaryDirectory() as folder:
        data = str(Path(folder) / "perf.data")
        record = ["perf", "record", "-q", "-o", data, "-F", "4000", "-e", "cpu-clock", "-g", "-p"]
        perf = subprocess.Popen([*record, str(server.process.pid)], stderr=subprocess.DEVNULL)
        time.sleep(1)
        generator = server.generator(loadtest, name, mode, path, arguments)
        if figure == "handshake":
            # Before they are closed again.
            time.sleep(2)
        else:
            generator.communicate(timeout=120)
        perf.send_signal(signal.SIGINT)
        perf.wait()
        server.end()
        generator.kill()
        script = ["perf", "script", "-i", data, "-F", "ip,sym"]
        text = subprocess.run(script, capture_output=True, text=True, check=True).stdout
    for sample in text.split("\n\n"):
        functions = [line.split(None, 1)[1].split("+")[0] for line in sample.splitlines() if len(line.split(None, 1)) == 2]
        if functions:
            yield functions


def stage(functions):
    for name, markers in STAGES:
        if any(function in markers for function in functions):
            return name
    kernel = any(function in ("entry_SYSCALL_64_after_hwframe", "do_syscall_64") for function in functions)
    return OTHER if kernel or functions[0].startswith("asm_") else ENGINE


def main():
    if len(sys.argv) < 4 or sys.argv[2] not in FIGURES:
        sys.exit(__doc__)
    loadtest, figure = sys.argv[1], sys.argv[2]
    servers = [argument.split("=", 1) for argument in sys.argv[3:]]
    costs = {name: [] for name, _ in servers}
    for _ in range(ROUNDS):
        for name, command in servers:
            costs[name].append(cost(loadtest, name, command, figure))
    counts = {name: Counter(map(stage, stacks(loadtest, name, command, figure))) for name, command in servers}
    print(f"| {figure}, ns | " + " | ".join(name for name, _ in servers) + " |")
    print("|---" * (len(servers) + 1) + "|")
    for row in [ENGINE, *[name for name, _ in STAGES], OTHER]:
        cells = [
            f"{statistics.median(costs[name]) * counts[name][row] / counts[name].total():,.0f}" for name, _ in servers
        ]
        print(f"| {row} | " + " | ".join(cells) + " |")
    print("| **together** | " + " | ".join(f"**{statistics.median(costs[name]):,.0f}**" for name, _ in servers) + " |")


main()
