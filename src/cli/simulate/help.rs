//! Texts of `--help` that list the misbehaviours.

pub(super) const MISBEHAVE_HELP: &str = "Faults of the feed, repeatable: KIND[=ARGUMENT][@N for the first N connections | @N.. for \
later ones]

Connections:
  refuse=STATUS[,RETRY_AFTER]  refuse the handshake: 401 (missing scope), 403, 429, 503
  brief[=MS]                   close cleanly after MS (500)
  silent                       accept, answer pings, and nothing else
  no-pong                      answer no pings
  freeze=N                     neither read nor write after N events
  close=CODE[,N]               send a close frame after N events (0)
  cut=N                        cut the TCP connection in the middle of a frame after N events
  oversized=BYTES[,N]          announce a frame of BYTES after N events (0)
  server-pings[=MS]            ping the client every MS (1000)
  withhold=N[,CHANNEL]         do not send every N-th event; the REST API has it
  drop-when-slow[=BYTES]       drop and count events while more than BYTES are unsent (1048576)
Joins:
  ignore-joins=N               do not answer the first N joins
  refuse-topic=TOPIC[,REASON]  answer the join of TOPIC with an error
  notice[=TEXT]                send an error object after the first join
One more frame after every N-th event (100):
  rsv, invalid-utf8, not-json, deep, array-payload, wrong-shape, binary, unknown-channel, bad-symbol, huge, notices
Every N-th event (10) in another form:
  duplicate, amendment, fragments, fragments-with-pings, price-without-ticker, alert-integers, null-rule,
  blank-decimals, unknown-fields";

pub(super) const REST_MISBEHAVE_HELP: &str = "Faults of the REST API, repeatable: [ENDPOINT:]KIND[=ARGUMENT][@N for the \
first N requests | @N.. for later ones]

Endpoints: option-trades, flow-alerts, news, ohlc, quote, spot-exposures, strikes, expiry-strikes, net-prem-ticks,
  darkpool, lit-flow, alerts, futures

Events, for all endpoints and requests:
  crowd=ROWS[,N]               add ROWS of the same instant after every N-th event (10000)
  late=N[,SECONDS]             serve every N-th event only after SECONDS (90)
  canceled[=N]                 mark every N-th event as cancelled (10)
Refusals:
  past-session, look-back, scope, edge, missing, denied
  limit-minute, limit-in-flight, limit-day  429, each with =SECONDS or =date for `Retry-After`
  no-usage                     no usage headers
  fail=STATUS[,html]           500, 502 or 503
  redirect[=URL]               redirect to another host
Connections:
  reset=before|head|body       reset the connection at this point
  drip[=MS]                    send a byte of the body every MS (1)
  stall                        send half of the body, then nothing
  slow-head[=SECONDS]          send the head after SECONDS (30)
Wrong answers with status 200:
  cut, cut-quietly, open-chunks, gzip, cut-gzip, invalid-utf8, array, empty-object, null, no-ids, huge,
  outside-window, other-ticker, same-page, no-rows, frozen-strikes";
