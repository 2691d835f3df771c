//! `pierhead events`: what has happened, and what happens from now on.

use http_body_util::BodyExt;

use super::client::Client;
use super::{Failure, show};
use crate::control::api::types::{EventList, EventView};
use crate::dialect::Name;

/// Shows the latest `tail` events of an addon, or of all; with `follow` also those to come, until the server ends.
pub async fn events(
    client: &Client,
    name: Option<&Name>,
    follow: bool,
    tail: u32,
    json: bool,
) -> Result<(), Failure> {
    let addon = name.map(|name| format!("&addon={name}")).unwrap_or_default();
    let path = format!("/v1/events?tail={tail}{addon}");
    if follow {
        return stream(client, &format!("{path}&follow=true"), json).await;
    }
    let list: EventList = client.get(&path).await?;
    if json { show::json(&list) } else { show::events(&list.events) }
}

/// One line for each, as it comes.
async fn stream(client: &Client, path: &str, json: bool) -> Result<(), Failure> {
    let mut body = client.stream(path).await?;
    let mut received = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Failure::failed(format!("the events broke off: {error}")))?;
        received.extend_from_slice(frame.data_ref().map_or(&[], |bytes| &bytes[..]));
        for event in taken(&mut received) {
            let event: EventView = serde_json::from_slice(&event)
                .map_err(|error| Failure::failed(format!("an event cannot be understood: {error}")))?;
            if json { show::json_line(&event)? } else { show::event(&event)? }
        }
    }
    Ok(())
}

/// Takes the data of all whole lines off the front. A server-sent event has one line of data here
/// (<https://html.spec.whatwg.org/multipage/server-sent-events.html>); the others repeat what is in it.
fn taken(received: &mut Vec<u8>) -> Vec<Vec<u8>> {
    let Some(end) = received.iter().rposition(|byte| *byte == b'\n') else { return vec![] };
    let whole: Vec<u8> = received.drain(..=end).collect();
    let data = whole.split(|byte| *byte == b'\n').filter_map(|line| line.strip_prefix(b"data: "));
    data.map(<[u8]>::to_vec).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_found_wherever_the_stream_is_cut() {
        let stream = b"id: 1\nevent: state\ndata: {\"a\":1}\n\n:\n\nid: 2\ndata: {}\n\n";
        for cut in 0..stream.len() {
            let (mut received, mut found) = (vec![], vec![]);
            for part in [&stream[..cut], &stream[cut..]] {
                received.extend_from_slice(part);
                found.extend(taken(&mut received));
            }
            assert_eq!(found, [&b"{\"a\":1}"[..], b"{}"], "cut at {cut}");
        }
    }
}
