-- Restores: the head is a position and a chain value, since another log may end at the same position.
CREATE FUNCTION es.assert_head(believed bigint, believed_chain bytea) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
  head bigint;
  head_chain bytea;
BEGIN
  SELECT first_position + n - 1, chain INTO head, head_chain
  FROM es.spine ORDER BY first_position DESC LIMIT 1;
  IF coalesce(head, 0) <> believed OR (head IS NOT NULL AND head_chain <> believed_chain) THEN
    RAISE EXCEPTION 'log head is %, writer believed %', coalesce(head, 0), believed
      USING ERRCODE = 'serialization_failure';
  END IF;
END $$;

-- A restored log whose first events of its own are still to be appended: what asked for it, as
-- encoded events.
CREATE TABLE es.restored (
  position    bigint PRIMARY KEY,
  chain       bytea NOT NULL,
  snapshot_id text NOT NULL,
  snapshot    bytea,
  execution   bytea
);
