//! Evaluates Redis' facts about itself: persistence and memory.

use uw_websocket_actors::forecast::Forecast;

use super::plan::mebibytes;
use super::report::Finding;
use crate::memory;

/// The replies of Redis, which may hide facts from our user.
#[derive(Debug, Default)]
pub(super) struct State {
    /// `INFO memory` and `INFO persistence`.
    pub(super) info: String,
    /// `save` from `CONFIG GET`; `None` if not permitted, which is optional.
    pub(super) save: Option<String>,
}

impl State {
    fn field(&self, name: &str) -> Option<&str> {
        let mut fields = self.info.lines().filter_map(|line| line.split_once(':'));
        fields.find(|(field, _)| *field == name).map(|(_, value)| value.trim())
    }

    fn number(&self, name: &str) -> Option<u64> {
        self.field(name)?.parse().ok().filter(|number| *number > 0)
    }

    /// Checks whether Redis keeps its data across a restart.
    pub(super) fn persistence(&self) -> Finding {
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

    /// Checks whether Redis has enough memory for the settings.
    pub(super) fn room(&self, forecast: &Forecast) -> Finding {
        const SUBJECT: &str = "room";
        let used = self.number("used_memory").map_or_else(|| "?".to_owned(), mebibytes);
        let (limit, text) = match (self.number("maxmemory"), self.number("total_system_memory")) {
            (Some(limit), _) => (limit, format!("maxmemory {}, of which {used} are used", mebibytes(limit))),
            (None, Some(machine)) => {
                (machine, format!("no maxmemory, the machine has {}; {used} are used", mebibytes(machine)))
            }
            (None, None) => return Finding::doubt(SUBJECT, "not known", "allow INFO to the user"),
        };
        // of a cluster: on its fullest node
        let needed = mebibytes(forecast.fullest_bytes);
        if !forecast.is_bounded {
            return Finding::doubt(
                SUBJECT,
                format!("{text}; a channel has no bound"),
                "set a cap or STREAM_RETENTION",
            );
        }
        if forecast.fullest_bytes > limit {
            return Finding::doubt(
                SUBJECT,
                format!("{text}; the settings can take {needed}"),
                memory::ADVICE,
            );
        }
        Finding::fine(SUBJECT, format!("{text}; the settings can take {needed}"))
    }

    /// Checks whether Redis evicts keys on its own.
    pub(super) fn eviction(&self) -> Option<Finding> {
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
    use super::super::report::Mark;
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
        let forecast = |bytes, is_bounded| Forecast {
            channels: Vec::new(),
            bytes,
            fullest_bytes: bytes,
            is_bounded,
            is_market: false,
            kept_hours: None,
        };
        let small = forecast(1 << 20, true);
        let large = forecast(1 << 32, true);
        let limited = state("used_memory:1 maxmemory:1073741824 total_system_memory:99999999999", None);
        assert_finding(&limited.room(&small), true, "maxmemory 1024 MiB");
        assert_finding(&limited.room(&large), false, "can take 4096 MiB");
        assert_finding(&limited.room(&forecast(1, false)), false, "no bound");
        let unlimited = state("used_memory:1 maxmemory:0 total_system_memory:1073741824", None);
        assert_finding(&unlimited.room(&small), true, "no maxmemory");
        assert_finding(&unlimited.room(&large), false, "the machine has 1024 MiB");
        assert_finding(&State::default().room(&small), false, "not known");
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
