-- Who is who, and the keys that seal what is personal.

CREATE TABLE identity_keys (
    namespace text NOT NULL,
    fingerprint bytea NOT NULL,      -- keyed HMAC of the normal form; the value itself is nowhere
    candidate_id uuid NOT NULL,
    PRIMARY KEY (namespace, fingerprint)
);

CREATE TABLE person_keys (
    candidate_id uuid PRIMARY KEY,
    wrapped_key bytea NOT NULL       -- a data key, sealed with the master key
);

-- Who is read as part of whom. A row is an edge of a forest: an absorbed candidate has one survivor.
-- `until_position` set means they were told apart again, and no shared key may merge them anew.
CREATE TABLE identity_merges (
    absorbed uuid NOT NULL,
    survivor uuid NOT NULL,
    since_position bigint NOT NULL,
    since_recorded_at timestamptz NOT NULL,
    until_position bigint,
    until_recorded_at timestamptz,
    PRIMARY KEY (absorbed, since_position)
);
CREATE INDEX identity_merges_survivor_idx ON identity_merges (survivor);
CREATE UNIQUE INDEX identity_merges_parent_idx ON identity_merges (absorbed) WHERE until_position IS NULL;
