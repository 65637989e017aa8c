//! A token planted in a file, in a command's output, in a URL and on the screen: afterwards it is looked for in the
//! pull request, its pictures, the history and the log.

use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use nightshift_supervisor::pictures::{Pixels, ScreenReader, secret_areas};
use nightshift_testing::github::Token;
use serde_json::{Value, json};
use suite::names;
use suite::site::{SiteNight, TOKEN, delivery};

use super::{fetch, pictures, script};

/// A font that terminals use; Debian's package is fonts-dejavu-core.
const FONT: &str = "/usr/share/fonts/truetype/dejavu/DejaVuSansMono.ttf";

const SCREEN: (u32, u32) = (1280, 800);

/// A token nobody knows: it is found by its shape alone.
const UNKNOWN: &str = "sk-ant-api03-Zx8Qw3Er5Ty7Ui9Op2As4Df6Gh8Jk0Lz";

/// Sizes of the letters in pixels, background and letters. The covering was made with the first six in view; the others were
/// held out.
const LOOKS: [(f32, [u8; 3], [u8; 3]); 10] = [
    (12.0, [0, 0, 0], [220, 220, 220]),
    (13.0, [255, 255, 255], [20, 20, 20]),
    (14.0, [0x30, 0x0a, 0x24], [0xee, 0xee, 0xec]),
    (16.0, [0x1e, 0x1e, 0x1e], [0xd4, 0xd4, 0xd4]),
    (18.0, [0xfd, 0xf6, 0xe3], [0x58, 0x6e, 0x75]),
    (24.0, [255, 255, 255], [0, 0x40, 0x80]),
    (15.0, [0x28, 0x2a, 0x36], [0xf8, 0xf8, 0xf2]),
    (17.0, [0, 0x2b, 0x36], [0x83, 0x94, 0x96]),
    (20.0, [0xf0, 0xf0, 0xf0], [0xa0, 0x10, 0x10]),
    (28.0, [0x10, 0x10, 0x40], [0xff, 0xd7, 0]),
];

/// How many looks the covering was made with.
const IN_VIEW: usize = 6;

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

pub(super) async fn soak() -> (Value, bool) {
    let log = Log::default();
    let writer = log.clone();
    tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
        .with_writer(move || writer.clone())
        .with_ansi(false)
        .init();
    let (mut planted, mut leaked, mut shown, mut held_out) = (0, Vec::new(), 0, 0);
    for (number, (size, ground, ink)) in LOOKS.into_iter().enumerate() {
        let before = leaked.len();
        let (picture, places) = drawn(size, ground, ink);
        // In a file, in what a command prints, in a URL, on the screen twice (known and by its shape); and in what people
        // and the model write: the task, words, a command, a claim and the summary.
        planted += 3 + places.len() + 5;
        let (known, unknown) = (by_pieces(TOKEN), by_pieces(UNKNOWN));
        let command = format!(
            "T={known}; U={unknown}; echo two >> notes.txt && git commit -qam 'Add a note' && echo \"GITHUB_TOKEN=$T\" > \
             .git/env && cat .git/env && echo printed $T && git remote add site https://x:$T@git.example.org/o/r && git \
             remote -v && echo $U; echo {UNKNOWN} | wc -c"
        );
        let mut script = script(&command);
        script["turns"][0]["say"] = json!(format!("I use {TOKEN} and {UNKNOWN}."));
        script["turns"][1]["calls"][2]["input"]["claim"] = json!(format!("It prints {TOKEN}."));
        script["turns"][2]["calls"][0]["input"]["summary"] =
            json!(format!("It needs {UNKNOWN} and {TOKEN}."));
        let night = SiteNight::begin_on(script, Token::Personal, delivery(), SCREEN, Some(picture)).await;
        let run = night.submit(&format!("Add a note with {TOKEN}")).await;
        night.night.until(&run, "a delivery", |events| names(events).contains(&"pullRequestRouted")).await;
        let look = |what: &str, text: &str| {
            // Twelve characters of a token are too many to be shown.
            let shows = |secret: &str| (0..secret.len() - 12).any(|at| text.contains(&secret[at..at + 12]));
            [TOKEN, UNKNOWN].iter().any(|secret| shows(secret)).then(|| format!("{what} at {size} px"))
        };
        for event in night.night.events(&run).await {
            leaked.extend(look(event.body.name(), &serde_json::to_string(&event).unwrap()));
        }
        for opened in night.site.pull_requests("ada", "notes") {
            leaked.extend(look("body", &opened.body));
            let urls = pictures(&opened.body);
            shown += urls.len();
            for url in urls {
                let bytes = fetch(&url).await.expect("a picture of the body resolves");
                leaked.extend(seen(&bytes, &places).await.map(|what| format!("{what} at {size} px")));
            }
        }
        let written = log.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        leaked.extend(look("log", &String::from_utf8_lossy(&written)));
        if number >= IN_VIEW {
            held_out += leaked.len() - before;
        }
    }
    let good = leaked.is_empty() && planted > 0 && shown > 0;
    let outcome = json!({
        "planted": planted, "leaked": leaked.len(), "leaked_held_out": held_out, "pictures": shown, "where": leaked,
    });
    (outcome, good)
}

