//! Option symbols of the Options Clearing Corporation: `SPY251003P00669000`.

use jiff::civil::Date;
use thiserror::Error;

use super::decimal::Decimal;

const MAX_ROOT: usize = 6;
/// Length after the root: date, `C` or `P`, strike in thousandths.
const TAIL: usize = 15;

/// A parsed option symbol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OccSymbol {
    /// The contract's root, 1 to 6 characters. Not always the ticker: SPX weeklies have `SPXW`, adjusted contracts
    /// a digit.
    pub root: String,
    /// The expiry date.
    pub expiry: Date,
    /// `true` for calls, `false` for puts.
    pub is_call: bool,
    /// The strike in US dollars.
    pub strike: Decimal,
}

/// A string that is not an option symbol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("not an option symbol: 1 to 6 of A-Z 0-9, YYMMDD, C or P, the strike in 8 digits of thousandths")]
pub struct NotAnOption;

impl OccSymbol {
    /// Parses a symbol; ignores blanks that pad the root to six characters.
    pub fn parse(text: &str) -> Result<OccSymbol, NotAnOption> {
        let at = text.len().checked_sub(TAIL).ok_or(NotAnOption)?;
        let (root, tail) = text.split_at_checked(at).ok_or(NotAnOption)?;
        let root = root.trim_end_matches(' ');
        let is_legal = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit();
        if root.is_empty()
            || root.len() > MAX_ROOT
            || !root.bytes().all(is_legal)
            || root.bytes().all(|b| b.is_ascii_digit())
        {
            return Err(NotAnOption);
        }
        let (date, rest) = tail.split_at_checked(6).ok_or(NotAnOption)?;
        let (kind, strike) = rest.split_at_checked(1).ok_or(NotAnOption)?;
        let is_call = match kind {
            "C" => true,
            "P" => false,
            _ => return Err(NotAnOption),
        };
        Ok(OccSymbol {
            root: root.to_owned(),
            expiry: parse_date(date)?,
            is_call,
            strike: parse_strike(strike)?,
        })
    }

    /// Returns the root of an option symbol.
    #[must_use]
    pub fn root_of(text: &str) -> Option<&str> {
        OccSymbol::parse(text).ok()?;
        Some(text.get(..text.len().checked_sub(TAIL)?)?.trim_end_matches(' '))
    }

    /// Returns `call` or `put`, as in REST.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        if self.is_call { "call" } else { "put" }
    }
}

fn parse_date(text: &str) -> Result<Date, NotAnOption> {
    let number = |from: usize| -> Option<i8> {
        let digits = text.get(from..from + 2)?;
        digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
    };
    let date = || Date::new(2000 + i16::from(number(0)?), number(2)?, number(4)?).ok();
    date().ok_or(NotAnOption)
}

fn parse_strike(text: &str) -> Result<Decimal, NotAnOption> {
    if !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(NotAnOption);
    }
    Decimal::parse(&format!("{text}e-3")).ok_or(NotAnOption)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_roots_of_every_length() {
        for (text, root, kind, expiry, strike) in [
            ("SPY251003P00669000", "SPY", "put", "2025-10-03", "669"),
            ("F250516C00010500", "F", "call", "2025-05-16", "10.5"),
            ("SPXW250516C05900000", "SPXW", "call", "2025-05-16", "5900"),
            ("GOOGL250620P00152125", "GOOGL", "put", "2025-06-20", "152.125"),
            ("AAPL1250620C00000500", "AAPL1", "call", "2025-06-20", "0.5"),
            ("2SPX261218P12345678", "2SPX", "put", "2026-12-18", "12345.678"),
            ("ABCDEF280229C99999999", "ABCDEF", "call", "2028-02-29", "99999.999"),
            ("SPY   251003P00669000", "SPY", "put", "2025-10-03", "669"),
        ] {
            let read = OccSymbol::parse(text).unwrap();
            let seen = (read.root.as_str(), read.kind(), read.expiry.to_string(), read.strike.to_string());
            assert_eq!(seen, (root, kind, expiry.to_owned(), strike.to_owned()), "{text}");
        }
    }

    #[test]
    fn what_is_none_is_told() {
        for text in [
            "",
            "SPY",
            "251003P00669000",
            "SPY251003X00669000",
            "SPY251303P00669000",
            "SPY250230P00669000",
            "SPY251003P0066900",
            "SPY251003P006690001",
            "spy251003P00669000",
            "ABCDEFG251003P00669000",
            "123251003P00669000",
            "SPY25100\u{e9}P0066900",
            "SPY2510 3P00669000",
            "SPY251003P+0669000",
        ] {
            assert_eq!(OccSymbol::parse(text), Err(NotAnOption), "{text}");
        }
    }
}
