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
use uw_websocket_core::audit::{HOUR_US, MINUTE_US, Subject};
use uw_websocket_core::event::{Channel, ChannelIndex, Family, Symbol, Topic};
use uw_websocket_core::request_budget::RequestLimits;
use uw_websocket_core::settings::Secret;
use uw_websocket_simulator::{
    Generated, Rate, RestFault, RestOptions, Simulator, SimulatorHandle, SimulatorOptions, Spread,
};

const TOPIC: &str = "option_trades:SPY";
/// The start of an hour in which a session is on.
const HOUR: &str = "2026-11-30T15:00:00Z";
/// The time of the first event after it.
const FIRST_US: u64 = 20 * MINUTE_US;
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
    /// A market of two seconds, which is over when this returns, and an audit that began the hour before.
    fn begin(faults: &[&str]) -> Stage {
        let faults: Vec<RestFault> = faults.iter().map(|fault| fault.parse().unwrap()).collect();
        let simulator = Simulator::start(SimulatorOptions {
            rate: Rate::PerSecond(200),
            spread: Spread::Even,
            at_us: Some(hour_us() + FIRST_US),
            rest: Some(RestOptions { faults, ..RestOptions::default() }),
            ..SimulatorOptions::default()
        });
        let simulator = simulator.unwrap();
        let topic = Topic {
            channel: Channel::parse("option_trades").unwrap(),
            symbol: Some(Symbol::parse("SPY").unwrap()),
        };
        let observations = Arc::new(Observations::new(
            "test".into(),
            "0",
            std::slice::from_ref(&topic.channel),
            &[("trades", std::slice::from_ref(&topic))],
            1,
            Arc::default(),
        ));
        let covered = Covered { topic: TOPIC.into(), family: Family::Trades, reach: Reach::Receiving };
        let gaps = GapTracker::new(vec![vec![covered]], Arc::clone(&observations));
        let tap = AuditTap::new(vec![Subject::Trades("SPY".into())], &observations);
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
        while self.simulator.counts().events < 300 {
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
    let join = format!(r#"{{"channel":"{TOPIC}","msg_type":"join"}}"#);
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
        assert!(withheld >= 6);
        let asked = |stage: &Stage| stage.simulator.rest_counts().by_endpoint.contains_key("option-trades");
        stage.go_to(74).await;
        assert!(!asked(&stage), "an hour is judged 15 minutes after its end");
        stage.go_to(75).await;
        assert!(asked(&stage));
        assert_eq!(stage.findings(), [], "one answer proves nothing");
        stage.go_to(86).await;
        let findings = stage.findings();
        assert_eq!((findings.len(), findings[0].events), (1, Some(withheld)), "{findings:?}");
        assert_eq!(findings[0].channels, [TOPIC]);
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
            assert!(checked > 200 && missing == 0, "{checked} {missing}");
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
        for fault in [
            "no-usage",
            "no-rows",
            "no-ids",
            "outside-window",
            "other-ticker",
            "cut-quietly",
            "scope",
            "null",
        ] {
            let mut stage = Stage::begin(&[&format!("option-trades:{fault}")]);
            stage.deliver(|event| !event.number.is_multiple_of(50)).await;
            for minutes in [75, 86, 97] {
                stage.go_to(minutes).await;
            }
            assert_eq!((stage.findings(), stage.counted()), (vec![], (0, 0)), "{fault}");
        }
    });
}
