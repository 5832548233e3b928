#!/usr/bin/env bash
# Installs the peers, builds, measures vitalsd beside them and writes docs/benchmarks.md. Takes some
# six minutes on a quiet machine, ten the first time. Telegraf is built where there is a Go 1.26.
set -euo pipefail
cd "$(dirname "$0")/../.."

deploy/install-build-dependencies.sh
tests/install-test-dependencies.sh
export VITALSD_COMPILER_LAUNCHER=ccache CCACHE_BASEDIR=$PWD CCACHE_NOHASHDIR=1 \
  CCACHE_DEPEND=1 CCACHE_SLOPPINESS=pch_defines,time_macros,locale
cmake --preset release -DVITALSD_TESTS=ON >/dev/null
cmake --build --preset release >/dev/null

version=v1.37.2
telegraf=${XDG_CACHE_HOME:-$HOME/.cache}/vitalsd/telegraf-$version
if [ ! -x "$telegraf" ] && command -v go >/dev/null; then
  # In its own module, whose go.sum names the sums of all that it needs.
  source=$(mktemp -d)
  trap 'chmod -R u+w "$source"; rm -rf "$source"' EXIT
  cp -r "$(cd "$source" && go mod download -json "github.com/influxdata/telegraf@$version" |
    sed -n 's/^\t"Dir": "\(.*\)",$/\1/p')/." "$source"
  chmod -R u+w "$source"
  (cd "$source" && go build -o "$telegraf" \
    -tags custom,inputs.http_response,inputs.net_response,outputs.prometheus_client \
    ./cmd/telegraf) >&2
fi

# What is said of the figures stays as it is.
remarks=$(sed -n '/^## /,$p' docs/benchmarks.md)
result=$(mktemp)
/usr/bin/python3 tests/bench/bench.py ${telegraf:+$([ -x "$telegraf" ] && echo "--telegraf=$telegraf")} \
  "$@" | tee "$result"
if [ $# -eq 0 ] && command -v go >/dev/null; then
  tests/kubernetes/binaries/build.sh >/dev/null
  /usr/bin/python3 tests/bench/kubernetes.py | tee -a "$result"
fi
if [ $# -eq 0 ]; then
  {
    cat <<END
# Benchmarks

Made by \`tests/bench/run.sh\` on $(date -u +%Y-%m-%d), on $(nproc) cores of
"$(sed -n 's/^model name\s*: //p' /proc/cpuinfo | head -n 1)", Linux $(uname -r), with the peers as Debian 12
has them and Telegraf $version. vitalsd and peer run one after the other on the same machine; CPU is
the kernel's account of the process, and "ratio" is peer to vitalsd. A budget is held "by ratio" where
this machine was slower than the one that the budgets were set on, but vitalsd is at least as many
times cheaper than its peer as the budget asks for.

END
    cat "$result"
    printf '\n%s\n' "$remarks"
  } >docs/benchmarks.md
fi
rm -f "$result"
