//! Ψ of a text: the mean of four sub-scores of equal weight.

use serde::Serialize;
use serde_json::Value;

/// The smallest Ψ of an approved event.
pub const APPROVED: f64 = 0.85;
/// Newlines beyond which more do not count.
const NEWLINES: usize = 4;
/// The words that are listed unless a file says others.
pub const WORDS: [&str; 6] = ["jailbreak", "malware", "ransomware", "keylogger", "rootkit", "botnet"];

/// The format that an output is expected in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One JSON value.
    Json,
    /// A JSON value on each line that is not empty.
    Jsonl,
    /// One YAML document.
    Yaml,
    /// One finite number.
    Number,
    /// Any text but none.
    Text,
}

impl Format {
    /// All, with their names.
    pub const NAMES: [(&'static str, Self); 5] = [
        ("json", Self::Json),
        ("jsonl", Self::Jsonl),
        ("yaml", Self::Yaml),
        ("number", Self::Number),
        ("text", Self::Text),
    ];

    /// Whether `text` is of this format. An empty text is of none.
    #[must_use]
    pub fn parses(self, text: &str) -> bool {
        let text = text.trim();
        if text.is_empty() {
            return false;
        }
        let json = |text: &str| serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok();
        match self {
            Self::Json => json(text),
            Self::Jsonl => text.lines().filter(|line| !line.trim().is_empty()).all(json),
            Self::Yaml => serde_saphyr::from_str::<Value>(text).is_ok(),
            Self::Number => text.parse::<f64>().is_ok_and(f64::is_finite),
            Self::Text => true,
        }
    }
}

/// The four sub-scores, each 0…1; one that a sender does not state is absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Subscores {
    /// Parses as the expected format.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format: Option<f64>,
    /// No listed word.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<f64>,
    /// Shape of the text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consistency: Option<f64>,
    /// How much of the input is taken up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub coverage: Option<f64>,
}

impl Subscores {
    /// Their mean, where all four are there.
    #[must_use]
    pub fn mean(&self) -> Option<f64> {
        Some((self.format? + self.policy? + self.consistency? + self.coverage?) / 4.0)
    }
}

/// Scores an output.
///
/// *Format*: 1 where it parses as `expected`, or nothing is expected. *Policy*: 0 where one of `words` (in lower
/// case) occurs. *Consistency*: `max(0, 1 − .05·min(newlines, 4)) · (1 if brackets balance, else .6)`, 0 for an empty
/// text. *Coverage*: `min(1, .7·mentioned/max(n, 1) + .3·[of the expected format, or none expected])`, with n the
/// keys of `input` and `mentioned` those of them that the output names.
#[must_use]
pub fn score(input: &Value, output: &str, expected: Option<Format>, words: &[String]) -> Subscores {
    let one = |holds: bool| f64::from(u8::from(holds));
    let formed = one(expected.is_none_or(|format| format.parses(output)));
    let lower = output.to_lowercase();
    let listed = words.iter().any(|word| occurs(&lower, word));
    let keys: Vec<String> =
        input.as_object().map(|o| o.keys().map(|key| key.to_lowercase()).collect()).unwrap_or_default();
    let mentioned = keys.iter().filter(|key| occurs(&lower, key)).count();
    let share = mentioned as f64 / keys.len().max(1) as f64;
    Subscores {
        format: Some(formed),
        policy: Some(one(!listed)),
        consistency: Some(consistency(output)),
        coverage: Some((0.7 * share + 0.3 * formed).min(1.0)),
    }
}

fn consistency(output: &str) -> f64 {
    if output.trim().is_empty() {
        return 0.0;
    }
    let newlines = output.bytes().filter(|byte| *byte == b'\n').count().min(NEWLINES);
    (1.0 - 0.05 * newlines as f64).max(0.0) * if balanced(output) { 1.0 } else { 0.6 }
}

/// Whether every bracket is closed by its own kind, in order.
fn balanced(text: &str) -> bool {
    let mut open = Vec::new();
    for byte in text.bytes() {
        match byte {
            b'(' => open.push(b')'),
            b'[' => open.push(b']'),
            b'{' => open.push(b'}'),
            b')' | b']' | b'}' if open.pop() != Some(byte) => return false,
            _ => {}
        }
    }
    open.is_empty()
}

