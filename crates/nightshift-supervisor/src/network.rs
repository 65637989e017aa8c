//! What a run's sandbox may reach, and its way out while the owner is attached to it.
//!
//! What is allowed is decided here, purely, of what the owner's configuration and the repository say; the proxy in
//! `nightshift-egress` carries it out. A repository can only ask: what it lists is open as far as the owner's
//! configuration permits it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use nightshift_channel::{Channel, ChannelError};
use nightshift_egress::{
    Egress, EgressLimits, EgressSettings, HostPattern, Policy, Resolver, Rule, SystemResolver, Target,
    Upstream,
};
use nightshift_forge::{BrowseError, Repository};
use nightshift_protocol::{
    Clock, CommitId, ConnectionRecord, EnvironmentEventBody, EnvironmentId, EventBody, NetworkPhase, RunId,
};
use nightshift_store::Store;
use serde::Deserialize;
use tokio::runtime::Handle;
use tokio::task::{AbortHandle, JoinSet};

/// Where a repository says what it needs.
const CONFIGURATION: &str = ".nightshift/config.toml";

/// The longest configuration of a repository that is read, in bytes.
const LONGEST_CONFIGURATION: usize = 64 * 1024;

/// The most hosts a repository can ask for.
const MOST_ASKED: usize = 100;

/// How often it is looked whether connections are to be written down.
const TELL_EVERY: Duration = Duration::from_millis(500);

/// How long connections that were cut may take to be gone.
const QUIET_WITHIN: Duration = Duration::from_secs(2);

/// What the owner's configuration says of the network.
#[derive(Clone)]
pub struct NetworkSettings {
    /// What every sandbox may reach in each phase.
    pub allow: Vec<Rule>,
    /// What a repository may ask for.
    pub permit: Vec<Rule>,
    /// Listed hosts that may have private addresses.
    pub private: Vec<Target>,
    /// The proxy the owner itself stands behind.
    pub upstream: Option<Upstream>,
    /// Finds addresses.
    pub resolver: Arc<dyn Resolver>,
    /// What one sandbox may use.
    pub limits: EgressLimits,
}

impl fmt::Debug for NetworkSettings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("NetworkSettings")
            .field("allow", &self.allow)
            .field("permit", &self.permit)
            .finish_non_exhaustive()
    }
}

impl Default for NetworkSettings {
    /// Closed: nothing can be reached.
    fn default() -> Self {
        Self {
            allow: Vec::new(),
            permit: Vec::new(),
            private: Vec::new(),
            upstream: None,
            resolver: Arc::new(SystemResolver::default()),
            limits: EgressLimits::default(),
        }
    }
}

impl NetworkSettings {
    /// A way out under a policy.
    pub(crate) fn egress(&self, policy: Policy) -> Egress {
        Egress::new(EgressSettings {
            policy,
            limits: self.limits,
            resolver: Arc::clone(&self.resolver),
            upstream: self.upstream.clone(),
        })
    }
}

/// What a sandbox may reach while its agent works, and what of the repository's wishes that is not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NetworkPlan {
    pub(crate) policy: Policy,
    not_permitted: Vec<Rule>,
    problem: Option<String>,
}

impl NetworkPlan {
    pub(crate) fn event(&self) -> EventBody {
        EventBody::NetworkOpened {
            phase: self.policy.phase,
            allowed: self.hosts(),
            not_permitted: self.not_permitted(),
            problem: self.problem.clone(),
        }
    }

    /// The hosts that were asked for and are not open.
    pub(crate) fn not_permitted(&self) -> Vec<String> {
        self.not_permitted.iter().map(Rule::to_string).collect()
    }

    /// The hosts, as the model and a person read them.
    pub(crate) fn hosts(&self) -> Vec<String> {
        self.policy.allow.iter().map(Rule::to_string).collect()
    }
}

/// Decides what is open while an agent works. A repository's configuration that is not understood opens nothing.
pub(crate) fn plan(settings: &NetworkSettings, asked: Result<Vec<Rule>, String>) -> NetworkPlan {
    let (asked, problem) = match asked {
        Ok(asked) => (asked, None),
        Err(problem) => (Vec::new(), Some(problem)),
    };
    let (permitted, not_permitted): (Vec<Rule>, Vec<Rule>) =
        asked.into_iter().partition(|rule| settings.permit.iter().any(|permit| permit.covers(rule)));
    let mut allow = settings.allow.clone();
    allow.extend(permitted);
    allow.sort();
    allow.dedup();
    let policy = Policy { phase: NetworkPhase::Work, allow, private: settings.private.clone() };
    NetworkPlan { policy, not_permitted, problem }
}

