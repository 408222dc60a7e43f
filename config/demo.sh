#!/usr/bin/env bash
# `make demo`: the service against a simulated feed and a Redis of its own, all on loopback with free ports and one
# temporary folder. Shows the events arriving. Ctrl-C (or SIGTERM) ends every part and removes the folder.
#
#   DEMO_SECONDS=20        end by itself; fails if no event was stored
#   DEMO_RATE=200          events per second that the feed sends
#   DEMO_OUTAGE=20,6       cut the feed after so many seconds for so many; `off` never
#   DEMO_BINARY=PATH       use this binary instead of building one
set -euo pipefail
cd "$(dirname "$0")/.."
. config/free-port.sh

readonly rate=${DEMO_RATE:-200}
readonly seconds=${DEMO_SECONDS:-}
readonly outage=${DEMO_OUTAGE:-20,6}
readonly start_limit=30      # seconds that a part may take to start on a busy machine
readonly stop_limit=12       # the service drains for 8 seconds at most, Docker would wait for 10
readonly kind_limit=60       # seconds to wait for an event of each kind; the rarest comes every few seconds
readonly refresh=2           # seconds between two lines of counts
readonly stream_cap=10000    # bounds the demo's Redis to some 200 MB, however long it runs
readonly streams=(flow-alerts:SPY option_trades:SPY price:SPY gex:SPY gex_strike:SPY gex_strike_expiry:SPY news)

dir=''

say() { printf 'demo: %s\n' "$*"; }

fail() {
  say "$1" >&2
  if [ -n "${2:-}" ] && [ -s "$2" ]; then
    say "the end of its log:" >&2
    tail -n 20 "$2" >&2
  fi
  exit 1
}

# === parts and their end ===

# start COMMAND...: a part in a process group of its own, so that Ctrl-C reaches this script alone and the parts end in
# order. Its process id is left in $pid.
start() {
  set -m
  "$@" </dev/null &
  set +m
  pid=$!
}

alive() { kill -0 "$1" 2>/dev/null; }

# rest SECONDS: a pause that a signal ends at once.
rest() {
  sleep "$1" &
  wait "$!"
}

# stop PID: SIGTERM to a part and its group (or to a pause, which has none), and SIGKILL to what does not end in time.
stop() {
  local deadline=$((SECONDS + stop_limit))
  kill -TERM -- "-$1" 2>/dev/null || kill -TERM "$1" 2>/dev/null || return 0
  while alive "$1" && [ "$SECONDS" -lt "$deadline" ]; do sleep 0.1; done
  kill -KILL -- "-$1" 2>/dev/null || true
  wait "$1" 2>/dev/null || true
}

