"""The existing consumer: reads `payload` and `fetched_at` of each key, again and again, and judges what it sees.

The rules, for a value read from t0 to t1:

1. A key, once there, stays, and is a hash with exactly the two fields. `fetched_at` is what Python's `isoformat()` writes
   of a time in UTC, and not in the future. `payload` passes `bodies.check`.
2. *Plain* is a value that equals a write of the fetcher which was on its way between t0 and t1, or the last one that had
   ended before t0. Every other value is the service's.
3. A plain value is excused from rule 4 until HEAL seconds after its write has ended: so long may the service take to put
   newer rows back over it. In trouble (the service or Redis is away, as the harness says) it is excused until HEAL seconds
   after the end of the trouble. Time in which this script itself stood still is added.
4. Any other value may have lost nothing (`fetched_at` is no older, `bodies.lost` finds nothing) against
   - the last value that rule 4 was applied to (the time of REST's answer that is put back may be before that of an event
     that it has), and
   - if it is the service's, the last write of the fetcher that had ended before t0: the service builds on what it finds
     and never overwrites it with a stale copy.
   What the service knew died with it if it was killed: if the fetcher wrote while the service was away, the first of the two
   is not asked for. An answer that a late write has put away before the service looked is nobody's loss, and not looked for.
5. A key of an endpoint that the service does not touch always equals a write as in rule 2, and nothing else.
6. There is no `stock_state` before REST's first one.
"""

import threading
import time

import redis

import bodies
import times

HEAL = 2.0
# a look at all keys takes some milliseconds; what is beyond this is a machine that stands still
STALL = 0.25
BETWEEN_LOOKS = 0.01
FUTURE_MS = 50
MAX_PROBLEMS = 20


class Value:
    def __init__(self, payload, fetched_at, data, at):
        self.payload, self.fetched_at, self.data, self.at = payload, fetched_at, data, at


class Trouble:
    """When the service or Redis was away."""

    def __init__(self):
        self.lock = threading.Lock()
        self.began, self.ended = None, float("-inf")
        self.last_began = float("-inf")

    def begin(self):
        with self.lock:
            self.began = self.last_began = time.monotonic()

    def end(self):
        with self.lock:
            self.began, self.ended = None, time.monotonic()

    def excused_until(self, end):
        with self.lock:
            return float("inf") if self.began is not None else max(end, self.ended) + HEAL

    def forgot(self, writes, counted_at):
        """Whether what was counted may have died with the service, and the fetcher has written over it."""
        with self.lock:
            begin, end = self.last_began, float("inf") if self.began is not None else self.ended
            if counted_at > end + HEAL:
                return False
            return any(write.end >= begin - HEAL and write.begin <= end + HEAL for write in writes)


