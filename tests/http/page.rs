//! The files of the status page.

use super::{agent, get, in_order, start};

#[test]
fn the_page_is_sent_once_and_confirmed_from_then_on() {
    let side = start(&in_order());
    let page = get(&side, "/");
    assert_eq!((page.status, page.header("content-type")), (200, "text/html; charset=utf-8"));
    assert!(page.body.starts_with("<!doctype html>"), "{}", page.body);
    let tag = page.header("etag");

    let ask_again = |known: &str| {
        let request =
            agent().get(format!("http://{}/", side.local_addr().unwrap())).header("if-none-match", known);
        let mut answer = request.call().unwrap();
        assert_eq!(answer.headers()["etag"], tag);
        assert_eq!(answer.headers()["cache-control"], "no-cache");
        (answer.status().as_u16(), answer.body_mut().read_to_string().unwrap())
    };
    assert_eq!(ask_again(tag), (304, String::new()));
    assert_eq!(ask_again(&format!("\"another\", W/{tag}")), (304, String::new()));
    assert_eq!(ask_again("\"another\""), (200, page.body.clone()));
    assert_eq!(ask_again("rubbish").0, 200, "what cannot be read is not known");
}

#[test]
fn every_answer_keeps_the_page_to_its_own_server() {
    let side = start(&in_order());
    for path in ["/", "/api/status", "/nothing"] {
        let answer = get(&side, path);
        assert_eq!(answer.header("referrer-policy"), "no-referrer", "{path}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(
            answer.header("content-security-policy"),
            "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
             img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
            "{path}"
        );
    }
}
