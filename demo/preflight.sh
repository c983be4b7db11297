#!/bin/sh
# Says what is missing before anything is installed, with the command that mends it. preflight.sh PYTHON
python=$1

die() {
    printf 'shotlog: %s\n' "$@" >&2
    exit 2
}

newer() { # another Python that is new enough, if there is one
    for name in python3.14 python3.13 python3.12 python3.11; do
        if "$name" -c 'import ensurepip, venv' 2>/dev/null; then
            echo "$name"
            return
        fi
    done
}

[ "$(uname -s)" = Linux ] || die "the demo and the tests run on Linux; here, try: pip install -e '.[builtin]' && shotlog --help"
command -v "$python" >/dev/null 2>&1 ||
    die "there is no '$python': sudo apt install python3 python3-venv, or name another one: make demo PYTHON=python3.12"
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    other=$(newer)
    [ -n "$other" ] && die "'$python' is Python $version, 3.11 or newer is needed: make demo PYTHON=$other"
    die "'$python' is Python $version, 3.11 or newer is needed: sudo apt install python3.11-venv && make demo PYTHON=python3.11"
fi
if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    die "'$python' can't make a virtual environment: sudo apt install python$version-venv"
fi
