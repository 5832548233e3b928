#!/usr/bin/env bash
# Installs the Debian packages that the tests against real servers need, if any is missing. Debian
# 12, as root. The tests start the servers themselves: none of them is started as a service.
set -euo pipefail

packages=(
  memcached nginx-light openssl postgresql-15 prometheus prometheus-alertmanager python3
  python3-cryptography python3-dnspython python3-prometheus-client python3-psycopg2 python3-pytest
  python3-pytest-timeout python3-swift python3-yaml redis-server swift-account swift-container
  swift-object swift-proxy
)
missing=()
for package in "${packages[@]}" "$@"; do
  dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' ||
    missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0
export DEBIAN_FRONTEND=noninteractive
# Where there is an init system, installing a server must not start it either.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod 755 "$policy"
  trap 'rm -f "$policy"' EXIT
fi
apt-get update -qq
apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
