//! Bodies as the shell uses them.

mod model;
mod order;
pub(super) mod samples;
mod story;
mod world;

use super::*;

const FETCHED: &str = "2025-10-03T20:14:50.515417+00:00";
#[test]
fn an_alert_comes_first_in_rests_shape() {
    let mut body = Body::new(Endpoint::FlowAlerts, "DIA", true);
    body.found("DIA", None).unwrap();
    let alert = r#"{"rule_name":"RepeatedHits","ticker":"DIA","option_chain":"DIA241018C00415000","underlying_price":415.981,"total_size":50.0,"total_premium":36466.0,"price":7.3,"executed_at":1726670212748,"has_sweep":false,"id":"x","bid":"7.15"}"#;
    body.add(alert, 1_726_670_220_000_001).unwrap();
    let hash = body.wanted().unwrap();
    assert_eq!(hash.fetched_at, "2024-09-18T14:37:00.000001+00:00");
    assert_eq!(
        hash.payload,
        r#"{"data":[{"type":"call","ticker":"DIA","created_at":"2024-09-18T14:36:52.748000Z","price":"7.3","expiry":"2024-10-18","strike":"415","underlying_price":"415.981","total_premium":"36466","option_chain":"DIA241018C00415000","has_sweep":false,"total_size":50,"alert_rule":"RepeatedHits"}]}"#
    );
    body.written(&hash);
    assert_eq!(body.wanted(), None);
    body.add(alert, 1_726_670_220_000_001).unwrap();
    assert_eq!(body.wanted(), None, "a repetition changes nothing");
}

#[test]
fn a_late_older_answer_is_replaced_by_what_is_known() {
    let mut body = Body::new(Endpoint::StockState, "SPY", true);
    let state = r#"{"data":{"close":"669.5","high":"669.94","low":"668.6","tape_time":"2025-10-03T20:14:43Z","total_volume":70492555,"prev_close":"669.21"}}"#;
    body.found("SPY", Some((state, FETCHED))).unwrap();
    assert_eq!(body.wanted(), None);
    body.add(r#"{"close":"670.1","time":1759522500000,"vol":70492600}"#, 1_759_522_500_100_000).unwrap();
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
