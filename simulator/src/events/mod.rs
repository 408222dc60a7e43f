//! The events of a simulator: realistic, distinct, numbered, and cheap.

mod alter;
mod contract;
mod moment;
mod number;
mod shapes;
mod template;

use jiff::civil::Weekday;
use jiff::{Timestamp, ToSpan as _, tz::TimeZone};

use contract::Contract;
use moment::Moment;
pub use number::event_number;
use shapes::Shape;
use template::{Template, Values};

use super::misbehaviour::Alteration;

/// What the events of all topics share.
#[derive(Debug)]
pub(super) struct Scene {
    moment: Moment,
    /// Dates of the coming Fridays.
    expiries: Vec<String>,
    seed: u64,
    stamp: bool,
}

/// As many as an active ticker has.
const EXPIRIES: i64 = 42;

impl Scene {
    /// A scene that begins now.
    pub(super) fn new(seed: u64, stamp: bool) -> Scene {
        let today = Timestamp::now().to_zoned(TimeZone::UTC).date();
        let friday = today.nth_weekday(1, Weekday::Friday).unwrap_or(today);
        let week = |n: i64| friday.saturating_add((7 * n).days()).to_string();
        Scene { moment: Moment::now(), expiries: (0..EXPIRIES).map(week).collect(), seed, stamp }
    }

    /// Brings the time of the next events up to now.
    pub(super) fn refresh(&mut self) {
        self.moment.refresh();
    }
}

/// The usual events a second of a channel over all its symbols, in hundredths.
pub(super) fn usual_rate(channel: &str) -> u32 {
    Shape::of(channel).weight
}

/// Whether the channel's global form has events of many symbols.
pub(super) fn has_symbols(channel: &str) -> bool {
    Shape::of(channel).has_symbols
}

/// Whether `channel:SYMBOL` has events.
pub(super) fn is_per_ticker(channel: &str) -> bool {
    Shape::of(channel).per_ticker
}

/// Makes the events of one channel and symbol.
#[derive(Debug)]
pub(super) struct EventMaker {
    shape: &'static Shape,
    channel: String,
    contracts: Vec<Contract>,
    templates: Vec<Template>,
    /// Used in place of `templates` for every so manieth event.
    altered: Vec<(u64, Template)>,
    made: u64,
    volume: u64,
    row: u64,
    /// The template and contract of the newest event.
    newest: Newest,
}

#[derive(Clone, Copy, Debug)]
enum Newest {
    Usual(usize),
    Altered(usize),
}

/// Where the session volumes of contracts begin: wide enough not to change their width for long.
const FIRST_VOLUME: u64 = 10_000_000;
/// The first volume that would be wider.
const VOLUME_END: u64 = 100_000_000;

impl EventMaker {
    /// A maker for `channel`; `symbol` is empty where the channel has none.
    pub(super) fn new(channel: &str, symbol: &str, scene: &Scene) -> EventMaker {
        let shape = Shape::of(channel);
        let contracts = Contract::some_of(channel, symbol, scene);
        let text = stamped(shape.text, scene.stamp);
        let templates = contracts.iter().map(|contract| Template::new(&text, |name| contract.text(name)));
        EventMaker {
            shape,
            channel: channel.to_owned(),
            templates: templates.collect(),
            contracts,
            altered: Vec::new(),
            made: 0,
            volume: FIRST_VOLUME,
            row: 0,
            newest: Newest::Usual(0),
        }
    }

    /// Sets which events take another form.
    pub(super) fn alter(&mut self, alterations: &[(Alteration, u64)], scene: &Scene) {
        let Some(contract) = self.contracts.first() else { return };
        let altered = alterations.iter().filter_map(|(alteration, every)| {
            let text = stamped(&alter::alter(&self.channel, self.shape.text, *alteration)?, scene.stamp);
            Some((*every, Template::new(&text, |name| contract.text(name))))
        });
        self.altered = altered.collect();
    }

    /// How many events were made.
    pub(super) fn made(&self) -> u64 {
        self.made
    }

    /// Makes the event `number`.
    #[inline]
    pub(super) fn make(&mut self, number: u64, chance: u64, scene: &Scene) -> &[u8] {
        self.made += 1;
        self.row += 1;
        let usual = usize::try_from(self.made).unwrap_or_default() % self.templates.len();
        let made = self.made;
        let altered = self.altered.iter().position(|(every, _)| made.is_multiple_of(*every));
        self.newest = altered.map_or(Newest::Usual(usual), Newest::Altered);
        self.render(number, chance, scene)
    }

    /// Makes the newest event once more, with the same number and other contents.
    pub(super) fn amend(&mut self, number: u64, chance: u64, scene: &Scene) -> &[u8] {
        self.render(number, chance, scene)
    }

    /// The newest event.
    pub(super) fn newest(&self) -> &[u8] {
        match self.newest {
            Newest::Usual(index) => self.templates[index].bytes(),
            Newest::Altered(index) => self.altered[index].1.bytes(),
        }
    }

    fn render(&mut self, number: u64, chance: u64, scene: &Scene) -> &[u8] {
        let (index, template) = match self.newest {
            Newest::Usual(index) => (index, &mut self.templates[index]),
            Newest::Altered(index) => (0, &mut self.altered[index].1),
        };
        let contract = &self.contracts[index];
        let size = 20 + chance % 80;
        self.volume += size;
        if self.volume >= VOLUME_END {
            self.volume = FIRST_VOLUME;
        }
        template.render(&Values {
            number,
            moment: &scene.moment,
            expiries: &scene.expiries,
            size,
            premium: size * contract.price_cents,
            volume: self.volume,
            spot_cents: contract.spot_cents + (chance >> 8) % 50,
            row: self.row,
            noise: chance >> 16,
        })
    }
}

/// The text with a field for the send time at its end, if wanted.
fn stamped(text: &str, stamp: bool) -> String {
    match text.strip_suffix('}') {
        Some(body) if stamp => format!(r#"{body},"sent_us":<us>}}"#),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests;
