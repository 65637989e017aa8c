-- Everything that ever happened to an environment, in order. Nothing here is changed or removed.
CREATE TABLE environment_events (
    position    INTEGER PRIMARY KEY AUTOINCREMENT,
    environment TEXT    NOT NULL,
    seq         INTEGER NOT NULL CHECK (seq >= 1),
    at          TEXT    NOT NULL, -- RFC 3339, UTC
    type        TEXT    NOT NULL,
    json        TEXT    NOT NULL,
    UNIQUE (environment, seq)
) STRICT;

CREATE TRIGGER environment_events_are_not_updated BEFORE UPDATE ON environment_events
BEGIN SELECT RAISE(ABORT, 'events are append-only: UPDATE refused'); END;

CREATE TRIGGER environment_events_are_not_deleted BEFORE DELETE ON environment_events
BEGIN SELECT RAISE(ABORT, 'events are append-only: DELETE refused'); END;

CREATE TRIGGER environment_events_follow_one_another BEFORE INSERT ON environment_events
WHEN NEW.seq IS NOT (
        SELECT coalesce(max(seq), 0) + 1 FROM environment_events WHERE environment = NEW.environment
    )
    OR EXISTS (SELECT 1 FROM environment_events WHERE position = NEW.position)
BEGIN SELECT RAISE(ABORT, 'events are append-only: only the next seq of an environment can be inserted'); END;
