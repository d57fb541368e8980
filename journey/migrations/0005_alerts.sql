-- Alerts are event-sourced in a log of their own (the eventsourcing library's table), with the
-- current state beside it in the same transaction. A rebuild never touches these.

CREATE TABLE alert_events (
    originator_id uuid NOT NULL,
    originator_version bigint NOT NULL,
    topic text,
    state bytea,
    notification_id bigserial,
    PRIMARY KEY (originator_id, originator_version)
);
CREATE UNIQUE INDEX alert_events_notification_id_idx ON alert_events (notification_id);
CREATE TRIGGER alert_events_append_only
    BEFORE UPDATE OR DELETE OR TRUNCATE ON alert_events
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TABLE alerts (
    alert_id uuid PRIMARY KEY,       -- UUIDv5 of candidate and alert_key
    version bigint NOT NULL,         -- of the last event that is in this row
    alert_key text NOT NULL,
    subject text NOT NULL,           -- silence, contradiction
    name text NOT NULL,              -- policy or rule
    level text NOT NULL,
    candidate_id uuid NOT NULL,
    application_id text,
    since timestamptz NOT NULL,
    due_at timestamptz NOT NULL,
    raised_at timestamptz NOT NULL,
    state text NOT NULL,             -- open, acknowledged, resolved
    reason text,                     -- why resolved: answered, closed, mended, disproved, handled …
    until timestamptz,               -- when what it was about ended, if it did
    acknowledged_by text,
    resolved_by text,                -- null when the engine resolved it
    resolved_at timestamptz,
    evidence jsonb NOT NULL,
    explanation text NOT NULL
);
CREATE INDEX alerts_open_idx ON alerts (candidate_id) WHERE state <> 'resolved';
CREATE INDEX alerts_raised_idx ON alerts (raised_at);

-- Journeys whose open alerts may have lost their reason; written by the live runner.
CREATE TABLE alert_checks (
    candidate_id uuid PRIMARY KEY
);

-- What is to be sent, one row per alert transition and channel.
CREATE TABLE outbox (
    message_id uuid PRIMARY KEY,     -- UUIDv5 of alert, transition and channel: the webhook-id
    sequence bigint GENERATED ALWAYS AS IDENTITY,
    alert_id uuid NOT NULL,
    version bigint NOT NULL,         -- of the alert: its messages leave in this order
    transition text NOT NULL,        -- raised, escalated, resolved
    channel text NOT NULL,
    payload jsonb NOT NULL,          -- opaque ids only
    created_at timestamptz NOT NULL,
    next_attempt_at timestamptz NOT NULL,
    attempts int NOT NULL DEFAULT 0,
    sent_at timestamptz,
    given_up_at timestamptz,
    last_error text
);
-- Not by channel, so that looking for earlier messages of one alert has only one index to take.
CREATE INDEX outbox_due_idx ON outbox (next_attempt_at, sequence)
    WHERE sent_at IS NULL AND given_up_at IS NULL;
CREATE INDEX outbox_alert_idx ON outbox (alert_id, channel, version)
    WHERE sent_at IS NULL AND given_up_at IS NULL;
