//! What a sandbox starts from: reads a guest image's folder and checks that it is whole, adds the guest program to its
//! initrd, and writes the empty disks that lie on its own.
//!
//! It builds no image (`vm-images/build` does), starts nothing, and is shared by the drivers.

pub mod cpio;
pub mod qcow2;

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use nightshift_sandbox::Image;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The version of the manifest this program reads.
const FORMAT: u32 = 1;
const MANIFEST: &str = "manifest.json";
/// The read-only disk that everything else lies on.
pub const DISK: &str = "disk.qcow2";
/// The kernel, uncompressed.
pub const KERNEL: &str = "vmlinux";
/// The kernel's first root file system.
pub const INITRD: &str = "initrd.img";

/// What an image says about itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageManifest {
    /// The version of this form, 1.
    pub format: u32,
    /// The kernel's command line, whole.
    pub cmdline: String,
    /// The screen the desktop is made for.
    pub screen: Screen,
    /// The user the desktop and the agent's commands run as.
    pub user: String,
    /// How to open the browser.
    pub browser: Browser,
    /// The SHA-256 of each file in lower-case hexadecimal, by name.
    pub sha256: BTreeMap<String, String>,
}

/// A screen's size in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Screen {
    /// Width.
    pub width: u32,
    /// Height.
    pub height: u32,
}

/// How to open the browser.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Browser {
    /// Program and arguments; the address to open comes last.
    pub command: Vec<String>,
}

/// A folder is no image that can be used.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// There is no manifest, so no image either.
    #[error("{} holds no image", folder.display())]
    NotAnImage {
        /// The folder.
        folder: PathBuf,
    },
    /// The manifest is there and says something unintelligible.
    #[error("{} cannot be understood", file.display())]
    Manifest {
        /// The manifest.
        file: PathBuf,
        /// Where it is wrong.
        #[source]
        source: serde_json::Error,
    },
    /// The image was made for another version of Nightshift.
    #[error("the image has format {format}, this program reads {FORMAT}")]
    Format {
        /// The format it has.
        format: u32,
    },
    /// A file is missing or is not what it should be.
    #[error("{} is missing or damaged", file.display())]
    Damaged {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        #[source]
        source: io::Error,
    },
}

/// Reads the image in `folder` and checks cheaply (milliseconds) that nothing is missing.
///
/// # Errors
///
/// When the folder holds no image, one of another format, or a file is missing or empty.
pub fn read_image(folder: &Path) -> Result<(Image, ImageManifest), ImageError> {
    let file = folder.join(MANIFEST);
    let bytes = std::fs::read(&file).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => ImageError::NotAnImage { folder: folder.to_owned() },
        _ => ImageError::Damaged { file: file.clone(), source },
    })?;
    let manifest = parse_manifest(&file, &bytes)?;
    for name in [KERNEL, INITRD] {
        let file = folder.join(name);
        let checked = std::fs::metadata(&file).and_then(|metadata| match metadata.len() {
            0 => Err(io::Error::new(io::ErrorKind::InvalidData, "it is empty")),
            _ => Ok(()),
        });
        checked.map_err(|source| ImageError::Damaged { file, source })?;
    }
    let disk = folder.join(DISK);
    qcow2::disk_size(&disk).map_err(|source| ImageError::Damaged { file: disk, source })?;
    let folder = std::path::absolute(folder)
        .map_err(|source| ImageError::Damaged { file: folder.to_owned(), source })?;
    Ok((Image { folder, hash: hexadecimal(&Sha256::digest(&bytes)) }, manifest))
}

/// Reads every byte of the image in `folder` and compares with the manifest; takes seconds.
///
/// # Errors
///
/// Names the first file that differs.
pub fn verify_image(folder: &Path, manifest: &ImageManifest) -> Result<(), ImageError> {
    for (name, expected) in &manifest.sha256 {
        let file = folder.join(name);
        let checked = sha256_of_file(&file).and_then(|found| match found == *expected {
            true => Ok(()),
            false => Err(io::Error::new(io::ErrorKind::InvalidData, "its content is not what was built")),
        });
        checked.map_err(|source| ImageError::Damaged { file, source })?;
    }
    Ok(())
}

fn parse_manifest(file: &Path, bytes: &[u8]) -> Result<ImageManifest, ImageError> {
    #[derive(Deserialize)]
    struct Version {
        format: u32,
    }
    let unintelligible = |source| ImageError::Manifest { file: file.to_owned(), source };
    // The version first: another format may lack fields, and that is the lesser part of the truth.
    let Version { format } = serde_json::from_slice(bytes).map_err(unintelligible)?;
    if format != FORMAT {
        return Err(ImageError::Format { format });
    }
    serde_json::from_slice(bytes).map_err(unintelligible)
}

