#!/bin/sh
# Renews both lock files. The GPU lock is resolved only: it is not installed where it is made.
set -eu
uv=$1
common="pyproject.toml --extra train --group dev --python-version 3.11 --python-platform linux --no-annotate --no-header --quiet"
$uv pip compile $common --extra serve-cpu --override requirements/overrides-cpu.txt --output-file requirements/cpu.lock
$uv pip compile $common --extra serve --override requirements/overrides-gpu.txt --output-file requirements/gpu.lock
