//! Calls of tools of a repository's servers that need a yes.

use nightshift_agent::{McpRequest, shorten};
use nightshift_protocol::{Approval, ApprovalPolicy};

use super::SHOWN;

/// The question for a person, where such a call needs a yes. A pattern means it by its name, by its server's
/// (`mcp__SERVER`), or by a beginning (`mcp__SERVER__get*`).
pub(super) fn needed(approval: &Approval, request: &McpRequest) -> Option<String> {
    let is_listed = approval.commands.iter().any(|pattern| request.is(pattern));
    let reason = match approval.policy {
        ApprovalPolicy::Never => return None,
        ApprovalPolicy::Listed | ApprovalPolicy::Risky if is_listed => {
            "It is on the list of what needs a yes."
        }
        ApprovalPolicy::Risky if request.reaches_out => "It may change something beyond the sandbox.",
        ApprovalPolicy::Listed | ApprovalPolicy::Risky => return None,
    };
    let input = serde_json::Value::Object(request.arguments.clone()).to_string();
    Some(format!("May it call `{}` with `{}`? {reason}", request.name, shorten(&input, SHOWN)))
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, json};

    use super::*;

    fn request(reaches_out: bool) -> McpRequest {
        McpRequest {
            name: "mcp__issues__create".to_owned(),
            server: "issues".to_owned(),
            tool: "create".to_owned(),
            arguments: Map::new(),
            repeatable: false,
            reaches_out,
        }
    }

    fn asks(policy: ApprovalPolicy, commands: &[&str], reaches_out: bool) -> bool {
        let commands = commands.iter().map(|command| (*command).to_owned()).collect();
        needed(&Approval { policy, commands }, &request(reaches_out)).is_some()
    }

    #[test]
    fn a_listed_tool_is_asked_about_by_its_name_its_server_or_its_beginning() {
        for pattern in ["mcp__issues__create", "mcp__issues", "mcp__issues__*", "mcp__issues__cre*", "mcp__*"]
        {
            assert!(asks(ApprovalPolicy::Listed, &[pattern], false), "{pattern}");
            assert!(asks(ApprovalPolicy::Risky, &["git push", pattern], false), "{pattern}");
            assert!(!asks(ApprovalPolicy::Never, &[pattern], true), "{pattern}");
        }
        for pattern in ["create", "mcp__issue", "mcp__issues__creat", "mcp__issues__create__x", "git push"] {
            assert!(!asks(ApprovalPolicy::Listed, &[pattern], true), "{pattern}");
        }
    }

    #[test]
    fn risky_is_one_that_its_server_says_may_change_something_beyond_the_sandbox() {
        assert!(asks(ApprovalPolicy::Risky, &[], true));
        assert!(!asks(ApprovalPolicy::Risky, &[], false));
    }

    #[test]
    fn the_question_shows_what_it_is_called_with() {
        let mut request = request(true);
        request.arguments = json!({"title": "It breaks"}).as_object().unwrap().clone();
        let approval = Approval { policy: ApprovalPolicy::Risky, commands: Vec::new() };
        assert_eq!(
            needed(&approval, &request).as_deref(),
            Some(
                "May it call `mcp__issues__create` with `{\"title\":\"It breaks\"}`? It may change something beyond the sandbox."
            )
        );
    }
}
