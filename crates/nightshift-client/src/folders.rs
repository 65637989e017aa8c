//! Where Nightshift keeps its things, after the XDG base directory specification.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use nightshift_protocol::{ErrorCode, UserError};

/// The folders that the environment names; a variable that is set but empty counts as not set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BaseDirectories {
    /// `HOME`.
    pub home: Option<PathBuf>,
    /// `NIGHTSHIFT_HOME`: a Nightshift of its own below that folder.
    pub nightshift_home: Option<PathBuf>,
    /// `XDG_CONFIG_HOME`.
    pub config_home: Option<PathBuf>,
    /// `XDG_DATA_HOME`.
    pub data_home: Option<PathBuf>,
    /// `XDG_CACHE_HOME`.
    pub cache_home: Option<PathBuf>,
}

impl BaseDirectories {
    /// Reads them by `variable`, which returns the value of an environment variable.
    pub fn read(variable: impl Fn(&str) -> Option<OsString>) -> Self {
        let path = |name: &str| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        Self {
            home: path("HOME"),
            nightshift_home: path("NIGHTSHIFT_HOME"),
            config_home: path("XDG_CONFIG_HOME"),
            data_home: path("XDG_DATA_HOME"),
            cache_home: path("XDG_CACHE_HOME"),
        }
    }
}

/// Nightshift's folders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folders {
    /// `config.toml`.
    pub configuration: PathBuf,
    /// History, artifacts, bare repositories, the owner's address and log: what must not be lost.
    pub data: PathBuf,
    /// Images and templates: what can be made again.
    pub cache: PathBuf,
    /// Sockets and overlay disks of running sandboxes. Short, because a socket's path may have 107 bytes.
    pub sandboxes: PathBuf,
}

impl Folders {
    /// Finds the folders.
    ///
    /// With `NIGHTSHIFT_HOME` all but the cache is below it, so that a second Nightshift can run beside the first
    /// and share images and templates.
    ///
    /// # Errors
    ///
    /// When neither `HOME` nor `NIGHTSHIFT_HOME` says where they are.
    pub fn of(base: &BaseDirectories) -> Result<Self, UserError> {
        Self::find(base).ok_or_else(|| {
            UserError::new(
                ErrorCode::InvalidRequest,
                "neither HOME nor NIGHTSHIFT_HOME is set",
                "Set one of them.",
            )
        })
    }

    fn find(base: &BaseDirectories) -> Option<Self> {
        let home = base.home.as_deref();
        let below_home = |tail: &str| home.map(|home| home.join(tail));
        // The specification has relative ones ignored.
        let xdg = |own: &Option<PathBuf>, tail: &str| {
            own.clone().filter(|own| own.is_absolute()).or_else(|| below_home(tail))
        };
        let cache = xdg(&base.cache_home, ".cache")?.join("nightshift");
        if let Some(own) = &base.nightshift_home {
            // The owner, and QEMU in its sandboxes' folders, work elsewhere than where it was named.
            let own = std::path::absolute(own).unwrap_or_else(|_| own.clone());
            return Some(Self {
                configuration: own.join("config.toml"),
                data: own.join("data"),
                cache,
                sandboxes: own.join("sandboxes"),
            });
        }
        let data = xdg(&base.data_home, ".local/share")?.join("nightshift");
        Some(Self {
            configuration: xdg(&base.config_home, ".config")?.join("nightshift/config.toml"),
            sandboxes: data.join("sandboxes"),
            data,
            cache,
        })
    }

    /// The owner's address and token, while it runs; mode 0600.
    pub fn owner_file(&self) -> PathBuf {
        self.data.join("owner.json")
    }

    /// Token and port, which stay the same from owner to owner; mode 0600.
    pub fn access_file(&self) -> PathBuf {
        self.data.join("access.json")
    }

    /// Held by the owner as long as it runs.
    pub fn owner_lock(&self) -> PathBuf {
        self.data.join("owner.lock")
    }

    /// What an owner says that was started on demand.
    pub fn owner_log(&self) -> PathBuf {
        self.data.join("owner.log")
    }
}

/// Finds a file that is installed beside the program, or was named by the environment.
pub fn beside(executable: Option<&Path>, named: Option<&Path>, candidates: &[&str]) -> Option<PathBuf> {
    if let Some(named) = named {
        return Some(named.to_path_buf());
    }
    let folder = executable?.parent()?;
    candidates.iter().map(|candidate| folder.join(candidate)).find(|path| path.exists())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base() -> BaseDirectories {
        BaseDirectories { home: Some("/home/ada".into()), ..BaseDirectories::default() }
    }

    #[test]
    fn without_anything_set_the_folders_are_those_of_the_xdg_specification() {
        let expected = Folders {
            configuration: "/home/ada/.config/nightshift/config.toml".into(),
            data: "/home/ada/.local/share/nightshift".into(),
            cache: "/home/ada/.cache/nightshift".into(),
            sandboxes: "/home/ada/.local/share/nightshift/sandboxes".into(),
        };
        assert_eq!(Folders::of(&base()), Ok(expected));
    }

    #[test]
    fn a_home_of_its_own_shares_only_the_cache() {
        let own = BaseDirectories { nightshift_home: Some("/tmp/ns".into()), ..base() };
        let folders = Folders::of(&own).unwrap();
        assert_eq!(folders.data, Path::new("/tmp/ns/data"));
        assert_eq!(folders.cache, Path::new("/home/ada/.cache/nightshift"));
    }

    #[test]
    fn a_home_of_its_own_that_is_named_from_where_one_is_is_meant_from_there() {
        let own = BaseDirectories { nightshift_home: Some("some/where".into()), ..base() };
        let folders = Folders::of(&own).unwrap();
        let here = std::path::absolute("some/where").unwrap();
        assert_eq!((folders.data, folders.sandboxes), (here.join("data"), here.join("sandboxes")));
    }

    #[test]
    fn a_relative_folder_of_the_xdg_specification_is_ignored_as_it_says() {
        let odd = BaseDirectories {
            data_home: Some("data".into()),
            cache_home: Some("../cache".into()),
            config_home: Some("/etc/xdg".into()),
            ..base()
        };
        let folders = Folders::of(&odd).unwrap();
        assert_eq!(folders.data, Path::new("/home/ada/.local/share/nightshift"));
        assert_eq!(folders.cache, Path::new("/home/ada/.cache/nightshift"));
        assert_eq!(folders.configuration, Path::new("/etc/xdg/nightshift/config.toml"));
    }

    #[test]
    fn without_a_home_there_are_no_folders() {
        assert_eq!(Folders::of(&BaseDirectories::default()).unwrap_err().code, ErrorCode::InvalidRequest);
    }

    #[test]
    fn what_the_environment_names_goes_before_what_lies_beside_the_program() {
        let found = beside(Some(Path::new("/bin/sh")), Some(Path::new("/x/guest")), &["sh"]);
        assert_eq!(found, Some("/x/guest".into()));
        assert_eq!(beside(Some(Path::new("/bin/sh")), None, &["sh"]), Some("/bin/sh".into()));
        assert_eq!(beside(Some(Path::new("/bin/sh")), None, &["no-such-file"]), None);
    }

    #[test]
    fn a_variable_that_is_empty_is_not_set() {
        let read = BaseDirectories::read(|name| match name {
            "HOME" => Some("/home/ada".into()),
            "XDG_DATA_HOME" => Some("".into()),
            _ => None,
        });
        assert_eq!(read, base());
    }
}