# What runs is asked of the shell, which knows it from the fork on: no signal can come between a start and a note of it.
clean_up() {
  local status=$? part parts=()
  trap - EXIT
  trap '' INT TERM HUP
  for part in $(jobs -pr); do parts=("$part" "${parts[@]}"); done
  for part in "${parts[@]}"; do stop "$part"; done
  if [ -n "$dir" ]; then
    rm -rf "$dir"
    say "ended; nothing is left behind"
  fi
  exit "$status"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# eventually PID WHAT LOG COMMAND...: wait until COMMAND succeeds; fail when the part ends or the limit passes.
eventually() {
  local part=$1 what=$2 log=$3 deadline=$((SECONDS + start_limit))
  shift 3
  until "$@" >/dev/null 2>&1; do
    alive "$part" || fail "$what ended" "$log"
    [ "$SECONDS" -lt "$deadline" ] || fail "$what was not ready within $start_limit s" "$log"
    rest 0.1
  done
}

# The service, with these settings and no others: neither the caller's environment nor a .env reaches it.
service() {
  mkdir "$dir/service"
  cd "$dir/service"
  exec env -i PATH="$PATH" \
    ENABLE_WEBSOCKET=true \
    UNUSUAL_WHALES_API_TOKEN=demo \
    UNUSUAL_WHALES_WEBSOCKET_URL="$feed_url" \
    REDIS_URL="redis://127.0.0.1:$redis_port/0" \
    REDIS_STREAM_MAXLEN="$stream_cap" \
    UNUSUAL_WHALES_REST_URL="$rest_url" \
    ENABLE_BACKFILL=true \
    HTTP_ADDR="$http" \
    PROBE_ADDR=off \
    LOG_FORMAT=term \
    "$binary"
}

# === what is shown ===

redis() { redis-cli -p "$redis_port" --raw "$@"; }
redis_is_ours() { redis INFO server | tr -d '\r' | grep -qx "process_id:$redis_pid"; }
feed_listens() { head -n 1 "$dir/feed.log" | grep -q '^listening on ws://'; }
stored() { [ "$(redis EXISTS "uw:ws:option_trades:SPY")" = 1 ]; }

# What happened to the feed and to the gap, each said once: the feed's own words, the entry in the ledger, the fill.
tell_of_gap() {
  local line fields fill
  while IFS= read -r line; do say "$line"; done < <(tail -n "+$((feed_lines + 1))" "$dir/feed.log" | grep '^the outage' || true)
  feed_lines=$(wc -l <"$dir/feed.log")
  if [ -z "$told_gap" ] && grep -q '^the outage ends' "$dir/feed.log" && [ "$(redis EXISTS uw:ws:gaps)" = 1 ]; then
    told_gap=1
    mapfile -t fields < <(redis XREVRANGE uw:ws:gaps + - COUNT 1)
    say "the gap is in the ledger: ${fields[*]:0:12}"
    say "what was missed is fetched over REST, one minute after the end of the gap at the earliest"
  fi
  if [ -z "$told_fill" ] && [ "$(redis EXISTS uw:ws:fills)" = 1 ]; then
    fill=$(redis XRANGE uw:ws:fills - + |
      awk '$0 == "topic" { getline topic } $0 == "status" { getline status }
        $0 == "rows" { getline rows; if (topic == "option_trades:SPY") { print status ", " rows " rows"; exit } }')
    if [ -n "$fill" ]; then
      told_fill=1
      say "the gap of option_trades:SPY is filled: $fill; \`uw-websocket gaps\` shows all"
    fi
  fi
}

# The newest event of a stream on one line of the terminal.
newest() {
  local entry
  mapfile -t entry < <(redis XREVRANGE "uw:ws:$1" + - COUNT 1)
  [ "${#entry[@]}" -ge 3 ] || return 0
  printf '  %-22s %-18s %.100s…\n' "$1" "${entry[0]}" "${entry[2]}"
}

# The newest event of each stream, as soon as there is one.
one_of_each() {
  local stream empty pending=("${streams[@]}") deadline=$((SECONDS + kind_limit))
  while [ "${#pending[@]}" -gt 0 ] && [ "$SECONDS" -lt "$deadline" ]; do
    alive "$service_pid" || fail "the service ended" "$dir/service.log"
    empty=()
    for stream in "${pending[@]}"; do
      if [ "$(redis EXISTS "uw:ws:$stream")" = 1 ]; then newest "$stream"; else empty+=("$stream"); fi
    done
    pending=("${empty[@]}")
    rest 0.1
  done
  [ "${#pending[@]}" -eq 0 ] || say "no event within $kind_limit s: ${pending[*]}"
}

counts() {
  local stream row
  printf -v row '%(%H:%M:%S)T' -1
  for stream in "${streams[@]}"; do
    printf -v row '%s  %*s' "$row" "${#stream}" "$(redis XLEN "uw:ws:$stream")"
  done
  printf '%s\n' "$row"
}

heading() {
  local stream
  printf '%-8s' 'entries'
  for stream in "${streams[@]}"; do printf '  %s' "$stream"; done
  printf '\n'
}

# === the demo ===

command -v redis-server >/dev/null || say "redis-server is missing and will be installed"
config/install-tools.sh redis-server

binary=${DEMO_BINARY:-}
if [ -z "$binary" ]; then
  config/install-tools.sh cc
  say "building (the first build takes some minutes)"
  start cargo build --locked --bin uw-websocket
  wait "$pid"
  binary=${CARGO_TARGET_DIR:-target}/debug/uw-websocket
fi
binary=$(realpath "$binary")

dir=$(mktemp -d "${TMPDIR:-/tmp}/uw-websocket-demo.XXXXXX")

say "starting a private Redis, a simulated feed and the service"
redis_port=$(free_port)
start redis-server --bind 127.0.0.1 --port "$redis_port" --dir "$dir" --save '' --appendonly no >"$dir/redis.log" 2>&1
redis_pid=$pid
eventually "$redis_pid" redis-server "$dir/redis.log" redis_is_ours

outage_options=()
[ "$outage" = off ] || outage_options=(--outage "$outage")
start "$binary" simulate --listen 127.0.0.1:0 --rate "$rate" "${outage_options[@]}" >"$dir/feed.log" 2>&1
feed_pid=$pid
eventually "$feed_pid" "the simulated feed" "$dir/feed.log" feed_listens
feed_url=$(head -n 1 "$dir/feed.log")
feed_url=${feed_url#listening on }
rest_url=${feed_url/#ws:/http:}
rest_url=${rest_url%/socket}

http=127.0.0.1:$(free_port)
start service >"$dir/service.log" 2>&1
service_pid=$pid
eventually "$service_pid" "the service" "$dir/service.log" stored

say "events are arriving. The status page is http://$http/. From another terminal:"
cat <<LOOK

  redis-cli -p $redis_port XREVRANGE uw:ws:flow-alerts:SPY + - COUNT 5
  redis-cli -p $redis_port XLEN uw:ws:option_trades:SPY
  redis-cli -p $redis_port HGETALL uw:ws:latest:price:SPY
  redis-cli -p $redis_port HGETALL uw:ws:status
  redis-cli -p $redis_port XRANGE uw:ws:gaps - +
  curl -s http://$http/api/status
  curl -s http://$http/metrics
  tail -f $dir/service.log

LOOK
say "one event of each kind:"
one_of_each
printf '\n'
say "entries in each stream (cap $stream_cap); Ctrl-C ends everything"
heading

feed_lines=1 told_gap='' told_fill=''
[ "$outage" = off ] || say "soon the feed is cut for ${outage#*,} s; watch the gap on the status page"
end=$((SECONDS + ${seconds:-0}))
while [ -z "$seconds" ] || [ "$SECONDS" -lt "$end" ]; do
  counts
  tell_of_gap
  rest "$refresh"
  alive "$service_pid" || fail "the service ended" "$dir/service.log"
  alive "$feed_pid" || fail "the simulated feed ended" "$dir/feed.log"
  alive "$redis_pid" || fail "redis-server ended" "$dir/redis.log"
done
counts
