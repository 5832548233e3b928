#!/usr/bin/env bash
# Runs every fuzzer on its stored corpus and then for SECONDS each (10 without an argument). New finds
# stay in the build directory; a crash is left beside them, to become a file of the corpus.
set -euo pipefail
cd "$(dirname "$0")/../.."
seconds=${1:-10}
found=build/asan/fuzz/found
for fuzzer in build/asan/fuzz/*_fuzz; do
  name=$(basename "$fuzzer" _fuzz)
  mkdir -p "$found/$name"
  "$fuzzer" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -max_len=65536 -verbosity=0 \
    -print_final_stats=0 -artifact_prefix="$found/$name-" "$found/$name" "tests/fuzz/corpus/$name"
  echo "fuzz $name: ${seconds}s, no finding"
done
