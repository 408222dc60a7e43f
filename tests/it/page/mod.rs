//! The status page in a real browser, of the real binary: what it says when all is well, when something is missing, and
//! when nothing is heard of the service any more.

mod archive;
mod form;
mod screenshots;

use rustix::process::Signal;

use crate::support::browser::{Browser, DESK, View};
use crate::support::feed::{Ack, Refusal};
use crate::support::redis::free_port;
use crate::support::sample::payloads;
use crate::support::{Feed, RedisServer, Service, Setup};

const ALL_IS_WELL: &str = "All is well";
const UNAVAILABLE: Refusal =
    Refusal { status: "503 Service Unavailable", headers: "", body: "maintenance tonight" };

fn open(service: &Service, view: View) -> Browser {
    Browser::open(&service.http(), view)
}

/// Waits until the headline begins so, and returns it.
#[track_caller]
fn wait_for_headline(page: &Browser, beginning: &str) -> String {
    page.wait_for_text("#headline", |headline| headline.starts_with(beginning))
}

/// A cell of a table, by the name of its row and the head of its column.
fn cell(table: &str, row: &str, head: &str) -> String {
    format!("#{table} > [data-key={row:?}] [data-head={head:?}]")
}

#[track_caller]
fn wait_for_cell(page: &Browser, (table, row, head): (&str, &str, &str), expected: &str) {
    page.wait_for_text(&cell(table, row, head), |text| text == expected);
}

#[track_caller]
fn assert_no_complaints(page: &Browser) {
    let complaints = page.complaints();
    assert!(complaints.is_empty(), "{complaints:?}");
}

fn send_prices(feed: &Feed, first: u64, count: u64) {
    feed.send_all("price:SPY", &payloads("price", "SPY", first, count));
}

#[test]
fn all_is_well_and_nobody_but_the_service_is_asked() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let service = Service::start(&feed, &redis);
    let page = open(&service, DESK);
    wait_for_headline(&page, ALL_IS_WELL);
    assert_eq!(page.evaluate("document.title"), format!("{ALL_IS_WELL} · uw-websocket"));
    for table in ["books", "channels", "connections", "writers", "spool"] {
        let rows = page.evaluate(&format!("document.querySelectorAll('#{table} > tbody').length"));
        let expected = match table {
            "books" | "channels" => 7,
            "connections" => 5,
            _ => 2,
        };
        assert_eq!(rows, expected, "rows of {table}");
    }
    assert_eq!(page.text("#verdict"), "Every event is accounted for");
    page.wait_for_text("#market", |text| text.starts_with("Market "));
    let version: String = redis.command::<String>(&["INFO", "server"]);
    let version = version.lines().find_map(|line| line.strip_prefix("redis_version:")).unwrap().trim();
    page.wait_for_text("#redis", |text| text.contains("takes writes") && text.contains(version));

    let (base, requests) = (service.http(), page.requests());
    assert!(requests.contains(&format!("{base}/vendor/uPlot.iife.min.js")), "{requests:?}");
    let foreign: Vec<_> = requests.iter().filter(|url| !url.starts_with(&base)).collect();
    assert!(foreign.is_empty(), "{foreign:?}");
    assert_no_complaints(&page);
    service.finish();
}

#[test]
fn numbers_are_live() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let service = Service::start(&feed, &redis);
    let page = open(&service, DESK);
    wait_for_cell(&page, ("channels", "price", "Received"), "0");
    page.evaluate("document.querySelector('details').open = true");
    send_prices(&feed, 0, 1_234);
    wait_for_cell(&page, ("channels", "price", "Received"), "1,234");
    wait_for_cell(&page, ("channels", "price", "Stored"), "1,234");
    send_prices(&feed, 1_000, 500); // 234 of them again
    wait_for_cell(&page, ("channels", "price", "Received"), "1,734");
    wait_for_cell(&page, ("books", "price", "duplicate"), "234");
    let equation = page.text("#equation").split_whitespace().collect::<Vec<_>>().join(" ");
    let expected = "1,734 received + 0 recovered = 1,500 stored + 234 duplicate + 0 filtered + 0 quarantined \
        + 0 dropped + 0 pending";
    assert_eq!(equation, expected);
    let spark = "document.querySelector('#channels > [data-key=price] .spark').ariaLabel";
    page.wait_until("the line has rates", &format!("/ to [1-9]/.test({spark})"));
    page.wait_until(
        "a writer shows its batches",
        "[...document.querySelectorAll('#writers [data-head=Batch]')].some((cell) => /[0-9]/.test(cell.innerText))",
    );
    assert_no_complaints(&page);
    service.finish();
}

