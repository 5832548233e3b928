#!/usr/bin/env bash
# Installs missing packages, builds, and runs all tests. Debian 12, as root.
#
#   tests/run.sh          runs all tests, as CI does
#   tests/run.sh --full   adds the long forms: longer fuzzer runs, sanitizers on Kubernetes, memory over
#                         many cycles, benchmarks; also writes the output to docs/full-run.txt
#
# Steps run in parallel, see docs/testing.md. The script prints the output of a step when the step ends.
# If a step fails, only the steps that depend on it are skipped.
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

# Each job has its own process group, so an interrupted run ends all processes that the jobs have started.
set -m
scratch=$(mktemp -d)
clean_up() {
  trap - EXIT
  local job
  for job in $(jobs -p); do kill -- "-$job" 2>/dev/null || true; done
  wait
  rm -rf "$scratch"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
touch "$scratch/steps" "$scratch/failed"
TIMEFORMAT='%R %U %S' # seconds: wall, user, system

# step NAME COMMAND...: runs a command, prints its output when it ends, and records its cost.
step() {
  local name=$1 log status=0 wall user system
  shift
  log=$(mktemp "$scratch/step.XXXXXX")
  printf -- '--> %s (%d s)\n' "$name" "$SECONDS"
  { time "$@" >"$log" 2>&1 </dev/null; } 2>"$log.time" || status=$?
  read -r wall user system < <(tail -n 1 "$log.time")
  {
    flock 9
    printf '\n==> %s: %s (%d s)\n' "$name" "$([ $status = 0 ] && echo passed || echo FAILED)" "$SECONDS"
    cat "$log"
    sed -nE 's/^(FAILED|ERROR) (.*::.*)/\2/p; s/^\[  FAILED  \] ([^ ]+\.[^ ,]+)( \(.*)?$/\1/p' "$log" |
      cut -c 1-150 | sort -u | sed "s/^/  $name: /" >>"$scratch/failed"
    awk -v name="$name" -v status=$status -v wall="$wall" -v cpu="$user $system" '
      BEGIN { split(cpu, of); printf "%s\t%d\t%.0f\t%.0f\n", name, status, wall, of[1] + of[2] }
    ' >>"$scratch/steps"
  } 9>"$scratch/lock"
  return $status
}

# summary: prints the cost of each step, and the tests that have failed. Fails if a step has failed.
summary() {
  printf '\n%-44s %8s %8s\n' step 'wall, s' 'CPU, s'
  awk -F '\t' '
    { printf "%-44s %8d %8d%s\n", $1, $3, $4, $2 ? "  FAILED" : ""; cpu += $4; failed += $2 != 0 }
    END { printf "%-44s %8d %8d\n", "all", '$SECONDS', cpu; exit failed != 0 }
  ' "$scratch/steps" || { printf '\nfailed tests:\n'; cat "$scratch/failed"; return 1; }
}

# quietly COMMAND...: prints the warnings of a command, or its whole output if it fails.
quietly() {
  local log status=0
  log=$(mktemp "$scratch/log.XXXXXX")
  "$@" >"$log" 2>&1 || status=$?
  if [ $status -ne 0 ]; then cat "$log"; else grep -E 'warning:' "$log" || true; fi
  return $status
}

# ---- builds --------------------------------------------------------------------------------------

packages() { deploy/install-build-dependencies.sh --upgrade && tests/install-test-dependencies.sh; }
step packages packages || { summary; exit 1; }

# Without Go, the Kubernetes tests are skipped and reported as skipped. CI never skips them.
kubernetes=false
if [ -n "${VITALSD_REQUIRE_KUBERNETES:-${CI:-}}" ] || command -v go >/dev/null; then
  kubernetes=true
  # The usual KUBEBUILDER_ASSETS contain no kubelet.
  [ -n "${KUBEBUILDER_ASSETS:-}" ] || export VITALSD_REQUIRE_KUBERNETES=1
fi

. deploy/compiler-cache.sh
build() {
  quietly cmake --preset "$1" -DVITALSD_TESTS=ON && quietly nice cmake --build --preset "$1"
}

# Builds the image for the tests that install it, and prints its size.
image() {
  local name=localhost/vitalsd:test
  quietly tests/image/buildah.sh deploy/build-image.sh "$name" &&
    tests/image/buildah.sh buildah images --format '{{.Size}}' "$name"
}

# ---- tests ---------------------------------------------------------------------------------------

export ASAN_OPTIONS=detect_stack_use_after_return=1 UBSAN_OPTIONS=print_stacktrace=1
export TSAN_OPTIONS=second_deadlock_stack=1
if $full; then long=all; else long=$(git rev-list --count HEAD)/5; fi
# test_a_default_install_is_silent takes 30 minutes only in a full run.
$full || export VITALSD_SILENT_MINUTES="${VITALSD_SILENT_MINUTES:-2}"

# live BUILD ARGUMENT...: runs pytest with the daemon of that build. The arguments select the tests.
live() {
  local build=$1
  shift
  (cd tests && VITALSD_BINARY=$PWD/../build/$build/vitalsd \
    /usr/bin/python3 -m pytest -q --long="$long" "$@")
}
# units BUILD: runs the unit tests in three processes, because many of them wait. Prints the name of a
# test only if it fails, crashes or prints output.
units() {
  local shard shards=() status=0
  for shard in 0 1 2; do
    GTEST_TOTAL_SHARDS=3 GTEST_SHARD_INDEX=$shard \
      "build/$1/tests/unit_tests" >"$scratch/units.$1.$shard" 2>&1 &
    shards+=($!)
  done
  for shard in "${shards[@]}"; do wait "$shard" || status=1; done
  awk '
    /^\[ RUN / { running = $0; next }
    /^\[ +OK \]/ { running = ""; next }
    /^\[-+\]/ || /^$/ { next }
    { if (running != "") print running; running = ""; print }
    END { if (running != "") print running }
  ' "$scratch/units.$1".*
  return $status
}
arrows() { ctest --test-dir build/release -R '^arrow' -j2 --output-on-failure | tail -n 4; }

sanitizer() { # PRESET PYTEST-ARGUMENT...
  local preset=$1
  shift
  step "build $preset" build "$preset" || return
  step "units, $preset" units "$preset"
  step "integration, $preset" live "$preset" -n 3 --dist loadfile "$@"
}

# Three chains of about the same length. Tests against real servers mostly wait, but Kubernetes nodes
# use most of one core.
clusters() {
  if ! $kubernetes || step "image" image; then
    step "stream node" live release -m node -n 2 --dist loadfile
  fi
  step "stream api" live release -m api -n 2 --dist loadfile
}
servers_and_threads() {
  step "stream servers" live release -m servers -n 3 --dist loadfile
  sanitizer tsan -m "threads and not serial" integration kubernetes
}
units_and_memory() {
  step "include rules" arrows
  step "units, release" units release
  sanitizer asan -m "not serial" integration
  step "fuzzers" tests/fuzz/run.sh "$($full && echo 60 || echo 0)"
}

if $kubernetes; then step "Kubernetes from Go modules" quietly tests/kubernetes/binaries/build.sh & fi
step "build release" build release || true
wait
summary >/dev/null || { summary; exit 1; }

# Each chain records the failures of its steps and continues.
set +e
clusters &
servers_and_threads &
units_and_memory &
wait
step "serial" live release -m serial
step "serial, asan" live asan -m serial integration

if $full; then
  step "Kubernetes, asan" live asan kubernetes
  # Only the tests that involve threads.
  step "Kubernetes, tsan" live tsan kubernetes/test_watch.py kubernetes/test_replicas.py
  step "reproducible build" tests/image/reproducible.sh
  step "memory over many cycles" /usr/bin/python3 tests/bench/memory.py
  step "benchmarks" tests/bench/run.sh
fi
summary
