-- How often the operator has had a delivery done again. Each time is also a row of `attempts`, with the outcome `replayed`.
ALTER TABLE deliveries ADD COLUMN replays INTEGER NOT NULL DEFAULT 0;
