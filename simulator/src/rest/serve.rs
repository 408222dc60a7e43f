//! Serves the requests of a connection.

use std::io;
use std::rc::Rc;
use std::time::Duration;

use bytes::BytesMut;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use url::form_urlencoded;

use super::answer::Answer;
use super::catalog::{Asked, Body, Endpoint};
use super::desk::{RestDesk, RestRequest};
use super::faults::{RestKind, RestLie};
use super::lies;
use super::query::Query;
use super::wire::{self, Then};
use crate::handshake::HandshakeRequest;
use crate::hub::Hub;

/// Time for a client to send its next request.
const IDLE_LIMIT: Duration = Duration::from_secs(60);
/// Paths for people and scripts that compare what was generated with what was stored; they need no token.
const DEBUG: &str = "/debug/";

/// Whether a request is for the REST API.
pub(crate) fn is_rest(request: &HandshakeRequest) -> bool {
    let path = request.path();
    path.starts_with(DEBUG) || (path.starts_with("/api/") && path != "/api/socket")
}

/// Answers a request and those that follow on its connection.
pub(crate) async fn serve(
    hub: &Rc<Hub>,
    desk: &RestDesk,
    mut stream: TcpStream,
    (mut request, mut received): (HandshakeRequest, BytesMut),
) -> io::Result<()> {
    loop {
        let is_last = request.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
        match answer(hub, desk, &mut stream, &request).await? {
            Then::Next if !is_last => {}
            Then::Reset => return stream.set_zero_linger(),
            Then::Next | Then::Close => return Ok(()),
        }
        let next = timeout(IDLE_LIMIT, HandshakeRequest::read(&mut stream, &mut received)).await;
        // the end of the connection is not an error
        let Ok(Ok(next)) = next else { return Ok(()) };
        request = next;
    }
}

/// Ends a request even if its client leaves in the middle of the answer.
struct InFlight<'a> {
    desk: &'a RestDesk,
    /// The token, if the request is within its limits.
    counted: Option<String>,
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.desk.leave();
        if let Some(token) = &self.counted {
            self.desk.finish(token);
        }
    }
}

async fn answer(
    hub: &Hub,
    desk: &RestDesk,
    stream: &mut TcpStream,
    request: &HandshakeRequest,
) -> io::Result<Then> {
    if request.path().starts_with(DEBUG) {
        let answer = debug(hub, desk, request).unwrap_or_else(Answer::unknown_path);
        return wire::write(stream, answer, &[]).await;
    }
    desk.enter();
    let mut in_flight = InFlight { desk, counted: None };
    let at_ms = desk.now_ms();
    let found = Endpoint::find(request.path());
    let name = found.as_ref().map_or("unknown", |(endpoint, _)| endpoint.name);
    let kinds = desk.kinds_for(name);
    let answer = reply(hub, desk, request, (found, &kinds), &mut in_flight).await;
    desk.record(
        RestRequest {
            at_ms,
            endpoint: name.to_owned(),
            target: request.target.clone(),
            agent: request.header("user-agent").map(str::to_owned),
            status: answer.status,
            rows: answer.rows,
        },
        false,
    );
    wire::write(stream, answer, &kinds).await
}

