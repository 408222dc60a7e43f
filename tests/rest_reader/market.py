"""One market with two views of it: what the socket sends, and what REST answers.

Everything that happens is visible on the socket after one random delay and in REST after another, so that REST's rows
lag or lead the socket's. Strikes far from the price are on the socket alone; some rows and alerts of before the start
are in REST alone; a part of the rows is restated under the same time.
"""

import heapq
import itertools
import json
import threading
import time
from dataclasses import dataclass, field
from datetime import timedelta

import bodies
import times

# what happens a second and symbol, on average
RATES = {"price": 2.0, "gex": 0.8, "gex_strike": 6.0, "flow-alerts": 1.2}
SOCKET_DELAY = (0.0, 0.8)
REST_DELAY = (0.0, 2.5)
RESTATED = 0.15
TICK = 0.02
# strikes of REST's body, as the samples have them, and beyond them on the socket alone
NEAR_STRIKES = 50
FAR_STRIKES = 10
HISTORY = timedelta(minutes=20)
HISTORY_STEP = timedelta(seconds=10)
OLD_ALERTS = 80
# another ticker of the market, for which nobody asked
STRANGER = "ZVZZT"


@dataclass(order=True)
class Item:
    """Something that happened, in the row or body that REST has of it."""

    rest_at: float
    seq: int
    endpoint: str = field(compare=False)
    symbol: str = field(compare=False)
    at: object = field(compare=False)
    row: dict = field(compare=False)


