//! `uw-websocket check`: what it looks at, what it says of it, and how it ends. It changes nothing.

use std::fs;
use std::net::TcpListener;

use uw_websocket_actors::acl;
use uw_websocket_core::settings::Secret;
use uw_websocket_simulator::{
    RestFault, RestKind, RestOptions, RestRefusal, Simulator, SimulatorHandle, SimulatorOptions,
};

use crate::support::feed::{Ack, Refusal};
use crate::support::redis::free_port;
use crate::support::service::TOKEN;
use crate::support::{Feed, RedisServer, SOON, Setup, faults};

const UNAUTHORISED: Refusal =
    Refusal { status: "401 Unauthorized", headers: "", body: "the token a-token+that/nobody=may&see is bad" };

/// Runs `check`: exit code and what it prints.
#[track_caller]
fn check(setup: &Setup) -> (Option<i32>, String) {
    setup.command(&["check"])
}

/// A section, from its title to the next one.
#[track_caller]
fn section<'o>(output: &'o str, title: &str) -> &'o str {
    let (_, rest) = output.split_once(&format!("\n{title}  ")).unwrap_or_else(|| panic!("no {title}"));
    rest.split_once("\n\n").map_or(rest, |(section, _)| section)
}

#[track_caller]
fn assert_says(output: &str, lines: &[&str]) {
    for line in lines {
        assert!(output.contains(line), "no `{line}` in\n{output}");
    }
}

/// The URL of a feed that is not there.
fn nowhere() -> String {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    format!("ws://{free}/socket")
}

#[test]
fn all_is_well_and_nothing_is_changed() {
    let redis = RedisServer::start_durable();
    let options =
        SimulatorOptions { token: Some(Secret::new(TOKEN.to_owned())), ..SimulatorOptions::default() };
    let simulator = Simulator::start(options).unwrap();
    let setup = Setup::new(&Feed::start(), &redis).set("UNUSUAL_WHALES_WEBSOCKET_URL", &simulator.url());
    let (code, output) = check(&setup);
    assert_eq!(code, Some(0));
    assert_says(
        &output,
        &[
            "✓ answers         version ",
            &format!("✓ rights          all {} commands are allowed to `default`", acl::count(false)),
            "✓ persistence     append-only file",
            "✓ eviction        noeviction",
            "✓ lease           uw:ws:owner is free",
            "✓ clock           that of redis is 0.",
            "✓ folder          does not exist and can be created",
            "✓ handshake       accepted",
            "✓ join            flow-alerts acknowledged after ",
            "\nThe service can run",
        ],
    );
    assert!(!output.contains('✗') && !output.contains('\x1b'), "{output}");
    assert_eq!(redis.command::<u64>(&["DBSIZE"]), 0);
    assert_eq!(fs::read_dir(setup.folder()).unwrap().count(), 0);
    assert_eq!(simulator.handshakes(), 1);
}

#[test]
fn the_plan_and_the_forecast_are_printed() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let setup =
        Setup::new(&feed, &redis).set("WEBSOCKET_MAX_CONNECTIONS", "3").set("STREAM_RETENTION", "off");
    let (code, output) = check(&setup.set("REDIS_STREAM_MAXLEN_BY_CHANNEL", "option_trades=0,news=100"));
    assert_eq!(code, Some(0));
    let subscriptions = "12 joins on 3 of 3 sockets, of 50 joins at most
    flow+trades+news    4  flow-alerts  news  option_trades:SPY,QQQ
    prices              2  price:SPY,QQQ
    gex                 6  gex:SPY,QQQ  gex_strike:SPY,QQQ  gex_strike_expiry:SPY,QQQ";
    assert_eq!(section(&output, "Subscriptions"), subscriptions);
    let memory = section(&output, "Memory of Redis");
    let table = "without a bound; those that have one: 1177 MiB; no age limit
    CHANNEL            STREAMS       CAP        KEEPS     BYTES/ENTRY         TOTAL
    flow-alerts              3    100000   13.9 hours            2100       601 MiB
    option_trades            2      none                         1030      no bound
    price                    2    100000   46.3 hours              92        18 MiB
    gex                      2    100000   46.3 hours             690       132 MiB
    gex_strike               2    100000    0.7 hours            1030       197 MiB
    gex_strike_expiry        2    100000    0.3 hours            1160       230 MiB
    news                     3       100    0.9 hours             260         0 MiB
  ! room            ";
    assert!(memory.starts_with(table), "{memory}");
    assert_says(memory, &["a channel has no bound"]);
    assert!(!memory.contains("STREAM_RETENTION asks"), "there is no age limit");
}

