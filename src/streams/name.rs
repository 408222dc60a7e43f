//! The name of a stream: `<p>:ws:<channel>[:<SYMBOL>]`.

use std::fmt;

use uw_websocket_core::event::{Channel, Symbol, Topic};

/// The gap ledger: the only stream of the service that belongs to no channel and can be followed.
pub const GAPS: &str = "gaps";

/// The contents of a stream.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum StreamName {
    /// Events of a channel, for one symbol or all.
    Events(Topic),
    /// The gap ledger.
    Gaps,
}

impl StreamName {
    /// Parses a key; `None` if it is not a stream of the service.
    #[must_use]
    pub fn of_key(prefix: &str, key: &str) -> Option<StreamName> {
        StreamName::parse(key.strip_prefix(prefix)?.strip_prefix(":ws:")?)
    }

    /// Parses the part of a key after `<p>:ws:`.
    #[must_use]
    pub fn parse(name: &str) -> Option<StreamName> {
        let (channel, symbol) = Topic::split(name);
        if name == GAPS {
            return Some(StreamName::Gaps);
        }
        if Channel::RESERVED.contains(&channel) {
            return None;
        }
        let symbol = symbol.map(Symbol::parse).transpose().ok()?;
        Some(StreamName::Events(Topic { channel: Channel::parse(channel).ok()?, symbol }))
    }

    /// Returns the key under a prefix.
    #[must_use]
    pub fn key(&self, prefix: &str) -> String {
        format!("{prefix}:ws:{self}")
    }

    /// Returns the channel's name.
    #[must_use]
    pub fn channel(&self) -> &str {
        match self {
            StreamName::Events(topic) => topic.channel.name(),
            StreamName::Gaps => GAPS,
        }
    }

    /// Returns the symbol, if the stream is of one.
    #[must_use]
    pub fn symbol(&self) -> Option<&str> {
        match self {
            StreamName::Events(topic) => topic.symbol.as_ref().map(Symbol::as_str),
            StreamName::Gaps => None,
        }
    }
}

impl fmt::Display for StreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StreamName::Events(topic) => topic.fmt(f),
            StreamName::Gaps => f.write_str(GAPS),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn event_streams_and_the_ledger_are_told_by_their_keys() {
        for name in ["price:SPY", "news", "flow-alerts:BRK.B", "gaps", "futures:ESU6"] {
            let key = format!("uw:ws:{name}");
            let read = StreamName::of_key("uw", &key).expect(name);
            assert_eq!((read.to_string(), read.key("uw")), (name.to_owned(), key));
        }
    }

    #[test]
    fn other_keys_are_none_of_ours() {
        for key in [
            "uw:ws:status",
            "uw:ws:owner",
            "uw:ws:ledger",
            "uw:ws:latest:price:SPY",
            "uw:ws:map:gex_strike:SPY",
            "uw:ws:gaps:SPY",
            "uw:ws:price:spy",
            "uw:ws:price:SPY:mine",
            "uw:ws:",
            "uw:rest:flow_alerts:SPY",
            "uwx:ws:news",
        ] {
            assert_eq!(StreamName::of_key("uw", key), None, "{key}");
        }
    }
}
