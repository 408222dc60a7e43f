//! A gap: an interval in which channels were not received, or events that were and are not stored.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::excerpt::excerpt;
use uw_websocket_core::event::{Channel, Family, Topic};
use uw_websocket_core::labelled;
use uw_websocket_core::time::{iso_utc, parse_iso};

/// Longest `detail`, in bytes: one line for people, including the message of the feed or of Redis.
const DETAIL: usize = 300;
/// Maximum length of the name of a topic that is read; ours have a few dozen bytes.
pub(crate) const MAX_NAME: usize = 256;
/// Maximum number of topics that are read: far more than the vendor's sockets accept.
pub(crate) const MAX_TOPICS: usize = 16_384;

labelled! {
    /// Why something is missing.
    GapReason {
        /// The session ended: a close, a read error, a protocol error. Handshakes that fail afterwards extend the gap.
        Disconnect = "disconnect",
        /// A ping was not answered.
        Death = "death",
        /// No event for far longer than the cadence of a socket that had delivered events, in its trading hours.
        Silence = "silence",
        /// Connected, but a join was not acknowledged within 30 s, or refused.
        Unjoined = "unjoined",
        /// The socket was not read, because the writers had no room.
        Blocked = "blocked",
        /// The disk queue was full.
        SpoolFull = "spool_full",
        /// The disk queue was damaged.
        SpoolCorrupt = "spool_corrupt",
        /// The process or one of its actors crashed.
        Crash = "crash",
        /// Redis lost events that it had confirmed.
        RedisLost = "redis_lost",
        /// Redis permanently refuses events.
        Rejected = "rejected",
        /// The process was stopped.
        Shutdown = "shutdown",
        /// Redis has the events, and the archive has not.
        ArchiveSkipped = "archive_skipped",
        /// The REST API has events that the feed has not delivered, as the audit has proven.
        Unseen = "unseen",
        /// Nothing is missing: events of an owner that another instance had succeeded were stored behind newer ones.
        Late = "late",
    }
}

impl GapReason {
    /// Returns the explanation of the reason for `docs/gaps.md`.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        match self {
            GapReason::Disconnect => {
                "the session ended (a close or a read error); failed handshakes extend the gap"
            }
            GapReason::Death => "a ping was not answered within its interval",
            GapReason::Silence => {
                "no event for far longer than the cadence that the socket had shown (five times its longest interval, \
                 75 s at least, 10 min at most), in the [trading hours](feed.md#hours) of what it carries; `detail` \
                 says what was usual; the gap begins at the last event"
            }
            GapReason::Unjoined => "connected, but the join was refused or not acknowledged within 30 s",
            GapReason::Blocked => {
                "the socket was not read for at least one second because the writers had no room"
            }
            GapReason::SpoolFull => "the disk queue was full and events were dropped",
            GapReason::SpoolCorrupt => "part of the disk queue was damaged",
            GapReason::Crash => "the process (from its last sign of life) or one of its actors crashed",
            GapReason::RedisLost => "Redis lost confirmed events beyond those that can be written again",
            GapReason::Rejected => "Redis permanently refuses the events",
            GapReason::ArchiveSkipped => {
                "Redis has the events and the archive has not: the disk queue needed their room, or could not hold them; or fetched \
                 rows left Redis first"
            }
            GapReason::Unseen => {
                "the REST API has events that the feed has not delivered, as the [audit](#audit) has found in two answers; \
                 `events` is their number, of prices and exposures that of the REST rows without an event"
            }
            GapReason::Shutdown => "the process was stopped, or its drain timed out",
            GapReason::Late => {
                "nothing is missing: events of a former owner, received in this interval, were stored behind newer ones"
            }
        }
    }

    /// Reads a label.
    #[must_use]
    pub fn parse(label: &str) -> Option<GapReason> {
        GapReason::ALL.iter().copied().find(|reason| reason.label() == label)
    }
}

/// A closed gap, as recorded in the ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// The family of the channels.
    #[serde(with = "family")]
    pub family: Family,
    /// Topics such as `price:SPY`, or channels where the topics are unknown.
    pub channels: Vec<String>,
    /// The last moment before the gap, in Unix microseconds.
    #[serde(rename = "from", with = "moment")]
    pub from_us: u64,
    /// The end, in Unix microseconds; never before `from_us`.
    #[serde(rename = "to", with = "moment")]
    pub to_us: u64,
    /// The cause.
    #[serde(with = "reason")]
    pub reason: GapReason,
    /// The number of missing events, if known.
    pub events: Option<u64>,
    /// More, for people. Never contains a secret.
    pub detail: String,
}

