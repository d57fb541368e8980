-- What happened to each application, in order, packed: what the graph of a journey map is made of.
-- The last steps stand with the application, whose row each of its touchpoints writes anyway.
ALTER TABLE applications
    ADD COLUMN kinds bytea NOT NULL DEFAULT '',  -- a byte a step: projections/paths/kinds.py
    ADD COLUMN times bytea NOT NULL DEFAULT '';  -- occurred_at of each, as msgpack timestamps

-- Before those come parts of 128 steps each, so that one more touchpoint never rewrites a long path.
CREATE TABLE paths (
    candidate_id uuid NOT NULL,
    application_id text NOT NULL,
    part text NOT NULL,              -- 000000, 000001 …
    kinds bytea NOT NULL,
    times bytea NOT NULL,
    PRIMARY KEY (candidate_id, application_id, part)
);
