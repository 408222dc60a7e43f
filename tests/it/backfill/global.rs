//! A channel that is joined for all symbols, because there are too many joins, is filled for the targets alone.

use super::{World, assert_ended};

#[test]
fn of_a_channel_that_is_joined_for_all_symbols_only_the_targets_are_fetched() {
    let mut world = World::start();
    world.setup = world
        .setup
        .set("WEBSOCKET_MAX_CONNECTIONS", "1")
        .set("WEBSOCKET_MAX_CHANNELS_PER_CONNECTION", "1")
        .set("WHEN_JOINS_EXCEED", "global");
    let service = world.setup.clone().start_ready();
    let gap = world.miss(900);
    let (_, named) = world.gaps().into_iter().find(|(id, _)| *id == gap).unwrap();
    assert_eq!(named["channels"], "option_trades", "the gap names no symbol");
    world.settle(&service);
    assert_ended(&world.wait_for_fills(&gap), "complete", "");
    world.assert_complete();
    let requests = world.simulator.rest_requests();
    let mut requests = requests.iter().filter(|request| request.endpoint == "option-trades").peekable();
    assert!(requests.peek().is_some());
    let is_of_target = |target: &str| ["=SPY", "=QQQ"].iter().any(|symbol| target.contains(symbol));
    assert!(requests.all(|request| is_of_target(&request.target)));
    service.finish();
}
