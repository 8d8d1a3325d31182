#!/bin/sh
# Names what is missing before anything is installed, and how to get it. Called by the Makefile.
set -u
python=$1
missing=0

need() {
    missing=1
    printf 'Missing: %s\n  Debian, Ubuntu:  sudo apt-get install %s\n  macOS:           brew install %s\n' "$1" "$2" "$3" >&2
}

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null ||
    need "Python 3.11 or newer (found: $("$python" --version 2>/dev/null || echo none)); name another with PYTHON=..." \
        'python3 python3-venv' python@3.12
"$python" -c 'import ensurepip, venv' 2>/dev/null || need "Python's venv module" python3-venv python@3.12

# Rust is optional: this names it, and it is missing only where CLF_BUILD_KERNEL=1 asks for it.
[ "$missing" -ne 0 ] || "$python" "$(dirname "$0")/kernel.py" check || missing=1

# A cluster of one's own needs neither Java nor Maven.
if [ -z "${CLF_BOOTSTRAP_SERVERS:-}" ]; then
    major=$(java -version 2>&1 | sed -n 's/.*version "\([0-9]*\).*/\1/p' | head -n 1)
    [ "${major:-0}" -ge 17 ] ||
        need "Java 17 or newer for the local Kafka broker (found: ${major:-none})" openjdk-17-jre-headless openjdk@17
    command -v mvn >/dev/null 2>&1 || need "Maven, which fetches the broker's jars" maven maven
fi
if [ "$missing" -ne 0 ]; then
    echo 'Then run make again. (A Kafka cluster of your own, named by CLF_BOOTSTRAP_SERVERS, needs no Java and no Maven.)' >&2
    exit 1
fi
