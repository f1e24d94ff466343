-- The tables of format 7, as the versions that wrote it made them. Frozen: a store of these is opened by every later version.
CREATE TABLE message (
    number INTEGER PRIMARY KEY,
    sender TEXT NOT NULL,
    message_id TEXT NOT NULL,
    received_at INTEGER NOT NULL,
    accepted INTEGER NOT NULL,
    quarantined INTEGER NOT NULL,
    case_id TEXT,
    version INTEGER NOT NULL,
    form INTEGER NOT NULL,
    checksum INTEGER NOT NULL,
    record TEXT NOT NULL,
    UNIQUE (sender, message_id)
) STRICT;
CREATE INDEX message_case ON message (case_id) WHERE case_id IS NOT NULL;
CREATE INDEX message_quarantined ON message (number) WHERE quarantined = 1;

CREATE TABLE body (
    owner INTEGER PRIMARY KEY REFERENCES message,
    digest TEXT NOT NULL,
    octets BLOB
) STRICT;
CREATE INDEX body_file ON body (digest) WHERE octets IS NULL;

CREATE TABLE response (
    owner INTEGER PRIMARY KEY REFERENCES message,
    version INTEGER NOT NULL,
    form INTEGER NOT NULL,
    checksum INTEGER NOT NULL,
    record TEXT NOT NULL,
    digest TEXT NOT NULL,
    octets BLOB
) STRICT;
CREATE INDEX response_file ON response (digest) WHERE octets IS NULL;

CREATE TABLE cases (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    state TEXT NOT NULL,
    submitter TEXT,
    opened_at INTEGER NOT NULL,
    version INTEGER NOT NULL,
    form INTEGER NOT NULL,
    checksum INTEGER NOT NULL,
    record TEXT NOT NULL,
    due INTEGER,
    payment_due INTEGER,
    realm TEXT NOT NULL DEFAULT 'production'
) STRICT;
CREATE INDEX cases_practice ON cases (number) WHERE realm = 'practice';
CREATE INDEX cases_due ON cases (due, number) WHERE due IS NOT NULL;
CREATE INDEX cases_payment_due ON cases (payment_due, number) WHERE payment_due IS NOT NULL;
CREATE INDEX cases_opened ON cases (opened_at, number);
CREATE INDEX cases_state ON cases (state, number);
CREATE INDEX cases_submitter ON cases (submitter, number);

CREATE TABLE correlation (
    kind TEXT NOT NULL,
    party TEXT NOT NULL,
    text TEXT NOT NULL,
    case_id TEXT NOT NULL,
    checksum INTEGER NOT NULL,
    PRIMARY KEY (kind, party, text)
) STRICT, WITHOUT ROWID;
CREATE INDEX correlation_text ON correlation (text);

CREATE TABLE delivery (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    destination TEXT NOT NULL,
    message_id TEXT NOT NULL,
    case_id TEXT,
    state TEXT NOT NULL,
    due INTEGER,
    attempts INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    version INTEGER NOT NULL,
    form INTEGER NOT NULL,
    checksum INTEGER NOT NULL,
    record TEXT NOT NULL,
    UNIQUE (destination, message_id)
) STRICT;
CREATE INDEX delivery_due ON delivery (destination, due, number) WHERE due IS NOT NULL;
CREATE INDEX delivery_state ON delivery (destination, state, created_at);
CREATE INDEX delivery_case ON delivery (case_id, number) WHERE case_id IS NOT NULL;

CREATE TABLE sealed (
    owner INTEGER PRIMARY KEY REFERENCES delivery,
    version INTEGER NOT NULL,
    form INTEGER NOT NULL,
    checksum INTEGER NOT NULL,
    record TEXT NOT NULL,
    digest TEXT NOT NULL,
    octets BLOB
) STRICT;
CREATE INDEX sealed_file ON sealed (digest) WHERE octets IS NULL;

CREATE TABLE audit (
    number INTEGER PRIMARY KEY,
    case_id TEXT,
    form INTEGER NOT NULL,
    checksum INTEGER NOT NULL,
    record TEXT NOT NULL,
    hash TEXT NOT NULL
) STRICT;
CREATE INDEX audit_case ON audit (case_id, number) WHERE case_id IS NOT NULL;
CREATE TABLE approval (
    number INTEGER PRIMARY KEY,
    realm TEXT NOT NULL,
    agency TEXT NOT NULL,
    text TEXT NOT NULL,
    due INTEGER,
    version INTEGER NOT NULL,
    form INTEGER NOT NULL,
    checksum INTEGER NOT NULL,
    record TEXT NOT NULL,
    UNIQUE (text, agency, realm)
) STRICT;
CREATE INDEX approval_due ON approval (due, number) WHERE due IS NOT NULL;
CREATE TABLE head (
    entries INTEGER PRIMARY KEY,
    version INTEGER NOT NULL,
    form INTEGER NOT NULL,
    checksum INTEGER NOT NULL,
    record TEXT NOT NULL
) STRICT;
CREATE TABLE sequence (
    number INTEGER PRIMARY KEY,
    direction TEXT NOT NULL,
    cpa_id TEXT NOT NULL,
    conversation_id TEXT NOT NULL,
    early INTEGER NOT NULL,
    due INTEGER,
    version INTEGER NOT NULL,
    form INTEGER NOT NULL,
    checksum INTEGER NOT NULL,
    record TEXT NOT NULL,
    UNIQUE (conversation_id, cpa_id, direction)
) STRICT;
CREATE INDEX sequence_due ON sequence (due, number) WHERE due IS NOT NULL;
CREATE INDEX sequence_early ON sequence (number) WHERE early > 0;
CREATE TABLE receipt (
    owner INTEGER PRIMARY KEY REFERENCES delivery,
    version INTEGER NOT NULL,
    form INTEGER NOT NULL,
    checksum INTEGER NOT NULL,
    record TEXT NOT NULL,
    digest TEXT NOT NULL,
    octets BLOB
) STRICT;
CREATE INDEX receipt_file ON receipt (digest) WHERE octets IS NULL;
ALTER TABLE audit ADD COLUMN about TEXT;
CREATE INDEX audit_about ON audit (about, number) WHERE about IS NOT NULL;
PRAGMA user_version = 7;