/// The part of a repository's configuration that is about the network; other parts are others' business.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RepositoryConfiguration {
    egress: RepositoryEgress,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RepositoryEgress {
    allow: Vec<String>,
}

/// What the repository asks for at a commit, read from the host's copy: what is in the sandbox, the agent could change.
pub(crate) async fn asked_by(repository: &Repository, commit: &CommitId) -> Result<Vec<Rule>, String> {
    match repository.blob(commit, CONFIGURATION, LONGEST_CONFIGURATION).await {
        Ok(bytes) => {
            asked_in(&String::from_utf8_lossy(&bytes)).map_err(|why| format!("{CONFIGURATION}: {why}"))
        }
        Err(BrowseError::NotThere { .. }) => Ok(Vec::new()),
        Err(error) => Err(format!("{CONFIGURATION} could not be read: {error}")),
    }
}

fn asked_in(text: &str) -> Result<Vec<Rule>, String> {
    let configuration: RepositoryConfiguration =
        toml::from_str(text).map_err(|error| cut(error.message()))?;
    let asked = configuration.egress.allow;
    if asked.len() > MOST_ASKED {
        return Err(format!("egress.allow has {} hosts, more than {MOST_ASKED}", asked.len()));
    }
    let rules: Result<Vec<Rule>, _> = asked.iter().map(|text| text.parse::<Rule>()).collect();
    let rules = rules.map_err(|error| cut(&error.to_string()))?;
    if rules.iter().any(|rule| rule.hosts == HostPattern::Every) {
        return Err("egress.allow names every host with *: name those that are needed".to_owned());
    }
    Ok(rules)
}

/// What a repository's text says is shown to people and kept: not at any length.
fn cut(text: &str) -> String {
    text.chars().filter(|character| !character.is_control()).take(300).collect()
}

/// Decides what is open while an environment is set up: what is open for an agent, and the registries with `open`.
/// `private` are hosts of this machine's own package configuration, which may have private addresses.
pub(crate) fn plan_set_up(
    settings: &NetworkSettings,
    asked: Result<Vec<Rule>, String>,
    open: Vec<Rule>,
    private: Vec<Target>,
) -> NetworkPlan {
    let mut plan = plan(settings, asked);
    plan.policy.phase = NetworkPhase::SetUp;
    plan.policy.private.extend(private);
    plan.not_permitted.retain(|rule| !open.iter().any(|open| open.covers(rule)));
    plan.policy.allow.extend(open);
    plan.policy.allow.sort();
    plan.policy.allow.dedup();
    plan
}

/// In whose history connections are written down.
#[derive(Debug, Clone)]
pub(crate) enum Place {
    /// A run's.
    Run(RunId),
    /// An environment's.
    Environment(EnvironmentId),
}

/// Where connections are written down.
#[derive(Clone)]
pub(crate) struct Record {
    pub(crate) store: Store,
    pub(crate) place: Place,
    pub(crate) clock: Arc<dyn Clock>,
}

impl Record {
    /// Writes connections down; what cannot be written now is kept for the next time.
    async fn write(&self, egress: &Egress, connections: Vec<ConnectionRecord>) {
        if connections.is_empty() {
            return;
        }
        let now = self.clock.now();
        let written = match &self.place {
            Place::Run(run) => {
                let body = EventBody::ConnectionsRecorded { connections: connections.clone() };
                self.store.append(run, now, &[body]).await.map(drop)
            }
            Place::Environment(environment) => {
                let body = EnvironmentEventBody::ConnectionsRecorded { connections: connections.clone() };
                self.store.append_environment(environment, now, &[body]).await
            }
        };
        if let Err(error) = written {
            tracing::warn!(place = ?self.place, %error, "connections could not be written down yet");
            egress.give_back(connections);
        }
    }
}

/// A sandbox's way out, open. Dropping it cuts every connection.
pub(crate) struct Network {
    egress: Egress,
    record: Record,
    tasks: [AbortHandle; 2],
}

impl Drop for Network {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
        self.egress.close();
    }
}

impl Network {
    /// Takes the connections of the sandbox's programs from now on, and carries them on `threads`.
    pub(crate) fn open(channel: Channel, egress: Egress, record: Record, threads: &Handle) -> Self {
        let taking = threads.spawn(take(channel, egress.clone())).abort_handle();
        let telling = tokio::spawn(tell(egress.clone(), record.clone())).abort_handle();
        Self { egress, record, tasks: [taking, telling] }
    }

    /// The way out itself.
    pub(crate) fn egress(&self) -> Egress {
        self.egress.clone()
    }

    /// Cuts every connection and writes down what was not yet.
    pub(crate) async fn close(self) {
        self.tasks.iter().for_each(AbortHandle::abort);
        self.egress.close();
        // Connections note their end when they are dropped, which the runtime does soon.
        let _or_not = tokio::time::timeout(QUIET_WITHIN, self.egress.quiet()).await;
        self.record.write(&self.egress, self.egress.take_all_records()).await;
    }
}