#[test]
fn an_outage_of_redis_is_shown_with_what_to_do_and_so_is_its_end() {
    let (feed, mut redis) = (Feed::start(), RedisServer::start_durable());
    let service = Service::start(&feed, &redis);
    let page = open(&service, DESK);
    wait_for_headline(&page, ALL_IS_WELL);
    redis.kill9();
    send_prices(&feed, 0, 321);
    let headline = wait_for_headline(&page, "Not ready");
    assert!(headline.contains("Redis takes no writes"), "{headline}");
    assert!(page.text("#reasons").contains("events wait in the disk queue"), "{}", page.text("#reasons"));
    wait_for_cell(&page, ("channels", "price", "Pending"), "321");
    page.wait_for_text("#figures > [data-key='waiting on disk'] dd", |text| text == "321");
    page.wait_for_text("#writers", |text| text.contains("retrying"));
    page.wait_for_text("#redis", |text| text.contains("takes no writes"));
    assert_eq!(page.text("#verdict"), "Every event is accounted for");
    page.wait_for_text("#figures > [data-key='stored within (p99)'] dd", |text| {
        text.starts_with("> ") && text.ends_with(" s")
    });
    redis.restart(&[]);
    wait_for_headline(&page, ALL_IS_WELL);
    wait_for_cell(&page, ("channels", "price", "Stored"), "321");
    wait_for_cell(&page, ("channels", "price", "Pending"), "0");
    page.wait_for_text("#figures > [data-key='stored within (p99)'] dd", |text| !text.contains('>'));
    assert_eq!(page.text("#reasons"), "");
    service.finish();
}

#[test]
fn an_outage_of_the_feed_is_shown_with_its_gap_and_so_is_its_end() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let service = Service::start(&feed, &redis);
    let page = open(&service, DESK);
    wait_for_headline(&page, ALL_IS_WELL);
    feed.refuse_all(Some(UNAVAILABLE));
    feed.cut_all();
    let headline = wait_for_headline(&page, "Not ready");
    assert!(headline.ends_with("not connected"), "{headline}");
    assert!(page.text("#reasons").contains("it reconnects automatically"), "{}", page.text("#reasons"));
    page.wait_for_text("#connections > [data-key='prices']", |text| text.contains("503"));
    page.wait_for_text("#open-gaps", |text| text.contains("price:QQQ") && text.contains("disconnect"));
    page.wait_for_text("#connections > [data-key='prices']", |text| {
        text.contains("maintenance tonight") && text.contains("next attempt at ")
    });
    feed.refuse_all(None);
    wait_for_headline(&page, ALL_IS_WELL);
    wait_for_cell(&page, ("connections", "prices", "Joined"), "2 of 2");
    page.wait_for_text("#recent-gaps", |text| text.contains("price:QQQ") && text.contains("disconnect"));
    page.wait_for_text("#gap-counts", |text| text.contains("disconnect 5"));
    page.wait_for_text("#open-gaps", |text| text.contains("none"));
    service.finish();
}

#[test]
fn joins_that_are_missing_are_named_and_what_the_feed_says_is_no_markup() {
    const EVIL: &str = "<img src=x onerror=alert(1)><b>no</b>";
    let (feed, redis) = (Feed::start(), RedisServer::start());
    feed.answer_joins("price:SPY", Ack::Silence);
    feed.answer_joins("gex:QQQ", Ack::Error(EVIL));
    let service = Setup::new(&feed, &redis).start();
    let page = open(&service, DESK);
    page.wait_for_text("#headline", |text| {
        text.contains("1 join not acknowledged") && text.contains("1 join refused")
    });
    page.wait_for_text("#reasons", |text| text.contains("price:SPY") && text.contains("gex:QQQ"));
    page.wait_for_text("#connections > [data-key='prices']", |text| text.contains("price:SPY"));
    page.wait_for_text("#connections > [data-key='gex']", |text| text.contains(EVIL));
    assert_eq!(page.evaluate("document.querySelectorAll('main img, main td b').length"), 0);
    feed.acknowledge("price:SPY");
    page.wait_for_text("#headline", |text| text == "Not ready: 1 join refused");
    service.finish();
}

