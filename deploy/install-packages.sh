#!/usr/bin/env bash
# install-packages.sh PACKAGE...: installs the Debian packages if any is missing, and then brings the
# others up to date as well, so that an image built the same day is compiled with the same headers and
# has hits in the same compiler cache. Debian 12, as root. No server is started by being installed.
set -euo pipefail

missing=()
for package in "$@"; do
  dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' ||
    missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0
export DEBIAN_FRONTEND=noninteractive
policy=/usr/sbin/policy-rc.d # what asks an init system, where there is one
if [ ! -e "$policy" ]; then
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod 755 "$policy"
  trap 'rm -f "$policy"' EXIT
fi
apt-get update -qq
apt-get install -y -qq --no-install-recommends "$@" >/dev/null
