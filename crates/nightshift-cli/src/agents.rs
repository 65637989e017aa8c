//! `nightshift agents`: the definitions of subagents that a repository and its user have, read and checked.

use std::fs;
use std::path::{Path, PathBuf};

use nightshift_agent::subagents::{Definition, DefinitionFile, Finding, Severity, read};
use nightshift_protocol::{ErrorCode, UserError};
use nightshift_supervisor::OwnDefinitions;
use serde::Serialize;

use crate::environment::Environment;
use crate::owner;
use crate::show::plain;

/// The largest definition that is read, in bytes.
const LARGEST: u64 = 256 * 1024;

/// Files that are looked at at most.
const MOST: usize = 1_000;

/// Definitions of the user that runs are given at most.
const MOST_OF_USER: usize = 60;

/// Folders below a repository in which definitions are, the one that counts first.
const IN_REPOSITORY: [&str; 2] = [".nightshift/agents", ".claude/agents"];

/// One file.
pub(crate) struct Checked {
    path: PathBuf,
    definition: Option<Definition>,
    findings: Vec<Finding>,
    /// The file whose definition of the same name counts instead.
    shadowed_by: Option<PathBuf>,
}

/// What a script reads of one file.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Entry<'a> {
    file: String,
    name: Option<&'a str>,
    description: Option<&'a str>,
    model: Option<&'a str>,
    tools: Option<&'a [String]>,
    background: bool,
    shadowed_by: Option<String>,
    findings: Vec<FindingEntry<'a>>,
}

#[derive(Serialize)]
struct FindingEntry<'a> {
    line: usize,
    column: usize,
    severity: &'static str,
    message: &'a str,
}

impl Checked {
    fn has_errors(&self) -> bool {
        self.findings.iter().any(|finding| finding.severity == Severity::Error)
    }

    fn entry(&self) -> Entry<'_> {
        let definition = self.definition.as_ref();
        Entry {
            file: self.path.display().to_string(),
            name: definition.map(|definition| definition.name.as_str()),
            description: definition.map(|definition| definition.description.as_str()),
            model: definition.and_then(|definition| definition.model.as_deref()),
            tools: definition.and_then(|definition| definition.tools.as_deref()),
            background: definition.is_some_and(|definition| definition.background),
            shadowed_by: self.shadowed_by.as_ref().map(|path| path.display().to_string()),
            findings: self
                .findings
                .iter()
                .map(|finding| FindingEntry {
                    line: finding.line,
                    column: finding.column,
                    severity: if finding.severity == Severity::Error { "error" } else { "warning" },
                    message: &finding.message,
                })
                .collect(),
        }
    }
}

/// Reads the named files and folders, or those of the repository around `here` and of the user.
pub(crate) fn check(
    environment: &Environment,
    named: &[PathBuf],
    here: &Path,
) -> Result<Vec<Checked>, UserError> {
    let folders = if named.is_empty() { places(environment, here) } else { named.to_vec() };
    let mut files = Vec::new();
    for folder in &folders {
        if !folder.exists() && !named.is_empty() {
            return Err(UserError::new(
                ErrorCode::NotFound,
                format!("{}: there is no such file or folder", folder.display()),
                "Name a definition, or a folder with definitions.",
            ));
        }
        collect(folder, &mut files);
    }
    let mut checked: Vec<Checked> = files.into_iter().map(|path| look(&path)).collect();
    shadow(&mut checked);
    Ok(checked)
}

