//! What a flow asks for, and what it is told about a pump.

/// Which lane a flow may take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RelayMode {
    /// Copy what is small, splice what streams.
    #[default]
    Auto,
    /// Always copy.
    Copy,
    /// Always splice.
    Splice,
}

/// Bytes in a buffer of the ring that wait to be sent. `B` names the buffer.
#[derive(Debug)]
pub struct Held<B> {
    /// The buffer.
    pub buffer: B,
    /// First byte to send.
    pub start: u32,
    /// One past the last byte to send.
    pub end: u32,
}

/// What the engine has to do for a flow.
#[derive(Debug, PartialEq, Eq)]
pub enum Action<B> {
    /// Receive from the source; `multi` until stopped, else once.
    Recv {
        /// Until stopped, not once.
        multi: bool,
    },
    /// Cancel the receive.
    StopRecv,
    /// Send [`Flow::front`] to the sink.
    Send,
    /// Append these bytes to [`Flow::spill_mut`] and give the buffer back.
    Spill(B, std::ops::Range<u32>),
    /// Send from [`Flow::spill`] to the sink.
    SendSpill,
    /// Give the buffer back.
    Release(B),
    /// Tell when the source is readable.
    AwaitReadable,
    /// Tell when the sink takes bytes again.
    AwaitWritable,
    /// Splice from the source through a pipe to the sink.
    Pump,
    /// Everything is delivered and the source has ended: end the sink's stream (half-close).
    Finish,
    /// The source was reset: reset the sink.
    Abort,
}

/// Why a pump stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PumpStop {
    /// The source has no more for now, and the pipe is empty.
    SourceEmpty,
    /// The sink takes no more for now; the pipe holds bytes.
    SinkFull,
    /// The byte budget of this turn is used up.
    Budget,
    /// No pipe was to be had: copy for now.
    NoPipe,
    /// The source has ended, and the pipe is empty.
    Eof,
    /// The source was reset.
    Reset,
    /// The sink is gone.
    SinkGone,
}
