//! Alters samples into other forms of valid events.

use super::patch::value_of;
use super::samples::Sample;
use crate::misbehaviour::Alteration;

/// Alters a payload; returns `None` if the alteration does not apply to the channel.
pub(super) fn alter(sample: &Sample, payload: &str, alteration: Alteration) -> Option<String> {
    match (alteration, sample.channel) {
        (Alteration::PriceWithoutTicker, "price") => {
            let ticker = value_of(payload, "ticker")?;
            Some(payload.replacen(&format!(r#""ticker":{},"#, &payload[ticker]), "", 1))
        }
        (Alteration::AlertIntegers, "flow-alerts") => Some(payload.replace(".0,", ",")),
        (Alteration::NullRule, "flow-alerts") => with_value(payload, "rule_name", "null"),
        (Alteration::BlankDecimals, _) if !sample.sometimes_blank.is_empty() => {
            let blank = |payload: String, field: &&str| with_value(&payload, field, "\"\"");
            sample.sometimes_blank.iter().try_fold(payload.to_owned(), blank)
        }
        (Alteration::UnknownFields, _) => {
            let body = payload.strip_suffix('}')?;
            Some(format!(r#"{body},"future_field":{{"nested":[1,"two",null]}},"future_flag":true}}"#))
        }
        _ => None,
    }
}

fn with_value(payload: &str, field: &str, value: &str) -> Option<String> {
    let mut payload = payload.to_owned();
    payload.replace_range(value_of(&payload, field)?, value);
    Some(payload)
}
