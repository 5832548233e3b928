#!/usr/bin/env bash
# build-image.sh NAME[:TAG] [OPTION...]: builds the image of the commit that is checked out. It takes
# docker, podman or buildah, what there is of them; BUILDER=... says which. Options are the builder's.
set -euo pipefail
cd -P "$(dirname "$0")/.."
if [[ $# -eq 0 || $1 == -* ]]; then
  sed -n '2,3s/^# \{0,1\}//p' "$0" >&2
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
revision=$(git rev-parse --short=12 HEAD)
"${build[@]}" --file=deploy/Dockerfile --tag="$name" --build-arg=REVISION="$revision" "$@" .
