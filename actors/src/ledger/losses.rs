//! Merges consecutive losses of events into one entry of the ledger: a full disk or a key of the wrong type loses
//! events many times per second, which is one loss.
//!
//! Has no clock: all times are passed in, as Unix microseconds.

use super::gap::Gap;

/// Time without another loss of the same kind after which a loss is over, in microseconds: continuous losses occur with
/// every batch, many times per second.
pub const FOLLOWS_WITHIN: u64 = 1_000_000;
/// Time after which a continuing loss is recorded, in microseconds, and continues in a new entry: a reader need not
/// wait for its end, and an hour of it is 60 entries.
pub const WRITTEN_AFTER: u64 = 60_000_000;
/// Maximum number of open losses. All of them are in the document written once per second; the kinds that occur
/// together are the channels times one or two reasons. Beyond it, the loss opened first is closed early.
pub const MAX_OPEN: usize = 100;

/// The losses that may continue, in the order in which they were opened.
#[derive(Debug, Default)]
pub struct Losses {
    open: Vec<Loss>,
}

#[derive(Debug)]
struct Loss {
    gap: Gap,
    opened_at: u64,
    last_at: u64,
}

impl Loss {
    fn is_over(&self, now: u64) -> bool {
        // a clock that was set back counts as a long wait, not as a negative one
        now.abs_diff(self.last_at) >= FOLLOWS_WITHIN || now.abs_diff(self.opened_at) >= WRITTEN_AFTER
    }

    /// Losses with different details are separate: two damaged files may have held events of different days, and one
    /// interval over both would include everything in between.
    fn is_of_kind(&self, other: &Gap) -> bool {
        let kind = |gap: &Gap| (gap.family, gap.reason, gap.events.is_some());
        let said =
            |gap: &Gap| (gap.channels.as_slice(), gap.detail.as_str()) == (&*other.channels, &*other.detail);
        kind(&self.gap) == kind(other) && said(&self.gap)
    }
}

impl Losses {
    /// Notes a loss at `now`; returns the gaps that it closes.
    #[must_use]
    pub fn note(&mut self, gap: Gap, now: u64) -> Vec<Gap> {
        let mut closed = self.close_due(now);
        if let Some(loss) = self.open.iter_mut().find(|loss| loss.is_of_kind(&gap)) {
            loss.gap.absorb(gap);
            loss.last_at = now;
            return closed;
        }
        if self.open.len() == MAX_OPEN {
            closed.push(self.open.remove(0).gap);
        }
        self.open.push(Loss { gap, opened_at: now, last_at: now });
        closed
    }

    /// Closes the losses that are over at `now`.
    #[must_use]
    pub fn close_due(&mut self, now: u64) -> Vec<Gap> {
        self.open.extract_if(.., |loss| loss.is_over(now)).map(|loss| loss.gap).collect()
    }

    /// Closes all losses.
    #[must_use]
    pub fn close(&mut self) -> Vec<Gap> {
        self.open.drain(..).map(|loss| loss.gap).collect()
    }

