//! `.mcp.json`: the servers that a repository names, in the form that Claude Code, Cursor and others read.
//!
//! Nothing that is wrong is swallowed: a server that cannot be started is refused with the reason, and the others are
//! read. A server is a program that is started in the sandbox, or one at an address.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Map, Value};

use crate::endpoint::{self, Remote};
use crate::expand::{NotSet, Unexpanded, expand, is_name};
use crate::http::AddressError;
use crate::keys::KeyRefusal;
use crate::offer::clean;
use crate::text::line;

/// Where a repository names its servers.
pub const FILE: &str = ".mcp.json";

/// The largest such file that is read, in bytes.
pub const LARGEST: usize = 256 * 1024;

/// Servers of one repository at most.
const MOST_SERVERS: usize = 16;

/// Characters of a server's name.
const LONGEST_NAME: usize = 64;

/// Bytes of a command with its arguments and variables: more than any has, less than the channel takes.
const LONGEST_LAUNCH: usize = 128 * 1024;

/// How long a call may be answered with nothing, in milliseconds, at most.
const MOST_TIMEOUT: u64 = 30 * 60 * 1_000;

/// The fields of a server that is a program.
const FIELDS: [&str; 7] = ["type", "command", "args", "env", "cwd", "timeout", "disabled"];

/// Fields of clients that say nothing of how a server is started.
const OF_CLIENTS: [&str; 5] = ["description", "alwaysAllow", "autoApprove", "disabledTools", "$schema"];

/// What a file says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Configuration {
    /// The servers, by name.
    pub servers: Vec<ConfiguredServer>,
    /// What is odd about it and keeps no server from being started.
    pub warnings: Vec<String>,
}

/// A server, and how it is started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfiguredServer {
    /// Its name, of letters, digits, `_` and `-`: what else it has is `_`.
    pub name: String,
    /// How it is spoken with, or why it is not.
    pub transport: Result<Transport, Refusal>,
}

/// How a server is spoken with, in the protocol's own terms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Transport {
    /// It is a program, spoken with over its standard input and output.
    Stdio(Launch),
    /// It is at an address, spoken with by Streamable HTTP.
    Http(Remote),
}

/// How a program is started.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Launch {
    /// The program.
    pub command: String,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Variables of its environment.
    pub environment: Vec<(String, String)>,
    /// The folder it starts in, from the repository's on.
    pub folder: Option<String>,
    /// How long a call may be answered with nothing, where the file says so.
    pub silence: Option<Duration>,
}

/// Why a server is not started.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is no object.
    #[error("it has to be an object with the field command, or url")]
    NoObject,
    /// It names no program.
    #[error("it has no command")]
    NoCommand,
    /// It names no address.
    #[error("it has no url")]
    NoAddress,
    /// It is spoken with in a way that is not known here.
    #[error(
        "it is a server of a kind that is not spoken with ({kind}): only http, which most of them have too"
    )]
    OtherTransport {
        /// The kind, for example `sse`.
        kind: String,
    },
    /// Its address is none.
    #[error("{0}")]
    Address(#[from] AddressError),
    /// A header cannot be sent.
    #[error("the header {name} {what}")]
    Header {
        /// The header.
        name: String,
        /// What is wrong with it.
        what: &'static str,
    },
    /// A key of the person is not sent.
    #[error("{0}")]
    Key(#[from] KeyRefusal),
    /// A key of the person stands in an address.
    #[error("the key {name} is sent in headers only: addresses are shown and written down")]
    KeyInAddress {
        /// The key.
        name: String,
    },
    /// It has too many headers.
    #[error("url and headers have more than 16 KiB, or there are more than 32 headers")]
    HeadersTooLong,
    /// Its type is none.
    #[error(
        "there is no type {given}; a program's is stdio, or none, and http that of a server at an address"
    )]
    UnknownType {
        /// What it is instead.
        given: String,
    },
    /// A field is something else than it has to be.
    #[error("{field} has to be {expected}")]
    Wrong {
        /// The field.
        field: String,
        /// What it has to be.
        expected: &'static str,
    },
    /// Its folder is outside of the repository.
    #[error("cwd has to be a folder within the repository, not {given}")]
    Outside {
        /// The folder.
        given: String,
    },
    /// Its name has nothing in it.
    #[error("its name has to have 1 to {LONGEST_NAME} characters, and a letter or digit")]
    NoName,
    /// Another server's name comes to the same.
    #[error("its name comes to the same as another's: {name}")]
    SameName {
        /// The name.
        name: String,
    },
    /// There are too many.
    #[error("it is one more than the {MOST_SERVERS} servers that a repository may have")]
    TooMany,
    /// The file says so.
    #[error("it is disabled in {FILE}")]
    Disabled,
    /// A variable has no value.
    #[error("{0}")]
    NotSet(#[from] NotSet),
    /// It is too long.
    #[error("command, args and env have more than {LONGEST_LAUNCH} bytes")]
    TooLong,
}

