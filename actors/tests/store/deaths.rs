//! A writer that dies loses nothing and writes nothing twice, wherever in its work it dies. What it held is the shard's, on
//! disk or in memory alone.

use std::io::ErrorKind;

use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat, open};
use uw_websocket_actors::fault::{FaultPlan, FaultPoint};
use uw_websocket_actors::ledger::gap::GapReason;
use uw_websocket_actors::observation::{DropReason, Place};
use uw_websocket_actors::settings::{SpoolMode, WhenFull};

use crate::adoption::{QQQ, SPY, folders, leave_behind};
use crate::disks::{LARGE, TOO_MANY, break_disk, is_faulty, mend_disk, small_disk};
use crate::renumbering::pass;
use crate::world::{Life, STREAM, World, until, world};

/// Deaths at a point of one test: the first of a fresh writer, and those of lives that find what others left.
const TIMES: usize = 3;

/// Deaths of writers, so many at each of these points, each after so many passes of it in a life.
fn deaths(points: &[FaultPoint], after: u32, times: usize) -> FaultPlan {
    let death = |point: &FaultPoint| format!("writer:panic:at={point}:after={after}:times={times}");
    FaultPlan::parse(&points.iter().map(death).collect::<Vec<_>>().join(";")).unwrap()
}

/// Lets the writer die so often, whatever it takes, and live on; says where it died.
async fn outlive(world: &World, life: &mut Life, times: usize, act: impl Fn(&Life)) -> Vec<String> {
    let mut points = Vec::new();
    for _ in 0..times {
        until(|| {
            act(life);
            life.is_dead(0)
        })
        .await;
        let panic = life.restart_crashed(world, 0).await.into_panic();
        let message = panic.downcast::<String>().unwrap();
        points.push(message.rsplit(' ').next().unwrap().to_owned());
    }
    points
}

fn labels(points: &[FaultPoint], times: usize) -> Vec<String> {
    let mut labels: Vec<String> = points.iter().flat_map(|point| vec![point.to_string(); times]).collect();
    labels.sort();
    labels
}

/// The same, and the deaths were those that the plan asks for.
async fn outlive_all(
    world: &World,
    life: &mut Life,
    (points, times): (&[FaultPoint], usize),
    act: impl Fn(&Life),
) {
    let mut found = outlive(world, life, times * points.len(), act).await;
    found.sort();
    assert_eq!(found, labels(points, times));
}

/// Sends an event, above which somebody else has written where the point needs it.
fn send_one(world: &World, life: &Life, point: FaultPoint) {
    if point == FaultPoint::Reconciling {
        // once a batch: against somebody who writes ever higher IDs nothing could be stored
        if life.channel().pending() > 0 {
            return;
        }
        let id = format!("{}-0", 99_999_999_999_999 + u64::from(world.sent()));
        world.redis().command(&["XADD", STREAM, &id, "payload", "foreign"]);
    }
    life.send(world, &world.payloads(1));
}

fn send_large(world: &World, life: &Life) {
    life.send(world, &world.large_payloads(1, LARGE));
}

fn survives_deaths_at(point: FaultPoint, mode: SpoolMode) {
    world(mode, async |mut world| {
        world.faults = deaths(&[point], 2, TIMES);
        let mut life = Life::start(&world);
        outlive_all(&world, &mut life, (&[point], TIMES), |life| send_one(&world, life, point)).await;
        life.store(&world, 5).await;
        world.assert_all_stored();
        assert!(life.gaps.noted().is_empty(), "{:?}", life.gaps.noted());
        let observations = life.stop().await;
        let channel = &observations.channels[0];
        let ended = (channel.stored.get(), channel.dropped_in_all(), channel.quarantined.get());
        assert_eq!(ended, (u64::from(world.sent()), 0, 0));
        assert_eq!(channel.duplicate.get(), 0);
    });
}

macro_rules! each_is_survived {
    ($mode:ident: $($name:ident at $point:ident),+ $(,)?) => {
        $(
            #[test]
            fn $name() {
                super::survives_deaths_at(super::FaultPoint::$point, super::SpoolMode::$mode);
            }
        )+
    };
}

mod on_disk {
    each_is_survived! { Always:
        with_word_of_a_delivery at Delivery,
        with_what_was_taken_over at Accepted,
        before_the_disk_has_answered at AppendSent,
        with_what_was_appended at Appended,
        with_what_will_be_written at Peeked,
        with_an_answer_of_redis at Answered,
        with_an_acknowledgement at Acknowledged,
        with_a_stream_that_is_ahead at Reconciling,
        with_snapshots_that_were_written at SnapshotFlush,
    }
}

