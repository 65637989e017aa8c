//! Tools over a sandbox of the caller's own.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use nightshift_protocol::{BorrowSandbox, CommandAnswer, RunCommand, SandboxLoan, ScreenAnswer};
use rmcp::handler::server::wrapper::Parameters;
use rmcp::model::{CallToolResult, ContentBlock};
use rmcp::{tool, tool_router};
use serde_json::{Value, json};

use crate::arguments::{
    Button, Click, Drag, Key, Look, OneSandbox, ReadFile, Scroll, Shell, Type, WriteFile,
};
use crate::keeper::LEASE_SECONDS;
use crate::owner::{read, segment};
use crate::reply::{Reply, invalid, object, text};
use crate::server::Nightshift;

/// Seconds a command may take if nothing is said: many clients give up on a call after 60.
const TIME_LIMIT: u32 = 45;

/// The longest text of a file that is given, in bytes: more would fill the caller's window.
const LONGEST_TEXT: usize = 100_000;

#[tool_router(router = sandbox_tools, vis = "pub(crate)")]
impl Nightshift {
    /// Open a Linux desktop of your own, in a virtual machine with a browser, git, node and python, and without a
    /// network. It is closed when you close it, when you go away, or when it was not used for half an hour.
    #[tool(annotations(title = "Open a sandbox", destructive_hint = false))]
    async fn sandbox_open(&self) -> Reply {
        let wish = BorrowSandbox { lease_seconds: Some(LEASE_SECONDS) };
        let loan: SandboxLoan = read(&self.owner.post("/sandboxes", json!(wish)).await?)?;
        self.keeper.opened(loan.sandbox.as_str());
        object(&json!({
            "sandbox": loan.sandbox, "width": loan.width, "height": loan.height, "home": loan.home,
        }))
    }

    /// List the sandboxes that are open without a task.
    #[tool(annotations(title = "List sandboxes", read_only_hint = true))]
    async fn sandbox_list(&self) -> Reply {
        let list: Vec<SandboxLoan> = read(&self.owner.get("/sandboxes").await?)?;
        object(&json!({"sandboxes": list}))
    }

    /// Look at the screen, or at a part of it.
    #[tool(annotations(title = "Take a screenshot", read_only_hint = true))]
    async fn sandbox_screenshot(&self, Parameters(Look { sandbox, region }): Parameters<Look>) -> Reply {
        let action = match region {
            Some(region) => json!({"action": "zoom", "region": region}),
            None => json!({"action": "screenshot"}),
        };
        self.on_screen(&sandbox, action).await
    }

    /// Click, and see the screen once it has settled.
    #[tool(annotations(title = "Click", destructive_hint = true))]
    async fn sandbox_click(&self, Parameters(click): Parameters<Click>) -> Reply {
        let Some(action) = click_action(click.button, click.clicks.unwrap_or(1)) else {
            return Err(invalid("clicks is 1, 2 or 3, and only the left button clicks more than once", ""));
        };
        let mut action = json!({"action": action, "coordinate": [click.x, click.y]});
        if let Some(keys) = click.modifiers {
            action["text"] = Value::String(keys);
        }
        self.on_screen(&click.sandbox, action).await
    }

    /// Drag with the left button, and see the screen once it has settled.
    #[tool(annotations(title = "Drag", destructive_hint = true))]
    async fn sandbox_drag(&self, Parameters(Drag { sandbox, from, to }): Parameters<Drag>) -> Reply {
        let action = json!({"action": "left_click_drag", "start_coordinate": from, "coordinate": to});
        self.on_screen(&sandbox, action).await
    }

    /// Type a text where the keyboard's focus is, and see the screen once it has settled.
    #[tool(annotations(title = "Type", destructive_hint = true))]
    async fn sandbox_type(&self, Parameters(Type { sandbox, text }): Parameters<Type>) -> Reply {
        self.on_screen(&sandbox, json!({"action": "type", "text": text})).await
    }

    /// Press keys together, and see the screen once it has settled.
    #[tool(annotations(title = "Press keys", destructive_hint = true))]
    async fn sandbox_key(&self, Parameters(Key { sandbox, keys }): Parameters<Key>) -> Reply {
        self.on_screen(&sandbox, json!({"action": "key", "text": keys})).await
    }

    /// Turn the mouse's wheel, and see the screen once it has settled.
    #[tool(annotations(title = "Scroll", destructive_hint = false))]
    async fn sandbox_scroll(&self, Parameters(scroll): Parameters<Scroll>) -> Reply {
        let action = json!({
            "action": "scroll", "coordinate": [scroll.x, scroll.y],
            "scroll_direction": scroll.direction.name(), "scroll_amount": scroll.notches.unwrap_or(3),
        });
        self.on_screen(&scroll.sandbox, action).await
    }

