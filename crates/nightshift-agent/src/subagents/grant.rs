//! Which of our tools a subagent has by its definition, whose names are those of two worlds: ours and Claude Code's.

use super::Definition;
use super::fields::PLAN;

/// A tool that a subagent may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Granted {
    /// `shell`, and reading and stopping what it started in the background.
    Shell = 1,
    /// `edit`, of which only to view.
    View = 2,
    /// `edit`, all of it.
    Edit = 4,
    /// `computer`.
    Computer = 8,
    /// `browser`.
    Browser = 16,
}

/// The tools that a subagent has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Grant(u8);

impl Grant {
    /// Every tool that a subagent may have.
    pub const ALL: Self = Self(31);

    /// Whether this tool is among them.
    pub fn has(self, tool: Granted) -> bool {
        self.0 & tool as u8 != 0
    }

    /// With one more.
    #[must_use]
    pub fn with(self, tool: Granted) -> Self {
        Self(self.0 | tool as u8)
    }

    /// With one less.
    #[must_use]
    pub fn without(self, tool: Granted) -> Self {
        Self(self.0 & !(tool as u8))
    }

    /// Without the tools for which there is one of in a sandbox: mouse, keyboard and the browser's page.
    #[must_use]
    pub fn without_screen(self) -> Self {
        self.without(Granted::Computer).without(Granted::Browser)
    }

    /// Those of a definition: what it lists, or everything, less what it disallows. Who plans only views files: commands, and
    /// what is clicked, could change them.
    pub fn of(definition: &Definition) -> Self {
        let listed = match &definition.tools {
            Some(tools) => tools
                .iter()
                .flat_map(|tool| meant(tool))
                .fold(Self::default(), |grant, tool| grant.with(*tool)),
            None => Self::ALL,
        };
        let plans = definition.permission_mode.as_deref() == Some(PLAN);
        let listed = if plans && listed.has(Granted::View) {
            Self::default().with(Granted::View)
        } else if plans {
            Self::default()
        } else {
            listed
        };
        definition.disallowed_tools.iter().fold(listed, |grant, tool| match plain(tool) {
            "*" => Self::default(),
            "Bash" | "shell" => grant.without(Granted::Shell),
            "Read" => grant.without(Granted::View).without(Granted::Edit),
            "Edit" | "MultiEdit" | "Write" | "NotebookEdit" | "edit" => grant.without(Granted::Edit),
            "computer" => grant.without(Granted::Computer),
            "browser" | "WebFetch" => grant.without(Granted::Browser),
            _ => grant,
        })
    }

    /// Their names, as a model calls them.
    pub fn names(self) -> Vec<&'static str> {
        use crate::tools::{BROWSER, COMPUTER, EDIT, SHELL, SHELL_OUTPUT, SHELL_STOP};
        let mut names = Vec::new();
        if self.has(Granted::Shell) {
            names.extend([SHELL, SHELL_OUTPUT, SHELL_STOP]);
        }
        if self.has(Granted::View) || self.has(Granted::Edit) {
            names.push(EDIT);
        }
        if self.has(Granted::Computer) {
            names.push(COMPUTER);
        }
        if self.has(Granted::Browser) {
            names.push(BROWSER);
        }
        names
    }
}

/// A tool's name without what stands in parentheses behind it.
fn plain(tool: &str) -> &str {
    tool.split('(').next().unwrap_or_default().trim()
}

/// What a listed name comes to here. Searching is done by the shell, so who may search has it.
fn meant(tool: &str) -> &'static [Granted] {
    match plain(tool) {
        "*" => &[Granted::Shell, Granted::View, Granted::Edit, Granted::Computer, Granted::Browser],
        "shell" | "Bash" | "BashOutput" | "KillShell" | "Grep" | "Glob" => &[Granted::Shell],
        "Read" => &[Granted::View],
        "edit" | "Edit" | "MultiEdit" | "Write" | "NotebookEdit" => &[Granted::View, Granted::Edit],
        "computer" => &[Granted::Computer],
        "browser" | "WebFetch" => &[Granted::Browser],
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn names(tools: Option<&[&str]>, disallowed: &[&str]) -> Vec<&'static str> {
        let owned = |tools: &[&str]| tools.iter().map(|tool| (*tool).to_owned()).collect();
        let definition = Definition {
            tools: tools.map(owned),
            disallowed_tools: owned(disallowed),
            ..Definition::default()
        };
        Grant::of(&definition).names()
    }

    #[test]
    fn a_definition_that_lists_no_tools_has_all() {
        assert_eq!(names(None, &[]), ["shell", "shell_output", "shell_stop", "edit", "computer", "browser"]);
    }

    #[test]
    fn what_is_disallowed_is_taken_from_what_is_listed() {
        assert_eq!(names(None, &["Bash", "computer", "browser"]), ["edit"]);
        assert_eq!(
            names(Some(&["Bash(git log:*)", "Write"]), &["Edit"]),
            ["shell", "shell_output", "shell_stop", "edit"]
        );
        assert_eq!(names(Some(&["Read"]), &["Read"]), Vec::<&str>::new());
        assert_eq!(names(None, &["*"]), Vec::<&str>::new());
    }

    #[test]
    fn who_plans_only_views_files() {
        let plan = |tools: Option<&[&str]>| {
            let tools = tools.map(|tools| tools.iter().map(|tool| (*tool).to_owned()).collect());
            let permission_mode = Some("plan".to_owned());
            Grant::of(&Definition { tools, permission_mode, ..Definition::default() })
        };
        let views = Grant::default().with(Granted::View);
        assert_eq!([plan(None), plan(Some(&["Edit", "Bash"]))], [views; 2]);
        assert_eq!(plan(Some(&["Bash"])), Grant::default());
    }

    #[test]
    fn who_may_read_may_not_write() {
        let reads =
            Definition { tools: Some(vec!["Read".to_owned(), "Grep".to_owned()]), ..Definition::default() };
        let grant = Grant::of(&reads);
        assert!(grant.has(Granted::View) && grant.has(Granted::Shell) && !grant.has(Granted::Edit));
        let no_writing = Definition { disallowed_tools: vec!["Write".to_owned()], ..Definition::default() };
        assert!(Grant::of(&no_writing).has(Granted::View) && !Grant::of(&no_writing).has(Granted::Edit));
    }

    #[test]
    fn tools_that_are_not_ours_give_nothing() {
        assert_eq!(names(Some(&["mcp__db__query", "Agent(reviewer)", "Skill"]), &[]), Vec::<&str>::new());
    }

    proptest! {
        #[test]
        fn disallowing_more_never_gives_more(tools in prop::collection::vec(prop::sample::select(vec!["Bash", "Read", "Write", "computer", "browser", "*"]), 0..4),
            disallowed in prop::collection::vec(prop::sample::select(vec!["Bash", "Read", "Edit", "computer", "WebFetch", "*", "x"]), 0..4)) {
            let (all, fewer) = (names(Some(&tools), &[]), names(Some(&tools), &disallowed));
            prop_assert!(fewer.iter().all(|name| all.contains(name)), "{all:?} {fewer:?}");
        }
    }
}
