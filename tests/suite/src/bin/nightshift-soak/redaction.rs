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

const SCREEN: (u32, u32) = (1280, 800);

/// A token nobody knows: it is found by its shape alone.
const UNKNOWN: &str = "sk-ant-api03-Zx8Qw3Er5Ty7Ui9Op2As4Df6Gh8Jk0Lz";

/// Where Debian's package fonts-dejavu-core puts its fonts.
const FONTS: &str = "/usr/share/fonts/truetype/dejavu";

/// How text looks, and where it stands: the font, the height of its letters in pixels, the colours of ground and letters, and
/// how far from the left it begins.
struct Look(&'static str, f32, [u8; 3], [u8; 3], u32);

/// What one screen shows: windows one below the other.
struct Screen {
    /// Whether the covering was made with it in view. The others were held out: other fonts, sizes, colours and places, and light
    /// windows beside dark ones.
    in_view: bool,
    windows: &'static [Look],
}

const SCREENS: [Screen; 5] = [
    Screen {
        in_view: true,
        windows: &[
            Look("DejaVuSansMono", 12.0, [0, 0, 0], [220, 220, 220], 40),
            Look("DejaVuSansMono", 14.0, [0x30, 0x0a, 0x24], [0xee, 0xee, 0xec], 40),
            Look("DejaVuSansMono", 16.0, [0x1e, 0x1e, 0x1e], [0xd4, 0xd4, 0xd4], 40),
        ],
    },
    Screen {
        in_view: true,
        windows: &[
            Look("DejaVuSansMono", 13.0, [255, 255, 255], [20, 20, 20], 40),
            Look("DejaVuSansMono", 18.0, [0xfd, 0xf6, 0xe3], [0x58, 0x6e, 0x75], 40),
            Look("DejaVuSansMono", 24.0, [255, 255, 255], [0, 0x40, 0x80], 40),
        ],
    },
    Screen {
        in_view: false,
        windows: &[
            Look("DejaVuSans", 13.0, [0xf1, 0xf3, 0xf4], [0x20, 0x21, 0x24], 310),
            Look("DejaVuSansMono", 15.0, [0x28, 0x2a, 0x36], [0xf8, 0xf8, 0xf2], 12),
            Look("DejaVuSerif", 16.0, [255, 255, 255], [0x33, 0x33, 0x33], 560),
            Look("DejaVuSansMono", 17.0, [0, 0x2b, 0x36], [0x83, 0x94, 0x96], 88),
        ],
    },
    Screen {
        in_view: false,
        windows: &[
            Look("DejaVuSans-Bold", 18.0, [255, 255, 255], [0x1a, 0x1a, 0x1a], 24),
            Look("DejaVuSansMono-Bold", 14.0, [0xfa, 0xfa, 0xfa], [0x38, 0x3a, 0x42], 640),
            Look("DejaVuSansMono", 20.0, [0xf0, 0xf0, 0xf0], [0xa0, 0x10, 0x10], 200),
            Look("DejaVuSans", 15.0, [0xff, 0xf8, 0xdc], [0x40, 0x30, 0x20], 420),
        ],
    },
    Screen {
        in_view: false,
        windows: &[
            Look("DejaVuSansMono", 28.0, [0x10, 0x10, 0x40], [0xff, 0xd7, 0], 8),
            Look("DejaVuSans", 14.0, [0x20, 0x20, 0x20], [0xc0, 0xc0, 0xc0], 505),
            Look("DejaVuSerif-Bold", 15.0, [0xe8, 0xf0, 0xfe], [0x17, 0x4e, 0xa6], 520),
        ],
    },
];

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
    let mut all = Trial::default();
    // Reading takes nearly all of the time, and there are two processors at least.
    let (first, second) = SCREENS.split_at(SCREENS.len() / 2);
    let several = async |screens: &'static [Screen]| {
        let mut trial = Trial::default();
        for screen in screens {
            trial.add(one_screen(screen).await);
        }
        trial
    };
    let (one, other) = tokio::join!(several(first), several(second));
    all.add(one);
    all.add(other);
    let written = log.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
    all.leaked.extend(found("log", &String::from_utf8_lossy(&written)));
    let Trial { planted, shown, leaked, held_out } = all;
    let good = leaked.is_empty() && planted > 0 && shown > 0 && !written.is_empty();
    let outcome = json!({
        "planted": planted, "leaked": leaked.len(), "leaked_held_out": held_out, "pictures": shown, "where": leaked,
    });
    (outcome, good)
}

/// What was planted and seen again.
#[derive(Default)]
struct Trial {
    planted: usize,
    shown: usize,
    leaked: Vec<String>,
    held_out: usize,
}

impl Trial {
    fn add(&mut self, other: Self) {
        self.planted += other.planted;
        self.shown += other.shown;
        self.leaked.extend(other.leaked);
        self.held_out += other.held_out;
    }
}

/// Where a text shows a token. Twelve of its characters are too many to be shown.
fn found(what: &str, text: &str) -> Option<String> {
    let shows = |secret: &str| (0..secret.len() - 12).any(|at| text.contains(&secret[at..at + 12]));
    [TOKEN, UNKNOWN].iter().any(|secret| shows(secret)).then(|| what.to_owned())
}

