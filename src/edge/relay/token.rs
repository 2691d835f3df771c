//! The number by which a completion is known again.

use crate::routes::Direction;

/// What was asked of the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// Receive from a flow's source.
    Recv(Direction),
    /// Send to a flow's sink.
    Send(Direction),
    /// A flow's source is readable.
    Readable(Direction),
    /// A flow's sink is writable.
    Writable(Direction),
    /// A connection was accepted.
    Accept,
    /// Another thread has left a message.
    Mail,
    /// Nobody waits for it (cancellations).
    Ignored,
}

/// An operation and the index of the pair, or listener, that it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token {
    /// What was asked.
    pub op: Op,
    /// For whom.
    pub index: u32,
}

impl Token {
    /// Packs the token into the ring's `user_data`.
    pub fn encode(self) -> u64 {
        let op: u64 = match self.op {
            Op::Recv(direction) => direction as u64,
            Op::Send(direction) => 2 + direction as u64,
            Op::Readable(direction) => 4 + direction as u64,
            Op::Writable(direction) => 6 + direction as u64,
            Op::Accept => 8,
            Op::Mail => 9,
            Op::Ignored => 10,
        };
        op << 32 | u64::from(self.index)
    }

    /// Unpacks what [`Token::encode`] has packed.
    ///
    /// # Panics
    /// For a number that it cannot have packed: then the ring is not ours.
    pub fn decode(user_data: u64) -> Self {
        let direction = Direction::ALL[(user_data >> 32 & 1) as usize];
        let op = match user_data >> 32 {
            0 | 1 => Op::Recv(direction),
            2 | 3 => Op::Send(direction),
            4 | 5 => Op::Readable(direction),
            6 | 7 => Op::Writable(direction),
            8 => Op::Accept,
            9 => Op::Mail,
            10 => Op::Ignored,
            other => panic!("completion of an unknown operation {other}"),
        };
        Token { op, index: user_data as u32 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_survive_the_ring() {
        let ops = Direction::ALL.into_iter().flat_map(|direction| {
            [Op::Recv(direction), Op::Send(direction), Op::Readable(direction), Op::Writable(direction)]
        });
        for op in ops.chain([Op::Accept, Op::Mail, Op::Ignored]) {
            let token = Token { op, index: u32::MAX - 1 };
            assert_eq!(Token::decode(token.encode()), token);
        }
    }
}
