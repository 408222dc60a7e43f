//! The share of each node of a cluster: a cluster is full when one of its nodes is.

use std::collections::BTreeMap;

use uw_websocket_core::event::{Channel, Scope};
use uw_websocket_core::settings::{PlanSettings, Targets};
use uw_websocket_core::slots::{SLOTS, slot_of};

use crate::writer::store::cluster::slots::{Node, SlotMap};

/// A channel, the bytes of all its streams, and of one of them; `None` if they are unbounded.
pub(super) type ChannelBytes<'c> = (&'c Channel, Option<u64>, Option<u64>);

/// Returns the bytes that each master may have to hold, by its name. Streams of the whole market are taken to be spread like
/// the slots.
#[must_use]
pub(super) fn bytes_of_nodes(
    channels: &[ChannelBytes<'_>],
    plan: &PlanSettings,
    prefix: &str,
    map: &SlotMap,
) -> BTreeMap<String, u64> {
    let mut nodes: BTreeMap<&Node, u64> = map.masters().iter().map(|node| (node, 0)).collect();
    match &plan.targets {
        Targets::WholeMarket => {
            let bytes = channels.iter().filter_map(|(_, bytes, _)| *bytes).fold(0, u64::saturating_add);
            for node in map.masters() {
                let share = map.slots_of(node) as u64;
                nodes.insert(node, bytes / u64::from(SLOTS) * share);
            }
        }
        Targets::Symbols(symbols) => {
            for (name, _, of_stream) in channels {
                let Some(bytes) = *of_stream else { continue };
                let full = (name.scope() == Scope::Global).then(|| format!("{prefix}:ws:{name}"));
                let own = symbols.iter().filter(|symbol| name.exists_for(symbol.as_str()));
                let own = own.map(|symbol| format!("{prefix}:ws:{name}:{symbol}"));
                for key in full.into_iter().chain(own) {
                    if let Some(node) = map.owner(slot_of(key.as_bytes())) {
                        let held = nodes.entry(node).or_default();
                        *held = held.saturating_add(bytes);
                    }
                }
            }
        }
    }
    nodes.into_iter().map(|(node, bytes)| (node.to_string(), bytes)).collect()
}
