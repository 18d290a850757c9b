//! What an operator may add while a broker runs.

use bus_client::ErrorKind;
use serde_json::{Value, json};

use crate::stage::*;

#[tokio::test]
async fn only_one_bridge_is_added_and_whatever_else_is_named_in_the_refusal() {
    let here = broker("here", Vec::new()).await;
    let near = client(&here).await;
    let add = async |text: &str| {
        let asked = json!({ "action": "add", "config": text }).to_string().into_bytes();
        near.request("$bus.bridge", asked, PATIENCE).await
    };
    let one = |name: &str| {
        // Nobody answers there, which does not matter here.
        format!("[[bridge]]\nname = \"{name}\"\nurl = \"tcp://127.0.0.1:1\"\nout = [\"a\"]\n")
    };
    let user = "[[user]]\nname = \"eve\"\ntoken_sha256 = \"00\"\n";
    for (text, parts) in [
        (format!("name = \"other\"\n{}{user}", one("b")), &["line 1", "`name`, `user`"][..]),
        (format!("{}{user}", one("b")), &["line 5", "take out `user`"]),
        (format!("{}[limits]\nqueues = 1\n", one("b")), &["take out `limits`"]),
        (format!("{}{}", one("b"), one("c")), &["exactly one", "more"]),
        (String::new(), &["exactly one", "none"]),
        (format!("{}spol = 1\n", one("b")), &["`spol`", "`spool`"]),
        ("[[bridge".to_owned(), &["not TOML"]),
    ] {
        let refused = add(&text).await.expect_err("is refused");
        assert_eq!(refused.kind(), ErrorKind::InvalidArgument, "{refused}");
        let said = refused.to_string();
        assert!(parts.iter().all(|part| said.contains(part)), "{said}");
    }
    let reply = add(&one("b")).await.expect("is added");
    let answer: Value = serde_json::from_slice(reply.payload()).expect("JSON");
    assert_eq!(answer["done"], true);
}
