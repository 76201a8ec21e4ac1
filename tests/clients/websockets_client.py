"""The Python package `websockets` against an engine: websockets_client.py ws://HOST:PORT. Ends with 0 only when
everything was heard."""

import asyncio
import json
import os
import sys

from websockets.asyncio.client import connect
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory, PerMessageDeflate

URL = sys.argv[1]
TAKEOVER = os.environ.get("TAKEOVER") == "1"


def listing(count):
    return json.dumps([{"id": n, "x": n * 7919 % 1024, "name": f"player {n}"} for n in range(count)])


MESSAGES = [
    "hello", "", "ünï\N{WATERMELON}", listing(10), listing(10), listing(4000), listing(4000),
    b"", os.urandom(20), os.urandom(5000), os.urandom(300_000), b"abc" * 150_000,
]

VARIANTS = {
    "its defaults": {},
    "small windows": {
        "extensions": [ClientPerMessageDeflateFactory(server_max_window_bits=9, client_max_window_bits=10)],
    },
    "no takeover": {
        "extensions": [
            ClientPerMessageDeflateFactory(server_no_context_takeover=True, client_no_context_takeover=True)
        ],
    },
    "none at all": {"compression": None},
}


async def exchange(name, variant):
    if "extensions" in variant:
        variant["compression"] = None
    room = f"{URL}/room/websockets-{os.getpid()}"
    async with connect(f"{URL}/echo", **variant) as echo, connect(room, **variant) as one, connect(room) as other:
        agreed = echo.response.headers.get("Sec-WebSocket-Extensions", "")
        extensions = echo.protocol.extensions
        if name == "none at all":
            assert agreed == "" and extensions == [], agreed
        else:
            assert len(extensions) == 1 and isinstance(extensions[0], PerMessageDeflate), agreed
            forgets = not TAKEOVER or name == "no takeover"
            assert ("server_no_context_takeover" in agreed) == forgets, agreed
        for message in MESSAGES:
            await echo.send(message)
            assert await echo.recv() == message
            await one.send(message)
            assert await one.recv() == message
            assert await other.recv() == message
        await (await echo.ping(b"still there?"))
    print(f"websockets {name}: {agreed or 'plain'}, {len(MESSAGES)} messages, echoed and shared", flush=True)


async def main():
    for name, variant in VARIANTS.items():
        async with asyncio.timeout(60):
            await exchange(name, variant)


asyncio.run(main())
