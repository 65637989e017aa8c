//! Each thing a person or a program can ask of Nightshift, as one function.
//!
//! The HTTP server, the command line and the desktop app only translate to and from these; no rule about tasks or
//! runs is in them, and no state is in here.

mod agents;
mod changes;
mod environments;
mod loans;
mod settings;

use std::future::ready;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use nightshift_forge::{Forge, PullRequest, StateFilter};
use nightshift_protocol::{
    ArtifactId, AskForChanges, AskPullRequests, AskStatistics, AttemptList, ChangedFile, ChangedFiles,
    CheckpointSummary, CommitId, DecideApproval, DoctorReport, EngineList, ErrorCode, Event, ExampleTask,
    ForkReply, ForkRun, ListRuns, Live, Merge, MergeReply, ModelList, NewComment, OthersClosed, Overview,
    Prune, PruneReport, PullRequestDetail, PullRequestSummary, RaiseLimits, ResumeRun, ReviewQueue,
    RewindRun, RunDetail, RunId, RunList, RunState, RunSummary, SayToRun, SearchFor, SearchReply, Statistics,
    SubmitReply, SubmitTask, TaskId, TerminalSize, Tree, UserError,
};
use nightshift_store::{FindError, RunCursor, RunFilter, RunStates, SearchCursor, SearchWords, Store};
pub use nightshift_supervisor::{IDLE, Lease, RunScreen, Terminal, TerminalEvent, Webhook, live};
use nightshift_supervisor::{Supervisor, trouble};
use tokio::sync::mpsc;
use tokio_stream::wrappers::{BroadcastStream, ReceiverStream};

pub use changes::Change;
pub use settings::SettingsKeeper;

/// Runs of one answer if nothing is said, and at most.
const PAGE: u32 = 100;
const LARGEST_PAGE: u32 = 500;

/// The largest file of a repository that is given, in bytes.
const LARGEST_FILE: usize = 16 * 1024 * 1024;

/// The longest diff that is shown, in bytes; of a longer one the rest is named and left out.
const LONGEST_DIFF: usize = 16 * 1024 * 1024;

/// What can be asked.
#[derive(Clone)]
pub struct Api {
    supervisor: Supervisor,
    store: Store,
    forge: Forge,
    settings: Option<Arc<dyn SettingsKeeper>>,
}

/// What a follower of a run sees.
#[derive(Debug, Clone, PartialEq)]
pub enum Happening {
    /// Something that is in the history.
    Event(Box<Event>),
    /// Something passing.
    Live(Live),
}

/// A run's happenings, until the owner ends.
pub type Happenings = Pin<Box<dyn Stream<Item = Happening> + Send>>;

impl Api {
    /// The operations over these parts.
    pub fn new(supervisor: Supervisor, store: Store, forge: Forge) -> Self {
        Self { supervisor, store, forge, settings: None }
    }

    /// Takes a task in.
    pub async fn submit_task(&self, request: SubmitTask) -> Result<SubmitReply, UserError> {
        self.supervisor.submit(request).await
    }

    /// Has a sandbox wait for a task that is being written.
    pub async fn expect_task(&self) -> Result<(), UserError> {
        self.supervisor.expect_task().await
    }

    /// Makes the example repository and says what a first task in it would be; nothing is submitted.
    pub async fn example(&self) -> Result<ExampleTask, UserError> {
        self.supervisor.example().await
    }

    /// Lists runs, the newest submitted first.
    pub async fn runs(&self, wanted: &ListRuns) -> Result<RunList, UserError> {
        let limit = wanted.limit.unwrap_or(PAGE).clamp(1, LARGEST_PAGE);
        let cursor = cursor(wanted.cursor.as_deref())?.map(RunCursor);
        let filter = RunFilter {
            states: states(wanted.state.as_deref())?,
            repository: wanted.repository.clone(),
            task: None,
            words: wanted.text.as_deref().filter(|text| !text.trim().is_empty()).map(words).transpose()?,
        };
        let page = self.store.runs(&filter, cursor, limit).await.map_err(|error| trouble::reading(&error))?;
        Ok(RunList { runs: page.runs, next: page.next.map(|RunCursor(position)| position.to_string()) })
    }

