//! Reading licence expressions (SPDX 2.3, annex D): may we use a crate under licences that we accept?

/// Whether `expression` can be satisfied with the `allowed` licences alone.
///
/// `OR` (or the older `/`) leaves the choice, `AND` asks for both and binds closer. A licence `WITH` an
/// exception is looked up as written.
pub(crate) fn is_satisfied(expression: &str, allowed: &[String]) -> bool {
    let spaced = expression
        .replace('/', " OR ")
        .replace('(', " ( ")
        .replace(')', " ) ");
    let mut words = spaced.split_whitespace().peekable();
    let is_satisfied = either(&mut words, allowed);
    is_satisfied && words.next().is_none()
}

type Words<'a> = std::iter::Peekable<std::str::SplitWhitespace<'a>>;

fn either(words: &mut Words<'_>, allowed: &[String]) -> bool {
    let mut is_satisfied = both(words, allowed);
    while words.next_if_eq(&"OR").is_some() {
        // The right side is read in any case: its words must be used up.
        is_satisfied |= both(words, allowed);
    }
    is_satisfied
}

fn both(words: &mut Words<'_>, allowed: &[String]) -> bool {
    let mut is_satisfied = one(words, allowed);
    while words.next_if_eq(&"AND").is_some() {
        is_satisfied &= one(words, allowed);
    }
    is_satisfied
}

fn one(words: &mut Words<'_>, allowed: &[String]) -> bool {
    match words.next() {
        Some("(") => {
            let is_satisfied = either(words, allowed);
            words.next_if_eq(&")").is_some() && is_satisfied
        }
        Some(licence) => {
            let licence = match words.next_if_eq(&"WITH").and_then(|_| words.next()) {
                Some(exception) => format!("{licence} WITH {exception}"),
                None => licence.to_owned(),
            };
            allowed.contains(&licence)
        }
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alternatives_conjunctions_and_exceptions_are_understood() {
        let allowed = [
            "MIT",
            "Apache-2.0",
            "Unicode-3.0",
            "Apache-2.0 WITH LLVM-exception",
        ];
        let allowed = allowed.map(str::to_owned);
        let cases = [
            ("MIT", true),
            ("GPL-3.0", false),
            ("GPL-3.0 OR MIT", true),
            ("MIT/GPL-3.0", true),
            ("MIT AND GPL-3.0", false),
            ("(MIT OR GPL-3.0) AND Unicode-3.0", true),
            ("(MIT OR Apache-2.0) AND GPL-3.0", false),
            ("MIT OR GPL-3.0 AND GPL-2.0", true),
            ("Apache-2.0 WITH LLVM-exception", true),
            ("MIT WITH LLVM-exception", false),
            ("", false),
            ("(MIT", false),
        ];
        for (expression, want) in cases {
            assert_eq!(is_satisfied(expression, &allowed), want, "{expression:?}");
        }
    }
}
