//! Doubts about patterns that select no stream.

use std::collections::BTreeSet;

use super::name::StreamName;
use super::selection::{Pattern, choose};
use crate::likeness::nearest;

/// Minimum similarity of a name, 0 to 1, to be suggested.
const WORTH_NAMING: f64 = 0.5;

/// Returns a text for each pattern that selects none of the streams. `planned` is what the settings join.
#[must_use]
pub fn doubts(
    patterns: &[Pattern],
    planned: &[Pattern],
    there: &BTreeSet<StreamName>,
    goes_on: bool,
) -> Vec<String> {
    let is_empty = |pattern: &&Pattern| choose(std::slice::from_ref(*pattern), there).is_empty();
    patterns.iter().filter(is_empty).map(|pattern| doubt(pattern, planned, there, goes_on)).collect()
}

fn doubt(pattern: &Pattern, planned: &[Pattern], there: &BTreeSet<StreamName>, goes_on: bool) -> String {
    let waits = if goes_on { ": waiting" } else { "" };
    if planned.iter().any(|planned| pattern.may_be_about(planned)) {
        return format!("{pattern}: no such stream yet{waits}");
    }
    let text = pattern.to_string();
    let names = there.iter().map(ToString::to_string).chain(planned.iter().map(ToString::to_string));
    let nearest = nearest(&text, names, WORTH_NAMING);
    let nearest = nearest.map(|name| format!("; the nearest is {name}")).unwrap_or_default();
    format!("{pattern}: no such stream, and the settings join nothing of that name{nearest}{waits}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patterns(names: &[&str]) -> Vec<Pattern> {
        names.iter().map(|name| name.parse().unwrap()).collect()
    }

    #[test]
    fn a_name_that_nothing_is_joined_for_is_doubted_with_the_nearest() {
        let there = ["news", "price:SPY"].map(|name| StreamName::parse(name).unwrap()).into();
        let planned = patterns(&["news", "price:SPY", "option_trades:SPY"]);
        let doubts = |name| doubts(&patterns(&[name]), &planned, &there, false).pop();
        assert_eq!(doubts("news"), None);
        assert_eq!(doubts("*:SPY"), None);
        let unknown = "no such stream, and the settings join nothing of that name";
        assert_eq!(doubts("newz").unwrap(), format!("newz: {unknown}; the nearest is news"));
        assert_eq!(
            doubts("option_trade:SPY").unwrap(),
            format!("option_trade:SPY: {unknown}; the nearest is option_trades:SPY")
        );
        assert_eq!(doubts("price:QQQ").unwrap(), format!("price:QQQ: {unknown}; the nearest is price:SPY"));
        assert_eq!(doubts("zzzzzzzzzzzzzz").unwrap(), format!("zzzzzzzzzzzzzz: {unknown}"));
        for joined in ["option_trades:SPY", "option_trades", "option*:*"] {
            assert_eq!(doubts(joined).unwrap(), format!("{joined}: no such stream yet"));
        }
    }
}
