//! Waiting for an addon, with a progress bar on a terminal and plain lines elsewhere. All of it on stderr.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::Failure;
use super::client::Client;
use crate::config::Millis;
use crate::control::api::types::{AddonView, Progress};
use crate::dialect::Name;

/// Waits until nothing is left to do about an addon. `None`: it is gone, as it was wanted to be.
pub async fn until_settled(
    client: &Client,
    name: &Name,
    timeout: Millis,
) -> Result<Option<AddonView>, Failure> {
    let deadline = Instant::now() + timeout.get();
    let mut display = Display::new(name);
    loop {
        let addon: AddonView = match client.get(&format!("/v1/addons/{name}")).await {
            Ok(addon) => addon,
            Err(failure) if failure.is_not_found() && display.destroying => return Ok(None),
            Err(failure) => return Err(failure),
        };
        if addon.state == "error" {
            let reason = addon.reason.as_deref().unwrap_or("no reason is known");
            let more = if addon.container.is_some() { "logs" } else { "events" };
            let hint = format!("`pierhead {more} {name}` may say more; `pierhead start {name}` tries again");
            return Err(Failure::failed(format!("{name} is in error: {reason}")).hint(hint));
        }
        if addon.settled {
            return Ok(Some(addon));
        }
        display.show(&addon);
        if Instant::now() >= deadline {
            let reason = addon.reason.map(|reason| format!(": {reason}")).unwrap_or_default();
            let message = format!("{name} is still {} after {:?}{reason}", addon.state, timeout.get());
            return Err(
                Failure::timed_out(message).hint(format!("it goes on; `pierhead wait {name}` waits longer"))
            );
        }
        tokio::time::sleep(PERIOD).await;
    }
}

struct Display {
    name: Name,
    bar: Option<ProgressBar>,
    /// What was said last, where there is no bar.
    said: String,
    /// An addon that is then not found has gone as it should.
    destroying: bool,
}

impl Display {
    fn new(name: &Name) -> Self {
        let bar = std::io::stderr().is_terminal().then(ProgressBar::new_spinner);
        if let Some(bar) = &bar {
            bar.enable_steady_tick(Duration::from_millis(100));
        }
        Display { name: name.clone(), bar, said: String::new(), destroying: false }
    }

    fn show(&mut self, addon: &AddonView) {
        self.destroying |= addon.desired == "destroyed";
        let detail = addon.progress.as_ref().map_or("", |progress| progress.detail.as_str());
        let detail = if detail.is_empty() { addon.state.as_str() } else { detail };
        let retry = addon.reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
        let text = format!("{}: {detail}{retry}", self.name);
        match &self.bar {
            Some(bar) => draw(bar, text, addon.progress.as_ref()),
            None if self.said != text => {
                eprintln!("{text}");
                self.said = text;
            }
            None => {}
        }
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn draw(bar: &ProgressBar, text: String, progress: Option<&Progress>) {
    let (template, current, total) = match progress {
        Some(Progress { current, total, .. }) if *total > 0 => (PULLING, *current, *total),
        _ => ("{spinner} {wide_msg} {elapsed}", 0, 0),
    };
    // The templates are constants that are drawn by every test; without one the bar is drawn as usual.
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.set_length(total);
    bar.set_position(current);
    bar.set_message(text);
}

const PULLING: &str = "{spinner} {msg} [{bar:30}] {bytes}/{total_bytes} {bytes_per_sec} {elapsed}";
const PERIOD: Duration = Duration::from_millis(150);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_templates_are_sound() {
        for template in [PULLING, "{spinner} {wide_msg} {elapsed}"] {
            ProgressStyle::with_template(template).unwrap();
        }
    }
}
