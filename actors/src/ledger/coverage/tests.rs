mod histories;

use super::*;
use crate::ledger::gap::family_of;

const S: u64 = 1_000_000;

fn covered(topic: &str, reach: Reach) -> Covered {
    Covered { topic: topic.into(), family: family_of(topic), reach }
}

fn coverage(topics: &[&str]) -> Coverage {
    Coverage::new(topics.iter().map(|topic| covered(topic, Reach::New)).collect())
}

/// A connection whose topics were all joined at second 1.
fn live(topics: &[&str]) -> Coverage {
    let mut coverage = coverage(topics);
    coverage.opened(S);
    for topic in topics {
        coverage.joined(topic, S);
    }
    assert_eq!(coverage.take_closed(), []);
    coverage
}

/// Family, channels, seconds, reason.
type Line = (Family, String, u64, u64, GapReason);

fn lines(gaps: &[Gap]) -> Vec<Line> {
    gaps.iter()
        .map(|gap| (gap.family, gap.channels.join(","), gap.from_us / S, gap.to_us / S, gap.reason))
        .collect()
}

fn line(channels: &str, from: u64, to: u64, reason: GapReason) -> Line {
    let first = channels.split(',').next().unwrap();
    (family_of(first), channels.to_owned(), from, to, reason)
}

#[test]
fn nothing_is_missing_before_the_first_join() {
    let mut coverage = coverage(&["price:SPY"]);
    coverage.lost(5 * S, 6 * S, GapReason::Disconnect, "");
    coverage.opened(10 * S);
    coverage.joined("price:SPY", 11 * S);
    coverage.tick(100 * S);
    assert_eq!((coverage.take_closed(), open_gaps(coverage.topics())), (vec![], vec![]));
}

#[test]
fn an_outage_lasts_from_the_last_frame_to_the_last_acknowledgement_and_is_one_gap() {
    let mut coverage = live(&["price:SPY", "price:QQQ"]);
    coverage.lost(10 * S, 12 * S, GapReason::Disconnect, "closed");
    assert_eq!(open_gaps(coverage.topics())[0].channels, ["price:SPY", "price:QQQ"]);
    coverage.opened(20 * S);
    coverage.joined("price:SPY", 21 * S);
    assert_eq!(coverage.take_closed(), []);
    coverage.joined("price:QQQ", 22 * S);
    let closed = coverage.take_closed();
    assert_eq!(lines(&closed), [line("price:QQQ,price:SPY", 10, 22, GapReason::Disconnect)]);
    assert_eq!(closed[0].detail, "closed");
    coverage.tick(1000 * S);
    assert_eq!(coverage.take_closed(), []);
}

#[test]
fn families_that_share_a_socket_have_gaps_of_their_own() {
    let mut coverage = live(&["price:SPY", "news"]);
    coverage.lost(10 * S, 10 * S, GapReason::Death, "");
    coverage.opened(20 * S);
    coverage.joined("price:SPY", 21 * S);
    coverage.joined("news", 22 * S);
    let expected = [line("price:SPY", 10, 21, GapReason::Death), line("news", 10, 22, GapReason::Death)];
    assert_eq!(lines(&coverage.take_closed()), expected);
}

#[test]
fn failed_handshakes_and_short_sessions_prolong_an_outage() {
    let mut coverage = live(&["price:SPY"]);
    coverage.lost(10 * S, 10 * S, GapReason::Disconnect, "first");
    coverage.opened(20 * S);
    coverage.lost(21 * S, 22 * S, GapReason::Death, "second");
    coverage.opened(40 * S);
    coverage.joined("price:SPY", 41 * S);
    assert_eq!(lines(&coverage.take_closed()), [line("price:SPY", 10, 41, GapReason::Disconnect)]);
}

#[test]
fn those_that_are_back_do_not_wait_for_a_straggler_which_goes_on_as_unjoined() {
    let mut coverage = live(&["price:SPY", "price:QQQ"]);
    coverage.lost(10 * S, 10 * S, GapReason::Disconnect, "");
    coverage.opened(20 * S);
    coverage.joined("price:SPY", 21 * S);
    coverage.tick(50 * S);
    assert_eq!(coverage.take_closed(), []);
    coverage.tick(51 * S);
    let first = line("price:QQQ,price:SPY", 10, 21, GapReason::Disconnect);
    assert_eq!(lines(&coverage.take_closed()), [first]);
    coverage.joined("price:QQQ", 90 * S);
    assert_eq!(lines(&coverage.take_closed()), [line("price:QQQ", 21, 90, GapReason::Unjoined)]);
}

#[test]
fn a_socket_on_which_no_join_is_answered_is_unjoined_since_it_was_opened() {
    let mut coverage = live(&["price:SPY", "price:QQQ"]);
    coverage.lost(10 * S, 10 * S, GapReason::Disconnect, "");
    coverage.opened(20 * S);
    coverage.overdue("price:SPY", "refused");
    coverage.overdue("price:QQQ", "refused");
    let both = "price:QQQ,price:SPY";
    assert_eq!(lines(&coverage.take_closed()), [line(both, 10, 20, GapReason::Disconnect)]);
    coverage.overdue("price:SPY", "refused");
    coverage.joined("price:SPY", 60 * S);
    coverage.joined("price:QQQ", 61 * S);
    assert_eq!(lines(&coverage.take_closed()), [line(both, 20, 61, GapReason::Unjoined)]);
}

