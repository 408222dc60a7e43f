//! Hands events to the audit as they are decoded.

use std::sync::{Arc, Mutex, MutexGuard};

use uw_websocket_core::audit::AuditSubject;
use uw_websocket_core::audit::kept::KeptIdentities;
use uw_websocket_core::event::{ChannelIndex, Topic};

use crate::observation::Observations;
use crate::sync::lock;

/// Tickers of a channel that are audited: up to four requests per ticker and hour, of a budget for the fills as well.
const MAX_TICKERS: usize = 50;

/// Keeps of the events what the audit needs. Cloned into each decoder; without an audit there is none.
#[derive(Clone, Debug)]
pub struct AuditTap {
    kept: Arc<Mutex<KeptIdentities>>,
    /// By channel: whether any of its events is audited.
    audited: Arc<[bool]>,
}

/// Returns what is audited of the joined topics, and the topics of audited channels that are not.
#[must_use]
pub fn subjects<'t>(topics: impl Iterator<Item = &'t Topic>) -> (Vec<AuditSubject>, Vec<String>) {
    let (mut subjects, mut left_out) = (Vec::new(), Vec::new());
    for topic in topics {
        let channel = topic.channel.name();
        let ticker = topic.symbol.as_ref().map(|symbol| symbol.as_str().to_owned());
        let subject = match (channel, ticker) {
            ("flow-alerts", None) => AuditSubject::Alerts(Vec::new()),
            ("news", None) => AuditSubject::News,
            ("option_trades", Some(ticker)) => AuditSubject::Trades(ticker),
            ("price", Some(ticker)) => AuditSubject::Price(ticker),
            ("gex", Some(ticker)) => AuditSubject::Gex(ticker),
            ("gex_strike", Some(ticker)) => AuditSubject::Strikes(ticker),
            ("gex_strike_expiry", Some(ticker)) => AuditSubject::StrikesByExpiry(ticker),
            // the trades of the whole market are hundreds of pages a minute, and the other endpoints need a ticker
            ("flow-alerts" | "option_trades" | "price" | "gex" | "gex_strike" | "gex_strike_expiry", _) => {
                left_out.push(topic.to_string());
                continue;
            }
            _ => continue,
        };
        let of_channel = subjects.iter().filter(|known: &&AuditSubject| known.channel() == channel).count();
        if subjects.contains(&subject) {
            continue;
        }
        if of_channel < MAX_TICKERS {
            subjects.push(subject);
        } else {
            left_out.push(topic.to_string());
        }
    }
    (subjects, left_out)
}

impl AuditTap {
    /// Creates a tap for these subjects.
    #[must_use]
    pub fn new(subjects: Vec<AuditSubject>, observations: &Observations) -> AuditTap {
        let is_audited = |name: &str| subjects.iter().any(|subject| subject.channel() == name);
        let audited =
            observations.channels.iter().map(|channel| is_audited(channel.channel.name())).collect();
        AuditTap { kept: Arc::new(Mutex::new(KeptIdentities::new(subjects))), audited }
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
    pub fn kept(&self) -> MutexGuard<'_, KeptIdentities> {
        lock(&self.kept)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uw_websocket_core::event::{Channel, Symbol};

    fn topic(channel: &str, symbol: Option<&str>) -> Topic {
        let symbol = symbol.map(|symbol| Symbol::parse(symbol).unwrap());
        Topic { channel: Channel::parse(channel).unwrap(), symbol }
    }

    #[test]
    fn what_has_an_endpoint_is_audited_and_the_rest_of_its_channel_is_named() {
        let topics = [
            topic("price", Some("SPY")),
            topic("price", Some("SPY")),
            topic("gex", None),
            topic("gex_strike_expiry", Some("SPY")),
            topic("news", None),
            topic("market_tide", None),
        ];
        let (found, left_out) = subjects(topics.iter());
        let spy = || "SPY".to_owned();
        assert_eq!(
            found,
            [AuditSubject::Price(spy()), AuditSubject::StrikesByExpiry(spy()), AuditSubject::News]
        );
        assert_eq!(left_out, ["gex"]);
    }

    #[test]
    fn beyond_the_bound_of_a_channel_tickers_are_named() {
        let name = |n: usize| {
            let letter = |n: usize| char::from(b'A' + u8::try_from(n % 26).unwrap());
            format!("{}{}", letter(n / 26), letter(n))
        };
        let both = |n| [topic("price", Some(&name(n))), topic("gex", Some(&name(n)))];
        let topics: Vec<Topic> = (0..MAX_TICKERS + 2).flat_map(both).collect();
        let (found, left_out) = subjects(topics.iter());
        assert_eq!((found.len(), left_out.len()), (2 * MAX_TICKERS, 4));
    }
}
