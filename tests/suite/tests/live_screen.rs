//! The live screen over its WebSocket: pictures, back-pressure, taking over, and who is let in.
#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

mod served;
mod terminals;

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use nightshift_protocol::{
    ErrorCode, EventBody, LeaseHolder, OpenSession, PointerButton, PressedKey, RunId, ScreenMessage, Ticket,
    ViewerMessage,
};
use nightshift_screen::live::{Encoding, Update};
use reqwest::StatusCode;
use serde_json::{Value, json};
use served::{Served, TOKEN};
use suite::{WITHIN, names};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};

type Socket = tokio_tungstenite::WebSocketStream<tokio_tungstenite::MaybeTlsStream<tokio::net::TcpStream>>;

/// A person at a viewer.
struct Viewer {
    socket: Socket,
    /// What a canvas would show: red, green, blue, 255.
    canvas: Vec<u8>,
    size: (u32, u32),
    last: u32,
}

/// What arrived.
#[derive(Debug)]
enum Arrived {
    Picture,
    Said(ScreenMessage),
}

async fn connect(served: &Served, run: &RunId, headers: &[(&str, String)]) -> Result<Socket, Error> {
    let url = format!("{}/api/v1/runs/{run}/screen", served.url.replace("http", "ws"));
    let mut request = url.into_client_request().unwrap();
    for (name, value) in headers {
        let name: reqwest::header::HeaderName = name.parse().unwrap();
        request.headers_mut().insert(name, value.parse().unwrap());
    }
    tokio_tungstenite::connect_async(request).await.map(|(socket, _)| socket)
}

impl Viewer {
    async fn open(served: &Served, run: &RunId) -> Self {
        let socket = connect(served, run, &[("authorization", format!("Bearer {TOKEN}"))]).await.unwrap();
        Self { socket, canvas: Vec::new(), size: (0, 0), last: 0 }
    }

    async fn say(&mut self, message: &ViewerMessage) {
        self.socket.send(Message::text(serde_json::to_string(message).unwrap())).await.unwrap();
    }

    /// The next thing that arrives, drawn but not acknowledged.
    async fn next(&mut self) -> Arrived {
        loop {
            match tokio::time::timeout(WITHIN, self.socket.next()).await.unwrap().unwrap().unwrap() {
                Message::Binary(bytes) => {
                    let update = Update::decode(&bytes).unwrap();
                    self.draw(&update);
                    return Arrived::Picture;
                }
                Message::Text(text) => return Arrived::Said(serde_json::from_str(&text).unwrap()),
                _ => {}
            }
        }
    }

    /// Draws what is exact; a JPEG is followed by an exact picture of the same place.
    fn draw(&mut self, update: &Update) {
        self.last = update.sequence;
        if update.key_frame {
            self.size = (update.size.width(), update.size.height());
            self.canvas = vec![0; (self.size.0 * self.size.1 * 4) as usize];
        }
        for tile in &update.tiles {
            let rgba = match tile.encoding {
                Encoding::Raw => tile.bytes.clone(),
                Encoding::Png => decode_png(&tile.bytes),
                Encoding::Jpeg => continue,
            };
            let row = tile.rect.width() as usize * 4;
            for (line, pixels) in rgba.chunks_exact(row).enumerate() {
                let at =
                    ((tile.rect.y() as usize + line) * self.size.0 as usize + tile.rect.x() as usize) * 4;
                self.canvas[at..at + row].copy_from_slice(pixels);
            }
        }
    }

    fn colour(&self, x: u32, y: u32) -> [u8; 3] {
        let at = ((y * self.size.0 + x) * 4) as usize;
        self.canvas[at..at + 3].try_into().unwrap()
    }

    async fn acknowledge(&mut self) {
        let sequence = self.last;
        self.say(&ViewerMessage::Acknowledge { sequence }).await;
    }

