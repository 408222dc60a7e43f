//! Trading days, by the exchange's rules (NYSE Rule 7.2 and its yearly announcements).

use jiff::civil::{Date, Weekday, date};

/// The kind of trading day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Day {
    /// Closes at 16:00.
    Full,
    /// Closes at 13:00.
    Early,
    /// Saturday or Sunday.
    Weekend,
    /// A weekday without a session.
    Holiday,
}

/// Closures outside the rules: days of mourning for G. H. W. Bush and J. Carter.
const SPECIAL_CLOSURES: [Date; 2] = [date(2018, 12, 5), date(2025, 1, 9)];

/// First year in which the exchange observed Juneteenth.
const FIRST_JUNETEENTH: i16 = 2022;

/// Classifies a date.
pub(super) fn day(date: Date) -> Day {
    if matches!(date.weekday(), Weekday::Saturday | Weekday::Sunday) {
        Day::Weekend
    } else if is_holiday(date) || SPECIAL_CLOSURES.contains(&date) {
        Day::Holiday
    } else if closes_early(date) {
        Day::Early
    } else {
        Day::Full
    }
}

fn is_holiday(date: Date) -> bool {
    is_new_year(date)
        || is_holiday_of_a_weekday(date)
        || is_good_friday(date)
        || (date.year() >= FIRST_JUNETEENTH && observes(date, 6, 19))
        || observes(date, 7, 4)
        || observes(date, 12, 25)
}

/// New Year's Day is never observed on the preceding Friday, which closes the year's books.
fn is_new_year(date: Date) -> bool {
    matches!((date.month(), date.day(), date.weekday()), (1, 1, _) | (1, 2, Weekday::Monday))
}

/// Martin Luther King, Jr. Day and Washington's Birthday, Memorial Day, Labor Day, Thanksgiving.
fn is_holiday_of_a_weekday(date: Date) -> bool {
    matches!(
        (date.month(), date.day(), date.weekday()),
        (1 | 2, 15..=21, Weekday::Monday)
            | (5, 25..=31, Weekday::Monday)
            | (9, 1..=7, Weekday::Monday)
            | (11, 22..=28, Weekday::Thursday)
    )
}

/// Whether a fixed-date holiday is observed on `date`, a weekday: the Friday before a Saturday, the Monday after a
/// Sunday.
fn observes(date: Date, month: i8, day: i8) -> bool {
    let observed = match date.weekday() {
        Weekday::Friday => [Some(date), date.tomorrow().ok()],
        Weekday::Monday => [Some(date), date.yesterday().ok()],
        _ => [Some(date), None],
    };
    observed.iter().flatten().any(|date| (date.month(), date.day()) == (month, day))
}

fn is_good_friday(date: Date) -> bool {
    let easter = date.tomorrow().and_then(Date::tomorrow);
    easter.is_ok_and(|easter| {
        (i32::from(easter.month()), i32::from(easter.day())) == easter_sunday(date.year())
    })
}

/// Returns month and day of Easter in the Gregorian calendar (the "anonymous" computus, Nature 1876).
#[allow(clippy::many_single_char_names, reason = "the names of the published algorithm")]
fn easter_sunday(year: i16) -> (i32, i32) {
    let year = i32::from(year);
    let (a, b, c) = (year % 19, year / 100, year % 100);
    let (d, e) = (b / 4, b % 4);
    let g = (b - (b + 8) / 25 + 1) / 3;
    let h = (19 * a + b - d - g + 15) % 30;
    let (i, k) = (c / 4, c % 4);
    let l = (32 + 2 * e + 2 * i - h - k) % 7;
    let m = (a + 11 * h + 22 * l) / 451;
    let days = h + l - 7 * m + 114;
    (days / 31, days % 31 + 1)
}

/// Whether the session of `date` ends at 13:00: the day after Thanksgiving, Christmas Eve, and 3 July, unless on a
/// weekend or an observed holiday.
fn closes_early(date: Date) -> bool {
    matches!(
        (date.month(), date.day(), date.weekday()),
        (11, 23..=29, Weekday::Friday) | (12, 24, _) | (7, 3, _)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Announcements of NYSE Group of 2021-12-27, 2024-11-08 and 2025-12-23: holidays, then early closes. The
    /// closure of 2025-01-09 was announced on 2024-12-30.
    const PUBLISHED: [(i16, &str, &str); 7] = [
        (2022, "01-17 02-21 04-15 05-30 06-20 07-04 09-05 11-24 12-26", "11-25"),
        (2023, "01-02 01-16 02-20 04-07 05-29 06-19 07-04 09-04 11-23 12-25", "07-03 11-24"),
        (2024, "01-01 01-15 02-19 03-29 05-27 06-19 07-04 09-02 11-28 12-25", "07-03 11-29 12-24"),
        (2025, "01-01 01-09 01-20 02-17 04-18 05-26 06-19 07-04 09-01 11-27 12-25", "07-03 11-28 12-24"),
        (2026, "01-01 01-19 02-16 04-03 05-25 06-19 07-03 09-07 11-26 12-25", "11-27 12-24"),
        (2027, "01-01 01-18 02-15 03-26 05-31 06-18 07-05 09-06 11-25 12-24", "11-26"),
        (2028, "01-17 02-21 04-14 05-29 06-19 07-04 09-04 11-23 12-25", "07-03 11-24"),
    ];

    /// The dates of a year classified as `wanted`, in the format of the table.
    fn dates(year: i16, wanted: Day) -> String {
        let days = date(year, 1, 1).series(jiff::ToSpan::day(1)).take_while(|date| date.year() == year);
        let found: Vec<String> = days
            .filter(|date| day(*date) == wanted)
            .map(|date| format!("{:02}-{:02}", date.month(), date.day()))
            .collect();
        found.join(" ")
    }

    #[test]
    fn every_day_of_the_published_years_is_as_announced() {
        for (year, holidays, early_closes) in PUBLISHED {
            assert_eq!(dates(year, Day::Holiday), holidays, "holidays of {year}");
            assert_eq!(dates(year, Day::Early), early_closes, "early closes of {year}");
        }
    }

    #[test]
    fn rules_hold_before_juneteenth_too() {
        assert_eq!(day(date(2021, 6, 18)), Day::Full);
        assert_eq!(day(date(2021, 12, 24)), Day::Holiday, "Christmas on a Saturday");
        assert_eq!(day(date(2021, 12, 31)), Day::Full, "New Year's Day on a Saturday");
        assert_eq!(day(date(2018, 12, 5)), Day::Holiday);
    }

    #[test]
    fn easter_is_where_the_church_put_it() {
        for (year, easter) in [
            (1961, (4, 2)),
            (2000, (4, 23)),
            (2008, (3, 23)),
            (2019, (4, 21)),
            (2038, (4, 25)),
            (2100, (3, 28)),
        ] {
            assert_eq!(easter_sunday(year), easter, "{year}");
        }
    }
}
