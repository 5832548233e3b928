#!/usr/bin/env bash
# build.sh: builds the image by buildah, on a Debian that debootstrap makes where no registry is, and
# prints the archive that it is in. Packages, compiled files and images are kept in a cache outside
# the tree; what has not changed is not built again. Debian 12, as root.
set -euo pipefail
cd "$(dirname "$0")/../.."

cache=${VITALSD_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/vitalsd}/image
base=localhost/debian:bookworm name=localhost/vitalsd:test
mkdir -p "$cache"
exec 9>"$cache/lock" # of two test runs one builds
flock 9

# Its state is the cache's, and no business of the machine's own containers.
export CONTAINERS_STORAGE_CONF=$cache/storage.conf BUILDAH_ISOLATION=chroot BUILDER=buildah
cat >"$CONTAINERS_STORAGE_CONF" <<END
[storage]
driver = "${VITALSD_STORAGE_DRIVER:-overlay}"
graphroot = "$cache/storage"
runroot = "$cache/run"
END

if ! buildah inspect --type=image "$base" >/dev/null 2>&1; then
  root=$(mktemp -d "$cache/root.XXXXXX")
  trap 'rm -rf "$root"' EXIT
  tests/image/debootstrap.sh "$root" >&2
  container=$(buildah from scratch)
  buildah add --quiet "$container" "$root" / >&2
  buildah config --env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$container"
  buildah commit --quiet --rm "$container" "$base" >&2
fi

compiled=${CCACHE_DIR:-$HOME/.cache/ccache}
mkdir -p "$compiled"
deploy/build-image.sh "$name" --quiet --layers --pull-never --network=host \
  --volume="$compiled:/root/.cache/ccache" --build-arg=BASE="$base" >&2
archive=$cache/vitalsd.tar
rm -f "$archive"
buildah push --quiet "$name" "oci-archive:$archive:$name" >&2
echo "$archive"
