//! The audit against the REST API of a simulator whose feed withholds events. The clock is a parameter.
#![cfg(test)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use slog::{Discard, Logger, o};
use uw_websocket_actors::audit::tap::AuditTap;
use uw_websocket_actors::audit::{AuditParts, Course};
use uw_websocket_actors::ledger::coverage::{Covered, Reach};
use uw_websocket_actors::ledger::gap::{Gap, GapReason};
use uw_websocket_actors::ledger::tracker::GapTracker;
use uw_websocket_actors::observation::Observations;
use uw_websocket_actors::rest::RestClient;
use uw_websocket_actors::settings::RestSettings;
use uw_websocket_core::audit::{AuditSubject, HOUR_US, MINUTE_US};
use uw_websocket_core::event::{Channel, ChannelIndex, Family, Symbol, Topic};
use uw_websocket_core::request_budget::RequestLimits;
use uw_websocket_core::settings::Secret;
use uw_websocket_simulator::{
    Generated, Rate, RestFault, RestOptions, Simulator, SimulatorHandle, SimulatorOptions, Spread,
};

const TRADES: &str = "option_trades:SPY";
/// The start of an hour in which a session is on.
const HOUR: &str = "2026-11-30T15:00:00Z";
/// The time of the first event after it.
const FIRST_US: u64 = 20 * MINUTE_US;
/// Events of the market.
const EVENTS: u64 = 150;
/// Ends a test that hangs.
const DEADLINE: Duration = Duration::from_secs(120);

fn hour_us() -> u64 {
    u64::try_from(HOUR.parse::<jiff::Timestamp>().unwrap().as_microsecond()).unwrap()
}

/// The audit, its clock and the ledger that it writes to.
struct Stage {
    simulator: SimulatorHandle,
    tap: AuditTap,
    clock: Arc<AtomicU64>,
    gaps: GapTracker,
    observations: Arc<Observations>,
    course: Course,
}

impl Stage {
    /// The trades of a ticker, and an audit that began the hour before.
    fn begin(faults: &[&str]) -> Stage {
        Stage::of(&AuditSubject::Trades("SPY".into()), Family::Trades, faults)
    }

    fn of(subject: &AuditSubject, family: Family, faults: &[&str]) -> Stage {
        let faults: Vec<RestFault> = faults.iter().map(|fault| fault.parse().unwrap()).collect();
        let simulator = Simulator::start(SimulatorOptions {
            rate: Rate::PerSecond(500),
            spread: Spread::Even,
            at_us: Some(hour_us() + FIRST_US),
            rest: Some(RestOptions { faults, ..RestOptions::default() }),
            ..SimulatorOptions::default()
        });
        let simulator = simulator.unwrap();
        let topic = Topic {
            channel: Channel::parse(subject.channel()).unwrap(),
            symbol: Some(Symbol::parse("SPY").unwrap()),
        };
        let observations = Arc::new(Observations::new(
            "test".into(),
            "0",
            std::slice::from_ref(&topic.channel),
            &[(family.name(), std::slice::from_ref(&topic))],
            1,
            Arc::default(),
        ));
        let covered = Covered { topic: subject.topic(), family, reach: Reach::Receiving };
        let gaps = GapTracker::new(vec![vec![covered]], Arc::clone(&observations));
        let tap = AuditTap::new(vec![subject.clone()], &observations);
        let clock = Arc::new(AtomicU64::new(hour_us() - 2 * MINUTE_US));
        let settings = RestSettings {
            url: simulator.rest_url().parse().unwrap(),
            token: Secret::new("token".into()),
            proxy: None,
            extra_root_pem: None,
            limits: RequestLimits { per_minute: 100, rest_per_minute: 100, fills_per_day: 100 },
            fill_requests_per_gap: 100,
            backfill: false,
            audit: true,
        };
        let log = Logger::root(Discard, o!());
        let client = RestClient::new(&settings, Arc::clone(&observations.rest), log.clone()).unwrap();
        let (mut draws, present) = ([0.999_9, 0.0], Arc::clone(&clock));
        // the longest interval, around the market
        draws[1] = (FIRST_US - MINUTE_US / 60) as f64 / (HOUR_US - 5 * MINUTE_US / 60) as f64;
        let mut turn = 0;
        let parts = AuditParts {
            rest: settings,
            tap: tap.clone(),
            gaps: gaps.clone(),
            is_filling: Box::new(|| false),
            clock: Box::new(move || present.load(Relaxed)),
            chance: Box::new(move || {
                turn += 1;
                draws[(turn + 1) % 2]
            }),
            observations: Arc::clone(&observations),
            log,
        };
        Stage { simulator, tap, clock, gaps, observations, course: Course::new(parts, client) }
    }

