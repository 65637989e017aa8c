//! The guest image: built once from its recipe, named by the recipe's content, kept in the cache.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use nightshift_protocol::{ErrorCode, UserError};
use nightshift_sandbox::Image;
use sha2::{Digest, Sha256};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::Command;

use crate::trouble::{disk_or, internal};

/// Files an image folder must hold to be whole.
const IMAGE_FILES: [&str; 4] = ["disk.qcow2", "vmlinux", "initrd.img", IMAGE_RECORD];

/// The file that says what an image is.
pub(crate) const IMAGE_RECORD: &str = "manifest.json";

/// How many lines of the build's output an error carries.
const LOG_TAIL: usize = 12;

/// A named phase of something long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetUpPhase {
    /// What is being prepared, for example `guest image`.
    pub what: &'static str,
    /// The phase's name.
    pub phase: String,
    /// Its number, from 1.
    pub number: u32,
    /// How many phases there are.
    pub of: u32,
}

/// Is told of each phase.
pub type OnPhase<'a> = &'a (dyn Fn(SetUpPhase) + Send + Sync);

/// Builds the guest image and finds it again.
#[derive(Debug, Clone)]
pub struct Images {
    recipe: PathBuf,
    folder: PathBuf,
}

impl Images {
    /// `recipe` is the folder with the build program and all it reads; images are kept below `folder`.
    pub fn new(recipe: PathBuf, folder: PathBuf) -> Self {
        Self { recipe, folder }
    }

    /// Returns the image of the present recipe if it was built.
    pub async fn find(&self) -> Result<Option<Image>, UserError> {
        let image = self.expected().await?;
        let whole = IMAGE_FILES.iter().all(|name| image.folder.join(name).is_file());
        Ok(whole.then_some(image))
    }

    /// Returns the image of the present recipe, building it when there is none: some minutes and 4 GB of disk.
    pub(crate) async fn ensure(&self, on_phase: OnPhase<'_>) -> Result<Image, UserError> {
        if let Some(image) = self.find().await? {
            return Ok(image);
        }
        let image = self.expected().await?;
        self.build(&image, on_phase).await?;
        self.find().await?.ok_or_else(|| {
            UserError::new(
                ErrorCode::ImageFailed,
                format!("the image build ended well but {} is not whole", image.folder.display()),
                "Remove that folder and try again; if it happens twice, report it.",
            )
        })
    }

    /// The image of the present recipe, whether it was built or not.
    pub async fn expected(&self) -> Result<Image, UserError> {
        let recipe = self.recipe.clone();
        let hash = tokio::task::spawn_blocking(move || recipe_hash(&recipe))
            .await
            .map_err(|error| internal("the recipe's hash", &error))?
            .map_err(|error| {
                UserError::new(
                    ErrorCode::ImageFailed,
                    format!("the recipe of the guest image at {} cannot be read: {error}", self.recipe.display()),
                    "Start nightshift by ./dev in its checkout, or set NIGHTSHIFT_VM_IMAGES to the vm-images folder.",
                )
            })?;
        Ok(Image { folder: self.folder.join(&hash[..16]), hash })
    }

