use super::*;

fn members(text: &str) -> Option<Vec<(String, String)>> {
    let object = Object::parse(text)?;
    Some(object.members().map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
}

#[test]
fn members_are_as_they_were_written() {
    let text = r#"{ "a" : 1.50 ,"\u00e9":[1, 2],"b":"\u00e9\/","a":null }"#;
    let expected = [("a", "1.50"), ("é", "[1, 2]"), ("b", r#""\u00e9\/""#), ("a", "null")];
    assert_eq!(members(text).unwrap(), expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    assert_eq!(Object::parse(text).unwrap().get("a"), Some("null"), "the last of a repeated name");
}

#[test]
fn what_is_no_object_is_told() {
    for text in ["", "[]", "null", "1", "{", r#"{"a":1}x"#, r#"{"a":01}"#, "{a:1}", r#"{"a"}"#, "\"{}\""] {
        assert_eq!(members(text), None, "{text}");
    }
}

#[test]
fn values_are_read_through_their_escapes() {
    let object = Object::parse(r#"{"a":"\u0032\u002e5","b":"x\"y","c":"\ud800","d":"2e0","e":2.5}"#).unwrap();
    assert_eq!(object.decimal("a"), Decimal::parse("2.5"));
    assert_eq!(object.text("b").as_deref(), Some("x\"y"));
    assert_eq!(object.text("c"), None, "half a character says nothing");
    assert_eq!([object.integer("d"), object.integer("e"), object.integer("f")], [Some(2), None, None]);
}

#[test]
fn what_is_written_is_read_again() {
    let mut text = ObjectText::new();
    text.text("plain", "SPY");
    text.text("q\"\\\u{1}é", "a\"b\\c\n\u{7f}\u{1F600}");
    text.raw("raw", "[1,{}]");
    let text = text.end();
    let object = Object::parse(&text).unwrap();
    assert_eq!(object.text("plain").as_deref(), Some("SPY"));
    assert_eq!(object.text("q\"\\\u{1}é").as_deref(), Some("a\"b\\c\n\u{7f}\u{1F600}"));
    assert_eq!(object.get("raw"), Some("[1,{}]"));
    assert_eq!(&*ObjectText::new().end(), "{}");
}

#[test]
fn values_get_rests_types() {
    let cases = [
        // value, then as decimal, count, flag and text
        ("36466.0", Some("\"36466\""), Some("36466"), None, None),
        ("0.1900", Some("\"0.19\""), Some("0.19"), None, None),
        ("-2E2", Some("\"-200\""), Some("-200"), None, None),
        ("\"562.80\"", Some("\"562.80\""), Some("562.8"), None, Some("\"562.80\"")),
        (
            "\"-556207588704.10\"",
            Some("\"-556207588704.10\""),
            Some("-556207588704.1"),
            None,
            Some("\"-556207588704.10\""),
        ),
        ("\"\"", None, None, None, Some("\"\"")),
        ("\"NaN\"", None, None, None, Some("\"NaN\"")),
        ("true", None, None, Some("true"), None),
        ("null", None, None, None, None),
        ("{}", None, None, None, None),
        ("[1]", None, None, None, None),
    ];
    for (value, decimal, count, flag, text) in cases {
        assert_eq!(decimal_value(value).as_deref(), decimal, "{value}");
        assert_eq!(count_value(value).as_deref(), count, "{value}");
        assert_eq!(flag_value(value).as_deref(), flag, "{value}");
        assert_eq!(text_value(value).as_deref(), text, "{value}");
    }
    assert_eq!(nullable_text_value("null").as_deref(), Some("null"));
    assert_eq!(text_value(&format!("\"{}\"", "x".repeat(MAX_TEXT))), None, "no text of any length");
}
