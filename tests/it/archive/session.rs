//! A session: all channels of three symbols, two kills, and a disk of the archive that is full.

use std::collections::BTreeMap;
use std::time::Duration;

use uw_websocket_core::archive::{ArchiveLine, Days, Reading, lines};
use uw_websocket_simulator::{Rate, Simulator, SimulatorHandle, SimulatorOptions};

use super::{AN_ENTRY, assert_archived, assert_replayed, stored, wait_until_complete};
use crate::support::small_disk::SmallDisk;
use crate::support::{Feed, RedisServer, SOON, Service, Setup, asked, wait_for, wait_until};

/// Events that the simulator makes, unless `SESSION_EVENTS` says otherwise: three times what the archive collects before it
/// writes.
const EVENTS: u64 = 40_000;
/// Ten times that of noon, unless `SESSION_RATE` says otherwise; the channels have their shares of noon.
const EVENTS_PER_SECOND: u64 = 4_000;
const SYMBOLS: &str = "SPY,QQQ,IWM";
/// Five channels of each symbol, and two of all.
const JOINS: u64 = 17;
/// The disk has room for this, and for so many bytes per event: five times what they take.
const ROOM: u64 = 16 << 20;
const ROOM_PER_EVENT: u64 = 100;
/// The archive tries to write after a minute at the latest.
const NEXT_WRITE: Duration = Duration::from_secs(90);

struct Session {
    events: u64,
    rate: u64,
    simulator: SimulatorHandle,
    redis: RedisServer,
    setup: Setup,
}

impl Session {
    /// Waits until so many eighths of the events are made.
    fn reach(&self, eighths: u64) {
        let usual = self.events / self.rate;
        wait_for(&format!("{eighths}/8 are made"), SOON + 4 * Duration::from_secs(usual), || {
            let made = self.simulator.counts().events;
            if made >= self.events * eighths / 8 { Ok(()) } else { Err(made.to_string()) }
        });
    }

    fn kill(&self, mut service: Service) -> Service {
        service.kill9();
        self.redis.command::<u64>(&["DEL", "uw:ws:owner"]);
        let gone = || self.simulator.sessions() == 0;
        wait_until("the feed has seen the end", SOON, gone, String::new);
        self.setup.clone().start_ready()
    }

    fn wait_until_up(service: &Service, up: u64) {
        wait_for(&format!("the archive's state is {up}"), NEXT_WRITE, || {
            let metrics = service.metrics();
            let waiting = metrics.sum("uw_ws_archive_waiting_events", &[]);
            let is_so = metrics.sum("uw_ws_archive_up", &[]) == up;
            if is_so { Ok(()) } else { Err(format!("{waiting} events wait for it")) }
        });
    }
}

#[test]
fn a_session_with_kills_and_a_full_disk_is_archived_once_each_and_replays_into_another_redis() {
    let events = asked("SESSION_EVENTS").unwrap_or(EVENTS);
    let rate = asked("SESSION_RATE").unwrap_or(EVENTS_PER_SECOND);
    let Some(disk) = SmallDisk::mount(ROOM + events * ROOM_PER_EVENT) else {
        return eprintln!("skipped: no user namespaces, so no small disk");
    };
    let options = SimulatorOptions {
        rate: Rate::PerSecond(u32::try_from(rate).unwrap()),
        events: Some(events),
        start_after_joins: JOINS,
        ..SimulatorOptions::default()
    };
    let (simulator, redis) = (Simulator::start(options).unwrap(), RedisServer::start());
    let setup = Setup::new(&Feed::start(), &redis)
        .set("UNUSUAL_WHALES_WEBSOCKET_URL", &simulator.url())
        .set("TARGET_SYMBOLS", SYMBOLS)
        .set("REDIS_STREAM_MAXLEN", "0")
        .set("ARCHIVE_DIR", disk.path().to_str().unwrap())
        .running_a_copy();
    let session = Session { events, rate, simulator, redis, setup };
    let service = session.setup.clone().start_ready();
    session.reach(2);
    let service = session.kill(service);
    session.reach(3);
    disk.fill();
    Session::wait_until_up(&service, 0);
    session.reach(5);
    let service = session.kill(service);
    Session::wait_until_up(&service, 0);
    session.reach(6);
    disk.make_room();
    Session::wait_until_up(&service, 1);
    session.reach(8);
    assert_eq!(service.metrics().sum("uw_ws_archive_skipped_total", &[]), 0);
    // a busy machine leaves a backlog as long as the session
    wait_for("nothing is pending", SOON + AN_ENTRY * u32::try_from(events).unwrap(), || {
        let pending = service.metrics().sum("uw_ws_events_pending", &[]);
        if pending == 0 { Ok(()) } else { Err(format!("{pending} events are")) }
    });
    service.finish();
    wait_until_complete(&session.setup, disk.path(), &session.redis);
    assert_archived(disk.path(), &session.redis);
    let (code, _) = session.setup.command(&["archive", "verify"]);
    assert_eq!(code, Some(0));
    let archived = stored(&session.redis).values().map(Vec::len).sum::<usize>() as u64;
    // what is made from a kill until the next join is gone: on a busy machine most of what follows the first two eighths
    assert!(archived > events / 8, "{archived} of {events}");
    print_figures(&session.redis, disk.path());
    assert_replayed(disk.path(), &session.redis, SYMBOLS, JOINS);
}

/// Prints what the channels take, for `docs/archive.md`.
fn print_figures(redis: &RedisServer, archive: &std::path::Path) {
    let mut channels: BTreeMap<String, (u64, u64, u64)> = BTreeMap::new();
    let days = Days::read(archive).unwrap();
    for file in &days.files {
        let (events, line_bytes, file_bytes) = channels.entry(file.path.channel.to_string()).or_default();
        *file_bytes += file.bytes;
        let mut reading = Reading::open(&days.place(file), Some(file.bytes)).unwrap();
        while let Some(text) = reading.next_lines().unwrap() {
            *events += lines(text).filter(|line| ArchiveLine::parse(line).is_some()).count() as u64;
            *line_bytes += text.len() as u64;
        }
    }
    println!(
        "{:<20}{:>10}{:>14}{:>16}{:>14}",
        "channel", "events", "bytes/line", "bytes archived", "of Redis"
    );
    for (channel, (events, line_bytes, file_bytes)) in channels {
        let (per_line, per_event) = (line_bytes as f64 / events as f64, file_bytes as f64 / events as f64);
        let key = [format!("uw:ws:{channel}:SPY"), format!("uw:ws:{channel}")];
        let entry = key.iter().find_map(|key| {
            let bytes: u64 = redis.try_command(&["MEMORY", "USAGE", key, "SAMPLES", "0"]).ok()?;
            Some(bytes as f64 / redis.command::<u64>(&["XLEN", key]) as f64)
        });
        let share = per_event / entry.unwrap_or(f64::NAN);
        println!("{channel:<20}{events:>10}{per_line:>14.0}{per_event:>16.1}{share:>14.3}");
    }
}
