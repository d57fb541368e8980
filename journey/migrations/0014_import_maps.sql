-- With which map a log was imported, so that another map can correct what that one told.
ALTER TABLE imports
    ADD COLUMN file_digest text,     -- of the file's bytes alone; none before this migration
    ADD COLUMN map text,             -- as JSON; none before this migration, and of our own exports
    ADD COLUMN kept_aside text,      -- the name of the file of broken rows
    ADD COLUMN corrected bigint NOT NULL DEFAULT 0,
    ADD COLUMN restored bigint NOT NULL DEFAULT 0,
    ADD COLUMN retracted bigint NOT NULL DEFAULT 0,
    ADD COLUMN left_alone bigint NOT NULL DEFAULT 0,
    -- Another map of the source was imported since: what this one told may hold no longer.
    ADD COLUMN superseded boolean NOT NULL DEFAULT false;

CREATE INDEX imports_source_idx ON imports (source);
CREATE INDEX imports_file_digest_idx ON imports (file_digest);
