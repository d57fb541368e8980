-- Those that were there before anything counted them: all that are there, less what is counted. One
-- statement sees one moment, so this is exact while others write, and they need not wait for it.
INSERT INTO delivery_counts
    SELECT status, sum(change)
    FROM (SELECT status, count(*) AS change FROM deliveries GROUP BY status
          UNION ALL SELECT status, -sum(change) FROM delivery_counts GROUP BY status) AS uncounted
    GROUP BY status HAVING sum(change) <> 0;
