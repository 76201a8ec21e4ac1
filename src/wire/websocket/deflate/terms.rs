//! What client and server agree on in the opening handshake (RFC 7692 7.1).
//!
//! Owns the four parameters: which offers make sense, which of them is accepted, and how that is answered.

use std::fmt;

use super::WINDOW_BITS_MAX;
use crate::wire::http::{Extension, Field, Parameter, RequestError, offered_extensions};

const NAME: &str = "permessage-deflate";

/// The smallest window that zlib compresses with. RFC 7692 knows one of 8 bits, which zlib has been unable to
/// keep to since its first day.
const WINDOW_BITS_MIN: u8 = 9;

/// How the server would like messages to be compressed.
///
/// ```
/// let terms = dormouse::wire::DeflateTerms::default();
/// assert_eq!((terms.context_takeover, terms.window_bits), (false, 15));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeflateTerms {
    /// Whether a message may refer to those before it. Both directions then keep a context for each connection.
    pub context_takeover: bool,
    /// The largest window in either direction, as a power of two: 9 to 15.
    pub window_bits: u8,
}

impl Default for DeflateTerms {
    fn default() -> Self {
        Self { context_takeover: false, window_bits: WINDOW_BITS_MAX }
    }
}

/// What was agreed. Displays as the value of Sec-WebSocket-Extensions that says so.
///
/// ```
/// use dormouse::wire::{DeflateTerms, HeadLimits, negotiate_deflate, parse_head};
///
/// let head = b"GET / HTTP/1.1\r\nHost: a\r\nSec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n";
/// let mut fields = Vec::new();
/// parse_head(head, &HeadLimits::default(), &mut fields)?;
/// let agreed = negotiate_deflate(head, &fields, Some(&DeflateTerms::default()))?.unwrap();
/// assert_eq!(agreed.to_string(), "permessage-deflate; server_no_context_takeover; client_no_context_takeover");
/// # Ok::<(), dormouse::wire::RequestError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeflateAgreement {
    /// Each message of the server stands alone.
    pub server_no_context_takeover: bool,
    /// Each message of the client stands alone.
    pub client_no_context_takeover: bool,
    server_max_window_bits: Option<u8>,
    client_max_window_bits: Option<u8>,
}

impl DeflateAgreement {
    /// The window that the server compresses with, as a power of two.
    ///
    /// ```
    /// # use dormouse::wire::*;
    /// # let head = b"GET / HTTP/1.1\r\nHost: a\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n";
    /// # let mut fields = Vec::new();
    /// # parse_head(head, &HeadLimits::default(), &mut fields)?;
    /// let terms = DeflateTerms { window_bits: 12, ..DeflateTerms::default() };
    /// let agreed = negotiate_deflate(head, &fields, Some(&terms))?.unwrap();
    /// let deflater = Deflater::new(agreed.server_window_bits(), 1);
    /// assert_eq!(agreed.server_window_bits(), 12);
    /// # Ok::<(), RequestError>(())
    /// ```
    pub fn server_window_bits(&self) -> u8 {
        self.server_max_window_bits.unwrap_or(WINDOW_BITS_MAX)
    }

    /// The same without contexts, which the server may ask for whatever was offered.
    ///
    /// ```
    /// # use dormouse::wire::*;
    /// # let head = b"GET / HTTP/1.1\r\nHost: a\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n";
    /// # let mut fields = Vec::new();
    /// # parse_head(head, &HeadLimits::default(), &mut fields)?;
    /// let terms = DeflateTerms { context_takeover: true, ..DeflateTerms::default() };
    /// let agreed = negotiate_deflate(head, &fields, Some(&terms))?.unwrap();
    /// assert!(!agreed.server_no_context_takeover);
    /// // No memory is left for contexts.
    /// assert!(agreed.without_takeover().server_no_context_takeover);
    /// # Ok::<(), RequestError>(())
    /// ```
    #[must_use]
    pub fn without_takeover(self) -> Self {
        // RFC 7692 7.1.1.1 and 7.1.1.2: a response MAY have either parameter even if the offer has not
        Self { server_no_context_takeover: true, client_no_context_takeover: true, ..self }
    }
}

