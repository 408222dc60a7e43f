//! The `.env` file: read into pairs, never into the process environment.
//!
//! The fetcher reads the same file with python-dotenv, so a value means what it means there. Refused is what other readers
//! of such files (Docker, shells) take for something else and python-dotenv would change: `${NAME}`, and quotes that do
//! not enclose the value.

use std::io;
use std::path::Path;

use super::files;
use super::mistake::SettingsError;

/// A variable of the file.
pub(super) struct DotenvVariable {
    pub(super) name: String,
    pub(super) value: String,
    /// How errors name its line.
    pub(super) place: String,
}

/// Reads the file's variables in order. A missing file has none; every unreadable line is an error that names the line
/// and the variable, but never the value.
pub(super) fn read(path: &Path, mistakes: &mut Vec<SettingsError>) -> Vec<DotenvVariable> {
    let bytes = match files::read(path) {
        Ok(bytes) => bytes,
        Err(missing) if missing.kind() == io::ErrorKind::NotFound => return Vec::new(),
        Err(error) => {
            mistakes.push(SettingsError::new(path.display().to_string(), format!("cannot be read: {error}")));
            return Vec::new();
        }
    };
    let Ok(text) = String::from_utf8(bytes) else {
        mistakes.push(SettingsError::new(path.display().to_string(), "must be UTF-8 text"));
        return Vec::new();
    };
    let text = text.trim_start_matches('\u{feff}').replace("\r\n", "\n").replace('\r', "\n");
    let mut variables = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let place = |name: Option<&str>| {
            let named = name.map(|name| format!(" ({name})")).unwrap_or_default();
            format!("{} line {}{named}", path.display(), at + 1)
        };
        match Line::parse(line) {
            Ok(Line::Nothing) => {}
            Ok(Line::Pair(name, value)) => {
                let place = place(Some(&name));
                variables.push(DotenvVariable { name, value, place });
            }
            Err(BadLine { name, reason }) => {
                mistakes.push(SettingsError::new(place(name.as_deref()), reason));
            }
        }
    }
    variables
}

/// The content of a line.
enum Line {
    Nothing,
    Pair(String, String),
}

/// A line that is refused; the name only if it is one.
struct BadLine {
    name: Option<String>,
    reason: &'static str,
}

impl Line {
    fn parse(line: &str) -> Result<Line, BadLine> {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            return Ok(Line::Nothing);
        }
        let is_name =
            |name: &&str| !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        let pair = line.split_once('=').map(|(name, value)| (name.trim(), value.trim()));
        let pair = pair.map(|(name, value)| {
            let exported = name.strip_prefix("export").filter(|name| name.starts_with(char::is_whitespace));
            (exported.map_or(name, str::trim), value)
        });
        let Some((name, value)) = pair.filter(|(name, _)| is_name(name)) else {
            return Err(BadLine { name: None, reason: "must be NAME=value" });
        };
        match value_of(value) {
            Ok(value) => Ok(Line::Pair(name.to_owned(), value)),
            Err(reason) => Err(BadLine { name: Some(name.to_owned()), reason }),
        }
    }
}

/// Returns the value of what stands after the `=`.
fn value_of(text: &str) -> Result<String, &'static str> {
    let value = match text.chars().next() {
        Some(quote @ ('"' | '\'')) => quoted(text, quote)?,
        _ => without_comment(text).to_owned(),
    };
    let begins = value.split_once("${").is_some_and(|(_, after)| after.contains('}'));
    if begins {
        return Err("has `${…}`, which python-dotenv replaces and others do not: write the value itself");
    }
    Ok(value)
}

/// An unquoted value ends before blanks and a `#`.
fn without_comment(text: &str) -> &str {
    let is_comment = |(at, _): &(usize, &str)| {
        text.get(..*at).is_some_and(|before| before.is_empty() || before.ends_with(char::is_whitespace))
    };
    let end = text.match_indices('#').find(is_comment).map_or(text.len(), |(at, _)| at);
    text.get(..end).unwrap_or(text).trim_end()
}

/// Reads a value in quotes; only a comment may follow.
fn quoted(text: &str, quote: char) -> Result<String, &'static str> {
    let (mut value, mut chars) = (String::new(), text.chars());
    chars.next();
    loop {
        match chars.next() {
            None => {
                return Err(if quote == '"' {
                    "has a `\"` that is not closed on its line"
                } else {
                    "has a `'` that is not closed on its line"
                });
            }
            Some(end) if end == quote => break,
            Some('\\') => match chars.next() {
                Some(escaped) => unescape(&mut value, quote, escaped),
                None => value.push('\\'),
            },
            Some(other) => value.push(other),
        }
    }
    let rest = chars.as_str().trim_start();
    if rest.is_empty() || rest.starts_with('#') {
        return Ok(value);
    }
    Err(if quote == '"' { "has text after its closing `\"`" } else { "has text after its closing `'`" })
}

