//! Tools as plain functions, for models that were trained on no form of ours.

use nightshift_protocol::ToolDefinition;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// A tool's name, what it does, and the schema of its input.
pub(crate) fn plain(tool: &ToolDefinition) -> (&str, &str, &Value) {
    match tool {
        ToolDefinition::Function { name, description, schema } => (name, description, schema),
        ToolDefinition::Shell { description, schema } => ("shell", description, schema),
        ToolDefinition::Editor { description, schema } => ("edit", description, schema),
        ToolDefinition::Computer { description, schema, .. } => ("computer", description, schema),
    }
}

/// What a model's coordinates mean.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Coordinates {
    /// Pixels of the picture it was shown.
    #[default]
    Pixels,
    /// From 0 to 1000 in both directions, whatever the picture's size, as the Qwen-VL models were trained.
    Thousandths,
}

/// The description of a tool whose coordinates are pixels.
pub(crate) fn in_pixels(tool: &ToolDefinition, description: &str) -> String {
    described(tool, description, Coordinates::Pixels)
}

/// The description of a tool, with what its coordinates mean.
pub(crate) fn described(tool: &ToolDefinition, description: &str, coordinates: Coordinates) -> String {
    let ToolDefinition::Computer { width, height, .. } = tool else { return description.to_owned() };
    match coordinates {
        Coordinates::Pixels => format!(
            "{description} Coordinates are pixels of the whole screen, {width} by {height}, from its top left corner; \
             one outside the screen is refused."
        ),
        Coordinates::Thousandths => format!(
            "{description} Coordinates run from 0 to 1000 over the whole screen in both directions, from its top left \
             corner; one outside is refused."
        ),
    }
}

/// The input of a `computer` call with its coordinates as pixels of a screen. Those outside the model's space come
/// out outside the screen, where they are refused: nothing is clamped.
pub(crate) fn to_pixels(mut input: Value, coordinates: Coordinates, (width, height): (u32, u32)) -> Value {
    if coordinates == Coordinates::Pixels {
        return input;
    }
    for field in ["coordinate", "start_coordinate", "region"] {
        let Some(Value::Array(numbers)) = input.get_mut(field) else { continue };
        for (index, number) in numbers.iter_mut().enumerate() {
            let size = f64::from(if index % 2 == 0 { width } else { height });
            // The last column of pixels is at 1000; the end of a region lies behind it.
            let last = if field == "region" && index >= 2 { size } else { size - 1.0 };
            if let Some(thousandths) = number.as_f64() {
                // Rounded and far within what the type holds, since the factor is at most a screen.
                *number = json!((thousandths.clamp(-1e6, 1e6) * last / 1000.0).round() as i64);
            }
        }
    }
    input
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SCREEN: (u32, u32) = (1280, 800);

    fn pixels(input: Value) -> Value {
        to_pixels(input, Coordinates::Thousandths, SCREEN)
    }

    #[test]
    fn the_corners_of_the_model_s_space_are_those_of_the_screen() {
        let corners =
            json!({"action": "left_click_drag", "start_coordinate": [0, 0], "coordinate": [1000, 1000]});
        assert_eq!(
            pixels(corners),
            json!({"action": "left_click_drag", "start_coordinate": [0, 0], "coordinate": [1279, 799]})
        );
        assert_eq!(pixels(json!({"region": [0, 0, 1000, 1000]})), json!({"region": [0, 0, 1280, 800]}));
    }

    #[test]
    fn pixels_and_nonsense_are_left_as_they_are() {
        let input = json!({"action": "left_click", "coordinate": [3, 4]});
        assert_eq!(to_pixels(input.clone(), Coordinates::Pixels, SCREEN), input);
        let odd = json!({"action": "left_click", "coordinate": ["left", null]});
        assert_eq!(pixels(odd.clone()), odd);
    }

    proptest! {
        #[test]
        fn what_is_inside_stays_inside_and_what_is_outside_stays_outside(x in -2000_i64..3000, y in -2000_i64..3000) {
            let found = pixels(json!({"coordinate": [x, y]}));
            let at = |index: usize| found["coordinate"][index].as_i64().unwrap();
            for (given, found, size) in [(x, at(0), 1280), (y, at(1), 800)] {
                if (0..=1000).contains(&given) {
                    prop_assert!((0..size).contains(&found));
                } else if !(-1..=1001).contains(&given) {
                    prop_assert!(!(0..size).contains(&found), "{given} became {found}");
                }
            }
        }
    }
}
