#!/usr/bin/env bash
# `make image-test`: builds the container image and tries it for real, with the feed simulator that is in it and a
# redis-server of its own. Needs a running Docker engine on Linux; everything is on loopback, with free ports and names
# that nobody else has, and nothing is left behind but what the engine keeps of the build, for the next one.
#
#   TEST_IMAGE=NAME        try this image instead of building one
#   BUILD_OPTIONS=OPTIONS  more options of `docker build`
set -euo pipefail
cd "$(dirname "$0")/.."
. config/free-port.sh
export LC_ALL=C              # EPOCHREALTIME with a point

readonly size_limit=40000000 # bytes of the image
readonly ready_goal=2000     # ms from the start of the process to /readyz 200; printed, not judged: machines differ
readonly stop_limit=10000    # ms; then Docker kills
readonly memory_limit=256    # MiB; the kernel ends what takes more
readonly patience=60         # seconds that a condition may take on a busy machine
readonly first_events=120000 second_events=30000
readonly rate=5000           # events a second
readonly streams=(uw:ws:option_trades:SPY uw:ws:option_trades:QQQ uw:ws:price:SPY uw:ws:price:QQQ)
readonly spool=/var/lib/uw-websocket/spool

readonly run=uw-websocket-test-$$   # how everything begins that is made here
dir='' redis_pid='' image=${TEST_IMAGE:-$run}
token=test-$(od -An -N12 -tx1 /dev/urandom | tr -d ' \n')
export UNUSUAL_WHALES_API_TOKEN=$token

say() { printf 'image-test: %s\n' "$*"; }
passed() { printf '  ok  %s\n' "$*"; }

fail() {
  say "FAILED: $*" >&2
  local name
  [ -z "$dir" ] || for name in $(containers '{{.Names}}'); do
    say "the end of the log of $name:" >&2
    docker logs --tail 15 "$name" >&2 || true
  done
  exit 1
}

# === what is made, and its end ===

containers() { docker ps --all --filter "name=^$run-" --format "$1"; }