/// Serves connections until the channel closes; dropped with this, they are cut.
async fn take(channel: Channel, egress: Egress) {
    let mut connections = match channel.take_connections().await {
        Ok(connections) => connections,
        Err(error) => return tracing::warn!(%error, "the sandbox's connections are not taken"),
    };
    // Held only by what is open from here on.
    drop(channel);
    let mut under_way = JoinSet::new();
    loop {
        let admitted = egress.admit().await;
        let stream = match connections.next().await {
            Ok(stream) => stream,
            Err(ChannelError::Closed(_) | ChannelError::Cut) => return,
            Err(error) => return tracing::warn!(%error, "no more connections are taken"),
        };
        let egress = egress.clone();
        under_way.spawn(async move { egress.serve(stream, admitted).await });
        while under_way.try_join_next().is_some() {}
    }
}

async fn tell(egress: Egress, record: Record) {
    let mut every = tokio::time::interval(TELL_EVERY);
    loop {
        every.tick().await;
        if let Some(connections) = egress.take_records() {
            record.write(&egress, connections).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(texts: &[&str]) -> Vec<Rule> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn settings(allow: &[&str], permit: &[&str]) -> NetworkSettings {
        NetworkSettings { allow: rules(allow), permit: rules(permit), ..NetworkSettings::default() }
    }

    #[test]
    fn by_default_nothing_is_open_whatever_the_repository_asks_for() {
        let asked = asked_in("[egress]\nallow = ['api.example.org', 'packages.example.net']").unwrap();
        let plan = plan(&NetworkSettings::default(), Ok(asked.clone()));
        assert_eq!(
            plan,
            NetworkPlan { policy: Policy::closed(NetworkPhase::Work), not_permitted: asked, problem: None }
        );
    }

    #[test]
    fn what_is_asked_for_is_open_as_far_as_it_is_permitted() {
        let asked =
            asked_in("[egress]\nallow = ['api.example.org', 'api.example.org:22', 'evil.test']").unwrap();
        let plan = plan(&settings(&["always.example"], &["*.example.org"]), Ok(asked));
        assert_eq!(plan.hosts(), ["always.example", "api.example.org"]);
        assert_eq!(plan.not_permitted, rules(&["api.example.org:22", "evil.test"]));
    }

    #[test]
    fn a_configuration_that_is_not_understood_opens_nothing_of_its_own_and_says_why() {
        for (text, said) in [
            ("[egress]\nallow = ['*']", "egress.allow names every host with *: name those that are needed"),
            ("[egress]\nallow = ['10.0.0.1']", "\"10.0.0.1\" lists no host: it is an address and not a name"),
            ("[egress]\nalow = []", "unknown field `alow`, expected `allow`"),
        ] {
            let plan = plan(&settings(&["always.example"], &["*"]), asked_in(text));
            assert_eq!(
                (plan.hosts(), plan.problem.as_deref()),
                (vec!["always.example".to_owned()], Some(said))
            );
        }
    }

    #[test]
    fn registries_are_open_while_it_is_set_up_and_no_longer() {
        let settings = settings(&["always.example"], &["*.example.org"]);
        let asked = || asked_in("[egress]\nallow = ['api.example.org', 'npm.example.net']");
        let open = rules(&["npm.example.net"]);
        let private = vec!["npm.example.net:443".parse().unwrap()];
        let set_up = plan_set_up(&settings, asked(), open, private.clone());
        assert_eq!(set_up.hosts(), ["always.example", "api.example.org", "npm.example.net"]);
        assert_eq!((set_up.policy.phase, &set_up.policy.private), (NetworkPhase::SetUp, &private));
        assert_eq!(set_up.not_permitted(), Vec::<String>::new());
        let work = plan(&settings, asked());
        assert_eq!(work.hosts(), ["always.example", "api.example.org"]);
        assert_eq!((work.policy.private, work.not_permitted), (Vec::new(), rules(&["npm.example.net"])));
    }

    #[test]
    fn other_parts_of_the_repository_s_configuration_are_left_alone() {
        assert_eq!(asked_in("model = 'x'\n[agents]\na = 1\n"), Ok(Vec::new()));
        assert_eq!(asked_in(""), Ok(Vec::new()));
    }

    #[test]
    fn a_repository_cannot_ask_for_any_number_of_hosts() {
        let many: Vec<String> = (0..101).map(|number| format!("'h{number}.example'")).collect();
        assert!(asked_in(&format!("[egress]\nallow = [{}]", many.join(","))).is_err());
    }
}