/// Where the initrd has the guest program; the image's init starts it from there.
pub const GUEST_PROGRAM: &str = "nightshift-guest";

/// Returns an image's initrd with the guest program added to it.
pub fn initrd_with(initrd: &[u8], guest_program: &[u8]) -> Vec<u8> {
    let mut whole = initrd.to_vec();
    let file = cpio::File { path: GUEST_PROGRAM, permissions: 0o755, content: guest_program };
    cpio::append(&mut whole, &[file]);
    whole
}

/// Returns the SHA-256 of a file in lower-case hexadecimal, reading it whole.
///
/// # Errors
///
/// When it cannot be read.
pub fn sha256_of_file(path: &Path) -> io::Result<String> {
    let mut hash = Sha256::new();
    let mut file = File::open(path)?;
    let mut block = vec![0; 1 << 20];
    loop {
        match io::Read::read(&mut file, &mut block)? {
            0 => return Ok(hexadecimal(&hash.finalize())),
            count => hash.update(&block[..count]),
        }
    }
}

/// Returns bytes as lower-case hexadecimal text.
pub fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST_TEXT: &str = r#"{
        "format": 1,
        "distribution": "Debian 13",
        "screen": { "width": 1280, "height": 800 },
        "user": "agent",
        "browser": { "command": ["/usr/local/bin/nightshift-browser"] },
        "cmdline": "console=ttyS0 root=/dev/vda",
        "sha256": { "vmlinux": "2d8aa43ae09ec21d6ee5c3f2d5ac5f3f0fbd0fcbd58bb9bc0d1d5b3a0f0b3bc5" }
    }"#;

    fn image() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(MANIFEST), MANIFEST_TEXT).unwrap();
        std::fs::write(folder.path().join(KERNEL), "kernel").unwrap();
        std::fs::write(folder.path().join(INITRD), "initrd").unwrap();
        let disk = qcow2::overlay(Path::new("/none"), 1 << 20).unwrap();
        std::fs::write(folder.path().join(DISK), disk).unwrap();
        folder
    }

    #[test]
    fn a_whole_image_is_read_and_hashed_by_its_manifest() {
        let folder = image();
        let (image, manifest) = read_image(folder.path()).unwrap();
        assert_eq!(image.hash, hexadecimal(&Sha256::digest(MANIFEST_TEXT)));
        assert_eq!(manifest.cmdline, "console=ttyS0 root=/dev/vda");
        assert_eq!(manifest.screen, Screen { width: 1280, height: 800 });
        assert_eq!(manifest.browser.command, ["/usr/local/bin/nightshift-browser"]);
    }

    #[test]
    fn a_folder_without_manifest_is_no_image() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(read_image(folder.path()), Err(ImageError::NotAnImage { .. })));
    }

    #[test]
    fn a_newer_format_is_named_even_when_fields_are_missing() {
        let folder = image();
        std::fs::write(folder.path().join(MANIFEST), r#"{"format": 2}"#).unwrap();
        assert!(matches!(read_image(folder.path()), Err(ImageError::Format { format: 2 })));
    }

    #[test]
    fn a_missing_empty_or_foreign_file_is_named() {
        for (name, content) in [(KERNEL, None), (INITRD, Some("")), (DISK, Some("not a disk at all"))] {
            let folder = image();
            let file = folder.path().join(name);
            match content {
                Some(content) => std::fs::write(&file, content).unwrap(),
                None => std::fs::remove_file(&file).unwrap(),
            }
            let error = read_image(folder.path()).unwrap_err();
            assert!(matches!(&error, ImageError::Damaged { file: named, .. } if *named == file), "{error:?}");
        }
    }

    #[test]
    fn a_changed_file_is_found_by_reading_it_whole() {
        let folder = image();
        let (_, mut manifest) = read_image(folder.path()).unwrap();
        manifest.sha256 = BTreeMap::from([(KERNEL.to_owned(), hexadecimal(&Sha256::digest("kernel")))]);
        assert!(verify_image(folder.path(), &manifest).is_ok());
        std::fs::write(folder.path().join(KERNEL), "kernex").unwrap();
        assert!(matches!(verify_image(folder.path(), &manifest), Err(ImageError::Damaged { .. })));
    }
}
