//! A person's wish that the step under way shall end now.

use tokio::sync::watch;

use super::StepEnd;

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

    /// What comes of `work`, or `interrupted` as soon as it is wished: the work is dropped then.
    pub(crate) async fn or<E>(
        &mut self,
        work: impl Future<Output = Result<StepEnd, E>>,
        interrupted: impl FnOnce() -> StepEnd,
    ) -> Result<StepEnd, E> {
        tokio::select! {
            end = work => end,
            () = self.wished() => Ok(interrupted()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_that_hangs_ends_when_a_person_interrupts_it() {
        let (interrupter, mut interrupt) = Interrupter::new(false);
        let hangs = std::future::pending::<Result<StepEnd, std::convert::Infallible>>();
        interrupter.interrupt();
        let Ok(end) = interrupt.or(hangs, || StepEnd::failed("(interrupted by the person)")).await;
        assert_eq!(end, StepEnd::failed("(interrupted by the person)"));
    }

    #[tokio::test]
    async fn work_that_nobody_can_interrupt_any_more_comes_to_its_end() {
        let (interrupter, mut interrupt) = Interrupter::new(false);
        drop(interrupter);
        let work = std::future::ready(Ok::<_, std::convert::Infallible>(StepEnd::done("Read.")));
        let Ok(end) = interrupt.or(work, || StepEnd::failed("(interrupted by the person)")).await;
        assert_eq!(end, StepEnd::done("Read."));
    }
}
