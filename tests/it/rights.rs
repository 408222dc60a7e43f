//! The service with a user of Redis who has the rights that docs/deployment.md names, and no other.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};

use deadpool_redis::redis::Value;
use uw_websocket_actors::acl::{count, rules};
use uw_websocket_core::event::Family;

use crate::support::feed::Feed;
use crate::support::oracle::assert_streams_equal;
use crate::support::sample::payload;
use crate::support::{RedisServer, SOON, Setup, wait_for, wait_until};

const BEGIN: &str = "<!-- rights -->\n";
const END: &str = "<!-- /rights -->";
const TARGETS: [&str; 2] = ["SPY", "QQQ"];

/// What docs/deployment.md says is enough, as the words of one command.
fn documented() -> Vec<String> {
    let command = format!("ACL SETUSER uw on >a-long-password {}", rules("uw"));
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/deployment.md");
    let document = fs::read_to_string(&path).unwrap();
    let (before, rest) = document.split_once(BEGIN).unwrap();
    let (shown, after) = rest.split_once(END).unwrap();
    let expected = format!("```\n{command}\n```\n");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, format!("{before}{BEGIN}{expected}{END}{after}")).unwrap();
    } else {
        assert_eq!(shown, expected, "UPDATE_DOCS=1 cargo test --test it rights rewrites it");
    }
    command.split(' ').map(str::to_owned).collect()
}

/// Creates the user, with one more rule, and gives the settings to be that user.
fn as_user(feed: &Feed, redis: &RedisServer, more: &[&str]) -> Setup {
    let mut words = documented();
    words.extend(more.iter().map(ToString::to_string));
    redis.command::<()>(&words.iter().map(String::as_str).collect::<Vec<_>>());
    let url = redis.url().replace("redis://", "redis://uw:a-long-password@");
    Setup::new(feed, redis).set("REDIS_URL", &url)
}

/// What Redis has refused to anybody. The client library names itself, which is a courtesy.
fn refusals(redis: &RedisServer) -> Vec<String> {
    let log: Vec<Value> = redis.command(&["ACL", "LOG"]);
    log.iter().map(|entry| format!("{entry:?}")).filter(|entry| !entry.contains("setinfo")).collect()
}

/// Entries of 2023, enough to be measured.
fn fill_with_old_entries(redis: &RedisServer) {
    const ADD: &str = "for at = 1, 1500 do redis.call('XADD', KEYS[1], (1.6e12 + at) .. '-0', 'payload', '{}') end \
                       redis.call('XADD', KEYS[1], '*', 'payload', '{}')";
    redis.command::<()>(&["EVAL", ADD, "1", "uw:ws:news:SPY"]);
    redis.command::<()>(&[
        "EVAL",
        "redis.call('XADD', KEYS[1], '1-1', 'payload', '{}')",
        "1",
        "uw:ws:price:GONE",
    ]);
}

#[test]
fn the_documented_rights_are_enough() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    fill_with_old_entries(&redis);
    let setup = as_user(&feed, &redis, &[]);
    let (code, output) = setup.command(&["check"]);
    assert_eq!(code, Some(0));
    let all = format!("✓ rights          all {} commands are allowed to `uw`", count(false));
    assert!(output.contains(&all), "{output}");

    // `check` also asks for `CONFIG GET save`, which the service does not need
    redis.command::<()>(&["ACL", "LOG", "RESET"]);

    let mut service = setup.clone().start_ready();
    let answers = service.wait_for_log("the version", |record| record.msg == "redis answers");
    assert_ne!(answers.text("version"), "unknown");
    service.wait_for_log("what was measured", |record| {
        record.msg == "memory forecast" && record.keys["measured"].as_bool() == Some(true)
    });
    service.wait_for_metric("uw_ws_trimmed_entries_total", &[], 1_400);
    service.wait_for_metric("uw_ws_removed_keys_total", &[], 1);
    redis.command::<u64>(&["DEL", "uw:ws:news:SPY"]);
    feed.send("price:SPY", &payload("price", "SPY", 1));
    feed.send("gex_strike:SPY", &payload("gex_strike", "SPY", 1));
    assert_streams_equal(&feed, &redis, &TARGETS);
    for key in ["uw:ws:latest:price:SPY", "uw:ws:map:gex_strike:SPY", "uw:ws:status", "uw:ws:owner"] {
        wait_until(key, SOON, || redis.command(&["EXISTS", key]), || "it is not there".to_owned());
    }

    // what became of the last batch is looked up over the next connection, and a death goes into the ledger
    service.kill9();
    let service = service.start_again(&setup);
    service.wait_until_ready();
    feed.cut_all();
    wait_for("every family but `other` has two gaps", SOON, || {
        let gaps: usize = redis.command(&["XLEN", "uw:ws:gaps"]);
        if gaps == 2 * Family::ALL.len() - 2 { Ok(()) } else { Err(format!("{gaps}")) }
    });
    redis.command::<u64>(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
    feed.send("price:QQQ", &payload("price", "QQQ", 2));
    assert_streams_equal(&feed, &redis, &TARGETS);
    service.finish();
    assert_eq!(refusals(&redis), Vec::<String>::new());
}

