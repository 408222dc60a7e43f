//! Bounds the length of external text.

/// Truncates a text to at most `max` bytes, between characters. To be applied after redaction: a truncated secret would
/// not be recognised.
pub(crate) fn excerpt(mut text: String, max: usize) -> String {
    if text.len() > max {
        let end = (0..=max).rev().find(|end| text.is_char_boundary(*end));
        text.truncate(end.unwrap_or_default());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_between_characters_and_a_short_one_is_left_alone() {
        let cut = |text: &str| excerpt(text.to_owned(), 4);
        assert_eq!([cut(""), cut("abcd"), cut("abcde")], ["", "abcd", "abcd"]);
        assert_eq!([cut("abcé"), cut("abé"), cut("éé€")], ["abc", "abé", "éé"]);
    }
}