/// Whether `word` stands in `text` as a word: no letter or digit right before or after it. Both in lower case.
fn occurs(text: &str, word: &str) -> bool {
    let part = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
    !word.is_empty()
        && text.match_indices(word).any(|(at, found)| {
            !part(text[..at].chars().next_back()) && !part(text[at + found.len()..].chars().next())
        })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn words() -> Vec<String> {
        WORDS.iter().map(|word| (*word).to_owned()).collect()
    }

    fn parts(input: &Value, output: &str, expected: Option<Format>) -> [f64; 4] {
        let s = score(input, output, expected, &words());
        [s.format, s.policy, s.consistency, s.coverage].map(Option::unwrap)
    }

    fn near(found: [f64; 4], wanted: [f64; 4]) {
        assert!(found.iter().zip(wanted).all(|(f, w)| (f - w).abs() < 1e-12), "{found:?} not {wanted:?}");
    }

    #[test]
    fn a_good_answer_has_all_four() {
        let input = json!({"city": "Rome", "day": 3});
        near(parts(&input, r#"{"city": "Rome", "day": 3}"#, Some(Format::Json)), [1.0; 4]);
        let s = score(&input, r#"{"city": "Rome", "day": 3}"#, Some(Format::Json), &words());
        assert_eq!(s.mean(), Some(1.0));
    }

    #[test]
    fn each_part_falls_alone() {
        let input = json!({"city": "Rome", "day": 3});
        near(parts(&input, "city, day", Some(Format::Json)), [0.0, 1.0, 1.0, 0.7]);
        near(parts(&input, "city, day: JailBreak!", None), [1.0, 0.0, 1.0, 1.0]);
        near(parts(&input, "(city]\nday", None), [1.0, 1.0, 0.95 * 0.6, 1.0]);
        near(parts(&input, "city", None), [1.0, 1.0, 1.0, 0.65]);
        near(parts(&json!("text"), "anything", None), [1.0, 1.0, 1.0, 0.3]);
    }

    #[test]
    fn an_empty_output_is_of_no_format_and_not_consistent() {
        near(parts(&json!({"a": 1}), " \n", Some(Format::Text)), [0.0, 1.0, 0.0, 0.0]);
        near(parts(&json!({"a": 1}), "", None), [1.0, 1.0, 0.0, 0.3]);
    }

    #[test]
    fn newlines_count_up_to_four() {
        for (text, wanted) in
            [("a", 1.0), ("a\n", 0.95), ("a\n\n\n\nb", 0.8), ("a\n\n\n\n\n\n\n\n\nb", 0.8), ("(\na", 0.57)]
        {
            assert!((consistency(text) - wanted).abs() < 1e-12, "{text:?}");
        }
    }

    #[test]
    fn brackets() {
        for text in ["", "()", "{[()]}", "a(b)c[d]"] {
            assert!(balanced(text), "{text}");
        }
        for text in ["(", ")", "(]", "([)]", "())", "{{}"] {
            assert!(!balanced(text), "{text}");
        }
    }

    #[test]
    fn a_word_is_a_word() {
        for (text, word, wanted) in [
            ("a rootkit.", "rootkit", true),
            ("_rootkit_", "rootkit", true),
            ("rootkits", "rootkit", false),
            ("xrootkit rootkit", "rootkit", true),
            ("éa", "a", false),
            ("two words here", "two words", true),
            ("", "a", false),
            ("a", "", false),
        ] {
            assert_eq!(occurs(text, word), wanted, "{text:?} {word:?}");
        }
    }

    #[test]
    fn formats() {
        for (format, good, bad) in [
            (Format::Json, "[1, {}]", "[1,"),
            (Format::Jsonl, "{}\n\n[1]\n", "{}\nno"),
            (Format::Yaml, "a: [1, 2]", "a: [1, 2"),
            (Format::Number, " -2.5e3 ", "inf"),
            (Format::Text, "x", "  "),
        ] {
            assert!(format.parses(good), "{format:?}");
            assert!(!format.parses(bad), "{format:?}");
        }
    }
}
