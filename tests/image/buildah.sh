#!/usr/bin/env bash
# buildah.sh COMMAND...: runs a command that builds or moves images with buildah, without a registry.
# debootstrap creates the base image of deploy/Dockerfile. Images stay in a cache outside the tree, and
# unchanged layers are not built again. Debian 12, as root.
set -euo pipefail

cache=${VITALSD_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/vitalsd}/image
base=docker.io/library/debian:bookworm-slim
mkdir -p "$cache/tmp"
exec 9>"$cache/lock" # only one test run builds at a time
flock 9

# This process has the lock, so mounts in the cache are left from killed builds. du below would count them
# again, and they could not be removed.
unmount_below() {
  local place
  while read -r place; do umount "$place"; done < <(
    awk -v below="$1/" 'index($2, below) == 1 {print $2}' /proc/self/mounts | sort -r
  )
}
unmount_below "$cache/storage/overlay"
# Each commit leaves an image or two. Clear the cache when it has grown too large.
if [ "$(du -sm "$cache" | cut -f1)" -gt 8192 ]; then
  unmount_below "$cache/storage"
  rm -rf "$cache/storage" "$cache/run"
fi

# The image build uses the compiler cache of the tests' own build.
BUILD_CCACHE=$(ccache --get-config cache_dir)
export BUILD_CCACHE
mkdir -p "$BUILD_CCACHE"

# Keep the state in the cache, separate from the machine's own containers.
export BUILDER=buildah BUILDAH_ISOLATION=chroot BUILDAH_LAYERS=true
export CONTAINERS_STORAGE_CONF=$cache/storage.conf TMPDIR=$cache/tmp
cat >"$CONTAINERS_STORAGE_CONF" <<END
[storage]
driver = "${VITALSD_STORAGE_DRIVER:-overlay}"
graphroot = "$cache/storage"
runroot = "$cache/run"
END

if ! buildah inspect --type=image "$base" >/dev/null 2>&1; then
  root=$(mktemp -d "$cache/root.XXXXXX")
  trap 'rm -rf "$root"' EXIT
  "$(dirname "$0")/debootstrap.sh" "$root" >&2
  container=$(buildah from scratch)
  buildah add --quiet "$container" "$root" / >&2
  buildah config --env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$container"
  buildah commit --quiet --rm "$container" "$base" >&2
fi
"$@"