    /// Searches everything people and agents wrote, ran and saw; the newest finds come first.
    pub async fn search(&self, wanted: &SearchFor) -> Result<SearchReply, UserError> {
        let cursor = cursor(wanted.cursor.as_deref())?.map(SearchCursor);
        let limit = wanted.limit.unwrap_or(20).clamp(1, 100);
        let found = self.store.search(&words(&wanted.q)?, cursor, limit).await;
        let found = found.map_err(|error| trouble::reading(&error))?;
        Ok(SearchReply { hits: found.hits, next: found.next.map(|SearchCursor(next)| next.to_string()) })
    }

    /// Counts the runs in each state.
    pub async fn overview(&self) -> Result<Overview, UserError> {
        self.store.overview().await.map_err(|error| trouble::reading(&error))
    }

    /// Follows all runs: each that changed after `after`, or from now on, and the counts whenever they change.
    pub async fn changes(&self, after: Option<u64>) -> Result<ReceiverStream<Change>, UserError> {
        let news = self.store.subscribe();
        let overview = self.overview().await?;
        let after = after.unwrap_or(overview.position);
        let (say, changes) = mpsc::channel(16);
        tokio::spawn(changes::follow(self.store.clone(), news, after, say));
        Ok(ReceiverStream::new(changes))
    }

    /// Shows one run, named by its id or its task's, or by how one of them begins.
    pub async fn run(&self, named: &str) -> Result<RunDetail, UserError> {
        let summary = self.find(named).await?;
        let progress = self.supervisor.progress(&summary.run).await?;
        let pull_request = match progress.delivery.pull_request {
            Some(_) => Some(self.pull_request(summary.run.as_str()).await?.summary),
            None => None,
        };
        let suspension = progress.suspension();
        let self_reviews = progress.self_reviews.list().to_vec();
        Ok(RunDetail {
            summary,
            plan: progress.plan,
            evidence: progress.evidence,
            self_reviews,
            pull_request,
            suspension,
        })
    }

    /// Lists events of a run after `after`, at most `limit`.
    pub async fn events(&self, named: &str, after: u64, limit: u32) -> Result<Vec<Event>, UserError> {
        let run = self.find(named).await?.run;
        self.store.events(&run, after, limit).await.map_err(|error| trouble::reading(&error))
    }

    /// Follows a run: its events after `after` without gap or repetition, and what passes between them.
    pub async fn follow(&self, named: &str, after: u64) -> Result<Happenings, UserError> {
        let run = self.find(named).await?.run;
        let live = BroadcastStream::new(self.supervisor.live());
        let events = self.store.follow(&run, after);
        let live = live.filter_map(move |live| {
            // A follower that was too slow for what passes missed it; the events tell what it came to.
            let ours = live.ok().filter(|live| live.run == run).map(Happening::Live);
            async move { ours }
        });
        let events = events.map(|event| event.ok().map(Box::new).map(Happening::Event));
        Ok(Box::pin(merged(events, live)))
    }

    /// Gives a run up.
    pub async fn cancel(&self, named: &str) -> Result<RunSummary, UserError> {
        let run = self.find(named).await?.run;
        self.supervisor.cancel(&run).await?;
        self.find(run.as_str()).await
    }

    /// Stops a run for now.
    pub async fn pause(&self, named: &str) -> Result<RunSummary, UserError> {
        let run = self.find(named).await?.run;
        self.supervisor.pause(&run).await?;
        self.find(run.as_str()).await
    }

    /// Lets a paused run go on.
    pub async fn continue_run(&self, named: &str) -> Result<RunSummary, UserError> {
        let run = self.find(named).await?.run;
        self.supervisor.continue_run(&run).await?;
        self.find(run.as_str()).await
    }

    /// Takes a run up again with a person's words, in its sandbox.
    pub async fn resume_run(&self, named: &str, words: ResumeRun) -> Result<RunSummary, UserError> {
        if words.text.trim().is_empty() {
            let message = "there is nothing to go on with";
            return Err(UserError::new(ErrorCode::InvalidRequest, message, "Say what is to be done."));
        }
        let run = self.find(named).await?.run;
        self.supervisor.resume_run(&run, words.text).await?;
        self.find(run.as_str()).await
    }

    /// Ranks the attempts at a task, named by its id or a run's of it, or by how one of them begins.
    pub async fn attempts(&self, named: &str) -> Result<AttemptList, UserError> {
        let task = if named.starts_with("task-") {
            self.find_task(named).await?
        } else {
            self.find(named).await?.task.id
        };
        self.supervisor.attempts(&task).await
    }

