-- What statistics sum up of each run, derived with its row in `runs`: narrow, so that all of them are read at once.
CREATE TABLE run_figures (
    run              TEXT    PRIMARY KEY,
    repository       TEXT    NOT NULL,
    model            TEXT    NOT NULL,
    week             TEXT    NOT NULL, -- ISO 8601, in which the task was given, as 2026-W48, UTC
    created_ms       INTEGER NOT NULL, -- when the task was given, in milliseconds since 1970
    state            TEXT    NOT NULL,
    reworked_percent INTEGER,          -- of the newest delivery; NULL before the first
    rounds           INTEGER NOT NULL,
    review_ms        INTEGER NOT NULL,
    agent_ms         INTEGER NOT NULL,
    cost             INTEGER NOT NULL  -- in millionths of a US dollar
) STRICT, WITHOUT ROWID;
