//! Connections that programs in the sandbox make to the proxy's port, as they come.

use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use crate::wire::frame::{ResetReason, StreamId};

use super::error::ChannelError;
use super::link::{Link, Offered, State};
use super::stream::{GuestStream, Stream};

/// Takes connections from the guest, one after the other; how many wait is bounded by the session. Dropping it refuses
/// those that wait and those still to come. It keeps its channel open.
pub struct Connections {
    link: Arc<Link>,
    /// Which of those who took connections one after the other this is.
    taking: u64,
}

impl fmt::Debug for Connections {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Connections").finish_non_exhaustive()
    }
}

impl Connections {
    pub(super) fn new(link: Arc<Link>) -> Result<Self, ChannelError> {
        let begun = link.shared().change(|state| {
            let before = state.offered.take();
            let taking = before.as_ref().map_or(1, |before| before.taking + 1);
            refuse(state, before);
            state.offered = Some(Offered { taking, ..Offered::default() });
            taking
        });
        let taking = begun.map_err(ChannelError::Closed)?;
        Ok(Self { link, taking })
    }

    /// Returns the next connection, or why there will be none.
    pub async fn next(&mut self) -> Result<GuestStream, ChannelError> {
        let id = poll_fn(|context| self.poll_next(context)).await?;
        Ok(GuestStream::new(Stream::adopt(Arc::clone(&self.link), id)))
    }

    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Result<StreamId, ChannelError>> {
        let offered = self.link.shared().change(|state| {
            let offered = state.offered.as_mut().filter(|offered| offered.taking == self.taking)?;
            let stream = offered.streams.pop_front();
            if stream.is_none() {
                offered.taker = Some(context.waker().clone());
            }
            Some(stream)
        });
        match offered {
            Ok(Some(Some(stream))) => Poll::Ready(Ok(stream)),
            Ok(Some(None)) => Poll::Pending,
            // Another has taken over.
            Ok(None) => Poll::Ready(Err(ChannelError::Cut)),
            Err(reason) => Poll::Ready(Err(ChannelError::Closed(reason))),
        }
    }
}

impl Drop for Connections {
    fn drop(&mut self) {
        // On a closed channel nothing waits.
        let _ = self.link.shared().change(|state| {
            let left = state.offered.take_if(|offered| offered.taking == self.taking);
            refuse(state, left);
        });
    }
}

fn refuse(state: &mut State, offered: Option<Offered>) {
    let Some(offered) = offered else { return };
    for stream in offered.streams {
        state.session.reset(stream, ResetReason::Refused);
        state.session.release(stream);
    }
    offered.taker.into_iter().for_each(Waker::wake);
}
