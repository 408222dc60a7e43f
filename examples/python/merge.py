"""Merges what came live and what was fetched later into one sequence of a day's option trades: each once, by time.

Usage: merge.py [SYMBOL] [YYYY-MM-DD]; the day is one of New York, and today if it is left out.
"""

import datetime
import json
import os
import sys
import zoneinfo

import redis

NEW_YORK = zoneinfo.ZoneInfo("America/New_York")
PAGE = 1000


def rows(client, stream, since_ms):
    """The payloads of a stream from a time on, oldest first. The ID of an entry is never before its event."""
    start = str(since_ms)
    while entries := client.xrange(stream, min=start, count=PAGE):
        for _, fields in entries:
            yield json.loads(fields["payload"])
        start = f"({entries[-1][0]}"


def executed_at(trade):
    """Unix microseconds: the socket has milliseconds, REST has text."""
    value = trade["executed_at"]
    if isinstance(value, int):
        return value * 1000
    at = datetime.datetime.fromisoformat(value.replace("Z", "+00:00"))
    return round(at.timestamp() * 1_000_000)


def merged(client, symbol, day):
    """The trades of a day in order of time, each `id` once."""
    start = datetime.datetime.combine(day, datetime.time(), NEW_YORK)
    end = datetime.datetime.combine(day + datetime.timedelta(days=1), datetime.time(), NEW_YORK)
    start_us, end_us = (round(at.timestamp() * 1_000_000) for at in (start, end))
    trades = {}
    # the live ones last: what the socket has sent has all of its fields, and an amendment follows what it amends
    for stream in (f"uw:ws:backfill:option_trades:{symbol}", f"uw:ws:option_trades:{symbol}"):
        for trade in rows(client, stream, start_us // 1000):
            if start_us <= executed_at(trade) < end_us and not trade.get("canceled"):
                trades[trade["id"]] = trade
    return sorted(trades.values(), key=lambda trade: (executed_at(trade), trade["id"]))


def main():
    symbol = sys.argv[1] if len(sys.argv) > 1 else "SPY"
    today = datetime.datetime.now(NEW_YORK).date()
    day = datetime.date.fromisoformat(sys.argv[2]) if len(sys.argv) > 2 else today
    url = os.environ.get("REDIS_URL", "redis://localhost:6379/0")
    client = redis.Redis.from_url(url, decode_responses=True)
    for trade in merged(client, symbol, day):
        contract = trade.get("option_symbol") or trade["option_chain_id"]
        print(trade["id"], executed_at(trade), contract, trade["size"], trade["price"])


if __name__ == "__main__":
    main()