    /// The folders of all images there are, whole or not, with when each was made.
    pub(crate) async fn folders(&self) -> std::io::Result<Vec<(PathBuf, std::time::SystemTime)>> {
        let mut entries = match tokio::fs::read_dir(&self.folder).await {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut folders = Vec::new();
        while let Some(entry) = entries.next_entry().await? {
            let facts = entry.metadata().await?;
            if facts.is_dir() {
                folders.push((entry.path(), facts.modified()?));
            }
        }
        Ok(folders)
    }

    async fn build(&self, image: &Image, on_phase: OnPhase<'_>) -> Result<(), UserError> {
        let trouble = |what: &str, error: std::io::Error| disk_or(ErrorCode::ImageFailed, what, &error);
        tokio::fs::create_dir_all(&self.folder)
            .await
            .map_err(|error| trouble("creating the image folder", error))?;
        let _lock = lock(self.folder.join(format!("{}.lock", &image.hash[..16])))
            .await
            .map_err(|error| trouble("locking the image folder", error))?;
        if self.find().await?.is_some() {
            return Ok(());
        }
        let log_path = self.folder.join(format!("{}.log", &image.hash[..16]));
        let mut log = tokio::fs::File::create(&log_path)
            .await
            .map_err(|error| trouble("creating the build's log", error))?;
        let mut child = Command::new(self.recipe.join("build"))
            .arg("--output")
            .arg(&image.folder)
            .arg("--progress")
            // What the build runs are programs of packages: no key is their business.
            .env_remove("ANTHROPIC_API_KEY")
            .env_remove("OPENAI_API_KEY")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| trouble("starting the image build", error))?;
        let mut tail = std::collections::VecDeque::with_capacity(LOG_TAIL);
        if let Some(stderr) = child.stderr.take() {
            let mut lines = BufReader::new(stderr).lines();
            while let Some(line) =
                lines.next_line().await.map_err(|error| trouble("reading the build", error))?
            {
                if let Some(phase) = parse_phase("guest image", &line) {
                    on_phase(phase);
                }
                let written = log.write_all(format!("{line}\n").as_bytes()).await;
                written.map_err(|error| trouble("writing the build's log", error))?;
                if tail.len() == LOG_TAIL {
                    tail.pop_front();
                }
                tail.push_back(line);
            }
        }
        let status = child.wait().await.map_err(|error| trouble("waiting for the image build", error))?;
        if status.success() {
            return Ok(());
        }
        let tail = tail.into_iter().collect::<Vec<_>>().join("\n");
        let code = if tail.contains("No space left") { ErrorCode::DiskFull } else { ErrorCode::ImageFailed };
        Err(UserError::new(
            code,
            format!("the guest image could not be built ({status}). The last lines were:\n{tail}"),
            format!(
                "The whole log is {}. `nightshift doctor` names what is missing on this machine.",
                log_path.display()
            ),
        ))
    }
}

/// Reads `phase: N/M name`.
fn parse_phase(what: &'static str, line: &str) -> Option<SetUpPhase> {
    let (numbers, name) = line.strip_prefix("phase: ")?.split_once(' ')?;
    let (number, of) = numbers.split_once('/')?;
    Some(SetUpPhase { what, phase: name.to_owned(), number: number.parse().ok()?, of: of.parse().ok()? })
}