/// The definitions of the user, with their files as agents are told them: they are not told whose home it is.
#[derive(Debug)]
pub(crate) struct OfUser {
    /// Where they are, each with how it is called.
    places: Vec<(PathBuf, &'static str)>,
}

impl OfUser {
    pub(crate) fn new(environment: &Environment) -> Self {
        Self { places: user_places(environment) }
    }
}

impl OwnDefinitions for OfUser {
    /// As many that cannot be used as such that can.
    fn read(&self) -> Vec<DefinitionFile> {
        let mut found: Vec<DefinitionFile> = Vec::new();
        for (place, name) in &self.places {
            let mut files = Vec::new();
            collect(place, &mut files);
            for path in files {
                let below = path.strip_prefix(place).unwrap_or(&path).display().to_string();
                let Checked { definition, findings, .. } = look(&path);
                let alike = found.iter().filter(|known| known.definition.is_some() == definition.is_some());
                if alike.count() < MOST_OF_USER {
                    found.push(DefinitionFile { file: format!("{name}/{below}"), definition, findings });
                }
            }
        }
        found
    }
}

/// Where the user's definitions are, each with how it is called.
fn user_places(environment: &Environment) -> Vec<(PathBuf, &'static str)> {
    let beside = owner::folders(environment)
        .ok()
        .and_then(|folders| folders.configuration.parent().map(Path::to_owned));
    let beside = beside.map(|folder| (folder.join("agents"), "agents"));
    let at_home =
        environment.base.home.as_ref().map(|home| (home.join(".claude/agents"), "~/.claude/agents"));
    beside.into_iter().chain(at_home).collect()
}

/// Where definitions are looked for, those that count first before the others.
fn places(environment: &Environment, here: &Path) -> Vec<PathBuf> {
    let root = here.ancestors().find(|folder| folder.join(".git").exists()).unwrap_or(here);
    let mut places: Vec<PathBuf> = IN_REPOSITORY.iter().map(|folder| root.join(folder)).collect();
    places.extend(user_places(environment).into_iter().map(|(place, _)| place));
    places
}

/// The Markdown files at a place, by name.
fn collect(place: &Path, files: &mut Vec<PathBuf>) {
    if files.len() >= MOST {
        return;
    }
    if place.is_file() {
        files.push(place.to_owned());
        return;
    }
    let Ok(entries) = fs::read_dir(place) else { return };
    let mut below: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    below.sort();
    for path in below {
        // A link could lead in a circle; a file's name says what it is.
        let is_link = fs::symlink_metadata(&path).is_ok_and(|metadata| metadata.is_symlink());
        if path.is_dir() && !is_link {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "md") && files.len() < MOST {
            files.push(path);
        }
    }
}

fn look(path: &Path) -> Checked {
    let unread = |message: String| Checked {
        path: path.to_owned(),
        definition: None,
        findings: vec![Finding { line: 1, column: 1, severity: Severity::Error, message }],
        shadowed_by: None,
    };
    match fs::metadata(path) {
        Ok(metadata) if metadata.len() > LARGEST => {
            return unread("the file is larger than 256 KiB: shorten its prompt, or name files in it that are to be read".to_owned());
        }
        _ => {}
    }
    match fs::read_to_string(path) {
        Ok(text) => {
            let (definition, findings) = read(&text);
            Checked { path: path.to_owned(), definition, findings, shadowed_by: None }
        }
        Err(error) => unread(format!("the file cannot be read: {error}")),
    }
}

/// Of several definitions of one name the first counts.
fn shadow(checked: &mut [Checked]) {
    for later in 1..checked.len() {
        let name = |checked: &Checked| checked.definition.as_ref().map(|definition| definition.name.clone());
        let Some(this) = name(&checked[later]) else { continue };
        let first = checked[..later].iter().find(|earlier| name(earlier).as_ref() == Some(&this));
        checked[later].shadowed_by = first.map(|earlier| earlier.path.clone());
    }
}

/// The findings for people, one a line, and what they come to; and whether the files may stay as they are.
pub(crate) fn lint(checked: &[Checked]) -> (String, bool) {
    let mut lines = Vec::new();
    for file in checked {
        let path = plain(&file.path.display().to_string());
        lines.extend(file.findings.iter().map(|finding| format!("{path}:{}", plain(&finding.to_string()))));
        if let Some(first) = &file.shadowed_by {
            lines.push(format!(
                "{path}:1:1: warning: {} has a definition of the same name, and that one counts",
                plain(&first.display().to_string())
            ));
        }
    }
    let errors = checked.iter().filter(|file| file.has_errors()).count();
    lines.push(match (checked.len(), errors) {
        (0, _) => {
            "No definitions were found in .nightshift/agents and .claude/agents, here and at home.".to_owned()
        }
        (1, 0) => "1 definition can be used.".to_owned(),
        (all, 0) => format!("{all} definitions can be used."),
        (all, errors) => format!("{errors} of {all} definitions cannot be used as they are."),
    });
    (lines.join("\n"), errors == 0)
}

/// The definitions that can be used, for people.
pub(crate) fn list(checked: &[Checked]) -> String {
    let usable = checked.iter().filter(|file| file.shadowed_by.is_none());
    let lines: Vec<String> = usable
        .filter_map(|file| {
            let definition = file.definition.as_ref()?;
            let first = definition.description.lines().next().unwrap_or_default();
            let first: String = first.chars().take(100).collect();
            Some(format!(
                "{}  {}\n    {}",
                plain(&definition.name),
                plain(&file.path.display().to_string()),
                plain(&first)
            ))
        })
        .collect();
    if lines.is_empty() { lint(checked).0 } else { lines.join("\n") }
}

/// The definitions for scripts.
pub(crate) fn json(checked: &[Checked]) -> impl Serialize + '_ {
    checked.iter().map(Checked::entry).collect::<Vec<_>>()
}

#[cfg(test)]
mod tests {
    use nightshift_client::BaseDirectories;

    use super::*;