    /// Run a command line in bash as the desktop's user, to its end.
    #[tool(annotations(title = "Run a command", destructive_hint = true))]
    async fn sandbox_shell(&self, Parameters(shell): Parameters<Shell>) -> Reply {
        self.keeper.uses(&shell.sandbox);
        let command = RunCommand {
            command: shell.command,
            time_limit_seconds: Some(shell.time_limit_seconds.unwrap_or(TIME_LIMIT)),
        };
        let path = format!("/sandboxes/{}/commands", segment(&shell.sandbox));
        let ended: CommandAnswer = read(&self.owner.post(&path, json!(command)).await?)?;
        self.keeper.uses(&shell.sandbox);
        object(&ended)
    }

    /// Read a file: its text, or its picture.
    #[tool(annotations(title = "Read a file", read_only_hint = true))]
    async fn sandbox_read_file(&self, Parameters(ReadFile { sandbox, path }): Parameters<ReadFile>) -> Reply {
        self.keeper.uses(&sandbox);
        let at = format!("/sandboxes/{}/file?path={}", segment(&sandbox), segment(&path));
        shown(self.owner.get(&at).await?)
    }

    /// Write a file whole, with the folders above it; one that is there is replaced.
    #[tool(annotations(title = "Write a file", destructive_hint = true, idempotent_hint = true))]
    async fn sandbox_write_file(&self, Parameters(file): Parameters<WriteFile>) -> Reply {
        self.keeper.uses(&file.sandbox);
        let at = format!("/sandboxes/{}/file?path={}", segment(&file.sandbox), segment(&file.path));
        let bytes = file.text.len();
        self.owner.put(&at, file.text.into_bytes()).await?;
        text(format!("{bytes} bytes were written."))
    }

    /// Close a sandbox. What is in it is gone.
    #[tool(annotations(title = "Close a sandbox", destructive_hint = true, idempotent_hint = true))]
    async fn sandbox_close(&self, Parameters(OneSandbox { sandbox }): Parameters<OneSandbox>) -> Reply {
        self.owner.delete(&format!("/sandboxes/{}", segment(&sandbox))).await?;
        self.keeper.closed(&sandbox);
        text("It is closed.")
    }
}

impl Nightshift {
    async fn on_screen(&self, sandbox: &str, action: Value) -> Reply {
        self.keeper.uses(sandbox);
        let path = format!("/sandboxes/{}/actions", segment(sandbox));
        let ScreenAnswer { text, picture } = read(&self.owner.post(&path, action).await?)?;
        let text = text.map(ContentBlock::text);
        let picture = picture.map(|picture| ContentBlock::image(picture, "image/png"));
        Ok(CallToolResult::success(text.into_iter().chain(picture).collect()))
    }
}

fn click_action(button: Button, clicks: u8) -> Option<&'static str> {
    match (button, clicks) {
        (Button::Left, 1) => Some("left_click"),
        (Button::Left, 2) => Some("double_click"),
        (Button::Left, 3) => Some("triple_click"),
        (Button::Right, 1) => Some("right_click"),
        (Button::Middle, 1) => Some("middle_click"),
        (Button::Left | Button::Right | Button::Middle, _) => None,
    }
}

/// A file as a model can take it.
fn shown(bytes: Vec<u8>) -> Reply {
    if bytes.starts_with(b"\x89PNG\r\n\x1a\n") {
        return Ok(CallToolResult::success(vec![ContentBlock::image(STANDARD.encode(bytes), "image/png")]));
    }
    match String::from_utf8(bytes) {
        Ok(whole) if whole.len() <= LONGEST_TEXT => text(whole),
        Ok(long) => Err(invalid(
            format!("the file has {} bytes, more than the {LONGEST_TEXT} that are shown", long.len()),
            "Read a part of it with sandbox_shell: head, tail, sed -n.",
        )),
        Err(error) => Err(invalid(
            format!("the file is neither text nor a PNG ({} bytes)", error.as_bytes().len()),
            "Look at it with sandbox_shell: file, xxd, base64.",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_left_button_clicks_more_than_once() {
        assert_eq!(click_action(Button::Left, 3), Some("triple_click"));
        assert_eq!(click_action(Button::Right, 1), Some("right_click"));
        assert_eq!(click_action(Button::Right, 2), None);
        assert_eq!(click_action(Button::Left, 0), None);
    }

    #[test]
    fn a_file_is_shown_as_text_or_as_a_picture_or_not_at_all() {
        assert_eq!(shown(b"hello".to_vec()).unwrap().content[0].as_text().unwrap().text, "hello");
        let png = b"\x89PNG\r\n\x1a\nrest".to_vec();
        assert_eq!(shown(png).unwrap().content[0].as_image().unwrap().mime_type, "image/png");
        assert!(shown(vec![0xff, 0xfe]).unwrap_err().0.message.contains("neither text nor a PNG (2 bytes)"));
        assert!(shown(vec![b'x'; LONGEST_TEXT + 1]).unwrap_err().0.hint.contains("head, tail"));
    }
}
