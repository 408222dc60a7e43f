//! Whatever happens to a connection: the gaps are all that was missing, once.

use proptest::prelude::*;

use super::*;

const TOPICS: [&str; 4] = ["price:SPY", "price:QQQ", "news", "gex:SPY"];

/// What may happen to a connection.
#[derive(Clone, Copy, Debug)]
enum Step {
    Open,
    Join(usize),
    Overdue(usize),
    /// Nothing came any more for so many seconds, but not for longer than since the step before.
    Lose(u64),
    Block,
    Resume,
    Tick,
}

/// Steps, and the seconds before each of them.
type History = Vec<(u64, Step)>;

fn histories() -> impl Strategy<Value = History> {
    let step = prop_oneof![
        2 => Just(Step::Open),
        6 => (0_usize..4).prop_map(Step::Join),
        2 => (0_usize..4).prop_map(Step::Overdue),
        2 => (0_u64..5).prop_map(Step::Lose),
        1 => Just(Step::Block),
        1 => Just(Step::Resume),
        1 => Just(Step::Tick),
    ];
    proptest::collection::vec((1_u64..40, step), 1..80)
}

/// A topic as it truly is.
#[derive(Clone, Default)]
struct Truth {
    is_joined: bool,
    /// The seconds in which it was received.
    received: Vec<u64>,
    /// Those in which it was not, after the first in which it was.
    missed: Vec<u64>,
}

/// A connection as it truly is, beside what is written of it.
struct World {
    coverage: Coverage,
    truths: [Truth; 4],
    now: u64,
    /// The last second in which something was read.
    heard: u64,
    is_open: bool,
    is_blocked: bool,
}

impl World {
    fn new() -> World {
        let truths = std::array::from_fn(|_| Truth::default());
        World { coverage: coverage(&TOPICS), truths, now: 10, heard: 10, is_open: false, is_blocked: false }
    }

    /// Lets time pass; the last `deaf` seconds of it nothing comes.
    fn pass(&mut self, wait: u64, deaf: u64) {
        let then = self.now;
        self.now += wait;
        let is_read = self.is_open && !self.is_blocked;
        if is_read {
            self.heard = self.now - deaf;
        }
        for truth in &mut self.truths {
            let received = if is_read && truth.is_joined { then..self.heard } else { then..then };
            // an acknowledgement ends what was missed, so there is no second before the first one
            let was_received = truth.is_joined || !truth.received.is_empty() || !truth.missed.is_empty();
            if was_received {
                truth.missed.extend(received.end..self.now);
            }
            truth.received.extend(received);
        }
    }

    fn step(&mut self, wait: u64, step: Step) {
        let deaf = if let Step::Lose(ago) = step { ago.min(wait) } else { 0 };
        self.pass(wait, deaf);
        let (now, is_read) = (self.now * S, self.is_open && !self.is_blocked);
        match step {
            Step::Open if !self.is_open => {
                self.coverage.opened(now);
                self.is_open = true;
            }
            Step::Join(topic) if is_read => {
                self.coverage.joined(TOPICS[topic], now);
                self.truths[topic].is_joined = true;
            }
            Step::Overdue(topic) if self.is_open && !self.truths[topic].is_joined => {
                self.coverage.overdue(TOPICS[topic], "");
            }
            Step::Lose(_) if self.is_open => {
                self.coverage.lost(self.heard * S, now, GapReason::Disconnect, "");
                (self.is_open, self.is_blocked) = (false, false);
                self.truths.iter_mut().for_each(|truth| truth.is_joined = false);
            }
            Step::Block if is_read => {
                self.coverage.blocked(now);
                self.is_blocked = true;
            }
            Step::Resume if self.is_blocked => {
                self.coverage.resumed(now);
                self.is_blocked = false;
            }
            Step::Tick => self.coverage.tick(now),
            _ => {}
        }
    }

    /// All gaps; what waits and what is open is no less on record, it is in the state.
    fn gaps(&mut self) -> Vec<Gap> {
        let mut gaps = self.coverage.take_closed();
        gaps.extend(self.coverage.ending());
        for open in open_gaps(self.coverage.topics()) {
            gaps.push(Gap::new(open.family, open.channels, (open.from_us, self.now * S), open.reason));
        }
        gaps
    }
}

fn judge(history: &[(u64, Step)]) -> Result<(), TestCaseError> {
    let mut world = World::new();
    for &(wait, step) in history {
        world.step(wait, step);
    }
    let gaps = world.gaps();
    for gap in &gaps {
        prop_assert!(gap.from_us <= gap.to_us && !gap.channels.is_empty(), "{gap:?}");
    }
    for (topic, truth) in TOPICS.iter().zip(&world.truths) {
        let own: Vec<&Gap> = gaps.iter().filter(|gap| gap.channels.iter().any(|c| c == topic)).collect();
        let covers = |gap: &Gap, second: u64| gap.from_us <= second * S && gap.to_us >= (second + 1) * S;
        for second in &truth.missed {
            let times = own.iter().filter(|gap| covers(gap, *second)).count();
            prop_assert_eq!(times, 1, "{} at {}: {:?}", topic, second, own);
        }
        for gap in &own {
            // those that were back before their siblings
            let too_much = truth.received.iter().filter(|second| covers(gap, **second)).count();
            prop_assert!(too_much as u64 * S <= STRAGGLERS, "{topic}: {too_much} s too much in {gap:?}");
        }
    }
    Ok(())
}

#[test]
fn what_is_not_read_between_two_joins_of_a_family_is_missing_once() {
    use Step::{Block, Join, Lose, Open, Resume};
    let one_is_back =
        [(1, Open), (1, Join(0)), (1, Join(1)), (1, Lose(0)), (1, Open), (1, Join(1)), (1, Block)];
    let late = [(71, Resume), (1, Join(0))];
    judge(&[&one_is_back[..], &late[..]].concat()).unwrap();
    let soon = [(5, Resume), (1, Join(0))];
    judge(&[&one_is_back[..], &soon[..]].concat()).unwrap();
}

proptest! {
    #[test]
    fn the_union_of_the_gaps_is_all_that_was_missing(history in histories()) {
        judge(&history)?;
    }
}
