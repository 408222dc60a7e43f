//! Faults of a feed, on request.

use std::str::FromStr;
use std::time::Duration;

use thiserror::Error;
use uw_websocket_core::labelled;

/// A fault and the connections it applies to.
///
/// As text: `KIND[=ARGUMENT][@N|@N..]`, see [`MisbehaviourKind`] for the kinds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misbehaviour {
    /// The fault.
    pub kind: MisbehaviourKind,
    /// The connections it applies to.
    pub window: OccurrenceWindow,
}

/// Selects connections by their handshakes, counted from when the misbehaviour was set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OccurrenceWindow {
    /// Every connection, including those already open.
    All,
    /// `@N`: the first N.
    First(u64),
    /// `@N..`: all after the first N.
    After(u64),
}

/// A fault. In the text forms, `N` counts events of the connection and arguments in brackets are optional.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MisbehaviourKind {
    /// `refuse=STATUS[,RETRY_AFTER]`: refuse the handshake, with `Retry-After` in seconds if given.
    Refuse {
        /// 401 has the body of the vendor, about the missing scope.
        status: u16,
        /// Seconds.
        retry_after: Option<u32>,
    },
    /// `brief[=MS]`: serve, and close cleanly after this time (500 ms).
    Brief(Duration),
    /// `silent`: accept and answer pings, but send no acknowledgement and no event.
    Silent,
    /// `no-pong`: answer no pings.
    NoPong,
    /// `freeze=N`: after N events neither read nor write, so that even the end of the connection goes unnoticed.
    Freeze(u64),
    /// `ignore-joins=N`: do not answer the first N joins of the simulator.
    IgnoreJoins(u64),
    /// `refuse-topic=TOPIC[,REASON]`: answer the join of a topic with an error.
    RefuseTopic {
        /// Topic of the join.
        topic: String,
        /// Text of the reason.
        reason: String,
    },
    /// `notice[=TEXT]`: send the object `{"error":TEXT}` after the first join.
    Notice(String),
    /// `close=CODE[,N]`: send a close frame after N events (0).
    Close {
        /// RFC 6455 §7.4.
        code: u16,
        /// Events of the connection before it.
        after: u64,
    },
    /// `cut=N`: after N events send half a frame and end the TCP connection.
    Cut(u64),
    /// `oversized=BYTES[,N]`: after N events (0) announce a frame of this size and send only its start.
    Oversized {
        /// The announced length.
        bytes: u64,
        /// Events of the connection before it.
        after: u64,
    },
    /// `withhold=N[,CHANNEL]`: never send every N-th event, of one channel if given; the REST API knows it.
    Withhold {
        /// Period in events of the connection.
        every: u64,
        /// The only channel concerned.
        channel: Option<String>,
    },
    /// `server-pings[=MS]`: ping the client at this interval (1000 ms).
    ServerPings(Duration),
    /// `drop-when-slow[=BYTES]`: drop and count events of a connection with this much unsent (1 MiB).
    DropWhenSlow(usize),
    /// `<odd frame>[=N]`: after every N-th event (100) send a frame that is not an event; see [`OddFrame`].
    Odd(OddFrame, u64),
    /// `<alteration>[=N]`: send every N-th event (10) of a topic in another form; see [`Alteration`].
    Alter(Alteration, u64),
}

labelled! {
    /// A frame that is not an event.
    OddFrame {
        /// Reserved bit set.
        ReservedBit = "rsv",
        /// Text that is not UTF-8.
        InvalidUtf8 = "invalid-utf8",
        /// Text that is not JSON.
        NotJson = "not-json",
        /// 100 000 nested arrays within the payload.
        DeeplyNested = "deep",
        /// The payload is an array of objects.
        ArrayPayload = "array-payload",
        /// JSON that is neither an envelope nor an object; several forms take turns.
        WrongShape = "wrong-shape",
        /// An envelope in a binary frame.
        Binary = "binary",
        /// An event of a channel that no client joined.
        UnknownChannel = "unknown-channel",
        /// An event whose symbol must not become part of a key.
        BadSymbol = "bad-symbol",
        /// An event with a payload of 1 MiB.
        Huge = "huge",
        /// A top-level object.
        Notice = "notices",
    }
}

labelled! {
    /// Another form of a good event.
    Alteration {
        /// The same event twice.
        Duplicate = "duplicate",
        /// The event, then another one with the same ID and other contents.
        Amendment = "amendment",
        /// In three fragments.
        Fragments = "fragments",
        /// In three fragments with pings in between.
        FragmentsWithPings = "fragments-with-pings",
        /// `price` without `ticker`.
        PriceWithoutTicker = "price-without-ticker",
        /// `flow-alerts` with integers in place of floats.
        AlertIntegers = "alert-integers",
        /// `flow-alerts` whose `rule_name` is null.
        NullRule = "null-rule",
        /// Empty strings in place of decimals.
        BlankDecimals = "blank-decimals",
        /// Fields that are not documented.
        UnknownFields = "unknown-fields",
    }
}

