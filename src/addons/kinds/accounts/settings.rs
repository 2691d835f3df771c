//! Settings that an addon may have its own values for. In come names and values; out go arguments for the engine's start, and
//! scripts that tell a running engine.
//!
//! Only what tunes an engine is here. What leads out of the container, runs programs or takes Pierhead's own hold away is
//! not: the operator's `[kind.NAME] args` may say anything.

use super::postgres::psql;
use super::{MysqlAccounts, PostgresAccounts, RedisAccounts, Script};
use crate::dialect::mysql::Flavour;

/// The settings of an engine.
pub trait Settings: Send + Sync {
    /// Those that an addon may have its own values for.
    fn names(&self) -> Vec<&'static str>;

    /// What the engine is told at its start.
    fn args(&self, name: &str, value: &str) -> Vec<String>;

    /// Gives a running engine a value, or its default again. What the engine refuses changes nothing, and the script fails.
    /// It writes [`LIVE`] if the value holds from now on; otherwise it does from the next start on.
    fn apply(&self, name: &str, value: Option<&str>) -> Script;
}

/// What [`Settings::apply`] writes last if no restart is needed.
pub const LIVE: &str = "live";

impl Settings for PostgresAccounts {
    fn names(&self) -> Vec<&'static str> {
        POSTGRES.to_vec()
    }

    fn args(&self, name: &str, value: &str) -> Vec<String> {
        vec!["-c".to_owned(), format!("{name}={value}")]
    }

    /// `ALTER SYSTEM` looks at the value. What stands in the command line counts more, until the next start.
    fn apply(&self, name: &str, value: Option<&str>) -> Script {
        let change = match value {
            Some(value) => format!("SET {name} = '{value}'"),
            None => format!("RESET {name}"),
        };
        // Only the server's other processes hear of a reload at once: this session is asked anew.
        let asks = format!(
            "\\c\nSELECT CASE WHEN context = 'postmaster' OR source = 'command line' THEN 'restart' ELSE '{LIVE}' END \
             FROM pg_settings WHERE name = '{name}';\n"
        );
        psql("postgres", format!("ALTER SYSTEM {change};\nSELECT pg_reload_conf();\n{asks}"))
    }
}

impl Settings for MysqlAccounts {
    fn names(&self) -> Vec<&'static str> {
        let own = match self.flavour {
            Flavour::Mariadb => "max_statement_time",
            Flavour::Mysql => "max_execution_time",
        };
        [MYSQL, &[own]].concat()
    }

    fn args(&self, name: &str, value: &str) -> Vec<String> {
        vec![format!("--{name}={value}")]
    }

    /// All of them can be changed while the server runs; sessions that are open keep what they have.
    fn apply(&self, name: &str, value: Option<&str>) -> Script {
        let value = value.map_or("DEFAULT".to_owned(), mysql_value);
        self.sql(&format!("SET GLOBAL {name} = {value};\nSELECT '{LIVE}';\n"))
    }
}

/// A number, with the suffixes that only the command line knows; else a word.
fn mysql_value(value: &str) -> String {
    let (digits, factor) = match value.char_indices().last() {
        Some((at, 'k' | 'K')) => (&value[..at], 1_u64 << 10),
        Some((at, 'm' | 'M')) => (&value[..at], 1 << 20),
        Some((at, 'g' | 'G')) => (&value[..at], 1 << 30),
        _ => (value, 1),
    };
    match (digits.parse::<u64>().ok().and_then(|number| number.checked_mul(factor)), value.parse::<f64>()) {
        (Some(number), _) => number.to_string(),
        (None, Ok(_)) => value.to_owned(),
        (None, Err(_)) => format!("'{value}'"),
    }
}

impl Settings for RedisAccounts {
    fn names(&self) -> Vec<&'static str> {
        REDIS.to_vec()
    }

    fn args(&self, name: &str, value: &str) -> Vec<String> {
        vec![format!("--{name}"), value.to_owned()]
    }

    /// The server does not tell its defaults: they come with the next start.
    fn apply(&self, name: &str, value: Option<&str>) -> Script {
        match value {
            Some(value) => self.commands(format!("CONFIG SET {name} \"{value}\"\nECHO {LIVE}\n"), |said| {
                said == format!("OK\n{LIVE}")
            }),
            None => self.commands("ECHO restart\n".to_owned(), |said| said == "restart"),
        }
    }
}

const POSTGRES: &[&str] = &[
    "autovacuum_analyze_scale_factor",
    "autovacuum_max_workers",
    "autovacuum_naptime",
    "autovacuum_vacuum_cost_limit",
    "autovacuum_vacuum_scale_factor",
    "checkpoint_timeout",
    "default_statistics_target",
    "effective_cache_size",
    "effective_io_concurrency",
    "hash_mem_multiplier",
    "idle_in_transaction_session_timeout",
    "idle_session_timeout",
    "jit",
    "lock_timeout",
    "log_lock_waits",
    "log_min_duration_statement",
    "log_statement",
    "maintenance_work_mem",
    "max_connections",
    "max_parallel_workers",
    "max_parallel_workers_per_gather",
    "max_replication_slots",
    "max_wal_senders",
    "max_wal_size",
    "max_worker_processes",
    "min_wal_size",
    "random_page_cost",
    "shared_buffers",
    "statement_timeout",
    "synchronous_commit",
    "temp_file_limit",
    "track_io_timing",
    "wal_level",
    "work_mem",
];

const MYSQL: &[&str] = &[
    "character_set_server",
    "collation_server",
    "event_scheduler",
    "innodb_buffer_pool_size",
    "innodb_flush_log_at_trx_commit",
    "innodb_lock_wait_timeout",
    "interactive_timeout",
    "join_buffer_size",
    "long_query_time",
    "max_allowed_packet",
    "max_connections",
    "max_heap_table_size",
    "slow_query_log",
    "sort_buffer_size",
    "sql_mode",
    "tmp_table_size",
    "wait_timeout",
];

const REDIS: &[&str] = &[
    "activedefrag",
    "appendfsync",
    "hz",
    "lazyfree-lazy-eviction",
    "lazyfree-lazy-expire",
    "maxclients",
    "maxmemory-policy",
    "maxmemory-samples",
    "notify-keyspace-events",
    "slowlog-log-slower-than",
    "slowlog-max-len",
    "tcp-keepalive",
    "timeout",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_mysql_lose_their_suffix() {
        for (value, said) in [
            ("64M", "67108864"),
            ("0.5", "0.5"),
            ("ON", "'ON'"),
            ("100", "100"),
            ("STRICT,M", "'STRICT,M'"),
            ("1g", "1073741824"),
        ] {
            assert_eq!(mysql_value(value), said);
        }
    }

    #[test]
    fn none_of_them_runs_programs_or_lets_anybody_in() {
        for dangerous in
            ["command", "library", "libraries", "listen", "hba", "_file", "dir", "plugin", "init_"]
        {
            for names in [POSTGRES, MYSQL, REDIS] {
                assert!(names.iter().all(|name| !name.contains(dangerous)), "{dangerous}");
            }
        }
    }
}
