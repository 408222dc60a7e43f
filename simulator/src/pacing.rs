//! Paces events: evenly in small ticks, as fast as clients read, and in waves.

use std::rc::Rc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use crate::feed::Offer;
use crate::hub::Hub;
use crate::options::{Rate, Waves};

/// Time between portions of events: the resolution of the runtime's timer.
const TICK: Duration = Duration::from_millis(1);
/// Late ticks and full clients are made up for, to keep the rate; at most this much time.
const MAX_DEBT: Duration = Duration::from_secs(1);
/// Portions per wave, one tick or more apart: a wave takes about half a second.
const WAVE_PORTIONS: u32 = 250;
/// Events at full speed before calls and sockets get their turn; about the contents of an outbox.
const ROUND: u64 = 512;

/// Makes events until the simulator ends.
pub(super) async fn generate(hub: Rc<Hub>) {
    let mut pace = Pace::start(hub.rate.get());
    let mut wave = hub.options.waves.map(Wave::new);
    loop {
        if !hub.may_send() || !hub.feed.borrow().has_listeners() {
            hub.changed.notified().await;
            pace = Pace::start(hub.rate.get());
            continue;
        }
        if pace.rate != hub.rate.get() {
            pace = Pace::start(hub.rate.get());
        }
        hub.feed.borrow_mut().refresh();
        if let Some(wave) = &mut wave {
            wave.send(&hub);
        }
        match pace.rate {
            Rate::Max if fill(&hub) => tokio::task::yield_now().await,
            // bounded, so that the next wave is not late
            Rate::Max => drop(timeout(TICK, hub.room.notified()).await),
            Rate::PerSecond(_) => {
                pace.send(&hub);
                sleep(TICK).await;
            }
        }
    }
}

/// Makes a round of events; returns `false` if no receiver had room.
fn fill(hub: &Hub) -> bool {
    let round = hub.events_left().min(ROUND);
    let mut feed = hub.feed.borrow_mut();
    let before = feed.events();
    for _ in 0..round {
        if feed.next_with_room() != Offer::Sent {
            break;
        }
    }
    feed.events() > before
}

/// State of an even rate.
struct Pace {
    rate: Rate,
    since: Instant,
    made: u64,
}

impl Pace {
    fn start(rate: Rate) -> Pace {
        Pace { rate, since: Instant::now(), made: 0 }
    }

    /// Makes the events that are due; events without room stay due.
    fn send(&mut self, hub: &Hub) {
        let due = self.due(Instant::now()).min(hub.events_left());
        let mut feed = hub.feed.borrow_mut();
        let full = (0..due).filter(|_| feed.next() == Offer::Full).count();
        self.made -= u64::try_from(full).unwrap_or_default();
    }

    /// Returns how many events are due and counts them as made.
    fn due(&mut self, now: Instant) -> u64 {
        let Rate::PerSecond(rate) = self.rate else { return 0 };
        let rate = u64::from(rate);
        let micros = u64::try_from((now - self.since).as_micros()).unwrap_or(u64::MAX);
        // whole and fractional seconds apart: the product cannot overflow
        let planned = micros / 1_000_000 * rate + micros % 1_000_000 * rate / 1_000_000;
        let due = planned.saturating_sub(self.made).min(rate * MAX_DEBT.as_secs());
        self.made = planned;
        due
    }
}

/// State of the bursts of rows.
struct Wave {
    waves: Waves,
    next: Instant,
    left: u32,
}

impl Wave {
    /// Starts with a full period: like the vendor, a join brings no snapshot.
    fn new(waves: Waves) -> Wave {
        Wave { waves, next: Instant::now() + waves.every, left: 0 }
    }

    /// Sends the portion of the wave that is due.
    fn send(&mut self, hub: &Hub) {
        let now = Instant::now();
        if now >= self.next {
            self.left = self.waves.rows;
            self.next = now + self.waves.every;
        }
        let mut feed = hub.feed.borrow_mut();
        let sources = u64::try_from(feed.wave_sources()).unwrap_or_default();
        let portion = self.left.min(self.waves.rows.div_ceil(WAVE_PORTIONS));
        let portion =
            u32::try_from(hub.options.events.map_or(u64::MAX, |events| events.saturating_sub(feed.events())))
                .map_or(portion, |left| left.min(portion));
        for _ in 0..portion {
            // sources follow each other, each with its share of the rows
            let sent = u64::from(self.waves.rows - self.left);
            let index =
                usize::try_from(sent * sources / u64::from(self.waves.rows.max(1))).unwrap_or_default();
            if feed.row(index) == Offer::Full {
                return;
            }
            self.left -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_kept_over_uneven_ticks() {
        let mut pace = Pace::start(Rate::PerSecond(1000));
        let since = pace.since;
        let at = |us| since + Duration::from_micros(us);
        let ticks = [at(1_500), at(1_900), at(40_000), at(40_900), at(1_000_000)];
        let due: Vec<u64> = ticks.into_iter().map(|now| pace.due(now)).collect();
        assert_eq!(due, [1, 0, 39, 0, 960]);
    }

    #[test]
    fn a_slow_rate_makes_one_event_when_its_time_has_come() {
        let mut pace = Pace::start(Rate::PerSecond(2));
        let since = pace.since;
        let at = |ms| since + Duration::from_millis(ms);
        let ticks = [at(499), at(500), at(999), at(1000)];
        let due: Vec<u64> = ticks.into_iter().map(|now| pace.due(now)).collect();
        assert_eq!(due, [0, 1, 0, 1]);
    }

    #[test]
    fn a_long_stop_is_not_made_up_for() {
        let mut pace = Pace::start(Rate::PerSecond(10));
        let late = pace.since + Duration::from_secs(60);
        assert_eq!(pace.due(late), 10);
        assert_eq!(pace.due(late), 0);
    }
}
