//! The observations in the Prometheus text format 0.0.4, which every scraper supports.

use std::fmt::{self, Display, Write as _};

use uw_websocket_actors::observation::{LATENCY_BOUNDS, Latency, MetricValue, Observations};
use uw_websocket_actors::wall_clock::unix_micros;

pub use super::families::{FAMILIES, MetricFamily};
use super::snapshot::Snapshot;
pub use uw_websocket_actors::observation::MetricKind;

/// The media type of [`render`].
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Renders all families with their current values.
pub fn render(observations: &Observations) -> Result<String, fmt::Error> {
    let snapshot = Snapshot::take(observations, unix_micros());
    let mut text = String::new();
    for family in FAMILIES.iter() {
        let MetricFamily { name, kind, help, .. } = family;
        write!(text, "# HELP {name} {help}\n# TYPE {name} {}\n", kind.name())?;
        for (part, reading) in family.read(&snapshot) {
            series(&mut text, family, &part, reading)?;
        }
    }
    Ok(text)
}

/// Writes the series of a part. The last of the family's labels belongs to the value, if it has one.
fn series(text: &mut String, family: &MetricFamily, part: &str, reading: MetricValue) -> fmt::Result {
    let labels: Vec<_> = family.labels.iter().copied().zip([part]).collect();
    match reading {
        MetricValue::Absent => Ok(()),
        MetricValue::Whole(number) => sample(text, family.name, &labels, number),
        // with a decimal point, as the bounds of histograms
        MetricValue::Real(number) => sample(text, family.name, &labels, format_args!("{number:?}")),
        MetricValue::ByLabel(numbers) => numbers.iter().try_for_each(|(value, number)| {
            let parts = (family.labels.len() > 1).then_some(part);
            let values = parts.into_iter().chain([&**value]);
            let labels: Vec<_> = family.labels.iter().copied().zip(values).collect();
            sample(text, family.name, &labels, number)
        }),
        MetricValue::Histogram(latency) => histogram(text, family.name, &labels, &latency),
    }
}

fn histogram(text: &mut String, name: &str, labels: &[(&str, &str)], latency: &Latency) -> fmt::Result {
    let bounds = LATENCY_BOUNDS.iter().map(|bound| format!("{bound:?}")).chain(["+Inf".to_owned()]);
    let mut total = 0;
    for (bound, count) in bounds.zip(latency.buckets()) {
        total += count;
        let labels = [&[("le", bound.as_str())], labels].concat();
        sample(text, &format!("{name}_bucket"), &labels, total)?;
    }
    sample(text, &format!("{name}_sum"), labels, format_args!("{:?}", latency.sum_seconds()))?;
    sample(text, &format!("{name}_count"), labels, total)
}

/// Writes a line. Nothing is escaped: a label's value is one of our own names or a validated channel, never external
/// text.
fn sample(text: &mut String, name: &str, labels: &[(&str, &str)], value: impl Display) -> fmt::Result {
    let labels: Vec<String> = labels.iter().map(|(label, value)| format!("{label}=\"{value}\"")).collect();
    match labels.as_slice() {
        [] => writeln!(text, "{name} {value}"),
        labels => writeln!(text, "{name}{{{}}} {value}", labels.join(",")),
    }
}
