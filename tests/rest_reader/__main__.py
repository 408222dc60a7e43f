"""The reader's view of the snapshots: an existing fetcher and an existing consumer beside the running service.

    python3 tests/rest_reader --redis redis://127.0.0.1:6379/0 --seed 7 --symbols SPY,QQQ,IWM

It stands between two who do not know of `uw-websocket`: the fetcher that polls REST (`fetcher.py`), and a consumer that
reads `uw:rest:*` (`reader.py`, with the rules that it judges by). Both look at one market (`market.py`), whose events
the harness sends over the feed. In the end every body must be REST's last answer with all newer events in it, worked out
from the event streams (`expected.py`). The harness, `tests/it/rest_reader.rs`, speaks with it by lines:

    out   send <topic> <payload>     an event for the feed
          end                        no more events come
    in    trouble · well             the service or Redis goes away · both are there again, and ready
          end                        time is over; the feed sends nothing but what is still asked for

It exits with 0, or with 1 and what is wrong on stderr.
"""

import argparse
import random
import sys
import threading
import time

import redis

import bodies
import expected
import times
from fetcher import Fetcher
from market import STRANGER, Market
from reader import HEAL, Reader, Trouble

# what is on its way from the feed to a stream, on a machine that compiles something else
ARRIVAL = 15.0
QUIET = 0.5


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--redis", required=True, help="URL of the Redis that all share")
    arguments.add_argument("--seed", required=True, type=int, help="what all chance is drawn from")
    arguments.add_argument("--noon-ms", required=True, type=int, help="noon of the session that prices are of")
    arguments.add_argument("--symbols", required=True, help="TARGET_SYMBOLS of the service")
    sys.exit(Run(arguments.parse_args()).play())