impl Gap {
    /// Builds a gap with an unknown number of events; swaps the two times if the clock was set back between them.
    #[must_use]
    pub fn new(family: Family, channels: Vec<String>, between: (u64, u64), reason: GapReason) -> Gap {
        let (from_us, to_us) = (between.0.min(between.1), between.0.max(between.1));
        Gap { family, channels, from_us, to_us, reason, events: None, detail: String::new() }
    }

    /// Sets the detail, truncated to `DETAIL`. The caller keeps secrets out of it.
    #[must_use]
    pub fn with_detail(mut self, detail: impl Into<String>) -> Gap {
        self.detail = excerpt(detail.into(), DETAIL);
        self
    }

    /// Sets the number of missing events.
    #[must_use]
    pub fn with_events(mut self, events: u64) -> Gap {
        self.events = Some(events);
        self
    }

    /// Returns the duration in seconds.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        self.to_us.saturating_sub(self.from_us) as f64 / 1e6
    }

    /// Returns whether the two gaps may be merged.
    #[must_use]
    pub fn is_like(&self, other: &Gap) -> bool {
        (self.family, self.reason) == (other.family, other.reason)
    }

    /// Extends this gap to cover another one.
    pub fn absorb(&mut self, other: Gap) {
        self.from_us = self.from_us.min(other.from_us);
        self.to_us = self.to_us.max(other.to_us);
        self.events = match (self.events, other.events) {
            (None, None) => None,
            (mine, others) => Some(mine.unwrap_or_default().saturating_add(others.unwrap_or_default())),
        };
        for channel in other.channels {
            if !self.channels.contains(&channel) {
                self.channels.push(channel);
            }
        }
        self.detail = other.detail;
    }

    /// Returns name and value of each field of the entry in Redis.
    #[must_use]
    pub fn fields(&self) -> Vec<(String, String)> {
        let mut fields = vec![
            ("family", self.family.name().to_owned()),
            ("channels", self.channels.join(",")),
            ("from", iso_utc(self.from_us)),
            ("to", iso_utc(self.to_us)),
            ("reason", self.reason.label().to_owned()),
        ];
        fields.extend(self.events.map(|events| ("events", events.to_string())));
        fields.push(("detail", self.detail.clone()));
        fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// Reads the fields of an entry; `None` if another program wrote it.
    #[must_use]
    pub fn of_fields(fields: &[(String, String)]) -> Option<Gap> {
        let field = |name| fields.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str());
        let channels = field("channels")?.split(',').filter(|channel| !channel.is_empty());
        let mut lengths = channels.clone().map(str::len);
        let is_ours = lengths.clone().nth(MAX_TOPICS).is_none() && lengths.all(|length| length <= MAX_NAME);
        Some(Gap {
            family: parse_family(field("family")?)?,
            channels: is_ours.then(|| channels.map(str::to_owned).collect())?,
            from_us: parse_iso(field("from")?)?,
            to_us: parse_iso(field("to")?)?,
            reason: GapReason::parse(field("reason")?)?,
            events: field("events").map(str::parse).transpose().ok()?,
            detail: field("detail").unwrap_or_default().to_owned(),
        })
    }
}

/// An open gap: the topics of one outage of a family.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OpenGap {
    /// The family of the topics.
    #[serde(with = "family")]
    pub family: Family,
    /// The topics.
    pub channels: Vec<String>,
    /// The last moment before the gap, in Unix microseconds.
    #[serde(rename = "from", with = "moment")]
    pub from_us: u64,
    /// The cause.
    #[serde(with = "reason")]
    pub reason: GapReason,
    /// More, for people.
    pub detail: String,
}

/// Returns the family that carries a topic such as `price:SPY`; [`Family::Other`] if the channel is unknown.
#[must_use]
pub fn family_of(topic: &str) -> Family {
    let channel = Topic::split(topic).0;
    Channel::parse(channel).map_or(Family::Other, |channel| channel.family())
}

/// Reads the name of a family.
#[must_use]
pub fn parse_family(name: &str) -> Option<Family> {
    Family::ALL.into_iter().find(|family| family.name() == name)
}

pub(super) mod family {
    use super::{Deserialize, Deserializer, Family, Serializer, parse_family};

