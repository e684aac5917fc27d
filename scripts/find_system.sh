# Where this machine keeps PostgreSQL (15 or newer, with pg_trgm), Chromium, LibreOffice, poppler and Mosquitto. Sourced by
# the other scripts.

# Print the folder of PostgreSQL's server programs; fail when there is none that serves.
find_postgresql() {
    local folder version share
    for folder in "$(dirname "$(readlink -f "$(command -v postgres || echo /nowhere/x)")")" \
        $(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -t/ -k5 -rn); do
        [ -x "$folder/initdb" ] && [ -x "$folder/postgres" ] && [ -x "$folder/pg_ctl" ] || continue
        version=$("$folder/postgres" --version | grep -oE '[0-9]+' | head -n 1)
        [ "$version" -ge 15 ] || continue
        share=$("$folder/pg_config" --sharedir 2>/dev/null || echo "/usr/share/postgresql/$version")
        [ -e "$share/extension/pg_trgm.control" ] || [ -e "/usr/share/postgresql/$version/extension/pg_trgm.control" ] \
            || continue
        echo "$folder"
        return 0
    done
    return 1
}

# Print a Chromium that starts. Ubuntu's package of that name is a wrapper around a snap, which may not start.
find_chromium() {
    local candidate
    for candidate in ${MACHNUOC_TEST_CHROMIUM:-chromium chromium-browser google-chrome google-chrome-stable}; do
        candidate=$(command -v "$candidate" || true)
        if [ -n "$candidate" ] && timeout 30 "$candidate" --version >/dev/null 2>&1; then
            echo "$candidate"
            return 0
        fi
    done
    return 1
}

# Print LibreOffice's program; fail when there is none that can write PDF of documents and workbooks.
find_soffice() {
    local candidate
    for candidate in ${MACHNUOC_SOFFICE:-soffice libreoffice /usr/lib/libreoffice/program/soffice}; do
        candidate=$(command -v "$candidate" || true)
        [ -n "$candidate" ] || continue
        candidate=$(readlink -f "$candidate")
        # Writer and Calc come as packages of their own.
        if ls "$(dirname "$candidate")"/libswlo.so "$(dirname "$candidate")"/libsclo.so >/dev/null 2>&1; then
            echo "$candidate"
            return 0
        fi
    done
    return 1
}

# Succeed where a font with the widths of Times New Roman has all Vietnamese letters (Liberation Serif has not).
has_vietnamese_times() {
    command -v fc-list >/dev/null && fc-list : family | grep -qE 'Times New Roman|Tinos'
}

# Succeed where the programs are there that look into a PDF.
has_poppler() {
    command -v pdftotext >/dev/null && command -v pdffonts >/dev/null && command -v pdftoppm >/dev/null
}

# Print Mosquitto's server program; the distribution puts it where only root looks.
find_mosquitto() {
    command -v mosquitto || PATH="$PATH:/usr/sbin:/sbin" command -v mosquitto
}
