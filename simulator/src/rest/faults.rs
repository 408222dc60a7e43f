//! Faults of the REST API, on request.

use std::str::FromStr;
use std::time::Duration;

use uw_websocket_core::labelled;

use super::limits::Excess;
use crate::misbehaviour::{InvalidMisbehaviour, OccurrenceWindow};

/// A fault and the requests it applies to.
///
/// As text: `[ENDPOINT:]KIND[=ARGUMENT][@N|@N..]`, see [`RestKind`] for the kinds. `N` counts requests of the endpoint
/// from when the fault was set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestFault {
    /// The fault.
    pub kind: RestKind,
    /// Name of the endpoint, such as `option-trades`; `None` is every endpoint.
    pub endpoint: Option<String>,
    /// The requests it applies to.
    pub window: OccurrenceWindow,
}

/// A fault. Arguments in brackets are optional.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RestKind {
    /// `late=N[,SECONDS]`: REST knows every N-th event so many seconds after its time (90).
    Late {
        /// Period in events.
        every: u64,
        /// Time until REST knows it.
        after: Duration,
    },
    /// `canceled[=N]`: every N-th event is cancelled (10).
    Canceled(u64),
    /// `crowd=ROWS[,N]`: after every N-th event (10 000) follow this many of the same topic and instant.
    Crowd {
        /// Events of the same instant.
        rows: u64,
        /// Period in events.
        every: u64,
    },
    /// A status with the vendor's body; see [`RestRefusal`].
    Refuse(RestRefusal),
    /// `limit-minute`, `limit-in-flight`, `limit-day`, each with `=SECONDS` or `=date`: status 429.
    Limit(Excess, Option<RetryAfter>),
    /// `no-usage`: no usage headers.
    NoUsage,
    /// `fail=STATUS[,html]`: 500 is text, 502 and 503 are JSON or a page.
    Fail {
        /// 500, 502 or 503.
        status: u16,
        /// Whether the body is a page.
        is_page: bool,
    },
    /// `reset=before`, `reset=head` or `reset=body`: reset the connection at this point of the answer.
    Reset(ResetAt),
    /// `drip[=MS]`: send the body byte by byte (1 ms apart).
    Drip(Duration),
    /// `stall`: send half of the body and nothing more.
    Stall,
    /// `slow-head[=SECONDS]`: send the head after so long (30).
    SlowHead(Duration),
    /// `redirect[=URL]`: redirect to another host.
    Redirect(String),
    /// A wrong answer with status 200; see [`RestLie`].
    Lie(RestLie),
}

/// The header `Retry-After`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryAfter {
    /// In seconds.
    Seconds(u32),
    /// As an HTTP date one second ahead.
    Date,
}

labelled! {
    /// A status with the body that the vendor was seen to send.
    RestRefusal {
        /// 400: another day than the latest.
        PastSession = "past-session",
        /// 403 with the earliest date of the plan.
        LookBack = "look-back",
        /// 403: not part of the plan.
        Scope = "scope",
        /// 403: a page of the edge.
        Edge = "edge",
        /// 404 with the XML of an object store.
        Missing = "missing",
        /// 401 without usage headers.
        Denied = "denied",
    }
}

labelled! {
    /// Where a connection is reset.
    ResetAt {
        /// Before the head.
        Before = "before",
        /// In the head.
        Head = "head",
        /// In the body.
        Body = "body",
    }
}

labelled! {
    /// A wrong answer with status 200.
    RestLie {
        /// Half of the body, with the `Content-Length` of the whole.
        Cut = "cut",
        /// Half of the body, with its own `Content-Length`.
        CutQuietly = "cut-quietly",
        /// Chunked, without the last chunk.
        OpenChunks = "open-chunks",
        /// Compressed, whether or not the client accepts it.
        Gzip = "gzip",
        /// Compressed and cut.
        CutGzip = "cut-gzip",
        /// Not UTF-8.
        InvalidUtf8 = "invalid-utf8",
        /// An array in place of the object.
        Array = "array",
        /// `{}`
        EmptyObject = "empty-object",
        /// `null`
        Null = "null",
        /// Rows without their identity.
        NoIds = "no-ids",
        /// 20 MiB.
        Huge = "huge",
        /// Rows of 2020.
        OutsideWindow = "outside-window",
        /// Rows of another ticker.
        OtherTicker = "other-ticker",
        /// The first page, whatever `older_than` is.
        SamePage = "same-page",
        /// `data: []`, as for a parameter that is not known.
        NoRows = "no-rows",
        /// The state of the first answer, unless bounds of strikes are given.
        FrozenStrikes = "frozen-strikes",
    }
}