class Reader:
    def __init__(self, connect, fetcher, symbols, trouble):
        self.connect, self.fetcher, self.trouble = connect, fetcher, trouble
        self.live = {f"uw:rest:{e}:{s}": (e, s) for e in bodies.ENDPOINTS for s in symbols}
        self.others = [f"uw:rest:{e}:{s}" if s else f"uw:rest:{e}" for e, s in fetcher.untouched]
        self.seen, self.counted, self.present = {}, {}, set()
        self.problems, self.lock = [], threading.Lock()
        self.reads = self.refused = 0
        self.stalled, self.looked_at = 0.0, None
        self.plain, self.services = {}, {}
        self.excused, self.healed, self.slowest_heal = {}, 0, 0.0

    def run(self, ended):
        client = self.connect()
        while not ended.is_set():
            try:
                for key, (endpoint, symbol) in self.live.items():
                    self.look(client, key, lambda *read: self.judge_live(endpoint, symbol, *read))
                for key in self.others:
                    self.look(client, key, self.judge_other)
            except redis.RedisError:
                self.refused += 1
                self.looked_at = None
                client = self.connect()
                ended.wait(0.05)
            ended.wait(BETWEEN_LOOKS)

    def look(self, client, key, judge):
        begin = time.monotonic()
        fields = client.hgetall(key)
        end = time.monotonic()
        if self.looked_at is not None and end - self.looked_at > STALL:
            self.stalled = end + (end - self.looked_at)
        self.looked_at = end
        self.reads += 1
        if not fields:
            if key in self.present:
                self.complain(key, "it is gone")
            return
        self.present.add(key)
        if sorted(fields) != ["fetched_at", "payload"]:
            self.complain(key, f"its fields are {sorted(fields)}")
            return
        judge(key, fields, begin, end)

    def complain(self, key, text):
        with self.lock:
            if len(self.problems) < MAX_PROBLEMS:
                self.problems.append(f"{times.now().time()} {key}: {text}")

    # --- the rules

    def judge_live(self, endpoint, symbol, key, fields, begin, end):
        writes = self.fetcher.writes_of(key)
        value = self.read_value(endpoint, symbol, key, fields, end)
        if value is None:
            return
        if endpoint == "stock_state" and not any(write.begin <= end for write in writes):
            self.complain(key, "there is a state before REST's first")
        plain = self.plain_write(writes, value, begin, end)
        counts = self.services if plain is None else self.plain
        counts.setdefault(key, set()).add((value.fetched_at, len(value.payload)))
        if plain is not None and begin <= max(self.trouble.excused_until(plain.end), self.stalled + HEAL):
            self.excused[key] = plain
            return
        self.note_healing(key, plain, end)
        before = self.counted.get(key)
        if before is not None and not self.trouble.forgot(writes, before.at):
            # REST's answer that is put back over an older one has its own time, which may be before that of an event in it
            is_put_back = plain is None and self.is_answer(writes, value)
            fetched_at = value.fetched_at if is_put_back else before.fetched_at
            self.compare(endpoint, key, value, fetched_at, before.data, "what was there before")
        if plain is None:
            last = last_ended(writes, begin)
            if last is not None:
                data = bodies.check(endpoint, symbol, last.payload)
                fetched_at = times.parse_fetched_at(last.fetched_at)
                what = f"the fetcher's write {begin - last.end:.3f} s ago{' (late)' if last.is_late else ''}"
                self.compare(endpoint, key, value, fetched_at, data, what)
        value.at = end
        self.counted[key] = value

    def note_healing(self, key, plain, now):
        """How long a late answer stood, for the report."""
        excused = self.excused.pop(key, None)
        if plain is None and excused is not None and excused.is_late:
            self.healed += 1
            self.slowest_heal = max(self.slowest_heal, now - excused.end)

    def read_value(self, endpoint, symbol, key, fields, end):
        """The value; the same one as last time is not read again."""
        known = self.seen.get(key)
        if known is not None and (known.payload, known.fetched_at.isoformat()) == (fields["payload"], fields["fetched_at"]):
            return known
        try:
            fetched_at = times.parse_fetched_at(fields["fetched_at"])
            bodies.require(times.unix_ms(fetched_at) <= times.unix_ms(times.now()) + FUTURE_MS, "it is from the future")
            data = bodies.check(endpoint, symbol, fields["payload"])
        except (bodies.Invalid, ValueError) as error:
            self.complain(key, f"{error}: {fields['fetched_at']} {fields['payload'][:300]}")
            return None
        self.seen[key] = Value(fields["payload"], fetched_at, data, end)
        return self.seen[key]

    def is_answer(self, writes, value):
        text = value.fetched_at.isoformat()
        return any((write.payload, write.fetched_at) == (value.payload, text) for write in writes)

    def plain_write(self, writes, value, begin, end):
        text = value.fetched_at.isoformat()
        last = last_ended(writes, begin)
        possible = [write for write in writes if write is last or (write.begin <= end and write.end >= begin)]
        return next((w for w in reversed(possible) if (w.payload, w.fetched_at) == (value.payload, text)), None)

    def compare(self, endpoint, key, value, fetched_at, data, what):
        if value.fetched_at < fetched_at:
            self.complain(key, f"`fetched_at` {value.fetched_at} is older than {fetched_at} of {what}")
            return
        lost = bodies.lost(endpoint, value.data, data)
        if lost:
            self.complain(key, f"fetched at {value.fetched_at}, it has lost of {what}: {lost}")

    def judge_other(self, key, fields, begin, end):
        writes = self.fetcher.writes_of(key)
        last = last_ended(writes, begin)
        possible = [write for write in writes if write is last or (write.begin <= end and write.end >= begin)]
        if not any((w.payload, w.fetched_at) == (fields["payload"], fields["fetched_at"]) for w in possible):
            self.complain(key, f"somebody else has written {fields}")


def last_ended(writes, before):
    """The last write that has ended for certain before a time."""
    return next((write for write in reversed(writes) if write.is_certain and write.end < before), None)
