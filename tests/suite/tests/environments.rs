//! Environments: set up once, proved, frozen, and what tasks start from.
#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use nightshift_protocol::{
    EnvironmentEventBody, EnvironmentState, EnvironmentSummary, ErrorCode, EventBody, ResultPart, RunId,
    SandboxId, SetUpEnvironment,
};
use serde_json::{Value, json};
use suite::{Night, WITHIN, git, shell};

/// A repository whose set-up writes a file that git ignores, and counts how often it did.
fn repository(night: &Night, steps: &str, checks: &str) -> PathBuf {
    let repository = night.repository();
    std::fs::create_dir_all(repository.join(".nightshift")).unwrap();
    std::fs::write(repository.join(".gitignore"), "/deps\n").unwrap();
    std::fs::write(repository.join("lock"), "1\n").unwrap();
    let text = format!("steps = [{steps}]\nchecks = [{checks}]\ninputs = ['lock']\n");
    std::fs::write(repository.join(".nightshift/environment.toml"), text).unwrap();
    commit(&repository, "Say how it is set up");
    repository
}

fn commit(repository: &Path, message: &str) {
    git(repository, &["add", "-A"]);
    git(repository, &["commit", "-q", "-m", message]);
}

const INSTALL: &str =
    "{ name = 'install', run = 'mkdir -p deps && cat lock >> deps/installed && touch beside' }";

fn wish(repository: &Path) -> SetUpEnvironment {
    SetUpEnvironment { repository: repository.to_str().unwrap().to_owned(), branch: None }
}

async fn set_up(night: &Night, repository: &Path) -> EnvironmentSummary {
    let begun = night.owner.api.set_up_environment(wish(repository)).await.unwrap();
    at_rest(night, begun.environment.as_str()).await
}