/// Adds an escaped character: in single quotes only the quote and the backslash can be escaped.
fn unescape(value: &mut String, quote: char, escaped: char) {
    let plain = match (quote, escaped) {
        (_, '\\' | '\'') | ('"', '"') => escaped,
        ('"', 'a') => '\u{7}',
        ('"', 'b') => '\u{8}',
        ('"', 'f') => '\u{c}',
        ('"', 'n') => '\n',
        ('"', 'r') => '\r',
        ('"', 't') => '\t',
        ('"', 'v') => '\u{b}',
        _ => {
            value.push('\\');
            escaped
        }
    };
    value.push(plain);
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn read_text(text: &[u8]) -> (Vec<(String, String)>, Vec<String>) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(".env");
        fs::write(&path, text).unwrap();
        let mut mistakes = Vec::new();
        let variables = read(&path, &mut mistakes);
        let pairs = variables.into_iter().map(|variable| (variable.name, variable.value)).collect();
        let shown =
            |mistake: &SettingsError| mistake.to_string().replace(&path.display().to_string(), ".env");
        (pairs, mistakes.iter().map(shown).collect())
    }

    #[test]
    fn comments_quotes_and_exports_are_understood() {
        let (pairs, mistakes) = read_text(b"# note\nA=1 # one\nexport B='two words'\n\nC=\"3\"\nD=\n");
        let pairs: Vec<_> = pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(pairs, [("A", "1"), ("B", "two words"), ("C", "3"), ("D", "")]);
        assert!(mistakes.is_empty(), "{mistakes:?}");
    }

    #[test]
    fn a_byte_order_mark_and_a_blank_at_the_end_do_not_matter() {
        let (pairs, mistakes) = read_text("\u{feff}A=1\nB=2 ".as_bytes());
        assert_eq!(pairs.len(), 2, "{mistakes:?}");
        assert_eq!(pairs[0].0, "A");
    }

    #[test]
    fn values_are_those_of_python_dotenv() {
        for (line, value) in [
            ("A=pa$word", "pa$word"),
            ("A=$HOME/x", "$HOME/x"),
            ("A=\"pa$word\"", "pa$word"),
            ("A=two words", "two words"),
            ("A=pa#ss # note", "pa#ss"),
            ("A= # note", ""),
            ("A='it\\'s' # note", "it's"),
            ("A=\"a\\\"b\\d\\t\"", "a\"b\\d\t"),
            ("A=C:\\new", "C:\\new"),
            ("A='C:\\new'", "C:\\new"),
            ("A=a'b", "a'b"),
            ("A=x=y", "x=y"),
            ("export\tA = 1", "1"),
            ("A=${open", "${open"),
        ] {
            let (pairs, mistakes) = read_text(line.as_bytes());
            assert_eq!(pairs, [("A".to_owned(), value.to_owned())], "{line}: {mistakes:?}");
        }
    }

    #[test]
    fn lines_end_as_on_every_system() {
        let (pairs, mistakes) = read_text(b"A=1\r\nB='2'\r\nC=3\rD=4");
        let values: Vec<_> = pairs.iter().map(|(_, value)| value.as_str()).collect();
        assert_eq!(values, ["1", "2", "3", "4"], "{mistakes:?}");
    }

    #[test]
    fn a_bad_line_is_named_with_the_character_and_without_its_value_and_the_rest_is_read() {
        let text = b"A=1\nTOKEN='se'cret\nB=2\nnonsense\nC=se${cret}\nD=\"secret\n";
        let (pairs, mistakes) = read_text(text);
        assert_eq!(pairs.len(), 2);
        assert_eq!(
            mistakes,
            [
                ".env line 2 (TOKEN): has text after its closing `'`",
                ".env line 4: must be NAME=value",
                ".env line 5 (C): has `${…}`, which python-dotenv replaces and others do not: write the value itself",
                ".env line 6 (D): has a `\"` that is not closed on its line",
            ]
        );
    }

    #[test]
    fn an_open_quote_is_a_mistake_of_its_line() {
        let (_, mistakes) = read_text(b"A=1\nB='open\nC=2\n");
        assert_eq!(mistakes.len(), 1);
        assert!(mistakes[0].starts_with(".env line 2 (B)"), "{mistakes:?}");
    }

    #[test]
    fn text_that_is_not_utf8_is_a_mistake() {
        assert_eq!(read_text(b"A=\xff\n").1, [".env: must be UTF-8 text"]);
    }

    #[test]
    fn a_file_that_is_not_there_has_no_variables() {
        let mut mistakes = Vec::new();
        assert!(read(Path::new("/nonexistent/.env"), &mut mistakes).is_empty());
        assert!(mistakes.is_empty());
    }

    #[test]
    fn a_folder_in_the_files_place_is_a_mistake() {
        let folder = tempfile::tempdir().unwrap();
        let mut mistakes = Vec::new();
        read(folder.path(), &mut mistakes);
        assert_eq!(mistakes.len(), 1);
    }

    #[test]
    fn a_file_without_an_end_is_refused() {
        let mut mistakes = Vec::new();
        assert!(read(Path::new("/dev/zero"), &mut mistakes).is_empty());
        assert!(mistakes[0].reason.contains("more than"), "{mistakes:?}");
    }
}
