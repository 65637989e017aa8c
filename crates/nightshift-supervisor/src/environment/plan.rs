//! How a repository is set up: the one decision, of its files alone.

use nightshift_protocol::SetUpPlan;

use super::files::{DEVCONTAINERS, Files, OWN};
use super::{devcontainer, found, own};

/// Steps and checks of a plan at most, and the longest command.
const MOST_STEPS: usize = 30;
const LONGEST_COMMAND: usize = 8_192;

/// A file that says how a repository is set up is not understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {why}")]
pub(crate) struct PlanError {
    /// The file.
    pub(crate) path: String,
    /// What is wrong with it.
    pub(crate) why: String,
}

impl PlanError {
    pub(super) fn new(path: &str, why: impl std::fmt::Display) -> Self {
        // What a repository's text leads to is shown to people: not at any length, and without control characters.
        let why = why.to_string();
        let why = why.chars().map(|character| if character.is_control() { ' ' } else { character });
        Self { path: path.to_owned(), why: why.take(300).collect() }
    }

    /// What is wrong with a text that is to be TOML, and in which line.
    pub(super) fn toml(path: &str, text: &str, error: &toml::de::Error) -> Self {
        let before =
            error.span().map(|span| text.bytes().take(span.start).filter(|byte| *byte == b'\n').count());
        match before {
            Some(lines) => Self::new(path, format!("line {}: {}", lines + 1, error.message())),
            None => Self::new(path, error.message()),
        }
    }
}

/// Decides how a repository is set up: as it says itself, as its development container does, or as its manifests are
/// commonly used. What an earlier source leaves open a later one fills in.
pub(crate) fn plan(files: &Files) -> Result<SetUpPlan, PlanError> {
    let found = found::find(files)?;
    let container = DEVCONTAINERS.into_iter().find(|path| files.has(path));
    let mut plan = match container {
        Some(path) => devcontainer::read(path, &files.text(path).unwrap_or_default())?.or(found),
        None => found,
    };
    if let Some(text) = files.text(OWN) {
        plan = own::read(&text, plan)?;
    }
    plan.inputs.sort();
    plan.inputs.dedup();
    check(&plan)?;
    Ok(plan)
}

fn check(plan: &SetUpPlan) -> Result<(), PlanError> {
    let source = plan.sources.first().map_or(OWN, String::as_str);
    let steps = || plan.steps.iter().chain(&plan.checks);
    if steps().count() > MOST_STEPS {
        return Err(PlanError::new(source, format!("there are more than {MOST_STEPS} steps and checks")));
    }
    let server = plan.dev_server.iter().map(|server| server.run.as_str());
    for command in steps().map(|step| step.run.as_str()).chain(server) {
        if command.trim().is_empty() || command.len() > LONGEST_COMMAND || command.contains('\0') {
            let why =
                format!("a command is empty, has a zero byte, or has more than {LONGEST_COMMAND} bytes");
            return Err(PlanError::new(source, why));
        }
    }
    Ok(())
}

/// A name for a command that was given none: its first line, cut.
pub(super) fn name_of(command: &str) -> String {
    let line = command.trim().lines().next().unwrap_or_default();
    let clean = line.chars().filter(|character| !character.is_control());
    clean.take(60).collect()
}

/// Fills in what one source left open.
pub(super) trait Or {
    /// What `self` does not say, `other` says.
    fn or(self, other: SetUpPlan) -> SetUpPlan;
}

impl Or for SetUpPlan {
    fn or(mut self, other: SetUpPlan) -> SetUpPlan {
        let used = self.steps.is_empty() || self.checks.is_empty();
        if self.steps.is_empty() {
            self.steps = other.steps;
        }
        if self.checks.is_empty() {
            self.checks = other.checks;
        }
        if used {
            self.sources.extend(other.sources);
            self.notes.extend(other.notes);
        }
        self.dev_server = self.dev_server.or(other.dev_server);
        // Whoever says the steps uses the same manifests, and they change with them.
        self.inputs.extend(other.inputs);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PACKAGE: &str = r#"{"scripts": {"test": "node --test"}, "dependencies": {"a": "1"}}"#;

    fn runs(plan: &SetUpPlan) -> Vec<&str> {
        plan.steps.iter().chain(&plan.checks).map(|step| step.run.as_str()).collect()
    }

    #[test]
    fn what_the_repository_says_itself_goes_before_the_container_and_that_before_the_manifests() {
        let container = (".devcontainer/devcontainer.json", r#"{ "postCreateCommand": "make tools" }"#);
        let package = ("package.json", PACKAGE);
        let own = (".nightshift/environment.toml", "steps = ['./set-up']");
        assert_eq!(
            runs(&plan(&Files::of(&[package])).unwrap()),
            ["npm install --no-package-lock --no-audit --no-fund", "npm test"]
        );
        assert_eq!(runs(&plan(&Files::of(&[package, container])).unwrap()), ["make tools", "npm test"]);
        let all = plan(&Files::of(&[package, container, own])).unwrap();
        assert_eq!(runs(&all), ["./set-up", "npm test"]);
        assert_eq!(
            all.inputs,
            [".devcontainer/devcontainer.json", ".nightshift/environment.toml", "package.json"]
        );
    }

    #[test]
    fn a_repository_without_any_of_it_has_an_empty_plan() {
        assert!(plan(&Files::of(&[("README.md", "words")])).unwrap().is_empty());
    }

    #[test]
    fn a_file_that_is_not_understood_is_named_and_nothing_is_guessed_instead() {
        let broken = Files::of(&[("package.json", PACKAGE), (".devcontainer.json", "{ not json")]);
        assert_eq!(plan(&broken).unwrap_err().path, ".devcontainer.json");
    }

    #[test]
    fn a_plan_has_a_length_at_which_it_is_refused() {
        let many: Vec<String> = (0..31).map(|number| format!("'true {number}'")).collect();
        let own = format!("steps = [{}]", many.join(", "));
        let error = plan(&Files::of(&[(".nightshift/environment.toml", &own)])).unwrap_err();
        assert!(error.why.contains("more than 30"), "{}", error.why);
    }

    proptest! {
        /// Whatever a repository writes into these files, planning ends, and what comes out is within its bounds.
        #[test]
        fn hostile_files_lead_to_a_bounded_plan_or_to_a_short_error(
            own in ".{0,200}", container in ".{0,200}", package in ".{0,200}", make in ".{0,200}",
        ) {
            let files = Files::of(&[
                (".nightshift/environment.toml", &own), (".devcontainer.json", &container),
                ("package.json", &package), ("Makefile", &make),
            ]);
            match plan(&files) {
                Ok(plan) => prop_assert!(plan.steps.len() + plan.checks.len() <= MOST_STEPS),
                Err(error) => prop_assert!(error.why.chars().count() <= 300 && !error.why.contains('\n')),
            }
        }

        /// The order in which files are listed changes nothing.
        #[test]
        fn planning_is_a_function_of_the_files_alone(steps in proptest::collection::vec("[a-z ]{1,20}", 1..5)) {
            let list: Vec<String> = steps.iter().map(|step| format!("'x {step}'")).collect();
            let own = format!("steps = [{}]", list.join(", "));
            let one = Files::of(&[(".nightshift/environment.toml", &own), ("package.json", PACKAGE)]);
            let other = Files::of(&[("package.json", PACKAGE), (".nightshift/environment.toml", &own)]);
            prop_assert_eq!(plan(&one), plan(&other));
        }
    }
}
