//! Detects names that resemble ours but are unknown, and so are probably misspelt.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use super::mistake::SettingsWarning;
use super::variable::Variable;
use super::variables::{FETCHER_ONLY, VARIABLES};
use crate::likeness::nearest;

/// First words unique to this service: a name that begins with one is ours, known or not. `REDIS` or `HTTP` are not
/// included: container platforms set `REDIS_PORT` or `HTTP_PROXY` on their own.
const OWN_FIRST_WORDS: [&str; 8] =
    ["UNUSUAL", "WEBSOCKET", "WRITER", "SPOOL", "SNAPSHOT", "STREAM", "RESTART", "SHUTDOWN"];

/// Minimum similarity to one of our names, 0 to 1, for another to be considered a typo regardless of its first word.
const SLIP: f64 = 0.8;

/// Minimum similarity, 0 to 1, for the nearest valid name to be suggested.
const WORTH_NAMING: f64 = 0.5;

/// Names of other programs that resemble ours.
const FOREIGN: [&str; 3] = ["HTTP_PROXY", "ALL_PROXY", "FTP_PROXY"];

/// Warns about each of `names` (upper case) that begins like or resembles one of ours but is unknown.
pub(super) fn unknown_names<'a>(names: impl IntoIterator<Item = &'a str>) -> Vec<SettingsWarning> {
    let valid = &*VALID_NAMES;
    let names: BTreeSet<&str> = names.into_iter().collect();
    let is_known = |name: &str| FETCHER_ONLY.contains(&name) || FOREIGN.contains(&name);
    let unknown = |name: &&str| !is_known(name) && !valid.iter().any(|valid| valid == name);
    names.into_iter().filter(unknown).filter_map(|name| warning(name, valid)).collect()
}

/// The names of the table, and those of their files.
static VALID_NAMES: LazyLock<Vec<String>> = LazyLock::new(|| {
    let twins = VARIABLES.iter().filter_map(Variable::file_twin);
    VARIABLES.iter().map(|variable| variable.name.to_owned()).chain(twins).collect()
});

fn warning(name: &str, valid: &[String]) -> Option<SettingsWarning> {
    let own = OWN_FIRST_WORDS.contains(&first_words(name, 1));
    let begins_alike =
        name.contains('_') && valid.iter().any(|valid| first_words(valid, 2) == first_words(name, 2));
    let is_ours = own || begins_alike;
    let advice = match nearest(name, valid, if is_ours { WORTH_NAMING } else { SLIP }) {
        Some(nearest) => format!("not a setting and ignored; the nearest is {nearest}"),
        None if is_ours => "not a setting and ignored".to_owned(),
        None => return None,
    };
    Some(SettingsWarning { variable: name.to_owned(), advice })
}

/// Returns the first `count` words of a name, including the underscores between them.
fn first_words(name: &str, count: usize) -> &str {
    name.match_indices('_').nth(count - 1).map_or(name, |(at, _)| name.get(..at).unwrap_or(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn advice(name: &str) -> Option<String> {
        unknown_names([name]).pop().map(|warning| warning.advice)
    }

    #[test]
    fn a_misspelt_name_is_reported_with_the_nearest() {
        for (name, nearest) in [
            ("WEBSOCKET_RECONNECT_SECOND", "WEBSOCKET_RECONNECT_SECONDS"),
            ("WEBSOKET_PING_SECONDS", "WEBSOCKET_PING_SECONDS"),
            ("TARGET_SYMBOL", "TARGET_SYMBOLS"),
            ("REDIS_URI", "REDIS_URL"),
            ("UNUSUAL_WHALES_API_TOKEN_FIL", "UNUSUAL_WHALES_API_TOKEN_FILE"),
            ("RATE_LIMIT_REQUESTS", "RATE_LIMIT_REQUESTS_PER_MINUTE"),
        ] {
            let advice = advice(name).unwrap_or_default();
            assert!(advice.ends_with(&format!("nearest is {nearest}")), "{name}: {advice}");
        }
    }

    #[test]
    fn an_unknown_name_of_ours_without_a_near_one_is_still_reported() {
        assert_eq!(advice("SHUTDOWN_XYZ").as_deref(), Some("not a setting and ignored"));
    }

    #[test]
    fn the_fetchers_names_and_foreign_names_are_not_reported() {
        for name in FETCHER_ONLY.iter().chain(&[
            "PATH",
            "REDIS_PORT",
            "REDIS_SERVICE_HOST",
            "HTTP_PROXY",
            "LOGNAME",
            "HOME",
            "HOSTNAME",
            "KEY",
            "STORE",
            "REDIS_PORT_6379_TCP_ADDR",
        ]) {
            assert_eq!(advice(name), None, "{name}");
        }
    }

    #[test]
    fn valid_names_are_not_reported() {
        for name in &*VALID_NAMES {
            assert_eq!(advice(name), None, "{name}");
        }
    }
}
