//! What a sandbox reached, tried to reach, and may reach.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What a sandbox is at, which decides what it may reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum NetworkPhase {
    /// Its environment is set up: package registries are open.
    SetUp,
    /// An agent works: closed, but for what was listed and permitted.
    Work,
}

/// Connections to one host and port that had the same fate, since the record before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConnectionRecord {
    /// The host as the sandbox named it, checked and cut; empty where it named none, or where more hosts were named
    /// than are told apart.
    pub host: String,
    /// The port; 0 with an empty host.
    pub port: u16,
    /// What the sandbox was at.
    pub phase: NetworkPhase,
    /// What became of them.
    pub verdict: ConnectionVerdict,
    /// How many were begun.
    pub begun: u32,
    /// How many ended.
    pub ended: u32,
    /// Bytes the sandbox sent.
    pub sent_bytes: u64,
    /// Bytes the sandbox received.
    pub received_bytes: u64,
    /// How long those that ended were open, together, in milliseconds.
    pub open_ms: u64,
}

/// What became of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum ConnectionVerdict {
    /// It was carried.
    Allowed,
    /// It was not: that is the policy.
    Refused {
        /// Why.
        reason: RefusalReason,
    },
    /// It was allowed and did not come about.
    Failed {
        /// Why.
        reason: ConnectionFailure,
    },
}

/// Why a connection was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum RefusalReason {
    /// Host and port are not on the list of this phase.
    NotListed,
    /// An address was given instead of a name.
    BareAddress,
    /// What was given is no host name.
    InvalidName,
    /// The name leads to an address that no sandbox may reach: loopback, private, link-local, metadata, …
    ForbiddenAddress,
    /// What was said inside names another host: TLS's server name, or HTTP's `Host`.
    OtherHost,
    /// What was said inside is neither TLS with a server name nor HTTP.
    UnknownProtocol,
    /// What was said to the proxy is no request it understands.
    Malformed,
    /// It was open when the list changed, and is not on the new one.
    PhaseOver,
}

/// Why a connection that was allowed did not come about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum ConnectionFailure {
    /// The name has no address.
    NotResolved,
    /// No address answered in time.
    NotReached,
    /// The owner's own proxy did not let it through.
    RefusedUpstream,
}
