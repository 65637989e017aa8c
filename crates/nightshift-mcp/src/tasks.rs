//! Tools over tasks and their runs.

use std::path::Path;

use nightshift_protocol::{
    MessageDelivery, RaiseLimits, RunDetail, RunList, RunState, RunSummary, SayToRun, SubmitReply,
    SubmitTask, Uncommitted, UserError,
};
use rmcp::handler::server::wrapper::Parameters;
use rmcp::model::{CallToolResult, ContentBlock};
use rmcp::service::RequestContext;
use rmcp::{RoleServer, tool, tool_router};
use serde::Serialize;
use serde_json::{Value, json};

use crate::arguments::{Answer, Delivery, List, OneRun, Steer, Submit, Wait};
use crate::owner::{read, segment};
use crate::reply::{Reply, invalid, object};
use crate::server::Nightshift;
use crate::words::Line;

/// Money a task may be given, in US dollars.
const BUDGETS: std::ops::RangeInclusive<f64> = 0.01..=100_000.0;

#[derive(Serialize)]
struct Lines {
    runs: Vec<Line>,
}

#[tool_router(router = task_tools, vis = "pub(crate)")]
impl Nightshift {
    /// Give a task to a background agent, which works on it in a virtual machine of its own and opens a pull request.
    /// Returns at once with the run's id, or those of all attempts; follow each with task_wait.
    #[tool(annotations(title = "Submit a task", read_only_hint = false, destructive_hint = false))]
    async fn task_submit(&self, Parameters(wish): Parameters<Submit>) -> Reply {
        let request = submission(wish, self.folder.as_deref())?;
        let body = serde_json::to_value(&request).map_err(|error| invalid(error.to_string(), ""))?;
        let reply: SubmitReply = read(&self.owner.post("/tasks", body).await?)?;
        object(&reply)
    }

    /// List tasks and what their runs are doing, the newest first.
    #[tool(annotations(title = "List tasks", read_only_hint = true))]
    async fn task_list(&self, Parameters(List { all }): Parameters<List>) -> Reply {
        let which = if all { "" } else { "&state=unfinished" };
        let list: RunList = read(&self.owner.get(&format!("/runs?limit=100{which}")).await?)?;
        object(&Lines { runs: list.runs.iter().map(Line::of).collect() })
    }

    /// Show one run: its state, plan, evidence, what it used, its pull request.
    #[tool(annotations(title = "Show a run", read_only_hint = true))]
    async fn task_show(&self, Parameters(OneRun { run }): Parameters<OneRun>) -> Reply {
        let detail: RunDetail = read(&self.owner.get(&format!("/runs/{}", segment(&run))).await?)?;
        object(&json!({
            "run": Line::of(&detail.summary),
            "description": detail.summary.task.description,
            "plan": detail.plan,
            "evidence": detail.evidence,
            "self_reviews": detail.self_reviews,
            "pull_request": detail.pull_request,
        }))
    }

    /// Wait until a run needs somebody (a question, a pause, a pull request to review) or has ended, telling what
    /// happens meanwhile as progress. After the timeout it answers how the run stands: call it again.
    #[tool(annotations(title = "Wait for a run", read_only_hint = true))]
    async fn task_wait(
        &self,
        Parameters(wish): Parameters<Wait>,
        context: RequestContext<RoleServer>,
    ) -> Reply {
        self.wait(&wish, &context).await
    }

    /// Write to a run's agent without stopping it, so that it changes course.
    #[tool(annotations(title = "Steer a run", destructive_hint = false))]
    async fn task_steer(&self, Parameters(Steer { run, text, delivery }): Parameters<Steer>) -> Reply {
        let delivery = match delivery {
            Delivery::Steer => MessageDelivery::Steer,
            Delivery::Queue => MessageDelivery::Queue,
            Delivery::Interrupt => MessageDelivery::Interrupt,
        };
        self.say(&run, text, delivery).await
    }

    /// Answer the question a run's agent asked.
    #[tool(annotations(title = "Answer a question", destructive_hint = false))]
    async fn task_answer(&self, Parameters(Answer { run, text }): Parameters<Answer>) -> Reply {
        let summary = self.summary(&run).await?;
        if !matches!(summary.state, RunState::Waiting { .. }) {
            let message = format!("{} asks nothing: it is {}", summary.run, summary.state.name());
            return Err(invalid(message, "Write to it with task_steer."));
        }
        self.say(&run, text, MessageDelivery::Steer).await
    }

    /// Let a paused run go on, within the limits it has.
    #[tool(annotations(title = "Continue a run", destructive_hint = false))]
    async fn task_continue(&self, Parameters(OneRun { run }): Parameters<OneRun>) -> Reply {
        self.act(&run, "continue", json!({})).await
    }

    /// Give a run up and remove its sandbox. What it did and did not deliver is lost.
    #[tool(annotations(title = "Cancel a run", destructive_hint = true, idempotent_hint = true))]
    async fn task_cancel(&self, Parameters(OneRun { run }): Parameters<OneRun>) -> Reply {
        self.act(&run, "cancel", json!({})).await
    }