/// A file says nothing that could be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// It is larger than it may be.
    #[error("the file is larger than {} KiB", LARGEST / 1024)]
    TooLarge,
    /// It is no JSON.
    #[error("line {line}, column {column}: it is no JSON: {what}")]
    NotJson {
        /// The line, from 1.
        line: usize,
        /// The column, from 1.
        column: usize,
        /// What is wrong.
        what: String,
    },
    /// It has no servers.
    #[error("it has to be an object with the field mcpServers, an object of servers by name")]
    NoServers,
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// It works all the same.
    Warning,
    /// A server is not started, or none is.
    Error,
}

/// Something that is wrong with a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The server, where it is one's.
    pub server: Option<String>,
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong.
    pub message: String,
}

impl Configuration {
    /// Reads a file.
    ///
    /// # Errors
    ///
    /// Why nothing in it can be used.
    pub fn read(file: &[u8]) -> Result<Self, Unreadable> {
        if file.len() > LARGEST {
            return Err(Unreadable::TooLarge);
        }
        let value: Value = serde_json::from_slice(file).map_err(|error| Unreadable::NotJson {
            line: error.line().max(1),
            column: error.column().max(1),
            what: what_of(&error),
        })?;
        let named = value.get("mcpServers").and_then(Value::as_object).ok_or(Unreadable::NoServers)?;
        let named: BTreeMap<&String, &Value> = named.iter().collect();
        let mut configuration = Self::default();
        let mut names = BTreeSet::new();
        for (given, server) in &named {
            let name = clean(given);
            let has_a_letter = given.chars().any(|character| character.is_ascii_alphanumeric());
            let fits = has_a_letter && given.chars().count() <= LONGEST_NAME;
            let transport = if !fits {
                Err(Refusal::NoName)
            } else if names.len() >= MOST_SERVERS {
                Err(Refusal::TooMany)
            } else if !names.insert(name.clone()) {
                Err(Refusal::SameName { name: name.clone() })
            } else {
                transport(&name, server, &mut configuration.warnings)
            };
            let name = if fits { name } else { line(given, LONGEST_NAME) };
            configuration.servers.push(ConfiguredServer { name, transport });
            if configuration.servers.len() > 2 * MOST_SERVERS {
                configuration.warnings.push(format!("{} servers are too many to be named", named.len()));
                break;
            }
        }
        Ok(configuration)
    }

    /// All that is wrong with it.
    pub fn findings(&self) -> Vec<Finding> {
        let warnings = self.warnings.iter().map(|message| Finding {
            server: None,
            severity: Severity::Warning,
            message: message.clone(),
        });
        let refused = self.servers.iter().filter_map(|server| {
            let refusal = server.transport.as_ref().err()?;
            let severity = if *refusal == Refusal::Disabled { Severity::Warning } else { Severity::Error };
            Some(Finding { server: Some(server.name.clone()), severity, message: refusal.to_string() })
        });
        refused.chain(warnings).collect()
    }

    /// Whether a variable is to be put in somewhere.
    pub fn has_variables(&self) -> bool {
        let has = |text: &String| text.contains("${");
        let transports = self.servers.iter().filter_map(|server| server.transport.as_ref().ok());
        transports.into_iter().any(|transport| match transport {
            Transport::Stdio(launch) => launch.texts().any(has),
            Transport::Http(remote) => remote.texts().any(has),
        })
    }
}

impl Launch {
    /// The same with the values of its variables, which are those of the sandbox and of nothing else.
    ///
    /// # Errors
    ///
    /// The variable that has none, or that it is too long with all of them.
    pub fn expanded(&self, environment: &BTreeMap<String, String>) -> Result<Self, Refusal> {
        let mut room = LONGEST_LAUNCH;
        let mut put_in = |text: &String| {
            expand(text, environment, &mut room).map_err(|error| match error {
                Unexpanded::NotSet(error) => Refusal::NotSet(error),
                Unexpanded::TooLong => Refusal::TooLong,
            })
        };
        let command = put_in(&self.command)?;
        let arguments = self.arguments.iter().map(&mut put_in).collect::<Result<_, _>>()?;
        let variable = |(name, value): &(String, String)| Ok((name.clone(), put_in(value)?));
        let variables = self.environment.iter().map(variable).collect::<Result<_, Refusal>>()?;
        let folder = self.folder.as_ref().map(|folder| within(put_in(folder)?)).transpose()?;
        Ok(Self { command, arguments, environment: variables, folder, silence: self.silence })
    }

    fn texts(&self) -> impl Iterator<Item = &String> {
        let variables = self.environment.iter().map(|(_, value)| value);
        std::iter::once(&self.command).chain(&self.arguments).chain(variables).chain(&self.folder)
    }
}

