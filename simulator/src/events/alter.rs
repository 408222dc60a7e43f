//! Other forms of good payloads, made by changing the text of a channel's template.

use crate::misbehaviour::Alteration;

/// The altered text; `None` if the alteration does not concern the channel's payload.
pub(super) fn alter(channel: &str, text: &str, alteration: Alteration) -> Option<String> {
    match (alteration, channel) {
        (Alteration::PriceWithoutTicker, "price") => Some(text.replacen(r#""ticker":"<symbol>","#, "", 1)),
        (Alteration::AlertIntegers, "flow-alerts") => Some(text.replace(".0,", ",")),
        (Alteration::NullRule, "flow-alerts") => Some(text.replacen(r#""<rule>""#, "null", 1)),
        (Alteration::BlankDecimals, _) => Some(blank(text)),
        (Alteration::UnknownFields, _) => {
            let body = text.strip_suffix('}')?;
            Some(format!(r#"{body},"future_field":{{"nested":[1,"two",null]}},"future_flag":true}}"#))
        }
        _ => None,
    }
}

/// Decimals that the vendor was seen to leave empty, one or two a channel.
const SOMETIMES_BLANK: [&str; 5] =
    [r#""<spot>""#, r#""0.478059345""#, r#""2063.13""#, r#""128814703.59""#, r#""<close>""#];

fn blank(text: &str) -> String {
    SOMETIMES_BLANK.iter().fold(text.to_owned(), |text, decimal| text.replace(decimal, r#""""#))
}