class Market:
    def __init__(self, random, symbols, send, noon_ms):
        """Prices are of a session's noon, given in Unix milliseconds, whatever the hour: REST's state is of a session."""
        self.random, self.symbols, self.send = random, symbols, send
        self.behind = times.now() - times.from_unix_ms(noon_ms)
        self.lock = threading.Lock()
        self.seq = itertools.count(1)
        self.items = {(endpoint, symbol): [] for endpoint in bodies.ENDPOINTS for symbol in symbols}
        self.prices = {symbol: 200.0 + 100 * n for n, symbol in enumerate(symbols)}
        self.opens = {symbol: dollars(price) for symbol, price in self.prices.items()}
        self.volumes = {symbol: 70_000_000 for symbol in symbols}
        self.last_rows = {}
        self.outbox = []
        for symbol in symbols:
            self.make_history(symbol)

    # --- what happens

    def run(self, ended):
        """Makes things happen until told to end; what is on its way then still arrives."""
        while not ended.wait(TICK):
            with self.lock:
                for symbol in self.symbols:
                    for channel, rate in RATES.items():
                        if self.random.random() < rate * TICK:
                            self.happen(channel, symbol)
                if self.random.random() < TICK:
                    self.alert(STRANGER, times.now())
            self.deliver(time.time())
        self.deliver(float("inf"))

    def deliver(self, until):
        while self.outbox and self.outbox[0][0] <= until:
            _, _, topic, payload = heapq.heappop(self.outbox)
            self.send(topic, payload)

    def happen(self, channel, symbol):
        at = times.now()
        self.prices[symbol] *= 1 + self.random.gauss(0, 0.0004)
        {"price": self.price, "gex": self.gex, "gex_strike": self.gex_strike, "flow-alerts": self.alert}[channel](
            symbol, at
        )

    def publish(self, endpoint, symbol, at, row, topic, payload):
        """Shows it in REST and on the socket, each after a delay of its own; without a row or topic not there."""
        seq = next(self.seq)
        if row is not None:
            rest_at = time.time() + self.random.uniform(*REST_DELAY)
            self.items[endpoint, symbol].append(Item(rest_at, seq, endpoint, symbol, at, row))
        socket_at = time.time() + self.random.uniform(*SOCKET_DELAY)
        heapq.heappush(self.outbox, (socket_at, seq, topic, json.dumps(payload, ensure_ascii=False)))

    def price(self, symbol, at):
        at = times.from_unix_ms(times.unix_ms(at - self.behind))
        self.volumes[symbol] += self.random.randint(1, 900)
        close, volume = dollars(self.prices[symbol]), self.volumes[symbol]
        payload = {"ticker": symbol, "close": close, "time": times.unix_ms(at), "vol": volume}
        row = {"close": close, "total_volume": volume}
        self.publish("stock_state", symbol, at, row, f"price:{symbol}", payload)

    def gex(self, symbol, at):
        at = at.replace(microsecond=0)
        payload = {"ticker": symbol, "timestamp": times.unix_ms(at)}
        for side in ("oi", "vol", "dir"):
            for greek in ("gamma", "delta", "charm", "vanna"):
                # as the vendor does it: delta is there and empty, but for `dir`
                if greek != "delta" or side != "dir":
                    name = f"{greek}_per_one_percent_move_{side}"
                    payload[name] = "" if greek == "delta" else self.number(9)
        payload["price"] = dollars(self.prices[symbol])
        self.publish("spot_exposures", symbol, at, exposure_row(payload), f"gex:{symbol}", payload)

    def gex_strike(self, symbol, at):
        known = self.last_rows.get(symbol)
        if known and self.random.random() < RESTATED:
            strike, at = known
        else:
            at = times.from_unix_ms(times.unix_ms(at))
            strike = self.random.choice(self.strikes(symbol))
        self.last_rows[symbol] = (strike, at)
        payload = {"ticker": symbol, "timestamp": times.unix_ms(at)}
        for name, feed in strike_columns():
            payload[feed] = self.number(7)
        payload["strike"] = f"{strike}.0000000000" if self.random.random() < 0.1 else str(strike)
        payload["price"] = dollars(self.prices[symbol])
        row = None
        if strike in self.strikes(symbol)[:NEAR_STRIKES]:
            delta = {name: self.number(5) for name in bodies.STRIKE if "_delta_" in name}
            row = strike_row(payload, str(strike)) | delta
        self.publish("spot_exposures_strike", symbol, at, row, f"gex_strike:{symbol}", payload)

    def alert(self, symbol, at):
        row = self.alert_row(symbol, at)
        executed = times.unix_ms(at) - self.random.randint(0, 1500)
        payload = {
            "rule_id": "5ce5ec11-087c-4c00-b164-08106b015856",
            "rule_name": row["alert_rule"],
            "ticker": symbol,
            "option_chain": row["option_chain"],
            "start_time": executed - 100,
            "end_time": executed,
            "executed_at": executed,
            "id": f"29ed5829-e4ce-4934-876b-{next(self.seq):012x}",
            "trade_ids": ["417f0cd6-09ae-4d43-8542-38557bb713aa"],
            "url": "",
            "bid": "7.15",
            "ask": "7.3",
        }
        # the feed has numbers where REST has decimal strings, and floats where it has counts
        for name in ("price", "underlying_price", "total_premium", "volume_oi_ratio"):
            payload[name] = float(row[name])
        for name in ("total_bid_side_prem", "total_ask_side_prem"):
            payload[name] = float(row[name])
        for name in ("volume", "open_interest", "total_size", "trade_count", "expiry_count"):
            payload[name] = self.random.choice((int, float))(row[name])
        for name in ("has_floor", "has_multileg", "has_sweep", "has_singleleg", "all_opening_trades"):
            payload[name] = row[name]
        is_ours = symbol in self.symbols
        self.publish("flow_alerts", symbol, at, row if is_ours else None, "flow-alerts", payload)

    def alert_row(self, symbol, at):
        # no two alerts are alike in their size
        size, cents = 100 + next(self.seq), self.random.randint(5, 900)
        strike = int(self.prices.get(symbol, 50))
        kind = self.random.choice(("call", "put"))
        expiry = (at + timedelta(days=self.random.randint(0, 30))).date()
        premium = size * cents
        asked = self.random.randint(0, premium)
        return {
            "type": kind,
            "ticker": symbol,
            "created_at": times.micros(at),
            "price": plain(cents, 2),
            "volume": self.random.randint(size, 500_000),
            "open_interest": self.random.randint(0, 90_000),
            "expiry": expiry.isoformat(),
            "strike": str(strike),
            "underlying_price": dollars(self.prices.get(symbol, 50)),
            "total_premium": str(premium),
            "trade_count": self.random.randint(1, 60),
            "volume_oi_ratio": plain(self.random.randint(0, 5000), 2),
            "has_floor": False,
            "option_chain": f"{symbol}{expiry:%y%m%d}{kind[0].upper()}{strike * 1000:08d}",
            "has_multileg": self.random.random() < 0.2,
            "has_sweep": self.random.random() < 0.4,
            "has_singleleg": True,
            "all_opening_trades": False,
            "total_size": size,
            "alert_rule": self.random.choice(("RepeatedHits", "RepeatedHitsAscendingFill", "FloorTradeSmallCap")),
            "total_bid_side_prem": str(premium - asked),
            "total_ask_side_prem": str(asked),
            "iv_start": plain(self.random.randint(1, 9999), 4),
            "iv_end": plain(self.random.randint(1, 9999), 4),
            "expiry_count": 1,
        }

    def make_history(self, symbol):
        """What was in REST before the socket was opened."""
        began = times.now()

        def remember(endpoint, at, row):
            item = Item(0.0, next(self.seq), endpoint, symbol, at, row)
            self.items[endpoint, symbol].append(item)

        for n in range(OLD_ALERTS):
            at = began - timedelta(seconds=40 + 7 * (OLD_ALERTS - n))
            remember("flow_alerts", at, self.alert_row(symbol, at))
        at = (began - HISTORY).replace(microsecond=0)
        while at < began:
            if times.session_of(at) == times.session_of(began):
                row = {name: self.number(9) for name in bodies.EXPOSURE}
                row |= {"time": times.micros(at), "ticker": symbol, "price": self.opens[symbol]}
                remember("spot_exposures", at, row)
            at += HISTORY_STEP
        for strike in self.strikes(symbol)[:NEAR_STRIKES]:
            row = {name: self.number(7) for name in bodies.STRIKE}
            row |= {"ticker": symbol, "date": times.session_of(began).isoformat(), "time": times.micros(began)}
            row |= {"strike": str(strike), "price": self.opens[symbol]}
            remember("spot_exposures_strike", began, row)
        state = {"close": self.opens[symbol], "total_volume": self.volumes[symbol]}
        remember("stock_state", began - self.behind - timedelta(seconds=1), state)

    def strikes(self, symbol):
        lowest = int(float(self.opens[symbol])) - NEAR_STRIKES // 2
        return list(range(lowest, lowest + NEAR_STRIKES + FAR_STRIKES))

    def number(self, digits):
        return plain(self.random.randint(-(10**digits), 10**digits), 2)

    # --- what REST answers

    def rest(self, endpoint, symbol):
        """The body of REST at this moment."""
        now = time.time()
        with self.lock:
            items = [item for item in self.items[endpoint, symbol] if item.rest_at <= now]
        if endpoint == "stock_state":
            return {"data": self.state(symbol, items)}
        if endpoint == "flow_alerts":
            newest = sorted(items, key=lambda item: (item.at, item.seq), reverse=True)
            return {"data": [item.row for item in newest[: bodies.MAX_ALERTS]]}
        rows = {}
        for item in sorted(items, key=lambda item: (item.at, item.seq)):
            rows[bodies.row_key(endpoint, item.row)] = item.row
        return {"data": [row for _, row in sorted(rows.items())]}

    def state(self, symbol, items):
        last = max(items, key=lambda item: (item.at, item.seq))
        with self.lock:
            past = [item for item in self.items["stock_state", symbol] if (item.at, item.seq) <= (last.at, last.seq)]
        closes = [float(item.row["close"]) for item in past]
        return {
            "close": last.row["close"],
            "high": dollars(max(closes)),
            "low": dollars(min(closes)),
            "open": self.opens[symbol],
            "volume": last.row["total_volume"] // 10,
            "market_time": "regular",
            "tape_time": times.seconds(last.at),
            "total_volume": last.row["total_volume"],
            "prev_close": self.opens[symbol],
        }


