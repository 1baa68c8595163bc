//! PromQL as the operator lets it through: parsed, bounded, scoped to a namespace, its inputs named.
//!
//! ```text
//!  text ─► substitute ─► parse ─► bounds ─► enforce namespace and matchers ─► text to send + bare selectors
//! ```

use std::collections::BTreeMap;
use std::time::Duration;

mod position;
mod substitute;

pub use substitute::{ANY_HASH, Names, substitute};

use promql_parser::label::{METRIC_NAME, MatchOp, Matcher, Matchers};
use promql_parser::parser::value::ValueType;
use promql_parser::parser::{Expr, Offset, VectorSelector};

/// Longest query.
pub const LONGEST: usize = 2048;
/// Deepest nesting of brackets.
const DEPTH: u32 = 32;
/// Longest run of signs.
const SIGNS: u32 = 8;
/// Most selectors.
const SELECTORS: usize = 32;
/// Longest range and offset.
const HOUR: Duration = Duration::from_secs(3600);

/// Why a query is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PromqlError {
    /// It is longer than [`LONGEST`].
    #[error("the query is {0} characters long; at most {LONGEST} are taken")]
    TooLong(usize),
    /// It is no PromQL.
    #[error("no PromQL: {0}")]
    Syntax(String),
    /// It uses something that is not taken.
    #[error("{0}")]
    Refused(&'static str),
    /// It gives no instant vector.
    #[error(
        "the query gives a {0}; an instant vector of one series is needed (wrap it in vector(…) or drop scalar(…))"
    )]
    NotAVector(&'static str),
    /// One of the above, and where it begins.
    #[error("{error} (character {character})")]
    At {
        /// The character, from 1.
        character: usize,
        /// What is wrong there.
        error: Box<PromqlError>,
    },
}

impl PromqlError {
    /// A bounded name.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::TooLong(_) => "too_long",
            Self::Syntax(_) => "syntax",
            Self::Refused(_) => "refused",
            Self::NotAVector(_) => "not_a_vector",
            Self::At { error, .. } => error.kind(),
        }
    }
}

/// What every selector of a query must carry.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a> {
    /// Label that holds the namespace.
    pub namespace_label: &'a str,
    /// Enforced where the query comes from a resource.
    pub namespace: Option<&'a str>,
    /// Added to every selector.
    pub matchers: &'a BTreeMap<String, String>,
}

/// A query that may be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// Its text.
    pub text: String,
    /// Its selectors, bare: without range and offset.
    pub selectors: Vec<String>,
}

/// Whether a query names a revision.
#[must_use]
pub fn per_revision(query: &str) -> bool {
    query.contains("$podTemplateHash")
}

/// Checks, scopes and takes apart a query whose placeholders are substituted.
pub fn check(query: &str, scope: &Scope<'_>) -> Result<Query, PromqlError> {
    let length = query.chars().count();
    if length > LONGEST {
        return Err(PromqlError::TooLong(length));
    }
    let (expr, mut found) = taken(query, scope).map_err(|error| {
        let character = position::of(query, |other| taken(other, scope).is_ok());
        PromqlError::At { character, error: Box::new(error) }
    })?;
    match expr.value_type() {
        ValueType::Vector => {}
        ValueType::Scalar => return Err(PromqlError::NotAVector("scalar")),
        ValueType::String => return Err(PromqlError::NotAVector("string")),
        ValueType::Matrix => return Err(PromqlError::NotAVector("range vector")),
    }
    if found.is_empty() {
        return Err(PromqlError::Refused("a query without any selector measures nothing"));
    }
    found.sort();
    found.dedup();
    if found.len() > SELECTORS {
        return Err(PromqlError::Refused("a query may have 32 selectors at most"));
    }
    Ok(Query { text: expr.to_string(), selectors: found })
}

/// Parses a query and scopes its selectors; whatever it is worth as a whole.
fn taken(query: &str, scope: &Scope<'_>) -> Result<(Expr, Vec<String>), PromqlError> {
    shallow(query)?;
    // The parser panics on durations beyond its own; a panic here is a syntax error like any other.
    let mut expr = std::panic::catch_unwind(|| promql_parser::parser::parse(query))
        .map_err(|_| PromqlError::Syntax("a number or duration is out of bounds".into()))?
        .map_err(PromqlError::Syntax)?;
    let mut found = Vec::new();
    visit(&mut expr, scope, 0, &mut found)?;
    Ok((expr, found))
}

/// Checks a `zeroWhenFresh` selector: one plain selector and nothing around it, because `timestamp()` of anything else
/// is the time of the question, and would call a dead exporter fresh.
pub fn check_selector(query: &str, scope: &Scope<'_>) -> Result<Query, PromqlError> {
    let checked = check(query, scope)?;
    match promql_parser::parser::parse(query) {
        Ok(Expr::VectorSelector(selector)) if selector.offset.is_none() => Ok(checked),
        _ => Err(PromqlError::Refused(
            "zeroWhenFresh takes one plain selector, such as requests_total{job=\"web\"}",
        )),
    }
}

