//! Foreign agents as the engine of a run: one that plays a script in the sandbox, the gateway, and the sandbox's tools.
#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

use nightshift_protocol::{
    ApprovalDecision, ApprovalPolicy, DecideApproval, EngineActionStatus, ErrorCode, Event, EventBody,
    Limits, Merge, MessageDelivery, PauseReason, RaiseLimits, RunId, RunState, SandboxId, SayToRun,
    SelfReviewOutcome, SubmitTask, Usage,
};
use serde_json::{Value, json};
use suite::{Night, assert_exactly_once, git, names, task};

mod calls;

const NOTE: &str = "echo two >> notes.txt && git commit -qam 'Add a note'";

/// What shows the work and hands it over; the turn's steps begin at `first`.
fn shown(turn: u32, first: u32) -> Vec<Value> {
    let step = format!("{turn}.{first}");
    vec![
        json!({"tool": "shell", "input": {"command": "cat notes.txt"}, "expect": format!("[step {step}]")}),
        json!({"tool": "evidence", "input": {"claim": "There are two notes.", "step": step}, "expect": "noted"}),
        json!({"tool": "finish", "input": {"title": "Add a note", "summary": "It is added."}, "expect": "End it now"}),
    ]
}

/// A night whose foreign agent plays these turns, and whose model answers like this.
async fn night(agent: Value, model: Value) -> Night {
    let night = Night::begin(model).await;
    std::fs::write(night.folder.path().join("agent.json"), agent.to_string()).unwrap();
    night
}

fn quiet() -> Value {
    json!({"turns": [{"say": "Hello."}]})
}

async fn submit(night: &Night, change: impl FnOnce(SubmitTask) -> SubmitTask) -> RunId {
    let request = change(task("Add a note", &night.repository()));
    let request = SubmitTask { engine: Some("scripted".to_owned()), ..request };
    night.owner.api.submit_task(request).await.unwrap().run
}

/// Opens the sandbox's proxy and tells the agent in it where it is.
async fn open_proxy(night: &Night, run: &RunId) {
    let ready = |body: &EventBody| match body {
        EventBody::SandboxReady { sandbox, .. } => Some(sandbox.clone()),
        _ => None,
    };
    let events =
        night.until(run, "a sandbox", |events| events.iter().any(|event| ready(&event.body).is_some())).await;
    let sandbox: SandboxId = events.iter().find_map(|event| ready(&event.body)).unwrap();
    let machine = night.driver.machine(&sandbox).unwrap();
    let address = machine.open_proxy().unwrap();
    std::fs::write(machine.home_folder().join("proxy.new"), address.to_string()).unwrap();
    std::fs::rename(machine.home_folder().join("proxy.new"), machine.home_folder().join("proxy")).unwrap();
}

/// Fails when something of the owner's broke the protocol.
fn assert_no_breach(night: &Night) {
    night.assert_no_breach();
    let breaches = std::fs::read_to_string(night.folder.path().join("breaches")).unwrap_or_default();
    assert_eq!(breaches, "");
}

