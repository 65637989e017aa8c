-- What is known of each file under artifacts/, which is named by the SHA-256 of its bytes.
CREATE TABLE artifacts (
    id         TEXT    PRIMARY KEY,
    media_type TEXT    NOT NULL,
    size       INTEGER NOT NULL CHECK (size >= 0)
) STRICT, WITHOUT ROWID;