/// A text that is not a misbehaviour.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum InvalidMisbehaviour {
    /// The kind is not known.
    #[error("`{0}` is not a kind of misbehaviour")]
    UnknownKind(String),
    /// The argument or the window is invalid for the kind.
    #[error("`{0}` has an argument that does not fit")]
    BadArgument(String),
}

impl Misbehaviour {
    /// Applies to every connection.
    #[must_use]
    pub fn new(kind: MisbehaviourKind) -> Misbehaviour {
        Misbehaviour { kind, window: OccurrenceWindow::All }
    }

    /// Applies to the connections of the next `n` handshakes only.
    #[must_use]
    pub fn first(kind: MisbehaviourKind, n: u64) -> Misbehaviour {
        Misbehaviour { kind, window: OccurrenceWindow::First(n) }
    }

    /// Applies to all connections after the next `n` handshakes.
    #[must_use]
    pub fn after(kind: MisbehaviourKind, n: u64) -> Misbehaviour {
        Misbehaviour { kind, window: OccurrenceWindow::After(n) }
    }
}

impl OccurrenceWindow {
    /// Reads `N` or `N..`.
    pub(super) fn parse(text: &str) -> Option<OccurrenceWindow> {
        match text.strip_suffix("..") {
            Some(n) => n.parse().ok().map(OccurrenceWindow::After),
            None => text.parse().ok().map(OccurrenceWindow::First),
        }
    }

    /// Whether it contains the `n`-th handshake (from 1) since the misbehaviour was set; `None` is an earlier one.
    pub(super) fn holds(self, n: Option<u64>) -> bool {
        match (self, n) {
            (OccurrenceWindow::All, _) => true,
            (OccurrenceWindow::First(first), Some(n)) => n <= first,
            (OccurrenceWindow::After(first), Some(n)) => n > first,
            (OccurrenceWindow::First(_) | OccurrenceWindow::After(_), None) => false,
        }
    }
}

impl FromStr for Misbehaviour {
    type Err = InvalidMisbehaviour;

    fn from_str(text: &str) -> Result<Misbehaviour, InvalidMisbehaviour> {
        let bad = || InvalidMisbehaviour::BadArgument(text.to_owned());
        let (kind, window) = match text.rsplit_once('@') {
            None => (text, OccurrenceWindow::All),
            Some((kind, window)) => (kind, OccurrenceWindow::parse(window).ok_or_else(bad)?),
        };
        let (name, argument) = match kind.split_once('=') {
            Some((name, argument)) => (name, Some(argument)),
            None => (kind, None),
        };
        Ok(Misbehaviour { kind: MisbehaviourKind::parse(name, argument)?.ok_or_else(bad)?, window })
    }
}

impl MisbehaviourKind {
    /// Returns `None` for an invalid argument.
    fn parse(name: &str, argument: Option<&str>) -> Result<Option<MisbehaviourKind>, InvalidMisbehaviour> {
        if let Some(odd) = OddFrame::ALL.iter().find(|odd| odd.label() == name) {
            return Ok(period(argument, 100).map(|every| MisbehaviourKind::Odd(*odd, every)));
        }
        if let Some(alteration) = Alteration::ALL.iter().find(|alteration| alteration.label() == name) {
            return Ok(period(argument, 10).map(|every| MisbehaviourKind::Alter(*alteration, every)));
        }
        let text = argument.unwrap_or_default();
        let (head, tail) = text.split_once(',').map_or((text, None), |(head, tail)| (head, Some(tail)));
        let after = || tail.map_or(Some(0), |tail| tail.parse().ok());
        Ok(match name {
            "refuse" => refusal(head, tail),
            "brief" => millis(argument, 500).map(MisbehaviourKind::Brief),
            "silent" => argument.is_none().then_some(MisbehaviourKind::Silent),
            "no-pong" => argument.is_none().then_some(MisbehaviourKind::NoPong),
            "freeze" => text.parse().ok().map(MisbehaviourKind::Freeze),
            "ignore-joins" => text.parse().ok().map(MisbehaviourKind::IgnoreJoins),
            "refuse-topic" => refused_topic(head, tail),
            "notice" => {
                Some(MisbehaviourKind::Notice(argument.unwrap_or("connection limit reached").to_owned()))
            }
            "close" => {
                head.parse().ok().and_then(|code| Some(MisbehaviourKind::Close { code, after: after()? }))
            }
            "cut" => text.parse().ok().map(MisbehaviourKind::Cut),
            "oversized" => head
                .parse()
                .ok()
                .and_then(|bytes| Some(MisbehaviourKind::Oversized { bytes, after: after()? })),
            "withhold" => period(Some(head), 1)
                .map(|every| MisbehaviourKind::Withhold { every, channel: tail.map(str::to_owned) }),
            "server-pings" => millis(argument, 1000).map(MisbehaviourKind::ServerPings),
            "drop-when-slow" => {
                argument.map_or(Some(1 << 20), |text| text.parse().ok()).map(MisbehaviourKind::DropWhenSlow)
            }
            _ => return Err(InvalidMisbehaviour::UnknownKind(name.to_owned())),
        })
    }
}

