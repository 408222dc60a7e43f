//! Assigns topics to sockets: a pure function of the settings.
//!
//! Each family has its own connection as long as there are enough sockets; a family with more joins than a socket
//! takes is split over several. With too few sockets, the smallest ones are merged. Joins that exceed all sockets are
//! refused, or on request replaced by joins for all symbols.

mod exceed;

use thiserror::Error;

use crate::channel::JoinForms;
use crate::event::{Channel, Family, Scope, Symbol, Topic};
use crate::settings::{ChannelChoice, PlanSettings, Targets, WhenJoinsExceed};

pub use self::exceed::Widened;

/// The joins of one socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionPlan {
    /// Its families, joined by `+`, with a number from the second socket of a family on: `gex`, `gex-2`,
    /// `flow+news`.
    pub name: String,
    /// Topics in join order.
    pub topics: Vec<Topic>,
}

/// The reason why the settings cannot be joined.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum PlanError {
    /// The joins exceed the capacity of all sockets.
    #[error(
        "{joins} joins ({arithmetic}) do not fit on {connections} connections of {per_connection} joins: \
         raise WEBSOCKET_MAX_CONNECTIONS (at most 10), name fewer TARGET_SYMBOLS or CHANNELS, {}or set TARGET_SYMBOLS=* \
         to join each channel once for the whole market",
        if *.is_widened { "" } else { "set WHEN_JOINS_EXCEED=global to join channels for all symbols and filter, " }
    )]
    TooManyJoins {
        /// Joins needed.
        joins: usize,
        /// The number of joins by channel.
        arithmetic: String,
        /// Maximum number of sockets.
        connections: usize,
        /// Maximum number of joins per socket.
        per_connection: usize,
        /// Whether the channels that can be joined for all symbols are counted so.
        is_widened: bool,
    },
    /// A channel is joined for all symbols and again for one whose events are stored.
    #[error(
        "CHANNELS joins {channel} for all symbols and {topic} as well: every such event would be received and stored \
         twice; leave {topic} out"
    )]
    JoinedTwice {
        /// The redundant topic.
        topic: Topic,
        /// Its channel.
        channel: Channel,
    },
    /// A channel exists for some tickers only, and none of them is a target.
    #[error(
        "{channel} exists for {} only, of which TARGET_SYMBOLS names none: add one, or leave {channel} out of CHANNELS",
        listed(.tickers)
    )]
    NoTicker {
        /// The channel.
        channel: Channel,
        /// The tickers that it exists for.
        tickers: &'static [&'static str],
    },
    /// A channel has no form for the whole market.
    #[error(
        "{channel} cannot be joined for the whole market: name {channel}:{example} and others of its kind in CHANNELS \
         in place of {channel}"
    )]
    NoPlainForm {
        /// The channel.
        channel: Channel,
        /// A ticker or a contract.
        example: &'static str,
    },
    /// There is nothing to join.
    #[error("CHANNELS and TARGET_SYMBOLS name nothing to join")]
    Nothing,
}

/// Plans the connections, in the order of [`Family::ALL`] unless sockets are merged.
pub fn plan(settings: &PlanSettings) -> Result<Vec<ConnectionPlan>, PlanError> {
    for choice in &settings.channels {
        if let ChannelChoice::Channel(channel) = choice {
            check_forms(channel, &settings.targets)?;
        }
    }
    let mut topics = topics(settings);
    if topics.is_empty() {
        return Err(PlanError::Nothing);
    }
    if let Some(topic) = joined_twice(&topics, &settings.targets) {
        return Err(PlanError::JoinedTwice { topic: topic.clone(), channel: topic.channel.clone() });
    }
    let is_widened = !widen(&mut topics, settings).is_empty();
    if topics.len() > capacity(settings) {
        return Err(PlanError::TooManyJoins {
            joins: topics.len(),
            arithmetic: arithmetic(&topics),
            connections: settings.max_connections,
            per_connection: settings.max_joins_per_connection,
            is_widened,
        });
    }
    let mut sockets = by_family(&topics, settings.max_joins_per_connection);
    if !merge(&mut sockets, settings) {
        // too large to merge pairwise: fill one socket after the other
        let all: Vec<Topic> = sockets.into_iter().flatten().collect();
        sockets = all.chunks(settings.max_joins_per_connection).map(<[Topic]>::to_vec).collect();
    }
    Ok(named(sockets))
}

/// Returns the channels that are joined for all symbols because their joins do not fit; with the whole market as target
/// there are none.
#[must_use]
pub fn widened(settings: &PlanSettings) -> Vec<Widened> {
    widen(&mut topics(settings), settings)
}

fn widen(topics: &mut Vec<Topic>, settings: &PlanSettings) -> Vec<Widened> {
    match settings.when_joins_exceed {
        WhenJoinsExceed::Refuse => Vec::new(),
        WhenJoinsExceed::Global => exceed::widen(topics, capacity(settings)),
    }
}

/// Returns the number of joins that all sockets take.
fn capacity(settings: &PlanSettings) -> usize {
    settings.max_connections.saturating_mul(settings.max_joins_per_connection)
}

/// Returns the distinct topics of the settings.
fn topics(settings: &PlanSettings) -> Vec<Topic> {
    let mut topics: Vec<Topic> = Vec::new();
    for choice in &settings.channels {
        let wanted = match choice {
            ChannelChoice::Topic(topic) => vec![topic.clone()],
            ChannelChoice::Channel(channel) => topics_of(channel, &settings.targets),
        };
        for topic in wanted {
            if !topics.contains(&topic) {
                topics.push(topic);
            }
        }
    }
    topics
}

