//! MQTT 3.1, 3.1.1 and 5. In: the one packet that a client begins with, `CONNECT`. Out: the addon that is meant, the
//! packet to replay, and the words of a refusal in the version that the client speaks.
//!
//! The packet is read as far as is needed to find the user, who stands last but one in it: its lengths, its flags and its
//! end. What its parts mean (a client id, a will, a method of authentication) is the broker's business. Where a choice is
//! left open mosquitto 2.0 decides. Clients may send more before the answer; that stays for the broker.

mod connect;
mod fault;
mod refusal;

use bytes::{Bytes, BytesMut};

use self::fault::Fault;
use self::refusal::Voice;
use crate::dialect::words::TLS_HANDSHAKE;
use crate::dialect::{Dialect, Identified, Login, Opening, Protocol, Recognised, Refusal, Step};

/// Reads a client's first packet.
#[derive(Debug, Default)]
pub struct FirstPacket {
    /// What the client can understand if it is refused now.
    voice: Voice,
    /// What was wrong with the client's bytes, once something was.
    fault: Option<Fault>,
}

impl FirstPacket {
    /// The dialect of one fresh connection.
    pub fn new() -> Self {
        Self::default()
    }

    fn connect(&mut self, input: &mut BytesMut) -> Result<Step, Fault> {
        if input.first() == Some(&TLS_HANDSHAKE) {
            self.voice = Voice::Alert;
            return Err(Fault::Tls);
        }
        let Some(head) = connect::head(input)? else { return Ok(Step::NeedMore) };
        self.voice = Voice::of(head.version);
        if head.packet_len > Self::PACKET_LEN_MAX {
            return Err(Fault::TooLong(head.packet_len));
        }
        if input.len() < head.packet_len {
            return Ok(Step::NeedMore);
        }
        let packet = input.split_to(head.packet_len).freeze();
        let body = connect::body(&head, &packet)?;
        if let (Voice::Five { packet_len_max }, Some(len)) = (&mut self.voice, body.answer_len_max) {
            *packet_len_max = len;
        }
        let user = body.user.filter(|user| !user.is_empty()).ok_or(Fault::NoUser)?;
        let login = Login::parse(user).map_err(|error| Fault::user(user, error))?;
        Ok(Step::Identified(Identified::new(login, Opening::Replay(packet))))
    }
}

impl FirstPacket {
    /// The longest packet that is read. A will may be longer by the format; mosquitto takes 100,000 bytes.
    pub const PACKET_LEN_MAX: usize = 16 * 1024;
}

impl Dialect for FirstPacket {
    fn protocol(&self) -> Protocol {
        Protocol::Mqtt
    }

    fn step(&mut self, input: &mut BytesMut) -> Step {
        self.connect(input).unwrap_or_else(|fault| {
            let refusal = Refusal::new(fault.reason(), fault.to_string());
            self.fault = Some(fault);
            Step::Refuse(refusal)
        })
    }

    fn refuse(&self, refusal: &Refusal) -> Bytes {
        refusal::bytes(&self.voice, self.fault.as_ref(), refusal)
    }
}

/// Whether these are the first bytes of a `CONNECT`, up to its version: a wrong one the client is to hear of in MQTT's
/// words.
pub fn recognise(first: &[u8]) -> Recognised {
    match connect::head(first) {
        Ok(None) => Recognised::NeedMore,
        Ok(Some(_)) | Err(Fault::Version(_)) => Recognised::Mine,
        Err(_) => Recognised::NotMine,
    }
}

#[cfg(test)]
mod tests {
    use super::connect::tests::packet;
    use super::*;
    use crate::dialect::Reason;

    fn step(bytes: &[u8]) -> (FirstPacket, Step, BytesMut) {
        let (mut dialect, mut input) = (FirstPacket::new(), BytesMut::from(bytes));
        let step = dialect.step(&mut input);
        (dialect, step, input)
    }

    #[test]
    fn the_packet_is_replayed_as_it_came_and_what_is_behind_it_stays() {
        for (name, version) in [("MQTT", 4), ("MQTT", 5), ("MQIsdp", 3), ("MQTT", 0x84)] {
            let bytes = packet(name, version, 0xc2, b"\0\x02id\0\x04blog\0\x02pw");
            let (_, found, rest) = step(&[&bytes[..], b"\x82more"].concat());
            let Step::Identified(found) = found else { panic!("{found:?}") };
            assert_eq!(found.login.name.as_str(), "blog");
            assert!(matches!(found.opening, Opening::Replay(replay) if replay == bytes));
            assert_eq!(rest, &b"\x82more"[..]);
        }
    }

    #[test]
    fn a_packet_may_be_as_long_as_the_limit() {
        let with_will = |len: usize| {
            let will =
                [b"\0\x02id\0\x01t", &(len as u16).to_be_bytes()[..], &vec![0; len], b"\0\x04blog"].concat();
            packet("MQTT", 4, 0x84, &will)
        };
        let overhead = with_will(1000).len() - 1000;
        // One byte more for the length of a longer packet.
        let longest = FirstPacket::PACKET_LEN_MAX - overhead;
        assert_eq!(with_will(longest).len(), FirstPacket::PACKET_LEN_MAX);
        assert!(matches!(step(&with_will(longest)).1, Step::Identified(_)));
        // Refused as soon as its length is there and its version, which says how.
        let refused = step(&with_will(longest + 1)[..12]).1;
        assert!(matches!(refused, Step::Refuse(refusal) if refusal.reason == Reason::TooBig));
    }

    #[test]
    fn a_user_that_can_be_no_addon_is_refused_before_any_look_up() {
        for user in ["", "Blog", "127.0.0.1", "a b", "blog\n"] {
            let user = [&(user.len() as u16).to_be_bytes()[..], user.as_bytes()].concat();
            let (dialect, refused, _) = step(&packet("MQTT", 4, 0x80, &[b"\0\0", &user[..]].concat()));
            let Step::Refuse(refusal) = refused else { panic!("{refused:?}") };
            assert_eq!(
                (refusal.reason, dialect.refuse(&refusal)),
                (Reason::UnknownName, Bytes::from("\x20\x02\0\x05"))
            );
        }
    }
}
