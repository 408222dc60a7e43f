//! Draws the intervals that are compared by identity.

use super::blind::Blind;
use super::{AuditSubject, HOUR_US, MINUTE_US};

/// Drawn intervals of trades per ticker and hour, and their shortest and longest lengths in milliseconds.
const TRADE_INTERVALS: usize = 3;
const TRADES_MS: [u64; 2] = [2_000, 5_000];
/// Lengths of the drawn intervals of alerts and of headlines, in microseconds.
const ALERTS_US: u64 = 5 * MINUTE_US;
const NEWS_US: u64 = 30 * MINUTE_US;
/// Draws until an interval lies in minutes that may be judged.
const DRAWS: usize = 20;

/// An interval in Unix microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Interval {
    /// The first instant.
    pub(super) from_us: u64,
    /// The first instant after the last.
    pub(super) to_us: u64,
}

/// Returns how many intervals of an hour are drawn; none where rows are no events.
pub(super) fn intervals(subject: &AuditSubject) -> usize {
    match subject {
        AuditSubject::Trades(_) => TRADE_INTERVALS,
        AuditSubject::Alerts(_) | AuditSubject::News => 1,
        AuditSubject::Price(_)
        | AuditSubject::Gex(_)
        | AuditSubject::Strikes(_)
        | AuditSubject::StrikesByExpiry(_) => 0,
    }
}

/// Draws an interval of an hour that may be judged.
pub(super) fn draw(
    subject: &AuditSubject,
    hour_us: u64,
    blind: &Blind,
    chance: &mut impl FnMut() -> f64,
) -> Option<Interval> {
    (0..DRAWS).find_map(|_| {
        let length_us = match subject {
            AuditSubject::Trades(_) => {
                let [shortest, longest] = TRADES_MS;
                1_000 * (shortest + scaled(chance(), longest - shortest))
            }
            AuditSubject::Alerts(_) => ALERTS_US,
            _ => NEWS_US,
        };
        let from_us = hour_us + scaled(chance(), (HOUR_US - length_us) / 1_000) * 1_000;
        let to_us = from_us + length_us;
        let tolerance = subject.tolerance_us();
        let is_seen = blind.sees(from_us.saturating_sub(tolerance), to_us + tolerance);
        is_seen.then_some(Interval { from_us, to_us })
    })
}

/// Returns a whole number below or at `most`, by chance from 0 to below 1.
#[expect(
    clippy::cast_sign_loss,
    clippy::cast_possible_truncation,
    reason = "both are small and not negative"
)]
fn scaled(chance: f64, most: u64) -> u64 {
    (chance * most as f64) as u64
}
