#!/usr/bin/env bash
# The one test command: installs what is missing, builds, and runs every test. Debian 12, as root.
#
#   tests/run.sh          all tests; what CI runs
#   tests/run.sh --full   and the long forms: fuzzers by the minute, memory over many cycles,
#                         benchmarks; the output goes to docs/full-run.txt as well
set -euo pipefail
cd "$(dirname "$0")/.."

full=false
case "${1:-}" in
  "") ;;
  --full) full=true ;;
  *) sed -n '2,6s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac
if $full && [ -z "${VITALSD_FULL_RUN:-}" ]; then
  export VITALSD_FULL_RUN=1
  "$0" --full 2>&1 | tee docs/full-run.txt
  exit
fi

step() { printf '\n==> %s (%d s)\n' "$*" "$SECONDS"; }
failed=()
# run NAME COMMAND...: a step that tests. The first failure ends it all; with --full, which takes
# more than an hour, the others are still told.
run() {
  local name=$1
  shift
  step "$name"
  if $full; then "$@" || failed+=("$name"); else "$@"; fi
}
# Lines of a log that say something; the whole log if the command fails.
quietly() {
  local log status=0
  log=$(mktemp)
  "$@" >"$log" 2>&1 || status=$?
  if [ $status -ne 0 ]; then cat "$log"; else grep -E 'warning:' "$log" || true; fi
  rm -f "$log"
  return $status
}

step "packages"
deploy/install-build-dependencies.sh
tests/install-test-dependencies.sh

# Where there is no Go, the tests on Kubernetes are skipped by name; never so in CI.
if [ -n "${VITALSD_REQUIRE_KUBERNETES:-${CI:-}}" ] || command -v go >/dev/null; then
  step "Kubernetes from Go modules"
  quietly tests/kubernetes/binaries/build.sh
  # What others call KUBEBUILDER_ASSETS has no kubelet.
  [ -n "${KUBEBUILDER_ASSETS:-}" ] || export VITALSD_REQUIRE_KUBERNETES=1
fi

# The cache lies outside the tree and knows no absolute paths: another checkout has use of it.
export VITALSD_COMPILER_LAUNCHER=ccache CCACHE_BASEDIR=$PWD CCACHE_NOHASHDIR=1 \
  CCACHE_DEPEND=1 CCACHE_SLOPPINESS=pch_defines,time_macros,locale
for preset in release asan tsan; do
  step "build $preset"
  quietly cmake --preset "$preset" -DVITALSD_TESTS=ON
  quietly cmake --build --preset "$preset"
done

export ASAN_OPTIONS=detect_stack_use_after_return=1 UBSAN_OPTIONS=print_stacktrace=1
export TSAN_OPTIONS=second_deadlock_stack=1
# units PRESET: on two threads of execution, as GoogleTest shards.
units() {
  local shard status=0 pids=()
  for shard in 0 1; do
    GTEST_TOTAL_SHARDS=2 GTEST_SHARD_INDEX=$shard \
      "build/$1/tests/unit_tests" --gtest_brief=1 &
    pids+=($!)
  done
  for shard in "${pids[@]}"; do wait "$shard" || status=1; done
  return $status
}
# live BUILD DIRECTORY...: the pytest files of these directories against that daemon.
live() {
  local build=$1
  shift
  (cd tests && VITALSD_BINARY=$PWD/../build/$build/vitalsd /usr/bin/python3 -m pytest -q "$@")
}

# The image, for the tests that install it; where Kubernetes is skipped, so are they.
image() {
  local name=localhost/vitalsd:test
  quietly tests/image/buildah.sh deploy/build-image.sh "$name"
  tests/image/buildah.sh buildah images --format '{{.Size}}' "$name"
}
if [ -n "${VITALSD_REQUIRE_KUBERNETES:-${CI:-}}" ]; then run "the image" image; fi
run "what may include what" quietly ctest --test-dir build/release -R '^arrow' -j2
for preset in release asan tsan; do
  run "units, $preset" units "$preset"
done
run "on real servers, release" live release
for preset in asan tsan; do
  run "on real servers, $preset" live "$preset" integration
done
run "fuzzers" tests/fuzz/run.sh "$($full && echo 60 || echo 10)"

if $full; then
  run "on a real Kubernetes, asan" live asan kubernetes
  # Where threads have to do with it.
  run "on a real Kubernetes, tsan" live tsan kubernetes/test_watch.py kubernetes/test_replicas.py
  run "the same binary twice" tests/image/reproducible.sh
  run "memory over many cycles" /usr/bin/python3 tests/bench/memory.py
  run "benchmarks" tests/bench/run.sh
fi
if [ ${#failed[@]} -gt 0 ]; then
  step "failed:" "${failed[@]/%/;}"
  exit 1
fi
step "all is well"
