//! The page's form: on a phone, by night, by keyboard, and for who does not see it.

use rustix::process::Signal;
use serde_json::{Value, json};

use super::{ALL_IS_WELL, open, send_prices, wait_for_headline};
use crate::support::browser::{Browser, DESK, ENTER, PHONE, TAB, View};
use crate::support::feed::Refusal;
use crate::support::{Feed, RedisServer, Service, Setup};

/// With the channels below as many joins as five sockets can carry.
const SYMBOLS: &str = "SPY,QQQ,IWM,DIA,AAPL,MSFT,NVDA,TSLA,AMZN,META,GOOGL,AMD,NFLX,BRK.B,AVGO,SMCI";
/// Those of the settings' default and more.
const CHANNELS: &str = "flow-alerts,option_trades,price,gex,gex_strike,gex_strike_expiry,news,lit_trades,\
    off_lit_trades,a_channel_with_quite_a_long_name,another_one,c1,c2,c3,c4,c5,c6,c7,c8,c9,d1,d2,d3,d4,d5,d6,d7,d8,d9,e1";

/// What it says has a word that fits no line.
const WORDY: Refusal = Refusal {
    status: "503 Service Unavailable",
    headers: "",
    body: "a-reason-without-a-blank-in-it-which-is-longer-than-any-telephone-is-wide-and-then-some-more",
};

/// What sticks out of the page to the right.
const TOO_WIDE: &str = "[...document.querySelectorAll('body *')]
    .filter((node) => node.getBoundingClientRect().right > document.documentElement.clientWidth + 0.5)
    .map((node) => `${node.tagName}.${node.className} ${node.textContent.slice(0, 40)}`)";

#[track_caller]
fn assert_fits(page: &Browser, width: u32) {
    assert_eq!(page.evaluate(TOO_WIDE), json!([]), "at {width} pixels");
    let scrolled = page.evaluate("document.documentElement.scrollWidth").as_u64().unwrap();
    assert!(scrolled <= u64::from(width), "{scrolled} of {width} pixels");
}

#[test]
fn nothing_is_wider_than_the_window_with_many_channels_and_joins_and_in_an_outage() {
    let (feed, mut redis) = (Feed::start(), RedisServer::start());
    let setup = Setup::new(&feed, &redis).set("TARGET_SYMBOLS", SYMBOLS).set("CHANNELS", CHANNELS);
    let service = setup.start_ready();
    let page = open(&service, PHONE);
    wait_for_headline(&page, ALL_IS_WELL);
    let widths = [360, 480, 720, 800, 1000, 1200, 1920];
    for width in widths {
        page.look(View { width, ..PHONE });
        assert_fits(&page, width);
    }
    redis.kill9();
    feed.refuse_all(Some(WORDY));
    feed.cut_all();
    page.wait_for_text("#headline", |text| text.contains("not connected") && text.contains("Redis"));
    page.wait_for_text("#open-gaps", |text| text.contains("and ") && text.contains(" more"));
    page.evaluate("document.querySelectorAll('details').forEach((details) => { details.open = true; })");
    for width in widths {
        page.look(View { width, ..PHONE });
        assert_fits(&page, width);
    }
    feed.refuse_all(None);
    redis.restart(&[]);
    wait_for_headline(&page, ALL_IS_WELL);
    service.finish();
}

/// The least contrast of a text with the ground behind it, by the formula of WCAG 2, and whose it is.
const LEAST_CONTRAST: &str = "(() => {
    const parse = (colour) => colour.match(/[0-9.]+/g).map(Number);
    const luminance = (colour) => {
        const [r, g, b] = parse(colour).map((c) => c / 255).map((c) => (c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const ground = luminance(getComputedStyle(document.body).backgroundColor);
    const hasText = (node) => [...node.childNodes].some((child) => child.nodeType === 3 && child.data.trim());
    const contrasts = [...document.querySelectorAll('body *')].filter(hasText).map((node) => {
        const ink = luminance(getComputedStyle(node).color);
        const contrast = (Math.max(ink, ground) + 0.05) / (Math.min(ink, ground) + 0.05);
        return [contrast, `${node.tagName}.${node.className} ${node.textContent}`];
    });
    return contrasts.sort((a, b) => a[0] - b[0])[0];
})()";

#[test]
fn every_text_can_be_read_by_day_and_by_night_also_when_it_is_old() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let mut service = Service::start(&feed, &redis);
    let page = open(&service, DESK);
    wait_for_headline(&page, ALL_IS_WELL);
    assert_readable(&page);
    service.terminate();
    wait_for_headline(&page, "Disconnected");
    assert_readable(&page);
}

#[track_caller]
fn assert_readable(page: &Browser) {
    let mut grounds = Vec::new();
    for is_dark in [false, true] {
        page.look(View { is_dark, ..DESK });
        let least = page.evaluate(LEAST_CONTRAST);
        assert!(least[0].as_f64().unwrap() >= 4.5, "{least}, dark: {is_dark}");
        grounds.push(page.evaluate("getComputedStyle(document.body).backgroundColor"));
    }
    assert_ne!(grounds[0], grounds[1]);
}

