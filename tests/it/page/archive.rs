//! The section of the archive.

use std::fs;

use super::{ALL_IS_WELL, assert_no_complaints, open, send_prices, wait_for_headline};
use crate::support::browser::DESK;
use crate::support::{Feed, RedisServer, Service, Setup};

const IS_HIDDEN: &str = "document.querySelector('#archive-section').hidden";

fn fact(name: &str) -> String {
    format!("#archive > [data-key={name:?}] dd")
}

#[test]
fn what_the_archive_has_and_how_long_it_will_last_is_shown() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let setup = Setup::new(&feed, &redis).set("ARCHIVE_DIR", "archive");
    // it cannot be opened at first
    fs::write(setup.folder().join("archive"), "").unwrap();
    let service = setup.clone().start_ready();
    let page = open(&service, DESK);
    wait_for_headline(&page, ALL_IS_WELL);
    send_prices(&feed, 0, 321);
    page.wait_for_text(&fact("state"), |text| text.contains("cannot"));
    page.wait_for_text(&fact("waiting"), |text| text == "321");
    page.wait_for_text(&fact("days"), |text| text == "none yet");
    fs::remove_file(setup.folder().join("archive")).unwrap();
    page.wait_for_text(&fact("state"), |text| text == "written");
    service.finish();
    // at its end it has written
    let service = setup.start_ready();
    let page = open(&service, DESK);
    page.wait_for_text(&fact("days"), |text| text.starts_with("1, from 20"));
    page.wait_for_text(&fact("size"), |text| text.ends_with('B') && !text.starts_with("0 "));
    page.wait_for_text(&fact("room"), |text| text.contains("iB, ") && text.ends_with(" days"));
    page.wait_for_text(&fact("skipped"), |text| text == "0");
    assert_no_complaints(&page);
    service.finish();
}

#[test]
fn without_an_archive_its_section_is_hidden() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let service = Service::start(&feed, &redis);
    let page = open(&service, DESK);
    wait_for_headline(&page, ALL_IS_WELL);
    assert_eq!(page.evaluate(IS_HIDDEN), true);
    service.finish();
}