/// A shell's word for a token that is nowhere written as a whole, so that it is not taken out of the command.
fn by_pieces(token: &str) -> String {
    let pieces: Vec<&str> =
        (0..token.len()).step_by(6).map(|at| &token[at..token.len().min(at + 6)]).collect();
    pieces.iter().map(|piece| format!("'{piece}'")).collect()
}

/// What of the tokens can still be seen on a picture: where they were drawn, or by reading it again.
async fn seen(bytes: &[u8], places: &[[u32; 4]]) -> Option<String> {
    // The recording is smaller and in few colours: it is made of the same clean pictures.
    let pixels = Pixels::decode(bytes).ok()?;
    for &[left, top, width, height] in places {
        let all = (top..top + height).flat_map(|y| (left..left + width).map(move |x| (x, y)));
        let open = all.filter(|&(x, y)| !pixels.is_covered(x, y)).count();
        if open * 50 > (width * height) as usize {
            let (all, size) = (width * height, pixels.size());
            return Some(format!("screen, {open} of {all} pixels at {left},{top} of {size:?}"));
        }
    }
    let reader = ScreenReader::find(std::env::var_os("PATH").as_deref()).expect("tesseract is installed");
    let words = reader.read(&pixels, 2).await.ok()?;
    let redactor = delivery().redactor;
    (!secret_areas(&words, &redactor).is_empty()).then(|| "screen, read again".to_owned())
}

/// A terminal with tokens on it, and where they are: left, top, width, height.
fn drawn(size: f32, ground: [u8; 3], ink: [u8; 3]) -> (Vec<u8>, Vec<[u32; 4]>) {
    let font = Bytes::from(std::fs::read(FONT).expect("the font of fonts-dejavu-core"));
    let font = fontdue::Font::from_bytes(&font[..], fontdue::FontSettings::default()).unwrap();
    let mut pixels = Pixels::plain(SCREEN.0, SCREEN.1, ground);
    let lines = [
        "$ cat .env".to_owned(),
        format!("GITHUB_TOKEN={TOKEN}"),
        "$ npm test".to_owned(),
        format!("  using key {UNKNOWN} of the environment"),
        "  14 passing (2s)".to_owned(),
    ];
    let mut places = Vec::new();
    for (number, line) in (0_u16..).zip(&lines) {
        let baseline = 80.0 + f32::from(number) * size * 1.5;
        let secret = [TOKEN, UNKNOWN].iter().find_map(|secret| Some((line.find(secret)?, secret.len())));
        let (mut x, mut from, mut to) = (40.0_f32, 0.0, 0.0);
        for (index, character) in line.char_indices() {
            if secret.is_some_and(|(start, _)| start == index) {
                from = x;
            }
            let (metrics, coverage) = font.rasterize(character, size);
            blend(&mut pixels, (x, baseline), &metrics, &coverage, (ground, ink));
            x += metrics.advance_width;
            if secret.is_some_and(|(start, length)| index + 1 == start + length) {
                to = x;
            }
        }
        if secret.is_some() {
            // The letters themselves: from the height of a small letter to the line.
            let (top, height) = (baseline - size * 0.55, size * 0.5);
            places.push([from, top, to - from, height].map(|value| value as u32));
        }
    }
    let all = (0..SCREEN.1).flat_map(|y| (0..SCREEN.0).map(move |x| (x, y)));
    let rgb = all.flat_map(|(x, y)| pixels.colour(x, y).unwrap()).collect();
    (rgb, places)
}

fn blend(
    pixels: &mut Pixels,
    (x, baseline): (f32, f32),
    metrics: &fontdue::Metrics,
    coverage: &[u8],
    (ground, ink): ([u8; 3], [u8; 3]),
) {
    for (index, &alpha) in coverage.iter().enumerate() {
        let column = x as i32 + metrics.xmin + (index % metrics.width) as i32;
        let row = baseline as i32 - metrics.height as i32 - metrics.ymin + (index / metrics.width) as i32;
        let mixed = |channel: usize| {
            let (alpha, back, front) =
                (u32::from(alpha), u32::from(ground[channel]), u32::from(ink[channel]));
            ((back * (255 - alpha) + front * alpha) / 255) as u8
        };
        if let (Ok(column), Ok(row), true) = (u32::try_from(column), u32::try_from(row), alpha > 0) {
            pixels.set(column, row, [mixed(0), mixed(1), mixed(2)]);
        }
    }
}
