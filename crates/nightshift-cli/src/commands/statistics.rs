//! `nightshift stats`.

use nightshift_protocol::{ErrorCode, Statistics, StatisticsBy, UserError};

use super::{Status, print};
use crate::arguments::StatisticsKind;
use crate::environment::Environment;
use crate::{owner, show};

pub(super) async fn statistics(
    environment: &Environment,
    json: bool,
    by: StatisticsKind,
    since: Option<&str>,
) -> Status {
    let client = owner::connect(environment).await?;
    let statistics: Statistics = client.get(&path(by, since)?).await?;
    print(json, &statistics, || show::statistics(&statistics));
    Ok(0)
}

impl From<StatisticsKind> for StatisticsBy {
    fn from(kind: StatisticsKind) -> Self {
        match kind {
            StatisticsKind::Blueprint => Self::Blueprint,
            StatisticsKind::Model => Self::Model,
            StatisticsKind::Repository => Self::Repository,
            StatisticsKind::Week => Self::Week,
        }
    }
}

fn path(by: StatisticsKind, since: Option<&str>) -> Result<String, UserError> {
    let by = match StatisticsBy::from(by) {
        StatisticsBy::Blueprint => "blueprint",
        StatisticsBy::Model => "model",
        StatisticsBy::Repository => "repository",
        StatisticsBy::Week => "week",
    };
    let Some(since) = since else { return Ok(format!("/statistics?by={by}")) };
    // The owner says what such a time looks like; only what could be no part of an address is refused here.
    if !since.chars().all(|character| character.is_ascii_alphanumeric() || character == '-') {
        let message = format!("--since \"{since}\" is no day and no length of time");
        let hint = "Give a day as 2026-11-01, or so many days or weeks ago as 30d or 4w.";
        return Err(UserError::new(ErrorCode::InvalidRequest, message, hint));
    }
    Ok(format!("/statistics?by={by}&since={since}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_is_in_the_address() {
        assert_eq!(path(StatisticsKind::Week, None).unwrap(), "/statistics?by=week");
        assert_eq!(
            path(StatisticsKind::Blueprint, Some("2026-11-01")).unwrap(),
            "/statistics?by=blueprint&since=2026-11-01"
        );
    }

    #[test]
    fn a_time_that_is_none_is_refused_before_it_is_asked_for() {
        let refused = path(StatisticsKind::Model, Some("30d&by=week")).unwrap_err();
        assert_eq!(refused.code, ErrorCode::InvalidRequest);
        assert!(refused.hint.contains("30d or 4w"));
    }
}
