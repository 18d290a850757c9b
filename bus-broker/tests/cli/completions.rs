//! Completions and man pages: there for every verb, and taken by their shell.

use crate::stage::{DONE, FILE, bus};

/// Every verb that `--help` shows.
async fn verbs() -> Vec<String> {
    let help = bus(&["--help"]).await;
    help.check(DONE, &[]);
    let lines = help.out.lines().skip_while(|line| !line.starts_with("Commands:")).skip(1);
    let rows = lines.take_while(|line| !line.is_empty());
    let verbs: Vec<String> = rows
        .filter(|row| row.starts_with("  ") && !row.starts_with("   "))
        .filter_map(|row| row.split_whitespace().next().map(str::to_owned))
        .filter(|verb| verb != "help")
        .collect();
    assert!(verbs.len() > 20, "{verbs:?}");
    verbs
}

#[tokio::test]
async fn every_shell_completes_every_verb() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let outcome = bus(&["completions", shell]).await;
        outcome.check(DONE, &[]);
        for verb in verbs().await {
            assert!(outcome.out.contains(&verb), "{shell} does not know `{verb}`");
        }
    }
}

#[tokio::test]
async fn bash_takes_its_completions() {
    let text = bus(&["completions", "bash"]).await.out;
    let mut bash = tokio::process::Command::new("bash");
    bash.arg("-n");
    if std::process::Command::new("bash").arg("--version").output().is_err() {
        eprintln!("skipped: there is no bash here");
        return;
    }
    let checked = crate::stage::run(bash, text.as_bytes()).await;
    assert_eq!((checked.code, checked.err.as_str()), (DONE, ""), "the syntax");
    let mut bash = tokio::process::Command::new("bash");
    bash.arg("-n");
    let control = crate::stage::run(bash, b"if true; then").await;
    assert_ne!(control.code, DONE, "a mistake would be found");
}

#[tokio::test]
async fn every_verb_has_a_man_page() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("man");
    bus(&["man", &path.display().to_string()]).await.check(DONE, &[]);
    let page = |name: &str| std::fs::read_to_string(path.join(name)).unwrap_or_default();
    assert!(page("bus.1").contains(".TH bus 1"), "the command itself");
    for verb in verbs().await {
        assert!(page(&format!("bus-{verb}.1")).contains(".SH SYNOPSIS"), "`{verb}` has none");
    }
    assert!(page("bus-never.1").is_empty(), "the control");
    let file = folder.path().join("file");
    std::fs::write(&file, "").expect("a file");
    bus(&["man", &file.display().to_string()]).await.check(FILE, &["cannot write the pages"]);
}
