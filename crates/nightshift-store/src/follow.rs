//! Stored events and then live ones, as one stream.

use std::collections::VecDeque;
use std::sync::Arc;

use futures_util::stream::{self, BoxStream, StreamExt};
use nightshift_protocol::{Event, RunId};
use tokio::sync::broadcast::{self, error::RecvError};

use crate::events::{PAGE, Row, Scope, page};
use crate::{ReadError, Store};

impl Store {
    /// The events of a run after `after_seq`, stored ones first and then each as it is committed, without gap or
    /// duplicate however slow the reader is. It never ends by itself, except after an error.
    pub fn follow(&self, run: &RunId, after_seq: u64) -> BoxStream<'static, Result<Event, ReadError>> {
        self.follow_scope(Scope::Run(run.clone()), after_seq)
    }

    /// The events of all runs after `position`, like [`Store::follow`].
    pub fn follow_all(&self, position: u64) -> BoxStream<'static, Result<Event, ReadError>> {
        self.follow_scope(Scope::All, position)
    }

    fn follow_scope(&self, scope: Scope, after: u64) -> BoxStream<'static, Result<Event, ReadError>> {
        // Subscribed before the first read: what is committed in between is seen twice here and passed on once.
        let live = self.subscribe();
        let follower = Follower {
            store: self.clone(),
            scope,
            after,
            live,
            unread: VecDeque::new(),
            source: Source::Table,
        };
        stream::unfold(Some(follower), |follower| async {
            let mut follower = follower?;
            match follower.next().await {
                Ok(event) => Some((Ok(event), Some(follower))),
                Err(Stopped::Failed(error)) => Some((Err(error), None)),
                Err(Stopped::Closed) => None,
            }
        })
        .boxed()
    }
}

struct Follower {
    store: Store,
    scope: Scope,
    /// The place of the newest event that was passed on or put into `unread`.
    after: u64,
    live: broadcast::Receiver<Arc<Event>>,
    unread: VecDeque<Event>,
    source: Source,
}

/// Where the next event comes from.
enum Source {
    /// The table may have more.
    Table,
    /// The table was read to its end.
    Live,
}

enum Stopped {
    Failed(ReadError),
    Closed,
}

impl Follower {
    async fn next(&mut self) -> Result<Event, Stopped> {
        loop {
            if let Some(event) = self.unread.pop_front() {
                return Ok(event);
            }
            match self.source {
                Source::Table => self.read_table().await.map_err(Stopped::Failed)?,
                Source::Live => match self.live.recv().await {
                    Ok(event) => match self.scope.place(&event) {
                        Some(place) if place > self.after => {
                            self.after = place;
                            return Ok(Event::clone(&event));
                        }
                        Some(_) | None => {}
                    },
                    Err(RecvError::Lagged(_)) => self.source = Source::Table,
                    Err(RecvError::Closed) => return Err(Stopped::Closed),
                },
            }
        }
    }

    async fn read_table(&mut self) -> Result<(), ReadError> {
        let rows = page(self.store.inner.database.readers(), &self.scope, self.after, PAGE).await?;
        match rows.last() {
            Some(last) => self.after = last.place,
            None => self.source = Source::Live,
        }
        self.unread.extend(rows.into_iter().filter_map(Row::readable));
        Ok(())
    }
}
