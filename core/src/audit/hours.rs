//! The queries of an hour, and the conclusions from the answers.

use std::collections::{BTreeSet, VecDeque};

use super::blind::Blind;
use super::drawing::{self, Interval};
use super::evidence::{NoEvidence, Rows};
use super::kept::{self, KEPT_US, Kept};
use super::screen::{self, Calibration, Sums};
use super::{HOUR_US, MINUTE_US, Subject};

/// Time from the end of an hour to its judgement, in microseconds: late rows are there by then.
pub const JUDGED_AFTER_US: u64 = 15 * MINUTE_US;
/// Time between the two answers that prove a loss, in microseconds.
pub const AGAIN_AFTER_US: u64 = 10 * MINUTE_US;
/// Time after which a query that could not be sent is repeated, in microseconds.
const LATER_US: u64 = MINUTE_US;
/// Answers without evidence after which no other interval is drawn.
const MAX_REDRAWN: u32 = 3;
/// Minutes per hour that the screen has proven: each costs a request per 500 trades.
const MAX_SHORT_MINUTES: usize = 5;

/// A query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// The sums of a ticker's trades.
    Sums,
    /// The rows from one time to before another, in Unix microseconds.
    Rows {
        /// The first instant.
        from_us: u64,
        /// The first instant after the last.
        to_us: u64,
    },
}

/// A question to REST.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// The position of the subject.
    pub position: usize,
    /// The query.
    pub asked: Asked,
    due_us: u64,
    redrawn: u32,
    /// Identities of the first answer that were not received.
    suspected: Option<Rows>,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Sums by minute.
    Sums(Sums),
    /// All rows of the interval.
    Rows(Rows),
    /// None now: no budget, or no connection.
    Later,
    /// One that proves nothing.
    Nothing(NoEvidence),
}

/// The result of an hour.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The start of the hour, Unix microseconds.
    pub hour_us: u64,
    /// Rows of REST that were compared.
    pub checked: u64,
    /// Those of them that were received.
    pub agreed: u64,
    /// Those that two answers have and that were not received.
    pub missing: u64,
    /// Events that were received and REST lacks.
    pub extra: u64,
    /// Minutes of the hour that were not compared.
    pub skipped: u64,
    /// Intervals without evidence.
    pub unproven: u64,
}

/// Events that the feed has not delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unseen {
    /// The position of the subject.
    pub position: usize,
    /// The times of the first and the last of them, in Unix microseconds.
    pub between: (u64, u64),
    /// Their number.
    pub events: u64,
}

/// The conclusion from an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// A loss.
    Unseen(Unseen),
    /// The end of an hour of the subject at this position.
    Report(usize, Report),
    /// The sums of the subject at this position are trusted from now on.
    Calibrated(usize),
    /// They are given up.
    NotComparable(usize),
}

/// The knowledge about the events.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// The events that have arrived.
    pub kept: &'a Kept,
    /// By subject: the minutes that are not compared.
    pub blind: &'a [Blind],
    /// The present in Unix microseconds.
    pub now_us: u64,
}

#[derive(Debug, Default)]
struct Hour {
    report: Report,
    /// Questions without their last answer.
    open: usize,
    /// Identities of proven losses: intervals may overlap.
    proven: BTreeSet<String>,
}

#[derive(Debug)]
struct Course {
    subject: Subject,
    next_us: u64,
    hour: Option<Hour>,
    calibration: Calibration,
}

/// The audit of all subjects.
#[derive(Debug)]
pub struct Hours {
    courses: Vec<Course>,
    questions: VecDeque<Question>,
}

impl Hours {
    /// Begins with the hour of `now_us`; of what came before nothing is known.
    #[must_use]
    pub fn new(kept: &Kept, now_us: u64) -> Hours {
        let course = |subject: &Subject| Course {
            subject: subject.clone(),
            next_us: now_us - now_us % HOUR_US,
            hour: None,
            calibration: Calibration::default(),
        };
        Hours { courses: kept.subjects().map(course).collect(), questions: VecDeque::new() }
    }

    /// Returns the subject at a position.
    #[must_use]
    pub fn subject(&self, position: usize) -> Option<&Subject> {
        self.courses.get(position).map(|course| &course.subject)
    }

    /// Opens the hours that are due. Returns the reports of those of which nothing can be asked.
    pub fn open(&mut self, known: Known<'_>, chance: &mut impl FnMut() -> f64) -> Vec<Notice> {
        (0..self.courses.len()).filter_map(|position| self.open_one(position, known, chance)).collect()
    }