    /// Gives up every other attempt at a run's task, and says of each what was done.
    pub async fn close_others(&self, named: &str) -> Result<OthersClosed, UserError> {
        let run = self.find(named).await?;
        self.supervisor.close_others(&run).await
    }

    /// Lists a run's checkpoints, the oldest first.
    pub async fn checkpoints(&self, named: &str) -> Result<Vec<CheckpointSummary>, UserError> {
        let run = self.find(named).await?.run;
        Ok(self.supervisor.progress(&run).await?.checkpoints.list())
    }

    /// Saves a checkpoint of a run, and returns when that is done.
    pub async fn save_checkpoint(&self, named: &str) -> Result<CheckpointSummary, UserError> {
        let run = self.find(named).await?.run;
        self.supervisor.save_checkpoint(&run).await
    }

    /// Suspends the sandbox of a run that rests to disk, and returns when its memory is given back.
    pub async fn suspend(&self, named: &str) -> Result<CheckpointSummary, UserError> {
        let run = self.find(named).await?.run;
        self.supervisor.suspend(&run).await
    }

    /// Lets a run go back to a checkpoint. What it is at now is saved first, unless that is to be discarded.
    pub async fn rewind(&self, named: &str, wish: &RewindRun) -> Result<RunSummary, UserError> {
        let run = self.find(named).await?.run;
        self.supervisor.rewind(&run, &wish.checkpoint, wish.discard).await?;
        self.find(run.as_str()).await
    }

    /// Makes runs that go on from a checkpoint, beside the run.
    pub async fn fork(&self, named: &str, wish: ForkRun) -> Result<ForkReply, UserError> {
        let run = self.find(named).await?.run;
        Ok(ForkReply { runs: self.supervisor.fork(&run, wish).await? })
    }

    /// Removes a checkpoint of a run, and returns those that are left.
    pub async fn remove_checkpoint(
        &self,
        named: &str,
        checkpoint: &str,
    ) -> Result<Vec<CheckpointSummary>, UserError> {
        let run = self.find(named).await?.run;
        self.supervisor.remove_checkpoint(&run, checkpoint).await?;
        self.checkpoints(run.as_str()).await
    }

    /// Stops what a run does now: a tool keeps its output, a model call is made again.
    pub async fn interrupt(&self, named: &str) -> Result<RunSummary, UserError> {
        let run = self.find(named).await?.run;
        self.supervisor.interrupt(&run).await?;
        self.find(run.as_str()).await
    }

    /// Changes what a run's task may use.
    pub async fn raise_limits(&self, named: &str, limits: RaiseLimits) -> Result<RunSummary, UserError> {
        let run = self.find(named).await?.run;
        self.supervisor.raise_limits(&run, limits).await?;
        self.find(run.as_str()).await
    }

    /// Decides about the command that a run waits with.
    pub async fn decide(&self, named: &str, decided: DecideApproval) -> Result<RunSummary, UserError> {
        let run = self.find(named).await?.run;
        self.supervisor.decide(&run, decided).await?;
        self.find(run.as_str()).await
    }

    /// Writes to a run, or answers its question.
    pub async fn say(&self, named: &str, said: SayToRun) -> Result<RunSummary, UserError> {
        let SayToRun { text, delivery } = said;
        if text.trim().is_empty() {
            return Err(UserError::new(
                ErrorCode::InvalidRequest,
                "the message is empty",
                "Write something.",
            ));
        }
        let run = self.find(named).await?.run;
        self.supervisor.say(&run, text, delivery).await?;
        self.find(run.as_str()).await
    }

    /// The screen of a run's sandbox.
    pub async fn screen(&self, named: &str) -> Result<RunScreen, UserError> {
        let run = self.find(named).await?.run;
        self.supervisor.screen(&run).await
    }

    /// Gives mouse and keyboard of a run to a person.
    pub async fn take_over(&self, named: &str) -> Result<Lease, UserError> {
        let run = self.find(named).await?.run;
        self.supervisor.take_over(&run).await
    }

    /// Opens a terminal in a run's sandbox; with a session's name the shell that it had before.
    pub async fn terminal(
        &self,
        named: &str,
        session: Option<String>,
        size: TerminalSize,
    ) -> Result<Terminal, UserError> {
        let run = self.find(named).await?.run;
        self.supervisor.terminal(&run, session, size).await
    }

