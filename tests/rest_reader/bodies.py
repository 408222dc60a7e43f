"""What a consumer relies on in the bodies of the four endpoints.

`check(endpoint, symbol, payload)` reads a body and raises `Invalid` where it is not what REST itself would answer:
compact JSON in ASCII as the fetcher's `json.dumps` writes it; the names of REST's fields and no others, in REST's order;
REST's types, with numbers as decimal strings where REST has them so; the rows in their order; no alert, time or strike
twice; 100 alerts at most. The feed does not carry everything: such fields may be missing in a row (OPTIONAL).

`lost(endpoint, newer, older)` names what `older` had and `newer` has lost or replaced by something older.
"""

import json
import re
from datetime import timedelta
from decimal import Decimal

import times

ENDPOINTS = ("flow_alerts", "stock_state", "spot_exposures", "spot_exposures_strike")

MAX_ALERTS = 100
# the same alert in REST and on the feed: equal in contract, rule, size and premium, and dated this near
SAME_ALERT = timedelta(seconds=30)
# where REST has gone on, the feed's rows between REST's are kept this far back only
OVERLAP = timedelta(minutes=10)

DECIMAL = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?")
OCC = re.compile(r"[A-Z0-9.]{1,6}\d{6}[CP]\d{8}")

GREEKS = ("delta", "gamma", "charm", "vanna")
SIDES = ("oi", "vol", "ask", "bid")


class Invalid(Exception):
    pass


def is_decimal(value):
    return isinstance(value, str) and DECIMAL.fullmatch(value) is not None


def is_count(value):
    return type(value) is int


def is_flag(value):
    return type(value) is bool


def is_date(value):
    return isinstance(value, str) and re.fullmatch(r"\d{4}-\d\d-\d\d", value) is not None


def is_text(value):
    return isinstance(value, str)


def is_decimal_or_null(value):
    return value is None or is_decimal(value)


def is_text_or_null(value):
    return value is None or isinstance(value, str)


def is_time(value):
    try:
        times.parse(value)
    except (ValueError, TypeError):
        return False
    return True


ALERT = {
    "type": lambda value: value in ("call", "put"),
    "ticker": is_text,
    "created_at": is_time,
    "price": is_decimal,
    "volume": is_count,
    "open_interest": is_count,
    "expiry": is_date,
    "strike": is_decimal,
    "underlying_price": is_decimal,
    "total_premium": is_decimal,
    "trade_count": is_count,
    "volume_oi_ratio": is_decimal,
    "has_floor": is_flag,
    "option_chain": lambda value: is_text(value) and OCC.fullmatch(value) is not None,
    "has_multileg": is_flag,
    "has_sweep": is_flag,
    "has_singleleg": is_flag,
    "all_opening_trades": is_flag,
    "total_size": is_count,
    "alert_rule": is_text_or_null,
    "total_bid_side_prem": is_decimal,
    "total_ask_side_prem": is_decimal,
    "iv_start": is_decimal,
    "iv_end": is_decimal,
    "expiry_count": is_count,
}
STATE = {
    "close": is_decimal,
    "high": is_decimal,
    "low": is_decimal,
    "open": is_decimal,
    "volume": is_count,
    "market_time": is_text,
    "tape_time": is_time,
    "total_volume": is_count,
    "prev_close": is_decimal,
}
EXPOSURE = {"time": is_time, "ticker": is_text, "price": is_decimal} | {
    f"{greek}_per_one_percent_move_{side}": is_decimal
    for greek in ("charm", "gamma", "vanna")
    for side in ("dir", "oi", "vol")
}
STRIKE = {"ticker": is_text, "date": is_date, "time": is_time, "strike": is_decimal, "price": is_decimal} | {
    # null: the feed lacks it, and REST's is more than ten minutes older than the row
    f"{kind}_{greek}_{side}": is_decimal_or_null for greek in GREEKS for side in SIDES for kind in ("call", "put")
}
FIELDS = {
    "flow_alerts": ALERT,
    "stock_state": STATE,
    "spot_exposures": EXPOSURE,
    "spot_exposures_strike": STRIKE,
}
# the feed carries no volatilities of an alert and no delta, and leaves a number empty that it does not know
OPTIONAL = {
    "flow_alerts": {"iv_start", "iv_end"},
    "stock_state": set(),
    "spot_exposures": set(),
    "spot_exposures_strike": {name for name in STRIKE if "_delta_" in name},
}
# beyond the names in front, the order of the many columns of a row is nobody's concern
ORDERED = {"flow_alerts": 99, "stock_state": 99, "spot_exposures": 3, "spot_exposures_strike": 5}


def dumps(body):
    """A body as the fetcher serialises it."""
    return json.dumps(body, separators=(",", ":"))


def require(condition, text):
    if not condition:
        raise Invalid(text)