/// The parser recurses: what is nested too deep, or strings too many signs together, never reaches it.
fn shallow(query: &str) -> Result<(), PromqlError> {
    let (mut depth, mut signs) = (0_u32, 0_u32);
    for c in query.chars() {
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        match c {
            '+' | '-' => signs += 1,
            c if c.is_whitespace() => {}
            _ => signs = 0,
        }
        if depth > DEPTH || signs > SIGNS {
            return Err(PromqlError::Refused("the query is nested too deep"));
        }
    }
    Ok(())
}

fn visit(
    expr: &mut Expr,
    scope: &Scope<'_>,
    subqueries: u32,
    found: &mut Vec<String>,
) -> Result<(), PromqlError> {
    match expr {
        Expr::Aggregate(inner) => {
            if let Some(parameter) = &mut inner.param {
                visit(parameter, scope, subqueries, found)?;
            }
            visit(&mut inner.expr, scope, subqueries, found)
        }
        Expr::Unary(inner) => visit(&mut inner.expr, scope, subqueries, found),
        Expr::Binary(inner) => {
            visit(&mut inner.lhs, scope, subqueries, found)?;
            visit(&mut inner.rhs, scope, subqueries, found)
        }
        Expr::Paren(inner) => visit(&mut inner.expr, scope, subqueries, found),
        Expr::Subquery(inner) => {
            if subqueries >= 2 {
                return Err(PromqlError::Refused("subqueries may be nested once"));
            }
            bounded(inner.range, inner.offset.as_ref(), inner.at.is_some())?;
            visit(&mut inner.expr, scope, subqueries + 1, found)
        }
        Expr::NumberLiteral(_) | Expr::StringLiteral(_) => Ok(()),
        Expr::VectorSelector(selector) => take(selector, Duration::ZERO, scope, found),
        Expr::MatrixSelector(selector) => take(&mut selector.vs, selector.range, scope, found),
        Expr::Call(call) => call.args.args.iter_mut().try_for_each(|a| visit(a, scope, subqueries, found)),
        Expr::Extension(_) => Err(PromqlError::Refused("extensions of PromQL are not taken")),
    }
}

fn bounded(range: Duration, offset: Option<&Offset>, at: bool) -> Result<(), PromqlError> {
    if at {
        return Err(PromqlError::Refused("`@` is not taken: a reading is of now"));
    }
    if range > HOUR {
        return Err(PromqlError::Refused("a range is at most one hour"));
    }
    match offset {
        Some(Offset::Pos(by) | Offset::Neg(by)) if *by > HOUR => {
            Err(PromqlError::Refused("an offset is at most one hour"))
        }
        _ => Ok(()),
    }
}

fn take(
    selector: &mut VectorSelector,
    range: Duration,
    scope: &Scope<'_>,
    found: &mut Vec<String>,
) -> Result<(), PromqlError> {
    bounded(range, selector.offset.as_ref(), selector.at.is_some())?;
    if !selector.matchers.or_matchers.is_empty() {
        return Err(PromqlError::Refused("`or` between label matchers is not taken"));
    }
    if selector.name.is_none() && !names_a_metric(&selector.matchers) {
        return Err(PromqlError::Refused("a selector must name its metric"));
    }
    for (label, value) in scope.matchers {
        set(&mut selector.matchers, label, value);
    }
    // Last, so that nothing else can say which namespace it is.
    if let Some(namespace) = scope.namespace {
        set(&mut selector.matchers, scope.namespace_label, namespace);
    }
    let mut bare = selector.clone();
    bare.offset = None;
    found.push(bare.to_string());
    Ok(())
}

/// Whether a matcher of the metric's name leaves out anything at all.
fn names_a_metric(matchers: &Matchers) -> bool {
    matchers.matchers.iter().any(|m| {
        m.name == METRIC_NAME
            && match m.op {
                MatchOp::Equal => !m.value.is_empty(),
                MatchOp::Re(_) => !m.is_match("") && !m.is_match("no_metric_has_this_name"),
                MatchOp::NotEqual | MatchOp::NotRe(_) => false,
            }
    })
}

