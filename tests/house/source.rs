//! Reads Rust as text: drops comments, literals and tests, and lists every path that is left.

/// What a file says, as far as the rules of the house care.
pub struct Source {
    /// Trees after `use`, expanded: one path each.
    uses: Vec<Vec<String>>,
    /// Paths that stand in the code itself.
    inline: Vec<Vec<String>>,
    /// Names of modules in files of their own that exist only for tests.
    pub test_modules: Vec<String>,
}

impl Source {
    /// Reads a file's text.
    pub fn read(text: &str) -> Self {
        let (code, test_modules) = without_tests(&without_comments_and_literals(text));
        let (uses, rest) = take_uses(&code);
        Self { uses, inline: inline_paths(&rest), test_modules }
    }

    /// Every path, with `self` and `super` resolved from `module`.
    pub fn paths_from(&self, module: &[String]) -> impl Iterator<Item = Vec<String>> {
        self.uses.iter().chain(&self.inline).map(|path| resolve(path, module))
    }
}

/// `super::x` of `["decide", "rules"]` → `crate::decide::x`.
fn resolve(path: &[String], module: &[String]) -> Vec<String> {
    let climbs = path.iter().take_while(|part| *part == "super").count();
    let here = path.first().is_some_and(|first| first == "self");
    if climbs == 0 && !here {
        return path.to_vec();
    }
    let mut whole = vec!["crate".to_owned()];
    whole.extend_from_slice(&module[..module.len().saturating_sub(climbs)]);
    whole.extend_from_slice(&path[climbs + usize::from(here)..]);
    whole
}

/// Blanks comments, strings and characters; lifetimes stay.
fn without_comments_and_literals(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let at = |i: usize| chars.get(i).copied().unwrap_or('\0');
    let mut out = String::with_capacity(text.len());
    let mut i = 0;
    while i < chars.len() {
        match at(i) {
            '/' if at(i + 1) == '/' => {
                while i < chars.len() && at(i) != '\n' {
                    i += 1;
                }
            }
            '/' if at(i + 1) == '*' => {
                let mut depth = 0;
                loop {
                    match (at(i), at(i + 1)) {
                        ('/', '*') => (depth, i) = (depth + 1, i + 2),
                        ('*', '/') => (depth, i) = (depth - 1, i + 2),
                        _ => i += 1,
                    }
                    if depth == 0 || i >= chars.len() {
                        break;
                    }
                }
            }
            'r' if raw_hashes(&chars, i).is_some() && !out.ends_with(is_word) => {
                let hashes = raw_hashes(&chars, i).unwrap_or(0);
                i += 2 + hashes;
                while i < chars.len() && !(at(i) == '"' && (1..=hashes).all(|k| at(i + k) == '#')) {
                    i += 1;
                }
                i += 1 + hashes;
                out.push(' ');
            }
            '"' => {
                i += 1;
                while i < chars.len() && at(i) != '"' {
                    i += if at(i) == '\\' { 2 } else { 1 };
                }
                i += 1;
                out.push(' ');
            }
            '\'' if at(i + 1) == '\\' => {
                i += 3;
                while i < chars.len() && at(i) != '\'' {
                    i += 1;
                }
                i += 1;
            }
            '\'' if at(i + 2) == '\'' => i += 3,
            other => {
                out.push(other);
                i += 1;
            }
        }
    }
    out
}