fn topics_of(channel: &Channel, targets: &Targets) -> Vec<Topic> {
    match (channel.scope(), targets) {
        (Scope::PerTicker, Targets::Symbols(symbols)) => symbols
            .iter()
            .filter(|symbol| channel.exists_for(symbol.as_str()))
            .map(|symbol| Topic { channel: channel.clone(), symbol: Some(symbol.clone()) })
            .collect(),
        _ => vec![Topic { channel: channel.clone(), symbol: None }],
    }
}

/// Checks that the plain name of a channel stands for something that exists.
fn check_forms(channel: &Channel, targets: &Targets) -> Result<(), PlanError> {
    let Some(spec) = channel.spec() else { return Ok(()) };
    let no_plain = |example| Err(PlanError::NoPlainForm { channel: channel.clone(), example });
    match (spec.forms, targets) {
        (JoinForms::Contract, _) => no_plain("ESZ6"),
        (JoinForms::Ticker, Targets::WholeMarket) => no_plain("SPY"),
        (JoinForms::TickerOrPlain, Targets::Symbols(_)) if topics_of(channel, targets).is_empty() => {
            // without targets there is nothing to join at all
            match spec.tickers {
                [] => Ok(()),
                tickers => Err(PlanError::NoTicker { channel: channel.clone(), tickers }),
            }
        }
        _ => Ok(()),
    }
}

/// Returns the target symbols that a channel is not joined for because it does not exist for them.
#[must_use]
pub fn left_out(settings: &PlanSettings) -> Vec<(Channel, Vec<Symbol>)> {
    let Targets::Symbols(symbols) = &settings.targets else { return Vec::new() };
    let channels = settings.channels.iter().filter_map(|choice| match choice {
        ChannelChoice::Channel(channel) if channel.scope() == Scope::PerTicker => Some(channel),
        _ => None,
    });
    let without = |channel: &Channel| -> Vec<Symbol> {
        symbols.iter().filter(|symbol| !channel.exists_for(symbol.as_str())).cloned().collect()
    };
    channels
        .map(|channel| (channel.clone(), without(channel)))
        .filter(|(_, symbols)| !symbols.is_empty())
        .collect()
}

/// Joins names as in a sentence.
#[must_use]
pub fn listed(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        [only] => (*only).to_owned(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

/// Finds a topic whose events also arrive through the global form of its channel and end up in the same stream.
fn joined_twice<'t>(topics: &'t [Topic], targets: &Targets) -> Option<&'t Topic> {
    let is_target = |symbol: &Symbol| match targets {
        Targets::WholeMarket => true,
        Targets::Symbols(symbols) => symbols.contains(symbol),
    };
    let is_joined_for_all =
        |channel: &Channel| topics.iter().any(|topic| topic.symbol.is_none() && topic.channel == *channel);
    topics
        .iter()
        .find(|topic| topic.symbol.as_ref().is_some_and(is_target) && is_joined_for_all(&topic.channel))
}

fn arithmetic(topics: &[Topic]) -> String {
    let mut counts: Vec<(&Channel, usize)> = Vec::new();
    for topic in topics {
        match counts.iter_mut().find(|(channel, _)| *channel == &topic.channel) {
            Some((_, count)) => *count += 1,
            None => counts.push((&topic.channel, 1)),
        }
    }
    let parts: Vec<String> = counts.iter().map(|(channel, count)| format!("{channel} {count}")).collect();
    parts.join(" + ")
}

fn by_family(topics: &[Topic], per_connection: usize) -> Vec<Vec<Topic>> {
    let mut sockets = Vec::new();
    for family in Family::ALL {
        let own: Vec<Topic> =
            topics.iter().filter(|topic| topic.channel.family() == family).cloned().collect();
        sockets.extend(own.chunks(per_connection).map(<[Topic]>::to_vec));
    }
    sockets
}

/// Merges the two smallest sockets until few enough remain; `false` if two no longer fit into one.
fn merge(sockets: &mut Vec<Vec<Topic>>, settings: &PlanSettings) -> bool {
    while sockets.len() > settings.max_connections {
        let mut by_size: Vec<usize> = (0..sockets.len()).collect();
        by_size.sort_by_key(|&socket| sockets[socket].len());
        let (first, second) = (by_size[0].min(by_size[1]), by_size[0].max(by_size[1]));
        if sockets[first].len() + sockets[second].len() > settings.max_joins_per_connection {
            return false;
        }
        let merged = sockets.remove(second);
        sockets[first].extend(merged);
    }
    true
}

fn named(sockets: Vec<Vec<Topic>>) -> Vec<ConnectionPlan> {
    let mut plans: Vec<ConnectionPlan> = Vec::new();
    for topics in sockets {
        let carried =
            Family::ALL.iter().filter(|family| topics.iter().any(|t| t.channel.family() == **family));
        let base = carried.map(|family| family.name()).collect::<Vec<_>>().join("+");
        let namesakes = plans.iter().filter(|plan| plan.name.split('-').next() == Some(&base)).count();
        let name = if namesakes == 0 { base } else { format!("{base}-{}", namesakes + 1) };
        plans.push(ConnectionPlan { name, topics });
    }
    plans
}

#[cfg(test)]
mod tests;
