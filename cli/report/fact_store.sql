-- What the table of facts looks like, and what is asked of it (cli/report/fact_store.py).
CREATE TABLE facts (
    key BLOB NOT NULL,
    at INTEGER NOT NULL,
    event TEXT NOT NULL,
    name TEXT NOT NULL,
    repository TEXT,
    version TEXT,
    digest TEXT,
    cluster TEXT,
    node TEXT,
    node_pool TEXT,
    accelerator TEXT,
    seconds REAL,
    total_seconds REAL,
    image_bytes INTEGER,
    streamed TEXT,
    outcome TEXT,
    strategy TEXT,
    target TEXT,
    streamed_layers INTEGER,
    detail TEXT NOT NULL
);
-- next
INSERT INTO facts VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
-- next
CREATE INDEX keys ON facts (key)
-- next
-- Of copies the one stays that says most; which came first has no say.
DELETE FROM facts AS copy
WHERE key IN (SELECT key FROM facts GROUP BY key HAVING count(*) > 1) AND EXISTS (
    SELECT 1 FROM facts AS other WHERE other.key = copy.key AND (
        length(other.detail), json_array(
            other.detail, other.at, other.event, other.name, other.repository, other.version, other.digest,
            other.cluster, other.node, other.node_pool, other.accelerator, other.seconds,
            other.total_seconds, other.image_bytes, other.streamed, other.outcome,
            other.strategy, other.target, other.streamed_layers
        ), other.rowid
    ) > (
        length(copy.detail), json_array(
            copy.detail, copy.at, copy.event, copy.name, copy.repository, copy.version, copy.digest,
            copy.cluster, copy.node, copy.node_pool, copy.accelerator, copy.seconds,
            copy.total_seconds, copy.image_bytes, copy.streamed, copy.outcome,
            copy.strategy, copy.target, copy.streamed_layers
        ), copy.rowid
    )
)
-- next
CREATE INDEX statements ON facts (node, repository, at) WHERE event = 'stream.observed';
-- next
-- The pulls on each node in the order in which they began, with the statements of the node near
-- each: before and after in microseconds.
SELECT pull.cluster, pull.node, pull.repository, pull.rowid, pull.streamed, pull.version,
    pull.digest, said.rowid, said.version, said.streamed_layers
FROM facts AS pull CROSS JOIN facts AS said
WHERE pull.event IN ('pull.observed', 'warmup.finished')
    AND pull.streamed IS NOT NULL
    AND said.event = 'stream.observed' AND said.node = pull.node
    AND said.repository = pull.repository
    AND said.cluster IS pull.cluster
    AND said.at BETWEEN pull.at - coalesce(pull.seconds, 0) * 1000000 - :before
        AND pull.at + :after
ORDER BY pull.cluster, pull.node, pull.repository,
    pull.at - coalesce(pull.seconds, 0) * 1000000, pull.key, said.at, said.key
-- next
SELECT detail FROM facts WHERE rowid = ?
-- next
UPDATE facts SET streamed = joined.streamed, detail = joined.detail
FROM joined WHERE joined.pull = facts.rowid
-- next
SELECT name, at, cluster, node_pool, accelerator, event, seconds, image_bytes, streamed, outcome,
    strategy, total_seconds,
    event = 'warmup.finished' AND EXISTS (
        SELECT 1 FROM json_each(detail, '$.evidence')
        WHERE json_extract(value, '$.kind') = 'node_without_image'
    )
FROM facts WHERE event IN ('pull.observed', 'warmup.finished') ORDER BY name, at, key
