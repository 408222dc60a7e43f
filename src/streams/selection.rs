//! The selection of streams: by the settings, or by patterns such as `option_trades:SPY`, `gex*:SPY` or `news`.
//!
//! A channel without a symbol selects all its events once: the full stream if the channel has one (`news`), since it
//! includes the events of the symbols' streams; otherwise the streams of all symbols. The ledger is selected only by
//! name.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use thiserror::Error;
use uw_websocket_core::event::{Scope, Symbol, Topic};
use uw_websocket_core::settings::{ChannelChoice, PlanSettings, Targets};

use super::name::{GAPS, StreamName};

/// A pattern of stream names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    channel: String,
    /// `None` selects all events of the channel.
    symbol: Option<String>,
}

/// An invalid pattern.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("must be CHANNEL or CHANNEL:SYMBOL, where `*` stands for any text")]
pub struct InvalidPattern;

impl FromStr for Pattern {
    type Err = InvalidPattern;

    /// Symbols are accepted in any case.
    fn from_str(text: &str) -> Result<Pattern, InvalidPattern> {
        let (channel, symbol) = Topic::split(text);
        let legal = |text: &str| {
            let extra = |b: u8| matches!(b, b'*' | b'.' | b'-' | b'_' | b'/');
            !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || extra(b))
        };
        if !legal(channel) || symbol.is_some_and(|symbol| !legal(symbol)) {
            return Err(InvalidPattern);
        }
        Ok(Pattern { channel: channel.to_owned(), symbol: symbol.map(str::to_ascii_uppercase) })
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.channel)?;
        self.symbol.iter().try_for_each(|symbol| write!(f, ":{symbol}"))
    }
}

impl Pattern {
    /// Selects every event of the configured channels and symbols.
    #[must_use]
    pub fn of_settings(plan: &PlanSettings) -> Vec<Pattern> {
        plan.channels.iter().flat_map(|choice| Pattern::of_choice(choice, &plan.targets)).collect()
    }

    fn of_choice(choice: &ChannelChoice, targets: &Targets) -> Vec<Pattern> {
        let pattern = |channel: &str, symbol: Option<&str>| Pattern {
            channel: channel.to_owned(),
            symbol: symbol.map(str::to_owned),
        };
        match (choice, targets) {
            (ChannelChoice::Topic(Topic { channel, symbol }), _) => {
                vec![pattern(channel.name(), symbol.as_ref().map(Symbol::as_str))]
            }
            (ChannelChoice::Channel(channel), Targets::Symbols(symbols))
                if channel.scope() == Scope::PerTicker =>
            {
                symbols.iter().map(|symbol| pattern(channel.name(), Some(symbol.as_str()))).collect()
            }
            (ChannelChoice::Channel(channel), _) => vec![pattern(channel.name(), None)],
        }
    }

    /// Selects every event of every channel.
    #[must_use]
    pub fn everything() -> Pattern {
        Pattern { channel: "*".to_owned(), symbol: None }
    }

    /// Returns whether this pattern selects streams of another one, which has no `*`.
    #[must_use]
    pub fn may_be_about(&self, other: &Pattern) -> bool {
        is_like(&self.channel, &other.channel)
            && match (&self.symbol, &other.symbol) {
                (None, _) | (Some(_), None) => true,
                (Some(wanted), Some(symbol)) => is_like(wanted, symbol),
            }
    }

    /// Returns whether events in this stream match the pattern.
    #[must_use]
    pub fn is_about(&self, name: &StreamName) -> bool {
        self.matches(name, false)
    }

    /// Returns whether streams of a channel may match the pattern.
    #[must_use]
    pub fn is_of(&self, channel: &str) -> bool {
        is_like(&self.channel, channel)
    }

    fn matches_channel(&self, name: &StreamName) -> bool {
        match name {
            StreamName::Gaps => self.channel == GAPS && self.symbol.is_none(),
            StreamName::Events(_) => is_like(&self.channel, name.channel()),
        }
    }

    /// Returns whether the pattern selects the stream; `has_full_stream` refers to its channel.
    fn matches(&self, name: &StreamName, has_full_stream: bool) -> bool {
        self.matches_channel(name)
            && match (&self.symbol, name.symbol()) {
                (None, None) => true,
                (None, Some(_)) => !has_full_stream,
                (Some(_), None) => false,
                (Some(wanted), Some(symbol)) => is_like(wanted, symbol),
            }
    }
}