/// A run whose machine shows such a screen and in which the tokens are everywhere else too.
async fn one_screen(screen: &Screen) -> Trial {
    let (picture, places) = drawn(screen.windows);
    // In a file, in what a command prints, in a URL, and on the screen three times in each window; and in what people and
    // the model write: the task, words, a command, a claim and the summary.
    let planted = 3 + places.len() + 5;
    let mut trial = Trial { planted, ..Trial::default() };
    let (known, unknown) = (by_pieces(TOKEN), by_pieces(UNKNOWN));
    let command = format!(
        "T={known}; U={unknown}; echo two >> notes.txt && git commit -qam 'Add a note' && echo \"GITHUB_TOKEN=$T\" > \
         .git/env && cat .git/env && echo printed $T && git remote add site https://x:$T@git.example.org/o/r && git \
         remote -v && echo $U; echo {UNKNOWN} | wc -c"
    );
    let mut script = script(&command);
    script["turns"][0]["say"] = json!(format!("I use {TOKEN} and {UNKNOWN}."));
    script["turns"][1]["calls"][2]["input"]["claim"] = json!(format!("It prints {TOKEN}."));
    script["turns"][2]["calls"][0]["input"]["summary"] = json!(format!("It needs {UNKNOWN} and {TOKEN}."));
    let night = SiteNight::begin_on(script, Token::Personal, delivery(), SCREEN, Some(picture)).await;
    let run = night.submit(&format!("Add a note with {TOKEN}")).await;
    night.night.until(&run, "a delivery", |events| names(events).contains(&"pullRequestRouted")).await;
    for event in night.night.events(&run).await {
        trial.leaked.extend(found(event.body.name(), &serde_json::to_string(&event).unwrap()));
    }
    for opened in night.site.pull_requests("ada", "notes") {
        trial.leaked.extend(found("body", &opened.body));
        let urls = pictures(&opened.body);
        trial.shown += urls.len();
        for url in urls {
            let bytes = fetch(&url).await.expect("a picture of the body resolves");
            trial.leaked.extend(seen(&bytes, &places).await);
        }
    }
    if !screen.in_view {
        trial.held_out = trial.leaked.len();
    }
    trial
}

/// A shell's word for a token that is nowhere written as a whole, so that it is not taken out of the command.
fn by_pieces(token: &str) -> String {
    let pieces: Vec<&str> =
        (0..token.len()).step_by(6).map(|at| &token[at..token.len().min(at + 6)]).collect();
    pieces.iter().map(|piece| format!("'{piece}'")).collect()
}

/// What of the tokens can still be seen on a picture: where they were drawn, or by reading it again.
async fn seen(bytes: &[u8], places: &[(String, [u32; 4])]) -> Vec<String> {
    // The recording is smaller and in few colours: it is made of the same clean pictures.
    let Ok(pixels) = Pixels::decode(bytes) else { return Vec::new() };
    let mut open = Vec::new();
    for (look, [left, top, width, height]) in places {
        let all = (*top..top + height).flat_map(|y| (*left..left + width).map(move |x| (x, y)));
        let shown = all.filter(|&(x, y)| !pixels.is_covered(x, y)).count();
        if shown * 50 > (width * height) as usize {
            open.push(format!("screen, {look}: {shown} of {} pixels at {left},{top}", width * height));
        }
    }
    let reader = ScreenReader::find(std::env::var_os("PATH").as_deref()).expect("tesseract is installed");
    let words = reader.read(&pixels, 2).await.expect("a picture is read");
    let redactor = delivery().redactor;
    open.extend((!secret_areas(&words, &redactor).is_empty()).then(|| "screen, read again".to_owned()));
    open
}

/// Windows with tokens in them, and where those are: the look, and left, top, width, height.
fn drawn(windows: &[Look]) -> (Vec<u8>, Vec<(String, [u32; 4])>) {
    let mut pixels = Pixels::plain(SCREEN.0, SCREEN.1, [0x50, 0x60, 0x70]);
    let mut places = Vec::new();
    let height = SCREEN.1 / u32::try_from(windows.len()).unwrap();
    for (number, Look(font, size, ground, ink, left)) in (0..).zip(windows) {
        let top = number * height;
        for (x, y) in (top..top + height).flat_map(|y| (0..SCREEN.0).map(move |x| (x, y))) {
            pixels.set(x, y, *ground);
        }
        let bytes = std::fs::read(format!("{FONTS}/{font}.ttf")).expect("a font of fonts-dejavu-core");
        let face =
            fontdue::Font::from_bytes(Bytes::from(bytes).as_ref(), fontdue::FontSettings::default()).unwrap();
        let lines = [
            "$ cat .env".to_owned(),
            format!("GITHUB_TOKEN={TOKEN}"),
            format!("key {UNKNOWN}"),
            format!("https://x:{TOKEN}@git.example.org"),
            "14 passing (2s)".to_owned(),
        ];
        for (line, text) in (0_u16..).zip(&lines) {
            let baseline = top as f32 + 12.0 + (f32::from(line) + 1.0) * size * 1.35;
            let secret = [TOKEN, UNKNOWN].iter().find_map(|secret| Some((text.find(secret)?, secret.len())));
            let (mut x, mut from, mut to) = (*left as f32, 0.0, 0.0);
            for (index, character) in text.char_indices() {
                if secret.is_some_and(|(start, _)| start == index) {
                    from = x;
                }
                let (metrics, coverage) = face.rasterize(character, *size);
                blend(&mut pixels, (x, baseline), &metrics, &coverage, (*ground, *ink));
                x += metrics.advance_width;
                if secret.is_some_and(|(start, length)| index + 1 == start + length) {
                    to = x;
                }
            }
            assert!(to <= SCREEN.0 as f32, "{font} {size} leaves the screen");
            if secret.is_some() {
                // The letters themselves: from the height of a small letter to the line.
                let (top, height) = (baseline - size * 0.55, size * 0.5);
                let area = [from, top, to - from, height].map(|value| value as u32);
                places.push((format!("{font} {size} px"), area));
            }
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
