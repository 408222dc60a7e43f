//! `REDIS_URL` is shared with the fetcher: redis-py itself says what each text means.

use std::process::Command;

use serde_json::{Value, json};
use uw_websocket_actors::redis_url::{RedisPlace, RedisUrl};

use crate::support::python::interpreter;
use crate::support::{Feed, RedisServer, SOON, Setup, wait_for};

const READ: &str = "
import json, sys
from redis.connection import parse_url
def read(text):
    found = parse_url(text)
    is_tls = 'SSL' in getattr(found.get('connection_class'), '__name__', '')
    return [found.get('path'), found.get('host', 'localhost') if 'path' not in found else None,
            found.get('port', 6379) if 'path' not in found else None, is_tls, found.get('username'),
            found.get('password'), found.get('db', 0)]
print(json.dumps([read(text) for text in json.load(sys.stdin)]))
";

const URLS: [&str; 19] = [
    "redis://",
    "redis://h:7/2",
    "redis://h/?db=3",
    "redis://h/0?db=3",
    "redis://h/0?db=",
    "redis://h?db=3&db=4",
    "rediss://u:p%40ss@h:1/2",
    "redis://:p@h",
    "redis://u@h",
    "redis://h?username=u&password=a%2525b",
    "redis://h?password=a+b",
    "redis://u:own@h?username=x&password=y",
    "redis://[::1]:7/",
    "redis://UPPER.example/",
    "unix:///run/redis.sock?password=p&db=3",
    "unix://u:p@/run/redis.sock",
    "unix:///run/a%20b.sock",
    "redis://h?decode_responses=True&max_connections=10&socket_timeout=5",
    "redis://h/3?health_check_interval=30",
];

fn read(text: &str) -> Value {
    let url = RedisUrl::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    let password = url.password.map(|password| password.reveal().to_owned());
    let (path, host, port, is_tls) = match url.place {
        RedisPlace::Tcp(host, port) => (None, Some(host.to_lowercase()), Some(port), false),
        RedisPlace::Tls(host, port) => (None, Some(host.to_lowercase()), Some(port), true),
        RedisPlace::Unix(path) => (Some(path), None, None, false),
    };
    json!([path, host, port, is_tls, url.username, password, url.database])
}

#[test]
fn every_url_means_what_redis_py_says() {
    use std::io::Write as _;
    use std::process::Stdio;
    let mut python = Command::new(interpreter());
    python.args(["-B", "-c", READ]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = python.spawn().unwrap();
    child.stdin.take().unwrap().write_all(serde_json::to_string(&URLS).unwrap().as_bytes()).unwrap();
    let said: Vec<Value> = serde_json::from_slice(&child.wait_with_output().unwrap().stdout).unwrap();
    for (text, mut said) in URLS.into_iter().zip(said) {
        // a host name has no case
        if let Some(host) = said[1].as_str().map(str::to_lowercase) {
            said[1] = host.into();
        }
        assert_eq!(read(text), said, "{text}");
    }
}

#[test]
fn the_database_of_the_query_is_written_to() {
    for (query, database) in [("/?db=3", "3"), ("/0?db=3&decode_responses=True", "3"), ("/2", "2")] {
        let (feed, redis) = (Feed::start(), RedisServer::start());
        let url = redis.url().replace("/0", query);
        let service = Setup::new(&feed, &redis).set("REDIS_URL", &url).start_ready();
        feed.send("option_trades:SPY", &crate::support::sample::payload("option_trades", "SPY", 1));
        service.wait_for_metric("uw_ws_events_stored_total", &[], 1);
        wait_for("the status of the service is there too", SOON, || {
            let mut connection = redis.connect().map_err(|error| error.to_string())?;
            deadpool_redis::redis::cmd("SELECT").arg(database).exec(&mut connection).unwrap();
            let keys = ["uw:ws:option_trades:SPY", "uw:ws:status", "uw:ws:owner"];
            let found: u64 = deadpool_redis::redis::cmd("EXISTS").arg(&keys).query(&mut connection).unwrap();
            if found == 3 { Ok(()) } else { Err(found.to_string()) }
        });
        service.finish();
    }
}

#[test]
fn a_key_that_redis_py_does_not_know_ends_the_start() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let url = format!("{}?databse=3", redis.url());
    let mut service = Setup::new(&feed, &redis).set("REDIS_URL", &url).start();
    assert_eq!(service.wait_for_exit(SOON), Some(78));
    assert!(service.output().contains("unknown key `databse`"), "{}", service.output());
}
