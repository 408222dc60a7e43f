//! What follows the lent batch, for a writer that can write some of it only.

use std::sync::Arc;

use super::Queue;
use super::backlog::{Backlog, Lent, Position};
use super::disk::DiskError;
use super::held::{Item, Medium, Stretch};
use crate::sync::lock;

/// The content at a position.
#[derive(Debug)]
pub(super) enum Ahead {
    /// A batch that has the position.
    Batch(Lent),
    /// Records from the position on.
    OnDisk(Stretch),
    /// Nothing, or pending events only.
    Nothing,
}

impl Backlog {
    /// Returns the content at a position, which is not lent by that.
    pub(super) fn ahead(&self, position: Position) -> Ahead {
        let item = self.items.iter().find(|item| item.end() > position);
        match item {
            Some(Item::Batch(held)) if held.medium != Medium::Pending => Ahead::Batch(Lent {
                first: held.first,
                batch: Arc::clone(&held.batch),
                is_on_disk: held.is_on_disk(),
            }),
            Some(Item::OnDisk(stretch)) => {
                let record = stretch.record_of(position.max(stretch.first));
                Ahead::OnDisk(stretch.behind(record.unwrap_or(stretch.records.start)))
            }
            Some(Item::Batch(_)) | None => Ahead::Nothing,
        }
    }
}

impl Queue {
    /// Returns the batch at a position, which is neither lent nor to be acknowledged; `None` if there is none now.
    pub async fn look_ahead(&self, position: Position) -> Result<Option<Lent>, DiskError> {
        let ahead = {
            let state = lock(&self.0.state);
            if state.persistence.is_changing() { Ahead::Nothing } else { state.backlog.ahead(position) }
        };
        let (stretch, reader) = match (ahead, &self.0.reader) {
            (Ahead::Batch(lent), _) => return Ok(Some(lent)),
            (Ahead::OnDisk(stretch), Some(reader)) => (stretch, reader),
            _ => return Ok(None),
        };
        let (batches, _) = reader.read(stretch.records.start, stretch.records.end).await?;
        let lent = |(record, batch)| Lent {
            first: stretch.position_of(record),
            batch: Arc::new(batch),
            is_on_disk: true,
        };
        Ok(batches.into_iter().next().map(lent))
    }
}

#[cfg(test)]
mod tests {
    use uw_websocket_core::fixtures::{destination, event, read_at, route};

    use super::*;
    use crate::fixtures::{SIZE, observations, queue};
    use crate::queue::Next;
    use crate::queue::inbox::Inbox;
    use crate::settings::WhenFull;

    #[tokio::test]
    async fn what_follows_the_lent_batch_is_shown_and_stays() {
        let observations = observations(&["price"], 1);
        let inbox = Inbox::new(0, 1, 8, SIZE, Arc::clone(&observations));
        let queue = queue(None, &observations, WhenFull::Block);
        let (lane, route) = (inbox.lane(0), route(0, vec![destination("price:SPY", 0)]));
        // equal ones would be duplicates
        let accept = async |payloads: &[&str]| {
            for payload in payloads {
                lane.push(event(&route, payload, 0), read_at());
            }
            lane.flush();
            assert!(queue.accept(&inbox));
            queue.keep().await;
        };
        accept(&["1", "2"]).await;
        let Ok(Next::Write(first)) = queue.peek().await else { panic!("nothing is lent") };
        assert!(queue.look_ahead(first.end()).await.unwrap().is_none());
        accept(&["3", "4", "5"]).await;
        let ahead = queue.look_ahead(first.end()).await.unwrap().unwrap();
        assert_eq!((ahead.first, ahead.batch.len()), (first.end(), 3));
        let Ok(Next::Write(again)) = queue.peek().await else { panic!("nothing is lent") };
        assert_eq!((again.first, again.batch.len()), (first.first, 2), "the oldest is lent");
    }
}