    #[allow(clippy::trivially_copy_pass_by_ref, reason = "the form that serde asks for")]
    pub(crate) fn serialize<S: Serializer>(family: &Family, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(family.name())
    }

    pub(crate) fn deserialize<'d, D: Deserializer<'d>>(from: D) -> Result<Family, D::Error> {
        let name = String::deserialize(from)?;
        parse_family(&name).ok_or_else(|| serde::de::Error::custom("not a family"))
    }
}

pub(super) mod reason {
    use super::{Deserialize, Deserializer, GapReason, Serializer};

    #[allow(clippy::trivially_copy_pass_by_ref, reason = "the form that serde asks for")]
    pub(crate) fn serialize<S: Serializer>(reason: &GapReason, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(reason.label())
    }

    pub(crate) fn deserialize<'d, D: Deserializer<'d>>(from: D) -> Result<GapReason, D::Error> {
        let label = String::deserialize(from)?;
        GapReason::parse(&label).ok_or_else(|| serde::de::Error::custom("not a reason of a gap"))
    }
}

pub(super) mod moment {
    use super::{Deserialize, Deserializer, Serializer, iso_utc, parse_iso};

    #[allow(clippy::trivially_copy_pass_by_ref, reason = "the form that serde asks for")]
    pub(crate) fn serialize<S: Serializer>(at: &u64, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&iso_utc(*at))
    }

    pub(crate) fn deserialize<'d, D: Deserializer<'d>>(from: D) -> Result<u64, D::Error> {
        let text = String::deserialize(from)?;
        parse_iso(&text).ok_or_else(|| serde::de::Error::custom("not a time"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gap() -> Gap {
        Gap::new(
            Family::Prices,
            vec!["price:SPY".into(), "price:QQQ".into()],
            (1_000_000, 3_500_000),
            GapReason::Death,
        )
        .with_detail("no pong")
    }

    #[test]
    fn a_gap_comes_back_from_its_entry_and_from_its_json() {
        for gap in [gap(), gap().with_events(7)] {
            assert_eq!(Gap::of_fields(&gap.fields()).as_ref(), Some(&gap));
            let json = serde_json::to_string(&gap).unwrap();
            assert_eq!(serde_json::from_str::<Gap>(&json).unwrap(), gap);
        }
        let names: Vec<_> = gap().fields().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["family", "channels", "from", "to", "reason", "detail"]);
        assert!(gap().fields().contains(&("from".into(), "1970-01-01T00:00:01.000000+00:00".into())));
    }

    #[test]
    fn a_foreign_entry_is_no_gap() {
        let mut fields = gap().fields();
        fields[4].1 = "because".into();
        assert_eq!(Gap::of_fields(&fields), None);
        assert_eq!(Gap::of_fields(&[("payload".into(), "{}".into())]), None);
        let naming = |channels: String| {
            let mut fields = gap().fields();
            fields[1].1 = channels;
            Gap::of_fields(&fields)
        };
        assert!(naming("a,".repeat(MAX_TOPICS)).is_some());
        assert_eq!([naming("a,".repeat(MAX_TOPICS + 1)), naming("a".repeat(MAX_NAME + 1))], [None, None]);
    }

    #[test]
    fn a_gap_is_never_negative_and_its_detail_never_long() {
        let gap = Gap::new(Family::Gex, Vec::new(), (9, 4), GapReason::Crash).with_detail("x".repeat(5000));
        assert_eq!((gap.from_us, gap.to_us, gap.detail.len()), (4, 9, DETAIL));
    }

    #[test]
    fn a_gap_absorbs_another_of_its_kind() {
        let mut first = gap();
        let mut second = gap().with_events(4);
        (second.from_us, second.to_us) = (500_000, 2_000_000);
        second.channels = vec!["price:QQQ".into(), "price:IWM".into()];
        assert!(first.is_like(&second));
        first.absorb(second);
        assert_eq!((first.from_us, first.to_us, first.events), (500_000, 3_500_000, Some(4)));
        assert_eq!(first.channels, ["price:SPY", "price:QQQ", "price:IWM"]);
    }

    #[test]
    fn the_family_of_a_topic_is_that_of_its_channel() {
        assert_eq!(family_of("gex_strike:SPY"), Family::Gex);
        assert_eq!(family_of("news"), Family::News);
        assert_eq!(family_of("lit_trades"), Family::Other);
    }
}
