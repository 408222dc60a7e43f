//! `gex_strike_expiry`, `gex_strike_expiry:TICKER`: the exposure of a ticker's option dealers, by strike and expiry.

use serde::de::{Deserialize, Deserializer, Error};
use serde_json::value::RawValue;

use super::{GexStrike, Text};

/// The exposure at one strike of one expiry (DOC); about 1 KB a frame. They come as waves of thousands within a second,
/// each 10 to 30 s; there is no first wave at the join.
#[derive(Clone, Debug)]
pub struct GexStrikeExpiry<'a> {
    /// `YYYY-MM-DD`.
    pub expiry: Text<'a>,
    /// The rest of the row: the fields of `gex_strike`, on the same level of the payload.
    pub row: GexStrike<'a>,
}

#[derive(serde::Deserialize)]
struct ExpiryOnly<'a> {
    #[serde(borrow)]
    expiry: Text<'a>,
}

/// Reads the payload once for each part: serde's own `flatten` would not borrow.
impl<'de: 'a, 'a> Deserialize<'de> for GexStrikeExpiry<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<GexStrikeExpiry<'a>, D::Error> {
        let json = <&RawValue>::deserialize(deserializer)?.get();
        let ExpiryOnly { expiry } = serde_json::from_str(json).map_err(D::Error::custom)?;
        let row = serde_json::from_str(json).map_err(D::Error::custom)?;
        Ok(GexStrikeExpiry { expiry, row })
    }
}
