//! JSON in which no object has a key twice.
//!
//! Of two values under one key some readers take the first and some the last, so that one signed text would say two
//! things. What the ledger writes never does; what verification reads must not.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// Looks through a whole JSON text.
///
/// # Errors
/// The first key that stands twice in its object; what is no JSON, or nested deeper than 128 levels.
pub fn check(text: &str) -> Result<(), serde_json::Error> {
    serde_json::from_str(text).map(|Unique| ())
}

/// Any value, looked through and not kept.
struct Unique;

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Look)
    }
}

struct Look;

impl<'de> Visitor<'de> for Look {
    type Value = Unique;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_str<E>(self, _: &str) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_unit<E>(self) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Unique, A::Error> {
        while let Some(Unique) = items.next_element()? {}
        Ok(Unique)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Unique, A::Error> {
        let mut keys: Vec<Cow<'de, str>> = Vec::new();
        while let Some((Key(key), Unique)) = map.next_entry()? {
            keys.push(key);
        }
        // Sorted, so that an object of thousands of keys costs no more than its length deserves.
        keys.sort_unstable();
        match keys.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(A::Error::custom(format_args!("the key {:?} stands there twice", pair[0]))),
            None => Ok(Unique),
        }
    }
}

/// A key, borrowed where it is spelled without escapes.
struct Key<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        impl<'de> Visitor<'de> for Text {
            type Value = Key<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Owned(text.to_owned())))
            }
        }

        deserializer.deserialize_str(Text)
    }
}

/// A map of texts, each under a key of its own.
#[derive(Default)]
pub struct Texts(pub BTreeMap<String, String>);

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;

        impl<'de> Visitor<'de> for Entries {
            type Value = Texts;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map of texts")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Texts, A::Error> {
                let mut texts = BTreeMap::new();
                while let Some((key, text)) = map.next_entry::<String, String>()? {
                    if texts.contains_key(&key) {
                        return Err(A::Error::custom(format_args!("the key {key:?} stands there twice")));
                    }
                    texts.insert(key, text);
                }
                Ok(Texts(texts))
            }
        }

        deserializer.deserialize_map(Entries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_stands_twice_is_found_at_every_depth_and_in_every_spelling() {
        for good in
            ["1", "null", "[]", r#"{"a":{"a":[{"a":1},{"a":1.5}]},"b":"a","c":true,"d":-1,"e":null,"f":"é"}"#]
        {
            check(good).unwrap();
        }
        for bad in
            [r#"{"a":1,"a":1}"#, r#"[0,{"b":{"a":1,"c":2,"a":3}}]"#, r#"{"a":1,"\u0061":2}"#, "{", "1 2"]
        {
            check(bad).unwrap_err();
        }
    }

    #[test]
    fn depth_and_width_have_a_price_and_no_more() {
        check(&("[".repeat(10_000) + &"]".repeat(10_000))).unwrap_err();
        check(&(r#"{"a":"#.repeat(10_000) + "0" + &"}".repeat(10_000))).unwrap_err();
        let wide: Vec<String> = (0..100_000).map(|n| format!("\"{n}\":0")).collect();
        check(&format!("{{{}}}", wide.join(","))).unwrap();
        check(&format!("{{{},\"7\":0}}", wide.join(","))).unwrap_err();
    }
}
