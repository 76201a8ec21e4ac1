//! Requests and responses as applications see them. Plain values that may cross to another shard, except for the
//! socket a response may carry.

use std::borrow::Cow;

use super::error::ApiError;
use super::headers::Headers;
use super::web_socket::WebSocket;
use crate::wire::{Field, ParsedHead};

/// An HTTP/1.1 request, whole: head and body have arrived when a handler sees it (Fetch API: `Request`).
///
/// ```
/// use dormouse::Request;
///
/// let mut request = Request::new("POST", "/score?by=1", "7");
/// request.headers_mut().append("Host", "example.com")?;
/// assert_eq!(request.method(), "POST");
/// assert_eq!((request.path(), request.query()), ("/score", Some("by=1")));
/// assert_eq!((request.target(), request.body()), ("/score?by=1", &b"7"[..]));
/// assert_eq!(request.headers().get("host"), Some("example.com"));
/// # Ok::<(), dormouse::ApiError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    // Boxed, for each future that a request passes through on its way to an object has room for it.
    parts: Box<RequestParts>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct RequestParts {
    method: Cow<'static, str>,
    target: String,
    headers: Headers,
    body: Vec<u8>,
}

impl Request {
    /// A request made by the application itself, for [`Stub::fetch`](super::Stub::fetch).
    ///
    /// ```
    /// let request = dormouse::Request::new("POST", "/score?by=1", "7");
    /// assert_eq!((request.path(), request.query()), ("/score", Some("by=1")));
    /// ```
    pub fn new(method: &str, target: &str, body: impl Into<Vec<u8>>) -> Request {
        Request::with_parts(Cow::Owned(method.into()), target.into(), Headers::new(), body.into())
    }

    /// A request that a client has sent, its body not read yet.
    pub(crate) fn received(head: Vec<u8>, parsed: &ParsedHead, fields: &[Field]) -> Request {
        let method = match parsed.method.of(&head) {
            // Nearly every request; a method of its own costs an allocation.
            b"GET" => Cow::Borrowed("GET"),
            other => Cow::Owned(String::from_utf8_lossy(other).into_owned()),
        };
        let target = String::from_utf8_lossy(parsed.target.of(&head)).into_owned();
        Request::with_parts(method, target, Headers::from_head(head, fields), Vec::new())
    }

    fn with_parts(method: Cow<'static, str>, target: String, headers: Headers, body: Vec<u8>) -> Request {
        Request { parts: Box::new(RequestParts { method, target, headers, body }) }
    }

    /// The method, as it was sent.
    ///
    /// ```
    /// let request = dormouse::Request::new("GET", "/", "");
    /// assert_eq!(request.method(), "GET");
    /// ```
    pub fn method(&self) -> &str {
        &self.parts.method
    }

    /// The request target, as it was sent (RFC 9112 3.2).
    ///
    /// ```
    /// let request = dormouse::Request::new("GET", "/a%20b?c", "");
    /// assert_eq!(request.target(), "/a%20b?c");
    /// ```
    pub fn target(&self) -> &str {
        &self.parts.target
    }

    /// The whole URL, with the host the client named.
    ///
    /// ```
    /// let mut request = dormouse::Request::new("GET", "/room?a=b", "");
    /// request.headers_mut().append("Host", "example.com:8080")?;
    /// assert_eq!(request.url(), "http://example.com:8080/room?a=b");
    /// # Ok::<(), dormouse::ApiError>(())
    /// ```
    pub fn url(&self) -> String {
        if self.parts.target.contains("://") {
            return self.parts.target.clone();
        }
        format!("http://{}{}", self.parts.headers.get("Host").unwrap_or("localhost"), self.parts.target)
    }

    /// The path, without scheme, host and query, percent-encoding as it was sent.
    ///
    /// ```
    /// use dormouse::Request;
    ///
    /// assert_eq!(Request::new("GET", "/room/a%20b?c=d", "").path(), "/room/a%20b");
    /// assert_eq!(Request::new("GET", "http://example.com", "").path(), "/");
    /// ```
    pub fn path(&self) -> &str {
        let origin_form = match self.parts.target.find("://") {
            Some(at) => self.parts.target[at + 3..]
                .find('/')
                .map_or("/", |slash| &self.parts.target[at + 3 + slash..]),
            None => &self.parts.target,
        };
        origin_form.split(['?', '#']).next().unwrap_or("/")
    }

    /// What stands behind the `?`.
    ///
    /// ```
    /// use dormouse::Request;
    ///
    /// assert_eq!(Request::new("GET", "/room?by=Ada&as=red", "").query(), Some("by=Ada&as=red"));
    /// assert_eq!(Request::new("GET", "/room", "").query(), None);
    /// ```
    pub fn query(&self) -> Option<&str> {
        self.parts.target.split_once('?').map(|(_, query)| query)
    }

    /// The header fields.
    pub fn headers(&self) -> &Headers {
        &self.parts.headers
    }

    /// The header fields, to change before the request is passed on.
    pub fn headers_mut(&mut self) -> &mut Headers {
        &mut self.parts.headers
    }

    /// The body; at most `limits.body_bytes`.
    pub fn body(&self) -> &[u8] {
        &self.parts.body
    }

    /// For what is received of it.
    pub(crate) fn body_mut(&mut self) -> &mut Vec<u8> {
        &mut self.parts.body
    }

