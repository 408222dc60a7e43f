//! Bodies as the writer uses them.

mod fuzz;
mod measure;
mod model;
mod order;
pub(super) mod samples;
mod shape;
mod story;
mod world;

use super::*;
use crate::event::BodyEndpoint;
use decimal::Decimal;
use samples::came_at;

impl RestBody {
    /// Adopts the hash's content, regardless of time.
    fn found(&mut self, ticker: &str, hash: Option<(&str, &str)>) -> Result<(), UnreadableBody> {
        self.found_at(i64::MAX, ticker, hash)
    }
}

const FETCHED: &str = "2025-10-03T20:14:50.515417+00:00";
#[test]
fn an_alert_comes_first_in_rests_shape() {
    let mut body = RestBody::new(BodyEndpoint::FlowAlerts, "DIA", true);
    body.found("DIA", None).unwrap();
    let alert = r#"{"rule_name":"RepeatedHits","ticker":"DIA","option_chain":"DIA241018C00415000","underlying_price":415.981,"total_size":50.0,"total_premium":36466.0,"price":7.3,"executed_at":1726670212748,"has_sweep":false,"id":"x","bid":"7.15"}"#;
    body.add(alert, came_at(1_726_670_220_000_001)).unwrap();
    let hash = body.wanted().unwrap();
    assert_eq!(hash.fetched_at, "2024-09-18T14:37:00.000001+00:00");
    assert_eq!(
        hash.payload,
        r#"{"data":[{"type":"call","ticker":"DIA","created_at":"2024-09-18T14:36:52.748000Z","price":"7.3","expiry":"2024-10-18","strike":"415","underlying_price":"415.981","total_premium":"36466","option_chain":"DIA241018C00415000","has_sweep":false,"total_size":50,"alert_rule":"RepeatedHits"}]}"#
    );
    body.written(&hash);
    assert_eq!(body.wanted(), None);
    body.add(alert, came_at(1_726_670_220_000_001)).unwrap();
    assert_eq!(body.wanted(), None, "a repetition changes nothing");
}

