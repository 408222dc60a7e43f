//! The service with the Redis that `config/` configures.

use std::fs;
use std::path::Path;

use deadpool_redis::redis::{Client, Connection, RedisResult, Value, cmd};
use tempfile::TempDir;

use crate::support::sample::payload;
use crate::support::tool::Tool;
use crate::support::{Feed, RedisServer, SOON, Setup, wait_for};

/// Users of `config/redis-users.acl` that somebody can be, with their passwords in the template and here.
const USERS: [(&str, &str); 4] = [
    ("health", ""),
    ("fetcher", "CHOOSE-ANOTHER-PASSWORD"),
    ("reader", "CHOOSE-A-READER-PASSWORD"),
    ("uw", "CHOOSE-A-PASSWORD"),
];

/// Commands with which a user could stop the service, lose its data, or gain rights.
const DANGEROUS: [&str; 22] = [
    "ACL SETUSER uw on",
    "ACL LIST",
    "CLIENT KILL TYPE normal",
    "CLIENT LIST",
    "CLIENT NO-EVICT on",
    "CLIENT PAUSE 1",
    "CLIENT TRACKING on",
    "CLIENT UNBLOCK 1",
    "CONFIG GET maxmemory",
    "CONFIG SET maxmemory 1",
    "DEBUG SLEEP 0",
    "FLUSHALL",
    "FLUSHDB",
    "FUNCTION FLUSH",
    "KEYS *",
    "MONITOR",
    "REPLICAOF 127.0.0.1 1",
    "SAVE",
    "SCRIPT FLUSH",
    "SHUTDOWN NOSAVE",
    "SWAPDB 0 1",
    "WAIT 0 0",
];

/// Redis with the configuration and the users of `config/`, each with its own name as password.
pub(crate) fn configured() -> (RedisServer, TempDir) {
    let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("users.acl");
    let mut users = fs::read_to_string(config.join("redis-users.acl")).unwrap();
    for (user, placeholder) in USERS.iter().filter(|(_, placeholder)| !placeholder.is_empty()) {
        assert_eq!(users.matches(&format!(">{placeholder} ")).count(), 1, "{placeholder}");
        users = users.replace(placeholder, user);
    }
    fs::write(&file, users).unwrap();
    let settings = config.join("redis.conf");
    let options = ["--include", settings.to_str().unwrap(), "--aclfile", file.to_str().unwrap()];
    // DEBUG is off by itself as well; here the rights alone shall refuse it
    let of_test = ["--bind", "127.0.0.1", "--enable-debug-command", "yes"];
    (RedisServer::start_with(&[&options[..], &of_test].concat(), None), folder)
}

pub(crate) fn url_of(redis: &RedisServer, user: &str) -> String {
    redis.url().replace("redis://", &format!("redis://{user}:{user}@"))
}

pub(crate) fn connect_as(redis: &RedisServer, user: &str) -> Connection {
    Client::open(url_of(redis, user)).unwrap().get_connection().unwrap()
}

/// Gives a command, its words parted by blanks.
pub(crate) fn give(connection: &mut Connection, command: &str) -> RedisResult<Value> {
    let mut words = command.split(' ');
    cmd(words.next().unwrap()).arg(words.collect::<Vec<_>>()).query(connection)
}

#[track_caller]
fn assert_refused(connection: &mut Connection, user: &str, commands: &[&str]) {
    for command in commands {
        let answer = give(connection, command);
        let code = answer.as_ref().err().and_then(|error| error.code().map(str::to_owned));
        assert_eq!(code.as_deref(), Some("NOPERM"), "{user}: {command}: {answer:?}");
    }
}

/// None of the commands is refused for want of rights, whatever else Redis says.
#[track_caller]
fn assert_allowed(connection: &mut Connection, user: &str, commands: &[&str]) {
    for command in commands {
        let answer = give(connection, command);
        assert!(answer.is_ok(), "{user}: {command}: {answer:?}");
    }
}

#[test]
fn no_user_of_the_compose_file_may_stop_the_service_or_lose_its_data() {
    let (redis, _folder) = configured();
    for (user, _) in USERS {
        let mut connection =
            if user == "health" { redis.connect_as(user).unwrap() } else { connect_as(&redis, user) };
        assert_allowed(&mut connection, user, &["PING"]);
        assert_refused(&mut connection, user, &DANGEROUS);
    }
    let mut health = redis.connect_as("health").unwrap();
    assert_refused(&mut health, "health", &["ECHO x", "GET uw:ws:owner", "SELECT 1", "SCAN 0"]);
}

#[test]
fn the_fetcher_writes_its_own_bodies_alone() {
    let (redis, _folder) = configured();
    let mut fetcher = connect_as(&redis, "fetcher");
    let allowed = [
        "CLIENT SETNAME fetcher",
        "CLIENT ID",
        "SELECT 0",
        "HSET uw:rest:stock_state:SPY payload {} fetched_at now",
        "XADD uw:rest:history * payload {}",
        "HGETALL uw:rest:stock_state:SPY",
        "XRANGE uw:rest:history - +",
        "SCAN 0",
    ];
    assert_allowed(&mut fetcher, "fetcher", &allowed);
    let refused = [
        "HSET uw:ws:latest:price:SPY payload {}",
        "HGETALL uw:ws:latest:price:SPY",
        "XADD uw:ws:price:SPY * payload {}",
        "DEL uw:rest:stock_state:SPY",
        "EVAL return(0) 0",
    ];
    assert_refused(&mut fetcher, "fetcher", &refused);
}

