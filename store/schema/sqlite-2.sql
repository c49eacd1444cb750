-- The schema of the embedded store, version 2: changes of nodes' states.

-- One change in one agent's eyes, stored once however often it is sent. Times are report's clock minus the age that the agent told.
CREATE TABLE lars_change (
    incarnation BLOB    NOT NULL,                    -- of the agent, 16 bytes
    number      INTEGER NOT NULL,                    -- counts its changes from 1
    caller      INTEGER NOT NULL,                    -- the agent's IPv4 address
    unix_ms     INTEGER NOT NULL,
    modid       INTEGER NOT NULL,
    cmdid       INTEGER NOT NULL,
    ip          BLOB    NOT NULL,                    -- 16 bytes, IPv4 mapped into IPv6
    port        INTEGER NOT NULL,
    state_from  TEXT    NOT NULL,                    -- idle, overloaded, probing or draining
    state_to    TEXT    NOT NULL,
    reason      TEXT    NOT NULL,
    PRIMARY KEY (incarnation, number)
) WITHOUT ROWID;
CREATE INDEX lars_change_time ON lars_change (unix_ms);