/// Hashes names, modes and contents of all the recipe's files but its prose, in the order of their paths.
fn recipe_hash(folder: &Path) -> std::io::Result<String> {
    use std::os::unix::fs::PermissionsExt;

    let mut files = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(next)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            } else if entry.path().extension().is_none_or(|extension| extension != "md") {
                files.push(entry.path());
            }
        }
    }
    files.sort();
    let mut hash = Sha256::new();
    for file in files {
        let name = file.strip_prefix(folder).unwrap_or(&file).as_os_str().as_encoded_bytes().to_vec();
        let facts = std::fs::symlink_metadata(&file)?;
        // A link of the guest leads somewhere in the guest: where to is its content.
        let content = if facts.is_symlink() {
            std::fs::read_link(&file)?.into_os_string().into_encoded_bytes()
        } else {
            std::fs::read(&file)?
        };
        let executable = facts.permissions().mode() & 0o111 != 0;
        hash.update((name.len() as u64).to_le_bytes());
        hash.update(&name);
        hash.update([u8::from(executable)]);
        hash.update((content.len() as u64).to_le_bytes());
        hash.update(&content);
    }
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Takes an exclusive lock on a file until the result is dropped.
pub(crate) async fn lock(path: PathBuf) -> std::io::Result<std::fs::File> {
    let locked = tokio::task::spawn_blocking(move || {
        let file = std::fs::OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
        file.lock()?;
        Ok::<_, std::io::Error>(file)
    });
    locked.await.map_err(std::io::Error::other)?
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::sync::Mutex;

    use super::*;

    fn recipe(script: &str) -> (tempfile::TempDir, Images) {
        let folder = tempfile::tempdir().unwrap();
        let recipe = folder.path().join("vm-images");
        std::fs::create_dir(&recipe).unwrap();
        std::fs::write(recipe.join("build"), format!("#!/bin/sh\nset -e\n{script}")).unwrap();
        std::fs::set_permissions(recipe.join("build"), std::fs::Permissions::from_mode(0o755)).unwrap();
        let images = Images::new(recipe, folder.path().join("images"));
        (folder, images)
    }

    const GOOD: &str =
        "mkdir $2; for f in disk.qcow2 vmlinux initrd.img manifest.json; do echo x > $2/$f; done\n";

    #[tokio::test]
    async fn an_image_is_built_once_and_then_found() {
        let (folder, images) = recipe(&format!("echo built >> {}/count\n{GOOD}", "$(dirname $0)/.."));
        assert_eq!(images.find().await.unwrap(), None);
        let built = images.ensure(&|_| {}).await.unwrap();
        assert_eq!(images.ensure(&|_| {}).await.unwrap(), built);
        assert_eq!(std::fs::read_to_string(folder.path().join("count")).unwrap(), "built\n");
    }

    #[tokio::test]
    async fn the_phases_of_a_build_are_passed_on() {
        let (_folder, images) = recipe(&format!("echo 'phase: 1/2 packages' >&2; echo noise >&2\n{GOOD}"));
        let phases = Mutex::new(Vec::new());
        images.ensure(&|phase| phases.lock().unwrap().push(phase)).await.unwrap();
        let expected = SetUpPhase { what: "guest image", phase: "packages".to_owned(), number: 1, of: 2 };
        assert_eq!(*phases.lock().unwrap(), [expected]);
    }

    #[tokio::test]
    async fn a_build_that_fails_names_its_last_lines_and_its_log() {
        let (_folder, images) = recipe("echo 'E: no mirror answers' >&2; exit 7\n");
        let error = images.ensure(&|_| {}).await.unwrap_err();
        assert_eq!(error.code, ErrorCode::ImageFailed);
        assert!(error.message.contains("E: no mirror answers"), "{}", error.message);
        assert!(error.hint.contains(".log"), "{}", error.hint);
    }

    #[tokio::test]
    async fn a_full_disk_is_named_as_such() {
        let (_folder, images) = recipe("echo 'write: No space left on device' >&2; exit 1\n");
        assert_eq!(images.ensure(&|_| {}).await.unwrap_err().code, ErrorCode::DiskFull);
    }

    #[tokio::test]
    async fn a_recipe_that_is_not_there_says_how_to_name_it() {
        let images = Images::new("/nowhere/vm-images".into(), "/nowhere/images".into());
        let error = images.find().await.unwrap_err();
        assert!(error.hint.contains("NIGHTSHIFT_VM_IMAGES"), "{}", error.hint);
    }

    #[test]
    fn the_recipe_s_hash_follows_content_and_mode_but_not_prose() {
        let (folder, _images) = recipe("true\n");
        let recipe = folder.path().join("vm-images");
        let first = recipe_hash(&recipe).unwrap();
        std::fs::write(recipe.join("README.md"), "words").unwrap();
        assert_eq!(recipe_hash(&recipe).unwrap(), first);
        std::fs::set_permissions(recipe.join("build"), std::fs::Permissions::from_mode(0o644)).unwrap();
        let other_mode = recipe_hash(&recipe).unwrap();
        assert_ne!(other_mode, first);
        std::fs::write(recipe.join("build"), "false\n").unwrap();
        assert_ne!(recipe_hash(&recipe).unwrap(), other_mode);
    }

    #[test]
    fn a_link_that_leads_nowhere_on_this_host_is_hashed_by_where_it_leads() {
        let (folder, _images) = recipe("true\n");
        let recipe = folder.path().join("vm-images");
        std::os::unix::fs::symlink("/only/in/the/guest", recipe.join("link")).unwrap();
        let first = recipe_hash(&recipe).unwrap();
        std::fs::remove_file(recipe.join("link")).unwrap();
        std::os::unix::fs::symlink("/elsewhere", recipe.join("link")).unwrap();
        assert_ne!(recipe_hash(&recipe).unwrap(), first);
    }

    #[test]
    fn only_a_whole_phase_line_is_a_phase() {
        assert_eq!(parse_phase("x", "phase: 2/7 unpacking packages").unwrap().number, 2);
        assert_eq!(parse_phase("x", "phase: two/7 unpacking"), None);
        assert_eq!(parse_phase("x", "a phase: 2/7 unpacking"), None);
    }
}
