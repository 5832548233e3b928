#!/usr/bin/env bash
# build-image.sh NAME[:TAG] [OPTION...]: builds the image of the commit that is checked out. It takes
# docker, podman or buildah, what there is of them; BUILDER=... says which. Options are the builder's.
# With BUILD_CCACHE=DIRECTORY it compiles by that compiler cache in place of the builder's own; docker
# cannot.
set -euo pipefail
cd -P "$(dirname "$0")/.."
if [[ $# -eq 0 || $1 == -* ]]; then
  sed -n '2,5s/^# \{0,1\}//p' "$0" >&2
  exit 2
fi
name=$1
shift

builder=${BUILDER:-}
for each in docker podman buildah; do
  [ -n "$builder" ] || ! command -v $each >/dev/null || builder=$each
done
case $builder in
  docker) build=(docker build) ;;
  # OCI's own format knows of no HEALTHCHECK.
  podman | buildah) build=("$builder" build --format=docker) ;;
  *) echo "no docker, podman or buildah here: install one of them" >&2; exit 1 ;;
esac
if [ -n "${BUILD_CCACHE:-}" ]; then
  build+=(--volume="$BUILD_CCACHE:/ccache" --build-arg=CCACHE_DIR=/ccache)
fi
revision=$(git rev-parse --short=12 HEAD)
"${build[@]}" --file=deploy/Dockerfile --tag="$name" --build-arg=REVISION="$revision" "$@" .
