"""The existing fetcher, as its conventions have it, faster: a key every few seconds instead of every hundred.

    HSET uw:rest:<endpoint>[:<SYMBOL>] payload <json.dumps(separators=(",",":"))> fetched_at <isoformat() in UTC>

`fetched_at` is the time of the answer; the write follows 0 to 300 ms later, and now and then 1 to 3 s later, so that an
older answer comes back over newer ones. It keeps no count of versions and never reads. Beside the endpoints that the feed
touches it writes some that the feed must leave alone, and the history streams of two endpoints.
"""

import heapq
import itertools
import threading
import time
from dataclasses import dataclass

import redis

import bodies
import times

PERIOD = (0.8, 3.5)
DELAY = (0.0, 0.3)
LATE = (1.0, 3.0)
LATE_SHARE = 0.15
HISTORY = ("flow_alerts", "ohlc_1m")
HISTORY_MAXLEN = 5000


@dataclass
class Write:
    """One write: what, and when it was on its way (in the time of `time.monotonic()`)."""

    payload: str
    fetched_at: str
    begin: float
    end: float = float("inf")
    is_late: bool = False
    is_certain: bool = False


class Fetcher:
    def __init__(self, random, connect, market, symbols):
        self.random, self.connect, self.market = random, connect, market
        self.lock = threading.Lock()
        self.writes = {}
        self.streamed = {}
        self.failed = 0
        self.tasks, self.order = [], itertools.count()
        self.client = connect()
        self.touched = [(endpoint, symbol) for endpoint in bodies.ENDPOINTS for symbol in symbols]
        untouched = [(endpoint, symbol) for endpoint in ("ohlc_1m", "greek_exposure") for symbol in symbols]
        self.untouched = untouched + [("market_tide", None)]

    # --- what others ask

    def writes_of(self, key):
        with self.lock:
            return list(self.writes.get(key, []))

    # --- what it does

    def run(self, ended):
        for target in self.touched + self.untouched:
            self.plan(time.monotonic() + self.random.uniform(0.3, 1.5), self.fetch, target)
        while not ended.is_set():
            self.work(time.monotonic())
            due = self.tasks[0][0] if self.tasks else time.monotonic() + 1
            ended.wait(max(0.0, min(0.05, due - time.monotonic())))

    def last_pass(self):
        """One fetch of everything, on time; and over each of them a last late write of an older answer."""
        self.tasks = [task for task in self.tasks if task[2] == self.store]
        while self.tasks:
            self.work(self.tasks[0][0])
        older = {target: self.answer(target) for target in self.touched}
        time.sleep(0.02)
        for target in self.touched + self.untouched:
            self.store(target, self.answer(target), False)
        time.sleep(1)
        for target, answer in older.items():
            self.store(target, answer, True)

    def plan(self, due, act, *arguments):
        heapq.heappush(self.tasks, (due, next(self.order), act, arguments))

    def work(self, until):
        while self.tasks and self.tasks[0][0] <= until:
            _, _, act, arguments = heapq.heappop(self.tasks)
            act(*arguments)

    def fetch(self, target):
        is_late = self.random.random() < LATE_SHARE
        delay = self.random.uniform(*(LATE if is_late else DELAY))
        self.plan(time.monotonic() + delay, self.store, target, self.answer(target), is_late)
        self.plan(time.monotonic() + self.random.uniform(*PERIOD), self.fetch, target)

    def answer(self, target):
        endpoint, symbol = target
        body = self.other(endpoint) if target in self.untouched else self.market.rest(endpoint, symbol)
        return bodies.dumps(body), times.now().isoformat()

    def other(self, endpoint):
        number = str(self.random.randint(1, 10**9))
        if endpoint == "market_tide":
            return {"data": [{"timestamp": "2025-10-03T09:30:00-04:00", "net_call_premium": number}], "date": "2025-10-03"}
        return {"data": [{"close": number, "start_time": times.seconds(times.now()), "market_time": "po"}]}

    def store(self, target, answer, is_late):
        (payload, fetched_at), (endpoint, symbol) = answer, target
        key = f"uw:rest:{endpoint}:{symbol}" if symbol else f"uw:rest:{endpoint}"
        write = Write(payload, fetched_at, time.monotonic(), is_late=is_late)
        with self.lock:
            self.writes.setdefault(key, []).append(write)
        try:
            self.client.hset(key, mapping={"payload": payload, "fetched_at": fetched_at})
            write.is_certain = True
            if endpoint in HISTORY:
                item = bodies.dumps({"fetched_at": fetched_at, "payload": payload})
                stream = f"{key}:stream"
                self.client.xadd(stream, {"payload": item}, maxlen=HISTORY_MAXLEN, approximate=True)
                self.streamed[stream] = self.streamed.get(stream, 0) + 1
        except redis.RedisError:
            # as the fetcher does: counted, and the run goes on
            self.failed += 1
            self.client = self.connect()
        write.end = time.monotonic()
