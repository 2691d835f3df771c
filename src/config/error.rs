//! What is wrong with a configuration, and where.

use std::path::{Path, PathBuf};

/// Why a configuration cannot be used. The text says where and what was expected.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file's text is wrong.
    #[error("{path}:{line}:{column}: {message}\n{shown}")]
    Text {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
        /// What is wrong and what was expected.
        message: String,
        /// The offending line with a mark below it.
        shown: String,
    },
    /// A `PIERHEAD_*` variable is wrong.
    #[error("{variable}={value:?}: {message}")]
    Variable {
        /// Its name.
        variable: String,
        /// Its value.
        value: String,
        /// What is wrong and what was expected.
        message: String,
    },
}

/// A parse error with its place.
pub(super) fn located(text: &str, path: &Path, error: &toml::de::Error) -> ConfigError {
    at_offset(text, path, error.span().map_or(0, |span| span.start), error.message().to_owned())
}

/// An error at a byte offset of the text.
pub(super) fn at_offset(text: &str, path: &Path, offset: usize, message: String) -> ConfigError {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
    let source = text.lines().nth(line - 1).unwrap_or("");
    let shown = format!("  | {source}\n  | {:>column$}", "^");
    ConfigError::Text { path: path.to_owned(), line, column, message, shown }
}
