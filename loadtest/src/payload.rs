//! What a message carries, and the proof that it arrived unchanged.
//!
//! ```text
//!   0      4    6       10        14           22         30
//!   | magic | run | sender | sequence | intended | checksum | filler ...
//! ```
//!
//! All little-endian. `run` is random per run, so that messages of another generator on the same server are
//! told apart; `sender` is the number of the socket that sent it, `sequence` counts that sender's messages,
//! `intended` is when it should have been sent (nanoseconds of the run's clock), `checksum` is XXH3-64 over
//! everything else. A binary message is exactly that. A text message writes the 30 bytes in base64 (40
//! characters, no padding) and its filler is ASCII, so it is valid UTF-8.

use crate::frame::Opcode;
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use clap::ValueEnum;
use serde::Serialize;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

const MAGIC: [u8; 4] = *b"DMLT";
const HEADER_BYTES: usize = 30;
const HEADER_CHARACTERS: usize = 40;
const CHECKSUM_AT: usize = 22;

/// Text or binary messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// UTF-8.
    Text,
    /// Bytes.
    Binary,
}

impl Kind {
    /// The smallest message of this kind, in bytes.
    pub fn size_min(self) -> usize {
        match self {
            Self::Text => HEADER_CHARACTERS,
            Self::Binary => HEADER_BYTES,
        }
    }
}

impl From<Kind> for Opcode {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Text => Self::Text,
            Kind::Binary => Self::Binary,
        }
    }
}

/// What is told apart about messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Number of the socket that sent it.
    pub sender: u32,
    /// How many messages that sender had sent before.
    pub sequence: u32,
    /// When it should have been sent, nanoseconds of the run's clock.
    pub intended_ns: u64,
}

/// Why a delivery is not one of ours unchanged. All of these count as corrupt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    /// Text came as binary, or the other way round.
    Kind,
    /// Not the length that was sent.
    Length,
    /// Whole, but not a message of this run.
    Foreign,
    /// A bit has changed.
    Checksum,
}

/// Writes and checks the messages of one run.
#[derive(Clone, Debug)]
pub struct Format {
    kind: Kind,
    run: u16,
    filler: Vec<u8>,
}

impl Format {
    /// Messages of `size` bytes; `run` tells this run from others. `size` must be at least
    /// [`Kind::size_min`].
    pub fn new(kind: Kind, size: usize, run: u16) -> Self {
        let filler_length = size - kind.size_min();
        let filler = match kind {
            Kind::Text => (0..filler_length).map(|at| b'a' + (at % 26) as u8).collect(),
            Kind::Binary => (0..filler_length).map(|at| (at % 251) as u8).collect(),
        };
        Self { kind, run, filler }
    }

    /// Text or binary.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Replaces `out` by the message with `stamp`.
    pub fn write(&self, stamp: Stamp, out: &mut Vec<u8>) {
        let mut header = [0; HEADER_BYTES];
        header[..4].copy_from_slice(&MAGIC);
        header[4..6].copy_from_slice(&self.run.to_le_bytes());
        header[6..10].copy_from_slice(&stamp.sender.to_le_bytes());
        header[10..14].copy_from_slice(&stamp.sequence.to_le_bytes());
        header[14..CHECKSUM_AT].copy_from_slice(&stamp.intended_ns.to_le_bytes());
        let checksum = checksum(&header, &self.filler);
        header[CHECKSUM_AT..].copy_from_slice(&checksum.to_le_bytes());
        out.clear();
        match self.kind {
            Kind::Binary => out.extend_from_slice(&header),
            Kind::Text => {
                let mut characters = [0; HEADER_CHARACTERS];
                let written = STANDARD_NO_PAD.encode_slice(header, &mut characters);
                debug_assert_eq!(written, Ok(HEADER_CHARACTERS));
                out.extend_from_slice(&characters);
            }
        }
        out.extend_from_slice(&self.filler);
    }

    /// Reads the stamp of a delivery, if it is whole and ours.
    pub fn read(&self, kind: Kind, bytes: &[u8]) -> Result<Stamp, Damage> {
        if kind != self.kind {
            return Err(Damage::Kind);
        }
        if bytes.len() != kind.size_min() + self.filler.len() {
            return Err(Damage::Length);
        }
        let (front, filler) = bytes.split_at(kind.size_min());
        let mut header = [0; HEADER_BYTES];
        match kind {
            Kind::Binary => header.copy_from_slice(front),
            Kind::Text => {
                STANDARD_NO_PAD.decode_slice(front, &mut header).map_err(|_| Damage::Checksum)?;
            }
        }
        // The checksum first: only a whole message can be believed to be another run's.
        if checksum(&header, filler) != u64::from_le_bytes(field(&header, CHECKSUM_AT)) {
            return Err(Damage::Checksum);
        }
        if field(&header, 0) != MAGIC || u16::from_le_bytes(field(&header, 4)) != self.run {
            return Err(Damage::Foreign);
        }
        Ok(Stamp {
            sender: u32::from_le_bytes(field(&header, 6)),
            sequence: u32::from_le_bytes(field(&header, 10)),
            intended_ns: u64::from_le_bytes(field(&header, 14)),
        })
    }
}

fn field<const LENGTH: usize>(header: &[u8; HEADER_BYTES], at: usize) -> [u8; LENGTH] {
    std::array::from_fn(|offset| header[at + offset])
}

/// The filler's hash is seeded with that of the fields, so one number covers both without copying them
/// together.
fn checksum(header: &[u8; HEADER_BYTES], filler: &[u8]) -> u64 {
    xxh3_64_with_seed(filler, xxh3_64(&header[..CHECKSUM_AT]))
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAMP: Stamp = Stamp { sender: 32_767, sequence: 4_000_000_000, intended_ns: u64::MAX - 1 };

    fn message(format: &Format) -> Vec<u8> {
        let mut bytes = Vec::new();
        format.write(STAMP, &mut bytes);
        bytes
    }

    #[test]
    fn every_size_comes_back() {
        for kind in [Kind::Text, Kind::Binary] {
            for size in [kind.size_min(), kind.size_min() + 1, 64, 512, 70_000] {
                let format = Format::new(kind, size, 3);
                let bytes = message(&format);
                assert_eq!(bytes.len(), size);
                assert_eq!(format.read(kind, &bytes), Ok(STAMP));
                assert!(kind == Kind::Binary || bytes.is_ascii());
            }
        }
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        for kind in [Kind::Text, Kind::Binary] {
            let format = Format::new(kind, 64, 3);
            let bytes = message(&format);
            for bit in 0..bytes.len() * 8 {
                let mut spoiled = bytes.clone();
                spoiled[bit / 8] ^= 1 << (bit % 8);
                assert!(format.read(kind, &spoiled).is_err(), "{kind:?} bit {bit}");
            }
        }
    }

    #[test]
    fn other_kinds_lengths_and_runs_are_named() {
        let format = Format::new(Kind::Text, 64, 3);
        let bytes = message(&format);
        assert_eq!(format.read(Kind::Binary, &bytes), Err(Damage::Kind));
        assert_eq!(format.read(Kind::Text, &bytes[1..]), Err(Damage::Length));
        assert_eq!(Format::new(Kind::Text, 64, 4).read(Kind::Text, &bytes), Err(Damage::Foreign));
    }
}
