//! Which request paths may name a file, decided by their text alone.
//!
//! The rules are the union over systems: a path that is harmless on Linux and a device on Windows is
//! refused on both, so that a site behaves the same wherever it runs.

/// Whether this path of a request (still percent-encoded, starting with `/`) may be looked up.
///
/// Refused are: escapes that are broken or do not decode to UTF-8, encoded slashes, empty segments
/// except for the last, segments that start with a dot, end with a dot or a space, contain a
/// backslash, a colon or a control character, and the names of Windows devices.
pub(super) fn is_servable(path: &str) -> bool {
    let Some(path) = path.strip_prefix('/') else {
        return false;
    };
    let (directories, last) = match path.rsplit_once('/') {
        Some((directories, last)) => (Some(directories), last),
        None => (None, path),
    };
    // The last segment may be empty: that asks for a directory's index.
    (last.is_empty() || is_servable_segment(last))
        && directories.is_none_or(|directories| directories.split('/').all(is_servable_segment))
}

fn is_servable_segment(encoded: &str) -> bool {
    let Some(bytes) = percent_decoded(encoded) else {
        return false;
    };
    let Ok(segment) = std::str::from_utf8(&bytes) else {
        return false;
    };
    !segment.is_empty()
        && !segment.starts_with('.')
        && !segment.ends_with(['.', ' '])
        && !segment.contains(['/', '\\', ':'])
        && !segment.contains(char::is_control)
        && !is_windows_device(segment)
}

/// The bytes that a percent-encoded text stands for, decoded once; `None` if an escape is broken.
fn percent_decoded(encoded: &str) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(encoded.len());
    let mut bytes = encoded.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let high = char::from(bytes.next()?).to_digit(16)?;
            let low = char::from(bytes.next()?).to_digit(16)?;
            decoded.push(u8::try_from(high * 16 + low).ok()?);
        } else {
            decoded.push(byte);
        }
    }
    Some(decoded)
}

/// Whether Windows would open a device under this name, in any directory and with any extension.
///
/// The superscript digits count as digits there ("Naming Files, Paths, and Namespaces").
fn is_windows_device(segment: &str) -> bool {
    let stem = segment.split('.').next().unwrap_or(segment).trim_end();
    let stem = stem.to_ascii_uppercase();
    if matches!(
        stem.as_str(),
        "CON" | "PRN" | "AUX" | "NUL" | "CONIN$" | "CONOUT$"
    ) {
        return true;
    }
    let number = stem
        .strip_prefix("COM")
        .or_else(|| stem.strip_prefix("LPT"));
    let mut number = number.unwrap_or_default().chars();
    matches!(
        (number.next(), number.next()),
        (Some('0'..='9' | '¹' | '²' | '³'), None)
    )
}

#[cfg(test)]
mod tests {
    use super::is_servable;

    #[test]
    fn ordinary_paths_are_servable() {
        for path in [
            "/",
            "/index.html",
            "/a/b/c.css",
            "/a/",
            "/a%20b.txt",
            "/caf%C3%A9.html",
            "/a..b",
            "/-",
            "/~a",
            "/common.js",
            "/com.js",
            "/lpt.txt",
            "/console",
            "/nullable",
            "/com10",
            "/100%25.txt",
        ] {
            assert!(is_servable(path), "{path}");
        }
    }

    #[test]
    fn paths_that_could_leave_the_root_or_name_a_device_are_not() {
        for path in [
            "",
            "*",
            "//",
            "//etc/passwd",
            "/a//b",
            "/a//",
            "/.",
            "/..",
            "/../x",
            "/a/../x",
            "/%2e%2e/x",
            "/%2E%2e%2fx",
            "/..%2fx",
            "/a%2fb",
            "/..%5cx",
            "/a\\b",
            "/.env",
            "/%2eenv",
            "/.git/config",
            "/a/.hidden/b",
            "/c:/x",
            "/c%3a/x",
            "/x%00.html",
            "/x%0d%0a",
            "/x%7f",
            "/x%c2%85",
            "/x.",
            "/x%20",
            "/x/...",
            "/%",
            "/%2",
            "/%zz",
            "/%+1",
            "/%c0%ae%c0%ae/x",
            "/%ff",
            "/con",
            "/NUL.txt",
            "/a/aux/b",
            "/Com1",
            "/lpt9.tar.gz",
            "/com%C2%B9",
            "/conin$",
            "/nul%20.txt",
        ] {
            assert!(!is_servable(path), "{path}");
        }
    }
}
