"""What a WebSocket server does when its clients behave as badly as they can. Standard library only.

Usage: hostile.py PORT PID [--json]

Asks the server on 127.0.0.1:PORT, whose process is PID, for /echo and /room/..., one misdeed after the other, each with
a client beside it that behaves. Prints a line for each: held, or what happened instead. Exit status 0 when all held.
The rules are those of RFC 6455, RFC 9112, and what has gone wrong in servers before.
"""

import base64
import json
import os
import socket
import struct
import subprocess
import sys
import threading
import time

PATIENCE = 5
# Harms nobody, but leaves an honest client without a reason.
CUT_OFF = "cut off without a word"
CONTINUATION, TEXT, BINARY, CLOSE, PING = 0, 1, 2, 8, 9
PORT, PID = int(sys.argv[1]), int(sys.argv[2])


class Ended(Exception):
    """The server ended the connection."""


def request(path="/echo", extra="", key=None, version="HTTP/1.1", host="Host: localhost\r\n"):
    key = key or base64.b64encode(os.urandom(16)).decode()
    return (
        f"GET {path} {version}\r\n{host}Upgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n{extra}\r\n"
    ).encode()


def connected(patience=PATIENCE):
    client = socket.create_connection(("127.0.0.1", PORT), timeout=patience)
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return client


def read(client, count=None):
    """Exactly `count` bytes, or some."""
    data = b""
    while count is None or len(data) < count:
        try:
            piece = client.recv((count or 65536) - len(data))
        except ConnectionError:
            raise Ended() from None
        if not piece:
            raise Ended()
        data += piece
        if count is None:
            return data
    return data


def head_of_answer(client):
    data = b""
    while not data.endswith(b"\r\n\r\n"):
        data += read(client, 1)
    return data


def status(client):
    """Status of the answer, or None when there is none and the connection ends."""
    try:
        return int(head_of_answer(client).split()[1])
    except Ended:
        return None


def upgraded(path="/echo", patience=PATIENCE):
    client = connected(patience)
    client.sendall(request(path))
    answer = head_of_answer(client)
    assert answer.split()[1] == b"101", answer
    return client


def frame(payload=b"", opcode=TEXT, fin=True, masked=True, length=None, rsv=0):
    length = len(payload) if length is None else length
    first = (0x80 if fin else 0) | rsv << 4 | opcode
    bit = 0x80 if masked else 0
    if length < 126:
        head = bytes([first, bit | length])
    elif length < 65536:
        head = bytes([first, bit | 126]) + struct.pack(">H", length)
    else:
        head = bytes([first, bit | 127]) + struct.pack(">Q", length)
    # A mask of zeros masks nothing.
    return head + (bytes(4) if masked else b"") + payload


def frame_from(client):
    head = read(client, 2)
    length = head[1] & 0x7F
    if length >= 126:
        length = int.from_bytes(read(client, 2 if length == 126 else 8), "big")
    return head[0] & 0xF, read(client, length)


def close_code(client):
    """The code of the server's Close; 0 without a code, None when it ends without a Close."""
    try:
        while True:
            opcode, payload = frame_from(client)
            if opcode == CLOSE:
                return int.from_bytes(payload[:2], "big")
    except Ended:
        return None


def expect_close(data, *codes):
    with upgraded() as client:
        client.sendall(data)
        got = close_code(client)
        return None if got in codes else CUT_OFF if got is None else f"close {got}"


def expect_refusal(data, *statuses):
    with connected() as client:
        client.sendall(data)
        got = status(client)
        return None if got in statuses else CUT_OFF if got is None else f"status {got}"


def send_all_that_goes(client, data):
    """How much the server took before it ended the connection or stopped reading."""
    sent = 0
    try:
        while sent < len(data):
            sent += client.send(data[sent : sent + 65536])
    except OSError:
        pass
    return sent


class Died(Exception):
    """The server is no more."""


def resident_mib():
    with open(f"/proc/{PID}/status", encoding="ascii") as lines:
        sizes = [int(line.split()[1]) for line in lines if line.startswith("VmRSS")]
    if not sizes:
        raise Died()
    return sizes[0] >> 10


def cpu_seconds():
    with open(f"/proc/{PID}/stat", encoding="ascii") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


MISDEEDS = []


def misdeed(function):
    MISDEEDS.append(function)
    return function


@misdeed
def two_hosts():
    return expect_refusal(request(host="Host: a\r\nHost: b\r\n"), 400)


@misdeed
def no_host():
    return expect_refusal(request(host=""), 400)


@misdeed
def a_key_of_15_bytes():
    return expect_refusal(request(key=base64.b64encode(bytes(15)).decode()), 400)


