-- The issue that asked for a run's task, as JSON. It stands in a column of its own: an index over what `json` has would have
-- all of it parsed, before and after, with every event of the run.
ALTER TABLE runs ADD COLUMN issue TEXT;
UPDATE runs SET issue = json_extract(json, '$.task.issue') WHERE json_extract(json, '$.task.issue') IS NOT NULL;
DROP INDEX runs_of_issues;
CREATE INDEX runs_of_issues ON runs (repository) WHERE issue IS NOT NULL;
