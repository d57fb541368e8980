-- paths: what happened to an application, in order, packed; what the graph of a journey map is made
-- of. A part holds at most 128 steps, so that one more touchpoint never rewrites a long path.
CREATE TABLE paths (
    candidate_id uuid NOT NULL,
    application_id text NOT NULL,
    part text NOT NULL,              -- 000000, 000001 …
    kinds bytea NOT NULL,            -- a byte a step: its place in projections/paths/kinds.py
    times bytea NOT NULL,            -- occurred_at of each step, as msgpack timestamps
    PRIMARY KEY (candidate_id, application_id, part)
);