#[test]
fn a_cap_that_keeps_less_than_the_retention_asks_for_is_doubtful_and_so_is_a_misspelt_channel() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let setup = Setup::new(&feed, &redis).set("CHANNELS", "price,gex_strike,option_trades,newz");
    let caps = "REDIS_STREAM_MAXLEN_BY_CHANNEL";
    let (code, output) = check(&setup.clone().set(caps, "option_trades=0,gex_strike=100000"));
    assert_eq!(code, Some(0));
    let says = [
        "! gex_strike      its cap of 100000 keeps 0.7 hours of trading at the usual rate, STREAM_RETENTION asks for 13.0",
        "→ REDIS_STREAM_MAXLEN_BY_CHANNEL=gex_strike=1872000, or a shorter STREAM_RETENTION",
        "! CHANNELS        doubtful",
        "→ `newz` is not known and is stored raw; the nearest known channel is `news`",
    ];
    assert_says(&output, &says);
    assert!(!output.contains("! price ") && !output.contains("! option_trades "), "{output}");
    let (_, output) = check(&setup.clone().set(caps, "gex_strike=1872000"));
    assert!(!output.contains("! gex_strike "), "{output}");
    let (_, output) = check(&setup.set("STREAM_RETENTION", "30m"));
    assert!(!output.contains("! gex_strike "), "{output}");
}

#[test]
fn bad_settings_are_printed_as_the_service_prints_them() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let setup = Setup::new(&feed, &redis).set("WRITER_SHARDS", "many").unset("UNUSUAL_WHALES_API_TOKEN");
    assert_eq!(check(&setup), (Some(78), String::new()));
    assert!(feed.handshakes().is_empty());
}

#[test]
fn a_refused_token_is_77() {
    let redis = RedisServer::start();
    let options =
        SimulatorOptions { token: Some(Secret::new("another".to_owned())), ..SimulatorOptions::default() };
    let simulator = Simulator::start(options).unwrap();
    let setup = Setup::new(&Feed::start(), &redis).set("UNUSUAL_WHALES_WEBSOCKET_URL", &simulator.url());
    let (code, output) = check(&setup);
    assert_eq!(code, Some(77));
    assert_says(
        &output,
        &["✗ handshake       refused with status 401", "→ check the token", "exit code 77."],
    );
}

#[test]
fn what_does_not_answer_is_69() {
    let (feed, mut redis) = (Feed::start(), RedisServer::start());
    let setup = Setup::new(&feed, &redis);
    let (code, output) = check(&setup.clone().set("UNUSUAL_WHALES_WEBSOCKET_URL", &nowhere()));
    assert_eq!(code, Some(69));
    assert_says(&output, &["✗ handshake       ", "→ is UNUSUAL_WHALES_WEBSOCKET_URL right"]);

    redis.kill9();
    let (code, output) = check(&setup);
    assert_eq!(code, Some(69));
    assert_says(
        &output,
        &[
            "✗ answers         redis is not reachable",
            "✓ handshake       accepted",
            "✓ join            not tried",
        ],
    );
    assert!(feed.joins().is_empty(), "nobody knows whether a service is running");
}

