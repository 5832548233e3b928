#!/usr/bin/env bash
# Installs the peers, builds vitalsd, measures both and writes docs/benchmarks.md. Takes about twelve
# minutes on an idle machine, sixteen the first time. Telegraf is built if Go 1.26 is installed.
set -euo pipefail
cd "$(dirname "$0")/../.."

deploy/install-build-dependencies.sh
tests/install-test-dependencies.sh
. deploy/compiler-cache.sh
cmake --preset release -DVITALSD_TESTS=ON >/dev/null
cmake --build --preset release >/dev/null

version=$(tests/bench/peers.sh version)
telegraf=
if command -v go >/dev/null; then telegraf=$(tests/bench/peers.sh telegraf); fi

# Keep the remarks below the figures.
remarks=$(sed -n '/^## /,$p' docs/benchmarks.md)
result=$(mktemp)
/usr/bin/python3 tests/bench/bench.py ${telegraf:+"--telegraf=$telegraf"} "$@" | tee "$result"
[ $# -gt 0 ] || /usr/bin/python3 tests/bench/rabbitmq.py | tee -a "$result"
if [ $# -eq 0 ] && command -v go >/dev/null; then
  tests/kubernetes/binaries/build.sh >/dev/null
  /usr/bin/python3 tests/bench/kubernetes.py | tee -a "$result"
fi
if [ $# -eq 0 ]; then
  {
    cat <<END
# Benchmarks

Measured by \`tests/bench/run.sh\` on $(date -u +%Y-%m-%d), on $(nproc) cores of
"$(sed -n 's/^model name\s*: //p' /proc/cpuinfo | head -n 1)", Linux $(uname -r), with the
peers from Debian 12 and Telegraf $version. vitalsd and the peer run one after the other on the same machine.
CPU is the CPU time that the kernel reports for the process. "ratio" is peer divided by vitalsd. A budget
is met "by ratio" if this machine was slower than the machine that the budgets were set on, but the ratio
is at least the ratio that the budget implies.

END
    cat "$result"
    printf '\n%s\n' "$remarks"
  } >docs/benchmarks.md
fi
rm -f "$result"
