//! A process killed at arbitrary moments, repeatedly.
//!
//! The test starts itself as a writer, which prints the promises of the queue to stdout; kills it; and opens what
//! it left.

use std::collections::HashSet;
use std::env;
use std::io::{self, Read as _, Write as _};
use std::process::{Command, Stdio};

use super::*;

/// Folder and seed of the writer.
const FOLDER: &str = "UW_SPOOL_TEST_CRASH_FOLDER";
const SEED: &str = "UW_SPOOL_TEST_CRASH_SEED";
const NAME: &str = "spool::tests::crash::a_killed_writer_keeps_what_it_promised";
const ROUNDS: u64 = 40;
const CHANNELS: [&str; 2] = ["price", "news"];
/// Segments of a few batches, so that they turn over.
const LIMITS: Limits = Limits { segment_bytes: 20_000, max_bytes: 1 << 20, ..ROOMY };

fn payload(seq: u64) -> Vec<u8> {
    format!("{{\"seq\":{seq},\"pad\":\"{}\"}}", "x".repeat(usize::try_from(seq * 37 % 900).unwrap()))
        .into_bytes()
}

fn channel(seq: u64) -> &'static str {
    CHANNELS[usize::from(seq.is_multiple_of(3))]
}

/// Runs until killed. Prints `appended <below>` after an append has returned, `acknowledged <below>` before an
/// acknowledgement, `dropping <below>` before load shedding and `dropped <first> <last>` after it.
fn work(folder: &Path, seed: u64) {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut out = io::stdout();
    let mut tell = move |line: String| {
        out.write_all(format!("{line}\n").as_bytes()).unwrap();
        out.flush().unwrap();
    };
    let now = Instant::now();
    let (mut spool, _) = Spool::open(folder, LIMITS, now).unwrap();
    spool.persist_cursor().unwrap();
    tell("begun".into());
    let mut records = Records::new();
    loop {
        match rng.u32(0..20) {
            0..10 => {
                records.clear(spool.next_seq());
                for _ in 0..rng.u64(1..30) {
                    let seq = records.next_seq();
                    let destinations = [(None, id(seq, 0)), (Some("SPY"), id(seq, 0))].into_iter();
                    records.push(channel(seq), seq * 1000, destinations, &payload(seq)).unwrap();
                }
                match spool.append(&records, now) {
                    Ok(()) => tell(format!("appended {}", spool.next_seq())),
                    Err(error) => assert!(error.is_full(), "{error}"),
                }
            }
            10..13 => {
                let below = rng.u64(spool.acknowledged()..=spool.next_seq());
                tell(format!("acknowledged {below}"));
                spool.acknowledge(below, &[("price".into(), id(below, 0))], now).unwrap();
            }
            13..15 => spool.persist_cursor().unwrap(),
            15..17 => drop(spool.sweep(now, Duration::ZERO).unwrap()),
            17 => {
                tell("dropping".into());
                if let Some(dropped) = spool.drop_oldest(spool.acknowledged() + 5, 1).unwrap() {
                    tell(format!("dropped {} {}", dropped.first_seq, dropped.last_seq));
                }
            }
            _ => {
                let from = spool.kept_from();
                let stream = RecordStream { channel: CHANNELS[rng.usize(0..2)], symbol: Some("SPY") };
                let last = id(spool.next_seq() + rng.u64(0..100), 0);
                spool.reassign(from, stream, &HashSet::<u64>::new(), last).unwrap();
            }
        }
    }
}

/// The promises of the writers so far.
#[derive(Default)]
struct Promised {
    appended: u64,
    acknowledged: u64,
    dropped: HashSet<u64>,
    /// Killed during load shedding.
    is_dropping: bool,
}

impl Promised {
    fn hear(&mut self, text: &str) {
        for line in text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')) {
            let words: Vec<&str> = line.split(' ').collect();
            let number = |at: usize| -> u64 { words[at].parse().unwrap() };
            self.is_dropping = words[0] == "dropping";
            match words[0] {
                "appended" => self.appended = number(1),
                "acknowledged" => self.acknowledged = self.acknowledged.max(number(1)),
                "dropped" => self.dropped.extend(number(1)..=number(2)),
                _ => {}
            }
        }
    }

    fn check(&mut self, world: &mut World) {
        let recovery = world.open();
        for damage in &recovery.damages {
            match damage.kind {
                // the append in flight
                DamageKind::TornTail => {}
                DamageKind::Dropped => assert!(self.is_dropping || !self.dropped.is_empty(), "{damage:?}"),
                _ => panic!("{damage:?}"),
            }
        }
        assert!(recovery.acknowledged <= self.acknowledged);
        assert!(recovery.next_seq >= self.appended, "{} of {}", recovery.next_seq, self.appended);
        let (records, damages) = world.records(0);
        assert_eq!(damages, []);
        assert!(records.windows(2).all(|pair| pair[0].seq < pair[1].seq));
        for record in &records {
            assert_eq!(record.payload, payload(record.seq));
            assert_eq!((&*record.channel, record.received_us), (channel(record.seq), record.seq * 1000));
            assert!(record.destinations.iter().all(|destination| destination.1 >= id(record.seq, 0)));
        }
        let there: HashSet<u64> = records.iter().map(|record| record.seq).collect();
        let is_lost = |seq: &u64| !there.contains(seq) && !self.dropped.contains(seq);
        let lost_here = (self.acknowledged..self.appended).filter(is_lost).count() as u64;
        // drops in progress are reported
        assert!(
            lost_here == 0 || Some(lost_here) <= lost(&recovery.damages),
            "{lost_here} {:?}",
            recovery.damages
        );
        self.dropped.extend((recovery.acknowledged..recovery.next_seq).filter(|seq| !there.contains(seq)));
        self.appended = recovery.next_seq;
        // unwritten acknowledgements are lost
        self.acknowledged = recovery.acknowledged;
    }
}

#[test]
fn a_killed_writer_keeps_what_it_promised() {
    if let (Some(folder), Some(seed)) = (env::var_os(FOLDER), told(SEED)) {
        return work(Path::new(&folder), seed);
    }
    let mut rng = fastrand::Rng::with_seed(seed());
    let (mut world, mut promised) = (World::closed(LIMITS), Promised::default());
    world.limits = LIMITS;
    for _ in 0..ROUNDS {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", NAME, "--nocapture"])
            .env(FOLDER, world.folder())
            .env(SEED, rng.u64(..).to_string())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut stdout = child.stdout.take().unwrap();
        let (mut heard, mut bytes) = (Vec::new(), [0; 512]);
        // killed after this much output: independent of the machine's speed
        let enough = rng.usize(0..6000);
        while heard.len() < enough {
            let read = stdout.read(&mut bytes).unwrap();
            assert!(read > 0, "the writer ended by itself: {}", String::from_utf8_lossy(&heard));
            heard.extend_from_slice(&bytes[..read]);
        }
        child.kill().unwrap();
        child.wait().unwrap();
        stdout.read_to_end(&mut heard).unwrap();
        promised.hear(&String::from_utf8(heard).unwrap());
        promised.check(&mut world);
        world.kill();
    }
    assert!(promised.appended > 1000, "{}", promised.appended);
}
