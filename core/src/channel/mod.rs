//! The vendor's channels: what is known of each ([`table`]), and what its events look like ([`shape`]).

mod endpoint;
mod fields;
pub mod shape;
pub mod spec;
pub mod table;

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use thiserror::Error;

pub use endpoint::Endpoint;
use spec::ChannelSpec;
pub use spec::{Family, MapKey, Scope};

/// A channel of the vendor: one that the service knows in detail, or any other by its name.
#[derive(Clone)]
pub enum Channel {
    /// One of [`table::KNOWN`].
    Known(&'static ChannelSpec),
    /// Any other vendor channel that the settings name; stored raw.
    Other(Arc<str>),
}

/// The longest name of a channel; the vendor's longest is 17 bytes.
const MAX_CHANNEL_NAME: usize = 64;

/// A channel's name that the feed would not understand or that would break a Redis key.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("`{0}` is not a channel name: 1 to 64 of a-z A-Z 0-9 _ - and no blank")]
pub struct InvalidChannel(String);

impl Channel {
    /// What our own keys are called where a channel's stand: `<p>:ws:status` and so on. No channel has such a name.
    pub const RESERVED: [&str; 7] = ["status", "gaps", "ledger", "owner", "latest", "map", "probe"];

    /// The vendor channels outside of the table that exist per ticker only (source: vendor's list of 2026-08).
    const OTHER_PER_TICKER: [&str; 1] = ["net_flow"];

    /// The channels known in detail, in the order of the documentation.
    pub fn known() -> impl ExactSizeIterator<Item = Channel> {
        table::KNOWN.into_iter().map(Channel::Known)
    }

    /// Reads a channel's name as the vendor writes it.
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

    /// What is known of it, if it is known in detail.
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

    /// The name on the wire, in keys and in labels.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Channel::Known(spec) => spec.name,
            Channel::Other(name) => name,
        }
    }

    /// The family whose connection carries the channel.
    #[must_use]
    pub fn family(&self) -> Family {
        self.spec().map_or(Family::Other, |spec| spec.family)
    }

    /// How the channel is joined when the settings name it without a symbol.
    #[must_use]
    pub fn scope(&self) -> Scope {
        match self {
            Channel::Known(spec) => spec.scope,
            Channel::Other(name) if Self::OTHER_PER_TICKER.contains(&&**name) => Scope::PerTicker,
            Channel::Other(_) => Scope::Global,
        }
    }
}

// A channel is its name. Those of the table come first, in its order.
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
