#!/usr/bin/env bash
# Everything that must hold before a change goes in. Arguments go to pytest: scripts/run_tests.sh -k periods
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/find_system.sh

heading() { printf '\n=== %s\n' "$1"; }

export MACHNUOC_DATA_DIR
MACHNUOC_DATA_DIR=$(mktemp -d /tmp/machnuoc-tests.XXXXXX)
trap 'rm -rf "$MACHNUOC_DATA_DIR"' EXIT
# The suite decides these itself; what the caller's shell holds must not.
unset MACHNUOC_DATABASE_URL MACHNUOC_DEBUG MACHNUOC_HTTPS MACHNUOC_BEHIND_PROXY MACHNUOC_ALLOWED_HOSTS MACHNUOC_PORT
bin=.venv/bin
workers=${MACHNUOC_TEST_WORKERS:-2}

heading "ruff"
$bin/ruff check .
$bin/ruff format --check .
heading "mypy"
$bin/mypy machnuoc
heading "imports point one way"
$bin/lint-imports
heading "models and migrations agree"
$bin/machnuoc manage makemigrations --check --dry-run

if find_postgresql >/dev/null; then
    on_sqlite="not postgresql"
else
    on_sqlite="" # nothing deselected: the tests of PostgreSQL show up as skipped, with the reason
fi
failed=0
heading "the suite on SQLite"
$bin/pytest -n "$workers" --dist worksteal -m "$on_sqlite" "$@" || failed=1

if find_postgresql >/dev/null; then
    heading "the suite on PostgreSQL $("$(find_postgresql)/postgres" --version | grep -oE '[0-9.]+' | head -n 1)"
    scripts/with_postgresql.sh $bin/pytest -n "$workers" --dist worksteal -m "not browser and not sqlite" "$@" || failed=1
fi
exit $failed
