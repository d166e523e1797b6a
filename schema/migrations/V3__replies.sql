-- Answers to requests that came with a key of the client's: sent again, a request gets its answer
-- again. While a request is being carried out there is no status yet, and whoever does it renews the
-- lease. Not part of the log: what a request has appended is told by es.command.
CREATE TABLE es.reply (
  id          uuid PRIMARY KEY,
  asked       bytea NOT NULL,
  begun_at    timestamptz NOT NULL DEFAULT now(),
  lease_until timestamptz NOT NULL,
  status      integer,
  headers     text,
  body        bytea
);
CREATE INDEX reply_begun ON es.reply (begun_at);
