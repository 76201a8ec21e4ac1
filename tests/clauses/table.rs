//! The clauses of RFC 6455 that bind a server, in our own words. Left out is what binds clients, intermediaries and
//! extensions only, what merely defines or allows, and 4.2.2 (1): TLS ends in front of this server.

/// A duty, and how to recognise a comment that speaks of it: it cites the section and has the word.
pub struct Clause {
    pub section: &'static str,
    /// Tells the duties of one section apart.
    pub word: &'static str,
    pub duty: &'static str,
}

const fn clause(section: &'static str, word: &'static str, duty: &'static str) -> Clause {
    Clause { section, word, duty }
}

pub const CLAUSES: &[Clause] = &[
    // The opening handshake.
    clause(
        "4.2.1",
        "error code",
        "a handshake that is not as described gets an error status, and no further reading",
    ),
    clause("4.2.1", "(1)", "a GET of HTTP/1.1 or higher, for a path or an absolute URI"),
    clause("4.2.1", "(2)", "with a Host"),
    clause("4.2.1", "(3)", "with an Upgrade that has `websocket`, in any case"),
    clause("4.2.1", "(4)", "with a Connection that has `upgrade`, in any case"),
    clause("4.2.1", "(5)", "with a key that is 16 bytes in base64"),
    clause("4.2.1", "(6)", "with version 13"),
    clause("4.2.1", "(10)", "other fields may be there; those that are unknown are ignored"),
    clause("4.2.2", "origin", "an origin that is not wanted gets an error such as 403"),
    clause(
        "4.2.2",
        "version",
        "a version that is not spoken gets an error such as 426, and the version that is",
    ),
    clause("4.2.2", "resource name", "a service that is not there gets an error such as 404"),
    clause("4.2.2", "subprotocol", "the subprotocol is one of those offered, or the field is left out"),
    clause("4.2.2", "extensions", "the extensions are among those offered, or the field is left out"),
    clause("4.2.2", "(5.1)", "what is accepted is answered with 101"),
    clause("4.2.2", "(5.2)", "with Upgrade: websocket"),
    clause("4.2.2", "(5.3)", "with Connection: Upgrade"),
    clause("4.2.2", "(5.4)", "with the hash of the key"),
    clause("4.4", "version", "who asks for another version is told all that are spoken"),
    // Frames.
    clause("5.1", "not masked", "a frame that is not masked ends the connection"),
    clause("5.1", "MUST NOT mask", "the server's own frames are not masked"),
    clause("5.2", "RSV", "a reserved bit without an extension for it fails the connection"),
    clause("5.2", "opcode", "an unknown opcode fails the connection"),
    clause("5.2", "significant bit", "a length of 64 bits begins with a 0"),
    clause("5.2", "minimal", "a length has its shortest form, in both directions"),
    clause("5.2", "byte order", "a length is in network byte order, in both directions"),
    clause("5.3", "MOD 4", "byte i is unmasked with byte i modulo 4 of the key"),
    clause("5.4", "in the middle", "control frames in the middle of a message are dealt with"),
    clause("5.4", "order", "fragments make the message in the order in which they came"),
    clause("5.4", "interleaved", "the fragments of two messages do not mix"),
    clause("5.4", "unfragmented", "messages are understood in one frame and in several"),
    clause("5.5", "125", "a control frame has at most 125 bytes, in both directions"),
    clause("5.5", "fragmented", "a control frame is not fragmented, in both directions"),
    clause("5.5.1", "first two bytes", "a close payload begins with a code of two bytes"),
    clause("5.5.1", "UTF-8", "behind it stands text"),
    clause("5.5.1", "data frames", "no data is sent behind a Close"),
    clause("5.5.1", "in response", "a Close is answered by a Close, as soon as is practical"),
    clause("5.5.1", "TCP", "after a Close both ways the server closes TCP at once"),
    clause("5.5.2", "pong", "a ping is answered by a pong, unless a Close has come, as soon as is practical"),
    clause("5.5.3", "payload", "a pong has the payload of its ping"),
    clause("5.6", "UTF-8", "a text message as a whole is valid UTF-8"),
    clause("5.8", "negotiate", "an extension is used only if the handshake has agreed on it"),
    // Closing.
    clause("7.1.1", "cleanly", "TCP is closed cleanly, what still arrives is read and thrown away"),
    clause("7.1.1", "first", "in most cases the server is the first to close TCP"),
    clause(
        "7.1.2",
        "code",
        "the closing handshake begins with a Close that has the code and the reason given",
    ),
    clause("7.1.2", "both", "after a Close both ways the connection is closed"),
    clause(
        "7.1.5",
        "1005",
        "the code is that of the first Close received; 1005 without one, 1006 without a Close",
    ),
    clause("7.1.6", "reason", "the reason is that of the first Close received, or empty"),
    clause("7.1.7", "appropriate", "who fails an open connection sends a Close with a fitting code first"),
    clause("7.1.7", "no further data", "after that nothing that arrives is processed"),
    clause("7.2.2", "abort", "a handshake is aborted by closing the connection"),
    clause("7.3", "whenever", "a server that wants to close begins the closing handshake"),
    clause("7.4.1", "MUST NOT be set", "1005, 1006 and 1015 are in no Close, in either direction"),
    clause(
        "7.4.2",
        "not used",
        "codes that belong to nobody are in no Close: below 1000, not registered, 5000 and above",
    ),
    // Text.
    clause("8.1", "fail", "bytes that should be UTF-8 and are not fail the connection"),
];
