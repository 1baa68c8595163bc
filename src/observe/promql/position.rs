//! Where a refused query goes wrong.
//!
//! The parser names no place. Whatever is wrong with a query begins where no continuation makes it right any more, so the
//! place is found from outside: the longest run of its first tokens that some ending completes.

/// Endings that complete most beginnings; the brackets that are open are closed after them.
const OPERANDS: [&str; 7] = ["", "x", "(x)", " (a) (x)", "x[5m]", "1", " 5m"];
const IN_BRACES: [&str; 7] = [
    "",
    "=\"b\"",
    "\"b\"",
    "__name__=\"b\"",
    ",__name__=\"b\"",
    "\"b\",__name__=\"b\"",
    "=\"b\",__name__=\"b\"",
];
const IN_BRACKETS: [&str; 3] = ["", "5m", "m"];
/// Functions that want a second or a different argument.
const ARGUMENTS: [&str; 3] = [", x", "0.5, x", "0.5, x[5m]"];

/// Character (from 1) of the first token that nothing makes right; the one behind the last where the query only ends too
/// early.
pub(super) fn of(query: &str, accepts: impl Fn(&str) -> bool) -> usize {
    let tokens = tokens(query);
    // Whether a beginning can be completed only ever goes from yes to no.
    let bad = tokens.partition_point(|(_, end)| completable(&query[..*end], &accepts));
    let start = tokens.get(bad).map_or(query.len(), |(start, _)| *start);
    query[..start].chars().count() + 1
}

fn completable(start: &str, accepts: &impl Fn(&str) -> bool) -> bool {
    let (closers, innermost) = open_brackets(start);
    let tries = |endings: &[&str]| endings.iter().any(|ending| accepts(&format!("{start}{ending}{closers}")));
    match innermost {
        // What is selected may have to be a range.
        Some('{') => {
            let outer = &closers[1..];
            tries(&IN_BRACES)
                || IN_BRACES.iter().any(|ending| accepts(&format!("{start}{ending}}}[5m]{outer}")))
        }
        Some('[') => tries(&IN_BRACKETS),
        _ => tries(&OPERANDS) || tries(&ARGUMENTS),
    }
}

/// What closes the brackets that are open, and the innermost of them.
fn open_brackets(text: &str) -> (String, Option<char>) {
    let mut open = Vec::new();
    for (start, end) in tokens(text) {
        match &text[start..end] {
            token @ ("(" | "[" | "{") => open.extend(token.chars()),
            ")" | "]" | "}" => {
                open.pop();
            }
            _ => {}
        }
    }
    let close = |c: &char| match c {
        '(' => ')',
        '[' => ']',
        _ => '}',
    };
    (open.iter().rev().map(close).collect(), open.last().copied())
}

/// Words, strings and single signs, as byte ranges; blanks are between them.
fn tokens(text: &str) -> Vec<(usize, usize)> {
    let word = |c: char| c.is_alphanumeric() || matches!(c, '_' | ':' | '.');
    let mut all = Vec::new();
    let mut rest = text.char_indices().peekable();
    while let Some((start, c)) = rest.next() {
        let mut end = start + c.len_utf8();
        if c.is_whitespace() {
            continue;
        }
        if matches!(c, '"' | '\'' | '`') {
            let mut escaped = false;
            for (at, inner) in rest.by_ref() {
                end = at + inner.len_utf8();
                if inner == c && !escaped {
                    break;
                }
                escaped = inner == '\\' && !escaped && c != '`';
            }
        } else if word(c) || matches!(c, '=' | '!' | '<' | '>') {
            let same = |other: char| if word(c) { word(other) } else { matches!(other, '=' | '~') };
            while let Some((at, next)) = rest.next_if(|(_, next)| same(*next)) {
                end = at + next.len_utf8();
            }
        }
        all.push((start, end));
    }
    all
}
