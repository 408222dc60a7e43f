//! `gex`, `gex:TICKER`: the exposure of a ticker's option dealers.

use serde::Deserialize;

use super::{Decimal, Text};

/// The exposure of one ticker (DOC), in dollars for a move of one percent; one frame each 10 s or oftener. The endings
/// say what it is computed from: `_oi` from open interest, `_vol` from the session's volume, `_dir` from the volume with
/// its side.
#[derive(Clone, Debug, Deserialize)]
pub struct Gex<'a> {
    /// The ticker.
    #[serde(borrow)]
    pub ticker: Text<'a>,
    /// Unix milliseconds, a whole second on a grid of 10 s. May lie in the future of a slow clock.
    pub timestamp: u64,
    /// Price of the underlying, dollars.
    pub price: Decimal<'a>,
    /// Gamma from open interest.
    pub gamma_per_one_percent_move_oi: Decimal<'a>,
    /// Not usable: missing in the documentation, `0` in the captures.
    pub delta_per_one_percent_move_oi: Decimal<'a>,
    /// Charm from open interest.
    pub charm_per_one_percent_move_oi: Decimal<'a>,
    /// Vanna from open interest.
    pub vanna_per_one_percent_move_oi: Decimal<'a>,
    /// Gamma from volume.
    pub gamma_per_one_percent_move_vol: Decimal<'a>,
    /// Not usable, as with open interest.
    pub delta_per_one_percent_move_vol: Decimal<'a>,
    /// Charm from volume.
    pub charm_per_one_percent_move_vol: Decimal<'a>,
    /// Vanna from volume.
    pub vanna_per_one_percent_move_vol: Decimal<'a>,
    /// Gamma from volume with its side.
    pub gamma_per_one_percent_move_dir: Decimal<'a>,
    /// Charm from volume with its side.
    pub charm_per_one_percent_move_dir: Decimal<'a>,
    /// Vanna from volume with its side.
    pub vanna_per_one_percent_move_dir: Decimal<'a>,
}
