//! Where Nightshift keeps its things, after the XDG base directory specification.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

/// What the program reads from its environment, once, at its start.
#[derive(Clone, Default)]
pub(crate) struct Environment {
    pub(crate) home: Option<PathBuf>,
    pub(crate) nightshift_home: Option<PathBuf>,
    pub(crate) config_home: Option<PathBuf>,
    pub(crate) data_home: Option<PathBuf>,
    pub(crate) cache_home: Option<PathBuf>,
    pub(crate) path: Option<std::ffi::OsString>,
    pub(crate) vm_images: Option<PathBuf>,
    pub(crate) guest: Option<PathBuf>,
    pub(crate) ui: Option<PathBuf>,
    pub(crate) github_token: Option<String>,
    pub(crate) proxy: Option<String>,
    pub(crate) no_proxy: Option<String>,
    pub(crate) log: Option<String>,
    /// Every variable that is text: which one holds a provider's key is a matter of configuration.
    pub(crate) variables: BTreeMap<String, String>,
    pub(crate) executable: Option<PathBuf>,
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
            home: path("HOME"),
            nightshift_home: path("NIGHTSHIFT_HOME"),
            config_home: path("XDG_CONFIG_HOME"),
            data_home: path("XDG_DATA_HOME"),
            cache_home: path("XDG_CACHE_HOME"),
            path: std::env::var_os("PATH"),
            vm_images: path("NIGHTSHIFT_VM_IMAGES"),
            guest: path("NIGHTSHIFT_GUEST"),
            ui: path("NIGHTSHIFT_UI"),
            github_token: text("NIGHTSHIFT_GITHUB_TOKEN")
                .or_else(|| text("GITHUB_TOKEN"))
                .or_else(|| text("GH_TOKEN")),
            proxy: text("HTTPS_PROXY").or_else(|| text("https_proxy")),
            no_proxy: text("NO_PROXY").or_else(|| text("no_proxy")),
            log: text("NIGHTSHIFT_LOG"),
            variables: std::env::vars_os()
                .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
                .collect(),
            executable: std::env::current_exe().ok(),
        }
    }

    /// A variable's value; one that is empty counts as not set.
    pub(crate) fn variable(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }
}

/// Nightshift's folders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Folders {
    /// `config.toml`.
    pub(crate) configuration: PathBuf,
    /// History, artifacts, bare repositories, the owner's address and log: what must not be lost.
    pub(crate) data: PathBuf,
    /// Images and templates: what can be made again.
    pub(crate) cache: PathBuf,
    /// Sockets and overlay disks of running sandboxes. Short, because a socket's path may have 107 bytes.
    pub(crate) sandboxes: PathBuf,
}

impl Folders {
    /// Finds the folders; `None` when there is neither `HOME` nor `NIGHTSHIFT_HOME`.
    ///
    /// With `NIGHTSHIFT_HOME` all but the cache is below it, so that a second Nightshift can run beside the first
    /// and share images and templates.
    pub(crate) fn of(environment: &Environment) -> Option<Self> {
        let home = environment.home.as_deref();
        let below_home = |tail: &str| home.map(|home| home.join(tail));
        let xdg = |own: &Option<PathBuf>, tail: &str| own.clone().or_else(|| below_home(tail));
        let cache = xdg(&environment.cache_home, ".cache")?.join("nightshift");
        if let Some(own) = &environment.nightshift_home {
            return Some(Self {
                configuration: own.join("config.toml"),
                data: own.join("data"),
                cache,
                sandboxes: own.join("sandboxes"),
            });
        }
        let data = xdg(&environment.data_home, ".local/share")?.join("nightshift");
        Some(Self {
            configuration: xdg(&environment.config_home, ".config")?.join("nightshift/config.toml"),
            sandboxes: data.join("sandboxes"),
            data,
            cache,
        })
    }

    pub(crate) fn owner_file(&self) -> PathBuf {
        self.data.join("owner.json")
    }

    pub(crate) fn access_file(&self) -> PathBuf {
        self.data.join("access.json")
    }

    pub(crate) fn owner_lock(&self) -> PathBuf {
        self.data.join("owner.lock")
    }

    pub(crate) fn owner_log(&self) -> PathBuf {
        self.data.join("owner.log")
    }
}

/// Finds a file that is installed beside the program, or was named by the environment.
pub(crate) fn beside(
    executable: Option<&Path>,
    named: Option<&Path>,
    candidates: &[&str],
) -> Option<PathBuf> {
    if let Some(named) = named {
        return Some(named.to_path_buf());
    }
    let folder = executable?.parent()?;
    candidates.iter().map(|candidate| folder.join(candidate)).find(|path| path.exists())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment() -> Environment {
        Environment { home: Some("/home/ada".into()), ..Environment::default() }
    }

    #[test]
    fn without_anything_set_the_folders_are_those_of_the_xdg_specification() {
        let expected = Folders {
            configuration: "/home/ada/.config/nightshift/config.toml".into(),
            data: "/home/ada/.local/share/nightshift".into(),
            cache: "/home/ada/.cache/nightshift".into(),
            sandboxes: "/home/ada/.local/share/nightshift/sandboxes".into(),
        };
        assert_eq!(Folders::of(&environment()), Some(expected));
    }

    #[test]
    fn a_home_of_its_own_shares_only_the_cache() {
        let own = Environment { nightshift_home: Some("/tmp/ns".into()), ..environment() };
        let folders = Folders::of(&own);
        assert_eq!(folders.as_ref().map(|folders| folders.data.clone()), Some("/tmp/ns/data".into()));
        assert_eq!(folders.map(|folders| folders.cache), Some("/home/ada/.cache/nightshift".into()));
    }

    #[test]
    fn without_a_home_there_are_no_folders() {
        assert_eq!(Folders::of(&Environment::default()), None);
    }

    #[test]
    fn what_the_environment_names_goes_before_what_lies_beside_the_program() {
        let found = beside(Some(Path::new("/bin/sh")), Some(Path::new("/x/guest")), &["sh"]);
        assert_eq!(found, Some("/x/guest".into()));
        assert_eq!(beside(Some(Path::new("/bin/sh")), None, &["sh"]), Some("/bin/sh".into()));
        assert_eq!(beside(Some(Path::new("/bin/sh")), None, &["no-such-file"]), None);
    }
}
