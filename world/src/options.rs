//! [`Options`]: what the command line asks for.

/// What to run, and how.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) command: Command,
    /// A selection of clients or proxies, within two minutes.
    pub(crate) is_short: bool,
    /// Parts of names; empty means all.
    pub(crate) only: Vec<String>,
    pub(crate) docs: Docs,
    /// Whether each event is printed.
    pub(crate) is_shown: bool,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Command {
    All,
    Clients,
    Proxies,
    Help,
    /// Be the server; for children of this program.
    Serve,
    /// Be the server behind proxies; for children of this program.
    Origin,
    /// Be a client made of `bellwether-client`; for children of this program.
    Listen(String),
}

/// What happens to the table in the docs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Docs {
    Leave,
    Write,
    Check,
}

impl Options {
    /// Reads the arguments; the error names the one that it cannot read.
    pub(crate) fn parse(words: &[String]) -> Result<Self, String> {
        let mut options = Self {
            command: Command::All,
            is_short: false,
            only: Vec::new(),
            docs: Docs::Leave,
            is_shown: false,
        };
        let mut words = words.iter().map(String::as_str);
        let missing = |word: &str| format!("there is nothing behind {word:?}");
        while let Some(word) = words.next() {
            match word {
                "clients" => options.command = Command::Clients,
                "proxies" => options.command = Command::Proxies,
                "serve" => options.command = Command::Serve,
                "origin" => options.command = Command::Origin,
                "listen" => {
                    let url = words.next().ok_or_else(|| missing(word))?;
                    options.command = Command::Listen(url.to_owned());
                }
                "help" | "-h" | "--help" => options.command = Command::Help,
                "--short" => options.is_short = true,
                "--only" => {
                    let name = words.next().ok_or_else(|| missing(word))?;
                    options.only.push(name.to_owned());
                }
                "--write" => options.docs = Docs::Write,
                "--check" => options.docs = Docs::Check,
                "--show" => options.is_shown = true,
                _ => return Err(format!("there is no option {word:?}")),
            }
        }
        if options.docs == Docs::Write && (options.is_short || !options.only.is_empty()) {
            return Err(
                "a part of a table is not written: --write goes with neither --short nor --only"
                    .to_owned(),
            );
        }
        Ok(options)
    }

    /// Whether a thing of this name is to run.
    pub(crate) fn wants(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|part| name.contains(part.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Options, String> {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        Options::parse(&words)
    }

    #[test]
    fn words_choose_what_runs() {
        let options = parse(&["clients", "--only", "httpx", "--show"]).expect("it is right");
        assert_eq!(options.command, Command::Clients);
        assert!(options.wants("httpx-sse") && !options.wants("openai"));
        assert!(options.is_shown && !options.is_short);
        assert_eq!(parse(&[]).expect("it is right").command, Command::All);
    }

    #[test]
    fn a_part_of_a_table_is_not_written() {
        assert!(parse(&["--write", "--short"]).is_err());
        assert!(parse(&["--write", "--only", "x"]).is_err());
        assert!(parse(&["--write"]).is_ok());
        assert!(parse(&["--check", "--short"]).is_ok());
    }

    #[test]
    fn an_unknown_word_is_named() {
        assert_eq!(
            parse(&["--fast"]),
            Err("there is no option \"--fast\"".to_owned())
        );
        assert!(parse(&["--only"]).is_err());
    }
}
