//! Screen, pointer and keyboard.

use std::time::Duration;

use nightshift_agent::{ClickCount, ComputerAction, MouseButton, Region, ScrollDirection};
use nightshift_channel::{Command, GuestUser, Input, JobId, JobStatus, StartJobError};
use nightshift_protocol::{Image, Reconciled, ResultPart};
use nightshift_screen::{
    Button, Clicks, Frame, Gesture, GestureRefused, InputError, KeyError, NotOnKeyboard, Point, Rect, Scroll,
};

use super::{Bench, StepEnd, StepTrouble};
use crate::desk::Desk;
use crate::progress::Intention;

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

/// Whether an action may take long enough for a person to interrupt it.
fn takes_long(action: &ComputerAction) -> bool {
    matches!(action, ComputerAction::HoldKey { .. } | ComputerAction::Type { .. })
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
        ComputerAction::CursorPosition => match bench.desk.screen.pointer() {
            Some(at) => StepEnd::done(format!("The pointer is at {},{}.", at.x, at.y)),
            None => StepEnd::done("The pointer was not moved yet."),
        },
        ComputerAction::Wait { duration_ms } => {
            let mut interrupt = bench.interrupt.clone();
            tokio::select! {
                () = tokio::time::sleep(Duration::from_millis(*duration_ms)) => picture(bench, None).await?,
                () = interrupt.wished() => picture(bench, Some("(interrupted by the person)")).await?,
            }
        }
        ComputerAction::MouseMove { .. }
        | ComputerAction::Click { .. }
        | ComputerAction::Drag { .. }
        | ComputerAction::LeftMouseDown
        | ComputerAction::LeftMouseUp
        | ComputerAction::Scroll { .. }
        | ComputerAction::Type { .. }
        | ComputerAction::Key { .. }
        | ComputerAction::HoldKey { .. } => {
            let mut damage = bench.desk.screen.damage();
            let mut interrupt = bench.interrupt.clone();
            let job = |what: &str| bench.small_job(what);
            let performed = tokio::select! {
                performed = perform(&bench.desk, &job, action) => Some(performed),
                // Keys that are held are let go; a text that is pasted may still come.
                () = interrupt.wished(), if takes_long(action) => None,
            };
            match performed {
                None => picture(bench, Some("(interrupted by the person: it may be done in part)")).await?,
                Some(Ok(())) => {
                    bench.desk.settle(&mut damage).await.map_err(|error| cut(&error))?;
                    picture(bench, None).await?
                }
                Some(Err(Refused::Ended(what))) => return Err(StepTrouble::Cut(what)),
                Some(Err(refused)) => StepEnd::failed(format!("Nothing was done: {refused}.")),
            }
        }
    };
    end.reconciled = begun_before.then_some(Reconciled::NotBegun);
    Ok(end)
}