/// The number of `#` of a raw string that starts here.
fn raw_hashes(chars: &[char], start: usize) -> Option<usize> {
    let hashes = chars[start + 1..].iter().take_while(|c| **c == '#').count();
    (chars.get(start + 1 + hashes) == Some(&'"')).then_some(hashes)
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Takes out items under `#[cfg(test)]`, and names those that are modules in another file.
fn without_tests(code: &str) -> (String, Vec<String>) {
    let mut out = String::new();
    let mut modules = Vec::new();
    let mut rest = code;
    while let Some((before, after)) = rest.split_once("#[cfg(test)]") {
        out.push_str(before);
        let end = item_end(after);
        let item = &after[..end];
        if let Some(name) =
            item.trim_end().strip_suffix(';').and_then(|i| i.split_once("mod ")).map(|(_, name)| name)
            && !name.contains('{')
        {
            modules.push(name.trim().to_owned());
        }
        rest = &after[end..];
    }
    out.push_str(rest);
    (out, modules)
}

/// Where the item ends that starts here: after its `;`, or after its outermost brace.
fn item_end(code: &str) -> usize {
    let mut depth = 0_i32;
    let head = &code[..code.find(['{', ';']).unwrap_or(0)];
    let is_use = head.contains("use ");
    for (i, c) in code.char_indices() {
        match c {
            '{' | '(' | '[' => depth += 1,
            '}' | ')' | ']' => {
                depth -= 1;
                if depth == 0 && c == '}' && !is_use {
                    return i + 1;
                }
            }
            ';' if depth == 0 => return i + 1,
            _ => {}
        }
    }
    code.len()
}

/// The expanded trees of every `use` and `extern crate`, and the code without them.
fn take_uses(code: &str) -> (Vec<Vec<String>>, String) {
    let mut uses = Vec::new();
    let mut rest = String::new();
    let mut remaining = code;
    while let Some((start, keyword)) = next_keyword(remaining) {
        rest.push_str(&remaining[..start]);
        let after = &remaining[start + keyword.len()..];
        let end = after.find(';').unwrap_or(after.len());
        expand(after[..end].trim(), &[], &mut uses);
        remaining = after.get(end + 1..).unwrap_or("");
    }
    rest.push_str(remaining);
    (uses, rest)
}

fn next_keyword(code: &str) -> Option<(usize, &'static str)> {
    let mut from = 0;
    loop {
        let found = ["use ", "extern crate "]
            .into_iter()
            .filter_map(|word| code[from..].find(word).map(|at| (from + at, word)))
            .min()?;
        if !code[..found.0].ends_with(is_word) {
            return Some(found);
        }
        from = found.0 + 1;
    }
}

/// `a::{b, c::{d as e}}` → `a::b`, `a::c::d`.
fn expand(tree: &str, prefix: &[String], out: &mut Vec<Vec<String>>) {
    let tree = tree.trim().trim_start_matches("::");
    let Some(open) = tree.find('{') else {
        let path = tree.split(" as ").next().unwrap_or("").trim();
        if !path.is_empty() {
            let parts =
                path.split("::").map(|p| p.trim().to_owned()).filter(|p| p != "self" || prefix.is_empty());
            out.push(prefix.iter().cloned().chain(parts).collect());
        }
        return;
    };
    let mut deeper = prefix.to_vec();
    deeper.extend(tree[..open].split("::").map(str::trim).filter(|p| !p.is_empty()).map(str::to_owned));
    let inner = &tree[open + 1..tree.rfind('}').unwrap_or(tree.len())];
    let (mut depth, mut start) = (0, 0);
    for (i, c) in inner.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                expand(&inner[start..i], &deeper, out);
                start = i + 1;
            }
            _ => {}
        }
    }
    expand(&inner[start..], &deeper, out);
}

/// Every `a::b…` in code.
fn inline_paths(code: &str) -> Vec<Vec<String>> {
    let mut out = Vec::new();
    let mut current: Vec<String> = Vec::new();
    let mut rest = code;
    while let Some(c) = rest.chars().next() {
        if is_word(c) {
            let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
            current.push(rest[..end].to_owned());
            rest = &rest[end..];
            if let Some(after) = rest.strip_prefix("::")
                && after.starts_with(is_word)
            {
                rest = after;
                continue;
            }
            if current.len() > 1 {
                out.push(std::mem::take(&mut current));
            }
            current.clear();
        } else {
            rest = &rest[c.len_utf8()..];
        }
    }
    out
}