/// Selects from the existing streams. The result is in the order of the channels, full streams first.
#[must_use]
pub fn choose(patterns: &[Pattern], there: &BTreeSet<StreamName>) -> Vec<StreamName> {
    let has_full_stream = |name: &StreamName| match name {
        // for a channel per ticker, this stream has only events without a symbol
        StreamName::Events(topic) if topic.channel.scope() == Scope::Global => {
            let full = Topic { channel: topic.channel.clone(), symbol: None };
            there.contains(&StreamName::Events(full))
        }
        _ => false,
    };
    let is_wanted = |name: &&StreamName| {
        let has_full_stream = has_full_stream(name);
        patterns.iter().any(|pattern| pattern.matches(name, has_full_stream))
    };
    there.iter().filter(is_wanted).cloned().collect()
}

/// Returns whether `text` matches `glob`, in which `*` stands for any text.
fn is_like(glob: &str, text: &str) -> bool {
    let Some((before, after)) = glob.split_once('*') else { return glob == text };
    let Some(rest) = text.strip_prefix(before) else { return false };
    // the shortest text for this `*` that lets the rest match; globs are as long as a name
    (0..=rest.len()).filter_map(|start| rest.get(start..)).any(|rest| is_like(after, rest))
}

#[cfg(test)]
mod tests {
    use uw_websocket_core::event::Channel;
    use uw_websocket_core::settings::WhenJoinsExceed;

    use super::*;

    const THERE: &str = "flow-alerts flow-alerts:QQQ flow-alerts:SPY gaps gex:QQQ gex:SPY gex_strike:SPY news \
                         news:SPY option_trades option_trades:QQQ option_trades:SPXW option_trades:SPY";

    #[track_caller]
    fn check(patterns: &[Pattern], chosen: &str) {
        let there = THERE.split_whitespace().map(|name| StreamName::parse(name).unwrap()).collect();
        let names: Vec<String> = choose(patterns, &there).iter().map(ToString::to_string).collect();
        assert_eq!(names.join(" "), chosen);
    }

    fn patterns(text: &str) -> Vec<Pattern> {
        text.split_whitespace().map(|pattern| pattern.parse().unwrap()).collect()
    }

    #[test]
    fn a_pattern_names_a_channel_a_symbol_or_what_they_are_like() {
        check(&patterns("option_trades:SPY"), "option_trades:SPY");
        check(&patterns("option_trades:spy"), "option_trades:SPY");
        check(&patterns("gex*:SPY"), "gex:SPY gex_strike:SPY");
        check(&patterns("*:*Q"), "flow-alerts:QQQ option_trades:QQQ gex:QQQ");
        check(&patterns("option_trades:SP*"), "option_trades:SPXW option_trades:SPY");
        check(&patterns("price"), "");
        check(&patterns("gaps news"), "news gaps");
    }

    #[test]
    fn a_channel_without_a_symbol_is_each_of_its_events_once() {
        check(&patterns("flow-alerts"), "flow-alerts");
        check(
            &patterns("option_trades"),
            "option_trades option_trades:QQQ option_trades:SPXW option_trades:SPY",
        );
        check(&patterns("flow-alerts:*"), "flow-alerts:QQQ flow-alerts:SPY");
        check(
            &patterns("*"),
            "flow-alerts option_trades option_trades:QQQ option_trades:SPXW option_trades:SPY gex:QQQ gex:SPY \
             gex_strike:SPY news",
        );
    }

    #[test]
    fn the_settings_choose_their_channels_and_symbols() {
        let channel = |name: &str| ChannelChoice::Channel(Channel::parse(name).unwrap());
        let topic =
            Topic { channel: Channel::parse("option_trades").unwrap(), symbol: Symbol::parse("SPXW").ok() };
        let mut plan = PlanSettings {
            channels: vec![channel("news"), channel("gex"), ChannelChoice::Topic(topic)],
            targets: Targets::Symbols(vec![Symbol::parse("SPY").unwrap()]),
            max_connections: 1,
            max_joins_per_connection: 50,
            when_joins_exceed: WhenJoinsExceed::Refuse,
        };
        check(&Pattern::of_settings(&plan), "option_trades:SPXW gex:SPY news");
        plan.targets = Targets::WholeMarket;
        check(&Pattern::of_settings(&plan), "option_trades:SPXW gex:QQQ gex:SPY news");
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for text in ["", ":SPY", "price:", "price SPY", "price:SPY:x", "pr[i]ce", "uw\u{e9}"] {
            assert_eq!(text.parse::<Pattern>(), Err(InvalidPattern), "{text}");
        }
    }

    #[test]
    fn stars_stand_for_any_text() {
        for (glob, text, expected) in [
            ("*", "", true),
            ("a*c", "abc", true),
            ("a*c", "ac", true),
            ("a*c", "abcd", false),
            ("*b*", "abc", true),
            ("a**", "a", true),
            ("", "a", false),
        ] {
            assert_eq!(is_like(glob, text), expected, "{glob} {text}");
        }
    }
}