    fn repository(files: &[(&str, &str)]) -> (tempfile::TempDir, Environment) {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("app/.git")).unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let home = Some(folder.path().join("home"));
        let base = BaseDirectories { nightshift_home: home.clone(), home, ..BaseDirectories::default() };
        let environment = Environment { base, ..Environment::default() };
        (folder, environment)
    }

    fn definition(name: &str, more: &str) -> String {
        format!("---\nname: {name}\ndescription: Does {name}\n{more}---\nDo it.\n")
    }

    /// What is said, with the temporary folder taken out.
    fn said(folder: &Path, text: &str) -> String {
        text.replace(&folder.display().to_string(), "")
    }

    #[test]
    fn definitions_of_repository_and_user_are_found_from_any_folder_below() {
        let (folder, environment) = repository(&[
            ("app/.claude/agents/review.md", &definition("review", "")),
            ("app/.claude/agents/deep/test.md", &definition("test", "maxturns: 3\n")),
            ("app/.nightshift/agents/review.md", &definition("review", "tools: Bsh\n")),
            ("app/src/lib.rs", ""),
            ("home/.claude/agents/mine.md", &definition("mine", "")),
        ]);
        let checked = check(&environment, &[], &folder.path().join("app/src")).unwrap();
        let (text, good) = lint(&checked);
        assert!(!good);
        insta::assert_snapshot!(said(folder.path(), &text), @"
        /app/.nightshift/agents/review.md:4:8: warning: no tool Bsh is known; Bash is meant?
        /app/.claude/agents/deep/test.md:4:1: error: there is no field maxturns; maxTurns is meant?
        /app/.claude/agents/review.md:1:1: warning: /app/.nightshift/agents/review.md has a definition of the same name, and that one counts
        1 of 4 definitions cannot be used as they are.
        ");
        insta::assert_snapshot!(said(folder.path(), &list(&checked)), @"
        review  /app/.nightshift/agents/review.md
            Does review
        mine  /home/.claude/agents/mine.md
            Does mine
        ");
    }

    #[test]
    fn the_users_definitions_are_found_with_what_is_wrong_and_those_beside_the_configuration_first() {
        let (folder, environment) = repository(&[
            ("home/.claude/agents/b.md", &definition("mine", "")),
            ("home/.claude/agents/deep/a.md", &definition("deep", "model: opus\n")),
            ("home/.claude/agents/wrong.md", &definition("wrong", "maxturns: 3\n")),
            ("app/.claude/agents/theirs.md", &definition("theirs", "")),
        ]);
        let beside = owner::folders(&environment).unwrap().configuration.parent().unwrap().join("agents");
        fs::create_dir_all(&beside).unwrap();
        fs::write(beside.join("mine.md"), definition("mine", "maxTurns: 5\n")).unwrap();
        let own = OfUser::new(&environment);
        let found = own.read();
        let told: Vec<_> = found
            .iter()
            .map(|found| {
                let name = found.definition.as_ref().map(|definition| definition.name.as_str());
                (found.file.as_str(), name, found.findings.first().map(|finding| finding.line))
            })
            .collect();
        let expected = [
            ("agents/mine.md", Some("mine"), None),
            ("~/.claude/agents/b.md", Some("mine"), None),
            ("~/.claude/agents/deep/a.md", Some("deep"), None),
            ("~/.claude/agents/wrong.md", None, Some(4)),
        ];
        assert_eq!(told, expected);
        // What is mended counts at once.
        fs::write(folder.path().join("home/.claude/agents/wrong.md"), definition("wrong", "")).unwrap();
        assert_eq!(
            own.read()[3].definition.as_ref().map(|definition| definition.name.as_str()),
            Some("wrong")
        );
        drop(folder);
    }

    #[test]
    fn a_named_file_that_is_not_there_is_an_error_and_no_definition_at_all_is_none() {
        let (folder, environment) = repository(&[]);
        let here = folder.path().join("app");
        assert!(lint(&check(&environment, &[], &here).unwrap()).1);
        let missing = check(&environment, &[here.join("none.md")], &here);
        assert_eq!(missing.err().unwrap().code, ErrorCode::NotFound);
    }

    #[test]
    fn what_is_no_text_or_too_large_is_said_and_the_rest_is_read() {
        let (folder, environment) = repository(&[("app/.claude/agents/b.md", &definition("b", ""))]);
        let agents = folder.path().join("app/.claude/agents");
        fs::write(agents.join("a.md"), [0xff, 0xfe]).unwrap();
        fs::write(agents.join("c.md"), "x".repeat(300 * 1024)).unwrap();
        std::os::unix::fs::symlink("..", agents.join("circle")).unwrap();
        let checked = check(&environment, &[], folder.path().join("app").as_path()).unwrap();
        let found: Vec<_> =
            checked.iter().map(|file| (file.definition.is_some(), file.has_errors())).collect();
        assert_eq!(found, [(false, true), (true, false), (false, true)]);
        let text = serde_json::to_value(json(&checked)).unwrap();
        assert_eq!((&text[1]["name"], &text[0]["name"]), (&"b".into(), &serde_json::Value::Null));
    }
}
