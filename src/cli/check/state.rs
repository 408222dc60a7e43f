//! Evaluates the facts of each server about itself: persistence and memory.

use uw_websocket_actors::forecast::Forecast;

use super::plan::mebibytes;
use super::report::{Finding, Mark};
use crate::memory;

/// The replies of Redis, which may hide facts from the user of the service.
#[derive(Debug, Default)]
pub(super) struct State {
    /// `INFO memory` and `INFO persistence`.
    pub(super) info: String,
    /// `save` from `CONFIG GET`; `None` if not permitted, which is optional.
    pub(super) save: Option<String>,
}

/// The replies of all masters of a cluster, by their names; a single server has no name.
#[derive(Debug, Default)]
pub(super) struct States(pub(super) Vec<(String, State)>);

impl States {
    /// Checks whether Redis keeps its data across a restart.
    pub(super) fn persistence(&self) -> Vec<Finding> {
        merged(self.0.iter().map(|(node, state)| (node.as_str(), state.persistence())).collect())
    }

    /// Checks whether Redis evicts keys on its own.
    pub(super) fn eviction(&self) -> Vec<Finding> {
        merged(self.0.iter().filter_map(|(node, state)| Some((node.as_str(), state.eviction()?))).collect())
    }

    /// Checks whether Redis has enough memory for the settings: all nodes together, and each for its own streams.
    pub(super) fn room(&self, forecast: &Forecast) -> Vec<Finding> {
        match &self.0[..] {
            [] => Vec::new(),
            [(node, state)] => vec![state.room(forecast.bytes_of(node), forecast.is_bounded)],
            nodes => {
                let mut findings = vec![self.room_of_all(forecast)];
                for (node, state) in nodes.iter().filter(|_| forecast.is_bounded) {
                    let finding = state.room(forecast.bytes_of(node), true);
                    if finding.mark != Mark::Fine {
                        findings.push(Finding { text: format!("{node}: {}", finding.text), ..finding });
                    }
                }
                findings
            }
        }
    }

    fn room_of_all(&self, forecast: &Forecast) -> Finding {
        let sum = |name| self.0.iter().map(|(_, state)| state.number(name)).sum::<Option<u64>>();
        let (limit, count) = (sum("maxmemory"), self.0.len());
        let text = limit.map_or_else(
            || format!("not every one of {count} masters has a maxmemory"),
            |limit| format!("maxmemory {} on {count} masters", mebibytes(limit)),
        );
        let used = sum("used_memory").map_or_else(|| "?".to_owned(), mebibytes);
        room(&format!("{text}; {used} are used"), limit, forecast.bytes, forecast.is_bounded)
    }
}

/// Says once what holds of all nodes, and names the nodes of what holds of some.
fn merged(found: Vec<(&str, Finding)>) -> Vec<Finding> {
    let count = found.len();
    let mut groups: Vec<(Finding, Vec<&str>)> = Vec::new();
    for (node, finding) in found {
        match groups.iter_mut().find(|(known, _)| *known == finding) {
            Some((_, nodes)) => nodes.push(node),
            None => groups.push((finding, vec![node])),
        }
    }
    let shown = |(finding, nodes): (Finding, Vec<&str>)| {
        let text = match nodes.len() {
            all if all == count && count > 1 => format!("on all {count} masters: {}", finding.text),
            all if all == count => return finding,
            _ => format!("{}: {}", nodes.join(", "), finding.text),
        };
        Finding { text, ..finding }
    };
    groups.into_iter().map(shown).collect()
}

/// Compares what the settings can take with a limit.
fn room(text: &str, limit: Option<u64>, bytes: u64, is_bounded: bool) -> Finding {
    const SUBJECT: &str = "room";
    if !is_bounded {
        let text = format!("{text}; a channel has no bound");
        return Finding::doubt(SUBJECT, text, "set a cap or STREAM_RETENTION");
    }
    let text = format!("{text}; the settings can take {}", mebibytes(bytes));
    if limit.is_some_and(|limit| bytes > limit) {
        return Finding::doubt(SUBJECT, text, memory::ADVICE);
    }
    Finding::fine(SUBJECT, text)
}

impl State {
    fn field(&self, name: &str) -> Option<&str> {
        let mut fields = self.info.lines().filter_map(|line| line.split_once(':'));
        fields.find(|(field, _)| *field == name).map(|(_, value)| value.trim())
    }

