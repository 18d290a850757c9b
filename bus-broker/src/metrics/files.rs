//! The page: its files as they stand beside this one, in the program itself.

use std::sync::LazyLock;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::http::Answer;

const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const IMAGE: &str = "image/svg+xml";

const STYLES: &str =
    concat!(include_str!("page/third-party/uplot.min.css"), include_str!("page/page.css"));

const FIRST: &str = include_str!("page/first.js");
const INDEX: &str = include_str!("page/index.html");
/// Where the first of the two belong: a browser that had to ask for them would paint nothing before they had come.
const PLACE: &str = "<!-- first.js and page.css stand here. -->";

/// The page itself, with what it needs to be painted.
static PAGE: LazyLock<Bytes> = LazyLock::new(|| {
    let (before, after) = INDEX.split_once(PLACE).unwrap_or((INDEX, ""));
    format!("{before}<script>{FIRST}</script>\n<style>{STYLES}</style>{after}").into()
});

/// What a browser is to know of every answer: nothing from elsewhere belongs to it, nothing in it runs that is not a file of
/// its own or the one script in the page, it stands in no other page's frame and is no other page's to read.
pub(super) static GUARDS: LazyLock<String> = LazyLock::new(|| {
    let hash = |text: &str| BASE64_STANDARD.encode(Sha256::digest(text));
    format!(
        "Content-Security-Policy: default-src 'self'; script-src 'self' 'sha256-{}'; style-src 'sha256-{}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'\r\n\
         X-Content-Type-Options: nosniff\r\n\
         X-Frame-Options: DENY\r\n\
         Cross-Origin-Resource-Policy: same-origin\r\n\
         Cross-Origin-Opener-Policy: same-origin\r\n\
         Referrer-Policy: no-referrer\r\n",
        hash(FIRST),
        hash(STYLES)
    )
});

/// Where it is, what it is, and what stands in it.
const FILES: &[(&str, &str, &[u8])] = &[
    ("/main.js", SCRIPT, include_bytes!("page/main.js")),
    ("/overview.js", SCRIPT, include_bytes!("page/overview.js")),
    ("/plots.js", SCRIPT, include_bytes!("page/plots.js")),
    ("/table.js", SCRIPT, include_bytes!("page/table.js")),
    ("/words.js", SCRIPT, include_bytes!("page/words.js")),
    ("/icon.svg", IMAGE, include_bytes!("page/icon.svg")),
    // Not ours: see the folder.
    ("/uplot.js", SCRIPT, include_bytes!("page/third-party/uplot.min.js")),
];

/// The file at this path.
pub(super) fn file(path: &str) -> Option<Answer> {
    if path == "/" {
        return Some(Answer { status: "200 OK", kind: HTML, body: PAGE.clone() });
    }
    let (_, kind, bytes) = FILES.iter().find(|(place, ..)| *place == path)?;
    Some(Answer { status: "200 OK", kind, body: Bytes::from_static(bytes) })
}

#[test]
fn nothing_in_the_page_is_from_elsewhere_or_written_where_it_could_run() {
    let ours = |path: &&(&str, &str, &[u8])| !path.0.starts_with("/uplot") && path.1 != IMAGE;
    let files = FILES.iter().filter(ours).map(|(path, _, bytes)| (*path, *bytes));
    let all = files.chain([("/", PAGE.as_ref()), ("first.js", FIRST.as_bytes())]);
    for (path, bytes) in all {
        let text = std::str::from_utf8(bytes).expect("text");
        for word in
            ["http:", "https:", "//cdn", "innerHTML", "outerHTML", "insertAdjacent", "eval("]
        {
            assert!(!text.contains(word), "{path} has {word}");
        }
        let html = path == "/";
        // Else it would be painted late, or begin with the rest of a style or script.
        let head = text.split("</head>").next().unwrap_or_default();
        assert!(!html || head.contains(FIRST) && head.contains(STYLES), "{path}");
        assert!(!html || text.matches("</style").count() == 1, "{path}");
        assert!(!html || !FIRST.contains("</script"), "{path}");
        assert!(!(html && (text.contains("style=") || text.contains("onclick"))), "{path}");
    }
}