#[test]
fn the_worst_of_several_faults_is_the_exit_code() {
    let (feed, mut redis) = (Feed::start(), RedisServer::with_password());
    feed.refuse_all(Some(UNAUTHORISED));
    let setup = Setup::new(&feed, &redis);
    let wrong_password = setup.clone().set("REDIS_URL", &redis.url().replace("redis://:", "redis://:x"));
    let (code, output) = check(&wrong_password);
    assert_eq!(code, Some(78));
    assert_says(
        &output,
        &["✗ answers         redis refuses the credentials", "✗ handshake       refused with status 401"],
    );
    redis.kill9();
    let (code, output) = check(&setup);
    assert_eq!(code, Some(77));
    assert_says(
        &output,
        &["✗ answers         redis is not reachable", "✗ handshake       refused with status 401"],
    );
}

#[test]
fn a_redis_that_takes_no_writes_is_69_with_its_reason() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let setup = Setup::new(&feed, &redis);
    for fault in faults::REFUSALS {
        let ongoing = fault.begin(&redis);
        let (code, output) = setup.command(&["check", "--no-feed"]);
        ongoing.end(&redis);
        assert_eq!(code, Some(69), "{}", fault.code());
        assert_says(&output, &["✗ answers         redis takes no writes: ", fault.code()]);
    }
    assert!(feed.handshakes().is_empty());
}

#[test]
fn a_redis_that_hangs_is_not_waited_for() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    redis.pause();
    let (code, output) = check(&Setup::new(&feed, &redis));
    redis.resume();
    assert_eq!(code, Some(69));
    assert_says(
        &output,
        &["✗ answers         redis is not reachable: cannot connect to redis: ", "no connection within 3s"],
    );
}

#[test]
fn a_feed_that_hangs_is_not_waited_for() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let hanging = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}/socket", hanging.local_addr().unwrap());
    let (code, output) = check(&Setup::new(&feed, &redis).set("UNUSUAL_WHALES_WEBSOCKET_URL", &url));
    assert_eq!(code, Some(69));
    assert_says(&output, &["✗ handshake       "]);
}

#[test]
fn a_feed_that_accepts_everybody_and_answers_nothing_is_69() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let setup = Setup::new(&feed, &redis).set("CHANNELS", "news");
    feed.answer_joins("news", Ack::Silence);
    let (code, output) = check(&setup);
    assert_eq!(code, Some(69));
    assert_says(
        &output,
        &["✓ handshake       accepted", "✗ join            news: no answer within 5s", "/socket"],
    );

    feed.answer_joins("news", Ack::Error("your plan a-token+that/nobody=may&see lacks it"));
    let (code, output) = check(&setup);
    assert_eq!(code, Some(69));
    assert_says(&output, &["✗ join            news: the feed refuses it: ", "your plan *** lacks it"]);
}

#[test]
fn a_running_service_is_not_disturbed() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let setup = Setup::new(&feed, &redis).set("HTTP_ADDR", &format!("127.0.0.1:{}", free_port()));
    let service = setup.clone().start_ready();
    let joins = feed.joins().len();
    let owner: String = redis.command(&["GET", "uw:ws:owner"]);
    let (code, output) = check(&setup);
    assert_eq!(code, Some(0));
    assert_says(
        &output,
        &[
            &format!("✓ lease           {owner} holds uw:ws:owner for "),
            "✓ lock            a running service has the folder (pid ",
            " is in use by the running service",
            "✓ handshake       accepted",
            &format!("✓ join            not tried: {owner} is running"),
        ],
    );
    assert_eq!(feed.joins().len(), joins);
    let elsewhere = setup.set("SPOOL_DIR", "elsewhere");
    assert_eq!(check(&elsewhere).0, Some(78), "a second service cannot have the address");
    assert!(service.try_get("/readyz").is_ok_and(|(code, _)| code == 200));
    service.finish();
}