/// Reads a number of events, which must not be 0.
fn period(argument: Option<&str>, usual: u64) -> Option<u64> {
    argument.map_or(Some(usual), |text| text.parse().ok().filter(|every| *every > 0))
}

fn millis(argument: Option<&str>, usual: u64) -> Option<Duration> {
    argument.map_or(Some(usual), |text| text.parse().ok().filter(|ms| *ms > 0)).map(Duration::from_millis)
}

fn refusal(status: &str, retry_after: Option<&str>) -> Option<MisbehaviourKind> {
    let status = status.parse().ok().filter(|status| (400..600).contains(status))?;
    let retry_after = match retry_after {
        Some(seconds) => Some(seconds.parse().ok()?),
        None => None,
    };
    Some(MisbehaviourKind::Refuse { status, retry_after })
}

fn refused_topic(topic: &str, reason: Option<&str>) -> Option<MisbehaviourKind> {
    let reason = reason.unwrap_or("your plan does not include this channel").to_owned();
    (!topic.is_empty()).then(|| MisbehaviourKind::RefuseTopic { topic: topic.to_owned(), reason })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Misbehaviour) {
        assert_eq!(text.parse(), Ok(expected));
    }

    #[test]
    fn every_kind_has_a_text_form() {
        check(
            "refuse=429,7",
            Misbehaviour::new(MisbehaviourKind::Refuse { status: 429, retry_after: Some(7) }),
        );
        check(
            "refuse=503@3",
            Misbehaviour::first(MisbehaviourKind::Refuse { status: 503, retry_after: None }, 3),
        );
        check(
            "refuse=401@2..",
            Misbehaviour::after(MisbehaviourKind::Refuse { status: 401, retry_after: None }, 2),
        );
        check("brief", Misbehaviour::new(MisbehaviourKind::Brief(Duration::from_millis(500))));
        check("brief=90", Misbehaviour::new(MisbehaviourKind::Brief(Duration::from_millis(90))));
        check("silent", Misbehaviour::new(MisbehaviourKind::Silent));
        check("no-pong", Misbehaviour::new(MisbehaviourKind::NoPong));
        check("freeze=5", Misbehaviour::new(MisbehaviourKind::Freeze(5)));
        check("ignore-joins=1", Misbehaviour::new(MisbehaviourKind::IgnoreJoins(1)));
        let (topic, reason) = ("gex:SPY".to_owned(), "no".to_owned());
        check("refuse-topic=gex:SPY,no", Misbehaviour::new(MisbehaviourKind::RefuseTopic { topic, reason }));
        check("notice=stop", Misbehaviour::new(MisbehaviourKind::Notice("stop".to_owned())));
        check("close=1008,4", Misbehaviour::new(MisbehaviourKind::Close { code: 1008, after: 4 }));
        check("close=1001", Misbehaviour::new(MisbehaviourKind::Close { code: 1001, after: 0 }));
        check("cut=10@1", Misbehaviour::first(MisbehaviourKind::Cut(10), 1));
        let bytes = 1 << 30;
        check("oversized=1073741824", Misbehaviour::new(MisbehaviourKind::Oversized { bytes, after: 0 }));
        let channel = Some("news".to_owned());
        check("withhold=9,news", Misbehaviour::new(MisbehaviourKind::Withhold { every: 9, channel }));
        check("withhold=1", Misbehaviour::new(MisbehaviourKind::Withhold { every: 1, channel: None }));
        check("server-pings", Misbehaviour::new(MisbehaviourKind::ServerPings(Duration::from_secs(1))));
        check("drop-when-slow=4096", Misbehaviour::new(MisbehaviourKind::DropWhenSlow(4096)));
        for odd in OddFrame::ALL {
            check(odd.label(), Misbehaviour::new(MisbehaviourKind::Odd(*odd, 100)));
        }
        for alteration in Alteration::ALL {
            check(
                &format!("{}=3", alteration.label()),
                Misbehaviour::new(MisbehaviourKind::Alter(*alteration, 3)),
            );
        }
    }

    #[test]
    fn a_wrong_text_says_what_is_wrong() {
        let unknown = "explode".parse::<Misbehaviour>().unwrap_err();
        assert_eq!(unknown.to_string(), "`explode` is not a kind of misbehaviour");
        for text in [
            "refuse=200",
            "refuse",
            "duplicate=0",
            "withhold=0",
            "silent=1",
            "cut@x",
            "close=a",
            "refuse-topic",
        ] {
            let error = text.parse::<Misbehaviour>().unwrap_err();
            assert_eq!(error, InvalidMisbehaviour::BadArgument(text.to_owned()));
        }
    }

    #[test]
    fn a_window_counts_handshakes_since_it_was_set() {
        assert!(OccurrenceWindow::All.holds(None));
        assert!(OccurrenceWindow::First(2).holds(Some(2)) && !OccurrenceWindow::First(2).holds(Some(3)));
        assert!(OccurrenceWindow::After(2).holds(Some(3)) && !OccurrenceWindow::After(2).holds(Some(2)));
        assert!(!OccurrenceWindow::First(2).holds(None) && !OccurrenceWindow::After(2).holds(None));
    }
}
