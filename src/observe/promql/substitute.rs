//! Placeholders of a query, put in as what their place asks for: plain text, or text inside a pattern.

/// Any `pod-template-hash`: the alphabet that Kubernetes writes hashes in, so that the pods of a Job whose name begins
/// like the Deployment's are not taken for its own.
pub const ANY_HASH: &str = "[bcdfghjklmnpqrstvwxz2456789]+";

/// What is put for the three placeholders.
#[derive(Clone, Copy, Debug)]
pub struct Names<'a> {
    /// `$namespace`.
    pub namespace: &'a str,
    /// `$name`: the Deployment.
    pub name: &'a str,
    /// `$podTemplateHash`: one revision; `None` = any, as the pattern [`ANY_HASH`].
    pub pod_template_hash: Option<&'a str>,
}

/// Substitutes the placeholders as escaped label values. In a pattern (`=~`, `!~`) a name stands for itself: the dot
/// of `web.v1` is a dot. An equality with `$podTemplateHash` becomes a pattern where any revision is asked for.
#[must_use]
pub fn substitute(query: &str, names: &Names<'_>) -> String {
    let mut text = String::with_capacity(query.len() + 64);
    let mut rest = query;
    while let Some(start) = rest.find(['"', '\'', '`']) {
        let (before, literal) = rest.split_at(start);
        let (literal, after) = literal.split_at(end_of(literal));
        text.push_str(&plain(before, names));
        let sign = text.trim_end();
        let equality = sign.ends_with('=');
        if sign.ends_with('~') {
            text.push_str(&pattern(literal, names));
        } else if equality && names.pod_template_hash.is_none() && literal.contains("$podTemplateHash") {
            text.truncate(sign.len());
            if text.ends_with("!=") {
                text.pop();
            }
            text.push('~');
            text.push_str(&pattern(&literally(literal), names));
        } else {
            text.push_str(&plain(literal, names));
        }
        rest = after;
    }
    text.push_str(&plain(rest, names));
    text
}

/// Length of the string that the text begins with, quotes included.
fn end_of(text: &str) -> usize {
    let mut chars = text.char_indices();
    let quote = chars.next().map(|(_, c)| c);
    while let Some((at, c)) = chars.next() {
        if Some(c) == quote {
            return at + c.len_utf8();
        }
        if c == '\\' && quote != Some('`') {
            chars.next();
        }
    }
    text.len()
}

fn plain(text: &str, names: &Names<'_>) -> String {
    put(text, names, escape)
}

/// Names are escaped twice: for the pattern, then for the string that holds it.
fn pattern(text: &str, names: &Names<'_>) -> String {
    put(text, names, |name| escape(&quoted(name)))
}

fn put(text: &str, names: &Names<'_>, escape: impl Fn(&str) -> String) -> String {
    let hash = names.pod_template_hash.map_or_else(|| ANY_HASH.to_owned(), &escape);
    text.replace("$podTemplateHash", &hash)
        .replace("$namespace", &escape(names.namespace))
        .replace("$name", &escape(names.name))
}

fn escape(value: &str) -> String {
    let mut text = String::new();
    for c in value.chars() {
        match c {
            '\\' | '"' => text.extend(['\\', c]),
            '\n' => text.push_str("\\n"),
            // No name has them; they could end a string in other quotes.
            '`' | '\'' => {}
            c => text.push(c),
        }
    }
    text
}

/// A pattern that matches this text alone. Brackets rather than backslashes, which mean another thing in raw strings.
fn quoted(value: &str) -> String {
    value.chars().map(|c| if ".+*?()|[]{}$".contains(c) { format!("[{c}]") } else { c.to_string() }).collect()
}

/// The text of a string, its placeholders aside, as a pattern that matches it alone.
fn literally(text: &str) -> String {
    let words = ["$podTemplateHash", "$namespace", "$name"];
    let mut left = text;
    let mut pattern = String::new();
    while let Some(c) = left.chars().next() {
        let word = words.iter().find(|w| left.starts_with(**w));
        let length = word.map_or(c.len_utf8(), |w| w.len());
        let (piece, after) = left.split_at(length);
        pattern.push_str(&if word.is_some() { piece.to_owned() } else { quoted(piece) });
        left = after;
    }
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(query: &str, hash: Option<&str>) -> String {
        let names = Names { namespace: "shop", name: "web.v1", pod_template_hash: hash };
        let text = substitute(query, &names);
        promql_parser::parser::parse(&text).unwrap();
        text
    }

    #[test]
    fn a_name_stands_for_itself_in_patterns_and_elsewhere() {
        assert_eq!(put(r#"up{pod=~"$name-.+"}"#, None), r#"up{pod=~"web[.]v1-.+"}"#);
        assert_eq!(put(r#"up{pod !~ "$name-.+"}"#, None), r#"up{pod !~ "web[.]v1-.+"}"#);
        assert_eq!(put("up{pod=~`$name-.+`}", None), "up{pod=~`web[.]v1-.+`}");
        assert_eq!(put(r#"up{name="$name",a="x=~"}"#, None), r#"up{name="web.v1",a="x=~"}"#);
        assert_eq!(put(r#"up{a="\"",pod=~"$name"}"#, None), r#"up{a="\"",pod=~"web[.]v1"}"#);
    }

    #[test]
    fn an_equality_with_any_revision_is_a_pattern() {
        let any = |sign: &str, rest: &str| format!(r#"up{{pod{sign}"{rest}{ANY_HASH}"}}"#);
        assert_eq!(put(r#"up{pod="$podTemplateHash"}"#, None), any("=~", ""));
        assert_eq!(put(r#"up{pod!="$podTemplateHash"}"#, None), any("!~", ""));
        assert_eq!(put(r#"up{pod="a.$name-$podTemplateHash"}"#, None), any("=~", "a[.]web[.]v1-"));
        assert_eq!(put(r#"up{pod="$podTemplateHash"}"#, Some("7d9f")), r#"up{pod="7d9f"}"#);
    }
}
