//! Since when statistics are wanted.

use nightshift_protocol::{ErrorCode, OffsetDateTime, UserError};
use time::macros::format_description;
use time::{Date, Duration, Time};

/// Reads since when: a day, or so many days or weeks before `now`.
pub fn since(text: &str, now: OffsetDateTime) -> Result<OffsetDateTime, UserError> {
    let refuse = || {
        let cut: String = text.chars().take(80).collect();
        UserError::new(
            ErrorCode::InvalidRequest,
            format!("\"{cut}\" is no time that statistics can begin at"),
            "Give a day as 2026-11-01, or so many days or weeks ago as 30d or 4w.",
        )
    };
    if let Ok(day) = Date::parse(text, format_description!("[year]-[month]-[day]")) {
        return Ok(day.with_time(Time::MIDNIGHT).assume_utc());
    }
    let Some((count, unit)) = text.split_at_checked(text.len().saturating_sub(1)) else {
        return Err(refuse());
    };
    let days = match unit {
        "d" => 1,
        "w" => 7,
        _ => return Err(refuse()),
    };
    // More than a century is as good as all.
    let count: i64 = count.parse::<u16>().map_err(|_| refuse())?.into();
    now.checked_sub(Duration::days(count * days)).ok_or_else(refuse)
}
