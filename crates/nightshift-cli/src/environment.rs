//! What the program reads from its environment.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use nightshift_client::BaseDirectories;

use crate::settings::keys::Kept;

/// What the program reads from its environment, once, at its start.
#[derive(Clone, Default)]
pub(crate) struct Environment {
    pub(crate) base: BaseDirectories,
    pub(crate) path: Option<std::ffi::OsString>,
    pub(crate) vm_images: Option<PathBuf>,
    pub(crate) guest: Option<PathBuf>,
    pub(crate) ui: Option<PathBuf>,
    pub(crate) github_token: Option<String>,
    pub(crate) proxy: Option<String>,
    pub(crate) no_proxy: Option<String>,
    pub(crate) log: Option<String>,
    /// What the log and the history may not show. Clones share it.
    pub(crate) redactor: nightshift_forge::secrets::Redactor,
    /// Every variable that is text: which one holds a provider's key is a matter of configuration.
    pub(crate) variables: BTreeMap<String, String>,
    pub(crate) executable: Option<PathBuf>,
    /// The words after the program's name, to start it again with.
    pub(crate) words: Vec<std::ffi::OsString>,
    /// Keys that were not in the environment but kept by Nightshift; they are among the variables too.
    pub(crate) kept: BTreeMap<String, Kept>,
}

impl fmt::Debug for Environment {
    /// Shows none of it: there are keys in it.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Environment").finish_non_exhaustive()
    }
}

impl Environment {
    /// Reads the process's environment. A variable that is set but empty counts as not set.
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the environment")]
    pub(crate) fn read() -> Self {
        let path = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let text = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        Self {
            base: BaseDirectories::read(|name| std::env::var_os(name)),
            path: std::env::var_os("PATH"),
            vm_images: path("NIGHTSHIFT_VM_IMAGES"),
            guest: path("NIGHTSHIFT_GUEST"),
            ui: path("NIGHTSHIFT_UI"),
            github_token: text("NIGHTSHIFT_GITHUB_TOKEN")
                .or_else(|| text("GITHUB_TOKEN"))
                .or_else(|| text("GH_TOKEN")),
            redactor: nightshift_forge::secrets::Redactor::default(),
            proxy: text("HTTPS_PROXY").or_else(|| text("https_proxy")),
            no_proxy: text("NO_PROXY").or_else(|| text("no_proxy")),
            log: text("NIGHTSHIFT_LOG"),
            variables: std::env::vars_os()
                .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
                .collect(),
            executable: std::env::current_exe().ok(),
            words: std::env::args_os().skip(1).collect(),
            kept: BTreeMap::new(),
        }
    }

    /// A variable's value; one that is empty counts as not set.
    pub(crate) fn variable(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// Every variable with those that are kept, for whoever must know what may not be shown.
    pub(crate) fn secrets(&self) -> impl Iterator<Item = (std::ffi::OsString, std::ffi::OsString)> {
        self.variables.iter().map(|(name, value)| (name.into(), value.into()))
    }
}
