//! Tools over pull requests.

use nightshift_protocol::{
    AttemptList, ChangedFiles, MergeReply, PullRequestDetail, PullRequestSummary, ReviewQueue,
};
use rmcp::handler::server::wrapper::Parameters;
use rmcp::{tool, tool_router};
use serde_json::{Value, json};

use crate::arguments::{Diff, Merge, OneRun, OneTask};
use crate::owner::{read, segment};
use crate::reply::{Reply, invalid, object, text};
use crate::server::Nightshift;
use crate::words::{Line, plain};

/// The longest diff that is given, in bytes: more would fill the caller's window.
const LONGEST_DIFF: usize = 100_000;

#[tool_router(router = review_tools, vis = "pub(crate)")]
impl Nightshift {
    /// List the pull requests that wait for a review, the one to take first at the beginning.
    #[tool(annotations(title = "List reviews", read_only_hint = true))]
    async fn review_list(&self) -> Reply {
        let queue: ReviewQueue = read(&self.owner.get("/reviews").await?)?;
        let list: Vec<PullRequestSummary> =
            queue.entries.into_iter().map(|entry| entry.pull_request).collect();
        object(&json!({"pull_requests": list}))
    }

    /// Tell what came of the attempts at a task, and how they rank: checks first, then the criteria that a critic found
    /// met, then the smaller change. Equal ones share a place; the reason is in words.
    #[tool(annotations(title = "Compare attempts", read_only_hint = true))]
    async fn review_attempts(&self, Parameters(OneTask { task }): Parameters<OneTask>) -> Reply {
        let path = format!("/tasks/{}/attempts", segment(&task));
        let list: AttemptList = read(&self.owner.get(&path).await?)?;
        let attempts: Vec<Value> = list
            .attempts
            .iter()
            .map(|attempt| {
                json!({
                    "rank": attempt.rank,
                    "why": plain(&attempt.why),
                    "number": attempt.number,
                    "fork_of": attempt.fork_of,
                    "run": Line::of(&attempt.run),
                    "change": attempt.change,
                    "checks": attempt.checks,
                    "critic": attempt.critic,
                })
            })
            .collect();
        object(&json!({"task": list.task, "attempts": attempts}))
    }

    /// Show a run's pull request: description, acceptance criteria with their evidence, commits, changed files.
    #[tool(annotations(title = "Show a pull request", read_only_hint = true))]
    async fn review_show(&self, Parameters(OneRun { run }): Parameters<OneRun>) -> Reply {
        let run = segment(&run);
        let detail: PullRequestDetail = read(&self.owner.get(&format!("/pull-requests/{run}")).await?)?;
        let files: ChangedFiles = read(&self.owner.get(&format!("/pull-requests/{run}/files")).await?)?;
        object(&json!({"head": files.head, "pull_request": detail, "files": files.files}))
    }

    /// Show the diff of a run's pull request, or of one of its files.
    #[tool(annotations(title = "Show a diff", read_only_hint = true))]
    async fn review_diff(&self, Parameters(Diff { run, path }): Parameters<Diff>) -> Reply {
        let run = segment(&run);
        let of = path.map(|path| format!("?path={}", segment(&path))).unwrap_or_default();
        let diff = self.owner.get(&format!("/pull-requests/{run}/diff{of}")).await?;
        text(shown(&String::from_utf8_lossy(&diff)))
    }

    /// Merge a reviewed pull request into its base branch. It is not undone by any tool: only do so when the person
    /// you work for asked for it, and after you have read the diff.
    #[tool(annotations(title = "Merge a pull request", destructive_hint = true))]
    async fn review_merge(&self, Parameters(Merge { run, head }): Parameters<Merge>) -> Reply {
        let run = segment(&run);
        let files: ChangedFiles = read(&self.owner.get(&format!("/pull-requests/{run}/files")).await?)?;
        if files.head.as_str() != head {
            let message = format!("the branch is at {}, and not at what was reviewed", files.head);
            return Err(invalid(message, "Look at it again with review_show and review_diff."));
        }
        let merged: MergeReply =
            read(&self.owner.post(&format!("/pull-requests/{run}/merge"), json!({})).await?)?;
        object(&merged)
    }
}

/// The diff, cut at a line's end.
fn shown(diff: &str) -> String {
    if diff.len() <= LONGEST_DIFF {
        return diff.to_owned();
    }
    let mut end = LONGEST_DIFF;
    while !diff.is_char_boundary(end) {
        end -= 1;
    }
    let end = diff[..end].rfind('\n').map_or(end, |line| line + 1);
    format!(
        "{}(the rest is left out, {} bytes: ask for single files by path)\n",
        &diff[..end],
        diff.len() - end
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_diff_is_cut_at_a_line_and_says_so() {
        let diff = "+ünd\n".repeat(50_000);
        let shown = shown(&diff);
        assert!(shown.len() < LONGEST_DIFF + 200);
        let (kept, said) = shown.rsplit_once("+ünd\n").unwrap();
        assert!(diff.starts_with(kept));
        assert!(said.starts_with("(the rest is left out, "), "{said}");
        assert_eq!(super::shown("short"), "short");
    }
}