    /// Opens a shell without a terminal in a run's sandbox, for programs.
    pub async fn plain_shell(&self, named: &str) -> Result<Terminal, UserError> {
        let run = self.find(named).await?.run;
        self.supervisor.plain_shell(&run).await
    }

    /// A run as lists show it.
    pub async fn summary(&self, named: &str) -> Result<RunSummary, UserError> {
        self.find(named).await
    }

    /// Lists pull requests of all repositories, the newest first.
    pub async fn pull_requests(&self, ask: &AskPullRequests) -> Result<Vec<PullRequestSummary>, UserError> {
        let repositories = self.forge.repositories().map_err(|error| trouble::forge(&error))?;
        let state = if ask.decided { StateFilter::Decided } else { StateFilter::All };
        let most = ask.limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
        let mut list = Vec::new();
        for repository in repositories {
            let found = repository.newest_pull_requests(state, most).await;
            let found = found.map_err(|error| trouble::ledger(&error))?;
            let source = repository.source().to_string();
            list.extend(found.iter().map(|pull_request| pull_request.summary(&source)));
        }
        list.sort_by_key(|pull_request: &PullRequestSummary| std::cmp::Reverse(pull_request.created_at));
        list.truncate(most);
        Ok(list)
    }

    /// The open pull requests in the order in which they are to be reviewed, and how many more may wait.
    pub async fn review_queue(&self) -> Result<ReviewQueue, UserError> {
        self.supervisor.review_queue().await
    }

    /// Sums up what runs and their reviews came to.
    pub async fn statistics(&self, ask: &AskStatistics) -> Result<Statistics, UserError> {
        self.supervisor.statistics(ask).await
    }

    /// Shows a run's pull request.
    pub async fn pull_request(&self, named: &str) -> Result<PullRequestDetail, UserError> {
        let (pull_request, repository) = self.find_pull_request(named).await?;
        let commits = repository.commits(&pull_request).await.map_err(|error| trouble::git(&error))?;
        let progress = self.supervisor.progress(&pull_request.run).await?;
        Ok(PullRequestDetail {
            remarks: progress.delivery.remarks(),
            approved: progress.delivery.approved,
            run_state: progress.state,
            summary: pull_request.summary(&repository.source().to_string()),
            commits: commits.into_iter().map(|commit| commit.title).collect(),
            body: pull_request.body,
            evidence: pull_request.evidence,
            bare_repository: repository.bare_repository(),
        })
    }

    /// Lists the files a run's pull request changes.
    pub async fn changed_files(&self, named: &str) -> Result<ChangedFiles, UserError> {
        let (pull_request, repository) = self.find_pull_request(named).await?;
        let files = repository.diff_stat(&pull_request).await.map_err(|error| trouble::git(&error))?;
        let files = files
            .into_iter()
            .map(|file| ChangedFile {
                added: file.lines.map(|lines| lines.added),
                removed: file.lines.map(|lines| lines.removed),
                path: file.path,
            })
            .collect();
        Ok(ChangedFiles { base: pull_request.base_commit, head: pull_request.head, files })
    }

    /// Shows the diff of a run's pull request against its base as git writes it, or of one of its files.
    pub async fn diff(&self, named: &str, path: Option<&str>) -> Result<String, UserError> {
        let (pull_request, repository) = self.find_pull_request(named).await?;
        let diff = match path {
            Some(path) => repository
                .file_diff(&pull_request, path, LONGEST_DIFF)
                .await
                .map_err(|error| trouble::browsing(&error))?,
            None => {
                repository.diff(&pull_request, LONGEST_DIFF).await.map_err(|error| trouble::git(&error))?
            }
        };
        let rest = if diff.cut { "\n(the rest is left out: the diff is longer than 16 MiB)\n" } else { "" };
        Ok(diff.text + rest)
    }

    /// Lists a folder of a run's branch, at its newest delivered commit if none is named.
    pub async fn tree(&self, named: &str, commit: Option<&str>, path: &str) -> Result<Tree, UserError> {
        let (repository, commit) = self.commit_of(named, commit).await?;
        repository.tree(&commit, path).await.map_err(|error| trouble::browsing(&error))
    }

