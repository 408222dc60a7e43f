//! The keys that the janitor may touch, by name: those that writers write.

use uw_websocket_core::event::{Channel, Symbol, Topic};

use crate::glob::literal;

/// A key subject to retention.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum AgingKey {
    /// `<p>:ws:<channel>[:<SYMBOL>]`, and `<p>:ws:backfill:…` with the rows fetched for gaps.
    Stream(String),
    /// `<p>:ws:latest:<channel>[:<SYMBOL>]`, or `<p>:ws:map:…` with the corresponding hash of the newest event.
    Snapshot {
        /// The hash's key.
        key: String,
        /// The hash of the newest event, which dates both.
        latest: String,
    },
}

impl AgingKey {
    /// Parses a key's name; `None` for keys outside the janitor's scope.
    pub(super) fn read(prefix: &str, key: &[u8]) -> Option<AgingKey> {
        let key = std::str::from_utf8(key).ok()?;
        let name = key.strip_prefix(prefix)?.strip_prefix(":ws:")?;
        let snapshot_of = name.strip_prefix("latest:").or_else(|| name.strip_prefix("map:"));
        let topic = snapshot_of.or_else(|| name.strip_prefix("backfill:")).unwrap_or(name);
        let (channel, symbol) = Topic::split(topic);
        let is_channel = Channel::parse(channel).is_ok() && !Channel::RESERVED.contains(&channel);
        let is_ours = is_channel && symbol.is_none_or(Symbol::is_valid);
        let key = key.to_owned();
        is_ours.then(|| match snapshot_of {
            Some(topic) => AgingKey::Snapshot { key, latest: format!("{prefix}:ws:latest:{topic}") },
            None => AgingKey::Stream(key),
        })
    }
}

/// Returns the `MATCH` pattern of all keys under a prefix.
pub(super) fn pattern(prefix: &str) -> String {
    literal(prefix) + ":ws:*"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_and_snapshots_are_told_by_their_names() {
        let stream = |key: &str| Some(AgingKey::Stream(key.to_owned()));
        let snapshot = |key: &str, latest: &str| {
            Some(AgingKey::Snapshot { key: key.to_owned(), latest: latest.to_owned() })
        };
        for (key, expected) in [
            ("uw:ws:news", stream("uw:ws:news")),
            ("uw:ws:price:BRK.B", stream("uw:ws:price:BRK.B")),
            ("uw:ws:maps:SPY", stream("uw:ws:maps:SPY")),
            ("uw:ws:backfill:price:SPY", stream("uw:ws:backfill:price:SPY")),
            ("uw:ws:backfill:news", stream("uw:ws:backfill:news")),
            ("uw:ws:latest:news", snapshot("uw:ws:latest:news", "uw:ws:latest:news")),
            ("uw:ws:latest:price:SPY", snapshot("uw:ws:latest:price:SPY", "uw:ws:latest:price:SPY")),
            ("uw:ws:map:gex_strike:SPY", snapshot("uw:ws:map:gex_strike:SPY", "uw:ws:latest:gex_strike:SPY")),
        ] {
            assert_eq!(AgingKey::read("uw", key.as_bytes()), expected, "{key}");
        }
    }

    #[test]
    fn other_keys_are_left_alone() {
        for key in [
            "uw:ws:gaps",
            "uw:ws:fill",
            "uw:ws:fills",
            "uw:ws:backfill",
            "uw:ws:backfill:gaps",
            "uw:ws:status",
            "uw:ws:owner",
            "uw:ws:probe",
            "uw:ws:latest",
            "uw:ws:latest:gaps",
            "uw:ws:latest:",
            "uw:ws:map",
            "uw:ws:",
            "uw:ws:price:",
            "uw:ws:price:spy",
            "uw:ws:price:SPY:mine",
            "uw:ws:my notes",
            "uw:rest:flow_alerts:SPY",
            "uwx:ws:news",
            "other:uw:ws:news",
        ] {
            assert_eq!(AgingKey::read("uw", key.as_bytes()), None, "{key}");
        }
        assert_eq!(AgingKey::read("uw", b"uw:ws:price:\xff"), None);
    }
}
