//! The auditor: verifies the accounting of every channel and reports violations.
//!
//! It must run on the thread of the connections and writers: only there is no event between two of its counts.

use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use slog::{Logger, error};

use crate::observation::{Observations, Violation};

/// Interval between audits: a violation is found while its cause is still in the log, at the cost of a few additions.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The actor; also usable on its own once nothing is counted any more.
pub struct Auditor {
    observations: Arc<Observations>,
    log: Logger,
    /// The number of missing events last reported for each channel.
    reported: Vec<u64>,
}

impl Auditor {
    /// Creates an auditor that has reported nothing yet.
    #[must_use]
    pub fn new(observations: Arc<Observations>, log: Logger) -> Auditor {
        let reported = vec![0; observations.channels.len()];
        Auditor { observations, log, reported }
    }

    /// Runs one audit. A violation is counted and logged if its amount differs from the last one reported.
    pub fn look(&mut self) {
        for (channel, reported) in self.observations.channels.iter().zip(&mut self.reported) {
            let violation = channel.audit();
            let missing = violation.as_ref().map_or(0, Violation::missing);
            if missing == std::mem::replace(reported, missing) {
                continue;
            }
            if let Some(violation) = violation {
                channel.violations.add(1);
                error!(self.log, "books do not balance";
                    "channel" => violation.channel.name(), "came" => violation.came,
                    "accounted" => violation.accounted);
            }
        }
    }
}

impl Actor for Auditor {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Context<Self>) {
        context.run_interval(LOOK_EVERY, |auditor, _| auditor.look());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::observations;
    use slog::{Discard, o};

    #[test]
    fn each_change_of_what_is_missing_is_reported_once() {
        let observations = observations(&["price", "news"], 1);
        let mut auditor = Auditor::new(observations.clone(), Logger::root(Discard, o!()));
        let mut violations = || {
            auditor.look();
            [0, 1].map(|channel: usize| observations.channels[channel].violations.get())
        };
        observations.channels[0].receive();
        assert_eq!(violations(), [0, 0]);
        observations.channels[0].stored.add(1);
        assert_eq!(violations(), [1, 0]);
        observations.channels[0].receive();
        assert_eq!(violations(), [1, 0], "more events, the same amount");
        observations.channels[0].stored.add(1);
        observations.channels[1].received.add(1);
        assert_eq!(violations(), [2, 1]);
        observations.channels[1].filtered.add(1);
        assert_eq!(violations(), [2, 1], "balanced again");
        observations.channels[1].filtered.add(1);
        assert_eq!(violations(), [2, 2]);
    }
}
