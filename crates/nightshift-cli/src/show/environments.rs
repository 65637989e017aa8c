//! Environments as text.

use std::fmt::Write;

use nightshift_protocol::{EnvironmentState, EnvironmentSummary, PlannedEnvironment, SetUpPlan, SetUpStep};

use super::plain as clean;

/// How a repository would be set up.
pub(crate) fn planned(planned: &PlannedEnvironment) -> String {
    let mut text = format!(
        "{} at {} ({})\n",
        clean(&planned.repository),
        short(planned.commit.as_str()),
        clean(&planned.branch)
    );
    text += &plan(&planned.plan);
    if !planned.plan.is_empty() {
        let registries = planned.registries.iter().map(|registry| format!("  {}\n", clean(registry)));
        let registries: String = registries.collect();
        let none = "  none: set [registries] in config.toml\n".to_owned();
        let _ = write!(
            text,
            "package registries while it is set up:\n{}",
            if registries.is_empty() { none } else { registries }
        );
    }
    text.trim_end().to_owned()
}

/// That a set-up has begun.
pub(crate) fn begun(summary: &EnvironmentSummary) -> String {
    let repository = clean(&summary.repository);
    format!("{}: setting up {repository} at {}", summary.environment, short(summary.commit.as_str()))
}

/// Environments, one a line.
pub(crate) fn list(list: &[EnvironmentSummary]) -> String {
    if list.is_empty() {
        return "There is no environment. `nightshift environment set-up` makes one.".to_owned();
    }
    let line = |one: &EnvironmentSummary| {
        let repository = clean(&one.repository);
        format!("{}  {:<28}  {repository} {}", one.environment, state(one), short(one.commit.as_str()))
    };
    list.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// An environment with its phases.
pub(crate) fn summary(summary: &EnvironmentSummary) -> String {
    let mut text = format!("{}\n{}", list(std::slice::from_ref(summary)), plan(&summary.plan));
    text += "phases\n";
    let under_way = match &summary.state {
        EnvironmentState::SettingUp { phase } | EnvironmentState::Failed { phase, .. } => *phase as usize,
        EnvironmentState::Ready { .. } | EnvironmentState::Removed { .. } => usize::MAX,
    };
    for (number, phase) in summary.phases.iter().enumerate() {
        let how = match (phase.took_ms, &summary.state) {
            (Some(took), _) => format!("{:.1} s", took as f64 / 1_000.0),
            (None, EnvironmentState::Failed { .. }) if number == under_way => "failed".to_owned(),
            (None, _) if number == under_way => "under way".to_owned(),
            (None, _) => String::new(),
        };
        let _ = writeln!(text, "  {:>9}  {}", how, clean(&phase.name));
    }
    if let EnvironmentState::Failed { failure, .. } = &summary.state {
        let _ = writeln!(text, "\n{}", clean(&failure.error.message));
        if let Some(command) = &failure.command {
            let _ = writeln!(text, "  $ {}", clean(command));
        }
        for line in clean(&failure.log_tail).lines() {
            let _ = writeln!(text, "  | {line}");
        }
        if let Some(sandbox) = &summary.sandbox {
            let _ = writeln!(text, "The machine is kept ({sandbox}).");
        }
        let _ = writeln!(text, "{}", clean(&failure.error.hint));
    }
    text.trim_end().to_owned()
}

fn state(summary: &EnvironmentSummary) -> String {
    let name =
        |phase: u32| summary.phases.get(phase as usize).map(|phase| clean(&phase.name)).unwrap_or_default();
    match &summary.state {
        EnvironmentState::SettingUp { phase } => {
            format!("{}/{} {}", phase + 1, summary.phases.len(), name(*phase))
        }
        EnvironmentState::Ready { .. } => "ready".to_owned(),
        EnvironmentState::Failed { phase, .. } => format!("failed: {}", name(*phase)),
        EnvironmentState::Removed { reason } => format!("removed: {}", clean(reason)),
    }
}

fn short(commit: &str) -> &str {
    commit.get(..12).unwrap_or(commit)
}

/// What is done to set a repository up.
pub(crate) fn plan(plan: &SetUpPlan) -> String {
    let mut text = String::new();
    if plan.is_empty() && plan.checks.is_empty() {
        return "Nothing in it says how it is set up: .nightshift/environment.toml can (docs/environments.md).\n"
            .to_owned();
    }
    let _ = writeln!(text, "read from {}", clean(&plan.sources.join(", ")));
    let mut list = |title: &str, steps: &[SetUpStep]| {
        for step in steps {
            let _ = writeln!(text, "  {title:<5}  {}", clean(&step.name));
            for line in step.run.lines().filter(|_| step.run != step.name) {
                let _ = writeln!(text, "           $ {}", clean(line));
            }
        }
    };
    list("step", &plan.steps);
    list("check", &plan.checks);
    if plan.checks.is_empty() {
        text += "  no checks: nothing proves that it works\n";
    }
    if let Some(server) = &plan.dev_server {
        let _ = writeln!(text, "  server {} at port {}", clean(&server.run), server.port);
    }
    for note in &plan.notes {
        let _ = writeln!(text, "  note   {}", clean(note));
    }
    if !plan.hosts.is_empty() {
        let _ = writeln!(text, "asks for {}", clean(&plan.hosts.join(", ")));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use nightshift_protocol::{
        DevServer, EnvironmentCause, ErrorCode, OffsetDateTime, PhaseSummary, SetUpFailure, UserError,
    };

    fn step(name: &str, run: &str) -> SetUpStep {
        SetUpStep { name: name.to_owned(), run: run.to_owned() }
    }

    fn example() -> PlannedEnvironment {
        PlannedEnvironment {
            repository: "/src/app".to_owned(),
            branch: "main".to_owned(),
            commit: "a".repeat(40).parse().unwrap(),
            plan: SetUpPlan {
                sources: vec!["package.json".to_owned()],
                steps: vec![step("install npm packages", "npm ci")],
                checks: vec![step("npm test", "npm test")],
                dev_server: Some(DevServer { run: "npm start".to_owned(), port: 3000 }),
                hosts: vec!["downloads.example.org".to_owned()],
                inputs: Vec::new(),
                notes: vec!["something is not used".to_owned()],
            },
            registries: vec!["npm https://npm.example.org/".to_owned()],
        }
    }

    #[test]
    fn a_plan_shows_what_is_run_what_proves_it_and_what_is_open() {
        let shown = planned(&example());
        for line in [
            "/src/app at aaaaaaaaaaaa (main)",
            "read from package.json",
            "  step   install npm packages",
            "           $ npm ci",
            "  check  npm test",
            "  server npm start at port 3000",
            "  note   something is not used",
            "asks for downloads.example.org",
            "package registries while it is set up:",
            "  npm https://npm.example.org/",
        ] {
            assert!(shown.lines().any(|shown| shown == line), "{line:?} is not in\n{shown}");
        }
    }

    fn failed() -> EnvironmentSummary {
        let plan = example().plan;
        let phases = plan.phases().into_iter().enumerate().map(|(number, phase)| PhaseSummary {
            name: plan.name_of(phase),
            took_ms: (number < 2).then_some(1_234),
        });
        EnvironmentSummary {
            environment: "environment-0123456789".parse().unwrap(),
            repository: "/src/app".to_owned(),
            branch: "main".to_owned(),
            commit: "a".repeat(40).parse().unwrap(),
            state: EnvironmentState::Failed {
                phase: 2,
                failure: SetUpFailure {
                    command: Some("npm ci".to_owned()),
                    exit_code: Some(1),
                    error: UserError::new(
                        ErrorCode::SandboxFailed,
                        "a command of the set-up ended with exit status 1",
                        "Try again.",
                    ),
                    log_tail: "npm error one\n\u{1b}[2Jnpm error two".to_owned(),
                },
            },
            phases: phases.collect(),
            plan,
            cause: EnvironmentCause::Asked,
            sandbox: Some("sandbox-0123456789".parse().unwrap()),
            created_at: OffsetDateTime::UNIX_EPOCH,
            updated_at: OffsetDateTime::UNIX_EPOCH,
        }
    }

    #[test]
    fn a_failure_shows_the_command_the_end_of_its_log_and_what_to_do() {
        let shown = summary(&failed());
        for line in [
            "phases",
            "      1.2 s  make a sandbox",
            "     failed  install npm packages",
            "a command of the set-up ended with exit status 1",
            "  $ npm ci",
            "  | npm error one",
            "  | [2Jnpm error two",
            "The machine is kept (sandbox-0123456789).",
            "Try again.",
        ] {
            assert!(shown.lines().any(|shown| shown == line), "{line:?} is not in\n{shown}");
        }
    }

    #[test]
    fn a_list_has_a_line_for_each_and_says_what_to_do_when_there_is_none() {
        let ready =
            EnvironmentSummary { state: EnvironmentState::Ready { template: "k".to_owned() }, ..failed() };
        let under_way = EnvironmentSummary { state: EnvironmentState::SettingUp { phase: 3 }, ..failed() };
        let shown = list(&[ready, under_way, failed()]);
        let words = ["ready", "4/6 check: npm test", "failed: install npm packages"];
        for (line, words) in shown.lines().zip(words) {
            assert!(line.starts_with("environment-0123456789  ") && line.contains(words), "{line}");
            assert!(line.ends_with("/src/app aaaaaaaaaaaa"), "{line}");
        }
        assert_eq!(shown.lines().count(), 3);
        assert_eq!(list(&[]), "There is no environment. `nightshift environment set-up` makes one.");
    }

    #[test]
    fn a_repository_that_says_nothing_is_told_how_to() {
        let mut planned_ = example();
        planned_.plan.steps.clear();
        planned_.plan.dev_server = None;
        // What would prove it is shown, though nothing is installed before.
        assert!(planned(&planned_).contains("check"));
        planned_.plan.checks.clear();
        assert!(planned(&planned_).ends_with("environment.toml can (docs/environments.md)."));
    }

    #[test]
    fn what_a_repository_calls_its_steps_does_not_reach_the_terminal_as_it_is() {
        let mut hostile = example();
        hostile.plan.steps[0].name = "install\u{1b}[2Jgone".to_owned();
        assert!(!planned(&hostile).contains('\u{1b}'));
    }
}
