//! The page: its files as they stand beside this one, in the program itself.

use bytes::Bytes;

use super::http::Answer;

const HTML: &str = "text/html; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const IMAGE: &str = "image/svg+xml";

const STYLES: &str =
    concat!(include_str!("page/third-party/uplot.min.css"), include_str!("page/page.css"));

/// Where it is, what it is, and what stands in it.
const FILES: &[(&str, &str, &[u8])] = &[
    ("/", HTML, include_bytes!("page/index.html")),
    // With the style of the plots, since nothing is painted before the last of the styles has come.
    ("/page.css", STYLE, STYLES.as_bytes()),
    ("/theme.js", SCRIPT, include_bytes!("page/theme.js")),
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
    let (_, kind, bytes) = FILES.iter().find(|(place, ..)| *place == path)?;
    Some(Answer { status: "200 OK", kind, body: Bytes::from_static(bytes) })
}

#[test]
fn nothing_in_the_page_is_from_elsewhere_or_written_where_it_could_run() {
    let ours = |path: &&(&str, &str, &[u8])| !path.0.starts_with("/uplot") && path.1 != IMAGE;
    for (path, _, bytes) in FILES.iter().filter(ours) {
        let text = std::str::from_utf8(bytes).expect("text");
        for word in
            ["http:", "https:", "//cdn", "innerHTML", "outerHTML", "insertAdjacent", "eval("]
        {
            assert!(!text.contains(word), "{path} has {word}");
        }
        let html = path == &"/";
        assert!(!(html && (text.contains("style=") || text.contains("onclick"))), "{path}");
    }
}
