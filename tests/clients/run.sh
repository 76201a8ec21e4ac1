#!/usr/bin/env bash
# Real clients against a running engine: the npm package `ws`, the Python package `websockets`, headless Chromium.
# Each agrees on permessage-deflate and exchanges text and binary, small and large, with /echo and /room, and says so.
#
#   tests/clients/run.sh ws://HOST:PORT [CLIENT...]        CLIENT is ws, websockets or chromium; all of them unless told
#
# What a client needs is installed: its package into CLIENTS_DIR (a new folder unless set), Chromium by apt-get unless
# it is there. TAKEOVER=1 says that the engine runs with deflate.context_takeover, so that contexts are to be agreed on.
set -euo pipefail
HERE=$(cd "$(dirname "$0")" && pwd)
URL=${1:?usage: run.sh ws://HOST:PORT [ws|websockets|chromium...]}
shift
[ $# -gt 0 ] || set -- ws websockets chromium
export TAKEOVER=${TAKEOVER:-0}
CLIENTS_DIR=${CLIENTS_DIR:-$(mktemp -d)}
mkdir -p "$CLIENTS_DIR"

# Exact versions, so that a failure is the engine's.
WS=8.18.3
WEBSOCKETS=15.0.1

ws() {
  local to=$CLIENTS_DIR/ws
  if [ ! -d "$to/node_modules/ws" ]; then
    mkdir -p "$to"
    npm install --prefix "$to" --no-package-lock --no-save --no-audit --no-fund --ignore-scripts "ws@$WS" >&2
  fi
  cp "$HERE/ws.mjs" "$to/"
  node "$to/ws.mjs" "$URL"
}

websockets() {
  local to=$CLIENTS_DIR/websockets
  if [ ! -x "$to/bin/python" ]; then
    python3 -m venv "$to"
    "$to/bin/python" -m pip install --quiet --disable-pip-version-check "websockets==$WEBSOCKETS" >&2
  fi
  "$to/bin/python" "$HERE/websockets_client.py" "$URL"
}

chromium() {
  local browser
  browser=$(command -v chromium || command -v chromium-browser || command -v google-chrome || true)
  if [ -z "$browser" ]; then
    { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends chromium; } >&2
    browser=$(command -v chromium)
  fi
  python3 "$HERE/chromium.py" "$browser" "$URL"
}

for client; do
  case $client in
    ws | websockets | chromium) "$client" ;;
    *) echo "run.sh: no client is called $client" >&2 && exit 64 ;;
  esac
done
