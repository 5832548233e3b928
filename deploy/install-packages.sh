#!/usr/bin/env bash
# install-packages.sh [--upgrade] PACKAGE...: installs the Debian packages that are missing. Debian 12,
# as root. Installing a package does not start its server. With --upgrade, if a package is missing, the
# others are upgraded as well. An image that is built on the same day is then compiled with the same
# headers and has hits in the same compiler cache.
set -euo pipefail

upgrade=false packages=() missing=()
for package in "$@"; do
  if [ "$package" = --upgrade ]; then upgrade=true; else packages+=("$package"); fi
done
for package in "${packages[@]}"; do
  dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' ||
    missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0
export DEBIAN_FRONTEND=noninteractive
policy=/usr/sbin/policy-rc.d # decides whether a package may start its service
if [ ! -e "$policy" ]; then
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod 755 "$policy"
  trap 'rm -f "$policy"' EXIT
fi
apt-get update -qq
$upgrade || packages=("${missing[@]}")
apt-get install -y -qq --no-install-recommends "${packages[@]}" >/dev/null
