//! The handle programs hold, and the one task that owns the picture.

use std::os::fd::OwnedFd;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use crate::activity::{Activity, Condition, Ended, TileChanges};
use crate::damage::DamageReceiver;
use crate::dbus::{self, AttachError};
use crate::frame::Frame;
use crate::geometry::{OutOfScreen, Point, Rect, Size};
use crate::input::{
    Button, Clicks, Devices, Gesture, InputError, Key, KeyChord, Player, PointerTrace, Scroll, TypeError,
};
use crate::picture::{Change, Picture};
use crate::settle::{SettleLimits, Settled};
use crate::source::SourceEvent;

/// A machine's screen, keyboard and pointer. Clones share them.
///
/// When the last clone is dropped the connection closes, and the machine releases every key that was held.
#[derive(Debug, Clone)]
pub struct Screen {
    copies: mpsc::Sender<CopyRequest>,
    activity: watch::Receiver<Activity>,
    player: Player,
}

/// There is no frame.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// Nothing is shown: not yet, or the display is switched off.
    #[error("the screen shows nothing")]
    Dark,
    /// Nothing was shown in time.
    #[error("the screen showed nothing within {within:?}")]
    TooLate {
        /// How long it was waited.
        within: Duration,
    },
    /// The part asked for is not on the screen.
    #[error(transparent)]
    OutOfScreen(#[from] OutOfScreen),
    /// The other end has gone.
    #[error(transparent)]
    Ended(#[from] Ended),
}

impl Screen {
    /// Attaches to the display QEMU serves on the other end of `fd`.
    ///
    /// Get there by a socket pair of which QMP gives one end to QEMU: `getfd`, then `add_client` with protocol
    /// `@dbus-display`. QEMU serves one such client at a time; another one takes the first one's place.
    /// Must be called within a tokio runtime. Waits at most 15 s for QEMU's answers, and for no picture.
    pub async fn attach(fd: OwnedFd) -> Result<Self, AttachError> {
        // QEMU's messages wait in its own process while we are behind; two at a time keep the task busy.
        let (say, events) = mpsc::channel(2);
        let devices = dbus::attach(fd, say).await?;
        Ok(Self::start(Devices::Dbus(devices), events))
    }

    /// Attaches to a VNC server, for hosts that have only that. The stream must be private: no password is known here,
    /// and nothing is encrypted.
    ///
    /// Must be called within a tokio runtime. Waits at most 15 s for the server's greeting, and for no picture.
    #[cfg(feature = "vnc")]
    pub async fn attach_vnc<S>(stream: S) -> Result<Self, crate::VncAttachError>
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + Sync + 'static,
    {
        let (say, events) = mpsc::channel(2);
        let devices = crate::vnc::attach(stream, say).await?;
        Ok(Self::start(Devices::Vnc(devices), events))
    }

    /// Starts the tasks that own the picture and play input.
    fn start(devices: Devices, events: mpsc::Receiver<SourceEvent>) -> Self {
        let (copies, requests) = mpsc::channel(8);
        let (published, activity) = watch::channel(Activity::new());
        let keeper =
            Keeper { picture: Picture::Dark, unseen: None, next_look: Instant::now(), activity: published };
        tokio::spawn(keeper.run(events, requests));
        let player = Player::start(devices, DamageReceiver::new(activity.clone()));
        Self { copies, activity, player }
    }

    /// What the screen is at the moment.
    pub fn condition(&self) -> Condition {
        self.activity.borrow().condition().clone()
    }

    /// The screen's size; `None` while nothing is shown.
    pub fn size(&self) -> Option<Size> {
        self.activity.borrow().size()
    }

    /// How often the screen has changed since it was attached.
    pub fn generation(&self) -> u64 {
        self.activity.borrow().generation()
    }

    /// Returns when the other end has gone, with the reason.
    pub async fn ended(&self) -> Ended {
        let mut activity = self.activity.clone();
        let ended = activity.wait_for(|activity| matches!(activity.condition(), Condition::Ended(_))).await;
        match ended.map(|activity| activity.condition().clone()) {
            Ok(Condition::Ended(why)) => Ended { why },
            Ok(Condition::Dark | Condition::Lit(_)) | Err(_) => stopped(),
        }
    }

    /// What is known of the screen's changes, from now on.
    pub(crate) fn activity(&self) -> watch::Receiver<Activity> {
        self.activity.clone()
    }

    /// Follows what is done with the pointer through this screen, whoever does it.
    pub fn traces(&self) -> watch::Receiver<PointerTrace> {
        self.player.traces()
    }

    /// Copies what the screen shows now. The guest's pointer is not in it: adapters show it apart from the picture.
    pub async fn frame(&self) -> Result<Frame, FrameError> {
        self.copy(Part::Whole).await
    }

    /// Copies a part of what the screen shows now, without the cost of the rest.
    pub async fn region(&self, rect: Rect) -> Result<Frame, FrameError> {
        self.copy(Part::Rect(rect)).await
    }

    /// Waits for the first picture and copies it.
    pub async fn first_frame(&self, within: Duration) -> Result<Frame, FrameError> {
        let mut activity = self.activity.clone();
        let shown = activity.wait_for(|activity| *activity.condition() != Condition::Dark);
        match tokio::time::timeout(within, shown).await {
            Ok(Ok(_)) => {}
            Ok(Err(_)) => return Err(stopped().into()),
            Err(_) => return Err(FrameError::TooLate { within }),
        }
        self.frame().await
    }

    /// Follows the screen's changes from now on.
    pub fn damage(&self) -> DamageReceiver {
        DamageReceiver::new(self.activity.clone())
    }

    /// The tiles that changed after `generation` (0: all); `None` while nothing is shown.
    pub fn tiles_since(&self, generation: u64) -> Option<TileChanges> {
        self.activity.borrow().tiles_since(generation)
    }

    /// Waits until the screen has settled, from now on. See [`DamageReceiver::settle`] for waiting from before an
    /// action.
    pub async fn settle(&self, limits: SettleLimits) -> Result<Settled, Ended> {
        self.damage().settle(limits).await
    }

    /// Does a gesture, when all its places are on the screen.
    ///
    /// Gestures are done one after the other, each whole: dropping the future does not break one off. But a key that is held for
    /// a while is let go then.
    pub async fn perform(&self, gesture: Gesture) -> Result<(), InputError> {
        let condition = self.condition();
        if let Condition::Ended(why) = &condition {
            return Err(Ended { why: why.clone() }.into());
        }
        for point in gesture.points() {
            match &condition {
                Condition::Lit(size) => point.on(*size)?,
                Condition::Dark | Condition::Ended(_) => return Err(InputError::Dark),
            };
        }
        self.player.perform(gesture).await
    }

    /// Where the pointer was last moved to through this screen.
    pub fn pointer(&self) -> Option<Point> {
        self.player.pointer()
    }

    /// Moves the pointer.
    pub async fn pointer_move(&self, to: Point) -> Result<(), InputError> {
        self.perform(Gesture::pointer_move(to)).await
    }

    /// Presses a button where the pointer is.
    pub async fn press(&self, button: Button) -> Result<(), InputError> {
        self.perform(Gesture::press(button)).await
    }

    /// Releases a button.
    pub async fn release(&self, button: Button) -> Result<(), InputError> {
        self.perform(Gesture::release(button)).await
    }

    /// Moves the pointer and clicks.
    pub async fn click(&self, at: Point, button: Button, clicks: Clicks) -> Result<(), InputError> {
        self.perform(Gesture::click(at, button, clicks)).await
    }

    /// Drags from one place to another.
    pub async fn drag(&self, from: Point, to: Point, button: Button) -> Result<(), InputError> {
        self.perform(Gesture::drag(from, to, button)).await
    }

    /// Moves the pointer and turns the wheel by `notches`, at most 100.
    pub async fn scroll(&self, at: Point, direction: Scroll, notches: u32) -> Result<(), InputError> {
        self.perform(Gesture::scroll(at, direction, notches)?).await
    }

    /// Presses and releases a chord.
    pub async fn key(&self, chord: &KeyChord) -> Result<(), InputError> {
        self.perform(Gesture::key(chord)).await
    }

    /// Presses a key, until [`Self::key_up`].
    pub async fn key_down(&self, key: Key) -> Result<(), InputError> {
        self.perform(Gesture::key_down(key)).await
    }

    /// Releases a key.
    pub async fn key_up(&self, key: Key) -> Result<(), InputError> {
        self.perform(Gesture::key_up(key)).await
    }

    /// Holds a chord for a while, at most 100 s.
    pub async fn hold_key(&self, chord: &KeyChord, duration: Duration) -> Result<(), InputError> {
        self.perform(Gesture::hold_key(chord, duration)?).await
    }

    /// Types text by the keys of the US layout.
    ///
    /// Text with a character that layout lacks is refused whole: type it through the guest.
    pub async fn type_text(&self, text: &str) -> Result<(), TypeError> {
        Ok(self.perform(Gesture::text(text)?).await?)
    }

    async fn copy(&self, part: Part) -> Result<Frame, FrameError> {
        let (answer, frame) = oneshot::channel();
        self.copies.send(CopyRequest { part, answer }).await.map_err(|_| self.why_stopped())?;
        frame.await.map_err(|_| self.why_stopped())?
    }

    fn why_stopped(&self) -> Ended {
        match self.condition() {
            Condition::Ended(why) => Ended { why },
            Condition::Dark | Condition::Lit(_) => stopped(),
        }
    }
}

/// For the case that the task is torn down without a word.
fn stopped() -> Ended {
    Ended { why: "the task that owns the picture has stopped".to_owned() }
}

#[derive(Debug, Clone, Copy)]
enum Part {
    Whole,
    Rect(Rect),
}

#[derive(Debug)]
struct CopyRequest {
    part: Part,
    answer: oneshot::Sender<Result<Frame, FrameError>>,
}

/// The owner of the picture. Everything that changes it or reads it goes through its one task.
struct Keeper {
    picture: Picture,
    /// Where the source says that it wrote, and we have not looked yet.
    unseen: Option<Rect>,
    next_look: Instant,
    activity: watch::Sender<Activity>,
}

/// The shortest time between two looks at shared memory: more than a hundred a second nobody sees.
const LOOK_PAUSE: Duration = Duration::from_millis(5);

/// How many times as long as looking took of a processor the keeper rests: a guest that never stops drawing on a huge
/// screen takes a fifth of a processor from its host and not a whole one. While others have the processor the keeper
/// takes nothing from anybody, and does not rest for it.
const REST: u32 = 4;

/// The processor's time this thread has used.
fn processor_time() -> Duration {
    let used = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::try_from(used).unwrap_or_default()
}

/// How long after the beginning of a look that took so much of a processor the next one may begin.
fn rest_after(took: Duration) -> Duration {
    LOOK_PAUSE.max(took * (REST + 1))
}

impl Keeper {
    /// Runs until every screen is dropped; after the source's end it still tells those who ask why.
    async fn run(
        mut self,
        mut events: mpsc::Receiver<SourceEvent>,
        mut requests: mpsc::Receiver<CopyRequest>,
    ) {
        let mut source = Source::Open;
        loop {
            tokio::select! {
                event = events.recv(), if source == Source::Open => match event {
                    Some(event) => self.apply(event),
                    None => {
                        source = Source::Closed;
                        self.apply(SourceEvent::Ended("the display's task has stopped".to_owned()));
                    }
                },
                () = tokio::time::sleep_until(self.next_look), if self.unseen.is_some() => self.look(),
                request = requests.recv() => match request {
                    Some(CopyRequest { part, answer }) => {
                        self.look();
                        // Whoever asked may have stopped waiting.
                        let _unheard = answer.send(self.copy(part));
                    }
                    None => return,
                },
            }
        }
    }

    fn apply(&mut self, event: SourceEvent) {
        match self.picture.apply(event) {
            Change::Unseen(rect) => {
                self.unseen = Some(self.unseen.map_or(rect, |unseen| unseen.union(rect)));
                if Instant::now() >= self.next_look {
                    self.look();
                }
            }
            change @ (Change::Changed(_) | Change::None) => self.publish(change),
            change @ (Change::Lit(_) | Change::Darkened | Change::Ended(_)) => {
                tracing::debug!(?change, "the screen shows something else");
                self.unseen = None;
                self.publish(change);
            }
        }
    }

    /// Looks what really changed where the source says that it wrote.
    fn look(&mut self) {
        let Some(rect) = self.unseen.take() else { return };
        let (began, used) = (Instant::now(), processor_time());
        match self.picture.look(rect) {
            Ok(change) => self.publish(change),
            Err(error) => {
                tracing::warn!(%error, "the picture the machine shares cannot be read any more");
                self.apply(SourceEvent::Dark);
            }
        }
        self.next_look = began + rest_after(processor_time().saturating_sub(used));
    }

    fn publish(&self, change: Change) {
        if change != Change::None {
            self.activity.send_modify(|activity| activity.record(change));
        }
    }

    fn copy(&self, part: Part) -> Result<Frame, FrameError> {
        let activity = self.activity.borrow();
        let size = match activity.condition() {
            Condition::Lit(size) => *size,
            Condition::Dark => return Err(FrameError::Dark),
            Condition::Ended(why) => return Err(Ended { why: why.clone() }.into()),
        };
        let rect = match part {
            Part::Whole => Rect::whole(size),
            Part::Rect(rect) => rect.on(size)?,
        };
        let pixels = self.picture.copy(rect).ok_or(FrameError::Dark)?;
        Ok(Frame::of(Size::of(rect), activity.generation(), pixels))
    }
}

/// Whether the source may still say something.
#[derive(Debug, PartialEq, Eq)]
enum Source {
    Open,
    Closed,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_are_at_most_two_hundred_a_second_and_take_at_most_a_fifth_of_a_processor() {
        let after = [0, 1, 2, 10].map(|took| rest_after(Duration::from_millis(took)).as_millis());
        assert_eq!(after, [5, 5, 10, 50]);
    }

    #[tokio::test]
    async fn waiting_takes_nothing_of_the_processor_and_working_does() {
        let before = processor_time();
        tokio::time::sleep(Duration::from_millis(50)).await;
        let waited = processor_time() - before;
        assert!(waited < Duration::from_millis(25), "{waited:?}");
        while processor_time() - before < Duration::from_millis(30) {
            std::hint::black_box(before);
        }
    }
}
