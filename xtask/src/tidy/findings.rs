//! Rules for the scripts of `findings/`: that they can be run, and that their heads have what they found.

use std::os::unix::fs::PermissionsExt;

use crate::workspace::{self, File};

const FOLDER: &str = "findings/";

/// The fields of each head, in this order.
const FIELDS: [&str; 5] = ["Package", "Version", "Behaviour", "Standard", "Seen"];

/// A folder that is made and removed, a limit of time, and a status that reports a change.
const PARTS: [&str; 4] = ["$(mktemp -d)", "trap ", "timeout ", "exit 1"];

pub(super) fn check() -> Vec<String> {
    let files = workspace::files();
    let findings = files.iter().filter(|file| file.path.starts_with(FOLDER));
    findings
        .flat_map(|file| {
            let path = workspace::root().join(&file.path);
            let mode = path.metadata().map_or(0, |data| data.permissions().mode());
            faults(file, mode & 0o111 == 0o111)
        })
        .collect()
}

/// What is wrong with a file of the folder.
fn faults(file: &File, is_executable: bool) -> Vec<String> {
    let mut faults = Vec::new();
    if !file.has_extension(&["sh"]) {
        faults.push("it is no .sh".to_owned());
    }
    if !is_executable {
        faults.push("it is not executable".to_owned());
    }
    let mut head = file.text.lines().take_while(|line| line.starts_with('#'));
    if head.next() != Some("#!/usr/bin/env bash") {
        faults.push("it does not begin with #!/usr/bin/env bash".to_owned());
    }
    // The search goes on from the last field, so that the order counts.
    for field in FIELDS {
        let start = format!("# {field}: ");
        if !head.any(|line| line.starts_with(&start) || line == start.trim_end()) {
            faults.push(format!("its head has no {field:?} in its order"));
            break;
        }
    }
    let missing = PARTS.iter().filter(|part| !file.text.contains(**part));
    faults.extend(missing.map(|part| format!("it has no {part:?}")));
    let path = &file.path;
    faults
        .iter()
        .map(|fault| format!("{path}: {fault}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_finding_can_be_run_and_has_its_head() {
        assert_eq!(check(), Vec::<String>::new());
        assert!(
            workspace::files()
                .iter()
                .any(|file| file.path.starts_with(FOLDER))
        );
    }

    #[test]
    fn a_finding_without_its_form_is_found() {
        let good = "#!/usr/bin/env bash\n# Package: a\n# Version: 1\n# Behaviour: b\n#   c\n# Standard: d\n# Seen:\n#   e\n\
            folder=$(mktemp -d)\ntrap 'rm -rf \"$folder\"' EXIT\ntimeout 9 x || exit 1\n";
        let of = |text: &str, is_executable| {
            let file = File {
                path: "findings/a.sh".to_owned(),
                text: text.to_owned(),
            };
            faults(&file, is_executable)
        };
        assert_eq!(of(good, true), Vec::<String>::new());
        assert_eq!(of(good, false), ["findings/a.sh: it is not executable"]);
        assert_eq!(
            of(&good.replace("# Version: 1\n", ""), true),
            ["findings/a.sh: its head has no \"Version\" in its order"]
        );
        assert_eq!(
            of(&good.replace("timeout 9 ", ""), true),
            ["findings/a.sh: it has no \"timeout \""]
        );
    }
}
