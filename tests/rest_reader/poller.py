"""The requests of the existing fetcher: one at a time, with its pause between two.

    python3 tests/rest_reader/poller.py --rest http://127.0.0.1:8080 --token T --limit 100 --symbols SPY,QQQ,IWM

It knows nothing of `uw-websocket`, which shares the token and its limit. It ends with its standard input. What it was
answered stands in the log of the simulator; the last line on stdout has the number of its requests by status.
"""

import argparse
import collections
import itertools
import json
import sys
import threading
import urllib.error
import urllib.request

AGENT = "rest-fetcher/1.0"
LEEWAY = 0.5
TIMEOUT = 30
PATHS = (
    "/api/stock/{}/spot-exposures",
    "/api/stock/{}/spot-exposures/strike?limit=500",
    "/api/stock/{}/ohlc/1m",
    "/api/option-trades/flow-alerts?ticker_symbol={}&limit=100",
)


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--rest", required=True, help="URL of the REST side")
    arguments.add_argument("--token", required=True)
    arguments.add_argument("--limit", required=True, type=int, help="its requests per minute, as it believes")
    arguments.add_argument("--symbols", required=True)
    given = arguments.parse_args()
    ended, statuses = threading.Event(), collections.Counter()
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    paths = itertools.cycle(path.format(symbol) for path in PATHS for symbol in given.symbols.split(","))
    while not ended.is_set():
        statuses[ask(given.rest.rstrip("/") + next(paths), given.token)] += 1
        ended.wait(60 / given.limit + LEEWAY)
    print(json.dumps(statuses))


def ask(url, token):
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}", "User-Agent": AGENT})
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
            answer.read()
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


if __name__ == "__main__":
    main()
