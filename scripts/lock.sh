#!/usr/bin/env bash
# Resolve pyproject.toml into the two lock files: exact versions, hashes of the public files for every platform,
# no host and no path. Needs uv (UV=/path/to/uv if it is not in PATH). UPGRADE=1 takes newer versions.
set -euo pipefail
cd "$(dirname "$0")/.."

uv=${UV:-uv}
command -v "$uv" >/dev/null || { echo "make lock needs uv: https://docs.astral.sh/uv/" >&2; exit 2; }
options=(--universal --python-version 3.11 --generate-hashes --no-config --no-header --quiet
    --no-emit-index-url --no-emit-find-links)
[ -z "${UPGRADE:-}" ] || options+=(--upgrade)

# An index or folder of this machine must not reach the lock.
unset UV_FIND_LINKS UV_INDEX UV_INDEX_URL UV_EXTRA_INDEX_URL UV_DEFAULT_INDEX
"$uv" pip compile pyproject.toml "${options[@]}" --output-file requirements.lock
# The test lock is the runtime lock and more: the constraint keeps every version the same.
"$uv" pip compile pyproject.toml --extra test --constraint requirements.lock "${options[@]}" \
    --output-file requirements-test.lock
