//! The fields of front matter, and what their values may be.

use saphyr::{MarkedYaml, Scalar, YamlData};

use super::front_matter::{Entry, Parts, Place, text};
use super::{Definition, Finding};

/// Every field: those that Claude Code's documentation of subagents lists, and the shares of a budget, which are ours.
const FIELDS: [&str; 20] = [
    "name",
    "description",
    "tools",
    "disallowedTools",
    "model",
    "permissionMode",
    "maxTurns",
    "maxTokens",
    "maxCents",
    "maxMinutes",
    "skills",
    "mcpServers",
    "hooks",
    "memory",
    "background",
    "effort",
    "isolation",
    "color",
    "initialPrompt",
    "disabled",
];

const PERMISSION_MODES: [&str; 6] =
    ["default", "acceptEdits", "auto", "dontAsk", "bypassPermissions", "plan"];

/// The mode of who only looks.
pub(super) const PLAN: &str = "plan";

const MEMORIES: [&str; 3] = ["user", "project", "local"];
const EFFORTS: [&str; 5] = ["low", "medium", "high", "xhigh", "max"];
const COLORS: [&str; 8] = ["red", "blue", "green", "yellow", "purple", "orange", "pink", "cyan"];

/// Tools that are known here or in Claude Code. Others may be, so one that is not among them is only pointed out.
const TOOLS: [&str; 27] = [
    "shell",
    "edit",
    "computer",
    "browser",
    "plan",
    "evidence",
    "ask",
    "spawn",
    "Agent",
    "Task",
    "Bash",
    "BashOutput",
    "KillShell",
    "Edit",
    "MultiEdit",
    "Write",
    "Read",
    "Glob",
    "Grep",
    "LSP",
    "NotebookEdit",
    "Skill",
    "TodoWrite",
    "ToolSearch",
    "WebFetch",
    "WebSearch",
    "AskUserQuestion",
];

/// The longest name, in characters.
const LONGEST_NAME: usize = 64;

/// The most model calls, tokens, US cents and minutes that can be asked for.
const MOST_TURNS: i64 = 10_000;
const MOST_TOKENS: i64 = 1_000_000_000;
const MOST_CENTS: i64 = 10_000_000;
const MOST_MINUTES: i64 = 100_000;

/// From what likeness on (of 1) a name is taken for another one misspelt.
const ALIKE: f64 = 0.75;

/// Names of tools; one may end in `*`, and one may have names of agents in parentheses.
pub type Tools = Vec<String>;

/// Where a subagent works.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Isolation {
    /// In the working tree of the agent which starts it.
    #[default]
    Shared,
    /// In a git worktree of its own.
    Worktree,
}

pub(super) fn definition(parts: &Parts<'_>, findings: &mut Vec<Finding>) -> Option<Definition> {
    let mut definition = Definition { prompt: parts.prompt.trim().to_owned(), ..Definition::default() };
    for entry in &parts.entries {
        if let Err(finding) = read(entry, &mut definition, findings) {
            findings.push(finding);
        }
    }
    let given = |name: &str| parts.entries.iter().any(|entry| entry.name == name);
    for required in ["name", "description"] {
        if !given(required) {
            findings.push(Place::at(1, 1).error(format!("{required} is missing")));
        }
    }
    if definition.prompt.is_empty() {
        let at = Place::at(parts.prompt_line, 1);
        findings.push(at.warning("there is no prompt: write below the front matter what the agent is to do"));
    }
    Some(definition)
}

