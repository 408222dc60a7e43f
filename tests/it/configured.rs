//! The service with the Redis that `config/` configures.

use std::fs;
use std::path::Path;

use deadpool_redis::redis::{Client, cmd};

use crate::support::sample::payload;
use crate::support::{Feed, RedisServer, SOON, Setup, wait_for};

#[test]
fn the_redis_of_the_compose_file_is_all_that_the_service_wants() {
    let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    let folder = tempfile::tempdir().unwrap();
    let users = folder.path().join("users.acl");
    let template = fs::read_to_string(config.join("redis-users.acl")).unwrap();
    fs::write(&users, template.replace("CHOOSE-A-PASSWORD", "a-long-password")).unwrap();
    let settings = config.join("redis.conf");
    let options = ["--include", settings.to_str().unwrap(), "--aclfile", users.to_str().unwrap()];
    let mut redis = RedisServer::start_with(&[&options[..], &["--bind", "127.0.0.1"]].concat(), None);
    let stranger = redis.try_command::<String>(&["SET", "key", "value"]);
    assert_eq!(stranger.unwrap_err().code(), Some("NOAUTH"), "nobody is the default user");
    let pong: String = cmd("PING").query(&mut redis.connect_as("health").unwrap()).unwrap();
    assert_eq!(pong, "PONG");

    let feed = Feed::start();
    let url = redis.url().replace("redis://", "redis://uw:a-long-password@");
    let setup = Setup::new(&feed, &redis).set("REDIS_URL", &url);
    let (code, output) = setup.command(&["check"]);
    assert_eq!(code, Some(0));
    for line in [
        "✓ persistence     append-only file",
        "✓ eviction        noeviction",
        "✓ room            maxmemory 3072 MiB",
        "\nThe service can run.\n",
    ] {
        assert!(output.contains(line), "no `{line}`");
    }
    let service = setup.start_ready();
    feed.send("price:SPY", &payload("price", "SPY", 1));
    service.wait_for_metric("uw_ws_events_stored_total", &[("channel", "price")], 1);
    service.finish();

    // what it loads, it loads as the default user
    redis.restart(&[]);
    let mut connection = Client::open(url).unwrap().get_connection().unwrap();
    wait_for("the file is loaded", SOON, || {
        match cmd("XLEN").arg("uw:ws:price:SPY").query::<u64>(&mut connection) {
            Ok(1) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
}
