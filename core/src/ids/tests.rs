use proptest::prelude::*;

use super::*;
use crate::event::Route;
use crate::fixtures::{RECEIVED_US, destination, event, route};

const NOW: u64 = RECEIVED_US / 1000;

fn id(ms: u64, seq: u64) -> EntryId {
    EntryId { ms, seq }
}

#[test]
fn the_id_is_the_receive_time_while_the_clock_goes_forward() {
    assert_eq!(next_id(id(0, 0), 1000), Ok(id(1000, 0)));
    assert_eq!(next_id(id(1000, 0), 1000), Ok(id(1000, 1)));
    assert_eq!(next_id(id(1000, 7), 1001), Ok(id(1001, 0)));
}

#[test]
fn goes_on_from_the_highest_id_when_the_clock_steps_back() {
    assert_eq!(next_id(id(5000, 3), 1000), Ok(id(5000, 4)));
    assert_eq!(next_id(id(5000, u64::MAX), 1000), Ok(id(5001, 0)));
}

#[test]
fn says_when_no_id_is_left() {
    let last = id(u64::MAX, u64::MAX);
    assert_eq!(next_id(last, 1000), Err(Exhausted { last }));
}

/// Returns the IDs of an event of this route received some milliseconds after [`NOW`].
fn number(numbering: &mut Numbering, route: &Arc<Route>, after_ms: u64) -> Vec<EntryId> {
    let mut event = event(route, "1", after_ms);
    numbering.number(&mut event);
    event.ids.as_slice().to_vec()
}

#[test]
fn every_stream_of_an_event_has_its_own_rising_ids() {
    let (both, one) = (
        route(0, vec![destination("news", 0), destination("news:SPY", 0)]),
        route(0, vec![destination("news", 0)]),
    );
    let mut numbering = Numbering::default();
    assert_eq!(number(&mut numbering, &both, 0), [id(NOW, 0), id(NOW, 0)]);
    assert_eq!(number(&mut numbering, &one, 0), [id(NOW, 1)]);
    assert_eq!(number(&mut numbering, &both, 0), [id(NOW, 2), id(NOW, 1)]);
    assert_eq!(number(&mut numbering, &both, 5), [id(NOW + 5, 0), id(NOW + 5, 0)]);
}

#[test]
fn every_stream_begins_above_the_base() {
    let (spy, qqq) =
        (route(0, vec![destination("price:SPY", 0)]), route(0, vec![destination("price:QQQ", 0)]));
    let mut numbering = Numbering::above(id(NOW + 3, 9));
    assert_eq!(number(&mut numbering, &spy, 0), [id(NOW + 3, 10)]);
    assert_eq!(number(&mut numbering, &qqq, 1), [id(NOW + 3, 10)]);
    assert_eq!(number(&mut numbering, &qqq, 4), [id(NOW + 4, 0)]);
}

#[test]
fn a_raised_stream_goes_on_above_it_and_is_never_lowered() {
    let (spy, qqq) =
        (route(0, vec![destination("price:SPY", 0)]), route(0, vec![destination("price:QQQ", 0)]));
    let mut numbering = Numbering::above(id(5, 5));
    let stream = &spy.destinations[0].stream;
    numbering.raise(stream, id(NOW + 100, 1));
    numbering.raise(stream, id(7, 7));
    assert_eq!(number(&mut numbering, &spy, 0), [id(NOW + 100, 2)]);
    assert_eq!(number(&mut numbering, &qqq, 0), [id(NOW, 0)]);
    numbering.raise(&qqq.destinations[0].stream, id(5, 5));
    assert_eq!(number(&mut numbering, &qqq, 0), [id(NOW, 1)]);
}

#[test]
fn a_stream_without_an_id_left_repeats_its_last_one() {
    let spy = route(0, vec![destination("price:SPY", 0)]);
    let last = id(u64::MAX, u64::MAX);
    let mut numbering = Numbering::default();
    numbering.raise(&spy.destinations[0].stream, id(u64::MAX, u64::MAX - 1));
    for _ in 0..3 {
        assert_eq!(number(&mut numbering, &spy, 0), [last]);
    }
}

#[test]
fn beyond_the_bound_streams_are_forgotten_and_no_id_is_given_twice() {
    let spy = route(0, vec![destination("price:SPY", 0)]);
    let mut numbering = Numbering::default().bounded(100);
    numbering.raise(&spy.destinations[0].stream, id(NOW + 50, 1));
    for number in 0..100 {
        numbering.raise(&format!("stream {number}").into(), id(NOW, number));
    }
    let qqq = route(0, vec![destination("price:QQQ", 0)]);
    assert_eq!(number(&mut numbering, &qqq, 0), [id(NOW, 100)], "above every forgotten ID");
    assert_eq!(number(&mut numbering, &spy, 0), [id(NOW + 50, 2)], "what is ahead is not forgotten");
    assert_eq!((numbering.last.len(), numbering.take_forgotten()), (2, 100));
}

#[test]
fn streams_that_are_all_ahead_of_the_clock_are_bounded_too() {
    let spy = route(0, vec![destination("price:SPY", 0)]);
    let mut numbering = Numbering::default().bounded(100);
    for number in 0..=100 {
        numbering.raise(&format!("stream {number}").into(), id(NOW + number, 7));
    }
    assert_eq!(number(&mut numbering, &spy, 0), [id(NOW + 100, 8)]);
    assert_eq!(numbering.last.len(), 1);
}

proptest! {
    #[test]
    fn ids_rise_strictly_whatever_the_clock_does(start in any::<(u64, u64)>(), clock in proptest::collection::vec(any::<u64>(), 1..50)) {
        let mut last = id(start.0, start.1);
        for now in clock {
            let Ok(next) = next_id(last, now) else {
                prop_assert_eq!(last, id(u64::MAX, u64::MAX));
                continue;
            };
            prop_assert!(next > last);
            prop_assert!(next.ms >= now);
            last = next;
        }
    }
}