    /// Look at the screen of a run's sandbox as it is now, without disturbing its agent.
    #[tool(annotations(title = "Look at a run's screen", read_only_hint = true))]
    async fn task_screen(&self, Parameters(OneRun { run }): Parameters<OneRun>) -> Reply {
        use base64::Engine;
        let picture = self.owner.get(&format!("/runs/{}/thumbnail?width=1280", segment(&run))).await?;
        let picture = base64::engine::general_purpose::STANDARD.encode(picture);
        Ok(CallToolResult::success(vec![ContentBlock::image(picture, "image/jpeg")]))
    }
}

impl Nightshift {
    pub(crate) async fn summary(&self, run: &str) -> Result<RunSummary, UserError> {
        let detail: RunDetail = read(&self.owner.get(&format!("/runs/{}", segment(run))).await?)?;
        Ok(detail.summary)
    }

    async fn say(&self, run: &str, text: String, delivery: MessageDelivery) -> Reply {
        self.act(run, "messages", json!(SayToRun { text, delivery })).await
    }

    async fn act(&self, run: &str, operation: &str, body: Value) -> Reply {
        let answer = self.owner.post(&format!("/runs/{}/{operation}", segment(run)), body).await?;
        object(&Line::of(&read::<RunSummary>(&answer)?))
    }
}

fn submission(wish: Submit, folder: Option<&Path>) -> Result<SubmitTask, crate::reply::Refused> {
    if let Some(dollars) = wish.budget_usd.filter(|dollars| !BUDGETS.contains(dollars)) {
        let message = format!("budget_usd {dollars} is not between 0.01 and 100000 US dollars");
        return Err(invalid(message, "Give it in dollars, for example 2.50."));
    }
    let repository = match (wish.repository, folder) {
        (Some(named), _) => named,
        (None, Some(folder)) => folder.display().to_string(),
        (None, None) => return Err(invalid("no repository is named", "Name an absolute folder or a URL.")),
    };
    // The owner's settings say what is not told.
    let limits = RaiseLimits {
        turns: None,
        tokens: None,
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "in range and positive: it was checked above"
        )]
        cost_microdollars: wish.budget_usd.map(|dollars| (dollars * 1_000_000.0).round() as u64),
        seconds: wish.minutes.map(|minutes| u64::from(minutes) * 60),
    };
    Ok(SubmitTask {
        description: wish.description,
        criteria: wish.criteria,
        self_review_rounds: wish.self_review_rounds,
        approval: None,
        repository,
        base_branch: wish.base_branch,
        model: wish.model,
        limits,
        attempts: wish.attempts,
        engine: wish.engine,
        issue: None,
        uncommitted: if wish.leave_out_uncommitted { Uncommitted::LeaveOut } else { Uncommitted::Refuse },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(more: Value) -> Submit {
        let mut wish = json!({"description": "Fix it"});
        wish.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        serde_json::from_value(wish).unwrap()
    }

    #[test]
    fn a_task_without_a_repository_is_for_the_folder_the_server_was_started_in() {
        let request = submission(wish(json!({})), Some(Path::new("/home/ada/app"))).unwrap();
        assert_eq!(request.repository, "/home/ada/app");
        assert!(submission(wish(json!({})), None).unwrap_err().0.message.contains("no repository"));
    }

    #[test]
    fn a_task_is_attempted_once_unless_more_is_asked_for() {
        let attempts = |more| submission(wish(more), Some(Path::new("/src"))).unwrap().attempts;
        assert_eq!((attempts(json!({})), attempts(json!({"attempts": 3}))), (1, 3));
    }

    #[test]
    fn budget_and_minutes_are_passed_on_and_the_rest_is_left_to_the_owner() {
        let request =
            submission(wish(json!({"repository": "a/b", "budget_usd": 2.5, "minutes": 3})), None).unwrap();
        let limits =
            RaiseLimits { cost_microdollars: Some(2_500_000), seconds: Some(180), ..RaiseLimits::default() };
        assert_eq!((request.limits, request.uncommitted), (limits, Uncommitted::Refuse));
        assert!(submission(wish(json!({"budget_usd": -1.0})), None).is_err());
    }

    #[test]
    fn the_engine_is_the_caller_s_or_left_to_the_owner() {
        let engine = |more: Value| submission(wish(more), Some(Path::new("/app"))).unwrap().engine;
        assert_eq!(engine(json!({"engine": "claude-code"})).as_deref(), Some("claude-code"));
        assert_eq!(engine(json!({})), None);
    }

    #[test]
    fn a_misspelt_argument_is_refused() {
        let read = serde_json::from_value::<Submit>(json!({"description": "x", "repo": "y"}));
        assert!(read.unwrap_err().to_string().contains("unknown field `repo`"));
    }
}
