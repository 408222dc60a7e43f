//! Topics: channels with the symbols they are joined for.

use std::fmt;
use std::sync::Arc;

use thiserror::Error;

use crate::calendar::products::Product;
use crate::channel::Channel;

/// A ticker that is valid as part of a Redis key: 1 to 32 of `A-Z 0-9 . - _ /`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Symbol(Arc<str>);

/// A string that is not a valid symbol.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("`{0}` is not a symbol: 1 to 32 of A-Z 0-9 . - _ /")]
pub struct InvalidSymbol(String);

impl Symbol {
    /// Maximum length in bytes.
    pub const MAX_LEN: usize = 32;

    /// Validates a symbol; does not convert to upper case.
    pub fn parse(text: &str) -> Result<Symbol, InvalidSymbol> {
        if Symbol::is_valid(text) {
            Ok(Symbol(text.into()))
        } else {
            Err(InvalidSymbol(text.chars().take(Symbol::MAX_LEN).collect()))
        }
    }

    /// Whether `text` is a valid symbol.
    #[must_use]
    pub fn is_valid(text: &str) -> bool {
        let legal =
            |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'_' | b'/');
        !text.is_empty() && text.len() <= Symbol::MAX_LEN && text.bytes().all(legal)
    }

    /// Returns the symbol as a string.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Symbol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A channel in the form in which it is joined and named in frames: `option_trades:SPY`, `news`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Topic {
    /// The channel.
    pub channel: Channel,
    /// The ticker joined; `None` for the channel's global form.
    pub symbol: Option<Symbol>,
}

impl Topic {
    /// Splits `<channel>[:<symbol>]`, without a look at either.
    #[must_use]
    pub fn split(text: &str) -> (&str, Option<&str>) {
        text.split_once(':').map_or((text, None), |(channel, symbol)| (channel, Some(symbol)))
    }

    /// Returns the product of its events.
    #[must_use]
    pub fn product(&self) -> Product {
        self.channel.product(self.symbol.as_ref().map(Symbol::as_str))
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.symbol {
            Some(symbol) => write!(f, "{}:{symbol}", self.channel),
            None => self.channel.fmt(f),
        }
    }
}
