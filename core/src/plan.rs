//! Assigns topics to sockets: a pure function of the settings.
//!
//! Each family has its own connection as long as there are enough sockets; a family with more joins than a socket
//! takes is split over several. With too few sockets, the smallest ones are merged.

use thiserror::Error;

use crate::event::{Channel, Family, Scope, Symbol, Topic};
use crate::settings::{ChannelChoice, PlanSettings, Targets};

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
         raise WEBSOCKET_MAX_CONNECTIONS (at most 10), name fewer TARGET_SYMBOLS or CHANNELS, or set TARGET_SYMBOLS=* \
         to join each channel once for the whole market"
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
    /// There is nothing to join.
    #[error("CHANNELS and TARGET_SYMBOLS name nothing to join")]
    Nothing,
}

/// Plans the connections, in the order of [`Family::ALL`] unless sockets are merged.
pub fn plan(settings: &PlanSettings) -> Result<Vec<ConnectionPlan>, PlanError> {
    let topics = topics(settings);
    let capacity = settings.max_connections.saturating_mul(settings.max_joins_per_connection);
    if topics.is_empty() {
        return Err(PlanError::Nothing);
    }
    if let Some(topic) = joined_twice(&topics, &settings.targets) {
        return Err(PlanError::JoinedTwice { topic: topic.clone(), channel: topic.channel.clone() });
    }
    if topics.len() > capacity {
        return Err(PlanError::TooManyJoins {
            joins: topics.len(),
            arithmetic: arithmetic(&topics),
            connections: settings.max_connections,
            per_connection: settings.max_joins_per_connection,
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
            .map(|symbol| Topic { channel: channel.clone(), symbol: Some(symbol.clone()) })
            .collect(),
        _ => vec![Topic { channel: channel.clone(), symbol: None }],
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
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn settings(
        channels: &[&str],
        symbols: usize,
        max_connections: usize,
        per_connection: usize,
    ) -> PlanSettings {
        PlanSettings {
            channels: channels.iter().map(|c| ChannelChoice::Channel(Channel::parse(c).unwrap())).collect(),
            targets: Targets::Symbols(
                (0..symbols).map(|n| Symbol::parse(&format!("S{n}")).unwrap()).collect(),
            ),
            max_connections,
            max_joins_per_connection: per_connection,
        }
    }

    const ALL: [&str; 7] =
        ["flow-alerts", "option_trades", "price", "gex", "gex_strike", "gex_strike_expiry", "news"];

    fn outline(plans: &[ConnectionPlan]) -> Vec<(&str, usize)> {
        plans.iter().map(|plan| (plan.name.as_str(), plan.topics.len())).collect()
    }

    #[test]
    fn the_default_is_one_connection_a_family() {
        let plans = plan(&settings(&ALL, 3, 5, 50)).unwrap();
        assert_eq!(outline(&plans), [("flow", 1), ("trades", 3), ("prices", 3), ("gex", 9), ("news", 1)]);
    }

    #[test]
    fn the_smallest_families_share_when_sockets_are_few() {
        let plans = plan(&settings(&ALL, 3, 3, 50)).unwrap();
        assert_eq!(outline(&plans), [("flow+trades+news", 5), ("prices", 3), ("gex", 9)]);
        let plans = plan(&settings(&ALL, 3, 1, 50)).unwrap();
        assert_eq!(outline(&plans), [("flow+trades+prices+gex+news", 17)]);
    }

    #[test]
    fn a_family_above_the_cap_is_split() {
        let plans = plan(&settings(&["gex", "gex_strike"], 40, 5, 50)).unwrap();
        assert_eq!(outline(&plans), [("gex", 50), ("gex-2", 30)]);
    }

    #[test]
    fn the_whole_market_joins_each_channel_once() {
        let mut whole = settings(&ALL, 0, 5, 50);
        whole.targets = Targets::WholeMarket;
        let joins: usize = plan(&whole).unwrap().iter().map(|plan| plan.topics.len()).sum();
        assert_eq!(joins, 7);
    }

    #[test]
    fn a_topic_of_its_own_is_joined_once_beside_its_channel() {
        let mut own = settings(&["option_trades"], 1, 5, 50);
        let topic = |symbol| Topic {
            channel: Channel::parse("option_trades").unwrap(),
            symbol: Some(Symbol::parse(symbol).unwrap()),
        };
        own.channels.extend([ChannelChoice::Topic(topic("SPXW")), ChannelChoice::Topic(topic("S0"))]);
        assert_eq!(plan(&own).unwrap()[0].topics, [topic("S0"), topic("SPXW")]);
    }

    #[test]
    fn refuses_what_would_be_stored_twice() {
        let twice = |channel: &str, targets: Targets| {
            let mut settings = settings(&[channel], 0, 5, 50);
            let topic = Topic {
                channel: Channel::parse(channel).unwrap(),
                symbol: Some(Symbol::parse("SPXW").unwrap()),
            };
            settings.channels.push(ChannelChoice::Topic(topic));
            settings.targets = targets;
            matches!(plan(&settings), Err(PlanError::JoinedTwice { .. }))
        };
        let only = |symbol: &str| Targets::Symbols(vec![Symbol::parse(symbol).unwrap()]);
        assert!(twice("option_trades", Targets::WholeMarket));
        assert!(!twice("option_trades", only("SPXW")) && !twice("option_trades", only("SPY")));
        assert!(twice("lit_trades", Targets::WholeMarket) && twice("lit_trades", only("SPXW")));
        assert!(!twice("lit_trades", only("SPY")), "a stream that the global form does not write");
    }

    #[test]
    fn refuses_with_the_arithmetic_and_the_ways_out() {
        let error =
            plan(&settings(&["flow-alerts", "option_trades", "price"], 60, 2, 50)).unwrap_err().to_string();
        for part in ["121 joins", "flow-alerts 1 + option_trades 60 + price 60", "2 connections of 50", "*"] {
            assert!(error.contains(part), "{part} in {error}");
        }
    }

    proptest! {
        #[test]
        fn every_topic_is_joined_once_within_the_bounds(
            symbols in 0_usize..60, connections in 1_usize..=10, per_connection in 1_usize..60,
            chosen in proptest::sample::subsequence(ALL.to_vec(), 1..=7),
        ) {
            let settings = settings(&chosen, symbols, connections, per_connection);
            let wanted = topics(&settings);
            match plan(&settings) {
                Ok(plans) => {
                    prop_assert!(plans.len() <= connections);
                    prop_assert!(plans.iter().all(|plan| (1..=per_connection).contains(&plan.topics.len())));
                    let mut joined: Vec<Topic> = plans.iter().flat_map(|plan| plan.topics.clone()).collect();
                    let mut names: Vec<&str> = plans.iter().map(|plan| plan.name.as_str()).collect();
                    names.sort_unstable();
                    names.dedup();
                    prop_assert_eq!(names.len(), plans.len());
                    let mut wanted = wanted;
                    joined.sort();
                    wanted.sort();
                    prop_assert_eq!(joined, wanted);
                }
                Err(PlanError::JoinedTwice { .. }) => prop_assert!(false, "no topic has a symbol of its own"),
                Err(PlanError::Nothing) => prop_assert!(wanted.is_empty()),
                Err(PlanError::TooManyJoins { .. }) => prop_assert!(wanted.len() > connections * per_connection),
            }
        }
    }
}
