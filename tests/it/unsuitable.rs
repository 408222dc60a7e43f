//! Servers that can never serve: they end the start and every command with 78, and it is said what to write instead.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;

use crate::support::redis::free_port;
use crate::support::{Feed, RedisServer, SOON, Sentinels, Setup, wait_for};

/// A node of a cluster, with these slots and no others.
fn cluster_node(slots: &[&str]) -> RedisServer {
    // by itself Redis takes its own port + 10 000, which any client may have
    let bus = free_port().to_string();
    let options = ["--save", "", "--appendonly", "no", "--cluster-enabled", "yes", "--cluster-port", &bus];
    let redis = RedisServer::start_with(&options, None);
    if let [from, to] = slots {
        redis.command::<()>(&["CLUSTER", "ADDSLOTSRANGE", from, to]);
        wait_for("the node knows its slots", SOON, || {
            let info: String = redis.command(&["CLUSTER", "INFO"]);
            let is_known = !info.contains("cluster_slots_assigned:0\r");
            if is_known { Ok(()) } else { Err(info) }
        });
    }
    redis
}

/// Every command ends with 78 and says so.
#[track_caller]
fn assert_refused(setup: &Setup, words: &str) {
    let mut service = setup.clone().start();
    assert_eq!(service.wait_for_exit(SOON), Some(78));
    assert!(service.output().contains(words), "no `{words}` in {}", service.output());
    let (code, output) = setup.command(&["check", "--no-feed"]);
    assert_eq!(code, Some(78));
    assert!(output.contains(words), "no `{words}` in {output}");
    for command in [&["tail", "--no-follow"][..], &["gaps"], &["replay", "--listen", "127.0.0.1:0"]] {
        assert_eq!(setup.command(command).0, Some(78), "{command:?}");
    }
}

#[test]
fn a_node_of_a_cluster_is_refused_whatever_slots_it_has() {
    let feed = Feed::start();
    for slots in [&[][..], &["0", "8000"], &["0", "16383"]] {
        let redis = cluster_node(slots);
        assert_refused(&Setup::new(&feed, &redis), "a node of a Redis Cluster");
    }
}

#[test]
fn a_database_of_a_cluster_is_refused() {
    let (feed, redis) = (Feed::start(), cluster_node(&["0", "16383"]));
    let url = format!("redis://127.0.0.1:{}/1", redis.port());
    assert_refused(&Setup::new(&feed, &redis).set("REDIS_URL", &url), "has no database but 0");
}

#[test]
fn a_server_outside_of_any_cluster_and_a_database_in_its_url_are_refused() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let url = format!("redis+cluster://127.0.0.1:{}", redis.port());
    assert_refused(&Setup::new(&feed, &redis).set("REDIS_URL", &url), "no node of a Redis Cluster");
    let url = format!("redis+cluster://127.0.0.1:{}/1", redis.port());
    let mut service = Setup::new(&feed, &redis).set("REDIS_URL", &url).start();
    assert_eq!(service.wait_for_exit(SOON), Some(78));
    assert!(service.output().contains("none but 0"), "{}", service.output());
}

#[test]
fn a_database_that_the_server_does_not_have_is_refused() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let url = format!("redis://127.0.0.1:{}/16", redis.port());
    let words = "does not have the database of REDIS_URL";
    assert_refused(&Setup::new(&feed, &redis).set("REDIS_URL", &url), words);
}

#[test]
fn the_port_of_a_sentinel_is_refused_with_the_url_to_write() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let sentinels = Sentinels::start(1, &redis);
    let port = sentinels.port(0);
    for database in ["", "/1"] {
        let url = format!("redis://127.0.0.1:{port}{database}");
        let words = format!("redis+sentinel://127.0.0.1:{port}/desk");
        assert_refused(&Setup::new(&feed, &redis).set("REDIS_URL", &url), &words);
    }
}