class Run:
    def __init__(self, arguments):
        self.url, symbols = arguments.redis, arguments.symbols.split(",")
        self.symbols = symbols
        # each has its own chance, so that none depends on how the threads take turns
        chances = [random.Random(f"{arguments.seed}/{name}") for name in ("market", "fetcher")]
        self.trouble = Trouble()
        self.market = Market(chances[0], symbols, self.send, arguments.noon_ms)
        self.fetcher = Fetcher(chances[1], self.connect, self.market, symbols)
        self.reader = Reader(self.connect, self.fetcher, symbols, self.trouble)

    def connect(self):
        # no time-out: a write that is given up may still arrive
        return redis.Redis.from_url(self.url, decode_responses=True)

    @staticmethod
    def send(topic, payload):
        print("send", topic, payload, flush=True)

    def play(self):
        threads, over, done = [], threading.Event(), threading.Event()

        def spawn(act, until):
            thread = threading.Thread(target=self.guarded, args=(act, until), daemon=True)
            thread.start()
            threads.append(thread)

        spawn(self.market.run, over)
        spawn(self.fetcher.run, over)
        spawn(self.reader.run, done)
        for line in sys.stdin:
            if line.strip() == "end":
                break
            {"trouble": self.trouble.begin, "well": self.trouble.end}[line.strip()]()
        over.set()
        for thread in threads[:2]:
            thread.join()
        print("end", flush=True)
        self.wait_for_arrival()
        self.fetcher.last_pass()
        problems = self.wait_for_the_end()
        done.set()
        threads[2].join()
        return self.report(self.reader.problems + problems + self.strange_times() + self.strangers() + self.not_tested())

    def guarded(self, act, until):
        try:
            act(until)
        except Exception as error:  # a thread that ends must not pass for one that found nothing
            import traceback

            traceback.print_exc()
            self.reader.complain("-", f"{act.__qualname__} has failed: {error!r}")

    # --- the end

    def wait_for_arrival(self):
        """Until the streams do not grow any more."""
        client, deadline = self.connect(), time.monotonic() + ARRIVAL
        streams = [f"uw:ws:{channel}:{s}" for channel in expected.CHANNELS.values() for s in self.symbols]
        lengths, since = None, time.monotonic()
        while time.monotonic() < min(deadline, since + QUIET):
            now = [client.xlen(stream) for stream in streams]
            if now != lengths:
                lengths, since = now, time.monotonic()
            time.sleep(0.02)

    def wait_for_the_end(self):
        """What is wrong when the time for healing has passed, beginning with the last late write."""
        deadline, client = time.monotonic() + HEAL, self.connect()
        wanted = {key: self.wanted(client, key, *of) for key, of in self.reader.live.items()}
        while True:
            began = time.monotonic()
            problems = self.final_problems(client, wanted)
            if not problems or began > max(deadline, self.reader.stalled + HEAL):
                return problems
            time.sleep(0.05)

    def wanted(self, client, key, endpoint, symbol):
        """REST's last answer, when it was given, and all events."""
        newest = max(self.fetcher.writes_of(key), key=lambda write: times.parse_fetched_at(write.fetched_at))
        base = bodies.check(endpoint, symbol, newest.payload)
        return base, times.parse_fetched_at(newest.fetched_at), expected.events(client, endpoint, symbol)

    def final_problems(self, client, wanted):
        found = []
        for key, (endpoint, symbol) in self.reader.live.items():
            fields = client.hgetall(key)
            try:
                data = bodies.check(endpoint, symbol, fields["payload"])
                fetched_at = times.parse_fetched_at(fields["fetched_at"])
            except (bodies.Invalid, ValueError, KeyError) as error:
                found.append(f"in the end {key}: {error!r}")
                continue
            wrong = expected.problems(endpoint, data, fetched_at, *wanted[key])
            found += [f"in the end {key}: {text}" for text in wrong[:3]]
        return found

    def strange_times(self):
        """Values of the service whose `fetched_at` is neither of an event that came nor of an answer of REST."""
        client, found = self.connect(), []
        for key, (endpoint, symbol) in self.reader.live.items():
            known = {event.received_ms for event in expected.events(client, endpoint, symbol)}
            known |= {times.unix_ms(times.parse_fetched_at(w.fetched_at)) for w in self.fetcher.writes_of(key)}
            seen = {fetched_at for fetched_at, _ in self.reader.services.get(key, ())}
            strange = [at.isoformat() for at in seen if times.unix_ms(at) not in known]
            found += [f"{key}: nothing came at its `fetched_at` {at}" for at in strange[:3]]
        return found

    def strangers(self):
        """Keys under `uw:rest:` that the fetcher has not written."""
        client = self.connect()
        ours = set(self.fetcher.writes) | set(self.fetcher.streamed)
        found = [f"{key}: nobody asked for it" for key in client.scan_iter("uw:rest:*") if key not in ours]
        for stream, length in self.fetcher.streamed.items():
            if client.xlen(stream) != min(length, 5000):
                found.append(f"{stream}: {client.xlen(stream)} entries, and the fetcher has written {length}")
        for key in self.fetcher.writes:
            if client.ttl(key) != -1:
                found.append(f"{key}: it has a time to live")
        return found

    def not_tested(self):
        """What the run was for and did not come about."""
        found, client = [], self.connect()
        for key, (endpoint, symbol) in self.reader.live.items():
            if not self.reader.services.get(key):
                found.append(f"{key}: the service has never written it")
            if not client.xlen(f"uw:ws:{expected.CHANNELS[endpoint]}:{symbol}"):
                found.append(f"{key}: no event came for it")
        newest = client.xrevrange("uw:ws:flow-alerts", count=1000)
        if not any(f'"ticker": "{STRANGER}"' in fields["payload"] for _, fields in newest):
            found.append("no alert of another ticker came")
        return found

    def report(self, problems):
        for problem in problems:
            print(problem, file=sys.stderr)
        writes = [write for key in self.reader.live for write in self.fetcher.writes_of(key)]
        print(
            f"{self.reader.reads} reads; {len(writes)} writes of the fetcher, {sum(w.is_late for w in writes)} late, "
            f"{self.fetcher.failed} failed; values seen: {total(self.reader.plain)} of the fetcher, "
            f"{total(self.reader.services)} of the service; {self.reader.healed} late writes healed, "
            f"the slowest in {self.reader.slowest_heal:.3f} s; "
            f"{len(problems)} problems",
            file=sys.stderr,
        )
        return 1 if problems else 0


def total(values):
    return sum(len(seen) for seen in values.values())


if __name__ == "__main__":
    main()
