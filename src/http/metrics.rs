//! The observations as Prometheus text.
//!
//! The families stand in one table, [`FAMILIES`], from which both the answer and the documentation are made.
//!
//! The answer is the text format 0.0.4, which every scraper reads. The encoder of `prometheus-client` speaks
//! `OpenMetrics`, which names a counter without `_total` where it is described and with it where it is counted. So a
//! counter is described here under its full name and its values are written by the encoder's gauge, which leaves
//! names alone; without units and exemplars the two formats are otherwise the same.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeGaugeValue, MetricEncoder, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;
use uw_websocket_actors::observation::{
    ConnectionObservation, LATENCY_BOUNDS, Latency, Observations, WriterObservation, unix_micros,
};

pub use super::families::FAMILIES;
use super::snapshot::{ChannelCounts, Snapshot};

/// The media type of [`Metrics::render`].
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A metric family: one name, its meaning, and how its series are read.
#[derive(Debug)]
pub struct Family {
    /// The name as it is scraped.
    pub name: &'static str,
    /// Its type.
    pub kind: Kind,
    /// Names of the labels of each of its series.
    pub labels: &'static [&'static str],
    /// What it says, without a final period.
    pub help: &'static str,
    /// Writes its series.
    pub(super) read: fn(&Snapshot<'_>, &mut Series<'_>) -> fmt::Result,
}

/// The type of a metric family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows; starts again from zero with the process.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Observations counted by size.
    Histogram,
}

/// Makes the text of `/metrics`.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
}

/// Where a family writes its series.
pub(super) struct Series<'a> {
    labels: &'static [&'static str],
    encoder: MetricEncoder<'a>,
}

// === impl Metrics ===

impl Metrics {
    /// Reads `observations` at each call of [`Metrics::render`].
    #[must_use]
    pub fn new(observations: Arc<Observations>) -> Metrics {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Scrape(observations)));
        Metrics { registry }
    }

    /// All families with their present values, in text format 0.0.4.
    pub fn render(&self) -> Result<String, fmt::Error> {
        let mut answer = String::new();
        text::encode_registry(&mut answer, &self.registry)?;
        Ok(answer)
    }
}

/// Reads the observations at each scrape.
#[derive(Debug)]
struct Scrape(Arc<Observations>);

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let snapshot = Snapshot::take(&self.0, unix_micros());
        for family in FAMILIES {
            let kind = family.kind.metric_type();
            let encoder = encoder.encode_descriptor(family.name, family.help, None, kind)?;
            (family.read)(&snapshot, &mut Series { labels: family.labels, encoder })?;
        }
        Ok(())
    }
}

// === impl Kind ===

impl Kind {
    /// The type's name in the text format.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        }
    }

    const fn metric_type(self) -> MetricType {
        match self {
            Kind::Counter => MetricType::Counter,
            Kind::Gauge => MetricType::Gauge,
            Kind::Histogram => MetricType::Histogram,
        }
    }
}

// === impl Series ===

impl Series<'_> {
    /// Writes the series of a family without labels.
    pub(super) fn only(&mut self, value: impl EncodeGaugeValue + Copy) -> fmt::Result {
        self.encoder.encode_gauge(&value)
    }

    /// Writes the series with these values of the family's labels.
    ///
    /// The encoder does not escape: a label's value is one of our own names or a checked channel, never a text from
    /// outside.
    pub(super) fn labelled(&mut self, values: &[&str], value: impl EncodeGaugeValue + Copy) -> fmt::Result {
        let labels: Vec<_> = self.labels.iter().copied().zip(values.iter().copied()).collect();
        self.encoder.encode_family(&labels)?.encode_gauge(&value)
    }

    /// Writes one series a channel.
    pub(super) fn per_channel(
        &mut self,
        snapshot: &Snapshot<'_>,
        value: fn(&ChannelCounts<'_>) -> u64,
    ) -> fmt::Result {
        snapshot.channels.iter().try_for_each(|counts| self.labelled(&[counts.channel], value(counts)))
    }

    /// Writes one series a connection.
    pub(super) fn per_connection(
        &mut self,
        snapshot: &Snapshot<'_>,
        value: fn(&ConnectionObservation) -> u64,
    ) -> fmt::Result {
        let mut connections = snapshot.observations.connections.iter();
        connections.try_for_each(|connection| self.labelled(&[&connection.name], value(connection)))
    }

    /// Writes one series a shard.
    pub(super) fn per_shard<V: EncodeGaugeValue + Copy>(
        &mut self,
        snapshot: &Snapshot<'_>,
        value: fn(&WriterObservation) -> V,
    ) -> fmt::Result {
        let mut writers = snapshot.observations.writers.iter().enumerate();
        writers.try_for_each(|(shard, writer)| self.labelled(&[&shard.to_string()], value(writer)))
    }

    /// Writes some series for each writer, each with its kind.
    pub(super) fn per_shard_and_kind<const N: usize>(
        &mut self,
        snapshot: &Snapshot<'_>,
        values: fn(&WriterObservation) -> [(&'static str, u64); N],
    ) -> fmt::Result {
        let mut writers = snapshot.observations.writers.iter().enumerate();
        writers.try_for_each(|(shard, writer)| {
            let shard = shard.to_string();
            values(writer).iter().try_for_each(|(kind, value)| self.labelled(&[&shard, kind], *value))
        })
    }

    /// Writes the latencies of all writers as one histogram.
    pub(super) fn latencies(&mut self, writers: &[WriterObservation]) -> fmt::Result {
        histogram(&mut self.encoder, writers.iter().map(|writer| &writer.latency))
    }

    /// Writes one histogram a shard.
    pub(super) fn latency_per_shard(
        &mut self,
        snapshot: &Snapshot<'_>,
        latency: fn(&WriterObservation) -> &Latency,
    ) -> fmt::Result {
        let mut writers = snapshot.observations.writers.iter().enumerate();
        writers.try_for_each(|(shard, writer)| {
            let shard = shard.to_string();
            let labels: Vec<_> = self.labels.iter().copied().zip([&*shard]).collect();
            histogram(&mut self.encoder.encode_family(&labels)?, [latency(writer)].into_iter())
        })
    }
}

/// Writes the sum of some histograms.
fn histogram<'l>(
    encoder: &mut MetricEncoder<'_>,
    latencies: impl Iterator<Item = &'l Latency> + Clone,
) -> fmt::Result {
    let mut buckets: Vec<(f64, u64)> =
        LATENCY_BOUNDS.into_iter().chain([f64::MAX]).map(|bound| (bound, 0)).collect(); // MAX is written `+Inf`
    for latency in latencies.clone() {
        for ((_, total), count) in buckets.iter_mut().zip(latency.buckets()) {
            *total += count;
        }
    }
    let count = buckets.iter().map(|(_, count)| count).sum();
    let sum = latencies.map(Latency::sum_seconds).sum();
    encoder.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
}
