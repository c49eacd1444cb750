-- What Lars adds to the tables of the C++ system, version 1. The new columns have defaults, so that programs which do
-- not know them write rows as before.

ALTER TABLE RouteData
    ADD COLUMN weight     INT UNSIGNED NOT NULL DEFAULT 100,
    ADD COLUMN zone       VARCHAR(32)  NOT NULL DEFAULT '',
    ADD COLUMN state      VARCHAR(16)  NOT NULL DEFAULT 'serving',
    ADD COLUMN serverip6  VARBINARY(16) NULL,
    ADD INDEX  lars_module (modid, cmdid, serverip, serverport);

CREATE TABLE lars_call_status6 (
    modid    INT UNSIGNED NOT NULL,
    cmdid    INT UNSIGNED NOT NULL,
    ip       BINARY(16) NOT NULL,
    port     INT UNSIGNED NOT NULL,
    caller   INT UNSIGNED NOT NULL,
    succ_cnt INT UNSIGNED NOT NULL,
    err_cnt  INT UNSIGNED NOT NULL,
    ts       BIGINT NOT NULL,
    overload CHAR(1) NOT NULL,
    PRIMARY KEY (modid, cmdid, ip, port, caller)
) ENGINE = InnoDB;

-- The minute comes first in the key: what is written now stands together, and what has grown too old is one range.
CREATE TABLE lars_history (
    minute         BIGINT UNSIGNED NOT NULL,
    modid          INT UNSIGNED NOT NULL,
    cmdid          INT UNSIGNED NOT NULL,
    ip             BINARY(16) NOT NULL,
    port           SMALLINT UNSIGNED NOT NULL,
    ok             BIGINT NOT NULL,
    failed         BIGINT NOT NULL,
    timed_out      BIGINT NOT NULL,
    cancelled      BIGINT NOT NULL,
    latency_sum_us BIGINT NOT NULL,
    latency_max_us INT UNSIGNED NOT NULL,
    PRIMARY KEY (minute, modid, cmdid, ip, port)
) ENGINE = InnoDB;

CREATE TABLE lars_ack (
    incarnation BINARY(16) NOT NULL PRIMARY KEY,
    seq         BIGINT UNSIGNED NOT NULL,
    stored_ts   BIGINT UNSIGNED NOT NULL,
    INDEX lars_ack_stored (stored_ts)
) ENGINE = InnoDB;

CREATE TABLE lars_schema (
    version INT UNSIGNED NOT NULL
) ENGINE = InnoDB;

INSERT INTO lars_schema (version) VALUES (1);
