//! The harness itself: a fault that does not happen would make every test of it pass.

use std::time::Duration;

use actix_http::ws::{Frame, Message};
use deadpool_redis::redis::{Client, RedisResult, TlsCertificates};
use futures_util::{SinkExt, StreamExt};

use crate::support::browser::{Browser, DESK};
use crate::support::feed::{Ack, Refusal};
use crate::support::metrics::Metrics;
use crate::support::oracle::{assert_stream_holds, entries};
use crate::support::tls::Certificates;
use crate::support::{Cluster, Feed, RedisServer, SOON, faults, wait_until};

fn write(redis: &RedisServer) -> RedisResult<()> {
    redis.try_command(&["XADD", "probe", "*", "payload", "{}"])
}

/// The first word of the server's refusal.
fn refusal(redis: &RedisServer) -> String {
    write(redis).unwrap_err().code().unwrap_or_default().to_owned()
}

#[test]
fn redis_refuses_writes_with_each_error_and_takes_them_again() {
    let redis = RedisServer::start();
    for fault in faults::REFUSALS {
        write(&redis).unwrap();
        let ongoing = fault.begin(&redis);
        assert_eq!(refusal(&redis), fault.code());
        ongoing.end(&redis);
    }
    write(&redis).unwrap();
}

#[test]
fn redis_keeps_what_it_acknowledged_over_a_crash() {
    let mut redis = RedisServer::start_durable();
    let port = redis.port();
    write(&redis).unwrap();
    redis.kill9();
    write(&redis).unwrap_err();
    redis.restart(&[]);
    assert_eq!((redis.port(), redis.command::<u64>(&["XLEN", "probe"])), (port, 1));
}

/// One entry; it is numbered, so that a stream shows which ones it has.
fn write_to(cluster: &Cluster, number: u64) {
    cluster.command::<String>(&["XADD", "probe", &format!("{number}-0"), "payload", "{}"]);
}

/// The numbers of the entries.
fn numbers(cluster: &Cluster) -> Vec<u64> {
    entries(cluster, "probe").iter().map(|entry| entry.id.0).collect()
}

#[test]
fn a_cluster_replaces_a_killed_master_by_its_replica_and_takes_it_back_as_one() {
    let mut cluster = Cluster::start();
    let slot = cluster.slot_of("probe");
    let master = cluster.owner_of(slot);
    write_to(&cluster, 1);
    cluster.wait_until_replicated(master);
    let replica = cluster.replicas_of(master)[0];
    cluster.kill9(master);
    cluster.wait_until_owner_is(slot, replica);
    write_to(&cluster, 2);
    cluster.restart(master);
    cluster.wait_until_whole();
    assert_eq!((cluster.replicas_of(replica), numbers(&cluster)), (vec![master], vec![1, 2]));
    cluster.hand_over(master);
    assert_eq!((cluster.owner_of(slot), numbers(&cluster)), (master, vec![1, 2]));
}

#[test]
fn a_cluster_loses_what_a_stopped_replica_missed() {
    let mut cluster = Cluster::start();
    let master = cluster.owner_of(cluster.slot_of("probe"));
    write_to(&cluster, 1);
    cluster.wait_until_replicated(master);
    cluster.lose(master, |cluster| write_to(cluster, 2));
    write_to(&cluster, 3);
    assert_eq!(numbers(&cluster), [1, 3]);
}

#[test]
fn a_cluster_moves_a_slot_with_its_keys_and_asks_meanwhile() {
    let cluster = Cluster::start_with(2, 0, &[]);
    let slot = cluster.slot_of("probe");
    write_to(&cluster, 1);
    let taker = 1 - cluster.owner_of(slot);
    let giver = cluster.begin_move(slot, taker);
    assert_eq!(cluster.move_keys(slot, giver, taker), 1);
    let asked = cluster.node(giver).try_command::<u64>(&["XLEN", "probe"]);
    assert_eq!(asked.unwrap_err().code(), Some("ASK"));
    write_to(&cluster, 2);
    cluster.end_move(slot, giver, taker);
    let moved = cluster.node(giver).try_command::<u64>(&["XLEN", "probe"]);
    assert_eq!(moved.unwrap_err().code(), Some("MOVED"));
    assert_eq!(numbers(&cluster), [1, 2]);
    cluster.move_slot(slot, giver);
    assert_eq!((cluster.owner_of(slot), numbers(&cluster)), (giver, vec![1, 2]));
    assert_eq!(cluster.keys("pro*"), ["probe"]);
}

