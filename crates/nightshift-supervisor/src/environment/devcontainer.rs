//! `devcontainer.json` (containers.dev, "Dev Container metadata reference"): its commands are the set-up's.
//!
//! A sandbox is a machine and no container: image, features and mounts are not used, which is said.

use jsonc_parser::ParseOptions;
use nightshift_protocol::{SetUpPlan, SetUpStep};
use serde_json::Value;

use super::plan::PlanError;

/// The commands that make a container ready, in the order the reference gives. `initializeCommand` runs on the host and
/// is never run.
const COMMANDS: [&str; 3] = ["onCreateCommand", "updateContentCommand", "postCreateCommand"];

/// Parts that describe a container, or the host.
const NOT_USED: [&str; 9] = [
    "image",
    "build",
    "dockerFile",
    "dockerComposeFile",
    "features",
    "mounts",
    "initializeCommand",
    "postStartCommand",
    "postAttachCommand",
];

/// Reads it.
pub(super) fn read(path: &str, text: &str) -> Result<SetUpPlan, PlanError> {
    let parsed = jsonc_parser::parse_to_serde_value::<Value>(text, &ParseOptions::default())
        .map_err(|error| PlanError::new(path, error))?;
    let container = parsed.as_object().ok_or_else(|| PlanError::new(path, "it is no object"))?;
    let mut steps = Vec::new();
    for key in COMMANDS {
        if let Some(value) = container.get(key) {
            steps.extend(commands(path, key, value)?);
        }
    }
    let unused: Vec<&str> = NOT_USED.into_iter().filter(|key| container.contains_key(*key)).collect();
    let notes = if unused.is_empty() {
        Vec::new()
    } else {
        vec![format!(
            "{path}: not used, because a sandbox is a machine and no container: {}",
            unused.join(", ")
        )]
    };
    Ok(SetUpPlan {
        sources: vec![path.to_owned()],
        steps,
        checks: Vec::new(),
        dev_server: None,
        hosts: Vec::new(),
        inputs: vec![path.to_owned()],
        notes,
    })
}

/// A command is a line for a shell, a program with its arguments, or several of these by name.
fn commands(path: &str, key: &str, value: &Value) -> Result<Vec<SetUpStep>, PlanError> {
    let wrong = || PlanError::new(path, format!("{key} is no command"));
    let one = |value: &Value| match value {
        Value::String(line) => Ok(line.clone()),
        Value::Array(words) => {
            let words: Option<Vec<String>> =
                words.iter().map(|word| word.as_str().map(crate::repository::quoted)).collect();
            words.map(|words| words.join(" ")).ok_or_else(wrong)
        }
        _ => Err(wrong()),
    };
    match value {
        Value::Null => Ok(Vec::new()),
        // Containers run these at the same time; one after the other comes to the same end, with a log one can read.
        Value::Object(several) => {
            let mut steps = several
                .iter()
                .map(|(name, value)| {
                    Ok(SetUpStep { name: super::plan::name_of(&format!("{key}: {name}")), run: one(value)? })
                })
                .collect::<Result<Vec<_>, _>>()?;
            // By name: whether JSON keeps its order depends on who else reads some.
            steps.sort_by(|one, other| one.name.cmp(&other.name));
            Ok(steps)
        }
        value => {
            let run = one(value)?;
            Ok(if run.trim().is_empty() { Vec::new() } else { vec![SetUpStep { name: key.to_owned(), run }] })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(text: &str) -> Vec<(String, String)> {
        let plan = read("devcontainer.json", text).unwrap();
        plan.steps.into_iter().map(|step| (step.name, step.run)).collect()
    }

    #[test]
    fn comments_and_commas_at_the_end_are_allowed_as_editors_write_them() {
        let text = "// For the editor\n{\n  /* set-up */ \"postCreateCommand\": \"npm ci\", // all\n}\n";
        assert_eq!(steps(text), [("postCreateCommand".to_owned(), "npm ci".to_owned())]);
    }

    #[test]
    fn a_command_has_three_forms_and_they_run_in_the_order_of_the_reference() {
        let text = r#"{
            "postCreateCommand": { "web": "npm ci", "api": ["pip", "install", "-r", "it's.txt"] },
            "onCreateCommand": ["make", "tools"],
            "updateContentCommand": ""
        }"#;
        let expected = [
            ("onCreateCommand", "'make' 'tools'"),
            ("postCreateCommand: api", r"'pip' 'install' '-r' 'it'\''s.txt'"),
            ("postCreateCommand: web", "npm ci"),
        ];
        assert_eq!(steps(text), expected.map(|(name, run)| (name.to_owned(), run.to_owned())));
    }

    #[test]
    fn what_describes_a_container_is_not_used_and_that_is_said() {
        let plan =
            read("d.json", r#"{"image": "x", "features": {}, "initializeCommand": "rm -rf /"}"#).unwrap();
        assert_eq!(plan.steps, []);
        assert_eq!(
            plan.notes,
            [
                "d.json: not used, because a sandbox is a machine and no container: image, features, initializeCommand"
            ]
        );
    }

    #[test]
    fn a_command_that_is_none_is_refused_by_its_name() {
        for text in [r#"{"postCreateCommand": 7}"#, r#"{"postCreateCommand": ["a", 7]}"#] {
            assert_eq!(read("d.json", text).unwrap_err().why, "postCreateCommand is no command");
        }
        assert_eq!(read("d.json", "[]").unwrap_err().why, "it is no object");
    }
}