clean_up() {
  local status=$?
  trap - EXIT
  trap '' INT TERM HUP
  if [ -n "$dir" ]; then
    containers '{{.ID}}' | xargs -r docker rm --force --volumes >/dev/null || true
    docker volume ls --quiet --filter "name=^$run-" | xargs -r docker volume rm >/dev/null || true
    [ -n "${TEST_IMAGE:-}" ] || docker rmi "$image" >/dev/null 2>&1 || true
    [ -z "$redis_pid" ] || { kill -KILL "$redis_pid" && wait "$redis_pid"; } 2>/dev/null || true
    rm -rf "$dir"
  fi
  exit "$status"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# === asking ===

milliseconds() { echo $((${EPOCHREALTIME/./} / 1000)); }

# eventually WHAT COMMAND...: waits until COMMAND succeeds.
eventually() {
  local what=$1 deadline=$((SECONDS + patience))
  shift
  until "$@"; do
    [ "$SECONDS" -lt "$deadline" ] || fail "not within $patience s: $what"
    sleep 0.02
  done
}

equal() { [ "$2" = "$3" ] || fail "$1 is \`$2\`, not \`$3\`"; }
contains() { grep -qF -- "$2" "$1" || fail "\`$2\` is not in: $(cat "$1")"; }

inspect() { docker inspect --format "$2" "$run-$1"; }
has_status() { [ "$(inspect "$1" '{{.State.Status}}')" = "$2" ]; }
is_healthy() { [ "$(inspect "$1" '{{.State.Health.Status}}')" = healthy ]; }
is_ready() { curl -fsS -o "$dir/ready" "http://127.0.0.1:$http_port/readyz" 2>/dev/null; }
feed_listens() { docker logs "$run-feed" 2>&1 | grep -q '^listening on ws://'; }
redis() { redis-cli -p "$redis_port" --raw "$@"; }
redis_is_ours() { redis INFO server 2>/dev/null | tr -d '\r' | grep -qx "process_id:$redis_pid"; }

# metric NAME: its sum over all labels; -1 if nobody answers.
metric() {
  curl -fs "http://127.0.0.1:$http_port/metrics" >"$dir/metrics" || { echo -1; return; }
  awk -v name="$1" '{ sub(/[{].*/, "", $1) } $1 == name { sum += $NF } END { printf "%d\n", sum }' "$dir/metrics"
}
metric_is() { [ "$(metric "$1")" = "$2" ]; }
metric_is_above() { [ "$(metric "$1")" -gt "$2" ]; }

# === running ===

# What a container has logged is kept: at the end the token is looked for in all of it.
keep_log() { docker logs "$run-$1" >>"$dir/all.log" 2>&1; }

remove() {
  keep_log "$1"
  docker rm --volumes "$run-$1" >/dev/null
}

# feed OPTIONS...: a new simulated feed, at the port that all of them have.
feed() {
  docker run --detach --name "$run-feed" --network host --no-healthcheck "$image" \
    simulate --listen "127.0.0.1:$feed_port" --channels-only option_trades,price --spread even "$@" >/dev/null
  eventually "the feed listens" feed_listens
}

# service NAME OPTIONS...: makes a container of the service as locked up as can be; the options may be any of `docker`.
service() {
  local name=$1
  shift
  docker create --name "$run-$name" --network host --read-only --cap-drop ALL --security-opt no-new-privileges \
    --memory "${memory_limit}m" --env UNUSUAL_WHALES_API_TOKEN --env REDIS_URL="redis://127.0.0.1:$redis_port/0" \
    --env UNUSUAL_WHALES_WEBSOCKET_URL="ws://127.0.0.1:$feed_port/socket" --env HTTP_ADDR="127.0.0.1:$http_port" \
    --env PROBE_ADDR="127.0.0.1:$probe_port" \
    --env TARGET_SYMBOLS=SPY,QQQ --env CHANNELS=option_trades,price --env WEBSOCKET_RECONNECT_SECONDS=0.2 \
    "$@" "$image" >/dev/null 2>"$dir/warnings"
}

# ends_with CODE NAME [TEXT]: starts a container that ends by itself.
ends_with() {
  local status=0
  timeout "$patience" docker start --attach "$run-$2" >"$dir/output" 2>&1 || status=$?
  [ "$status" = "$1" ] || fail "$2 ended with $status, not $1: $(cat "$dir/output")"
  contains "$dir/output" "${3:-}"
  remove "$2"
}

start_ready() {
  docker start "$run-$1" >/dev/null
  eventually "$1 is ready" is_ready
}

# stop NAME: `docker stop`; leaves in $took how many ms it took.
stop() {
  local began
  began=$(milliseconds)
  docker stop "$run-$1" >/dev/null
  took=$(($(milliseconds) - began))
  equal "the exit code of $1 after docker stop" "$(inspect "$1" '{{.State.ExitCode}}')" 0
  [ "$took" -lt "$stop_limit" ] || fail "docker stop of $1 took $took ms"
}

# redis_hangs_until_received NUMBER: Redis hangs, and the service goes on until it has read NUMBER events; some are on its disk alone.
redis_hangs_until_received() {
  kill -STOP "$redis_pid"
  eventually "$1 events are read while Redis hangs" metric_is uw_ws_events_received_total "$1"
  pending=$(metric uw_ws_events_pending)
  [ "$pending" -gt 0 ] || fail "nothing waits for Redis: the disk queue was not needed"
}

# all_stored NUMBER: every event sent so far is in its stream, and once.
all_stored() {
  local stream
  eventually "the disk queue is empty" metric_is uw_ws_events_pending 0
  for stream in "${streams[@]}"; do redis XRANGE "$stream" - +; done | grep '^{' >"$dir/payloads"
  equal "the number of entries" "$(wc -l <"$dir/payloads")" "$1"
  equal "the number of different entries" "$(sort -u "$dir/payloads" | wc -l)" "$1"
}

# === what is tried ===

the_image_is_as_promised() {
  local size base name version revision
  size=$(docker image inspect --format '{{.Size}}' "$image")
  [ "$size" -le "$size_limit" ] || fail "the image has $size bytes, more than $size_limit"
  label() { docker image inspect --format "{{index .Config.Labels \"org.opencontainers.image.$1\"}}" "$image"; }
  name=$(label base.name)
  [ -n "$name" ] || fail "the image does not name its base image"
  base=$(docker image inspect --format '{{.Size}}' "$name" 2>/dev/null || echo 0)
  passed "size: $((size / 1000)) kB of $((size_limit / 1000)), of which $((base / 1000)) are of $name"

  version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
  revision=$(label revision)
  equal "the label version" "$(label version)" "$version"
  case $revision in '' | unknown) fail "the label revision is \`$revision\`" ;; esac
  equal "--version" "$(docker run --rm --network host "$image" --version)" "uw-websocket $version ($revision)"
  passed "labels and --version: $version ($revision)"

  config() { docker image inspect --format "{{json .Config.$1}}" "$image"; }
  equal "the user" "$(config User)" '"65532:65532"'
  equal "the signal to stop" "$(config StopSignal)" '"SIGTERM"'
  equal "the volumes" "$(config Volumes)" "{\"$spool\":{}}"
  docker create --name "$run-files" "$image" >/dev/null
  docker export "$run-files" | tar -t >"$dir/files"
  docker rm --volumes "$run-files" >/dev/null
  contains "$dir/files" usr/local/bin/uw-websocket
  if grep -E '(^|/)(sh|bash|dash|ash|zsh|busybox|toybox|perl|python[0-9.]*|apt|dpkg)$' "$dir/files"; then
    fail "the image has a shell, an interpreter or a package manager"
  fi
  passed "user 65532, SIGTERM, a volume for the disk queue, no shell"
}

