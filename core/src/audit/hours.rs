//! What is asked of an hour, and what follows from the answers.

use std::collections::{BTreeSet, VecDeque};

use super::course::{self, Course, Hour};
use super::evidence::Rows;
use super::kept::{self, KEPT_US, KeptIdentities};
use super::minutes;
use super::question::{
    AuditAnswer, AuditQuestion, EvidenceWanted, HourReport, Notice, ReceivedEvents, Unseen,
};
use super::screen::{self, Screen, Sums};
use super::series::Points;
use super::{AuditSubject, HOUR_US, MINUTE_US};

/// Time from the end of an hour to its judgement, in microseconds: late rows are there by then.
pub const JUDGED_AFTER_US: u64 = 15 * MINUTE_US;
/// Time between the two answers that prove a loss, in microseconds.
pub const AGAIN_AFTER_US: u64 = 10 * MINUTE_US;
/// Time after which a question that could not be asked is asked again, in microseconds.
const LATER_US: u64 = MINUTE_US;
/// Answers without evidence after which an interval is not drawn anew.
const MAX_REDRAWN: u32 = 3;
/// Minutes per hour that the screen has proven: each costs a request per 500 trades.
const MAX_SHORT_MINUTES: usize = 5;
/// Minutes of an hour from which on it teaches anything of a row per minute.
const TEACHING_MINUTES: u64 = 10;

/// The audit of all subjects.
#[derive(Debug)]
pub struct Hours {
    courses: Vec<Course>,
    questions: VecDeque<AuditQuestion>,
}

impl Hours {
    /// Begins with the hour of `now_us`; of what came before nothing is known.
    #[must_use]
    pub fn new(kept: &KeptIdentities, now_us: u64) -> Hours {
        let hour_us = now_us - now_us % HOUR_US;
        let courses = kept.subjects().map(|subject| Course::new(subject, hour_us)).collect();
        Hours { courses, questions: VecDeque::new() }
    }

    /// Returns the subject at a position.
    #[must_use]
    pub fn subject(&self, position: usize) -> Option<&AuditSubject> {
        self.courses.get(position).map(|course| &course.subject)
    }

    /// Opens the hours that are due. Returns the reports of those of which nothing can be asked.
    pub fn open(&mut self, known: ReceivedEvents<'_>, chance: &mut impl FnMut() -> f64) -> Vec<Notice> {
        (0..self.courses.len()).filter_map(|position| self.open_one(position, known, chance)).collect()
    }

    fn open_one(
        &mut self,
        position: usize,
        known: ReceivedEvents<'_>,
        chance: &mut impl FnMut() -> f64,
    ) -> Option<Notice> {
        let course = &mut self.courses[position];
        if course.hour.is_some() || known.now_us < course.next_us + HOUR_US + JUDGED_AFTER_US {
            return None;
        }
        let hour_us = course.next_us;
        course.next_us += HOUR_US;
        let is_expected = |minute: &u64| course.subject.is_expected(*minute, minute + MINUTE_US);
        // an hour without an expected event is none of the subject's
        (0..60).map(|n| hour_us + n * MINUTE_US).find(is_expected)?;
        let minutes = course::seen_minutes(position, hour_us, known);
        let report = HourReport { hour_us, skipped: 60 - minutes.len() as u64, ..HourReport::default() };
        let asked = course.questions(position, (hour_us, !minutes.is_empty()), known, chance);
        if asked.is_empty() {
            return Some(Notice::Report(position, report));
        }
        course.hour = Some(Hour { report, open: asked.len(), ..Hour::default() });
        self.questions.extend(asked.into_iter().map(|asked| AuditQuestion {
            position,
            asked,
            due_us: known.now_us,
            redrawn: 0,
            suspected: None,
        }));
        None
    }

