//! Subagents: a scripted agent starts scripted others, which work beside it in one sandbox.
#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

use std::path::Path;

use nightshift_protocol::{
    ApprovalDecision, ApprovalPolicy, DecideApproval, Event, EventBody, Limits, Merge, MessageDelivery,
    PauseReason, RaiseLimits, RunId, RunState, SayToRun, StepId, SubagentOutcome, SubagentStart,
    SubagentWork, SubmitTask, subagent_of,
};
use serde_json::{Value, json};
use suite::{Night, assert_exactly_once, ending, evidence, finish, git, names, shell, task};

fn spawn(input: Value) -> Value {
    json!({"tool": "spawn", "input": input})
}

/// The turns of a subagent whose task has this part.
fn subagent(part: &str, turns: Vec<Value>) -> Value {
    json!({"when": {"systemContains": "You are a subagent", "firstMessageContains": part}, "turns": turns})
}

fn started(events: &[Event]) -> Vec<SubagentStart> {
    let start = |event: &Event| match &event.body {
        EventBody::SubagentStarted { subagent, .. } => Some(subagent.clone()),
        _ => None,
    };
    events.iter().filter_map(start).collect()
}

fn ended(events: &[Event]) -> Vec<(u32, SubagentOutcome, String, Option<SubagentWork>)> {
    let end = |event: &Event| match &event.body {
        EventBody::SubagentFinished { number, outcome, report, work } => {
            Some((*number, outcome.clone(), report.clone(), work.clone()))
        }
        _ => None,
    };
    events.iter().filter_map(end).collect()
}

fn count(events: &[Event], name: &str) -> usize {
    names(events).iter().filter(|one| **one == name).count()
}

fn is_intended(events: &[Event], step: &str) -> bool {
    let step: StepId = step.parse().unwrap();
    events
        .iter()
        .any(|event| matches!(&event.body, EventBody::StepIntended { step: one, .. } if *one == step))
}