/// What is wrong with JSON, without the place that stands behind it.
fn what_of(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.split(" at line ").next().unwrap_or(&text).to_owned()
}

fn transport(name: &str, server: &Value, warnings: &mut Vec<String>) -> Result<Transport, Refusal> {
    let fields = server.as_object().ok_or(Refusal::NoObject)?;
    if flag(fields, "disabled")? {
        return Err(Refusal::Disabled);
    }
    let mut heed = |known: &[&str]| {
        for field in fields.keys() {
            if !known.contains(&field.as_str()) && !OF_CLIENTS.contains(&field.as_str()) {
                let field = line(field, 40);
                warnings
                    .push(format!("{name}: {field} says nothing here; the fields are {}", known.join(", ")));
            }
        }
    };
    let kind = fields.get("type").map(|kind| kind.as_str().ok_or(wrong("type", "a text"))).transpose()?;
    match kind {
        Some("http" | "streamable-http" | "streamableHttp") => {
            heed(&endpoint::FIELDS);
            Remote::read(fields).map(Transport::Http)
        }
        None if fields.contains_key("url") && !fields.contains_key("command") => {
            heed(&endpoint::FIELDS);
            Remote::read(fields).map(Transport::Http)
        }
        Some(kind @ ("sse" | "ws")) => Err(Refusal::OtherTransport { kind: kind.to_owned() }),
        Some("stdio") | None => {
            heed(&FIELDS);
            launch(fields).map(Transport::Stdio)
        }
        Some(given) => Err(Refusal::UnknownType { given: line(given, 40) }),
    }
}

fn launch(fields: &Map<String, Value>) -> Result<Launch, Refusal> {
    let command = match fields.get("command") {
        None => return Err(Refusal::NoCommand),
        Some(command) => text("command", command)?,
    };
    if command.trim().is_empty() {
        return Err(Refusal::NoCommand);
    }
    let arguments = match fields.get("args") {
        None => Vec::new(),
        Some(Value::Array(arguments)) => {
            arguments.iter().map(|argument| text("args", argument)).collect::<Result<_, _>>()?
        }
        Some(_) => return Err(wrong("args", "a list of texts")),
    };
    let environment = match fields.get("env") {
        None => Vec::new(),
        Some(Value::Object(variables)) => {
            variables.iter().map(|(name, value)| variable(name, value)).collect::<Result<_, _>>()?
        }
        Some(_) => return Err(wrong("env", "an object of texts by name")),
    };
    let folder = fields.get("cwd").map(|folder| text("cwd", folder).and_then(within)).transpose()?;
    let silence = fields.get("timeout").map(timeout).transpose()?;
    let launch = Launch { command, arguments, environment, folder, silence };
    let length: usize = launch.texts().map(|text| text.len() + 1).sum();
    if length > LONGEST_LAUNCH { Err(Refusal::TooLong) } else { Ok(launch) }
}

pub(crate) fn wrong(field: &str, expected: &'static str) -> Refusal {
    Refusal::Wrong { field: field.to_owned(), expected }
}

fn flag(fields: &Map<String, Value>, name: &str) -> Result<bool, Refusal> {
    match fields.get(name) {
        None => Ok(false),
        Some(Value::Bool(flag)) => Ok(*flag),
        Some(_) => Err(wrong(name, "true or false")),
    }
}

pub(crate) fn text(field: &str, value: &Value) -> Result<String, Refusal> {
    match value {
        Value::String(text) if !text.contains('\0') => Ok(text.clone()),
        _ => Err(wrong(field, if field == "args" { "a list of texts" } else { "a text" })),
    }
}

fn variable(name: &str, value: &Value) -> Result<(String, String), Refusal> {
    if !is_name(name) {
        return Err(wrong("env", "an object of texts by name, a name being letters, digits and _"));
    }
    let value = match value {
        Value::String(text) if !text.contains('\0') => text.clone(),
        // Other clients take them, and what is meant is plain.
        Value::Number(number) => number.to_string(),
        Value::Bool(flag) => flag.to_string(),
        _ => return Err(Refusal::Wrong { field: format!("env.{}", line(name, 40)), expected: "a text" }),
    };
    Ok((name.to_owned(), value))
}

fn within(folder: String) -> Result<String, Refusal> {
    let leaves = folder.starts_with('/') || folder.split('/').any(|part| part == "..");
    if leaves { Err(Refusal::Outside { given: line(&folder, 80) }) } else { Ok(folder) }
}

pub(crate) fn timeout(value: &Value) -> Result<Duration, Refusal> {
    let wrong = wrong("timeout", "milliseconds, a whole number from 1 to 1,800,000");
    match value.as_u64() {
        Some(milliseconds @ 1..=MOST_TIMEOUT) => Ok(Duration::from_millis(milliseconds)),
        _ => Err(wrong),
    }
}

#[cfg(test)]
mod tests;