    async fn until_said(&mut self, what: impl Fn(&ScreenMessage) -> bool) -> ScreenMessage {
        loop {
            match self.next().await {
                Arrived::Said(said) if what(&said) => return said,
                Arrived::Said(_) => {}
                Arrived::Picture => self.acknowledge().await,
            }
        }
    }

    async fn until_picture(&mut self, what: impl Fn(&Self) -> bool) {
        while self.canvas.is_empty() || !what(self) {
            if let Arrived::Picture = self.next().await {
                self.acknowledge().await;
            }
        }
    }
}

fn decode_png(file: &[u8]) -> Vec<u8> {
    let mut reader = png::Decoder::new(std::io::Cursor::new(file)).read_info().unwrap();
    let mut rgb = vec![0; reader.output_buffer_size().unwrap()];
    reader.next_frame(&mut rgb).unwrap();
    rgb.chunks_exact(3).flat_map(|pixel| [pixel[0], pixel[1], pixel[2], 255]).collect()
}

const POINTER: [u8; 3] = [0xf5, 0x9e, 0x0b];

/// A run whose agent waits for a person's answer: its sandbox is there and nothing happens.
async fn waiting() -> (Served, RunId) {
    let served = Served::begin(json!({"turns": [
        {"calls": [{"tool": "ask", "input": {"question": "Which port?"}}]},
        {"calls": [{"tool": "shell", "input": {"command": "echo two >> notes.txt; git commit -qam Note"}}]},
        {"calls": [{"tool": "ask", "input": {"question": "Anything else?"}}]},
    ]}))
    .await;
    let run = served.night.submit("Add a note").await;
    served.night.until_state(&run, "the question", |state| state.name() == "waiting").await;
    (served, run)
}