impl RestFault {
    /// Applies to every request.
    #[must_use]
    pub fn new(kind: RestKind) -> RestFault {
        RestFault { kind, endpoint: None, window: OccurrenceWindow::All }
    }

    /// Applies to the next `n` requests only.
    #[must_use]
    pub fn first(kind: RestKind, n: u64) -> RestFault {
        RestFault { window: OccurrenceWindow::First(n), ..RestFault::new(kind) }
    }

    /// Applies to all requests after the next `n`.
    #[must_use]
    pub fn after(kind: RestKind, n: u64) -> RestFault {
        RestFault { window: OccurrenceWindow::After(n), ..RestFault::new(kind) }
    }

    /// Restricts it to an endpoint, such as `option-trades`.
    #[must_use]
    pub fn of(self, endpoint: &str) -> RestFault {
        RestFault { endpoint: Some(endpoint.to_owned()), ..self }
    }

    /// Whether it concerns events and not requests.
    fn is_of_events(&self) -> bool {
        matches!(self.kind, RestKind::Late { .. } | RestKind::Canceled(_) | RestKind::Crowd { .. })
    }
}

impl FromStr for RestFault {
    type Err = InvalidMisbehaviour;

    fn from_str(text: &str) -> Result<RestFault, InvalidMisbehaviour> {
        let bad = || InvalidMisbehaviour::BadArgument(text.to_owned());
        let name_end = text.find(['=', '@']).unwrap_or(text.len());
        let (endpoint, rest) = match text[..name_end].split_once(':') {
            Some((endpoint, _)) => (Some(endpoint.to_owned()), &text[endpoint.len() + 1..]),
            None => (None, text),
        };
        let (kind, window) = match rest.rsplit_once('@') {
            None => (rest, OccurrenceWindow::All),
            Some((kind, window)) => (kind, OccurrenceWindow::parse(window).ok_or_else(bad)?),
        };
        let (name, argument) = match kind.split_once('=') {
            Some((name, argument)) => (name, Some(argument)),
            None => (kind, None),
        };
        let fault = RestFault { kind: RestKind::parse(name, argument)?.ok_or_else(bad)?, endpoint, window };
        let is_narrowed = fault.endpoint.is_some() || fault.window != OccurrenceWindow::All;
        if fault.is_of_events() && is_narrowed { Err(bad()) } else { Ok(fault) }
    }
}

impl RestKind {
    /// Returns `None` for an invalid argument.
    fn parse(name: &str, argument: Option<&str>) -> Result<Option<RestKind>, InvalidMisbehaviour> {
        if let Some(refusal) = RestRefusal::ALL.iter().find(|refusal| refusal.label() == name) {
            return Ok(argument.is_none().then_some(RestKind::Refuse(*refusal)));
        }
        if let Some(lie) = RestLie::ALL.iter().find(|lie| lie.label() == name) {
            return Ok(argument.is_none().then_some(RestKind::Lie(*lie)));
        }
        let text = argument.unwrap_or_default();
        let (head, tail) = text.split_once(',').map_or((text, None), |(head, tail)| (head, Some(tail)));
        Ok(match name {
            "late" => late(head, tail),
            "canceled" => period(argument, 10).map(RestKind::Canceled),
            "crowd" => crowd(head, tail),
            "limit-minute" => limit(Excess::Minute, argument),
            "limit-in-flight" => limit(Excess::InFlight, argument),
            "limit-day" => limit(Excess::Day, argument),
            "no-usage" => argument.is_none().then_some(RestKind::NoUsage),
            "fail" => fail(head, tail),
            "reset" => ResetAt::ALL.iter().find(|at| at.label() == text).copied().map(RestKind::Reset),
            "drip" => period(argument, 1).map(Duration::from_millis).map(RestKind::Drip),
            "stall" => argument.is_none().then_some(RestKind::Stall),
            "slow-head" => period(argument, 30).map(Duration::from_secs).map(RestKind::SlowHead),
            "redirect" => {
                Some(RestKind::Redirect(argument.unwrap_or("http://another-host.invalid/").to_owned()))
            }
            _ => return Err(InvalidMisbehaviour::UnknownKind(name.to_owned())),
        })
    }
}