def check(endpoint, symbol, payload):
    """The `data` of a body that a consumer can live with."""
    try:
        body = json.loads(payload)
    except ValueError as error:
        raise Invalid(f"not JSON: {error}") from error
    require(dumps(body) == payload, "not as json.dumps(separators=(',', ':')) writes it")
    require(isinstance(body, dict) and list(body) == ["data"], "not an object with `data` alone")
    data = body["data"]
    if endpoint == "stock_state":
        check_state(data)
    else:
        require(isinstance(data, list), "`data` is no list")
        for row in data:
            check_row(endpoint, row)
            require(row["ticker"] == symbol, f"a row of {row['ticker']}")
        check_order(endpoint, data)
    return data


def check_row(endpoint, row):
    fields, optional = FIELDS[endpoint], OPTIONAL[endpoint]
    require(isinstance(row, dict), "a row is no object")
    unknown = [name for name in row if name not in fields]
    require(not unknown, f"fields that REST does not have: {unknown}")
    missing = [name for name in fields if name not in row and name not in optional]
    require(not missing, f"fields that REST has are missing: {missing}")
    for name, value in row.items():
        require(fields[name](value), f"`{name}` is {value!r}")
    order = [name for name in list(fields)[: ORDERED[endpoint]] if name in row]
    require(list(row)[: len(order)] == order, f"the order of the fields is {list(row)}")


def check_state(data):
    check_row("stock_state", data)
    low, close, high = (Decimal(data[name]) for name in ("low", "close", "high"))
    require(low <= close <= high, f"{low} ≤ {close} ≤ {high} does not hold")


def check_order(endpoint, rows):
    if endpoint == "flow_alerts":
        require(len(rows) <= MAX_ALERTS, f"{len(rows)} alerts")
        created = [times.parse(row["created_at"]) for row in rows]
        require(created == sorted(created, reverse=True), "the newest alert is not first")
        for at, row in enumerate(rows):
            twin = next((other for other in rows[:at] if is_same_alert(other, row)), None)
            require(twin is None, f"one alert twice: {twin}, {row}")
    else:
        keys = [row_key(endpoint, row) for row in rows]
        require(all(a < b for a, b in zip(keys, keys[1:])), "the rows do not rise, or one is there twice")
        if endpoint == "spot_exposures_strike":
            for row in rows:
                date = times.session_of(times.parse(row["time"])).isoformat()
                require(row["date"] == date, f"`date` of {row['time']} is {row['date']}")


def row_key(endpoint, row):
    return times.parse(row["time"]) if endpoint == "spot_exposures" else Decimal(row["strike"])


def identity(row):
    """What two accounts of an alert have in common, besides their times."""
    return (row["option_chain"], row["alert_rule"], row["total_size"], Decimal(row["total_premium"]))


def is_same_alert(one, other):
    apart = times.parse(one["created_at"]) - times.parse(other["created_at"])
    return identity(one) == identity(other) and abs(apart) <= SAME_ALERT


def lost(endpoint, newer, older):
    """What the older data has and the newer should not have lost; `None` if nothing."""
    return {
        "flow_alerts": lost_alert,
        "stock_state": lost_state,
        "spot_exposures": lost_time,
        "spot_exposures_strike": lost_strike,
    }[endpoint](newer, older)


def lost_alert(newer, older):
    by_identity = {}
    for row in newer:
        by_identity.setdefault(identity(row), []).append(row)
    oldest = min((row["created_at"] for row in newer), default="")
    for row in older:
        is_there = any(is_same_alert(row, other) for other in by_identity.get(identity(row), []))
        has_left = len(newer) == MAX_ALERTS and times.parse(row["created_at"]) <= times.parse(oldest)
        if not is_there and not has_left:
            return f"the alert {row}"
    return None


def lost_state(newer, older):
    def order(data):
        return times.parse(data["tape_time"]), data["total_volume"]

    if order(newer) < order(older):
        return f"the price of {older['tape_time']}, volume {older['total_volume']}, for that of {newer['tape_time']}"
    is_one_session = session(newer["tape_time"]) == session(older["tape_time"])
    if is_one_session and Decimal(newer["high"]) < Decimal(older["high"]):
        return f"the high {older['high']} for {newer['high']}"
    if is_one_session and Decimal(newer["low"]) > Decimal(older["low"]):
        return f"the low {older['low']} for {newer['low']}"
    return None


def lost_time(newer, older):
    there = {row["time"] for row in newer}
    newest = times.parse(newer[-1]["time"]) if newer else None
    for row in older:
        at = times.parse(row["time"])
        is_kept = newest is None or (at >= newest - OVERLAP and session(row["time"]) == times.session_of(newest))
        if row["time"] not in there and is_kept:
            return f"the row of {row['time']}"
    return None


def lost_strike(newer, older):
    there = {Decimal(row["strike"]): row for row in newer}
    for row in older:
        other = there.get(Decimal(row["strike"]))
        if other is None:
            return f"the row of {row['strike']}"
        if times.parse(other["time"]) < times.parse(row["time"]):
            return f"the row of {row['strike']} of {row['time']}, for that of {other['time']}"
    return None


def session(text):
    return times.session_of(times.parse(text))