#[test]
fn what_is_doubtful_is_said_while_the_service_is_ready() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    redis.config_set("maxmemory", "100mb"); // the usual settings can come to more
    let service = Service::start(&feed, &redis);
    let page = open(&service, DESK);
    page.wait_for_text("#headline", |text| text == "Ready, but Redis may run out of memory");
    page.wait_for_text("#reasons", |text| {
        text.contains("maxmemory is 100 MiB") && text.contains("STREAM_RETENTION")
    });
    page.wait_for_text("#redis", |text| text.contains("noeviction"));
    service.finish();
}

#[test]
fn an_instance_that_stands_by_says_for_whom() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let owner = Service::start(&feed, &redis);
    let standby = Setup::new(&feed, &redis).start();
    let page = open(&standby, DESK);
    wait_for_headline(&page, "Stand-by");
    let instance = owner.status()["instance"].as_str().unwrap().to_owned();
    assert!(page.text("#remark").contains(&instance), "{}", page.text("#remark"));
    let crosses =
        "[...document.querySelectorAll('main .icon.bad')].filter((icon) => icon.checkVisibility()).length";
    assert_eq!(page.evaluate(crosses), 0, "a stand-by instance is as it should be");
    owner.finish();
    wait_for_headline(&page, ALL_IS_WELL);
    standby.finish();
}

/// What a page shows that hears nothing: since when, every section's age, and no sign of how things are.
#[track_caller]
fn assert_old(page: &Browser) {
    let headline = wait_for_headline(page, "Disconnected since ");
    assert!(headline.ends_with(" UTC"), "{headline}");
    page.wait_until("every section says how old it is", EVERY_AGE);
    let live = "[...document.querySelectorAll('main section:not(.summary) .icon, #figures .icon')]\
        .filter((icon) => icon.checkVisibility()).length";
    assert_eq!(page.evaluate(live), 0, "symbols that say how things are");
    assert!(page.text("#link").starts_with("disconnected, "), "{}", page.text("#link"));
}

const EVERY_AGE: &str = r"[...document.querySelectorAll('h2')].every((h) => /\d+ s old$/.test(h.innerText))";

#[test]
fn a_service_that_is_gone_makes_every_number_old_until_it_is_back() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let setup = Setup::new(&feed, &redis).set("HTTP_ADDR", &format!("127.0.0.1:{}", free_port()));
    let mut service = setup.clone().start_ready();
    let page = open(&service, DESK);
    wait_for_headline(&page, ALL_IS_WELL);
    send_prices(&feed, 0, 99);
    wait_for_cell(&page, ("channels", "price", "Stored"), "99");
    page.evaluate("window.isSamePage = true");
    assert_eq!(service.terminate(), Some(0));
    assert_old(&page);
    assert_eq!(page.text(&cell("channels", "price", "Stored")), "99");
    let service = service.start_again(&setup);
    wait_for_headline(&page, ALL_IS_WELL);
    wait_for_cell(&page, ("channels", "price", "Stored"), "0");
    page.wait_until(
        "nothing is old",
        "[...document.querySelectorAll('.age')].every((age) => age.innerText === '')",
    );
    assert!(page.text("#link").starts_with("live, "));
    assert_eq!(page.evaluate("window.isSamePage"), true, "it was not loaded again");
    service.finish();
}

#[test]
fn a_service_that_hangs_makes_every_number_old_too() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let service = Service::start(&feed, &redis);
    let page = open(&service, DESK);
    wait_for_headline(&page, ALL_IS_WELL);
    service.signal(Signal::STOP);
    assert_old(&page);
    service.signal(Signal::CONT);
    wait_for_headline(&page, ALL_IS_WELL);
    service.finish();
}

#[test]
fn a_page_that_never_heard_of_the_service_shows_no_numbers() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let service = Service::start(&feed, &redis);
    let page = Browser::open_without(&["*/api/events"], &service.http(), DESK);
    page.wait_for_text("#headline", |text| text == "Disconnected");
    assert_eq!(page.text("#channels").trim(), "");
    service.finish();
}
