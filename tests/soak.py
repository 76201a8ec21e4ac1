"""Half an hour of random load and faults, after which the engine must be as it was. Standard library only.

Usage: soak.py ENGINE LOADTEST [SECONDS] [SEED]

Rounds of a random mode of the load generator, some of them killed midway, some beside hostile clients (tests/hostile).
After each round everything is gone, and the engine's descriptors and memory are read. The first third of the time warms
it up; from there to the end descriptors must not grow at all and RSS by no more than 2 %. The seed chooses the rounds.
"""

import random
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

ENGINE, LOADTEST = sys.argv[1], sys.argv[2]
SECONDS = float(sys.argv[3]) if len(sys.argv) > 3 else 1800
SEED = int(sys.argv[4]) if len(sys.argv) > 4 else int(time.time())
HOSTILE = Path(__file__).resolve().parent / "hostile" / "hostile.py"
# Idle connections go, and what memory a round has freed is given back, within some seconds.
QUIET_SECONDS = 4
GROWTH_MAX = 0.02


def started(log):
    command = [ENGINE, "--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0", "--hibernation-idle", "1s"]
    engine = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
    for _ in range(100):
        time.sleep(0.1)
        text = Path(log.name).read_text()
        address, metrics = re.search(r"ws://(\S+)", text), re.search(r"metrics +http://(\S+)", text)
        if address and metrics:
            return engine, address[1], metrics[1]
    sys.exit(f"the engine does not start:\n{Path(log.name).read_text()}")


def metric(metrics, name):
    with urllib.request.urlopen(f"http://{metrics}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if re.match(rf"{name}[{{ ]", line))


def resident_kib(pid):
    return next(int(line.split()[1]) for line in open(f"/proc/{pid}/status") if line.startswith("VmRSS"))


def descriptors(pid):
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def load(choice, url):
    sockets, size = choice.choice([10, 100, 1000, 4000]), choice.choice([48, 64, 512, 8192])
    room = f"{url}/room/{choice.randrange(50)}"
    return choice.choice(
        [
            ["echo", "--url", f"{url}/echo", "--sockets", sockets, "--size", size, "--duration", "3s"],
            ["broadcast", "--url", room, "--sockets", sockets, "--size", size, "--count", 20],
            ["broadcast", "--url", room, "--sockets", 1000, "--rooms", 20, "--binary", "--count", 40],
            ["burst", "--url", room, "--sockets", min(sockets, 1000), "--count", 5],
            ["churn", "--url", f"{url}/echo", "--sockets", 100, "--duration", "3s"],
            ["idle", "--url", room, "--sockets", sockets, "--hold", "3s", "--then-message"],
        ]
    )


def main():
    choice = random.Random(SEED)
    print(f"seed {SEED}, {SECONDS:.0f} s")
    log = tempfile.NamedTemporaryFile("w", suffix=".log", delete=False)
    engine, address, metrics = started(log)
    begun, samples, rounds, killed = time.monotonic(), [], 0, 0
    try:
        while time.monotonic() - begun < SECONDS:
            rounds += 1
            command = [LOADTEST, *map(str, load(choice, f"ws://{address}")), "--progress", "never"]
            generator = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            hostile = None
            if choice.random() < 0.1:
                hostile = subprocess.Popen(
                    [sys.executable, HOSTILE, address.rsplit(":", 1)[1], str(engine.pid)], stdout=subprocess.DEVNULL
                )
            if choice.random() < 0.3:
                time.sleep(choice.random() * 3)
                generator.kill()
                generator.communicate()
                killed += 1
            else:
                told, _ = generator.communicate(timeout=120)
                if generator.returncode != 0:
                    sys.exit(f"round {rounds}: {' '.join(command)} failed:\n{told}")
            if hostile is not None:
                hostile.wait(timeout=300)
            assert engine.poll() is None, f"the engine ended:\n{Path(log.name).read_text()[-2000:]}"
            deadline = time.monotonic() + 60
            while metric(metrics, "dormouse_connections") > 0:
                assert time.monotonic() < deadline, "connections that nobody has are still open after a minute"
                time.sleep(0.5)
            time.sleep(QUIET_SECONDS)
            sample = (time.monotonic() - begun, descriptors(engine.pid), resident_kib(engine.pid))
            samples.append(sample)
            print(f"{sample[0]:6.0f} s  {sample[1]} descriptors  {sample[2]} KiB  {' '.join(command[1:2])}", flush=True)
        engine.send_signal(signal.SIGTERM)
        assert engine.wait(timeout=30) == 0, "it did not end with 0"
    finally:
        engine.kill()
    warm = [sample for sample in samples if sample[0] > SECONDS / 3]
    assert len(warm) >= 6, "too short to say anything"
    early, late = warm[: len(warm) // 2], warm[len(warm) // 2 :]
    growth = statistics.median(s[2] for s in late) / statistics.median(s[2] for s in early) - 1
    print(f"{rounds} rounds, {killed} killed midway: descriptors {early[0][1]} to {late[-1][1]}, RSS {growth:+.2%}")
    assert late[-1][1] <= early[0][1], "descriptors are left open"
    assert growth <= GROWTH_MAX, "memory is left behind"


main()