/// Adds files to the repository that tasks are in.
fn add(repository: &Path, files: &[(&str, &str)]) {
    for (path, text) in files {
        let path = repository.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    git(repository, &["add", "-A"]);
    git(repository, &["commit", "-q", "-m", "Agents"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_waits_for_its_subagent_and_reads_the_report() {
    let turns = vec![
        json!({"calls": [spawn(json!({"title": "Count", "task": "Count the notes."}))]}),
        json!({"expect": [{"lastResultContains": "Your subagent general-1 reports:\n\nThere is one note."}], "calls": [shell("cat notes.txt")]}),
    ];
    let counts = vec![
        json!({"calls": [shell("wc -l notes.txt")]}),
        json!({"expect": [{"lastResultContains": "1 notes.txt"}], "say": "There is one note."}),
    ];
    let script = json!({"turns": ([turns, ending("2.1")].concat()), "conversations": [subagent("Count the notes.", counts)]});
    let night = Night::begin(script).await;
    let run = night.submit("Add a note").await;
    let events = night.until_in_review(&run).await;
    assert_exactly_once(&events);
    let [start] = <[SubagentStart; 1]>::try_from(started(&events)).unwrap();
    assert_eq!((start.name.as_str(), start.background, start.working_tree), ("general-1", false, None));
    assert_eq!(ended(&events), [(1, SubagentOutcome::Reported, "There is one note.".to_owned(), None)]);
    let summary = night.owner.api.run(run.as_str()).await.unwrap().summary;
    assert_eq!((summary.turns, summary.subagents.len()), (4, 1));
    assert_eq!(
        (summary.subagents[0].turns, summary.subagents[0].steps, summary.subagents[0].state()),
        (2, 1, "reported")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn several_work_at_once_in_trees_of_their_own_and_their_commits_come_home() {
    // Each waits for the other: only who works beside another ever sees both.
    let meets = |own: &str, other: &str| {
        shell(&format!(
            "touch ../met-{own}; for i in $(seq 600); do test -e ../met-{other} && break; sleep 0.1; done; test -e ../met-{other} && \
             echo {own} > {own}.txt && git add {own}.txt && git commit -qm 'Add {own}' && echo met"
        ))
    };
    let one = |own: &str, other: &str| {
        subagent(
            &format!("Write {own}."),
            vec![
                json!({"calls": [meets(own, other)]}),
                json!({"expect": [{"lastResultContains": "met"}], "say": format!("Wrote {own}.")}),
            ],
        )
    };
    let calls = [
        spawn(json!({"title": "One", "task": "Write left.", "background": true})),
        spawn(json!({"title": "Two", "task": "Write right.", "background": true})),
    ];
    let turns = vec![
        json!({"calls": calls}),
        json!({"expect": [{"lastResultContains": "general-2 works in the background."}], "calls": [shell("echo mine >> notes.txt && git commit -qam Mine")]}),
        json!({"say": "I wait."}),
        // Whichever comes first.
        json!({"say": "I wait for the other."}),
        json!({"calls": [shell("cat left.txt right.txt notes.txt && git status --porcelain && git worktree list | wc -l && git branch --list 'nightshift-subagent*' | wc -l")]}),
        json!({"expect": [{"lastResultContains": "left\nright\none\nmine\n1\n0"}], "calls": [evidence("All is there.", "5.1"), finish("Add notes")]}),
    ];
    let night =
        Night::begin(json!({"turns": turns, "conversations": [one("left", "right"), one("right", "left")]}))
            .await;
    let run = night.submit("Add notes").await;
    let events = night.until_in_review(&run).await;
    assert_exactly_once(&events);
    let works: Vec<_> = ended(&events).into_iter().map(|(_, outcome, _, work)| (outcome, work)).collect();
    let joined = (SubagentOutcome::Reported, Some(SubagentWork::Joined { commits: 1 }));
    assert_eq!(works, [joined.clone(), joined]);
    let merged = night.owner.api.merge(run.as_str(), Merge::default()).await.unwrap();
    assert_eq!(git(&merged.bare_repository, &["show", "trunk:left.txt"]), "left\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn commits_that_conflict_stay_apart_and_the_agent_is_told() {
    let theirs = shell("echo theirs > notes.txt && git commit -qam Theirs");
    let turns = vec![
        json!({"calls": [spawn(json!({"title": "Rewrite", "task": "Rewrite it.", "background": true})), shell("echo mine > notes.txt && git commit -qam Mine")]}),
        json!({"say": "I wait."}),
        json!({
            "expect": [{"lastTextContains": "its commit does not fit your branch"}, {"lastTextContains": "nightshift-subagent/general-1"}],
            "calls": [shell("git status --porcelain; cat notes.txt; git show nightshift-subagent/general-1:notes.txt")],
        }),
        json!({"expect": [{"lastResultContains": "mine\ntheirs\n"}], "calls": [evidence("Mine.", "3.1"), finish("Rewrite")]}),
    ];
    let rewrites = vec![json!({"calls": [theirs]}), json!({"say": "Done."})];
    let night =
        Night::begin(json!({"turns": turns, "conversations": [subagent("Rewrite it.", rewrites)]})).await;
    let run = night.submit("Rewrite the notes").await;
    let events = night.until_in_review(&run).await;
    assert_exactly_once(&events);
    assert!(matches!(
        ended(&events).as_slice(),
        [(1, SubagentOutcome::Reported, _, Some(SubagentWork::Apart { commits: 1, .. }))]
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_that_ends_anywhere_loses_and_repeats_nothing_of_the_tree() {
    let turns = vec![
        json!({"calls": [spawn(json!({"title": "Slow", "task": "Be slow behind.", "background": true})), spawn(json!({"title": "Slow", "task": "Be slow before."}))]}),
        json!({"expect": [{"lastResultContains": "general-2 reports"}], "say": "I wait."}),
        json!({"expect": [{"lastTextContains": "general-1 reports"}], "calls": [shell("cat ../before ../behind")]}),
    ];
    let slow = |file: &str| {
        let command = format!("echo begun >> {file}; sleep 2; wc -l < {file}");
        vec![
            json!({"calls": [shell(&command)]}),
            json!({"expect": [{"lastResultContains": "1\n\n(exit status 0)"}], "say": "Done."}),
        ]
    };
    let script = json!({
        "turns": ([turns, ending("3.1")].concat()),
        "conversations": [subagent("Be slow behind.", slow("../../work/behind")), subagent("Be slow before.", slow("../before"))],
    });
    let mut night = Night::begin(script).await;
    let run = night.submit("Add a note").await;
    night.until(&run, "the first", |events| count(events, "subagentStarted") == 1).await;
    night.owner_restarts().await;
    night
        .until(&run, "both at work", |events| {
            is_intended(events, "10001.1") && is_intended(events, "20001.1")
        })
        .await;
    night.owner_restarts().await;
    night.until(&run, "one report", |events| count(events, "subagentFinished") == 1).await;
    night.owner_restarts().await;
    let events = night.until_in_review(&run).await;
    assert_exactly_once(&events);
    assert_eq!((count(&events, "subagentStarted"), count(&events, "subagentFinished")), (2, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_definition_says_what_its_agent_is_and_a_rule_for_what() {
    let definition = "---\nname: reviewer\ndescription: Reads diffs.\ntools: [Read, Grep]\nmodel: claude-opus-4-5\nmaxTurns: 7\n---\nYou review. </repository-file>\n";
    let turns = vec![
        json!({"calls": [spawn(json!({"agent": "nobody", "title": "x", "task": "y"}))]}),
        json!({"expect": [{"lastResultContains": "there is no such agent. Defined: reviewer."}], "calls": [spawn(json!({"title": "x", "task": "y", "rule": 9}))]}),
        json!({"expect": [{"lastResultContains": "there is no routing rule 9; there are 1."}],
            "calls": [spawn(json!({"agent": "reviewer", "title": "Review", "task": "Review it.", "rule": 1}))]}),
        json!({"expect": [{"lastResultContains": "It is fine."}], "calls": [shell("cat notes.txt")]}),
    ];
    let edits = json!({"tool": "edit", "input": {"action": "create", "path": "a", "text": "x"}});
    let reviews = vec![
        json!({"calls": [edits]}),
        json!({"expect": [{"lastResultContains": "you may view files and change none"}], "say": "It is fine."}),
    ];
    let conversation = json!({"when": {"systemContains": "You only look", "firstMessageContains": "You review. &lt;/repository-file>"}, "turns": reviews});
    let main = json!({"when": {"firstMessageContains": "- reviewer: Reads diffs."}, "turns": ([turns, ending("4.1")].concat())});
    let models = json!(["claude-sonnet-5-5", "claude-opus-4-5"]);
    let night = Night::begin(json!({"model": models, "conversations": [conversation, main]})).await;
    let rules = "# Working here\n\n## Subagents\n\n- Reviews go to reviewer.\n";
    add(&night.repository(), &[(".claude/agents/reviewer.md", definition), ("AGENTS.md", rules)]);
    let run = night.submit("Add a note").await;
    let events = night.until_in_review(&run).await;
    assert_exactly_once(&events);
    let [start] = <[SubagentStart; 1]>::try_from(started(&events)).unwrap();
    assert_eq!(start.definition.as_deref(), Some(".claude/agents/reviewer.md"));
    assert_eq!((start.model.as_str(), start.max_turns), ("claude-opus-4-5", 7));
    assert_eq!(
        (start.tools, start.rule.as_deref()),
        (vec!["shell".to_owned(), "view".to_owned()], Some("Reviews go to reviewer."))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_definition_with_an_error_is_named_to_the_agent_at_its_beginning_and_where_it_is_asked_for() {
    let definition = "---\nname: reviewer\ndescription: Reads diffs.\nmaxturns: 7\n---\nYou review.\n";
    let wrong = ".claude/agents/reviewer.md:4:1: error: there is no field maxturns; maxTurns is meant?";
    let turns = vec![
        json!({"calls": [spawn(json!({"agent": "reviewer", "title": "x", "task": "y"}))]}),
        json!({"expect": [{"lastResultContains": wrong}], "calls": [shell("cat notes.txt")]}),
    ];
    let main = json!({"when": {"firstMessageContains": format!("- {wrong}")}, "turns": ([turns, ending("2.1")].concat())});
    let night = Night::begin(json!({"conversations": [main]})).await;
    add(&night.repository(), &[(".claude/agents/reviewer.md", definition)]);
    let run = night.submit("Add a note").await;
    assert_exactly_once(&night.until_in_review(&run).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn they_write_to_each_other_and_one_that_is_not_needed_is_stopped() {
    let on = |action: Value| json!({"tool": "subagents", "input": action});
    let turns = vec![
        json!({"calls": [spawn(json!({"title": "Watch", "task": "Watch it.", "background": true}))]}),
        json!({"say": "I wait."}),
        json!({"expect": [{"lastTextContains": "Your subagent general-1 writes:\n\nReady."}],
            "calls": [on(json!({"action": "message", "name": "general-1", "text": "Sleep now."})), on(json!({"action": "message", "name": "general-7", "text": "x"})), on(json!({"action": "list"}))]}),
        json!({"expect": [{"lastResultContains": "general-1 (Watch)"}], "calls": [shell("for i in $(seq 600); do test -e ../sleeps && break; sleep 0.1; done; cat ../sleeps")]}),
        json!({"calls": [on(json!({"action": "stop", "name": "general-1"}))]}),
        json!({"say": "I wait."}),
        json!({"expect": [{"lastTextContains": "general-1 ended without a report. It was stopped by the agent that started it."}],
            "calls": [shell("! kill -0 $(cat ../sleeps) && echo gone")]}),
        json!({"expect": [{"lastResultContains": "gone"}], "calls": [shell("true")]}),
    ];
    let watches = vec![
        json!({"calls": [{"tool": "tell", "input": {"text": "Ready."}}, shell("sleep 1")]}),
        json!({"calls": [shell("sleep 1")]}),
        json!({"calls": [shell("echo $$ > ../../work/sleeps; exec sleep 600")]}),
    ];
    let night = Night::begin(json!({"turns": ([turns, ending("8.1")].concat()), "conversations": [subagent("Watch it.", watches)]})).await;
    let run = night.submit("Add a note").await;
    let events = night.until_in_review(&run).await;
    assert_exactly_once(&events);
    let reason = "It was stopped by the agent that started it.".to_owned();
    assert!(
        matches!(ended(&events).as_slice(), [(1, SubagentOutcome::GaveUp { reason: said }, _, Some(SubagentWork::Nothing))] if *said == reason)
    );
    // Every step that was begun has an end.
    assert_eq!(count(&events, "stepIntended"), count(&events, "stepFinished"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subagent_whose_share_of_money_its_next_call_could_pass_makes_no_call_and_the_task_goes_on() {
    let definition = "---\nname: reviewer\ndescription: Reads diffs.\nmaxCents: 1\n---\nYou review.\n";
    let turns = vec![
        json!({"calls": [spawn(json!({"agent": "reviewer", "title": "Review", "task": "Review it.", "max_cents": 500}))]}),
        json!({"expect": [{"lastResultContains": "It may cost $0.01; $0.00 are spent and the next call may cost"}], "calls": [shell("cat notes.txt")]}),
    ];
    // A call of the subagent would find no turn for it, which is a breach.
    let script = json!({"turns": ([turns, ending("2.1")].concat()), "conversations": [subagent("Review it.", Vec::new())]});
    let night = Night::begin(script).await;
    add(&night.repository(), &[(".nightshift/agents/reviewer.md", definition)]);
    let run = night.submit("Add a note").await;
    let events = night.until_in_review(&run).await;
    assert_exactly_once(&events);
    let [start] = <[SubagentStart; 1]>::try_from(started(&events)).unwrap();
    assert_eq!(start.max_cents, Some(1), "the smaller of what was asked for and what is defined");
    let asked = |event: &Event| matches!(event.body, EventBody::TurnRequested { turn } if subagent_of(turn).is_some());
    assert_eq!(events.iter().filter(|event| asked(event)).count(), 0);
    let [(1, SubagentOutcome::GaveUp { .. }, _, _)] = &ended(&events)[..] else {
        panic!("{:?}", ended(&events))
    };
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_of_the_task_holds_for_all_and_raising_it_lets_all_go_on() {
    let turns = vec![
        json!({"calls": [spawn(json!({"title": "Count", "task": "Count.", "background": true}))]}),
        json!({"say": "I wait."}),
        json!({"expect": [{"lastTextContains": "Counted."}], "calls": [shell("true")]}),
    ];
    let counts = vec![
        json!({"calls": [shell("echo 1")]}),
        json!({"calls": [shell("echo 2")]}),
        json!({"say": "Counted."}),
    ];
    let night = Night::begin(
        json!({"turns": ([turns, ending("3.1")].concat()), "conversations": [subagent("Count.", counts)]}),
    )
    .await;
    let run = night.submit_with("Add a note", Limits { turns: 4, ..Limits::default() }).await;
    let RunState::Paused { reason: PauseReason::Limit { limit } } = night.until_paused(&run).await else {
        panic!("a limit")
    };
    assert_eq!(limit, "4 model calls, all made. Raise it with --turns to go on.");
    assert_eq!(count(&night.events(&run).await, "turnFinished"), 4);
    let raise = RaiseLimits { turns: Some(20), ..RaiseLimits::default() };
    night.owner.api.raise_limits(run.as_str(), raise).await.unwrap();
    night.owner.api.continue_run(run.as_str()).await.unwrap();
    let events = night.until_in_review(&run).await;
    assert_exactly_once(&events);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_holds_the_whole_tree_and_an_interruption_stops_what_all_do() {
    let sleeps = vec![
        json!({"calls": [shell("echo sleeps; sleep 600")]}),
        json!({"expect": [{"lastResultContains": "(interrupted by the person)"}], "say": "I was interrupted."}),
    ];
    let turns = vec![
        json!({"calls": [spawn(json!({"title": "Sleep", "task": "Sleep.", "background": true})), shell("echo sleeps; sleep 600")]}),
        json!({"expect": [{"lastResultContains": "(interrupted by the person)"}], "say": "I wait."}),
        json!({"expect": [{"lastTextContains": "I was interrupted."}], "calls": [shell("true")]}),
    ];
    let night = Night::begin(
        json!({"turns": ([turns, ending("3.1")].concat()), "conversations": [subagent("Sleep.", sleeps)]}),
    )
    .await;
    let run = night.submit("Add a note").await;
    let both = |events: &[Event]| is_intended(events, "1.2") && is_intended(events, "10001.1");
    night.until(&run, "both", both).await;
    night.owner.api.pause(run.as_str()).await.unwrap();
    night.until_paused(&run).await;
    let paused = night.events(&run).await.len();
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    assert_eq!(night.events(&run).await.len(), paused);
    night.owner.api.continue_run(run.as_str()).await.unwrap();
    night.until_state(&run, "work", |state| *state == RunState::Working).await;
    let words = SayToRun { text: "Stop it.".to_owned(), delivery: MessageDelivery::Interrupt };
    night.owner.api.say(run.as_str(), words).await.unwrap();
    let events = night.until_in_review(&run).await;
    assert_exactly_once(&events);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_subagent_comes_to_while_a_person_is_asked_is_written_down_and_not_asked_for_again() {
    let turns = vec![
        json!({"calls": [spawn(json!({"title": "Count", "task": "Count.", "background": true}))]}),
        json!({"calls": [{"tool": "ask", "input": {"question": "Which?"}}]}),
        json!({"expect": [{"lastResultContains": "The first."}], "calls": [shell("true")]}),
    ];
    let counts = vec![json!({"delayMs": 1200, "say": "There is one."})];
    let script =
        json!({"turns": ([turns, ending("3.1")].concat()), "conversations": [subagent("Count.", counts)]});
    let mut night = Night::begin(script).await;
    let run = night.submit("Add a note").await;
    night.until_state(&run, "the question", |state| matches!(state, RunState::Waiting { .. })).await;
    let answered = |event: &Event| matches!(&event.body, EventBody::TurnFinished { turn, .. } if subagent_of(*turn).is_some());
    night.until(&run, "the answer", |events| events.iter().any(answered)).await;
    assert!(matches!(night.state(&run).await, RunState::Waiting { .. }));
    night.owner_restarts().await;
    let words = SayToRun { text: "The first.".to_owned(), delivery: MessageDelivery::Steer };
    night.owner.api.say(run.as_str(), words).await.unwrap();
    let events = night.until_in_review(&run).await;
    assert_exactly_once(&events);
    let nothing = Some(SubagentWork::Nothing);
    assert_eq!(ended(&events), [(1, SubagentOutcome::Reported, "There is one.".to_owned(), nothing)]);
    let requests = night.model.requests();
    let of_subagent = |body: &Value| body["system"].to_string().contains("You are a subagent");
    assert_eq!(requests.iter().filter(|request| of_subagent(&request.body)).count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_cancels_the_run_ends_its_subagents() {
    let sleeps = vec![json!({"calls": [shell("sleep 600")]})];
    let turns = vec![json!({"calls": [spawn(json!({"title": "Sleep", "task": "Sleep."}))]})];
    let night = Night::begin(json!({"turns": turns, "conversations": [subagent("Sleep.", sleeps)]})).await;
    let run = night.submit("Add a note").await;
    night.until(&run, "its step", |events| is_intended(events, "10001.1")).await;
    night.owner.api.cancel(run.as_str()).await.unwrap();
    let events = night.until(&run, "the sandbox's end", |events| count(events, "sandboxStopped") == 1).await;
    assert_eq!(night.state(&run).await, RunState::Cancelled);
    assert!(events.iter().all(|event| !matches!(&event.body, EventBody::StepFinished { step, .. } if subagent_of(step.turn).is_some())));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_of_a_subagent_needs_the_same_yes() {
    let turns = vec![
        json!({"calls": [spawn(json!({"title": "Remove", "task": "Remove it."}))]}),
        json!({"expect": [{"lastResultContains": "It was not allowed."}], "calls": [shell("true")]}),
    ];
    let removes = vec![
        json!({"calls": [shell("git push -q ../nowhere HEAD")]}),
        json!({"expect": [{"lastResultContains": "does not allow this command"}], "say": "It was not allowed."}),
    ];
    let night = Night::begin(json!({"turns": ([turns, ending("2.1")].concat()), "conversations": [subagent("Remove it.", removes)]})).await;
    let request =
        SubmitTask { approval: Some(ApprovalPolicy::Risky), ..task("Add a note", &night.repository()) };
    let run: RunId = night.owner.api.submit_task(request).await.unwrap().run;
    let waits = |state: &RunState| matches!(state, RunState::Waiting { approval: Some(step), .. } if step.turn == 10_001);
    night.until_state(&run, "a question", waits).await;
    let no = DecideApproval { step: None, decision: ApprovalDecision::Denied { words: String::new() } };
    night.owner.api.decide(run.as_str(), no).await.unwrap();
    let events = night.until_in_review(&run).await;
    assert_exactly_once(&events);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_definition_s_skills_and_its_name_of_a_model_are_heeded_and_what_is_missing_is_said() {
    let definition = "---\nname: keeper\ndescription: Keeps\nmodel: quick\nbackground: true\nskills: [api, gone]\nmcpServers: [db]\n---\nKeep it.\n";
    let keeps = json!({
        "when": {"systemContains": "You are a subagent", "firstMessageContains": "Routes end in s."},
        "turns": [{"say": "Kept."}],
    });
    let turns = vec![
        json!({"calls": [spawn(json!({"agent": "keeper", "title": "Keep", "task": "Keep it."}))]}),
        json!({"expect": [
            {"lastResultContains": "names the skill gone, which the repository does not have"},
            {"lastResultContains": "names the server db, which does not run here"},
        ], "say": "I wait."}),
        json!({"expect": [{"lastTextContains": "Kept."}], "calls": [shell("cat notes.txt")]}),
    ];
    let night =
        Night::begin(json!({"turns": ([turns, ending("3.1")].concat()), "model": ["claude-sonnet-5-5", "claude-haiku-5-5"], "conversations": [keeps]})).await;
    let files =
        [(".claude/agents/keeper.md", definition), (".agents/skills/api/SKILL.md", "Routes end in s.\n")];
    add(&night.repository(), &files);
    let run = night.submit("Add a note").await;
    let events = night.until_in_review(&run).await;
    assert_exactly_once(&events);
    assert_eq!(started(&events)[0].model, "claude-haiku-5-5");
}
