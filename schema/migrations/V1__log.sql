-- The event log. Insert-only: triggers refuse everything else.
CREATE SCHEMA IF NOT EXISTS es;

-- One row per committed batch: order, fence and hash chain.
CREATE TABLE es.spine (
  first_position bigint PRIMARY KEY,
  n              integer NOT NULL CHECK (n > 0),
  recorded_at    timestamptz NOT NULL,
  writer         uuid NOT NULL,
  root           bytea NOT NULL CHECK (octet_length(root) = 32),
  chain          bytea NOT NULL CHECK (octet_length(chain) = 32)
);
CREATE INDEX spine_recorded_at ON es.spine (recorded_at);

CREATE TABLE es.stream (
  stream_no bigint PRIMARY KEY,
  category  smallint NOT NULL,
  key       text NOT NULL,
  UNIQUE (category, key)
);

-- Model lane: one row per event.
CREATE TABLE es.log (
  position    bigint NOT NULL,
  stream_no   bigint NOT NULL,
  version     bigint NOT NULL,
  recorded_at timestamptz NOT NULL,
  event_id    uuid NOT NULL,
  type_no     smallint NOT NULL,
  data        bytea NOT NULL,
  PRIMARY KEY (position)
) PARTITION BY RANGE (position);

-- Telemetry lane: one compressed segment per batch, in the same position space.
CREATE TABLE es.segment (
  first_position bigint NOT NULL,
  n              integer NOT NULL CHECK (n > 0),
  t_min          timestamptz NOT NULL,
  t_max          timestamptz NOT NULL,
  reported_min   timestamptz NOT NULL,
  reported_max   timestamptz NOT NULL,
  body           bytea NOT NULL,
  PRIMARY KEY (first_position)
) PARTITION BY RANGE (first_position);
CREATE INDEX segment_t_max ON es.segment (t_max, first_position);
CREATE INDEX segment_reported_max ON es.segment (reported_max, first_position);

-- Which executions a segment speaks of, with counts.
CREATE TABLE es.segment_ref (
  execution_id   text NOT NULL,
  first_position bigint NOT NULL,
  tenant         text NOT NULL,
  visibility     text NOT NULL,
  deployment_id  text NOT NULL,
  blueprint_id   text NOT NULL,
  execution_group_id text NOT NULL,
  events         integer NOT NULL,
  logs           integer NOT NULL,
  PRIMARY KEY (execution_id, execution_group_id, first_position)
);
CREATE INDEX segment_ref_position ON es.segment_ref (first_position);
CREATE INDEX segment_ref_deployment ON es.segment_ref (deployment_id, first_position);

-- One row per command with a client-chosen id: a second arrival finds the first one's answer.
CREATE TABLE es.command (
  command_id     uuid PRIMARY KEY,
  first_position bigint NOT NULL,
  n              integer NOT NULL,
  recorded_at    timestamptz NOT NULL
);

CREATE TABLE es.checkpoint (
  subscriber text NOT NULL,
  position   bigint NOT NULL,
  chain      bytea NOT NULL,
  PRIMARY KEY (subscriber, position)
);

CREATE FUNCTION es.refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'the event log is immutable: % on %', TG_OP, TG_TABLE_NAME
    USING ERRCODE = 'restrict_violation';
END $$;

CREATE TRIGGER immutable BEFORE UPDATE OR DELETE OR TRUNCATE ON es.spine
  FOR EACH STATEMENT EXECUTE FUNCTION es.refuse();
CREATE TRIGGER immutable BEFORE UPDATE OR DELETE OR TRUNCATE ON es.stream
  FOR EACH STATEMENT EXECUTE FUNCTION es.refuse();
CREATE TRIGGER immutable BEFORE UPDATE OR DELETE OR TRUNCATE ON es.log
  FOR EACH STATEMENT EXECUTE FUNCTION es.refuse();
CREATE TRIGGER immutable BEFORE UPDATE OR DELETE OR TRUNCATE ON es.segment
  FOR EACH STATEMENT EXECUTE FUNCTION es.refuse();

-- Makes sure that positions up to `upto` have a partition (ten million positions each).
CREATE FUNCTION es.ensure_partitions(upto bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  width CONSTANT bigint := 10000000;
  k bigint := 0;
BEGIN
  WHILE k * width <= upto LOOP
    IF to_regclass(format('es.log_p%s', k)) IS NULL THEN
      EXECUTE format('CREATE TABLE es.log_p%s PARTITION OF es.log FOR VALUES FROM (%s) TO (%s)',
                     k, k * width, (k + 1) * width);
      EXECUTE format('CREATE UNIQUE INDEX ON es.log_p%s (stream_no, version)', k);
      EXECUTE format('CREATE TRIGGER immutable BEFORE UPDATE OR DELETE OR TRUNCATE ON es.log_p%s '
                     'FOR EACH STATEMENT EXECUTE FUNCTION es.refuse()', k);
      EXECUTE format('CREATE TABLE es.segment_p%s PARTITION OF es.segment FOR VALUES FROM (%s) TO (%s)',
                     k, k * width, (k + 1) * width);
      EXECUTE format('ALTER TABLE es.segment_p%s ALTER COLUMN body SET STORAGE EXTERNAL', k);
      EXECUTE format('CREATE TRIGGER immutable BEFORE UPDATE OR DELETE OR TRUNCATE ON es.segment_p%s '
                     'FOR EACH STATEMENT EXECUTE FUNCTION es.refuse()', k);
    END IF;
    k := k + 1;
  END LOOP;
END $$;
SELECT es.ensure_partitions(10000000);

-- Fails unless the log's head is where the writer believes it is. Called under the log's lock.
CREATE FUNCTION es.assert_head(believed bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  head bigint;
BEGIN
  SELECT first_position + n - 1 INTO head FROM es.spine ORDER BY first_position DESC LIMIT 1;
  IF coalesce(head, 0) <> believed THEN
    RAISE EXCEPTION 'log head is %, writer believed %', coalesce(head, 0), believed
      USING ERRCODE = 'serialization_failure';
  END IF;
END $$;
