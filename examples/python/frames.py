"""Loads the newest option trades of SPY into pandas, with the right types."""

import json
import os

import pandas as pd
import redis

STREAM = "uw:ws:option_trades:SPY"
# Decimals come as text. As text a sum concatenates and a comparison goes by characters.
DECIMALS = ["price", "premium", "strike", "underlying_price", "implied_volatility", "delta"]
# Times come as Unix milliseconds.
TIMES = ["executed_at", "created_at"]


def trades(client, count):
    entries = client.xrevrange(STREAM, count=count)[::-1]
    frame = pd.DataFrame(
        [json.loads(fields["payload"]) for _, fields in entries],
        index=[entry_id for entry_id, _ in entries],
    )
    print("as text:", frame["premium"].head(3).sum())
    frame[DECIMALS] = frame[DECIMALS].apply(pd.to_numeric)  # "", a missing value, becomes NaN
    frame[TIMES] = frame[TIMES].apply(pd.to_datetime, unit="ms", utc=True)
    frame["expiry"] = pd.to_datetime(frame["expiry"])
    return frame


def main():
    url = os.environ.get("REDIS_URL", "redis://localhost:6379/0")
    client = redis.Redis.from_url(url, decode_responses=True)
    frame = trades(client, 1000)
    print("as number:", frame["premium"].head(3).sum())
    print(frame.groupby("option_type")[["size", "premium"]].sum())
    print(frame.dtypes[["executed_at", "premium", "size", "tags"]])


if __name__ == "__main__":
    main()
