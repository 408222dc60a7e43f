"""Reads a stream as a consumer group: each event is processed at least once, by one of the consumers."""

import json
import os
import sys
import time

import redis

STREAM = "uw:ws:option_trades:SPY"
GROUP = "desk"
# Keep the name over restarts: under it the consumer finds what it has not acknowledged.
CONSUMER = "desk-1"
# What another consumer has left unacknowledged for so long is taken over.
ABANDONED_MS = 60_000


def create_group(client):
    try:
        # "0" begins with the oldest event that is kept, "$" would begin with the next one
        client.xgroup_create(STREAM, GROUP, id="0", mkstream=True)
    except redis.ResponseError as error:
        if not str(error).startswith("BUSYGROUP"):  # it exists already
            raise


def as_pair(entry_id):
    """IDs compare as pairs of integers, not as text: 9-0 < 10-0."""
    milliseconds, _, sequence = entry_id.partition("-")
    return int(milliseconds), int(sequence)


def warn_if_trimmed(client):
    """A group goes on with the oldest entry that is kept, and does not say what it has passed over."""
    oldest = client.xrange(STREAM, count=1)
    [group] = [group for group in client.xinfo_groups(STREAM) if group["name"] == GROUP]
    delivered = group["last-delivered-id"]
    if delivered != "0-0" and oldest and as_pair(oldest[0][0]) > as_pair(delivered):
        missing = (as_pair(oldest[0][0])[0] - as_pair(delivered)[0]) / 1000
        print(f"trimmed: up to {missing:.1f} s are missing after {delivered}", file=sys.stderr)


def process(client, entries):
    for entry_id, fields in entries:
        if fields:
            trade = json.loads(fields["payload"])
            print(entry_id, trade["option_symbol"], trade["size"], trade["price"])
        else:
            print(f"{entry_id} was trimmed before it was processed", file=sys.stderr)
    client.xack(STREAM, GROUP, *[entry_id for entry_id, _ in entries])


def read(client, position):
    answer = client.xreadgroup(GROUP, CONSUMER, {STREAM: position}, count=100, block=2000)
    return answer[0][1] if answer else []


def consume(client):
    warn_if_trimmed(client)
    # First what this consumer got before a restart and did not acknowledge, ...
    while entries := read(client, "0"):
        process(client, entries)
    while True:
        # ... then what others have abandoned, then what is new.
        abandoned = client.xautoclaim(STREAM, GROUP, CONSUMER, ABANDONED_MS, "0-0", count=100)[1]
        if entries := abandoned or read(client, ">"):
            process(client, entries)


def main():
    url = os.environ.get("REDIS_URL", "redis://localhost:6379/0")
    client = redis.Redis.from_url(url, decode_responses=True)
    while True:
        try:
            create_group(client)
            consume(client)
        except (redis.ConnectionError, redis.TimeoutError) as error:
            print(f"{error}; trying again", file=sys.stderr)
            time.sleep(1)
        except redis.ResponseError as error:
            # The age limit removes a stream whose last entry is too old, and its groups with it.
            if not str(error).startswith(("NOGROUP", "UNBLOCKED")):
                raise
            print("the group has vanished and is created again", file=sys.stderr)


if __name__ == "__main__":
    main()