@misdeed
def a_folded_header():
    return expect_refusal(request(extra="X-A: a\r\n b\r\n"), 400)


@misdeed
def a_space_before_the_colon():
    return expect_refusal(request(extra="X-A : a\r\n"), 400)


@misdeed
def http_1_0():
    return expect_refusal(request(version="HTTP/1.0"), 400, 426, 505)


@misdeed
def a_megabyte_of_header():
    with connected() as client:
        before = cpu_seconds()
        sent = send_all_that_goes(client, request()[:-2] + b"X-A: " + b"a" * (1 << 20))
        got = status(client) if sent <= 1 << 20 else None
        spent = cpu_seconds() - before
        if got not in (None, 400, 431):
            return f"status {got}"
        return f"{spent:.1f} s of CPU" if spent > 1 else None


@misdeed
def frames_behind_a_refused_upgrade():
    """RFC 9112 9.3: what stands behind it is neither a request nor a frame."""
    with connected() as client:
        client.sendall(request(extra="Content-Length: 30\r\n") + request("/room/smuggled") + frame(b"smuggled"))
        got = status(client)
        if got == 101:
            return "upgraded in spite of a body"
        rest = b""
        try:
            while True:
                rest += read(client)
        except (Ended, TimeoutError):
            pass
        return "the smuggled request was answered" if b"101" in rest or b"smuggled" in rest else None


@misdeed
def a_request_that_never_ends():
    """Sent at a byte a second; a server that waits for ever can be filled with these."""
    with connected(patience=1) as client:
        client.sendall(request()[:-4])
        begun = time.monotonic()
        while time.monotonic() - begun < 20:
            try:
                client.sendall(b"a")
                client.recv(4096)
                return None
            except TimeoutError:
                continue
            except OSError:
                return None
        return "still waited for after 20 s"


@misdeed
def an_unmasked_frame():
    return expect_close(frame(b"hello", masked=False), 1002)


@misdeed
def a_reserved_bit():
    return expect_close(frame(b"hello", rsv=2), 1002)


@misdeed
def an_unknown_opcode():
    return expect_close(frame(b"hello", opcode=5), 1002)


@misdeed
def a_ping_in_fragments():
    return expect_close(frame(b"hello", opcode=PING, fin=False), 1002)


@misdeed
def a_ping_of_126_bytes():
    return expect_close(frame(bytes(126), opcode=PING), 1002)


@misdeed
def a_length_not_in_its_shortest_form():
    return expect_close(b"\x82\xfe\x00\x05" + bytes(9), 1002)


@misdeed
def a_length_with_the_top_bit():
    return expect_close(b"\x82\xff" + b"\xff" * 8 + bytes(4), 1002, 1009)


@misdeed
def a_close_of_one_byte():
    return expect_close(frame(b"x", opcode=CLOSE), 1002)


@misdeed
def a_close_with_1005():
    return expect_close(frame(struct.pack(">H", 1005), opcode=CLOSE), 1002)


@misdeed
def invalid_utf8():
    return expect_close(frame(b"\xff"), 1007)


@misdeed
def invalid_utf8_in_a_frame_that_does_not_end():
    """Refused when the byte arrives, not when the message ends."""
    return expect_close(frame(b"\xce\xba\xf4\x90\x80\x80", length=100), 1007)


@misdeed
def a_terabyte_announced():
    with upgraded() as client:
        before = resident_mib()
        client.sendall(frame(b"x" * 1000, opcode=BINARY, length=1 << 40))
        try:
            got = close_code(client)
        except TimeoutError:
            return "waits for it"
        grown = resident_mib() - before
        if grown > 64:
            return f"took {grown} MiB"
        return None if got in (1009, 1002, None) else f"close {got}"


@misdeed
def a_million_empty_fragments():
    with upgraded() as client:
        client.sendall(frame(b"x", fin=False))
        empty = frame(opcode=CONTINUATION, fin=False)
        sent = send_all_that_goes(client, empty * 1_000_000)
        try:
            got = close_code(client)
        except TimeoutError:
            return "takes them all"
        return None if got is not None or sent < len(empty) * 1_000_000 else "no Close"


