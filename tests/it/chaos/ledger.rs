//! The gap ledger, as a reader of `ws:gaps` has it.

use std::time::Duration;

use jiff::Timestamp;

use super::traffic::Frame;
use crate::support::{RedisServer, stretched};

/// The clock is read before a frame is written and after it was read; the ledger has the reader's.
const TOLERANCE: Duration = Duration::from_millis(200);

/// One interval of the ledger.
#[derive(Clone, Debug)]
pub(crate) struct Gap {
    channels: String,
    reason: String,
    from_us: i64,
    to_us: i64,
}

/// All of them.
pub(crate) fn gaps(redis: &RedisServer) -> Vec<Gap> {
    let raw: Vec<(String, Vec<String>)> = redis.command(&["XRANGE", "uw:ws:gaps", "-", "+"]);
    raw.into_iter()
        .map(|(id, fields)| Gap::read(&fields).unwrap_or_else(|| panic!("gap {id}: {fields:?}")))
        .collect()
}

impl Gap {
    fn read(fields: &[String]) -> Option<Gap> {
        let field =
            |name: &str| fields.chunks_exact(2).find(|pair| pair[0] == name).map(|pair| pair[1].clone());
        let time = |name| field(name)?.parse::<Timestamp>().ok().map(Timestamp::as_microsecond);
        Some(Gap {
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

    /// Whether Redis had forgotten what it acknowledged.
    pub(crate) fn is_redis_lost(&self) -> bool {
        self.reason == "redis_lost"
    }
}