#[test]
fn redis_asks_for_its_password() {
    let redis = RedisServer::with_password();
    write(&redis).unwrap();
    assert!(redis.url().contains("redis://:"));
    let stranger =
        deadpool_redis::redis::Client::open(format!("redis://127.0.0.1:{}/0", redis.port())).unwrap();
    let error =
        stranger.get_connection().and_then(|mut c| deadpool_redis::redis::cmd("PING").query::<()>(&mut c));
    assert_eq!(error.unwrap_err().code(), Some("NOAUTH"));
}

#[test]
fn the_feed_acknowledges_joins_and_sends_what_it_is_told() {
    actix_rt::System::new().block_on(join_and_listen());
}

async fn join_and_listen() {
    let feed = Feed::start();
    feed.answer_joins("news", Ack::Silence);
    let (_, mut socket) = awc::Client::new().ws(format!("{}?token=t", feed.url())).connect().await.unwrap();
    for topic in ["news", "price:SPY"] {
        let join = format!(r#"{{"channel":"{topic}","msg_type":"join"}}"#);
        socket.send(Message::Text(join.into())).await.unwrap();
    }
    let ack = socket.next().await.unwrap().unwrap();
    assert_eq!(ack, Frame::Text(r#"["price:SPY",{"response":{},"status":"ok"}]"#.into()));
    feed.send("price:SPY", r#"{"close":"1"}"#);
    let event = socket.next().await.unwrap().unwrap();
    assert_eq!(event, Frame::Text(r#"["price:SPY",{"close":"1"}]"#.into()));
    assert_eq!(feed.sent()["price:SPY"], [r#"{"close":"1"}"#]);
    assert_eq!(feed.handshakes()[0].request.target, "/socket?token=t");
    feed.cut_all();
    assert!(socket.next().await.is_none_or(|frame| frame.is_err()));
}

#[test]
fn the_feed_refuses_handshakes() {
    actix_rt::System::new().block_on(be_refused());
}

async fn be_refused() {
    let feed = Feed::start();
    feed.refuse_next(Refusal {
        status: "429 Too Many Requests",
        headers: "Retry-After: 1\r\n",
        body: "slow",
    });
    let error = awc::Client::new().ws(feed.url()).connect().await.err().unwrap();
    assert!(format!("{error:?}").contains("429"), "{error:?}");
    let (_, _socket) = awc::Client::new().ws(feed.url()).connect().await.unwrap();
    wait_until("the session is counted", SOON, || feed.open_sessions() == 1, || "not".to_owned());
}

#[test]
fn a_stopped_redis_does_not_answer() {
    let redis = RedisServer::start();
    let mut connection = redis.connect().unwrap();
    connection.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    redis.pause();
    assert!(deadpool_redis::redis::cmd("PING").query::<()>(&mut connection).unwrap_err().is_timeout());
    redis.resume();
    write(&redis).unwrap();
}

#[test]
fn redis_speaks_tls_with_a_certificate_of_the_authority_only() {
    rustls::crypto::ring::default_provider().install_default().unwrap();
    let certificates = Certificates::new();
    let redis = RedisServer::with_tls(&certificates);
    write(&redis).unwrap();
    let ping = |authority: Option<Vec<u8>>| {
        let tls = TlsCertificates { client_tls: None, root_cert: authority };
        let client = Client::build_with_tls(redis.url(), tls)?;
        deadpool_redis::redis::cmd("PING").query::<String>(&mut client.get_connection()?)
    };
    assert_eq!(ping(Some(std::fs::read(certificates.authority()).unwrap())).unwrap(), "PONG");
    let error = ping(None).unwrap_err().to_string();
    assert!(error.contains("certificate"), "{error}");
}

#[test]
fn redis_loads_for_a_while_when_told_to() {
    let mut redis = RedisServer::start_durable();
    faults::fill(&redis, 1_000);
    redis.kill9();
    redis.restart(&faults::LOAD_SLOWLY);
    assert_eq!(refusal(&redis), "LOADING");
    wait_until("it has loaded", SOON, || write(&redis).is_ok(), || "not yet".to_owned());
    assert_eq!(redis.command::<u64>(&["DBSIZE"]), 1_001);
}

/// What the oracle says of a stream that holds these payloads where `1, 2, 3` were sent.
fn verdict(stored: &[&str]) -> String {
    let redis = RedisServer::start();
    for payload in stored {
        redis.command::<String>(&["XADD", "stream", "*", "payload", payload]);
    }
    let sent = ["1", "2", "3"].map(str::to_owned);
    let judged = std::panic::catch_unwind(|| assert_stream_holds(&redis, "stream", &sent));
    judged.err().map_or_else(String::new, |panic| *panic.downcast::<String>().unwrap())
}

#[test]
fn the_oracle_sees_what_is_missing_doubled_changed_or_out_of_order() {
    assert_eq!(verdict(&["1", "2", "3"]), "");
    for (stored, complaint) in [
        (&["1", "3", "2"][..], "entry 1 of stream"),
        (&["1", "2", " 3"], "entry 2 of stream"),
        (&["1", "2"], "entries of stream"),
        (&["1", "2", "3", "3"], "entries of stream"),
        (&["1", "1", "2", "3"], "entry 1 of stream"),
    ] {
        let verdict = verdict(stored);
        assert!(verdict.contains(complaint), "{stored:?}: {verdict}");
    }
}

#[test]
fn the_books_are_checked() {
    let text = |stored: u64, pending: u64, violations: u64| {
        [
            ("events_received_total", "", 10),
            ("events_recovered_total", "", 5),
            ("events_stored_total", "", stored),
            ("events_duplicate_total", "", 1),
            ("events_filtered_total", "", 1),
            ("events_quarantined_total", "", 1),
            ("events_dropped_total", ",reason=\"crash\"", 1),
            ("events_dropped_total", ",reason=\"shutdown\"", 1),
            ("events_pending", "", pending),
            ("conservation_violations_total", "", violations),
        ]
        .map(|(name, labels, count)| format!("uw_ws_{name}{{channel=\"price\"{labels}}} {count}\n"))
        .concat()
    };
    let check = |text: &str| Metrics::parse(text).check_conservation();
    assert_eq!(check(&text(7, 3, 0)), Ok(()));
    assert_eq!(check(&text(8, 3, 0)), Err("price: 15 came, 13 ended, 3 pending".to_owned()));
    assert_eq!(check(&text(7, 3, 1)), Err("price: 1 violations were found".to_owned()));
    let without = text(7, 3, 0).replace("quarantined", "other");
    assert_eq!(check(&without), Err("price: no uw_ws_events_quarantined_total".to_owned()));
    assert!(check("").is_err());
}

#[test]
fn the_browser_tells_of_errors_refused_scripts_and_requests() {
    const PAGE: &str = "data:text/html,<meta http-equiv=content-security-policy content=\"script-src 'unsafe-inline'\">\
        <h1 id=h>here</h1><img src=http://elsewhere.test/x.png><script src=http://elsewhere.test/x.js></script>\
        <script>console.error('oh'); nothing.at.all</script>";
    let page = Browser::open(PAGE, DESK);
    page.wait_for_text("#h", |text| text == "here");
    wait_until(
        "the browser complains",
        SOON,
        || {
            let complaints = format!("{:?}", page.complaints());
            ["oh", "nothing is not defined", "Content Security Policy", "ERR_NAME_NOT_RESOLVED"]
                .iter()
                .all(|word| complaints.contains(word))
        },
        || format!("{:?}", page.complaints()),
    );
    assert!(page.requests().contains(&"http://elsewhere.test/x.png".to_owned()));
}