#[test]
fn a_master_of_another_name_and_a_server_that_is_no_sentinel_are_refused() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    let sentinels = Sentinels::start(1, &redis);
    let url = format!("redis+sentinel://{}/other", sentinels.hosts());
    assert_refused(&Setup::new(&feed, &redis).set("REDIS_URL", &url), "monitor no master `other`");
    let url = format!("redis+sentinel://127.0.0.1:{}/desk", redis.port());
    assert_refused(&Setup::new(&feed, &redis).set("REDIS_URL", &url), "is no Sentinel");
}

/// What a proxy does with `MULTI`.
#[derive(Clone, Copy)]
enum Multi {
    Refused,
    Closed,
}

/// A proxy that knows everything but `MULTI`.
fn proxy_without_multi(redis: &RedisServer, multi: Multi) -> SocketAddr {
    let (listener, port) = (TcpListener::bind("127.0.0.1:0").unwrap(), redis.port());
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for client in listener.incoming() {
            thread::spawn(move || relay(client.unwrap(), port, multi));
        }
    });
    address
}

/// Passes on one command after the other.
fn relay(mut client: TcpStream, port: u16, multi: Multi) -> Option<()> {
    let mut server = TcpStream::connect(("127.0.0.1", port)).ok()?;
    let (mut answers, mut answered) = (server.try_clone().ok()?, client.try_clone().ok()?);
    thread::spawn(move || std::io::copy(&mut answers, &mut answered));
    let mut commands = BufReader::new(client.try_clone().ok()?);
    loop {
        let mut command = Vec::new();
        commands.read_until(b'\n', &mut command).ok()?;
        let words: usize = std::str::from_utf8(command.get(1..)?).ok()?.trim().parse().ok()?;
        let mut name = Vec::new();
        for word in 0..words {
            let mut header = Vec::new();
            commands.read_until(b'\n', &mut header).ok()?;
            let length: usize = std::str::from_utf8(header.get(1..)?).ok()?.trim().parse().ok()?;
            let mut text = vec![0; length + 2];
            commands.read_exact(&mut text).ok()?;
            if word == 0 {
                name = text[..length].to_ascii_uppercase();
            }
            command.extend([header, text].concat());
        }
        match (&name[..], multi) {
            (b"MULTI", Multi::Closed) => return client.shutdown(std::net::Shutdown::Both).ok(),
            (b"MULTI", Multi::Refused) => client.write_all(b"-ERR unsupported command\r\n").ok()?,
            _ => server.write_all(&command).ok()?,
        }
    }
}

#[test]
fn a_proxy_without_transactions_is_refused() {
    let (feed, redis) = (Feed::start(), RedisServer::start());
    for multi in [Multi::Refused, Multi::Closed] {
        let url = format!("redis://{}", proxy_without_multi(&redis, multi));
        let setup = Setup::new(&feed, &redis).set("REDIS_URL", &url);
        assert_refused(&setup, "does not support transactions (MULTI)");
    }
}

#[test]
fn a_replica_is_waited_for_and_named_also_one_that_takes_writes() {
    let (feed, master) = (Feed::start(), RedisServer::start());
    for read_only in ["yes", "no"] {
        let replica = RedisServer::start();
        replica.config_set("replica-read-only", read_only);
        replica.command::<()>(&["REPLICAOF", "127.0.0.1", &master.port().to_string()]);
        let setup = Setup::new(&feed, &replica);
        let words = format!("it is a replica of 127.0.0.1:{}", master.port());
        let (code, output) = setup.command(&["check", "--no-feed"]);
        assert_eq!(code, Some(69));
        assert!(output.contains(&words), "no `{words}` in {output}");
        let service = setup.start();
        service.wait_for_redis_error(&words);
        assert!(service.wait_until_not_ready().contains(&words));
        replica.command::<()>(&["REPLICAOF", "NO", "ONE"]);
        service.wait_until_ready();
        service.finish();
    }
}
