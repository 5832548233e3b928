#!/usr/bin/env bash
# run.sh [SECONDS]: runs each fuzzer on its stored corpus and then for SECONDS (default 10; 0 runs only
# the corpus), two at a time. New inputs and crashes stay in the build directory. Add a crash to the
# corpus.
set -euo pipefail
cd "$(dirname "$0")/../.."
export seconds=${1:-10} found=build/asan/fuzz/found

one() {
  local name
  name=$(basename "$1" _fuzz)
  mkdir -p "$found/$name"
  local runs=-1 # unlimited; the time ends it
  [ "$seconds" -gt 0 ] || runs=0
  if "$1" -runs="$runs" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -max_len=65536 \
    -artifact_prefix="$found/$name-" "$found/$name" "tests/fuzz/corpus/$name" \
    >"$found/$name.log" 2>&1; then
    echo "fuzz $name: no finding in $(sed -n 's/^Done \([0-9]*\) runs in \([0-9]*\).*/\1 runs, \2 s/p' "$found/$name.log")"
  else
    cat "$found/$name.log"
    return 1
  fi
}
export -f one
printf '%s\0' build/asan/fuzz/*_fuzz | xargs -0 -P 2 -I {} bash -c 'one {}'
