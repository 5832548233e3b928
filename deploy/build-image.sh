#!/usr/bin/env bash
# build-image.sh NAME[:TAG] [OPTION...]: builds the image of the current commit with the first of
# docker, podman and buildah that is installed, or with BUILDER. OPTION is an option of the builder.
# BUILD_CCACHE=DIRECTORY is the compiler cache to use instead of the builder's own. docker does not
# support it.
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
  # The OCI format does not support HEALTHCHECK.
  podman | buildah) build=("$builder" build --format=docker) ;;
  *) echo "build-image.sh: none of docker, podman and buildah is installed: install one of them" >&2; exit 1 ;;
esac
if [ -n "${BUILD_CCACHE:-}" ]; then
  build+=(--volume="$BUILD_CCACHE:/ccache" --build-arg=CCACHE_DIR=/ccache)
fi
revision=$(git rev-parse --short=12 HEAD)
"${build[@]}" --file=deploy/Dockerfile --tag="$name" --build-arg=REVISION="$revision" "$@" .
