#!/usr/bin/env bash
# repeat.sh N NAME [PYTEST-ARGUMENT...]: runs a selection of tests N times under CPU load (two busy
# loops) to find flaky tests. NAME is one of
#
#   rhythm        the tests that measure time (-m serial)
#   integration   tests/integration
#   e2e           tests/e2e
#   kubernetes    tests/kubernetes
#   units         the unit tests of the release build
#
# or any other name, followed by pytest arguments. Earlier runs on the same sources count, so an
# interrupted call can be repeated. Writes the figures to docs/testing.md and keeps the logs of failed
# runs in build/repeat. Needs the release build.
set -euo pipefail
cd "$(dirname "$0")/.."

if [ $# -lt 2 ] || ! [[ $1 =~ ^[1-9][0-9]*$ ]]; then
  sed -n '2,13s/^# \{0,1\}//p' "$0" >&2
  exit 2
fi
count=$1 name=$2
shift 2

command=(/usr/bin/python3 -m pytest -q)
case $name in
  rhythm) command+=(-m serial) ;;
  integration) command+=(-m "not serial" -n 3 --dist loadfile integration) ;;
  e2e | kubernetes) command+=("$name") ;;
  units) command=(../build/release/tests/unit_tests --gtest_brief=1) ;;
  *) [ $# -gt 0 ] || { echo "repeat.sh: unknown selection $name: add pytest arguments" >&2; exit 2; } ;;
esac
command+=("$@")

# Runs belong to the sources, not to the commit, so a change of documentation needs no new runs.
sources=(CMakeLists.txt config daemon deploy exporter probes tests)
revision=$(git ls-files -z "${sources[@]}" | xargs -0 sha256sum | sha256sum | cut -c1-12)
directory=build/repeat/$name
runs=$directory/$revision.tsv # one line per run: exit status, seconds
mkdir -p "$directory"
touch "$runs"

hogs=()
trap 'kill "${hogs[@]}" 2>/dev/null || true' EXIT
trap 'exit 130' INT TERM
for _ in 1 2; do
  (while :; do :; done) &
  hogs+=($!)
done

export VITALSD_BINARY=$PWD/build/release/vitalsd
while number=$(($(wc -l <"$runs") + 1)) && [ "$number" -le "$count" ]; do
  log=$directory/$revision-$number.log
  began=$SECONDS status=0
  (cd tests && "${command[@]}") >"$log" 2>&1 </dev/null || status=$?
  printf '%s\t%s\n' $status $((SECONDS - began)) >>"$runs"
  printf '%s, run %d of %d: %s in %d s\n' "$name" "$number" "$count" \
    "$([ $status = 0 ] && echo passed || echo "FAILED, see $log")" $((SECONDS - began))
  [ $status != 0 ] || rm "$log"
done

# There is one row per selection. It replaces the previous row.
row=$(awk -F '\t' -v name="$name" -v revision="$revision" -v date="$(date -u +%Y-%m-%d)" '
  { failed += $1 != 0; seconds += $2 }
  END { printf "| `%s` | %d | %d | %.0f | %s | `%s` |", name, NR, failed, seconds / NR, date, revision }
' "$runs")
awk -v row="$row" -v name="| \`$name\` |" '
  index($0, name) == 1 { next }
  /^<!-- repeat.sh: end -->$/ { print row }
  { print }
' docs/testing.md >"$directory/testing.md"
cat "$directory/testing.md" >docs/testing.md
echo "$row"
! grep -qv '^0' "$runs"