    fn number(&self, name: &str) -> Option<u64> {
        self.field(name)?.parse().ok().filter(|number| *number > 0)
    }

    fn persistence(&self) -> Finding {
        const SUBJECT: &str = "persistence";
        const ADVICE: &str = "appendonly yes, as in config/redis.conf: what Redis forgets is written again from the \
            last SPOOL_KEEP only";
        let is_failing = |name| self.field(name).is_some_and(|status| status != "ok");
        if is_failing("aof_last_write_status") || is_failing("rdb_last_bgsave_status") {
            let advice = "look into its log and at its disk: it may soon refuse writes (MISCONF)";
            return Finding::doubt(SUBJECT, "redis could not save when it last tried", advice);
        }
        match (self.field("aof_enabled"), self.save.as_deref()) {
            (None, _) => Finding::doubt(SUBJECT, "not known", "allow INFO to the user"),
            (Some("1"), _) => Finding::fine(SUBJECT, "append-only file"),
            (_, Some("")) => Finding::doubt(SUBJECT, "none: a restart of redis empties it", ADVICE),
            (_, Some(save)) => {
                let text = format!(
                    "snapshots alone (save {save}): a crash of redis loses everything after the last one"
                );
                Finding::doubt(SUBJECT, text, ADVICE)
            }
            (_, None) => Finding::doubt(SUBJECT, "no append-only file", ADVICE),
        }
    }

    /// Compares what the settings can take on this server with its limit or with its machine.
    fn room(&self, bytes: u64, is_bounded: bool) -> Finding {
        let used = self.number("used_memory").map_or_else(|| "?".to_owned(), mebibytes);
        let (limit, text) = match (self.number("maxmemory"), self.number("total_system_memory")) {
            (Some(limit), _) => (limit, format!("maxmemory {}, of which {used} are used", mebibytes(limit))),
            (None, Some(machine)) => {
                (machine, format!("no maxmemory, the machine has {}; {used} are used", mebibytes(machine)))
            }
            (None, None) => return Finding::doubt("room", "not known", "allow INFO to the user"),
        };
        room(&text, Some(limit), bytes, is_bounded)
    }

