//! The greeting: how two ends begin a session on a port that may hold anything.
//!
//! The host says hello with a fresh nonce, again and again until the guest's welcome repeats that nonce. The guest
//! drops the streams of the session before it, never what runs; a hello it has already answered it only answers again.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::VERSION;
use super::frame::{Body, Frame, MAX_GREETING_BYTES, SessionId};

/// The host's greeting.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Hello {
    /// Fresh randomness: no bytes that were in the port before can answer it.
    pub nonce: [u8; 16],
    /// The version the host speaks.
    pub version: u16,
}

/// The guest's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Welcome {
    /// The nonce of the hello it answers.
    pub nonce: [u8; 16],
    /// The version the guest speaks.
    pub version: u16,
    /// The kernel's name for this boot (`/proc/sys/kernel/random/boot_id`): it changes when the machine restarts, and
    /// clones of one template share it.
    pub boot_id: String,
}

/// The session that begins with this nonce.
pub fn session_of(nonce: &[u8; 16]) -> SessionId {
    let [a, b, c, d, ..] = *nonce;
    SessionId(u32::from_le_bytes([a, b, c, d]))
}

impl Hello {
    /// A hello in this crate's version.
    pub fn new(nonce: [u8; 16]) -> Self {
        Self { nonce, version: VERSION }
    }

    /// The frame that says it.
    pub fn frame(&self) -> Frame {
        Frame { session: session_of(&self.nonce), body: Body::Hello(json(self)) }
    }

    /// Reads it; `None` when it is no hello.
    pub fn read(payload: &[u8]) -> Option<Self> {
        serde_json::from_slice(payload).ok()
    }
}

impl Welcome {
    /// The answer to `hello` in this crate's version.
    pub fn answering(hello: &Hello, boot_id: &str) -> Self {
        Self { nonce: hello.nonce, version: VERSION, boot_id: boot_id.chars().take(64).collect() }
    }

    /// The frame that says it.
    pub fn frame(&self) -> Frame {
        Frame { session: session_of(&self.nonce), body: Body::Welcome(json(self)) }
    }

    /// Reads it; `None` when it is no welcome.
    pub fn read(payload: &[u8]) -> Option<Self> {
        serde_json::from_slice(payload).ok()
    }
}

fn json(greeting: &impl Serialize) -> Bytes {
    let bytes = serde_json::to_vec(greeting).unwrap_or_default();
    debug_assert!(bytes.len() <= MAX_GREETING_BYTES, "numbers and a short id");
    Bytes::from(bytes)
}
