#!/usr/bin/env bash
# collect-files.sh BINARY DIRECTORY: makes a root file system with all that the binary needs to run
# and nothing else. Part of deploy/Dockerfile.
set -euo pipefail
binary=$1 root=$2

mkdir -p "$root"/{etc/vitalsd,usr/bin,tmp,var/lib/vitalsd}
install -s "$binary" "$root/usr/bin/vitalsd"
# Each library where the loader finds it, under the name by which it is asked for.
ldd "$binary" | grep -o '/[^ ]*' | while read -r library; do
  install -D -m 755 "$(realpath "$library")" "$root$library"
done
# Name and address look-ups by libpq's own way; the default knows of no files.
echo 'hosts: files dns' >"$root/etc/nsswitch.conf"
echo 'vitalsd:x:65532:65532::/var/lib/vitalsd:/nonexistent' >"$root/etc/passwd"
echo 'vitalsd:x:65532:' >"$root/etc/group"
install -D -m 644 /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"
# Time zones of CronJobs.
mkdir -p "$root/usr/share"
cp -a /usr/share/zoneinfo "$root/usr/share/"
chown 65532:65532 "$root/var/lib/vitalsd"
chmod 1777 "$root/tmp"
