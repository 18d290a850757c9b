//! What an operator may add while a broker runs.

use serde_json::{Value, json};

use crate::stage::*;

#[tokio::test]
async fn only_one_bridge_is_added_and_whatever_else_is_named_in_the_refusal() {
    let here = broker("here", Vec::new()).await;
    let near = client(&here).await;
    let add = async |text: &str| -> Value {
        let asked = json!({ "action": "add", "config": text }).to_string().into_bytes();
        let reply = near.request("$bus.bridge", asked, PATIENCE).await.expect("answers");
        serde_json::from_slice(reply.payload()).expect("JSON")
    };
    let one = |name: &str| {
        // Nobody answers there, which does not matter here.
        format!("[[bridge]]\nname = \"{name}\"\nurl = \"tcp://127.0.0.1:1\"\nout = [\"a\"]\n")
    };
    let user = "[[user]]\nname = \"eve\"\ntoken_sha256 = \"00\"\n";
    let invalid = u64::from(bus_client::ErrorKind::InvalidArgument.code());
    for (text, parts) in [
        (format!("name = \"other\"\n{}{user}", one("b")), &["line 1", "`name`, `user`"][..]),
        (format!("{}{user}", one("b")), &["line 5", "take out `user`"]),
        (format!("{}[limits]\nqueues = 1\n", one("b")), &["take out `limits`"]),
        (format!("{}{}", one("b"), one("c")), &["exactly one", "more"]),
        (String::new(), &["exactly one", "none"]),
        (format!("{}spol = 1\n", one("b")), &["`spol`", "`spool`"]),
        ("[[bridge".to_owned(), &["not TOML"]),
    ] {
        let answer = add(&text).await;
        assert_eq!(answer["kind"], invalid, "{answer}");
        let said = answer["error"].as_str().expect("a text");
        assert!(parts.iter().all(|part| said.contains(part)), "{said}");
    }
    assert_eq!(add(&one("b")).await["done"], true);
}
