//! The jobs of a gap.

use foldhash::fast::RandomState;
use hashbrown::HashSet;

use super::deadline::latest_session_us;
use super::job::{FillJob, Flaw, parse_topic};
use super::outcome::FillReason;
use crate::channel::fill::Ask;
use crate::event::{EntryId, Scope, Symbol, Topic};
use crate::settings::Targets;

/// Length of a session, in seconds.
const SESSION_SECONDS: u64 = 6 * 3_600 + 1_800;

/// A gap of the ledger.
#[derive(Clone, Copy, Debug)]
pub struct GapToFill<'g> {
    /// Its entry.
    pub id: EntryId,
    /// Topics, or channels where the topics are unknown.
    pub channels: &'g [String],
    /// Its beginning, in Unix microseconds.
    pub from_us: u64,
    /// Its end, in Unix microseconds.
    pub to_us: u64,
}

/// The topics that this instance joins.
#[derive(Clone, Debug)]
pub struct Joined {
    /// All topics.
    pub topics: Vec<Topic>,
    /// `TARGET_SYMBOLS`.
    pub targets: Targets,
}

/// A job, and why it is impossible from the beginning.
pub type Planned = (FillJob, Option<Flaw>);

/// Plans one job for each topic of a gap.
#[must_use]
pub fn jobs(gap: &GapToFill<'_>, joined: &Joined, now_us: u64) -> Vec<Planned> {
    let mut seen: HashSet<String, RandomState> = HashSet::default();
    let mut topics: Vec<String> = Vec::new();
    for named in gap.channels {
        // a name may stand for a thousand topics, and be there a thousand times
        if seen.insert(named.clone()) {
            topics.extend(joined.expand(named));
        }
    }
    seen.clear();
    topics.retain(|topic| seen.insert(topic.clone()));
    topics.into_iter().map(|topic| job(gap, topic, now_us)).collect()
}

/// Estimates the requests of a job, at the usual rate of the busiest symbol.
#[must_use]
pub fn requests(job: &FillJob) -> u32 {
    let Some((spec, source)) =
        job.parts().and_then(|topic| Some((topic.channel.spec()?, topic.channel.spec()?.fill?)))
    else {
        return 0;
    };
    let seconds = job.to_us.saturating_sub(job.from_us).div_ceil(1_000_000) + 2 * source.margin_ms / 1000;
    match source.ask {
        Ask::Window { .. } => {
            // an endpoint of the day has nothing outside of a session of six and a half hours
            let seconds = seconds.min(SESSION_SECONDS);
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
            let rows = spec.usual.map_or(0.0, |usual| usual.rate * seconds as f64).ceil() as u64;
            let pages = rows.div_ceil(source.limit.max(1) as u64) + 1;
            u32::try_from(pages).unwrap_or(u32::MAX)
        }
        Ask::Day => u32::try_from(seconds.div_ceil(24 * 3_600)).unwrap_or(u32::MAX),
        Ask::Pages { .. } | Ask::State { .. } => 2,
    }
}

fn job(gap: &GapToFill<'_>, topic: String, now_us: u64) -> Planned {
    let mut job = FillJob::new(gap.id, topic, (gap.from_us, gap.to_us));
    let Some(source) = job.source() else {
        return (job, Some(Flaw::new(FillReason::NoEndpoint, "")));
    };
    if source.needs_symbol() && job.parts().is_none_or(|topic| topic.symbol.is_none()) {
        let detail = "the endpoint has one symbol at a time";
        return (job, Some(Flaw::new(FillReason::NoEndpoint, detail)));
    }
    if source.is_of_the_day {
        let since_us = latest_session_us(now_us);
        if job.to_us < since_us {
            return (job, Some(Flaw::new(FillReason::PastSession, "")));
        }
        if job.from_us < since_us {
            job.from_us = since_us;
            job.mar(Flaw::new(FillReason::PastSession, "the part in earlier sessions"));
        }
    }
    job.next_us = gap.to_us.saturating_add(source.settle_ms * 1000);
    (job, None)
}