/// Waits until nothing more happens to an environment by itself.
async fn at_rest(night: &Night, id: &str) -> EnvironmentSummary {
    let waited = tokio::time::timeout(WITHIN, async {
        loop {
            let now = night.owner.api.environment(id).await.unwrap();
            if !matches!(now.state, EnvironmentState::SettingUp { .. }) {
                return now;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    waited.await.unwrap()
}

/// The repository in a sandbox, seen from this host.
fn work(night: &Night, sandbox: &SandboxId) -> PathBuf {
    night.driver.machine(sandbox).unwrap().home_folder().join("work/small")
}

async fn log(night: &Night, id: &str) -> String {
    night.owner.api.environment_log(id, 0).await.unwrap().text
}

/// A script for the model that runs one command and asks.
fn looking(command: &str) -> Value {
    json!({"turns": [
        {"calls": [shell(command)]},
        {"calls": [{"tool": "ask", "input": {"question": "Done?"}}]},
    ]})
}

/// Submits a task and returns which environment it started from, and what its command printed.
async fn looked(night: &Night) -> (RunId, Option<String>, String) {
    let run = night.submit("Look").await;
    let asked = |state: &nightshift_protocol::RunState| state.name() == "waiting";
    night.until_state(&run, "a question", asked).await;
    night.assert_no_breach();
    let (mut environment, mut said) = (None, String::new());
    for event in night.events(&run).await {
        match event.body {
            EventBody::SandboxReady { facts, .. } => {
                environment = facts.environment.map(|id| id.as_str().to_owned());
            }
            EventBody::StepFinished { content, .. } => {
                for part in content {
                    if let ResultPart::Text { text } = part {
                        said += &text;
                    }
                }
            }
            _ => {}
        }
    }
    (run, environment, said)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_starts_from_its_repository_s_environment_at_its_own_commit() {
    let night =
        Night::begin(looking("cat deps/installed source; git status --porcelain; git branch --show-current"))
            .await;
    let repository = repository(&night, INSTALL, "'test -f deps/installed'");
    let ready = set_up(&night, &repository).await;
    assert!(matches!(ready.state, EnvironmentState::Ready { .. }), "{:?}", ready.state);
    let names: Vec<&str> = ready.phases.iter().map(|phase| phase.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "make a sandbox",
            "bring the repository in",
            "install",
            "check: test -f deps/installed",
            "freeze the machine"
        ]
    );
    assert!(ready.phases.iter().all(|phase| phase.took_ms.is_some()));
    // The repository goes on; what is installed fits it still.
    std::fs::write(repository.join("source"), "newer\n").unwrap();
    commit(&repository, "Go on");
    let (run, environment, said) = looked(&night).await;
    assert_eq!(environment.as_deref(), Some(ready.environment.as_str()));
    assert!(said.contains("1\nnewer\nnightshift/look-"), "nothing of the set-up is the agent's work: {said}");
    let _given_up = night.owner.api.cancel(run.as_str()).await.unwrap();
    let machines = night.owner.api.environments(false).await.unwrap();
    assert_eq!(machines.len(), 1);
    assert_eq!(machines[0].sandbox, None, "no machine is left of it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_keeps_the_machine_shows_its_command_and_is_retried_from_its_phase() {
    let night = Night::begin(looking("true")).await;
    let broken = "'echo told >> told', 'echo first line; echo last line >&2; test -f mended'";
    let repository = repository(&night, broken, "'test $(wc -l < told) = 1'");
    let failed = set_up(&night, &repository).await;
    let EnvironmentState::Failed { phase: 3, failure } = &failed.state else { panic!("{:?}", failed.state) };
    let command = "echo first line; echo last line >&2; test -f mended";
    assert_eq!((failure.command.as_deref(), failure.exit_code), (Some(command), Some(1)));
    assert!(failure.log_tail.ends_with("first line\nlast line"), "{}", failure.log_tail);
    let sandbox = failed.sandbox.clone().unwrap();
    let machine = night.driver.machine(&sandbox).unwrap();
    std::fs::write(machine.home_folder().join("work/small/mended"), "").unwrap();

    let id = failed.environment.as_str();
    night.owner.api.retry_environment(id).await.unwrap();
    let ready = at_rest(&night, id).await;
    // The check proves that the first step was not run again.
    assert!(
        matches!(ready.state, EnvironmentState::Ready { .. }),
        "{:?}\n{}",
        ready.state,
        log(&night, id).await
    );
    let denied = night.owner.api.retry_environment(id).await.unwrap_err();
    assert_eq!(denied.code, ErrorCode::Conflict);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_that_is_killed_in_a_step_is_followed_by_one_that_waits_for_it_and_repeats_nothing() {
    let mut night = Night::begin(looking("true")).await;
    let slow = "'echo began >> told; until test -f go; do sleep 0.05; done', 'echo second >> told'";
    let repository = repository(&night, slow, "'test $(wc -l < told) = 2'");
    let begun = night.owner.api.set_up_environment(wish(&repository)).await.unwrap();
    let id = begun.environment.clone();
    let folder = tokio::time::timeout(WITHIN, async {
        loop {
            let now = night.owner.api.environment(id.as_str()).await.unwrap();
            if let (EnvironmentState::SettingUp { phase: 2 }, Some(sandbox)) = (&now.state, &now.sandbox)
                && work(&night, sandbox).join("told").exists()
            {
                return work(&night, sandbox);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let folder = folder.await.unwrap();
    night.owner_restarts().await;
    std::fs::write(folder.join("go"), "").unwrap();
    let ready = at_rest(&night, id.as_str()).await;
    assert!(matches!(ready.state, EnvironmentState::Ready { .. }), "{:?}", ready.state);
    let events = night.owner.store.environment_events(&id, 0).await.unwrap();
    let begun: Vec<u32> = events
        .iter()
        .filter_map(|event| match event.body {
            EnvironmentEventBody::PhaseBegun { phase } => Some(phase),
            _ => None,
        })
        .collect();
    assert_eq!(begun, [0, 1, 2, 3, 4, 5], "each phase begins once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_environment_serves_until_a_new_one_has_taken_its_place() {
    let night = Night::begin(looking("cat deps/installed")).await;
    let repository = repository(&night, INSTALL, "'test -f deps/installed'");
    let old = set_up(&night, &repository).await;
    std::fs::write(repository.join("lock"), "2\n").unwrap();
    commit(&repository, "Depend on another version");
    let (first, environment, said) = looked(&night).await;
    assert_eq!(
        (environment.as_deref(), said.contains("2\n")),
        (Some(old.environment.as_str()), false),
        "{said}"
    );
    night.owner.api.cancel(first.as_str()).await.unwrap();
    let newest = night.owner.api.environments(true).await.unwrap().remove(0);
    assert_ne!(newest.environment, old.environment, "a new one is being made");
    let newest = at_rest(&night, newest.environment.as_str()).await;
    assert!(matches!(newest.state, EnvironmentState::Ready { .. }), "{:?}", newest.state);
    let (_, environment, said) = looked(&night).await;
    assert_eq!(environment.as_deref(), Some(newest.environment.as_str()));
    assert!(said.contains("2\n"), "{said}");
    let gone = tokio::time::timeout(WITHIN, async {
        loop {
            let now = night.owner.api.environment(old.environment.as_str()).await.unwrap();
            if matches!(now.state, EnvironmentState::Removed { .. }) {
                return now;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    assert_eq!(
        gone.await.unwrap().state,
        EnvironmentState::Removed { reason: "a newer one has taken its place".to_owned() }
    );
    let all = night.owner.api.environments(true).await.unwrap();
    assert_eq!(all.len(), 2, "no third one was made");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_environment_is_gone_with_its_machine_and_tasks_start_without_one() {
    let night = Night::begin(looking("ls deps")).await;
    let repository = repository(&night, "'sleep 600'", "");
    let begun = night.owner.api.set_up_environment(wish(&repository)).await.unwrap();
    let twice = night.owner.api.set_up_environment(wish(&repository)).await.unwrap_err();
    assert_eq!(twice.code, ErrorCode::Conflict);
    let removed = night.owner.api.remove_environment(begun.environment.as_str()).await.unwrap();
    assert!(matches!(removed.state, EnvironmentState::Removed { .. }));
    assert_eq!(night.owner.api.environments(false).await.unwrap(), []);
    let (_, environment, said) = looked(&night).await;
    assert_eq!(environment, None);
    assert!(said.contains("No such file"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_alone_leaves_no_copy_of_the_repository_behind() {
    let night = Night::begin(looking("true")).await;
    let repository = repository(&night, "'echo ready'", "");
    let copies = || {
        let listed = |folder: &str| std::fs::read_dir(night.folder.path().join(folder)).into_iter().flatten();
        let entries = listed("data/repositories").chain(listed("data/scratch"));
        let names = entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
        names.filter(|name| !name.ends_with(".lock")).collect::<Vec<_>>()
    };
    let planned = night.owner.api.plan_environment(wish(&repository)).await.unwrap();
    assert!(!planned.plan.is_empty());
    assert_eq!(copies(), Vec::<String>::new());
    // Where one is kept already it is read.
    night.submit("Look").await;
    assert_eq!(copies().iter().filter(|name| name.ends_with(".git")).count(), 1);
    assert_eq!(night.owner.api.plan_environment(wish(&repository)).await.unwrap().plan, planned.plan);
    assert!(copies().iter().all(|name| !name.starts_with("apart-")), "{:?}", copies());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_that_says_nothing_of_its_set_up_has_a_plan_without_steps_and_no_environment() {
    let night = Night::begin(looking("true")).await;
    let repository = night.repository();
    let planned = night.owner.api.plan_environment(wish(&repository)).await.unwrap();
    assert!(planned.plan.is_empty());
    let refused = night.owner.api.set_up_environment(wish(&repository)).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::InvalidRequest);
    assert!(refused.hint.contains("environment.toml"), "{}", refused.hint);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_set_up_whose_machine_stands_still_for_the_disk_says_so_and_goes_on_when_there_is_room() {
    let night = Night::with_disk(json!({"turns": []}), 50_000).await;
    let step = "{ name = 'install', run = 'until [ -e ~/go ]; do sleep 0.05; done; echo gone on' }";
    let repository = repository(&night, step, "'true'");
    let begun = night.owner.api.set_up_environment(wish(&repository)).await.unwrap();
    let id = begun.environment.as_str();
    let says = async |wanted: &str| {
        let waited = async {
            while !log(&night, id).await.contains(wanted) {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(WITHIN, waited).await.unwrap_or_else(|_| panic!("no \"{wanted}\" in its log"));
    };
    says("$ until").await;
    let sandbox = night.owner.api.environment(id).await.unwrap().sandbox.unwrap();
    let machine = night.driver.machine(&sandbox).unwrap();
    night.driver.disk_is(1 << 30, 100 << 30);
    // Longer than between two looks at a disk that was not near its reserve.
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    machine.has_written(3 << 30);
    says("waiting: the sandbox stands still: it wrote 3.0 GiB; the disk of the host has 1.0 GiB left").await;
    night.driver.disk_is(50 << 30, 100 << 30);
    says("there is room on the disk; it goes on").await;
    std::fs::write(machine.home_folder().join("go"), "").unwrap();
    let ready = at_rest(&night, id).await;
    assert!(matches!(ready.state, EnvironmentState::Ready { .. }), "{:?}", ready.state);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_set_up_that_writes_more_than_it_may_fails_with_that_and_a_retry_lets_it_go_on() {
    let night = Night::with_disk(json!({"turns": []}), 50_000).await;
    let step = "{ name = 'install', run = 'until [ -e ~/go ]; do sleep 0.05; done' }";
    let repository = repository(&night, step, "'true'");
    let begun = night.owner.api.set_up_environment(wish(&repository)).await.unwrap();
    let id = begun.environment.as_str();
    let begins = async {
        while !log(&night, id).await.contains("$ until") {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(WITHIN, begins).await.unwrap();
    let sandbox = night.owner.api.environment(id).await.unwrap().sandbox.unwrap();
    let machine = night.driver.machine(&sandbox).unwrap();
    machine.has_written(13 << 30);
    let failed = at_rest(&night, id).await;
    let EnvironmentState::Failed { failure, .. } = failed.state else { panic!("{:?}", failed.state) };
    assert_eq!(failure.error.code, ErrorCode::LimitReached);
    assert!(failure.error.message.contains("it wrote 13.0 GiB, and one sandbox may write 12.0 GiB"));
    std::fs::write(machine.home_folder().join("go"), "").unwrap();
    night.owner.api.retry_environment(id).await.unwrap();
    let ready = at_rest(&night, id).await;
    assert!(matches!(ready.state, EnvironmentState::Ready { .. }), "{:?}", ready.state);
}
