#!/usr/bin/env bash
# buildah.sh COMMAND...: runs a command that builds or moves images by buildah, where no registry is:
# the Debian that our Dockerfile starts from is made by debootstrap. Images, and what was compiled for
# them, stay in a cache outside the tree; what has not changed is not built again. Debian 12, as root.
set -euo pipefail

cache=${VITALSD_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/vitalsd}/image
base=docker.io/library/debian:bookworm-slim
mkdir -p "$cache/tmp"
exec 9>"$cache/lock" # of two test runs one builds
flock 9

# Its state is the cache's, and no business of the machine's own containers.
export BUILDER=buildah BUILDAH_ISOLATION=chroot BUILDAH_LAYERS=true
export CONTAINERS_STORAGE_CONF=$cache/storage.conf TMPDIR=$cache/tmp
cat >"$CONTAINERS_STORAGE_CONF" <<END
[storage]
driver = "${VITALSD_STORAGE_DRIVER:-overlay}"
graphroot = "$cache/storage"
runroot = "$cache/run"
END

if ! buildah inspect --type=image "$base" >/dev/null 2>&1; then
  # As this machine has it: where it gets Debian's packages from, the image does.
  sources=$(apt-get indextargets --format 'deb $(SITE) $(RELEASE) $(COMPONENT)' \
    'Created-By: Packages' 'Origin: Debian' | sort -u)
  [ -n "$sources" ] || { echo "apt has no lists of Debian's: apt-get update" >&2; exit 1; }
  mirror=$(awk '$3 == "bookworm" {print $2; exit}' <<<"$sources")
  root=$(mktemp -d)
  trap 'rm -rf "$root"' EXIT
  debootstrap --variant=minbase bookworm "$root" "$mirror" >&2
  echo "$sources" >"$root/etc/apt/sources.list"
  rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/*
  container=$(buildah from scratch)
  buildah add --quiet "$container" "$root" / >&2
  buildah config --env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$container"
  buildah commit --quiet --rm "$container" "$base" >&2
fi
"$@"
