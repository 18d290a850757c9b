//! Contexts: which broker is meant, and who sees a token.

use std::os::unix::fs::PermissionsExt;

use crate::stage::{
    CONFLICT, DENIED, DONE, NOTHING, Outcome, Stage, UNREACHABLE, USAGE, command, run,
};

const TOKEN: &str = "bus_0123456789abcdef0123456789abcdef";

/// Somebody with a configuration directory.
struct User<'a> {
    stage: &'a Stage,
}

impl User<'_> {
    async fn bus(&self, arguments: &[&str]) -> Outcome {
        self.with(arguments, &[], b"").await
    }

    async fn with(&self, arguments: &[&str], variables: &[(&str, &str)], input: &[u8]) -> Outcome {
        let mut command = command();
        command.args(arguments).envs(variables.iter().copied());
        command.env("XDG_CONFIG_HOME", self.stage.directory.path());
        // Where a broker would be found without a context there is none.
        command.env("XDG_RUNTIME_DIR", self.stage.directory.path());
        run(command, input).await
    }

    /// Whether that reaches the broker of the stage.
    async fn reaches(&self, arguments: &[&str], variables: &[(&str, &str)]) -> bool {
        let outcome = self.with(&[arguments, &["stat", "--json"]].concat(), variables, b"").await;
        outcome.code == DONE && outcome.json()["pid"] == self.stage.broker.pid()
    }
}

#[tokio::test]
async fn context_says_which_broker_where_nothing_else_does() {
    let stage = Stage::new().await;
    let user = User { stage: &stage };
    let nowhere = "tcp://127.0.0.1:1";
    user.bus(&["context", "add", "lab", "--url", &stage.url]).await.check(DONE, &[]);
    user.bus(&["context", "add", "far", "--url", nowhere, "--use"]).await.check(DONE, &[]);
    user.bus(&["stat"]).await.check(UNREACHABLE, &[nowhere]);
    assert!(user.reaches(&["--context", "lab"], &[]).await);
    assert!(user.reaches(&[], &[("BUS_CONTEXT", "lab")]).await);
    assert!(user.reaches(&["--url", &stage.url], &[("BUS_CONTEXT", "far")]).await);
    assert!(user.reaches(&["--context", "lab"], &[("BUS_URL", nowhere)]).await);
    assert!(!user.reaches(&[], &[("BUS_CONTEXT", "lab"), ("BUS_URL", nowhere)]).await);
    let both = ["--url", &stage.url, "--context", "lab", "stat"];
    user.bus(&both).await.check(USAGE, &["--url", "--context"]);
    user.bus(&["context", "use", "lab"]).await.check(DONE, &[]);
    assert!(user.reaches(&[], &[]).await);
    let none = user.with(&["stat"], &[("BUS_CONTEXT", "")], b"").await;
    none.check(UNREACHABLE, &["no broker is running"]);
    user.bus(&["context", "rm", "lab"]).await.check(DONE, &[]);
    user.bus(&["stat"]).await.check(UNREACHABLE, &["no broker is running"]);
    user.bus(&["--context", "lab", "stat"]).await.check(NOTHING, &["no context `lab`"]);
}

#[tokio::test]
async fn contexts_are_listed_shown_copied_and_kept() {
    let stage = Stage::new().await;
    let user = User { stage: &stage };
    let add = ["context", "add", "lab", "--url", "tls://lab:4550", "--tls-ca", "ca.pem"];
    user.bus(&[&add[..], &["--description", "the lab"]].concat()).await.check(DONE, &[]);
    user.bus(&add).await.check(CONFLICT, &["--force"]);
    user.bus(&["context", "copy", "lab", "other", "--url", "tls://other:1"]).await.check(DONE, &[]);
    user.bus(&["context", "use", "other"]).await.check(DONE, &[]);
    let shown = user.bus(&["context", "show", "--json"]).await.json();
    assert_eq!(shown["url"], "tls://other:1");
    assert_eq!(shown["description"], "the lab");
    let authority = shown["tls_ca"].as_str().expect("a path");
    assert!(authority.starts_with('/') && authority.ends_with("/ca.pem"), "{authority}");
    let text = user.bus(&["context", "ls"]).await;
    text.check(DONE, &["CONTEXT", "* ", "tls://lab:4550", "the lab"]);
    let list = user.bus(&["context", "ls", "--json"]).await.json();
    assert_eq!(list["contexts"][1]["in_use"], true);
    user.bus(&["context", "add", "bad", "--url", "nonsense://"]).await.check(USAGE, &[]);
    user.bus(&["context", "add", "bad"]).await.check(USAGE, &["--url"]);
    user.bus(&["context", "show", "../lab"]).await.check(USAGE, &["is not a name"]);
}

#[tokio::test]
async fn token_of_a_context_is_shown_to_its_broker_alone() {
    let stage = Stage::new().await;
    let user = User { stage: &stage };
    let add = ["context", "add", "lab", "--url", &stage.url, "--token-stdin", "--use"];
    user.with(&add, &[], TOKEN.as_bytes()).await.check(DONE, &[]);
    for verb in [&["context", "show"][..], &["context", "ls"], &["context", "show", "--json"]] {
        let outcome = user.bus(verb).await;
        outcome.check(DONE, &[]);
        assert!(!outcome.out.contains("bus_") && !outcome.err.contains("bus_"), "{outcome:?}");
    }
    // The broker knows no users: that it refuses shows that the token came.
    let used = user.bus(&["stat"]).await;
    used.check(DENIED, &[]);
    assert!(user.reaches(&["--url", &stage.url], &[]).await, "elsewhere it is not shown");
    let path = stage.directory.path().join("busbar/contexts/lab.toml");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).expect("our own");
    user.bus(&["stat"]).await.check(DENIED, &["chmod 600", "lab.toml"]);
}
