//! The places of the UI that something outside the window can lead to, and the links that name them.
//!
//! ```text
//!   nightshift://runs/run-4k2m8e1a0c?at=12  ─▶  /runs/run-4k2m8e1a0c?at=12
//! ```
//!
//! Any page and any message can hold such a link, so a link only shows something: there is none that starts, answers,
//! merges or ends anything.

use nightshift_protocol::RunId;
use thiserror::Error;
use url::form_urlencoded;

/// No link of ours is longer, in bytes.
const LONGEST: usize = 2_048;

/// A place of the UI.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// What waits, what runs.
    Home,
    /// Where a task is written.
    NewTask,
    /// A run, now or at the moment of an event.
    Run {
        /// Which one.
        run: RunId,
        /// The number of the event; now if `None`.
        at: Option<u64>,
    },
    /// What waits for a review.
    Reviews,
    /// The review of a run's work.
    Review {
        /// Which run's.
        run: RunId,
    },
    /// Every run, and the search.
    History {
        /// What is searched for; empty for nothing.
        query: String,
    },
    /// What sandboxes start from.
    Environments,
    /// The agents that tasks can start. A link names no repository: looking at one copies it from wherever it is.
    Agents,
    /// Settings.
    Settings,
    /// Whether this machine can run sandboxes.
    Doctor,
}

/// Why a link leads nowhere.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum LinkRefused {
    /// It is a link of something else.
    #[error("it does not begin with nightshift:")]
    Foreign,
    /// It is longer than any link of ours.
    #[error("it is longer than {LONGEST} bytes")]
    TooLong,
    /// There is no such place.
    #[error(
        "there is no place {0:?}; there are runs, review, history, new, environments, agents, settings and doctor"
    )]
    NoSuchPlace(String),
    /// The place is there, and what is to be shown in it is no id of a run.
    #[error("{0:?} is no id of a run")]
    NoRun(String),
}

impl Place {
    /// Reads a `nightshift:` link.
    ///
    /// # Errors
    ///
    /// Why it leads nowhere.
    pub fn from_link(link: &str) -> Result<Self, LinkRefused> {
        if link.len() > LONGEST {
            return Err(LinkRefused::TooLong);
        }
        let (scheme, rest) = link.trim().split_once(':').ok_or(LinkRefused::Foreign)?;
        if !scheme.eq_ignore_ascii_case("nightshift") {
            return Err(LinkRefused::Foreign);
        }
        let rest = rest.split_once('#').map_or(rest, |(before, _)| before);
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let mut parts = path.split('/').filter(|part| !part.is_empty());
        let (name, run) = (parts.next(), parts.next());
        let no_such_place = || LinkRefused::NoSuchPlace(path.trim_matches('/').chars().take(80).collect());
        if parts.next().is_some() {
            return Err(no_such_place());
        }
        let run = run.map(|run| run.parse().map_err(|_| LinkRefused::NoRun(run.chars().take(80).collect())));
        let value = |wanted: &str| {
            form_urlencoded::parse(query.as_bytes())
                .find(|(name, _)| name == wanted)
                .map(|(_, value)| value.into_owned())
        };
        match (name, run.transpose()?) {
            (None | Some("home"), None) => Ok(Self::Home),
            (Some("new"), None) => Ok(Self::NewTask),
            (Some("runs" | "run"), Some(run)) => {
                let at = value("at").and_then(|at| at.parse().ok()).filter(|at| *at > 0);
                Ok(Self::Run { run, at })
            }
            (Some("review" | "reviews"), None) => Ok(Self::Reviews),
            (Some("review" | "reviews"), Some(run)) => Ok(Self::Review { run }),
            (Some("history"), None) => Ok(Self::History { query: value("q").unwrap_or_default() }),
            (Some("environments"), None) => Ok(Self::Environments),
            (Some("agents"), None) => Ok(Self::Agents),
            (Some("settings"), None) => Ok(Self::Settings),
            (Some("doctor"), None) => Ok(Self::Doctor),
            _ => Err(no_such_place()),
        }
    }

