//! What an event of each channel looks like: borrowed views of the payloads.
//!
//! The service stores payloads as they came and does not need these views for that. It parses one now and then (the
//! first of a channel, then a sample) to notice early when the vendor's shape drifts from what is written here, and
//! they are the place where every field is described.
//!
//! A field that is not optional here was in the vendor's documentation and in every frame seen; its absence is a
//! [`ShapeError`]. Fields that are not listed are allowed: the vendor adds some at any time. Marks on fields: *DOC* is
//! documented by the vendor (`OpenAPI` text, published examples and captures), *3P* was seen by other users only.

mod flow_alert;
mod gex;
mod gex_strike;
mod gex_strike_expiry;
mod news;
mod option_trade;
mod price;
#[cfg(test)]
mod tests;
mod value;

use serde::Deserialize;
use serde_json::value::RawValue;
use thiserror::Error;

use crate::event::Channel;

pub use self::flow_alert::FlowAlert;
pub use self::gex::Gex;
pub use self::gex_strike::GexStrike;
pub use self::gex_strike_expiry::GexStrikeExpiry;
pub use self::news::News;
pub use self::option_trade::{OptionTrade, OptionType};
pub use self::price::Price;
pub use self::value::{Decimal, Text};

/// A payload, read as an event of its channel.
#[derive(Clone, Debug)]
pub enum TypedEvent<'a> {
    /// `option_trades`
    OptionTrade(Box<OptionTrade<'a>>),
    /// `flow-alerts`
    FlowAlert(Box<FlowAlert<'a>>),
    /// `price`
    Price(Price<'a>),
    /// `gex`
    Gex(Box<Gex<'a>>),
    /// `gex_strike`
    GexStrike(Box<GexStrike<'a>>),
    /// `gex_strike_expiry`
    GexStrikeExpiry(Box<GexStrikeExpiry<'a>>),
    /// `news`
    News(News<'a>),
    /// A channel that is not known in detail: any JSON.
    Raw(&'a RawValue),
}

/// A payload that does not have the shape of its channel's events.
#[derive(Debug, Error)]
#[error("an event of {channel} does not have the documented shape")]
pub struct ShapeError {
    /// The channel.
    pub channel: Channel,
    /// What is missing or of another type, and where.
    #[source]
    pub source: serde_json::Error,
}

impl<'a> TypedEvent<'a> {
    /// Reads a payload, the second item of a data frame.
    pub fn parse(channel: &Channel, payload: &'a str) -> Result<TypedEvent<'a>, ShapeError> {
        let event = match channel {
            Channel::OptionTrades => read(payload).map(TypedEvent::OptionTrade),
            Channel::FlowAlerts => read(payload).map(TypedEvent::FlowAlert),
            Channel::Price => read(payload).map(TypedEvent::Price),
            Channel::Gex => read(payload).map(TypedEvent::Gex),
            Channel::GexStrike => read(payload).map(TypedEvent::GexStrike),
            Channel::GexStrikeExpiry => read(payload).map(TypedEvent::GexStrikeExpiry),
            Channel::News => read(payload).map(TypedEvent::News),
            Channel::Other(_) => read(payload).map(TypedEvent::Raw),
        };
        event.map_err(|source| ShapeError { channel: channel.clone(), source })
    }
}

fn read<'a, T: Deserialize<'a>>(payload: &'a str) -> Result<T, serde_json::Error> {
    serde_json::from_str(payload)
}
