//! What a screenshot costs: ours from shared memory, QEMU's own, and a program's inside the guest.

use std::time::{Duration, Instant};

use async_trait::async_trait;
use nightshift_channel::GuestUser;
use nightshift_supervisor::shell;
use serde_json::json;

use crate::bench::{Bar, Bench, BenchError, Measure, Samples};
use crate::ground::{Ground, say};
use crate::monitor::Monitor;

const SCREENSHOT: &str = "screenshot_ms";
const SCREENDUMP: &str = "screendump_ms";
const IN_GUEST: &str = "in_guest_ms";
const SCREENDUMP_RATIO: &str = "screendump_ratio";
const IN_GUEST_RATIO: &str = "in_guest_ratio";
const CHANGED_REGION: &str = "changed_region_ms";
const BYTES: &str = "screenshot_kb";

const MEASURES: &[Measure] = &[
    Measure {
        name: SCREENSHOT,
        about: "call to encoded screenshot",
        unit: "ms",
        bar: Some(Bar::AtMost(20.0)),
    },
    Measure { name: BYTES, about: "its size", unit: "KB", bar: None },
    Measure { name: SCREENDUMP, about: "QEMU's screendump, PNG", unit: "ms", bar: None },
    Measure {
        name: SCREENDUMP_RATIO,
        about: "screendump / ours",
        unit: "times",
        bar: Some(Bar::AtLeast(5.0)),
    },
    Measure { name: IN_GUEST, about: "a program in the guest, PNG", unit: "ms", bar: None },
    Measure {
        name: IN_GUEST_RATIO,
        about: "in the guest / ours",
        unit: "times",
        bar: Some(Bar::AtLeast(20.0)),
    },
    Measure {
        name: CHANGED_REGION,
        about: "asking what changed, without comparing",
        unit: "ms",
        bar: Some(Bar::AtMost(1.0)),
    },
];

/// Takes the root window's picture from the X server and writes it as a PNG: what a screenshot program does, with what
/// is in every sandbox. XGetImage(3), format ZPixmap; the structure's layout is that of `XImage` in X11/Xlib.h.
const IN_GUEST_PROGRAM: &str = r#"cat >/tmp/grab.py <<'END'
import ctypes, struct, zlib
x = ctypes.CDLL("libX11.so.6")
x.XOpenDisplay.restype = ctypes.c_void_p
x.XDefaultRootWindow.argtypes = [ctypes.c_void_p]
x.XDefaultRootWindow.restype = ctypes.c_ulong
class Image(ctypes.Structure):
    _fields_ = [("width", ctypes.c_int), ("height", ctypes.c_int), ("xoffset", ctypes.c_int), ("format", ctypes.c_int), ("data", ctypes.c_void_p)]
x.XGetImage.restype = ctypes.POINTER(Image)
x.XGetImage.argtypes = [ctypes.c_void_p, ctypes.c_ulong, ctypes.c_int, ctypes.c_int, ctypes.c_uint, ctypes.c_uint, ctypes.c_ulong, ctypes.c_int]
display = x.XOpenDisplay(b":0")
width, height = 1280, 800
image = x.XGetImage(display, x.XDefaultRootWindow(display), 0, 0, width, height, 0xffffffff, 2).contents
pixels = ctypes.string_at(image.data, width * height * 4)
rgb = bytearray(width * height * 3)
rgb[0::3], rgb[1::3], rgb[2::3] = pixels[2::4], pixels[1::4], pixels[0::4]
rows = b"".join(b"\0" + rgb[y * width * 3:(y + 1) * width * 3] for y in range(height))
def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
with open("/tmp/grab.png", "wb") as file:
    file.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)) + chunk(b"IDAT", zlib.compress(rows, 1)) + chunk(b"IEND", b""))
END"#;
const LIMIT: Duration = Duration::from_secs(60);
const DUMP: &str = "dump.png";

/// See the module.
pub(crate) struct ScreenBench;

