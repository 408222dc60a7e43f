//! The stored records of one disk queue, in order.

use std::ops::ControlFlow;
use std::sync::Arc;

use uw_websocket_core::archive::{ArchiveLine, ArchivePosition, Frames};
use uw_websocket_core::spool::{Dropped, Followed, Follower, SpoolError};

use crate::queue::archiving::{Archiving, Offer};

/// Payload bytes read at a time: a few milliseconds of work.
const READ_BYTES: usize = 1024 * 1024;

/// A queue as the archive reads it.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) archiving: Arc<Archiving>,
    follower: Follower,
    offer: Offer,
    /// All records below this number are taken.
    next: u64,
    last_us: u64,
    /// The first of the numbers that were missing at the last look.
    suspect: Option<u64>,
}

/// Records that are not where they were, for a reason that is not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Loss {
    pub(super) events: u64,
    /// The receive time before them; 0 if there is none.
    pub(super) after_us: u64,
}

impl Source {
    pub(super) fn new(archiving: Arc<Archiving>) -> Source {
        let follower = Follower::new(&archiving.folder);
        Source { archiving, follower, offer: Offer::default(), next: 0, last_us: 0, suspect: None }
    }

    /// Goes on from where the archive has ended, or from the first record that is there.
    pub(super) fn place(&mut self, positions: &[ArchivePosition]) {
        self.refresh();
        let known = positions.iter().find(|position| position.identity == self.archiving.identity);
        let known = known.filter(|position| position.archived <= self.offer.end);
        (self.next, self.last_us) =
            known.map_or((self.offer.kept_from, 0), |position| (position.archived, position.last_us));
        self.archiving.set_taken(self.next);
        self.archiving.set_archived(self.next);
    }

    pub(super) fn refresh(&mut self) {
        self.offer = self.archiving.offer();
    }

    /// Whether all of it is taken, and nothing more will come from a queue of an earlier generation.
    pub(super) fn is_done(&self) -> bool {
        self.archiving.is_over() || (self.next >= self.offer.end && self.offer.stored_below >= self.offer.end)
    }

    /// Number of stored records that are not taken.
    pub(super) fn waiting(&self) -> u64 {
        // before the archive is opened its position is not known
        let from = self.next.max(self.offer.kept_from);
        let to = self.offer.stored_below.max(from);
        to - from - self.offer.not_stored.covered(from, to)
    }

    /// Takes some of the stored records; returns whether it took any number, and what is missing without a reason.
    pub(super) fn take(&mut self, frames: &mut Frames) -> Result<(bool, Option<Loss>), SpoolError> {
        let (from, below) = (self.next, self.offer.stored_below);
        if from >= below || self.archiving.is_over() {
            return Ok((false, None));
        }
        let (offer, last_us, suspect) = (&self.offer, &mut self.last_us, &mut self.suspect);
        let mut loss = Loss::default();
        let next = self.follower.read(from, below, READ_BYTES, |followed| {
            match followed {
                Followed::Record(record) if offer.not_stored.contains(record.seq()) => {}
                Followed::Record(record) => {
                    *last_us = record.received_us();
                    frames.push(&ArchiveLine::of(&record));
                }
                Followed::Missing { from, to } => {
                    let missing = (to - from) - offer.not_stored.covered(from, to);
                    if missing > 0 && *suspect != Some(from) {
                        // the queue may have removed them, and not have told yet
                        *suspect = Some(from);
                        return ControlFlow::Break(());
                    }
                    if missing > 0 {
                        loss.after_us = if loss.events == 0 { *last_us } else { loss.after_us };
                        loss.events += missing;
                    }
                }
            }
            ControlFlow::Continue(())
        })?;
        self.next = next;
        self.archiving.set_taken(next);
        Ok((next > from, (loss.events > 0).then_some(loss)))
    }

    /// Takes what the queue has removed before it was taken.
    pub(super) fn untaken(&self) -> Vec<Dropped> {
        self.archiving.untaken()
    }

    /// Returns how far it is taken.
    pub(super) fn position(&self) -> ArchivePosition {
        let name = self.archiving.folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let identity = self.archiving.identity.clone();
        ArchivePosition { identity, name, archived: self.next, last_us: self.last_us }
    }

    /// Lets go what is taken: it is archived.
    pub(super) fn let_go(&self) {
        self.archiving.set_archived(self.next);
    }
}