/// What the agent was told, turn by turn.
fn prompts(night: &Night) -> Vec<String> {
    let told = std::fs::read_to_string(night.folder.path().join("breaches.prompts")).unwrap();
    told.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn count(events: &[Event], name: &str) -> usize {
    names(events).iter().filter(|one| **one == name).count()
}

/// Whether something that the agent began by a tool of its own has come to this.
fn acted(status: EngineActionStatus) -> impl Fn(&[Event]) -> bool {
    move |events| {
        events.iter().any(
            |event| matches!(&event.body, EventBody::EngineActed { action, .. } if action.status == status),
        )
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_work_of_a_foreign_agent_becomes_a_pull_request_and_its_model_calls_are_paid_by_the_owner() {
    let mut turn = vec![
        json!({"expectPrompt": "Add a note"}),
        json!({"expectPrompt": "The tools of the server \"nightshift\""}),
        json!({"model": "Hello?", "expect": "200"}),
        json!({"plan": [["Write it", "completed"]]}),
        json!({"say": "I write it."}),
        json!({"run": NOTE, "asks": true}),
        json!({"tool": "finish", "input": {"title": "x", "summary": "y"}, "expect": "no evidence was noted"}),
        json!({"tool": "computer", "input": {"action": "screenshot"}, "expect": "(image of "}),
    ];
    turn.extend(shown(1, 103));
    turn.push(json!({"say": "All done."}));
    let night = night(json!({"turns": [turn]}), quiet()).await;
    let run = submit(&night, |task| task).await;
    open_proxy(&night, &run).await;
    let events = night.until_in_review(&run).await;
    assert_no_breach(&night);
    assert_exactly_once(&events);
    for (name, times) in
        [("engineStarted", 1), ("engineCalledModel", 1), ("engineSaid", 1), ("planChanged", 1)]
    {
        assert_eq!(count(&events, name), times, "{name}");
    }
    assert_eq!(count(&events, "turnFinished"), 1, "{:?}", names(&events));
    let summary = night.owner.api.summary(run.as_str()).await.unwrap();
    assert!(summary.usage.output_tokens > 0 && summary.usage.cost_microdollars > 0, "{:?}", summary.usage);
    let steps: Vec<String> = events
        .iter()
        .filter_map(|event| match &event.body {
            EventBody::StepFinished { step, .. } => Some(step.to_string()),
            _ => None,
        })
        .collect();
    // Its own steps, and the call that its turn ended with. A call that was refused took a number.
    assert_eq!(steps, ["1.102", "1.103", "1.104", "1.1"]);
    let merged = night.owner.api.merge(run.as_str(), Merge::default()).await.unwrap();
    assert_eq!(git(&merged.bare_repository, &["show", "trunk:notes.txt"]), "one\ntwo\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_turn_that_an_owner_s_end_broke_off_goes_on_in_the_same_session_and_nothing_is_done_twice() {
    let first = vec![json!({"run": "echo once >> ../marks"}), json!({"hang": true})];
    let mut second = vec![
        json!({"expectPrompt": "your turn was broken off"}),
        json!({"run": format!("cat ../marks && {NOTE}"), "expect": "once\n"}),
    ];
    second.extend(shown(1, 101));
    let mut night = night(json!({"turns": [first, second]}), quiet()).await;
    let run = submit(&night, |task| task).await;
    open_proxy(&night, &run).await;
    night.until(&run, "the first command", acted(EngineActionStatus::Done)).await;
    night.owner_restarts().await;
    let events = night.until_in_review(&run).await;
    assert_no_breach(&night);
    assert_exactly_once(&events);
    let resumed: Vec<bool> = events
        .iter()
        .filter_map(|event| match &event.body {
            EventBody::EngineStarted { resumed, turn: 1, .. } => Some(*resumed),
            _ => None,
        })
        .collect();
    assert_eq!(resumed, [false, true]);
    assert!(!prompts(&night)[1].contains("The tools of the server"), "it knows that already");
    assert_eq!(count(&events, "turnRequested"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_cannot_load_sessions_and_speaks_to_tools_by_standard_input_is_told_everything_again() {
    let mut second = vec![json!({"expectPrompt": "# What was before"}), json!({"expectPrompt": "Be quick"})];
    second.push(json!({"run": NOTE}));
    second.extend(shown(1, 101));
    let script = json!({"loads": false, "http": false, "turns": [[{"run": "true"}, {"hang": true}], second]});
    let night = night(script, quiet()).await;
    let run = submit(&night, |task| task).await;
    open_proxy(&night, &run).await;
    night.until(&run, "the first command", acted(EngineActionStatus::Done)).await;
    let said = SayToRun { text: "Be quick".to_owned(), delivery: MessageDelivery::Interrupt };
    night.owner.api.say(run.as_str(), said).await.unwrap();
    let events = night.until_in_review(&run).await;
    assert_no_breach(&night);
    assert_exactly_once(&events);
}

#[tokio::test(flavor = "multi_thread")]
async fn at_a_limit_the_next_model_call_is_refused_and_the_run_pauses_until_the_limit_is_raised() {
    let mut second = vec![json!({"model": "Once more?", "expect": "200"}), json!({"run": NOTE})];
    second.extend(shown(2, 101));
    let first = vec![
        json!({"model": "Hello?", "expect": "200"}),
        json!({"model": "And again?", "expect": "403"}),
        json!({"hang": true}),
    ];
    let night = night(json!({"turns": [first, second]}), quiet()).await;
    let limits = Limits { turns: 1, ..Limits::default() };
    let run = submit(&night, |task| SubmitTask { limits: limits.into(), ..task }).await;
    open_proxy(&night, &run).await;
    let RunState::Paused { reason: PauseReason::Limit { limit } } = night.until_paused(&run).await else {
        panic!("no limit")
    };
    assert!(limit.contains("1 model call"), "{limit}");
    let refused = night.events(&run).await.into_iter().find_map(|event| match event.body {
        EventBody::EngineCalledModel { call, .. } => call.refused,
        _ => None,
    });
    assert!(refused.unwrap().contains("1 model call"));
    let more = RaiseLimits { turns: Some(50), ..RaiseLimits::default() };
    night.owner.api.raise_limits(run.as_str(), more).await.unwrap();
    night.owner.api.continue_run(run.as_str()).await.unwrap();
    let events = night.until_in_review(&run).await;
    assert_no_breach(&night);
    assert_exactly_once(&events);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_critic_looks_at_the_work_of_a_foreign_agent_and_sends_it_back() {
    let shows = |turn: u32| {
        let step = format!("{turn}.101");
        vec![
            json!({"tool": "shell", "input": {"command": "cat notes.txt"}}),
            json!({"tool": "evidence", "input": {"claim": "So it is.", "criterion": 1, "step": step}, "expect": "noted"}),
            json!({"tool": "finish", "input": {"title": "Add a note", "summary": "It is added."}, "expect": "End it now"}),
        ]
    };
    let mut first = vec![json!({"run": NOTE})];
    first.extend(shows(1));
    let mut second = vec![
        json!({"expectPrompt": "It is not polite."}),
        json!({"run": "git commit -q --allow-empty -m Please"}),
    ];
    // The critic's two turns are between.
    second.extend(shows(4));
    let critic = |round: u32, turn: u32, found: &str| {
        let verdict = json!({"tool": "verdict", "input": {"criteria": [
            {"criterion": 1, "verdict": found, "why": "It is not polite.", "step": format!("{turn}.1")},
        ], "summary": "So it is."}});
        json!({
            "when": {"systemContains": "You are a critic", "firstMessageContains": format!("round {round} of 2")},
            "turns": [{"calls": [suite::shell("cat notes.txt")]}, {"calls": [verdict]}],
        })
    };
    let model = json!({"conversations": [critic(1, 2, "notMet"), critic(2, 5, "met")]});
    let night = night(json!({"turns": [first, second]}), model).await;
    let run = submit(&night, |task| SubmitTask {
        criteria: vec!["The note is polite.".to_owned()],
        self_review_rounds: Some(2),
        ..task
    })
    .await;
    open_proxy(&night, &run).await;
    let events = night.until_in_review(&run).await;
    assert_no_breach(&night);
    assert_exactly_once(&events);
    let outcomes: Vec<SelfReviewOutcome> = events
        .iter()
        .filter_map(|event| match &event.body {
            EventBody::SelfReviewed { review } => Some(review.outcome.clone()),
            _ => None,
        })
        .collect();
    assert_eq!(outcomes, [SelfReviewOutcome::SentBack, SelfReviewOutcome::Passed]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_needs_a_yes_is_refused_to_the_agent_and_run_for_it_once_a_person_allows_it() {
    let first = vec![json!({"run": "git push ../nowhere HEAD", "asks": true}), json!({"say": "I wait."})];
    let mut second = vec![json!({"expectPrompt": "Your call of shell:"}), json!({"run": NOTE})];
    second.extend(shown(2, 101));
    let night = night(json!({"turns": [first, second]}), quiet()).await;
    let run = submit(&night, |task| SubmitTask { approval: Some(ApprovalPolicy::Risky), ..task }).await;
    open_proxy(&night, &run).await;
    let asks = |state: &RunState| matches!(state, RunState::Waiting { approval: Some(_), .. });
    night.until_state(&run, "a question", asks).await;
    let decided = DecideApproval { step: None, decision: ApprovalDecision::Approved };
    night.owner.api.decide(run.as_str(), decided).await.unwrap();
    let events = night.until_in_review(&run).await;
    assert_no_breach(&night);
    assert_exactly_once(&events);
    assert!(acted(EngineActionStatus::Failed)(&events), "the agent did not run it");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_is_not_installed_pauses_the_run_with_what_to_do() {
    let night = night(json!({"turns": []}), quiet()).await;
    let request = task("Add a note", &night.repository());
    let request = SubmitTask { engine: Some("claude-code".to_owned()), ..request };
    let run = night.owner.api.submit_task(request).await.unwrap().run;
    let RunState::Paused { reason: PauseReason::Trouble { error } } = night.until_paused(&run).await else {
        panic!("no trouble")
    };
    assert_eq!(error.code, ErrorCode::ToolMissing);
    assert!(error.hint.contains("@agentclientprotocol/claude-agent-acp"), "{}", error.hint);
    assert_eq!(night.owner.api.summary(run.as_str()).await.unwrap().usage, Usage::default());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_ends_or_is_of_another_version_pauses_the_run_and_may_be_tried_again() {
    let mut second = vec![json!({"expectPrompt": "broken off"}), json!({"run": NOTE})];
    second.extend(shown(1, 101));
    let night = night(json!({"turns": [[{"raw": "no message"}, {"exit": 3}], second]}), quiet()).await;
    let run = submit(&night, |task| task).await;
    open_proxy(&night, &run).await;
    let RunState::Paused { reason: PauseReason::Trouble { error } } = night.until_paused(&run).await else {
        panic!("no trouble")
    };
    let expected = "the engine scripted does not work: its program ended with exit status 3: the scripted agent gives up";
    assert_eq!(error.message, expected);
    night.owner.api.continue_run(run.as_str()).await.unwrap();
    night.until_in_review(&run).await;
    assert_no_breach(&night);

    let night = self::night(json!({"version": 2, "turns": []}), quiet()).await;
    let run = submit(&night, |task| task).await;
    let RunState::Paused { reason: PauseReason::Trouble { error } } = night.until_paused(&run).await else {
        panic!("no trouble")
    };
    assert!(error.message.contains("it speaks version 2 of the Agent Client Protocol"), "{}", error.message);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_ends_the_agent_s_program_and_what_follows_goes_on_from_there() {
    let mut second = vec![json!({"run": NOTE})];
    second.extend(shown(1, 101));
    let night = night(json!({"turns": [[{"run": "true"}, {"hang": true}], second]}), quiet()).await;
    let run = submit(&night, |task| task).await;
    open_proxy(&night, &run).await;
    let events = night.until(&run, "the first command", acted(EngineActionStatus::Done)).await;
    let session = events.iter().find_map(|event| match &event.body {
        EventBody::EngineStarted { session, .. } => Some(session.clone()),
        _ => None,
    });
    // The scripted agent names its session by its process.
    let process = format!("/proc/{}", session.unwrap().trim_start_matches("session-"));
    assert!(std::path::Path::new(&process).exists());
    night.owner.api.pause(run.as_str()).await.unwrap();
    night.until_paused(&run).await;
    let gone = async {
        while std::path::Path::new(&process).join("cmdline").exists()
            && !std::fs::read_to_string(format!("{process}/stat")).unwrap_or_default().contains(") Z ")
        {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(suite::WITHIN, gone).await.unwrap();
    night.owner.api.continue_run(run.as_str()).await.unwrap();
    let events = night.until_in_review(&run).await;
    assert_no_breach(&night);
    assert_exactly_once(&events);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_ends_the_command_that_the_agent_runs_by_the_sandbox_s_own_tool() {
    let runs = json!({"tool": "shell", "input": {"command": "echo $$ > ../process; exec sleep 600"}});
    let mut second = vec![json!({"run": NOTE})];
    second.extend(shown(1, 102));
    let night = night(json!({"turns": [[runs], second]}), quiet()).await;
    let run = submit(&night, |task| task).await;
    open_proxy(&night, &run).await;
    night.until(&run, "the command", |events| names(events).contains(&"stepIntended")).await;
    let sandbox = night.owner.api.summary(run.as_str()).await.unwrap().sandbox.unwrap();
    let place = night.driver.machine(&sandbox).unwrap().home_folder().join("work/process");
    let wait = |is: bool| {
        let place = place.clone();
        let is_there = move || {
            let number = std::fs::read_to_string(&place).unwrap_or_default();
            let number = number.trim();
            !number.is_empty()
                && std::fs::read_to_string(format!("/proc/{number}/cmdline"))
                    .is_ok_and(|line| line.contains("sleep"))
        };
        tokio::time::timeout(suite::WITHIN, async move {
            while is_there() != is {
                tokio::task::yield_now().await;
            }
        })
    };
    wait(true).await.unwrap();
    night.owner.api.pause(run.as_str()).await.unwrap();
    wait(false).await.unwrap();
    night.owner.api.continue_run(run.as_str()).await.unwrap();
    let events = night.until_in_review(&run).await;
    assert_no_breach(&night);
    assert_exactly_once(&events);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_list_has_every_engine_and_a_model_that_one_cannot_use_begins_no_run() {
    let night = night(json!({"turns": []}), quiet()).await;
    let list = night.owner.api.engines();
    let names: Vec<&str> = list.engines.iter().map(|engine| engine.name.as_str()).collect();
    assert_eq!(
        (list.default_engine.as_str(), names),
        ("nightshift", vec!["nightshift", "claude-code", "codex", "scripted"])
    );
    let request = SubmitTask {
        engine: Some("scripted".to_owned()),
        model: Some("gpt-6.1-sol".to_owned()),
        ..task("Add a note", &night.repository())
    };
    let error = night.owner.api.submit_task(request).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::InvalidRequest);
    assert_eq!(error.message, "the engine scripted cannot use gpt-6.1-sol: it calls models of anthropic");
    assert_eq!(
        night.owner.store.runs(&nightshift_store::RunFilter::default(), None, 9).await.unwrap().runs.len(),
        0
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_does_not_exist_is_refused_and_our_own_may_be_named() {
    let night = night(json!({"turns": []}), json!({"turns": [{"calls": [suite::shell("true")]}]})).await;
    let request = task("Add a note", &night.repository());
    let odd = SubmitTask { engine: Some("clod".to_owned()), ..request.clone() };
    let error = night.owner.api.submit_task(odd).await.unwrap_err();
    assert_eq!((error.code, error.message.as_str()), (ErrorCode::InvalidRequest, "there is no engine clod"));
    let own = SubmitTask { engine: Some("nightshift".to_owned()), ..request };
    let run = night.owner.api.submit_task(own).await.unwrap().run;
    assert_eq!(night.owner.api.summary(run.as_str()).await.unwrap().task.engine, None);
}
