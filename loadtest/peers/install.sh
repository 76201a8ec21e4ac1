#!/bin/sh
# Builds and installs the peers that this machine can have, all of them from the package registries and into this
# folder. What is missing is named; `loadtest compare` then goes without it.
cd "$(dirname "$0")" || exit 1
missing=0

if command -v cargo >/dev/null; then
    cargo build --release --locked --target-dir target || missing=1
else
    echo "install.sh: no cargo: floor, tungstenite and fastwebsockets are not built" >&2
    missing=1
fi

if command -v npm >/dev/null; then
    # package.json names exact versions.
    npm install --no-package-lock --no-audit --no-fund || missing=1
else
    echo "install.sh: no npm: bun, ws and workerd are not installed" >&2
    missing=1
fi

command -v node >/dev/null || { echo "install.sh: no node: ws cannot be started" >&2; missing=1; }
exit "$missing"