#[test]
fn each_right_that_is_lacking_is_named_with_what_grants_it() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let commands = documented().into_iter().filter_map(|word| Some(word.strip_prefix('+')?.to_owned()));
    // asked for in a cluster only
    let of_cluster = ["asking", "cluster|info", "cluster|slots"];
    for command in commands.filter(|command| !of_cluster.contains(&&**command)) {
        let setup = as_user(&feed, &redis, &[&format!("-{command}")]);
        let (code, output) = setup.command(&["check", "--no-feed"]);
        let is_optional = ["info", "memory|usage", "xlen", "select"].contains(&&*command);
        assert_eq!(code, Some(if is_optional { 0 } else { 78 }), "{command}");
        assert!(output.contains(&format!("→ ACL SETUSER uw +{command}\n")), "{command}: {output}");
    }
    let setup = as_user(&feed, &redis, &["resetkeys", "~uw:rest:*"]);
    let (code, output) = setup.command(&["check", "--no-feed"]);
    assert_eq!(code, Some(78));
    assert!(output.contains("→ ACL SETUSER uw ~uw:ws:*\n"), "{output}");
}

/// Forwards connections to Redis, and runs `revoke` between the last `XADD` of a transaction and its `EXEC`, once.
fn revoking_proxy(redis: u16, revoke: impl FnOnce() + Send + 'static) -> u16 {
    const EXEC: &[u8] = b"*1\r\n$4\r\nEXEC\r\n";
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let revoke = Arc::new(Mutex::new(Some(revoke)));
    std::thread::spawn(move || {
        for mut client in listener.incoming().map_while(Result::ok) {
            let Ok(mut server) = TcpStream::connect(("127.0.0.1", redis)) else { return };
            let (mut to_client, mut from_server) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            std::thread::spawn(move || std::io::copy(&mut from_server, &mut to_client));
            let revoke = Arc::clone(&revoke);
            std::thread::spawn(move || {
                let mut buffer = vec![0; 1 << 20];
                while let Ok(length) = client.read(&mut buffer)
                    && length > 0
                {
                    let sent = &buffer[..length];
                    let is_transaction = sent.windows(4).any(|part| part == b"XADD") && sent.ends_with(EXEC);
                    let at = if is_transaction { length - EXEC.len() } else { 0 };
                    if let Some(revoke) = revoke.lock().unwrap().take_if(|_| is_transaction) {
                        server.write_all(&sent[..at]).unwrap();
                        revoke();
                        server.write_all(&sent[at..]).unwrap();
                    } else {
                        server.write_all(sent).unwrap();
                    }
                }
                server.shutdown(std::net::Shutdown::Both).ok();
            });
        }
    });
    port
}

#[test]
fn rights_that_vanish_before_exec_quarantine_nothing() {
    let (feed, redis) = (Feed::start(), Arc::new(RedisServer::start()));
    let setup = as_user(&feed, &redis, &[]);
    let of_proxy = Arc::clone(&redis);
    let port = revoking_proxy(redis.port(), move || {
        wait_for("the commands are queued", SOON, || {
            let list: String = of_proxy.command(&["CLIENT", "LIST"]);
            if list.contains(" multi=1 ") { Ok(()) } else { Err(list) }
        });
        of_proxy.command::<()>(&["ACL", "SETUSER", "uw", "resetkeys"]);
    });
    let url = format!("redis://uw:a-long-password@127.0.0.1:{port}/0");
    let service = setup.set("REDIS_URL", &url).start_ready();
    feed.send("option_trades:SPY", &payload("option_trades", "SPY", 1));
    let quarantined = || service.metrics().sum("uw_ws_events_quarantined_total", &[]);
    wait_for("the refusal is in the status", SOON, || {
        assert_eq!(quarantined(), 0, "a lost right is no fault of the event");
        let writers = service.status()["writers"].to_string();
        if writers.contains("NOPERM") { Ok(()) } else { Err(writers) }
    });
    assert_eq!(redis.command::<u64>(&["EXISTS", "uw:ws:option_trades:SPY"]), 0);
    redis.command::<()>(&["ACL", "SETUSER", "uw", "~uw:ws:*", "~uw:rest:*"]);
    assert_streams_equal(&feed, &*redis, &TARGETS);
    let metrics = service.wait_until_settled();
    assert_eq!(metrics.sum("uw_ws_events_quarantined_total", &[]), 0);
    assert_eq!(metrics.sum("uw_ws_events_stored_total", &[]), 1);
    service.finish();
}