    /// Returns the open losses, as they would be if closed now.
    pub fn open(&self) -> impl Iterator<Item = &Gap> {
        self.open.iter().map(|loss| &loss.gap)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ledger::gap::GapReason;
    use uw_websocket_core::event::Family;

    const MS: u64 = 1000;
    const S: u64 = 1_000_000;

    fn loss(channel: &str, between: (u64, u64), events: u64) -> Gap {
        Gap::new(Family::Prices, vec![channel.to_owned()], between, GapReason::SpoolFull).with_events(events)
    }

    #[test]
    fn losses_that_follow_each_other_are_one() {
        let mut losses = Losses::default();
        assert_eq!(losses.note(loss("price", (20, 30), 2), 0), []);
        assert_eq!(losses.note(loss("price", (10, 15), 3), S - 1), []);
        assert_eq!(losses.close_due(2 * S - 2), []);
        assert_eq!(losses.open().collect::<Vec<_>>(), [&loss("price", (10, 30), 5)]);
        assert_eq!(losses.close_due(2 * S - 1), [loss("price", (10, 30), 5)]);
        assert_eq!((losses.close_due(9 * S), losses.open().count()), (vec![], 0));
    }

    #[test]
    fn one_that_comes_a_second_later_is_another() {
        let mut losses = Losses::default();
        assert_eq!(losses.note(loss("price", (1, 2), 1), 0), []);
        assert_eq!(losses.note(loss("price", (3, 4), 1), S), [loss("price", (1, 2), 1)]);
        assert_eq!(losses.close(), [loss("price", (3, 4), 1)]);
    }

    #[test]
    fn a_lasting_loss_is_written_down_once_a_minute() {
        let mut losses = Losses::default();
        let mut closed = Vec::new();
        for n in 0..150 * 2 {
            closed.extend(losses.note(loss("price", (n, n + 1), 1), n * 500 * MS));
        }
        let ends = |gap: &Gap| (gap.from_us, gap.to_us, gap.events);
        assert_eq!(closed.iter().map(ends).collect::<Vec<_>>(), [(0, 120, Some(120)), (120, 240, Some(120))]);
        assert_eq!(losses.open().map(ends).collect::<Vec<_>>(), [(240, 300, Some(60))]);
    }

    #[test]
    fn losses_of_different_kinds_are_not_one() {
        let first = loss("price", (1, 2), 1);
        let others = [
            loss("gex", (1, 2), 1),
            Gap { family: Family::News, ..first.clone() },
            Gap { reason: GapReason::Rejected, ..first.clone() },
            Gap { channels: vec!["price".into(), "gex".into()], ..first.clone() },
            // the sum of a number and an unknown one is unknown
            Gap { events: None, ..first.clone() },
            first.clone().with_detail("another file"),
        ];
        for other in others {
            let mut losses = Losses::default();
            assert_eq!(losses.note(first.clone(), 0), []);
            assert_eq!(losses.note(other.clone(), 0), []);
            assert_eq!(losses.close(), [first.clone(), other]);
        }
    }

    #[test]
    fn a_clock_that_was_set_back_keeps_no_loss_open() {
        let mut losses = Losses::default();
        assert_eq!(losses.note(loss("price", (1, 2), 1), 100 * S), []);
        assert_eq!(losses.close_due(10 * S), [loss("price", (1, 2), 1)]);
    }

    /// Kind, milliseconds since the previous one, beginning, length, events.
    type Noted = (usize, u64, u64, u64, u64);

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(100))]
        #[test]
        fn every_event_is_in_one_entry_which_covers_it(
            kinds in prop_oneof![Just(3_usize), Just(MAX_OPEN + 20)],
            noted in proptest::collection::vec((0..1000_usize, 0..1500_u64, 0..1000_u64, 0..50_u64, 1..9_u64), 0..400),
            turns in proptest::collection::vec(any::<bool>(), 400),
        ) {
            let noted: Vec<Noted> = noted;
            let mut losses = Losses::default();
            let mut now = 0;
            let mut entries: Vec<Gap> = Vec::new();
            // per kind: the times at which its open entry was opened and last grew
            let mut spans: Vec<Option<(u64, u64)>> = vec![None; kinds];
            let mut expected = vec![0; kinds];
            for ((kind, pause, from, length, events), is_turn) in noted.iter().zip(turns) {
                now += pause * MS;
                let kind = kind % kinds;
                entries.extend(losses.note(loss(&kind.to_string(), (*from, from + length), *events), now));
                if is_turn { entries.extend(losses.close_due(now)); }
                prop_assert!(losses.open().count() <= MAX_OPEN);
                let is_next = |(opened, last)| now - last >= FOLLOWS_WITHIN || now - opened >= WRITTEN_AFTER;
                if spans[kind].is_none_or(is_next) {
                    expected[kind] += 1;
                    spans[kind] = Some((now, now));
                } else if let Some((_, last)) = &mut spans[kind] {
                    *last = now;
                }
            }
            entries.extend(losses.close());
            prop_assert_eq!(losses.open().count(), 0);
            for (kind, expected) in expected.into_iter().enumerate() {
                let name = kind.to_string();
                let of_kind: Vec<_> = entries.iter().filter(|gap| gap.channels[0] == name).collect();
                let noted: Vec<_> = noted.iter().filter(|noted| noted.0 % kinds == kind).collect();
                let sum: u64 = of_kind.iter().filter_map(|gap| gap.events).sum();
                prop_assert_eq!(sum, noted.iter().map(|noted| noted.4).sum::<u64>());
                // the entries are the losses in order, so each covers those included in its sum
                let mut noted = noted.into_iter();
                for gap in &of_kind {
                    let mut left = gap.events.unwrap();
                    let (mut from, mut to) = (u64::MAX, 0);
                    while left > 0 {
                        let (.., begun, length, events) = noted.next().unwrap();
                        prop_assert!(*events <= left, "one loss is in two entries");
                        left -= events;
                        (from, to) = (from.min(*begun), to.max(begun + length));
                    }
                    prop_assert_eq!((gap.from_us, gap.to_us), (from, to));
                }
                if kinds <= MAX_OPEN {
                    prop_assert_eq!(of_kind.len(), expected);
                }
            }
        }
    }
}