/// Reads a number that must not be 0.
fn period(argument: Option<&str>, usual: u64) -> Option<u64> {
    argument.map_or(Some(usual), |text| text.parse().ok().filter(|every| *every > 0))
}

fn late(every: &str, seconds: Option<&str>) -> Option<RestKind> {
    let after = Duration::from_secs(period(seconds, 90)?);
    Some(RestKind::Late { every: period(Some(every), 1)?, after })
}

fn crowd(rows: &str, every: Option<&str>) -> Option<RestKind> {
    Some(RestKind::Crowd { rows: period(Some(rows), 1)?, every: period(every, 10_000)? })
}

fn limit(excess: Excess, argument: Option<&str>) -> Option<RestKind> {
    let retry_after = match argument {
        None => None,
        Some("date") => Some(RetryAfter::Date),
        Some(seconds) => Some(RetryAfter::Seconds(seconds.parse().ok()?)),
    };
    Some(RestKind::Limit(excess, retry_after))
}

fn fail(status: &str, form: Option<&str>) -> Option<RestKind> {
    let status = status.parse().ok().filter(|status| matches!(status, 500 | 502 | 503))?;
    let is_page = form.is_some();
    form.is_none_or(|form| form == "html").then_some(RestKind::Fail { status, is_page })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: RestFault) {
        assert_eq!(text.parse(), Ok(expected));
    }

    #[test]
    fn every_kind_has_a_text_form() {
        let new = RestFault::new;
        check("late=7", new(RestKind::Late { every: 7, after: Duration::from_secs(90) }));
        check("canceled", new(RestKind::Canceled(10)));
        check("crowd=600", new(RestKind::Crowd { rows: 600, every: 10_000 }));
        check("limit-minute", new(RestKind::Limit(Excess::Minute, None)));
        check("limit-day=date", new(RestKind::Limit(Excess::Day, Some(RetryAfter::Date))));
        let seconds = Some(RetryAfter::Seconds(2));
        check("limit-in-flight=2@1", RestFault::first(RestKind::Limit(Excess::InFlight, seconds), 1));
        check("no-usage", new(RestKind::NoUsage));
        check("fail=500@2..", RestFault::after(RestKind::Fail { status: 500, is_page: false }, 2));
        check("fail=502,html", new(RestKind::Fail { status: 502, is_page: true }));
        check("reset=head", new(RestKind::Reset(ResetAt::Head)));
        check("drip=5", new(RestKind::Drip(Duration::from_millis(5))));
        check("news:stall", new(RestKind::Stall).of("news"));
        check("slow-head=2", new(RestKind::SlowHead(Duration::from_secs(2))));
        check("redirect=http://x:1/", new(RestKind::Redirect("http://x:1/".to_owned())));
        for refusal in RestRefusal::ALL {
            check(refusal.label(), new(RestKind::Refuse(*refusal)));
        }
        for lie in RestLie::ALL {
            let fault = RestFault::first(RestKind::Lie(*lie), 3).of("option-trades");
            check(&format!("option-trades:{}@3", lie.label()), fault);
        }
    }

    #[test]
    fn a_wrong_text_says_what_is_wrong() {
        let unknown = "explode".parse::<RestFault>().unwrap_err();
        assert_eq!(unknown.to_string(), "`explode` is not a kind of misbehaviour");
        for text in
            ["late", "late=2@1", "news:canceled", "fail=404", "reset=tail", "cut=1", "stall@x", "drip=0"]
        {
            let error = text.parse::<RestFault>().unwrap_err();
            assert_eq!(error, InvalidMisbehaviour::BadArgument(text.to_owned()));
        }
    }
}
