-- The schema of the embedded store, version 1.
--
-- The first five tables are those that every Lars tool expects, in the columns of the C++ system; what Lars adds are
-- columns on RouteData and the tables called lars_*. There are no constraints on what other programs may write: a row
-- that cannot be served is told apart when it is read.

-- One node of one module. AUTOINCREMENT: an id is never taken twice, so that a removed and an added row never look
-- like none. The index finds a module, and in it a node.
CREATE TABLE RouteData (
    id         INTEGER PRIMARY KEY AUTOINCREMENT CHECK (id > 0),
    modid      INTEGER NOT NULL,
    cmdid      INTEGER NOT NULL,
    serverip   INTEGER NOT NULL,                     -- IPv4, most significant octet first; 0 beside serverip6
    serverport INTEGER NOT NULL,
    weight     INTEGER NOT NULL DEFAULT 100,         -- 1 to 10000
    zone       TEXT    NOT NULL DEFAULT '',          -- at most 32 bytes; empty for none
    state      TEXT    NOT NULL DEFAULT 'serving',   -- serving or draining
    serverip6  BLOB                                  -- IPv6, 16 bytes; NULL beside serverip
);
CREATE INDEX RouteData_module ON RouteData (modid, cmdid, serverip, serverport, serverip6);

-- One row, id 1: the Unix time in seconds of the last change, or one more than the last where two fall together.
CREATE TABLE RouteVersion (
    id      INTEGER PRIMARY KEY,
    version INTEGER NOT NULL
);
INSERT INTO RouteVersion (id, version) VALUES (1, 0);

-- One row for each changed module of each change.
CREATE TABLE RouteChange (
    id      INTEGER PRIMARY KEY AUTOINCREMENT CHECK (id > 0),
    modid   INTEGER NOT NULL,
    cmdid   INTEGER NOT NULL,
    version INTEGER NOT NULL
);

-- The last window of each caller and IPv4 node.
CREATE TABLE ServerCallStatus (
    modid    INTEGER NOT NULL,
    cmdid    INTEGER NOT NULL,
    ip       INTEGER NOT NULL,
    port     INTEGER NOT NULL,
    caller   INTEGER NOT NULL,                       -- the agent's IPv4 address
    succ_cnt INTEGER NOT NULL,
    err_cnt  INTEGER NOT NULL,
    ts       INTEGER NOT NULL,                       -- Unix seconds of the window's last change
    overload TEXT    NOT NULL,                       -- '0' or '1'
    PRIMARY KEY (modid, cmdid, ip, port, caller)
) WITHOUT ROWID;

-- Its twin for IPv6 nodes: ip has 16 bytes.
CREATE TABLE lars_call_status6 (
    modid    INTEGER NOT NULL,
    cmdid    INTEGER NOT NULL,
    ip       BLOB    NOT NULL,
    port     INTEGER NOT NULL,
    caller   INTEGER NOT NULL,
    succ_cnt INTEGER NOT NULL,
    err_cnt  INTEGER NOT NULL,
    ts       INTEGER NOT NULL,
    overload TEXT    NOT NULL,
    PRIMARY KEY (modid, cmdid, ip, port, caller)
) WITHOUT ROWID;

-- Names for people.
CREATE TABLE ModIDConfig (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    modid   INTEGER NOT NULL,
    content CHAR(255) NOT NULL
);
CREATE TABLE CmdIDConfig (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    cmdid   INTEGER NOT NULL,
    content CHAR(255) NOT NULL
);

-- Sums of calls by minute and node, over all callers. The minute comes first in the key: what is written now stands
-- together, and what has grown too old is one range.
CREATE TABLE lars_history (
    minute         INTEGER NOT NULL,                 -- Unix seconds / 60
    modid          INTEGER NOT NULL,
    cmdid          INTEGER NOT NULL,
    ip             BLOB    NOT NULL,                 -- 16 bytes, IPv4 mapped into IPv6
    port           INTEGER NOT NULL,
    ok             INTEGER NOT NULL,
    failed         INTEGER NOT NULL,
    timed_out      INTEGER NOT NULL,
    cancelled      INTEGER NOT NULL,
    latency_sum_us INTEGER NOT NULL,
    latency_max_us INTEGER NOT NULL,
    PRIMARY KEY (minute, modid, cmdid, ip, port)
) WITHOUT ROWID;

-- The newest stored batch of each incarnation of an agent.
CREATE TABLE lars_ack (
    incarnation BLOB    NOT NULL PRIMARY KEY,        -- 16 bytes
    seq         INTEGER NOT NULL,
    stored_ts   INTEGER NOT NULL                     -- Unix seconds
) WITHOUT ROWID;
CREATE INDEX lars_ack_stored ON lars_ack (stored_ts);

-- One row: the version of all this.
CREATE TABLE lars_schema (
    version INTEGER NOT NULL
);
INSERT INTO lars_schema (version) VALUES (1);