fn read(entry: &Entry<'_>, definition: &mut Definition, findings: &mut Vec<Finding>) -> Result<(), Finding> {
    let value = &entry.value;
    match entry.name.as_str() {
        "name" => definition.name = name(value)?,
        "description" => definition.description = words(entry)?,
        "tools" => definition.tools = Some(tools(entry, findings)?),
        "disallowedTools" => definition.disallowed_tools = tools(entry, findings)?,
        "model" => definition.model = Some(words(entry)?),
        "permissionMode" => {
            let mode = one_of(entry, &PERMISSION_MODES)?;
            if mode != PLAN && mode != "default" {
                findings
                    .push(unheeded(entry, "but for plan: which commands need a yes is the task's matter"));
            }
            definition.permission_mode = Some(mode);
        }
        "maxTurns" => definition.max_turns = Some(whole(entry, MOST_TURNS)?),
        "maxTokens" => definition.max_tokens = Some(whole(entry, MOST_TOKENS)?),
        "maxCents" => definition.max_cents = Some(whole(entry, MOST_CENTS)?),
        "maxMinutes" => definition.max_minutes = Some(whole(entry, MOST_MINUTES)?),
        "skills" => definition.skills = list(entry)?.into_iter().map(|(skill, _)| skill).collect(),
        "mcpServers" => definition.mcp_servers = servers(entry)?,
        "hooks" => {
            definition.has_hooks = true;
            findings.push(entry.at.warning("hooks are not run by Nightshift"));
        }
        "memory" => {
            definition.memory = Some(one_of(entry, &MEMORIES)?);
            findings.push(unheeded(entry, "in runs: a subagent remembers nothing of earlier ones"));
        }
        "background" => definition.background = flag(entry)?,
        "effort" => {
            definition.effort = Some(one_of(entry, &EFFORTS)?);
            findings.push(unheeded(entry, "in runs: the model decides how long it thinks"));
        }
        "isolation" => {
            one_of(entry, &["worktree"])?;
            definition.isolation = Isolation::Worktree;
        }
        "color" => {
            definition.color = Some(one_of(entry, &COLORS)?);
            findings.push(unheeded(entry, "by Nightshift"));
        }
        "initialPrompt" => {
            definition.initial_prompt = Some(words(entry)?);
            findings
                .push(unheeded(entry, "in runs: a subagent is told its task by the agent which starts it"));
        }
        "disabled" => {
            flag(entry)?;
            findings.push(entry.at.warning("disabled is not heeded: move the file away instead"));
        }
        unknown => return Err(unknown_field(entry.at, unknown)),
    }
    Ok(())
}

/// What is said of a field that has a meaning elsewhere.
fn unheeded(entry: &Entry<'_>, how_far: &str) -> Finding {
    entry.at.warning(format!("{} is not heeded {how_far}", entry.name))
}

/// A field that is nearly a known one is an error: what it was to say would be lost.
fn unknown_field(at: Place, name: &str) -> Finding {
    match like(name, &FIELDS) {
        Some(meant) => at.error(format!("there is no field {}; {meant} is meant?", shown(name))),
        None => {
            at.warning(format!("there is no field {}; the fields are {}", shown(name), FIELDS.join(", ")))
        }
    }
}

fn like<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let plain = |text: &str| text.to_lowercase().replace(['-', '_', ' '], "");
    let name = plain(name);
    let likeness = |known: &&str| strsim::jaro_winkler(&name, &plain(known));
    let best = known.iter().copied().max_by(|one, other| likeness(one).total_cmp(&likeness(other)))?;
    (likeness(&best) >= ALIKE).then_some(best)
}

fn shown(text: &str) -> String {
    text.chars().filter(|character| !character.is_control()).take(60).collect()
}

fn name(value: &MarkedYaml<'_>) -> Result<String, Finding> {
    let at = Place::of(value);
    let form = "name has to be lower-case letters, digits and hyphens, 64 at most";
    let name = text(value).ok_or_else(|| at.error(form))?;
    let fits =
        |character: char| character.is_ascii_lowercase() || character.is_ascii_digit() || character == '-';
    if name.is_empty() || name.len() > LONGEST_NAME || !name.chars().all(fits) {
        return Err(at.error(format!("{form}, not {}", shown(&name))));
    }
    Ok(name)
}

