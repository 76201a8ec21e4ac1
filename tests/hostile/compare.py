"""The engine beside its peers: hostile clients, and Autobahn where it is at hand. Writes a Markdown table.

Usage: compare.py ENGINE [NAME...]

ENGINE is a release build of dormouse. The peers are those of loadtest/peers (install.sh there first); those that are not
installed are named and left out. With AUTOBAHN_DIR set, each also gets Autobahn's cases 1 to 7, 9 and 10.
"""

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
PEERS = HERE.parent.parent / "loadtest" / "peers"
CUT_OFF = "cut off without a word"
# Of two variants of one server only one: they differ in how they send, not in what they accept.
VARIANTS = {"floor", "floor-uring", "fastwebsockets-direct", "ws-once"}


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def started(command, port, where):
    server = subprocess.Popen(command, cwd=where, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for _ in range(100):
        if server.poll() is not None:
            return None
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return server
        except OSError:
            time.sleep(0.1)
    server.kill()
    return None


def servers(engine):
    yield "dormouse", [engine, "--listen", "127.0.0.1:{port}", "--cores", "1"], Path.cwd()
    for peer in json.loads((PEERS / "peers.json").read_text()):
        if peer["name"] in VARIANTS:
            continue
        program = PEERS / peer["program"] if "/" in peer["program"] else peer["program"]
        yield peer["name"], [str(program), *peer["arguments"]], PEERS


def autobahn(port):
    directory = os.environ.get("AUTOBAHN_DIR")
    if not directory:
        return None
    counts = {}
    for cases in ("core", "limits"):
        with tempfile.TemporaryDirectory() as out:
            command = ["bash", f"{directory}/run.sh", f"ws://127.0.0.1:{port}/echo", "-c", cases, "-t", "400", "-o", out]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        try:
            for name, count in json.loads(done.stdout.strip().splitlines()[-1])["behavior"].items():
                counts[name] = counts.get(name, 0) + count
        except (IndexError, KeyError, ValueError):
            return "did not finish"
    wrong = sum(count for name, count in counts.items() if name not in ("OK", "INFORMATIONAL", "NON-STRICT"))
    return f"{counts.get('OK', 0)} OK, {counts.get('NON-STRICT', 0)} non-strict, {wrong} failed"


def hostile(port, server):
    """What became of each misdeed; a server that died of one ends the list."""
    command = [sys.executable, str(HERE / "hostile.py"), str(port), str(server.pid), "--json"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
        return json.loads(done.stdout)
    except (ValueError, subprocess.TimeoutExpired):
        return None


def main():
    engine, wanted = str(Path(sys.argv[1]).resolve()), sys.argv[2:]
    columns = {}
    for name, command, where in servers(engine):
        if wanted and name not in wanted:
            continue
        port = free_port()
        try:
            server = started([part.format(port=port) for part in command], port, where)
        except OSError:
            server = None
        if server is None:
            print(f"{name} is not installed: left out", file=sys.stderr)
            continue
        columns[name] = (autobahn(port), hostile(port, server))
        server.kill()
        server.wait()
        print(f"{name} done", file=sys.stderr)
    print("| | " + " | ".join(columns) + " |")
    print("|---" * (len(columns) + 1) + "|")
    if os.environ.get("AUTOBAHN_DIR"):
        print("| Autobahn 1-7, 9, 10 | " + " | ".join(suite for suite, _ in columns.values()) + " |")
    told = [found["results"] if found else None for _, found in columns.values()]
    rows = max((results for results in told if results), key=len, default={})
    held = [
        f"{sum(result in (None, CUT_OFF) for result in results.values())} of {len(results)}" if results else ""
        for results in told
    ]
    print("| misdeeds that it held against | " + " | ".join(held) + " |")
    for row in rows:
        cells = [(results.get(row) or "held") if results else "" for results in told]
        if any(cell != "held" for cell in cells):
            print(f"| {row} | " + " | ".join(cells) + " |")


main()
