//! The guest image by itself: it boots to its desktop, and a browser draws a page on it.
#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "a failed step is a failed test")]

use std::path::PathBuf;
use std::process::Command;

use real_vm::{Night, Picture, root};
use serde_json::{Value, json};

/// The image that the template was made of.
async fn image(night: &Night) -> PathBuf {
    let built = night.json(&["template", "build", "--json"]).await;
    let cache = std::env::var_os("XDG_CACHE_HOME")
        .map_or_else(|| PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cache"), PathBuf::from);
    let template = cache.join("nightshift/templates").join(built["template"].as_str().unwrap());
    let record: Value =
        serde_json::from_slice(&std::fs::read(template.join("template.json")).unwrap()).unwrap();
    PathBuf::from(record["image"].as_str().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_image_boots_to_a_desktop_on_which_the_browser_shows_a_page() {
    let night = Night::begin(json!({"model": "claude-sonnet-5-5", "turns": []})).await;
    let image = image(&night).await;
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("screen.png");
    let page = "data:text/html,<title>Smoke</title><body style='margin:0;background:rgb(214,31,105)'>";
    let shown = r#"curl -s http://127.0.0.1:9222/json/list | grep -q '"title": "Smoke"'"#;
    let mut smoke = Command::new(root().join("tests/real_vm/smoke"));
    smoke.arg(image).arg(&target).args(["--until", shown, "--run"]);
    smoke.arg(format!("nightshift-browser \"{page}\" >/dev/null 2>&1 &"));
    let output = tokio::task::spawn_blocking(move || smoke.output().unwrap()).await.unwrap();
    let (said, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}\n{error}");
    for mark in ["MARK initramfs", "MARK root", "MARK desktop"] {
        assert!(said.contains(mark), "{mark} is missing:\n{said}");
    }

    let picture = Picture::read(&target);
    assert_eq!((picture.width, picture.height), (1280, 800));
    // The page fills the window between the browser's bars and the panel.
    assert!(
        picture.count([214, 31, 105]) > 1280 * 500,
        "{} pixels of the page",
        picture.count([214, 31, 105])
    );
    // The panel: dark, along the lower edge, with its starters at the left and the clock at the right.
    let dark = picture.brightness(600, 760, 1100, 795);
    assert!(dark < 60.0, "the panel's brightness is {dark}");
    for (what, left, right) in [("starters", 10, 140), ("clock", 1200, 1270)] {
        let drawn = picture.brightness(left, 760, right, 795);
        assert!(drawn > dark + 5.0, "the panel's {what}: {drawn} on {dark}");
    }
}