commands_are_arguments() {
  docker run --rm --network host --env UNUSUAL_WHALES_API_TOKEN "$image" settings >"$dir/output"
  cat "$dir/output" >>"$dir/all.log"
  contains "$dir/output" "UNUSUAL_WHALES_API_TOKEN=***"
  contains "$dir/output" "SPOOL_DIR=$spool # environment"
  passed "settings, simulate: commands are arguments of docker run"

  docker run --detach --name "$run-follow" --network host --env UNUSUAL_WHALES_API_TOKEN \
    --env REDIS_URL="redis://127.0.0.1:$redis_port/0" "$image" gaps --follow >/dev/null
  interrupted() {
    docker kill --signal INT "$run-follow" >/dev/null 2>&1 || true
    has_status follow exited
  }
  eventually "SIGINT ends a command that is process 1" interrupted
  equal "its exit code" "$(inspect follow '{{.State.ExitCode}}')" 130
  remove follow
  passed "gaps --follow: SIGINT ends it, though it is process 1"
}

starts_that_must_fail() {
  service no-token --env UNUSUAL_WHALES_API_TOKEN=
  ends_with 78 no-token UNUSUAL_WHALES_API_TOKEN
  passed "no token: exit 78, the variable is named"

  feed --token another
  service wrong-token
  ends_with 77 wrong-token "every connection was refused"
  docker stop "$run-feed" >/dev/null
  remove feed
  passed "a token that the feed refuses: exit 77"

  mkdir --mode 755 "$dir/folder"
  service no-rights --volume "$dir/folder:$spool"
  ends_with 74 no-rights "runs as user 65532: \`chown -R 65532:65532\`"
  passed "a folder of another user in the volume's place: exit 74, and what to do"
}

it_starts_under_lock() {
  local began started ready
  feed --rate "$rate" --events "$first_events" --start-after-joins 4 --seed 1
  service main --volume "$run-spool:$spool"
  began=$(milliseconds)
  start_ready main
  ready=$(milliseconds)
  started=$(date +%s%3N --date "$(inspect main '{{.State.StartedAt}}')")
  passed "start to ready: $((ready - started)) ms (goal $ready_goal), with docker start $((ready - began)) ms"
  equal "the root file system's read-only" "$(inspect main '{{.HostConfig.ReadonlyRootfs}}')" true
  equal "the user of process 1" "$(docker top "$run-main" -o uid,pid | awk 'NR == 2 { print $1 }')" 65532
  eventually "docker says healthy" is_healthy main
  metric_is_above uw_ws_events_stored_total 0 || fail "nothing is stored"
  passed "healthy after $((($(milliseconds) - ready) / 1000)) s, read-only, without rights; $(metric uw_ws_events_stored_total) events stored"
}

nothing_is_lost_by_a_kill() {
  local peak
  redis_hangs_until_received "$first_events"
  peak=$(awk '/^VmHWM/ { print int($2 / 1024) }' "/proc/$(inspect main '{{.State.Pid}}')/status" 2>/dev/null || echo '?')
  passed "memory at $rate events/s and with Redis away: $peak MiB at most, $(docker stats --no-stream --format '{{.MemUsage}}' "$run-main") now by docker stats"
  docker kill --signal KILL "$run-main" >/dev/null
  eventually "the service is dead" has_status main exited
  equal "killed for its memory" "$(inspect main '{{.State.OOMKilled}}')" false
  kill -CONT "$redis_pid"
  docker start "$run-main" >/dev/null
  eventually "it has what was on the disk" metric_is_above uw_ws_events_recovered_total 0
  all_stored "$first_events"
  passed "kill -9 with $pending events on the disk alone, and a start: $first_events of $first_events stored, each once"
}

