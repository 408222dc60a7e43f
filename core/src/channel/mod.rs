//! The vendor's channels: properties ([`table`]) and documented payload fields ([`shape`]).

mod endpoint;
pub mod field;
mod fields;
pub mod fill;
pub mod others;
pub mod shape;
pub mod spec;
pub mod table;

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use thiserror::Error;

use crate::calendar::products::{Product, ProductKind};

pub use endpoint::BodyEndpoint;
use spec::ChannelSpec;
pub use spec::{Family, Frame, JoinForms, MapKey, Scope, SymbolSource};

/// A vendor channel, known or not.
#[derive(Clone)]
pub enum Channel {
    /// One of [`table::KNOWN`].
    Known(&'static ChannelSpec),
    /// Any other channel named in the settings; its events are stored raw.
    Other(Arc<str>),
}

/// Maximum length of a channel name; the vendor's longest is 17 bytes.
const MAX_CHANNEL_NAME: usize = 64;

/// A name that is not valid as a channel or as part of a Redis key.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("`{0}` is not a channel name: 1 to 64 of a-z A-Z 0-9 _ - and no blank")]
pub struct InvalidChannel(String);

impl Channel {
    /// Segments of the service's own keys in the place of a channel name (`<p>:ws:status`); the vendor uses none of
    /// them.
    pub const RESERVED: [&str; 11] =
        ["status", "gaps", "ledger", "owner", "late", "latest", "map", "probe", "backfill", "fills", "fill"];

    /// Iterates over the channels of the table, in documentation order.
    pub fn known() -> impl ExactSizeIterator<Item = Channel> {
        table::KNOWN.into_iter().map(Channel::Known)
    }

    /// Parses a channel name in the vendor's spelling.
    pub fn parse(name: &str) -> Result<Channel, InvalidChannel> {
        if let Some(known) = table::KNOWN.into_iter().find(|spec| spec.name == name) {
            return Ok(Channel::Known(known));
        }
        let legal = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
        if name.is_empty() || name.len() > MAX_CHANNEL_NAME || !name.bytes().all(legal) {
            return Err(InvalidChannel(name.chars().take(MAX_CHANNEL_NAME).collect()));
        }
        Ok(Channel::Other(name.into()))
    }

    /// Returns the table entry; `None` for [`Channel::Other`].
    #[must_use]
    pub fn spec(&self) -> Option<&'static ChannelSpec> {
        match self {
            Channel::Known(spec) => Some(spec),
            Channel::Other(_) => None,
        }
    }

    fn position(&self) -> usize {
        table::KNOWN.iter().position(|spec| spec.name == self.name()).unwrap_or(table::KNOWN.len())
    }

    /// Returns the name used on the wire, in keys and in labels.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Channel::Known(spec) => spec.name,
            Channel::Other(name) => name,
        }
    }

    /// Returns the family whose connection carries the channel; [`Family::Other`] outside the table.
    #[must_use]
    pub fn family(&self) -> Family {
        self.spec().map_or(Family::Other, |spec| spec.family)
    }

    /// Returns how the channel is joined when the settings name it without a symbol.
    #[must_use]
    pub fn scope(&self) -> Scope {
        match self {
            Channel::Known(spec) => spec.forms.scope(),
            Channel::Other(_) => Scope::Global,
        }
    }

    /// Whether equal payloads are the same event sent again: whether the channel's events have an identity. Nothing
    /// of another channel is ever a duplicate.
    #[must_use]
    pub fn has_identity(&self) -> bool {
        self.spec().is_some_and(|spec| !spec.identity.is_empty())
    }

    /// Whether the vendor has the channel for a ticker.
    #[must_use]
    pub fn exists_for(&self, ticker: &str) -> bool {
        self.spec().is_none_or(|spec| spec.tickers.is_empty() || spec.tickers.contains(&ticker))
    }

    /// Returns the product of a symbol's events, which determines their hours; `None` stands for all symbols.
    #[must_use]
    pub fn product(&self, symbol: Option<&str>) -> Product {
        Product::of(self.spec().map_or(ProductKind::Options, |spec| spec.product), symbol)
    }

    /// Returns what one frame is of the channel's state.
    #[must_use]
    pub fn frame(&self) -> Frame {
        self.spec().map_or(Frame::Whole, |spec| spec.frame)
    }
}

// Channels compare by name; those of the table sort first, in table order.
impl PartialEq for Channel {
    fn eq(&self, other: &Channel) -> bool {
        self.name() == other.name()
    }
}

impl Eq for Channel {}

impl PartialOrd for Channel {
    fn partial_cmp(&self, other: &Channel) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Channel {
    fn cmp(&self, other: &Channel) -> Ordering {
        (self.position(), self.name()).cmp(&(other.position(), other.name()))
    }
}

impl Hash for Channel {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name().hash(state);
    }
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests;
