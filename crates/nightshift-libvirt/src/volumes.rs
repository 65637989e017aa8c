//! An image as what must be in a host's storage pool before one of its machines can start. Volumes are named by their content.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nightshift_image::{self as image, ImageManifest, qcow2};
use nightshift_sandbox::{Image, Remedy, StartError};
use sha2::{Digest, Sha256};

use crate::connection::{Called, Pool};
use crate::domain::Uuid;

/// An image as volumes.
#[derive(Debug, Clone)]
pub(crate) struct ImageVolumes {
    pub(crate) folder: PathBuf,
    pub(crate) manifest: ImageManifest,
    pub(crate) disk: String,
    kernel: String,
    pub(crate) initrd: String,
    /// The disk file's length, in bytes.
    pub(crate) disk_bytes: u64,
    /// The size the disk shows, in bytes.
    pub(crate) disk_size: u64,
    initrd_content: Arc<Vec<u8>>,
}

impl ImageVolumes {
    pub(crate) fn read(image: &Image, guest_program: &Path) -> Result<Self, StartError> {
        let io = |what: &str| {
            let what = what.to_owned();
            move |source| StartError::Io { what, source }
        };
        let (_, manifest) = image::read_image(&image.folder).map_err(|error| StartError::Unsuitable {
            what: error.to_string(),
            remedy: Remedy("Build it again: `nightshift template build`.".to_owned()),
        })?;
        let initrd = std::fs::read(image.folder.join(image::INITRD))
            .map_err(io("the image's initrd could not be read"))?;
        let program = std::fs::read(guest_program).map_err(io("the guest program could not be read"))?;
        let initrd_content = image::initrd_with(&initrd, &program);
        let disk = image.folder.join(image::DISK);
        let short = |hash: &str| hash.chars().take(16).collect::<String>();
        let stem = format!("nightshift-{}", short(&image.hash));
        Ok(Self {
            folder: image.folder.clone(),
            manifest,
            disk: format!("{stem}.qcow2"),
            kernel: format!("{stem}.kernel"),
            initrd: format!("nightshift-{}.initrd", short(&hexadecimal(&Sha256::digest(&initrd_content)))),
            disk_bytes: std::fs::metadata(&disk).map_err(io("the image's disk could not be read"))?.len(),
            disk_size: qcow2::disk_size(&disk).map_err(io("the image's disk could not be read"))?,
            initrd_content: Arc::new(initrd_content),
        })
    }

    /// Brings what is missing, and returns the paths of kernel, initrd and disk.
    pub(crate) fn bring(&self, pool: &Pool) -> Called<(String, String, String)> {
        let file = |name: &str| -> Called<(File, u64)> {
            let file = File::open(self.folder.join(name))?;
            let length = file.metadata()?.len();
            Ok((file, length))
        };
        let (mut kernel, kernel_length) = file(image::KERNEL)?;
        let (mut disk, disk_length) = file(image::DISK)?;
        let mut initrd: &[u8] = &self.initrd_content;
        let initrd_length = initrd.len() as u64;
        Ok((
            pool.bring(&self.kernel, &mut kernel as &mut dyn Read, kernel_length)?,
            pool.bring(&self.initrd, &mut initrd, initrd_length)?,
            pool.bring(&self.disk, &mut disk, disk_length)?,
        ))
    }
}

/// A machine's UUID, which follows from its name.
pub(crate) fn uuid(name: &str) -> Uuid {
    let digest = Sha256::digest(format!("nightshift {name}"));
    let bytes = digest.first_chunk::<16>().copied().unwrap_or_default();
    Uuid(u128::from_be_bytes(bytes))
}

/// Returns bytes as lower-case hexadecimal text.
pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(folder: &Path) -> Image {
        let manifest = r#"{"format": 1, "cmdline": "quiet", "screen": {"width": 1280, "height": 800}, "user": "agent",
            "browser": {"command": []}, "sha256": {}}"#;
        std::fs::write(folder.join("manifest.json"), manifest).unwrap();
        for name in [image::KERNEL, image::INITRD] {
            std::fs::write(folder.join(name), name).unwrap();
        }
        std::fs::write(folder.join(image::DISK), qcow2::overlay(Path::new("/none"), 1 << 30).unwrap())
            .unwrap();
        Image { folder: folder.to_owned(), hash: "0123456789abcdef0123".to_owned() }
    }

    #[test]
    fn volumes_are_named_by_content_and_the_initrd_by_the_guest_program_too() {
        let folder = tempfile::tempdir().unwrap();
        let (image, program) = (image(folder.path()), folder.path().join("guest"));
        std::fs::write(&program, "one").unwrap();
        let one = ImageVolumes::read(&image, &program).unwrap();
        std::fs::write(&program, "two").unwrap();
        let two = ImageVolumes::read(&image, &program).unwrap();
        assert_eq!(one.disk, "nightshift-0123456789abcdef.qcow2");
        assert_eq!((one.disk_size, one.disk_bytes), (1 << 30, 4 << 16));
        assert_eq!((&one.disk, &one.kernel), (&two.disk, &two.kernel));
        assert_ne!(one.initrd, two.initrd);
    }

    #[test]
    fn a_missing_guest_program_and_a_damaged_image_are_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let image = image(folder.path());
        let missing = ImageVolumes::read(&image, &folder.path().join("none")).unwrap_err();
        assert_eq!(missing.to_string(), "the guest program could not be read");
        std::fs::remove_file(folder.path().join(image::KERNEL)).unwrap();
        let damaged = ImageVolumes::read(&image, &folder.path().join("none")).unwrap_err();
        assert!(matches!(damaged, StartError::Unsuitable { .. }), "{damaged:?}");
    }

    #[test]
    fn every_name_has_its_own_uuid_and_always_the_same() {
        assert_eq!(uuid("sandbox-0000000001"), uuid("sandbox-0000000001"));
        assert_ne!(uuid("sandbox-0000000001"), uuid("sandbox-0000000002"));
        assert_eq!(uuid("a").to_string().len(), 36);
    }
}