mod in_memory_alone {
    // there is no disk that could let anybody wait for an answer
    each_is_survived! { Off:
        with_word_of_a_delivery at Delivery,
        with_what_was_taken_over at Accepted,
        with_what_was_kept at Appended,
        with_what_will_be_written at Peeked,
        with_an_answer_of_redis at Answered,
        with_an_acknowledgement at Acknowledged,
        with_a_stream_that_is_ahead at Reconciling,
        with_snapshots_that_were_written at SnapshotFlush,
    }
}

#[test]
fn while_the_disk_fails_nothing_is_lost() {
    const POINTS: [FaultPoint; 6] = [
        FaultPoint::Accepted,
        FaultPoint::AppendSent,
        FaultPoint::Appended,
        FaultPoint::Peeked,
        FaultPoint::Answered,
        FaultPoint::Acknowledged,
    ];
    world(SpoolMode::Always, async |mut world| {
        world.faults = deaths(&POINTS, 1, 2);
        let mut life = Life::start(&world);
        until(|| world.shard_folder(0).exists()).await;
        break_disk(&world);
        outlive_all(&world, &mut life, (&POINTS, 2), |life| life.send(&world, &world.payloads(1))).await;
        assert!(is_faulty(&life));
        mend_disk(&world);
        until(|| {
            life.send(&world, &world.payloads(1));
            !is_faulty(&life)
        })
        .await;
        life.settled().await;
        world.assert_all_stored();
        assert_eq!(life.stop().await.channels[0].dropped_in_all(), 0);
    });
}

#[test]
fn what_was_in_memory_alone_reaches_a_disk_that_works_again_over_deaths() {
    const POINTS: [FaultPoint; 3] = [FaultPoint::Accepted, FaultPoint::AppendSent, FaultPoint::Appended];
    world(SpoolMode::Always, async |mut world| {
        world.redis.borrow_mut().end();
        world.faults = deaths(&POINTS, 1, 2);
        let mut life = Life::start(&world);
        until(|| life.is_in_trouble(0)).await;
        break_disk(&world);
        outlive_all(&world, &mut life, (&POINTS, 2), |life| life.send(&world, &world.payloads(1))).await;
        until(|| is_faulty(&life)).await;
        assert_eq!(life.channel().held_in(Place::Disk), 0);
        world.faults = deaths(&[FaultPoint::AppendSent], 0, TIMES);
        life.replace_writer(&world, 0).await;
        mend_disk(&world);
        let points = &[FaultPoint::AppendSent];
        outlive_all(&world, &mut life, (points, TIMES), |life| life.send(&world, &world.payloads(1))).await;
        life.spooled().await;
        assert_eq!(life.kill().await.channels[0].dropped_in_all(), 0);
        world.redis.borrow_mut().begin();
        let life = Life::start(&world);
        life.settled().await;
        world.assert_all_stored();
        life.stop().await;
    });
}

#[test]
fn of_a_full_disk_queue_only_the_oldest_are_dropped_over_deaths() {
    const POINTS: [FaultPoint; 3] = [FaultPoint::Accepted, FaultPoint::AppendSent, FaultPoint::Appended];
    world(SpoolMode::Always, async |mut world| {
        small_disk(&mut world, WhenFull::DropOldest);
        world.redis.borrow_mut().end();
        let mut life = Life::start(&world);
        until(|| life.is_in_trouble(0)).await;
        let dropped = |life: &Life| life.channel().dropped(DropReason::SpoolFull).get();
        until(|| {
            send_large(&world, &life);
            dropped(&life) > 0
        })
        .await;
        let before = dropped(&life);
        world.faults = deaths(&POINTS, 2, TIMES);
        life.replace_writer(&world, 0).await;
        outlive_all(&world, &mut life, (&POINTS, TIMES), |life| send_large(&world, life)).await;
        (0..TOO_MANY).for_each(|_| send_large(&world, &life));
        life.spooled().await;
        let dropped = dropped(&life);
        assert!(dropped > before);
        let noted = life.gaps.noted();
        let in_ledger = noted.iter().filter(|gap| gap.reason == GapReason::SpoolFull);
        assert_eq!(in_ledger.filter_map(|gap| gap.events).sum::<u64>(), dropped);
        world.redis.borrow_mut().begin();
        life.settled().await;
        let stored = world.stored_in(STREAM);
        assert_eq!(stored.len() as u64 + dropped, u64::from(world.sent()));
        assert!(stored.is_sorted_by(|a, b| a < b), "{stored:?}");
        assert_eq!(stored.last(), Some(&(world.sent() - 1)));
        assert_eq!(life.stop().await.channels[0].dropped_in_all(), dropped);
    });
}

