"""What the bodies must hold in the end, worked out from the event streams and the fetcher's last answers alone.

Translated independently of the service: by Python's `json` and `decimal`, from the entries of `uw:ws:<channel>:<SYMBOL>`,
whose ids hold the times of receipt.
"""

import json
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

import bodies
import market
import times

CHANNELS = {
    "flow_alerts": "flow-alerts",
    "stock_state": "price",
    "spot_exposures": "gex",
    "spot_exposures_strike": "gex_strike",
}
PAGE = 5000


@dataclass
class Event:
    payload: dict
    received_ms: int


def events(client, endpoint, symbol):
    """The entries of a stream, in order."""
    key, start, found = f"uw:ws:{CHANNELS[endpoint]}:{symbol}", "-", []
    while True:
        page = client.xrange(key, min=start, max="+", count=PAGE)
        found += [Event(json.loads(fields["payload"]), int(id.split("-")[0])) for id, fields in page]
        if len(page) < PAGE:
            return found
        start = f"({page[-1][0]}"


def problems(endpoint, data, fetched_at, base, base_at, events):
    """Where a body is not the last answer of REST with the newer events in it."""
    judge = {
        "flow_alerts": alerts,
        "stock_state": state,
        "spot_exposures": rows,
        "spot_exposures_strike": rows,
    }[endpoint]
    found, newest_ms = judge(endpoint, data, base, times.unix_ms(base_at), events)
    expected_ms = max(times.unix_ms(base_at), newest_ms)
    if times.unix_ms(fetched_at) != expected_ms:
        newest = times.from_unix_ms(expected_ms).isoformat()
        found.append(f"`fetched_at` is {fetched_at.isoformat()} and the newest in it of {newest}")
    return found


# --- rows by time and by strike


def rows(endpoint, data, base, base_ms, events):
    base_rows = {bodies.row_key(endpoint, row): row for row in base}
    newest_base = max((times.parse(row["time"]) for row in base), default=None)
    shown = {bodies.row_key(endpoint, row): row for row in data}
    found, newest_ms, expected = [], 0, set(base_rows)
    news = newest_events(endpoint, events)
    for key, (order, of_events) in news.items():
        known = base_rows.get(key)
        if newest_base is not None and is_left_out(endpoint, order[0], known, newest_base):
            continue
        expected.add(key)
        base_order = None if known is None else (times.parse(known["time"]), base_ms)
        wins = known is None or order > base_order
        if wins:
            newest_ms = max(newest_ms, order[1])
        wanted = [overlaid(known, row) for row in of_events] if wins else [known]
        # within a millisecond it cannot be told from here which is newer
        if order != base_order and not any(is_equal(shown.get(key), row) for row in wanted):
            came = times.from_unix_ms(order[1]).time()
            found.append(f"the row {key} is {shown.get(key)} and not {wanted[-1]}, which came at {came}")
    for key in base_rows.keys() - news.keys():
        if shown.get(key) != base_rows[key]:
            found.append(f"REST's row {key} is {shown.get(key)} and not {base_rows[key]}")
    if shown.keys() != expected:
        found.append(f"rows that nobody sent: {shown.keys() - expected}; missing: {expected - shown.keys()}")
    return found, newest_ms


def overlaid(known, row):
    """REST's row with an event's values over it; what the feed lacks is kept for ten minutes."""
    if known is None:
        return row
    if times.parse(row["time"]) - times.parse(known["time"]) > bodies.OVERLAP:
        known = {name: value if name in ("ticker", "strike") else None for name, value in known.items()}
    return known | row


def newest_events(endpoint, events):
    """By key the time and receipt of the newest event, and the rows of all that have both in common with it."""
    newest = {}
    for event in events:
        row = translated(endpoint, event.payload)
        key, order = bodies.row_key(endpoint, row), (times.parse(row["time"]), event.received_ms)
        known, rows_there = newest.get(key, (order, []))
        if order > known:
            newest[key] = (order, [row])
        elif order == known:
            newest[key] = (order, [*rows_there, row])
    return newest


def is_left_out(endpoint, at, known, newest_base):
    if times.session_of(at) < times.session_of(newest_base):
        return True
    return endpoint == "spot_exposures" and known is None and at < newest_base - bodies.OVERLAP


