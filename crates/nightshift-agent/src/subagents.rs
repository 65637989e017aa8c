//! Definitions of subagents: Markdown files whose front matter says what the agent is, and whose text is its prompt.
//!
//! The fields are those that Claude Code documents for `.claude/agents/*.md`, so that a repository's files serve both.
//! Nothing that is wrong is swallowed: every misspelt field and every value that means nothing is a finding with its
//! place in the file.

mod fields;
mod front_matter;
mod grant;
mod routing;

use std::fmt;

pub use fields::{Isolation, Tools};
pub use grant::{Grant, Granted};
pub use routing::rules;

/// A subagent, as its file defines it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Definition {
    /// Its name: lower-case letters, digits and hyphens.
    pub name: String,
    /// When it is to be used.
    pub description: String,
    /// The tools it may use; all if `None`.
    pub tools: Option<Tools>,
    /// Tools it may not use.
    pub disallowed_tools: Tools,
    /// Its model, or an alias; that of the agent which starts it if `None` or `inherit`.
    pub model: Option<String>,
    /// When it asks before it acts.
    pub permission_mode: Option<String>,
    /// Model calls it may make.
    pub max_turns: Option<u32>,
    /// Tokens of the task's it may use.
    pub max_tokens: Option<u64>,
    /// US cents of the task's money it may cost.
    pub max_cents: Option<u32>,
    /// Minutes of the task's work it may take.
    pub max_minutes: Option<u32>,
    /// Skills it is given at its start.
    pub skills: Vec<String>,
    /// Names of servers of the Model Context Protocol it may use.
    pub mcp_servers: Vec<String>,
    /// Whether it has hooks. Nightshift runs none.
    pub has_hooks: bool,
    /// Where it keeps what it learns: `user`, `project` or `local`.
    pub memory: Option<String>,
    /// Whether it always runs beside the agent which starts it.
    pub background: bool,
    /// How hard its model thinks.
    pub effort: Option<String>,
    /// Where it works.
    pub isolation: Isolation,
    /// The colour people see it in.
    pub color: Option<String>,
    /// What it is told first when it is a whole session's agent.
    pub initial_prompt: Option<String>,
    /// Its prompt.
    pub prompt: String,
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The definition serves all the same.
    Warning,
    /// It cannot be used as it is.
    Error,
}

/// Something that is wrong with a definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The line, from 1.
    pub line: usize,
    /// The character in that line, from 1.
    pub column: usize,
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong, and what to do about it.
    pub message: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Warning => "warning",
            Severity::Error => "error",
        };
        write!(formatter, "{}:{}: {severity}: {}", self.line, self.column, self.message)
    }
}

/// A file with a definition, and what came of reading it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DefinitionFile {
    /// Its path, as people and agents are told it.
    pub file: String,
    /// What it says; `None` when a finding is an error.
    pub definition: Option<Definition>,
    /// What is wrong with it, by line.
    pub findings: Vec<Finding>,
}

impl DefinitionFile {
    /// Reads the text of a file.
    pub fn read(file: String, text: &str) -> Self {
        let (definition, findings) = read(text);
        Self { file, definition, findings }
    }

    /// A file that could not be read, with the reason and what to do about it.
    pub fn unread(file: String, message: String) -> Self {
        let findings = vec![Finding { line: 1, column: 1, severity: Severity::Error, message }];
        Self { file, definition: None, findings }
    }
}

/// Reads a definition. It is `None` when a finding is an error.
pub fn read(text: &str) -> (Option<Definition>, Vec<Finding>) {
    let mut findings = Vec::new();
    let definition = match front_matter::split(text) {
        Ok(parts) => fields::definition(&parts, &mut findings),
        Err(finding) => {
            findings.push(finding);
            None
        }
    };
    findings.sort_by_key(|finding| (finding.line, finding.column));
    let serves = findings.iter().all(|finding| finding.severity < Severity::Error);
    (definition.filter(|_| serves), findings)
}

#[cfg(test)]
mod tests;
