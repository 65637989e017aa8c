//! Mouse and keyboard in a real desktop: what arrives there is read back from its X selections.
#![expect(clippy::print_stderr, reason = "a test may say what it measured")]

use std::process::Stdio;
use std::time::{Duration, Instant};

use real_vm::{Night, Person, Picture, small_repository};
use rmcp::model::{CallToolRequestParams, CallToolResult};
use rmcp::service::RunningService;
use rmcp::{RoleClient, ServiceExt};
use serde_json::{Value, json};

fn computer(input: Value) -> Value {
    json!({"tool": "computer", "input": input})
}

fn key(chord: &str) -> Value {
    computer(json!({"action": "key", "text": chord}))
}

/// A turn that is taken when the result before it contains `text`.
fn seeing(text: &str, calls: Vec<Value>) -> Value {
    json!({"expect": [{"lastResultContains": text}], "calls": calls})
}

#[tokio::test(flavor = "multi_thread")]
async fn clicks_double_clicks_and_text_without_a_key_arrive_in_the_browser_as_they_were_meant() {
    let shell = |command: &str| json!({"tool": "shell", "input": {"command": command}});
    let script = json!({"model": "claude-sonnet-5-5", "turns": [
        // The one control of the start page opens what is below it, which only then can be selected.
        {"calls": [
            computer(json!({"action": "left_click", "coordinate": [640, 386]})),
            key("ctrl+a"),
            key("ctrl+c"),
            shell("xsel --clipboard --output"),
        ]},
        seeing("sudo without a password", vec![
            computer(json!({"action": "double_click", "coordinate": [640, 262]})),
            shell("xsel --primary --output"),
        ]),
        seeing("Nightshift", vec![
            key("ctrl+l"),
            computer(json!({"action": "type", "text": "naïve ☕ 世界"})),
            key("ctrl+a"),
            key("ctrl+c"),
            shell("xsel --clipboard --output"),
        ]),
        seeing("naïve ☕ 世界", vec![
            computer(json!({"action": "screenshot"})),
            computer(json!({"action": "zoom", "region": [0, 40, 640, 240]})),
            computer(json!({"action": "zoom", "region": [600, 700, 1400, 900]})),
        ]),
        {"calls": [shell(SMALL)]},
        seeing("width=16 height=16", vec![shell(FIELD)]),
        seeing("the field is open", vec![json!({"tool": "ask", "input": {"question": "Go on?"}})]),
    ]});
    let night = Night::begin(script).await;
    let folder = tempfile::tempdir().unwrap();
    let run = night.submit("Use the browser", &small_repository(folder.path())).await;
    assert_eq!(night.watch(&run).await, "waiting", "{}", night.log());
    night.assert_no_breach();
    let events = night.events(&run).await;
    let result = |step: &str| {
        let finished = events.iter().find(|event| event["type"] == "stepFinished" && event["step"] == step);
        finished.unwrap_or_else(|| panic!("no {step}")).clone()
    };
    let (whole, zoomed) = (image(&night, &result("4.1")), image(&night, &result("4.2")));
    assert_eq!((whole.width, whole.height, zoomed.width, zoomed.height), (1280, 800, 640, 200));
    // The typed address stands in it, and every pixel is that of the screen: text is read from it.
    let differ = (0..200).flat_map(|y| (0..640).map(move |x| (x, y)));
    let differ = differ.filter(|(x, y)| zoomed.pixel(*x, *y) != whole.pixel(*x, *y + 40)).count();
    assert!(differ < 200, "{differ} pixels are different; a cursor that blinks is less");
    let colours: std::collections::HashSet<[u8; 3]> =
        (0..200).flat_map(|y| (0..640).map(move |x| (x, y))).map(|(x, y)| zoomed.pixel(x, y)).collect();
    assert!(colours.len() > 8, "there is something to see: {} colours", colours.len());
    let outside = result("4.3");
    assert_eq!(outside["outcome"], "failed", "{outside}");
    a_person_types(&night, &run).await;
    night.said(&["cancel", &run]).await;
}

