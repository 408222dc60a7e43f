"""Follows several streams with asyncio, from now on."""

import asyncio
import json
import os

from redis import asyncio as redis

STREAMS = ["uw:ws:price:SPY", "uw:ws:gex:SPY", "uw:ws:flow-alerts", "uw:ws:news"]


async def last_id(client, stream):
    """The newest ID. XREAD with "$" again and again would miss what comes between two calls."""
    newest = await client.xrevrange(stream, count=1)
    return newest[0][0] if newest else "0-0"


async def handle(stream, event):
    print(stream, event.get("ticker"), sorted(event)[:3])


async def main():
    url = os.environ.get("REDIS_URL", "redis://localhost:6379/0")
    async with redis.from_url(url, decode_responses=True) as client:
        last = {stream: await last_id(client, stream) for stream in STREAMS}
        while True:
            for stream, entries in await client.xread(last, count=100, block=2000):
                for _, fields in entries:
                    await handle(stream, json.loads(fields["payload"]))
                last[stream] = entries[-1][0]


if __name__ == "__main__":
    asyncio.run(main())
