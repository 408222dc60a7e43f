//! What stays the same in the events of an option contract, an alert's contract, or a ticker.

use super::Scene;

/// An option contract of a symbol, with prices that keep every field in its width.
#[derive(Debug)]
pub(super) struct Contract {
    symbol: String,
    channel: String,
    expiry: String,
    is_call: bool,
    /// Whole dollars.
    strike: u64,
    /// 510 to 999: with 20 to 99 contracts the premium has five digits.
    pub(super) price_cents: u64,
    /// 10 000 to 89 999.
    pub(super) spot_cents: u64,
    open_interest: u64,
    /// The first 24 characters of its ids.
    id_prefix: String,
    mix: u64,
}

/// Contracts of a topic: its events go round them.
const CONTRACTS: usize = 4;

impl Contract {
    /// Contracts that depend on the channel, the symbol and the scene's seed only.
    pub(super) fn some_of(channel: &str, symbol: &str, scene: &Scene) -> Vec<Contract> {
        let symbol_mix = mix(scene.seed, symbol.as_bytes());
        let spot_cents = 10_000 + symbol_mix % 79_900;
        let one = |index: usize| {
            let mix =
                mix(symbol_mix, &[channel.as_bytes(), &[u8::try_from(index).unwrap_or_default()]].concat());
            let (a, b, c) = (mix >> 32, mix >> 16 & 0xFFFF, mix & 0xFFF);
            Contract {
                symbol: symbol.to_owned(),
                channel: channel.to_owned(),
                expiry: scene.expiries.get(index / 2).cloned().unwrap_or_default(),
                is_call: index.is_multiple_of(2),
                strike: spot_cents / 100 + 5 * u64::try_from(index).unwrap_or_default(),
                price_cents: 510 + mix % 490,
                spot_cents,
                open_interest: 1_000 + mix % 60_000,
                id_prefix: format!("{a:08x}-{b:04x}-4{c:03x}-9{:03x}-", c ^ 0x5A5),
                mix,
            }
        };
        (0..CONTRACTS).map(one).collect()
    }

    /// The text of a name in a template.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        let dollars = |cents: u64| format!("{}.{:02}", cents / 100, cents % 100);
        let pick =
            |choices: [&str; 4]| choices[usize::try_from(self.mix >> 5 & 3).unwrap_or_default()].to_owned();
        Some(match name {
            "symbol" => self.symbol.clone(),
            "expiry" => self.expiry.clone(),
            "type" => if self.is_call { "call" } else { "put" }.to_owned(),
            "strike" => self.strike.to_string(),
            "occ" => self.occ(),
            "bid" => dollars(self.price_cents - 5),
            "price" | "ask" => dollars(self.price_cents),
            "spot" => dollars(self.spot_cents),
            "oi" => self.open_interest.to_string(),
            "uuid" => self.id_prefix.clone(),
            "side" => pick(["ask", "bid", "mid", "no"]),
            "mood" => pick(["bullish", "bearish", "neutral", "neutral"]),
            "code" => pick(["auto", "mlat", "slan", "isoi"]),
            "exchange" => pick(["XCBO", "GMNI", "EDGO", "MPRL"]),
            "rule" => pick([
                "RepeatedHits",
                "RepeatedHitsAscendingFill",
                "RepeatedHitsDescendingFill",
                "RepeatedHits",
            ]),
            "lit" => self.channel.trim_end_matches("_trades").to_owned(),
            _ => return None,
        })
    }

    /// The OCC symbol: root, date, type, strike in thousandths.
    fn occ(&self) -> String {
        let date: String = self.expiry.chars().filter(char::is_ascii_digit).skip(2).collect();
        let side = if self.is_call { 'C' } else { 'P' };
        format!("{}{date}{side}{:08}", self.symbol, self.strike * 1000)
    }
}

/// A number that depends on every byte (FNV-1a, then mixed so that its low digits vary, too).
fn mix(seed: u64, bytes: &[u8]) -> u64 {
    let start = seed ^ 0xcbf2_9ce4_8422_2325;
    let hash =
        bytes.iter().fold(start, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
    (hash ^ hash >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9)
}
