//! `nightshift mcp check`: what runs will make of a repository's `.mcp.json`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use clap::Subcommand;
use nightshift_mcp_client::{
    Address, Configuration, ConfiguredServer, FILE, Finding, LARGEST, Severity, Transport, Unreadable,
};
use nightshift_protocol::{ErrorCode, UserError};
use serde::Serialize;

use crate::commands::{Status, print};
use crate::show::plain;

#[derive(Debug, Subcommand)]
pub(crate) enum McpCommand {
    /// Check the servers that a repository names in .mcp.json for its own agents: which are started, and why others are not.
    #[command(after_help = "\
Examples:
  nightshift mcp check
  nightshift mcp check ~/src/app
  nightshift mcp check --json | jq '.findings'

The servers are started in the sandbox of each run, from the file as it is at the commit that the task starts from; those at an
address are reached under the sandbox's network. Nothing is started or reached here. Ends with 1 when one of them cannot be
used as it is.")]
    Check {
        /// The file, or a folder of the repository [default: this one].
        path: Option<PathBuf>,
    },
}

/// What a file says.
#[derive(Debug)]
struct Checked {
    file: PathBuf,
    configuration: Result<Configuration, Unreadable>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report<'a> {
    file: String,
    servers: Vec<Server<'a>>,
    findings: Vec<Entry>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Server<'a> {
    name: &'a str,
    starts: bool,
    command: Option<&'a str>,
    args: Option<&'a [String]>,
    url: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    server: Option<String>,
    severity: &'static str,
    message: String,
}

/// Carries the command out.
pub(crate) fn run(json: bool, command: &McpCommand) -> Status {
    let McpCommand::Check { path } = command;
    let here = std::path::absolute(".").map_err(|error| {
        UserError::new(ErrorCode::Internal, format!("this folder: {error}"), "Go to another one.")
    })?;
    let checked = check(path.as_deref(), &here)?;
    print(json, &checked.report(), || checked.text());
    Ok(u8::from(!checked.is_good()))
}

/// Reads the named file, that of the named folder, or that of the repository around `here`.
fn check(named: Option<&Path>, here: &Path) -> Result<Checked, UserError> {
    let file = match named {
        Some(path) if path.is_dir() => path.join(FILE),
        Some(path) => path.to_owned(),
        None => here.ancestors().find(|folder| folder.join(".git").exists()).unwrap_or(here).join(FILE),
    };
    let failed =
        |code, what: String, hint: &str| UserError::new(code, format!("{}: {what}", file.display()), hint);
    let hint = "Name the file, or go to a repository that has one at its root.";
    let length = fs::metadata(&file).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => failed(ErrorCode::NotFound, "there is no such file".to_owned(), hint),
        _ => failed(ErrorCode::InvalidRequest, format!("the file cannot be read: {error}"), hint),
    })?;
    let limit = u64::try_from(LARGEST).unwrap_or(u64::MAX);
    if length.len() > limit {
        return Ok(Checked { file, configuration: Err(Unreadable::TooLarge) });
    }
    let bytes = fs::read(&file).map_err(|error| {
        failed(ErrorCode::InvalidRequest, format!("the file cannot be read: {error}"), hint)
    })?;
    let configuration = Configuration::read(&bytes);
    Ok(Checked { file, configuration })
}

impl Checked {
    fn findings(&self) -> Vec<Finding> {
        match &self.configuration {
            Ok(configuration) => configuration.findings(),
            Err(error) => {
                vec![Finding { server: None, severity: Severity::Error, message: error.to_string() }]
            }
        }
    }

    fn servers(&self) -> &[ConfiguredServer] {
        self.configuration.as_ref().map(|configuration| configuration.servers.as_slice()).unwrap_or_default()
    }

    fn is_good(&self) -> bool {
        self.findings().iter().all(|finding| finding.severity == Severity::Warning)
    }

    fn report(&self) -> Report<'_> {
        Report {
            file: self.file.display().to_string(),
            servers: self.servers().iter().map(entry).collect(),
            findings: self
                .findings()
                .into_iter()
                .map(|finding| Entry {
                    server: finding.server,
                    severity: if finding.severity == Severity::Error { "error" } else { "warning" },
                    message: finding.message,
                })
                .collect(),
        }
    }

    fn text(&self) -> String {
        let mut lines = vec![plain(&self.file.display().to_string())];
        for server in self.servers() {
            if let Ok(transport) = &server.transport {
                lines.push(format!("  {}: {}", plain(&server.name), plain(&in_one_line(transport))));
            }
        }
        for Finding { server, severity, message } in self.findings() {
            let severity = if severity == Severity::Error { "error" } else { "warning" };
            let whose = server.map(|server| format!("{}: ", plain(&server))).unwrap_or_default();
            lines.push(format!("  {severity}: {whose}{}", plain(&message)));
        }
        let usable = || self.servers().iter().filter_map(|server| server.transport.as_ref().ok());
        let started = usable().filter(|transport| matches!(transport, Transport::Stdio(_))).count();
        lines.push(match (self.servers().len(), usable().count()) {
            (0, _) if self.configuration.is_ok() => "It names no servers.".to_owned(),
            (_, 0) => "No server can be used by it.".to_owned(),
            (all, usable) => {
                let of = if all == usable { String::new() } else { format!(" of {all}") };
                let servers = if all == 1 { "server" } else { "servers" };
                match (started, usable - started) {
                    (started, 0) => format!("{started}{of} {servers} started in the sandbox of each run."),
                    (0, reached) => format!("{reached}{of} {servers} reached under the sandbox's network."),
                    (started, reached) => format!(
                        "{usable}{of} {servers}: {started} started in the sandbox of each run, {reached} reached under its network."
                    ),
                }
            }
        });
        let hosts: BTreeSet<String> = usable().filter_map(host).collect();
        if !hosts.is_empty() {
            lines.push(format!(
                "To be open in [egress] of .nightshift/config.toml, as far as yours permits it: {}.",
                hosts.into_iter().collect::<Vec<_>>().join(", ")
            ));
        }
        lines.join("\n")
    }
}

