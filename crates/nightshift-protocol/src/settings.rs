//! What a person sets of the owner: the part of `config.toml` that can be changed from outside, and keys.

use std::fmt;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::ToSchema;

use crate::Limits;

/// The settings that can be changed from outside; `config.toml` has more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SettingsValues {
    /// The model of a task that names none.
    pub model: String,
    /// The agent that works on a task which names none, as the list of engines has it.
    pub engine: String,
    /// Tokens the model's window has; what the provider tells if absent. From 16,000 to 10,000,000.
    pub context_tokens: Option<u64>,
    /// What a task may use that says nothing of it.
    pub limits: Limits,
    /// Sandboxes that may run at once; what three quarters of the memory hold if absent. At least 1.
    pub sandboxes: Option<u32>,
    /// Memory of a sandbox in MiB, from 512 to 65,536.
    pub memory_mib: u32,
    /// Virtual processors of a sandbox, from 1 to 64.
    pub processors: u32,
    /// Whether a clone waits for the next task.
    pub spare: bool,
    /// What of the disk stays free of what sandboxes write, in MiB; 2,048 if absent, or a twentieth of a disk of less than
    /// 40 GiB. 0 for nothing.
    pub disk_reserve_mib: Option<u64>,
    /// What one sandbox may write, in MiB, at least 256; 0 for any amount.
    pub disk_sandbox_mib: u64,
    /// The libvirt hosts that sandboxes are on; none means this machine.
    pub hosts: Vec<HostSetting>,
    /// Hosts on the network that every sandbox may reach.
    pub egress_allow: Vec<String>,
    /// Hosts that the set-up of an environment may reach beside package registries.
    pub egress_set_up: Vec<String>,
    /// Hosts that a repository may ask for in its own files.
    pub egress_permit: Vec<String>,
}

/// A libvirt host, as `[[hosts]]` has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HostSetting {
    /// What people call it; letters, digits, `-`, `_` and `.`.
    pub name: String,
    /// Where it is, as libvirt writes it, for example `qemu+ssh://ada@attic/system`.
    pub uri: String,
    /// The storage pool on it.
    pub pool: String,
    /// Memory of it that sandboxes may use, in MiB; all that is free if absent.
    pub memory_mib: Option<u64>,
}

/// Where a key is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum KeyPlace {
    /// Nowhere: there is none.
    None,
    /// In the environment the owner was started with, which comes before every other.
    Environment,
    /// In the key ring of the desktop.
    KeyRing,
    /// In a file that only its owner may read.
    File,
}

/// A key as it may be told of: everything but the key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeySummary {
    /// The environment variable it is known by, for example `ANTHROPIC_API_KEY`.
    pub name: String,
    /// What it is for: a provider's name, `github`, `webhooks`, or `mcp: HOST`.
    pub purpose: String,
    /// Where it is kept.
    pub place: KeyPlace,
    /// Whether it was kept or forgotten after the owner started, which does not use it so yet.
    pub pending: bool,
}

/// The settings as they are kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Settings {
    /// What is set.
    pub values: SettingsValues,
    /// What is set where nothing is said.
    pub defaults: SettingsValues,
    /// Names what the file holds; a change says which one it was made from.
    pub revision: String,
    /// The file.
    pub file: String,
    /// Whether the owner was started with something else and has to be started again to take this up.
    pub pending: bool,
    /// When the settings were changed last from outside, if that can be undone.
    #[serde(with = "time::serde::rfc3339::option")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub undoable: Option<OffsetDateTime>,
    /// Whether this program can use libvirt hosts.
    pub takes_hosts: bool,
    /// The keys that are used, by name.
    pub keys: Vec<KeySummary>,
    /// Where a key is put that is given now.
    pub keeps_in: KeyPlace,
}

/// New settings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ChangeSettings {
    /// All of them; what is as before is left as it is in the file.
    pub values: SettingsValues,
    /// The revision they were made from.
    pub revision: String,
}

/// A key to keep. Its `Debug` shows nothing of it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KeepKey {
    /// The key, as its provider shows it.
    #[schema(write_only)]
    pub key: String,
}

impl fmt::Debug for KeepKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("KeepKey").finish_non_exhaustive()
    }
}

/// What starting the owner again means for what runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Restarting {
    /// Runs that are under way. They go on; a model call that is being answered is asked again.
    pub running: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_not_in_what_is_shown_of_a_request() {
        let keep = KeepKey { key: "sk-very-secret".to_owned() };
        assert_eq!(format!("{keep:?}"), "KeepKey { .. }");
    }

    #[test]
    fn a_setting_that_is_not_known_is_refused_and_named() {
        let error = serde_json::from_str::<HostSetting>(
            r#"{"name":"attic","uri":"test:///default","pool":"default","memoryMib":null,"colour":1}"#,
        )
        .unwrap_err();
        assert!(error.to_string().contains("unknown field `colour`"), "{error}");
    }

    #[test]
    fn places_of_keys_have_stable_names() {
        let names = [KeyPlace::None, KeyPlace::Environment, KeyPlace::KeyRing, KeyPlace::File]
            .map(|place| serde_json::to_value(place).unwrap());
        assert_eq!(names, ["none", "environment", "keyRing", "file"]);
    }
}
