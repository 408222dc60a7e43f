"""Prints the newest state: the last price of SPY and its gamma by strike."""

import json
import os
from datetime import datetime, timezone
from decimal import Decimal

import redis


def decimal(text):
    """A decimal of the feed; "" is a missing value."""
    return Decimal(text) if text else None


def main():
    url = os.environ.get("REDIS_URL", "redis://localhost:6379/0")
    client = redis.Redis.from_url(url, decode_responses=True)

    newest = client.hgetall("uw:ws:latest:price:SPY")
    if not newest:
        raise SystemExit("there is no price of SPY yet")
    received_at = datetime.fromisoformat(newest["received_at"])
    age = datetime.now(timezone.utc) - received_at
    price = json.loads(newest["payload"])
    print(f"SPY {price['close']}, received {age.total_seconds():.1f} s ago")

    strikes = client.hgetall("uw:ws:map:gex_strike:SPY")
    for strike in sorted(strikes, key=Decimal):
        row = json.loads(strikes[strike])
        print(strike, decimal(row["call_gamma_oi"]), decimal(row["put_gamma_oi"]))


if __name__ == "__main__":
    main()