@misdeed
def unfinished_messages_of_1_gib():
    """40 clients send 25 MiB of a message each, and no end."""
    before, clients, asked = resident_mib(), [], []

    def give():
        try:
            client = upgraded()
            client.sendall(frame(opcode=BINARY, length=31 << 20))
            clients.append(client)
            asked.append(send_all_that_goes(client, bytes(25 << 20)))
        except (OSError, Ended):
            asked.append(0)

    threads = [threading.Thread(target=give) for _ in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    grown = resident_mib() - before
    for client in clients:
        client.close()
    return f"holds {grown} MiB" if grown > 700 else None


@misdeed
def readers_that_do_not_read():
    """30 clients of a room are sent 16 MiB each and read none of it; one that reads gets it all."""
    sleepers = [upgraded("/room/slow") for _ in range(30)]
    for sleeper in sleepers:
        sleeper.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    reader = upgraded("/room/slow", patience=20)
    before = resident_mib()
    heard, message = 0, frame(bytes(60_000), opcode=BINARY)
    try:
        for _ in range(270):
            reader.sendall(message)
            heard += len(frame_from(reader)[1])
    except (Ended, TimeoutError):
        return f"who reads got {heard >> 20} MiB of 15"
    grown = resident_mib() - before
    for sleeper in [*sleepers, reader]:
        sleeper.close()
    return f"holds {grown} MiB" if grown > 100 else None


@misdeed
def pings_without_an_end_and_no_pong_read():
    with upgraded() as client:
        client.settimeout(1)
        before = resident_mib()
        send_all_that_goes(client, frame(bytes(125), opcode=PING) * 400_000)
        grown = resident_mib() - before
        return f"holds {grown} MiB" if grown > 100 else None


@misdeed
def a_close_that_is_never_answered():
    """We break the protocol, are told so, and do not hang up."""
    with upgraded() as client:
        client.sendall(frame(b"hello", masked=False))
        client.settimeout(30)
        try:
            while read(client):
                pass
        except Ended:
            return None
        except TimeoutError:
            return "still open after 30 s"


@misdeed
def a_peer_that_vanished():
    """A client that was reset is no reason to stop: asked last of all whether the server lives."""
    client = upgraded()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.sendall(frame(b"hello"))
    client.close()
    return None


def behave():
    """Echoes until its input ends; tells how long it waited, and when. A process of its own, so that it waits for the
    server alone."""
    over = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), over.set()), daemon=True).start()
    client, waits, failed, number = upgraded(patience=30), [], None, 0
    while not over.is_set() and failed is None:
        number += 1
        text = b"%d" % number
        begun = time.monotonic()
        try:
            client.sendall(frame(text))
            opcode, answer = frame_from(client)
            while opcode == PING:
                opcode, answer = frame_from(client)
            failed = None if answer == text else "was answered wrongly"
        except (OSError, Ended) as error:
            failed = f"was cut off ({error!r})"
        waits.append((begun, time.monotonic()))
        time.sleep(0.005)
    print(json.dumps({"failed": failed, "waits": waits}))


def main():
    results, spans = {}, {}
    command = [sys.executable, __file__, str(PORT), str(PID), "--behave"]
    bystander = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    # Whoever does the misdeeds leaves a core to the server, so that who behaves does not wait for one.
    os.nice(19)
    for function in MISDEEDS:
        name = function.__name__.replace("_", " ")
        begun = time.monotonic()
        try:
            found = function()
            resident_mib()
        except Died:
            results[name] = "the server died"
            break
        except (TimeoutError, Ended, OSError, AssertionError) as error:
            found = "no answer" if isinstance(error, TimeoutError) else f"{error!r}"
        results[name] = found
        spans[name] = (begun, time.monotonic())
        if "--json" not in sys.argv:
            print(f"{name:45} {found or 'held'}", flush=True)
    for function in MISDEEDS:
        results.setdefault(function.__name__.replace("_", " "), "the server had died")
    told, _ = bystander.communicate(timeout=60)
    fate = json.loads(told or '{"failed": "was not served at all", "waits": []}')
    results["one who behaves is served meanwhile"] = fate["failed"]
    waits = sorted((end - begun) * 1000 for begun, end in fate["waits"]) or [0]
    longest = {
        name: max((end - begun for begun, end in fate["waits"] if begun < until and end > since), default=0) * 1000
        for name, (since, until) in spans.items()
    }
    if "--json" in sys.argv:
        print(json.dumps({"results": results, "longest_wait_ms": round(waits[-1]), "longest_waits_ms": longest}))
    else:
        print(f"{'one who behaves is served meanwhile':45} {fate['failed'] or 'held'}")
        held = sum(found is None for found in results.values())
        print(f"{held} of {len(results)} held")
        print(f"one who behaves waits {waits[-1 - len(waits) // 100]:.1f} ms at the 99th percentile; at most")
        for name in sorted(longest, key=longest.get, reverse=True)[:5]:
            print(f"{longest[name]:8.1f} ms during {name}")
    return any(found is not None for found in results.values())


sys.exit(behave() if "--behave" in sys.argv else main())
