-- How far each log is published: all of it up to `position` stands in the topic, acknowledged.
CREATE TABLE published (
    topic text PRIMARY KEY,          -- whole name, so that another prefix begins at the beginning
    topic_id uuid,                   -- Kafka's own id of it: a topic made anew holds nothing yet
    position bigint NOT NULL
);