def translated(endpoint, payload):
    if endpoint == "spot_exposures":
        return market.exposure_row(payload)
    return market.strike_row(payload, payload["strike"])


def is_equal(row, wanted):
    """`25.0000000000` is `25`, and the order of the columns is not looked at here."""
    if row is None or row.keys() != wanted.keys():
        return False

    def value(text):
        return Decimal(text) if isinstance(text, str) and bodies.is_decimal(text) else text

    return all(value(row[name]) == value(wanted[name]) for name in row)


# --- alerts


def alerts(_endpoint, data, base, base_ms, events):
    sent = [(alert(event.payload), event.received_ms) for event in events]
    of_identity = {}
    for row, received_ms in sent:
        of_identity.setdefault(bodies.identity(row), []).append((row, received_ms))
    found = []
    is_full, oldest = len(data) == bodies.MAX_ALERTS, min(times.parse(row["created_at"]) for row in data)
    newest_ms = 0
    for row in data:
        if row in base:
            continue
        twins = [(other, ms) for other, ms in of_identity.get(bodies.identity(row), []) if is_row_of(row, other)]
        if twins:
            newest_ms = max(newest_ms, max(ms for _, ms in twins))
        else:
            found.append(f"an alert that nobody sent: {row}")
    for row in base:
        if row not in data and not (is_full and times.parse(row["created_at"]) <= oldest):
            found.append(f"REST's alert is missing: {row}")
    for row, _ in sent:
        # of alerts that follow one another and look alike the last is shown
        alike = chain(row, [other for other, _ in of_identity[bodies.identity(row)]])
        is_there = any(bodies.is_same_alert(shown, other) for shown in data for other in alike)
        if not is_there and not (is_full and times.parse(row["created_at"]) <= oldest):
            found.append(f"the alert is missing: {row}")
    return found, newest_ms


def is_row_of(row, event_row):
    return row["created_at"] == event_row["created_at"] and is_equal(row, event_row)


def chain(row, alike):
    reached, missed = [row], list(alike)
    grows = True
    while grows:
        near = [other for other in missed if any(bodies.is_same_alert(other, one) for one in reached)]
        missed = [other for other in missed if other not in near]
        reached, grows = reached + near, bool(near)
    return reached


def alert(payload):
    """An event as REST's row, without what the feed does not carry."""
    chain_, at = payload["option_chain"], times.from_unix_ms(payload["executed_at"])
    row = {
        "type": {"C": "call", "P": "put"}[chain_[-9]],
        "created_at": times.micros(at),
        "expiry": f"20{chain_[-15:-13]}-{chain_[-13:-11]}-{chain_[-11:-9]}",
        "strike": plain(Decimal(chain_[-8:]) / 1000),
        "alert_rule": payload["rule_name"],
    }
    for name, check in bodies.ALERT.items():
        if name in row or name not in payload:
            continue
        value = payload[name]
        if check is bodies.is_decimal:
            value = plain(Decimal(repr(value)))
        elif check is bodies.is_count:
            value = int(value)
        row[name] = value
    return row


def plain(number):
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


# --- the state


def state(_endpoint, data, base, base_ms, events):
    base_at = times.parse(base["tape_time"])
    second = timedelta(seconds=1)
    news = []
    for event in events:
        at = times.from_unix_ms(event.payload["time"])
        is_after = at >= base_at + second or (at >= base_at and event.payload["vol"] >= base["total_volume"])
        if is_after and times.session_of(at) == times.session_of(base_at):
            news.append((at, event.received_ms, event.payload))
    if not news:
        return ([] if data == base else [f"the state is {data} and not REST's {base}"]), 0
    last_at, received_ms, last = max(news, key=lambda event: event[:2])
    closes = [event["close"] for _, _, event in news]
    wanted = base | {
        "close": last["close"],
        "tape_time": times.seconds(last_at),
        "total_volume": last["vol"],
        "volume": base["volume"] + last["vol"] - base["total_volume"],
        "high": max([base["high"], *closes], key=Decimal),
        "low": min([base["low"], *closes], key=Decimal),
    }
    return ([] if is_equal(data, wanted) else [f"the state is {data} and not {wanted}"]), received_ms
