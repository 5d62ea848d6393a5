-- Reason why an unverified event is delivered (observe mode); null if it was verified.
ALTER TABLE deliveries ADD COLUMN unverified TEXT;

-- Last use of each secret, by its name in the rules file. Never a secret, and never a digest of
-- one.
CREATE TABLE secrets (
    endpoint    TEXT    NOT NULL,
    scheme      TEXT    NOT NULL,
    source      TEXT    NOT NULL,
    last_matched INTEGER NOT NULL,
    PRIMARY KEY (endpoint, scheme, source)
) STRICT, WITHOUT ROWID;