type Found = Option<(&'static Endpoint, Option<String>)>;

async fn reply(
    hub: &Hub,
    desk: &RestDesk,
    request: &HandshakeRequest,
    (found, kinds): (Found, &[RestKind]),
    in_flight: &mut InFlight<'_>,
) -> Answer {
    let bearer = request.header("authorization").and_then(|value| value.strip_prefix("Bearer "));
    let Some(token) = bearer.filter(|token| hub.accepts(token)) else { return Answer::denied() };
    let usage = |excess| {
        if kinds.contains(&RestKind::NoUsage) { Vec::new() } else { desk.usage(token, excess) }
    };
    let limits = (desk.options.limits.per_minute, desk.options.limits.in_flight);
    let now_us = hub.feed.borrow_mut().now_us();
    if let Err(excess) = desk.begin(token, now_us) {
        return Answer::limited(excess, limits, None).with_headers(usage(None));
    }
    in_flight.counted = Some(token.to_owned());
    if !desk.options.latency.is_zero() {
        sleep(desk.options.latency).await;
    }
    if request.method != "GET" {
        return Answer::wrong_method();
    }
    for kind in kinds {
        match kind {
            RestKind::Refuse(refusal) => {
                let answer = Answer::refused(*refusal);
                // the edge and a refused token have no usage
                let is_counted = !matches!(answer.status, 401 | 404);
                return if is_counted { answer.with_headers(usage(None)) } else { answer };
            }
            RestKind::Limit(excess, retry) => {
                return Answer::limited(*excess, limits, *retry).with_headers(usage(Some(*excess)));
            }
            RestKind::Fail { status, is_page } => return Answer::failed(*status, *is_page),
            RestKind::Redirect(url) => return Answer::redirect(url),
            _ => {}
        }
    }
    let Some((endpoint, symbol)) = found else { return Answer::unknown_path().with_headers(usage(None)) };
    rows(hub, desk, request, (endpoint, symbol), kinds).with_headers(usage(None))
}

/// Answers with rows of the history.
fn rows(
    hub: &Hub,
    desk: &RestDesk,
    request: &HandshakeRequest,
    (endpoint, symbol): (&Endpoint, Option<String>),
    kinds: &[RestKind],
) -> Answer {
    let lies =
        || kinds.iter().filter_map(|kind| if let RestKind::Lie(lie) = kind { Some(*lie) } else { None });
    let tells = |wanted: RestLie| lies().any(|lie| lie == wanted);
    let read = Query::parse(&request.target).and_then(|mut query| {
        if tells(RestLie::SamePage) {
            query.older_than = None;
        }
        let mut feed = hub.feed.borrow_mut();
        let now_us = feed.now_us();
        let Some(history) = feed.history() else { return Ok((Body::default(), false)) };
        let present = Asked { options: &desk.options, history, now_us };
        let body = endpoint.answer(symbol, &query, present)?;
        Ok((body, query.has_strikes))
    });
    let (mut body, has_strikes) = match read {
        Ok(answered) => answered,
        Err(bad) => return Answer::json(422, &bad.body(&request.target)),
    };
    if tells(RestLie::FrozenStrikes) && !has_strikes {
        body.value = desk.frozen(request.path(), body.value);
    }
    lies().for_each(|lie| lies::alter(&mut body.value, lie));
    Answer::json(200, &body.value).with_rows(body.rows)
}

/// Answers a request about the simulator itself: `generated`, of a `channel` and a `symbol` if given, or `requests`.
fn debug(hub: &Hub, desk: &RestDesk, request: &HandshakeRequest) -> Option<Answer> {
    let feed = hub.feed.borrow();
    let history = feed.history()?;
    match request.path() {
        "/debug/generated" => {
            let query = request.target.split_once('?').map_or("", |(_, query)| query);
            let asked = |name: &str| {
                let mut pairs = form_urlencoded::parse(query.as_bytes());
                pairs.find(|(given, _)| given == name).map(|(_, value)| value.into_owned())
            };
            let (channel, symbol) = (asked("channel"), asked("symbol"));
            let events: Vec<Value> = history
                .generated()
                .into_iter()
                .filter(|event| channel.as_ref().is_none_or(|channel| *channel == event.channel))
                .filter(|event| symbol.as_ref().is_none_or(|symbol| *symbol == event.symbol))
                .map(|event| {
                    json!({
                        "number": event.number, "channel": event.channel, "symbol": event.symbol, "id": event.id(),
                        "time_us": event.time_us, "canceled": event.is_canceled, "unsent": event.is_unsent,
                    })
                })
                .collect();
            Some(Answer::json(200, &json!({ "forgotten": history.forgotten(), "events": events })))
        }
        "/debug/requests" => {
            let counts = desk.counts(history.forgotten());
            Some(Answer::json(
                200,
                &json!({
                    "requests": counts.requests, "by_endpoint": counts.by_endpoint, "by_status": counts.by_status,
                    "rows": counts.rows, "busiest_minute": counts.busiest_minute,
                    "most_in_flight": counts.most_in_flight, "forgotten": counts.forgotten,
                }),
            ))
        }
        _ => None,
    }
}