    /// Gives a file of a run's branch, at its newest delivered commit if none is named.
    pub async fn blob(&self, named: &str, commit: Option<&str>, path: &str) -> Result<Bytes, UserError> {
        let (repository, commit) = self.commit_of(named, commit).await?;
        let blob = repository.blob(&commit, path, LARGEST_FILE).await;
        blob.map(Bytes::from).map_err(|error| trouble::browsing(&error))
    }

    /// Comments on a line of a run's pull request; the comment waits until changes are asked for.
    pub async fn comment(&self, named: &str, comment: NewComment) -> Result<PullRequestDetail, UserError> {
        let run = self.find(named).await?.run;
        self.supervisor.comment(&run, comment).await?;
        self.pull_request(run.as_str()).await
    }

    /// Takes a comment back that was not sent.
    pub async fn withdraw_comment(&self, named: &str, comment: &str) -> Result<PullRequestDetail, UserError> {
        let run = self.find(named).await?.run;
        self.supervisor.withdraw_comment(&run, comment).await?;
        self.pull_request(run.as_str()).await
    }

    /// Asks for changes to a run's pull request: its agent goes on, in its sandbox.
    pub async fn ask_for_changes(
        &self,
        named: &str,
        ask: AskForChanges,
    ) -> Result<PullRequestDetail, UserError> {
        let run = self.find(named).await?.run;
        self.supervisor.ask_for_changes(&run, ask).await?;
        self.pull_request(run.as_str()).await
    }

    /// Notes that a person found the work of a run good.
    pub async fn approve(&self, named: &str, words: &str) -> Result<PullRequestDetail, UserError> {
        let run = self.find(named).await?.run;
        self.supervisor.approve(&run, words).await?;
        self.pull_request(run.as_str()).await
    }

    /// Merges a run's pull request into its base branch, unless it is another than the one that was reviewed.
    pub async fn merge(&self, named: &str, merge: Merge) -> Result<MergeReply, UserError> {
        let run = self.find(named).await?.run;
        self.supervisor.merge(&run, merge).await
    }

    /// Closes a run's pull request without merging.
    pub async fn close(&self, named: &str) -> Result<PullRequestSummary, UserError> {
        let run = self.find(named).await?.run;
        self.supervisor.close(&run).await?;
        Ok(self.pull_request(run.as_str()).await?.summary)
    }

    /// Takes a remote forge's word that something happened.
    pub fn take_webhook(&self, webhook: &Webhook<'_>) -> Result<(), UserError> {
        self.supervisor.take_webhook(webhook)
    }

    /// Reads a stored file.
    pub async fn artifact(&self, id: &ArtifactId) -> Result<Bytes, UserError> {
        self.store.get(id).await.map_err(|error| trouble::getting(&error))
    }

    /// Looks whether this host can run sandboxes.
    pub async fn doctor(&self) -> DoctorReport {
        self.supervisor.doctor().await
    }

    /// Lists the models of all providers.
    pub async fn models(&self) -> Result<ModelList, UserError> {
        self.supervisor.models().await
    }

    /// Lists the agents that may work on tasks.
    pub fn engines(&self) -> EngineList {
        self.supervisor.engines()
    }

    /// Asks a model, or the default model, one small thing, and says what works with it.
    pub async fn try_model(&self, model: Option<String>) -> DoctorReport {
        self.supervisor.try_model(model).await
    }

    /// Makes image and template if they are missing, and returns the template's key.
    pub async fn prepare_template(&self) -> Result<String, UserError> {
        self.supervisor.prepare_template().await
    }

    /// Removes images and templates that nobody needs, or only says which those are.
    pub async fn prune(&self, wish: Prune) -> Result<PruneReport, UserError> {
        self.supervisor.prune(wish).await
    }

    /// The run of an id or of a task's id. A task with several runs names none of them: the newest is not the best.
    async fn find(&self, named: &str) -> Result<RunSummary, UserError> {
        if !named.starts_with("task-") {
            return self.store.find_run(named).await.map_err(|error| trouble::finding(&error));
        }
        let task = self.find_task(named).await?;
        let filter = RunFilter { task: Some(task.clone()), ..RunFilter::default() };
        let page = self.store.runs(&filter, None, LARGEST_PAGE).await;
        let mut runs = page.map_err(|error| trouble::reading(&error))?.runs;
        match runs.len() {
            0 => Err(trouble::finding(&FindError::NotFound { prefix: named.to_owned() })),
            1 => Ok(runs.remove(0)),
            _ => Err(several(&task, &runs)),
        }
    }

