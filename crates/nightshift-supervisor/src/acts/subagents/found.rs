//! The definitions and rules of a repository at a commit.

use nightshift_agent::subagents::{Definition, DefinitionFile, Finding, Severity, rules};
use nightshift_forge::Repository;
use nightshift_protocol::{AgentFinding, AgentFound, AgentOwner, AgentSummary, CommitId, TreeEntryKind};

use crate::acts::guidance::GUIDANCE;

/// Folders of a repository in which definitions are, the one that counts first before the other.
const FOLDERS: [&str; 2] = [".nightshift/agents", ".claude/agents"];

/// Definitions of one repository that are read at most.
const MOST_DEFINITIONS: usize = 60;

/// Folders below those that are looked into at most.
const MOST_FOLDERS: usize = 20;

/// Files that define nobody of which an agent is told at most, and characters of what it is told of each.
const MOST_TOLD: usize = 10;
const LONGEST_TOLD: usize = 300;

/// The largest definition that is read, in bytes.
const LARGEST: usize = 256 * 1024;

/// The definitions that can be used, in the order of their files; of several of one name the first counts. And of the files that
/// define nobody, what is wrong with each.
pub(super) fn told_apart(files: Vec<DefinitionFile>) -> (Vec<(String, Definition)>, Vec<String>) {
    let mut usable: Vec<(String, Definition)> = Vec::new();
    let mut unusable = Vec::new();
    for DefinitionFile { file, definition, findings } in files {
        match definition {
            Some(definition) if usable.iter().any(|(_, known)| known.name == definition.name) => {}
            Some(definition) => usable.push((file, definition)),
            None => unusable.push(wrong(&file, &findings)),
        }
    }
    let more = unusable.len().saturating_sub(MOST_TOLD);
    if more > 0 {
        unusable.truncate(MOST_TOLD);
        unusable.push(format!("and {more} more"));
    }
    (usable, unusable)
}

/// What is wrong with a file that defines nobody, in one line.
fn wrong(file: &str, findings: &[Finding]) -> String {
    let errors = findings.iter().filter(|finding| finding.severity == Severity::Error);
    let errors: Vec<String> = errors.map(|finding| format!("{file}:{finding}")).collect();
    let line = errors.join("; ").split_whitespace().collect::<Vec<_>>().join(" ");
    line.chars().take(LONGEST_TOLD).collect()
}

/// The definitions that a task could start, with what is wrong with them, and the rules: those of the repository, then the
/// person's.
pub(crate) async fn agents(
    repository: &Repository,
    commit: &CommitId,
    own: Vec<DefinitionFile>,
    routing: &[String],
) -> (Vec<AgentFound>, Vec<String>) {
    let theirs = found(repository, commit).await;
    let mut rules = routing.to_vec();
    rules.extend(guidance_rules(repository, commit).await);
    (told(theirs, own), rules)
}

/// What people are told of definitions that were found.
fn told(theirs: Vec<DefinitionFile>, own: Vec<DefinitionFile>) -> Vec<AgentFound> {
    let all = theirs
        .into_iter()
        .map(|found| (AgentOwner::Repository, found))
        .chain(own.into_iter().map(|found| (AgentOwner::Person, found)));
    let mut told: Vec<AgentFound> = Vec::new();
    for (owner, DefinitionFile { file, definition, findings }) in all {
        let summary = definition.map(summary);
        let first = summary.as_ref().and_then(|this| {
            let same = |earlier: &&AgentFound| {
                earlier.definition.as_ref().is_some_and(|definition| definition.name == this.name)
            };
            told.iter().find(same)
        });
        let shadowed_by = first.map(|first| first.file.clone());
        let findings = findings.into_iter().map(finding).collect();
        told.push(AgentFound { owner, file, definition: summary, shadowed_by, findings });
    }
    told
}

fn summary(definition: Definition) -> AgentSummary {
    let Definition { name, description, model, tools, max_turns, background, .. } = definition;
    let model = model.filter(|model| model != "inherit");
    AgentSummary { name, description, model, tools, max_turns, background }
}

fn finding(finding: Finding) -> AgentFinding {
    let place = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    AgentFinding {
        line: place(finding.line),
        column: place(finding.column),
        is_error: finding.severity == Severity::Error,
        message: finding.message,
    }
}

/// The rules by which agents are chosen that the repository's guidance lists.
pub(super) async fn guidance_rules(repository: &Repository, commit: &CommitId) -> Vec<String> {
    let mut all = Vec::new();
    for path in GUIDANCE {
        if let Ok(bytes) = repository.blob(commit, path, LARGEST).await {
            all.extend(rules(&String::from_utf8_lossy(&bytes)));
        }
    }
    all
}