    /// Whether the client asks for a WebSocket: the Upgrade field lists `websocket`, in any case (RFC 6455
    /// 4.2.1).
    ///
    /// ```
    /// use dormouse::{Request, Response};
    ///
    /// # let request = Request::new("GET", "/", "");
    /// if !request.is_upgrade() {
    ///     let refusal = Response::new(426, "this is a WebSocket\n");
    /// }
    /// # assert!(!request.is_upgrade());
    /// ```
    pub fn is_upgrade(&self) -> bool {
        self.parts
            .headers
            .get_all("Upgrade")
            .any(|value| crate::wire::list_contains(value.as_bytes(), "websocket"))
    }
}

/// An HTTP response, whole (Fetch API: `Response`), perhaps with one end of a
/// [`WebSocketPair`](super::WebSocketPair).
///
/// ```
/// use dormouse::Response;
///
/// let mut response = Response::json(r#"{"players":7}"#).with_header("Cache-Control", "no-store")?;
/// response.headers_mut().append("X-Room", "kitchen")?;
/// assert_eq!((response.status(), response.body()), (200, &b"{\"players\":7}"[..]));
/// assert_eq!(response.headers().get("Content-Type"), Some("application/json"));
/// # Ok::<(), dormouse::ApiError>(())
/// ```
#[derive(Debug)]
pub struct Response {
    pub(crate) status: u16,
    pub(crate) headers: Headers,
    pub(crate) body: Vec<u8>,
    pub(crate) web_socket: Option<WebSocket>,
}

impl Response {
    /// A response with this status and body. The engine adds Content-Length.
    ///
    /// # Panics
    /// When the status is not a number from 200 to 599; a 101 is made by [`Response::web_socket`].
    ///
    /// ```
    /// let response = dormouse::Response::new(404, "no such room");
    /// assert_eq!(response.status(), 404);
    /// ```
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Response {
        assert!((200..=599).contains(&status), "a response has a status from 200 to 599, not {status}");
        Response { status, headers: Headers::new(), body: body.into(), web_socket: None }
    }

    /// 200 with plain text.
    ///
    /// ```
    /// let response = dormouse::Response::text("hello\n");
    /// assert_eq!(response.headers().get("Content-Type"), Some("text/plain; charset=utf-8"));
    /// ```
    pub fn text(body: impl Into<String>) -> Response {
        Response::new(200, body.into())
            .with_header("Content-Type", "text/plain; charset=utf-8")
            .expect("a valid header")
    }

    /// 200 with HTML.
    ///
    /// ```
    /// let response = dormouse::Response::html("<h1>hello</h1>");
    /// assert_eq!(response.headers().get("Content-Type"), Some("text/html; charset=utf-8"));
    /// ```
    pub fn html(body: impl Into<String>) -> Response {
        Response::new(200, body.into())
            .with_header("Content-Type", "text/html; charset=utf-8")
            .expect("a valid header")
    }

    /// 200 with JSON, already encoded.
    ///
    /// ```
    /// let response = dormouse::Response::json(r#"{"players":7}"#);
    /// assert_eq!(response.body(), br#"{"players":7}"#);
    /// ```
    pub fn json(body: impl Into<String>) -> Response {
        Response::new(200, body.into())
            .with_header("Content-Type", "application/json")
            .expect("a valid header")
    }

    /// 101 Switching Protocols: gives the client the other end of `client`, which must have been accepted.
    ///
    /// ```no_run
    /// # use dormouse::*;
    /// # fn example(ctx: Context) -> Result<Response> {
    /// let pair = WebSocketPair::new();
    /// ctx.accept_web_socket(&pair.server, &[])?;
    /// // A subprotocol is the application's choice, of those that the client offered.
    /// Ok(Response::web_socket(pair.client).with_header("Sec-WebSocket-Protocol", "chat")?)
    /// # }
    /// ```
    pub fn web_socket(client: WebSocket) -> Response {
        Response { status: 101, headers: Headers::new(), body: Vec::new(), web_socket: Some(client) }
    }

    /// Adds a header field.
    ///
    /// # Errors
    /// [`ApiError::InvalidHeader`] when it may not be sent.
    ///
    /// ```
    /// use dormouse::Response;
    ///
    /// let moved = Response::new(302, "").with_header("Location", "/lobby")?;
    /// assert_eq!(moved.headers().get("location"), Some("/lobby"));
    /// assert!(Response::text("").with_header("Location", "/\r\nSet-Cookie: a=b").is_err());
    /// # Ok::<(), dormouse::ApiError>(())
    /// ```
    pub fn with_header(mut self, name: &str, value: &str) -> Result<Response, ApiError> {
        self.headers.append(name, value)?;
        Ok(self)
    }

    /// The status.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The header fields.
    pub fn headers(&self) -> &Headers {
        &self.headers
    }

    /// The header fields, to change.
    pub fn headers_mut(&mut self) -> &mut Headers {
        &mut self.headers
    }

    /// The body.
    pub fn body(&self) -> &[u8] {
        &self.body
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_in_absolute_form_has_the_same_path() {
        for (target, path) in
            [("/a/b?c", "/a/b"), ("http://h:1/a/b?c", "/a/b"), ("http://h", "/"), ("*", "*")]
        {
            assert_eq!(Request::new("GET", target, "").path(), path);
        }
    }

    #[test]
    fn a_url_has_the_host_of_the_client() {
        let mut request = Request::new("GET", "/websocket", "");
        request.headers_mut().append("Host", "example.com:81").unwrap();
        assert_eq!(request.url(), "http://example.com:81/websocket");
    }
}
