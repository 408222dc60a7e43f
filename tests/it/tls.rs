//! TLS to the feed and to Redis with a certificate authority of the desk's own, and Redis over a Unix socket.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;

use crate::support::oracle::assert_streams_equal;
use crate::support::sample::payloads;
use crate::support::service::TOKEN;
use crate::support::tls::{Certificates, TlsFront};
use crate::support::{Feed, RedisServer, SOON, Setup, stretched};

const TARGETS: [&str; 2] = ["SPY", "QQQ"];

#[track_caller]
fn assert_serves(setup: Setup, feed: &Feed, redis: &RedisServer) {
    let service = setup.start_ready();
    feed.send_all("price:SPY", &payloads("price", "SPY", 0, 100));
    assert_streams_equal(feed, redis, &TARGETS);
    service.finish();
}

#[test]
fn a_feed_with_our_own_authority_is_trusted_when_we_name_it() {
    let (feed, redis, certificates) = (Feed::start(), RedisServer::start(), Certificates::new());
    let front = TlsFront::start(&certificates, feed.address());
    let setup = Setup::new(&feed, &redis)
        .set("UNUSUAL_WHALES_WEBSOCKET_URL", &front.url())
        .set("TLS_CA_FILE", certificates.authority().to_str().unwrap());
    assert_serves(setup, &feed, &redis);
}

#[test]
fn a_feed_of_an_unknown_authority_is_refused_with_the_reason() {
    let (feed, redis, certificates) = (Feed::start(), RedisServer::start(), Certificates::new());
    let front = TlsFront::start(&certificates, feed.address());
    let service = Setup::new(&feed, &redis).set("UNUSUAL_WHALES_WEBSOCKET_URL", &front.url()).start();
    service.wait_for_log("the certificate", |record| record.mentions("certificate"));
    service.wait_for_metric("uw_ws_connection_attempts_total", &[("connection", "prices")], 2);
    assert!(service.wait_until_not_ready().contains("ertificate"));
    assert!(feed.handshakes().is_empty(), "no token went to a stranger");
    service.finish();
}

#[test]
fn a_certificate_that_is_out_of_date_or_of_another_name_gets_no_token() {
    let expired = Certificates::with(&["localhost"], |server| {
        server.not_after = rcgen::date_time_ymd(2020, 1, 1);
    });
    let early = Certificates::with(&["localhost"], |server| {
        server.not_before = rcgen::date_time_ymd(2090, 1, 1);
    });
    for certificates in [expired, early, Certificates::with(&["elsewhere.test"], |_| ())] {
        let (feed, redis) = (Feed::start(), RedisServer::start());
        let front = TlsFront::start(&certificates, feed.address());
        let service = Setup::new(&feed, &redis)
            .set("UNUSUAL_WHALES_WEBSOCKET_URL", &front.url())
            .set("TLS_CA_FILE", certificates.authority().to_str().unwrap())
            .start();
        service.wait_for_metric("uw_ws_connection_attempts_total", &[("connection", "prices")], 2);
        service.wait_for_log("the certificate", |record| record.mentions("ertificate"));
        assert!(feed.handshakes().is_empty(), "no token went to a stranger");
        service.finish();
    }
}

#[test]
fn a_server_without_tls_gets_no_token() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let plain = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let url = format!("wss://{}/socket", plain.local_addr().unwrap());
    let (send, received) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for client in plain.incoming().map_while(Result::ok) {
            let mut bytes = vec![0; 4096];
            let read = (&client).read(&mut bytes).unwrap_or_default();
            drop((&client).write_all(b"HTTP/1.1 101 Switching Protocols\r\n\r\n"));
            bytes.truncate(read);
            if send.send(bytes).is_err() {
                return;
            }
        }
    });
    let service = Setup::new(&feed, &redis).set("UNUSUAL_WHALES_WEBSOCKET_URL", &url).start();
    for _ in 0..3 {
        let bytes = received.recv_timeout(stretched(SOON)).expect("it tries again");
        let text = String::from_utf8_lossy(&bytes);
        assert!(!text.contains("token") && !text.contains(TOKEN), "{text:?}");
    }
    drop(received);
    service.finish();
}

#[test]
fn a_redis_with_our_own_authority_is_trusted_when_we_name_it() {
    let certificates = Certificates::new();
    let (feed, redis) = (Feed::start(), RedisServer::with_tls(&certificates));
    let authority = certificates.authority();
    let setup = Setup::new(&feed, &redis).set("TLS_CA_FILE", authority.to_str().unwrap());
    assert!(redis.url().starts_with("rediss://"));
    assert_serves(setup, &feed, &redis);
}

#[test]
fn a_redis_of_an_unknown_authority_is_refused_with_the_reason() {
    let certificates = Certificates::new();
    let (feed, redis) = (Feed::start(), RedisServer::with_tls(&certificates));
    let service = Setup::new(&feed, &redis).start();
    service.wait_for_redis_error("certificate");
    assert!(service.wait_until_not_ready().contains("ertificate"));
    service.finish();
}

#[test]
fn a_file_that_holds_no_certificate_is_a_bad_setting() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let setup = Setup::new(&feed, &redis);
    let path = setup.folder().join("empty.pem");
    std::fs::write(&path, "no certificate\n").unwrap();
    let mut service = setup.set("TLS_CA_FILE", path.to_str().unwrap()).start();
    assert_eq!(service.wait_for_exit(crate::support::SOON), Some(78));
    assert!(service.output().contains("TLS_CA_FILE"), "{}", service.output());
}

#[test]
fn redis_is_reached_over_its_unix_socket() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let setup = Setup::new(&feed, &redis).set("REDIS_URL", &redis.unix_url());
    assert_serves(setup, &feed, &redis);
}
