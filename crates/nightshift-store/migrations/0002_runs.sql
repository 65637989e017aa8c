-- The newest state of each run, derived from its events in the transaction that appends them.
CREATE TABLE runs (
    run            TEXT    PRIMARY KEY,
    task           TEXT    NOT NULL,
    repository     TEXT    NOT NULL,
    state          TEXT    NOT NULL,
    is_final       INTEGER NOT NULL CHECK (is_final IN (0, 1)),
    first_position INTEGER NOT NULL UNIQUE REFERENCES events (position),
    json           TEXT    NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX runs_by_state      ON runs (state, first_position);
CREATE INDEX runs_unfinished    ON runs (first_position) WHERE is_final = 0;
CREATE INDEX runs_by_repository ON runs (repository, first_position);
CREATE INDEX runs_by_task       ON runs (task, first_position);
