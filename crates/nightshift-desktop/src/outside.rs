//! What is outside of the window's package: the `nightshift` program, and the environment as a person has it.
//!
//! An AppImage's launcher leads the window's libraries into the image by variables (`LD_LIBRARY_PATH` and a dozen more)
//! and starts the window in a folder there. An owner or a browser that inherits them loads libraries it was not built
//! with, from an image that is gone when the window ends.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use nightshift_client::{Program, beside};

/// The program that is the owner.
const PROGRAM: &str = "nightshift";

/// What an AppImage's launcher sets that is no path into it.
const OF_THE_LAUNCHER: [&str; 5] = ["APPIMAGE", "ARGV0", "OWD", "GTK_THEME", "PYTHONDONTWRITEBYTECODE"];

/// The machine as the window's package does not change it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outside {
    /// Variables that have another value outside, or none.
    pub environment: Vec<(OsString, Option<OsString>)>,
    /// The folder that the window was started in, where it is not in it any more.
    pub folder: Option<PathBuf>,
    /// The AppImage's file, where the window is in one.
    image: Option<PathBuf>,
}

impl Outside {
    /// Finds out what is different outside of `executable`, which runs with `environment`. Nothing is, unless it is in
    /// an AppImage: a window that is installed may have been started by a program that is in one.
    pub fn of(executable: &Path, environment: &[(OsString, OsString)]) -> Self {
        let value = |name: &str| environment.iter().find(|(set, _)| set == name).map(|(_, value)| value);
        let path = |name: &str| value(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let Some(inside) = path("APPDIR") else { return Self::default() };
        // The folder for temporary files, where images are mounted, may be a link.
        let real = inside.canonicalize().unwrap_or_else(|_| inside.clone());
        if !executable.starts_with(&inside) && !executable.starts_with(real) {
            return Self::default();
        }
        let is_outside = |folder: &PathBuf| !folder.starts_with(&inside) && folder.is_dir();
        // An image that was unpacked and not mounted says nothing itself; a shell has.
        let folder = [path("OWD"), path("PWD")].into_iter().flatten().find(is_outside);
        Self {
            environment: environment.iter().filter_map(|set| changed(set, &inside)).collect(),
            folder: Some(folder.unwrap_or_else(|| PathBuf::from("/"))),
            image: path("APPIMAGE"),
        }
    }

    /// A path as it is meant by a person who named it where the window was started.
    pub fn path(&self, named: PathBuf) -> PathBuf {
        match &self.folder {
            Some(folder) => folder.join(named),
            None => named,
        }
    }

    /// The program: the one that is `named`, or lies beside the window's `executable` or AppImage, or is on `PATH`.
    pub fn program(&self, executable: Option<&Path>, named: Option<PathBuf>) -> Program {
        // A name alone is looked for on `PATH`.
        let named = named.map(|named| if named.components().count() > 1 { self.path(named) } else { named });
        let path = beside(executable, named.as_deref(), &[PROGRAM])
            .or_else(|| beside(self.image.as_deref(), None, &[PROGRAM]))
            .unwrap_or_else(|| PathBuf::from(PROGRAM));
        let when_missing = match (named, &self.image) {
            (Some(_), _) => "NIGHTSHIFT_PROGRAM names it: set it to where the program is, or unset it.",
            (None, Some(_)) => {
                "An AppImage is the window alone. Install Nightshift, put its program beside the AppImage, or set NIGHTSHIFT_PROGRAM to where it is."
            }
            (None, None) => "Install Nightshift, or set NIGHTSHIFT_PROGRAM to where its program is.",
        };
        Program {
            path,
            environment: self.environment.clone(),
            folder: self.folder.clone(),
            when_missing: when_missing.to_owned(),
        }
    }
}

/// What a variable is outside, when that is something else.
fn changed((name, value): &(OsString, OsString), inside: &Path) -> Option<(OsString, Option<OsString>)> {
    if OF_THE_LAUNCHER.iter().any(|launcher| name == launcher) {
        return Some((name.clone(), None));
    }
    let is_inside = |entry: &&[u8]| Path::new(OsStr::from_bytes(entry)).starts_with(inside);
    let entries = || value.as_bytes().split(|byte| *byte == b':');
    if !entries().any(|entry| is_inside(&entry)) {
        return None;
    }
    // The launcher puts its own before what there was, which may have been nothing.
    let kept: Vec<&[u8]> = entries().filter(|entry| !entry.is_empty() && !is_inside(entry)).collect();
    let kept = (!kept.is_empty()).then(|| OsString::from_vec(kept.join(&b':')));
    Some((name.clone(), kept))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(variables: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
        variables.iter().map(|(name, value)| (name.into(), value.into())).collect()
    }

    const INSIDE: &str = "/tmp/.mount_Night/usr/bin/nightshift-app";

    #[test]
    fn what_leads_into_the_image_is_left_out_and_the_rest_is_kept() {
        let environment = set(&[
            ("APPDIR", "/tmp/.mount_Night"),
            ("APPIMAGE", "/home/ada/Nightshift.AppImage"),
            ("GTK_THEME", "Adwaita:light"),
            ("GTK_PATH", "/tmp/.mount_Night//usr/lib/gtk-3.0"),
            ("HOME", "/home/ada"),
            ("HTTPS_PROXY", "http://proxy:3128"),
            ("LD_LIBRARY_PATH", "/tmp/.mount_Night/usr/lib/:/tmp/.mount_Night/lib/:"),
            ("PATH", "/tmp/.mount_Night/usr/bin/:/usr/bin:/bin"),
            ("XDG_DATA_DIRS", "/tmp/.mount_Nightly/share:/tmp/.mount_Night/usr/share/:/usr/share"),
        ]);
        let expected: Vec<(OsString, Option<OsString>)> = [
            ("APPDIR", None),
            ("APPIMAGE", None),
            ("GTK_THEME", None),
            ("GTK_PATH", None),
            ("LD_LIBRARY_PATH", None),
            ("PATH", Some("/usr/bin:/bin")),
            ("XDG_DATA_DIRS", Some("/tmp/.mount_Nightly/share:/usr/share")),
        ]
        .map(|(name, value)| (name.into(), value.map(Into::into)))
        .into();
        assert_eq!(Outside::of(Path::new(INSIDE), &environment).environment, expected);
    }

    #[test]
    fn an_installed_window_that_an_appimage_started_is_in_none() {
        let environment =
            set(&[("APPDIR", "/tmp/.mount_Other"), ("LD_LIBRARY_PATH", "/tmp/.mount_Other/lib")]);
        assert_eq!(Outside::of(Path::new("/usr/bin/nightshift-app"), &environment), Outside::default());
        assert_eq!(Outside::of(Path::new(INSIDE), &set(&[("HOME", "/")])), Outside::default());
    }

    #[test]
    fn an_image_is_left_for_the_folder_that_it_was_started_in() {
        let started = tempfile::tempdir().unwrap();
        let folder = started.path().to_str().unwrap();
        let from = |variables: &[(&str, &str)]| {
            let variables = [variables, &[("APPDIR", "/tmp/.mount_Night")]].concat();
            Outside::of(Path::new(INSIDE), &set(&variables)).folder
        };
        assert_eq!(from(&[("OWD", folder), ("PWD", "/")]), Some(folder.into()));
        assert_eq!(from(&[("OWD", "/tmp/.mount_Night/usr"), ("PWD", folder)]), Some(folder.into()));
        assert_eq!(from(&[("PWD", "/no/such/folder")]), Some("/".into()));
    }

    #[test]
    fn the_program_is_the_one_named_or_beside_the_window_or_beside_the_image_or_on_path() {
        let folder = tempfile::tempdir().unwrap();
        let at = |path: &str| folder.path().join(path);
        std::fs::create_dir_all(at("image/usr/bin")).unwrap();
        let executable = at("image/usr/bin/nightshift-app");
        let variables = [("APPDIR", at("image")), ("APPIMAGE", at("N.AppImage")), ("OWD", at(""))];
        let environment: Vec<_> =
            variables.map(|(name, path)| (OsString::from(name), path.into_os_string())).into();
        let outside = Outside::of(&executable, &environment);
        let found = |named: Option<&str>| outside.program(Some(&executable), named.map(PathBuf::from)).path;

        assert_eq!(found(None), PathBuf::from("nightshift"));
        std::fs::write(at("nightshift"), "").unwrap();
        assert_eq!(found(None), at("nightshift"));
        std::fs::write(at("image/usr/bin/nightshift"), "").unwrap();
        assert_eq!(found(None), at("image/usr/bin/nightshift"));
        assert_eq!(found(Some("target/nightshift")), at("target/nightshift"));
        assert_eq!(found(Some("/opt/nightshift")), PathBuf::from("/opt/nightshift"));
        assert_eq!(found(Some("nightshift-next")), PathBuf::from("nightshift-next"));
    }

    #[test]
    fn what_to_do_without_a_program_fits_how_the_window_came_here() {
        let installed = Outside::default();
        let image = Outside { image: Some("/home/ada/Nightshift.AppImage".into()), ..Outside::default() };
        let hint = |outside: &Outside, named: Option<&str>| {
            outside.program(None, named.map(Into::into)).when_missing
        };
        assert!(hint(&image, None).starts_with("An AppImage is the window alone."));
        assert!(hint(&installed, None).starts_with("Install Nightshift"));
        assert!(hint(&image, Some("/gone")).starts_with("NIGHTSHIFT_PROGRAM names it"));
    }
}
