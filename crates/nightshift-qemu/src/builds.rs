//! The templates in the cache, and what needs them.
//!
//! A machine needs its template by links in its folder and by the disks its record names; a checkpoint and an
//! environment's template share files by hard links, which outlive any name, and where they could not (on another file
//! system) by links. A machine of another owner, which has its own folders and the same cache, has the files open.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use nightshift_sandbox::TemplateBuild;
use serde_json::Value;

use crate::template::{self, RECORD};

/// Where the kernel shows processes and the files they have open (proc_pid_fd(5)).
const PROCESSES: &str = "/proc";

/// The folders in which something may need a template or an image.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    pub(crate) templates: PathBuf,
    pub(crate) sandboxes: PathBuf,
    pub(crate) checkpoints: PathBuf,
}

impl Places {
    /// Everything that uses files elsewhere: its name and the paths.
    fn users(&self) -> io::Result<Vec<(String, Vec<PathBuf>)>> {
        let mut users = Vec::new();
        for place in [&self.sandboxes, &self.checkpoints, &self.templates] {
            for folder in folders(place)? {
                // What a template that can be made again rests on goes with it, or stays with it.
                if !folder.join(RECORD).is_file() {
                    users.push((name_of(&folder), uses(&folder)?));
                }
            }
        }
        users.extend(processes(Path::new(PROCESSES)));
        Ok(users)
    }

    /// What needs a file in `folder`.
    pub(crate) fn needs(&self, folder: &Path) -> io::Result<Option<String>> {
        Ok(needed(&self.users()?, folder))
    }

    /// The templates that can be made again, and what is left of such that were never finished.
    pub(crate) fn builds(&self) -> io::Result<Vec<TemplateBuild>> {
        let users = self.users()?;
        let mut builds = Vec::new();
        for folder in folders(&self.templates)? {
            let (name, record) = (name_of(&folder), folder.join(RECORD));
            let finished = record.is_file();
            if !finished && !template::is_staging(&name) {
                continue;
            }
            let image = fs::read(&record).ok().and_then(|text| serde_json::from_slice::<Value>(&text).ok());
            let image = image.and_then(|record| record["image"].as_str().map(PathBuf::from));
            let made_at = fs::metadata(&folder)?.modified()?;
            let needed_by = needed(&users, &folder);
            builds.push(TemplateBuild { name, folder, record, image, finished, made_at, needed_by });
        }
        Ok(builds)
    }
}

fn needed(users: &[(String, Vec<PathBuf>)], folder: &Path) -> Option<String> {
    let own = name_of(folder);
    let user =
        users.iter().find(|(user, uses)| *user != own && uses.iter().any(|path| path.starts_with(folder)));
    user.map(|(user, _)| user.clone())
}

fn name_of(folder: &Path) -> String {
    folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// The folders in a folder; none where there is no such folder.
fn folders(place: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(place) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut folders = Vec::new();
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            folders.push(entry.path());
        }
    }
    folders.sort();
    Ok(folders)
}

/// The paths elsewhere that a folder's links lead to and its records name.
fn uses(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut uses = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if let Ok(target) = fs::read_link(&path) {
            uses.extend([target, path.canonicalize().unwrap_or_default()]);
        } else if path.extension().is_some_and(|extension| extension == "json") {
            // A record that is not to be read may name anything: then nothing is known, and nothing may be removed.
            let record: Value = serde_json::from_slice(&fs::read(&path)?)?;
            named(&record, &mut uses);
        }
    }
    Ok(uses)
}

