//! Metrics, and their declaration by the parts of the service.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use uw_websocket_core::labelled::Labelled;

use super::cells::{Count, CountsBy, Flag, Gauge, Micros, Moment, StateCell};
use super::latency::Latency;
use crate::sync::lock;

/// The type of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    /// Only grows; restarts from zero with the process.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Observations counted by size.
    Histogram,
}

impl MetricKind {
    /// Returns the type's name in the text format.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            MetricKind::Counter => "counter",
            MetricKind::Gauge => "gauge",
            MetricKind::Histogram => "histogram",
        }
    }
}

/// A metric of a part of the service.
#[derive(Debug)]
pub struct Metric<P: 'static> {
    /// The name in the exposition.
    pub name: &'static str,
    /// The type.
    pub kind: MetricKind,
    /// The label that distinguishes the series of one part, if it has several.
    pub label: Option<&'static str>,
    /// The help text, without a final period.
    pub help: &'static str,
    /// Reads the value.
    pub read: fn(&P) -> MetricValue,
}

/// The value of a metric at one moment.
#[derive(Debug)]
pub enum MetricValue {
    /// No series yet.
    Absent,
    /// A whole number.
    Whole(u64),
    /// Any number.
    Real(f64),
    /// A number for each value of the metric's label.
    ByLabel(Vec<(Cow<'static, str>, u64)>),
    /// A histogram.
    Histogram(Latency),
}

/// A field that can be a metric.
pub(crate) trait AsMetric {
    /// The type of the metric.
    const KIND: MetricKind;

    /// Reads the value.
    fn read(&self) -> MetricValue;
}

macro_rules! measured {
    ($($cell:ty: $kind:ident, |$value:ident| $reading:expr;)*) => {$(
        impl AsMetric for $cell {
            const KIND: MetricKind = MetricKind::$kind;

            fn read(&self) -> MetricValue {
                let $value = self;
                $reading
            }
        }
    )*};
}

measured! {
    Count: Counter, |count| MetricValue::Whole(count.get());
    Micros: Counter, |micros| MetricValue::Real(micros.seconds());
    Gauge: Gauge, |gauge| MetricValue::Whole(gauge.get());
    Flag: Gauge, |flag| MetricValue::Whole(u64::from(flag.get()));
    usize: Gauge, |number| MetricValue::Whole(*number as u64);
    Moment: Gauge, |moment| moment.get().map_or(MetricValue::Absent, |at| MetricValue::Real(at as f64 / 1e6));
    Latency: Histogram, |latency| MetricValue::Histogram(latency.clone());
    Arc<AtomicU64>: Counter, |count| MetricValue::Whole(count.load(Relaxed));
    Mutex<BTreeMap<String, u64>>: Counter, |counts| {
        MetricValue::ByLabel(lock(counts).iter().map(|(label, count)| (label.clone().into(), *count)).collect())
    };
}

impl<L: Labelled> AsMetric for CountsBy<L> {
    const KIND: MetricKind = MetricKind::Counter;

    fn read(&self) -> MetricValue {
        MetricValue::ByLabel(self.by_label().map(|(label, count)| (label.into(), count)).collect())
    }
}

/// One series per state: 1 for the current one, 0 for all others.
impl<S: Labelled> AsMetric for StateCell<S> {
    const KIND: MetricKind = MetricKind::Gauge;

    fn read(&self) -> MetricValue {
        let present = self.get();
        let series = S::ALL.iter().map(|state| (state.label().into(), u64::from(*state == present)));
        MetricValue::ByLabel(series.collect())
    }
}

/// Derives the help text of a metric from the doc comment of its field, without the final period.
pub(crate) const fn help(doc: &'static str) -> &'static str {
    let doc = doc.trim_ascii();
    match doc.as_bytes() {
        [.., b'.'] => doc.split_at(doc.len() - 1).0,
        _ => doc,
    }
}

/// Declares the observations of a part of the service, each value once: a field is a field of the struct, a field of
/// the status if the struct is serialized, and with `= "name"` a metric whose help text is the field's doc comment. `by
/// "label"` names the label of a field with several series.
macro_rules! observed {
    (@metric $part:ident $field:ident $type:ty, $doc:expr,) => {
        None
    };
    (@metric $part:ident $field:ident $type:ty, $doc:expr, $name:literal) => {
        observed!(@row $part $field $type, $doc, $name, None)
    };
    (@metric $part:ident $field:ident $type:ty, $doc:expr, $name:literal $label:literal) => {
        observed!(@row $part $field $type, $doc, $name, Some($label))
    };
    (@row $part:ident $field:ident $type:ty, $doc:expr, $name:literal, $label:expr) => {
        Some($crate::observation::metric::Metric {
            name: $name,
            kind: <$type as $crate::observation::metric::AsMetric>::KIND,
            label: $label,
            help: $crate::observation::metric::help($doc),
            read: |part: &$part| $crate::observation::metric::AsMetric::read(&part.$field),
        })
    };
    (
        $(#[$meta:meta])*
        $part_vis:vis struct $part:ident {$(
            $(#[doc = $doc:literal])+
            $(#[serde($($serde:tt)+)])?
            $vis:vis $field:ident: $type:ty $(= $name:literal $(by $label:literal)?)?,
        )*}
    ) => {
        $(#[$meta])*
        $part_vis struct $part {$(
            $(#[doc = $doc])+
            $(#[serde($($serde)+)])?
            $vis $field: $type,
        )*}

        impl $part {
            const METRICS: &'static [Option<$crate::observation::metric::Metric<$part>>] = &[$(
                observed!(@metric $part $field $type, concat!($($doc),+), $($name $($label)?)?),
            )*];

            /// Iterates over the metrics among the fields, in order.
            $part_vis fn metrics() -> impl Iterator<Item = &'static $crate::observation::metric::Metric<$part>> {
                Self::METRICS.iter().flatten()
            }
        }
    };
}

pub(crate) use observed;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observation::lease::LeaseState;

    observed! {
        #[derive(Debug, Default)]
        struct Part {
            /// Something that
            /// counts.
            counted: Count = "counted_total",
            /// A label makes several series, each with its state!
            state: StateCell<LeaseState> = "state" by "is",
            /// Nothing for a metric.
            hidden: u64,
        }
    }

    #[test]
    fn a_named_field_is_a_metric_with_its_doc_comment_as_help() {
        let part = Part { hidden: 3, ..Part::default() };
        part.counted.add(part.hidden);
        let metrics: Vec<_> = Part::metrics().collect();
        let [counted, state] = metrics[..] else { panic!("two metrics: {metrics:?}") };
        assert_eq!((counted.name, counted.kind, counted.label), ("counted_total", MetricKind::Counter, None));
        assert_eq!(counted.help, "Something that counts");
        assert!(matches!((counted.read)(&part), MetricValue::Whole(3)));
        assert_eq!((state.name, state.kind, state.label), ("state", MetricKind::Gauge, Some("is")));
        assert_eq!(state.help, "A label makes several series, each with its state!");
        let MetricValue::ByLabel(states) = (state.read)(&part) else { panic!("no labels") };
        assert_eq!(states, [("unconfirmed".into(), 1), ("held".into(), 0), ("standby".into(), 0)]);
    }
}
