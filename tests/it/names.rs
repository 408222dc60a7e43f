//! Names with several addresses: one that never answers costs a quarter of a second, not the connection.

use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use rustix::net::{AddressFamily, SocketType, bind, listen, socket};
use std::os::fd::OwnedFd;

use crate::support::oracle::assert_streams_equal;
use crate::support::{Feed, RedisServer, SOON, Setup, wait_for};

const TARGETS: [&str; 2] = ["SPY", "QQQ"];

/// A listener that accepts nothing and whose queue is full: the next connection is not answered.
struct Silent {
    _listener: OwnedFd,
    _queue: Vec<TcpStream>,
}

impl Silent {
    fn at(address: SocketAddr) -> Silent {
        let listener = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
        bind(&listener, &address).unwrap();
        listen(&listener, 1).unwrap();
        let connect = || TcpStream::connect_timeout(&address, Duration::from_millis(500));
        let queue = std::iter::from_fn(|| connect().ok()).collect();
        Silent { _listener: listener, _queue: queue }
    }
}

#[test]
fn the_address_after_one_that_never_answers_is_connected_to() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let ports = [feed.address().port(), redis.port()];
    let _silent = ports.map(|port| Silent::at(SocketAddr::from(([127, 0, 0, 2], port))));
    let by_name = |url: &str| url.replace("127.0.0.1", "several.test");
    let service = Setup::new(&feed, &redis)
        .set("UNUSUAL_WHALES_WEBSOCKET_URL", &by_name(&feed.url()))
        .set("REDIS_URL", &by_name(&redis.url()))
        .set("UW_WEBSOCKET_ADDRESSES", "several.test=127.0.0.2+127.0.0.1")
        .start_ready();
    feed.send_all_channels(&TARGETS, 5);
    assert_streams_equal(&feed, &redis, &TARGETS);
    for (message, port) in [("connected", ports[0]), ("redis connected", ports[1])] {
        let address = format!("127.0.0.1:{port}");
        wait_for("the address is in the log", SOON, || {
            let is_logged =
                service.records().iter().any(|record| record.msg == message && record.mentions(&address));
            if is_logged { Ok(()) } else { Err(message.to_owned()) }
        });
    }
    service.finish();
}

#[test]
fn an_error_names_every_address_that_was_tried() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let port = redis.port();
    let _silent = Silent::at(SocketAddr::from(([127, 0, 0, 2], port)));
    let service = Setup::new(&feed, &redis)
        .set("REDIS_URL", &redis.url().replace("127.0.0.1", "several.test"))
        .set("UW_WEBSOCKET_ADDRESSES", "several.test=127.0.0.2+127.0.0.3")
        .start();
    service
        .wait_for_redis_error(&format!("127.0.0.2:{port}: no answer; 127.0.0.3:{port}: Connection refused"));
}
