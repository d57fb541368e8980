-- How far each connection was polled, and what of it is kept.

-- One row per connection that is polled.
CREATE TABLE polls (
    connection text PRIMARY KEY,
    endpoint text,                   -- the list being read; null between two rounds
    began_at timestamptz,            -- this round
    next_at timestamptz NOT NULL,    -- nobody asks the system again before
    failures int NOT NULL DEFAULT 0, -- in a row, at the endpoint being read
    problem text,                    -- why it cannot go on; never personal, never a secret
    refused boolean NOT NULL DEFAULT false,  -- the system does not accept our key
    is_whole boolean NOT NULL DEFAULT true,  -- no list of this round was left unread
    finished_at timestamptz          -- the last round that left nothing unread
);

-- One row per list of a connection. A page and its row here commit together.
CREATE TABLE poll_cursors (
    connection text,
    endpoint text,
    cursor_at timestamptz,           -- newest change told, once the list was read to its end
    next_url text,                   -- the page to read next, as the system names it
    newest_at timestamptz,           -- newest change seen in the reading that goes on
    floor_at timestamptz,            -- the same, when the pass that goes on began
    pass_number int NOT NULL DEFAULT 1,
    pages int NOT NULL DEFAULT 0,    -- read in this pass
    gained int NOT NULL DEFAULT 0,   -- objects that an earlier pass should have shown
    problem text,                    -- why this list was left unread
    PRIMARY KEY (connection, endpoint)
);

-- One row per object that was kept: what is unchanged is not kept again.
CREATE TABLE poll_objects (
    connection text,
    endpoint text,
    object_id text,
    fingerprint bytea NOT NULL,
    delivery_id uuid NOT NULL,       -- holds the version kept last
    look_at timestamptz,             -- when more is to be asked about it; null: nothing is
    PRIMARY KEY (connection, endpoint, object_id)
);
CREATE INDEX poll_objects_look_idx ON poll_objects (connection, look_at)
    WHERE look_at IS NOT NULL;
