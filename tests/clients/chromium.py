"""Headless Chromium against an engine: chromium.py BROWSER ws://HOST:PORT. Serves a page that talks to the engine and
tells how it went; ends with 0 only when everything was heard."""

import http.server
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import threading

BROWSER, URL = sys.argv[1:3]
HERE = pathlib.Path(__file__).parent
BATCH = (HERE / "../../src/demo/batch.js").read_text()
PAGE = (HERE / "chromium.html").read_text().replace("/* batch.js */", BATCH)
TAKEOVER = os.environ.get("TAKEOVER") == "1"
SECONDS = 90

report = {}
done = threading.Event()


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = PAGE.encode() if self.path.startswith("/?") else b""
        self.send_response(200 if body else 404)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        report.update(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(204)
        self.end_headers()
        done.set()

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
flags = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --disable-dev-shm-usage"
).split()
with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
    page = f"http://127.0.0.1:{server.server_port}/?{URL}"
    browser = subprocess.Popen(
        [BROWSER, *flags, f"--user-data-dir={profile}", page], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    said = []
    listener = threading.Thread(target=lambda: said.extend(browser.stderr), daemon=True)
    listener.start()
    is_done = done.wait(SECONDS)
    browser.terminate()
    try:
        browser.wait(10)
    except subprocess.TimeoutExpired:
        browser.kill()

if not is_done:
    sys.exit(f"chromium: nothing heard of it within {SECONDS} s; it said:\n{b''.join(said[-20:]).decode(errors='replace')}")
if "error" in report:
    sys.exit(f"chromium: {report['error']}")
agreed = report["extensions"]
assert agreed.startswith("permessage-deflate"), agreed
assert ("server_no_context_takeover" in agreed) == (not TAKEOVER), agreed
print(f"chromium {report['version']}: {agreed}, {report['messages']} messages, echoed and shared; "
      f"{report['steps']} steps heard in {report['batches']} batches")