nothing_is_lost_by_an_upgrade() {
  docker kill --signal INT "$run-feed" >/dev/null
  equal "the exit code of the simulator after SIGINT" "$(docker wait "$run-feed")" 0
  remove feed
  feed --rate "$rate" --events "$second_events" --start-after-joins 4 --seed 2
  local received all=$((first_events + second_events))
  eventually "the second feed is heard" metric_is_above uw_ws_events_received_total 0
  redis_hangs_until_received "$second_events"
  stop main
  passed "docker stop while Redis hangs: $took ms, exit 0"
  remove main
  kill -CONT "$redis_pid"
  service main --volume "$run-spool:$spool"
  start_ready main
  all_stored "$all"
  received=$(metric uw_ws_events_recovered_total)
  passed "a new container on the same volume: $received events found on it, $all of $all stored, each once"
  stop main
  passed "docker stop: $took ms, exit 0"
  remove main
  docker stop "$run-feed" >/dev/null
  equal "the exit code of the simulator after docker stop" "$(inspect feed '{{.State.ExitCode}}')" 0
  remove feed
}

# The image has no fault to inject. But where the kernel does not let it catch SIGTERM, it cannot promise to end in order
# and gives up.
a_service_that_gives_up_is_started_again() {
  cat >"$dir/seccomp.json" <<'PROFILE'
{ "defaultAction": "SCMP_ACT_ALLOW",
  "syscalls": [{ "names": ["rt_sigaction"], "action": "SCMP_ACT_ERRNO",
                 "args": [{ "index": 0, "value": 15, "op": "SCMP_CMP_EQ" }] }] }
PROFILE
  service gives-up --security-opt "seccomp=$dir/seccomp.json" --restart on-failure:2
  docker start "$run-gives-up" >/dev/null
  started_again() { [ "$(inspect gives-up '{{.RestartCount}} {{.State.Status}}')" = "2 exited" ]; }
  eventually "it is started again, twice" started_again
  equal "its exit code" "$(inspect gives-up '{{.State.ExitCode}}')" 70
  remove gives-up
  passed "exit 70 and --restart on-failure: started again"
}

the_token_is_in_no_log() {
  [ -s "$dir/all.log" ] || fail "no log was kept"
  if grep -qF "$token" "$dir/all.log"; then fail "the token is in a log"; fi
  passed "the token is in none of $(wc -l <"$dir/all.log") lines of log"
}

# === the test ===

if ! docker info >/dev/null 2>&1; then
  say "no Docker engine answers: install one (Debian: apt-get install docker.io), start it, and try again" >&2
  docker info 2>&1 | tail -n 3 >&2 || true
  exit 1
fi
dir=$(mktemp -d "${TMPDIR:-/tmp}/$run.XXXXXX")
chmod 755 "$dir"

if [ -z "${TEST_IMAGE:-}" ]; then
  say "building (the first time takes some minutes)"
  began=$SECONDS
  make --no-print-directory image IMAGE="$image" BUILD_OPTIONS="--network host ${BUILD_OPTIONS:-}" >"$dir/build.log" 2>&1 ||
    { tail -n 40 "$dir/build.log" >&2; fail "the image cannot be built"; }
  passed "built in $((SECONDS - began)) s"
fi

redis_port=$(free_port) feed_port=$(free_port) http_port=$(free_port) probe_port=$(free_port)
redis-server --bind 127.0.0.1 --port "$redis_port" --dir "$dir" --save '' --appendonly no >"$dir/redis.log" 2>&1 &
redis_pid=$!
eventually "redis-server answers" redis_is_ours

the_image_is_as_promised
commands_are_arguments
starts_that_must_fail
it_starts_under_lock
nothing_is_lost_by_a_kill
nothing_is_lost_by_an_upgrade
a_service_that_gives_up_is_started_again
the_token_is_in_no_log
say "all of it in $SECONDS s"
