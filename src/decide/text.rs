//! A sentence of a decision that is put together only where somebody reads it.
//!
//! Most turns change nothing and nobody reads their sentences, so the ones that such a turn says are kept as a pattern
//! and its numbers. Shown, recorded or compared, a text is the same whichever way it was made; read back from a
//! record it is the text itself.

use std::fmt::{Debug, Display, Formatter, Result};

use serde::{Deserialize, Serialize};

use super::view::short;

/// Most parts of a text.
const PARTS: usize = 5;

/// One sentence, or a line of several.
#[derive(Clone)]
pub struct Text(Form);

#[derive(Clone)]
enum Form {
    Whole(String),
    /// What comes first, a pattern and what follows it; the parts go into the places of their `{}`, in this order.
    Kept([&'static str; 3], [Part; PARTS]),
}

/// What a pattern is filled with.
#[derive(Clone, Copy)]
pub(super) enum Part {
    /// Nothing: the pattern has fewer places.
    None,
    /// A number for people, see [`short`].
    Number(f64),
    /// A count.
    Count(i32),
}

impl From<f64> for Part {
    fn from(number: f64) -> Self {
        Self::Number(number)
    }
}

impl From<i32> for Part {
    fn from(count: i32) -> Self {
        Self::Count(count)
    }
}

impl Display for Part {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Self::None => Ok(()),
            Self::Number(number) => f.write_str(&short(*number)),
            Self::Count(count) => Display::fmt(count, f),
        }
    }
}

impl Text {
    /// `pattern` with `parts` in the places of its `{}`, one a place.
    pub(super) fn of<const N: usize>(pattern: &'static str, parts: [Part; N]) -> Self {
        const { assert!(N <= PARTS) };
        let mut all = [Part::None; PARTS];
        all[..N].copy_from_slice(&parts);
        Self(Form::Kept(["", pattern, ""], all))
    }

    /// The same text with another pattern behind it.
    pub(super) fn and<const N: usize>(mut self, pattern: &'static str, parts: [Part; N]) -> Self {
        if let Form::Kept([_, _, more @ ""], all) = &mut self.0 {
            let free = all.iter().take_while(|part| !matches!(part, Part::None)).count();
            if let Some(places) = all.get_mut(free..free + N) {
                *more = pattern;
                places.copy_from_slice(&parts);
                return self;
            }
        }
        Self(Form::Whole(format!("{self}{}", Self::of(pattern, parts))))
    }

    /// The same text after `lead`, which has no places.
    pub(super) fn after(&self, lead: &'static str) -> Self {
        match self.0 {
            Form::Kept(["", pattern, more], parts) => Self(Form::Kept([lead, pattern, more], parts)),
            _ => Self(Form::Whole(format!("{lead}{self}"))),
        }
    }
}

impl Default for Text {
    fn default() -> Self {
        Self::of("", [])
    }
}

impl From<&'static str> for Text {
    fn from(text: &'static str) -> Self {
        Self::of(text, [])
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self(Form::Whole(text))
    }
}

impl Display for Text {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let (patterns, parts) = match &self.0 {
            Form::Whole(text) => return f.write_str(text),
            Form::Kept(patterns, parts) => (patterns, parts),
        };
        let mut parts = parts.iter();
        for pattern in patterns {
            let mut pieces = pattern.split("{}");
            f.write_str(pieces.next().unwrap_or_default())?;
            for piece in pieces {
                parts.next().map_or(Ok(()), |part| Display::fmt(part, f))?;
                f.write_str(piece)?;
            }
        }
        Ok(())
    }
}

/// As a string is shown: tests print decisions.
impl Debug for Text {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        Debug::fmt(&self.to_string(), f)
    }
}

impl PartialEq for Text {
    fn eq(&self, other: &Self) -> bool {
        self.to_string() == other.to_string()
    }
}

impl PartialEq<str> for Text {
    fn eq(&self, other: &str) -> bool {
        let text = self.to_string();
        text == other
    }
}

impl PartialEq<&str> for Text {
    fn eq(&self, other: &&str) -> bool {
        *self == **other
    }
}

impl Serialize for Text {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_reads_as_the_text_it_stands_for() {
        let kept = Text::of("needs {} of {}", [3.into(), 5.into()]);
        let kept = kept.and("; cpu {} < {}", [0.41.into(), 0.8.into()]);
        let whole = Text::from("needs 3 of 5; cpu 0.41 < 0.8".to_owned());
        assert!(matches!(kept.0, Form::Kept(..)));
        assert_eq!(kept, whole);
        assert_eq!(kept, "needs 3 of 5; cpu 0.41 < 0.8");
        assert_eq!(serde_json::to_string(&kept).unwrap(), r#""needs 3 of 5; cpu 0.41 < 0.8""#);
        assert_eq!(serde_json::from_str::<Text>(&serde_json::to_string(&kept).unwrap()).unwrap(), kept);
        assert_eq!(format!("{kept:?}"), format!("{whole:?}"));
        for text in [kept, whole] {
            assert_eq!(text.after("ScaleUp: "), "ScaleUp: needs 3 of 5; cpu 0.41 < 0.8");
            assert_eq!(text.after("a ").after("b "), "b a needs 3 of 5; cpu 0.41 < 0.8");
            assert_eq!(text.clone().and("; {} more", [(-7).into()]), format!("{text}; -7 more").as_str());
        }
    }

    #[test]
    fn a_text_has_room_for_whatever_is_put_behind_it() {
        let mut text = Text::of("{}", [0.into()]);
        let mut want = "0".to_owned();
        for i in 1..9 {
            text = text.and(", {} {}", [i.into(), (0.5 * f64::from(i)).into()]);
            want = format!("{want}, {i} {}", short(0.5 * f64::from(i)));
            assert_eq!(text, want.as_str());
        }
    }

    #[test]
    fn texts_that_differ_are_not_equal() {
        assert_ne!(Text::of("needs {}", [1.into()]), Text::of("needs {}", [2.into()]));
        assert_ne!(Text::from("a"), Text::default());
        assert_eq!(Text::of("all", []), Text::from("all".to_owned()));
    }
}
