"""The comparison: the same job by a good Python client.

asyncio on uvloop, websockets, orjson, redis-py with hiredis; batches of whatever is queued, at most 512 events, each
one MULTI/EXEC with an XADD an event (own ids) and one HSET a stream. Like the service it checks every payload as JSON
and stores the bytes that came off the wire; unlike it, it keeps nothing on disk and never reconnects.
"""

import argparse
import asyncio
from datetime import datetime, timezone

import orjson
import uvloop
from redis.asyncio import Redis
from websockets.asyncio.client import connect

BATCH_MAX_EVENTS = 512
# the reader goes on while a batch is stored, and waits when several are queued
QUEUE_MAX_EVENTS = 4 * BATCH_MAX_EVENTS
MAXLEN = 100_000


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--feed", required=True, help="host:port of the feed")
    parser.add_argument("--redis", required=True, help="host:port of Redis")
    parser.add_argument("--symbols", required=True, help="comma list")
    return parser.parse_args()


async def read(socket, queue):
    """Queues the topic and the payload's bytes of every event."""
    async for frame in socket:
        topic, payload = orjson.loads(frame)
        if "status" in payload and "response" in payload:
            continue
        event = topic, frame[frame.index(",") + 1 : -1]
        if queue.full():
            await queue.put(event)
        else:
            queue.put_nowait(event)


async def write(queue, redis):
    """Stores whatever is queued, batch by batch."""
    ms = sequence = 0
    while True:
        batch = [await queue.get()]
        while len(batch) < BATCH_MAX_EVENTS and not queue.empty():
            batch.append(queue.get_nowait())
        now = datetime.now(timezone.utc)
        now_ms = int(now.timestamp() * 1000)
        if now_ms > ms:
            ms, sequence = now_ms, 0
        newest = {topic: position for position, (topic, _) in enumerate(batch)}
        pipeline = redis.pipeline(transaction=True)
        for position, (topic, payload) in enumerate(batch):
            # trimming once a batch and stream is enough
            maxlen = MAXLEN if newest[topic] == position else None
            stream_id = f"{ms}-{sequence + position}"
            pipeline.xadd(f"uw:ws:{topic}", {"payload": payload}, id=stream_id, maxlen=maxlen, approximate=True)
        received_at = now.isoformat(timespec="microseconds")
        for topic, position in newest.items():
            latest = {
                "payload": batch[position][1],
                "received_at": received_at,
                "stream_id": f"{ms}-{sequence + position}",
            }
            pipeline.hset(f"uw:ws:latest:{topic}", mapping=latest)
        await pipeline.execute()
        sequence += len(batch)


async def main(args):
    queue = asyncio.Queue(QUEUE_MAX_EVENTS)
    redis = Redis.from_url(f"redis://{args.redis}/0")
    url = f"ws://{args.feed}/socket?token=bench"
    async with redis, connect(url, compression=None) as socket, asyncio.TaskGroup() as tasks:
        tasks.create_task(read(socket, queue))
        tasks.create_task(write(queue, redis))
        for symbol in args.symbols.split(","):
            await socket.send(f'{{"channel":"option_trades:{symbol}","msg_type":"join"}}')


if __name__ == "__main__":
    uvloop.run(main(arguments()))
