//! `./dev` by a link to it, with a cargo that says where it is started and builds nothing.

use std::process::{Command, Output};

/// What the script does by a link of that name. What builds ends with 7.
fn by_link(name: &str, words: &[&str]) -> Output {
    use std::os::unix::fs::{PermissionsExt, symlink};

    let folder = tempfile::tempdir().unwrap();
    let cargo = folder.path().join("cargo");
    std::fs::write(&cargo, "#!/bin/sh\npwd -P\nexit 7\n").unwrap();
    std::fs::set_permissions(&cargo, std::fs::Permissions::from_mode(0o755)).unwrap();
    let link = folder.path().join(name);
    symlink(crate::root().join("dev"), &link).unwrap();
    let found_first = r#"PATH="$0:$PATH" exec "$@""#;
    let mut command = Command::new("sh");
    command.args(["-c", found_first]).arg(folder.path()).arg(link).args(words);
    let below = |name: &str| folder.path().join(name);
    command.env("XDG_CACHE_HOME", below("cache")).env("CARGO_TARGET_DIR", below("target"));
    command.current_dir(folder.path()).output().unwrap()
}

#[test]
fn a_link_named_nightshift_builds_and_is_the_command_of_the_checkout() {
    let output = by_link("nightshift", &["mcp"]);
    let root = crate::root().canonicalize().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), format!("{}\n", root.display()));
    assert_eq!(output.status.code(), Some(7));
}

#[test]
fn a_link_of_another_name_takes_the_commands_of_the_script() {
    let output = by_link("ns", &["help"]);
    assert!(String::from_utf8(output.stdout).unwrap().starts_with("usage: ./dev COMMAND\n"));
}
