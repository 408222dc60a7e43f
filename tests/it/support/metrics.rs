//! `/metrics`, read as a program reads it, and the law that its counts obey.

use std::collections::BTreeMap;

/// One sample of the exposition.
#[derive(Debug, PartialEq)]
struct Sample {
    name: String,
    labels: BTreeMap<String, String>,
    /// The value if it is a whole number; the tests look at counts only.
    count: Option<u64>,
}

/// The samples of one scrape.
#[derive(Debug)]
pub(crate) struct Metrics(Vec<Sample>);

impl Metrics {
    /// Reads the text form; a line that cannot be read fails the test.
    pub(crate) fn parse(text: &str) -> Metrics {
        let samples = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        Metrics(samples.map(|line| sample(line).unwrap_or_else(|| panic!("not a sample: {line}"))).collect())
    }

    /// The sum over all samples of the metric that have these labels; zero if there are none.
    pub(crate) fn sum(&self, name: &str, labels: &[(&str, &str)]) -> u64 {
        let has = |sample: &&Sample| {
            sample.name == name
                && labels.iter().all(|(label, value)| sample.labels.get(*label).is_some_and(|v| v == value))
        };
        self.0.iter().filter(has).filter_map(|sample| sample.count).sum()
    }

    /// The values of a label of the metric.
    pub(crate) fn labels(&self, name: &str, label: &str) -> Vec<String> {
        let named = self.0.iter().filter(|sample| sample.name == name);
        named.filter_map(|sample| sample.labels.get(label).cloned()).collect()
    }

    /// Where the books do not balance: per channel, what came is what has ended or is pending, and the service itself
    /// has found nothing missing in memory and on disk.
    pub(crate) fn check_conservation(&self) -> Result<(), String> {
        let channels = self.labels("uw_ws_events_received_total", "channel");
        if channels.is_empty() {
            return Err("no channel is counted".to_owned());
        }
        for channel in channels {
            let of = |name: &str| self.of_channel(&format!("uw_ws_events_{name}"), &channel);
            let came = of("received_total")? + of("recovered_total")?;
            let ends =
                ["stored_total", "duplicate_total", "filtered_total", "quarantined_total", "dropped_total"];
            let ended = ends.iter().map(|name| of(name)).sum::<Result<u64, String>>()?;
            let pending = of("pending")?;
            if came != ended + pending {
                return Err(format!("{channel}: {came} came, {ended} ended, {pending} pending"));
            }
            match self.of_channel("uw_ws_conservation_violations_total", &channel)? {
                0 => {}
                found => return Err(format!("{channel}: {found} violations were found")),
            }
        }
        Ok(())
    }

    /// The sum of a metric of the channel, which must have it.
    fn of_channel(&self, name: &str, channel: &str) -> Result<u64, String> {
        if self.labels(name, "channel").iter().any(|counted| counted == channel) {
            Ok(self.sum(name, &[("channel", channel)]))
        } else {
            Err(format!("{channel}: no {name}"))
        }
    }
}

/// `name{label="value",…} value`; label values of ours hold neither quotes nor commas.
fn sample(line: &str) -> Option<Sample> {
    let (head, value) = line.rsplit_once(' ')?;
    let (name, labels) = match head.split_once('{') {
        Some((name, rest)) => (name, rest.strip_suffix('}')?),
        None => (head, ""),
    };
    let pair = |pair: &str| {
        let (label, quoted) = pair.split_once('=')?;
        Some((label.to_owned(), quoted.strip_prefix('"')?.strip_suffix('"')?.to_owned()))
    };
    let labels = labels.split(',').filter(|text| !text.is_empty()).map(pair).collect::<Option<_>>()?;
    value.parse::<f64>().ok()?;
    let count = value.strip_suffix(".0").unwrap_or(value).parse().ok();
    Some(Sample { name: name.to_owned(), labels, count })
}
