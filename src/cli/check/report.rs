//! The report for people: sections of marked lines, with a remedy for every problem.

use std::io::{self, IsTerminal as _, Write};
use std::sync::Arc;

use crate::escape::escaped;
use crate::exit::Exit;
use crate::redact::Redactor;

/// Width of the column of subjects; a longer subject shifts its text.
const SUBJECT: usize = 14;
/// Maximum length of external text, in characters.
const TEXT_MAX: usize = 600;

/// The result of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    /// No problem.
    Fine,
    /// A problem with which the service can run.
    Doubt,
    /// A problem with which the service cannot work; the exit code of `check`.
    Failed(Exit),
}

/// A finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) mark: Mark,
    pub(super) subject: String,
    pub(super) text: String,
    /// The remedy.
    pub(super) advice: Option<String>,
}

impl Finding {
    pub(super) fn fine(subject: &str, text: impl Into<String>) -> Finding {
        Finding { mark: Mark::Fine, subject: subject.to_owned(), text: text.into(), advice: None }
    }

    pub(super) fn doubt(subject: &str, text: impl Into<String>, advice: impl Into<String>) -> Finding {
        Finding { mark: Mark::Doubt, advice: Some(advice.into()), ..Finding::fine(subject, text) }
    }

    pub(super) fn failed(
        exit: Exit,
        subject: &str,
        text: impl Into<String>,
        advice: impl Into<String>,
    ) -> Finding {
        Finding { mark: Mark::Failed(exit), ..Finding::doubt(subject, text, advice) }
    }
}

/// Writes findings immediately, without secrets, and keeps the worst.
pub(super) struct Report<W> {
    out: W,
    is_coloured: bool,
    redactor: Arc<Redactor>,
    worst: Exit,
    doubts: usize,
}

impl Report<io::Stdout> {
    /// Creates a report on standard output, coloured on a terminal.
    pub(super) fn on_stdout(redactor: Arc<Redactor>) -> Report<io::Stdout> {
        let out = io::stdout();
        let is_coloured = out.is_terminal();
        Report { out, is_coloured, redactor, worst: Exit::Clean, doubts: 0 }
    }
}

impl<W: Write> Report<W> {
    /// Begins a section.
    pub(super) fn section(&mut self, title: &str, detail: &str) {
        let (bold, plain) = if self.is_coloured { ("\x1b[1m", "\x1b[0m") } else { ("", "") };
        let detail = if detail.is_empty() { String::new() } else { format!("  {}", self.shown(detail)) };
        self.write(&format!("\n{bold}{title}{plain}{detail}"));
    }

    /// Writes a row of a table.
    pub(super) fn row(&mut self, text: &str) {
        self.write(&format!("    {}", self.shown(text).trim_end()));
    }

    /// Writes a finding.
    pub(super) fn add(&mut self, finding: &Finding) {
        let (sign, colour) = match finding.mark {
            Mark::Fine => ("✓", "\x1b[32m"),
            Mark::Doubt => ("!", "\x1b[33m"),
            Mark::Failed(_) => ("✗", "\x1b[31m"),
        };
        match finding.mark {
            Mark::Fine => {}
            Mark::Doubt => self.doubts += 1,
            Mark::Failed(exit) => self.worst = worse(self.worst, exit),
        }
        let sign = if self.is_coloured { format!("{colour}{sign}\x1b[0m") } else { sign.to_owned() };
        let (subject, text) = (self.shown(&finding.subject), self.shown(&finding.text));
        self.write(&format!("  {sign} {subject:<SUBJECT$}  {text}"));
        if let Some(advice) = &finding.advice {
            self.write(&format!("    {:<SUBJECT$}  → {}", "", self.shown(advice)));
        }
    }

