use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use bytes::Bytes;
use slog::{Discard, Logger, o};
use tokio::time::{sleep, timeout};
use uw_websocket_actors::event::{Channel, ChannelIndex, Event, MapCell, Outlet, ReadAt, Route};
use uw_websocket_actors::fault::FaultPlan;
use uw_websocket_actors::lease::gate::LeaseGate;
use uw_websocket_actors::messages::EventBatch;
use uw_websocket_actors::observation::{ChannelObservation, DropReason, Observations, unix_micros};
use uw_websocket_actors::settings::KeySettings;
use uw_websocket_actors::supervisor::Beat;
use uw_websocket_actors::writer::backlog::{Backlog, TransactionSize};
use uw_websocket_actors::writer::drain::{Drain, DrainState};

use crate::redis::{RedisServer, SOON};

/// A drain into a Redis, and a sender to it.
struct World {
    redis: RedisServer,
    observations: Arc<Observations>,
    backlog: Backlog,
    route: Arc<Route>,
}

impl World {
    fn new(maxlen: u64) -> (World, Drain) {
        let redis = RedisServer::start();
        let channels = [Channel::GexStrike];
        let observations =
            Arc::new(Observations::new("test".into(), "0", &channels, &[], 1, Arc::new(AtomicU64::new(0))));
        let backlog = Backlog::new(TransactionSize { events: 512, weight: 1 << 20 });
        let drain = Drain {
            backlog: backlog.clone(),
            store: redis.store(),
            keys: KeySettings {
                prefix: "uw".into(),
                snapshots: true,
                streams: true,
                maxlen: None,
                maxlen_by_channel: Vec::new(),
            },
            gate: LeaseGate::unguarded(),
            observations: Arc::clone(&observations),
            shard: 0,
            beat: Beat::default(),
            faults: FaultPlan::default().for_child("writer"),
            log: Logger::root(Discard, o!()),
            state: DrainState::default(),
        };
        let outlet = Arc::new(Outlet {
            stream: "stream".into(),
            latest: "latest".into(),
            map: Some("map".into()),
            maxlen,
        });
        let route = Arc::new(Route { channel: ChannelIndex(0), shard: 0, outlets: vec![outlet] });
        (World { redis, observations, backlog, route }, drain)
    }

    fn channel(&self) -> &ChannelObservation {
        &self.observations.channels[0]
    }

    /// Sends a batch of rows of a session, one for each payload, and waits until Redis has them or they are dropped.
    async fn store(&self, session: i32, payloads: &[&str]) {
        let received_us = unix_micros();
        let read_at = ReadAt { unix_us: received_us, instant: Instant::now() };
        let mut batch = EventBatch::new(read_at, Arc::clone(&self.observations));
        for payload in payloads {
            let cell = Some(Box::new(MapCell { field: (*payload).into(), session }));
            let payload = Bytes::copy_from_slice(payload.as_bytes());
            batch.push(Event { route: Arc::clone(&self.route), payload, received_us, ordinal: 0, cell });
        }
        self.backlog.push(batch).unwrap();
        let settled = async {
            while self.channel().pending() > 0 {
                sleep(Duration::from_millis(2)).await;
            }
        };
        timeout(SOON, settled).await.expect("the batch is settled");
    }
}

/// Runs a drain beside `test`, until that is done.
async fn beside(drain: Drain, test: impl Future<Output = ()>) {
    tokio::select! {
        () = test => {}
        () = drain.run() => panic!("the drain ended"),
    }
}

#[tokio::test]
async fn a_stream_that_somebody_else_began_anew_with_a_higher_id_loses_no_event() {
    let (world, drain) = World::new(1000);
    beside(drain, async {
        world.store(1, &["ours"]).await;
        world.redis.command(&["DEL", "stream"]);
        world.redis.command(&["XADD", "stream", "99999999999999-7", "payload", "foreign"]);
        world.store(1, &["a", "b"]).await;
        assert_eq!(world.redis.payloads("stream"), ["foreign", "a", "b"]);
        assert_eq!(world.channel().stored.get(), 3);
    })
    .await;
}

#[tokio::test]
async fn a_transaction_that_met_a_cut_connection_is_written_once() {
    let (world, drain) = World::new(1000);
    beside(drain, async {
        world.store(1, &["before"]).await;
        for number in 0..5 {
            world.redis.command(&["CLIENT", "KILL", "TYPE", "normal"]);
            world.store(1, &[&format!("{number}")]).await;
        }
        assert_eq!(world.redis.payloads("stream"), ["before", "0", "1", "2", "3", "4"]);
        assert!(world.observations.writers[0].unknown_outcomes.get() > 0);
    })
    .await;
}

#[tokio::test]
async fn a_new_session_removes_the_cells_of_the_earlier_one_though_its_first_try_was_lost() {
    let (world, drain) = World::new(1000);
    beside(drain, async {
        world.store(1, &["old"]).await;
        assert_eq!(world.redis.command(&["HKEYS", "map"]), "*1\r\n$3\r\nold\r\n");
        world.redis.command(&["CLIENT", "KILL", "TYPE", "normal"]);
        world.store(2, &["new"]).await;
        assert!(world.observations.writers[0].unknown_outcomes.get() > 0);
        assert_eq!(world.redis.command(&["HKEYS", "map"]), "*1\r\n$3\r\nnew\r\n");
    })
    .await;
}

#[tokio::test]
async fn events_for_a_key_of_another_type_are_dropped_and_the_snapshots_go_on() {
    let (world, drain) = World::new(1000);
    world.redis.command(&["SET", "stream", "text"]);
    beside(drain, async {
        world.store(1, &["a", "b"]).await;
        assert_eq!(world.channel().dropped(DropReason::Rejected).get(), 2);
        assert_eq!(world.redis.command(&["HGET", "latest", "payload"]), "$1\r\nb\r\n");
    })
    .await;
}

#[tokio::test]
async fn a_full_memory_is_waited_for() {
    let (world, drain) = World::new(1000);
    world.redis.command(&["CONFIG", "SET", "maxmemory", "1"]);
    beside(drain, async {
        let make_room = async {
            while world.observations.writers[0].retries.get() < 2 {
                sleep(Duration::from_millis(2)).await;
            }
            assert_eq!(world.redis.command(&["EXISTS", "stream", "latest"]), ":0\r\n");
            world.redis.command(&["CONFIG", "SET", "maxmemory", "0"]);
        };
        tokio::join!(world.store(1, &["a"]), make_room);
        assert_eq!(world.redis.payloads("stream"), ["a"]);
    })
    .await;
}
