-- How many deliveries have each status, kept as they change: the sum of the rows of a status. A row
-- is what one statement changed; it is added, never updated, and commits with the deliveries
-- themselves, so that no writer waits for another and every snapshot sees the right sum.
CREATE TABLE delivery_counts (
    status text NOT NULL,
    change bigint NOT NULL
);

-- By triggers, so that it counts whoever writes: an older release, or a hand in psql.
CREATE FUNCTION count_deliveries() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    CASE TG_OP
        WHEN 'INSERT' THEN
            INSERT INTO delivery_counts SELECT status, count(*) FROM came GROUP BY status;
        WHEN 'UPDATE' THEN
            INSERT INTO delivery_counts
                SELECT status, sum(change)
                FROM (SELECT status, 1 AS change FROM came
                      UNION ALL SELECT status, -1 FROM gone) AS moved
                GROUP BY status HAVING sum(change) <> 0;
        WHEN 'DELETE' THEN
            INSERT INTO delivery_counts SELECT status, -count(*) FROM gone GROUP BY status;
        WHEN 'TRUNCATE' THEN
            -- Nobody else has written what is not committed: TRUNCATE waited for that.
            INSERT INTO delivery_counts
                SELECT status, -sum(change) FROM delivery_counts
                GROUP BY status HAVING sum(change) <> 0;
    END CASE;
    -- Now and then a writer puts their sums in place of the rows, so that they stay few, whichever
    -- processes run. It passes over those that another has in hand: nobody waits here either.
    IF random() < 0.005 THEN
        WITH summed AS (
            DELETE FROM delivery_counts WHERE ctid = ANY (ARRAY(
                SELECT ctid FROM delivery_counts FOR UPDATE SKIP LOCKED))
            RETURNING status, change)
        INSERT INTO delivery_counts
            SELECT status, sum(change) FROM summed GROUP BY status HAVING sum(change) <> 0;
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER deliveries_came AFTER INSERT ON deliveries
    REFERENCING NEW TABLE AS came
    FOR EACH STATEMENT EXECUTE FUNCTION count_deliveries();
CREATE TRIGGER deliveries_changed AFTER UPDATE ON deliveries
    REFERENCING OLD TABLE AS gone NEW TABLE AS came
    FOR EACH STATEMENT EXECUTE FUNCTION count_deliveries();
CREATE TRIGGER deliveries_gone AFTER DELETE ON deliveries
    REFERENCING OLD TABLE AS gone
    FOR EACH STATEMENT EXECUTE FUNCTION count_deliveries();
CREATE TRIGGER deliveries_emptied AFTER TRUNCATE ON deliveries
    FOR EACH STATEMENT EXECUTE FUNCTION count_deliveries();
