//! What the disk did not give back, for the gap ledger, the books and the log.

use std::collections::BTreeMap;

use slog::Logger;

use crate::event::Channel;
use crate::events;
use crate::ledger::book::GapBook;
use crate::ledger::gap::{Gap, GapReason, family_of};
use crate::observation::{DropReason, Fate, Observations, Place, unix_micros};
use crate::spool::Damage;

/// Enters lost records in the ledger and logs every damage. `channels` are those whose records may have been among them.
pub fn report(damages: &[Damage], folder: &str, channels: &[Channel], gaps: &GapBook, log: &Logger) {
    for damage in damages {
        events::spool_damaged(log, damage);
        if !damage.is_loss() {
            continue;
        }
        let now = unix_micros();
        let to = damage.to_us.unwrap_or(now);
        let between = (damage.from_us.unwrap_or(to), to);
        let what = format!("{folder}/{}: {}: {}", damage.file, damage.kind, damage.detail);
        for (family, topics, events) in concerned(damage, channels) {
            let gap = Gap::new(family, topics, between, GapReason::SpoolCorrupt).with_detail(&what);
            gaps.note(match events {
                Some(events) => gap.with_events(events),
                None => gap,
            });
        }
    }
}

/// The same of what was met while the queue is read, whose records are counted already.
pub fn settle(damages: &[Damage], folder: &str, observations: &Observations, gaps: &GapBook, log: &Logger) {
    if damages.is_empty() {
        return;
    }
    let channels: Vec<Channel> =
        observations.channels.iter().map(|channel| channel.channel.clone()).collect();
    report(damages, folder, &channels, gaps, log);
    for (name, events) in damages.iter().flat_map(|damage| &damage.channels) {
        let channel = observations.channels.iter().find(|channel| channel.channel.name() == name);
        if let Some(channel) = channel {
            channel.end(Place::Disk, Fate::Dropped(DropReason::SpoolCorrupt), *events);
        }
    }
}

type Concerned = (crate::event::Family, Vec<String>, Option<u64>);

/// By family the channels, and how many events if that is known of them.
fn concerned(damage: &Damage, channels: &[Channel]) -> Vec<Concerned> {
    let named: Vec<(String, Option<u64>)> = if damage.channels.is_empty() {
        let only = (channels.len() == 1).then_some(damage.events).flatten();
        channels.iter().map(|channel| (channel.to_string(), only)).collect()
    } else {
        damage.channels.iter().map(|(name, events)| (name.clone(), Some(*events))).collect()
    };
    let mut families: BTreeMap<_, (Vec<String>, Option<u64>)> = BTreeMap::new();
    for (name, events) in named {
        let family = families.entry(family_of(&name)).or_default();
        family.0.push(name);
        family.1 = events.map(|events| family.1.unwrap_or_default() + events);
    }
    families.into_iter().map(|(family, (topics, events))| (family, topics, events)).collect()
}
