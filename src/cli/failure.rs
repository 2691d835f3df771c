//! Why a verb did not do what was asked, and the exit code that says so.

use std::process::ExitCode;

use crate::control::api::types::{ErrorBody, ErrorView};

/// Why a verb failed.
#[derive(Clone, Debug, PartialEq)]
pub struct Failure {
    code: u8,
    error: ErrorView,
}

impl Failure {
    fn new(code: u8, word: &str, message: impl Into<String>) -> Self {
        Failure { code, error: ErrorView { code: word.into(), message: message.into(), hint: String::new() } }
    }

    /// 1: it was tried and went wrong.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::new(1, "failed", message)
    }

    /// 2: it was asked for in the wrong way.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(2, "usage", message)
    }

    /// 5: it did not happen in time.
    pub fn timed_out(message: impl Into<String>) -> Self {
        Self::new(5, "timed_out", message)
    }

    /// What the API refused, with the exit code that its status stands for.
    pub fn refused(status: u16, error: ErrorView) -> Self {
        let code = match status {
            400 | 413 | 422 => 2,
            404 => 3,
            409 => 4,
            _ => 1,
        };
        Failure { code, error }
    }

    /// The same with what to do next.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.error.hint = hint.into();
        self
    }

    /// What went wrong, for people.
    pub fn message(&self) -> &str {
        &self.error.message
    }

    /// The same with what to do next.
    pub fn message_and_hint(&self) -> String {
        format!("{}: {}", self.error.message, self.error.hint)
    }

    /// Whether it is that there is no such thing.
    pub fn is_not_found(&self) -> bool {
        self.code == 3
    }

    /// Says it on stderr.
    pub fn report(self, json: bool) -> ExitCode {
        if json {
            let text = serde_json::to_string(&ErrorBody { error: self.error }).unwrap_or_default();
            eprintln!("{text}");
        } else {
            eprintln!("pierhead: {}", self.error.message);
            if !self.error.hint.is_empty() {
                eprintln!("  -> {}", self.error.hint);
            }
        }
        ExitCode::from(self.code)
    }
}
