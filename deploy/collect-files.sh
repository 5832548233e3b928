#!/usr/bin/env bash
# collect-files.sh BINARY DIRECTORY: creates a root file system with only the files that the binary needs
# to run. deploy/Dockerfile runs it.
set -euo pipefail
binary=$1 root=$2

mkdir -p "$root"/{etc/vitalsd,usr/bin,tmp,var/lib/vitalsd}
install -s "$binary" "$root/usr/bin/vitalsd"
# Install each library under the path and name that the loader uses.
ldd "$binary" | grep -o '/[^ ]*' | while read -r library; do
  install -D -m 755 "$(realpath "$library")" "$root$library"
done
# libpq resolves names through nsswitch. The default configuration does not read /etc/hosts.
echo 'hosts: files dns' >"$root/etc/nsswitch.conf"
echo 'vitalsd:x:65532:65532::/var/lib/vitalsd:/nonexistent' >"$root/etc/passwd"
echo 'vitalsd:x:65532:' >"$root/etc/group"
install -D -m 644 /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"
# CronJobs have time zones.
mkdir -p "$root/usr/share"
cp -a /usr/share/zoneinfo "$root/usr/share/"
chown 65532:65532 "$root/var/lib/vitalsd"
chmod 1777 "$root/tmp"
