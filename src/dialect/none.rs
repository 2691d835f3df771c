//! No dialect: the listener itself says who is meant. For tools whose protocol carries no name, and for an addon
//! that needs a port of its own. Nothing is read, so server-first protocols work too.

use bytes::{Bytes, BytesMut};

use super::{By, Dialect, Identified, Login, Name, Opening, Protocol, Refusal, Step};

/// Leads every connection to one addon.
#[derive(Debug)]
pub struct Fixed {
    to: Name,
}

impl Fixed {
    /// A dialect that always names `to`.
    pub fn new(to: Name) -> Self {
        Fixed { to }
    }
}

impl Dialect for Fixed {
    fn protocol(&self) -> Protocol {
        Protocol::None
    }

    fn step(&mut self, _input: &mut BytesMut) -> Step {
        let login = Login { name: self.to.clone(), role: None };
        let identified = Identified::new(login, Opening::Replay(Bytes::new()));
        Step::Identified(Identified { by: By::Listener, ..identified })
    }

    /// There are no words that every protocol understands: the connection is closed.
    fn refuse(&self, _refusal: &Refusal) -> Bytes {
        Bytes::new()
    }
}