/// An action was not done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refused {
    #[error("{0}")]
    Keys(#[from] KeyError),
    #[error("{0}")]
    Gesture(#[from] GestureRefused),
    #[error("{0}")]
    Input(InputError),
    #[error("the screen is gone: {0}")]
    Ended(String),
    #[error("the pointer was not moved yet, so a coordinate is needed")]
    NoPointer,
    #[error("the text could not be typed: {0}")]
    Guest(String),
}

impl From<InputError> for Refused {
    fn from(error: InputError) -> Self {
        match error {
            InputError::Ended(ended) => Self::Ended(ended.to_string()),
            other => Self::Input(other),
        }
    }
}

/// Names what is done in the guest for an action.
pub(crate) type NameJob<'a> = &'a (dyn Fn(&str) -> JobId + Sync);

/// Does with mouse and keyboard what an action says; those that only look do nothing here.
pub(crate) async fn perform(desk: &Desk, job: NameJob<'_>, action: &ComputerAction) -> Result<(), Refused> {
    if let ComputerAction::Type { text } = action {
        return type_text(desk, job, text).await;
    }
    match gesture(action, desk.screen.pointer())? {
        Some(gesture) => Ok(desk.screen.perform(gesture).await?),
        None => Ok(()),
    }
}

/// What mouse and keyboard do for an action; `None` for actions that do nothing with them.
fn gesture(action: &ComputerAction, pointer: Option<Point>) -> Result<Option<Gesture>, Refused> {
    let place = |at: &Option<nightshift_agent::Point>| at.map(point).or(pointer).ok_or(Refused::NoPointer);
    let holding = |gesture: Gesture, modifiers: &Option<String>| -> Result<Gesture, Refused> {
        Ok(match modifiers {
            Some(keys) => gesture.holding(&keys.parse()?),
            None => gesture,
        })
    };
    Ok(Some(match action {
        ComputerAction::MouseMove { to } => Gesture::pointer_move(point(*to)),
        ComputerAction::Click { button, count, at, modifiers } => {
            let button = match button {
                MouseButton::Left => Button::Left,
                MouseButton::Right => Button::Right,
                MouseButton::Middle => Button::Middle,
            };
            let clicks = match count {
                ClickCount::Single => Clicks::Single,
                ClickCount::Double => Clicks::Double,
                ClickCount::Triple => Clicks::Triple,
            };
            holding(Gesture::click(place(at)?, button, clicks), modifiers)?
        }
        ComputerAction::Drag { from, to, modifiers } => {
            holding(Gesture::drag(point(*from), point(*to), Button::Left), modifiers)?
        }
        ComputerAction::LeftMouseDown => Gesture::press(Button::Left),
        ComputerAction::LeftMouseUp => Gesture::release(Button::Left),
        ComputerAction::Scroll { at, direction, notches, modifiers } => {
            let direction = match direction {
                ScrollDirection::Up => Scroll::Up,
                ScrollDirection::Down => Scroll::Down,
                ScrollDirection::Left => Scroll::Left,
                ScrollDirection::Right => Scroll::Right,
            };
            holding(Gesture::scroll(place(at)?, direction, u32::from(*notches))?, modifiers)?
        }
        ComputerAction::Key { keys } => Gesture::key(&keys.parse()?),
        ComputerAction::HoldKey { keys, duration_ms } => {
            Gesture::hold_key(&keys.parse()?, Duration::from_millis(*duration_ms))?
        }
        ComputerAction::Type { .. }
        | ComputerAction::Screenshot
        | ComputerAction::Zoom { .. }
        | ComputerAction::Wait { .. }
        | ComputerAction::CursorPosition => return Ok(None),
    }))
}

/// Types text by the keyboard, and pastes the parts between line ends and tabs that have a character without a key.
async fn type_text(desk: &Desk, job: NameJob<'_>, text: &str) -> Result<(), Refused> {
    if let Ok(gesture) = Gesture::text(text) {
        return Ok(desk.screen.perform(gesture).await?);
    }
    for (number, part) in text.split_inclusive(['\n', '\t']).enumerate() {
        let end = part.find(['\n', '\t']).unwrap_or(part.len());
        // A line end is the Return key: pasted, it would not submit a form.
        for part in [&part[..end], &part[end..]] {
            match Gesture::text(part) {
                Ok(_) if part.is_empty() => {}
                Ok(gesture) => desk.screen.perform(gesture).await?,
                Err(NotOnKeyboard { .. }) => paste(desk, job(&format!("type-{number}")), part).await?,
            }
        }
    }
    Ok(())
}

/// Puts standard input into both selections of the X server: Shift+Insert pastes the clipboard in browsers and toolkits,
/// and the primary selection in terminals. Nothing of it waits for ever.
const SELECT: &str = r#"umask 077; text=$(mktemp) && cat >"$text" \
    && timeout 10 xsel --clipboard --input <"$text" && timeout 10 xsel --primary --input <"$text"
status=$?; rm -f "$text"; exit $status"#;

/// Pastes what the keyboard has no key for. A program that changes the keyboard's map for each such character loses
/// some of them in browsers, which read the map late; what was in the clipboard before is lost instead. The guest starts a command once by its id, so each part of a text has a number.
async fn paste(desk: &Desk, job: JobId, text: &str) -> Result<(), Refused> {
    let command = Command::shell(job.clone(), SELECT)
        .user(GuestUser::Agent)
        .input(Input::Bytes(text.as_bytes().to_vec()))
        .time_limit(Duration::from_secs(60));
    // Cut off in the middle, it may have pasted: then the screen is looked at, and nothing typed again.
    let started = match desk.channel.start(command).await {
        Ok(started) => started,
        Err(StartJobError::Channel(error)) => return Err(Refused::Ended(error.to_string())),
        Err(error) => return Err(Refused::Guest(error.to_string())),
    };
    let completed = started.collect(4_096).await.map_err(|error| Refused::Ended(error.to_string()))?;
    let _forgotten = desk.channel.forget(&job).await;
    if completed.exit.status != JobStatus::Code(0) {
        return Err(Refused::Guest(String::from_utf8_lossy(&completed.stdout).trim().to_owned()));
    }
    let mut damage = desk.screen.damage();
    desk.screen.perform(Gesture::key(&"shift+Insert".parse()?)).await?;
    // The text is fetched when the program gets to it: what is typed next must not overtake it.
    desk.settle(&mut damage).await.map_err(|ended| Refused::Ended(ended.to_string()))?;
    Ok(())
}

/// Pastes a text in one piece, however many lines it has, and types the line ends and tabs that it ends with: those are to
/// send a message or to leave a field. A text of line ends and tabs alone has a key for each of them.
pub(crate) async fn paste_whole(desk: &Desk, job: JobId, text: &str) -> Result<(), Refused> {
    let (body, end) = text.split_at(text.trim_end_matches(['\n', '\t']).len());
    paste(desk, job, body).await?;
    match Gesture::text(end) {
        Ok(gesture) if !end.is_empty() => Ok(desk.screen.perform(gesture).await?),
        Ok(_) | Err(NotOnKeyboard { .. }) => Ok(()),
    }
}

fn point(point: nightshift_agent::Point) -> Point {
    Point { x: point.x, y: point.y }
}

async fn picture(bench: &Bench, said: Option<&str>) -> Result<StepEnd, StepTrouble> {
    let frame = bench.desk.screen.frame().await.map_err(|error| cut(&error))?;
    let mut end = show(bench, frame).await?;
    if let Some(said) = said {
        end.content.insert(0, ResultPart::Text { text: said.to_owned() });
    }
    Ok(end)
}

async fn zoom(bench: &Bench, region: Region) -> Result<StepEnd, StepTrouble> {
    let frame = bench.desk.screen.frame().await.map_err(|error| cut(&error))?;
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
    let bytes = encoded.len() as u64;
    let artifact = bench.keep(encoded, "image/png").await?;
    let image = Image { artifact, media_type: "image/png".to_owned(), width, height, bytes };
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
    fn a_click_without_a_place_is_made_where_the_pointer_is() {
        let click = ComputerAction::Click {
            button: MouseButton::Left,
            count: ClickCount::Double,
            at: None,
            modifiers: Some("ctrl".to_owned()),
        };
        let here = Point { x: 3, y: 4 };
        let expected = Gesture::click(here, Button::Left, Clicks::Double)
            .holding(&"ctrl".parse::<nightshift_screen::KeyChord>().unwrap());
        assert_eq!(gesture(&click, Some(here)).unwrap(), Some(expected));
        assert!(matches!(gesture(&click, None), Err(Refused::NoPointer)));
    }

    #[test]
    fn a_key_that_does_not_exist_is_refused_by_name() {
        let refused = gesture(&ComputerAction::Key { keys: "ctrl+nonsense".to_owned() }, None).unwrap_err();
        assert!(refused.to_string().contains("nonsense"), "{refused}");
    }
}