    /// Lets the market happen; the feed delivers what `delivers` says.
    async fn deliver(&self, delivers: impl Fn(&Generated) -> bool) -> u64 {
        let (mut socket, begun) = (join(&self.simulator).await, Instant::now());
        while self.simulator.counts().events < EVENTS {
            assert!(begun.elapsed() < DEADLINE, "{:?}", self.simulator.counts());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        self.simulator.pause();
        drop(futures_util::SinkExt::close(&mut socket).await);
        let mut withheld = 0;
        for event in self.simulator.generated() {
            if delivers(&event) {
                let of = ("option_trades", Some("SPY"));
                self.tap.note(ChannelIndex(0), of, &event.payload, event.time_us);
            } else {
                withheld += 1;
            }
        }
        withheld
    }

    /// Lets the feed have an event of its channel at so many seconds after the hour; it delivers it if told so.
    fn send(&self, topic: &str, payload: &str, (second, is_delivered): (u64, bool)) {
        self.simulator.send_text(topic, payload);
        if is_delivered {
            let at_us = hour_us() + second * 1_000_000;
            self.tap.note(
                ChannelIndex(0),
                topic.split_once(':').map(|(c, s)| (c, Some(s))).unwrap(),
                payload.as_bytes(),
                at_us,
            );
        }
    }

    /// Lets the clock go on to this many minutes after the start of the hour, and the audit with it.
    async fn go_to(&mut self, minutes: u64) {
        self.clock.store(hour_us() + minutes * MINUTE_US, Relaxed);
        // an hour opens once the one before is closed
        for _ in 0..2 {
            self.course.round().await;
        }
    }

    fn findings(&self) -> Vec<Gap> {
        self.gaps.noted().into_iter().filter(|gap| gap.reason == GapReason::Unseen).collect()
    }

    /// Rows compared, and those that the feed has not delivered.
    fn counted(&self) -> (u64, u64) {
        let channel = &self.observations.channels[0];
        (channel.audit_checked.get(), channel.audit_missing.get())
    }
}

type Socket = actix_codec::Framed<awc::BoxedSocket, awc::ws::Codec>;

async fn join(simulator: &SimulatorHandle) -> Socket {
    use futures_util::SinkExt as _;
    let client = awc::Client::builder().max_http_version(awc::http::Version::HTTP_11).finish();
    let (_, mut socket) = client.ws(format!("{}?token=token", simulator.url())).connect().await.unwrap();
    let join = format!(r#"{{"channel":"{TRADES}","msg_type":"join"}}"#);
    socket.send(awc::ws::Message::Text(join.into())).await.unwrap();
    socket
}

fn run(test: impl Future<Output = ()>) {
    // another test may have installed it already
    drop(rustls::crypto::ring::default_provider().install_default());
    actix_rt::System::new().block_on(async { tokio::time::timeout(DEADLINE, test).await.expect("in time") });
}

#[test]
fn events_that_the_feed_withheld_become_a_gap_after_a_second_answer() {
    run(async {
        let mut stage = Stage::begin(&[]);
        let withheld = stage.deliver(|event| !event.number.is_multiple_of(50)).await;
        assert!(withheld >= 3);
        let asked = |stage: &Stage| stage.simulator.rest_counts().by_endpoint.contains_key("option-trades");
        stage.go_to(74).await;
        assert!(!asked(&stage), "an hour is judged 15 minutes after its end");
        stage.go_to(75).await;
        assert!(asked(&stage));
        assert_eq!(stage.findings(), [], "one answer proves nothing");
        stage.go_to(86).await;
        let findings = stage.findings();
        assert_eq!((findings.len(), findings[0].events), (1, Some(withheld)), "{findings:?}");
        assert_eq!(findings[0].channels, [TRADES]);
        let within = hour_us() + FIRST_US..hour_us() + FIRST_US + DEADLINE.as_secs() * 1_000_000;
        assert!(within.contains(&findings[0].from_us) && within.contains(&findings[0].to_us));
        assert_eq!(stage.counted().1, withheld);
    });
}

#[test]
fn what_the_feed_delivered_and_what_was_cancelled_is_no_finding() {
    run(async {
        for is_cancelled in [false, true] {
            let faults: &[&str] = if is_cancelled { &["canceled=50"] } else { &[] };
            let mut stage = Stage::begin(faults);
            stage.deliver(|event| !is_cancelled || !event.number.is_multiple_of(50)).await;
            for minutes in [75, 86] {
                stage.go_to(minutes).await;
            }
            let (checked, missing) = stage.counted();
            assert!(checked > EVENTS / 2 && missing == 0, "{checked} {missing}");
            assert_eq!(stage.findings(), []);
        }
    });
}

#[test]
fn what_a_gap_explains_is_no_finding() {
    run(async {
        let mut stage = Stage::begin(&[]);
        stage.deliver(|event| !event.number.is_multiple_of(50)).await;
        let watch = stage.gaps.watch(0);
        watch.opened();
        stage.observations.connections[0].last_frame_at.set(hour_us() + FIRST_US);
        watch.lost(GapReason::Disconnect, "");
        for minutes in [75, 86] {
            stage.go_to(minutes).await;
        }
        assert_eq!((stage.findings(), stage.counted()), (vec![], (0, 0)));
    });
}

#[test]
fn an_answer_that_proves_nothing_finds_nothing() {
    run(async {
        for fault in ["no-usage", "no-rows", "no-ids", "outside-window", "other-ticker", "scope", "null"] {
            let mut stage = Stage::begin(&[&format!("option-trades:{fault}")]);
            stage.deliver(|event| !event.number.is_multiple_of(50)).await;
            for minutes in [75, 86, 97] {
                stage.go_to(minutes).await;
            }
            assert_eq!((stage.findings(), stage.counted()), (vec![], (0, 0)), "{fault}");
        }
    });
}

/// Five failures in a row would rest REST for a minute.
#[test]
fn a_cut_answer_is_asked_for_again_and_counts_as_none() {
    run(async {
        let mut stage = Stage::begin(&["option-trades:cut-quietly@3"]);
        let withheld = stage.deliver(|event| !event.number.is_multiple_of(50)).await;
        for minutes in [75, 86] {
            stage.go_to(minutes).await;
            assert_eq!((stage.findings(), stage.counted().1), (vec![], 0), "after {minutes} minutes");
        }
        stage.go_to(97).await;
        assert_eq!(stage.counted().1, withheld);
    });
}

/// Hours of the session in which something happens once per minute; the last of them is judged at the end.
const HOURS: u64 = 6;
/// The first of the minutes that are withheld, in the last hour.
const HOLE: u64 = (HOURS - 1) * 60 + 20;

/// Lets the hours pass, of which the feed withholds three minutes, and the audit judge them.
async fn pass_hours(stage: &mut Stage, topic: &str, payload: impl Fn(u64) -> String, is_lossy: bool) {
    for minute in 0..HOURS * 60 {
        let is_delivered = !is_lossy || !(HOLE..HOLE + 3).contains(&minute);
        stage.send(topic, &payload(minute), (minute * 60 + 31, is_delivered));
        if minute % 60 == 15 {
            // the hour before is judged
            stage.go_to(minute + 1).await;
        }
    }
    for minutes in [75, 86] {
        stage.go_to((HOURS - 1) * 60 + minutes).await;
    }
}

fn price(minute: u64) -> String {
    let at_ms = hour_us() / 1_000 + minute * 60_000 + 30_000;
    format!(r#"{{"ticker":"SPY","close":"562.82","time":{at_ms},"vol":{}}}"#, 1_000_000 + minute * 500)
}

fn exposure(minute: u64) -> String {
    let at_ms = hour_us() / 1_000 + minute * 60_000 + 30_000;
    format!(
        r#"{{"ticker":"SPY","timestamp":{at_ms},"price":"562.82","gamma_per_one_percent_move_oi":"{minute}.5"}}"#
    )
}

#[test]
fn minutes_that_the_feed_withheld_become_a_gap_of_prices_and_of_exposures() {
    type Payload = fn(u64) -> String;
    run(async {
        for (subject, family, payload) in [
            (AuditSubject::Price("SPY".into()), Family::Prices, price as Payload),
            (AuditSubject::Gex("SPY".into()), Family::Gex, exposure as Payload),
        ] {
            for is_lossy in [false, true] {
                let mut stage = Stage::of(&subject, family, &[]);
                pass_hours(&mut stage, &subject.topic(), payload, is_lossy).await;
                let (findings, (checked, missing)) = (stage.findings(), stage.counted());
                assert!(checked > 250, "{checked}");
                assert_eq!((findings.len(), missing > 0), (usize::from(is_lossy), is_lossy), "{findings:?}");
                let Some(finding) = findings.first() else { continue };
                assert_eq!((finding.channels.as_slice(), finding.family), (&[subject.topic()][..], family));
                let hole = hour_us() + HOLE * MINUTE_US..=hour_us() + (HOLE + 3) * MINUTE_US;
                assert!(hole.contains(&finding.from_us) && hole.contains(&finding.to_us), "{finding:?}");
                assert!((1..=3).contains(&missing) && finding.events == Some(missing));
            }
        }
    });
}