fn pointer(x: u32, y: u32) -> ViewerMessage {
    ViewerMessage::Pointer { x, y }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_sees_the_whole_screen_and_then_what_a_person_s_hand_changes() {
    let (served, run) = waiting().await;
    let mut viewer = Viewer::open(&served, &run).await;
    viewer.until_picture(|viewer| viewer.size == (320, 200)).await;
    viewer.say(&ViewerMessage::TakeOver).await;
    let you = |said: &ScreenMessage| *said == ScreenMessage::Lease { holder: LeaseHolder::You };
    viewer.until_said(you).await;
    viewer.say(&pointer(100, 100)).await;
    viewer.until_picture(|viewer| viewer.colour(104, 104) == POINTER).await;
    let button = ViewerMessage::Button { x: 50, y: 60, button: PointerButton::Left, down: true };
    viewer.say(&button).await;
    viewer.until_said(|said| *said == ScreenMessage::Press { x: 50, y: 60 }).await;
    viewer.say(&ViewerMessage::Key { code: "KeyA".to_owned(), key: "a".to_owned(), down: true }).await;
    viewer.say(&ViewerMessage::HandBack { note: "I moved the pointer".to_owned() }).await;
    viewer.until_said(|said| *said == ScreenMessage::Lease { holder: LeaseHolder::Agent }).await;
    let events = served.night.events(&run).await;
    let handed = events.iter().find_map(|event| match &event.body {
        EventBody::HandedBack { summary, screen, .. } => Some((summary.clone(), screen.is_some())),
        _ => None,
    });
    let (summary, has_screen) = handed.unwrap();
    assert!(summary.contains("1 click, 1 key") && summary.ends_with("I moved the pointer"), "{summary}");
    assert!(has_screen);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_that_stops_gets_two_updates_and_then_everything_at_once() {
    let (served, run) = waiting().await;
    let mut mover = Viewer::open(&served, &run).await;
    mover.say(&ViewerMessage::TakeOver).await;
    mover.until_said(|said| matches!(said, ScreenMessage::Lease { holder: LeaseHolder::You })).await;
    let mut viewer = Viewer::open(&served, &run).await;
    while !matches!(viewer.next().await, Arrived::Picture) {}
    for x in 0..40 {
        mover.say(&pointer(x * 6, 100)).await;
    }
    mover.until_picture(|mover| mover.colour(39 * 6 + 4, 104) == POINTER).await;
    // The key frame is not acknowledged, so one more comes and then silence.
    let mut pictures = 0;
    while let Ok(arrived) = tokio::time::timeout(Duration::from_millis(600), viewer.next()).await {
        pictures += u32::from(matches!(arrived, Arrived::Picture));
    }
    assert_eq!(pictures, 1);
    assert_ne!(viewer.colour(39 * 6 + 4, 104), POINTER);
    viewer.acknowledge().await;
    while !matches!(viewer.next().await, Arrived::Picture) {}
    assert_eq!(viewer.colour(39 * 6 + 4, 104), POINTER);
    assert_eq!(viewer.last, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_person_at_a_time_has_the_mouse_and_a_connection_that_ends_gives_it_back() {
    let (served, run) = waiting().await;
    let (mut first, mut second) = (Viewer::open(&served, &run).await, Viewer::open(&served, &run).await);
    first.say(&ViewerMessage::TakeOver).await;
    first.until_said(|said| matches!(said, ScreenMessage::Lease { holder: LeaseHolder::You })).await;
    second.until_said(|said| matches!(said, ScreenMessage::Lease { holder: LeaseHolder::Somebody })).await;
    second.say(&ViewerMessage::TakeOver).await;
    let refused = second.until_said(|said| matches!(said, ScreenMessage::Refused { .. })).await;
    assert!(matches!(refused, ScreenMessage::Refused { error } if error.code == ErrorCode::Conflict));
    second.say(&pointer(9, 99)).await;
    second.until_said(|said| matches!(said, ScreenMessage::Refused { .. })).await;
    drop(first);
    second.until_said(|said| matches!(said, ScreenMessage::Lease { holder: LeaseHolder::Agent })).await;
    second.say(&ViewerMessage::TakeOver).await;
    second.until_said(|said| matches!(said, ScreenMessage::Lease { holder: LeaseHolder::You })).await;
    let events = served.night.until(&run, "two leases", |events| {
        names(events).iter().filter(|name| **name == "takenOver").count() == 2
    });
    assert_eq!(names(&events.await).iter().filter(|name| **name == "handedBack").count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn while_a_person_has_the_mouse_the_agent_begins_nothing_and_then_is_told() {
    let (served, run) = waiting().await;
    let mut viewer = Viewer::open(&served, &run).await;
    viewer.say(&ViewerMessage::TakeOver).await;
    viewer.until_said(|said| matches!(said, ScreenMessage::Lease { holder: LeaseHolder::You })).await;
    let said = serde_json::from_value(json!({"text": "8080"})).unwrap();
    served.night.owner.api.say(run.as_str(), said).await.unwrap();
    served.night.until_state(&run, "work", |state| state.name() == "working").await;
    tokio::time::sleep(Duration::from_millis(400)).await;
    let before = served.night.events(&run).await;
    assert_eq!(names(&before).iter().filter(|name| **name == "turnRequested").count(), 1);
    viewer.say(&ViewerMessage::HandBack { note: "All yours".to_owned() }).await;
    served
        .night
        .until(&run, "the next question", |events| {
            names(events).iter().filter(|name| **name == "turnFinished").count() == 3
        })
        .await;
    let asked = served.night.model.requests();
    let told = asked.iter().any(|request| request.body.to_string().contains("They say: All yours"));
    assert!(told, "the agent was not told");
}

#[tokio::test(flavor = "multi_thread")]
async fn mouse_and_keyboard_are_the_agent_s_again_after_the_owner_ended() {
    let (mut served, run) = waiting().await;
    let mut viewer = Viewer::open(&served, &run).await;
    viewer.say(&ViewerMessage::TakeOver).await;
    viewer.until_said(|said| matches!(said, ScreenMessage::Lease { holder: LeaseHolder::You })).await;
    served.night.owner_restarts().await;
    let events =
        served.night.until(&run, "the hand-over", |events| names(events).contains(&"handedBack")).await;
    let last: Vec<_> = names(&events).into_iter().rev().take(2).collect();
    assert_eq!(last, ["handedBack", "ownerResumed"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_is_let_in_by_a_ticket_and_only_from_the_owner_s_own_page() {
    let (served, run) = waiting().await;
    let ticket: Ticket = serde_json::from_slice(
        &served.ask(reqwest::Method::POST, "/api/v1/session/tickets", Some("{}")).await.1,
    )
    .unwrap();
    let body = serde_json::to_string(&OpenSession { ticket: ticket.ticket.clone() }).unwrap();
    let open = |body: String| {
        let request = served.http.post(format!("{}/api/v1/session", served.url));
        request.header("content-type", "application/json").body(body).send()
    };
    let opened = open(body.clone()).await.unwrap();
    assert_eq!(opened.status(), StatusCode::OK);
    let cookie = opened.headers()["set-cookie"].to_str().unwrap().to_owned();
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"), "{cookie}");
    assert_eq!(open(body).await.unwrap().status(), StatusCode::UNAUTHORIZED);

    let cookie = cookie.split(';').next().unwrap().to_owned();
    let from = |origin: &str| vec![("cookie", cookie.clone()), ("origin", origin.to_owned())];
    assert!(connect(&served, &run, &from(&served.url)).await.is_ok());
    for headers in
        [from("http://evil.example"), from("http://127.0.0.1:1"), vec![("cookie", cookie.clone())], vec![]]
    {
        let refused = connect(&served, &run, &headers).await.unwrap_err();
        assert!(matches!(&refused, Error::Http(answer) if answer.status() == 401), "{headers:?}: {refused}");
    }
    let listed =
        served.http.get(format!("{}/api/v1/runs", served.url)).header("cookie", &cookie).send().await;
    assert_eq!(listed.unwrap().status(), StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_small_picture_is_given_once_for_each_change_and_none_without_a_sandbox() {
    let (served, run) = waiting().await;
    let url = format!("{}/api/v1/runs/{run}/thumbnail?width=160", served.url);
    let ask = |tag: Option<String>| {
        let request = served.http.get(&url).bearer_auth(TOKEN);
        tag.into_iter().fold(request, |request, tag| request.header("if-none-match", tag)).send()
    };
    let first = ask(None).await.unwrap();
    let tag = first.headers()["etag"].to_str().unwrap().to_owned();
    assert_eq!(first.headers()["content-type"], "image/jpeg");
    assert!(first.bytes().await.unwrap().starts_with(&[0xff, 0xd8]));
    assert_eq!(ask(Some(tag)).await.unwrap().status(), StatusCode::NOT_MODIFIED);
    served.night.owner.api.cancel(run.as_str()).await.unwrap();
    served.night.until(&run, "the end", |events| names(events).contains(&"sandboxStopped")).await;
    let path = format!("/api/v1/runs/{run}/thumbnail");
    let refused = served.refused(reqwest::Method::GET, &path, None).await;
    assert_eq!(refused, (StatusCode::CONFLICT, ErrorCode::Conflict));
    let mut viewer = Viewer::open(&served, &run).await;
    let dark = viewer.until_said(|said| matches!(said, ScreenMessage::Dark { .. })).await;
    assert!(matches!(dark, ScreenMessage::Dark { over: true, .. }), "{dark:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_says_what_it_may_do_and_the_api_is_not_kept() {
    let (served, _) = waiting().await;
    let page = served.http.get(&served.url).send().await.unwrap();
    let policy = page.headers()["content-security-policy"].to_str().unwrap().to_owned();
    assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{policy}");
    assert_eq!(page.headers()["x-content-type-options"], "nosniff");
    let listed =
        served.http.get(format!("{}/api/v1/runs", served.url)).bearer_auth(TOKEN).send().await.unwrap();
    assert_eq!(listed.headers()["cache-control"], "no-store");
    assert!(listed.headers().get("access-control-allow-origin").is_none());
    let _unused: Value = listed.json().await.unwrap();
}

/// Programs of a desktop that keep its selections in files, and those with which nothing can be pasted any more.
const PROGRAMS: [(&str, &str); 4] = [
    (
        "xclip",
        r#"if [ "$3" = -o ]; then cat ~/clipboard 2>/dev/null; else cat >~/clipboard; echo "$(cat ~/clipboard)" >>~/set; fi"#,
    ),
    (
        "xsel",
        r#"[ "$1" = --primary ] && held=~/primary || held=~/clipboard
           if [ "$2" = --clear ]; then rm -f $held; elif [ -e ~/broken ]; then tee $held >/dev/null; exit 1; else tee $held >>~/"pasted$1"; fi"#,
    ),
    (
        "xmodmap",
        r#"[ -e ~/keys ] || printf '%s\n' '38 a A' 97 120 >~/keys
           if [ "$1" = -pke ]; then sed -E 's/^([0-9]+) ?/keycode  \1 = /' ~/keys
           elif [ "$1" = -pk ]; then sed -nE 's/^([0-9]+) U([0-9A-F]+)/    \1    \t0x\L\2 (name)/p' ~/keys
           else read -r _ code _ meaning _ <<<"$2"; sed -i -E "s/^$code( .*)?$/$code $meaning/" ~/keys; echo "$code $meaning" >>~/given; fi"#,
    ),
    ("xdotool", r#"[ "$1 $2 $3" = "key --delay 12" ] && sed -n "s/^$4 //p" ~/keys >>~/typed"#),
];

const KEY: [u8; 3] = [0xe5, 0xe7, 0xeb];

/// A viewer that has mouse and keyboard of a run in whose sandbox there are these programs, and its agent's home.
async fn typist(served: &Served, run: &RunId) -> (Viewer, std::path::PathBuf) {
    use std::os::unix::fs::PermissionsExt;

    let sandbox = served.night.owner.store.run(run).await.unwrap().unwrap().sandbox.unwrap();
    let home = served.night.driver.machine(&sandbox).unwrap().home_folder().to_owned();
    std::fs::create_dir(home.join("bin")).unwrap();
    std::fs::write(home.join(".bash_profile"), "PATH=~/bin:$PATH\n").unwrap();
    for (name, script) in PROGRAMS {
        let path = home.join("bin").join(name);
        std::fs::write(&path, format!("#!/bin/bash\n{script}\n")).unwrap();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let mut viewer = Viewer::open(served, run).await;
    viewer.until_picture(|viewer| viewer.size == (320, 200)).await;
    viewer.say(&ViewerMessage::TakeOver).await;
    viewer.until_said(|said| matches!(said, ScreenMessage::Lease { holder: LeaseHolder::You })).await;
    (viewer, home)
}

/// What the owner answers to that.
async fn answer(viewer: &mut Viewer, message: ViewerMessage) -> ScreenMessage {
    viewer.say(&message).await;
    viewer.say(&ViewerMessage::GetClipboard).await;
    viewer
        .until_said(|said| matches!(said, ScreenMessage::Clipboard { .. } | ScreenMessage::Refused { .. }))
        .await
}

fn text(text: &str) -> ViewerMessage {
    ViewerMessage::Text { text: text.to_owned() }
}

fn clipboard(text: &str) -> ScreenMessage {
    ScreenMessage::Clipboard { text: text.to_owned() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_s_long_text_without_keys_is_pasted_in_one_piece_and_leaves_the_clipboard_as_it_was() {
    let (served, run) = waiting().await;
    let (mut viewer, home) = typist(&served, &run).await;
    std::fs::write(home.join("clipboard"), "of before").unwrap();
    let body = "Zwölf Boxkämpfer 世界 ☕\n\tjagen\n".repeat(300);
    let body = body.trim_end();
    assert_eq!(answer(&mut viewer, text(&format!("{body}\n"))).await, clipboard("of before"));
    for selection in ["--clipboard", "--primary"] {
        let pasted = std::fs::read_to_string(home.join(format!("pasted{selection}"))).unwrap();
        assert!(pasted == body, "{selection} is {} bytes of {}", pasted.len(), body.len());
    }
    assert_eq!(std::fs::read_to_string(home.join("set")).unwrap(), "of before\n");
    assert!(!home.join("primary").exists(), "it may be a password");
    // Shift, Insert and Return: three keys, each with its mark.
    viewer.until_picture(|viewer| viewer.colour(3 * 12 + 2, 12 + 2) == KEY).await;
    assert_ne!(viewer.colour(4 * 12 + 2, 12 + 2), KEY, "nothing else was typed");

    let refused = answer(&mut viewer, text(&"ö".repeat(10_001))).await;
    assert!(matches!(refused, ScreenMessage::Refused { error } if error.code == ErrorCode::TooLarge));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_key_that_pastes_is_pressed_once_its_text_is_in_the_clipboard_and_not_if_it_is_refused() {
    let (served, run) = waiting().await;
    let (mut viewer, home) = typist(&served, &run).await;
    let paste = |text: &str| ViewerMessage::SetClipboard {
        text: text.to_owned(),
        press: Some(PressedKey { code: "KeyV".to_owned(), key: "v".to_owned() }),
    };
    let mark = |number: u32| move |viewer: &Viewer| viewer.colour(number * 12 + 2, 12 + 2) == KEY;
    assert_eq!(answer(&mut viewer, paste("pasted")).await, clipboard("pasted"));
    viewer.until_picture(mark(1)).await;

    std::fs::write(home.join("bin/xclip"), "#!/bin/bash\nexit 1\n").unwrap();
    let refused = answer(&mut viewer, paste("a secret of another window")).await;
    assert!(matches!(refused, ScreenMessage::Refused { .. }), "{refused:?}");
    // The next key has the next mark: nothing was pressed in between.
    for down in [true, false] {
        viewer.say(&ViewerMessage::Key { code: "KeyA".to_owned(), key: "a".to_owned(), down }).await;
    }
    viewer.until_picture(mark(2)).await;
    assert!(!mark(3)(&viewer), "one key was pressed after the paste");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_person_typed_stays_in_no_selection_whether_it_was_pasted_or_not() {
    let (served, run) = waiting().await;
    let (mut viewer, home) = typist(&served, &run).await;
    let left = || ["clipboard", "primary"].map(|name| home.join(name).exists());
    assert_eq!(answer(&mut viewer, text("geheim: ü")).await, clipboard(""));
    assert_eq!((left(), home.join("pasted--primary").exists()), ([false, false], true));

    for before in ["", "of before"] {
        std::fs::write(home.join("clipboard"), before).unwrap();
        std::fs::write(home.join("broken"), "").unwrap();
        let refused = answer(&mut viewer, text("geheim: ö")).await;
        assert!(matches!(refused, ScreenMessage::Refused { .. }), "{refused:?}");
        let held = viewer.until_said(|said| matches!(said, ScreenMessage::Clipboard { .. })).await;
        assert_eq!((held, left()[1]), (clipboard(before), false));
    }
    // What failed is not pasted by what comes after.
    std::fs::remove_file(home.join("broken")).unwrap();
    assert_eq!(answer(&mut viewer, text("offen: ä")).await, clipboard("of before"));
    assert_eq!(std::fs::read_to_string(home.join("pasted--primary")).unwrap(), "geheim: üoffen: ä");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_composed_character_leaves_the_clipboard_alone_and_a_held_shift_changes_no_text() {
    let (served, run) = waiting().await;
    let (mut viewer, home) = typist(&served, &run).await;
    std::fs::write(home.join("clipboard"), "of before").unwrap();
    assert_eq!(answer(&mut viewer, text("é")).await, clipboard("of before"));
    for character in ["ö", "é"] {
        assert_eq!(answer(&mut viewer, text(character)).await, clipboard("of before"));
    }
    let read = |name: &str| std::fs::read_to_string(home.join(name)).unwrap();
    assert_eq!(read("typed"), "U00E9\nU00F6\nU00E9\n");
    assert_eq!(read("given"), "97 U00E9\n120 U00F6\n", "each has a key of its own and keeps it");
    // The agent gives the keyboard another layout.
    std::fs::write(home.join("keys"), "38 a A\n97\n120 U0040\n").unwrap();
    assert_eq!(answer(&mut viewer, text("ö")).await, clipboard("of before"));
    assert_eq!(read("typed"), "U00E9\nU00F6\nU00E9\nU00F6\n");
    // No key is left that means nothing: the one that was typed longest ago gives its own.
    assert_eq!(answer(&mut viewer, text("ß")).await, clipboard("of before"));
    assert_eq!(read("typed"), "U00E9\nU00F6\nU00E9\nU00F6\nU00DF\n");
    assert!(!home.join("set").exists() && !home.join("pasted--clipboard").exists());

    let (code, key) = ("ShiftLeft".to_owned(), "Shift".to_owned());
    viewer.say(&ViewerMessage::Key { code, key, down: true }).await;
    viewer.say(&text("a")).await;
    // Shift, the letter without it, and Shift again.
    viewer.until_picture(|viewer| viewer.colour(3 * 12 + 2, 12 + 2) == KEY).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_does_not_answer_holds_up_neither_who_watches_nor_who_hands_back() {
    let (served, run) = waiting().await;
    let (mut viewer, home) = typist(&served, &run).await;
    std::fs::write(home.join("bin/xclip"), "#!/bin/bash\nexec sleep 100\n").unwrap();
    let mut other = Viewer::open(&served, &run).await;
    let is = |holder: LeaseHolder| move |said: &ScreenMessage| *said == ScreenMessage::Lease { holder };
    other.until_said(is(LeaseHolder::Somebody)).await;

    let began = std::time::Instant::now();
    viewer.say(&ViewerMessage::GetClipboard).await;
    viewer.say(&pointer(9, 99)).await;
    viewer.say(&ViewerMessage::TakeOver).await;
    viewer.until_said(is(LeaseHolder::You)).await;
    viewer.say(&ViewerMessage::HandBack { note: String::new() }).await;
    viewer.until_said(is(LeaseHolder::Agent)).await;

    viewer.say(&ViewerMessage::TakeOver).await;
    viewer.until_said(is(LeaseHolder::You)).await;
    viewer.say(&ViewerMessage::GetClipboard).await;
    for number in 0..300 {
        let (code, key) = ("KeyA".to_owned(), "a".to_owned());
        viewer.say(&ViewerMessage::Key { code, key, down: number % 2 == 0 }).await;
    }
    let stuck = viewer.until_said(|said| matches!(said, ScreenMessage::Refused { .. })).await;
    assert!(matches!(stuck, ScreenMessage::Refused { error } if error.code == ErrorCode::SandboxFailed));

    other.until_said(is(LeaseHolder::Agent)).await;
    viewer.say(&ViewerMessage::TakeOver).await;
    viewer.until_said(is(LeaseHolder::You)).await;
    viewer.say(&ViewerMessage::GetClipboard).await;
    drop(viewer);
    other.until_said(is(LeaseHolder::Somebody)).await;
    other.until_said(is(LeaseHolder::Agent)).await;
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
}