/// The files with definitions, by the folders' order and then by name.
pub(super) async fn found(repository: &Repository, commit: &CommitId) -> Vec<DefinitionFile> {
    let mut all: Vec<DefinitionFile> = Vec::new();
    for folder in FOLDERS {
        let (mut folders, mut looked) = (vec![folder.to_owned()], 0);
        while let Some(folder) = folders.pop() {
            looked += 1;
            if looked > MOST_FOLDERS || all.len() >= MOST_DEFINITIONS {
                break;
            }
            // A repository without such a folder has none there.
            let Ok(tree) = repository.tree(commit, &folder).await else { continue };
            for entry in tree.entries {
                match entry.kind {
                    TreeEntryKind::Folder => folders.push(entry.path),
                    TreeEntryKind::File if entry.name.ends_with(".md") && all.len() < MOST_DEFINITIONS => {
                        all.push(match repository.blob(commit, &entry.path, LARGEST).await {
                            Ok(bytes) => DefinitionFile::read(entry.path, &String::from_utf8_lossy(&bytes)),
                            Err(error) => DefinitionFile::unread(entry.path, error.to_string()),
                        });
                    }
                    TreeEntryKind::File | TreeEntryKind::Link | TreeEntryKind::Submodule => {}
                }
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(file: &str, text: &str) -> DefinitionFile {
        DefinitionFile::read(file.to_owned(), text)
    }

    fn written(name: &str, more: &str) -> String {
        format!("---\nname: {name}\ndescription: Does {name}.\n{more}---\nDo it.\n")
    }

    #[test]
    fn files_that_define_nobody_are_told_with_what_is_wrong_and_hide_none_that_does() {
        let files = vec![
            one(".nightshift/agents/review.md", &written("review", "maxturns: 3\n")),
            one(".claude/agents/review.md", &written("review", "model: opus\n")),
            one("agents/review.md", &written("review", "")),
            one("agents/two\nlines.md", "no front matter"),
        ];
        let (usable, unusable) = told_apart(files);
        let usable: Vec<&str> = usable.iter().map(|(file, _)| file.as_str()).collect();
        assert_eq!(usable, [".claude/agents/review.md"]);
        assert_eq!(
            unusable[0],
            ".nightshift/agents/review.md:4:1: error: there is no field maxturns; maxTurns is meant?"
        );
        assert!(unusable[1].starts_with("agents/two lines.md:1:1: error: "), "{unusable:?}");
        let many = (0..12).map(|number| one(&format!("{number}.md"), "no front matter"));
        let (_, unusable) = told_apart(many.collect());
        assert_eq!((unusable.len(), unusable[10].as_str()), (11, "and 2 more"));
    }

    #[test]
    fn the_first_that_can_be_used_counts_and_who_is_shadowed_says_by_which_file() {
        let theirs = vec![
            one(".nightshift/agents/wrong.md", &written("review", "maxturns: 3\n")),
            one(".claude/agents/review.md", &written("review", "model: opus\n")),
        ];
        let own = vec![
            one("agents/review.md", &written("review", "")),
            one("agents/broken.md", &written("broken", "color: pinkish\n")),
            one("agents/mine.md", &written("mine", "")),
        ];
        let told = told(theirs, own);
        let shown: Vec<_> = told
            .iter()
            .map(|agent| {
                let name = agent.definition.as_ref().map(|definition| definition.name.as_str());
                (agent.owner, name, agent.shadowed_by.as_deref(), agent.findings.len())
            })
            .collect();
        assert_eq!(
            shown,
            [
                (AgentOwner::Repository, None, None, 1),
                (AgentOwner::Repository, Some("review"), None, 0),
                (AgentOwner::Person, Some("review"), Some(".claude/agents/review.md"), 0),
                (AgentOwner::Person, None, None, 1),
                (AgentOwner::Person, Some("mine"), None, 0),
            ]
        );
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place_and_whether_it_is_in_the_way() {
        let told = told(
            vec![
                one("a.md", &written("a", "tools: Bsh\n")),
                one("b.md", &written("b", "maxturns: 3\n")),
                one("c.md", "no front matter"),
            ],
            Vec::new(),
        );
        let places: Vec<_> =
            told.iter().flat_map(|agent| &agent.findings).map(|found| (found.line, found.is_error)).collect();
        assert_eq!(places, [(4, false), (4, true), (1, true)]);
        assert!(told[0].findings[0].message.contains("Bash is meant"), "{told:?}");
        assert_eq!(told[0].definition.as_ref().unwrap().tools, Some(vec!["Bsh".to_owned()]));
    }

    #[test]
    fn a_model_that_is_inherited_is_none_of_its_own() {
        let told = told(
            vec![one("a.md", &written("a", "model: inherit\nbackground: true\nmaxTurns: 7\n"))],
            Vec::new(),
        );
        let expected = AgentSummary {
            name: "a".to_owned(),
            description: "Does a.".to_owned(),
            model: None,
            tools: None,
            max_turns: Some(7),
            background: true,
        };
        assert_eq!(told[0].definition, Some(expected));
    }
}