    fn eviction(&self) -> Option<Finding> {
        const SUBJECT: &str = "eviction";
        const ADVICE: &str = "maxmemory-policy noeviction: the service waits for room, and nothing is lost";
        let policy = self.field("maxmemory_policy")?;
        Some(match policy {
            "noeviction" => Finding::fine(SUBJECT, policy),
            _ if self.number("maxmemory").is_none() => {
                Finding::fine(SUBJECT, format!("{policy}, without effect while there is no maxmemory"))
            }
            _ if policy.starts_with("volatile") => {
                let text =
                    format!("{policy}: at maxmemory redis may remove the lease ws:owner and ws:status");
                Finding::doubt(SUBJECT, text, ADVICE)
            }
            _ => {
                Finding::doubt(SUBJECT, format!("{policy}: at maxmemory redis removes whole streams"), ADVICE)
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn state(info: &str, save: Option<&str>) -> State {
        State { info: info.replace(' ', "\r\n"), save: save.map(str::to_owned) }
    }

    #[track_caller]
    fn assert_finding(finding: &Finding, is_fine: bool, word: &str) {
        assert_eq!(finding.mark == Mark::Fine, is_fine, "{finding:?}");
        assert!(finding.text.contains(word), "{finding:?}");
    }

    #[test]
    fn an_append_only_file_that_works_keeps_what_it_is_given() {
        for (info, save, is_fine, word) in [
            ("aof_enabled:1 aof_last_write_status:ok", None, true, "append-only"),
            ("aof_enabled:1 aof_last_write_status:err", None, false, "could not save"),
            ("aof_enabled:0 rdb_last_bgsave_status:err", Some("60 1"), false, "could not save"),
            ("aof_enabled:0 rdb_last_bgsave_status:ok", Some("60 1"), false, "save 60 1"),
            ("aof_enabled:0", Some(""), false, "empties"),
            ("aof_enabled:0", None, false, "no append-only"),
            ("", Some(""), false, "not known"),
        ] {
            assert_finding(&state(info, save).persistence(), is_fine, word);
        }
    }

    #[test]
    fn room_is_compared_with_the_limit_or_with_the_machine() {
        let (small, large) = (1 << 20, 1 << 32);
        let limited = state("used_memory:1 maxmemory:1073741824 total_system_memory:99999999999", None);
        assert_finding(&limited.room(small, true), true, "maxmemory 1024 MiB");
        assert_finding(&limited.room(large, true), false, "can take 4096 MiB");
        assert_finding(&limited.room(1, false), false, "no bound");
        let unlimited = state("used_memory:1 maxmemory:0 total_system_memory:1073741824", None);
        assert_finding(&unlimited.room(small, true), true, "no maxmemory");
        assert_finding(&unlimited.room(large, true), false, "the machine has 1024 MiB");
        assert_finding(&State::default().room(small, true), false, "not known");
    }

    /// Nodes `a`, `b`, …
    fn states(infos: &[&str]) -> States {
        let named = ('a'..).map(String::from).zip(infos);
        States(named.map(|(node, info)| (node, state(info, Some("")))).collect())
    }

    #[test]
    fn what_holds_of_all_masters_is_said_once_and_the_nodes_in_doubt_are_named() {
        let (log, none) = ("aof_enabled:1", "aof_enabled:0");
        let found = states(&[log, log, log]).persistence();
        assert_eq!(found, [Finding::fine("persistence", "on all 3 masters: append-only file")]);
        let found = states(&[none, log, none]).persistence();
        assert_finding(&found[0], false, "a, c: none");
        assert_finding(&found[1], true, "b: append-only file");
        let lru = "maxmemory:5 maxmemory_policy:allkeys-lru";
        let found = states(&[lru, lru, "maxmemory:5 maxmemory_policy:noeviction"]).eviction();
        assert_finding(&found[0], false, "a, b: allkeys-lru");
        assert_eq!(states(&[log]).persistence(), [Finding::fine("persistence", "append-only file")]);
    }

    #[test]
    fn the_sum_of_all_masters_has_room_and_each_for_its_own_streams() {
        let forecast = |a: u64, b: u64, is_bounded| Forecast {
            channels: Vec::new(),
            bytes: (a + b) << 20,
            nodes: BTreeMap::from([("a".to_owned(), a << 20), ("b".to_owned(), b << 20)]),
            is_bounded,
            is_market: false,
            kept_hours: None,
        };
        let node = "used_memory:1048576 maxmemory:104857600";
        let limited = states(&[node, node]);
        let found = limited.room(&forecast(70, 80, true));
        assert_eq!(found.len(), 1);
        assert_finding(&found[0], true, "maxmemory 200 MiB on 2 masters; 2 MiB are used");
        assert_finding(&found[0], true, "can take 150 MiB");
        let found = limited.room(&forecast(30, 120, true));
        assert_finding(&found[0], true, "can take 150 MiB");
        assert_finding(&found[1], false, "b: maxmemory 100 MiB");
        assert_finding(&limited.room(&forecast(150, 80, true))[0], false, "can take 230 MiB");
        let unbounded = limited.room(&forecast(1, 1, false));
        assert_eq!(unbounded.len(), 1);
        assert_finding(&unbounded[0], false, "no bound");
        let mixed = states(&[node, "used_memory:1 maxmemory:0 total_system_memory:1048576"]);
        let found = mixed.room(&forecast(1, 2, true));
        assert_finding(&found[0], true, "not every one of 2 masters has a maxmemory");
        assert_finding(&found[1], false, "b: no maxmemory, the machine has 1 MiB");
    }

    #[test]
    fn a_redis_that_removes_keys_by_itself_is_doubtful() {
        let eviction = |info| state(info, None).eviction().unwrap();
        assert_finding(&eviction("maxmemory:5 maxmemory_policy:noeviction"), true, "noeviction");
        assert_finding(&eviction("maxmemory:5 maxmemory_policy:allkeys-lru"), false, "whole streams");
        assert_finding(&eviction("maxmemory:5 maxmemory_policy:volatile-ttl"), false, "lease");
        assert_finding(&eviction("maxmemory:0 maxmemory_policy:allkeys-lru"), true, "without effect");
        assert_eq!(State::default().eviction(), None);
    }
}