/// Draws 16 by 16 pixels over everything, and says how much the kernel's driver transferred meanwhile: without the image's
/// module it would be whole screens, and nobody would see but by how slow it is.
const SMALL: &str = r#"sudo sh -c 'mount -t tracefs tracefs /sys/kernel/tracing 2>/dev/null; cd /sys/kernel/tracing &&
    echo "p:transfer virtio_gpu_cmd_transfer_to_host_2d width=%dx:u32 height=%cx:u32" >kprobe_events && echo 1 >events/kprobes/enable'
python3 - <<'PYTHON'
import ctypes
x = ctypes.CDLL("libX11.so.6")
x.XOpenDisplay.restype = x.XCreateGC.restype = ctypes.c_void_p
x.XDefaultRootWindow.restype = ctypes.c_ulong
display = ctypes.c_void_p(x.XOpenDisplay(b":0"))
root = ctypes.c_ulong(x.XDefaultRootWindow(display))
context = ctypes.c_void_p(x.XCreateGC(display, root, ctypes.c_ulong(0), None))
INCLUDE_INFERIORS = 1
x.XSetSubwindowMode(display, context, INCLUDE_INFERIORS)
x.XFillRectangle(display, root, context, 600, 600, 16, 16)
x.XSync(display, 0)
PYTHON
sleep 1; sudo grep -o 'width=.*' /sys/kernel/tracing/trace | sort -u; sudo sh -c 'echo 0 >/sys/kernel/tracing/events/kprobes/enable'"#;

/// Serves a page that is one large field, and opens it.
const FIELD: &str = "mkdir -p /tmp/site && echo '<title>empty</title><meta charset=utf-8><textarea \
    style=\"position:fixed;inset:0;width:100%;height:100%\"></textarea>' > /tmp/site/index.html; \
    (cd /tmp/site && exec python3 -m http.server 8765) >/dev/null 2>&1 & \
    until curl -sf http://127.0.0.1:8765/ >/dev/null; do sleep 0.3; done; \
    curl -s -X PUT http://127.0.0.1:9222/json/new?http://127.0.0.1:8765/ >/dev/null; \
    until curl -s http://127.0.0.1:9222/json/list | grep -q '\"title\": \"empty\"'; do sleep 0.5; done; sleep 2; \
    echo the field is open";

/// A person types quickly on a keyboard with keys that the guest's does not have, and composes a text of many lines, which arrive whole and in
/// order; then they find in the clipboard what was there before.
async fn a_person_types(night: &Night, run: &str) {
    let mut person = Person::takes_over(night, run).await;
    person.does(json!({"type": "setClipboard", "text": "kept, ümlaut"})).await;
    person.clicks(640, 500).await;
    // A person sees the cursor before they type. The first click in a page takes long where the processor is translated.
    tokio::time::sleep(Duration::from_secs(4)).await;
    // As on a German keyboard, in which order and how often does not matter.
    let typed = "güäßöxüöäßÄé€ß";
    for key in typed.chars() {
        let code = match key {
            'g' => "KeyG",
            'x' => "KeyX",
            'ä' | 'Ä' => "Quote",
            'ö' => "Semicolon",
            'ß' => "Minus",
            'ü' => "BracketLeft",
            _ => "KeyE",
        };
        person.presses(code, &key.to_string()).await;
    }
    let composed = "Zwölf Boxkämpfer jagen 世界 ☕ über den Deich.\n".repeat(150);
    let began = Instant::now();
    person.does(json!({"type": "text", "text": composed})).await;
    assert_eq!(person.clipboard().await, "kept, ümlaut");
    let took = began.elapsed();
    person.presses_with_control("KeyA", "a").await;
    person.presses_with_control("KeyC", "c").await;
    // The browser takes a moment until the clipboard is its own.
    let (expected, mut held) = (format!("{typed}{composed}"), String::new());
    while held != expected && began.elapsed() < took + Duration::from_secs(20) {
        tokio::time::sleep(Duration::from_millis(500)).await;
        held = person.clipboard().await;
    }
    assert!(
        held == expected,
        "{} characters of {}: {:?}…",
        held.chars().count(),
        expected.chars().count(),
        held.chars().take(60).collect::<String>()
    );
    eprintln!("{} characters composed by a person were there after {took:?}", composed.chars().count());
}