    fn open_one(
        &mut self,
        position: usize,
        known: Known<'_>,
        chance: &mut impl FnMut() -> f64,
    ) -> Option<Notice> {
        let course = &mut self.courses[position];
        if course.hour.is_some() || known.now_us < course.next_us + HOUR_US + JUDGED_AFTER_US {
            return None;
        }
        let hour_us = course.next_us;
        course.next_us += HOUR_US;
        let minutes = seen_minutes(position, hour_us, known);
        let report = Report { hour_us, skipped: 60 - minutes.len() as u64, ..Report::default() };
        let is_sums = matches!(course.subject, Subject::Trades(_))
            && course.calibration != Calibration::NotComparable
            && !minutes.is_empty();
        let subject = course.subject.clone();
        let drawn = (0..drawing::intervals(&subject))
            .filter_map(|_| draw(&subject, position, hour_us, known, chance));
        let asked: Vec<Asked> = is_sums.then_some(Asked::Sums).into_iter().chain(drawn).collect();
        if asked.is_empty() {
            return Some(Notice::Report(position, report));
        }
        course.hour = Some(Hour { report, open: asked.len(), ..Hour::default() });
        self.questions.extend(asked.into_iter().map(|asked| Question {
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
    pub fn next(&mut self, now_us: u64) -> Option<Question> {
        let due = self.questions.iter().position(|question| question.due_us <= now_us)?;
        self.questions.remove(due)
    }

    /// Draws the conclusions from an answer.
    pub fn answered(
        &mut self,
        question: Question,
        answer: Answer,
        known: Known<'_>,
        chance: &mut impl FnMut() -> f64,
    ) -> Vec<Notice> {
        let position = question.position;
        let mut notices = match (&question.asked, answer) {
            (_, Answer::Later) => self.later(question, known.now_us),
            (Asked::Sums, Answer::Sums(theirs)) => self.sums(position, &theirs, known),
            (Asked::Rows { from_us, to_us }, Answer::Rows(rows)) => {
                let window = (*from_us, *to_us);
                self.rows(question, window, rows, known, chance)
            }
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
    fn close(&mut self, position: usize) -> &mut Report {
        let hour = self.hour(position);
        hour.open = hour.open.saturating_sub(1);
        &mut hour.report
    }

    fn later(&mut self, question: Question, now_us: u64) -> Vec<Notice> {
        let hour_us = self.hour(question.position).report.hour_us;
        // the judgement needs what is kept of the hour
        if now_us + LATER_US >= hour_us + KEPT_US {
            self.close(question.position).unproven += 1;
        } else {
            self.questions.push_back(Question { due_us: now_us + LATER_US, ..question });
        }
        Vec::new()
    }

    /// Draws another interval in place of one without evidence.
    fn unproven(
        &mut self,
        question: &Question,
        known: Known<'_>,
        chance: &mut impl FnMut() -> f64,
    ) -> Vec<Notice> {
        let position = question.position;
        let hour_us = self.hour(position).report.hour_us;
        let is_drawn = question.asked != Asked::Sums && question.redrawn < MAX_REDRAWN;
        let subject = self.courses[position].subject.clone();
        let asked = is_drawn.then(|| draw(&subject, position, hour_us, known, chance)).flatten();
        match asked {
            Some(asked) => self.questions.push_back(Question {
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

    fn sums(&mut self, position: usize, theirs: &Sums, known: Known<'_>) -> Vec<Notice> {
        let report = &self.hour(position).report;
        let (hour_us, is_clean) = (report.hour_us, report.skipped == 0);
        let minutes = seen_minutes(position, hour_us, known);
        let ours: Sums = minutes
            .iter()
            .map(|minute| (*minute, known.kept.minute(position, *minute).map_or([0; 2], |kept| kept.volumes)))
            .collect();
        let theirs: Sums =
            theirs.iter().filter(|(minute, _)| ours.contains_key(minute)).map(|(m, v)| (*m, *v)).collect();
        self.close(position);
        let calibration = &mut self.courses[position].calibration;
        if *calibration == Calibration::Trusted {
            let short = screen::short_minutes(&ours, &theirs).into_iter().take(MAX_SHORT_MINUTES);
            let asked: Vec<Asked> =
                short.map(|minute| Asked::Rows { from_us: minute, to_us: minute + MINUTE_US }).collect();
            self.hour(position).open += asked.len();
            self.questions.extend(asked.into_iter().map(|asked| Question {
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
        let has_learnt = is_clean && !theirs.is_empty() && calibration.learn(&ours, &theirs);
        match (has_learnt, *calibration) {
            (true, Calibration::Trusted) => vec![Notice::Calibrated(position)],
            (true, _) => vec![Notice::NotComparable(position)],
            (false, _) => Vec::new(),
        }
    }

    fn rows(
        &mut self,
        question: Question,
        (from_us, to_us): (u64, u64),
        rows: Rows,
        known: Known<'_>,
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
                let due_us = known.now_us + AGAIN_AFTER_US;
                self.questions.push_back(Question { due_us, suspected: Some(missing), ..question });
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

/// Returns the minutes of an hour that may be judged.
fn seen_minutes(position: usize, hour_us: u64, known: Known<'_>) -> Vec<u64> {
    let minutes = (0..60).map(|n| hour_us + n * MINUTE_US);
    minutes.filter(|minute| known.blind[position].sees(*minute, minute + MINUTE_US)).collect()
}

/// Draws an interval of an hour that may be judged.
fn draw(
    subject: &Subject,
    position: usize,
    hour_us: u64,
    known: Known<'_>,
    chance: &mut impl FnMut() -> f64,
) -> Option<Asked> {
    let Interval { from_us, to_us } = drawing::draw(subject, hour_us, &known.blind[position], chance)?;
    Some(Asked::Rows { from_us, to_us })
}

#[cfg(test)]
mod tests;
