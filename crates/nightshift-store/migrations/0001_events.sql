-- Everything that ever happened, in order. Nothing here is changed or removed, and seq has no gaps within a run.
CREATE TABLE events (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    run      TEXT    NOT NULL,
    seq      INTEGER NOT NULL CHECK (seq >= 1),
    at       TEXT    NOT NULL, -- RFC 3339, UTC
    type     TEXT    NOT NULL,
    json     TEXT    NOT NULL,
    UNIQUE (run, seq)
) STRICT;

CREATE TRIGGER events_are_not_updated BEFORE UPDATE ON events
BEGIN SELECT RAISE(ABORT, 'events are append-only: UPDATE refused'); END;

CREATE TRIGGER events_are_not_deleted BEFORE DELETE ON events
BEGIN SELECT RAISE(ABORT, 'events are append-only: DELETE refused'); END;

-- INSERT OR REPLACE removes the row in its way without firing a DELETE trigger, so it is refused here.
CREATE TRIGGER events_follow_one_another BEFORE INSERT ON events
WHEN NEW.seq IS NOT (SELECT coalesce(max(seq), 0) + 1 FROM events WHERE run = NEW.run)
    OR EXISTS (SELECT 1 FROM events WHERE position = NEW.position)
BEGIN SELECT RAISE(ABORT, 'events are append-only: only the next seq of a run can be inserted'); END;
