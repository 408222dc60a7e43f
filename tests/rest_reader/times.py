"""Times as REST bodies, the feed and the fetcher write them, and the sessions of New York."""

from datetime import datetime, timedelta, timezone
from functools import lru_cache

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def now():
    return datetime.now(timezone.utc)


def micros(at):
    """`2025-10-03T20:13:07.102593Z`, as rows have it."""
    return at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def seconds(at):
    """`2025-10-03T23:58:43Z`, as `tape_time` has it."""
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def unix_ms(at):
    return (at - EPOCH) // timedelta(milliseconds=1)


def from_unix_ms(ms):
    return EPOCH + timedelta(milliseconds=ms)


@lru_cache(maxsize=1 << 16)
def parse(text):
    """Reads a time of a row; it must be in one of the two forms above."""
    form = "%Y-%m-%dT%H:%M:%S.%fZ" if "." in text else "%Y-%m-%dT%H:%M:%SZ"
    at = datetime.strptime(text, form).replace(tzinfo=timezone.utc)
    if text not in (micros(at), seconds(at)):
        raise ValueError(f"{text} is no time of a row")
    return at


def parse_fetched_at(text):
    """Reads what Python's `isoformat()` writes of a time in UTC, and nothing else."""
    at = datetime.fromisoformat(text)
    if at.isoformat() != text or at.utcoffset() != timedelta(0):
        raise ValueError(f"{text} is not what isoformat() writes")
    return at


def session_of(at):
    """The date in New York. The rule is written out: not every machine has the time zones."""

    def sunday(month, nth):
        first = datetime(at.year, month, 1, tzinfo=timezone.utc)
        return first + timedelta(days=(6 - first.weekday()) % 7 + 7 * (nth - 1))

    begins = sunday(3, 2) + timedelta(hours=7)
    ends = sunday(11, 1) + timedelta(hours=6)
    return (at - timedelta(hours=4 if begins <= at < ends else 5)).date()
