#!/bin/sh
# Writes the files that follow from the declarations in the code. A test compares them.
#
#   docs/generate.sh [DIRECTORY]    below DIRECTORY instead of the repository's root
#
# VITALSD_BINARY is the vitalsd that prints them; by default the release build.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
out=${1:-$root}
vitalsd=${VITALSD_BINARY:-$root/build/release/vitalsd}

write() {
  file=$out/$1
  shift
  mkdir -p "$(dirname "$file")"
  "$vitalsd" "$@" >"$file.new"
  mv "$file.new" "$file"
}

write docs/metrics.md metrics --markdown
write docs/configuration.md config reference
write deploy/kubernetes/chart/files/absent.yaml rules absent --all-kinds
