//! What a metric is, and how a part of the service declares its metrics.

use std::borrow::Cow;

use super::Latency;

/// The type of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    /// Only grows; starts again from zero with the process.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Observations counted by size.
    Histogram,
}

impl MetricKind {
    /// The type's name in the text format.
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
    /// The name as it is scraped.
    pub name: &'static str,
    /// Its type.
    pub kind: MetricKind,
    /// The label that tells the series of one part apart, where it has several.
    pub label: Option<&'static str>,
    /// What it says, without a final period.
    pub help: &'static str,
    /// Reads it.
    pub read: fn(&P) -> MetricValue,
}

/// A metric at one moment.
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

    /// Reads it.
    fn read(&self) -> MetricValue;
}

/// The help of a metric from the doc comment of its field: without the period at its end.
pub(crate) const fn help(doc: &'static str) -> &'static str {
    let doc = doc.trim_ascii();
    match doc.as_bytes() {
        [.., b'.'] => doc.split_at(doc.len() - 1).0,
        _ => doc,
    }
}

/// Declares a part of the service with what can be seen of it, each value once: a field is a field of the struct, a field
/// of the status where the struct is serialized, and with `= "name"` a metric whose help is the field's doc comment.
/// `by "label"` names the label of a field that is several series.
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
        Some($crate::observation::Metric {
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
            const METRICS: &'static [Option<$crate::observation::Metric<$part>>] = &[$(
                observed!(@metric $part $field $type, concat!($($doc),+), $($name $($label)?)?),
            )*];

            /// The metrics among its fields, in their order.
            $part_vis fn metrics() -> impl Iterator<Item = &'static $crate::observation::Metric<$part>> {
                Self::METRICS.iter().flatten()
            }
        }
    };
}

pub(crate) use observed;

#[cfg(test)]
mod tests {
    use super::*;

    observed! {
        #[derive(Debug, Default)]
        struct Part {
            /// Something that
            /// counts.
            counted: crate::observation::Count = "counted_total",
            /// A label makes several series, each with its state!
            state: crate::observation::StateCell<crate::observation::LeaseState> = "state" by "is",
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
