//! The REST requests of an existing fetcher, and who of all that share a limit kept to it.

use std::collections::VecDeque;
use std::io::Read as _;
use std::process::{Child, Command, Stdio};

use uw_websocket_simulator::{RestRequest, SimulatorHandle};

use super::python::interpreter;
use super::service::TOKEN;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/rest_reader/poller.py");
/// How the fetcher names itself.
const AGENT: &str = "rest-fetcher/1.0";
/// What the vendor counts within.
const MINUTE_MS: u64 = 60_000;

/// The running fetcher; killed with the value.
pub(crate) struct Poller(Child);

impl Poller {
    /// Starts a fetcher that believes to have so many requests per minute for itself.
    pub(crate) fn start(simulator: &SimulatorHandle, limit: u32, symbols: &str) -> Poller {
        let limit = limit.to_string();
        let child = Command::new(interpreter())
            .args(["-B", SCRIPT, "--rest", &simulator.rest_url(), "--token", TOKEN])
            .args(["--limit", &limit, "--symbols", symbols])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Poller(child)
    }

    /// Ends it; returns the number of its requests by status, as JSON.
    #[track_caller]
    pub(crate) fn stop(mut self) -> String {
        drop(self.0.stdin.take());
        let mut counts = String::new();
        self.0.stdout.take().unwrap().read_to_string(&mut counts).unwrap();
        assert!(self.0.wait().unwrap().success(), "{counts}");
        counts.trim().to_owned()
    }
}

impl Drop for Poller {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// What the service and the fetcher have asked of a limit that they share.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Shares {
    /// Requests of the fetcher, and of the service.
    pub(crate) requests: [usize; 2],
    /// The most requests in any 60 s of the fetcher, of the service, and of both.
    pub(crate) busiest: [usize; 3],
    /// The most handshakes of the service in any 60 s.
    pub(crate) handshakes: usize,
    /// Answers with 429: to the fetcher, and to the service.
    pub(crate) limited: [usize; 2],
}

impl Shares {
    /// Reads the log of a simulator.
    pub(crate) fn of(simulator: &SimulatorHandle) -> Shares {
        let log = simulator.rest_requests();
        let (handshakes, requests): (Vec<_>, Vec<_>) =
            log.into_iter().partition(|request| request.endpoint == "socket");
        let is_fetcher = |request: &&RestRequest| request.agent.as_deref() == Some(AGENT);
        let times = |requests: &[&RestRequest]| requests.iter().map(|one| one.at_ms).collect::<Vec<_>>();
        let limited = |requests: &[&RestRequest]| requests.iter().filter(|one| one.status == 429).count();
        let (theirs, ours): (Vec<_>, Vec<_>) = requests.iter().partition(is_fetcher);
        Shares {
            requests: [theirs.len(), ours.len()],
            busiest: [
                busiest(&times(&theirs)),
                busiest(&times(&ours)),
                busiest(&requests.iter().map(|one| one.at_ms).collect::<Vec<_>>()),
            ],
            handshakes: busiest(&handshakes.iter().map(|one| one.at_ms).collect::<Vec<_>>()),
            limited: [limited(&theirs), limited(&ours)],
        }
    }

    /// The fetcher alone stays below the limit: any 429, and any minute above it, is by the service.
    #[track_caller]
    pub(crate) fn assert_within(&self, limit: usize) {
        assert!(self.requests.iter().all(|requests| *requests > 0), "one of them asked nothing: {self:?}");
        assert_eq!(self.limited, [0, 0], "{self:?}");
        assert!(self.busiest[2] <= limit, "{self:?}");
    }
}

/// The most of these times, in milliseconds, within any minute.
fn busiest(times: &[u64]) -> usize {
    let (mut times, mut lately, mut most) = (times.to_vec(), VecDeque::new(), 0);
    times.sort_unstable();
    for at in times {
        lately.push_back(at);
        while lately.front().is_some_and(|oldest| at - oldest >= MINUTE_MS) {
            lately.pop_front();
        }
        most = most.max(lately.len());
    }
    most
}

#[test]
fn the_busiest_minute_slides() {
    assert_eq!(busiest(&[0, 59_999, 60_000, 119_998, 1]), 3);
    assert_eq!(busiest(&[]), 0);
}
