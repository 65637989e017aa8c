//! A short recording: one picture after the other.

use super::Pixels;

/// Width of the recording in pixels, at most.
const WIDTH: u32 = 640;

/// How long each picture is shown, in hundredths of a second; the last one longer.
const SHOWN: u16 = 120;

/// A recording larger than this is not kept, in bytes.
const LARGEST: usize = 8 << 20;

/// One picture of a recording.
#[derive(Debug)]
pub(crate) struct RecordingFrame(pub(crate) Pixels);

/// Makes a GIF that repeats for ever. `None` where there is nothing to see moving, or it became too large.
pub(crate) fn record(frames: &[RecordingFrame]) -> Option<Vec<u8>> {
    let small: Vec<Pixels> = frames.iter().map(|frame| frame.0.shrunk(WIDTH)).collect();
    let (first, rest) = small.split_first()?;
    let (width, height) = first.size();
    if rest.is_empty() || rest.iter().any(|one| one.size() != first.size()) {
        return None;
    }
    let (width, height) = (u16::try_from(width).ok()?, u16::try_from(height).ok()?);
    let mut bytes = Vec::new();
    let mut encoder = gif::Encoder::new(&mut bytes, width, height, &[]).ok()?;
    encoder.set_repeat(gif::Repeat::Infinite).ok()?;
    for (number, one) in (1..).zip(&small) {
        // 10 of 30: colours of a desktop are few, and a better palette takes several times as long.
        let mut frame = gif::Frame::from_rgb_speed(width, height, one.rgb(), 10);
        frame.delay = if number == small.len() { SHOWN * 2 } else { SHOWN };
        encoder.write_frame(&frame).ok()?;
    }
    drop(encoder);
    (bytes.len() <= LARGEST).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(colour: u8, width: u32) -> RecordingFrame {
        RecordingFrame(Pixels::plain(width, 100, [colour; 3]))
    }

    #[test]
    fn frames_become_a_small_moving_picture() {
        let bytes = record(&[frame(0, 1280), frame(255, 1280)]).unwrap();
        assert!(bytes.starts_with(b"GIF89a"));
        assert_eq!(&bytes[6..8], &640_u16.to_le_bytes());
    }

    #[test]
    fn one_picture_or_pictures_of_other_sizes_are_no_recording() {
        assert_eq!(record(&[frame(0, 640)]), None);
        assert_eq!(record(&[frame(0, 640), frame(0, 320)]), None);
    }
}