#[test]
fn a_late_older_answer_is_replaced_by_what_is_known() {
    let mut body = RestBody::new(BodyEndpoint::StockState, "SPY", true);
    let state = r#"{"data":{"close":"669.5","high":"669.94","low":"668.6","tape_time":"2025-10-03T20:14:43Z","total_volume":70492555,"prev_close":"669.21"}}"#;
    body.found("SPY", Some((state, FETCHED))).unwrap();
    assert_eq!(body.wanted(), None);
    body.add(r#"{"close":"670.1","time":1759522500000,"vol":70492600}"#, came_at(1_759_522_500_100_000))
        .unwrap();
    let newer = body.wanted().unwrap();
    assert_eq!(
        newer.payload,
        r#"{"data":{"close":"670.1","high":"670.1","low":"668.6","tape_time":"2025-10-03T20:15:00Z","total_volume":70492600,"prev_close":"669.21"}}"#
    );
    body.written(&newer);
    body.found("SPY", Some((state, FETCHED))).unwrap();
    assert_eq!(body.wanted(), Some(newer.clone()));
    let older = "2025-10-03T20:14:40.000001+00:00";
    body.found("SPY", Some((r#"{"data":{"close":"1","tape_time":"2025-10-03T20:14:30Z"}}"#, older))).unwrap();
    assert_eq!(body.wanted(), Some(newer));
}

#[test]
fn an_answer_of_the_future_is_of_now_and_gives_way_to_the_next_one() {
    let (now_us, of_2099) = (1_759_522_490_515_417, "2099-01-01T00:00:00+00:00");
    let mut body = RestBody::new(BodyEndpoint::StockState, "SPY", true);
    let old = STATE.replace(r#"{"close""#, r#"{"of_2099":1,"close""#);
    body.found_at(now_us, "SPY", Some((&old, of_2099))).unwrap();
    assert_eq!((body.take_ahead(), body.take_ahead(), body.seen()), (1, 0, of_2099));
    let next = "2025-10-03T20:14:51+00:00";
    body.found_at(now_us + 1_000_000, "SPY", Some((STATE, next))).unwrap();
    let (event, received_us) = price(2);
    body.add(&event, came_at(received_us.cast_signed())).unwrap();
    let hash = body.wanted().unwrap();
    assert!(!hash.payload.contains("2099"), "{hash:?}");
    assert!(hash.fetched_at.starts_with("2025-10-03T20:14:52"), "{hash:?}");
    assert_eq!(body.take_ahead(), 0);
}

/// A price some seconds after [`FETCHED`], received immediately.
fn price(seconds: u64) -> (String, u64) {
    let received_us = 1_759_522_490_515_417 + seconds * 1_000_000;
    (format!(r#"{{"close":"670.1","time":{},"vol":7}}"#, received_us / 1000), received_us)
}

fn add(body: &mut RestBody, (event, received_us): (String, u64)) {
    body.add(&event, came_at(received_us.cast_signed())).unwrap();
}

const STATE: &str = r#"{"data":{"close":"669.5","tape_time":"2025-10-03T20:14:43Z","total_volume":6}}"#;

fn state() -> RestBody {
    let mut body = RestBody::new(BodyEndpoint::StockState, "SPY", false);
    body.found("SPY", Some((STATE, FETCHED))).unwrap();
    body
}

#[test]
fn fetched_at_is_of_the_newest_event_or_of_rests_newer_answer() {
    let mut body = state();
    add(&mut body, price(2));
    add(&mut body, price(1));
    assert_eq!(body.wanted().unwrap().fetched_at, "2025-10-03T20:14:52.515417+00:00");
    // an answer fetched later but older in content
    for fetched_at in ["2025-10-03T20:14:55+00:00", "2025-10-03T20:14:56Z", "2025-10-03T16:14:57.5-04:00"] {
        body.found("SPY", Some((STATE, fetched_at))).unwrap();
        let wanted = body.wanted().unwrap();
        assert!(wanted.payload.contains("670.1"));
        assert_eq!(wanted.fetched_at, fetched_at, "as it was written");
    }
}

#[test]
fn an_event_with_an_older_time_does_not_lower_fetched_at() {
    let mut body = RestBody::new(BodyEndpoint::SpotExposuresStrike, "SPY", true);
    body.found("SPY", None).unwrap();
    let event = |at: u64| format!(r#"{{"timestamp":{at},"strike":"5","price":"{at}"}}"#);
    body.add(&event(1_759_522_490_000), came_at(1_759_522_495_000_000)).unwrap();
    let first = body.wanted().unwrap();
    body.written(&first);
    // newer in content, but received before: a replay
    body.add(&event(1_759_522_491_000), came_at(1_759_522_492_000_000)).unwrap();
    let second = body.wanted().unwrap();
    assert!(second.payload.contains("1759522491000"));
    assert_eq!(second.fetched_at, first.fetched_at);
}

#[test]
fn nothing_is_written_where_rest_has_no_body_unless_it_may_be_made() {
    let gex = r#"{"timestamp":1759522490000,"price":"1"}"#;
    for may_create in [false, true] {
        let mut body = RestBody::new(BodyEndpoint::SpotExposures, "SPY", may_create);
        body.found("SPY", None).unwrap();
        assert_eq!(body.wanted(), None);
        body.add(gex, came_at(1_759_522_490_000_000)).unwrap();
        assert_eq!(body.wanted().is_some(), may_create);
        body.found("SPY", Some((r#"{"data":[]}"#, FETCHED))).unwrap();
        assert!(body.wanted().is_some(), "what came before REST's answer is not lost");
    }
}

#[test]
fn what_cannot_be_read_is_left_alone_however_old_it_is() {
    let older = "2025-10-03T20:14:40+00:00";
    for (payload, fetched_at) in [
        ("", FETCHED),
        ("null", FETCHED),
        (r#"{"error":"rate limit"}"#, FETCHED),
        (r#"{"data":[]}"#, FETCHED),
        (r#"{"data":{}}"#, older),
        ("\"", older),
        (STATE, ""),
        (STATE, "now"),
    ] {
        let mut body = state();
        add(&mut body, price(1));
        assert!(body.found("SPY", Some((payload, fetched_at))).is_err(), "{payload} {fetched_at}");
        assert!(body.is_foreign());
        assert_eq!(body.seen(), fetched_at);
        add(&mut body, price(2));
        assert_eq!(body.wanted(), None);
        // until its content changes
        body.found("SPY", Some((STATE, older))).unwrap();
        assert!(!body.is_foreign());
        add(&mut body, price(3));
        assert!(body.wanted().is_some());
    }
    let huge = format!(r#"{{"data":[],"x":"{}"}}"#, "x".repeat(MAX_BODY));
    assert!(
        RestBody::new(BodyEndpoint::FlowAlerts, "SPY", true).found("SPY", Some((&huge, FETCHED))).is_err()
    );
}

#[test]
fn a_body_that_could_not_be_read_again_is_not_written() {
    let rest = r#"{"data":[],"x":""}"#;
    let full = format!(r#"{{"data":[],"x":"{}"}}"#, "x".repeat(MAX_BODY - rest.len()));
    let mut body = RestBody::new(BodyEndpoint::SpotExposures, "SPY", true);
    body.found("SPY", Some((&full, FETCHED))).unwrap();
    body.add(r#"{"timestamp":1759522490000,"price":"1"}"#, came_at(1_759_522_490_000_000)).unwrap();
    assert_eq!(body.wanted(), None);
}

#[test]
fn a_hash_that_is_gone_takes_what_was_known_with_it() {
    let mut body = state();
    add(&mut body, price(1));
    body.found("SPY", None).unwrap();
    assert_eq!(body.seen(), "");
    assert_eq!(body.wanted(), None);
    body.found("SPY", Some((STATE, FETCHED))).unwrap();
    assert_eq!(body.wanted(), None);
}

#[test]
fn an_event_that_comes_while_a_write_is_under_way_is_written_next() {
    let mut body = state();
    add(&mut body, price(1));
    let first = body.wanted().unwrap();
    add(&mut body, price(2));
    body.written(&first);
    let second = body.wanted().unwrap();
    assert_ne!(first, second);
    body.written(&second);
    assert_eq!(body.wanted(), None);
}

#[test]
fn a_write_that_failed_is_wanted_again() {
    let mut body = state();
    add(&mut body, price(1));
    let wanted = body.wanted();
    assert!(wanted.is_some());
    assert_eq!(body.wanted(), wanted);
    // REST's newer answer is wanted again after an older one has overwritten it
    let mut body = state();
    body.found("SPY", Some((&STATE.replace("669.5", "1"), "2025-10-03T20:14:40+00:00"))).unwrap();
    let wanted = Some(Hash { payload: STATE.to_owned(), fetched_at: FETCHED.to_owned() });
    assert_eq!([body.wanted(), body.wanted()], [wanted.clone(), wanted]);
}

#[test]
fn an_own_write_whose_reply_was_lost_is_not_taken_for_rests() {
    let mut body = state();
    add(&mut body, price(5));
    let ours = body.wanted().unwrap();
    body.found("SPY", Some((&ours.payload, &ours.fetched_at))).unwrap();
    assert_eq!(body.wanted(), None);
    // REST answered before our write, but is read after it
    let answer = STATE.replace("\"close\"", "\"open\":\"5\",\"close\"");
    body.found("SPY", Some((&answer, "2025-10-03T20:14:53+00:00"))).unwrap();
    let wanted = body.wanted().unwrap();
    assert!(wanted.payload.contains("\"open\":\"5\",\"close\":\"670.1\""), "{}", wanted.payload);
    assert_eq!(wanted.fetched_at, ours.fetched_at);
}

#[test]
fn other_members_of_a_body_are_kept() {
    let mut body = RestBody::new(BodyEndpoint::SpotExposures, "SPY", true);
    body.found("SPY", Some((r#"{"date":"2025-10-03","data":[],"next":null}"#, FETCHED))).unwrap();
    body.add(r#"{"timestamp":1759522490000,"price":"1"}"#, came_at(1_759_522_490_000_000)).unwrap();
    let row = r#"{"time":"2025-10-03T20:14:50.000000Z","ticker":"SPY","price":"1"}"#;
    let expected = format!(r#"{{"date":"2025-10-03","data":[{row}],"next":null}}"#);
    assert_eq!(body.wanted().unwrap().payload, expected);
}
