//! JSON that means one thing to every reader (I-JSON, RFC 7493): what a digest is taken of must not be read in two
//! ways. Refused are a key that occurs twice, an integer that a double cannot hold, and nesting without end.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Levels of nesting.
const DEPTH: u8 = 32;
/// The integers up to 2⁵³ are doubles, each of them.
const EXACT: u64 = 1 << 53;
/// Characters of somebody's key in a reason.
const SHOWN: usize = 40;

/// Reads one value.
///
/// # Errors
/// Where it is not UTF-8, not JSON, or JSON of more than one meaning; in words, with the place.
pub fn read(bytes: &[u8]) -> Result<Value, String> {
    let text =
        std::str::from_utf8(bytes).map_err(|e| format!("not UTF-8 from byte {} on", e.valid_up_to()))?;
    let mut reader = serde_json::Deserializer::from_str(text);
    let value = Strict { left: DEPTH }.deserialize(&mut reader).map_err(|e| e.to_string())?;
    reader.end().map_err(|e| e.to_string())?;
    Ok(value)
}

/// A beginning of a text that somebody else wrote, for a reason.
#[must_use]
pub fn shown(text: &str) -> String {
    let mut start: String = text.chars().take(SHOWN).collect();
    if start.len() < text.len() {
        start.push('…');
    }
    format!("{start:?}")
}

#[derive(Clone, Copy)]
struct Strict {
    /// Levels that may still open.
    left: u8,
}

impl Strict {
    fn inner<E: Error>(self) -> Result<Self, E> {
        let left = self.left.checked_sub(1);
        left.map(|left| Self { left }).ok_or_else(|| E::custom(format!("nested deeper than {DEPTH} levels")))
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        if value > EXACT {
            return Err(E::custom(format!(
                "{value} is beyond 2^53 and would be rounded; send it as a string"
            )));
        }
        Ok(value.into())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        if value.unsigned_abs() > EXACT {
            return Err(E::custom(format!(
                "{value} is beyond 2^53 and would be rounded; send it as a string"
            )));
        }
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("a number that is not finite"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let inner = self.inner()?;
        let mut all = Vec::new();
        while let Some(value) = seq.next_element_seed(inner)? {
            all.push(value);
        }
        Ok(Value::Array(all))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let inner = self.inner()?;
        let mut all = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            if all.contains_key(&key) {
                return Err(A::Error::custom(format!("the key {} occurs twice", shown(&key))));
            }
            let value = map.next_value_seed(inner)?;
            all.insert(key, value);
        }
        Ok(Value::Object(all))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_plain_is_read() {
        let text = r#" {"a": [1, -2.5, true, null, "é😀"], "b": {"a": 9007199254740992}} "#;
        assert_eq!(read(text.as_bytes()).unwrap(), serde_json::from_str::<Value>(text).unwrap());
    }

    #[test]
    fn what_may_be_read_in_two_ways_is_not() {
        for (bytes, why) in [
            (&br#"{"a":1,"a":2}"#[..], "the key \"a\" occurs twice at line 1"),
            (br#"{"b":{"a":1,"\u0061":2}}"#, "occurs twice"),
            (b"[9007199254740993]", "2^53"),
            (b"[-9007199254740993]", "2^53"),
            (b"NaN", "expected"),
            (b"[Infinity]", "expected"),
            (b"[-Infinity]", "invalid number"),
            (b"1e999", "out of range"),
            (b"\"\xff\"", "not UTF-8 from byte 1 on"),
            (b"\xef\xbb\xbf{}", "expected"),
            (br#""\ud800""#, "escape"),
            (b"{} {}", "trailing"),
            (b"", "EOF"),
            (b"{\"a\":", "EOF"),
        ] {
            let found = read(bytes).unwrap_err();
            assert!(found.contains(why), "{}: {found}", String::from_utf8_lossy(bytes));
        }
    }

    #[test]
    fn nesting_has_an_end() {
        let nested = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
        assert!(read(nested(32).as_bytes()).is_ok());
        assert!(read(nested(33).as_bytes()).unwrap_err().contains("deeper than 32"));
        assert!(read("{\"a\":".repeat(10_000).as_bytes()).unwrap_err().contains("deeper than 32"));
    }

    #[test]
    fn a_reason_shows_the_beginning_of_a_long_key() {
        let why = read(format!("{{\"{0}\":1,\"{0}\":2}}", "k".repeat(5000)).as_bytes()).unwrap_err();
        assert!(why.len() < 120 && why.contains('…'), "{why}");
    }
}
