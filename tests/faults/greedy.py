"""Clients that ask for far more memory than there is. Usage: greedy.py PORT.

Half of them announce large messages and never finish them, the other half have large messages echoed and never read.
They are expected to be refused with a Close or cut off; the last line says how much they had asked for.
"""
import base64
import os
import socket
import struct
import sys
import threading

CLIENTS = 60
MESSAGE = 6 << 20


def upgraded(port, path):
    client = socket.create_connection(("127.0.0.1", port))
    client.settimeout(10)
    key = base64.b64encode(os.urandom(16)).decode()
    client.sendall(
        f"GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode()
    )
    head = b""
    while b"\r\n\r\n" not in head:
        head += client.recv(4096)
    assert head.startswith(b"HTTP/1.1 101"), head
    return client


def head_of(fin, length):
    return bytes([(0x80 if fin else 0) | 2, 0x80 | 127]) + struct.pack(">Q", length) + bytes(4)


def give(port, never_finishes, asked):
    client = upgraded(port, "/room/greedy" if never_finishes else "/echo")
    sent = 0
    try:
        for _ in range(1 if never_finishes else 8):
            client.sendall(head_of(True, MESSAGE))
            body = MESSAGE - 1 if never_finishes else MESSAGE
            while body > 0:
                sent += (piece := client.send(bytes(min(body, 1 << 16))))
                body -= piece
    except OSError:
        pass  # It was cut off, or is read no further: that is what the limits are for.
    asked.append(sent)
    return client


def main():
    port, asked, kept = int(sys.argv[1]), [], []
    threads = [
        threading.Thread(target=lambda n=n: kept.append(give(port, n % 2 == 0, asked))) for n in range(CLIENTS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(f"{len(asked)} clients sent {sum(asked) >> 20} MiB of {CLIENTS // 2 * MESSAGE * 9 >> 20} MiB")
    assert len(asked) == CLIENTS, "somebody was not even let in"


main()