#[test]
fn a_disabled_service_and_a_misspelt_setting_are_doubts() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let setup = Setup::new(&feed, &redis).set("ENABLE_WEBSOCKET", "no").unset("UNUSUAL_WHALES_API_TOKEN");
    let (code, output) = check(&setup.set("TARGET_SYMBOL", "SPY"));
    assert_eq!(code, Some(0));
    assert_says(
        &output,
        &[
            "! TARGET_SYMBOL ",
            "→ not a setting and ignored; the nearest is TARGET_SYMBOLS",
            "! disabled ",
            "! handshake       not tried: there is no token",
        ],
    );
}

#[test]
fn a_folder_that_cannot_be_used_is_a_bad_setting() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let setup = Setup::new(&feed, &redis).set("SPOOL_DIR", "/proc/none/spool");
    let (code, output) = setup.command(&["check", "--no-feed"]);
    assert_eq!(code, Some(78));
    assert_says(&output, &["✗ folder          cannot be created: /proc: ", "→ SPOOL_DIR must name"]);
}

/// The start and `check` end with the same words and code.
#[test]
fn what_ends_the_start_is_a_fault_with_the_same_words() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let setup = Setup::new(&feed, &redis);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let file = tempfile::NamedTempFile::new().unwrap();
    let through_a_file = file.path().join("logs").display().to_string();
    let no_database = format!("{}/999", redis.url().trim_end_matches("/0"));
    let cases = [
        ("HTTP_ADDR", &*taken, format!("cannot listen on {taken} for HTTP: Address already in use")),
        ("PROBE_ADDR", &taken, format!("cannot listen on {taken} for probes: Address already in use")),
        ("HTTP_ADDR", "192.0.2.1:9464", "cannot listen on 192.0.2.1:9464 for HTTP: Cannot assign".to_owned()),
        (
            "LOG_DIR",
            &through_a_file,
            format!("LOG_DIR={through_a_file}: no log file can be created there: Not a"),
        ),
        (
            "LOG_DIR",
            "/proc/none/logs",
            "LOG_DIR=/proc/none/logs: no log file can be created there: No such".to_owned(),
        ),
        ("REDIS_URL", &no_database, "redis does not have the database of REDIS_URL: ERR DB index".to_owned()),
    ];
    for (variable, value, words) in cases {
        let setup = setup.clone().set(variable, value);
        let (code, output) = setup.command(&["check", "--no-feed"]);
        assert_eq!(code, Some(78), "{variable}={value}");
        assert_says(&output, &["✗ ", &words]);
        let mut service = setup.start();
        assert_eq!(service.wait_for_exit(SOON), Some(78), "{variable}={value}");
        assert!(service.output().contains(&words), "no `{words}` in\n{}", service.output());
    }
}

#[test]
fn an_owner_that_no_instance_wrote_is_a_bad_setting_that_is_named() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let setup = Setup::new(&feed, &redis);
    let owner = "uw:ws:owner";
    let cases: [(&[&str], &str); 3] = [
        (&["RPUSH", owner, "me"], "✗ lease           uw:ws:owner is not a string"),
        (&["SET", owner, "me"], "✗ lease           me holds uw:ws:owner, which never expires"),
        (&["SETRANGE", owner, "70000000", "x"], "✗ lease           uw:ws:owner has 70000001 bytes"),
    ];
    for (make, says) in cases {
        redis.command::<()>(&["DEL", owner]);
        redis.command::<deadpool_redis::redis::Value>(make);
        let (code, output) = check(&setup);
        assert_eq!(code, Some(78), "{make:?}");
        assert_says(&output, &[says, "DEL uw:ws:owner", "✓ join            not tried"]);
    }
    redis.command::<()>(&["SET", owner, "me", "EX", "3600"]);
    let (code, output) = check(&setup);
    assert_eq!(code, Some(0));
    assert_says(&output, &["! lease           me holds uw:ws:owner for ", "→ find out who wrote it"]);
}

