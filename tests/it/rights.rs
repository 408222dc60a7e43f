//! The service with a user of Redis who has the rights that docs/deployment.md names, and no other.

use std::fs;
use std::path::Path;

use deadpool_redis::redis::Value;
use uw_websocket_actors::acl::rules;
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
    assert!(output.contains("✓ rights          all 34 commands are allowed to `uw`"), "{output}");

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
    for command in commands {
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