fn words(entry: &Entry<'_>) -> Result<String, Finding> {
    let found = text(&entry.value).filter(|text| !text.trim().is_empty());
    found.ok_or_else(|| Place::of(&entry.value).error(format!("{} has to be a text", entry.name)))
}

fn one_of(entry: &Entry<'_>, known: &[&str]) -> Result<String, Finding> {
    let given = words(entry)?;
    if known.contains(&given.as_str()) {
        return Ok(given);
    }
    let at = Place::of(&entry.value);
    Err(at.error(format!("{} has to be {}, not {}", entry.name, known.join(", "), shown(&given))))
}

fn flag(entry: &Entry<'_>) -> Result<bool, Finding> {
    match &entry.value.data {
        YamlData::Value(Scalar::Boolean(flag)) => Ok(*flag),
        _ => Err(Place::of(&entry.value).error(format!("{} has to be true or false", entry.name))),
    }
}

/// A whole number from 1 to `most`.
fn whole<T: TryFrom<i64>>(entry: &Entry<'_>, most: i64) -> Result<T, Finding> {
    let number = match &entry.value.data {
        YamlData::Value(Scalar::Integer(number)) if (1..=most).contains(number) => T::try_from(*number).ok(),
        _ => None,
    };
    number.ok_or_else(|| {
        Place::of(&entry.value).error(format!("{} has to be a whole number from 1 to {most}", entry.name))
    })
}

/// A list, or a text with commas; a comma in parentheses parts nothing.
fn list(entry: &Entry<'_>) -> Result<Vec<(String, Place)>, Finding> {
    let wrong =
        |at: Place| at.error(format!("{} has to be a list of names, or names with commas", entry.name));
    if let YamlData::Sequence(items) = &entry.value.data {
        let item = |item: &MarkedYaml<'_>| {
            let at = Place::of(item);
            text(item).map(|text| (text, at)).ok_or_else(|| wrong(at))
        };
        return items.iter().map(item).collect();
    }
    let at = Place::of(&entry.value);
    let whole = text(&entry.value).ok_or_else(|| wrong(at))?;
    let (mut names, mut depth) = (vec![String::new()], 0_u32);
    for character in whole.chars() {
        match character {
            ',' if depth == 0 => {
                names.push(String::new());
                continue;
            }
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if let Some(name) = names.last_mut() {
            name.push(character);
        }
    }
    let names = names.into_iter().map(|name| name.trim().to_owned()).filter(|name| !name.is_empty());
    Ok(names.map(|name| (name, at)).collect())
}

fn tools(entry: &Entry<'_>, findings: &mut Vec<Finding>) -> Result<Tools, Finding> {
    let named = list(entry)?;
    for (tool, at) in &named {
        let plain = tool.split('(').next().unwrap_or_default().trim();
        let known = plain == "*" || plain.starts_with("mcp__") || TOOLS.contains(&plain);
        if !known {
            let meant = like(plain, &TOOLS).map(|meant| format!("; {meant} is meant?")).unwrap_or_default();
            findings.push(at.warning(format!("no tool {} is known{meant}", shown(plain))));
        }
    }
    Ok(named.into_iter().map(|(tool, _)| tool).collect())
}

/// Names, or definitions by name.
fn servers(entry: &Entry<'_>) -> Result<Vec<String>, Finding> {
    let wrong = |at: Place| at.error("mcpServers has to be a list of names, or of definitions by name");
    let named = |node: &MarkedYaml<'_>| match &node.data {
        YamlData::Mapping(servers) => servers.keys().filter_map(text).collect::<Vec<_>>(),
        _ => text(node).into_iter().collect(),
    };
    match &entry.value.data {
        YamlData::Sequence(items) => Ok(items.iter().flat_map(named).collect()),
        YamlData::Mapping(_) => Ok(named(&entry.value)),
        _ => Err(wrong(Place::of(&entry.value))),
    }
}
