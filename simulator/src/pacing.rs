//! When events are made: evenly in small ticks, as fast as they are read, and in waves.

use std::rc::Rc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use crate::feed::Offer;
use crate::hub::Hub;
use crate::options::{Rate, Waves};

/// From one portion of events to the next: the finest that the runtime's timer knows.
const TICK: Duration = Duration::from_millis(1);
/// Rates are kept by making up for late ticks and for clients that had no room, at most for this long.
const MAX_DEBT: Duration = Duration::from_secs(1);
/// Portions of one wave, a tick or more apart: so a wave takes about half a second.
const WAVE_PORTIONS: u32 = 250;
/// At full speed: events between two looks at commands and sockets; about the contents of an outbox.
const ROUND: u64 = 512;

/// Makes events as long as the simulator lives.
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
            // the time limit is for the next wave
            Rate::Max => drop(timeout(TICK, hub.room.notified()).await),
            Rate::PerSecond(_) => {
                pace.send(&hub);
                sleep(TICK).await;
            }
        }
    }
}

/// Makes a round of events; `false` if nobody had room for one.
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

/// An even rate.
struct Pace {
    rate: Rate,
    since: Instant,
    made: u64,
}

impl Pace {
    fn start(rate: Rate) -> Pace {
        Pace { rate, since: Instant::now(), made: 0 }
    }

    /// Makes the events that are due; those without room stay due.
    fn send(&mut self, hub: &Hub) {
        let due = self.due(Instant::now()).min(hub.events_left());
        let mut feed = hub.feed.borrow_mut();
        let full = (0..due).filter(|_| feed.next() == Offer::Full).count();
        self.made -= u64::try_from(full).unwrap_or_default();
    }

    /// How many events are due, which then count as made.
    fn due(&mut self, now: Instant) -> u64 {
        let Rate::PerSecond(rate) = self.rate else { return 0 };
        let rate = u64::from(rate);
        let micros = u64::try_from((now - self.since).as_micros()).unwrap_or(u64::MAX);
        // split so that it cannot overflow within the life of a process
        let planned = micros / 1_000_000 * rate + micros % 1_000_000 * rate / 1_000_000;
        let due = planned.saturating_sub(self.made).min(rate * MAX_DEBT.as_secs());
        self.made = planned;
        due
    }
}

/// Bursts of rows.
struct Wave {
    waves: Waves,
    next: Instant,
    left: u32,
}

impl Wave {
    /// The first wave comes after one period, as there is no snapshot on a join.
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
            // one source after the other, each with its part of the rows
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
