"""Prints what was missed within the last day, from the gap ledger."""

import os
import time

import redis

DAY_MS = 86_400_000


def main():
    url = os.environ.get("REDIS_URL", "redis://localhost:6379/0")
    client = redis.Redis.from_url(url, decode_responses=True)
    # The ID of an entry is never before the end of its gap.
    since = int(time.time() * 1000) - DAY_MS
    for _, gap in client.xrange("uw:ws:gaps", min=since):
        if gap["reason"] == "late":
            continue  # stored, behind newer events
        events = gap.get("events", "unknown")
        print(gap["family"], gap["reason"], gap["from"], gap["to"], gap["channels"], "events:", events)


if __name__ == "__main__":
    main()