#[test]
fn a_reader_reads_everything_and_changes_nothing_but_its_groups() {
    let (redis, _folder) = configured();
    let mut service = connect_as(&redis, "uw");
    let written = [
        "XADD uw:ws:price:SPY 1-0 payload {\"close\":\"1\"}",
        "HSET uw:ws:latest:price:SPY payload {}",
        "SET uw:ws:owner somebody",
    ];
    assert_allowed(&mut service, "uw", &written);
    let mut reader = connect_as(&redis, "reader");
    let allowed = [
        "SELECT 0",
        "SCAN 0 MATCH uw:ws:* COUNT 100 TYPE stream",
        "TYPE uw:ws:price:SPY",
        "XLEN uw:ws:price:SPY",
        "XRANGE uw:ws:price:SPY - + COUNT 1",
        "XREVRANGE uw:ws:price:SPY + - COUNT 1",
        "XREAD COUNT 1 STREAMS uw:ws:price:SPY 0",
        "XINFO STREAM uw:ws:price:SPY",
        "XGROUP CREATE uw:ws:price:SPY desk 0 MKSTREAM",
        "XINFO GROUPS uw:ws:price:SPY",
        "XREADGROUP GROUP desk one COUNT 1 STREAMS uw:ws:price:SPY >",
        "XPENDING uw:ws:price:SPY desk",
        "XAUTOCLAIM uw:ws:price:SPY desk two 0 0",
        "XACK uw:ws:price:SPY desk 1-0",
        "HGETALL uw:ws:latest:price:SPY",
        "HGET uw:rest:stock_state:SPY payload",
        "XGROUP CREATE uw:ws:gaps desk $ MKSTREAM",
    ];
    assert_allowed(&mut reader, "reader", &allowed);
    let refused = [
        "XADD uw:ws:price:SPY * payload {}",
        "XTRIM uw:ws:price:SPY MAXLEN 0",
        "XDEL uw:ws:price:SPY 1-0",
        "XGROUP DESTROY uw:ws:price:SPY desk",
        "XGROUP SETID uw:ws:price:SPY desk 0",
        // each of these would keep the service from a key that it wants
        "XGROUP CREATE uw:ws:owner desk 0 MKSTREAM",
        "XGROUP CREATE uw:ws:status desk 0 MKSTREAM",
        "XGROUP CREATE uw:ws:latest:news desk 0 MKSTREAM",
        "XGROUP CREATE uw:rest:stock_state:SPY desk 0 MKSTREAM",
        "HSET uw:ws:latest:price:SPY payload {}",
        "DEL uw:ws:owner",
        "UNLINK uw:ws:owner",
        "EXPIRE uw:ws:owner 1",
        "SET uw:ws:owner reader",
        "EVAL return(0) 0",
        "MULTI",
        "SUBSCRIBE channel",
        "GET other:key",
        "XREAD STREAMS other:key 0",
    ];
    assert_refused(&mut reader, "reader", &refused);
    give(&mut connect_as(&redis, "uw"), "DEL uw:ws:owner").unwrap();
}

#[test]
fn the_commands_that_read_redis_run_as_the_reader() {
    let (redis, _folder) = configured();
    let mut service = connect_as(&redis, "uw");
    assert_allowed(&mut service, "uw", &["XADD uw:ws:price:SPY 1-0 payload {\"close\":\"1\"}"]);
    let url = url_of(&redis, "reader");
    let run = |args: &[&str]| {
        let (folder, mut command) = Tool::command(args, &redis);
        let output = command.env("REDIS_URL", &url).output().unwrap();
        drop(folder);
        assert_eq!(output.status.code(), Some(0), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(run(&["tail", "--no-follow"]).contains("price"));
    assert_eq!(run(&["gaps"]), "");
    let mut replay = Tool::start(&["replay", "--redis", &url], &redis);
    assert!(replay.wait_for_lines(1)[0].starts_with("listening on "));
    replay.signal(rustix::process::Signal::INT);
    assert_eq!(replay.wait_for_exit(), Some(0), "{}", replay.stderr());
}

#[test]
fn the_redis_of_the_compose_file_is_all_that_the_service_wants() {
    let (mut redis, _folder) = configured();
    let stranger = redis.try_command::<String>(&["SET", "key", "value"]);
    assert_eq!(stranger.unwrap_err().code(), Some("NOAUTH"), "nobody is the default user");
    let pong: String = cmd("PING").query(&mut redis.connect_as("health").unwrap()).unwrap();
    assert_eq!(pong, "PONG");

    let feed = Feed::start();
    let url = url_of(&redis, "uw");
    let setup = Setup::new(&feed, &redis).set("REDIS_URL", &url);
    let (code, output) = setup.command(&["check"]);
    assert_eq!(code, Some(0));
    for line in [
        "✓ persistence     append-only file",
        "✓ eviction        noeviction",
        "✓ room            maxmemory 3072 MiB",
        "\nThe service can run",
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
