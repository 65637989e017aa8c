//! `.nightshift/environment.toml`: what a repository says of its set-up itself.

use nightshift_egress::{HostPattern, Rule};
use nightshift_protocol::{DevServer, SetUpPlan, SetUpStep};
use serde::Deserialize;

use super::files::OWN;
use super::plan::{Or, PlanError, name_of};

/// Hosts that can be asked for at most.
const MOST_HOSTS: usize = 100;

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Own {
    steps: Option<Vec<Step>>,
    checks: Option<Vec<Step>>,
    dev_server: Option<Server>,
    inputs: Vec<String>,
    egress: Egress,
}

/// A command alone, or with a name.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Step {
    Command(String),
    Named { name: String, run: String },
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Server {
    run: String,
    port: u16,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Egress {
    allow: Vec<String>,
}

/// Reads it. Steps and checks that it has replace those of `otherwise`, also when there are none in them.
pub(super) fn read(text: &str, otherwise: SetUpPlan) -> Result<SetUpPlan, PlanError> {
    let own: Own = toml::from_str(text).map_err(|error| PlanError::toml(OWN, text, &error))?;
    if own.egress.allow.len() > MOST_HOSTS {
        return Err(PlanError::new(OWN, format!("egress.allow has more than {MOST_HOSTS} hosts")));
    }
    for host in &own.egress.allow {
        let rule: Rule = host.parse().map_err(|error| PlanError::new(OWN, error))?;
        if rule.hosts == HostPattern::Every {
            return Err(PlanError::new(
                OWN,
                "egress.allow names every host with *: name those that are needed",
            ));
        }
    }
    let (no_steps, no_checks) = (own.steps.is_some(), own.checks.is_some());
    let mut plan = SetUpPlan {
        sources: vec![OWN.to_owned()],
        steps: own.steps.into_iter().flatten().map(step).collect(),
        checks: own.checks.into_iter().flatten().map(step).collect(),
        dev_server: own.dev_server.map(|Server { run, port }| DevServer { run, port }),
        hosts: own.egress.allow,
        inputs: own.inputs,
        notes: Vec::new(),
    };
    plan.inputs.push(OWN.to_owned());
    let otherwise = SetUpPlan {
        steps: if no_steps { Vec::new() } else { otherwise.steps },
        checks: if no_checks { Vec::new() } else { otherwise.checks },
        ..otherwise
    };
    Ok(plan.or(otherwise))
}

fn step(step: Step) -> SetUpStep {
    match step {
        Step::Command(run) => SetUpStep { name: name_of(&run), run },
        Step::Named { name, run } => SetUpStep { name: name_of(&name), run },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nothing() -> SetUpPlan {
        super::super::found::nothing()
    }

    #[test]
    fn all_that_can_be_said_is_read() {
        let text = "steps = [{ name = 'install', run = 'npm ci' }, 'make data']\nchecks = ['npm test']\n\
                    inputs = ['tools/versions']\n[dev_server]\nrun = 'npm start'\nport = 3000\n\
                    [egress]\nallow = ['downloads.example.org']\n";
        let step = |name: &str, run: &str| SetUpStep { name: name.to_owned(), run: run.to_owned() };
        assert_eq!(
            read(text, nothing()).unwrap(),
            SetUpPlan {
                sources: vec![OWN.to_owned()],
                steps: vec![step("install", "npm ci"), step("make data", "make data")],
                checks: vec![step("npm test", "npm test")],
                dev_server: Some(DevServer { run: "npm start".to_owned(), port: 3000 }),
                hosts: vec!["downloads.example.org".to_owned()],
                inputs: vec!["tools/versions".to_owned(), OWN.to_owned()],
                notes: Vec::new(),
            }
        );
    }

    #[test]
    fn a_list_that_is_empty_says_that_there_is_nothing_to_do_and_one_that_is_absent_says_nothing() {
        let found = SetUpPlan {
            steps: vec![SetUpStep { name: "x".to_owned(), run: "x".to_owned() }],
            checks: vec![SetUpStep { name: "y".to_owned(), run: "y".to_owned() }],
            ..nothing()
        };
        let plan = read("steps = []\n", found.clone()).unwrap();
        assert_eq!((plan.steps, plan.checks), (Vec::new(), found.checks));
    }

    #[test]
    fn a_misspelt_key_and_a_host_that_is_none_are_named() {
        let odd = [
            "step = []",
            "[egress]\nallow = ['*']",
            "[dev_server]\nrun = 'x'",
            "steps = [1]",
            "steps = []\n\n[egress]\nallowed = []",
        ];
        let said = odd.map(|text| read(text, nothing()).unwrap_err().to_string());
        insta::assert_debug_snapshot!(said);
    }
}