#[test]
fn a_first_join_without_an_answer_is_missing_since_the_session_was_opened() {
    let mut coverage = coverage(&["price:SPY", "price:QQQ"]);
    coverage.opened(S);
    coverage.joined("price:QQQ", 2 * S);
    coverage.overdue("price:SPY", "refused");
    coverage.overdue("price:QQQ", "a join that was answered");
    coverage.lost(50 * S, 50 * S, GapReason::Disconnect, "");
    coverage.opened(60 * S);
    coverage.joined("price:SPY", 61 * S);
    coverage.joined("price:QQQ", 61 * S);
    let expected =
        [line("price:SPY", 1, 61, GapReason::Unjoined), line("price:QQQ", 50, 61, GapReason::Disconnect)];
    assert_eq!(lines(&coverage.take_closed()), expected);
}

#[test]
fn one_that_is_lost_again_is_on_record_before() {
    let mut coverage = live(&["price:SPY", "price:QQQ"]);
    coverage.lost(10 * S, 10 * S, GapReason::Disconnect, "");
    coverage.opened(20 * S);
    coverage.joined("price:SPY", 21 * S);
    coverage.lost(25 * S, 26 * S, GapReason::Disconnect, "");
    assert_eq!(lines(&coverage.take_closed()), [line("price:SPY", 10, 21, GapReason::Disconnect)]);
    coverage.opened(30 * S);
    coverage.joined("price:SPY", 31 * S);
    coverage.joined("price:QQQ", 31 * S);
    let expected =
        [line("price:SPY", 25, 31, GapReason::Disconnect), line("price:QQQ", 10, 31, GapReason::Disconnect)];
    assert_eq!(lines(&coverage.take_closed()), expected);
}

#[test]
fn what_was_not_read_is_missing_until_it_is_read_again() {
    let mut coverage = live(&["price:SPY", "price:QQQ"]);
    coverage.blocked(10 * S);
    coverage.resumed(15 * S);
    assert_eq!(lines(&coverage.take_closed()), [line("price:QQQ,price:SPY", 10, 15, GapReason::Blocked)]);
    coverage.resumed(16 * S);
    assert_eq!(coverage.take_closed(), []);
    assert!(coverage.topics().iter().all(|covered| covered.reach == Reach::Receiving));
}

#[test]
fn what_is_not_read_while_a_sibling_is_awaited_is_in_one_gap_only() {
    let mut coverage = live(&["price:SPY", "price:QQQ"]);
    coverage.lost(10 * S, 10 * S, GapReason::Disconnect, "");
    coverage.opened(11 * S);
    coverage.joined("price:QQQ", 12 * S);
    coverage.blocked(13 * S);
    assert_eq!(lines(&coverage.take_closed()), [line("price:QQQ", 10, 12, GapReason::Disconnect)]);
    coverage.resumed(18 * S);
    coverage.joined("price:SPY", 19 * S);
    let expected =
        [line("price:QQQ", 13, 18, GapReason::Blocked), line("price:SPY", 10, 19, GapReason::Disconnect)];
    assert_eq!(lines(&coverage.take_closed()), expected);
}

#[test]
fn a_straggler_that_comes_before_the_tick_is_no_less_late() {
    let mut coverage = live(&["price:SPY", "price:QQQ"]);
    coverage.lost(10 * S, 10 * S, GapReason::Disconnect, "");
    coverage.opened(11 * S);
    coverage.joined("price:QQQ", 12 * S);
    coverage.joined("price:SPY", 42 * S);
    let expected = [
        line("price:QQQ,price:SPY", 10, 12, GapReason::Disconnect),
        line("price:SPY", 12, 42, GapReason::Unjoined),
    ];
    assert_eq!(lines(&coverage.take_closed()), expected);
}

#[test]
fn a_session_lost_while_it_is_not_read_goes_over_without_a_seam() {
    let mut coverage = live(&["price:SPY"]);
    coverage.blocked(10 * S);
    coverage.lost(9 * S, 15 * S, GapReason::Disconnect, "");
    coverage.resumed(17 * S);
    coverage.opened(18 * S);
    coverage.joined("price:SPY", 20 * S);
    let expected =
        [line("price:SPY", 10, 15, GapReason::Blocked), line("price:SPY", 15, 20, GapReason::Disconnect)];
    assert_eq!(lines(&coverage.take_closed()), expected);
}

#[test]
fn an_outage_of_the_process_before_ends_with_the_join() {
    let outage = Outage { since: S, reason: GapReason::Crash, detail: String::new() };
    let mut coverage = Coverage::new(vec![covered("news", Reach::Missing(outage))]);
    coverage.opened(5 * S);
    coverage.joined("news", 6 * S);
    assert_eq!(lines(&coverage.take_closed()), [line("news", 1, 6, GapReason::Crash)]);
}

#[test]
fn a_clock_that_was_set_back_makes_no_gap_negative() {
    let mut coverage = live(&["price:SPY"]);
    coverage.lost(100 * S, 100 * S, GapReason::Disconnect, "");
    coverage.opened(20 * S);
    coverage.joined("price:SPY", 21 * S);
    let gap = &coverage.take_closed()[0];
    assert!(gap.from_us <= 21 * S && gap.to_us >= 100 * S, "{gap:?}");
}
