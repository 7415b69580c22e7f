//! The proleptic Gregorian calendar, as PostgreSQL counts it.
use datafusion::common::Result;

/// Nanoseconds of a day.
pub(super) const DAY: i64 = 86_400_000_000_000;
const SECOND: i64 = 1_000_000_000;

/// A date and a time of day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moment {
    pub year: i64,
    pub month: i64,
    pub day: i64,
    /// Since midnight.
    pub nanoseconds: i64,
}

/// Days since 1970 of a date (Howard Hinnant, "chrono-compatible low-level date algorithms").
pub(super) fn days(year: i64, month: i64, day: i64) -> i64 {
    let y = if month <= 2 { year - 1 } else { year };
    let era = y.div_euclid(400);
    let yoe = y.rem_euclid(400);
    let doy = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
    era * 146_097 + doe - 719_468
}

/// Year, month and day of days since 1970.
pub(super) fn date(days: i64) -> (i64, i64, i64) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    (yoe + era * 400 + i64::from(month <= 2), month, doy - (153 * mp + 2) / 5 + 1)
}

/// How many days a month has.
pub(super) fn days_of(year: i64, month: i64) -> i64 {
    let (y, m) = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
    days(y, m, 1) - days(year, month, 1)
}

impl Moment {
    /// Of nanoseconds since 1970.
    pub(super) fn of(nanoseconds: i64) -> Moment {
        let (year, month, day) = date(nanoseconds.div_euclid(DAY));
        Moment { year, month, day, nanoseconds: nanoseconds.rem_euclid(DAY) }
    }

    /// Nanoseconds since 1970; an error beyond what a timestamp holds.
    pub(super) fn timestamp(&self) -> Result<i64> {
        let found = days(self.year, self.month, self.day).checked_mul(DAY);
        match found.and_then(|v| v.checked_add(self.nanoseconds)) {
            Some(v) => Ok(v),
            None => super::call::fail("timestamp out of range"),
        }
    }

    /// Days since 1970.
    pub(super) fn days(&self) -> i64 {
        days(self.year, self.month, self.day)
    }

    pub(super) fn hour(&self) -> i64 {
        self.nanoseconds / (3600 * SECOND)
    }
    pub(super) fn minute(&self) -> i64 {
        self.nanoseconds / (60 * SECOND) % 60
    }
    pub(super) fn second(&self) -> i64 {
        self.nanoseconds / SECOND % 60
    }
    /// Of the second.
    pub(super) fn microseconds(&self) -> i64 {
        self.nanoseconds % SECOND / 1000
    }
    /// 1 is January 1st.
    pub(super) fn day_of_year(&self) -> i64 {
        self.days() - days(self.year, 1, 1) + 1
    }
    /// 0 is Sunday.
    pub(super) fn weekday(&self) -> i64 {
        (self.days() + 4).rem_euclid(7)
    }
    /// 1 is Monday, 7 is Sunday.
    pub(super) fn iso_weekday(&self) -> i64 {
        (self.days() + 3).rem_euclid(7) + 1
    }
    /// The year of the ISO week, and the week.
    pub(super) fn iso_week(&self) -> (i64, i64) {
        // A week belongs to the year of its Thursday.
        let thursday = self.days() - self.iso_weekday() + 4;
        let (year, ..) = date(thursday);
        (year, (thursday - days(year, 1, 1)) / 7 + 1)
    }
    pub(super) fn quarter(&self) -> i64 {
        (self.month + 2) / 3
    }
    /// 21 from 2001 on.
    pub(super) fn century(&self) -> i64 {
        if self.year > 0 { (self.year + 99) / 100 } else { -((99 - (self.year - 1)) / 100) }
    }
    pub(super) fn millennium(&self) -> i64 {
        if self.year > 0 { (self.year + 999) / 1000 } else { -((999 - (self.year - 1)) / 1000) }
    }
    pub(super) fn decade(&self) -> i64 {
        self.year.div_euclid(10)
    }
    /// Days since 4713 BC.
    pub(super) fn julian(&self) -> i64 {
        self.days() + 2_440_588
    }

    /// The start of the unit it is in.
    pub(super) fn truncated(&self, unit: &str) -> Option<Moment> {
        let start = |year, month, day| Moment { year, month, day, nanoseconds: 0 };
        let of_day = |step: i64| Moment { nanoseconds: self.nanoseconds / step * step, ..*self };
        Some(match unit {
            "microseconds" | "microsecond" | "us" => of_day(1000),
            "milliseconds" | "millisecond" | "ms" => of_day(1_000_000),
            "second" | "seconds" | "s" => of_day(SECOND),
            "minute" | "minutes" | "min" | "m" => of_day(60 * SECOND),
            "hour" | "hours" | "h" => of_day(3600 * SECOND),
            "day" | "days" | "d" => start(self.year, self.month, self.day),
            "week" | "weeks" | "w" => {
                let (year, month, day) = date(self.days() - self.iso_weekday() + 1);
                start(year, month, day)
            }
            "month" | "months" | "mon" => start(self.year, self.month, 1),
            "quarter" | "quarters" | "qtr" => start(self.year, self.quarter() * 3 - 2, 1),
            "year" | "years" | "y" => start(self.year, 1, 1),
            "decade" | "decades" => start(self.decade() * 10, 1, 1),
            "century" | "centuries" => start((self.century() - 1) * 100 + 1, 1, 1),
            "millennium" | "millenniums" => start((self.millennium() - 1) * 1000 + 1, 1, 1),
            _ => return None,
        })
    }
}
