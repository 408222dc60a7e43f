//! Joins that exceed the sockets: whole channels are joined once, for all symbols, in place of once per symbol.

use crate::channel::JoinForms;
use crate::event::{Channel, Topic};

/// A channel that is joined in its global form because its joins do not fit; events of other symbols are filtered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Widened {
    /// The channel.
    pub channel: Channel,
    /// The number of its joins by symbol, which the one join replaces.
    pub joins: usize,
}

/// Replaces the joins of whole channels until at most `capacity` remain, or no channel is left that has both forms:
/// those with most joins first, and of equal ones that with the fewest events.
pub(super) fn widen(topics: &mut Vec<Topic>, capacity: usize) -> Vec<Widened> {
    let mut candidates = candidates(topics);
    candidates.sort_by(|a, b| b.joins.cmp(&a.joins).then(rate(&a.channel).total_cmp(&rate(&b.channel))));
    let mut widened = Vec::new();
    for candidate in candidates {
        if topics.len() <= capacity {
            break;
        }
        // the first of its joins becomes the join for all
        let mut is_first = true;
        topics.retain_mut(|topic| {
            if topic.channel != candidate.channel {
                return true;
            }
            topic.symbol = None;
            std::mem::take(&mut is_first)
        });
        widened.push(candidate);
    }
    widened
}

/// The channels whose joins by symbol can be replaced by one.
fn candidates(topics: &[Topic]) -> Vec<Widened> {
    let mut candidates: Vec<Widened> = Vec::new();
    for topic in topics.iter().filter(|topic| topic.symbol.is_some()) {
        match candidates.iter_mut().find(|candidate| candidate.channel == topic.channel) {
            Some(candidate) => candidate.joins += 1,
            None => candidates.push(Widened { channel: topic.channel.clone(), joins: 1 }),
        }
    }
    let has_both_forms =
        |channel: &Channel| channel.spec().is_some_and(|spec| spec.forms == JoinForms::TickerOrPlain);
    candidates.retain(|candidate| candidate.joins > 1 && has_both_forms(&candidate.channel));
    candidates
}

/// Events per second of the busiest symbol; a channel of unknown rate is one of rare statistics.
fn rate(channel: &Channel) -> f64 {
    channel.spec().and_then(|spec| spec.usual).map_or(0.0, |usual| usual.rate)
}
