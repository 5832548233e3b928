#!/usr/bin/env bash
# Installs what is missing, builds, and runs the tests: the one test command, on any Debian 12.
set -euo pipefail
cd "$(dirname "$0")/.."

deploy/install-build-dependencies.sh
export VITALSD_COMPILER_LAUNCHER=ccache
cmake --preset dev
cmake --build --preset dev
ctest --preset dev