fn entry(server: &ConfiguredServer) -> Server<'_> {
    let (launch, remote) = match &server.transport {
        Ok(Transport::Stdio(launch)) => (Some(launch), None),
        Ok(Transport::Http(remote)) => (None, Some(remote)),
        Err(_) => (None, None),
    };
    Server {
        name: &server.name,
        starts: server.transport.is_ok(),
        command: launch.map(|launch| launch.command.as_str()),
        args: launch.map(|launch| launch.arguments.as_slice()),
        url: remote.map(|remote| remote.url.as_str()),
    }
}

/// The host that has to be open for a server, where it is known before its variables are.
fn host(transport: &Transport) -> Option<String> {
    let Transport::Http(remote) = transport else { return None };
    if remote.url.contains("${") {
        return None;
    }
    let address = Address::parse(&remote.url).ok().filter(|address| !address.is_inside())?;
    let host = plain(address.host());
    Some(if matches!(address.port(), 80 | 443) { host } else { format!("{host}:{}", address.port()) })
}

/// What is started or reached, in one line, cut.
fn in_one_line(transport: &Transport) -> String {
    let words: Vec<&String> = match transport {
        Transport::Stdio(launch) => std::iter::once(&launch.command).chain(&launch.arguments).collect(),
        Transport::Http(remote) => vec![&remote.url],
    };
    let words = words.into_iter().map(|word| word.split_whitespace().collect::<Vec<_>>().join(" "));
    let line = words.collect::<Vec<_>>().join(" ");
    if line.chars().count() > 100 { line.chars().take(99).chain(['…']).collect() } else { line }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repository(file: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join(".git")).unwrap();
        fs::create_dir_all(folder.path().join("src/deep")).unwrap();
        fs::write(folder.path().join(FILE), file).unwrap();
        folder
    }

    fn said(folder: &tempfile::TempDir, checked: &Checked) -> String {
        checked.text().replace(&folder.path().display().to_string(), "")
    }

    const TWO: &str = r#"{"mcpServers": {
        "db": {"command": "npx", "args": ["-y", "server-db", "${DB:-local}"], "trust": 1},
        "docs": {"type": "http", "url": "https://example.org/mcp"},
        "old": {"type": "sse", "url": "https://example.org/sse"}
    }}"#;

    #[test]
    fn the_file_of_the_repository_around_is_found_and_told_server_by_server() {
        let folder = repository(TWO);
        let checked = check(None, &folder.path().join("src/deep")).unwrap();
        assert!(!checked.is_good());
        insta::assert_snapshot!(said(&folder, &checked), @r"
        /.mcp.json
          db: npx -y server-db ${DB:-local}
          docs: https://example.org/mcp
          error: old: it is a server of a kind that is not spoken with (sse): only http, which most of them have too
          warning: db: trust says nothing here; the fields are type, command, args, env, cwd, timeout, disabled
        2 of 3 servers: 1 started in the sandbox of each run, 1 reached under its network.
        To be open in [egress] of .nightshift/config.toml, as far as yours permits it: example.org.
        ");
        let report = serde_json::to_value(checked.report()).unwrap();
        assert_eq!(
            (&report["servers"][0]["starts"], &report["servers"][2]["starts"]),
            (&true.into(), &false.into())
        );
        assert_eq!(report["findings"][0]["severity"], "error");
        assert_eq!(report["servers"][1]["url"], "https://example.org/mcp");
    }

    #[test]
    fn what_is_in_the_sandbox_needs_nothing_open_and_another_port_is_named() {
        let host = |url: &str| {
            let file = serde_json::json!({"mcpServers": {"one": {"url": url}}}).to_string();
            let configuration = Configuration::read(file.as_bytes()).unwrap();
            configuration.servers[0].transport.as_ref().ok().and_then(host)
        };
        assert_eq!(host("http://localhost:3000/mcp"), None);
        assert_eq!(host("https://${HOST}/mcp"), None);
        assert_eq!(host("https://a.test:8443/mcp").as_deref(), Some("a.test:8443"));
        let folder = repository(r#"{"mcpServers": {"one": {"url": "http://localhost:3000/mcp"}}}"#);
        assert_eq!(
            said(&folder, &check(Some(folder.path()), Path::new("/")).unwrap()),
            "/.mcp.json\n  one: http://localhost:3000/mcp\n1 server reached under the sandbox's network."
        );
    }

    #[test]
    fn a_file_that_is_no_json_is_told_with_its_place() {
        let folder = repository("{");
        let checked = check(Some(folder.path()), Path::new("/")).unwrap();
        assert!(!checked.is_good());
        insta::assert_snapshot!(said(&folder, &checked), @r"
        /.mcp.json
          error: line 1, column 1: it is no JSON: EOF while parsing an object
        No server can be used by it.
        ");
    }

    #[test]
    fn what_is_only_pointed_out_is_good_and_a_missing_file_is_an_error() {
        let folder = repository(r#"{"mcpServers": {"off": {"command": "x", "disabled": true}}}"#);
        assert!(check(Some(&folder.path().join(FILE)), Path::new("/")).unwrap().is_good());
        let missing = check(Some(&folder.path().join("none.json")), Path::new("/")).unwrap_err();
        assert_eq!(missing.code, ErrorCode::NotFound);
        fs::write(folder.path().join(FILE), " ".repeat(LARGEST + 1)).unwrap();
        assert!(!check(Some(folder.path()), Path::new("/")).unwrap().is_good());
    }
}