/// The absolute paths in a record.
fn named(record: &Value, paths: &mut Vec<PathBuf>) {
    match record {
        Value::String(text) if text.starts_with('/') => paths.push(PathBuf::from(text)),
        Value::Array(values) => values.iter().for_each(|value| named(value, paths)),
        Value::Object(fields) => fields.values().for_each(|value| named(value, paths)),
        Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// The processes of this host and the files they have open, as far as this user may see them.
fn processes(proc: &Path) -> Vec<(String, Vec<PathBuf>)> {
    let entries = fs::read_dir(proc).into_iter().flatten().flatten();
    let numbered = entries.filter(|entry| {
        entry.file_name().to_str().is_some_and(|name| name.bytes().all(|byte| byte.is_ascii_digit()))
    });
    let open = numbered.map(|process| {
        let descriptors = fs::read_dir(process.path().join("fd")).into_iter().flatten().flatten();
        let open = descriptors.filter_map(|descriptor| fs::read_link(descriptor.path()).ok());
        (format!("process {}", process.file_name().to_string_lossy()), open.collect())
    });
    open.collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    const KEY: &str = "0123456789abcdef0123456789abcdef";

    struct Cache(tempfile::TempDir);

    impl Cache {
        fn new() -> Self {
            let cache = Self(tempfile::tempdir().unwrap());
            cache.file(&format!("templates/{KEY}/memory"), "m");
            let record = serde_json::json!({"image": cache.path("images/abc")}).to_string();
            cache.file(&format!("templates/{KEY}/template.json"), &record);
            cache.file("images/abc/disk.qcow2", "d");
            cache
        }

        fn path(&self, name: &str) -> PathBuf {
            self.0.path().join(name)
        }

        fn file(&self, name: &str, text: &str) {
            fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
            fs::write(self.path(name), text).unwrap();
        }

        fn places(&self) -> Places {
            Places {
                templates: self.path("templates"),
                sandboxes: self.path("sandboxes"),
                checkpoints: self.path("checkpoints"),
            }
        }

        fn needed_by(&self) -> Option<String> {
            self.places().builds().unwrap().into_iter().find(|build| build.name == KEY).unwrap().needed_by
        }
    }

    #[test]
    fn a_template_that_nothing_leads_to_is_needed_by_nobody() {
        let cache = Cache::new();
        let builds = cache.places().builds().unwrap();
        assert_eq!(builds.len(), 1);
        assert_eq!((builds[0].finished, builds[0].needed_by.clone()), (true, None));
        assert_eq!(builds[0].image, Some(cache.path("images/abc")));
        assert_eq!(cache.places().needs(&cache.path("images/abc")).unwrap(), None);
    }

    #[test]
    fn a_machine_needs_the_template_its_links_lead_to() {
        let cache = Cache::new();
        cache.file("sandboxes/sandbox-a/pid", "1");
        symlink(cache.path(&format!("templates/{KEY}/memory")), cache.path("sandboxes/sandbox-a/memory"))
            .unwrap();
        assert_eq!(cache.needed_by().as_deref(), Some("sandbox-a"));
    }

    #[test]
    fn a_machine_needs_the_disks_its_record_names_however_deep() {
        let cache = Cache::new();
        let (template, image) =
            (cache.path(&format!("templates/{KEY}/disk.qcow2")), cache.path("images/abc/disk.qcow2"));
        let record = serde_json::json!({"purpose": {"type": "work", "below": [image, template]}});
        cache.file("sandboxes/sandbox-b/machine.json", &record.to_string());
        assert_eq!(cache.needed_by().as_deref(), Some("sandbox-b"));
        assert_eq!(cache.places().needs(&cache.path("images/abc")).unwrap().as_deref(), Some("sandbox-b"));
    }

    #[test]
    fn a_checkpoint_and_an_environment_s_template_need_what_they_could_not_share() {
        for user in ["checkpoints/checkpoint-c", "templates/ffffffffffffffffffffffffffffffff"] {
            let cache = Cache::new();
            cache.file(&format!("{user}/checkpoint.json"), "{}");
            symlink(cache.path(&format!("templates/{KEY}/memory")), cache.path(&format!("{user}/memory")))
                .unwrap();
            assert_eq!(cache.needed_by(), Some(name_of(Path::new(user))));
        }
    }

    #[test]
    fn a_process_that_has_a_file_open_needs_it_whoever_started_it() {
        let cache = Cache::new();
        let _open = fs::File::open(cache.path(&format!("templates/{KEY}/memory"))).unwrap();
        assert_eq!(cache.needed_by(), Some(format!("process {}", std::process::id())));
    }

    #[test]
    fn an_environment_s_template_is_none_that_can_be_made_again() {
        let cache = Cache::new();
        cache.file("templates/ffffffffffffffffffffffffffffffff/checkpoint.json", "{}");
        let names: Vec<_> = cache.places().builds().unwrap().into_iter().map(|build| build.name).collect();
        assert_eq!(names, [KEY]);
    }

    #[test]
    fn what_was_never_finished_is_found_and_needed_by_the_machine_it_was_for() {
        let cache = Cache::new();
        let name = format!("{KEY}.sandbox-0123456789.partial");
        cache.file(&format!("templates/{name}/memory"), "m");
        let unfinished = |cache: &Cache| {
            let builds = cache.places().builds().unwrap();
            builds
                .into_iter()
                .find(|build| build.name == name)
                .map(|build| (build.finished, build.needed_by))
                .unwrap()
        };
        assert_eq!(unfinished(&cache), (false, None));
        let record = serde_json::json!({"purpose": {"staging": cache.path(&format!("templates/{name}"))}});
        cache.file("sandboxes/sandbox-0123456789/machine.json", &record.to_string());
        assert_eq!(unfinished(&cache), (false, Some("sandbox-0123456789".to_owned())));
    }

    #[test]
    fn a_record_that_cannot_be_read_stops_everything() {
        let cache = Cache::new();
        cache.file("sandboxes/sandbox-a/machine.json", "{\"below\": [");
        assert!(cache.places().builds().is_err());
    }

    #[test]
    fn without_any_folder_there_is_nothing() {
        let nowhere = Places {
            templates: "/no/where/templates".into(),
            sandboxes: "/no/where/sandboxes".into(),
            checkpoints: "/no/where/checkpoints".into(),
        };
        assert_eq!(nowhere.builds().unwrap(), []);
    }
}
