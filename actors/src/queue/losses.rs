//! Converts losses of a queue to gaps for the ledger.

use std::collections::BTreeMap;

use slog::{Logger, error, warn};
use uw_websocket_core::event::{Channel, Family};
use uw_websocket_core::spool::Damage;

use crate::ledger::gap::{Gap, GapReason, family_of};
use crate::observation::{DropReason, Observations, Outcome, Place};
use crate::wall_clock::unix_micros;

/// Returns the gaps of dropped events by channel.
pub fn of_channels(
    channels: impl IntoIterator<Item = (String, u64)>,
    between: (u64, u64),
    reason: DropReason,
) -> impl Iterator<Item = Gap> {
    let reason = match reason {
        DropReason::SpoolFull => GapReason::SpoolFull,
        DropReason::SpoolCorrupt => GapReason::SpoolCorrupt,
        DropReason::Rejected => GapReason::Rejected,
        DropReason::Shutdown => GapReason::Shutdown,
        DropReason::Crash => GapReason::Crash,
    };
    of_reason(channels, between, reason)
}

/// Returns the gaps of the archive by channel.
pub fn of_archive(
    channels: impl IntoIterator<Item = (String, u64)>,
    between: (u64, u64),
) -> impl Iterator<Item = Gap> {
    of_reason(channels, between, GapReason::ArchiveSkipped)
}

fn of_reason(
    channels: impl IntoIterator<Item = (String, u64)>,
    between: (u64, u64),
    reason: GapReason,
) -> impl Iterator<Item = Gap> {
    channels.into_iter().map(move |(channel, events)| {
        Gap::new(family_of(&channel), vec![channel], between, reason).with_events(events)
    })
}

fn log_damage(damage: &Damage, log: &Logger) {
    let events = damage.events.map_or_else(|| "unknown".to_owned(), |events| events.to_string());
    if damage.is_loss() {
        error!(log, "disk queue damaged";
            "kind" => %damage.kind, "file" => &damage.file, "bytes" => damage.bytes, "events" => events,
            "detail" => &damage.detail);
    } else {
        warn!(log, "disk queue odd";
            "kind" => %damage.kind, "file" => &damage.file, "bytes" => damage.bytes,
            "detail" => &damage.detail);
    }
}

/// Logs all damage of a disk queue and returns gaps for damage that is a loss. `channels` are those whose records
/// may be affected.
#[must_use]
pub fn of_damages(damages: &[Damage], folder: &str, channels: &[Channel], log: &Logger) -> Vec<Gap> {
    let mut gaps = Vec::new();
    for damage in damages {
        log_damage(damage, log);
        if !damage.is_loss() {
            continue;
        }
        let now = unix_micros();
        let to = damage.to_us.unwrap_or(now);
        let between = (damage.from_us.unwrap_or(to), to);
        let what = format!("{folder}/{}: {}: {}", damage.file, damage.kind, damage.detail);
        gaps.extend(concerned(damage, channels).into_iter().map(|(family, topics, events)| {
            let gap = Gap::new(family, topics, between, GapReason::SpoolCorrupt).with_detail(&what);
            match events {
                Some(events) => gap.with_events(events),
                None => gap,
            }
        }));
    }
    gaps
}

/// Like [`of_damages`], for damage found while reading the queue, whose records are already counted.
pub fn settle(damages: &[Damage], folder: &str, observations: &Observations, log: &Logger) -> Vec<Gap> {
    if damages.is_empty() {
        return Vec::new();
    }
    let channels: Vec<Channel> =
        observations.channels.iter().map(|channel| channel.channel.clone()).collect();
    for (name, events) in damages.iter().flat_map(|damage| &damage.channels) {
        if let Some(channel) = observations.channel_named(name) {
            channel.end(Place::Disk, Outcome::Dropped(DropReason::SpoolCorrupt), *events);
        }
    }
    of_damages(damages, folder, &channels, log)
}

type Concerned = (Family, Vec<String>, Option<u64>);

/// Groups the affected channels by family, with the number of events where known.
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
