//! A person's wish that the step under way shall end now.

use tokio::sync::watch;

/// The end that wishes.
#[derive(Debug)]
pub(crate) struct Interrupter(watch::Sender<bool>);

/// The end that is looked at by the step.
#[derive(Debug, Clone)]
pub(crate) struct Interrupt(watch::Receiver<bool>);

impl Interrupter {
    /// Both ends; `begun` when the wish was there before an owner was restarted.
    pub(crate) fn new(begun: bool) -> (Self, Interrupt) {
        let (wishes, wish) = watch::channel(begun);
        (Self(wishes), Interrupt(wish))
    }

    /// Wishes it.
    pub(crate) fn interrupt(&self) {
        self.0.send_replace(true);
    }
}

impl Interrupt {
    /// Returns when it is wished, and never when it cannot be wished any more.
    pub(crate) async fn wished(&mut self) {
        if self.0.wait_for(|wished| *wished).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
