#!/bin/sh
# Installs agentray and its environments into a virtual environment from the lock file.
# Called by `make install`; says what is missing and how to get it.
set -eu

stop() {
    printf 'error: %s\n  why: %s\n  fix: %s\n' "$1" "$2" "$3" >&2
    exit 1
}

command -v "$PYTHON" >/dev/null 2>&1 ||
    stop "no $PYTHON on this machine" "agentray needs Python 3.11 or newer" "apt-get install python3 python3-venv"
"$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    stop "$("$PYTHON" --version) is too old" "agentray needs Python 3.11 or newer" "make install PYTHON=python3.11"
"$PYTHON" -c 'import ensurepip, venv' 2>/dev/null ||
    stop "$PYTHON cannot make virtual environments" "its venv module is missing" "apt-get install python3-venv"
if [ ! -x "$VENV/bin/python" ]; then
    free_kib=$(df -Pk . | awk 'NR == 2 { print $4 }')
    [ "$free_kib" -ge 8000000 ] ||
        stop "less than 8 GB of disk are free" "$((free_kib / 1000000)) GB free here" "free some space, or clone elsewhere"
    "$PYTHON" -m venv "$VENV"
fi

pip="$VENV/bin/python -m pip --disable-pip-version-check"
log="$VENV/install.log"
echo "installing $(grep -c == "$LOCK") locked packages: a minute or two on a fast connection" >&2
# --no-deps: the lock is complete, and vllm names packages (torchvision) that must not be installed.
$pip install --quiet --no-deps --requirement "$LOCK" >"$log" 2>&1 || {
    tail -n 15 "$log" >&2
    stop "the packages of $LOCK did not install" "see above and $log" "check the network, then make install again"
}
for project in "$@"; do
    $pip install --quiet --no-deps --no-build-isolation --editable "$project" >>"$log" 2>&1 || {
        tail -n 15 "$log" >&2
        stop "$project did not install" "see above and $log" "make clean, then make install"
    }
done
"$VENV/bin/python" -c 'import torch' 2>>"$log" ||
    stop "torch does not load" "a CUDA build came without its libraries: the CPU lock holds none" \
        "PIP_EXTRA_INDEX_URL=<PyTorch's CPU wheel index> make clean install, or LOCK=requirements/gpu.lock"
echo "installed; try: $VENV/bin/agentray doctor" >&2
