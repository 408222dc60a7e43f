//! Hands events to the audit as they are decoded.

use std::sync::{Arc, Mutex, MutexGuard};

use uw_websocket_core::audit::Subject;
use uw_websocket_core::audit::kept::Kept;
use uw_websocket_core::event::{ChannelIndex, Topic};

use crate::observation::Observations;
use crate::sync::lock;

/// Tickers whose trades are audited: two requests per ticker and hour at least, of a budget for the fills as well.
const MAX_TICKERS: usize = 50;

/// Keeps of the events what the audit needs. Cloned into each decoder; without an audit there is none.
#[derive(Clone, Debug)]
pub struct AuditTap {
    kept: Arc<Mutex<Kept>>,
    /// By channel: whether any of its events is audited.
    audited: Arc<[bool]>,
}

/// Returns what is audited of the joined topics, and the topics of audited channels that are not.
#[must_use]
pub fn subjects<'t>(topics: impl Iterator<Item = &'t Topic>) -> (Vec<Subject>, Vec<String>) {
    let (mut subjects, mut left_out) = (Vec::new(), Vec::new());
    let mut tickers = 0;
    for topic in topics {
        let subject = match (topic.channel.name(), &topic.symbol) {
            ("option_trades", Some(symbol)) if tickers < MAX_TICKERS => {
                tickers += 1;
                Subject::Trades(symbol.as_str().to_owned())
            }
            ("flow-alerts", None) => Subject::Alerts(Vec::new()),
            ("news", None) => Subject::News,
            // the trades of the whole market are hundreds of pages a minute
            ("option_trades" | "flow-alerts", _) => {
                left_out.push(topic.to_string());
                continue;
            }
            _ => continue,
        };
        if !subjects.contains(&subject) {
            subjects.push(subject);
        }
    }
    (subjects, left_out)
}

impl AuditTap {
    /// Creates a tap for these subjects.
    #[must_use]
    pub fn new(subjects: Vec<Subject>, observations: &Observations) -> AuditTap {
        let is_audited = |name: &str| subjects.iter().any(|subject| subject.channel() == name);
        let audited =
            observations.channels.iter().map(|channel| is_audited(channel.channel.name())).collect();
        AuditTap { kept: Arc::new(Mutex::new(Kept::new(subjects))), audited }
    }

    /// Keeps an event that arrived at `received_us`.
    #[inline]
    pub fn note(
        &self,
        index: ChannelIndex,
        (channel, ticker): (&str, Option<&str>),
        payload: &[u8],
        received_us: u64,
    ) {
        if !self.audited.get(usize::from(index.0)).is_some_and(|is_audited| *is_audited) {
            return;
        }
        let mut kept = self.kept();
        if let Some(position) = kept.position(channel, ticker) {
            kept.note(position, payload, received_us);
        }
    }

    /// Returns what is kept.
    pub fn kept(&self) -> MutexGuard<'_, Kept> {
        lock(&self.kept)
    }
}
