//! Looking for a colour in a picture, as a model that sees would look for a button.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::answer::Place;

/// Pictures with more pixels are not looked at.
const MAX_PIXELS: u64 = 64 * 1024 * 1024;

/// What is looked for.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Target {
    color: Color,
    /// How far each of red, green and blue may be off.
    #[serde(default)]
    tolerance: u8,
    /// The fewest pixels that count: edges of other things may have a few of the colour.
    #[serde(default)]
    area: usize,
    /// Added to the place that is found.
    #[serde(default)]
    offset: [i64; 2],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
struct Color([u8; 3]);

impl TryFrom<String> for Color {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, &'static str> {
        let digits = text.strip_prefix('#').filter(|digits| digits.len() == 6 && digits.is_ascii());
        let number = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
        let [_, red, green, blue] = number.ok_or("a colour is written #rrggbb")?.to_be_bytes();
        Ok(Self([red, green, blue]))
    }
}

/// Why no place was found. It reads as a sentence, because the model says it.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotFound {
    #[error("The script's $find is not valid: {0}.")]
    InvalidTarget(serde_json::Error),
    #[error("The request has no picture to look at.")]
    NoPicture,
    #[error("The newest picture is no PNG that can be read: {0}.")]
    Unreadable(png::DecodingError),
    #[error("The newest picture is too large to look at.")]
    TooLarge,
    #[error("The script's $step is not valid: {0}.")]
    InvalidStep(Value),
    #[error("The script's $feedback is no object: {0}.")]
    InvalidFeedback(Value),
    #[error("The colour #{:02x}{:02x}{:02x} is not in the newest picture.", .color[0], .color[1], .color[2])]
    NotThere { color: [u8; 3] },
}

/// A decoded picture, three bytes a pixel.
#[derive(Debug)]
struct Picture {
    width: usize,
    height: usize,
    pixels: Vec<[u8; 3]>,
}

/// What a script's input can speak of.
pub(super) struct Seen<'a> {
    /// The bytes of the newest picture, a PNG.
    pub(super) newest: Option<&'a [u8]>,
    /// Where the conversation is.
    pub(super) place: &'a Place,
}

/// Replaces each `{"$find": …}` in an input by the `[x, y]` of what it looks for in the newest picture, each
/// `{"$step": "TURN.CALL"}` by the step's real number, and each `{"$feedback": …}` by an answer to each piece of it.
pub(super) fn resolve(input: &Map<String, Value>, seen: &Seen<'_>) -> Result<Map<String, Value>, NotFound> {
    let mut picture = None;
    let mut input = input.clone();
    input.values_mut().try_for_each(|value| resolve_in(value, seen, &mut picture))?;
    Ok(input)
}

/// Whether `newest` shows what a script looks for.
pub(super) fn shows(target: &Value, newest: Option<&[u8]>) -> Result<(), NotFound> {
    let mut value = json!({ "$find": target });
    resolve_in(&mut value, &Seen { newest, place: &Place::default() }, &mut None)
}

/// The step that a script's `TURN.CALL` came to be.
fn step(given: &Value, turns: &[usize]) -> Option<Value> {
    let (turn, call) = given.as_str()?.split_once('.')?;
    let turn = turns.get(turn.parse::<usize>().ok()?.checked_sub(1)?)?;
    Some(json!(format!("{turn}.{call}")))
}

/// One answer for each piece of feedback.
fn answers(given: &Value, names: &[String]) -> Option<Value> {
    let given = given.as_object()?;
    let named = |name: &String| {
        let mut answer = given.clone();
        answer.insert("name".to_owned(), json!(name));
        answer
    };
    Some(names.iter().map(named).collect())
}

fn resolve_in(value: &mut Value, seen: &Seen<'_>, picture: &mut Option<Picture>) -> Result<(), NotFound> {
    match value {
        Value::Object(fields) => {
            if let Some(given) = fields.get("$step") {
                *value =
                    step(given, &seen.place.turns).ok_or_else(|| NotFound::InvalidStep(given.clone()))?;
                return Ok(());
            }
            if let Some(given) = fields.get("$feedback") {
                *value = answers(given, &seen.place.feedback)
                    .ok_or_else(|| NotFound::InvalidFeedback(given.clone()))?;
                return Ok(());
            }
            let Some(target) = fields.get("$find") else {
                return fields.values_mut().try_for_each(|value| resolve_in(value, seen, picture));
            };
            let target = Target::deserialize(target).map_err(NotFound::InvalidTarget)?;
            let picture = match picture {
                Some(picture) => picture,
                None => picture.insert(decode(seen.newest.ok_or(NotFound::NoPicture)?)?),
            };
            let (x, y) = picture.largest_blob(&target).ok_or(NotFound::NotThere { color: target.color.0 })?;
            *value = json!([x + target.offset[0], y + target.offset[1]]);
            Ok(())
        }
        Value::Array(values) => values.iter_mut().try_for_each(|value| resolve_in(value, seen, picture)),
        _ => Ok(()),
    }
}

