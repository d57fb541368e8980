-- How far the import of a log has come: written with what was recorded, so a kill costs nothing.
CREATE TABLE imports (
    import_id text PRIMARY KEY,      -- digest of the file's bytes and of the map
    file_name text NOT NULL,
    source text NOT NULL,
    started_at timestamptz NOT NULL,
    rows bigint NOT NULL DEFAULT 0,
    touchpoints bigint NOT NULL DEFAULT 0,
    repeated bigint NOT NULL DEFAULT 0,
    broken bigint NOT NULL DEFAULT 0,
    kept_aside_bytes bigint NOT NULL DEFAULT 0,  -- how long the file of broken rows was then
    finished_at timestamptz
);

-- Candidates whose history was imported: what was due before this moment alerts nobody.
CREATE TABLE quiet_candidates (
    candidate_id uuid PRIMARY KEY,
    quiet_until timestamptz NOT NULL
);
