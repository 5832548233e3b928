#!/usr/bin/env bash
# Installs the missing Debian packages that are needed to build vitalsd. Debian 12, as root.
set -euo pipefail

packages=(
  ca-certificates ccache clang-19 cmake dpkg-dev file git libboost-json1.81-dev libboost-url1.81-dev
  libboost1.81-dev libc-ares-dev libc6-dev libcli11-dev libcrypt-dev libcurl4-openssl-dev
  libgtest-dev libgmock-dev libhiredis-dev libhowardhinnant-date-dev libjemalloc-dev libpq-dev
  libprotozero-dev libpugixml-dev libre2-dev libspdlog-dev libssl-dev libyaml-cpp-dev
  linux-libc-dev lld-19 ninja-build pkg-config
  prometheus-cpp-dev tzdata zlib1g-dev
)
"$(dirname "$0")/install-packages.sh" "${packages[@]}" "$@"