/// The picture that a step gave.
fn image(night: &Night, step: &Value) -> Picture {
    let content = step["content"].as_array().map(Vec::as_slice).unwrap_or_default();
    let found = content.iter().find_map(|part| part["image"]["artifact"].as_str());
    let artifact = found.unwrap_or_else(|| panic!("no picture in {step}"));
    Picture::read(&night.home.path().join("data/artifacts").join(&artifact[..2]).join(artifact))
}

/// Calls a tool that must succeed.
#[expect(clippy::unwrap_used, reason = "a failed step is a failed test")]
async fn call(
    client: &RunningService<RoleClient, ()>,
    tool: &'static str,
    arguments: Value,
) -> CallToolResult {
    let call = CallToolRequestParams::new(tool).with_arguments(arguments.as_object().unwrap().clone());
    let result = client.call_tool(call).await.unwrap();
    assert_ne!(result.is_error, Some(true), "{tool}: {result:?}");
    result
}

#[tokio::test(flavor = "multi_thread")]
async fn another_agent_uses_a_desktop_over_mcp_and_its_machine_is_gone_when_the_agent_is_killed() {
    let night = Night::begin(json!({"model": "claude-sonnet-5-5", "turns": []})).await;
    night.said(&["template", "build"]).await;
    let mut command = tokio::process::Command::from(night.command(&["mcp"]));
    let command =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
    let mut server = command.spawn().unwrap();
    let pipes = (server.stdout.take().unwrap(), server.stdin.take().unwrap());
    let client = ().serve(pipes).await.unwrap();

    let opened = call(&client, "sandbox_open", json!({})).await.structured_content.unwrap();
    assert_eq!((&opened["width"], &opened["height"]), (&json!(1280), &json!(800)));
    let sandbox = &opened["sandbox"];
    // The one control of the start page opens what is below it, which only then can be selected.
    let shown = call(&client, "sandbox_click", json!({"sandbox": sandbox, "x": 640, "y": 386})).await;
    assert_eq!(shown.content[0].as_image().unwrap().mime_type, "image/png");
    for keys in ["ctrl+a", "ctrl+c"] {
        call(&client, "sandbox_key", json!({"sandbox": sandbox, "keys": keys})).await;
    }
    let copied = json!({"sandbox": sandbox, "command": "xsel --clipboard --output | tee copied.txt"});
    let copied = call(&client, "sandbox_shell", copied).await.structured_content.unwrap();
    let text = copied["output"].as_str().unwrap();
    assert!(text.contains("sudo without a password"), "{text}");
    let file = call(&client, "sandbox_read_file", json!({"sandbox": sandbox, "path": "copied.txt"})).await;
    assert!(file.content[0].as_text().unwrap().text.contains("sudo without a password"));
    let outside =
        json!({"sandbox": sandbox, "command": "curl --max-time 20 -sS https://example.org; echo $?"});
    let outside = call(&client, "sandbox_shell", outside).await.structured_content.unwrap();
    assert!(
        !outside["output"].as_str().unwrap().trim_end().ends_with("\n0"),
        "there is no way out: {outside}"
    );

    assert_eq!(night.machines().len(), 1);
    server.kill().await.unwrap();
    let began = Instant::now();
    while !night.machines().is_empty() {
        assert!(
            began.elapsed() < Duration::from_secs(240),
            "the machine outlives its borrower\n{}",
            night.log()
        );
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}
