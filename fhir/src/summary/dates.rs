//! FHIR's dates: whole or partial, with or without a time.

use jiff::Timestamp;
use jiff::civil::Date;
use serde_json::Value;

use crate::json;

/// Where a resource says when, the clinically most telling first.
const WHEN: [&str; 17] = [
    "effectiveDateTime",
    "effectiveInstant",
    "effectivePeriod",
    "performedDateTime",
    "performedPeriod",
    "occurrenceDateTime",
    "onsetDateTime",
    "onsetPeriod",
    "authoredOn",
    "recordedDate",
    "recordedOn",
    "issued",
    "dateAsserted",
    "dateTime",
    "date",
    "period",
    "created",
];

/// When a resource says it happened.
pub(super) fn when(value: &Value) -> Option<&str> {
    WHEN.into_iter().find_map(|name| {
        let found = value.get(name)?;
        found
            .as_str()
            .or_else(|| json::text(found, "start"))
            .or_else(|| json::text(found, "end"))
    })
}

/// A number that sorts dates by time; dates that cannot be read are the oldest.
pub(super) fn order(date: Option<&str>) -> i64 {
    let Some(date) = date else {
        return i64::MIN;
    };
    if let Ok(instant) = date.parse::<Timestamp>() {
        return instant.as_millisecond();
    }
    let Some(day) = first_day(date) else {
        return i64::MIN;
    };
    day.to_zoned(jiff::tz::TimeZone::UTC)
        .map_or(i64::MIN, |zoned| zoned.timestamp().as_millisecond())
}

/// The first day that a whole or partial date means.
fn first_day(date: &str) -> Option<Date> {
    let mut parts = date.get(..10).unwrap_or(date).splitn(3, '-');
    let year = parts.next().filter(|year| year.len() == 4)?;
    let month = parts.next().unwrap_or("01");
    let day = parts.next().unwrap_or("01");
    Date::new(year.parse().ok()?, month.parse().ok()?, day.parse().ok()?).ok()
}

/// The date without its time, as it was written.
pub(super) fn day(date: &str) -> &str {
    date.split('T').next().unwrap_or(date)
}

/// Full years from `birth` to `on`; with a partial birth date, at most one too many.
pub(super) fn age(birth: &str, on: &str) -> Option<i16> {
    let birth = first_day(birth)?;
    let on = first_day(on)?;
    let not_yet = (on.month(), on.day()) < (birth.month(), birth.day());
    let years = on.year() - birth.year() - i16::from(not_yet);
    (years >= 0).then_some(years)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partial_and_zoned_dates_sort_by_time() {
        let sorted = [
            "nonsense",
            "1999",
            "1999-02",
            "1999-02-03",
            "2017-12-11T14:30:00+01:00",
            "2017-12-11T14:00:00Z",
        ];
        for pair in sorted.windows(2) {
            assert!(order(Some(pair[0])) < order(Some(pair[1])), "{pair:?}");
        }
        assert_eq!(order(None), i64::MIN);
    }

    #[test]
    fn age_counts_full_years() {
        assert_eq!(age("1950-03-04", "2026-03-03T00:00:00Z"), Some(75));
        assert_eq!(age("1950-03-04", "2026-03-04"), Some(76));
        assert_eq!(age("1950", "2026-01-01"), Some(76));
        assert_eq!(age("2030-01-01", "2026-01-01"), None);
        assert_eq!(age("soon", "2026-01-01"), None);
    }
}
