-- Raw deliveries, kept before anything reads them.

CREATE TABLE deliveries (
    delivery_id uuid PRIMARY KEY,
    arrival bigint GENERATED ALWAYS AS IDENTITY,
    connection text NOT NULL,
    source text NOT NULL,
    received_at timestamptz NOT NULL,
    headers jsonb NOT NULL,
    body bytea NOT NULL,
    -- pending → recorded | context | dead; `probe` and `refused` never leave the door.
    status text NOT NULL DEFAULT 'pending'
        CHECK (status IN ('pending', 'recorded', 'context', 'dead', 'probe', 'refused')),
    reason text,                     -- why it is dead, context or refused; never personal
    attempts int NOT NULL DEFAULT 0,
    touchpoints int NOT NULL DEFAULT 0,
    handled_at timestamptz
);
CREATE INDEX deliveries_pending_idx ON deliveries (arrival) WHERE status = 'pending';
CREATE INDEX deliveries_dead_idx ON deliveries (arrival) WHERE status = 'dead';
CREATE INDEX deliveries_refused_idx ON deliveries (arrival) WHERE status = 'refused';
CREATE INDEX deliveries_connection_idx ON deliveries (connection, arrival);
