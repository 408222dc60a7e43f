//! The gap ledger, as a reader of `ws:gaps` has it.

use std::time::Duration;

use jiff::Timestamp;
use uw_websocket_actors::ledger::written::MAX_WRITTEN;
use uw_websocket_core::event::EntryId;

use super::traffic::Frame;
use crate::support::{RedisServer, stretched};

/// The clock is read before a frame is written and after it was read; the ledger has the reader's.
const TOLERANCE: Duration = Duration::from_millis(200);

/// One interval of the ledger.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Gap {
    id: EntryId,
    channels: String,
    reason: String,
    from_us: i64,
    to_us: i64,
}

/// All of them.
pub(crate) fn gaps(redis: &RedisServer) -> Vec<Gap> {
    let raw: Vec<(String, Vec<String>)> = redis.command(&["XRANGE", "uw:ws:gaps", "-", "+"]);
    raw.into_iter()
        .map(|(id, fields)| Gap::read(&id, &fields).unwrap_or_else(|| panic!("gap {id}: {fields:?}")))
        .collect()
}

/// What the ledger tells in all, now and before Redis forgot of it. Of this, the newest that the service keeps must be there
/// again, each once; whoever follows the ledger has the older ones.
pub(crate) fn with_forgotten(present: &[Gap], forgotten: &[Gap]) -> Result<Vec<Gap>, String> {
    if !present.is_sorted_by(|a, b| a.id < b.id) {
        return Err("the ids of the ledger do not rise".into());
    }
    let mut all = present.to_vec();
    for gap in forgotten {
        if !all.contains(gap) {
            all.push(gap.clone());
        }
    }
    all.sort_by_key(|gap| gap.id);
    let kept = all.iter().rev().take(MAX_WRITTEN);
    match kept.into_iter().find(|gap| !present.contains(gap)) {
        Some(gap) => Err(format!("Redis forgot an entry of the ledger that was not written again: {gap:?}")),
        None => Ok(all),
    }
}

impl Gap {
    fn read(id: &str, fields: &[String]) -> Option<Gap> {
        let field =
            |name: &str| fields.chunks_exact(2).find(|pair| pair[0] == name).map(|pair| pair[1].clone());
        let time = |name| field(name)?.parse::<Timestamp>().ok().map(Timestamp::as_microsecond);
        Some(Gap {
            id: id.parse().ok()?,
            channels: field("channels").unwrap_or_default(),
            reason: field("reason")?,
            from_us: time("from")?,
            to_us: time("to")?,
        })
    }

    fn is_about(&self, topic: &str) -> bool {
        let channel = topic.split(':').next().unwrap();
        let mut names = self.channels.split(',').map(str::trim);
        self.channels.is_empty() || names.any(|name| name == channel || name == topic)
    }

    /// Whether the frame was sent within the interval. The service's clock may have been off by one of `offsets`.
    pub(crate) fn covers(&self, frame: &Frame, offsets: &[i64]) -> bool {
        let sent_us = i64::try_from(frame.at_us).unwrap();
        let tolerance_us = i64::try_from(stretched(TOLERANCE).as_micros()).unwrap();
        self.is_about(frame.topic)
            && offsets.iter().any(|offset| {
                let seen_us = sent_us + offset * 1_000_000;
                (self.from_us - tolerance_us..=self.to_us + tolerance_us).contains(&seen_us)
            })
    }

    /// Whether it says that events of the topic, received at some time between both, were stored behind newer ones.
    pub(super) fn is_late(&self, topic: &str, began_us: i64, ended_us: i64) -> bool {
        let tolerance_us = i64::try_from(stretched(TOLERANCE).as_micros()).unwrap();
        self.reason == "late"
            && self.is_about(topic)
            && self.from_us - tolerance_us <= ended_us
            && began_us <= self.to_us + tolerance_us
    }

    /// Whether Redis had forgotten what it acknowledged.
    pub(crate) fn is_redis_lost(&self) -> bool {
        self.reason == "redis_lost"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gaps(ids: std::ops::RangeInclusive<u64>) -> Vec<Gap> {
        let gap = |ms| Gap {
            id: EntryId { ms, seq: 0 },
            channels: String::new(),
            reason: "crash".into(),
            from_us: 0,
            to_us: 0,
        };
        ids.map(gap).collect()
    }

    #[test]
    fn what_redis_forgot_must_be_there_again_as_far_as_it_is_kept() {
        let count = MAX_WRITTEN as u64;
        assert_eq!(with_forgotten(&gaps(1..=3), &gaps(1..=2)).unwrap(), gaps(1..=3));
        with_forgotten(&gaps(3..=3), &gaps(1..=2)).unwrap_err();
        assert_eq!(with_forgotten(&gaps(3..=count + 2), &gaps(1..=2)).unwrap(), gaps(1..=count + 2));
        with_forgotten(&[gaps(1..=1), gaps(1..=1)].concat(), &[]).unwrap_err();
    }
}
