//! The selection of events from a recording.

use uw_websocket_core::event::Symbol;
use uw_websocket_core::feed::routing_fields::RoutingFields;
use uw_websocket_core::routing::symbol_of;

use crate::streams::name::StreamName;
use crate::streams::selection::Pattern;

/// The selection; the default is everything.
#[derive(Clone, Debug)]
pub(in crate::cli) struct Wanted {
    /// Channels; empty means all.
    pub(in crate::cli) channels: Vec<Pattern>,
    /// Symbols; empty means all.
    pub(in crate::cli) symbols: Vec<Symbol>,
    /// The beginning (inclusive), in Unix milliseconds.
    pub(in crate::cli) from_ms: u64,
    /// The end (exclusive), in Unix milliseconds.
    pub(in crate::cli) to_ms: u64,
    /// The rows fetched over REST in place of the events.
    pub(in crate::cli) is_fetched: bool,
}

impl Default for Wanted {
    fn default() -> Wanted {
        Wanted { channels: Vec::new(), symbols: Vec::new(), from_ms: 0, to_ms: u64::MAX, is_fetched: false }
    }
}

impl Wanted {
    /// Returns whether an event is selected, by its stream and payload. An event of unknown time matches any.
    pub(in crate::cli) fn has(&self, name: &StreamName, payload: &[u8], received_ms: Option<u64>) -> bool {
        received_ms.is_none_or(|ms| (self.from_ms..self.to_ms).contains(&ms))
            && (self.channels.is_empty() || self.channels.iter().any(|pattern| pattern.is_about(name)))
            && self.has_symbol(name, payload)
    }

    /// Returns whether an event has a selected symbol: the stream's own, else those named in the payload.
    pub(in crate::cli) fn has_symbol(&self, name: &StreamName, payload: &[u8]) -> bool {
        if self.symbols.is_empty() {
            return true;
        }
        let is_wanted = |symbol: &str| self.symbols.iter().any(|wanted| wanted.as_str() == symbol);
        if let Some(symbol) = name.symbol() {
            return is_wanted(symbol);
        }
        let facts = std::str::from_utf8(payload).ok().and_then(|text| RoutingFields::read(text).ok());
        facts.is_some_and(|facts| {
            let symbol = match name {
                StreamName::Events(topic) => symbol_of(&topic.channel, &facts),
                StreamName::Gaps => None,
            };
            symbol.is_some_and(is_wanted) || facts.tickers.iter().any(|ticker| is_wanted(ticker))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_wanted_by_channel_symbol_and_time() {
        let wanted = Wanted {
            channels: vec!["gex*".parse().unwrap(), "news".parse().unwrap()],
            symbols: vec![Symbol::parse("SPY").unwrap()],
            from_ms: 10,
            to_ms: 20,
            is_fetched: false,
        };
        for (name, payload, ms, expected) in [
            ("gex:SPY", "{}", Some(10), true),
            ("gex:SPY", "{}", None, true),
            ("gex_strike:SPY", "{}", Some(19), true),
            ("gex:SPY", "{}", Some(20), false),
            ("gex:QQQ", "{}", Some(10), false),
            ("price:SPY", "{}", Some(10), false),
            ("news", r#"{"tickers":["QQQ","SPY"]}"#, Some(10), true),
            ("news", r#"{"tickers":["QQQ"]}"#, Some(10), false),
            ("news", "no json", Some(10), false),
        ] {
            let name = StreamName::parse(name).unwrap();
            assert_eq!(wanted.has(&name, payload.as_bytes(), ms), expected, "{name} {payload} {ms:?}");
        }
        assert!(Wanted::default().has(&StreamName::parse("price:QQQ").unwrap(), b"", Some(u64::MAX - 1)));
    }
}
