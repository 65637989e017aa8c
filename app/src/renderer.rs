//! Which renderer WebKitGTK uses.
//!
//! Without a graphics card its accelerated one draws by software emulation, and one small change of the live screen takes
//! 110 ms instead of 5 (measured with WebKitGTK 2.50 and Mesa 22 on two cores). Since 2.44 this variable turns it off.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

const VARIABLE: &str = "WEBKIT_DISABLE_DMABUF_RENDERER";

/// Starts the program again with the other renderer where there is no graphics card and nobody has chosen.
///
/// Changing the environment of a running program is unsound once it has threads, and GTK reads it in C.
#[expect(clippy::disallowed_methods, reason = "WebKitGTK reads it from the environment")]
pub(crate) fn choose() {
    if std::env::var_os(VARIABLE).is_some() || has_graphics_card(Path::new("/dev/dri")) {
        return;
    }
    let Ok(program) = std::env::current_exe() else { return };
    let failed = Command::new(program).args(std::env::args_os().skip(1)).env(VARIABLE, "1").exec();
    tracing::warn!(%failed, "the window will draw slowly");
}

fn has_graphics_card(folder: &Path) -> bool {
    std::fs::read_dir(folder).is_ok_and(|mut entries| {
        entries
            .any(|entry| entry.is_ok_and(|entry| entry.file_name().to_string_lossy().starts_with("renderD")))
    })
}
