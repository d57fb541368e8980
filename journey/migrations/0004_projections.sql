-- What the projections store. `journey rebuild` makes a copy of each of these beside the live one.

-- Position of each projection set, as the library's single-row tracking keeps it.
CREATE TABLE projection_tracking (
    application_name text PRIMARY KEY,
    notification_id bigint
);
INSERT INTO projection_tracking VALUES ('__migration__', 1);

-- Which policies and rules the tables below were built with; a rebuild under others is due.
CREATE TABLE projection_meaning (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    fingerprint text NOT NULL
);

-- Fold state of a journey (msgpack), so that the next touchpoint costs one fold step.
CREATE TABLE journeys (
    candidate_id uuid PRIMARY KEY,
    state bytea NOT NULL
);

-- Only merged candidates stand here: candidate → the journey it is read as part of.
CREATE TABLE journey_members (
    candidate_id uuid PRIMARY KEY,
    journey_id uuid NOT NULL
);
CREATE INDEX journey_members_journey_idx ON journey_members (journey_id);

-- journey_map: a row an application.
CREATE TABLE applications (
    candidate_id uuid NOT NULL,
    application_id text NOT NULL,
    job_id text,
    source text NOT NULL,
    stage text,
    status text NOT NULL,            -- open, rejected, withdrawn, hired
    turn text NOT NULL,              -- employer, candidate, nobody
    first_at timestamptz NOT NULL,
    last_at timestamptz NOT NULL,
    last_heard_at timestamptz,       -- the last thing the candidate received
    closed_at timestamptz,
    touchpoints int NOT NULL,
    interviews int NOT NULL,
    chases int NOT NULL,
    stages jsonb NOT NULL,           -- [[stage, entered_at], …] in order
    PRIMARY KEY (candidate_id, application_id)
);

-- silence: facts, no verdicts. A row is a span in which the employer owed and nothing came.
CREATE TABLE silences (
    candidate_id uuid NOT NULL,
    application_id text NOT NULL,
    began_by text NOT NULL,          -- touchpoint that made the employer owe, or was heard last
    began_kind text NOT NULL,
    since timestamptz NOT NULL,      -- may lie in the future: an interview that has not ended
    until timestamptz,               -- null while it lasts
    ended_by text,
    ended_kind text,
    job_id text,
    stage text,
    source text NOT NULL,
    last_interview_at timestamptz,
    interviews int NOT NULL,
    chases int NOT NULL,
    PRIMARY KEY (candidate_id, application_id, began_by)
);
CREATE INDEX silences_open_idx ON silences (since) WHERE until IS NULL;

-- contradictions: a row a finding. One with `since` in the future is pending until then.
CREATE TABLE findings (
    candidate_id uuid NOT NULL,
    application_id text,             -- null for a finding about the whole journey
    rule text NOT NULL,
    finding_key text NOT NULL,       -- rule and the touchpoints that prove it
    severity text NOT NULL,
    since timestamptz NOT NULL,      -- from when it is violated
    until timestamptz,               -- when it was mended, if it was
    evidence jsonb NOT NULL,         -- [{"id":…,"kind":…,"at":…}, …]
    PRIMARY KEY (candidate_id, finding_key)
);
CREATE INDEX findings_rule_idx ON findings (rule, since);

-- When each silence or finding becomes something a person must see.
CREATE TABLE deadlines (
    due_at timestamptz NOT NULL,
    subject text NOT NULL CHECK (subject IN ('silence', 'contradiction')),
    candidate_id uuid NOT NULL,
    application_id text,
    name text NOT NULL,              -- policy or rule
    level text NOT NULL,             -- nudge, breach, ghosted; or the rule's severity
    alert_key text NOT NULL,         -- same for every level of one alert
    since timestamptz NOT NULL,
    evidence jsonb NOT NULL,         -- [{"id":…,"kind":…,"at":…}, …]
    row_key text NOT NULL DEFAULT '',  -- the silence or finding it follows from, within the journey
    PRIMARY KEY (candidate_id, alert_key, level)
);
CREATE INDEX deadlines_due_idx ON deadlines (due_at);

-- feeds: what each source has told us so far.
CREATE TABLE feeds (
    source text PRIMARY KEY,
    touchpoints bigint NOT NULL,
    first_occurred_at timestamptz NOT NULL,
    last_occurred_at timestamptz NOT NULL,
    last_recorded_at timestamptz NOT NULL
);
