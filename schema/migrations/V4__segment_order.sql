-- Pages of execution logs and events whose oldest come first.
CREATE INDEX segment_t_min ON es.segment (t_min, first_position);
CREATE INDEX segment_reported_min ON es.segment (reported_min, first_position);
