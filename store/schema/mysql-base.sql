-- The tables that every Lars tool expects, in the columns of the C++ system: what `lars migrate` makes in an empty
-- database. In an existing one they stay as they are.

CREATE TABLE IF NOT EXISTS RouteData (
    id         INT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
    modid      INT UNSIGNED NOT NULL,
    cmdid      INT UNSIGNED NOT NULL,
    serverip   INT UNSIGNED NOT NULL,
    serverport INT UNSIGNED NOT NULL
) ENGINE = InnoDB DEFAULT CHARSET = utf8;

CREATE TABLE IF NOT EXISTS RouteVersion (
    id      INT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
    version INT UNSIGNED NOT NULL
) ENGINE = InnoDB DEFAULT CHARSET = utf8;

CREATE TABLE IF NOT EXISTS RouteChange (
    id      INT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
    modid   INT UNSIGNED NOT NULL,
    cmdid   INT UNSIGNED NOT NULL,
    version BIGINT NOT NULL
) ENGINE = InnoDB DEFAULT CHARSET = utf8;

CREATE TABLE IF NOT EXISTS ServerCallStatus (
    modid    INT UNSIGNED NOT NULL,
    cmdid    INT UNSIGNED NOT NULL,
    ip       INT UNSIGNED NOT NULL,
    port     INT UNSIGNED NOT NULL,
    caller   INT UNSIGNED NOT NULL,
    succ_cnt INT UNSIGNED NOT NULL,
    err_cnt  INT UNSIGNED NOT NULL,
    ts       BIGINT NOT NULL,
    overload CHAR(1) NOT NULL,
    PRIMARY KEY (modid, cmdid, ip, port, caller)
) ENGINE = InnoDB DEFAULT CHARSET = utf8;

CREATE TABLE IF NOT EXISTS ModIDConfig (
    id      INT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
    modid   INT UNSIGNED NOT NULL,
    content CHAR(255) NOT NULL
) ENGINE = InnoDB DEFAULT CHARSET = utf8;

CREATE TABLE IF NOT EXISTS CmdIDConfig (
    id      INT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
    cmdid   INT UNSIGNED NOT NULL,
    content CHAR(255) NOT NULL
) ENGINE = InnoDB DEFAULT CHARSET = utf8;
