-- The method that a job was called as, and what lists by method and by outcome are answered from.

-- '' for a job that was not called as a method. It never changes.
ALTER TABLE job ADD COLUMN method TEXT NOT NULL DEFAULT '';

-- Both end with the number, which every index has at its end. A job without a method is not in the first.
CREATE INDEX job_method ON job (method, state, outcome) WHERE method <> '';
CREATE INDEX job_outcome ON job (outcome) WHERE finished IS NOT NULL;
