//! Commands that need a person's yes before an agent runs them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::StepId;

/// Which commands of a task need a yes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Approval {
    /// The rule.
    #[serde(default)]
    pub policy: ApprovalPolicy,
    /// The commands of this owner's list, such as `npm publish`: the program, and words that follow it in that order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub commands: Vec<String>,
}

impl Approval {
    /// What holds for a task that names this policy, or none.
    #[must_use]
    pub fn of(&self, policy: Option<ApprovalPolicy>) -> Self {
        Self { policy: policy.unwrap_or(self.policy), commands: self.commands.clone() }
    }
}

/// A rule for which commands need a yes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum ApprovalPolicy {
    /// None.
    Never,
    /// Those of the owner's list.
    #[default]
    Listed,
    /// These, and those that reach beyond the sandbox or work as root.
    Risky,
}

/// What a person decided about a command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum ApprovalDecision {
    /// It is run, this once.
    Approved,
    /// It is not run, and the agent is told.
    Denied {
        /// Why, or what to do instead; possibly empty.
        #[serde(default)]
        words: String,
    },
}

/// What a person decides about the command that a run waits with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DecideApproval {
    /// The step it is about; refused when the run waits with another one by now. Whatever it waits with if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<StepId>,
    /// The decision.
    pub decision: ApprovalDecision,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_task_of_an_older_version_asks_for_no_yes() {
        assert_eq!(serde_json::from_value::<Approval>(json!({})).unwrap(), Approval::default());
        assert_eq!(Approval::default(), Approval { policy: ApprovalPolicy::Listed, commands: Vec::new() });
    }

    #[test]
    fn a_task_may_name_another_policy_and_the_list_stays() {
        let owner = Approval { policy: ApprovalPolicy::Listed, commands: vec!["npm publish".to_owned()] };
        assert_eq!(owner.of(None), owner);
        let risky = Approval { policy: ApprovalPolicy::Risky, ..owner.clone() };
        assert_eq!(owner.of(Some(ApprovalPolicy::Risky)), risky);
    }

    #[test]
    fn a_decision_names_its_step_or_takes_what_waits_and_a_denial_may_have_no_words() {
        let step = "4.1".parse().unwrap();
        let read = |value| serde_json::from_value::<DecideApproval>(value);
        let approved = DecideApproval { step: Some(step), decision: ApprovalDecision::Approved };
        assert_eq!(read(json!({"step": "4.1", "decision": {"type": "approved"}})).unwrap(), approved);
        let denied =
            DecideApproval { step: None, decision: ApprovalDecision::Denied { words: String::new() } };
        assert_eq!(read(json!({"decision": {"type": "denied"}})).unwrap(), denied);
        assert!(read(json!({"decision": {"type": "perhaps"}})).is_err());
        assert!(read(json!({"decision": {"type": "approved"}, "for": "ever"})).is_err());
    }
}