    /// Writes the verdict and returns it.
    pub(super) fn end(mut self) -> Exit {
        let doubts = match self.doubts {
            0 => String::new(),
            1 => ", 1 warning (!)".to_owned(),
            doubts => format!(", {doubts} warnings (!)"),
        };
        let verdict = match self.worst {
            Exit::Clean => format!("The service can run{doubts}."),
            exit => format!("The service cannot run (✗){doubts}: exit code {}.", exit as u8),
        };
        self.write(&format!("\n{verdict}"));
        self.worst
    }

    /// Redacts, escapes and only then truncates a text.
    fn shown(&self, text: &str) -> String {
        let clean = self.redactor.redact(text);
        let one_line = escaped(&clean);
        match one_line.char_indices().nth(TEXT_MAX) {
            Some((end, _)) => one_line.split_at(end).0.to_owned() + "…",
            None => one_line.into_owned(),
        }
    }

    fn write(&mut self, line: &str) {
        // a reader that closed the pipe has seen enough; the exit code is the same
        writeln!(self.out, "{line}").and_then(|()| self.out.flush()).ok();
    }
}

/// Invalid settings take precedence over a refused token, and that over an unreachable peer.
fn worse(one: Exit, other: Exit) -> Exit {
    let rank = |exit| match exit {
        Exit::BadSettings => 3,
        Exit::TokenRefused => 2,
        Exit::Clean => 0,
        _ => 1,
    };
    if rank(other) > rank(one) { other } else { one }
}

#[cfg(test)]
mod tests {
    use uw_websocket_core::settings::Secret;

    use super::*;

    fn report(is_coloured: bool) -> Report<Vec<u8>> {
        let redactor = Arc::new(Redactor::new(&[Secret::new("s3cr3t".to_owned())]));
        Report { out: Vec::new(), is_coloured, redactor, worst: Exit::Clean, doubts: 0 }
    }

    fn text(report: &Report<Vec<u8>>) -> String {
        String::from_utf8(report.out.clone()).unwrap()
    }

    #[test]
    fn findings_are_aligned_with_their_advice_and_without_secrets() {
        let mut report = report(false);
        report.section("Redis", "redis://s3cr3t");
        report.add(&Finding::fine("answers", "version 7.0.15"));
        report.add(&Finding::doubt("clock", "s3cr3t\nis ahead", "set s3cr3t"));
        report.row("a  b  ");
        let expected = "\nRedis  redis://***\n  ✓ answers         version 7.0.15\n  ! clock           ***\\nis ahead\n\
                                      \x20                   → set ***\n    a  b\n";
        assert_eq!(text(&report), expected);
    }

    #[test]
    fn what_comes_from_outside_is_cut_after_its_secrets_are_gone() {
        let mut report = report(false);
        report.add(&Finding::fine("feed", "x".repeat(TEXT_MAX - 3) + "s3cr3t"));
        assert!(text(&report).ends_with("xxx***\n") && !text(&report).contains("s3"), "{}", text(&report));
        report.add(&Finding::fine("feed", "x".repeat(TEXT_MAX + 1)));
        assert!(text(&report).ends_with("x…\n"));
    }

    #[test]
    fn only_a_terminal_gets_colours() {
        let mut coloured = report(true);
        coloured.add(&Finding::fine("a", "b"));
        assert!(text(&coloured).starts_with("  \x1b[32m✓\x1b[0m a "));
    }

    #[test]
    fn the_worst_finding_is_the_exit_code() {
        use Exit::{BadSettings, Clean, TokenRefused, Unreachable};
        for (found, expected) in [
            (&[][..], Clean),
            (&[Unreachable], Unreachable),
            (&[Unreachable, TokenRefused, Unreachable], TokenRefused),
            (&[TokenRefused, BadSettings, Unreachable], BadSettings),
        ] {
            let mut report = report(false);
            report.add(&Finding::doubt("a", "b", "c"));
            for exit in found {
                report.add(&Finding::failed(*exit, "a", "b", "c"));
            }
            assert_eq!(report.end(), expected, "{found:?}");
        }
    }
}
