"""Follows a stream with XREAD and, when started again, goes on where it stopped."""

import json
import os
import pathlib
import sys
import time

import redis

STREAM = "uw:ws:option_trades:SPY"
POSITION = pathlib.Path("follow.position")


def as_pair(entry_id):
    """IDs compare as pairs of integers, not as text: 9-0 < 10-0."""
    milliseconds, _, sequence = entry_id.partition("-")
    return int(milliseconds), int(sequence)


def warn_if_trimmed(client, last, entries):
    """An oldest entry above the last one that was read: what was between them may have been trimmed."""
    oldest = client.xrange(STREAM, count=1)
    if last != "0-0" and oldest and as_pair(oldest[0][0]) > as_pair(last):
        missing = (as_pair(entries[0][0])[0] - as_pair(last)[0]) / 1000
        print(f"trimmed: up to {missing:.1f} s are missing after {last}", file=sys.stderr)


def save(last):
    """A crash leaves the old position or the new one, never half of it."""
    new = POSITION.with_suffix(".new")
    new.write_text(last)
    new.replace(POSITION)


def follow(client, last):
    while True:
        for _, entries in client.xread({STREAM: last}, count=500, block=2000):
            warn_if_trimmed(client, last, entries)
            for entry_id, fields in entries:
                trade = json.loads(fields["payload"])
                print(entry_id, trade["option_symbol"], trade["size"], trade["price"])
            last = entries[-1][0]
            save(last)


def main():
    url = os.environ.get("REDIS_URL", "redis://localhost:6379/0")
    client = redis.Redis.from_url(url, decode_responses=True)
    while True:
        last = POSITION.read_text() if POSITION.exists() else "0-0"
        try:
            follow(client, last)
        except (redis.ConnectionError, redis.TimeoutError) as error:
            print(f"{error}; trying again", file=sys.stderr)
            time.sleep(1)


if __name__ == "__main__":
    main()
