//! What `packer/build` gives to packers of different ages, played by one that notes what it is told.

use std::path::{Path, PathBuf};
use std::process::Command;

fn checkout() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

/// What a packer of that version is told by `packer/build`, without the variables; each command with what it is about.
fn told(version: &str, arguments: &[&str]) -> Vec<(String, String)> {
    use std::os::unix::fs::PermissionsExt;

    let folder = tempfile::tempdir().unwrap();
    let (packer, notes) = (folder.path().join("packer"), folder.path().join("notes"));
    let script = format!(
        "#!/bin/sh\nif [ \"$1\" = version ]; then echo 'Packer v{version}'; exit; fi\n\
         for last; do :; done\necho \"$1 $last\" >>{}\n",
        notes.display()
    );
    std::fs::write(&packer, script).unwrap();
    std::fs::set_permissions(&packer, std::fs::Permissions::from_mode(0o755)).unwrap();
    let build = checkout().join("packer/build");
    // A build of this packer leaves nothing to unpack, which is after all that is looked at.
    let found_first = r#"PATH="$0:$PATH" exec "$@""#;
    let mut command = Command::new("sh");
    command.args(["-c", found_first]).arg(folder.path()).arg(build).args(arguments);
    let _failed_in_the_end = command.output().unwrap();
    let text = std::fs::read_to_string(notes).unwrap();
    text.lines()
        .map(|line| {
            let (command, about) = line.split_once(' ').unwrap();
            (command.to_owned(), about.rsplit('/').next().unwrap().to_owned())
        })
        .collect()
}

fn both(list: &[(&str, &str)]) -> Vec<(String, String)> {
    list.iter().map(|(command, about)| ((*command).to_owned(), (*about).to_owned())).collect()
}

#[test]
fn a_packer_with_plugins_builds_from_the_folder_that_names_their_version_and_fetches_that_first() {
    for version in ["1.7.0", "1.11.2", "2.0.0"] {
        let output = tempfile::tempdir().unwrap();
        let new = output.path().join("image");
        let build = ["--output", new.to_str().unwrap(), "--cloud-image", "x", "--checksum", "none"];
        assert_eq!(told(version, &build), both(&[("init", "packer"), ("build", "packer")]), "{version}");
        assert_eq!(told(version, &["--validate"]), both(&[("validate", "packer")]), "{version}");
    }
}

#[test]
fn an_older_packer_is_given_what_it_understands() {
    assert_eq!(told("1.6.6", &["--validate"]), both(&[("validate", "image.pkr.hcl")]));
}

#[test]
fn the_folder_names_one_version_of_each_plugin_that_the_description_uses() {
    let read = |name: &str| std::fs::read_to_string(checkout().join("packer").join(name)).unwrap();
    let (image, plugins) = (read("image.pkr.hcl"), read("plugins.pkr.hcl"));
    let used: Vec<&str> = image
        .lines()
        .filter_map(|line| line.strip_prefix("source \""))
        .filter_map(|rest| rest.split('"').next())
        .collect();
    assert_eq!(used, ["qemu"]);
    for plugin in used {
        let (_, block) = plugins.split_once(&format!("{plugin} = {{")).expect("it is required");
        let version = block.lines().find_map(|line| line.trim().strip_prefix("version = \"")).unwrap();
        let digits = version.strip_prefix("= ").and_then(|rest| rest.strip_suffix('"')).expect("exactly one");
        assert!(
            digits.split('.').count() == 3 && digits.split('.').all(|part| part.parse::<u32>().is_ok()),
            "{digits}"
        );
    }
}

#[test]
fn debian_s_packer_finds_nothing_wrong_with_the_description() {
    let checked = Command::new(checkout().join("packer/build")).arg("--validate").output().unwrap();
    let said =
        String::from_utf8_lossy(&checked.stdout).into_owned() + &String::from_utf8_lossy(&checked.stderr);
    assert!(checked.status.success(), "{said}");
}
