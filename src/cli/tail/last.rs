//! Finds the beginning of the last entries of several streams, from their ends.

use uw_websocket_core::event::EntryId;

use crate::streams::link::{EntryContent, LinkError, ReadPlace, StreamReader};
use crate::streams::merge::Merge;
use crate::streams::page_size;

/// The beginning of the last entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Beginning {
    /// The ID after which they begin.
    pub(super) after: EntryId,
    /// How many wanted entries at the beginning are not among them: those with the ID of the first one.
    pub(super) skipped: u64,
}

/// Finds the beginning of the last `count` wanted entries after `after`; reads no further back than it must.
pub(super) async fn beginning(
    link: &mut StreamReader,
    keys: &[String],
    after: EntryId,
    count: u64,
    is_wanted: impl Fn(&EntryContent) -> bool,
) -> Result<Beginning, LinkError> {
    let size = page_size(keys.len()).min(usize::try_from(count).unwrap_or(usize::MAX).max(1));
    let mut merge = Merge::default();
    for _ in keys {
        merge.add(EntryId::default());
    }
    let (mut found, mut first) = (0, None);
    loop {
        while let Some((_, reversed, content)) = merge.next_entry() {
            if first.is_some_and(|first| first != reversed) && found >= count {
                return Ok(begins_at(first, found - count));
            }
            if is_wanted(&content) {
                found += 1;
                if found <= count {
                    first = Some(reversed);
                }
            }
        }
        let hungry: Vec<usize> = merge.hungry().collect();
        if hungry.is_empty() {
            return Ok(if found > count {
                begins_at(first, found - count)
            } else {
                Beginning { after, skipped: 0 }
            });
        }
        let place = |lane: &usize| ReadPlace { key: keys[*lane].clone(), after: reverse(merge.after(*lane)) };
        let places: Vec<ReadPlace> = hungry.iter().map(place).collect();
        let pages = link.pages_before(&places, next(after), size).await?;
        for (lane, page) in hungry.into_iter().zip(pages) {
            let reversed = page.entries.into_iter().map(|(id, content)| (reverse(id), content));
            merge.supply(lane, reversed, page.has_more);
            if let Some(id) = page.too_large {
                // it is said when it is read again
                merge.pass(lane, reverse(id));
            }
        }
    }
}

fn begins_at(first: Option<EntryId>, skipped: u64) -> Beginning {
    Beginning { after: first.map(reverse).map(previous).unwrap_or_default(), skipped }
}

/// Reverses the order of IDs: a merge in rising order of these is one in falling order of the originals.
fn reverse(id: EntryId) -> EntryId {
    EntryId { ms: u64::MAX - id.ms, seq: u64::MAX - id.seq }
}

fn next(id: EntryId) -> EntryId {
    match id.seq.checked_add(1) {
        Some(seq) => EntryId { seq, ..id },
        None => EntryId { ms: id.ms.saturating_add(1), seq: 0 },
    }
}

fn previous(id: EntryId) -> EntryId {
    match id.seq.checked_sub(1) {
        Some(seq) => EntryId { seq, ..id },
        None => id.ms.checked_sub(1).map_or_else(EntryId::default, |ms| EntryId { ms, seq: u64::MAX }),
    }
}
