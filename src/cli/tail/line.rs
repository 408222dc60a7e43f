//! A line for people: coloured cells in columns, truncated to the width of the terminal. The text of each cell is
//! escaped.

use std::fmt::Write as _;

use anstyle::Style;
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use crate::escape::escaped;

/// The separator of cells.
const GAP: &str = "  ";

/// A line assembled from left to right.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Line {
    parts: Vec<(Style, String)>,
    /// Spaces before the next cell, to fill a column.
    owed: usize,
}

impl Line {
    /// Adds a left-aligned cell of at least `width` columns.
    pub(super) fn left(&mut self, style: Style, text: &str, width: usize) -> &mut Line {
        let text = self.begin(text);
        self.owed += width.saturating_sub(text.width());
        self.parts.push((style, text));
        self
    }

    /// Adds a right-aligned cell of at least `width` columns.
    pub(super) fn right(&mut self, style: Style, text: &str, width: usize) -> &mut Line {
        let text = self.begin(text);
        let blanks = width.saturating_sub(text.width());
        self.parts.push((Style::new(), " ".repeat(blanks)));
        self.parts.push((style, text));
        self
    }

    /// Adds a cell of its own width, unless it is empty.
    pub(super) fn word(&mut self, style: Style, text: &str) -> &mut Line {
        if !text.is_empty() {
            self.left(style, text, 0);
        }
        self
    }

    /// Adds the pending spaces and the separator; returns the text as it may be shown.
    fn begin(&mut self, text: &str) -> String {
        let gap = if self.parts.is_empty() { "" } else { GAP };
        let blanks = std::mem::take(&mut self.owed);
        self.parts.push((Style::new(), " ".repeat(blanks) + gap));
        escaped(text).into_owned()
    }

    /// Returns the line, truncated to `width` columns if given.
    pub(super) fn render(&self, width: Option<usize>, coloured: bool) -> String {
        let mut out = String::new();
        let whole: usize = self.parts.iter().map(|(_, text)| text.width()).sum();
        let is_cut = width.is_some_and(|width| whole > width);
        // the ellipsis takes a column
        let mut room = width.filter(|_| is_cut).map_or(usize::MAX, |width| width.saturating_sub(1));
        for (style, text) in &self.parts {
            let shown = beginning(text, room);
            room -= shown.width().min(room);
            let is_styled = coloured && *style != Style::new() && !shown.is_empty();
            // writing to a `String` cannot fail
            if is_styled {
                let _written = write!(out, "{style}{shown}{style:#}");
            } else {
                out.push_str(shown);
            }
            if shown.len() < text.len() {
                break;
            }
        }
        if is_cut {
            out.push('…');
        }
        out.truncate(out.trim_end_matches(' ').len());
        out
    }
}

/// Returns the longest beginning of a text that fits.
fn beginning(text: &str, room: usize) -> &str {
    let mut used = 0;
    let too_far = text.char_indices().find(|(_, c)| {
        used += c.width().unwrap_or(0);
        used > room
    });
    too_far.map_or(text, |(end, _)| text.get(..end).unwrap_or_default())
}

/// Formats a number in at most six characters: `0.42`, `341`, `36.5K`, `-262M`, `6.93B`.
pub(super) fn short(number: f64) -> String {
    const UNITS: [(f64, &str); 5] = [(1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "K"), (1.0, "")];
    // a number that would be rounded up to the next unit uses that unit
    let unit = UNITS.into_iter().find(|(unit, _)| number.abs() >= unit * 0.9995);
    let (unit, suffix) = unit.filter(|(unit, _)| *unit > 1.0 || number.abs() >= 999.5).unwrap_or((1.0, ""));
    let scaled = number / unit;
    let decimals = match scaled.abs() {
        big if big >= 99.95 => 0,
        middle if middle >= 9.995 => 1,
        _ => 2,
    };
    plain(&format!("{scaled:.decimals$}")).to_owned() + suffix
}

/// Removes insignificant zeros of a decimal number: `25.0000000000` is `25`.
pub(super) fn plain(number: &str) -> &str {
    if number.contains('.') && number.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'-')) {
        match number.trim_end_matches('0').trim_end_matches('.') {
            "" | "-" | "-0" => "0",
            rest => rest,
        }
    } else {
        number
    }
}

#[cfg(test)]
mod tests {
    use anstyle::AnsiColor;
    use proptest::prelude::*;

    use super::*;

    const RED: Style = AnsiColor::Red.on_default();

    fn line(headline: &str) -> Line {
        let mut line = Line::default();
        line.left(Style::new(), "news", 6).right(Style::new(), "7", 3).word(RED, headline);
        line
    }

    #[test]
    fn cells_stand_in_columns() {
        assert_eq!(line("hello").render(None, false), "news      7  hello");
        assert_eq!(line("").render(None, false), "news      7");
        assert_eq!(line("hello").render(None, true), "news      7  \u{1b}[31mhello\u{1b}[0m");
    }

    #[test]
    fn a_line_is_cut_to_the_width_of_the_terminal_also_within_wide_characters() {
        assert_eq!(line("hello").render(Some(18), false), "news      7  hello");
        assert_eq!(line("hello").render(Some(17), false), "news      7  hel…");
        assert_eq!(line("東京都庁").render(Some(18), false), "news      7  東京…");
        assert_eq!(line("東京都庁").render(Some(21), false), "news      7  東京都庁");
        assert_eq!(line("hello").render(Some(16), true), "news      7  \u{1b}[31mhe\u{1b}[0m…");
        assert_eq!(line("hello").render(Some(0), false), "…");
    }

    #[test]
    fn a_headline_cannot_control_the_terminal() {
        let shown = line("\u{1b}[2J\u{7}a\nb\u{9b}31m\u{202e}c\u{200b}\u{7f}").render(None, false);
        assert_eq!(shown, "news      7  \\u{1b}[2J\\u{7}a\\nb\\u{9b}31m\\u{202e}c\\u{200b}\\u{7f}");
    }

    #[test]
    fn numbers_are_short() {
        for (number, expected) in [
            (0.0, "0"),
            (0.42, "0.42"),
            (7.0, "7"),
            (-0.001, "0"),
            (341.0, "341"),
            (999.4, "999"),
            (999.9, "1K"),
            (36_466.0, "36.5K"),
            (999_960.0, "1M"),
            (-262_444_980.31, "-262M"),
            (6_933_079_028.4, "6.93B"),
            (-8.95e12, "-8.95T"),
        ] {
            assert_eq!(short(number), expected, "{number}");
        }
        assert_eq!(
            [plain("25.0000000000"), plain("-0.00"), plain("100"), plain("1.50x")],
            ["25", "0", "100", "1.50x"]
        );
    }

    proptest! {
        #[test]
        fn no_line_is_wider_than_the_terminal_or_controls_it(text in ".*", width in 1_usize..60, coloured: bool) {
            let shown = line(&text).render(Some(width), false);
            prop_assert!(shown.width() <= width, "{shown}");
            prop_assert!(!shown.contains(crate::escape::controls));
            let styled = line(&text).render(Some(width), coloured);
            let bare = styled.replace("\u{1b}[31m", "").replace("\u{1b}[0m", "");
            prop_assert_eq!(bare.trim_end(), shown.trim_end());
        }

        #[test]
        fn a_short_number_is_short_and_near(number in -1e14_f64..1e14) {
            let shown = short(number);
            prop_assert!(shown.len() <= 6, "{}", shown);
        }
    }
}