/// A simulated vendor with these faults of its REST API, and a service that would use it.
fn with_rest(redis: &RedisServer, faults: &[RestFault]) -> (SimulatorHandle, Setup) {
    let options = SimulatorOptions {
        token: Some(Secret::new(TOKEN.to_owned())),
        rest: Some(RestOptions { faults: faults.to_vec(), ..RestOptions::default() }),
        ..SimulatorOptions::default()
    };
    let simulator = Simulator::start(options).unwrap();
    let setup = Setup::new(&Feed::start(), redis)
        .set("UNUSUAL_WHALES_WEBSOCKET_URL", &simulator.url())
        .set("UNUSUAL_WHALES_REST_URL", &simulator.rest_url());
    (simulator, setup)
}

/// The requests to the REST API, without handshakes.
fn requests(simulator: &SimulatorHandle) -> Vec<String> {
    let targets = simulator.rest_requests().into_iter().map(|request| request.target);
    targets.filter(|target| target.starts_with("/api/")).collect()
}

fn refused(refusal: RestRefusal, endpoint: &str) -> RestFault {
    RestFault { endpoint: Some(endpoint.to_owned()), ..RestFault::new(RestKind::Refuse(refusal)) }
}

#[test]
fn what_can_be_filled_with_this_plan_is_asked_once_if_the_service_would_fill_or_audit() {
    let redis = RedisServer::start_durable();
    let faults = [refused(RestRefusal::Scope, "flow-alerts"), refused(RestRefusal::LookBack, "ohlc")];
    let (simulator, setup) = with_rest(&redis, &faults);
    let (code, output) = check(&setup);
    assert_eq!((code, output.contains("\nREST ")), (Some(0), false), "{output}");
    assert!(requests(&simulator).is_empty());
    let setup = setup.set("CHANNELS", "option_trades,flow-alerts,gex,gex_strike_expiry,news");
    let (code, output) = check(&setup.clone().set("ENABLE_BACKFILL", "true"));
    assert_eq!(code, Some(0), "{output}");
    assert_says(
        section(&output, "REST"),
        &[
            "✓ option_trades   every event can be filled, of the latest trading day only",
            "! flow-alerts     option-trades/flow-alerts: not part of the plan: ",
            "→ its gaps are recorded and not filled",
            "✓ gex             fewer or summed values can be filled",
            "✓ news            every event can be filled",
            "✓ never filled    no endpoint has the missed events of gex_strike_expiry",
            "✓ look-back       the plan has data since 20",
            " of 15000 of this day are used, ",
            "; this service begins none above 945 per minute",
        ],
    );
    let requests = requests(&simulator);
    assert_eq!(requests.len(), 5, "{requests:?}");
    assert!(!output.contains(TOKEN), "{output}");
    let (_, output) = check(&setup.set("ENABLE_AUDIT", "true"));
    assert!(output.contains("\nREST  http://127.0.0.1:"), "{output}");
}

#[test]
fn a_token_that_rest_refuses_is_77_and_a_rest_side_that_fails_is_69() {
    let redis = RedisServer::start_durable();
    let denied = RestFault::new(RestKind::Refuse(RestRefusal::Denied));
    let (simulator, setup) = with_rest(&redis, &[denied]);
    let setup = setup.set("ENABLE_AUDIT", "true");
    let (code, output) = check(&setup);
    assert_eq!(code, Some(77), "{output}");
    assert_says(section(&output, "REST"), &["the token is refused", "→ check the token"]);
    assert_eq!(requests(&simulator).len(), 1, "the next would be refused too");
    simulator.rest_misbehave([RestFault::new(RestKind::Fail { status: 503, is_page: true })]);
    let (code, output) = check(&setup);
    assert_eq!(code, Some(69), "{output}");
    assert_says(section(&output, "REST"), &["status 503", "→ is UNUSUAL_WHALES_REST_URL right"]);
    let (code, _) = check(&setup.set("UNUSUAL_WHALES_REST_URL", "http://127.0.0.1:1"));
    assert_eq!(code, Some(69));
}