    async fn find_task(&self, named: &str) -> Result<TaskId, UserError> {
        let task = self.store.find_task(named).await;
        task.map(|task| task.id).map_err(|error| trouble::finding(&error))
    }

    async fn commit_of(
        &self,
        named: &str,
        commit: Option<&str>,
    ) -> Result<(nightshift_forge::Repository, CommitId), UserError> {
        let summary = self.find(named).await?;
        let repository = self.repository(&summary.task.repository)?;
        if let Some(commit) = commit {
            let commit = commit.parse().map_err(|error: nightshift_protocol::InvalidId| {
                UserError::new(ErrorCode::InvalidRequest, error.to_string(), "Commits are named in full.")
            })?;
            return Ok((repository, commit));
        }
        let progress = self.supervisor.progress(&summary.run).await?;
        let commit = progress.delivery.received.map_or(summary.task.base_commit, |received| received.head);
        Ok((repository, commit))
    }

    fn repository(&self, named: &str) -> Result<nightshift_forge::Repository, UserError> {
        let source = named.parse().map_err(|error| trouble::sourcing(named, &error))?;
        Ok(self.forge.repository(&source))
    }

    async fn find_pull_request(
        &self,
        named: &str,
    ) -> Result<(PullRequest, nightshift_forge::Repository), UserError> {
        let summary = self.find(named).await?;
        let run: RunId = summary.run;
        let Some(number) = summary.reviewing.pull_request else {
            return Err(UserError::new(
                ErrorCode::NotFound,
                format!("{run} has no pull request yet"),
                format!("It is {}; `nightshift watch {run}` follows it.", summary.state.words()),
            ));
        };
        let repository = self.repository(&summary.task.repository)?;
        let pull_request =
            repository.pull_request(number).await.map_err(|error| trouble::pull_request(&error))?;
        Ok((pull_request, repository))
    }
}

fn cursor(given: Option<&str>) -> Result<Option<u64>, UserError> {
    given.map(str::parse).transpose().map_err(|_| {
        let message = "the cursor is none of this list";
        UserError::new(ErrorCode::InvalidRequest, message, "Begin again without a cursor.")
    })
}

fn words(text: &str) -> Result<SearchWords, UserError> {
    SearchWords::of(text).ok_or_else(|| {
        UserError::new(ErrorCode::InvalidRequest, "there is no word to search for", "Type a word or two.")
    })
}

/// Reads which states are wanted.
fn states(wanted: Option<&str>) -> Result<RunStates, UserError> {
    let names: Vec<&str> = wanted.into_iter().flat_map(|wanted| wanted.split(',')).map(str::trim).collect();
    match names.as_slice() {
        [] | [""] => Ok(RunStates::All),
        ["unfinished"] => Ok(RunStates::Unfinished),
        names => match names.iter().find(|name| !RunState::NAMES.contains(name)) {
            Some(unknown) => Err(UserError::new(
                ErrorCode::InvalidRequest,
                format!("no state is named \"{}\"", unknown.chars().take(80).collect::<String>()),
                format!("The states are {}; or unfinished.", RunState::NAMES.join(", ")),
            )),
            None => Ok(RunStates::Named(names.iter().map(|name| (*name).to_owned()).collect())),
        },
    }
}

/// Why a task's id names no run; `runs` are all of them, the newest first.
fn several(task: &TaskId, runs: &[RunSummary]) -> UserError {
    let names: Vec<&str> = runs.iter().rev().map(|run| run.run.as_str()).take(8).collect();
    let more = if runs.len() > names.len() { ", …" } else { "" };
    UserError::new(
        ErrorCode::InvalidRequest,
        format!("{task} has {} runs: {}{more}", runs.len(), names.join(", ")),
        format!("Name the one you mean; `nightshift review attempts {task}` shows how they compare."),
    )
}

/// Both streams in one, which ends as soon as `events` ends or says `None`, for an error: without events a follower
/// would wait for ever. Whoever follows asks again from the last event it has.
fn merged(
    events: impl Stream<Item = Option<Happening>> + Send,
    live: impl Stream<Item = Happening> + Send,
) -> impl Stream<Item = Happening> + Send {
    let events = events.chain(stream::once(ready(None)));
    stream::select(events, live.map(Some))
        .take_while(|happening| ready(happening.is_some()))
        .filter_map(ready)
}

#[cfg(test)]
mod tests;