    /// Its path in the UI.
    pub fn path(&self) -> String {
        match self {
            Self::Home => "/".to_owned(),
            Self::NewTask => "/new".to_owned(),
            Self::Run { run, at: None } => format!("/runs/{}", run.as_str()),
            Self::Run { run, at: Some(at) } => format!("/runs/{}?at={at}", run.as_str()),
            Self::Reviews => "/review".to_owned(),
            Self::Review { run } => format!("/review/{}", run.as_str()),
            Self::History { query } if query.is_empty() => "/history".to_owned(),
            Self::History { query } => {
                let query = form_urlencoded::Serializer::new(String::new()).append_pair("q", query).finish();
                format!("/history?{query}")
            }
            Self::Environments => "/environments".to_owned(),
            Self::Agents => "/agents".to_owned(),
            Self::Settings => "/settings".to_owned(),
            Self::Doctor => "/doctor".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn run() -> RunId {
        "run-4k2m8e1a0c".parse().unwrap()
    }

    #[test]
    fn each_place_has_a_link_and_a_path_of_the_ui() {
        let pairs = [
            ("nightshift://", Place::Home, "/"),
            ("nightshift:home", Place::Home, "/"),
            ("nightshift://new", Place::NewTask, "/new"),
            ("nightshift://runs/run-4k2m8e1a0c", Place::Run { run: run(), at: None }, "/runs/run-4k2m8e1a0c"),
            (
                "nightshift://runs/run-4k2m8e1a0c?at=12",
                Place::Run { run: run(), at: Some(12) },
                "/runs/run-4k2m8e1a0c?at=12",
            ),
            ("nightshift://review/", Place::Reviews, "/review"),
            ("nightshift://review/run-4k2m8e1a0c", Place::Review { run: run() }, "/review/run-4k2m8e1a0c"),
            ("nightshift:///history", Place::History { query: String::new() }, "/history"),
            (
                "NIGHTSHIFT://history?q=a%20%26+b",
                Place::History { query: "a & b".to_owned() },
                "/history?q=a+%26+b",
            ),
            ("nightshift://environments", Place::Environments, "/environments"),
            ("nightshift://agents", Place::Agents, "/agents"),
            // Whoever wrote the link does not choose what is copied.
            ("nightshift://agents?repository=https://example.org/x.git", Place::Agents, "/agents"),
            ("nightshift://settings#x", Place::Settings, "/settings"),
            ("nightshift://doctor", Place::Doctor, "/doctor"),
        ];
        for (link, place, path) in pairs {
            assert_eq!(Place::from_link(link), Ok(place.clone()), "{link}");
            assert_eq!(place.path(), path);
        }
    }

    #[test]
    fn a_link_that_leads_nowhere_is_refused_by_name() {
        let refused = |link: &str| Place::from_link(link).unwrap_err();
        assert_eq!(refused("https://example.org/"), LinkRefused::Foreign);
        assert_eq!(refused("nightshift"), LinkRefused::Foreign);
        assert_eq!(
            refused("nightshift://merge/run-4k2m8e1a0c"),
            LinkRefused::NoSuchPlace("merge/run-4k2m8e1a0c".to_owned())
        );
        assert_eq!(refused("nightshift://runs"), LinkRefused::NoSuchPlace("runs".to_owned()));
        assert_eq!(
            refused("nightshift://runs/run-1/merge"),
            LinkRefused::NoSuchPlace("runs/run-1/merge".to_owned())
        );
        assert_eq!(
            refused("nightshift://runs/../doctor"),
            LinkRefused::NoSuchPlace("runs/../doctor".to_owned())
        );
        assert_eq!(refused("nightshift://runs/%2e%2e"), LinkRefused::NoRun("%2e%2e".to_owned()));
        assert_eq!(refused(&format!("nightshift://history?q={}", "x".repeat(LONGEST))), LinkRefused::TooLong);
    }

    #[test]
    fn a_moment_that_is_none_means_now() {
        for at in ["0", "-1", "x", "99999999999999999999999"] {
            let place = Place::from_link(&format!("nightshift://runs/run-4k2m8e1a0c?at={at}"));
            assert_eq!(place, Ok(Place::Run { run: run(), at: None }), "{at}");
        }
    }

    proptest! {
        /// The page gets the path as it is: there must be no way out of it.
        #[test]
        fn whatever_a_link_says_its_path_stays_in_the_ui(rest in ".{0,60}") {
            if let Ok(place) = Place::from_link(&format!("nightshift://{rest}")) {
                let path = place.path();
                let allowed = |letter: char| letter.is_ascii_alphanumeric() || "/-?=%+&._*".contains(letter);
                prop_assert!(path.starts_with('/') && !path.starts_with("//"), "{path}");
                prop_assert!(path.chars().all(allowed), "{path}");
                prop_assert!(!path.contains(".."), "{path}");
            }
        }

        #[test]
        fn a_searched_text_arrives_as_it_was(query in ".{0,40}") {
            let path = Place::History { query: query.clone() }.path();
            let again = Place::from_link(&format!("nightshift:/{path}"));
            prop_assert_eq!(again, Ok(Place::History { query }));
        }
    }
}
