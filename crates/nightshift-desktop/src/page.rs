//! The window's own page: shown while there is no owner to show the UI of.

use nightshift_protocol::UserError;
use serde::Serialize;

/// What the window's own page says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ShellPage {
    /// The owner is looked for, and started if there is none.
    Starting,
    /// It could not be started or reached.
    Trouble(UserError),
    /// Somebody ended it while the window was open.
    Stopped,
}

/// What the page's script puts into its elements, as text.
#[derive(Serialize)]
struct Shown<'a> {
    busy: bool,
    title: &'a str,
    message: &'a str,
    hint: &'a str,
    again: Option<&'a str>,
}

impl ShellPage {
    /// The part of the page's address behind `#`, from which its script reads what to show.
    pub fn fragment(&self) -> String {
        let shown = match self {
            Self::Starting => {
                Shown { busy: true, title: "Starting Nightshift", message: "", hint: "", again: None }
            }
            Self::Trouble(error) => Shown {
                busy: false,
                title: "Nightshift could not be started",
                message: &error.message,
                hint: &error.hint,
                again: Some("Try again"),
            },
            Self::Stopped => Shown {
                busy: false,
                title: "Nightshift was stopped",
                message: "Its owner, the process behind this window, was told to end.",
                hint: "Runs are kept and go on when it is started again.",
                again: Some("Start it"),
            },
        };
        let text = serde_json::to_string(&shown).unwrap_or_default();
        url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>().replace('+', "%20")
    }
}

#[cfg(test)]
mod tests {
    use nightshift_protocol::ErrorCode;

    use super::*;

    #[test]
    fn the_page_gets_its_words_as_data() {
        let error =
            UserError::new(ErrorCode::ToolMissing, "<b>\"git\"</b> & +", "Install it: apt-get install git");
        let fragment = ShellPage::Trouble(error).fragment();
        assert!(
            fragment.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"%-._*".contains(&byte)),
            "{fragment}"
        );
        let text: String = url::form_urlencoded::parse(format!("x={fragment}").as_bytes())
            .map(|(_, value)| value.into_owned())
            .collect();
        let shown: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(shown["message"], "<b>\"git\"</b> & +");
        assert_eq!(shown["again"], "Try again");
    }

    #[test]
    fn nothing_can_be_tried_again_while_it_is_tried() {
        assert!(ShellPage::Starting.fragment().contains("%22again%22%3Anull"));
    }
}
