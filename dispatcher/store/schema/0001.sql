-- Jobs, the counters that never return, and the pauses that outlast a restart.
-- Each file here runs once, in its own transaction; PRAGMA user_version is the number of the last one.

PRAGMA application_id = 0x44495350;  -- "DISP": tells our file from another program's

-- One row. next_number and changed are saved with the changes they belong to.
CREATE TABLE meta (
    id           INTEGER PRIMARY KEY CHECK (id = 1),
    installation TEXT    NOT NULL,
    generation   INTEGER NOT NULL DEFAULT 0,  -- starts of the daemon on this file
    next_number  INTEGER NOT NULL DEFAULT 1,
    changed      INTEGER NOT NULL DEFAULT 0,  -- number of the newest event
    first_kept   INTEGER NOT NULL DEFAULT 0   -- events below it were pruned with their jobs
) STRICT;

CREATE TABLE paused (queue TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;

-- What changes of a job. The columns are for finding it; the record itself is `progress`, JSON.
CREATE TABLE job (
    number    INTEGER PRIMARY KEY,
    key       TEXT NOT NULL,
    queue     TEXT NOT NULL,
    owner     TEXT NOT NULL,
    state     TEXT NOT NULL CHECK (state IN ('pending', 'running', 'finished')),
    outcome   TEXT,
    worker    INTEGER,
    submitted REAL NOT NULL,
    started   REAL,
    finished  REAL,
    changed   INTEGER NOT NULL,
    progress  TEXT NOT NULL,
    CHECK ((state = 'finished') = (finished IS NOT NULL) AND (outcome IS NULL) = (finished IS NULL))
) STRICT;

-- What never changes of a job, apart: SQLite writes whole rows, and a long command list would be
-- written again with every state.
CREATE TABLE submission (number INTEGER PRIMARY KEY, body TEXT NOT NULL) STRICT;

CREATE UNIQUE INDEX job_live_key ON job (key) WHERE finished IS NULL;
CREATE INDEX job_key ON job (key, number) WHERE finished IS NOT NULL;
CREATE INDEX job_live ON job (queue, state, number) WHERE finished IS NULL;
CREATE INDEX job_finished ON job (queue, outcome, finished, number) WHERE finished IS NOT NULL;
CREATE INDEX job_worker ON job (number) WHERE worker IS NOT NULL;
CREATE INDEX job_changed ON job (changed);

-- How many jobs each queue has in each state and outcome ('' while live), so that no list and
-- no start has to count them. Kept by triggers: right whoever changes a row.
CREATE TABLE tally (
    queue   TEXT NOT NULL,
    state   TEXT NOT NULL,
    outcome TEXT NOT NULL,
    jobs    INTEGER NOT NULL,
    PRIMARY KEY (queue, state, outcome)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER job_added AFTER INSERT ON job BEGIN
    INSERT INTO tally VALUES (new.queue, new.state, ifnull(new.outcome, ''), 1)
        ON CONFLICT DO UPDATE SET jobs = jobs + 1;
END;

CREATE TRIGGER job_moved AFTER UPDATE OF state, outcome ON job
WHEN old.state <> new.state OR old.outcome IS NOT new.outcome BEGIN
    UPDATE tally SET jobs = jobs - 1
        WHERE queue = old.queue AND state = old.state AND outcome = ifnull(old.outcome, '');
    INSERT INTO tally VALUES (new.queue, new.state, ifnull(new.outcome, ''), 1)
        ON CONFLICT DO UPDATE SET jobs = jobs + 1;
END;

CREATE TRIGGER job_removed AFTER DELETE ON job BEGIN
    UPDATE tally SET jobs = jobs - 1
        WHERE queue = old.queue AND state = old.state AND outcome = ifnull(old.outcome, '');
    DELETE FROM submission WHERE number = old.number;
END;
