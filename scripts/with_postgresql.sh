#!/usr/bin/env bash
# with_postgresql.sh COMMAND…: run COMMAND with MACHNUOC_DATABASE_URL naming a private, throw-away PostgreSQL server that
# listens on a socket in a temporary folder and is gone afterwards. It forgets safety for speed: for tests only.
set -euo pipefail
. "$(dirname "$0")/find_system.sh"

bin=$(find_postgresql) || { echo "No PostgreSQL 15+ with pg_trgm: scripts/install_test_system.sh installs it." >&2; exit 2; }
home=$(mktemp -d /tmp/machnuoc-pg.XXXXXX)
as_server=()
if [ "$(id -u)" = 0 ]; then
    # The server refuses to run as root.
    user=$(id -un postgres 2>/dev/null || echo nobody)
    chown "$user" "$home"
    as_server=(setpriv --reuid="$user" --regid="$(id -g "$user")" --clear-groups env HOME="$home")
fi

stop() {
    (cd / && "${as_server[@]}" "$bin/pg_ctl" --pgdata="$home/data" --mode=immediate --silent stop >/dev/null 2>&1) || true
    rm -rf "$home"
}
trap stop EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

cd_and_start() {
    cd /
    "${as_server[@]}" "$bin/initdb" --pgdata="$home/data" --username=machnuoc --auth=trust --encoding=UTF8 \
        --locale=C.UTF-8 --no-sync >"$home.log" 2>&1
    "${as_server[@]}" "$bin/pg_ctl" --pgdata="$home/data" --log="$home/server.log" --wait --timeout=60 --silent start \
        --options="-c listen_addresses='' -c unix_socket_directories='$home' -c fsync=off -c synchronous_commit=off \
            -c full_page_writes=off -c max_connections=60 -c shared_buffers=128MB \
            -c statement_timeout=10min -c lock_timeout=5min -c idle_in_transaction_session_timeout=20min" >>"$home.log" 2>&1
}
if ! (cd_and_start); then
    cat "$home.log" "$home/server.log" >&2 2>/dev/null || true
    rm -f "$home.log"
    exit 1
fi
rm -f "$home.log"

MACHNUOC_DATABASE_URL="postgresql://machnuoc@/postgres?host=$home" "$@"
