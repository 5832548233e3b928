#!/usr/bin/env bash
# Builds the last commit twice, without a cache, in checkouts with different paths. Fails if the binaries
# differ. Takes about seven minutes on two cores.
set -euo pipefail
cd "$(dirname "$0")/../.."

export CCACHE_DISABLE=1
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
sums=()
for checkout in one another/one; do
  git clone --quiet . "$scratch/$checkout"
  (
    cd "$scratch/$checkout"
    cmake --preset release -DVITALSD_TESTS=OFF >&2
    cmake --build --preset release --target vitalsd >&2
  )
  sums+=("$(sha256sum <"$scratch/$checkout/build/release/vitalsd")")
done
printf '%s\n' "${sums[@]}"
[ "${sums[0]}" = "${sums[1]}" ]
