-- Why a delivery was taken although its event was not verified (observe mode); null: it was.
ALTER TABLE deliveries ADD COLUMN unverified TEXT;

-- When each secret last matched, by what the rules file calls it. Never a secret, nor a digest of one.
CREATE TABLE secrets (
    endpoint    TEXT    NOT NULL,
    scheme      TEXT    NOT NULL,
    source      TEXT    NOT NULL,
    last_matched INTEGER NOT NULL,
    PRIMARY KEY (endpoint, scheme, source)
) STRICT, WITHOUT ROWID;
