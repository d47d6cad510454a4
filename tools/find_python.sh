#!/bin/sh
# Print the Python that the virtual environments are made with: the one named as argument, else the first of the usual
# names that runs, is 3.11 or newer and can make a virtual environment (Debian's needs python3-venv for that).
# A name is asked, not looked up: a version manager's shim may exist and yet refuse to run.

usable() {
    "$1" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

for name in "${@:-}" python3.13 python3.12 python3.11 python3; do
    [ -n "$name" ] || continue
    if usable "$name"; then
        echo "$name"
        exit 0
    fi
    if [ $# -gt 0 ] && [ -n "$1" ]; then
        echo "costlens: PYTHON=$1 is no Python 3.11 or newer with the venv module: name another one." >&2
        exit 1
    fi
done
echo "costlens: no Python 3.11 or newer with the venv module was found: install one, or name it with PYTHON=/path/to/python." >&2
exit 1
