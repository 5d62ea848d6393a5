-- Number of replays by the operator. Each replay is also a row of `attempts`, with the outcome
-- `replayed`.
ALTER TABLE deliveries ADD COLUMN replays INTEGER NOT NULL DEFAULT 0;
