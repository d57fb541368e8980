-- What every look at the figures asks of the outbox. Nearly all messages are sent, so these are small.
CREATE INDEX outbox_given_up_idx ON outbox (created_at) WHERE given_up_at IS NOT NULL;
CREATE INDEX outbox_error_idx ON outbox (created_at) WHERE last_error IS NOT NULL;
