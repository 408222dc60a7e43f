//! The HTTP server of the real service: what it says when parts of it hang, and what its clients cannot do to it.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;

use crate::support::attack::{head, send};
use crate::support::sample::{payload, payloads};
use crate::support::{Feed, RedisServer, SOON, Service, Setup, wait_for};

/// What 256 connections with all their buffers full may take, and what the allocator adds to that.
const PIPELINES_TAKE: u64 = 24 << 20;
/// What hangs is to be seen within this.
const SEEN: Duration = Duration::from_secs(30);

fn status(service: &Service) -> Value {
    let (code, body) = service.get("/api/status");
    assert_eq!(code, 200, "{body}");
    serde_json::from_str(&body).unwrap()
}

/// Sends a price after the other until `/healthz` says 503, and returns its text.
#[track_caller]
fn wait_until_unhealthy(service: &Service, feed: &Feed) -> String {
    let mut n = 0;
    wait_for("the service is not healthy", SEEN, || {
        feed.try_send("price:SPY", &payloads("price", "SPY", n, 1));
        n += 1;
        match service.try_get("/healthz")? {
            (503, text) => Ok(text),
            (code, text) => Err(format!("{code}: {text}")),
        }
    })
}

#[test]
fn a_frozen_connection_is_seen_until_it_is_replaced() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let setup = Setup::new(&feed, &redis);
    let service = setup.set("UW_WEBSOCKET_FAULT", "connection-prices:freeze:after=10").start_ready();
    let text = wait_until_unhealthy(&service, &feed);
    assert!(text.starts_with("no progress of connection-prices"), "{text}");
    let status = status(&service);
    assert_eq!((&status["state"], &status["reasons"][0]["code"]), (&"stalled".into(), &"stalled".into()));
    let reasons = service.ready().unwrap_err();
    assert!(reasons.contains("connection-prices"), "{reasons}");
    // from here on nothing claims that it is ready before it is
    service.wait_until_ready();
    assert_eq!(service.metrics().sum("uw_ws_actor_restarts_total", &[("actor", "connection-prices")]), 1);
    feed.wait_for_joins(&["price:SPY"]);
    assert_eq!(service.get("/healthz").0, 200);
    service.finish();
}

#[test]
fn a_blocked_data_thread_is_seen_until_the_process_ends() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let setup = Setup::new(&feed, &redis).set("UW_WEBSOCKET_FAULT", "connection-prices:block:after=10");
    let mut service = setup.start_ready();
    let text = wait_until_unhealthy(&service, &feed);
    assert!(text.starts_with("no progress of data thread"), "{text}");
    assert_eq!(status(&service)["state"], "stalled");
    assert_eq!(service.get("/metrics").0, 200);
    assert_eq!(service.wait_for_exit(SEEN), Some(70));
    service.assert_no_secret();
}

#[test]
fn the_status_knows_what_redis_says_of_itself() {
    let (feed, redis) = (Feed::start(), RedisServer::start_with(&["--maxmemory", "100mb"], None));
    let service = Service::start(&feed, &redis);
    let told = wait_for("redis was asked", SOON, || {
        let redis = status(&service)["redis"].clone();
        if redis["version"].is_null() { Err(redis.to_string()) } else { Ok(redis) }
    });
    let info = redis.command::<String>(&["INFO", "server"]);
    let version = told["version"].as_str().unwrap();
    assert!(info.contains(&format!("_version:{}", version.trim_end_matches(" (Valkey)"))), "{version}");
    assert_eq!((&told["up"], &told["max_bytes"]), (&true.into(), &104_857_600.into()));
    assert_eq!(told["max_policy"], "noeviction");
    assert!(told["used_bytes"].as_u64().unwrap() > 100_000, "{told}");
    assert!(told["forecast_bytes"].as_u64().unwrap() > 1_000_000, "{told}");
    service.finish();
}

/// What the service uses while it tells a listener its status three times.
#[track_caller]
fn cpu_of_three_seconds(service: &Service, address: &str) -> Duration {
    let listener = BufReader::new(send(address, &head("GET /api/events", "")).unwrap());
    let mut messages = listener.lines().map(Result::unwrap).filter(|line| line.starts_with("data: "));
    messages.next().expect("the status comes at once");
    let before = service.cpu();
    assert_eq!(messages.take(3).count(), 3);
    service.cpu().saturating_sub(before)
}

#[test]
fn clients_that_send_on_and_on_cost_nothing() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let service = Service::start(&feed, &redis);
    let http = service.http();
    let address = http.strip_prefix("http://").unwrap();
    let quiet = cpu_of_three_seconds(&service, address);
    // more requests than are queued behind an answer that does not end
    let flood = [head("GET /api/events", ""), head("GET /healthz", "").repeat(20_000)].concat();
    let _floods: Vec<TcpStream> = (0..8).filter_map(|_| send(address, &flood)).collect();
    let used = cpu_of_three_seconds(&service, address);
    assert!(used < quiet + Duration::from_millis(300), "{used:?} in three seconds, without them {quiet:?}");
    feed.send("price:SPY", &payload("price", "SPY", 1));
    service.finish();
}

/// Sends the same to the service over many connections and reads nothing.
fn crowd(address: &str, connections: usize, request: &[u8]) -> Vec<TcpStream> {
    let connect = || {
        let mut client = TcpStream::connect(address).unwrap();
        client.set_write_timeout(Some(Duration::from_secs(1))).unwrap();
        // a service that has heard enough reads no further
        drop(client.write_all(request));
        client
    };
    (0..connections).map(|_| connect()).collect()
}

#[test]
fn pipelines_of_clients_that_do_not_read_take_no_memory() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let service = Service::start(&feed, &redis);
    let http = service.http();
    let address = http.strip_prefix("http://").unwrap();
    for path in ["/vendor/uPlot.iife.min.js", "/api/status", "/metrics"] {
        let request = head(&format!("GET {path}"), "");
        let pipeline = request.repeat((16 << 10) / request.len());
        let before = service.resident_bytes();
        let clients = crowd(address, 256, &pipeline);
        assert_eq!(service.get("/healthz").0, 200);
        drop(clients);
        let grown = service.peak_resident_bytes().saturating_sub(before);
        assert!(grown < PIPELINES_TAKE, "{path}: {} MiB more", grown >> 20);
    }
    service.finish();
}

#[test]
fn silent_connections_starve_no_probe() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let service = Service::start(&feed, &redis);
    let http = service.http();
    let address = http.strip_prefix("http://").unwrap().to_owned();
    let crowding = std::thread::spawn(move || crowd(&address, 1_500, b""));
    let mut asked = 0;
    while asked < 5 || !crowding.is_finished() {
        assert_eq!((service.get("/healthz").0, service.probe_health().0), (200, 200));
        asked += 1;
    }
    let silent = crowding.join().unwrap();
    assert_eq!((service.get("/healthz").0, service.probe_health().0), (200, 200));
    drop(silent);
    assert!(service.metrics().sum("uw_ws_http_refused_total", &[("reason", "evicted")]) >= 1_000);
    service.finish();
}

#[test]
fn silent_connections_starve_no_probe_where_file_descriptors_are_few() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let service = Service::start(&feed, &redis);
    let http = service.http();
    service.leave_files(20);
    let silent = crowd(http.strip_prefix("http://").unwrap(), 60, b"");
    assert_eq!(service.get("/healthz").0, 200);
    assert!(service.metrics().sum("uw_ws_http_refused_total", &[("reason", "accept")]) >= 1);
    drop(silent);
}