fn decode(bytes: &[u8]) -> Result<Picture, NotFound> {
    let mut decoder = png::Decoder::new(std::io::Cursor::new(bytes));
    decoder.set_transformations(png::Transformations::normalize_to_color8());
    let mut reader = decoder.read_info().map_err(NotFound::Unreadable)?;
    let (width, height) = (reader.info().width, reader.info().height);
    let size = reader.output_buffer_size().filter(|_| u64::from(width) * u64::from(height) <= MAX_PIXELS);
    let mut buffer = vec![0; size.ok_or(NotFound::TooLarge)?];
    let frame = reader.next_frame(&mut buffer).map_err(NotFound::Unreadable)?;
    let samples = frame.color_type.samples();
    let rgb = |pixel: &[u8]| if samples < 3 { [pixel[0]; 3] } else { [pixel[0], pixel[1], pixel[2]] };
    let pixels = buffer[..frame.buffer_size()].chunks_exact(samples).map(rgb).collect();
    let edge = |edge: u32| usize::try_from(edge).map_err(|_| NotFound::TooLarge);
    Ok(Picture { width: edge(width)?, height: edge(height)?, pixels })
}

impl Picture {
    /// The centre of the box around the largest connected area of a colour. The box, because the middle of a button is
    /// also then the place to click when a label covers it.
    fn largest_blob(&self, target: &Target) -> Option<(i64, i64)> {
        let is_like = |pixel: &[u8; 3]| {
            pixel.iter().zip(target.color.0).all(|(value, wanted)| value.abs_diff(wanted) <= target.tolerance)
        };
        let mut unseen: Vec<bool> = self.pixels.iter().map(is_like).collect();
        let mut largest = (0, None);
        for start in 0..unseen.len() {
            if !unseen[start] {
                continue;
            }
            let (area, centre) = self.flood(start, &mut unseen);
            if area > largest.0 && area >= target.area {
                largest = (area, Some(centre));
            }
        }
        let (x, y) = largest.1?;
        Some((i64::try_from(x).ok()?, i64::try_from(y).ok()?))
    }

