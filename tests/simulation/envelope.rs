//! Batch envelopes as a client writes and reads them, coded anew from docs/batching.md: no line of the engine's, and of
//! none of the crates that it uses. Owns both formats, as far as texts need them, and what is wrong with a broken one.

use dormouse::BatchFormat;

use crate::support::random::Random;

/// What tells an envelope of JSON from any other text.
const JSON_MARKER: &str = "[\"batch/";
const JSON_HEAD: &str = "[\"batch/1\"";
const PACKED_MARKER: &[u8] = b"\xA7batch/1";

/// Whether a text is an envelope, or a broken one.
pub fn is_json(text: &str) -> bool {
    text.starts_with(JSON_MARKER)
}

/// How many bytes a batch of JSON has so far; the bracket that closes it is not there yet.
pub fn json_bytes(texts: &[String]) -> usize {
    let escaped = |text: &String| 3 + text.len() + text.matches(['"', '\\']).count();
    JSON_HEAD.len() + texts.iter().map(escaped).sum::<usize>()
}

/// What the engine has written, to the letter.
pub fn read(format: BatchFormat, payload: &[u8]) -> Option<Vec<String>> {
    let texts = match format {
        BatchFormat::Json => read_json(std::str::from_utf8(payload).ok()?),
        BatchFormat::MessagePack => read_packed(payload),
    };
    texts.filter(|texts| !texts.is_empty())
}

fn read_json(text: &str) -> Option<Vec<String>> {
    let mut rest = text.strip_prefix(JSON_HEAD)?.strip_suffix(']')?;
    let mut texts = Vec::new();
    while !rest.is_empty() {
        let (text, behind) = read_json_text(rest.strip_prefix(",\"")?)?;
        texts.push(text);
        rest = behind;
    }
    Some(texts)
}

/// A text behind its first quote, and what stands behind its last.
fn read_json_text(from: &str) -> Option<(String, &str)> {
    let mut text = String::new();
    let mut rest = from.chars();
    loop {
        match rest.next()? {
            '"' => return Some((text, rest.as_str())),
            '\\' => text.push(match rest.next()? {
                escaped @ ('"' | '\\' | '/') => escaped,
                'n' => '\n',
                't' => '\t',
                _ => return None,
            }),
            plain => text.push(plain),
        }
    }
}

fn read_packed(bytes: &[u8]) -> Option<Vec<String>> {
    let [0xDC, high, low, rest @ ..] = bytes else { return None };
    let elements = u16::from_be_bytes([*high, *low]);
    let mut rest = rest.strip_prefix(PACKED_MARKER)?;
    let mut texts = Vec::new();
    for _ in 1..elements {
        let (length, behind) = match rest {
            [head @ 0xA0..=0xBF, behind @ ..] => (usize::from(head & 0x1F), behind),
            [0xD9, length, behind @ ..] => (usize::from(*length), behind),
            [0xDA, high, low, behind @ ..] => (usize::from(u16::from_be_bytes([*high, *low])), behind),
            _ => return None,
        };
        let (text, behind) = behind.split_at_checked(length)?;
        texts.push(String::from_utf8(text.to_vec()).ok()?);
        rest = behind;
    }
    rest.is_empty().then_some(texts)
}

/// One envelope, in one of the ways in which encoders write it.
pub fn write(format: BatchFormat, texts: &[String], random: &mut Random) -> Vec<u8> {
    match format {
        BatchFormat::Json => write_json(texts, random),
        BatchFormat::MessagePack => write_packed(texts, random),
    }
}

fn write_json(texts: &[String], random: &mut Random) -> Vec<u8> {
    let mut envelope = JSON_HEAD.to_owned();
    let (between, behind) = *random.pick(&[(",", ""), (",", ""), (" , ", ""), (",\n", " ")]);
    // RFC 8259 7: any character may be escaped.
    let escapes = random.percent(30);
    for text in texts {
        envelope.push_str(between);
        envelope.push('"');
        for character in text.chars() {
            match character {
                '"' | '\\' => envelope.extend(['\\', character]),
                'ä' if escapes => envelope.push_str("\\u00E4"),
                '𝄞' if escapes => envelope.push_str("\\ud834\\udd1e"),
                plain => envelope.push(plain),
            }
        }
        envelope.push('"');
    }
    envelope.push(']');
    envelope.push_str(behind);
    envelope.into_bytes()
}

fn write_packed(texts: &[String], random: &mut Random) -> Vec<u8> {
    let elements = 1 + texts.len() as u8;
    let mut envelope = match random.below(3) {
        0 if elements < 16 => vec![0x90 | elements],
        1 => vec![0xDD, 0, 0, 0, elements],
        _ => vec![0xDC, 0, elements],
    };
    envelope.extend(PACKED_MARKER);
    for text in texts {
        match text.len() {
            short @ 0..=31 if random.percent(80) => envelope.push(0xA0 | short as u8),
            middle @ 0..=255 if random.percent(80) => envelope.extend([0xD9, middle as u8]),
            long => {
                envelope.push(0xDA);
                envelope.extend((long as u16).to_be_bytes());
            }
        }
        envelope.extend(text.as_bytes());
    }
    envelope
}

/// Something that begins as an envelope and is none.
pub fn broken(format: BatchFormat, random: &mut Random) -> Vec<u8> {
    let envelopes: &[&[u8]] = match format {
        BatchFormat::Json => &[
            b"[\"batch/2\",\"of another version\"]",
            b"[\"batch/1\"]",
            b"[\"batch/1\",\"not closed\"",
            b"[\"batch/1\",\"closed\"]\"twice\"]",
            b"[\"batch/1\",\"no value\",]",
            b"[\"batch/1\" \"no comma\"]",
        ],
        BatchFormat::MessagePack => &[
            b"\x92\xA7batch/2\xA1x",
            b"\x91\xA7batch/1",
            b"\x93\xA7batch/1\xA1x",
            b"\x92\xA7batch/1\xA1xbehind",
            b"\xDC\x00\x02\xA7batch/1\xA4cut",
            b"\xDD\xFF\xFF\xFF\xFF\xA7batch/1\xA1x",
        ],
    };
    random.pick(envelopes).to_vec()
}
