#!/usr/bin/env bash
# Runs `make test` again and again on two processors beside three busy loops, tells what failed and how long each run took,
# and fails if any did. RUNS says how often (10); the logs are kept in target/stress.

set -euo pipefail
# every job is a group of its own, so that a run ends with all that it has started
set -m

cd "$(dirname "$0")/.."

readonly RUNS="${RUNS:-10}"
# more than there are processors: whoever wakes up has to wait
readonly LOOPS=3
readonly PROCESSORS=2
readonly LOGS=target/stress

if ! [[ "$RUNS" =~ ^[1-9][0-9]*$ ]]; then
  echo "RUNS=$RUNS is not a number of runs" >&2
  exit 2
fi

jobs_to_end=()

end_all() {
  trap - EXIT INT TERM HUP
  local job
  for job in ${jobs_to_end[@]+"${jobs_to_end[@]}"}; do
    # it may have ended by itself
    kill -TERM -- "-$job" 2>/dev/null || true
  done
  wait
} 2>/dev/null
trap end_all EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# The first processors that this process may use, as `taskset` has them.
first_processors() {
  taskset -cp $$ | sed 's/.*: //' | tr ',' '\n' | while IFS=- read -r first last; do
    seq "$first" "${last:-$first}"
  done | head -n "$PROCESSORS" | paste -sd, -
}

# Until its parent is gone, in whatever way.
be_busy() {
  # shellcheck disable=SC2016 # the inner shell expands it
  sh -c 'while kill -0 "$1"; do i=0; while [ "$i" -lt 100000 ]; do i=$((i + 1)); done; done' busy $$ 2>/dev/null &
  jobs_to_end+=($!)
}

# What failed, in the words of cargo-nextest or of cargo test.
failures_in() {
  sed 's/\x1b\[[0-9;]*m//g' "$1" |
    grep -E '^ *(TRY [0-9]+ )?(FAIL|TIMEOUT|ABORT|SIG[A-Z]+|LEAK-FAIL) +\[|^test .* \.\.\. FAILED$|^error(\[|:)' |
    sort -u || true
}

if [ "$(nproc)" -gt "$PROCESSORS" ]; then
  taskset -cp "$(first_processors)" $$ >/dev/null
fi
mkdir -p "$LOGS"
for ((n = 0; n < LOOPS; n++)); do
  be_busy
done

failed=0
for ((run = 1; run <= RUNS; run++)); do
  log="$LOGS/run-$run.log"
  began=$SECONDS
  # everything runs, and the failures stand together
  CI=true make test >"$log" 2>&1 &
  tests=$!
  jobs_to_end+=("$tests")
  code=0
  wait "$tests" || code=$?
  unset 'jobs_to_end[-1]'
  if [ "$code" -eq 0 ]; then
    echo "run $run of $RUNS: passed in $((SECONDS - began)) s"
  else
    failed=$((failed + 1))
    echo "run $run of $RUNS: failed with $code in $((SECONDS - began)) s, see $log"
    failures_in "$log"
  fi
done

echo "$failed of $RUNS runs failed"
[ "$failed" -eq 0 ]