#[async_trait]
impl Bench for ScreenBench {
    fn name(&self) -> &'static str {
        "screen"
    }

    fn about(&self) -> &'static str {
        "a screenshot from shared memory, against QEMU's screendump and a program inside the guest"
    }

    fn measures(&self) -> &'static [Measure] {
        MEASURES
    }

    async fn run(&self, ground: &Ground) -> Result<Samples, BenchError> {
        let template = ground.template().await?;
        let (desk, _facts) = ground.clone_of(&template).await?;
        let folder = ground.sandboxes().join(desk.machine.sandbox().as_str());
        let (screen, channel) = (desk.screen.clone(), desk.channel.clone());
        // QEMU's monitor serves one connection: the driver's ends with the last handle of the machine.
        drop(desk);
        let mut monitor = Monitor::connect(&folder).await?;
        shell(&channel, "grab-program", IN_GUEST_PROGRAM, GuestUser::Agent, LIMIT).await?;

        let mut samples = Samples::default();
        for round in 0..=ground.samples() {
            say(&format!("round {round} of {}", ground.samples()));
            let began = Instant::now();
            let frame = screen.frame().await.map_err(BenchError::during("taking a screenshot"))?;
            let png = frame.encode_png().map_err(BenchError::during("encoding a screenshot"))?;
            let ours = began.elapsed();

            let began = Instant::now();
            let changes = screen.tiles_since(frame.generation().saturating_sub(1));
            let asked = began.elapsed();
            if changes.is_none() {
                return Err(BenchError::Unexpected("the screen is dark".to_owned()));
            }

            let began = Instant::now();
            monitor.ask("screendump", json!({ "filename": DUMP, "format": "png" })).await?;
            let dumped =
                std::fs::read(folder.join(DUMP)).map_err(BenchError::io("reading QEMU's screendump"))?;
            let dump = began.elapsed();

            let began = Instant::now();
            let job = format!("grab-{round}");
            shell(&channel, &job, "exec python3 /tmp/grab.py", GuestUser::Agent, LIMIT).await?;
            let grabbed = channel
                .read_file("/tmp/grab.png", 16 << 20)
                .await
                .map_err(BenchError::during("reading the guest's picture"))?;
            let in_guest = began.elapsed();
            for (name, picture) in [("screendump", &dumped), ("the guest", &grabbed)] {
                same_picture(name, &frame.rgb(), picture)?;
            }
            // The first round finds all caches cold.
            if round == 0 {
                continue;
            }
            samples.add_time(SCREENSHOT, ours);
            samples.add(BYTES, png.len() as f64 / 1000.0);
            samples.add_time(CHANGED_REGION, asked);
            samples.add_time(SCREENDUMP, dump);
            samples.add_time(IN_GUEST, in_guest);
            samples.add(SCREENDUMP_RATIO, dump.as_secs_f64() / ours.as_secs_f64());
            samples.add(IN_GUEST_RATIO, in_guest.as_secs_f64() / ours.as_secs_f64());
        }
        Ok(samples)
    }
}

/// Fails unless a PNG shows what we saw, but for little: the clock, and the pointer.
fn same_picture(whose: &str, ours: &[u8], png: &[u8]) -> Result<(), BenchError> {
    let unreadable =
        |error: png::DecodingError| BenchError::during(format!("reading the picture of {whose}"))(error);
    let mut reader = png::Decoder::new(std::io::Cursor::new(png)).read_info().map_err(unreadable)?;
    let mut pixels = vec![0; reader.output_buffer_size().unwrap_or(0)];
    let info = reader.next_frame(&mut pixels).map_err(unreadable)?;
    let theirs: Vec<u8> = match info.color_type {
        png::ColorType::Rgba => pixels.chunks_exact(4).flat_map(|pixel| pixel[..3].to_vec()).collect(),
        _ => pixels,
    };
    let differing = ours.iter().zip(&theirs).filter(|(ours, theirs)| ours != theirs).count();
    if ours.len() != theirs.len() || differing > ours.len() / 50 {
        return Err(BenchError::Unexpected(format!(
            "{whose} shows another picture: {differing} bytes differ"
        )));
    }
    Ok(())
}