    /// Returns the number of questions without an answer.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.questions.len()
    }

    /// Takes the next question that is due.
    pub fn next(&mut self, now_us: u64) -> Option<AuditQuestion> {
        let due = self.questions.iter().position(|question| question.due_us <= now_us)?;
        self.questions.remove(due)
    }

    /// Draws the conclusions from an answer.
    pub fn answered(
        &mut self,
        question: AuditQuestion,
        answer: AuditAnswer,
        known: ReceivedEvents<'_>,
        chance: &mut impl FnMut() -> f64,
    ) -> Vec<Notice> {
        let position = question.position;
        let mut notices = match (&question.asked, answer) {
            (_, AuditAnswer::Later) => self.later(question, known.now_us),
            (EvidenceWanted::Sums, AuditAnswer::Sums(theirs)) => self.sums(position, &theirs, known),
            (EvidenceWanted::Rows { from_us, to_us }, AuditAnswer::Rows(rows)) => {
                let window = (*from_us, *to_us);
                self.rows(question, window, rows, known, chance)
            }
            (EvidenceWanted::Minutes { .. }, AuditAnswer::Minutes(points)) => {
                self.minutes(question, &points, known)
            }
            (EvidenceWanted::Newest, AuditAnswer::Newest(at_us)) => self.newest(question, at_us, known),
            _ => self.unproven(&question, known, chance),
        };
        let course = &mut self.courses[position];
        if let Some(hour) = course.hour.take_if(|hour| hour.open == 0) {
            notices.push(Notice::Report(position, hour.report));
        }
        notices
    }

    fn hour(&mut self, position: usize) -> &mut Hour {
        self.courses[position].hour.get_or_insert_default()
    }

    /// Ends a question.
    fn close(&mut self, position: usize) -> &mut HourReport {
        let hour = self.hour(position);
        hour.open = hour.open.saturating_sub(1);
        &mut hour.report
    }

    fn later(&mut self, question: AuditQuestion, now_us: u64) -> Vec<Notice> {
        let hour_us = self.hour(question.position).report.hour_us;
        // the judgement needs what is kept of the hour
        if now_us + LATER_US >= hour_us + KEPT_US {
            self.close(question.position).unproven += 1;
        } else {
            self.questions.push_back(AuditQuestion { due_us: now_us + LATER_US, ..question });
        }
        Vec::new()
    }

    /// Draws another interval in place of one without evidence.
    fn unproven(
        &mut self,
        question: &AuditQuestion,
        known: ReceivedEvents<'_>,
        chance: &mut impl FnMut() -> f64,
    ) -> Vec<Notice> {
        let position = question.position;
        let hour_us = self.hour(position).report.hour_us;
        let is_drawn =
            matches!(question.asked, EvidenceWanted::Rows { .. }) && question.redrawn < MAX_REDRAWN;
        let subject = self.courses[position].subject.clone();
        let asked = is_drawn.then(|| course::draw(&subject, position, hour_us, known, chance)).flatten();
        match asked {
            Some(asked) => self.questions.push_back(AuditQuestion {
                asked,
                due_us: known.now_us,
                redrawn: question.redrawn + 1,
                suspected: None,
                position,
            }),
            None => self.close(position).unproven += 1,
        }
        Vec::new()
    }

    fn sums(&mut self, position: usize, theirs: &Sums, known: ReceivedEvents<'_>) -> Vec<Notice> {
        let report = &self.hour(position).report;
        let (hour_us, is_clean) = (report.hour_us, report.skipped == 0);
        let minutes = course::seen_minutes(position, hour_us, known);
        let ours: Sums = minutes
            .iter()
            .map(|minute| (*minute, known.kept.minute(position, *minute).map_or([0; 2], |kept| kept.volumes)))
            .collect();
        let theirs: Sums =
            theirs.iter().filter(|(minute, _)| ours.contains_key(minute)).map(|(m, v)| (*m, *v)).collect();
        self.close(position);
        let course = &mut self.courses[position];
        if course.trusts(Screen::Sums) {
            let short = screen::short_minutes(&ours, &theirs).into_iter().take(MAX_SHORT_MINUTES);
            let asked: Vec<EvidenceWanted> = short
                .map(|minute| EvidenceWanted::Rows { from_us: minute, to_us: minute + MINUTE_US })
                .collect();
            self.hour(position).open += asked.len();
            self.questions.extend(asked.into_iter().map(|asked| AuditQuestion {
                position,
                asked,
                due_us: known.now_us,
                // what the screen named is not drawn
                redrawn: MAX_REDRAWN,
                suspected: None,
            }));
            return Vec::new();
        }
        // an hour without trades on both sides teaches nothing
        let is_lesson = is_clean && !theirs.is_empty();
        let agree = is_lesson && screen::agree(&ours, &theirs);
        is_lesson.then(|| course.learn(position, Screen::Sums, agree)).flatten().into_iter().collect()
    }

    fn minutes(
        &mut self,
        question: AuditQuestion,
        points: &Points,
        known: ReceivedEvents<'_>,
    ) -> Vec<Notice> {
        let position = question.position;
        let report = &self.hour(position).report;
        let (hour_us, is_clean) = (report.hour_us, report.skipped == 0);
        let course = &mut self.courses[position];
        let floor = if course.trusts(Screen::Minutes) { course.least_volume } else { 0 };
        let found = minutes::compare(&course.subject, position, (hour_us, floor), points, known);
        let mut notices = Vec::new();
        if question.suspected.is_none() && is_clean && found.checked >= TEACHING_MINUTES {
            let has_agreed = found.lacking.is_empty();
            if has_agreed {
                course.least_volume = course.least_volume.min(found.least.unwrap_or(u64::MAX));
            }
            notices.extend(course.learn(position, Screen::Minutes, has_agreed));
            if found.has_volumes {
                notices.extend(course.learn(position, Screen::Volumes, !found.is_strange));
            }
        }
        let lacked = if course.trusts(Screen::Minutes) { found.lacking.as_slice() } else { &[] };
        let stale = if course.trusts(Screen::Volumes) { found.stale.as_slice() } else { &[] };
        let mut missing: Rows =
            lacked.iter().chain(stale).map(|minute| (minute.to_string(), *minute)).collect();
        match &question.suspected {
            None if !missing.is_empty() => {
                self.ask_again(question, missing, known.now_us);
                return notices;
            }
            Some(first) => missing.retain(|id, _| first.contains_key(id)),
            None => {}
        }
        let report = self.close(position);
        report.checked += found.checked;
        report.agreed += found.checked - found.lacking.len() as u64;
        report.missing += missing.len() as u64;
        report.differing += found.differing;
        let runs = minutes::runs(missing.into_values().collect::<BTreeSet<u64>>().into_iter());
        notices.extend(runs.into_iter().map(|(first, last, events)| {
            Notice::Unseen(Unseen { position, between: (first, last + MINUTE_US), events })
        }));
        notices
    }

    fn newest(&mut self, question: AuditQuestion, at_us: u64, known: ReceivedEvents<'_>) -> Vec<Notice> {
        let position = question.position;
        let course = &mut self.courses[position];
        let tolerance = course.subject.tolerance_us().max(MINUTE_US);
        let from_us = at_us.saturating_sub(tolerance);
        let is_judged = at_us <= known.now_us + MINUTE_US
            && course.subject.is_expected(from_us, at_us)
            && known.blind[position].sees(from_us, known.now_us);
        if !is_judged {
            self.close(position).unproven += 1;
            return Vec::new();
        }
        let is_behind = |at_us: u64| known.kept.newest_us(position).saturating_add(tolerance) < at_us;
        let first_us = question.suspected.as_ref().and_then(|first| first.values().next().copied());
        let Some(first_us) = first_us else {
            let notices: Vec<Notice> =
                course.learn(position, Screen::Newest, !is_behind(at_us)).into_iter().collect();
            if is_behind(at_us) && course.trusts(Screen::Newest) {
                self.ask_again(question, Rows::from([(String::new(), at_us)]), known.now_us);
            } else {
                let report = self.close(position);
                report.checked += 1;
                report.agreed += u64::from(!is_behind(at_us));
            }
            return notices;
        };
        // REST has gone on, and the feed has not come to where REST was ten minutes ago
        let is_proven = at_us > first_us && is_behind(first_us);
        let report = self.close(position);
        report.checked += 2;
        report.agreed += if is_proven { 0 } else { 2 };
        report.missing += if is_proven { 2 } else { 0 };
        let unseen = Unseen { position, between: (first_us, at_us), events: 2 };
        is_proven.then_some(Notice::Unseen(unseen)).into_iter().collect()
    }

    /// Asks again later: a loss takes two answers.
    fn ask_again(&mut self, question: AuditQuestion, suspected: Rows, now_us: u64) {
        let due_us = now_us + AGAIN_AFTER_US;
        self.questions.push_back(AuditQuestion { due_us, suspected: Some(suspected), ..question });
    }

    fn rows(
        &mut self,
        question: AuditQuestion,
        (from_us, to_us): (u64, u64),
        rows: Rows,
        known: ReceivedEvents<'_>,
        chance: &mut impl FnMut() -> f64,
    ) -> Vec<Notice> {
        let position = question.position;
        let tolerance = self.courses[position].subject.tolerance_us();
        let (wide_from, wide_to) = (from_us.saturating_sub(tolerance), to_us.saturating_add(tolerance));
        // what is known by now may explain what is missing
        let is_judged = known.blind[position].sees(wide_from, wide_to)
            && known.kept.is_whole(position, wide_from, wide_to);
        let narrow = known.kept.hashes(position, from_us, to_us);
        if !is_judged || (rows.is_empty() && !narrow.is_empty()) {
            return self.unproven(&question, known, chance);
        }
        let wide = known.kept.hashes(position, wide_from, wide_to);
        let (checked, extra) = (rows.len() as u64, kept::others(&narrow, rows.keys().map(String::as_str)));
        let mut missing: Rows = rows.into_iter().filter(|(id, _)| !kept::has(&wide, id)).collect();
        match &question.suspected {
            None if !missing.is_empty() => {
                self.ask_again(question, missing, known.now_us);
                return Vec::new();
            }
            // only what both answers have is proven
            Some(first) => missing.retain(|id, _| first.contains_key(id)),
            None => {}
        }
        let lacked = missing.len() as u64;
        let proven = &mut self.hour(position).proven;
        missing.retain(|id, _| proven.insert(id.clone()));
        let events = missing.len() as u64;
        let report = self.close(position);
        report.checked += checked;
        report.agreed += checked - lacked;
        report.missing += events;
        report.extra += extra;
        let times = || missing.values().copied();
        let (Some(first), Some(last)) = (times().min(), times().max()) else { return Vec::new() };
        vec![Notice::Unseen(Unseen { position, between: (first, last), events })]
    }
}

#[cfg(test)]
mod tests;