    /// Takes the area around `start` out of `unseen`; gives its size and the centre of its box.
    fn flood(&self, start: usize, unseen: &mut [bool]) -> (usize, (usize, usize)) {
        let (mut left, mut right, mut top, mut bottom) = (self.width, 0, self.height, 0);
        let mut area = 0;
        let mut waiting = vec![start];
        unseen[start] = false;
        while let Some(at) = waiting.pop() {
            let (x, y) = (at % self.width, at / self.width);
            (left, right, top, bottom) = (left.min(x), right.max(x), top.min(y), bottom.max(y));
            area += 1;
            for near_y in y.saturating_sub(1)..=(y + 1).min(self.height - 1) {
                for near_x in x.saturating_sub(1)..=(x + 1).min(self.width - 1) {
                    let near = near_y * self.width + near_x;
                    if std::mem::take(&mut unseen[near]) {
                        waiting.push(near);
                    }
                }
            }
        }
        (area, (usize::midpoint(left, right), usize::midpoint(top, bottom)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VIOLET: [u8; 3] = [0x7c, 0x3a, 0xed];

    /// A white picture of 60 × 40 with boxes `(left, top, right, bottom)` of a colour.
    fn picture(boxes: &[([u32; 4], [u8; 3])]) -> Vec<u8> {
        let mut pixels = vec![255; 60 * 40 * 3];
        for ([left, top, right, bottom], color) in boxes {
            for (x, y) in (*top..=*bottom).flat_map(|y| (*left..=*right).map(move |x| (x, y))) {
                let at = usize::try_from((y * 60 + x) * 3).unwrap();
                pixels[at..at + 3].copy_from_slice(color);
            }
        }
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, 60, 40);
        encoder.set_color(png::ColorType::Rgb);
        encoder.write_header().unwrap().write_image_data(&pixels).unwrap();
        bytes
    }

    /// The place, or the sentence that says why there is none.
    fn find(target: Value, picture: Option<&[u8]>) -> Result<Value, String> {
        let input = json!({"action": "left_click", "deep": [{"coordinate": {"$find": target}}]});
        let seen = Seen { newest: picture, place: &Place::default() };
        let found = resolve(input.as_object().unwrap(), &seen);
        found.map(|input| input["deep"][0]["coordinate"].clone()).map_err(|error| error.to_string())
    }

    #[test]
    fn the_centre_of_the_largest_blob_is_found() {
        let picture = picture(&[([1, 1, 5, 5], VIOLET), ([20, 10, 40, 20], VIOLET)]);
        assert_eq!(find(json!({"color": "#7c3aed"}), Some(&picture)), Ok(json!([30, 15])));
    }

    #[test]
    fn a_label_on_a_button_does_not_move_its_centre() {
        let picture = picture(&[([20, 10, 40, 20], VIOLET), ([22, 12, 33, 18], [255, 255, 255])]);
        assert_eq!(find(json!({"color": "#7c3aed", "offset": [-3, 4]}), Some(&picture)), Ok(json!([27, 19])));
    }

    #[test]
    fn a_shade_within_the_tolerance_counts_and_one_beyond_does_not() {
        let picture = picture(&[([20, 10, 40, 20], [0x7c + 12, 0x3a, 0xed])]);
        assert_eq!(find(json!({"color": "#7c3aed", "tolerance": 12}), Some(&picture)), Ok(json!([30, 15])));
        assert_eq!(
            find(json!({"color": "#7c3aed", "tolerance": 11}), Some(&picture)),
            Err("The colour #7c3aed is not in the newest picture.".to_owned())
        );
    }

    #[test]
    fn a_few_pixels_of_the_colour_are_no_blob_of_the_area_asked_for() {
        let picture = picture(&[([20, 10, 22, 12], VIOLET)]);
        assert!(shows(&json!({"color": "#7c3aed", "area": 9}), Some(&picture)).is_ok());
        assert!(shows(&json!({"color": "#7c3aed", "area": 10}), Some(&picture)).is_err());
    }

    /// The input in a conversation whose first two turns are 1 and 4, and that has feedback of these names.
    fn resolved(input: &Value, names: &[&str]) -> Result<Value, String> {
        let feedback = names.iter().map(|name| (*name).to_owned()).collect();
        let place = Place { turns: vec![1, 4], looks: 0, feedback };
        let found = resolve(input.as_object().unwrap(), &Seen { newest: None, place: &place });
        found.map(Value::Object).map_err(|error| error.to_string())
    }

    #[test]
    fn a_scripted_step_becomes_the_step_it_really_was() {
        let input = json!({"step": {"$step": "2.3"}, "claim": "x"});
        assert_eq!(resolved(&input, &[]), Ok(json!({"step": "4.3", "claim": "x"})));
        let missing = resolved(&json!({"step": {"$step": "3.1"}}), &[]);
        assert_eq!(missing, Err("The script's $step is not valid: \"3.1\".".to_owned()));
    }

    #[test]
    fn each_piece_of_feedback_is_answered_by_its_name() {
        let input = json!({"answers": {"$feedback": {"words": "Done.", "settled": true}}});
        let answer = |name| json!({"name": name, "words": "Done.", "settled": true});
        assert_eq!(resolved(&input, &["f1", "f2"]), Ok(json!({"answers": [answer("f1"), answer("f2")]})));
        assert_eq!(resolved(&input, &[]), Ok(json!({"answers": []})));
        let odd = resolved(&json!({"answers": {"$feedback": "Done."}}), &["f1"]);
        assert_eq!(odd, Err("The script's $feedback is no object: \"Done.\".".to_owned()));
    }

    #[test]
    fn a_place_cannot_be_found_without_a_picture() {
        let black = json!({"color": "#000000"});
        assert_eq!(find(black.clone(), None), Err("The request has no picture to look at.".to_owned()));
        let garbled = find(black, Some(b"\x89PNG")).unwrap_err();
        assert!(garbled.starts_with("The newest picture is no PNG"), "{garbled}");
    }
}
