-- The event log: the eventsourcing library's table, with three differences: positions come from a
-- counter that rolls back with its transaction (so the total order has no gaps), each touchpoint
-- is there once (unique touchpoint_id), and nothing in it can be changed or removed.

CREATE TABLE log_head (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    position bigint NOT NULL
);
INSERT INTO log_head (position) VALUES (0);

CREATE FUNCTION next_position() RETURNS bigint LANGUAGE sql AS
    'UPDATE log_head SET position = position + 1 RETURNING position';

CREATE TABLE journey_events (
    originator_id uuid NOT NULL,
    originator_version bigint NOT NULL,
    topic text NOT NULL,
    state bytea NOT NULL,
    notification_id bigint NOT NULL DEFAULT next_position(),
    touchpoint_id uuid NOT NULL,
    PRIMARY KEY (originator_id, originator_version)
) WITH (autovacuum_analyze_threshold = 1000, autovacuum_analyze_scale_factor = 0.01);

CREATE UNIQUE INDEX journey_events_notification_id_idx ON journey_events (notification_id);
CREATE UNIQUE INDEX journey_events_touchpoint_id_idx ON journey_events (touchpoint_id);
-- Merges are few and each rebuild needs them all before anything else.
CREATE INDEX journey_events_merges_idx ON journey_events (notification_id)
    WHERE topic IN ('touchpoint.candidates_merged.v1', 'touchpoint.candidates_unmerged.v1');

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% on % is refused: the event log is append-only', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege',
              HINT = 'record a touchpoint_corrected or touchpoint_retracted instead';
END $$;

CREATE TRIGGER journey_events_append_only
    BEFORE UPDATE OR DELETE OR TRUNCATE ON journey_events
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