impl Joined {
    /// Returns the topics that a name in a gap stands for: itself, or all topics of the channel. A channel that is joined for
    /// all symbols has one for each target, where the endpoint can be asked for one symbol and only theirs are kept.
    fn expand(&self, named: &str) -> Vec<String> {
        let Some(topic) = parse_topic(named) else { return vec![named.to_owned()] };
        if topic.symbol.is_some() {
            return vec![named.to_owned()];
        }
        let of_channel: Vec<&Topic> =
            self.topics.iter().filter(|joined| joined.channel == topic.channel).collect();
        let source = topic.channel.spec().and_then(|spec| spec.fill);
        let is_by_symbol = source.is_some_and(|source| {
            source.needs_symbol() || source.takes_symbol() && topic.channel.scope() == Scope::PerTicker
        });
        match &self.targets {
            Targets::Symbols(symbols)
                if is_by_symbol && of_channel.iter().all(|topic| topic.symbol.is_none()) =>
            {
                symbols.iter().map(|symbol: &Symbol| format!("{named}:{symbol}")).collect()
            }
            _ if of_channel.is_empty() => vec![named.to_owned()],
            _ => of_channel.iter().map(ToString::to_string).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Channel;

    const NOW: u64 = 1_791_212_400_000_000;

    fn joined(topics: &[&str], targets: &str) -> Joined {
        let topics = topics.iter().map(|topic| parse_topic(topic).unwrap()).collect();
        let targets = match targets {
            "*" => Targets::WholeMarket,
            list => Targets::Symbols(list.split(',').map(|symbol| Symbol::parse(symbol).unwrap()).collect()),
        };
        Joined { topics, targets }
    }

    fn planned(channels: &[&str], joined: &Joined) -> Vec<(String, Option<FillReason>)> {
        let channels: Vec<String> = channels.iter().map(|channel| (*channel).to_owned()).collect();
        let gap =
            GapToFill { id: EntryId::default(), channels: &channels, from_us: NOW - 60_000_000, to_us: NOW };
        jobs(&gap, joined, NOW)
            .into_iter()
            .map(|(job, flaw)| (job.topic, flaw.map(|flaw| flaw.reason)))
            .collect()
    }

    #[test]
    fn each_topic_of_a_gap_has_one_job() {
        let joined =
            joined(&["option_trades:SPY", "option_trades:QQQ", "news", "gex_strike_expiry:SPY"], "SPY,QQQ");
        assert_eq!(
            planned(&["option_trades", "option_trades:SPY", "news", "gex_strike_expiry:SPY"], &joined),
            [
                ("option_trades:SPY".into(), None),
                ("option_trades:QQQ".into(), None),
                ("news".into(), None),
                ("gex_strike_expiry:SPY".into(), Some(FillReason::NoEndpoint)),
            ]
        );
    }

    #[test]
    fn prints_are_fetched_for_each_target() {
        assert_eq!(
            planned(&["lit_trades"], &joined(&["lit_trades"], "SPY,QQQ")),
            [("lit_trades:SPY".into(), None), ("lit_trades:QQQ".into(), None)]
        );
        assert_eq!(
            planned(&["lit_trades"], &joined(&["lit_trades"], "*")),
            [("lit_trades".into(), Some(FillReason::NoEndpoint))]
        );
    }

    /// As with `WHEN_JOINS_EXCEED=global`: events of other symbols are filtered, so their rows are not fetched either.
    #[test]
    fn what_is_joined_for_all_symbols_is_fetched_for_each_target() {
        for channel in ["option_trades", "price", "gex", "gex_strike"] {
            assert_eq!(
                planned(&[channel], &joined(&[channel], "SPY,QQQ")),
                [(format!("{channel}:SPY"), None), (format!("{channel}:QQQ"), None)]
            );
        }
        // one walk has the alerts and the news of all, as their streams have
        for channel in ["flow-alerts", "news", "custom_alerts"] {
            assert_eq!(planned(&[channel], &joined(&[channel], "SPY,QQQ")), [(channel.to_owned(), None)]);
        }
        assert_eq!(
            planned(&["gex_strike_expiry"], &joined(&["gex_strike_expiry"], "SPY,QQQ")),
            [("gex_strike_expiry".into(), Some(FillReason::NoEndpoint))]
        );
        assert_eq!(
            planned(&["option_trades"], &joined(&["option_trades"], "*")),
            [("option_trades".into(), None)]
        );
    }

    #[test]
    fn what_is_of_earlier_sessions_is_left_out_and_said() {
        let channels = ["option_trades:SPY".to_owned()];
        let day = 24 * 3_600_000_000;
        let plan = |from_us, to_us| {
            let gap = GapToFill { id: EntryId::default(), channels: &channels, from_us, to_us };
            jobs(&gap, &joined(&[], "SPY"), NOW).remove(0)
        };
        let (job, flaw) = plan(NOW - 4 * day, NOW);
        assert_eq!((flaw, job.from_us), (None, latest_session_us(NOW)));
        assert_eq!(job.flaw.unwrap().reason, FillReason::PastSession);
        assert_eq!(plan(NOW - 5 * day, NOW - 4 * day).1.unwrap().reason, FillReason::PastSession);
    }

    #[test]
    fn requests_are_estimated_by_the_usual_rate() {
        let estimate = |topic: &str, seconds: u64| {
            requests(&FillJob::new(EntryId::default(), topic.into(), (NOW, NOW + seconds * 1_000_000)))
        };
        assert_eq!(estimate("option_trades:SPY", 60), 13, "70 s of 80 trades per second, and the end");
        assert_eq!(
            [estimate("price:SPY", 60), estimate("news", 60), estimate("periscope:SPX", 60)],
            [1, 2, 0]
        );
        assert_eq!(estimate("option_trades:SPY", 30 * 24 * 3_600), 3_745);
    }

    #[test]
    fn every_endpoint_belongs_to_a_channel_of_the_table() {
        let with = Channel::known().filter(|channel| channel.spec().is_some_and(|spec| spec.fill.is_some()));
        assert_eq!(with.count(), 10);
    }
}