#[test]
fn for_room_in_a_full_disk_queue_the_next_lives_wait_too() {
    const POINTS: [FaultPoint; 3] = [FaultPoint::Peeked, FaultPoint::Answered, FaultPoint::Acknowledged];
    world(SpoolMode::Always, async |mut world| {
        small_disk(&mut world, WhenFull::Block);
        world.redis.borrow_mut().end();
        let mut life = Life::start(&world);
        (0..TOO_MANY).for_each(|_| send_large(&world, &life));
        until(|| life.observations.writers[0].spool_bytes.get() > 3 * 1024 * 1024 / 2).await;
        // whatever it waits for
        world.faults = deaths(&[FaultPoint::AppendSent], 0, TIMES);
        life.replace_writer(&world, 0).await;
        outlive_all(&world, &mut life, (&[FaultPoint::AppendSent], TIMES), |_| {}).await;
        assert!(life.channel().held_in(Place::Memory) > 0, "there is no room for all");
        world.faults = deaths(&POINTS, 1, 2);
        life.replace_writer(&world, 0).await;
        world.redis.borrow_mut().begin();
        outlive_all(&world, &mut life, (&POINTS, 2), |_| {}).await;
        life.settled().await;
        world.assert_all_stored();
        assert_eq!(life.stop().await.channels[0].dropped_in_all(), 0);
    });
}

#[test]
fn what_other_shards_left_behind_is_written_once_over_deaths() {
    const POINTS: [FaultPoint; 4] = [
        FaultPoint::Peeked,
        FaultPoint::Answered,
        FaultPoint::Acknowledged,
        // of what was answered and not acknowledged
        FaultPoint::Reconciling,
    ];
    world(SpoolMode::Always, async |mut world| {
        leave_behind(&mut world).await;
        world.writers.shards = 1;
        world.writers.batch_max_events = 10;
        world.redis.borrow_mut().begin();
        world.faults = deaths(&POINTS, 0, 2);
        let mut life = Life::start(&world);
        assert_eq!(life.channel().recovered.get(), 100);
        outlive_all(&world, &mut life, (&POINTS, 2), |_| {}).await;
        assert!(life.shard(0).generations.queues().iter().any(|old| !old.queue.is_empty()));
        for number in 50..60 {
            life.send_to(&world, 0, "SPY", &[format!("{number}")]);
            life.send_to(&world, 0, "QQQ", &[format!("{}", 100 + number)]);
        }
        life.settled().await;
        assert!(world.stored_in(SPY).into_iter().eq(0..60), "{:?}", world.stored_in(SPY));
        assert!(world.stored_in(QQQ).into_iter().eq(100..160), "{:?}", world.stored_in(QQQ));
        until(|| folders(&world) == ["shard-0-of-1-1"]).await;
        assert_eq!(life.stop().await.channels[0].dropped_in_all(), 0);
    });
}

/// What the disk is about to rewrite goes into a pipe: as long as nobody reads on, it stands in the middle of it.
#[test]
fn a_backlog_whose_new_ids_are_half_written_is_written_once_over_deaths() {
    // what their new headers take is more than a pipe does
    const EVENTS: u32 = 2_000;
    world(SpoolMode::Always, async |mut world| {
        world.redis.borrow_mut().end();
        let life = Life::start(&world);
        life.send(&world, &world.payloads(EVENTS));
        life.spooled().await;
        life.kill().await;

        world.faults = FaultPlan::parse("writer:panic:at=accepted;writer:panic:at=append_sent").unwrap();
        let mut life = Life::start(&world);
        until(|| life.is_in_trouble(0)).await;
        let redo = world.shard_folder(0).join("reassign.redo");
        mknodat(CWD, &redo, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        let pipe = open(&redo, OFlags::RDONLY | OFlags::NONBLOCK, Mode::empty()).unwrap();
        let read = || match rustix::io::read(&pipe, &mut [0; 4096]) {
            Ok(bytes) => bytes > 0,
            Err(error) if std::io::Error::from(error).kind() == ErrorKind::WouldBlock => false,
            Err(error) => panic!("{error}"),
        };
        world.redis.borrow_mut().begin();
        pass(&world, 7);
        until(read).await;
        // the first death is with the question, the second while the next life waits for its answer
        life.send(&world, &world.payloads(1));
        assert_eq!(outlive(&world, &mut life, 2, |_| {}).await, ["accepted", "append_sent"]);
        assert_eq!(life.channel().stored.get(), 0);
        until(|| {
            while read() {}
            life.channel().pending() == 0
        })
        .await;
        life.store(&world, 5).await;
        world.assert_all_stored();
        assert_eq!(life.stop().await.channels[0].dropped_in_all(), 0);
    });
}