def strike_columns():
    """The columns of a row that both have: REST's name and the feed's."""
    for greek in ("gamma", "charm", "vanna"):
        for side, feed in (("oi", "oi"), ("vol", "vol"), ("ask", "ask_vol"), ("bid", "bid_vol")):
            for kind in ("call", "put"):
                yield f"{kind}_{greek}_{side}", f"{kind}_{greek}_{feed}"


def exposure_row(event):
    """An event of `gex` as REST's row."""
    row = {"time": times.micros(times.from_unix_ms(event["timestamp"]))}
    return row | {name: event[name] for name in bodies.EXPOSURE if name in event}


def strike_row(event, strike):
    """An event of `gex_strike` as REST's row."""
    at = times.from_unix_ms(event["timestamp"])
    row = {"ticker": event["ticker"], "date": times.session_of(at).isoformat(), "time": times.micros(at)}
    row |= {"strike": strike, "price": event["price"]}
    return row | {name: event[feed] for name, feed in strike_columns() if event[feed] != ""}


def dollars(price):
    return f"{price:.2f}"


def plain(number, places):
    """A decimal without needless zeros."""
    sign, number = ("-", -number) if number < 0 else ("", number)
    whole, fraction = divmod(number, 10**places)
    text = f"{fraction:0{places}d}".rstrip("0")
    return f"{sign}{whole}.{text}" if text else f"{sign}{whole}"
