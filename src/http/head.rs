//! Finds the end of the head of a request.

/// Searches a stream of bytes for the first empty line after one that is not empty. A line ends with a line feed, optionally
/// after a carriage return, as for httparse, the parser of actix-http.
#[derive(Debug, Default)]
pub(super) struct HeadEnd {
    has_begun: bool,
    is_in_line: bool,
    is_found: bool,
}

impl HeadEnd {
    /// Whether the end was found.
    pub(super) fn is_found(&self) -> bool {
        self.is_found
    }

    /// Returns how many of the next bytes belong to the head.
    pub(super) fn search(&mut self, bytes: &[u8]) -> usize {
        for (at, byte) in bytes.iter().enumerate() {
            match byte {
                b'\n' if self.has_begun && !self.is_in_line => {
                    self.is_found = true;
                    return at + 1;
                }
                b'\n' => self.is_in_line = false,
                b'\r' => {}
                _ => (self.has_begun, self.is_in_line) = (true, true),
            }
        }
        bytes.len()
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;

    #[test]
    fn a_head_ends_with_its_first_empty_line_in_whatever_pieces_it_comes() {
        for (head, rest) in [
            ("GET / HTTP/1.1\r\nhost: x\r\n\r\n", "GET /"),
            ("GET / HTTP/1.1\nhost: x\n\n", "\n"),
            ("\r\n\n\r\nGET / HTTP/1.1\n\r\n", "\r\n\r\n"),
        ] {
            let mut end = HeadEnd::default();
            let whole = head.to_owned() + rest;
            let taken: usize = whole
                .as_bytes()
                .chunks(1)
                .map_while(|byte| (!end.is_found()).then(|| end.search(byte)))
                .sum();
            assert_eq!((taken, end.is_found()), (head.len(), true), "{head:?}");
            assert_eq!(HeadEnd::default().search(whole.as_bytes()), head.len());
        }
        let mut end = HeadEnd::default();
        assert_eq!((end.search(b"GET / HTTP/1.1\r\nx: \r\n\r"), end.is_found()), (22, false));
    }

    proptest! {
        #[test]
        fn what_is_parsed_as_a_request_is_the_whole_head(
            pieces in vec(select(&["GET / HTTP/1.1", "a: b", ":", " ", "\r\n", "\n", "\r", "\r\n\r\n", "\0"][..]), 0..12)
        ) {
            let bytes = "GET / HTTP/1.1\r\n".to_owned() + &pieces.concat();
            let mut headers = [httparse::EMPTY_HEADER; 16];
            if let Ok(httparse::Status::Complete(length)) = httparse::Request::new(&mut headers).parse(bytes.as_bytes()) {
                prop_assert_eq!(HeadEnd::default().search(bytes.as_bytes()), length);
            }
        }
    }
}