impl fmt::Display for DeflateAgreement {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(NAME)?;
        if self.server_no_context_takeover {
            formatter.write_str("; server_no_context_takeover")?;
        }
        if self.client_no_context_takeover {
            formatter.write_str("; client_no_context_takeover")?;
        }
        if let Some(bits) = self.server_max_window_bits {
            write!(formatter, "; server_max_window_bits={bits}")?;
        }
        if let Some(bits) = self.client_max_window_bits {
            write!(formatter, "; client_max_window_bits={bits}")?;
        }
        Ok(())
    }
}

/// What is agreed with a client, by the first of its offers that can be accepted; `None` if there is none, or if the
/// server does not compress, which is when `terms` are `None`.
///
/// # Errors
///
/// A header that is no list of extensions. An offer that makes no sense is declined, and no error.
///
/// ```
/// use dormouse::wire::{DeflateTerms, HeadLimits, negotiate_deflate, parse_head};
///
/// let head = b"GET / HTTP/1.1\r\nHost: a\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n";
/// let mut fields = Vec::new();
/// parse_head(head, &HeadLimits::default(), &mut fields)?;
/// assert!(negotiate_deflate(head, &fields, Some(&DeflateTerms::default()))?.is_some());
/// assert!(negotiate_deflate(head, &fields, None)?.is_none());
/// # Ok::<(), dormouse::wire::RequestError>(())
/// ```
pub fn negotiate_deflate(
    head: &[u8],
    fields: &[Field],
    terms: Option<&DeflateTerms>,
) -> Result<Option<DeflateAgreement>, RequestError> {
    let offers = offered_extensions(head, fields)?;
    let Some(terms) = terms else { return Ok(None) };
    // RFC 7692 5.1: offers are in order of preference
    Ok(offers.iter().filter_map(Offer::read).find_map(|offer| offer.accept(terms)))
}

/// One offer of a client that makes sense.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Offer {
    server_no_context_takeover: bool,
    client_no_context_takeover: bool,
    server_max_window_bits: Option<u8>,
    /// Offered, and with a hint how far the client will go; without one, that is the largest window.
    client_max_window_bits: Option<u8>,
}

impl Offer {
    // RFC 7692 7.1: decline an offer with a parameter that is not defined, has an invalid value, or occurs twice
    fn read(extension: &Extension<'_>) -> Option<Self> {
        if extension.name != NAME.as_bytes() {
            return None;
        }
        let mut offer = Self::default();
        for Parameter { name, value } in &extension.parameters {
            let is_repeated = match (*name, value) {
                (b"server_no_context_takeover", None) => {
                    std::mem::replace(&mut offer.server_no_context_takeover, true)
                }
                (b"client_no_context_takeover", None) => {
                    std::mem::replace(&mut offer.client_no_context_takeover, true)
                }
                // RFC 7692 7.1.2.1: this one has a value
                (b"server_max_window_bits", Some(value)) => {
                    offer.server_max_window_bits.replace(window_bits(value)?).is_some()
                }
                // RFC 7692 7.1.2.2: this one may have a value
                (b"client_max_window_bits", value) => {
                    let bits = value.as_ref().map_or(Some(WINDOW_BITS_MAX), |value| window_bits(value))?;
                    offer.client_max_window_bits.replace(bits).is_some()
                }
                _ => return None,
            };
            if is_repeated {
                return None;
            }
        }
        Some(offer)
    }

    fn accept(self, terms: &DeflateTerms) -> Option<DeflateAgreement> {
        debug_assert!((WINDOW_BITS_MIN..=WINDOW_BITS_MAX).contains(&terms.window_bits));
        // A client that can only keep 256 bytes is better served without compression than with a promise that zlib
        // does not keep.
        if self.server_max_window_bits.is_some_and(|bits| bits < WINDOW_BITS_MIN) {
            return None;
        }
        let smaller = |bits: u8| bits.min(terms.window_bits);
        let if_limited = |bits: &u8| *bits < WINDOW_BITS_MAX;
        Some(DeflateAgreement {
            // RFC 7692 7.1.1: what the client asks for is granted; what the server wants it may say unasked
            server_no_context_takeover: self.server_no_context_takeover || !terms.context_takeover,
            client_no_context_takeover: self.client_no_context_takeover || !terms.context_takeover,
            // RFC 7692 7.1.2.1: the same value as the offer's or a smaller one; without one in the offer, MAY
            server_max_window_bits: match self.server_max_window_bits {
                Some(bits) => Some(smaller(bits)),
                None => Some(terms.window_bits).filter(if_limited),
            },
            // RFC 7692 7.1.2.2: MUST NOT be there if it was not offered
            client_max_window_bits: self.client_max_window_bits.map(smaller).filter(if_limited),
        })
    }
}

