-- Who is who, and the keys that seal what is personal.

CREATE TABLE identity_keys (
    namespace text NOT NULL,
    fingerprint bytea NOT NULL,      -- keyed HMAC of the normal form; the value itself is nowhere
    candidate_id uuid NOT NULL,
    PRIMARY KEY (namespace, fingerprint)
);
CREATE INDEX identity_keys_candidate_idx ON identity_keys (candidate_id);

CREATE TABLE person_keys (
    candidate_id uuid PRIMARY KEY,
    wrapped_key bytea NOT NULL       -- a data key, sealed with the master key
);
