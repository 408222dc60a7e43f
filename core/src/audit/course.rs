//! The course of one subject: the hour under judgement, what is asked of it, and what may be trusted.

use std::collections::BTreeSet;

use super::drawing::{self, Interval};
use super::question::{EvidenceWanted, HourReport, Notice, ReceivedEvents};
use super::screen::{Calibration, Screen};
use super::{AuditSubject, MINUTE_US, series};

/// Time of an open session before the newest state is asked for, in microseconds: what is computed has begun by then.
const BEGUN_US: u64 = 15 * MINUTE_US;

#[derive(Debug, Default)]
pub(super) struct Hour {
    pub(super) report: HourReport,
    /// Questions without their last answer.
    pub(super) open: usize,
    /// Identities of proven losses: intervals may overlap.
    pub(super) proven: BTreeSet<String>,
}

#[derive(Debug)]
pub(super) struct Course {
    pub(super) subject: AuditSubject,
    pub(super) next_us: u64,
    pub(super) hour: Option<Hour>,
    /// By [`Screen`].
    calibrations: [Calibration; Screen::ALL.len()],
    /// The least volume of a candle whose minute had an event in an hour that agreed.
    pub(super) least_volume: u64,
}

impl Course {
    /// Begins with an hour.
    pub(super) fn new(subject: &AuditSubject, hour_us: u64) -> Course {
        Course {
            subject: subject.clone(),
            next_us: hour_us,
            hour: None,
            calibrations: Default::default(),
            least_volume: u64::MAX,
        }
    }

    /// Returns what is asked of an hour.
    pub(super) fn questions(
        &mut self,
        position: usize,
        (hour_us, has_minutes): (u64, bool),
        known: ReceivedEvents<'_>,
        chance: &mut impl FnMut() -> f64,
    ) -> Vec<EvidenceWanted> {
        let is_open = self.subject.is_expected(known.now_us.saturating_sub(BEGUN_US), known.now_us);
        let by_sums = has_minutes && self.may_compare(Screen::Sums);
        let by_minute =
            has_minutes && (self.may_compare(Screen::Minutes) || self.may_compare(Screen::Volumes));
        let has_newest = is_open && self.may_compare(Screen::Newest);
        let mut asked = Vec::new();
        match &self.subject {
            AuditSubject::Trades(_) if by_sums => asked.push(EvidenceWanted::Sums),
            AuditSubject::Price(_) | AuditSubject::Gex(_) if by_minute => {
                asked.push(EvidenceWanted::Minutes { hour_us });
            }
            _ => {}
        }
        let subject = &self.subject;
        if has_newest && series::newest_query(subject).is_some() {
            asked.push(EvidenceWanted::Newest);
        }
        let drawn =
            (0..drawing::intervals(subject)).filter_map(|_| draw(subject, position, hour_us, known, chance));
        asked.extend(drawn);
        asked
    }

    fn calibration(&mut self, screen: Screen) -> &mut Calibration {
        &mut self.calibrations[screen as usize]
    }

    pub(super) fn may_compare(&mut self, screen: Screen) -> bool {
        *self.calibration(screen) != Calibration::NotComparable
    }

    pub(super) fn trusts(&mut self, screen: Screen) -> bool {
        *self.calibration(screen) == Calibration::Trusted
    }

    /// Learns whether an hour agreed.
    pub(super) fn learn(&mut self, position: usize, screen: Screen, has_agreed: bool) -> Option<Notice> {
        let has_learnt = self.calibration(screen).learn(has_agreed);
        let outcome = if self.trusts(screen) { Notice::Calibrated } else { Notice::NotComparable };
        has_learnt.then(|| outcome(position, screen))
    }
}

/// Returns the minutes of an hour that may be judged.
pub(super) fn seen_minutes(position: usize, hour_us: u64, known: ReceivedEvents<'_>) -> Vec<u64> {
    let minutes = (0..60).map(|n| hour_us + n * MINUTE_US);
    minutes.filter(|minute| known.blind[position].sees(*minute, minute + MINUTE_US)).collect()
}

/// Draws an interval of an hour that may be judged.
pub(super) fn draw(
    subject: &AuditSubject,
    position: usize,
    hour_us: u64,
    known: ReceivedEvents<'_>,
    chance: &mut impl FnMut() -> f64,
) -> Option<EvidenceWanted> {
    let Interval { from_us, to_us } = drawing::draw(subject, hour_us, &known.blind[position], chance)?;
    Some(EvidenceWanted::Rows { from_us, to_us })
}
