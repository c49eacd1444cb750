-- Changes of nodes' states, version 2. One change in one agent's eyes, stored once however often it is sent.

CREATE TABLE lars_change (
    incarnation BINARY(16) NOT NULL,
    number      BIGINT UNSIGNED NOT NULL,
    caller      INT UNSIGNED NOT NULL,
    unix_ms     BIGINT UNSIGNED NOT NULL,
    modid       INT UNSIGNED NOT NULL,
    cmdid       INT UNSIGNED NOT NULL,
    ip          BINARY(16) NOT NULL,
    port        SMALLINT UNSIGNED NOT NULL,
    state_from  VARCHAR(16) NOT NULL,
    state_to    VARCHAR(16) NOT NULL,
    reason      VARBINARY(400) NOT NULL,
    PRIMARY KEY (incarnation, number),
    INDEX lars_change_time (unix_ms)
) ENGINE = InnoDB;

UPDATE lars_schema SET version = 2;