/// Replaces whatever the selector said of a label.
fn set(matchers: &mut Matchers, label: &str, value: &str) {
    matchers.matchers.retain(|m| m.name != label);
    matchers.matchers.push(Matcher::new(MatchOp::Equal, label, value));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(matchers: &BTreeMap<String, String>) -> Scope<'_> {
        Scope { namespace_label: "namespace", namespace: Some("shop"), matchers }
    }

    fn checked(query: &str) -> Result<Query, PromqlError> {
        check(query, &scope(&BTreeMap::new()))
    }

    #[test]
    fn every_selector_is_held_to_the_namespace() {
        for query in [
            "up",
            r#"up{namespace="other"}"#,
            r#"up{namespace=~".*"}"#,
            r#"up{namespace!="shop"}"#,
            r#"sum(rate(x_total{a="b"}[1m])) / count(up)"#,
            r"max_over_time(up[5m:1m]) or vector(1)",
        ] {
            let query = checked(query).unwrap();
            let selectors = query.text.matches('{').count();
            assert_eq!(query.text.matches(r#"namespace="shop""#).count(), selectors, "{}", query.text);
            assert!(!query.text.contains("other"));
            checked(&query.text).unwrap();
        }
    }

    #[test]
    fn matchers_of_the_source_are_added() {
        let cluster = BTreeMap::from([("cluster".to_owned(), "prod".to_owned())]);
        let query = check("sum(up)", &Scope { namespace: None, ..scope(&cluster) }).unwrap();
        assert_eq!(query.text, r#"sum(up{cluster="prod"})"#);
    }

    #[test]
    fn selectors_are_bare_and_each_is_named_once() {
        let query = checked("rate(a[5m] offset 1m) + rate(a[5m]) / b").unwrap();
        assert_eq!(query.selectors, [r#"a{namespace="shop"}"#, r#"b{namespace="shop"}"#]);
    }

    #[test]
    fn what_is_not_taken_is_refused() {
        let long = format!("up + {}", "1 + ".repeat(1000));
        for (query, kind) in [
            ("sum(rate(", "syntax"),
            ("", "syntax"),
            ("<html>", "syntax"),
            ("up @ 100", "refused"),
            ("up offset 2h", "refused"),
            ("rate(up[2h])", "refused"),
            ("max_over_time(max_over_time(max_over_time(up[5m:])[5m:])[5m:])", "refused"),
            (r#"{job="x"}"#, "refused"),
            (r#"{__name__=~".+"}"#, "refused"),
            (&"(".repeat(200), "refused"),
            (&format!("{}up", "-".repeat(500)), "refused"),
            (&(0..40).map(|i| format!("a{i}")).collect::<Vec<_>>().join(" + "), "refused"),
            ("rate(up[1e30])", "syntax"),
            ("vector(1)", "refused"),
            ("scalar(up)", "not_a_vector"),
            ("1", "not_a_vector"),
            (r#""text""#, "not_a_vector"),
            ("up[5m]", "not_a_vector"),
            (&long, "too_long"),
        ] {
            assert_eq!(checked(query).unwrap_err().kind(), kind, "{query}");
        }
    }

    #[test]
    fn the_place_of_a_mistake_is_named() {
        for (query, character) in [
            ("<html>", 1),
            ("sum(rate(x_total[1m]) by pod", 23),
            ("sum(x)) / y", 7),
            ("sum by (pod) (rate(x{a=\"b\"}[5m])) / / count(up)", 37),
            ("up{job=prod}", 8),
            ("up{job=\"a\"", 11),
            ("rate(up)", 8),
            ("up @ 100", 4),
            ("up offset 2h", 11),
            ("rate(up[2h])", 9),
            ("histogram_quantile(0.9, x) + {job=\"x\"}", 38),
            ("täglich", 1),
            // Nothing in it is wrong; it only does not end.
            ("sum(rate(", 10),
            ("", 1),
        ] {
            let error = checked(query).unwrap_err();
            let PromqlError::At { character: at, .. } = &error else { panic!("{query}: {error}") };
            assert_eq!(*at, character, "{query}: {error}");
        }
    }

    #[test]
    fn zero_when_fresh_is_one_plain_selector() {
        let none = BTreeMap::new();
        assert!(check_selector(r#"x_total{a="b"}"#, &scope(&none)).is_ok());
        for query in ["sum(x)", "x offset 5m", "sum(rate(x[1m]))", "x or y", "(x)", "-x"] {
            assert!(check_selector(query, &scope(&none)).is_err(), "{query}");
        }
    }

    #[test]
    fn placeholders_are_escaped() {
        let names = Names { namespace: "a", name: r#"x"} or up{a=""#, pod_template_hash: None };
        let query = substitute(r#"up{pod=~"$name-$podTemplateHash-.*",namespace="$namespace"}"#, &names);
        assert!(query.contains(r#"x\"[}] or up[{]a=\""#) || !query.contains(r#"x"}"#), "{query}");
        let checked = checked(&query).unwrap();
        assert_eq!(checked.selectors.len(), 1);
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,200}") {
            let _ = checked(&text);
        }
    }
}
