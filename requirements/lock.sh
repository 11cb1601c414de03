#!/bin/sh
# Renews both lock files; UPGRADE=1 also moves to newer versions. The GPU lock is resolved only, never installed here.
set -eu
uv=$1
common="pyproject.toml requirements/plugins.txt --extra train --extra evaluate --group dev --python-version 3.11 --python-platform linux --no-annotate --no-header --quiet ${UPGRADE:+--upgrade}"
$uv pip compile $common --extra serve-cpu --override requirements/overrides-cpu.txt --output-file requirements/cpu.lock
$uv pip compile $common --extra serve --override requirements/overrides-gpu.txt --output-file requirements/gpu.lock
