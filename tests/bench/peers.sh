#!/usr/bin/env bash
# Builds a peer from Go modules, in a cache outside the tree, and prints the path of its executable.
# An existing one is not built again. Needs Go 1.26.
#
#   peers.sh telegraf     with the plugins that the benchmarks use
#   peers.sh textparse    tests/bench/textparse: Prometheus's parser of the text format
#   peers.sh version      prints the version of Telegraf
set -euo pipefail
cd "$(dirname "$0")"
cache=${XDG_CACHE_HOME:-$HOME/.cache}/vitalsd
export CGO_ENABLED=0 GOWORK=off
version=v1.37.2
tags=custom,inputs.http_response,inputs.net_response,inputs.prometheus,outputs.discard,outputs.prometheus_client

case "${1:-}" in
  version)
    echo "$version"
    exit
    ;;
  telegraf) executable=$cache/telegraf-$version-$(sha256sum <<<"$tags" | cut -c1-12) ;;
  textparse) executable=$cache/textparse-$(cat textparse/* | sha256sum | cut -c1-12) ;;
  *)
    echo "peers.sh: must be one of telegraf, textparse, version" >&2
    exit 2
    ;;
esac
if [ ! -x "$executable" ]; then
  command -v go >/dev/null || { echo "peers.sh: go not found: install Go 1.26 or newer" >&2; exit 3; }
  mkdir -p "$cache"
  source=$(mktemp -d)
  trap 'chmod -R u+w "$source"; rm -rf "$source"' EXIT
  if [ "$1" = telegraf ]; then
    # Build in Telegraf's own module because its go.sum has the checksums of all dependencies.
    cp -r "$(cd "$source" && go mod download -json "github.com/influxdata/telegraf@$version" |
      sed -n 's/^\t"Dir": "\(.*\)",$/\1/p')/." "$source"
    chmod -R u+w "$source"
    package=./cmd/telegraf
  else
    cp textparse/* "$source"
    package=.
  fi
  (cd "$source" && go build -trimpath -tags "$tags" -o "$executable.new" "$package") >&2
  mv "$executable.new" "$executable"
fi
echo "$executable"
