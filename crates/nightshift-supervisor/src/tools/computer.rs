//! Screen, pointer and keyboard.

use std::time::Duration;

use nightshift_agent::{ClickCount, ComputerAction, MouseButton, Region, ScrollDirection};
use nightshift_channel::{Command, GuestUser, Input, JobStatus};
use nightshift_protocol::{Image, Reconciled, ResultPart};
use nightshift_sandbox::Acceleration;
use nightshift_screen::{Button, Frame, InputError, KeyChord, Point, Rect, Repeats, Scroll, SettleLimits, TypeError};

use super::{Bench, StepEnd, StepTrouble};
use crate::progress::Intention;

/// How long things take on the sandbox's screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pace {
    /// At the processor's speed.
    Native,
    /// Under emulation: several times slower.
    Emulated,
}

impl Pace {
    pub(crate) fn of(acceleration: Acceleration) -> Self {
        match acceleration {
            Acceleration::Kvm => Self::Native,
            Acceleration::Tcg => Self::Emulated,
        }
    }

    /// When the screen counts as settled after an action.
    fn limits(self) -> SettleLimits {
        // Something small that keeps moving (a spinner in a tab) is not waited for.
        let repeats = Repeats::Ignore { area: 64 * 64, times: 8 };
        match self {
            Self::Native => SettleLimits { repeats, ..SettleLimits::default() },
            Self::Emulated => SettleLimits {
                quiet: Duration::from_millis(350),
                grace: Duration::from_millis(1_800),
                ceiling: Duration::from_secs(10),
                repeats,
            },
        }
    }
}

/// Whether an action may be done a second time without harm.
fn is_repeatable(action: &ComputerAction) -> bool {
    match action {
        ComputerAction::Screenshot
        | ComputerAction::Zoom { .. }
        | ComputerAction::MouseMove { .. }
        | ComputerAction::Wait { .. }
        | ComputerAction::CursorPosition => true,
        ComputerAction::Click { .. }
        | ComputerAction::Drag { .. }
        | ComputerAction::LeftMouseDown
        | ComputerAction::LeftMouseUp
        | ComputerAction::Scroll { .. }
        | ComputerAction::Type { .. }
        | ComputerAction::Key { .. }
        | ComputerAction::HoldKey { .. } => false,
    }
}

pub(super) async fn act(
    bench: &Bench,
    action: &ComputerAction,
    intention: &Intention,
) -> Result<StepEnd, StepTrouble> {
    let begun_before = matches!(intention, Intention::Open(_));
    if begun_before && !is_repeatable(action) {
        let said = "Nightshift was restarted while this action was under way: it may or may not have happened. It was \
            not repeated. This is the screen now.";
        let mut end = picture(bench, Some(said)).await?;
        end.reconciled = Some(Reconciled::Unknown);
        return Ok(end);
    }
    let mut end = match action {
        ComputerAction::Screenshot => picture(bench, None).await?,
        ComputerAction::Zoom { region } => zoom(bench, *region).await?,
        ComputerAction::CursorPosition => {
            let at = bench.desk.screen.pointer();
            StepEnd::done(format!("The pointer is at {},{}.", at.x, at.y))
        }
        ComputerAction::Wait { duration_ms } => {
            tokio::time::sleep(Duration::from_millis(*duration_ms)).await;
            picture(bench, None).await?
        }
        _ => {
            let mut damage = bench.desk.screen.damage();
            match perform(bench, action).await {
                Ok(()) => {
                    damage.settle(bench.pace.limits()).await.map_err(|error| cut(&error))?;
                    picture(bench, None).await?
                }
                Err(Refused::Input(InputError::Ended(error))) => return Err(cut(&error)),
                Err(refused) => StepEnd::failed(format!("{refused}.")),
            }
        }
    };
    end.reconciled = begun_before.then_some(Reconciled::NotBegun);
    Ok(end)
}

/// An action was not done.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error(transparent)]
    Input(#[from] InputError),
    #[error("{0}")]
    Guest(String),
}