#[test]
fn the_lines_are_drawn_anew_when_night_falls() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let service = Service::start(&feed, &redis);
    let page = open(&service, DESK);
    wait_for_headline(&page, ALL_IS_WELL);
    send_prices(&feed, 0, 500);
    let spark = "document.querySelector('#channels > [data-key=price] canvas')";
    page.wait_until(
        "the line has two points",
        &format!("/last 1[05] s/.test({spark}.closest('.spark').ariaLabel)"),
    );
    service.signal(Signal::STOP); // no new rates that would have them drawn anyway
    wait_for_headline(&page, "Disconnected");
    let by_day = page.evaluate(&format!("{spark}.toDataURL()"));
    page.look(View { is_dark: true, ..DESK });
    page.wait_until("other colours", &format!("{spark}.toDataURL() !== {by_day}"));
    service.signal(Signal::CONT);
    service.finish();
}

#[test]
fn the_keyboard_reaches_what_can_be_opened_and_it_stays_open() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let service = Service::start(&feed, &redis);
    let page = open(&service, DESK);
    wait_for_headline(&page, ALL_IS_WELL);
    page.press(TAB);
    assert_eq!(page.evaluate("document.activeElement.textContent"), "By channel");
    assert_eq!(page.evaluate("getComputedStyle(document.activeElement).outlineStyle"), "solid");
    page.press(ENTER);
    page.wait_until("the table is there", "document.querySelector('#books').checkVisibility()");
    send_prices(&feed, 0, 7);
    page.wait_for_text("#books > [data-key=price] [data-head=stored]", |text| text == "7");
    assert_eq!(page.evaluate("document.activeElement.textContent"), "By channel");
    let reached = (0..20).map(|_| {
        page.press(TAB);
        page.evaluate("document.activeElement.getAttribute('href')")
    });
    let reached: Vec<Value> = reached.collect();
    for link in ["api/status", "readyz", "metrics"] {
        assert!(reached.contains(&json!(link)), "{link} in {reached:?}");
    }
    service.finish();
}

#[test]
fn who_does_not_see_it_hears_of_changes_of_the_headline_and_of_nothing_else() {
    let (feed, mut redis) = (Feed::start(), RedisServer::start());
    let service = Service::start(&feed, &redis);
    let page = open(&service, DESK);
    wait_for_headline(&page, ALL_IS_WELL);
    let live = page.evaluate("[...document.querySelectorAll('[aria-live], [role=status], [role=alert]')].map((n) => n.textContent)");
    assert_eq!(live, json!([ALL_IS_WELL]));
    page.evaluate(
        "window.heard = []; new MutationObserver(() => heard.push(headline.textContent)).observe(headline.parentNode,
            { subtree: true, childList: true, characterData: true, attributes: true })",
    );
    let now = page.text("#link");
    let three_later = |text: &str| text != now && text.ends_with(" UTC");
    page.wait_for_text("#link", three_later);
    send_prices(&feed, 0, 7);
    page.wait_for_text("#channels > [data-key=price] [data-head=Stored]", |text| text == "7");
    assert_eq!(page.evaluate("heard"), json!([]));
    redis.kill9();
    wait_for_headline(&page, "Not ready");
    redis.restart(&[]);
    wait_for_headline(&page, ALL_IS_WELL);
    let heard = page.evaluate("heard");
    assert_eq!(heard.as_array().unwrap().last().unwrap(), ALL_IS_WELL);
    assert!(heard.as_array().unwrap().len() <= 3, "{heard}");
    service.finish();
}

#[test]
fn tables_are_tables_for_who_does_not_see_them_on_a_phone_too() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let service = Service::start(&feed, &redis);
    let page = open(&service, DESK);
    wait_for_headline(&page, ALL_IS_WELL);
    for view in [DESK, PHONE] {
        page.look(view);
        let tree = page.accessibility_tree();
        let named = |role: &str| -> Vec<&str> {
            let nodes = tree.iter().filter(|(of, _)| of == role);
            nodes.map(|(_, name)| name.as_str()).collect()
        };
        let tables = named("table");
        assert!(tables.contains(&"Channels: rates, newest events, counts"), "{tables:?}");
        assert!(tables.iter().all(|name| !name.is_empty()), "{tables:?}");
        assert!(named("rowheader").contains(&"option_trades"));
        assert!(named("cell").len() > 60);
        let lines = named("image");
        assert_eq!(lines.len(), 7, "{lines:?}");
        assert!(lines.iter().all(|name| !name.is_empty()), "{lines:?}");
        assert!(named("heading").contains(&ALL_IS_WELL) && named("heading").contains(&"Disk queue"));
    }
    // some browsers forget what a table is when it is laid out as blocks, unless they are told
    let untold = "document.querySelectorAll(':is(table, thead, tbody, tr, th, td):not([role])').length";
    assert_eq!(page.evaluate(untold), 0);
    assert_eq!(page.evaluate("document.documentElement.lang"), "en");
    assert_eq!(page.evaluate("document.querySelectorAll('h1').length"), 1);
    service.finish();
}
