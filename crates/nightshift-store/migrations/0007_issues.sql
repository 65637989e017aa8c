-- The runs whose task an issue asked for: each look at a repository's issues asks which of them were taken up.
CREATE INDEX runs_of_issues ON runs (repository) WHERE json_extract(json, '$.task.issue') IS NOT NULL;
