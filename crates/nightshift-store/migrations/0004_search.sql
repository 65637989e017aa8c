-- What can be searched, by the event it is in: rowid is the event's position. The text is not kept a second time;
-- excerpts are made of the event. A task's description is in a column of its own, for lists of runs.
CREATE VIRTUAL TABLE search USING fts5 (
    task, text,
    content = '', tokenize = 'unicode61 remove_diacritics 2', prefix = '2 3'
);

-- The position of a run's newest event: who was away asks what changed since.
ALTER TABLE runs ADD COLUMN last_position INTEGER NOT NULL DEFAULT 0;
CREATE INDEX runs_by_change ON runs (last_position);
