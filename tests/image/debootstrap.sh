#!/usr/bin/env bash
# debootstrap.sh DIRECTORY: creates the root file system of a minimal Debian 12, with the package sources
# of this machine. Keeps it as an archive in a cache outside the tree. Debian 12, as root.
set -euo pipefail
root=$1

cache=${VITALSD_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/vitalsd}/debian
archive=$cache/bookworm.tar
mkdir -p "$cache" "$root"
exec 9>"$cache/lock" # only one test run creates it
flock 9

sources=$(apt-get indextargets --format 'deb $(SITE) $(RELEASE) $(COMPONENT)' \
  'Created-By: Packages' 'Origin: Debian' | sort -u)
[ -n "$sources" ] || { echo "debootstrap.sh: apt has no package lists of Debian: run apt-get update" >&2; exit 1; }

if [ ! -e "$archive" ]; then
  mirror=$(awk '$3 == "bookworm" {print $2; exit}' <<<"$sources")
  made=$(mktemp -d "$cache/root.XXXXXX")
  trap 'rm -rf "$made"' EXIT
  chmod 755 "$made"
  # In its own mount namespace, so its mounts are removed even if it is killed.
  unshare --mount debootstrap --variant=minbase bookworm "$made" "$mirror" >&2
  rm -rf "$made"/var/cache/apt/archives/*.deb "$made"/var/lib/apt/lists/*
  tar -C "$made" --numeric-owner -cf "$archive.new" .
  mv "$archive.new" "$archive"
fi
tar -C "$root" --numeric-owner -xpf "$archive"
echo "$sources" >"$root/etc/apt/sources.list"
cp -L /etc/resolv.conf "$root/etc/"
