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
        targets: Targets::Symbols((0..symbols).map(|n| Symbol::parse(&format!("S{n}")).unwrap()).collect()),
        max_connections,
        max_joins_per_connection: per_connection,
        when_joins_exceed: WhenJoinsExceed::Refuse,
    }
}

/// The same, and joins that do not fit are replaced.
fn widening(channels: &[&str], symbols: usize, connections: usize, per_connection: usize) -> PlanSettings {
    let when_joins_exceed = WhenJoinsExceed::Global;
    PlanSettings { when_joins_exceed, ..settings(channels, symbols, connections, per_connection) }
}

fn names(widened: &[Widened]) -> Vec<(&str, usize)> {
    widened.iter().map(|widened| (widened.channel.name(), widened.joins)).collect()
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
        let topic =
            Topic { channel: Channel::parse(channel).unwrap(), symbol: Some(Symbol::parse("SPXW").unwrap()) };
        settings.channels.push(ChannelChoice::Topic(topic));
        settings.targets = targets;
        matches!(plan(&settings), Err(PlanError::JoinedTwice { .. }))
    };
    let only = |symbol: &str| Targets::Symbols(vec![Symbol::parse(symbol).unwrap()]);
    assert!(twice("option_trades", Targets::WholeMarket));
    assert!(!twice("option_trades", only("SPXW")) && !twice("option_trades", only("SPY")));
    assert!(twice("something_new", Targets::WholeMarket) && twice("something_new", only("SPXW")));
    assert!(!twice("something_new", only("SPY")), "a stream that the global form does not write");
}

#[test]
fn refuses_with_the_arithmetic_and_the_ways_out() {
    let error =
        plan(&settings(&["flow-alerts", "option_trades", "price"], 60, 2, 50)).unwrap_err().to_string();
    for part in [
        "121 joins",
        "flow-alerts 1 + option_trades 60 + price 60",
        "2 connections of 50",
        "WHEN_JOINS_EXCEED=global",
        "*",
    ] {
        assert!(error.contains(part), "{part} in {error}");
    }
}

#[test]
fn joins_that_fit_are_never_replaced() {
    let settings = widening(&ALL, 49, 5, 50);
    assert_eq!(plan(&settings).unwrap().iter().map(|plan| plan.topics.len()).sum::<usize>(), 247);
    assert_eq!(names(&widened(&settings)), []);
}

#[test]
fn as_few_channels_as_needed_are_joined_for_all_symbols_and_the_busiest_one_last() {
    let settings = widening(&ALL, 100, 5, 50);
    let plans = plan(&settings).unwrap();
    assert_eq!(names(&widened(&settings)), [("price", 100), ("gex", 100), ("gex_strike", 100)]);
    assert_eq!(
        outline(&plans),
        [("flow+prices+gex+news", 5), ("trades", 50), ("trades-2", 50), ("gex", 50), ("gex-2", 50)]
    );
    let tight = widening(&ALL, 100, 1, 50);
    assert_eq!(names(&widened(&tight)).last(), Some(&("gex_strike_expiry", 100)));
    assert_eq!(plan(&tight).unwrap()[0].topics.len(), 7);
}

#[test]
fn a_channel_that_is_joined_for_all_symbols_is_joined_in_no_other_form() {
    let mut settings = widening(&["option_trades"], 60, 1, 50);
    let topic =
        Topic { channel: Channel::parse("option_trades").unwrap(), symbol: Symbol::parse("SPXW").ok() };
    settings.channels.push(ChannelChoice::Topic(topic));
    assert_eq!(names(&widened(&settings)), [("option_trades", 61)]);
    let topics = &plan(&settings).unwrap()[0].topics;
    assert_eq!(topics.iter().map(ToString::to_string).collect::<Vec<_>>(), ["option_trades"]);
}

#[test]
fn a_channel_of_one_form_keeps_its_joins_and_is_refused_when_they_do_not_fit() {
    let settings = widening(&["net_flow", "price"], 51, 1, 50);
    assert_eq!(names(&widened(&settings)), [("price", 51)]);
    let error = plan(&settings).unwrap_err().to_string();
    assert!(error.contains("52 joins (net_flow 51 + price 1)"), "{error}");
    assert!(!error.contains("WHEN_JOINS_EXCEED"), "{error}");
    assert_eq!(outline(&plan(&widening(&["net_flow", "price"], 49, 1, 50)).unwrap()).len(), 1);
}

#[test]
fn a_channel_of_some_tickers_is_joined_for_those_of_the_targets() {
    let symbol = |symbol: &str| Symbol::parse(symbol).unwrap();
    let mut some = settings(&["periscope", "price"], 0, 5, 50);
    some.targets = Targets::Symbols(vec![symbol("SPY"), symbol("SPX"), symbol("VIX")]);
    let joined: Vec<String> = topics(&some).iter().map(ToString::to_string).collect();
    assert_eq!(joined, ["periscope:SPX", "periscope:VIX", "price:SPY", "price:SPX", "price:VIX"]);
    assert_eq!(left_out(&some), [(Channel::parse("periscope").unwrap(), vec![symbol("SPY")])]);
    plan(&some).unwrap();

    some.targets = Targets::Symbols(vec![symbol("SPY")]);
    let error = plan(&some).unwrap_err().to_string();
    assert!(error.contains("periscope exists for SPX, VIX, XSP and NANOS only"), "{error}");
    some.targets = Targets::WholeMarket;
    assert_eq!(topics(&some)[0].to_string(), "periscope");
    assert_eq!((plan(&some).unwrap().len(), left_out(&some)), (2, Vec::new()));
}

#[test]
fn volatilities_are_joined_for_every_ticker() {
    let joined = topics(&settings(&["interpolated_iv", "iv_term_structure"], 1, 5, 50));
    let joined: Vec<String> = joined.iter().map(ToString::to_string).collect();
    assert_eq!(joined, ["interpolated_iv:S0", "iv_term_structure:S0"]);
}

#[test]
fn a_form_that_does_not_exist_is_refused() {
    let mut whole = settings(&["net_flow"], 1, 5, 50);
    assert_eq!(topics(&whole)[0].to_string(), "net_flow:S0");
    plan(&whole).unwrap();
    whole.targets = Targets::WholeMarket;
    assert!(plan(&whole).unwrap_err().to_string().contains("net_flow:SPY"));
    let futures = plan(&settings(&["futures"], 1, 5, 50)).unwrap_err().to_string();
    assert!(futures.contains("futures:ESZ6"), "{futures}");
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
            Err(PlanError::NoTicker { .. } | PlanError::NoPlainForm { .. }) => {
                prop_assert!(false, "all of them exist");
            }
            Err(PlanError::Nothing) => prop_assert!(wanted.is_empty()),
            Err(PlanError::TooManyJoins { .. }) => prop_assert!(wanted.len() > connections * per_connection),
        }
    }
}
