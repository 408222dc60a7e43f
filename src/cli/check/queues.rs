//! Checks whether disk queues of former owners wait for their instances.

use std::io::Write;

use uw_websocket_actors::ledger;
use uw_websocket_actors::ledger::checkpoint_store::CheckpointError;
use uw_websocket_actors::ledger::left_queue::{LeftQueue, LeftQueues};
use uw_websocket_actors::settings::ActorSettings;
use uw_websocket_core::time::iso_utc;

use super::redis::Owner;
use super::report::{Finding, Report};
use crate::resources::Resources;
use crate::resources::ledger_places;

const SUBJECT: &str = "left queues";

/// Adds the findings to the section on Redis, whose answers they are.
pub(super) async fn look(
    settings: &ActorSettings,
    ways: &Resources,
    owner: &Owner,
    report: &mut Report<impl Write>,
) {
    let owner = match owner {
        // Redis did not answer, which is reported already
        Owner::Unknown => return,
        Owner::Nobody => None,
        Owner::Instance(name) => Some(name.as_str()),
    };
    let places = ledger_places(settings, ways.address.clone());
    for finding in findings(ledger::left_queues(places, owner).await) {
        report.add(&finding);
    }
}

fn findings(left: Result<LeftQueues, CheckpointError>) -> Vec<Finding> {
    let left = match left {
        Ok(left) => left,
        Err(error) => {
            let advice = "see whether another program writes to this key, and remove it";
            return vec![Finding::doubt(SUBJECT, error.to_string(), advice)];
        }
    };
    if left.is_empty() {
        return vec![Finding::fine(SUBJECT, "no former owner's disk queue is waiting")];
    }
    let finding = |(instance, queue): (&str, &LeftQueue)| {
        let text = format!(
            "{instance} had at least {} events in its disk queue, received after {}",
            queue.events,
            iso_utc(queue.from_us)
        );
        let advice = "start it again with its SPOOL_DIR: the events are then stored, as late";
        Finding::doubt(SUBJECT, text, advice)
    };
    left.iter().map(finding).collect()
}

#[cfg(test)]
mod tests {
    use super::super::report::Mark;
    use super::*;

    #[test]
    fn a_queue_that_waits_is_doubtful_and_named() {
        assert_eq!(findings(Ok(LeftQueues::default()))[0].mark, Mark::Fine);
        let mut left = LeftQueues::default();
        left.insert("vm-1".to_owned(), LeftQueue { events: 12, from_us: 1_000_000, to_us: 2_000_000 });
        let findings = findings(Ok(left));
        assert_eq!((findings.len(), findings[0].mark), (1, Mark::Doubt));
        assert!(findings[0].text.contains("vm-1 had at least 12 events"), "{findings:?}");
    }
}