// RFC 7692 7.1.2: a decimal integer without leading zeroes between 8 and 15
fn window_bits(value: &[u8]) -> Option<u8> {
    match value {
        [digit @ b'8'..=b'9'] => Some(digit - b'0'),
        [b'1', digit @ b'0'..=b'5'] => Some(10 + digit - b'0'),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{HeadLimits, parse_head};

    const BY_DEFAULT: DeflateTerms = DeflateTerms { context_takeover: false, window_bits: 15 };
    const WITH_TAKEOVER: DeflateTerms = DeflateTerms { context_takeover: true, window_bits: 15 };

    fn negotiate(offers: &[&str], terms: &DeflateTerms) -> Result<Option<String>, RequestError> {
        let fields: String =
            offers.iter().map(|offer| format!("Sec-WebSocket-Extensions: {offer}\r\n")).collect();
        let head = format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n").into_bytes();
        let mut fields = Vec::new();
        parse_head(&head, &HeadLimits::default(), &mut fields).unwrap();
        let agreed = negotiate_deflate(&head, &fields, Some(terms))?;
        Ok(agreed.map(|agreed| agreed.to_string()))
    }

    #[track_caller]
    fn agrees(offers: &[&str], terms: &DeflateTerms, parameters: &str) {
        assert_eq!(negotiate(offers, terms), Ok(Some(format!("{NAME}{parameters}"))), "{offers:?}");
    }

    /// Every form of each parameter in an offer, with what it asks for.
    fn forms() -> Vec<(String, Offer)> {
        let mut forms = Vec::new();
        let bits = || (8..=15).map(Some).chain([None]);
        for server_no in [false, true] {
            for client_no in [false, true] {
                for server_bits in bits() {
                    for client_bits in bits().map(Some).chain([None]) {
                        let mut written = NAME.to_owned();
                        written += if server_no { "; server_no_context_takeover" } else { "" };
                        written += if client_no { "; client_no_context_takeover" } else { "" };
                        if let Some(bits) = server_bits {
                            written += &format!("; server_max_window_bits={bits}");
                        }
                        match client_bits {
                            Some(Some(bits)) => written += &format!("; client_max_window_bits={bits}"),
                            Some(None) => written += "; client_max_window_bits",
                            None => {}
                        }
                        let offer = Offer {
                            server_no_context_takeover: server_no,
                            client_no_context_takeover: client_no,
                            server_max_window_bits: server_bits,
                            client_max_window_bits: client_bits.map(|hint| hint.unwrap_or(15)),
                        };
                        forms.push((written, offer));
                    }
                }
            }
        }
        forms
    }

    // RFC 7692 7.1: the four parameters against everything that the server may want: 360 offers, 14 terms
    #[test]
    fn every_combination_is_answered_within_what_was_offered() {
        let offers = forms();
        assert_eq!(offers.len(), 360);
        for window_bits in 9..=15 {
            for context_takeover in [false, true] {
                let terms = DeflateTerms { context_takeover, window_bits };
                for (written, offer) in &offers {
                    let answer = negotiate(&[written], &terms).unwrap();
                    if offer.server_max_window_bits == Some(8) {
                        assert_eq!(answer, None, "{written}");
                        continue;
                    }
                    let answer = answer.unwrap();
                    let has = |parameter: &str| answer.split("; ").any(|found| found == parameter);
                    let value = |parameter: &str| {
                        let found = answer.split("; ").find_map(|found| found.strip_prefix(parameter));
                        found.map(|value| value.strip_prefix('=').unwrap().parse::<u8>().unwrap())
                    };
                    assert_eq!(
                        has("server_no_context_takeover"),
                        offer.server_no_context_takeover || !context_takeover
                    );
                    assert_eq!(
                        has("client_no_context_takeover"),
                        offer.client_no_context_takeover || !context_takeover
                    );
                    let server = value("server_max_window_bits");
                    assert!(server.is_some() || offer.server_max_window_bits.is_none());
                    assert_eq!(
                        server.unwrap_or(15),
                        offer.server_max_window_bits.unwrap_or(15).min(window_bits)
                    );
                    let client = value("client_max_window_bits");
                    assert!(client.is_none() || offer.client_max_window_bits.is_some());
                    assert_eq!(
                        client.unwrap_or(15),
                        offer.client_max_window_bits.map_or(15, |bits| bits.min(window_bits)),
                        "{written} {window_bits}"
                    );
                }
            }
        }
    }

    // RFC 7692 7.1.1 and 7.1.2
    #[test]
    fn the_usual_clients_are_answered() {
        let none = "; server_no_context_takeover; client_no_context_takeover";
        // Chromium, Firefox and `ws`; Safari; Python `websockets`.
        agrees(&["permessage-deflate; client_max_window_bits"], &BY_DEFAULT, none);
        agrees(&["permessage-deflate"], &BY_DEFAULT, none);
        agrees(
            &["permessage-deflate; server_max_window_bits=12; client_max_window_bits=12"],
            &BY_DEFAULT,
            "; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=12; \
             client_max_window_bits=12",
        );
        agrees(&["permessage-deflate; client_max_window_bits"], &WITH_TAKEOVER, "");
        let small = DeflateTerms { window_bits: 10, ..WITH_TAKEOVER };
        agrees(&["permessage-deflate"], &small, "; server_max_window_bits=10");
        agrees(
            &["permessage-deflate; client_max_window_bits"],
            &small,
            "; server_max_window_bits=10; client_max_window_bits=10",
        );
    }

    // RFC 7692 7.1: MUST decline
    #[test]
    fn an_offer_that_makes_no_sense_is_declined() {
        for parameters in [
            "; server_no_context_takeover=1",
            "; client_no_context_takeover=true",
            "; server_max_window_bits",
            "; server_max_window_bits=7",
            "; server_max_window_bits=16",
            "; server_max_window_bits=010",
            "; server_max_window_bits=1e1",
            "; client_max_window_bits=7",
            "; client_max_window_bits=16",
            "; client_max_window_bits=08",
            "; server_no_context_takeover; server_no_context_takeover",
            "; client_no_context_takeover; client_no_context_takeover",
            "; server_max_window_bits=10; server_max_window_bits=10",
            "; client_max_window_bits; client_max_window_bits=10",
            "; Client_Max_Window_Bits",
            "; mem_level=9",
        ] {
            assert_eq!(
                negotiate(&[&format!("{NAME}{parameters}")], &WITH_TAKEOVER),
                Ok(None),
                "{parameters}"
            );
        }
        for other in ["x-webkit-deflate-frame", "permessage-bzip2", "Permessage-Deflate", ""] {
            assert_eq!(negotiate(&[other], &WITH_TAKEOVER), Ok(None), "{other}");
        }
    }

    // RFC 7692 5.1 and 7.1.3: fallback
    #[test]
    fn the_first_offer_that_can_be_accepted_counts_over_all_header_lines() {
        agrees(
            &["permessage-deflate; server_max_window_bits=10, permessage-deflate"],
            &WITH_TAKEOVER,
            "; server_max_window_bits=10",
        );
        agrees(
            &["foo, permessage-deflate; mem_level=9", "permessage-deflate; server_max_window_bits=\"11\""],
            &WITH_TAKEOVER,
            "; server_max_window_bits=11",
        );
        agrees(&["permessage-deflate; server_max_window_bits=8, permessage-deflate"], &WITH_TAKEOVER, "");
    }

    // RFC 6455 9.1: MUST fail the connection, whatever the server would have made of it
    #[test]
    fn a_header_that_cannot_be_read_is_an_error_and_not_an_offer() {
        let refused = Err(RequestError::WebSocketExtensions);
        assert_eq!(negotiate(&["permessage-deflate;"], &BY_DEFAULT), refused);
        assert_eq!(negotiate(&["permessage-deflate", "a b"], &BY_DEFAULT), refused);
        let head = b"GET / HTTP/1.1\r\nHost: a\r\nSec-WebSocket-Extensions: a b\r\n\r\n";
        let mut fields = Vec::new();
        parse_head(head, &HeadLimits::default(), &mut fields).unwrap();
        assert_eq!(negotiate_deflate(head, &fields, None), Err(RequestError::WebSocketExtensions));
    }
}
