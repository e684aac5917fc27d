#!/usr/bin/env bash
# What the tests need beyond Python: a PostgreSQL server (15+, with pg_trgm), Chromium, LibreOffice with a font in the
# widths of Times New Roman, poppler, and Mosquitto. Whatever is missing is taken from the distribution's packages, as
# root or by sudo. Without PostgreSQL, Chromium or Mosquitto the tests that need it are skipped with the reason.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/find_system.sh

packages=()
if ! find_postgresql >/dev/null; then
    echo "PostgreSQL 15+ is missing: installing the package postgresql (the suite runs on both databases)"
    packages+=(postgresql)
fi
if ! find_chromium >/dev/null; then
    echo "Chromium is missing: installing the package chromium (the pages are tested in a real browser)"
    packages+=(chromium)
fi
if ! find_soffice >/dev/null; then
    echo "LibreOffice is missing: installing Writer and Calc without windows (reports are rendered and looked at)"
    packages+=(libreoffice-writer-nogui libreoffice-calc-nogui)
fi
if ! has_vietnamese_times; then
    echo "A font for Vietnamese in the widths of Times New Roman is missing: installing fonts-croscore (Tinos)"
    packages+=(fontconfig fonts-croscore)
fi
if ! has_poppler; then
    echo "poppler is missing: installing poppler-utils (the tests look into PDF files)"
    packages+=(poppler-utils)
fi
if ! find_mosquitto >/dev/null; then
    echo "Mosquitto is missing: installing the package mosquitto (what devices send is received from a real broker)"
    packages+=(mosquitto)
fi
[ ${#packages[@]} -gt 0 ] || exit 0

if ! command -v apt-get >/dev/null; then
    echo "apt-get is not here. Install ${packages[*]} by hand; until then the tests that need them are skipped." >&2
    exit 0
elif [ "$(id -u)" = 0 ]; then
    as_root=(env)
elif sudo -n true 2>/dev/null; then
    as_root=(sudo -n env)
else
    echo "Neither root nor sudo. Have ${packages[*]} installed; until then the tests that need them are skipped." >&2
    exit 0
fi

# The package would make and start a cluster of its own; the tests bring a throw-away one.
no_cluster=
if [[ " ${packages[*]} " == *" postgresql "* ]] && [ ! -e /etc/postgresql-common/createcluster.conf ]; then
    no_cluster=1
    "${as_root[@]}" sh -c 'mkdir -p /etc/postgresql-common
        echo "create_main_cluster = false" > /etc/postgresql-common/createcluster.conf'
fi
apt=("${as_root[@]}" DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 -qq)
"${apt[@]}" update || echo "apt-get update failed; trying with the package lists that are here" >&2
for package in "${packages[@]}"; do
    # One at a time: one that cannot be had must not keep the other away.
    "${apt[@]}" install -y --no-install-recommends -o Dpkg::Options::=--force-confold "$package" >/dev/null \
        || echo "The package $package could not be installed." >&2
done
[ -z "$no_cluster" ] || echo "PostgreSQL was installed without a cluster of its own."

find_postgresql >/dev/null || echo "Still no PostgreSQL 15+ with pg_trgm: the tests on PostgreSQL are skipped." >&2
find_chromium >/dev/null || echo "Still no Chromium that starts (Ubuntu's chromium is a snap; google-chrome-stable serves
as well): the browser tests are skipped." >&2
find_mosquitto >/dev/null || echo "Still no Mosquitto: the tests of receiving are skipped." >&2
find_soffice >/dev/null || echo "Still no LibreOffice: reports have no PDF, and the tests of their pages fail." >&2