async fn perform(bench: &Bench, action: &ComputerAction) -> Result<(), Refused> {
    let screen = &bench.desk.screen;
    let chord = |keys: &str| keys.parse::<KeyChord>().map_err(InputError::from);
    let held = |modifiers: &Option<String>| modifiers.as_deref().map(chord).transpose();
    match action {
        ComputerAction::MouseMove { to } => screen.pointer_move(point(*to)).await?,
        ComputerAction::Click { button, count, at, modifiers } => {
            let at = at.map_or_else(|| screen.pointer(), point);
            let count = match count {
                ClickCount::Single => 1,
                ClickCount::Double => 2,
                ClickCount::Triple => 3,
            };
            let held = held(modifiers)?;
            screen.holding(held.as_ref(), screen.click(at, self::button(*button), count)).await?;
        }
        ComputerAction::Drag { from, to, modifiers } => {
            let held = held(modifiers)?;
            screen.holding(held.as_ref(), screen.drag(point(*from), point(*to))).await?;
        }
        ComputerAction::LeftMouseDown => screen.press(Button::Left).await?,
        ComputerAction::LeftMouseUp => screen.release(Button::Left).await?,
        ComputerAction::Scroll { at, direction, notches, modifiers } => {
            let at = at.map_or_else(|| screen.pointer(), point);
            let direction = match direction {
                ScrollDirection::Up => Scroll::Up,
                ScrollDirection::Down => Scroll::Down,
                ScrollDirection::Left => Scroll::Left,
                ScrollDirection::Right => Scroll::Right,
            };
            let held = held(modifiers)?;
            screen.holding(held.as_ref(), screen.scroll(at, direction, u32::from(*notches))).await?;
        }
        ComputerAction::Type { text } => match screen.type_text(text).await {
            Ok(()) => {}
            Err(TypeError::NotOnKeyboard { .. }) => type_through_guest(bench, text).await?,
            Err(TypeError::Input(error)) => return Err(error.into()),
        },
        ComputerAction::Key { keys } => screen.key(&chord(keys)?).await?,
        ComputerAction::HoldKey { keys, duration_ms } => {
            screen.hold_key(&chord(keys)?, Duration::from_millis(*duration_ms)).await?;
        }
        ComputerAction::Screenshot
        | ComputerAction::Zoom { .. }
        | ComputerAction::Wait { .. }
        | ComputerAction::CursorPosition => {}
    }
    Ok(())
}

/// Types what the keyboard has no key for: the guest's X server is told the characters themselves.
async fn type_through_guest(bench: &Bench, text: &str) -> Result<(), Refused> {
    let refused = |error: String| Refused::Guest(format!("the text could not be typed: {error}"));
    let job = bench.small_job("type");
    let command = Command::shell(job.clone(), "exec xdotool type --delay 12 --file -")
        .user(GuestUser::Agent)
        .input(Input::Bytes(text.as_bytes().to_vec()))
        .time_limit(Duration::from_secs(120));
    let started = bench.desk.channel.start(command).await.map_err(|error| refused(error.to_string()))?;
    let completed = started.collect(4_096).await.map_err(|error| refused(error.to_string()))?;
    let _forgotten = bench.desk.channel.forget(&job).await;
    if completed.exit.status == JobStatus::Code(0) {
        Ok(())
    } else {
        Err(refused(String::from_utf8_lossy(&completed.stderr).trim().to_owned()))
    }
}

fn point(point: nightshift_agent::Point) -> Point {
    Point { x: point.x, y: point.y }
}

fn button(button: MouseButton) -> Button {
    match button {
        MouseButton::Left => Button::Left,
        MouseButton::Right => Button::Right,
        MouseButton::Middle => Button::Middle,
    }
}

async fn picture(bench: &Bench, said: Option<&str>) -> Result<StepEnd, StepTrouble> {
    let frame = bench.desk.screen.frame().map_err(|error| cut(&error))?;
    let mut end = show(bench, frame).await?;
    if let Some(said) = said {
        end.content.insert(0, ResultPart::Text { text: said.to_owned() });
    }
    Ok(end)
}

async fn zoom(bench: &Bench, region: Region) -> Result<StepEnd, StepTrouble> {
    let frame = bench.desk.screen.frame().map_err(|error| cut(&error))?;
    let rect = Rect::new(region.left, region.top, region.right - region.left, region.bottom - region.top);
    match rect.map(|rect| frame.region(rect)) {
        Some(Ok(part)) => show(bench, part).await,
        Some(Err(outside)) => Ok(StepEnd::failed(format!("{outside}."))),
        None => Ok(StepEnd::failed("The region has no pixel in it.")),
    }
}

async fn show(bench: &Bench, frame: Frame) -> Result<StepEnd, StepTrouble> {
    let (width, height) = (frame.size().width(), frame.size().height());
    let encoded = tokio::task::spawn_blocking(move || frame.encode_png())
        .await
        .map_err(|error| StepTrouble::Host(crate::trouble::internal("encoding a screenshot", &error)))?
        .map_err(|error| StepTrouble::Host(crate::trouble::internal("encoding a screenshot", &error)))?;
    let artifact = bench.keep(encoded, "image/png").await?;
    let image = Image { artifact, media_type: "image/png".to_owned(), width, height };
    let mut end = StepEnd::done("");
    end.content = vec![ResultPart::Image { image }];
    Ok(end)
}

fn cut(error: &dyn std::fmt::Display) -> StepTrouble {
    StepTrouble::Cut(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_looks_may_be_done_again_and_what_acts_may_not() {
        assert!(is_repeatable(&ComputerAction::Screenshot));
        assert!(is_repeatable(&ComputerAction::Wait { duration_ms: 10 }));
        assert!(!is_repeatable(&ComputerAction::Key { keys: "Return".to_owned() }));
        assert!(!is_repeatable(&ComputerAction::Type { text: "rm -r x".to_owned() }));
    }

    #[test]
    fn an_emulated_screen_is_waited_for_longer() {
        assert!(Pace::of(Acceleration::Tcg).limits().quiet > Pace::of(Acceleration::Kvm).limits().quiet);
    }
}
