#!/usr/bin/env bash
# install.sh runtime|test: build .venv from the lock and put the project into it. Does nothing the second time.
set -euo pipefail
cd "$(dirname "$0")/.."

what=${1:?runtime or test}
case $what in
    runtime) lock=requirements.lock ;;
    test) lock=requirements-test.lock ;;
    *) echo "usage: scripts/install.sh runtime|test" >&2; exit 2 ;;
esac

find_python() {
    local candidate
    for candidate in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11}; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    echo "Python 3.11 or newer is needed. On Debian or Ubuntu: apt-get install python3 python3-venv" >&2
    return 1
}

if ! .venv/bin/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
    || ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
    python=$(find_python)
    echo "Building .venv with $("$python" --version)"
    rm -rf .venv
    "$python" -m venv .venv || {
        rm -rf .venv
        echo "The venv module is missing. On Debian or Ubuntu: apt-get install python3-venv" >&2
        exit 1
    }
fi

# A stamp says which lock, and which project at which place, the environment was built from.
stamp=.venv/installed-$what
key=$({ pwd; cat "$lock" pyproject.toml; } | .venv/bin/python -c 'import hashlib, sys
print(hashlib.sha256(sys.stdin.buffer.read()).hexdigest())')
if [ "$(cat "$stamp" 2>/dev/null)" = "$key" ] && [ -x .venv/bin/machnuoc ]; then
    exit 0
fi

echo "Installing what $lock names"
rm -f .venv/installed-*
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1
.venv/bin/python -m pip install --quiet --require-hashes --no-deps -r "$lock"
.venv/bin/python -m pip install --quiet --no-deps --no-build-isolation --editable .
echo "$key" > "$stamp"
if [ "$what" = test ]; then
    # The test lock holds all of the runtime lock, so the runtime is in place as well.
    { pwd; cat requirements.lock pyproject.toml; } | .venv/bin/python -c 'import hashlib, sys
print(hashlib.sha256(sys.stdin.buffer.read()).hexdigest())' > .venv/installed-runtime
fi
